"""Ingesting a source: landing objects in, raw batches and ledger entries out.

Belongs here: fetching, reading, writing and recording batches. Does not belong here: formats (the readers), which objects
(`outstanding`), typing (`typed`), what becomes of the events (`engine`).

A batch is recorded by one conditional write to the ledger, after everything it names is there. Whatever a killed ingest has
left behind is named by what it came from and is written again, or never read.
"""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.errors import AssayError, IngestError, StoreError
from assay.lake.layout import UNPLACED, landing_prefix, raw_part_key, raw_quarantine_key
from assay.lake.ledger import Batch, LandedObject, Ledger, LedgerLog, Part
from assay.lake.store import DISK_IS_FULL, ObjectInfo, ObjectStore
from assay.landing.fetch import FETCHERS, fetch
from assay.landing.lines import Rejected
from assay.landing.outstanding import Outstanding, batch_id, batches, outstanding
from assay.landing.parts import WrittenPart, write_parts
from assay.landing.placement import copy_waiting, has_unplaced, place_batch
from assay.landing.readers import reader_for
from assay.landing.records import BLANK, LandedFile, Parsed
from assay.landing.typed import LINE, event_select, typed_records

_ABOUT_DATA = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.IOException,
)
"""What DuckDB raises about a file that it cannot read whole. Any other error is ours, and is not to be hidden by salvaging."""
MONEY_SCALE = Decimal("0.0001")

Progress = Callable[[int], None]
"""Called with the number of records each time a batch is recorded."""


@dataclass
class Ingested:
    """What one ingest of a source did.

    Attributes:
        source: The source.
        batches: The batches it recorded.
        warnings: What an operator should know.
    """

    source: Source
    batches: list[Batch] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records read, good and bad."""
        return sum(landed.records for batch in self.batches for landed in batch.landed)

    @property
    def quarantined(self) -> int:
        """Records refused."""
        return sum(landed.quarantined for batch in self.batches for landed in batch.landed)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Partitions that got new events."""
        return tuple(sorted({part.partition for batch in self.batches for part in batch.parts} - {UNPLACED}))


def find_outstanding(store: ObjectStore, source: Source, ledger: Ledger, now: dt.datetime) -> Outstanding:
    """List a source's landing objects and compare them with its ledger."""
    settled = now - dt.timedelta(seconds=store.settles) if store.settles else None
    return outstanding(store.list(landing_prefix(source.name)), ledger, settled)


def ingest(
    store: ObjectStore,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    scratch: Path,
    *,
    workers: int = 2,
    now: dt.datetime | None = None,
    progress: Progress = lambda records: None,
) -> Ingested:
    """Ingest whatever has landed for a source and was not ingested.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        workers: Batches read at a time.
        now: The time, for stores in which objects grow in place; UTC.
        progress: Told of records as they are recorded.

    Raises:
        StoreError: The lake cannot be read or written; what was recorded before stands.
        IngestError: The local disk is full.
    """
    log = LedgerLog(store, source.name)
    found = find_outstanding(store, source, log.read(), now or dt.datetime.now(dt.UTC))
    done = Ingested(source, warnings=_warnings(source, found))
    work = _Work(store, connection, source, scratch, log)
    with ThreadPoolExecutor(workers, thread_name_prefix=f"ingest-{source.name}") as pool:
        running = [pool.submit(work.ingest_batch, objects) for objects in batches(found.new)]
        try:
            for batch in _finished(running):
                if batch is not None:
                    done.batches.append(batch)
                    progress(sum(landed.records for landed in batch.landed))
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return done


def _finished(running: Sequence[Future[Batch | None]]) -> Iterator[Batch | None]:
    for future in as_completed(running):
        yield future.result()


def _warnings(source: Source, found: Outstanding) -> list[str]:
    replaced = [
        f"{info.key} was replaced after it was ingested; the new content is not used. Land it under a new name."
        for info in found.replaced
    ]
    deleted = [f"{key} was deleted after it was ingested; its events stay in raw.{source.name}." for key in found.deleted]
    return replaced + deleted


@dataclass
class _Work:
    """What the batches of one ingest share."""

    store: ObjectStore
    connection: duckdb.DuckDBPyConnection
    source: Source
    scratch: Path
    log: LedgerLog
    recording: threading.Lock = field(default_factory=threading.Lock)

    def ingest_batch(self, objects: tuple[ObjectInfo, ...]) -> Batch | None:
        """Read, write and record one batch; None when another ingest has taken some of its objects."""
        name = batch_id(objects, self.source)
        folder = self.scratch / f"ingest-{self.source.name}-{name}-{threading.get_ident()}"
        folder.mkdir(parents=True, exist_ok=True)
        cursor = self.connection.cursor()
        staged = f"staged_{name}"
        try:
            files = fetch(self.store, objects, folder)
            if not files:
                return None
            _stage(cursor, self.source, files, staged, folder)
            return self._write_and_record(cursor, name, files, staged, folder)
        except (duckdb.Error, OSError) as error:
            raise _explained(self.source, objects, error) from error
        finally:
            for suffix in ("", "_files", "_again"):
                cursor.execute(f"DROP TABLE IF EXISTS {staged}{suffix}")
            cursor.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _write_and_record(
        self, cursor: duckdb.DuckDBPyConnection, name: str, files: list[LandedFile], staged: str, folder: Path
    ) -> Batch | None:
        landed = _landed(cursor, files, staged)
        ledger = self.log.known
        while True:
            batch = self._write(cursor, name, landed, staged, folder, ledger)
            with self.recording:
                newest = self.log.read()
                while not _is_overtaken(batch, ledger, newest):
                    if any(each.key in newest.landed for each in batch.landed):
                        return None
                    if self.log.append(batch):
                        return batch
                    newest = self.log.read()
                ledger = newest

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        name: str,
        landed: tuple[LandedObject, ...],
        staged: str,
        folder: Path,
        ledger: Ledger,
    ) -> Batch:
        events = self._events(cursor, staged, ledger)
        ingested_on = cursor.execute(f"SELECT max(modified)::DATE::VARCHAR FROM {staged}_files").fetchone()
        day = str(ingested_on[0] if ingested_on else "")

        def upload(written: WrittenPart) -> Part:
            key = raw_part_key(self.source, written.partition, day, name)
            self.store.put(key, written.path)
            return Part(written.partition, key, written.rows, str(written.money.quantize(MONEY_SCALE)), self.source.version)

        with ThreadPoolExecutor(FETCHERS) as pool:
            parts = tuple(pool.map(upload, write_parts(cursor, events, folder)))
        return Batch(
            id=name,
            version=self.source.version,
            landed=landed,
            parts=parts,
            quarantine=self._write_quarantine(cursor, name, staged, folder),
            copies=sum(part.rows for part in parts) - sum(each.records - each.quarantined for each in landed),
        )

    def _events(self, cursor: duckdb.DuckDBPyConnection, staged: str, ledger: Ledger) -> str:
        """Write the query of a staged batch's raw events, with those that now find their partition."""
        events = (
            f"SELECT {event_select(self.source)}, record._partition AS _p FROM {staged} AS record "
            f"JOIN {staged}_files AS file ON file.path = record._path WHERE record._reason IS NULL"
        )
        if self.source.partition_column is None:
            return events
        if has_unplaced(cursor, staged):
            place_batch(
                cursor, self.source, staged, [self.store.path(part.key) for parts in ledger.parts.values() for part in parts]
            )
        waiting = [self.store.path(part.key) for part in ledger.parts.get(UNPLACED, ())]
        placed = copy_waiting(cursor, self.source, staged, waiting)
        if placed is None:
            return events
        columns = ", ".join(quote(column) for column in self.source.types)
        return f"{events} UNION ALL SELECT {columns}, {quote(self.source.partition_column)}::VARCHAR FROM ({placed})"

    def _write_quarantine(self, cursor: duckdb.DuckDBPyConnection, name: str, staged: str, folder: Path) -> str | None:
        refused = (
            f"SELECT file.key AS _landing_object, {LINE} AS _landing_row, file.modified AS _ingested_at, "
            f"record._record, ['readable'] AS _rules, [record._reason] AS _reasons, "
            f"{literal(self.source.version)} AS _contract "
            f"FROM {staged} AS record JOIN {staged}_files AS file ON file.path = record._path "
            f"WHERE record._reason IS NOT NULL AND record._reason <> {literal(BLANK)}"
        )
        found = cursor.execute(f"SELECT count(*) FROM ({refused})").fetchone()
        if not found or not found[0]:
            return None
        key = raw_quarantine_key(self.source.name, name)
        path = folder / "quarantine.parquet"
        cursor.execute(
            f"COPY (FROM ({refused}) ORDER BY _landing_object, _landing_row) TO {literal(str(path))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        self.store.put(key, path)
        return key


def _explained(source: Source, objects: Sequence[ObjectInfo], error: duckdb.Error | OSError) -> AssayError:
    """Say what stopped a batch: room, the lake, or what is in it."""
    said = str(error).split("\n", 1)[0]
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in said or getattr(error, "errno", None) in DISK_IS_FULL:
        return IngestError(
            f"{source.full_name}: there is no room to read what has landed: {said}",
            hint="Raise ASSAY_MEMORY, or free space below ASSAY_HOME.",
        )
    if isinstance(error, duckdb.IOException | OSError):
        return StoreError(f"{source.full_name}: the lake cannot be read: {said}", hint="Run again.")
    return IngestError(
        f"{source.full_name}: {len(objects)} landing objects, {objects[0].key} to {objects[-1].key}, cannot be read: {said}",
        hint="Nothing of them was recorded. Correct the source's declaration, or take the object out of the landing zone.",
    )


def _is_overtaken(batch: Batch, seen: Ledger, newest: Ledger) -> bool:
    """Whether batches recorded since a batch was written may hold the keys, or the waiting events, that it lacks."""
    since = newest.batches[len(seen.batches) :]
    waits = any(part.partition == UNPLACED for part in batch.parts)
    return bool(since) and (waits or any(part.partition == UNPLACED for other in since for part in other.parts))


def _stage(cursor: duckdb.DuckDBPyConnection, source: Source, files: list[LandedFile], staged: str, folder: Path) -> None:
    """Read files into a staged table, the damaged ones record by record, and list them beside it."""
    reader = reader_for(source)
    cursor.execute(
        f"CREATE OR REPLACE TABLE {staged} AS SELECT *, true AS _running FROM ({typed_records(_no_records(source), source)})"
    )
    readable = [file for file in files if file.info.size > 0]
    for file in files:
        if file.info.size == 0:
            _insert_rejected(cursor, staged, file.path, [Rejected(1, "", "the file is empty")])
    cut = [file for file in readable if file.is_damaged]
    whole = [file for file in readable if not file.is_damaged]
    if whole and not _try_insert(cursor, source, staged, reader.parse(whole, source)):
        cut += [file for file in whole if not _try_insert(cursor, source, staged, reader.parse([file], source))]
    for file in cut:
        _insert(cursor, source, staged, reader.salvage(file, source, folder), running=False)
    _list_files(cursor, source, files, staged)
    _recheck(cursor, source, whole, staged, folder)


def _recheck(cursor: duckdb.DuckDBPyConnection, source: Source, files: list[LandedFile], staged: str, folder: Path) -> None:
    """Read again, exactly, the records that the fast way of reading found unusual."""
    reader = reader_for(source)
    wanted = f"{staged}_again"
    cursor.execute(
        f"CREATE OR REPLACE TABLE {wanted} AS SELECT path, _n - base AS n FROM {staged} JOIN {staged}_files ON path = _path "
        "WHERE _running AND _reason IS NOT NULL"
    )
    unusual = {path for (path,) in cursor.execute(f"SELECT DISTINCT path FROM {wanted}").fetchall()}
    for file in files:
        again = reader.recheck(file, wanted, source) if str(file.path) in unusual else None
        if again is None:
            continue
        mine = f"DELETE FROM {staged} WHERE _path = {literal(str(file.path))}"
        if _try_insert(cursor, source, staged, again, running=False) and _is_complete(cursor, staged, wanted, file.path):
            cursor.execute(f"{mine} AND _running AND _reason IS NOT NULL")
        else:
            cursor.execute(mine)
            _insert(cursor, source, staged, reader.salvage(file, source, folder), running=False)


def _is_complete(cursor: duckdb.DuckDBPyConnection, staged: str, wanted: str, path: Path) -> bool:
    """Whether every record that was to be read again was found again."""
    found = cursor.execute(
        f"SELECT (SELECT count(*) FROM {staged} WHERE _path = $1 AND NOT _running) = "
        f"(SELECT count(*) FROM {wanted} WHERE path = $1)",
        [str(path)],
    ).fetchone()
    return bool(found and found[0])


def _try_insert(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str, parsed: Parsed, *, running: bool = True) -> bool:
    """Insert parsed records; or nothing, and say so, when DuckDB cannot read a file whole."""
    cursor.execute("BEGIN")
    try:
        _insert(cursor, source, staged, parsed, running=running)
    except duckdb.Error as error:
        cursor.execute("ROLLBACK")
        if not _is_about_data(error):
            raise
        return False
    cursor.execute("COMMIT")
    return True


def _is_about_data(error: duckdb.Error) -> bool:
    # The CSV reader calls a line that is longer than its buffer "not implemented".
    return (isinstance(error, _ABOUT_DATA) or "CSV Reader" in str(error)) and "No space left" not in str(error)


def _insert(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str, parsed: Parsed, *, running: bool) -> None:
    """Insert parsed records, whose number is a running one over all files, or their line."""
    for query in parsed.queries:
        cursor.execute(f"INSERT INTO {staged} SELECT *, {literal(running)} FROM ({typed_records(query, source)})")
    for path, rejected in parsed.rejected.items():
        _insert_rejected(cursor, staged, path, rejected)


def _insert_rejected(cursor: duckdb.DuckDBPyConnection, staged: str, path: Path, rejected: list[Rejected]) -> None:
    if rejected:
        cursor.executemany(
            f"INSERT INTO {staged} BY NAME SELECT ? AS _path, ? AS _n, ? AS _record, ? AS _reason, false AS _running, "
            f"{literal(UNPLACED)} AS _partition",
            [(str(path), each.row, each.record, each.reason) for each in rejected],
        )


def _no_records(source: Source) -> str:
    texts = ", ".join(f"NULL::VARCHAR AS {quote(spec.name)}" for spec in source.columns)
    return (
        "SELECT NULL::VARCHAR AS _path, NULL::BIGINT AS _n, NULL::VARCHAR AS _record, NULL::VARCHAR AS _reason, "
        "NULL::VARCHAR AS _op, NULL::BIGINT[] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp, "
        f"NULL::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued, {texts} WHERE false"
    )


def _list_files(cursor: duckdb.DuckDBPyConnection, source: Source, files: list[LandedFile], staged: str) -> None:
    """Create the table of a batch's files; `base` turns a record's running number into its line."""
    cursor.execute(
        f"CREATE OR REPLACE TABLE {staged}_files (path VARCHAR, key VARCHAR, modified TIMESTAMPTZ, base BIGINT DEFAULT 0)"
    )
    if files:
        rows = [(str(file.path), file.info.key, file.info.modified) for file in files]
        cursor.executemany(f"INSERT INTO {staged}_files (path, key, modified) VALUES (?, ?, ?)", rows)
    cursor.execute(
        f"UPDATE {staged}_files SET base = first_n - {reader_for(source).first_row} FROM "
        f"(SELECT _path, min(_n) AS first_n FROM {staged} WHERE _running GROUP BY 1) WHERE path = _path"
    )


def _landed(cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str) -> tuple[LandedObject, ...]:
    counts = {
        path: (int(records), int(refused))
        for path, records, refused in cursor.execute(
            f"SELECT _path, count(*), count(*) FILTER (_reason IS NOT NULL) FROM {staged} "
            f"WHERE _reason IS DISTINCT FROM {literal(BLANK)} GROUP BY 1"
        ).fetchall()
    }
    return tuple(
        LandedObject(file.info.key, file.info.etag, *counts.get(str(file.path), (0, 0)))
        for file in sorted(files, key=lambda file: file.info.key)
    )
