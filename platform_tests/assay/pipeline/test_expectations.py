"""Expectations on a real lake: what they say of partitions, what they stop, when what they refer to makes partitions dirty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from change_lines import change, customer, order, text
from declared import domain_of
from shop_lake import Ran, ShopLake

from assay.contracts import Daily, Date, Event, Money, Published, Severity, column, source, table
from assay.contracts.expectation import Expectation
from assay.contracts.expectations import ControlTotal, Refers, Unique, UniqueAcross
from assay.contracts.measured import Mean, NullShare, Quantile, RowCount, Share, Volume
from assay.landing.formats import Debezium
from assay.pipeline.outcome import Outcome
from assay.quality.scores import RuleResult

D3, D4, D5 = "2025-01-03", "2025-01-04", "2025-01-05"
ORDERS = "enriched.orders"
JANUARY_1_MS = 1_735_689_600_000
DAY_MS = 86_400_000


def lake_of(folder: Path, *expects: Expectation) -> ShopLake:
    """Orders that expect something, customers, and a control of the orders."""

    @source(
        "orders",
        format=Debezium("orders"),
        key=("order_id",),
        partition=Daily("order_day", of="ordered_at", moves="told"),
        owner="team:x",
        subject="x",
        money="TRY_CAST(amount AS DECIMAL(18,2))",
    )
    class OrderEvents(Event):
        """Events."""

        order_id: str = column("Key", nullable=True)
        customer_id: str = column("Who", nullable=True)
        amount: str = column("Money", nullable=True)
        ordered_at: str = column("Day", nullable=True)

    @source("customers", format=Debezium("customers"), key=("customer_id",), owner="team:x", subject="x")
    class CustomerEvents(Event):
        """Events."""

        customer_id: str = column("Key", nullable=True)
        name: str = column("Name", nullable=True)

    @source("controls", format=Debezium("controls"), key=("day",), owner="team:x", subject="x")
    class Controls(Event):
        """What the shop says it sold."""

        day: str = column("Day", nullable=True)
        orders: str = column("How many", nullable=True)
        total: str = column("How much", nullable=True)

    @table(
        "orders",
        layer="enriched",
        key=("order_id",),
        partition=Daily("order_day"),
        owner="team:x",
        subject="x",
        money="amount",
        expects=expects,
    )
    class Orders(Published):
        """One row an order."""

        order_id: str = column("Key")
        customer_id: str = column("Who", nullable=True)
        amount: Money = column("Money", nullable=True)
        order_day: Date = column("Day")

    @table("customers", layer="enriched", key=("customer_id",), owner="team:x", subject="x")
    class Customers(Published):
        """One row a customer."""

        customer_id: str = column("Key")
        name: str = column("Name", nullable=True)

    sql = {
        "enriched.orders": "SELECT order_id, customer_id, TRY_CAST(amount AS DECIMAL(18,2)) AS amount, order_day, "
        "_ingested_at AS ingestion_timestamp, _source AS data_source FROM latest.orders",
        "enriched.customers": "SELECT customer_id, name, _ingested_at AS ingestion_timestamp, _source AS data_source "
        "FROM latest.customers",
    }
    return ShopLake(folder, domain_of(folder / "sql", [OrderEvents, CustomerEvents, Controls, Orders, Customers], sql))


def outcome(ran: Ran, day: str = D3) -> Outcome:
    (found,) = [each for each in ran.outcomes[ORDERS] if each.partition == day]
    return found


def result(ran: Ran, rule: str, day: str = D3) -> RuleResult:
    (found,) = [each for each in outcome(ran, day).results if each.rule.name == rule]
    return found


def published(lake: ShopLake) -> list[str]:
    return [row[0] for row in lake.rows(f"SELECT order_id FROM {ORDERS} ORDER BY 1")]


class TestUnique:
    EXPECTED = Unique(("customer_id", "amount"), severity=Severity.QUARANTINE)

    def test_all_rows_that_share_values_break_it_nulls_too(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        rows = [
            order("a", 1),
            order("b", 2),
            order("c", 3, amount="1"),
            order("d", 4, customer=None),
            order("e", 5, customer=None),
        ]
        lake.land("orders", "1.json", text(*rows))
        ran = lake.run()
        assert published(lake) == ["c"]
        found = result(ran, "customer_id_amount_unique")
        assert (found.broken, found.money_at_risk, found.passed) == (4, 40, False)
        assert found.rule.dimension == "uniqueness"

    def test_another_partition_does_not_count(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("orders", "1.json", text(order("a", 1), order("b", 2, day=D4)))
        lake.run()
        assert published(lake) == ["a", "b"]


class TestRefers:
    def test_rows_that_find_nothing_go_to_quarantine_until_there_is_something_to_find(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, Refers({"customer_id": "customer_id"}, to="enriched.customers"))
        lake.land("customers", "1.json", text(customer("c1", 1)))
        late = [order("a", 1), order("b", 2, customer="c2"), order("c", 3, customer=None), order("d", 4, day=D4)]
        lake.land("orders", "1.json", text(*late))
        ran = lake.run()
        assert published(lake) == ["a", "c", "d"]
        assert result(ran, "customer_id_in_customers").broken == 1
        assert [example.values for example in outcome(ran).examples] == [{"customer_id": "c2"}]
        lake.land("customers", "2.json", text(customer("c2", 2)))
        again = lake.run()
        assert again.computed[ORDERS] == {D3: "published"}
        assert published(lake) == ["a", "b", "c", "d"]
        assert lake.run().computed == {}

    def test_what_nobody_refers_to_dirties_nothing(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, Refers({"customer_id": "customer_id"}, to="enriched.customers"))
        lake.land("customers", "1.json", text(customer("c1", 1)))
        lake.land("orders", "1.json", text(order("a", 1)))
        lake.run()
        lake.land("customers", "2.json", text(customer("c7", 2), customer("c1", 3, name="Zoe", op="u")))
        assert ORDERS not in lake.run().computed

    def test_it_is_upstream(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, Refers({"customer_id": "customer_id"}, to="enriched.customers"))
        project = lake.workspace.project
        assert project.upstream(ORDERS) == ("raw.orders", "enriched.customers")
        assert list(project.nodes) == ["enriched.customers", ORDERS]

    @pytest.mark.parametrize("severity", list(Severity))
    def test_every_severity_does_what_it_says(self, tmp_path: Path, severity: Severity) -> None:
        refers = Refers({"customer_id": "customer_id"}, to="latest.customers", severity=severity, name="known")
        lake = lake_of(tmp_path, refers)
        lake.land("orders", "1.json", text(order("a", 1)))
        ran = lake.run()
        assert outcome(ran).broken == {"known": 1}
        rows = {
            Severity.FIX: [("a", None)],
            Severity.QUARANTINE: [],
            Severity.STOP: [],
            Severity.WARN: [("a", "c1")],
        }[severity]
        assert lake.rows(f"SELECT order_id, customer_id FROM {ORDERS}") == rows
        assert outcome(ran).status == ("failed" if severity is Severity.STOP else "published")

    def test_what_is_found_must_hold_at_the_date(self, tmp_path: Path) -> None:
        refers = Refers({"customer_id": "customer_id"}, to="history.customers", at="order_day", name="known_then")
        lake = lake_of(tmp_path, refers)
        since_d4 = JANUARY_1_MS + 3 * DAY_MS + 1000
        lake.land("customers", "1.json", text(customer("c1", 1, ts_ms=since_d4)))
        orders = [order("a", 1, day=D3), order("b", 2, day=D4), order("c", 3, day=D5), order("d", 4, day=D5, customer="c2")]
        lake.land("orders", "1.json", text(*orders))
        ran = lake.run()
        assert published(lake) == ["b", "c"]
        assert {day: outcome(ran, day).broken for day in (D3, D4, D5)} == {D3: {"known_then": 1}, D4: {}, D5: {"known_then": 1}}
        lake.land("customers", "2.json", text(change("customers", "d", 9, {"customer_id": "c1"}, ts_ms=since_d4 + 1000)))
        ran = lake.run()
        assert {each.partition: each.problems for each in ran.outcomes[ORDERS]} == {D3: (), D4: (), D5: ()}
        assert ran.computed[ORDERS] == {D3: "unchanged", D4: "unchanged", D5: "published"}
        assert published(lake) == ["b"]


class TestUniqueAcross:
    EXPECTED = UniqueAcross(("customer_id",), severity=Severity.STOP)

    def test_a_partition_that_repeats_what_another_has_is_stopped(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("orders", "1.json", text(order("a", 1), order("a2", 2)))
        lake.run()
        lake.land("orders", "2.json", text(order("b", 3, day=D4), order("c", 4, day=D5, customer="c5")))
        ran = lake.run()
        assert ran.computed[ORDERS] == {D4: "failed", D5: "published"}
        (problem,) = outcome(ran, D4).problems
        assert problem.startswith("customer_id_unique_across: measured 1 values that another partition has too")
        assert result(ran, "customer_id_unique_across", D5).passed

    def test_it_is_asked_again_when_others_have_changed(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("orders", "1.json", text(order("a", 1)))
        lake.run()
        lake.land("orders", "2.json", text(order("b", 2, day=D4)))
        assert lake.run().computed[ORDERS] == {D4: "failed"}
        assert lake.run().computed == {}
        lake.land("orders", "3.json", text(order("a", 3, customer="c9", op="u")))
        assert lake.run().computed[ORDERS][D3] == "published"
        assert lake.run().computed[ORDERS] == {D4: "published"}

    def test_partitions_computed_together_see_each_other(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, UniqueAcross(("customer_id",)))
        lake.land("orders", "1.json", text(order("a", 1), order("b", 2, day=D4), order("c", 3, day=D5, customer="c2")))
        ran = lake.run()
        name = "customer_id_unique_across"
        assert [result(ran, name, day).passed for day in (D3, D4, D5)] == [False, False, True]
        assert published(lake) == ["a", "b", "c"]


MEASURED: list[tuple[Expectation, str, float, bool]] = [
    (NullShare("customer_id", at_most=0.25), "customer_id_null_share_within", 0.25, True),
    (NullShare("customer_id", at_most=0.2), "customer_id_null_share_within", 0.25, False),
    (Share("customer_id", "c1", at_least=0.5), "customer_id_c1_share_within", 0.5, True),
    (Share("customer_id", ("c1", "c2"), at_most=0.7), "customer_id_c1_or_c2_share_within", 0.75, False),
    (Quantile("amount", 0.5, at_most=2), "amount_quantile_500_within", 2.5, False),
    (Mean("amount", at_least=2.5, at_most=2.5), "amount_mean_within", 2.5, True),
    (RowCount(at_least=5), "row_count_within", 4.0, False),
]


class TestMeasures:
    ROWS = (
        order("a", 1, amount="1"),
        order("b", 2, amount="2"),
        order("c", 3, amount="3", customer="c2"),
        order("d", 4, amount="4", customer=None),
    )

    @pytest.mark.parametrize(("expectation", "name", "measured", "passed"), MEASURED, ids=[f"{e[1]}_{e[3]}" for e in MEASURED])
    def test_what_is_measured_is_kept_and_held_against_the_bounds(
        self, tmp_path: Path, expectation: Expectation, name: str, measured: float, passed: bool
    ) -> None:
        lake = lake_of(tmp_path, expectation)
        lake.land("orders", "1.json", text(*self.ROWS))
        ran = lake.run()
        found, entry = result(ran, name), outcome(ran).entry
        assert (found.measured, found.passed, found.broken) == (pytest.approx(measured), passed, 0)
        assert entry is not None and dict(entry.measures) == {name: pytest.approx(measured)}
        assert (name in entry.unmet) is not passed

    def test_what_stops_says_what_was_measured_what_was_expected_and_what_to_do(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, RowCount(at_least=2, severity=Severity.STOP))
        lake.land("orders", "1.json", text(order("a", 1), order("b", 2, day=D4), order("c", 3, day=D4)))
        ran = lake.run()
        assert ran.computed[ORDERS] == {D3: "failed", D4: "published"}
        assert outcome(ran).problems == (
            "row_count_within: measured 1, expected: the number of rows is at least 2; check the input, or correct the "
            "bound in the contract",
        )

    def test_of_no_rows_there_is_nothing_to_measure(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, NullShare("customer_id", at_most=0.1), RowCount(at_least=1))
        lake.land("orders", "1.json", text(order("a", 1)))
        lake.run()
        lake.land("orders", "2.json", text(change("orders", "d", 2, {"order_id": "a", "ordered_at": D3})))
        ran = lake.run()
        assert result(ran, "customer_id_null_share_within").measured is None
        assert result(ran, "row_count_within").measured == 0.0
        assert not result(ran, "row_count_within").passed


class TestControlTotal:
    EXPECTED = ControlTotal(
        "latest.controls", on={"order_day": "day"}, rows="orders", money={"amount": "total"}, severity=Severity.STOP
    )
    NAME = "total_as_in_controls"

    def control(self, position: int, orders: Any, total: str, op: str = "c") -> bytes:
        return text(change("controls", op, position, {"day": D3, "orders": str(orders), "total": total}))

    def test_what_comes_to_what_the_control_says_is_published(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("controls", "1.json", self.control(1, 2, "20.00"))
        lake.land("orders", "1.json", text(order("a", 1), order("b", 2)))
        assert lake.run().computed[ORDERS] == {D3: "published"}

    def test_what_does_not_is_stopped_until_either_is_mended(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("controls", "1.json", self.control(1, 3, "20.00"))
        lake.land("orders", "1.json", text(order("a", 1), order("b", 2)))
        (problem,) = outcome(lake.run()).problems
        assert problem.startswith(f"{self.NAME}: rows: 2, latest.controls has 3.0000 (-1.0000); find out which")
        assert lake.run().computed == {}
        lake.land("controls", "2.json", self.control(2, 2, "20.00", op="u"))
        assert lake.run().computed[ORDERS] == {D3: "published"}

    def test_a_changed_control_judges_a_published_partition_again(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, self.EXPECTED)
        lake.land("controls", "1.json", self.control(1, 1, "10.00"))
        lake.land("orders", "1.json", text(order("a", 1), order("z", 2, day=D4)))
        assert lake.run().computed[ORDERS] == {D3: "published", D4: "failed"}
        lake.land("controls", "2.json", self.control(2, 1, "10.01", op="u"))
        assert lake.run().computed[ORDERS] == {D3: "failed", D4: "failed"}
        assert published(lake) == ["a"]


class TestVolume:
    def test_a_day_with_too_little_history_passes_and_one_unlike_the_others_does_not(self, tmp_path: Path) -> None:
        lake = lake_of(tmp_path, Volume(severity=Severity.STOP))
        rows = []
        for day in range(1, 65):
            date = f"2025-{1 + (day > 31) + (day > 59):02d}-{day - 31 * (day > 31) - 28 * (day > 59):02d}"
            rows += [order(f"{day}-{n}", 100 * day + n, day=date) for n in range(10 if day != 62 else 2)]
        lake.land("orders", "1.json", text(*rows))
        ran = lake.run()
        assert {day for day, status in ran.computed[ORDERS].items() if status == "failed"} == {"2025-03-03"}
        (problem,) = outcome(ran, "2025-03-03").problems
        assert problem.startswith("row_count_as_usual: measured 2, usual for similar days: 1")
        assert result(ran, "row_count_as_usual", D3).passed
