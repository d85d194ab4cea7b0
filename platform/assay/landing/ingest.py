"""Ingesting a source: landing objects in, raw batches and ledger entries out.

Belongs here: fetching, reading, writing and recording batches. Does not belong here: formats (the readers), which objects
(`batches.outstanding`), typing (`batches.typed`), other partitions that events concern (`placement`), using the events
(`engine`).

A batch is recorded by one conditional write to the ledger, after every object it references exists. What a killed ingest leaves
behind is named by its content, and is either written again or never read.
"""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.contracts.version import fingerprint
from assay.lake.layout import NOTED, TRUNCATES, UNPLACED, landing_prefix
from assay.lake.ledger import Batch, LandedObject, Layout, Ledger, LedgerLog
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.landing_objects import Objects, explained
from assay.landing.batches.outstanding import Outstanding, batch_id, batches, cuts, outstanding
from assay.landing.batches.recorder import Recorder
from assay.landing.batches.staging import count_staged, drop_staged, write_staged
from assay.landing.batches.too_late import refuse_too_late
from assay.landing.drift import Differences, find_drift, layout_id, new_columns, write_held
from assay.landing.files.landed_file import LandedFile
from assay.landing.kafka.keys import KeysBeside, keys_beside
from assay.landing.placement import place
from assay.landing.quarantine.refused import write_messages, write_refused
from assay.landing.quarantine.replaced import Replaced, find_replaced, keep_copies
from assay.landing.quarantine.replay import Replay, replay
from assay.landing.quarantine.replay_batch import Replayed
from assay.landing.readers.registry import is_of_sink
from assay.landing.snapshots import judged, sort_out

_MOST_NAMED = 5
"""Landing objects that are named where the same is said of many."""

Progress = Callable[[int], None]
"""Called with the number of records each time a batch is recorded."""


@dataclass
class Ingested:
    """What one ingest of a source did.

    Attributes:
        source: The source.
        batches: The batches it recorded.
        placement: The copies that it made for events of other partitions, if any.
        days: Every partition of the source, if one of the batches empties it; else none.
        warnings: What an operator should know.
        held: By key of a landing object that is held back: why. It does not fit the contract (`drift`), or the library that
            reads it is not installed.
        replayed: What a replay did, if one was requested; its batches are among the others.
    """

    source: Source
    batches: list[Batch] = field(default_factory=list)
    placement: Batch | None = None
    days: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    replayed: Replayed | None = None

    @property
    def records(self) -> int:
        """The number of records read, good and bad."""
        return sum(landed.records for batch in self.batches for landed in batch.landed)

    @property
    def quarantined(self) -> int:
        """The number of records quarantined."""
        return sum(landed.quarantined for batch in self.batches for landed in batch.landed)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Partitions whose rows may have changed: those with new events or copies; all if the source was emptied."""
        placed = [self.placement] if self.placement else []
        got = {part.partition for batch in (*self.batches, *placed) for part in batch.parts}
        return tuple(sorted(got.union(self.days) - {UNPLACED, NOTED, TRUNCATES}))


def find_outstanding(store: ObjectStore, source: Source, ledger: Ledger, now: dt.datetime) -> Outstanding:
    """List a source's landing objects and compare them with its ledger.

    Objects of incomplete snapshots, and keys whose values have not landed, count as unsettled.
    """
    settled = now - dt.timedelta(seconds=store.settles) if store.settles else None
    listing = list(store.list(landing_prefix(source.name), cuts(ledger)))
    found = outstanding(listing, ledger, settled)
    arrived = sort_out(found.new, source)
    beside = keys_beside(listing, source) if is_of_sink(source) else KeysBeside()
    growing = {info.key for info in found.unsettled}
    waits = beside.waiting | {key for key, values in beside.values.items() if values.key in growing}
    return replace(
        found,
        new=tuple(info for info in arrived.ready if info.key not in waits),
        unsettled=(*found.unsettled, *arrived.waiting, *(info for info in arrived.ready if info.key in waits)),
        beside=beside,
    )


def ingest(
    store: ObjectStore,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    scratch: Path,
    *,
    pool: Executor | None = None,
    now: dt.datetime | None = None,
    progress: Progress = lambda records: None,
    replaying: Replay | None = None,
) -> Ingested:
    """Ingest everything that has landed for a source and is not yet ingested.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        pool: Where batches are read; None for one at a time.
        now: The time, for stores in which objects grow in place; UTC.
        progress: Called with the number of records as they are recorded.
        replaying: Requests a replay of quarantined records, and names those to leave alone; None for no replay.

    Raises:
        StoreError: The lake cannot be read or written; what was recorded before stands.
        IngestError: The local disk is full.
    """
    log = LedgerLog(store, source.name)
    before = log.read()
    found = find_outstanding(store, source, before, now or dt.datetime.now(dt.UTC))
    done = Ingested(source, warnings=_warnings(source, found))
    work = _Work(store, connection, source, scratch, log, beside=found.beside)
    with nullcontext(pool) if pool else ThreadPoolExecutor(1) as readers:
        cut = (*batches(found.new, found.beside), *batches(found.edits))
        running = [readers.submit(work.ingest_batch, objects) for objects in cut]
        try:
            for batch in _finished(running):
                if batch is not None:
                    done.batches.append(batch)
                    progress(sum(landed.records for landed in batch.landed))
        except BaseException:
            for future in running:
                future.cancel()
            wait(running)
            raise
        if replaying is not None:
            done.replayed = replay(store, connection, source, scratch, work.recorder, replaying, readers, progress)
            done.batches += done.replayed.batches
            done.warnings += _not_replayed(done.replayed)
    done.held = dict(sorted(work.held.items()))
    write_held(store, source.name, done.held)
    done.warnings += sorted(work.warnings)
    done.warnings += new_columns(before, done.batches, source)
    done.warnings += judged(log.known.landed_objects, source).reasons
    try:
        done.placement = place(store, connection, source, log, scratch)
    except (duckdb.Error, OSError) as error:
        raise explained(source, "the raw events", error) from error
    if any(part.partition == TRUNCATES for batch in done.batches for part in batch.parts):
        done.days = tuple(log.known.parts)
    return done


def _finished(running: Sequence[Future[Batch | None]]) -> Iterator[Batch | None]:
    for future in as_completed(running):
        yield future.result()


def _not_replayed(replayed: Replayed) -> list[str]:
    return [
        f"{key} has records in quarantine and was not read again: {why}." for key, why in sorted(replayed.unreachable.items())
    ]


def _warnings(source: Source, found: Outstanding) -> list[str]:
    """Say which ingested objects changed or are gone: of each kind in one line, for all of a landing zone may have expired."""
    told = []
    if found.replaced:
        which = _together([info.key for info in found.replaced], "replaced")
        told.append(f"{which}; the new content is not used. Land it under a new name.")
    if found.deleted:
        whose = "its" if len(found.deleted) == 1 else "their"
        told.append(f"{_together(found.deleted, 'deleted')}; {whose} events stay in raw.{source.name}.")
    return told


def _together(keys: Sequence[str], happened: str) -> str:
    if len(keys) == 1:
        return f"{keys[0]} was {happened} after it was ingested"
    each = sorted(keys)
    named = ", ".join(each) if len(each) <= _MOST_NAMED else f"{', '.join(each[: _MOST_NAMED - 1])} … {each[-1]}"
    return f"{len(each):,} landing objects were {happened} after they were ingested ({named})"


@dataclass
class _Work:
    """What the batches of one ingest share."""

    store: ObjectStore
    connection: duckdb.DuckDBPyConnection
    source: Source
    scratch: Path
    log: LedgerLog
    recorder: Recorder = field(init=False)
    warnings: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    beside: KeysBeside = field(default_factory=KeysBeside)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.log)

    def ingest_batch(self, objects: tuple[ObjectInfo, ...]) -> Batch | None:
        """Read, write and record one batch; None if another ingest has taken some of its objects."""
        reading = Objects(self.store, self.source, objects, self.beside)
        name = batch_id(objects, self.source)
        folder = self.scratch / f"ingest-{self.source.name}-{name}-{threading.get_ident()}"
        folder.mkdir(parents=True, exist_ok=True)
        cursor = self.connection.cursor()
        staged = f"staged_{name}"
        try:
            lacking: dict[str, str] = {}
            files = reading.fetch(folder, lacking)
            self.held |= lacking
            if not files:
                return None
            self.warnings += reading.stage(cursor, files, staged, folder)
            if reading.are_edits:
                return self._record_edits(cursor, files, staged, folder)
            drift = find_drift(cursor, self.source, staged)
            files = self._hold(cursor, files, staged, drift)
            return self._record(cursor, files, staged, folder, drift) if files else None
        except (duckdb.Error, OSError) as error:
            what = f"{len(objects)} landing objects, {objects[0].key} to {objects[-1].key},"
            raise explained(self.source, what, error) from error
        finally:
            drop_staged(cursor, staged)
            cursor.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _hold(
        self, cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str, drift: Differences
    ) -> list[LandedFile]:
        """Take the objects to hold out of a staged batch; returns the others."""
        if not drift.held:
            return files
        self.held |= {file.info.key: drift.held[str(file.path)] for file in files if str(file.path) in drift.held}
        held = ", ".join(literal(path) for path in drift.held)
        cursor.execute(f"DELETE FROM {staged} WHERE _path IN ({held})")
        cursor.execute(f"DELETE FROM {staged}_files WHERE path IN ({held})")
        return [file for file in files if str(file.path) not in drift.held]

    def _record(
        self, cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str, folder: Path, drift: Differences
    ) -> Batch | None:
        """Record a batch; repeat if rows were forgotten after the check for events that come too late."""
        while True:
            known = self.recorder.known()
            late = refuse_too_late(self.store, cursor, self.source, known, staged)
            batch = self._write(cursor, files, staged, folder, drift, late=late)
            recorded = self.recorder.record(batch, known.has_forgotten_less)
            if recorded is not None or self._is_taken(files):
                return recorded

    def _is_taken(self, files: list[LandedFile]) -> bool:
        """Whether another ingest has recorded some of the objects."""
        return any(file.info.key in self.recorder.known().landed for file in files)

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        files: list[LandedFile],
        staged: str,
        folder: Path,
        drift: Differences,
        replaced: Replaced | None = None,
        late: str | None = None,
    ) -> Batch:
        name = batch_id((file.info for file in files), self.source)
        name = fingerprint([name, replaced.late]) if replaced and replaced.late else name
        name = fingerprint([name, late]) if late else name
        return Batch(
            id=name,
            version=self.source.version,
            landed=_landed(cursor, files, staged, drift),
            parts=write_staged(self.store, cursor, self.source, name, staged, folder),
            quarantine=write_refused(self.store, cursor, self.source, name, files, staged, folder),
            messages=write_messages(self.store, cursor, self.source, name, staged, folder),
            layouts={layout_id(layout): layout for layout in drift.layouts.values()},
            edited=replaced.edited if replaced else (),
            recounts=replaced.recounts if replaced else (),
        )

    def _record_edits(
        self, cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str, folder: Path
    ) -> Batch | None:
        """Record edits, each as a replacement of its record, as long as that is still in quarantine."""
        keep_copies(self.store, self.source, files)
        while True:
            known = self.recorder.known()
            replaced = find_replaced(self.store, cursor, known, files, staged)
            late = refuse_too_late(self.store, cursor, self.source, known, staged)
            batch = self._write(cursor, files, staged, folder, Differences(), replaced, late)
            recorded = self.recorder.record(batch, replaced.conflicts, known.has_forgotten_less)
            if recorded is not None or self._is_taken(files):
                return recorded


def _landed(
    cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str, drift: Differences
) -> tuple[LandedObject, ...]:
    counts = count_staged(cursor, staged)
    return tuple(
        LandedObject(
            file.info.key,
            file.info.etag,
            *counts.get(str(file.path), (0, 0, 0)),
            layout=layout_id(drift.layouts.get(str(file.path), Layout())),
        )
        for file in sorted(files, key=lambda file: file.info.key)
    )
