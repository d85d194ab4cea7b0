"""Packing: copies of small daily partitions, a month in one object, so that a question about many days opens few of them.

Belongs here: choosing partitions, copying them, and finding the copies. Does not belong here: who asks (`query`, `metrics`), when
partitions are packed (`orchestration`).

A day of a mart by region has a handful of rows in hundreds of columns: opening its object takes longer than reading it, and on S3
each takes a request or two. The published objects stay the only truth. A pack serves a partition only as long as the
published content is the one that was copied; losing packs costs nothing but time.

A pack is never changed. The list of packs is replaced once new packs are written, so a kill at any point, or two calls at once,
leave nothing but objects that are not listed. A later call removes these, after a while: an older list may still be in use.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb

from assay.contracts import Grain, Source, Table
from assay.contracts.rules import literal, quote
from assay.engine.project import Node
from assay.errors import ObjectMissing
from assay.lake.layout import pack_key, packs_index_key, packs_prefix
from assay.lake.rows import Files, files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.pipeline.state import State

AT_LEAST = 8
"""How many partitions a month must have to be packed, and a question must ask for before packs are looked for."""
MOST_CELLS = 5_000_000
"""Rows times columns of a month from which its partitions are not small: reading them takes longer than opening them."""
GRACE = dt.timedelta(days=1)
"""How long a pack stays that is not listed: another call may have written it and be about to list it."""


@dataclass(frozen=True)
class Pack:
    """A copy of partitions.

    Attributes:
        key: Its object.
        version: The version of the contract under which they were published.
        contents: The content hash of each partition.
    """

    key: str
    version: str
    contents: Mapping[str, str]


@dataclass(frozen=True)
class Packed:
    """What packing a table did.

    Attributes:
        months: How many months were packed anew.
        removed: How many packs were removed.
    """

    months: int = 0
    removed: int = 0


def pack(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, now: dt.datetime, grace: dt.timedelta = GRACE
) -> Packed:
    """Pack a table's complete months whose partitions are small and have changed since they were last packed.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        node: The table.
        now: The time, UTC.
        grace: How long packs stay that are no longer listed.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    table, store = node.table, state.workspace.store
    if table.grain is not Grain.DAY:
        return Packed()
    known, wanted = read_packs(store, table), _wanted(state, table)
    if not known and not wanted:
        return Packed()
    kept = {month: each for month, each in known.items() if each.contents == wanted.get(month) and each.version == table.version}
    added = {month: _write(connection, state, table, month, wanted[month]) for month in wanted.keys() - kept.keys()}
    if added:
        # What was replaced while it was copied must be copied again, by the next call.
        state.forget(table.full_name)
        still = _wanted(state, table)
        added = {month: each for month, each in added.items() if each.contents == still.get(month)}
    listed = kept | added
    if listed != known:
        body = {month: vars(each) for month, each in sorted(listed.items())}
        store.put(packs_index_key(table), json.dumps(body).encode())
    named = {each.key for each in (*known.values(), *listed.values())} | {packs_index_key(table)}
    left = [info.key for info in store.list(packs_prefix(table)) if info.key not in named and info.modified <= now - grace]
    for key in left:
        store.delete(key)
    return Packed(len(added), len(left))


def read_packs(store: ObjectStore, table: Table) -> dict[str, Pack]:
    """The packs of a table, by month: those that are listed and still there.

    Raises:
        StoreError: The lake cannot be read.
    """
    try:
        found = json.loads(store.get(packs_index_key(table)))
    except ObjectMissing:
        return {}
    there = {info.key for info in store.list(packs_prefix(table))}
    return {month: Pack(**each) for month, each in found.items() if each["key"] in there}


def packed_files(state: State, relation: str, partitions: Iterable[str]) -> list[Files]:
    """The files of some partitions of a relation: their packs as far as they hold what is published, and their own objects.

    Raises:
        StoreError: The lake cannot be read.
    """
    declared, available = state.declared(relation), state.available(relation)
    wanted = {partition: available[partition] for partition in partitions}
    if isinstance(declared, Source) or declared.grain is not Grain.DAY or len(wanted) < AT_LEAST:
        return state.files_of(relation, (found for each in wanted.values() for found in each))
    store = state.workspace.store
    whole: list[tuple[str, str]] = []
    in_part: list[Files] = []
    for pack in read_packs(store, declared).values():
        same = [day for day, content in pack.contents.items() if day in wanted and [each.id for each in wanted[day]] == [content]]
        if len(same) == len(pack.contents):
            whole.append((pack.version, store.path(pack.key)))
        elif same:
            days = ", ".join(f"DATE {literal(day)}" for day in same)
            only = f"{quote(str(declared.partition_column))} IN ({days})"
            in_part.append(Files(pack.version, (store.path(pack.key),), only))
        for day in same:
            del wanted[day]
    single = ((found.version, store.path(found.key)) for each in wanted.values() for found in each)
    return [*files_by_version([*whole, *single]), *in_part]


def _wanted(state: State, table: Table) -> dict[str, dict[str, str]]:
    """The contents to pack, by month: of months before the newest, of partitions published under the current contract."""
    index = state.index(table.full_name)
    newest = max(index, default="")[:7]
    months: dict[str, dict[str, str]] = {}
    cells: dict[str, int] = {}
    for partition, entry in sorted(index.items()):
        month = partition[:7]
        if month < newest and entry.contract == table.version:
            months.setdefault(month, {})[partition] = entry.content
            cells[month] = cells.get(month, 0) + entry.rows * len(table.columns)
    return {month: each for month, each in months.items() if len(each) >= AT_LEAST and cells[month] < MOST_CELLS}


def _write(connection: duckdb.DuckDBPyConnection, state: State, table: Table, month: str, contents: Mapping[str, str]) -> Pack:
    """Copy the partitions of a month."""
    store, name = state.workspace.store, uuid.uuid4().hex
    files = state.files_of(table.full_name, (each for day in contents for each in state.available(table.full_name)[day]))
    order = ", ".join(quote(column) for column in (str(table.partition_column), *table.key))
    local = state.workspace.scratch / f"{name}.parquet"
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection.execute(
            f"COPY (FROM ({typed_rows(table, files)}) ORDER BY {order}) "
            f"TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)"
        )
        pack = Pack(pack_key(table, month, name), table.version, contents)
        store.put(pack.key, local)
    finally:
        local.unlink(missing_ok=True)
    return pack
