"""`assay quarantine` as a user runs it: on a small lake of what tills have taken, with a strict contract and a corrected one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from change_lines import text
from click.testing import Result
from command_line import Shop
from shop_lake import ShopLake
from tills import SOURCE, TABLE, run_all, sale, till_lake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import AssayError, EditError, SettingsError

RAW = f"raw.{SOURCE}"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a good sale, a refused one, one whose amount cannot be read, and one that is no JSON."""
    folder = tmp_path_factory.mktemp("sold")
    lake = till_lake(folder)
    lake.land(SOURCE, "a.json", text(sale(1), sale(2, amount="-5.00", till="A1234"), sale(3, amount="7,50"), "{broken [2"))
    run_all(lake)
    return folder


@pytest.fixture
def lake(sold: Path, tmp_path: Path) -> ShopLake:
    """The same, for one test. Linked objects keep their versions; they are replaced and never written to."""
    shutil.copytree(sold / "lake", tmp_path / "lake", copy_function=os.link)
    return till_lake(tmp_path)


@pytest.fixture
def command(lake: ShopLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `assay quarantine` on the lake, with the contract as it was or as it was corrected."""
    corrected = till_lake(tmp_path, reads_commas=True, takes_negative=True)
    monkeypatch.setitem(sys.modules, "tills_strict", SimpleNamespace(DOMAIN=lake.workspace.domain))
    monkeypatch.setitem(sys.modules, "tills_corrected", SimpleNamespace(DOMAIN=corrected.workspace.domain))

    def run(*arguments: str, domain: str = "strict") -> Result:
        shop = Shop(tmp_path / "home", lake.store.uri, {"ASSAY_DOMAIN": f"tills_{domain}", "COLUMNS": "200"})
        return CliRunner().invoke(app, ["quarantine", *arguments], env=shop.environment)

    return run


def printed(result: Result) -> Any:
    """What a command prints as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result) -> AssayError:
    """The error that a command ends with."""
    assert isinstance(result.exception, AssayError), result.output
    assert result.exception.hint
    return result.exception


def files(lake: ShopLake) -> dict[str, str]:
    return {key: etag for key, etag in lake.etags("").items() if not key.startswith("quality/")}


class TestList:
    def test_every_table_and_rule_with_ages(self, command: Command) -> None:
        listed = {(each["table"], each["rule"]): each for each in printed(command("list", "--json"))}
        assert listed.keys() == {(RAW, "readable"), (TABLE, "amount_at_least"), (TABLE, "till_length")}
        readable = listed[RAW, "readable"]
        assert (readable["records"], readable["dropped"], readable["partitions"], readable["too_old"]) == (2, 0, 0, 2)
        assert readable["oldest"] == readable["newest"] == "2025-01-10T00:00:00+00:00"
        shown = command("list").stdout
        assert "readable" in shown and "too old" in shown and "days" in shown

    def test_one_table_rule_or_age(self, command: Command) -> None:
        assert [each["rule"] for each in printed(command("list", TABLE, "--rule", "till_length", "--json"))] == ["till_length"]
        assert len(printed(command("list", "--older-than", "1", "--json"))) == 3
        assert "No such record is in quarantine" in command("list", "--older-than", "100000").stdout

    def test_an_unknown_table_says_which_there_are(self, command: Command) -> None:
        error = refused(command("list", "nonsense"))
        assert isinstance(error, SettingsError) and RAW in error.hint


class TestShow:
    def test_a_record_with_all_that_is_known_of_it(self, command: Command, lake: ShopLake) -> None:
        (row,) = printed(command("show", TABLE, "--json"))
        assert row["rules"] == ["amount_at_least", "till_length"] and len(row["reasons"]) == 2
        assert (row["object"], row["line"], row["sequence"]) == (f"landing/{SOURCE}/a.json", 2, [2, 2])
        assert row["contract"] == lake.workspace.domain.tables[TABLE].version
        assert row["record"] == {"id": "2", "day": "2025-01-03", "amount": "-5.00", "till": "A1234"}
        comma, broken = printed(command("show", RAW, "--json"))
        assert (comma["line"], comma["sequence"], comma["record"]) == (3, [3, 3], sale(3, amount="7,50"))
        assert comma["byte"] == len(sale(1)) + len(sale(2, amount="-5.00", till="A1234")) + 2
        assert (broken["sequence"], broken["record"]) == (None, "{broken [2")

    def test_for_people_nothing_is_taken_for_markup(self, command: Command) -> None:
        shown = command("show", RAW).stdout
        assert f"landing/{SOURCE}/a.json, line 4, byte" in shown
        assert "readable: not valid JSON" in shown and "{broken [2" in shown
        assert "position [3, 3]" in shown

    def test_some_of_them(self, command: Command) -> None:
        (first,) = printed(command("show", RAW, "--limit", "1", "--json"))
        assert printed(command("show", RAW, "--id", first["id"], "--json")) == [first]
        assert "the first 1; `--limit` gives more" in command("show", RAW, "--limit", "1").stdout
        assert "No such record" in command("show", TABLE, "--partition", "2020-01-01").stdout


class TestReplay:
    def test_without_a_correction_it_says_what_still_fails_and_changes_nothing(self, command: Command, lake: ShopLake) -> None:
        before = files(lake)
        (record,) = printed(command("show", TABLE, "--json"))
        told = command("replay")
        assert told.exit_code == 0, told.output
        assert f"{RAW}: 1 still fail: not valid JSON" in told.stdout
        assert f"({record['id']})" in told.stdout
        assert files(lake) == before

    def test_after_a_correction_what_can_leave_has_left(self, command: Command, lake: ShopLake) -> None:
        told = printed(command("replay", "--json", domain="corrected"))
        raw, table = told["replayed"]
        assert {name: raw[name] for name in ("table", "before", "left", "published", "gone", "still")} == {
            "table": RAW,
            "before": 2,
            "left": 1,
            "published": 1,
            "gone": 0,
            "still": 1,
        }
        assert [each["reason"] for each in raw["reasons"]] == ["not valid JSON"]
        assert (table["before"], table["left"], table["still"]) == (1, 0, 1)
        assert told["run"]["books"][TABLE]["balanced"]
        assert lake.rows(f"SELECT id FROM {TABLE} ORDER BY 1") == [(1,), (3,)]

    def test_an_edited_record_leaves_and_who_and_why_is_kept(self, command: Command, lake: ShopLake, tmp_path: Path) -> None:
        comma, broken = printed(command("show", RAW, "--json"))
        (row,) = printed(command("show", TABLE, "--json"))
        row["record"] |= {"amount": "5.00", "till": "A1"}
        fixed = tmp_path / "fixed.json"
        fixed.write_text(json.dumps([comma | {"set": {"amount": "7.50"}}, broken | {"record": sale(4)}, row]))
        told = printed(command("replay", "--edit", str(fixed), "--by", "ann", "--why", "a [typo]", "--json"))
        assert {each["table"]: (each["before"], each["left"], each["published"]) for each in told["replayed"]} == {
            RAW: (2, 2, 2),
            TABLE: (1, 1, 1),
        }
        assert lake.rows(f"SELECT id, amount::VARCHAR FROM {TABLE} ORDER BY 1") == [
            (1, "1.00"),
            (2, "5.00"),
            (3, "7.50"),
            (4, "1.00"),
        ]
        edits = printed(command("trail", "--json"))
        assert {each["of"] for each in edits} == {f"landing/{SOURCE}/a.json, line {line}" for line in (2, 3, 4)}
        assert {(each["by"], each["why"], each["what"], each["records"]) for each in edits} == {("ann", "a [typo]", "edited", 1)}
        assert "a [typo]" in command("trail", RAW).stdout
        assert "Quarantine is empty" in command("list").stdout
        error = refused(command("replay", "--edit", str(fixed), "--by", "ann", "--why", "again"))
        assert "in quarantine" in error.message and "assay quarantine trail" in error.hint

    def test_an_edit_that_fails_again_says_why_and_nothing_else(self, command: Command, tmp_path: Path) -> None:
        (row,) = printed(command("show", TABLE, "--json"))
        fixed = tmp_path / "fixed.json"
        fixed.write_text(json.dumps([row]))
        assert "changes no record" in refused(command("replay", "--edit", str(fixed), "--by", "ann", "--why", "x")).message
        broken = printed(command("show", RAW, "--json"))[1]
        fixed.write_text(json.dumps([row | {"set": {"amount": "5.00"}}, broken | {"record": sale(4)}]))
        told = command("replay", "--edit", str(fixed), "--by", "ann", "--why", "x").stdout
        assert f"{TABLE}: 1 are new: till" in told
        assert "still fail:" not in told and "readable" not in told

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--edit", "FILE"], "needs --by and --why"),
            (["--by", "ann"], "require --edit"),
            ([TABLE, "--edit", "FILE", "--by", "ann", "--why", "x"], "determines the tables"),
            (["--edit", "FILE", "--by", "ann", "--why", "x"], "not JSON"),
        ],
    )
    def test_what_does_not_fit_together_says_so(self, command: Command, tmp_path: Path, arguments: list[str], said: str) -> None:
        file = tmp_path / "fixed.json"
        file.write_text("nonsense")
        error = refused(command("replay", *(str(file) if each == "FILE" else each for each in arguments)))
        assert isinstance(error, EditError) and said in error.message


class TestDrop:
    def test_it_leaves_lists_and_stays_in_the_trail(self, command: Command) -> None:
        (record, _) = printed(command("show", RAW, "--json"))
        why = ("--by", "ann", "--why", "a test record")
        assert printed(command("drop", RAW, "--id", record["id"], *why, "--json")) == {"dropped": [record["id"]]}
        assert [each["line"] for each in printed(command("show", RAW, "--json"))] == [4]
        assert [each["dropped"] for each in printed(command("show", RAW, "--dropped", "--json"))] == [True, False]
        (listed,) = printed(command("list", RAW, "--json"))
        assert (listed["records"], listed["dropped"], listed["too_old"]) == (2, 1, 1)
        (decision,) = printed(command("trail", RAW, "--json"))
        assert {name: decision[name] for name in ("by", "what", "of", "records", "why")} == {
            "by": "ann",
            "what": "dropped",
            "of": RAW,
            "records": 1,
            "why": "a test record",
        }
        again = refused(command("drop", RAW, "--id", record["id"], *why))
        assert record["id"] in again.message

    def test_all_of_a_rule(self, command: Command) -> None:
        told = command("drop", TABLE, "--rule", "till_length", "--by", "ann", "--why", "x").stdout
        assert told == f"1 record of {TABLE} dropped, but kept in quarantine and in the books\n"
        assert printed(command("drop", TABLE, "--all", "--by", "ann", "--why", "x", "--json")) == {"dropped": []}

    def test_it_needs_who_why_and_which(self, command: Command) -> None:
        assert "--by and --why" in refused(command("drop", RAW, "--all")).message
        assert "No records were selected" in refused(command("drop", RAW, "--by", "ann", "--why", "x")).message
        mistyped = refused(command("drop", TABLE, "--rule", "till_lenght", "--by", "ann", "--why", "x"))
        assert "no record in quarantine broke a rule named till_lenght" in mistyped.message
        assert mistyped.hint == "Did you mean till_length?"


def test_without_decisions_the_trail_says_so(command: Command) -> None:
    assert "Nobody has edited or dropped anything." in command("trail").stdout


@pytest.mark.parametrize("name", ["list", "show", "replay", "drop", "trail"])
def test_help_has_an_example(command: Command, name: str) -> None:
    assert "Example" in command(name, "--help").stdout


def test_an_error_is_one_message_with_a_hint(tmp_path: Path) -> None:
    done = Shop(tmp_path / "home", (tmp_path / "lake").as_uri()).run("quarantine", "drop", "raw.orders", "--all")
    assert done.returncode == 1
    assert "A drop needs --by and --why." in done.stderr and "kept with the dropped records" in done.stderr
    assert "Traceback" not in done.stderr
