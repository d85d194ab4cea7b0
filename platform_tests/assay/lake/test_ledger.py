"""The ledger: each batch recorded once, by whoever is first, and read back as it was, segments or not."""

from __future__ import annotations

import datetime as dt
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.lake import ObjectStore, ledger, open_store
from assay.lake.ledger import SEGMENTS, Batch, Compaction, LandedObject, Ledger, LedgerLog, Part

SEGMENT = SEGMENTS[0]


def batch(number: int, partition: str = "2025-01-03") -> Batch:
    landed = (LandedObject(f"landing/orders/{number}", f"etag {number}", 3, 1, messages=number % 3),)
    parts = (Part(partition, f"raw/orders/{number}", 2, "1.5000", "v1"),)
    return Batch(f"id{number}", "v1", landed, parts, quarantine=None if number % 2 else f"quarantine/{number}", copies=number)


def recorded(ledger: Ledger) -> tuple[Batch, ...]:
    """Its batches, as they were before they were recorded."""
    assert all(each.recorded_at for each in ledger.batches)
    return tuple(replace(each, recorded_at="") for each in ledger.batches)


def test_nothing_recorded_is_an_empty_ledger(file_store: ObjectStore) -> None:
    ledger = LedgerLog(file_store, "orders").read()
    assert (ledger.batches, ledger.landed, ledger.parts) == ((), {}, {})


def test_batches_are_read_back_as_they_were_in_their_order(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    written = [batch(number) for number in range(5)]
    assert all(log.append(each) for each in written)
    assert recorded(LedgerLog(file_store, "orders").read()) == tuple(written)
    assert LedgerLog(file_store, "other").read().batches == ()


def test_it_knows_versions_by_object_and_raw_objects_by_partition(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for number, day in enumerate(["2025-01-03", "2025-01-04", "2025-01-03"]):
        log.append(batch(number, day))
    ledger = log.read()
    assert ledger.landed == {f"landing/orders/{number}": f"etag {number}" for number in range(3)}
    assert {day: [part.key for part in parts] for day, parts in ledger.parts.items()} == {
        "2025-01-03": ["raw/orders/0", "raw/orders/2"],
        "2025-01-04": ["raw/orders/1"],
    }


def test_who_has_not_read_the_newest_batch_cannot_record(file_store: ObjectStore) -> None:
    first, second = LedgerLog(file_store, "orders"), LedgerLog(file_store, "orders")
    first.read()
    second.read()
    assert first.append(batch(1))
    assert not second.append(batch(2))
    assert recorded(second.read()) == (batch(1),)
    assert second.append(batch(2))
    assert recorded(first.read()) == (batch(1), batch(2))


def test_many_writers_at_once_lose_and_repeat_nothing(s3_store: ObjectStore) -> None:
    gate = threading.Barrier(4)

    def write(writer: int) -> None:
        log = LedgerLog(s3_store, "orders")
        gate.wait()
        for number in range(5):
            log.read()
            while not log.append(batch(100 * writer + number)):
                log.read()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = [each.id for each in LedgerLog(s3_store, "orders").read().batches]
    assert sorted(found) == sorted(f"id{100 * writer + number}" for writer in range(4) for number in range(5))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 70), known=st.integers(0, 70), lost=st.sets(st.integers(0, 40)))
def test_segments_change_nothing_that_is_read(tmp_path_factory, count: int, known: int, lost: set[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "SEGMENTS", (3, 9, 27))
        store = open_store(tmp_path_factory.mktemp("lake").as_uri())
        log, early = LedgerLog(store, "orders"), LedgerLog(store, "orders")
        for number in range(count):
            if number == known:
                early.read()
            assert log.append(batch(number))
        segments = sorted(info.key for info in store.list("audit/ingested/orders/") if info.key.endswith(".gz"))
        assert len(segments) == count // 3 + count // 9 + count // 27
        # Whoever is killed after its entry leaves the segments out.
        for place, key in enumerate(segments):
            if place in lost:
                store.delete(key)
        written = tuple(batch(number) for number in range(count))
        assert recorded(LedgerLog(store, "orders").read()) == written
        assert recorded(early.read()) == written


def test_what_is_known_is_not_read_again(file_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log, other = LedgerLog(file_store, "orders"), LedgerLog(file_store, "orders")
    for number in range(SEGMENT + 2):
        log.append(batch(number))
    asked: list[str] = []
    get = file_store.get
    monkeypatch.setattr(file_store, "get", lambda key: asked.append(key) or get(key))
    assert other.read() == log.known
    folder = "audit/ingested/orders/"
    entries = [f"{folder}{number:010d}.json" for number in (SEGMENT + 1, SEGMENT + 2, SEGMENT + 3)]
    assert asked == [
        f"{folder}0000000064.64.json.gz",
        f"{folder}0000004096.4096.json.gz",
        f"{folder}0000000128.64.json.gz",
        *entries,
    ]
    asked.clear()
    assert other.read() is other.known
    assert asked == entries[-1:]


def test_entries_that_a_segment_sums_up_are_not_read_one_by_one(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for number in range(SEGMENT + 1):
        log.append(batch(number))
    entries = [info.key for info in file_store.list("audit/ingested/orders/") if not info.key.endswith(".gz")]
    for key in sorted(entries)[:SEGMENT]:
        file_store.delete(key)
    again = LedgerLog(file_store, "orders")
    assert len(again.read().batches) == SEGMENT + 1
    assert again.append(batch(999))


def test_a_segment_that_was_never_written_is_not_missed(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for number in range(SEGMENT + 1):
        log.append(batch(number))
    for info in list(file_store.list("audit/ingested/orders/")):
        if info.key.endswith(".gz"):
            file_store.delete(info.key)
    assert len(LedgerLog(file_store, "orders").read().batches) == SEGMENT + 1


def placement(number: int, *covers: str) -> Batch:
    return Batch(
        f"p{number}", "v1", (), (Part("2025-01-03", f"raw/orders/p{number}", 1, "0.0000", "v1"),), copies=1, covers=covers
    )


def test_batches_that_no_placement_covers_are_not_among_the_placed(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for each in (batch(1), batch(2), placement(1, "id1", "id2"), batch(3)):
        log.append(each)
    ledger = LedgerLog(file_store, "orders").read()
    assert [each.id for each in ledger.placements] == ["p1"]
    assert [each.id for each in ledger.unplaced] == ["id3"]
    assert [part.key for part in ledger.placed_parts["2025-01-03"]] == ["raw/orders/1", "raw/orders/2", "raw/orders/p1"]
    assert [part.key for part in ledger.parts["2025-01-03"]][-1] == "raw/orders/3"


def compaction(new: str, *replaced: str, discarded: tuple[str, ...] = ()) -> Batch:
    made = Compaction({new: replaced}, discarded, "2025-01-03T00:00:00+00:00")
    return Batch(f"of {new}", "v1", (), (), compaction=made)


def test_compactions_change_where_parts_are_and_nothing_else(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for each in (batch(1), batch(2), placement(1, "id1", "id2"), batch(3)):
        log.append(each)
    before = log.read()
    log.append(compaction("first", "raw/orders/1", "raw/orders/2", discarded=("left",)))
    log.append(compaction("second", "first", "raw/orders/3"))
    ledger = LedgerLog(file_store, "orders").read()
    assert [each.discarded for each in ledger.compactions] == [("left",), ()]
    assert ledger == log.known
    assert (ledger.landed, ledger.parts, ledger.placed_parts) == (before.landed, before.parts, before.placed_parts)
    assert ledger.unplaced == before.unplaced
    parts = ledger.parts["2025-01-03"]
    assert [ledger.object_of(part) for part in parts] == ["second", "second", "raw/orders/p1", "second"]
    assert [before.object_of(part) for part in parts] == [part.key for part in parts]


def test_compactions_are_in_segments(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    for number in range(SEGMENT - 1):
        log.append(batch(number))
    log.append(compaction("all", *(f"raw/orders/{number}" for number in range(SEGMENT - 1))))
    ledger = LedgerLog(file_store, "orders").read()
    assert ledger == log.known
    assert {ledger.object_of(part) for part in ledger.parts["2025-01-03"]} == {"all"}


def test_an_entry_of_before_there_were_messages_placements_and_compactions_is_read(file_store: ObjectStore) -> None:
    landed = {"key": "landing/orders/1", "etag": "e", "records": 3, "quarantined": 1}
    entry = {"id": "old", "version": "v0", "landed": [landed], "parts": [], "quarantine": None, "copies": 2}
    file_store.put("audit/ingested/orders/0000000001.json", json.dumps(entry).encode())
    (read,) = LedgerLog(file_store, "orders").read().batches
    assert (read.messages, read.covers, read.copies, read.landed[0].messages, read.landed[0].events) == (None, (), 2, 0, 2)
    assert read.compaction is None


def test_it_says_what_was_known_at_an_instant_and_what_was_landed_since(file_store: ObjectStore) -> None:
    log = LedgerLog(file_store, "orders")
    log.append(batch(1))
    between = dt.datetime.now(dt.UTC)
    log.append(batch(2))
    log.append(Batch("c", "v1", landed=(), parts=(), compaction=Compaction({"raw/c": ("raw/orders/1",)}, (), "2025-01-01")))

    ledger = LedgerLog(file_store, "orders").read()
    known = ledger.known_at(between)
    assert [each.id for each in known.batches] == ["id1", "c"]
    # What was compacted since is no more where it was.
    assert known.object_of(known.parts["2025-01-03"][0]) == "raw/c"
    assert ledger.landed_since(between) == {"landing/orders/2"}
    assert ledger.known_at(dt.datetime.now(dt.UTC)).batches == ledger.batches
