"""Profiles: the figures of days, against counting by hand."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Daily, Date, Money, Published, Table, Timestamp, Watch, column, table
from assay.contracts.table import DECLARATION
from assay.errors import ContractError
from assay.quality.profile import NONE, OTHER, Metric, profile_query

D3, D4 = dt.date(2025, 1, 3), dt.date(2025, 1, 4)
Row = tuple[Any, ...]
Figures = dict[tuple[Any, ...], tuple[float, int]]


def watched(watch: Watch | None) -> Table:
    @table("sales", layer="marts", key=("day",), partition=Daily("day"), owner="team:x", subject="x", watch=watch)
    class Sales(Published):
        """Sales."""

        day: Date = column("The day")
        region: str = column("Where", nullable=True)
        kind: str = column("What", nullable=True)
        amount: Money = column("How much", nullable=True)
        happened: Timestamp = column("When", nullable=True)

    declared: Table = getattr(Sales, DECLARATION)
    return declared


def measure(declared: Table, rows: list[Row]) -> Figures:
    """The figures of rows of day, region, kind, amount, happened and landed."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE sales (day DATE, region VARCHAR, kind VARCHAR, amount DECIMAL(18,2), happened TIMESTAMPTZ, "
        "ingestion_timestamp TIMESTAMPTZ)"
    )
    if rows:
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?, ?)", rows)
    found = connection.execute(profile_query(declared, "FROM sales")).fetchall()
    figures = {tuple(row[:5]): (row[5], row[6]) for row in found}
    assert len(figures) == len(found)
    return figures


FULL = watched(Watch(value="amount", nulls=("kind",), shares=("kind",), by="region", happened="happened"))


def at(day: dt.date, hour: float) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(hours=hour)


def test_one_day_by_hand() -> None:
    figures = measure(
        FULL,
        [
            (D3, "EU", "a", 1.50, at(D3, 1), at(D3, 2)),
            (D3, "EU", None, 2.50, at(D3, 1), at(D3, 4)),
            (D3, "NA", "a", 4.00, None, at(D4, 6)),
            (D3, None, "b", None, at(D3, 5), at(D3, 4)),
        ],
    )
    typical = math.exp((math.log(2) + math.log(4)) / 2) - 1
    assert figures == {
        (D3, "volume", None, None, None): (4, 4),
        (D3, "volume", None, None, "EU"): (2, 2),
        (D3, "volume", None, None, "NA"): (1, 1),
        (D3, "volume", None, None, NONE): (1, 1),
        (D3, "value", "amount", None, None): (8, 4),
        (D3, "value", "amount", None, "EU"): (4, 2),
        (D3, "value", "amount", None, "NA"): (4, 1),
        (D3, "value", "amount", None, NONE): (0, 1),
        (D3, "null_share", "kind", None, None): (0.25, 4),
        (D3, "null_share", "kind", None, "EU"): (0.5, 2),
        (D3, "null_share", "kind", None, "NA"): (0, 1),
        (D3, "null_share", "kind", None, NONE): (0, 1),
        (D3, "category_share", "kind", "a", None): (0.5, 4),
        (D3, "category_share", "kind", "b", None): (0.25, 4),
        (D3, "category_share", "kind", NONE, None): (0.25, 4),
        (D3, "category_share", "kind", "a", "EU"): (0.5, 2),
        (D3, "category_share", "kind", NONE, "EU"): (0.5, 2),
        (D3, "category_share", "kind", "a", "NA"): (1, 1),
        (D3, "category_share", "kind", "b", NONE): (1, 1),
        (D3, "lag", "happened", None, None): (pytest.approx(math.exp(math.log(8) / 3) - 1), 3),
        (D3, "lag", "happened", None, "EU"): (pytest.approx(typical), 2),
        (D3, "lag", "happened", None, NONE): (0, 1),
        (D3, "first_landing", None, None, None): (-22, 4),
    }


def test_days_are_measured_each_by_itself_and_nothing_else_than_declared() -> None:
    rows = [(D3, "EU", "a", 1, None, at(D3, 1)), (D4, "EU", "a", 1, None, at(D4, 30)), (D4, "NA", "a", 2, None, at(D4, 31))]
    assert measure(watched(Watch(value="amount")), rows) == {
        (D3, "volume", None, None, None): (1, 1),
        (D3, "value", "amount", None, None): (1, 1),
        (D3, "first_landing", None, None, None): (-23, 1),
        (D4, "volume", None, None, None): (2, 2),
        (D4, "value", "amount", None, None): (3, 2),
        (D4, "first_landing", None, None, None): (6, 2),
    }


def test_no_rows_have_no_figures() -> None:
    assert measure(FULL, []) == {}


def test_rare_categories_are_kept_together() -> None:
    rows: list[Row] = [(D3, "EU", "common", 1, None, at(D3, 1)) for _ in range(998)]
    rows += [(D3, "EU", f"rare {number}", 1, None, at(D3, 1)) for number in range(2)]
    figures = measure(watched(Watch(shares=("kind",))), rows)
    shares = {key[3]: figure for key, figure in figures.items() if key[1] == Metric.CATEGORY_SHARE}
    assert shares == {"common": (0.998, 1000), OTHER: (0.002, 1000)}


regions = st.sampled_from(["EU", "NA", None])
kinds = st.sampled_from(["a", "b", None])
rows = st.lists(
    st.tuples(st.sampled_from([D3, D4]), regions, kinds, st.integers(0, 9), st.none(), st.just(at(D3, 1))), max_size=30
)


@given(rows, st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_the_order_of_rows_never_matters_and_regions_add_up(found: list[Row], chance: Any) -> None:
    figures = measure(FULL, found)
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert measure(FULL, shuffled) == figures
    for day in {row[0] for row in found}:
        counted = {key[4]: figure for key, (figure, _) in figures.items() if key[:2] == (day, "volume")}
        assert counted.pop(None) == sum(counted.values()) == len([row for row in found if row[0] == day])
        shares = {key: figure for key, (figure, _) in figures.items() if key[:2] == (day, "category_share")}
        assert sum(share for key, share in shares.items() if key[4] is None) == pytest.approx(1)


def test_what_is_not_watched_is_not_measured() -> None:
    with pytest.raises(ContractError, match="not watched"):
        profile_query(watched(None), "FROM sales")
