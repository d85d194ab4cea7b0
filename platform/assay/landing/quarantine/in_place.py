"""Reading quarantined records in their place: as they are in their landing objects, or with other text.

Belongs here: a requested change, and what reading it gives. Does not belong here: putting text into an object (`patched_files`),
making an edit of what was read (`editing`).

An object is read as a whole, because a record's meaning may depend on its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.errors import EditError, ObjectMissing
from assay.lake.ledger import Ledger
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.landing_objects import Objects
from assay.landing.batches.staging import drop_staged
from assay.landing.batches.typed import LINE
from assay.landing.files.landed_file import LandedFile
from assay.landing.quarantine.patched_files import patched, text_of
from assay.landing.readers.edits import Event, Kind, is_edit
from assay.landing.readers.parsed_record import BLANK

LAND = "Land a corrected object under a new name."
"""The hint if a record cannot be edited."""


@dataclass(frozen=True)
class Wish:
    """A quarantined record, and the change requested for it.

    Attributes:
        object: Its landing object.
        line: Its line in that object.
        kind: Its kind.
        before: The record as it is shown; for an event whose row was rejected, a JSON object of its source's columns.
        sequence: The position of such an event.
        text: The record's new text; None to keep its text.
        values: New values, as texts, by column.
    """

    object: str
    line: int
    kind: Kind
    before: str
    sequence: tuple[int, ...] | None = None
    text: str | None = None
    values: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The record, for messages."""
        return f"{self.object}, line {self.line}"


@dataclass(frozen=True)
class Found:
    """What was read of a record.

    Attributes:
        reason: Why it is rejected, if it is.
        event: Its event.
        record: Its columns, as JSON.
    """

    reason: str | None
    event: Event
    record: str


def read_in_place(
    store: ObjectStore,
    cursor: duckdb.DuckDBPyConnection,
    source: Source,
    ledger: Ledger,
    folder: Path,
    wishes: Sequence[Wish],
) -> list[tuple[Wish, list[Found]]]:
    """Read records in their place, each with its requested text or unchanged.

    Args:
        store: The lake.
        cursor: DuckDB, with access to the lake.
        source: The source.
        ledger: Its ledger.
        folder: For temporary files.
        wishes: The requested changes.

    Returns:
        Every requested change with the events read in its record's place.

    Raises:
        EditError: A landing object no longer exists, or a text does not fit into it.
        duckdb.Error: There is no room, or the lake cannot be reached.
    """
    reading = _Reading(store, cursor, source, ledger, folder)
    found: list[tuple[Wish, list[Found]]] = []
    for edits in (False, True):
        alike = [wish for wish in wishes if is_edit(wish.object) == edits]
        found += reading.read(alike) if alike else []
    return found


@dataclass(frozen=True)
class _Reading:
    """Reads records of one source."""

    store: ObjectStore
    cursor: duckdb.DuckDBPyConnection
    source: Source
    ledger: Ledger
    folder: Path

    def read(self, wishes: Sequence[Wish]) -> list[tuple[Wish, list[Found]]]:
        """Read records of landing objects that are either all a producer's or all edits."""
        objects = Objects(self.store, self.source, [self._info(key) for key in sorted({wish.object for wish in wishes})])
        files = {file.info.key: file for file in objects.fetch(self.folder)}
        if gone := sorted({wish.object for wish in wishes} - files.keys()):
            raise EditError(f"{gone[0]} has changed while it was read.", hint="Run again.")
        with self._staged(objects, list(files.values())) as (staged, salvaged):
            found = self._records(staged, [(wish, wish.line) for wish in wishes if wish.text is None])
        texts: dict[str, dict[int, str]] = {}
        for wish in wishes:
            if wish.text is not None:
                text = text_of(files[wish.object], wish.before, wish.text, self.source)
                texts.setdefault(wish.object, {})[wish.line] = text
        copies = {
            key: patched(files[key], own, self.source, self.folder / f"{number}.patched", one_by_one=key in salvaged)
            for number, (key, own) in enumerate(texts.items())
        }
        if copies:
            with self._staged(objects, [copy.file for copy in copies.values()]) as (staged, salvaged):
                lines = {key: copy.lines(self.source, one_by_one=key in salvaged) for key, copy in copies.items()}
                changed = [(wish, lines[wish.object].get(wish.line, 0)) for wish in wishes if wish.text is not None]
                found += self._records(staged, changed)
        return found

    def _info(self, key: str) -> ObjectInfo:
        hint = f"Its records are still in quarantine. {LAND}"
        try:
            info = self.store.head(key)
        except ObjectMissing as error:
            raise EditError(f"{key} is gone from the landing zone, so its records cannot be read.", hint=hint) from error
        if self.ledger.landed.get(key) != info.etag:
            raise EditError(f"{key} has been replaced since it was ingested.", hint=hint)
        return info

    @contextmanager
    def _staged(self, objects: Objects, files: list[LandedFile]) -> Iterator[tuple[str, set[str]]]:
        """Stage files; yields the table and the keys of the objects that were salvaged."""
        staged = f"edited_{uuid.uuid4().hex}"
        try:
            objects.stage(self.cursor, files, staged, self.folder)
            salvaged = self.cursor.execute(
                f"SELECT key FROM {staged} JOIN {staged}_files ON path = _path GROUP BY 1 HAVING bool_and(NOT _running)"
            ).fetchall()
            yield staged, {str(key) for (key,) in salvaged}
        finally:
            drop_staged(self.cursor, staged)

    def _records(self, staged: str, places: Sequence[tuple[Wish, int]]) -> list[tuple[Wish, list[Found]]]:
        names = [spec.name for spec in self.source.columns]
        packed = ", ".join(f"{literal(name)}: {quote(name)}" for name in names)
        columns = "".join(f", {quote(name)}::VARCHAR" for name in names)
        records: list[tuple[Wish, list[Found]]] = []
        for wish, line in places:
            found = self.cursor.execute(
                "SELECT _reason, _op, _sequence, coalesce(_source_timestamp, file.modified)::VARCHAR, _missing, _unchanged, "
                f"_rescued, to_json({{{packed}}})::VARCHAR{columns} FROM {staged} AS record "
                f"JOIN {staged}_files AS file ON file.path = record._path "
                f"WHERE file.key = ? AND {LINE} = ? AND _op IS DISTINCT FROM 't' AND _reason IS DISTINCT FROM {literal(BLANK)}",
                [wish.object, line],
            ).fetchall()
            records.append((wish, [_found(row, names) for row in found]))
        return records


def _found(row: Sequence[Any], names: Sequence[str]) -> Found:
    reason, op, sequence, timestamp, missing, unchanged, rescued, record, *values = row
    event = Event(
        op=str(op),
        sequence=tuple(sequence or ()),
        source_timestamp=timestamp,
        missing=tuple(missing) if missing else None,
        unchanged=tuple(unchanged) if unchanged else None,
        rescued=rescued,
        values=dict(zip(names, values, strict=True)),
    )
    return Found(reason, event, record)
