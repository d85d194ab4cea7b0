"""Compacting raw batches: merging a partition's many small raw objects without changing anything that is computed from them.

Belongs here: choosing raw objects, merging them, recording that, and removing what was replaced. Does not belong here: what the
objects contain (`ingest`, `placement`), who reads them (`pipeline.state`), when this is done (`orchestration`).

A batch a minute leaves 1,440 objects a day in each partition that it touches; each costs a reader a request or two. A compaction
writes their rows to one object, unchanged and in the order in which they were recorded, and records it in the ledger. The parts
of the batches keep their names there; only the place where their rows are read from changes. So the hash of a partition's inputs
stays the same, and no table becomes dirty.

Objects are merged only if they are of one partition and one version of the source, have been placed, and are either all original
or all copies, because placement reads these separately. Every kind of partition qualifies, including those of events without a
day, of noted keys and of truncates: each is only ever read as a whole.

A compaction is recorded by one conditional write to the ledger after its object exists. Replaced objects stay for a grace period,
for readers that hold an older ledger. An object left by a killed compaction is removed after the same period, but first the
ledger records it as discarded: a writer that was only slow then loses the race for the next ledger entry, reads again, and finds
that it must no longer reference its object. Left-overs of a killed *ingest* stay, although nobody reads them: they are named by
their content, and another ingest may be about to write and reference them again.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.errors import StoreError
from assay.lake.layout import is_compacted, raw_compacted_key, raw_prefix
from assay.lake.ledger import Batch, Compaction, Ledger, LedgerLog
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.files.fetch import FETCHERS

AT_LEAST = 8
"""How many small objects a partition must have before they are merged."""
SMALL = 64 << 20
"""Size in bytes from which an object is not merged; a merged object is made of at most twice as many bytes."""
GRACE = dt.timedelta(days=1)
"""How long a replaced object stays; longer than anybody works with one reading of the ledger."""


@dataclass(frozen=True)
class Merge:
    """Raw objects to merge into one.

    Attributes:
        partition: Their partition.
        objects: Their keys, in the order in which their parts were recorded.
        rows: The number of their rows.
    """

    partition: str
    objects: tuple[str, ...]
    rows: int


@dataclass
class Compacted:
    """What one compaction of a source did.

    Attributes:
        source: The source.
        merges: The merges it recorded.
        removed: How many unused objects it removed.
    """

    source: Source
    merges: list[Merge] = field(default_factory=list)
    removed: int = 0

    @property
    def objects(self) -> int:
        """How many objects were merged."""
        return sum(len(merge.objects) for merge in self.merges)

    @property
    def rows(self) -> int:
        """How many rows the merged objects hold."""
        return sum(merge.rows for merge in self.merges)


def compact(
    store: ObjectStore,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    scratch: Path,
    *,
    grace: dt.timedelta = GRACE,
    most_rows: int | None = None,
) -> Compacted:
    """Merge the small raw objects of a source, and remove those that were replaced long enough ago.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        grace: How long replaced objects stay.
        most_rows: Begin no further merge after this many rows, and leave the rest for the next time; None for no limit.

    Raises:
        StoreError: The lake cannot be read or written, or there is no room; what was recorded before stands.
    """
    log = LedgerLog(store, source.name)
    done = Compacted(source)
    # Listed before the ledger is read: what is listed but not in the ledger had not been recorded at the time of listing.
    listed = {info.key: info for info in store.list(raw_prefix(source.name))}
    for merge in find_merges(log.read(), source, {key: info.size for key, info in listed.items()}):
        if most_rows is not None and done.rows >= most_rows:
            break
        if _merge(store, connection, source, log, merge, scratch):
            done.merges.append(merge)
    done.removed = _remove_replaced(store, source, log, listed.values(), dt.datetime.now(dt.UTC) - grace)
    return done


def find_merges(ledger: Ledger, source: Source, sizes: Mapping[str, int]) -> list[Merge]:
    """Find each partition's small objects that are worth merging.

    Args:
        ledger: The source's ledger.
        source: The source.
        sizes: Bytes by key of every raw object that may be merged.
    """
    parts = ledger.parts if source.partition_column is None else ledger.placed_parts
    copies = {part.key for placement in ledger.placements for part in placement.parts}
    rows: dict[tuple[str, str, bool], dict[str, int]] = {}
    for partition, own in parts.items():
        for part in own:
            alike = rows.setdefault((partition, part.version, part.key in copies), {})
            key = ledger.object_of(part)
            alike[key] = alike.get(key, -ledger.left_out.get(key, 0)) + part.rows
    return [
        Merge(partition, tuple(key for key in alike if key in group), sum(alike[key] for key in group))
        for (partition, _, _), alike in sorted(rows.items())
        for group in _groups({key: sizes[key] for key in alike if key in sizes})
    ]


def _groups(sizes: Mapping[str, int]) -> list[set[str]]:
    """Group objects, given with their sizes, into merges, the smallest first."""
    small = sorted((size, key) for key, size in sizes.items() if size < SMALL)
    # An object larger than all others together would be rewritten for little: it waits until they have grown as large. So a row
    # is rewritten each time its object doubles, not each time something arrives.
    while len(small) >= AT_LEAST and 2 * small[-1][0] > sum(size for size, _ in small):
        small.pop()
    if len(small) < AT_LEAST:
        return []
    groups: list[set[str]] = [set()]
    held = 0
    for size, key in small:
        if held + size > 2 * SMALL:
            groups.append(set())
            held = 0
        groups[-1].add(key)
        held += size
    return [group for group in groups if len(group) > 1]


def _merge(
    store: ObjectStore, connection: duckdb.DuckDBPyConnection, source: Source, log: LedgerLog, merge: Merge, scratch: Path
) -> bool:
    """Merge objects and record it, unless another compaction has merged one of them; returns whether it did."""
    # A unique name: another compaction that merges the same objects must not remove this one.
    name = uuid.uuid4().hex
    key = raw_compacted_key(source, merge.partition, name)
    local = scratch / f"compact-{source.name}-{name}.parquet"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        _write(store, connection, source, merge, local)
        store.put(key, local)
    finally:
        local.unlink(missing_ok=True)
    if _record(log, source, {key: merge.objects}):
        return True
    store.delete(key)
    return False


def _write(store: ObjectStore, connection: duckdb.DuckDBPyConnection, source: Source, merge: Merge, local: Path) -> None:
    """Write the rows of objects to one file, and prove that the rows are the same."""
    cursor = connection.cursor()
    objects = rows_of(store.path(key) for key in merge.objects)
    try:
        cursor.execute(f"COPY (FROM {objects}) TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)")
        before, after = content_of(cursor, objects), content_of(cursor, rows_of([str(local)]))
    except duckdb.Error as error:
        raise StoreError(
            f"{source.full_name} {merge.partition} cannot be compacted: {str(error).splitlines()[0]}",
            hint="Nothing was changed. Check the lake and the free space below ASSAY_HOME, then run `assay compact`.",
        ) from error
    finally:
        cursor.close()
    if before[0] != merge.rows:
        raise StoreError(
            f"{source.full_name} {merge.partition} cannot be compacted: {len(merge.objects)} objects have {before[0]:,} rows, "
            f"and the ledger says {merge.rows:,}.",
            hint=f"One of them below raw/{source.name}/ was changed by hand: restore it.",
        )
    if before != after:
        raise StoreError(
            f"{source.full_name} {merge.partition} cannot be compacted: the rows written differ from the rows read.",
            hint="Nothing was changed. Run `assay compact` again.",
        )


def rows_of(paths: Iterable[str], *, named: bool = False) -> str:
    """Write the relation of raw objects' rows, unchanged; if `named`, with their path as `filename`."""
    options = ", filename=true" if named else ""
    return f"read_parquet([{', '.join(literal(path) for path in paths)}], hive_partitioning=false{options})"


def content_of(cursor: duckdb.DuckDBPyConnection, rows: str) -> tuple[int, int]:
    """Count the rows of a relation, and hash them independently of their order."""
    found = cursor.execute(f"SELECT count(*), coalesce(sum(hash(each)), 0) FROM {rows} AS each").fetchone()
    return (int(found[0]), int(found[1])) if found else (0, 0)


def _record(log: LedgerLog, source: Source, merged: Mapping[str, tuple[str, ...]], discarded: tuple[str, ...] = ()) -> bool:
    """Record a compaction, unless it conflicts with what others have recorded; returns whether it is recorded."""
    while True:
        known = log.known
        named = {key for compaction in known.compactions for key in compaction.merged}
        if named.intersection(merged):
            # The answer to our own write was lost, and the write repeated.
            return True
        gone = {key for compaction in known.compactions for key in compaction.discarded}
        taken = any(key in known.replaced for replaced in merged.values() for key in replaced)
        if taken or gone.intersection(merged) or named.intersection(discarded):
            return False
        compaction = Compaction(merged, discarded, dt.datetime.now(dt.UTC).isoformat())
        if log.append(Batch(uuid.uuid4().hex, source.version, landed=(), parts=(), compaction=compaction)):
            return True
        log.read()


def _remove_replaced(
    store: ObjectStore, source: Source, log: LedgerLog, listed: Collection[ObjectInfo], before: dt.datetime
) -> int:
    """Remove the objects that were replaced, or left by a killed compaction, before a time; returns how many."""
    left = _left_behind(listed, log.read(), before)
    if left:
        _record(log, source, {}, left)
    useless: set[str] = set()
    for compaction in log.known.compactions:
        useless.update(compaction.discarded)
        if dt.datetime.fromisoformat(compaction.recorded_at) < before:
            useless.update(key for replaced in compaction.merged.values() for key in replaced)
    gone = [info.key for info in listed if info.key in useless]
    with ThreadPoolExecutor(FETCHERS) as pool:
        list(pool.map(store.delete, gone))
    return len(gone)


def _left_behind(listed: Iterable[ObjectInfo], ledger: Ledger, before: dt.datetime) -> tuple[str, ...]:
    """Objects of compactions that were written before a time, and are not yet in the ledger."""
    known = {key for compaction in ledger.compactions for key in (*compaction.merged, *compaction.discarded)}
    return tuple(info.key for info in listed if is_compacted(info.key) and info.modified < before and info.key not in known)
