"""Events put where the other events of their keys are, in whatever order they land."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from change_lines import deleted_order, order, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Daily
from assay.lake.layout import NOTED, UNPLACED
from assay.lake.ledger import LedgerLog
from assay.landing.ingest import _Work, ingest
from assay.landing.placement import _placement, place
from assay.pipeline.state import State

DAYS = {"o1": "2025-01-03", "o2": "2025-01-04", "o3": "2025-01-03"}
LINES = {
    "create o1": order("o1", 1, day=DAYS["o1"]),
    "create o2": order("o2", 2, day=DAYS["o2"]),
    "update o1": order("o1", 3, day=DAYS["o1"], op="u"),
    "delete o1": deleted_order("o1", 4),
    "create o3": order("o3", 5, day=DAYS["o3"]),
    "delete o2": deleted_order("o2", 6),
    "move o3": order("o3", 7, day="2025-01-05", op="u"),
}


def land_and_ingest(lake: ShopLake, groups: Sequence[Sequence[str]]) -> None:
    for number, names in enumerate(groups):
        lake.land("orders", f"{number}.json", text(*(LINES[name] for name in names)))
        lake.ingest("orders")


def alive(lake: ShopLake) -> list[tuple[str, str]]:
    return lake.rows("SELECT order_id, order_day::VARCHAR FROM latest.orders ORDER BY 1")


def copies(lake: ShopLake) -> dict[str, int]:
    """Copies by partition."""
    found: dict[str, int] = {}
    for part in (part for batch in lake.ledger("orders").placements for part in batch.parts):
        found[part.partition] = found.get(part.partition, 0) + part.rows
    return found


def folder(lake: ShopLake, day: str) -> list[tuple[str, str, str]]:
    """Operation, position and own day of every event in a day's folder."""
    paths = ", ".join(f"'{lake.store.path(part.key)}'" for part in lake.ledger("orders").parts[day])
    with lake.connection() as connection:
        return connection.execute(
            f"SELECT _op, _sequence[1], _about::VARCHAR FROM read_parquet([{paths}]) ORDER BY _sequence"
        ).fetchall()


class TestDeletes:
    @pytest.mark.parametrize("names", list(itertools.permutations(["create o1", "update o1", "delete o1"])))
    def test_a_delete_falls_on_its_keys_day(self, lake: ShopLake, names: tuple[str, ...]) -> None:
        land_and_ingest(lake, [names])
        assert folder(lake, "2025-01-03") == [("c", 1, "2025-01-03"), ("u", 3, "2025-01-03"), ("d", 4, None)]
        assert alive(lake) == []

    def test_the_delete_of_a_key_that_nobody_saw_waits(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1", "create o2"]])
        assert [part.rows for part in lake.ledger("orders").parts[UNPLACED]] == [1]
        assert copies(lake) == {}
        assert alive(lake) == [("o2", "2025-01-04")]

    def test_a_key_on_two_days_is_deleted_on_both(self, lake: ShopLake) -> None:
        lake.land(
            "orders", "a.json", text(order("o1", 1, day="2025-01-03"), order("o1", 2, day="2025-01-04"), deleted_order("o1", 3))
        )
        lake.ingest("orders")
        assert alive(lake) == []
        assert folder(lake, "2025-01-03") == [("c", 1, "2025-01-03"), ("c", 2, "2025-01-04"), ("d", 3, None)]
        assert copies(lake) == {"2025-01-03": 2, "2025-01-04": 2}

    def test_a_refused_record_is_no_home(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1, day="never"), deleted_order("o1", 2)))
        lake.ingest("orders")
        assert copies(lake) == {}

    def test_a_waiting_delete_is_copied_when_its_key_comes(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"], ["create o2"], ["create o1"]])
        assert alive(lake) == [("o2", "2025-01-04")]
        assert copies(lake) == {"2025-01-03": 1}

    def test_the_copy_of_a_delete_still_names_its_own_record(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"], ["create o1"]])
        assert lake.rows("SELECT _landing_object, _landing_row, _sequence FROM changes.orders WHERE _op = 'd'") == [
            ("landing/orders/0.json", 1, [4, 4])
        ]

    def test_a_key_that_comes_back_after_its_delete_lives(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"]])
        lake.land("orders", "again.json", text(order("o1", 9, day=DAYS["o1"])))
        lake.ingest("orders")
        assert alive(lake) == [("o1", "2025-01-03")]


class TestMoves:
    @pytest.mark.parametrize("groups", list(itertools.permutations([["create o3"], ["move o3"]])))
    def test_a_key_is_never_in_two_partitions_whatever_came_first(self, lake: ShopLake, groups: list[list[str]]) -> None:
        land_and_ingest(lake, groups)
        assert alive(lake) == [("o3", "2025-01-05")]
        for day in ("2025-01-03", "2025-01-05"):
            assert folder(lake, day) == [("c", 5, "2025-01-03"), ("u", 7, "2025-01-05")]

    def test_a_key_may_move_back(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o3"], ["move o3"]])
        lake.land("orders", "back.json", text(order("o3", 9, day=DAYS["o3"], op="u")))
        assert lake.ingest("orders").partitions == ("2025-01-03", "2025-01-05")
        assert alive(lake) == [("o3", "2025-01-03")]

    def test_a_later_snapshot_of_a_key_that_moved_unseen_moves_it(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o3"]])
        lake.land("orders", "again.json", text(order("o3", 9, day="2025-01-06", op="r")))
        lake.ingest("orders")
        assert alive(lake) == [("o3", "2025-01-06")]

    def test_partitions_that_got_only_copies_are_reported(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o3"]])
        lake.land("orders", "1.json", text(LINES["move o3"]))
        assert lake.ingest("orders").partitions == ("2025-01-03", "2025-01-05")

    def test_a_copy_carries_no_money_but_that_of_an_event_without_a_day(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o3", "move o3"]])
        copied = [part for part in lake.ledger("orders").placements[0].parts if part.partition != NOTED]
        assert [part.money for part in copied] == ["0.0000", "0.0000"]

    def test_a_source_whose_keys_never_move_is_not_searched_for_moves(self, lake: ShopLake) -> None:
        source = replace(lake.source("orders"), partition=Daily("order_day", of="ordered_at", moves="never"))
        lake.land("orders", "1.json", text(LINES["create o3"], LINES["move o3"], LINES["create o1"], LINES["delete o1"]))
        with lake.connection() as connection:
            ingest(lake.store, connection, source, lake.workspace.scratch)
        assert copies(lake) == {"2025-01-03": 1}


class TestRecording:
    def test_nothing_to_copy_is_recorded_too_and_not_looked_for_again(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o1", "create o2"]])
        batch, placement = lake.ledger("orders").batches
        assert (placement.covers, placement.parts, placement.copies, placement.landed) == ((batch.id,), (), 0, ())
        lake.ingest("orders")
        assert len(lake.ledger("orders").batches) == 2

    def test_a_source_that_is_not_cut_needs_none(self, lake: ShopLake) -> None:
        assert place(lake.store, None, lake.source("customers"), LedgerLog(lake.store, "customers"), lake.folder) is None  # type: ignore[arg-type]

    def test_batches_of_an_ingest_that_was_killed_before_placement_are_not_read_and_placed_next_time(
        self, lake: ShopLake
    ) -> None:
        lake.land("orders", "a.json", text(LINES["create o1"], LINES["delete o1"]))
        with lake.connection() as connection:
            work = _Work(lake.store, connection, lake.source("orders"), lake.workspace.scratch, LedgerLog(lake.store, "orders"))
            assert work.ingest_batch(tuple(lake.store.list("landing/orders/"))) is not None
        assert State(lake.workspace).available("latest.orders") == {}
        assert lake.ingest("orders").partitions == ("2025-01-03",)
        assert copies(lake) == {"2025-01-03": 1}

    def test_of_two_placements_of_the_same_batches_one_counts(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(LINES["create o1"], LINES["delete o1"]))
        source, scratch = lake.source("orders"), lake.workspace.scratch
        mine, theirs = LedgerLog(lake.store, "orders"), LedgerLog(lake.store, "orders")
        with lake.connection() as connection:
            _Work(lake.store, connection, source, scratch, mine).ingest_batch(tuple(lake.store.list("landing/orders/")))
            theirs.read()
            assert place(lake.store, connection, source, theirs, scratch) is not None
            assert place(lake.store, connection, source, mine, scratch) is None
        assert copies(lake) == {"2025-01-03": 1}

    def test_a_batch_recorded_during_a_placement_is_looked_at_by_the_next_with_all_that_is_there(self, lake: ShopLake) -> None:
        """Two ingests at once: one brings the delete, the other the key."""
        lake.land("orders", "a.json", text(LINES["delete o1"]))
        source, scratch = lake.source("orders"), lake.workspace.scratch
        log = LedgerLog(lake.store, "orders")
        with lake.connection() as connection:
            _Work(lake.store, connection, source, scratch, log).ingest_batch(tuple(lake.store.list("landing/orders/")))
            computed = _placement(lake.store, connection, source, log.known, scratch)
            lake.land("orders", "b.json", text(LINES["create o1"]))
            theirs = tuple(info for info in lake.store.list("landing/orders/") if info.key.endswith("b.json"))
            _Work(lake.store, connection, source, scratch, LedgerLog(lake.store, "orders")).ingest_batch(theirs)
            log.read()
            assert log.append(computed)
        assert alive(lake) == []
        lake.ingest("orders")
        assert copies(lake) == {"2025-01-03": 1}


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.permutations([*LINES, "create o1", "delete o1"]),
    st.lists(st.integers(1, 8), max_size=3, unique=True).map(sorted),
)
def test_every_order_repetition_and_batching_gives_the_same_rows(tmp_path_factory, names, cuts) -> None:
    lake = ShopLake(tmp_path_factory.mktemp("lake"))
    land_and_ingest(lake, [names[start:end] for start, end in itertools.pairwise([0, *cuts, len(names)])])
    assert alive(lake) == [("o3", "2025-01-05")]


def test_the_same_files_give_the_same_copies(tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        lake = ShopLake(tmp_path / name)
        land_and_ingest(lake, [["create o3", "delete o1"], ["move o3", "create o1"]])
        paths = [lake.store.path(part.key) for batch in lake.ledger("orders").placements for part in batch.parts]
        found.append([pq.read_table(path, partitioning=None).to_pylist() for path in paths])
    assert found[0] == found[1] != []


class TestWhatIsLookedAt:
    def test_an_ordinary_day_costs_no_look_at_history(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o1", "create o3", "update o1"]])
        for part in lake.ledger("orders").parts[DAYS["o1"]]:
            path = lake.store.local(part.key)
            assert path is not None
            path.unlink()
        lake.land("orders", "another day.json", text(LINES["create o2"]))
        assert lake.ingest("orders").partitions == (DAYS["o2"],)
        assert [batch.parts for batch in lake.ledger("orders").placements] == [(), ()]

    def test_a_stray_is_noted_and_found_when_its_key_comes_again(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(LINES["move o3"]))
        lake.ingest("orders")
        assert [part.partition for part in lake.ledger("orders").placements[-1].parts] == [NOTED]
        lake.land("orders", "2.json", text(LINES["create o3"]))
        lake.ingest("orders")
        assert alive(lake) == [("o3", "2025-01-05")]

    def test_a_key_is_noted_once(self, lake: ShopLake) -> None:
        for number in range(2):
            lake.land("orders", f"{number}.json", text(order("o3", 7 + number, day="2025-01-05", op="u")))
            lake.ingest("orders")
        noted = [part.rows for batch in lake.ledger("orders").placements for part in batch.parts if part.partition == NOTED]
        assert noted == [1]
