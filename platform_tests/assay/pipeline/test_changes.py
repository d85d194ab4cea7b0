"""What is behind a restatement, through the real engine: late and corrected rows, those that are gone, and what is joined."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import fair
import pytest
from change_lines import change, text
from shop_lake import LANDED_AT, ShopLake

from assay.lake.layout import raw_prefix, table_prefix
from assay.landing.upkeep.compaction import AT_LEAST, compact
from assay.pipeline.changes import Change, changed_rows, history
from assay.pipeline.state import State

FIRST, SECOND, LAST = "2024-01-30", "2024-01-31", "2024-02-01"
LATE = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
Named = dict[str, Any]


def sale(key: str, position: int, op: str = "c", **values: Any) -> str:
    given = {"sale_id": key, "stall": "s1", "coin": "crown", "pieces": "2", "hour": "9", "day": FIRST}
    return change("sales", op, position, given | values)


def stall(key: str, position: int, op: str = "u", **values: Any) -> str:
    return change("stalls", op, position, {"stall": key, "street": "north", "keeper": "ida"} | values)


def coin(key: str, position: int, worth: str, op: str = "u") -> str:
    return change("coins", op, position, {"coin": key, "worth": worth})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A fair with sales on three days; for looking only."""
    made = ShopLake(tmp_path_factory.mktemp("filled"), fair.DOMAIN)
    made.land("coins", "1.json", text(coin("crown", 1, "5.00", "c"), coin("penny", 2, "0.10", "c")))
    stalls = (stall("s1", 1, "c"), stall("s2", 2, "c", keeper="max"), stall("s3", 3, "c", street=" South"))
    # Landed after the sales that they are joined with, and ingested before anything was reported.
    made.land("stalls", "1.json", text(*stalls), LANDED_AT + dt.timedelta(hours=1))
    sales = (
        sale("a", 1),
        sale("b", 2, stall="s2", hour="10"),
        sale("c", 3, stall="s3", coin="penny"),
        sale("d", 4, day=SECOND),
        sale("e", 5, day=LAST),
    )
    made.land("sales", "1.json", text(*sales))
    made.run("first")
    return made


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path) -> ShopLake:
    """The same, to be changed."""
    shutil.copytree(filled.folder, tmp_path / "lake")
    return ShopLake(tmp_path, fair.DOMAIN)


def landed(lake: ShopLake, source: str, *lines: str, name: str = "2.json", at: dt.datetime = LATE) -> None:
    """Land lines, and bring everything up to date."""
    lake.land(source, name, text(*lines), at)
    lake.run(f"{source} {name}")


def every(lake: ShopLake, metric: str, mart: str) -> list[tuple[Change, list[Named]]]:
    """Each change of a metric with the rows behind it."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        changes = history(connection, state, metric, f"marts.{mart}")
        return list(zip(changes, changed_rows(connection, state, changes), strict=True))


def behind(lake: ShopLake, metric: str, mart: str) -> dict[tuple[str, ...], list[Named]]:
    """The rows behind the last change of each cell, by period and whose it is."""
    return {(str(each.partition), *each.key.values()): found for each, found in every(lake, metric, mart)}


def own(rows: list[Named]) -> list[tuple[str, str | None]]:
    """The sales among rows, and what became of those that are gone."""
    assert all(row["table"] == "marts.sold" for row in rows)
    return [(row["sale_id"], row.get("gone")) for row in rows]


def test_a_corrected_row_that_is_joined_is_named_wherever_it_makes_a_difference(lake: ShopLake) -> None:
    landed(lake, "stalls", stall("s2", 9, street="south", keeper="max"))

    named = {
        "table": "enriched.stalls",
        "stall": "s2",
        "changed": {"street": {"before": "north", "after": "south"}},
        "ingestion_timestamp": LATE,
        "data_source": "stalls",
        "landing_object": "landing/stalls/2.json",
        "landing_row": 1,
    }
    assert behind(lake, "sale_count", "street_day") == {(FIRST, "north"): [named], (FIRST, "south"): [named]}
    assert behind(lake, "sale_count", "street_hour").keys() == {(FIRST, "north", "10"), (FIRST, "south", "10")}
    assert behind(lake, "sale_count", "street_month") == {("2024-01-01", "north"): [named], ("2024-01-01", "south"): [named]}
    # Of the whole fair nothing changed, and who keeps a stall is another thing.
    assert behind(lake, "sale_count", "fair_day") == behind(lake, "kept_count", "fair_day") == {}


def test_only_what_the_metric_looks_at_is_named(lake: ShopLake) -> None:
    landed(
        lake, "stalls", stall("s1", 9, keeper="max"), stall("s2", 10, keeper="eve"), stall("s3", 11, street="south", keeper="kim")
    )

    found = behind(lake, "kept_count", "fair_day")
    assert found.keys() == {(FIRST,), (SECOND,)}
    assert [(row["stall"], row["changed"], row["landing_row"]) for row in found[FIRST,]] == [
        ("s1", {"keeper": {"before": "ida", "after": "max"}}, 1),
        ("s3", {"keeper": {"before": "ida", "after": "kim"}}, 3),
    ]
    assert [row["stall"] for row in found[SECOND,]] == ["s1"]


def test_a_joined_row_that_is_deleted_and_one_that_comes_late_are_named(lake: ShopLake) -> None:
    landed(lake, "stalls", change("stalls", "d", 9, {"stall": "s3"}))
    [row] = behind(lake, "sale_count", "street_day")[FIRST, "south"]
    assert (row["stall"], row["gone"], row["changed"]) == ("s3", "deleted", {"street": {"before": "south", "after": None}})

    landed(lake, "stalls", stall("s3", 10, "c", street="west"), name="3.json")
    [row] = behind(lake, "sale_count", "street_day")[FIRST, "west"]
    assert (row["stall"], row.get("gone"), row["changed"]) == ("s3", None, {"street": {"before": None, "after": "west"}})


def test_each_change_names_what_was_corrected_for_it(lake: ShopLake) -> None:
    # Landed at once as far as clocks tell: what counts is when it was ingested.
    landed(lake, "coins", coin("crown", 9, "6.00"), at=LANDED_AT)
    landed(lake, "coins", coin("crown", 10, "7.00"), name="3.json", at=LANDED_AT)

    found = [each for each in every(lake, "sold", "fair_day") if str(each[0].partition) == SECOND]
    assert [(each.before, each.after, [row["changed"]["worth"] for row in rows]) for each, rows in found] == [
        ("10.00", "12.00", [{"before": "5.00", "after": "6.00"}]),
        ("12.00", "14.00", [{"before": "6.00", "after": "7.00"}]),
    ]


def test_a_source_that_is_joined_itself_is_named(lake: ShopLake) -> None:
    landed(lake, "coins", coin("crown", 9, "6.00"), coin("penny", 10, "0.10"))

    found = behind(lake, "sold", "street_day")
    assert found.keys() == {(FIRST, "north"), (SECOND, "north")}
    for rows in found.values():
        assert [(row["table"], row["coin"], row["changed"]) for row in rows] == [
            ("latest.coins", "crown", {"worth": {"before": "5.00", "after": "6.00"}})
        ]


def test_a_row_that_is_computed_of_others_is_named_by_the_event_that_changed_one_of_them(lake: ShopLake) -> None:
    landed(lake, "stalls", stall("s1", 9), stall("s2", 10, street="south", keeper="max"))

    [row] = behind(lake, "lonely_count", "fair_day")[SECOND,]
    assert (row["table"], row["changed"]) == ("enriched.neighbours", {"in_street": {"before": "2", "after": "1"}})
    # The event is another stall's, and has nothing in common with the row: the row is named itself.
    assert (row["stall"], row["landing_object"], row.get("landing_row")) == ("s1", "landing/stalls/2.json", None)


def test_rows_that_leave_what_they_are_joined_with_are_named(lake: ShopLake) -> None:
    landed(
        lake,
        "sales",
        change("sales", "d", 9, {"sale_id": "c"}),
        sale("a", 10, "u", stall="s3"),
        sale("b", 11, "u", stall="s2", day=SECOND),
    )

    found = {cell: own(rows) for cell, rows in behind(lake, "sale_count", "street_day").items()}
    assert found == {
        (FIRST, "north"): [("a", "moved"), ("b", "moved or refused")],
        (SECOND, "north"): [("b", None)],
    }
    # A sale came and one went: the count of the street is the same, what was paid is not.
    assert own(behind(lake, "sold", "street_day")[FIRST, "south"]) == [("a", None), ("c", "deleted")]
    [gone, *_] = behind(lake, "sale_count", "street_day")[FIRST, "north"]
    assert (gone["data_source"], gone["landing_object"], gone["landing_row"]) == ("sales", "landing/sales/2.json", 2)


def test_what_is_joined_otherwise_since_hides_no_row_that_is_gone(lake: ShopLake) -> None:
    landed(lake, "sales", change("sales", "d", 9, {"sale_id": "b"}))
    landed(lake, "stalls", stall("s1", 10, street="west"), stall("s2", 11, street="south", keeper="max"), name="3.json")

    found = [(str(each.partition), *each.key.values(), own(rows)) for each, rows in every(lake, "sale_count", "street_day")[:1]]
    assert found == [(FIRST, "north", [("b", "deleted")])]
    # The correction itself is behind what it changed.
    assert {row["table"] for row in behind(lake, "sale_count", "street_day")[FIRST, "west"]} == {"enriched.stalls"}


def test_rows_that_leave_an_hour_are_named(lake: ShopLake) -> None:
    landed(lake, "sales", sale("a", 9, "u", hour="17"))

    found = {cell: own(rows) for cell, rows in behind(lake, "sale_count", "fair_hour").items()}
    assert found == {(FIRST, "9"): [("a", "moved")], (FIRST, "17"): [("a", None)]}
    assert behind(lake, "sale_count", "fair_day") == {}


def test_a_sale_that_is_refused_is_gone(lake: ShopLake) -> None:
    landed(lake, "sales", sale("d", 9, "u", pieces="-1", day=SECOND), sale("a", 10, "u", pieces="3"))

    assert own(behind(lake, "sale_count", "fair_day")[SECOND,]) == [("d", "moved or refused")]
    [row] = behind(lake, "sold", "fair_day")[FIRST,]
    assert row["changed"] == {"amount": {"before": "10.00", "after": "15.00"}}


def test_what_makes_no_difference_is_not_named(lake: ShopLake) -> None:
    landed(lake, "sales", sale("a", 9, "u", hour="10"), sale("z", 10))

    [row] = behind(lake, "sale_count", "fair_day")[FIRST,]
    assert (row["sale_id"], "changed" in row) == ("z", False)


def test_rows_and_what_they_are_joined_with_may_both_be_behind_a_change(lake: ShopLake) -> None:
    lake.land("coins", "2.json", text(coin("penny", 9, "0.20")), LATE)
    landed(lake, "sales", sale("z", 9, stall="s3", coin="penny"))

    rows = behind(lake, "sold", "street_day")[FIRST, "south"]
    assert [(row["table"], row.get("sale_id", row.get("coin"))) for row in rows] == [
        ("marts.sold", "z"),
        ("latest.coins", "penny"),
    ]


def test_rows_of_a_fact_that_is_summed_up_are_named_by_their_own_key(lake: ShopLake) -> None:
    landed(lake, "sales", sale("z", 9), change("sales", "d", 10, {"sale_id": "b"}))

    rows = behind(lake, "counted", "fair_day")
    assert rows == {}
    landed(lake, "sales", sale("y", 11), name="3.json")
    own_row, counted = behind(lake, "counted", "fair_day")[FIRST,]
    assert (own_row["table"], own_row["stall"]) == ("marts.takings", "s1")
    assert own_row["changed"] == {"sale_count": {"before": "2", "after": "3"}}
    assert (counted["table"], counted["sale_id"], counted["landing_object"]) == ("enriched.sales", "y", "landing/sales/3.json")


def test_no_day_is_read_that_nothing_was_ingested_for(lake: ShopLake) -> None:
    landed(lake, "sales", sale("z", 9, stall="s3"))
    for prefix in (
        raw_prefix("sales"),
        table_prefix(fair.DOMAIN.tables["enriched.sales"]),
        table_prefix(fair.DOMAIN.tables["marts.sold"]),
    ):
        for info in list(lake.store.list(prefix)):
            if SECOND in info.key:
                (lake.folder / info.key).write_bytes(b"nobody can read this")

    assert own(behind(lake, "sale_count", "street_month")["2024-01-01", "south"]) == [("z", None)]


def test_what_was_compacted_since_is_told_apart(lake: ShopLake) -> None:
    for number in range(AT_LEAST):
        lake.land("stalls", f"more {number}.json", text(stall(f"x{number}", 20 + number, "c")))
        lake.land("sales", f"more {number}.json", text(sale(f"more {number}", 20 + number)))
        for source in ("stalls", "sales"):
            lake.ingest(source)
    lake.run("more")
    landed(lake, "stalls", stall("s2", 90, street="south", keeper="max"))
    landed(lake, "sales", sale("a", 91, "u", stall="s3"))
    before = every(lake, "sale_count", "street_day")
    named = [[row.get("sale_id", row.get("stall")) for row in rows] for _, rows in before]
    assert named == [[f"more {number}" for number in range(AT_LEAST)], ["s2"], ["s2"], ["a"], ["a"]]

    for source in ("stalls", "sales"):
        with lake.connection() as connection:
            done = compact(lake.store, connection, lake.source(source), lake.workspace.scratch, grace=dt.timedelta(0))
        assert done.merges
    assert every(lake, "sale_count", "street_day") == before


def test_a_metric_that_is_told_with_more_decimals_is_restated_where_it_is_another_number(lake: ShopLake) -> None:
    in_cents = ShopLake(lake.folder.parent, replace(fair.DOMAIN, metrics="fair.in_cents"))
    landed(in_cents, "sales", sale("f", 9, day=SECOND, stall="s3"))

    counts = in_cents.rows("SELECT lonely_count::VARCHAR FROM marts.fair_day ORDER BY day")
    assert counts == [("1.00",), ("1.00",), ("0.00",)]
    changes = [(str(each.partition), each.before, each.after) for each, _ in every(in_cents, "lonely_count", "fair_day")]
    assert changes == [(SECOND, "0", "1.00")]
