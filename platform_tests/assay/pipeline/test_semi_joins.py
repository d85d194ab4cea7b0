"""Semi-joined windows: a change beside a partition dirties it only if it has the values that came or went."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest
from change_lines import change, text
from declared import domain_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import Ran, ShopLake

from assay.contracts import Balance, Daily, Date, Domain, Event, Monthly, Published, Window, column, source, table
from assay.engine.project import load_project
from assay.errors import ContractError
from assay.landing.formats import Debezium
from assay.pipeline import semi_joins
from assay.pipeline.plan import plan
from assay.pipeline.runs import ingest_sources, refresh_table
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table

FIRST = dt.date(2025, 1, 30)
SQL = {
    "enriched.sales": """
        SELECT sale_id, product, buyer, amount, day, _ingested_at AS ingestion_timestamp, _landing_object AS data_source
        FROM latest.sales
    """,
    "marts.pairs": """
        SELECT own.day, count(*) AS pair_count, count(*) FILTER (EXISTS (
          SELECT 1 FROM enriched.sales AS earlier
          WHERE earlier.product IS NOT DISTINCT FROM own.product AND earlier.buyer = own.buyer
            AND earlier.day < own.day AND earlier.day >= own.day - 3
        )) AS seen_before, max(ingestion_timestamp) AS ingestion_timestamp, 'sales' AS data_source
        FROM (
          SELECT product, buyer, day, max(ingestion_timestamp) AS ingestion_timestamp
          FROM enriched.sales GROUP BY product, buyer, day
        ) AS own
        GROUP BY own.day
    """,
    "marts.new_of_month": """
        SELECT date_trunc('month', day)::DATE AS month, count(DISTINCT buyer) FILTER (NOT EXISTS (
          SELECT 1 FROM enriched.sales AS earlier
          WHERE earlier.buyer = own.buyer AND earlier.day < date_trunc('month', own.day)
            AND earlier.day >= date_trunc('month', own.day) - INTERVAL 5 DAY
        )) AS new_buyers, max(ingestion_timestamp) AS ingestion_timestamp, 'sales' AS data_source
        FROM enriched.sales AS own
        GROUP BY ALL
    """,
}
Sale = tuple[int, str | None, str, int]
"""Its number, product, buyer, and day counted from the first."""


def shop(folder: Path, window: Window, of_month: Window | None = None) -> Domain:
    """Sales, which days have pairs of product and buyer seen in the three days before, and which months new buyers."""

    @source(
        "sales",
        format=Debezium(table="sales"),
        key=("sale_id",),
        partition=Daily("sold_on", of="day::DATE"),
        owner="o",
        subject="s",
    )
    class Sale(Event):
        """Sales."""

        sale_id: str = column("Key")
        product: str = column("Product", nullable=True)
        buyer: str = column("Buyer", nullable=True)
        amount: int = column("Amount", nullable=True)
        day: Date = column("Day", nullable=True)

    @table("sales", layer="enriched", key=("sale_id",), partition=Daily("day"), owner="o", subject="s", threshold=0.0)
    class Sales(Published):
        """Sales."""

        sale_id: str = column("Key")
        product: str = column("Product", nullable=True)
        buyer: str = column("Buyer")
        amount: int = column("Amount", ge=0)
        day: Date = column("Day")

    @table(
        "pairs",
        layer="marts",
        key=("day",),
        partition=Daily("day"),
        owner="o",
        subject="s",
        windows={"enriched.sales": window},
        balance=Balance(inputs=("enriched.sales",), rows="0", input_rows="0"),
    )
    class Pairs(Published):
        """Pairs of a day."""

        day: Date = column("Day")
        pair_count: int = column("Pairs of product and buyer")
        seen_before: int = column("Those of them that were there in the three days before")

    @table(
        "new_of_month",
        layer="marts",
        key=("month",),
        partition=Monthly("month"),
        owner="o",
        subject="s",
        windows={"enriched.sales": of_month or Window(before=5, semi_join=("buyer",))},
        balance=Balance(inputs=("enriched.sales",), rows="0", input_rows="0"),
    )
    class NewOfMonth(Published):
        """New buyers of a month."""

        month: Date = column("Month")
        new_buyers: int = column("Buyers with nothing bought in the five days before the month")

    return domain_of(folder / "sql", [Sale, Sales, Pairs, NewOfMonth], SQL)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """Ann buys tea on the first day, Bob on each of the four after it."""
    found = ShopLake(tmp_path, shop(tmp_path, Window(before=3, semi_join=("product", "buyer"))))
    land(found, "1", [(0, "tea", "ann", 0), *((day, "tea", "bob", day) for day in range(1, 5))])
    found.run("first")
    return found


def land(lake: ShopLake, name: str, sales: Sequence[Sale], op: str = "c", since: int = 0, amount: int = 1) -> None:
    rows = (
        {"sale_id": str(key), "product": product, "buyer": buyer, "amount": amount, "day": day_of(day)}
        for key, product, buyer, day in sales
    )
    lake.land("sales", f"{name}.json", text(*(change("sales", op, since + place, row) for place, row in enumerate(rows, 1))))


def day_of(day: int) -> str:
    return (FIRST + dt.timedelta(days=day)).isoformat()


def dirty(ran: Ran) -> list[str]:
    return sorted(ran.plans["marts.pairs"].dirty)


def assert_true(lake: ShopLake) -> None:
    """Every published partition is what its inputs give, and the next run has nothing to do."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        for node in lake.workspace.project.nodes.values():
            for each in verify_table(connection, state, node):
                assert each.is_same and each.is_current, (node.table.full_name, each)
    assert lake.run("again").computed == {}


class TestWhatIsDirty:
    def test_values_that_no_later_day_has(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 1)], since=100)
        assert dirty(lake.run()) == [day_of(1)]
        assert_true(lake)

    def test_values_that_a_later_day_has(self, lake: ShopLake) -> None:
        land(lake, "2", [(8, "tea", "cem", 3)], since=100)
        lake.run()
        land(lake, "3", [(9, "tea", "cem", 1)], since=200)
        assert dirty(lake.run()) == [day_of(1), day_of(3)]
        assert lake.rows("SELECT day::VARCHAR, pair_count, seen_before FROM marts.pairs WHERE pair_count > 1 ORDER BY 1") == [
            (day_of(1), 2, 0),
            (day_of(3), 2, 2),
        ]
        assert_true(lake)

    def test_more_of_the_same_values(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "bob", 1)], since=100)
        assert dirty(lake.run()) == [day_of(1)]
        assert_true(lake)

    def test_values_that_go(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 2)], since=100)
        lake.run()
        land(lake, "3", [(2, "tea", "bob", 2)], op="d", since=200)
        assert dirty(lake.run()) == [day_of(2), day_of(3), day_of(4)]
        assert_true(lake)

    def test_values_that_go_to_quarantine(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 2), (10, "tea", "cem", 3)], since=100)
        lake.run()
        land(lake, "3", [(9, "tea", "cem", 2)], op="u", since=200, amount=-1)
        assert dirty(lake.run()) == [day_of(2), day_of(3)]
        assert_true(lake)

    def test_null_is_a_value(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, None, "ann", 3)], since=100)
        lake.run()
        land(lake, "3", [(10, None, "ann", 1)], since=200)
        assert dirty(lake.run()) == [day_of(1), day_of(3)]
        assert_true(lake)

    def test_a_day_that_appears_concerns_everyone(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", -1)], since=100)
        assert dirty(lake.run()) == [day_of(day) for day in (-1, 0, 1, 2)]
        assert_true(lake)

    def test_two_late_days_at_once(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 1), (10, "tea", "dee", 2)], since=100)
        assert dirty(lake.run()) == [day_of(1), day_of(2)]
        assert_true(lake)

    def test_periods_of_other_lengths(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 1)], since=100)
        assert sorted(lake.run().plans["marts.new_of_month"].dirty) == ["2025-01-01"]
        land(lake, "3", [(10, "tea", "bob", 0)], since=200)
        assert sorted(lake.run().plans["marts.new_of_month"].dirty) == ["2025-01-01", "2025-02-01"]
        assert_true(lake)

    def test_a_change_of_another_run_is_not_passed_over(self, lake: ShopLake) -> None:
        land(lake, "2", [(9, "tea", "cem", 1)], since=100)
        lake.run(leave_out=["marts.pairs"])
        assert dirty(lake.run()) == [day_of(day) for day in range(1, 5)]
        assert_true(lake)

    def test_what_another_run_has_replaced_since_is_not_passed_over(self, lake: ShopLake) -> None:
        sales, pairs = (lake.workspace.project.nodes[name] for name in ("enriched.sales", "marts.pairs"))
        land(lake, "2", [(9, "tea", "cem", 1)], since=100)
        state = State(lake.workspace)
        with lake.connection() as connection:
            list(ingest_sources(connection, state, lake.workspace.domain.sources.values()))
            refresh_table(connection, state, sales, "slow")
            land(lake, "3", [(1, "tea", "bob", 1)], op="d", since=200)
            lake.run("quick", leave_out=["marts.pairs"])
            state.forget("enriched.sales")
            assert sorted(plan(connection, state, pairs).dirty) == [day_of(day) for day in range(1, 5)]

    def test_too_many_values_are_not_looked_for(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(semi_joins, "MOST_VALUES", 1)
        land(lake, "2", [(9, "tea", "cem", 1), (10, "tea", "dee", 1)], since=100)
        assert dirty(lake.run()) == [day_of(day) for day in range(1, 5)]
        assert_true(lake)


SALES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(("tea", "jam", None)), st.sampled_from(("ann", "bob")), st.integers(0, 9)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.sampled_from("cud"), SALES, st.sampled_from((1, -1))), min_size=2, max_size=4))
def test_whatever_lands_late_the_tables_are_those_of_a_full_rebuild(
    batches: list[tuple[str, list[Sale], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    lake = ShopLake(folder, shop(folder, Window(before=3, semi_join=("product", "buyer"))))
    for number, (op, sales, amount) in enumerate(batches):
        land(lake, f"{number}", sales, op=op, since=100 * number, amount=amount)
        lake.run(f"run {number}")
    assert_true(lake)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window(semi_join=("buyer",)), "but does not read its own period and others beside it"),
        (Window(before=1, own=False, semi_join=("buyer",)), "but does not read its own period and others beside it"),
        (Window(before=1, semi_join=("colour",)), "has a semi_join on colour, which enriched.sales does not have"),
    ],
)
def test_what_cannot_be_declared(window: Window, said: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=said):
        load_project(shop(tmp_path, window))
