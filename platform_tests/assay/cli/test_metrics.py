"""`assay metrics`: lists, explains, answers, and says what changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bazaar
import pytest
from change_lines import change, text
from shop_lake import ShopLake
from typer.testing import CliRunner, Result

from assay.cli.app import app
from assay.errors import SettingsError
from assay.metrics.marts import lattice_of

DAYS = ("2024-01-31", "2024-02-01", "2024-02-02")
Run = Callable[..., Result]


def sale(key: int, day: str, amount: str) -> str:
    return change(
        "sales", "c", key, {"sale_id": f"k{key}", "stall": "s1", "customer": "ann", "amount": amount, "pieces": "7", "day": day}
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A bazaar of which one sale came late."""
    made = ShopLake(tmp_path_factory.mktemp("bazaar"), bazaar.DOMAIN)
    made.land("sales", "1.json", text(*(sale(place, day, "2.00") for place, day in enumerate(DAYS, start=1))))
    made.run("first")
    made.land("sales", "2.json", text(sale(9, DAYS[0], "3.50")))
    made.run("second")
    return made


@pytest.fixture
def assay(lake: ShopLake, tmp_path: Path) -> Run:
    """Runs a command on the lake."""
    environment = {"ASSAY_DOMAIN": "bazaar", "ASSAY_LAKE": lake.folder.as_uri(), "ASSAY_HOME": str(tmp_path / "home")}
    return lambda *arguments: CliRunner().invoke(app, list(arguments), env=environment)


@pytest.fixture
def run(assay: Run) -> Run:
    """Runs a command of `assay metrics`."""
    return lambda *arguments: assay("metrics", *arguments)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_finds_words_in_names_titles_groups_and_tags(run: Run) -> None:
    everything = told(run("list", "--json"))
    found = told(run("list", "share", "street", "--json"))

    assert len(everything) == len(lattice_of(bazaar.DOMAIN).catalog.metrics)
    assert [metric["name"] for metric in found] == ["street_share", "share_there"]
    assert "What is sold" in run("list").stdout


def test_show_tells_what_a_metric_is_and_where_it_comes_from(run: Run) -> None:
    shown = told(run("show", "each", "--json"))

    assert (shown["formula"], shown["unit"], shown["additivity"]) == ("sold / pieces_sold", "EUR per pieces", "recomputed")
    assert shown["marts"]["marts.stall_month"].keys() == {"marts.stall_day"}
    assert shown["declared"].split(":")[0].endswith("bazaar/metrics/__init__.py")
    assert "For a piece" in run("show", "each").stdout
    assert "or where it begins before the first day of data" in shown["partial"]
    said = told(run("show", "sales_7d", "--json"))["partial"]
    assert "or where what it looks back at begins before the first day of data" in said
    assert said in " ".join(run("show", "sales_7d").stdout.split())


def test_show_tells_that_who_came_back_is_known_by_who_was_counted(run: Run) -> None:
    shown = told(run("show", "retention_2m", "--json"))

    read = {mart.split(".")[1].removesuffix("_month_trend"): list(origins) for mart, origins in shown["marts"].items()}
    assert read["stall"] == ["enriched.sales"]
    assert all("enriched.sales" in origins for origins in read.values())


def test_the_calendar_is_stated_wherever_a_metric_is(run: Run) -> None:
    said = "stall's days, ISO weeks (by the clock of the stall, which some do not have)"
    assert {name: told(run("show", name, "--json"))["calendar"] for name in ("sold", "sold_there")} == {
        "sold": "UTC days, ISO weeks",
        "sold_there": said,
    }
    assert list(told(run("show", "sold_there", "--json"))["marts"]) == [
        *(f"marts.bazaar_there_{grain}" for grain in ("day", "week", "month", "year")),
        *(f"marts.stall_there_{grain}" for grain in ("day", "week", "month", "year")),
        *(f"marts.customer_there_{grain}" for grain in ("day", "month", "year")),
    ]
    assert f"calendar: {said}" in " ".join(run("show", "sold_there").stdout.split())
    listed = {
        line.split("│")[1].strip(): line.split("│")[5].strip() for line in run("list", "sold").stdout.splitlines() if "│" in line
    }
    assert (listed["sold"], listed["sold_there"]) == ("UTC", "stall's")


def test_a_query_by_local_days_says_so(run: Run) -> None:
    asked = ("query", "sold_there", "--by", "stall", "--grain", "day")

    assert told(run(*asked, "--json")) == [
        # The first UTC day is 31 January: nobody knows what was sold on the 30th before that.
        {"day": "2024-01-30", "stall": "s1", "sold_there": "5.50", "is_partial": True},
        {"day": "2024-01-31", "stall": "s1", "sold_there": "2.00", "is_partial": True},
        {"day": "2024-02-01", "stall": "s1", "sold_there": "2.00", "is_partial": True},
    ]
    assert "marts.stall_there_day: it stores the answer; stall's days" in run(*asked).stdout
    assert told(run(*asked, "--explain", "--json"))["calendar"].startswith("stall's days, ISO weeks")
    assert "calendar: stall's days" in run(*asked, "--explain").stdout
    assert "; UTC days" in run("query", "sold", "--grain", "day").stdout


def test_what_is_over_all_days_is_shown_with_its_table(run: Run) -> None:
    shown = told(run("show", "worth", "--json"))

    assert (shown["calendar"], shown["grains"], shown["entities"]) == (
        "all days together, no periods",
        [],
        ["bazaar", "customer"],
    )
    assert shown["marts"] == {"marts.patrons": {"enriched.sales": "One row a customer, over all days."}}
    assert "calendar: all days together" in run("query", "worth", "--explain").stdout
    assert told(run("query", "worth,visits", "--by", "customer", "--json")) == [
        {"customer": "ann", "worth": "9.5000", "visits": 4}
    ]
    assert "marts.patrons: it is added up over all days already; all days" in run("query", "worth").stdout
    listed = {line.split("│")[5].strip() for line in run("list", "worth").stdout.splitlines() if "│" in line}
    assert listed - {""} == {"all"}


def test_query_answers_and_explains(run: Run) -> None:
    asked = ("query", "sold,sales_each", "--by", "stall", "--grain", "month", "--from", "2024-01-01", "--to", "2024-02-29")

    assert told(run(*asked, "--json")) == [
        {"month": "2024-01-01", "stall": "s1", "sold": "5.50", "sales_each": "2.00000000", "is_partial": True},
        {"month": "2024-02-01", "stall": "s1", "sold": "4.00", "sales_each": "2.00000000", "is_partial": True},
    ]
    explained = told(run(*asked, "--explain", "--json"))
    assert next((each["reads"], each["chosen"]) for each in explained["considered"]) == ("marts.stall_month", True)
    assert "FROM marts.stall_month" in explained["sql"]
    assert "taken" in run(*asked, "--explain").stdout


def test_describe_shows_the_formula_of_every_generated_column(assay: Run) -> None:
    columns = told(assay("describe", "marts.stall_month", "--json"))["columns"]
    formulas = [each for each in columns if each["description"].endswith("]")]
    shown = assay("describe", "marts.stall_month").stdout
    assert shown.count("[") >= len(formulas) > 0


def test_query_says_what_a_scan_would_cost(run: Run) -> None:
    asked = ("query", "sold", "--by", "stall,customer")
    refused = run(*asked)

    assert isinstance(refused.exception, SettingsError)
    assert "--scan computes it from 4 rows of sales" in str(refused.exception)
    assert told(run(*asked, "--scan", "--json")) == [{"stall": "s1", "customer": "ann", "sold": "9.50"}]
    assert "--scan reads 4 rows" in run(*asked, "--explain").stdout


def test_history_and_what_is_behind_it(run: Run) -> None:
    [restated] = told(run("history", "sold", "--mart", "stall_month", "--key", "s1", "--json"))
    [explained] = told(run("explain-change", "sold", "--mart", "stall_month", "--key", "s1", "--json"))

    assert (restated["before"], restated["after"], restated["run_id"]) == ("2.00", "5.50", "second")
    assert explained["before"] == "2.00"
    [late] = explained["rows"]
    assert (late["table"], late["sale_id"], late["landing_object"]) == ("enriched.sales", "k9", "landing/sales/2.json")
    assert "2.00" in run("history", "sold").stdout
    said = run("explain-change", "sold", "--mart", "bazaar_day").stdout
    assert "1 change\n" in said
    assert "enriched.sales: sale_id k9, day_sold 2024-01-31, amount 3.50, ingestion_timestamp" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "solt"), "Did you mean sold"),
        (("history", "sold", "--mart", "sales"), "marts.sales is not generated"),
        (("history", "sold", "--key", "s1"), "--key requires --mart"),
        (("history", "worth"), "worth is over all days: no period of it is ever reported as complete"),
        (("explain-change", "worth", "--mart", "bazaar_day"), "worth is over all days"),
        (("query", "worth", "--grain", "day"), "worth is over all days, and not of periods: ask without a grain"),
        (("sql", "nothing"), "marts.nothing is not generated"),
    ],
)
def test_what_is_not_there_is_named(run: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in str(run(*arguments).exception)


def test_generated_sql_runs_as_it_stands(run: Run, lake: ShopLake) -> None:
    sql = run("sql", "stall_month").stdout

    assert sql == bazaar.DOMAIN.generated["marts.stall_month"].sql
    assert sql.startswith("-- One row per stall and month, UTC.")
    stored = lake.rows("SELECT month, sold, buyers FROM marts.stall_month ORDER BY 1")
    assert lake.rows(f"SELECT month, sold, buyers FROM ({sql}) ORDER BY 1") == stored


@pytest.mark.parametrize("name", bazaar.DOMAIN.generated)
def test_generated_sql_names_its_columns(name: str) -> None:
    final = bazaar.DOMAIN.generated[name].sql.rsplit("\n\n", 1)[-1]

    assert "*" not in final.split("\nFROM ")[0].replace(" * ", "").replace("(*)", "")


def test_tables_of_later_cadences_are_built_when_all_are_asked_for(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path / "lake", bazaar.DOMAIN)
    environment = {"ASSAY_DOMAIN": "bazaar", "ASSAY_LAKE": lake.folder.as_uri(), "ASSAY_HOME": str(tmp_path / "home")}
    lake.land("sales", "1.json", text(sale(1, DAYS[0], "2.00")))

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments], env=environment)

    asked = ("metrics", "query", "sold", "--by", "stall", "--grain", "month", "--json")
    ran = told(command("run", "--json"))
    early = command(*asked)
    refreshed = told(command("run", "--all", "--json"))

    assert not ran["books"].keys() & bazaar.DOMAIN.generated.keys()
    assert "`assay run --all`" in str(early.exception)
    assert refreshed["partitions"]["rebuilt"] >= len(bazaar.DOMAIN.generated)
    assert refreshed["partitions"]["failed"] == 0
    assert [row["sold"] for row in told(command(*asked))] == ["2.00"]
    assert told(command("run", "--all", "--json"))["partitions"]["rebuilt"] == 0
    assert "left out" not in command("verify", "--totals").stdout

    lake.land("sales", "2.json", text(sale(2, DAYS[0], "3.00")))
    assert told(command("run", "--json"))["partitions"]["rebuilt"] == 2
    assert "were left out: their inputs have changed since. `assay run --all`" in command("verify", "--totals").stdout


def test_empty_names_are_left_out_and_none_at_all_is_refused(run: Run) -> None:
    assert told(run("query", "sold, ,sold,", "--by", ",", "--json")) == [{"sold": "9.50"}]
    assert "No metric is named" in str(run("query", " , ").exception)


def test_days_may_be_the_first_and_last_of_the_calendar(run: Run) -> None:
    for name, *scanned in (("sold",), ("sold_there",), ("sold_there", "--by", "stall,customer", "--scan")):
        ever = told(run("query", name, "--grain", "year", *scanned, "--json"))
        assert (
            told(run("query", name, "--grain", "year", *scanned, "--from", "0001-01-01", "--to", "9999-12-31", "--json")) == ever
        )


def test_a_zero_has_the_same_decimals_in_json_csv_and_tables(run: Run, assay: Run) -> None:
    asked = ("query", "difference_share", "--by", "stall", "--grain", "day", "--from", DAYS[0], "--to", DAYS[0])
    assert told(run(*asked, "--json"))[0]["difference_share"] == "1.00000000"
    zero = ("sql", "SELECT 0::DECIMAL(38,8) AS share, NULL::DECIMAL(38,8) AS nothing")

    assert told(assay(*zero, "--json")) == [{"share": "0.00000000", "nothing": None}]
    assert assay(*zero, "--csv").stdout == "share,nothing\n0.00000000,\n"
    assert "0.00000000" in assay(*zero).stdout


def test_a_long_answer_says_how_to_get_all_of_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.cli.show.ROWS_SHOWN", 2)

    assert "the first 2 rows; `--json` gives all" in run("query", "sold", "--grain", "day").stdout


def test_changes_are_found_in_the_mart_that_has_the_metric(run: Run) -> None:
    for mart in ("bazaar_day", "marts.bazaar_day_trend"):
        (first, *_) = told(run("history", "sales_7d", "--mart", mart, "--json"))
        assert (first["table"], first["before"], first["after"]) == ("marts.bazaar_day_trend", "1", "2")
    assert told(run("explain-change", "sold", "--mart", "bazaar_day_trend", "--json"))[0]["table"] == "marts.bazaar_day"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("sold", "--mart", "stall_there_day"), "sold is not in marts.stall_there_day"),
        (("place", "--mart", "bazaar_day"), "place is not in marts.bazaar_day"),
        (("sold", "--mart", "bazaar_day", "--key", "s1"), "marts.bazaar_day has no key"),
    ],
)
def test_a_mart_without_the_metric_or_key_is_refused(run: Run, asked: tuple[str, ...], said: str) -> None:
    for command in ("history", "explain-change"):
        assert said in str(run(command, *asked).exception)
