"""Editing records in quarantine: what somebody changes is made an edit and landed.

Belongs here: reading a record in its place, with what is changed, into the events that it stands for; landing the edit. Does not
belong here: what an edit holds (`edits`), what it replaces (`edited`), who may edit what (`pipeline`).

A record is edited by its text, which is read as if it stood in its landing object; or by the values of its columns, which take
the place of those that were read. The position is the record's own: an edit cannot make a record newer.

What was refused by a contract is an event already. Its edit is an update right after it; where that has another key, a delete of
the old one goes with it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from assay.contracts import Daily, Source
from assay.contracts.rules import literal, quote
from assay.errors import Conflict, EditError, ObjectMissing
from assay.lake.ledger import Ledger
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.edits import Edit, EditsReader, Event, Kind, edit_of, is_edit
from assay.landing.patches import patched, text_of
from assay.landing.reading import Objects, explained
from assay.landing.records import BLANK, LandedFile
from assay.landing.staging import drop_staged, stage
from assay.landing.typed import LINE

AFTER = 0
"""Follows the position of the record that an edit replaces: after it, and before all that ties add."""
_AGAIN = "Nothing was changed. Correct the file and run again."
_LAND = "Land a corrected object under a new name."


@dataclass(frozen=True)
class Wish:
    """A record in quarantine, and what it is to be.

    Attributes:
        object: Its landing object.
        line: Its line there.
        kind: What it is.
        before: The record as it is shown; of an event whose row was refused, a JSON object of its source's columns.
        sequence: Of such an event, its position.
        text: The record's new text; None to keep what was read of it.
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
class _Read:
    """What was read of a record.

    Attributes:
        reason: Why it is refused.
        event: The event that it is.
        record: Its columns, as JSON.
        about: The day that it is about.
    """

    reason: str | None
    event: Event
    record: str
    about: str | None


def land_edits(
    store: ObjectStore,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    scratch: Path,
    ledger: Ledger,
    wishes: Sequence[Wish],
    by: str,
    why: str,
) -> list[Edit]:
    """Make edits of what is wished, and land them.

    All are checked before the first is landed. An edit that has landed before is left as it is.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        ledger: The source's ledger.
        wishes: The records.
        by: Who edits them.
        why: Why.

    Raises:
        EditError: A record cannot be edited so; nothing has landed. Or another edit has landed first; those before it stand.
        StoreError: The lake cannot be read or written.
    """
    folder = scratch / f"edit-{source.name}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True, exist_ok=True)
    cursor = connection.cursor()
    try:
        editor = _Editor(store, cursor, source, ledger, folder)
        edits = [editor.edit(wish, found, by, why) for wish, found in editor.read(wishes)]
        editor.check(edits)
    except (duckdb.Error, OSError) as error:
        raise explained(source, "landing objects with records in quarantine", error) from error
    finally:
        cursor.close()
        shutil.rmtree(folder, ignore_errors=True)
    for edit in edits:
        _land(store, source, edit)
    return edits


def _land(store: ObjectStore, source: Source, edit: Edit) -> None:
    key = edit.key(source.name)
    try:
        store.put(key, edit.to_lines(), if_absent=True)
    except Conflict:
        there = edit_of(store.get(key))
        if there.events != edit.events:
            raise EditError(
                f"{edit.object}, line {edit.line}, was edited by {there.by} on {there.at[:10]} ({there.why}).",
                hint=f"If that edit is in quarantine, edit it: {key}.",
            ) from None


@dataclass
class _Editor:
    """Makes edits of records of one source."""

    store: ObjectStore
    cursor: duckdb.DuckDBPyConnection
    source: Source
    ledger: Ledger
    folder: Path

    def read(self, wishes: Sequence[Wish]) -> list[tuple[Wish, list[_Read]]]:
        """Read what is wished, in its place: each record with its new text, or as it is."""
        found: list[tuple[Wish, list[_Read]]] = []
        for edits in (False, True):
            alike = [wish for wish in wishes if is_edit(wish.object) == edits]
            objects = Objects(self.store, self.source, [self._info(key) for key in sorted({wish.object for wish in alike})])
            found += self._read(objects, alike) if alike else []
        return found

    def _info(self, key: str) -> ObjectInfo:
        hint = f"What it held is in quarantine still. {_LAND}"
        try:
            info = self.store.head(key)
        except ObjectMissing as error:
            raise EditError(f"{key} is gone from the landing zone, so that its records cannot be read.", hint=hint) from error
        if self.ledger.landed.get(key) != info.etag:
            raise EditError(f"{key} is another object than was ingested.", hint=hint)
        return info

    def _read(self, objects: Objects, wishes: Sequence[Wish]) -> list[tuple[Wish, list[_Read]]]:
        files = {file.info.key: file for file in objects.fetch(self.folder)}
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

    @contextmanager
    def _staged(self, objects: Objects, files: list[LandedFile]) -> Iterator[tuple[str, set[str]]]:
        """Stage files; gives the table and the keys of the objects that were salvaged."""
        staged = f"edited_{uuid.uuid4().hex}"
        try:
            objects.stage(self.cursor, files, staged, self.folder)
            salvaged = self.cursor.execute(
                f"SELECT key FROM {staged} JOIN {staged}_files ON path = _path GROUP BY 1 HAVING bool_and(NOT _running)"
            ).fetchall()
            yield staged, {str(key) for (key,) in salvaged}
        finally:
            drop_staged(self.cursor, staged)

    def _records(self, staged: str, places: Sequence[tuple[Wish, int]]) -> list[tuple[Wish, list[_Read]]]:
        names = [spec.name for spec in self.source.columns]
        packed = ", ".join(f"{literal(name)}: {quote(name)}" for name in names)
        columns = "".join(f", {quote(name)}::VARCHAR" for name in names)
        records: list[tuple[Wish, list[_Read]]] = []
        for wish, line in places:
            found = self.cursor.execute(
                "SELECT _reason, _op, _sequence, coalesce(_source_timestamp, file.modified)::VARCHAR, _missing, _unchanged, "
                f"_rescued, _about::VARCHAR, to_json({{{packed}}})::VARCHAR{columns} FROM {staged} AS record "
                f"JOIN {staged}_files AS file ON file.path = record._path "
                f"WHERE file.key = ? AND {LINE} = ? AND _op IS DISTINCT FROM 't' AND _reason IS DISTINCT FROM {literal(BLANK)}",
                [wish.object, line],
            ).fetchall()
            records.append((wish, [_read(row, names) for row in found]))
        return records

    def edit(self, wish: Wish, found: Sequence[_Read], by: str, why: str) -> Edit:
        """Make the edit that does what is wished.

        Args:
            wish: What is wished.
            found: What was read in the record's place.
            by: Who edits it.
            why: Why.

        Raises:
            EditError: It cannot be done.
        """
        part = ""
        if wish.text is not None:
            events = self._of_text(wish, found)
            after = wish.text
        else:
            unknown = wish.values.keys() - {spec.name for spec in self.source.columns}
            if unknown:
                names = ", ".join(spec.name for spec in self.source.columns)
                raise EditError(
                    f"{wish.place}: {self.source.full_name} has no column {', '.join(sorted(unknown))}.", hint=f"It has {names}."
                )
            events = self._of_row(wish, found) if wish.kind == "row" else self._of_values(wish, found)
            after = json.dumps(events[-1].values, ensure_ascii=False)
            if wish.kind == "row":
                part = json.dumps({name: events[0].values[name] for name in self.source.key})
        return Edit(
            object=wish.object,
            line=wish.line,
            kind=wish.kind,
            part=part,
            by=by,
            why=why,
            at=dt.datetime.now(dt.UTC).isoformat(),
            before=wish.before,
            after=after,
            events=tuple(replace(event, sequence=(*event.sequence, AFTER)) for event in events),
        )

    def _of_text(self, wish: Wish, found: Sequence[_Read]) -> list[Event]:
        refused = [each.reason for each in found if each.reason]
        if refused or not found:
            raise EditError(
                f"{wish.place}: the edited record cannot be read: {(refused or ['it is no record'])[0]}.", hint=_AGAIN
            )
        if any(each.event.op == "m" for each in found):
            raise EditError(f"{wish.place}: the edited record is a message, and no change of a row.", hint=_AGAIN)
        return [each.event for each in found]

    def _of_values(self, wish: Wish, found: Sequence[_Read]) -> list[Event]:
        # What can be read now, as its source is declared now, may be changed all the same.
        meant = [each for each in found if each.reason] or list(found)
        if len(meant) != 1:
            raise EditError(
                f"{wish.place}: there are {len(meant):,} records, so that `set` does not say which.",
                hint=f"Change its `record`. {_LAND}",
            )
        reason = meant[0].reason
        if reason and not any(re.search(rf"\b{re.escape(name)}\b", reason) for name in wish.values):
            raise EditError(f"{wish.place}: `set` does not change what is wrong with it: {reason}.", hint=_AGAIN)
        event = meant[0].event
        if not event.sequence or event.op not in ("c", "u", "d", "r"):
            raise EditError(f"{wish.place}: its position or operation could not be read.", hint=f"Change its `record`. {_LAND}")
        return [_with(event, wish.values)]

    def _of_row(self, wish: Wish, found: Sequence[_Read]) -> list[Event]:
        shown = json.loads(wish.before)
        same = [each for each in found if all(json.loads(each.record)[name] == shown.get(name) for name in self.source.key)]
        if len(same) != 1 or same[0].reason is not None:
            why = same[0].reason if same else "its key is not there"
            raise EditError(f"{wish.place}: the event of the refused row cannot be read there any more: {why}.", hint=_LAND)
        partition = self.source.partition
        if isinstance(partition, Daily) and partition.moves == "never" and wish.values.keys() & set(self.source.day_columns):
            raise EditError(f"{wish.place}: what {self.source.full_name} is about never moves to another day.", hint=_LAND)
        before = replace(same[0].event, sequence=wish.sequence or same[0].event.sequence)
        after = _with(replace(before, op="d" if before.op == "d" else "u"), wish.values)
        if all(after.values[name] == before.values[name] for name in self.source.key):
            return [after]
        gone = {name: value if name in self.source.key else None for name, value in before.values.items()}
        return [Event("d", before.sequence, before.source_timestamp, None, None, None, gone), replace(after, missing=None)]

    def check(self, edits: Sequence[Edit]) -> None:
        """Read edits as they will be ingested.

        Raises:
            EditError: One of them would be refused, or would put a row into a second partition.
        """
        files: dict[str, Edit] = {}
        landed: list[LandedFile] = []
        now = dt.datetime.now(dt.UTC)
        for number, edit in enumerate(edits):
            path = self.folder / f"{number}.edit"
            path.write_bytes(edit.to_lines())
            files[edit.key(self.source.name)] = edit
            landed.append(LandedFile(ObjectInfo(edit.key(self.source.name), "", path.stat().st_size, now), path))
        staged = f"edited_{uuid.uuid4().hex}"
        try:
            stage(self.cursor, self.source, EditsReader(), landed, staged, self.folder)
            refused = self.cursor.execute(
                f"SELECT key, _reason FROM {staged} JOIN {staged}_files ON path = _path WHERE _reason IS NOT NULL ORDER BY ALL"
            ).fetchone()
        finally:
            drop_staged(self.cursor, staged)
        if refused:
            edit = files[refused[0]]
            raise EditError(f"{edit.object}, line {edit.line}: the edited record cannot be read: {refused[1]}.", hint=_AGAIN)


def _read(row: Sequence[Any], names: Sequence[str]) -> _Read:
    reason, op, sequence, timestamp, missing, unchanged, rescued, about, record, *values = row
    event = Event(
        op=str(op),
        sequence=tuple(sequence or ()),
        source_timestamp=timestamp,
        missing=tuple(missing) if missing else None,
        unchanged=tuple(unchanged) if unchanged else None,
        rescued=rescued,
        values=dict(zip(names, values, strict=True)),
    )
    return _Read(reason, event, record, about)


def _with(event: Event, values: Mapping[str, str | None]) -> Event:
    """An event with other values, which it gives from now on."""
    return replace(
        event,
        values={**event.values, **values},
        missing=tuple(name for name in event.missing or () if name not in values) or None,
        unchanged=tuple(name for name in event.unchanged or () if name not in values) or None,
    )
