"""Deletes that name only their key: put where the key's events are, in whatever order they land."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from change_lines import deleted_order, order, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.lake.layout import UNPLACED
from assay.lake.ledger import LedgerLog
from assay.landing.ingest import _Work

DAYS = {"o1": "2025-01-03", "o2": "2025-01-04", "o3": "2025-01-03"}
LINES = {
    "create o1": order("o1", 1, day=DAYS["o1"]),
    "create o2": order("o2", 2, day=DAYS["o2"]),
    "update o1": order("o1", 3, day=DAYS["o1"], op="u"),
    "delete o1": deleted_order("o1", 4),
    "create o3": order("o3", 5, day=DAYS["o3"]),
    "delete o2": deleted_order("o2", 6),
}


def land_and_ingest(lake: ShopLake, groups: Sequence[Sequence[str]]) -> None:
    for number, names in enumerate(groups):
        lake.land("orders", f"{number}.json", text(*(LINES[name] for name in names)))
        lake.ingest("orders")


def alive(lake: ShopLake) -> list[tuple[str, str]]:
    return lake.rows("SELECT order_id, order_day::VARCHAR FROM latest.orders ORDER BY 1")


def waiting(lake: ShopLake) -> int:
    return sum(part.rows for part in lake.ledger("orders").parts.get(UNPLACED, ()))


class TestWithinOneIngest:
    @pytest.mark.parametrize("names", list(itertools.permutations(["create o1", "update o1", "delete o1"])))
    def test_a_delete_falls_on_its_keys_day(self, lake: ShopLake, names: tuple[str, ...]) -> None:
        land_and_ingest(lake, [names])
        assert lake.rows("SELECT _op, order_day::VARCHAR FROM changes.orders WHERE _op = 'd'") == [("d", "2025-01-03")]
        assert alive(lake) == []

    def test_the_delete_of_a_key_that_nobody_saw_waits(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1", "create o2"]])
        assert waiting(lake) == 1
        assert alive(lake) == [("o2", "2025-01-04")]
        assert lake.ledger("orders").batches[0].copies == 0

    def test_a_key_on_two_days_is_deleted_on_both(self, lake: ShopLake) -> None:
        lake.land(
            "orders", "a.json", text(order("o1", 1, day="2025-01-03"), order("o1", 2, day="2025-01-04"), deleted_order("o1", 3))
        )
        (batch,) = lake.ingest("orders").batches
        assert alive(lake) == []
        assert {part.partition: part.rows for part in batch.parts} == {"2025-01-03": 2, "2025-01-04": 2}
        assert batch.copies == 1

    def test_a_refused_record_is_no_home(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1, day="never"), deleted_order("o1", 2)))
        lake.ingest("orders")
        assert waiting(lake) == 1


class TestAcrossIngests:
    def test_a_delete_finds_the_day_of_a_key_ingested_before(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["create o1"], ["delete o1"]])
        assert alive(lake) == []
        assert waiting(lake) == 0

    def test_a_waiting_delete_is_copied_when_its_key_comes(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"], ["create o2"], ["create o1"]])
        assert alive(lake) == [("o2", "2025-01-04")]
        last = lake.ledger("orders").batches[-1]
        assert (last.copies, [(part.partition, part.rows) for part in last.parts]) == (1, [("2025-01-03", 2)])

    def test_the_copy_of_a_waiting_delete_still_names_its_own_record(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"], ["create o1"]])
        assert lake.rows("SELECT _landing_object, _landing_row, _sequence FROM changes.orders WHERE _op = 'd'") == [
            ("landing/orders/0.json", 1, [4, 4])
        ]

    def test_a_key_that_comes_back_after_its_delete_lives(self, lake: ShopLake) -> None:
        land_and_ingest(lake, [["delete o1"]])
        lake.land("orders", "again.json", text(order("o1", 9, day=DAYS["o1"])))
        lake.ingest("orders")
        assert alive(lake) == [("o1", "2025-01-03")]

    def test_a_batch_that_another_overtook_is_written_again_with_what_that_brought(self, lake: ShopLake) -> None:
        """Two ingests at once: the delete is staged by one while the other, which records first, brings its key."""
        lake.land("orders", "a.json", text(deleted_order("o1", 4), order("o2", 2, day="2025-01-04"), order("o3", 5)))
        log = LedgerLog(lake.store, "orders")
        log.read()
        mine = tuple(lake.store.list("landing/orders/"))
        other = ShopLake(lake.folder.parent)
        other.land("orders", "b.json", text(order("o1", 1)))
        with lake.connection() as connection, other.connection() as second:
            theirs = tuple(info for info in lake.store.list("landing/orders/") if info not in mine)
            _Work(
                lake.store, second, lake.source("orders"), lake.workspace.scratch, LedgerLog(lake.store, "orders")
            ).ingest_batch(theirs)
            assert (
                _Work(lake.store, connection, lake.source("orders"), lake.workspace.scratch, log).ingest_batch(mine) is not None
            )
        assert alive(lake) == [("o2", "2025-01-04"), ("o3", "2025-01-03")]
        assert waiting(lake) == 0

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.permutations([*LINES, "create o1", "delete o1"]),
        st.lists(st.integers(1, 7), max_size=3, unique=True).map(sorted),
    )
    def test_every_order_repetition_and_batching_gives_the_same_rows(self, tmp_path_factory, names, cuts) -> None:
        lake = ShopLake(tmp_path_factory.mktemp("lake"))
        land_and_ingest(lake, [names[start:end] for start, end in itertools.pairwise([0, *cuts, len(names)])])
        assert alive(lake) == [("o3", "2025-01-03")]
