"""The objects with restatements: at first one per run and replaced partition, later a few merged ones, for fast reading.

Belongs here: which objects count, and merging them. Does not belong here: their content (`restating`), who asks (`changes`,
`query`).

Merged objects are listed, with the objects that were merged into each: a merged object counts once it is listed, and from then
on those that it replaces do not. These are deleted a while later, because a query may have looked for objects before that. The
list is replaced by compare-and-swap. So a kill at any point, or two merges at once, leave nothing but merged objects that are not
listed; a later call deletes them.

Only objects that are old enough are merged, since one may be written that its run is about to remove again (`restating`).
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import duckdb

from assay.contracts import Table
from assay.contracts.rules import literal
from assay.errors import Conflict, ObjectMissing
from assay.lake.layout import (
    merged_restatements_index_key,
    merged_restatements_key,
    merged_restatements_prefix,
    quality_prefix,
    restatements_prefix,
)
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectInfo, ObjectStore
from assay.pipeline.restating import history_in
from assay.pipeline.state import State
from assay.quality.own_tables import RESTATEMENTS

AT_LEAST = 8
"""Number of objects of runs worth merging, for each table."""
LARGEST_BYTES = 8_000_000
"""Nothing is merged with an object of this size."""
GRACE = dt.timedelta(days=1)
"""How long an object stays as it is, for whoever still reads it or is about to remove it."""

_Merges = Mapping[str, Collection[str]]
"""Merged objects, each with the objects that it replaces and that are still there."""


@dataclass(frozen=True)
class Merged:
    """The result of a merge.

    Attributes:
        objects: Number of objects of runs that were merged.
        removed: Number of objects that were deleted.
    """

    objects: int = 0
    removed: int = 0


def restatement_rows(state: State, tables: Iterable[Table]) -> str:
    """Write the query of the restatements of some tables, with the columns of `quality.restatements`.

    Raises:
        StoreError: The lake cannot be read.
    """
    store = state.workspace.store
    # In this order: what is deleted in between is listed as replaced.
    merges, _ = _read(store)
    counting = _counting(merges, _listed(store))
    keys = [key for table in tables for key in _of_table(state, table, counting)]
    # Without a version: older versions of Assay may have stored other columns.
    return typed_rows(RESTATEMENTS, files_by_version(("", store.path(key)) for key in sorted(keys)))


def merge_restatements(
    connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime, grace: dt.timedelta = GRACE
) -> Merged:
    """Merge the small objects with restatements of each table, and delete those that were replaced a while ago.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        now: The time, UTC.
        grace: How long replaced objects stay.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    store = state.workspace.store
    merges, etag = _read(store)
    there = _listed(store)
    counting = _counting(merges, there)
    added = {}
    for table in state.workspace.domain.tables.values():
        keys = [key for key in _of_table(state, table, counting) if _can_be_merged(there[key], now)]
        if sum(key not in merges for key in keys) >= AT_LEAST:
            added[_write(connection, state, table, keys)] = keys
    gone = {
        key
        for merged, keys in merges.items()
        if merged in there and there[merged].modified <= now - grace
        for key in keys
        if key in there
    }
    for key in gone:
        store.delete(key)
    left = {merged: [key for key in keys if key in there.keys() - gone] for merged, keys in merges.items() if merged not in gone}
    if left | added != merges and not _replace(store, left | added, etag):
        return Merged(removed=len(gone))
    unlisted = [key for key, info in there.items() if _is_merged(key) and key not in merges and info.modified <= now - GRACE]
    for key in unlisted:
        store.delete(key)
    return Merged(sum(key not in merges for keys in added.values() for key in keys), len(gone) + len(unlisted))


def _counting(merges: _Merges, there: Iterable[str]) -> dict[str, list[str]]:
    """The objects that no other replaces, by folder."""
    replaced = {key for keys in merges.values() for key in keys}
    found: dict[str, list[str]] = {}
    for key in there:
        if key not in replaced and (key in merges or not _is_merged(key)):
            found.setdefault(key[: key.rindex("/") + 1], []).append(key)
    return found


def _of_table(state: State, table: Table, counting: Mapping[str, list[str]]) -> list[str]:
    """The objects of a table whose rows are its restatements, each of them once."""
    single = counting.get(restatements_prefix(table), [])
    return counting.get(merged_restatements_prefix(table), []) + (history_in(state, table, single) if single else [])


def _is_merged(key: str) -> bool:
    return key.startswith(merged_restatements_prefix())


def _can_be_merged(info: ObjectInfo, now: dt.datetime) -> bool:
    return info.size < LARGEST_BYTES and info.modified <= now - GRACE


def _listed(store: ObjectStore) -> dict[str, ObjectInfo]:
    """All objects with restatements, of runs and merged."""
    index = merged_restatements_index_key()
    return {info.key: info for info in store.list(quality_prefix(RESTATEMENTS.stored)) if info.key != index}


def _read(store: ObjectStore) -> tuple[_Merges, str | None]:
    """The list of merged objects, and its version; None if there is no list."""
    key = merged_restatements_index_key()
    try:
        etag = store.head(key).etag
        return json.loads(store.get(key)), etag
    except ObjectMissing:
        return {}, None


def _replace(store: ObjectStore, merges: _Merges, etag: str | None) -> bool:
    """Replace the list; says whether no other merge did so before."""
    body = json.dumps(merges, sort_keys=True).encode()
    try:
        store.put(merged_restatements_index_key(), body, if_match=etag, if_absent=etag is None)
    except Conflict:
        return False
    return True


def _write(connection: duckdb.DuckDBPyConnection, state: State, table: Table, keys: Collection[str]) -> str:
    """Merge objects into a new one, ordered as it is asked for, and return its key."""
    store, name = state.workspace.store, uuid.uuid4().hex
    rows = typed_rows(RESTATEMENTS, files_by_version(("", store.path(key)) for key in sorted(keys)))
    local = state.workspace.scratch / f"{name}.parquet"
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection.execute(
            f'COPY (FROM ({rows}) ORDER BY metric, restated_at, "partition", key) '
            f"TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)"
        )
        merged = merged_restatements_key(table, name)
        store.put(merged, local)
    finally:
        local.unlink(missing_ok=True)
    return merged
