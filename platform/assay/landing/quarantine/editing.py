"""Editing quarantined records: turning a requested change into an edit, and landing it.

Belongs here: making an edit from what was read in a record's place; landing it. Does not belong here: what an edit holds
(`readers.edits`), reading a record in its place (`in_place`), what it replaces (`replaced`), which records are requested
(`pipeline`).

A record is edited by its text, which is read as if it were in its landing object; or by the values of its columns, which replace
the values that were read. The position stays the record's own: an edit cannot make a record newer.

An event whose row a contract rejected has already been ingested. Its edit is an update right after it; if the edit changes the
key, it also deletes the old one.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from assay.contracts import Daily, Source
from assay.errors import Conflict, EditError
from assay.lake.ledger import Ledger
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.landing_objects import explained
from assay.landing.batches.staging import drop_staged, stage
from assay.landing.files.landed_file import LandedFile
from assay.landing.quarantine.in_place import LAND, Found, Wish, read_in_place
from assay.landing.readers.edits import Edit, EditsReader, Event, edit_of

AFTER = 0
"""Appended to the position of the record that an edit replaces: after it, but before anything that ties add."""
_AGAIN = "Nothing was changed. Correct the file and run again."


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
    """Make the requested edits, and land them.

    All are checked before the first is landed. An edit that has already landed is left unchanged.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        ledger: The source's ledger.
        wishes: The requested changes.
        by: Who edits the records.
        why: The reason given.

    Raises:
        EditError: A record cannot be edited this way, and nothing has landed; or another edit has landed first, and the edits
            before it stand.
        StoreError: The lake cannot be read or written.
    """
    folder = scratch / f"edit-{source.name}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True, exist_ok=True)
    cursor = connection.cursor()
    try:
        read = read_in_place(store, cursor, source, ledger, folder, wishes)
        edits = [_edit(source, wish, found, by, why) for wish, found in read]
        _check(cursor, source, edits, folder)
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
        if there is None:
            raise EditError(
                f"{key} is not an edit, but has the name of one that is to land.", hint="Take it out of the landing zone."
            ) from None
        if there.events != edit.events:
            raise EditError(
                f"{edit.object}, line {edit.line}, was edited by {there.by} on {there.at[:10]} ({there.why}).",
                hint=f"If that edit is in quarantine, edit it: {key}.",
            ) from None


def _edit(source: Source, wish: Wish, found: Sequence[Found], by: str, why: str) -> Edit:
    """Make the edit for a requested change; `found` is what was read in the record's place."""
    part = ""
    if wish.text is not None:
        events = _of_text(wish, found)
        after = wish.text
    else:
        unknown = wish.values.keys() - {spec.name for spec in source.columns}
        if unknown:
            names = ", ".join(spec.name for spec in source.columns)
            raise EditError(
                f"{wish.place}: {source.full_name} has no column {', '.join(sorted(unknown))}.", hint=f"It has {names}."
            )
        events = _of_row(source, wish, found) if wish.kind == "row" else _of_values(wish, found)
        after = json.dumps(events[-1].values, ensure_ascii=False)
        if wish.kind == "row":
            part = json.dumps({name: events[0].values[name] for name in source.key})
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


def _of_text(wish: Wish, found: Sequence[Found]) -> list[Event]:
    refused = [each.reason for each in found if each.reason]
    if refused or not found:
        raise EditError(f"{wish.place}: the edited record cannot be read: {(refused or ['it is no record'])[0]}.", hint=_AGAIN)
    if any(each.event.op == "m" for each in found):
        raise EditError(f"{wish.place}: the edited record is a message, not a row change.", hint=_AGAIN)
    return [each.event for each in found]


def _of_values(wish: Wish, found: Sequence[Found]) -> list[Event]:
    # A record that the source's current declaration can read may be changed all the same.
    meant = [each for each in found if each.reason] or list(found)
    if len(meant) != 1:
        raise EditError(
            f"{wish.place}: there are {len(meant):,} records, and `set` does not say which one.",
            hint=f"Change its `record`. {LAND}",
        )
    reason = meant[0].reason
    if reason and not any(re.search(rf"\b{re.escape(name)}\b", reason) for name in wish.values):
        raise EditError(f"{wish.place}: `set` does not change the value that is wrong: {reason}.", hint=_AGAIN)
    event = meant[0].event
    if not event.sequence or event.op not in ("c", "u", "d", "r"):
        raise EditError(f"{wish.place}: its position or operation could not be read.", hint=f"Change its `record`. {LAND}")
    return [_with(event, wish.values)]


def _of_row(source: Source, wish: Wish, found: Sequence[Found]) -> list[Event]:
    shown = json.loads(wish.before)
    same = [each for each in found if all(json.loads(each.record)[name] == shown.get(name) for name in source.key)]
    if len(same) != 1 or same[0].reason is not None:
        why = same[0].reason if same else "its key is not there"
        raise EditError(f"{wish.place}: the event of the quarantined row can no longer be read there: {why}.", hint=LAND)
    partition = source.partition
    if isinstance(partition, Daily) and partition.moves == "never" and wish.values.keys() & set(source.day_columns):
        raise EditError(f"{wish.place}: an event of {source.full_name} never moves to another day.", hint=LAND)
    before = replace(same[0].event, sequence=wish.sequence or same[0].event.sequence)
    after = _with(replace(before, op="d" if before.op == "d" else "u"), wish.values)
    if all(after.values[name] == before.values[name] for name in source.key):
        return [after]
    gone = {name: value if name in source.key else None for name, value in before.values.items()}
    return [Event("d", before.sequence, before.source_timestamp, None, None, None, gone), replace(after, missing=None)]


def _check(cursor: duckdb.DuckDBPyConnection, source: Source, edits: Sequence[Edit], folder: Path) -> None:
    """Read edits as they will be ingested, and reject all of them if one would go to quarantine."""
    files: dict[str, Edit] = {}
    landed: list[LandedFile] = []
    now = dt.datetime.now(dt.UTC)
    for number, edit in enumerate(edits):
        path = folder / f"{number}.edit"
        path.write_bytes(edit.to_lines())
        files[edit.key(source.name)] = edit
        landed.append(LandedFile(ObjectInfo(edit.key(source.name), "", path.stat().st_size, now), path))
    staged = f"edited_{uuid.uuid4().hex}"
    try:
        stage(cursor, source, EditsReader(), landed, staged, folder)
        refused = cursor.execute(
            f"SELECT key, _reason FROM {staged} JOIN {staged}_files ON path = _path WHERE _reason IS NOT NULL ORDER BY ALL"
        ).fetchone()
    finally:
        drop_staged(cursor, staged)
    if refused:
        edit = files[refused[0]]
        raise EditError(f"{edit.object}, line {edit.line}: the edited record cannot be read: {refused[1]}.", hint=_AGAIN)


def _with(event: Event, values: Mapping[str, str | None]) -> Event:
    """An event with other values, whose columns are then no longer missing or unchanged."""
    return replace(
        event,
        values={**event.values, **values},
        missing=tuple(name for name in event.missing or () if name not in values) or None,
        unchanged=tuple(name for name in event.unchanged or () if name not in values) or None,
    )
