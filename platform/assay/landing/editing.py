"""Editing records in quarantine: what somebody changes is made an edit and landed.

Belongs here: making an edit of what was read in a record's place; landing it. Does not belong here: what an edit holds (`edits`),
reading a record in its place (`in_place`), what it replaces (`edited`), which records somebody means (`pipeline`).

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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from assay.contracts import Daily, Source
from assay.errors import Conflict, EditError
from assay.lake.ledger import Ledger
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.edits import Edit, EditsReader, Event, edit_of
from assay.landing.in_place import LAND, Found, Wish, read_in_place
from assay.landing.reading import explained
from assay.landing.records import LandedFile
from assay.landing.staging import drop_staged, stage

AFTER = 0
"""Follows the position of the record that an edit replaces: after it, and before all that ties add."""
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
                f"{key} is no edit and stands where one is to land.", hint="Take it out of the landing zone."
            ) from None
        if there.events != edit.events:
            raise EditError(
                f"{edit.object}, line {edit.line}, was edited by {there.by} on {there.at[:10]} ({there.why}).",
                hint=f"If that edit is in quarantine, edit it: {key}.",
            ) from None


def _edit(source: Source, wish: Wish, found: Sequence[Found], by: str, why: str) -> Edit:
    """Make the edit that does what is wished of a record; `found` is what was read in its place."""
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
        raise EditError(f"{wish.place}: the edited record is a message, and no change of a row.", hint=_AGAIN)
    return [each.event for each in found]


def _of_values(wish: Wish, found: Sequence[Found]) -> list[Event]:
    # What can be read now, as its source is declared now, may be changed all the same.
    meant = [each for each in found if each.reason] or list(found)
    if len(meant) != 1:
        raise EditError(
            f"{wish.place}: there are {len(meant):,} records, so that `set` does not say which.",
            hint=f"Change its `record`. {LAND}",
        )
    reason = meant[0].reason
    if reason and not any(re.search(rf"\b{re.escape(name)}\b", reason) for name in wish.values):
        raise EditError(f"{wish.place}: `set` does not change what is wrong with it: {reason}.", hint=_AGAIN)
    event = meant[0].event
    if not event.sequence or event.op not in ("c", "u", "d", "r"):
        raise EditError(f"{wish.place}: its position or operation could not be read.", hint=f"Change its `record`. {LAND}")
    return [_with(event, wish.values)]


def _of_row(source: Source, wish: Wish, found: Sequence[Found]) -> list[Event]:
    shown = json.loads(wish.before)
    same = [each for each in found if all(json.loads(each.record)[name] == shown.get(name) for name in source.key)]
    if len(same) != 1 or same[0].reason is not None:
        why = same[0].reason if same else "its key is not there"
        raise EditError(f"{wish.place}: the event of the refused row cannot be read there any more: {why}.", hint=LAND)
    partition = source.partition
    if isinstance(partition, Daily) and partition.moves == "never" and wish.values.keys() & set(source.day_columns):
        raise EditError(f"{wish.place}: what {source.full_name} is about never moves to another day.", hint=LAND)
    before = replace(same[0].event, sequence=wish.sequence or same[0].event.sequence)
    after = _with(replace(before, op="d" if before.op == "d" else "u"), wish.values)
    if all(after.values[name] == before.values[name] for name in source.key):
        return [after]
    gone = {name: value if name in source.key else None for name, value in before.values.items()}
    return [Event("d", before.sequence, before.source_timestamp, None, None, None, gone), replace(after, missing=None)]


def _check(cursor: duckdb.DuckDBPyConnection, source: Source, edits: Sequence[Edit], folder: Path) -> None:
    """Read edits as they will be ingested, and refuse all of them if one would go to quarantine."""
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
    """An event with other values, which it gives from now on."""
    return replace(
        event,
        values={**event.values, **values},
        missing=tuple(name for name in event.missing or () if name not in values) or None,
        unchanged=tuple(name for name in event.unchanged or () if name not in values) or None,
    )
