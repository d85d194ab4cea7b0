"""`assay anomalies`, and `assay sql` over what runs have found: seven weeks of a till's sales, the last day of which is odd."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from command_line import Shop
from shop_lake import ShopLake
from tills import TABLE, land_days, run_all, till_lake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import SettingsError
from assay.pipeline.state import State
from assay.pipeline.watching import watch_tables

LAST = dt.date(2025, 3, 4)
AS_OF = "2025-03-05T12:00:00"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """The lake; anomalies were looked for once."""
    lake = till_lake(tmp_path_factory.mktemp("odd"))
    land_days(lake, LAST)
    run_all(lake)
    with lake.connection() as connection:
        watch_tables(connection, State(lake.workspace), dt.datetime.fromisoformat(f"{AS_OF}+00:00"))
    return lake


@pytest.fixture
def command(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on the lake."""
    monkeypatch.setitem(sys.modules, "tills_domain", SimpleNamespace(DOMAIN=lake.workspace.domain))

    def run(*arguments: str) -> Result:
        shop = Shop(lake.folder.parent / "home", lake.store.uri, {"ASSAY_DOMAIN": "tills_domain", "COLUMNS": "200"})
        return CliRunner().invoke(app, list(arguments), env=shop.environment)

    return run


def printed(result: Result) -> Any:
    """What a command prints as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_is_odd_is_shown_with_what_was_expected(command: Command) -> None:
    found = printed(command("anomalies", "--as-of", AS_OF, "--json"))
    assert list(found) == [TABLE]
    assert found[TABLE]["complete_until"] == "2025-03-04"
    value, volume = found[TABLE]["anomalies"]
    assert (value["metric"], value["column"], volume["metric"]) == ("value", "amount", "volume")
    assert (volume["day"], volume["observed"], volume["expected"]) == ("2025-03-04", 8, pytest.approx(40, abs=0.5))
    assert volume["text"].startswith("rows: 8, expected 40 (-80%")
    shown = command("anomalies", "enriched.sales", "--as-of", AS_OF).stdout
    assert f"{TABLE}: 2 anomalies on 1 of the 30 days up to 2025-03-04, the last complete one" in shown
    assert "2025-03-04 Tue" in shown and "rows: 8, expected 40" in shown


def test_only_so_many_last_complete_days_are_shown(command: Command) -> None:
    later = printed(command("anomalies", "sales", "--days", "1", "--as-of", "2025-03-04T05:00:00", "--json"))
    assert later[TABLE] == {"complete_until": "2025-03-02", "anomalies": []}
    shown = command("anomalies", "sales", "--as-of", "2025-03-04").stdout
    assert "0 anomalies on 0 of the 30 days up to 2025-03-02" in shown


def test_looking_keeps_nothing(command: Command, lake: ShopLake) -> None:
    before = lake.etags("quality/")
    command("anomalies", "--as-of", "2025-02-20")
    assert lake.etags("quality/") == before


def test_a_table_that_is_not_watched_says_which_are(command: Command) -> None:
    for name in ("takings", "raw.sales"):
        error = command("anomalies", name).exception
        assert isinstance(error, SettingsError)
        assert "is not watched for anomalies" in error.message and TABLE in error.hint


def test_nothing_published_is_nothing_to_look_at(command: Command, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Shop(tmp_path / "home", (tmp_path / "lake").as_uri(), {"ASSAY_DOMAIN": "tills_domain"})
    shown = CliRunner().invoke(app, ["anomalies"], env=empty.environment)
    assert "No watched table has published data." in shown.stdout


def test_sql_reads_what_runs_have_found(command: Command) -> None:
    query = "select table_name, partition, metric, observed from quality.anomalies order by metric"
    assert printed(command("sql", query, "--json")) == [
        {"table_name": TABLE, "partition": "2025-03-04", "metric": "value", "observed": 8.0},
        {"table_name": TABLE, "partition": "2025-03-04", "metric": "volume", "observed": 8.0},
    ]
    query = "select count(*) as days, min(figure) as least from quality.profiles where metric = 'volume'"
    assert printed(command("sql", query, "--json")) == [{"days": 50, "least": 8.0}]
    assert "rows: 8, expected 40" in command("sql", "select text from quality.anomalies").stdout


def test_a_wrong_name_says_what_there_is(command: Command) -> None:
    error = command("sql", "select * from quality.nonsense").exception
    assert "quality.anomalies" in str(getattr(error, "hint", ""))


def test_help_has_an_example(command: Command) -> None:
    assert "Example" in command("anomalies", "--help").stdout
