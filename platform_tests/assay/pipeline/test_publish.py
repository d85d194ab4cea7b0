"""Publishing: one conditional write a partition, none for unchanged content, and nothing lost to a race or a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.engine.project import Node
from assay.errors import StoreError
from assay.lake.index import METADATA_KEY
from assay.lake.layout import index_key, partition_key
from assay.pipeline import build as build_module
from assay.pipeline.build import build
from assay.pipeline.outcome import Status
from assay.pipeline.plan import plan
from assay.pipeline.runs import rebuild_partitions
from assay.pipeline.state import State
from assay.quality.proof import Verdict

D3, D4 = "2025-01-03", "2025-01-04"


def fill(lake: ShopLake) -> None:
    lake.land("customers", "1.json", text(customer("c1", 1, level="gold")))
    lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4)))
    lake.run("first")


class TestUnchanged:
    def test_a_repeated_delivery_rewrites_nothing_and_wakes_nothing(self, lake: ShopLake) -> None:
        fill(lake)
        before = lake.etags("enriched/") | lake.etags("marts/")
        lake.land("orders", "again.json", text(order("o1", 1, day=D3)))
        assert lake.run("second").computed == {"enriched.orders": {D3: "unchanged"}}
        assert lake.etags("enriched/") | lake.etags("marts/") == before
        assert lake.run("third").computed == {}

    def test_its_books_say_what_came_in_all_the_same(self, lake: ShopLake) -> None:
        fill(lake)
        lake.land("orders", "again.json", text(order("o1", 1, day=D3)))
        lake.run("second")
        books = State(lake.workspace).index("enriched.orders")[D3].books
        assert (books["received"], books["published"], books["superseded"], books["balanced"]) == (2, 1, 1, True)

    def test_a_rebuild_that_nobody_needed_rewrites_nothing(self, lake: ShopLake) -> None:
        fill(lake)
        before = lake.etags("enriched/orders/")
        with lake.connection() as connection:
            node = lake.workspace.project.nodes["enriched.orders"]
            outcomes = rebuild_partitions(connection, State(lake.workspace), node, [D3, D4, "2031-01-01"], "again")
        assert {outcome.partition: outcome.status for outcome in outcomes} == {D3: Status.UNCHANGED, D4: Status.UNCHANGED}
        assert lake.etags("enriched/orders/") == before

    def test_what_it_was_computed_in_makes_room_for_the_next(self, lake: ShopLake) -> None:
        fill(lake)
        with lake.connection() as connection:
            node = lake.workspace.project.nodes["enriched.orders"]
            rebuild_partitions(connection, State(lake.workspace), node, [D3, D4], "again")
            left = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()")
            assert left.fetchall() == []

    def test_partitions_that_need_too_much_memory_together_are_computed_one_by_one(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed = build_module.compute

        def cramped(connection: Any, state: State, node: Node, partitions: Sequence[str]) -> dict[str, Verdict]:
            if len(partitions) > 1:
                raise duckdb.OutOfMemoryException(
                    "Out of Memory Error: failed to pin block of size 256.0 KiB (1.8 GiB/1.8 GiB used)"
                )
            return computed(connection, state, node, partitions)

        monkeypatch.setattr(build_module, "compute", cramped)
        fill(lake)
        assert lake.rows("SELECT order_id FROM enriched.orders ORDER BY 1") == [("o1",), ("o2",)]

    def test_a_partition_that_needs_too_much_memory_alone_stops_the_run(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cramped(*_: Any) -> dict[str, Verdict]:
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block")

        monkeypatch.setattr(build_module, "compute", cramped)
        with pytest.raises(StoreError, match="There is no room to compute: Out of Memory Error") as raised:
            fill(lake)
        assert "ASSAY_MEMORY" in str(raised.value.hint)


class TestObject:
    def test_it_says_what_it_was_made_from(self, lake: ShopLake) -> None:
        fill(lake)
        written = json.loads(lake.metadata("enriched.orders", D3)[METADATA_KEY.encode()])
        node = lake.workspace.project.nodes["enriched.orders"]
        with lake.connection() as connection:
            made_from = plan(connection, State(lake.workspace), node)
        entry = State(lake.workspace).index("enriched.orders")[D3]
        assert made_from.unchanged == [D3, D4]
        assert (written["contract"], written["code"]) == (node.table.version, node.code)
        assert (written["inputs"], written["content"]) == (entry.inputs, entry.content)
        assert (written["run_id"], written["rows"]) == ("first", 1)
        assert written["books"]["balanced"]

    def test_it_has_the_declared_columns_and_those_of_the_run(self, lake: ShopLake) -> None:
        fill(lake)
        table = lake.workspace.domain.tables["enriched.orders"]
        path = lake.store.local(partition_key(table, D3))
        assert path is not None
        (row,) = pq.read_table(path, partitioning=None).to_pylist()
        assert list(row) == list(table.types)
        assert (row["job_run_id"], row["data_quality_score"], row["data_source"]) == ("first", 100.0, "orders")

    def test_rows_are_in_the_order_of_their_key(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(*(order(f"o{number}", number) for number in (5, 3, 9, 1))))
        lake.run()
        path = lake.store.local(partition_key(lake.workspace.domain.tables["enriched.orders"], D3))
        assert path is not None
        assert pq.read_table(path, columns=["order_id"], partitioning=None)["order_id"].to_pylist() == ["o1", "o3", "o5", "o9"]

    def test_how_it_is_compressed_hangs_on_its_rows_alone(self, lake: ShopLake) -> None:
        many = [order(f"o{number}", number + 1, day=D4) for number in range(100)]
        lake.land("customers", "1.json", text(customer("c1", 1, level="gold")))
        lake.land("orders", "1.json", text(order("o", 1, day=D3), *many))
        lake.run("first")

        assert {day: self.compression(lake, day) for day in (D3, D4)} == {D3: "SNAPPY", D4: "ZSTD"}

    @staticmethod
    def compression(lake: ShopLake, day: str) -> str:
        path = lake.store.local(partition_key(lake.workspace.domain.tables["enriched.orders"], day))
        assert path is not None
        return str(pq.read_metadata(path).row_group(0).column(0).compression)


class TestQuarantine:
    def test_refused_rows_lie_beside_and_go_when_they_are_mended(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(order("o1", 1), order("bad", 2, amount="-1.00")))
        lake.run()
        (key,) = lake.etags("quarantine/enriched/orders/")
        assert State(lake.workspace).index("enriched.orders")[D3].quarantine == key
        path = lake.store.local(key)
        assert path is not None
        assert [row["order_id"] for row in pq.read_table(path, partitioning=None).to_pylist()] == ["bad"]
        lake.land("orders", "2.json", text(order("bad", 9, amount="1.00", op="u")))
        lake.run()
        assert lake.etags("quarantine/") == {}


class TestRaces:
    def test_a_slow_run_that_saw_less_never_overwrites_a_newer_one(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        lake.land("orders", "2.json", text(order("o3", 3, day=D3)))
        lake.ingest("orders")
        with lake.connection() as connection:
            slow = State(lake.workspace)
            planned = plan(connection, slow, node)
            assert list(planned.dirty) == [D3]
            lake.land("orders", "3.json", text(order("o4", 4, day=D3)))
            lake.run("fast")
            outcomes = build(connection, slow, node, planned.dirty, "slow")
        assert [outcome.status for outcome in outcomes] == []
        assert lake.rows("SELECT order_id, job_run_id FROM enriched.orders WHERE order_day = '2025-01-03' ORDER BY 1") == [
            ("o1", "fast"),
            ("o3", "fast"),
            ("o4", "fast"),
        ]

    def test_a_run_that_lost_the_race_computes_anew_what_the_winner_had_not_seen(self, lake: ShopLake) -> None:
        fill(lake)
        node = lake.workspace.project.nodes["enriched.orders"]
        lake.land("orders", "2.json", text(order("o3", 3, day=D3)))
        lake.ingest("orders")
        with lake.connection() as connection:
            mine = State(lake.workspace)
            planned = plan(connection, mine, node)
            lake.run("winner")
            lake.land("orders", "3.json", text(order("o4", 4, day=D3)))
            lake.ingest("orders")
            (outcome,) = build(connection, mine, node, planned.dirty, "mine")
        assert outcome.status is Status.PUBLISHED
        assert len(lake.rows("SELECT order_id FROM enriched.orders WHERE order_day = '2025-01-03'")) == 3


class TestIndex:
    """The index is a memory of the objects: without it, or with an older one, nothing is computed again and nothing is wrong."""

    def test_without_it_nothing_is_dirty(self, lake: ShopLake) -> None:
        fill(lake)
        for key in lake.etags("audit/published/"):
            lake.store.delete(key)
        assert lake.run("second").computed == {}

    @pytest.mark.parametrize("older", [True, False], ids=["an older index", "no index"])
    def test_a_run_killed_between_the_objects_and_the_index_did_its_work(self, lake: ShopLake, older: bool) -> None:
        fill(lake)
        keys = [index_key(table) for table in lake.workspace.domain.tables.values()]
        before = {key: lake.store.get(key) for key in keys}
        lake.land("orders", "2.json", text(order("o3", 3, day=D3, amount="5.00")))
        lake.run("killed")
        for key in keys:
            lake.store.put(key, before[key]) if older else lake.store.delete(key)
        assert lake.run("next").computed == {}
        assert lake.rows("SELECT sum(amount)::VARCHAR FROM marts.daily_totals") == [("25.00",)]

    def test_a_killed_run_is_taken_up_where_it_ended(self, lake: ShopLake) -> None:
        """Some partitions published, some not, nothing noted: what is left is what a run would have done."""
        lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4)))
        lake.ingest("orders")
        node = lake.workspace.project.nodes["enriched.orders"]
        with lake.connection() as connection:
            state = State(lake.workspace)
            dirty = plan(connection, state, node).dirty
            build(connection, state, node, {D3: dirty[D3]}, "killed")
        lake.store.delete(index_key(node.table))
        assert lake.run("next").computed["enriched.orders"] == {D4: "published"}
