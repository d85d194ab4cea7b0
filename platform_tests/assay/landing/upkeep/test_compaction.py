"""Compaction: fewer objects, the same rows, the same names of parts, whatever else goes on and wherever it stops."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from change_lines import change, customer, deleted_order, order, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_source import Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Daily
from assay.engine.connection import Limits, connect
from assay.errors import StoreError
from assay.lake.layout import NOTED, TRUNCATES, UNPLACED, is_compacted
from assay.lake.ledger import Batch, Compaction, Ledger, LedgerLog, Part
from assay.landing.formats import JsonDocuments
from assay.landing.upkeep import compaction
from assay.landing.upkeep.compaction import AT_LEAST, SMALL, Compacted, compact, find_merges
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table

NO_GRACE = dt.timedelta(0)
DAY, OTHER_DAY = "2025-01-03", "2025-01-04"


def land_minutes(lake: ShopLake, count: int = AT_LEAST, first: int = 0) -> None:
    """Ingest a batch of two orders and one customer a minute."""
    for number in range(first, first + count):
        lines = [order(f"o{number}", 10 * number + 1), order(f"p{number}", 10 * number + 2, day=OTHER_DAY)]
        lake.land("orders", f"{number}.json", text(*lines))
        lake.land("customers", f"{number}.json", text(customer(f"c{number}", number)))
        lake.ingest("orders")
        lake.ingest("customers")


def compacted(lake: ShopLake, source: str = "orders", **options: Any) -> Compacted:
    with lake.connection() as connection:
        return compact(lake.store, connection, lake.source(source), lake.workspace.scratch, **options)


def raw(lake: ShopLake, source: str = "orders") -> list[str]:
    return sorted(info.key for info in lake.store.list(f"raw/{source}/"))


def in_use(lake: ShopLake, source: str = "orders") -> list[str]:
    ledger = lake.ledger(source)
    return sorted({ledger.object_of(part) for parts in ledger.parts.values() for part in parts})


def events(lake: ShopLake, source: str = "orders") -> dict[str, list[str]]:
    """Every raw row of each partition with all its columns, in no order."""
    ledger = lake.ledger(source)
    found = {}
    for partition, parts in ledger.parts.items():
        paths = sorted({lake.store.path(ledger.object_of(part)) for part in parts})
        found[partition] = sorted(repr(row) for path in paths for row in pq.read_table(path).to_pylist())
    return found


def inputs(lake: ShopLake) -> dict[str, list[tuple[str, int]]]:
    """Id and rows of what the tables are computed from, by relation."""
    state = State(lake.workspace)
    names = ("latest.orders", "latest.customers")
    return {name: [(each.id, each.rows) for found in state.available(name).values() for each in found] for name in names}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop with a batch a minute, and its tables."""
    lake = ShopLake(tmp_path_factory.mktemp("minutes"))
    land_minutes(lake)
    lake.run()
    return lake.folder


@pytest.fixture
def minutes(made: Path, tmp_path: Path) -> ShopLake:
    """The same for one test. Linked objects keep their versions; they are replaced and never written to."""
    shutil.copytree(made, tmp_path / "lake", copy_function=os.link)
    return ShopLake(tmp_path)


class TestRows:
    def test_each_partition_is_one_object_of_the_same_rows(self, minutes: ShopLake) -> None:
        before, ids = events(minutes), inputs(minutes)
        done = compacted(minutes)
        assert [(merge.partition, len(merge.objects), merge.rows) for merge in done.merges] == [(DAY, 8, 8), (OTHER_DAY, 8, 8)]
        assert (done.objects, done.rows) == (16, 16)
        assert events(minutes) == before
        assert len(in_use(minutes)) == 2
        assert all(is_compacted(key) for key in in_use(minutes))
        assert inputs(minutes) == ids

    def test_a_source_that_is_not_cut(self, minutes: ShopLake) -> None:
        before = events(minutes, "customers")
        assert compacted(minutes, "customers").objects == AT_LEAST
        assert events(minutes, "customers") == before

    def test_rows_stand_in_the_order_in_which_they_were_recorded(self, minutes: ShopLake) -> None:
        compacted(minutes)
        rows = pq.read_table(minutes.store.path(in_use(minutes)[0])).to_pylist()
        assert [row["_landing_object"] for row in rows] == [f"landing/orders/{number}.json" for number in range(AT_LEAST)]

    def test_no_table_is_dirty_and_all_are_what_their_inputs_give(self, minutes: ShopLake) -> None:
        books = source_books(minutes.ledger("orders"))
        published = minutes.etags("enriched/") | minutes.etags("marts/")
        for source in ("orders", "customers"):
            compacted(minutes, source, grace=NO_GRACE)
        ran = minutes.run("again")
        assert ran.computed == {}
        assert minutes.etags("enriched/") | minutes.etags("marts/") == published
        assert source_books(minutes.ledger("orders")) == books
        with minutes.connection() as connection:
            state = State(minutes.workspace)
            compared = [
                each for node in minutes.workspace.project.nodes.values() for each in verify_table(connection, state, node)
            ]
        assert compared
        assert all(each.is_same and each.is_current for each in compared)

    def test_what_was_ingested_is_not_ingested_again(self, minutes: ShopLake) -> None:
        compacted(minutes, grace=NO_GRACE)
        assert minutes.ingest("orders").records == 0

    def test_partitions_without_a_day_are_compacted_too(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "AT_LEAST", 2)
        for number in range(4):
            lines = [
                deleted_order(f"never{number}", 10 * number),
                order(f"stray{number}", 10 * number + 1, op="u"),
                change("orders", "t", 10 * number + 2, {}),
            ]
            lake.land("orders", f"{number}.json", text(*lines))
            lake.ingest("orders")
        before = events(lake)
        assert {UNPLACED, NOTED, TRUNCATES} <= before.keys()
        assert {merge.partition for merge in compacted(lake, grace=NO_GRACE).merges} == {DAY, UNPLACED, NOTED, TRUNCATES}
        assert events(lake) == before
        # What placement looks for is still found.
        lake.land("orders", "late.json", text(order("never3", 5), order("stray2", 500, day=OTHER_DAY, op="u")))
        assert (placed := lake.ingest("orders").placement) is not None
        assert {part.partition for part in placed.parts} == {DAY, OTHER_DAY}
        lake.run()
        assert lake.rows("SELECT order_id, order_day::VARCHAR FROM latest.orders ORDER BY 1") == [("stray2", OTHER_DAY)]

    def test_copies_stay_apart_from_what_they_are_copies_of(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "AT_LEAST", 3)
        for number in range(3):
            lake.land("orders", f"{number}.json", text(order(f"o{number}", 2 * number)))
            lake.ingest("orders")
            lake.land("orders", f"{number} moves.json", text(order(f"o{number}", 2 * number + 1, day=OTHER_DAY, op="u")))
            lake.ingest("orders")
        assert [(merge.partition, len(merge.objects)) for merge in compacted(lake).merges] == [
            (DAY, 3),
            (DAY, 3),
            (OTHER_DAY, 3),
            (OTHER_DAY, 3),
            (NOTED, 3),
        ]

    def test_an_event_that_moves_after_it(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        compacted(minutes, grace=NO_GRACE)
        minutes.land("orders", "moves.json", text(order("o1", 999, day=OTHER_DAY, op="u")))
        minutes.land("orders", "deleted.json", text(deleted_order("o2", 1000)))
        assert minutes.ingest("orders").partitions == (DAY, OTHER_DAY)
        minutes.run()
        assert minutes.rows("SELECT order_day::VARCHAR FROM enriched.orders WHERE order_id = 'o1'") == [(OTHER_DAY,)]
        assert minutes.rows("SELECT count(*) FROM enriched.orders WHERE order_id = 'o2'") == [(0,)]
        land_minutes(minutes, 3, first=AT_LEAST)
        before = events(minutes)
        monkeypatch.setattr(compaction, "AT_LEAST", 3)
        assert compacted(minutes, grace=NO_GRACE).merges
        assert events(minutes) == before

    def test_a_late_file_gives_what_a_rebuild_gives(self, minutes: ShopLake, tmp_path: Path) -> None:
        compacted(minutes, grace=NO_GRACE)
        late = text(order("o3", 999, amount="77.00", op="u"))
        minutes.land("orders", "late.json", late)
        assert minutes.run().plans["enriched.orders"].dirty.keys() == {DAY}
        whole = ShopLake(tmp_path / "whole")
        for info in minutes.store.list("landing/"):
            whole.land(*info.key.split("/")[1:], minutes.store.get(info.key))
        whole.run()
        for table in whole.workspace.domain.tables:
            query = f"SELECT * EXCLUDE (processing_timestamp, job_run_id) FROM {table} ORDER BY ALL"
            assert minutes.rows(query) == whole.rows(query), table

    def test_objects_of_another_schema_stay_apart(self, tmp_path: Path) -> None:
        declared = {"format": JsonDocuments(version="amount"), "partition": Daily("folder", of="day")}
        for version in ({}, {"money": "amount"}):
            lake = lake_of(tmp_path, "rows", Row, **declared, **version)
            for number in range(AT_LEAST):
                lake.land("rows", f"{len(version)}{number}.json", b'{"id": %d, "amount": "1", "day": "2025-01-03"}' % number)
                lake.ingest("rows")
        before = events(lake, "rows")
        done = compacted(lake, "rows", grace=NO_GRACE)
        assert [len(merge.objects) for merge in done.merges if merge.partition == DAY] == [AT_LEAST, AT_LEAST]
        assert events(lake, "rows") == before
        assert lake.rows("SELECT count(*) FROM latest.rows") == [(AT_LEAST,)]

    def test_a_lake_on_s3(self, minutes: ShopLake, s3_store, tmp_path: Path) -> None:
        for prefix in ("raw/customers/", "audit/ingested/customers/"):
            for info in minutes.store.list(prefix):
                s3_store.put(info.key, minutes.store.get(info.key))
        with connect(Limits("500MB", 1, tmp_path / "scratch"), s3_store.s3_access()) as connection:
            done = compact(
                s3_store, connection, minutes.source("customers"), tmp_path / "scratch", grace=-dt.timedelta(minutes=1)
            )
        assert (done.objects, done.rows, done.removed) == (AT_LEAST, AT_LEAST, AT_LEAST)
        (key,) = [info.key for info in s3_store.list("raw/customers/")]
        assert is_compacted(key)


class TestRemoval:
    def test_what_was_replaced_stays_for_readers_that_do_not_know(self, minutes: ShopLake) -> None:
        reader = State(minutes.workspace)
        known = {each.key for found in reader.available("latest.orders").values() for each in found}
        assert compacted(minutes).removed == 0
        assert compacted(minutes).removed == 0
        assert known <= set(raw(minutes))
        assert compacted(minutes, grace=NO_GRACE).removed == len(known)
        assert raw(minutes) == in_use(minutes)

    def test_nothing_is_left_for_a_second_one(self, minutes: ShopLake) -> None:
        compacted(minutes, grace=NO_GRACE)
        entries = len(minutes.ledger("orders").batches)
        again = compacted(minutes, grace=NO_GRACE)
        assert (again.merges, again.removed) == ([], 0)
        assert len(minutes.ledger("orders").batches) == entries

    def test_what_a_killed_one_left_is_removed_after_the_grace(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as killed:
            killed.setattr(LedgerLog, "append", stop)
            with pytest.raises(KeyboardInterrupt):
                compacted(minutes)
        (left,) = set(raw(minutes)) - set(in_use(minutes))
        compacted(minutes)
        assert left in raw(minutes)
        compacted(minutes, grace=NO_GRACE)
        assert raw(minutes) == in_use(minutes)
        assert minutes.ledger("orders").compactions[-1].discarded == (left,)

    def test_what_a_killed_ingest_left_is_not_touched(self, minutes: ShopLake) -> None:
        left = f"raw/orders/order_day={DAY}/2025-01-10/killed.parquet"
        minutes.store.put(left, b"PAR1")
        compacted(minutes, grace=NO_GRACE)
        assert left in raw(minutes)


def stop(*_: object) -> bool:
    raise KeyboardInterrupt


def meanwhile(monkeypatch: pytest.MonkeyPatch, lake: ShopLake, action: Callable[[], object]) -> None:
    """Do something, once, when a compaction has put its object and not yet recorded it."""
    put, done = lake.store.put, []

    def interrupted(key: str, *args: Any, **options: Any) -> Any:
        info = put(key, *args, **options)
        if is_compacted(key) and not done:
            done.append(key)
            action()
        return info

    monkeypatch.setattr(lake.store, "put", interrupted)


class TestAtOnce:
    def test_an_ingest_meanwhile(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        before = len(events(minutes)[DAY])
        meanwhile(monkeypatch, minutes, lambda: land_minutes(minutes, 2, first=100))
        assert len(compacted(minutes, grace=NO_GRACE).merges) == 2
        assert len(events(minutes)[DAY]) == before + 2
        assert raw(minutes) == in_use(minutes)

    def test_another_compaction_meanwhile(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        before = events(minutes)
        other: list[Compacted] = []
        meanwhile(monkeypatch, minutes, lambda: other.append(compacted(minutes)))
        mine = compacted(minutes)
        assert (len(mine.merges), len(other[0].merges)) == (0, 2)
        assert events(minutes) == before
        assert len([key for key in raw(minutes) if is_compacted(key)]) == 2, "the one that lost takes its objects away"

    def test_one_that_was_taken_for_killed_records_nothing(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        before = events(minutes)

        def clean() -> None:
            with monkeypatch.context() as patched:
                patched.setattr(compaction, "AT_LEAST", 100)
                assert compacted(minutes, grace=NO_GRACE).removed == 1

        meanwhile(monkeypatch, minutes, clean)
        assert [merge.partition for merge in compacted(minutes).merges] == [OTHER_DAY]
        assert events(minutes) == before
        assert set(in_use(minutes)) <= set(raw(minutes))

    def test_a_write_whose_answer_was_lost_counts(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        append = LedgerLog.append
        answers = itertools.chain([False], itertools.repeat(True))

        def lost(log: LedgerLog, batch: Batch) -> bool:
            other = LedgerLog(log.store, log.source)
            other.read()
            return append(other, batch) and next(answers)

        monkeypatch.setattr(LedgerLog, "append", lost)
        assert len(compacted(minutes).merges) == 2
        assert set(in_use(minutes)) <= set(raw(minutes))


class TestProof:
    def test_an_object_that_was_changed_by_hand_stops_it(self, minutes: ShopLake) -> None:
        path = Path(minutes.store.path(in_use(minutes)[0]))
        fewer = pq.read_table(path).slice(1)
        path.unlink()
        pq.write_table(fewer, path)
        objects = raw(minutes)
        with pytest.raises(StoreError, match="8 objects have 7 rows, and the ledger says 8"):
            compacted(minutes)
        assert raw(minutes) == objects

    def test_other_rows_than_were_read_are_not_recorded(self, minutes: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        contents = iter([(8, 1), (8, 2)])
        monkeypatch.setattr(compaction, "content_of", lambda *_: next(contents))
        with pytest.raises(StoreError, match="the rows written differ from the rows read"):
            compacted(minutes)
        assert minutes.ledger("orders").compactions == ()

    def test_an_object_that_cannot_be_read_stops_it(self, minutes: ShopLake) -> None:
        path = Path(minutes.store.path(in_use(minutes)[0]))
        path.unlink()
        path.write_bytes(b"no parquet")
        with pytest.raises(StoreError, match=r"raw\.orders 2025-01-03 cannot be compacted"):
            compacted(minutes)


def ledger_of(rows: dict[str, int], partition: str = DAY) -> Ledger:
    """A ledger of a customers batch for each object."""
    parts = [Part(partition, key, count, "0", "v") for key, count in rows.items()]
    return Ledger("customers", tuple(Batch(part.key, "v", (), (part,)) for part in parts))


class TestChoice:
    def test_few_objects_are_left_alone(self, lake: ShopLake) -> None:
        sizes = {f"k{number}": 10 for number in range(AT_LEAST - 1)}
        assert find_merges(ledger_of(sizes), lake.source("customers"), sizes) == []

    def test_events_that_wait_for_their_placement_are_left_alone(self, lake: ShopLake) -> None:
        sizes = {f"k{number}": 10 for number in range(AT_LEAST)}
        assert find_merges(ledger_of(sizes), lake.source("orders"), sizes) == []

    def test_objects_that_were_not_listed_are_left_alone(self, lake: ShopLake) -> None:
        sizes = {f"k{number}": 10 for number in range(AT_LEAST)}
        assert find_merges(ledger_of({**sizes, "newer": 5}), lake.source("customers"), sizes)[0].objects == tuple(sizes)

    def test_a_limit_leaves_the_rest_for_the_next_time(self, minutes: ShopLake) -> None:
        assert [merge.partition for merge in compacted(minutes, most_rows=1).merges] == [DAY]
        assert [merge.partition for merge in compacted(minutes, most_rows=1).merges] == [OTHER_DAY]

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.integers(1, SMALL * 5 // 4) | st.integers(1, 1000), max_size=40))
    def test_what_is_chosen_is_bounded_and_worth_it(self, lake: ShopLake, given_sizes: list[int]) -> None:
        sizes = {f"k{number}": size for number, size in enumerate(given_sizes)}
        merges = find_merges(ledger_of(sizes), lake.source("customers"), sizes)
        chosen = [key for merge in merges for key in merge.objects]
        assert len(chosen) == len(set(chosen))
        for merge in merges:
            assert len(merge.objects) > 1
            assert sum(sizes[key] for key in merge.objects) <= 2 * SMALL
            assert all(sizes[key] < SMALL for key in merge.objects)
            assert list(merge.objects) == [key for key in sizes if key in merge.objects]
            assert merge.rows == sum(sizes[key] for key in merge.objects)

    def test_a_day_of_batches_is_written_a_few_times_and_ends_as_a_few_objects(self, lake: ShopLake) -> None:
        sizes: dict[str, int] = {}
        batches: list[Batch] = []
        written = 0
        for hour in range(24):
            for minute in range(60):
                part = Part(DAY, f"{hour}:{minute}", 100, "0", "v")
                batches.append(Batch(part.key, "v", (), (part,)))
                sizes[part.key] = 100
            for merge in find_merges(Ledger("customers", tuple(batches)), lake.source("customers"), sizes):
                new = f"compacted {hour}"
                sizes[new] = sum(sizes[key] for key in merge.objects)
                written += sizes[new]
                batches.append(
                    Batch(new, "v", (), (), compaction=Compaction({new: merge.objects}, (), "2025-01-01T00:00:00+00:00"))
                )
            ledger = Ledger("customers", tuple(batches))
            assert len({ledger.object_of(part) for part in ledger.parts[DAY]}) < AT_LEAST
        assert written <= 6 * 24 * 60 * 100
