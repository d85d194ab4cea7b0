"""`assay reconcile` as a user runs it; in this process, because starting one takes longer than all it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audited_shop import ROLLS
from change_lines import customer, order, text
from click.testing import Result
from shop_lake import ShopLake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import AssayError

LEDGER = "order_day,customer_level,row_count,amount\n2025-01-03,basic,{rows},20.00\n2025-01-04,basic,1,10.00\n"
ALL = ("--days", "4000")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A shop with an accountant and three orders."""
    lake = ShopLake(tmp_path_factory.mktemp("filled"))
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "o.json", text(order("a", 2), order("b", 3), order("c", 4, day="2025-01-04")))
    lake.run()
    return lake


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopLake:
    """The same as the settings name it, with nothing reconciled."""
    for info in list(filled.store.list("quality/")):
        filled.store.delete(info.key)
    settings = {"ASSAY_LAKE": filled.folder.as_uri(), "ASSAY_HOME": str(tmp_path / "home"), "ASSAY_DOMAIN": "audited_shop"}
    # Tables are as wide as the terminal.
    settings["COLUMNS"] = "140"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return filled


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the lake has, as a ledger says it."""
    file = tmp_path / "ledger.csv"
    file.write_text(LEDGER.format(rows=2), encoding="utf-8")
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["reconcile", *arguments])


def test_it_agrees_or_says_what_differs_and_exits_with_one(lake: ShopLake, ledger: Path) -> None:
    done = run("ledger", "--file", str(ledger), *ALL)
    assert done.exit_code == 0, done.output
    assert "ledger (marts.daily_totals): agrees; 2 days were compared" in done.stdout
    ledger.write_text(LEDGER.format(rows=3), encoding="utf-8")
    done = run("ledger", "--file", str(ledger), *ALL)
    assert done.exit_code == 1
    assert "ledger (marts.daily_totals): 1 day differs; 2 days were compared" in done.stdout
    assert '{"customer_level": "basic"}' in done.stdout
    told = run("ledger", "--file", str(ledger), *ALL, "--json")
    assert told.exit_code == 1
    said = json.loads(told.stdout)
    assert (said["failed"], said["waiting"]) == ({}, {})
    assert said["controls"]["ledger"]["figures"] == {"same": 3, "different": 1}
    (figure,) = said["controls"]["ledger"]["wrong"]
    assert figure == {
        "day": "2025-01-03",
        "key": {"customer_level": "basic"},
        "measure": "row_count",
        "in_lake": "2.0000",
        "in_quarantine": "0.0000",
        "in_control": "3.0000",
        "difference": "-1.0000",
        "status": "different",
    }


def test_what_cannot_be_asked_is_said_and_nothing_secret(lake: ShopLake, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    done = run()
    assert done.exit_code == 1
    said = " ".join(done.stdout.split())
    assert f"no control has landed, nothing was compared; it reads {ROLLS.from_.path}" in said  # type: ignore[union-attr]
    assert "Set ASSAY_DSN__LEDGER" in said
    done = run("ledger", "--dsn", "postgresql://u:s3cret@127.0.0.1:1/d")
    assert done.exit_code == 1
    assert "nobody answers there" in done.stdout
    assert "s3cret" not in done.output
    kept = [path for folder in (tmp_path / "home", lake.folder) for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]


def test_a_control_that_nothing_has_landed_of_is_named_and_no_error(lake: ShopLake) -> None:
    done = run("till_rolls")
    assert (done.exit_code, "no control has landed" in done.stdout) == (0, True)
    told = run("till_rolls", "--json")
    assert (told.exit_code, json.loads(told.stdout)) == (
        0,
        {"controls": {}, "waiting": {"till_rolls": "enriched.orders"}, "failed": {}},
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nonsense"], "There are ledger, till_rolls"),
        (["--file", "x.csv"], "to one control"),
        (["ledger", "--file", "x.csv"], "There is no file x.csv"),
        (["ledger", "--file", "x.csv", "--dsn", "x"], "exclude each other"),
        (["till_rolls", "--dsn", "s3cret"], "is a file"),
    ],
)
def test_wrong_options_are_one_clear_error(lake: ShopLake, options: list[str], said: str) -> None:
    error = run(*options).exception
    assert isinstance(error, AssayError)
    assert said in str(error)
    assert "s3cret" not in str(error)


def test_a_domain_without_controls_says_so(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DOMAIN", "shop")
    assert "declares no controls" in str(run().exception)


def test_a_connection_string_without_a_name_is_said_and_not_shown(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DSN", "postgresql://u:s3cret@h/d")
    error = run().exception
    assert "ASSAY_DSN__LEDGER" in str(error)
    assert "s3cret" not in f"{error} {error.__cause__}"


def test_help_has_an_example() -> None:
    assert "Example" in run("--help").stdout
