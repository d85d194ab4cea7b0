"""Replays of records that could not be read: the same events as if they had been readable from the start, each of them once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from change_lines import change, text
from debezium_lake import at as at_position
from debezium_lake import change as row_change
from debezium_lake import envelope, lines_of, rows_lake
from one_source import Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Count, Daily, Date, Event, column
from assay.lake.ledger import LedgerLog
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.recorder import Recorder
from assay.landing.formats import Csv, Debezium, Dms, Explode, JsonDocuments, Snapshot
from assay.landing.kafka.keys import KeysBeside
from assay.landing.quarantine.replay import Replay
from assay.landing.quarantine.replay_batch import GONE, MOVED, Work, reread
from assay.landing.upkeep.compaction import compact
from assay.pipeline.runs import source_books

SOURCE = "rows"
COLUMNS = "* EXCLUDE (_ingested_at, _missing, _rescued, _money) REPLACE (amount::VARCHAR AS amount)"
TOLD = f"SELECT {COLUMNS} FROM changes.rows ORDER BY ALL"


class Lenient(Event):
    """A dated row whose amount may be any text."""

    id: int = column("Key")
    day: Date = column("Day", nullable=True)
    amount: str = column("Amount", nullable=True)
    note: str = column("Text", nullable=True)


class LenientItem(Event):
    """An item of an order."""

    id: str = column("The order")
    place: Count = column("Its place")
    v: str = column("Version", nullable=True)
    amount: str = column("Amount", nullable=True)


class StrictItem(Event):
    """An item of an order, counted."""

    id: str = column("The order")
    place: Count = column("Its place")
    v: str = column("Version", nullable=True)
    amount: Count = column("Amount", nullable=True)


@dataclass
class Case:
    """Objects that a strict declaration reads in part, and a lenient one altogether."""

    objects: dict[str, bytes]
    strict: dict[str, Any]
    lenient: dict[str, Any] = field(default_factory=dict)
    models: tuple[type[Event], type[Event]] = (Row, Lenient)
    refused: int = 1

    def lake(self, folder: Path, *, is_lenient: bool) -> ShopLake:
        options = self.strict | (self.lenient if is_lenient else {})
        return lake_of(folder, SOURCE, self.models[is_lenient], **options)


def debezium(*lines: str) -> bytes:
    return text(*lines)


def row(id: int, position: int | None = None, op: str = "c", amount: str = "1.00", day: str = "2025-01-03") -> str:
    return change("t", op, position or id, {"id": id, "day": day, "amount": amount, "note": "n"})


ITEMS = JsonDocuments(version="v::BIGINT", explode=Explode("items", ordinal="place", parent={"id": "id", "v": "v"}))
DAILY = {"partition": Daily("d", of="day", moves="told")}
CASES = {
    "changes of several days and objects": Case(
        {
            "a.json": debezium(row(1), row(2, amount="1,50"), row(1, 9, "u", amount="x")),
            "b.json": debezium(row(3, amount="y", day="2025-01-04"), row(4), row(2, 12, "u", day="2025-01-05")),
        },
        {"format": Debezium("t"), **DAILY},
        refused=3,
    ),
    "an object of which nothing could be read": Case(
        {"a.json": debezium(row(1, amount="x"), row(2, amount="y"))}, {"format": Debezium("t"), **DAILY}, refused=2
    ),
    "delimited text": Case({"a.csv": b"id,day,amount,note\n1,2025-01-03,1.00,\n2,2025-01-03,x,\n"}, {"format": Csv()}),
    "delimited text with damage and records of several lines": Case(
        {"a.csv": b'id,day,amount,note\n1,,1.00,"a\nb"\n2,,x,c\n7,too,few\n3,,2.00,d\n'}, {"format": Csv()}, refused=2
    ),
    "a file that was refused as a whole": Case(
        {"a.csv": b"ident,day,amount,note\n1,,1.00,\n2,,2.00,\n", "b.csv": b"id,day,amount,note\n3,,1.00,\n"},
        {"format": Csv()},
        {"format": Csv(columns={"id": ("id", "ident")})},
    ),
    "a full snapshot": Case(
        {"s-2025-01-01.csv": b"id,amount\n1,1.00\n2,2.00\n", "s-2025-01-02.csv": b"id,amount\n2,x\n"},
        {"format": Csv(snapshot=Snapshot(share=0))},
    ),
    "a full snapshot that was damaged": Case(
        {"s-2025-01-01.csv": b"id,amount\n1,1.00\n2,2.00\n", "s-2025-01-02.csv": b"id,amount\n2,x\n3,4,5\n"},
        {"format": Csv(snapshot=Snapshot(share=0))},
        refused=2,
    ),
    "documents taken apart": Case(
        {
            "a.json": b'{"id": "a", "v": 1, "items": [{"amount": 1}, {"amount": 2}, {"amount": 3}]}\n',
            "b.json": b'{"id": "a", "v": 2, "items": [{"amount": 4}, {"amount": "x"}]}\n'
            b'{"id": "b", "v": 1, "items": [{"amount": 1}]}\n',
        },
        {"format": ITEMS, "key": ("id", "place")},
        models=(StrictItem, LenientItem),
    ),
    "files of a database migration": Case(
        {"20250110-000000001.csv": b"I,1,2025-01-03,1.00,n\nU,2,2025-01-03,x,n\nD,1,2025-01-03,,\n"},
        {"format": Dms(table="rows", layout=("id", "day", "amount", "note")), **DAILY},
    ),
}


def require_balance(lake: ShopLake) -> None:
    ledger = lake.ledger(SOURCE)
    books = source_books(ledger)
    assert books.balanced
    assert books.rows.quarantined == len(lake.refused(SOURCE))
    assert sum(each.quarantined for each in ledger.landed_objects) == len(lake.refused(SOURCE))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_replay_gives_what_reading_it_so_from_the_start_would_have(case: Case, tmp_path: Path) -> None:
    lake, fresh = case.lake(tmp_path / "lake", is_lenient=False), case.lake(tmp_path / "fresh", is_lenient=True)
    for name, content in case.objects.items():
        lake.land(SOURCE, name, content)
        fresh.land(SOURCE, name, content)
    lake.ingest(SOURCE)
    fresh.ingest(SOURCE)
    assert len(lake.refused(SOURCE)) == case.refused
    lake = case.lake(tmp_path / "lake", is_lenient=True)
    done = lake.ingest(SOURCE, Replay()).replayed
    assert done is not None and done.read == case.refused
    assert lake.rows(TOLD) == fresh.rows(TOLD)
    assert lake.refused(SOURCE) == fresh.refused(SOURCE)
    assert counts(lake) == counts(fresh)
    assert latest(lake) == latest(fresh)
    require_balance(lake)
    before = lake.etags("")
    assert lake.ingest(SOURCE, Replay()).batches == []
    assert lake.etags("") == before


def latest(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows(f"SELECT {COLUMNS} FROM latest.rows ORDER BY ALL")


def counts(lake: ShopLake) -> list[tuple[str, int, int, int]]:
    landed = lake.ledger(SOURCE).landed_objects
    return [(each.key, each.records, each.quarantined, each.messages) for each in landed]


class TestPositions:
    def test_events_whose_positions_change_by_a_record_between_them_are_told_again(self, tmp_path: Path) -> None:
        case = Case(
            {"a.json": debezium(row(1, 5), row(1, 7, "d"), row(1, 7, "c", amount="x"), row(1, 7, "u", amount="3.00"))},
            {"format": Debezium("t"), **DAILY},
        )
        lake, fresh = case.lake(tmp_path / "lake", is_lenient=False), case.lake(tmp_path / "fresh", is_lenient=True)
        for each in (lake, fresh):
            each.land(SOURCE, "a.json", case.objects["a.json"])
            each.ingest(SOURCE)
        lake = case.lake(tmp_path / "lake", is_lenient=True)
        (batch,) = lake.ingest(SOURCE, Replay()).batches
        assert batch.again == 1
        assert latest(lake) == latest(fresh)
        assert all(event in lake.rows(TOLD) for event in fresh.rows(TOLD))
        assert len(lake.rows(TOLD)) == len(fresh.rows(TOLD)) + 1
        require_balance(lake)
        copies = sum(each.copies for each in lake.ledger(SOURCE).batches)
        assert source_books(lake.ledger(SOURCE)).rows.received == 4 + batch.again + copies

    def test_records_that_are_told_apart_otherwise_now_stay(self, tmp_path: Path) -> None:
        content = b'note,amount\n"a\nb",1\nc,x\nTRAILER 2,\n'
        strict = {"format": Csv(), "key": ("note",)}
        models = (Noted, LenientlyNoted)
        case = Case({"a.csv": content}, strict, {"format": Csv(trailer=r"^TRAILER (\d+)")}, models)
        lake = case.lake(tmp_path, is_lenient=False)
        key = lake.land(SOURCE, "a.csv", content)
        lake.ingest(SOURCE)
        before = lake.rows(TOLD), lake.refused(SOURCE)
        lake = case.lake(tmp_path, is_lenient=True)
        done = lake.ingest(SOURCE, Replay())
        assert done.replayed is not None and done.replayed.unreachable == {key: MOVED}
        assert done.warnings == [f"{key} has records in quarantine and was not read again: {MOVED}."]
        assert (lake.rows(TOLD), lake.refused(SOURCE)) == before
        require_balance(lake)


class Noted(Event):
    """A note with an amount."""

    note: str = column("Text")
    amount: Count = column("Amount", nullable=True)


class LenientlyNoted(Event):
    """A note with any amount."""

    note: str = column("Text")
    amount: str = column("Amount", nullable=True)


class TestWhatIsNotRead:
    CASE = CASES["changes of several days and objects"]

    def ingested(self, folder: Path) -> ShopLake:
        lake = self.CASE.lake(folder, is_lenient=False)
        for name, content in self.CASE.objects.items():
            lake.land(SOURCE, name, content)
        lake.ingest(SOURCE)
        return self.CASE.lake(folder, is_lenient=True)

    def test_what_was_dropped_stays(self, tmp_path: Path) -> None:
        lake = self.ingested(tmp_path)
        done = lake.ingest(SOURCE, Replay(frozenset({("landing/rows/a.json", 2)}))).replayed
        assert done is not None and (done.read, done.left) == (2, 2)
        assert [(key, line) for key, line, _ in lake.refused(SOURCE)] == [("landing/rows/a.json", 2)]
        require_balance(lake)

    def test_an_object_that_is_gone_keeps_its_records_there(self, tmp_path: Path) -> None:
        lake = self.ingested(tmp_path)
        lake.store.delete("landing/rows/a.json")
        done = lake.ingest(SOURCE, Replay()).replayed
        assert done is not None and done.unreachable == {"landing/rows/a.json": GONE}
        assert (done.read, done.left) == (1, 1)
        assert {key for key, _, _ in lake.refused(SOURCE)} == {"landing/rows/a.json"}
        require_balance(lake)

    def test_nothing_in_quarantine_costs_no_listing(self, tmp_path: Path) -> None:
        lake = self.CASE.lake(tmp_path, is_lenient=True)
        done = lake.ingest(SOURCE, Replay()).replayed
        assert done is not None and (done.batches, done.read) == ([], 0)

    def test_what_another_object_tells_leaves_quarantine_and_is_counted_there(self, tmp_path: Path) -> None:
        """Values whose keys land later are refused, and the keys object tells those records."""
        lake = rows_lake(tmp_path, note=str)
        nameless = envelope("d", at_position(3), {"other": "1"})
        lake.land(SOURCE, "rows+0+0000000010.json", lines_of(row_change(1, note="x"), nameless))
        assert lake.ingest(SOURCE).quarantined == 1
        lake.land(SOURCE, "rows+0+0000000010.keys.json", lines_of({"id": "1"}, {"id": "1"}))
        lake.ingest(SOURCE)
        assert source_books(lake.ledger(SOURCE)).rows.received == 3
        done = lake.ingest(SOURCE, Replay()).replayed
        assert done is not None and done.left == 1
        books = source_books(lake.ledger(SOURCE))
        assert (books.rows.received, books.rows.quarantined, books.balanced) == (2, 0, True)


class TestOnce:
    def test_of_two_replays_at_once_one_is_recorded(self, tmp_path: Path) -> None:
        TestWhatIsNotRead().ingested(tmp_path)
        gate = threading.Barrier(3)
        lakes = [TestWhatIsNotRead.CASE.lake(tmp_path, is_lenient=True) for _ in range(3)]

        def run(lake: ShopLake) -> int:
            gate.wait()
            done = lake.ingest(SOURCE, Replay()).replayed
            assert done is not None
            return len(done.batches)

        with ThreadPoolExecutor(3) as pool:
            assert sum(pool.map(run, lakes)) == 1
        assert len(lakes[0].rows(TOLD)) == 6
        require_balance(lakes[0])

    def test_a_replay_that_is_killed_after_any_of_its_writes_leaves_nothing_wrong(self, tmp_path: Path) -> None:
        lake = TestWhatIsNotRead().ingested(tmp_path)
        for writes in itertools.count():
            before = len(lake.refused(SOURCE))
            whole = ShopLake(tmp_path, lake.workspace.domain, store=Killed(lake.store, writes))
            try:
                whole.ingest(SOURCE, Replay())
            except KilledError:
                assert len(lake.refused(SOURCE)) in (before, 0)
                assert len(lake.refused(SOURCE)) + len(told_places(lake)) == 6
            else:
                break
        assert writes >= 4
        assert lake.refused(SOURCE) == []
        assert told_places(lake) == sorted(set(told_places(lake)))
        keys = {info.key for info in lake.store.list("raw/rows/")}
        assert keys == {part.key for parts in lake.ledger(SOURCE).parts.values() for part in parts}
        require_balance(lake)

    def test_one_that_has_seen_less_and_comes_too_late_writes_into_no_others_objects(self, tmp_path: Path) -> None:
        lake = TestWhatIsNotRead().ingested(tmp_path)
        listing = {info.key: info for info in lake.store.list(f"landing/{SOURCE}/")}
        recorder = Recorder(LedgerLog(lake.store, SOURCE))
        known = recorder.log.read()
        blind = {key: info for key, info in listing.items() if not key.endswith("a.json")}
        with lake.connection() as connection:
            scratch = lake.workspace.scratch
            work = Work(lake.store, connection, lake.source(SOURCE), scratch, recorder, frozenset(), blind, KeysBeside())
            lake.ingest(SOURCE, Replay())
            before = lake.etags("")
            assert reread(work, known, known.quarantines) is None
        after = lake.etags("")
        assert {key: after[key] for key in before} == before
        assert lake.refused(SOURCE) == []
        require_balance(lake)

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_compaction_and_replays_do_not_disturb_each_other(self, when: str, tmp_path: Path) -> None:
        lake = TestWhatIsNotRead().ingested(tmp_path)
        steps: list[Callable[[], object]] = [lambda: lake.ingest(SOURCE, Replay()), lambda: compacted(lake)]
        for step in steps if when == "after" else reversed(steps):
            step()
        assert len(lake.rows(TOLD)) == 6
        lake.ingest(SOURCE, Replay())
        assert len(lake.rows(TOLD)) == 6
        require_balance(lake)


class KilledError(BaseException):
    """The process has ended."""


class Killed:
    """A store whose process ends at some write.

    Args:
        store: The store.
        writes: How many writes are done before.
    """

    def __init__(self, store: ObjectStore, writes: int) -> None:
        self._store = store
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, *arguments: Any, **options: Any) -> ObjectInfo:
        """Write, or end."""
        self._writes -= 1
        if self._writes < 0:
            raise KilledError
        return self._store.put(*arguments, **options)


def told_places(lake: ShopLake) -> list[tuple[str, int]]:
    """Object and line of every event that was read, as often as it was; copies are left out."""
    ledger = lake.ledger(SOURCE)
    parts = [part for batch in ledger.batches if not batch.covers for part in batch.parts]
    paths = sorted({lake.store.path(ledger.object_of(part)) for part in parts})
    with lake.connection() as connection:
        return connection.execute(f"SELECT _landing_object, _landing_row FROM read_parquet({paths}) ORDER BY ALL").fetchall()


def compacted(lake: ShopLake) -> None:
    with mock.patch("assay.landing.upkeep.compaction.AT_LEAST", 1), lake.connection() as connection:
        compact(lake.store, connection, lake.source(SOURCE), lake.workspace.scratch)
