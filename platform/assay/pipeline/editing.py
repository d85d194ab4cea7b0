"""Editing records in quarantine, from a file in the format of `assay quarantine show --json`.

Belongs here: finding the records that a file changes, and requesting the edits. Does not belong here: making an edit
(`landing.quarantine.editing`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.contracts import Source, Table
from assay.errors import EditError
from assay.landing.quarantine.editing import land_edits
from assay.landing.quarantine.in_place import Wish
from assay.landing.readers.edits import Edit
from assay.pipeline.quarantined import Record, Selection, as_text, columns_of, records
from assay.pipeline.state import State

_FORM = "Take the output of `assay quarantine show TABLE --json`, and change `record` or add `set`: {column: value}."


@dataclass(frozen=True)
class _Change:
    """A file's entry for one record.

    Attributes:
        table: Its table or source.
        id: Its id.
        record: The record in the file; None if it is left out.
        values: New values by column.
    """

    table: str
    id: str
    record: Any
    values: Mapping[str, str | None]


def edit_records(connection: duckdb.DuckDBPyConnection, state: State, text: str, by: str, why: str) -> list[Edit]:
    """Land edits of the records that a file changes; unchanged ones are skipped.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        text: The file: a JSON list of records, or one record a line.
        by: Who edits.
        why: Why.

    Raises:
        EditError: The file is invalid, or a record cannot be edited so; all edits of a source are checked before any lands.
        SettingsError: There is no such table.
        StoreError: The lake cannot be read or written.
    """
    wishes: dict[str, list[Wish]] = {}
    for name, changes in _by_table(read_changes(text), state).items():
        declared = state.workspace.domain.find(name)
        found = {each.id: each for each in records(connection, state, declared, Selection(ids=tuple(changes), dropped=True))}
        for id, change in changes.items():
            if id not in found:
                raise EditError(
                    f"{name}: there is no record {id} in quarantine.",
                    hint=f"`assay quarantine show {name}` lists the records there, `assay quarantine trail` the edited ones.",
                )
            wish = _wish(declared, found[id], change)
            if wish is not None:
                wishes.setdefault(wish.object.split("/")[1], []).append(wish)
    edits: list[Edit] = []
    for source, wished in wishes.items():
        declared = state.workspace.domain.sources[source]
        workspace = state.workspace
        edits += land_edits(workspace.store, connection, declared, workspace.scratch, state.ledger(source), wished, by, why)
    return edits


def read_changes(text: str) -> list[_Change]:
    """Parse the file of an edit.

    Raises:
        EditError: It is not such a file.
    """
    try:
        entries = json.loads(text, parse_float=str, parse_int=str) if text.lstrip().startswith("[") else _lines(text)
    except ValueError as error:
        raise EditError(f"The file is not JSON: {error}.", hint=_FORM) from error
    changes = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("table"), str) or not isinstance(entry.get("id"), str):
            raise EditError(f"Entry {number} of the file does not identify a record: it needs table and id.", hint=_FORM)
        values = entry.get("set") or {}
        if not isinstance(values, dict):
            raise EditError(f"Entry {number} of the file: `set` must be an object of values by column.", hint=_FORM)
        texts = {name: as_text(value) for name, value in values.items()}
        changes.append(_Change(entry["table"], entry["id"], entry.get("record"), texts))
    return changes


def _lines(text: str) -> list[Any]:
    return [json.loads(line, parse_float=str, parse_int=str) for line in text.splitlines() if line.strip()]


def _by_table(changes: Sequence[_Change], state: State) -> dict[str, dict[str, _Change]]:
    found: dict[str, dict[str, _Change]] = {}
    for change in changes:
        of = found.setdefault(state.workspace.domain.find(change.table).full_name, {})
        if change.id in of:
            raise EditError(f"{change.table}: the file has record {change.id} twice.", hint="Keep one of them.")
        of[change.id] = change
    return found


def _wish(declared: Source | Table, record: Record, change: _Change) -> Wish | None:
    """The edit that a file requests for a record; None if it changes nothing."""
    if isinstance(declared, Source):
        text = None if change.record in (None, record.record) else change.record
        if text is None and not change.values:
            return None
        if not isinstance(text, str | None) or (text is not None and change.values):
            raise EditError(f"{record.table} {record.id}: change either its `record`, which is text, or `set`.", hint=_FORM)
        assert record.object is not None and record.line is not None
        return Wish(record.object, record.line, "record", record.record or "", text=text, values=change.values)
    columns = columns_of(record)
    if isinstance(change.record, dict):
        told = {name: as_text(value) for name, value in change.record.items()}
    elif change.record is None:
        told = {}
    else:
        raise EditError(f"{record.table} {record.id}: its `record` must be an object of its columns.", hint=_FORM)
    values = {name: value for name, value in told.items() if columns is None or name not in columns or columns[name] != value}
    values |= change.values
    if not values:
        return None
    if record.object is None or record.line is None or columns is None:
        raise EditError(
            f"{record.table} {record.id}: the row was computed from several records, so none of them can be edited for it.",
            hint="Correct its upstream tables, its SQL or its contract.",
        )
    assert record.record is not None
    return Wish(record.object, record.line, "row", record.record, record.sequence, values=values)
