"""Planning: late data, changed lookups and failures dirty exactly the partitions they touch."""

from __future__ import annotations

from dataclasses import replace

from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.contracts.expectations import UniqueAcross
from assay.pipeline.build import build
from assay.pipeline.failures import Failure, write_failures
from assay.pipeline.outcome import Status
from assay.pipeline.plan import plan
from assay.pipeline.runs import failed_partitions, rebuild_partitions, refresh_table
from assay.pipeline.state import State

D3, D4, D5, D10, D11 = "2025-01-03", "2025-01-04", "2025-01-05", "2025-01-10", "2025-01-11"


def fill(lake: ShopLake) -> None:
    lake.land("customers", "1.json", text(customer("c1", 1, level="gold"), customer("c2", 2)))
    lake.land(
        "orders",
        "1.json",
        text(
            order("o1", 1, day=D3),
            order("o2", 2, day=D4, customer="c2"),
            order("o3", 3, day=D10),
            order("o4", 4, day=D10, customer="c9"),
        ),
    )
    lake.run("first")


def test_a_first_run_computes_what_there_is_and_a_second_nothing(lake: ShopLake) -> None:
    fill(lake)
    again = lake.run("second")
    assert again.computed == {}
    assert {name: sorted(plan.unchanged) for name, plan in again.plans.items()} == {
        "enriched.customers": ["all"],
        "enriched.levels": ["all"],
        "enriched.orders": [D3, D4, D10],
        "marts.customer_weeks": [D3, D4, D10],
        "marts.daily_totals": [D3, D4, D10],
        "marts.shop_totals": ["all"],
    }


def test_a_late_event_dirties_its_day_and_what_reads_it_windows_included(lake: ShopLake) -> None:
    fill(lake)
    lake.land("orders", "late.json", text(order("o5", 5, day=D3, amount="7.00")))
    assert lake.run("late").computed == {
        "enriched.orders": {D3: "published"},
        "marts.daily_totals": {D3: "published"},
        "marts.customer_weeks": {D3: "published", D4: "unchanged"},
        "marts.shop_totals": {"all": "published"},
    }


def test_a_window_reaches_its_last_day_and_no_further(lake: ShopLake) -> None:
    fill(lake)
    lake.land("orders", "more.json", text(order("o6", 6, day=D11), order("o7", 7, day=D5)))
    lake.run()
    lake.land("orders", "late.json", text(order("o8", 8, day=D4)))
    assert sorted(lake.run().plans["marts.customer_weeks"].dirty) == [D4, D5, D10]


def test_a_new_day_is_dirty_alone(lake: ShopLake) -> None:
    fill(lake)
    lake.land("orders", "new.json", text(order("o8", 8, day="2025-03-01")))
    assert sorted(lake.run().plans["enriched.orders"].dirty) == ["2025-03-01"]


class Forgotten(dict):  # type: ignore[type-arg]
    """What another thread forgets as soon as it is kept."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


def test_what_another_thread_forgets_meanwhile_is_still_given_to_who_has_read_it(lake: ShopLake) -> None:
    fill(lake)
    kept = ("_ledgers", "_indexes", "_available", "_in_order", "_raws", "_believed")
    state, forgetful = State(lake.workspace), State(lake.workspace, **{name: Forgotten() for name in kept})
    for node in lake.workspace.project.nodes.values():
        partitions = state.partitions(node)
        assert [forgetful.inputs_hash(node, each) for each in partitions] == [
            state.inputs_hash(node, each) for each in partitions
        ]
        assert forgetful.index(node.table.full_name) == state.index(node.table.full_name)


class TestLookups:
    def test_a_looked_up_row_that_nobody_asks_for_dirties_nothing(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("customers", "2.json", text(customer("c7", 7)))
        ran = lake.run()
        assert "enriched.orders" not in ran.computed
        assert ran.computed["enriched.customers"] == {"all": "published"}

    def test_a_changed_row_dirties_the_partitions_that_look_it_up(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("customers", "2.json", text(customer("c2", 9, level="gold", op="u")))
        assert lake.run().computed["enriched.orders"] == {D4: "published"}
        assert lake.rows("SELECT customer_level FROM enriched.orders WHERE order_id = 'o2'") == [("gold",)]

    def test_a_row_that_was_asked_for_in_vain_dirties_who_asked(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("customers", "2.json", text(customer("c9", 9)))
        assert lake.run().computed["enriched.orders"] == {D10: "published"}

    def test_a_column_that_is_not_read_dirties_nothing(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("customers", "2.json", text(customer("c1", 9, level="gold", name="Zoe", op="u")))
        ran = lake.run()
        assert ran.computed["enriched.customers"] == {"all": "published"}
        assert "enriched.orders" not in ran.computed

    def test_what_was_judged_unchanged_is_not_judged_again(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("customers", "2.json", text(customer("c7", 7)))
        lake.run()
        state = State(lake.workspace)
        content = state.content("enriched.customers")
        assert {entry.lookups["enriched.customers"]["content"] for entry in state.index("enriched.orders").values()} == {content}

    def test_a_row_in_quarantine_asks_too(self, lake: ShopLake) -> None:
        lake.land("customers", "1.json", text(customer("c1", 1), customer("c2", 2)))
        lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D3, customer="c2", amount="-1.00")))
        lake.run()
        lake.land("customers", "2.json", text(customer("c2", 9, level="gold", op="u")))
        assert sorted(lake.run().plans["enriched.orders"].dirty) == [D3]


class TestFailures:
    def fail(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(order("bad", 1, day=D3, amount="-1.00"), order("fine", 2, day=D4)))
        assert lake.run().computed["enriched.orders"] == {D3: "failed", D4: "published"}

    def test_a_failed_partition_is_not_published_and_the_others_are(self, lake: ShopLake) -> None:
        self.fail(lake)
        assert lake.rows("SELECT order_id FROM enriched.orders") == [("fine",)]
        assert lake.rows("SELECT DISTINCT order_day::VARCHAR FROM marts.daily_totals") == [(D4,)]

    def test_it_is_not_computed_again_from_the_same_inputs_unless_asked(self, lake: ShopLake) -> None:
        self.fail(lake)
        again = lake.run()
        assert again.computed == {}
        assert list(again.plans["enriched.orders"].failing) == [D3]
        with lake.connection() as connection:
            node = lake.workspace.project.nodes["enriched.orders"]
            (asked,) = rebuild_partitions(connection, State(lake.workspace), node, [D3], "asked")
        assert asked.status is Status.FAILED

    def test_new_inputs_mend_it(self, lake: ShopLake) -> None:
        self.fail(lake)
        lake.land("orders", "2.json", text(order("bad", 9, day=D3, amount="1.00", op="u")))
        assert lake.run().computed["enriched.orders"] == {D3: "published"}
        assert lake.run().plans["enriched.orders"].failing == {}

    def test_code_that_goes_back_to_what_made_the_published_partition_mends_it(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        loses = replace(node.query, sql=f"SELECT * FROM ({node.query.sql}) WHERE customer_id <> 'c1'")
        release = replace(node, query=loses, code="a release that is taken back")
        with lake.connection() as connection:
            refresh_table(connection, State(lake.workspace), release, "release")
        assert sorted(failed_partitions(State(lake.workspace))["enriched.orders"]) == [D3, D10]
        taken_back = lake.run()
        assert taken_back.computed == {"enriched.orders": {D4: "unchanged"}}
        assert sorted(taken_back.plans["enriched.orders"].settled) == [D3, D10]
        assert failed_partitions(State(lake.workspace)) == {}
        newest = "QUALIFY row_number() OVER (PARTITION BY table_name, partition ORDER BY proven_at DESC) = 1"
        of_orders = f"FROM quality.partition_scores WHERE table_name = 'enriched.orders' {newest}"
        assert lake.rows(f"SELECT DISTINCT status, balanced {of_orders}") == [("unchanged", True)]

    def test_a_lookup_that_goes_back_mends_it(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        write_failures(lake.store, node.table, {D4: Failure("another lookup", ("why",), "run")}, ())
        assert list(lake.run().plans["enriched.orders"].settled) == [D4]
        assert failed_partitions(State(lake.workspace)) == {}

    def test_a_partition_that_the_table_has_no_more_fails_no_more(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        write_failures(lake.store, node.table, {"2025-01": Failure("when it was cut by month", ("why",), "run")}, ())
        with lake.connection() as connection:
            assert plan(connection, State(lake.workspace), node, [D4]).settled == {}
        lake.run()
        assert failed_partitions(State(lake.workspace)) == {}

    def test_where_neighbours_count_it_is_proven_again_when_they_change(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        around = replace(node, table=replace(node.table, expects=(UniqueAcross(("order_id",)),)))
        write_failures(lake.store, node.table, {D4: Failure("other neighbours", ("why",), "run")}, ())
        with lake.connection() as connection:
            planned, _ = refresh_table(connection, State(lake.workspace), around, "again")
        assert (list(planned.dirty), planned.settled) == ([D4], {})
        assert failed_partitions(State(lake.workspace)) == {}

    def test_the_old_partition_stands_when_its_new_inputs_fail(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(order("o1", 1, day=D3)))
        lake.run()
        before = lake.etags("enriched/orders/")
        lake.land("orders", "2.json", text(order("b1", 2, day=D3, amount="-1"), order("b2", 3, day=D3, amount="-1")))
        ran = lake.run()
        assert ran.computed == {"enriched.orders": {D3: "failed"}}
        assert "the quality score is 33.33, below the threshold of 50" in ran.outcomes["enriched.orders"][0].problems
        assert lake.etags("enriched/orders/") == before


def test_only_the_partitions_asked_for_are_looked_at(lake: ShopLake) -> None:
    lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4)))
    lake.ingest("orders")
    with lake.connection() as connection:
        state = State(lake.workspace)
        node = lake.workspace.project.nodes["enriched.orders"]
        dirty = plan(connection, state, node, [D4]).dirty
        assert [outcome.partition for outcome in build(connection, state, node, dirty, "run")] == [D4]
    assert lake.rows("SELECT order_id FROM enriched.orders") == [("o2",)]
