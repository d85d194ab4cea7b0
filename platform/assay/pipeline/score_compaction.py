"""Merging the history of proofs: many small objects, one per run and table, become a few, so that reading stays fast.

Belongs here: which objects are merged, and handling concurrent changes. Does not belong here: their content
(`scoring`).

All tables share one object per month, or as many as keep each of them small enough to be rewritten whenever something is added.
They are replaced by compare-and-swap, and what was merged is deleted only by a later call, a while after it was merged, for
whoever still reads it; until then its rows are there twice, and read once. So a kill at any point, or two at once, lose nothing.
When a proof was merged is not known, but no later than its month was last written: so that this can be a while ago, nothing is
merged more often than that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import Conflict, ObjectMissing, StoreError
from assay.lake.layout import proofs_months_prefix, proofs_part_key, proofs_parts_prefix, proofs_runs_prefix
from assay.lake.store import ObjectInfo, ObjectStore
from assay.pipeline.outcome import Status
from assay.pipeline.query import query
from assay.pipeline.scoring import IDENTITY, PROOFS, as_parquet, restore_proofs
from assay.pipeline.state import State
from assay.quality.own_tables import PARTITION_SCORES

AT_LEAST = 64
"""Number of objects of runs worth merging outside the hourly merge."""
GRACE = dt.timedelta(minutes=5)
"""How long what was merged stays, for whoever still reads it, and nothing is merged again."""
LARGEST_BYTES = 8_000_000
"""Nothing is added to an object of this size."""
ATTEMPTS = 20
_READERS = 8

Identity = tuple[object, ...]
"""What names a proof (`scoring.IDENTITY`)."""


@dataclass(frozen=True)
class Merged:
    """The result of a merge.

    Attributes:
        objects: Number of objects of runs.
        proofs: Number of proofs added to monthly objects.
        removed: Number of deleted objects of runs.
    """

    objects: int = 0
    proofs: int = 0
    removed: int = 0


def compact_proofs(store: ObjectStore, now: dt.datetime, *, at_least: int = 1, grace: dt.timedelta = GRACE) -> Merged:
    """Merge the proofs of runs into the objects of their months.

    Args:
        store: The lake.
        now: The time, UTC.
        at_least: Do nothing if there are fewer objects of runs.
        grace: How long what was merged stays; if it is shorter than `GRACE`, merging waits no longer than that.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    runs = sorted(store.list(proofs_runs_prefix()), key=lambda info: info.key)
    if len(runs) < max(at_least, 1):
        return Merged()
    if any(info.modified > now - min(grace, GRACE) for info in store.list(proofs_months_prefix())):
        return Merged()
    with ThreadPoolExecutor(_READERS) as pool:
        read = zip(runs, pool.map(lambda info: _read(store, info.key), runs), strict=True)
        found = {info: proofs for info, proofs in read if proofs is not None}
    added, settled = 0, set[Identity]()
    if found:
        proofs = pa.concat_tables(found.values())
        months = pa.array([at.strftime("%Y-%m") for at in proofs["proven_at"].to_pylist()])
        for month in sorted(set(months.to_pylist())):
            new, there = _add(store, month, proofs.filter(pa.compute.equal(months, month)), now - grace)
            added += new
            settled |= there
    old = [info for info, own in found.items() if info.modified <= now - grace and settled.issuperset(_identities(own))]
    for info in old:
        store.delete(info.key)
    return Merged(len(runs), added, len(old))


def _add(store: ObjectStore, month: str, proofs: pa.Table, since: dt.datetime) -> tuple[int, set[Identity]]:
    """Add proofs to those of a month; says how many were not there, and which have been there since a point in time."""
    for _ in range(ATTEMPTS):
        parts = sorted(store.list(proofs_parts_prefix(month)), key=lambda info: info.key)
        # Recently merged rows exist twice for a while, and can only be in the last two objects.
        kept = [table for info in parts[-2:] if (table := _read(store, info.key)) is not None]
        known = {identity for table in kept for identity in _identities(table)}
        settled = known if all(info.modified <= since for info in parts) else set[Identity]()
        new = {identity: place for place, identity in enumerate(_identities(proofs)) if identity not in known}
        if not new:
            return 0, settled
        try:
            _put(store, month, parts, kept, proofs.take(list(new.values())))
        except Conflict:
            continue
        return len(new), settled
    raise StoreError(f"The proofs of {month} cannot be merged: others keep merging them first.", hint="Run again.")


def _put(store: ObjectStore, month: str, parts: Sequence[ObjectInfo], kept: Sequence[pa.Table], new: pa.Table) -> None:
    order = [(name, "ascending") for name in ("table_name", "partition", "proven_at")]
    if parts and (last := parts[-1]).size < LARGEST_BYTES:
        store.put(last.key, as_parquet(pa.concat_tables([kept[-1], new]).sort_by(order)), if_match=last.etag)
    else:
        store.put(proofs_part_key(month, len(parts)), as_parquet(new.sort_by(order)), if_absent=True)


def _identities(proofs: pa.Table) -> list[Identity]:
    return list(zip(*(proofs[name].to_pylist() for name in IDENTITY), strict=True))


def _read(store: ObjectStore, key: str) -> pa.Table | None:
    """The proofs of an object; None if a concurrent merge has deleted it."""
    try:
        found = pq.ParquetFile(pa.BufferReader(store.get(key))).read(use_threads=False)
    except ObjectMissing:
        return None
    # Another version of Assay may store more or fewer columns of a proof.
    lacking = [field for field in PROOFS if field.name not in found.schema.names]
    for field in lacking:
        found = found.append_column(field, pa.nulls(len(found), field.type))
    return found.select(PROOFS.names).cast(PROOFS)


def restore_lost_proofs(connection: duckdb.DuckDBPyConnection, state: State) -> int:
    """Store the proofs of published partitions whose rows are missing from the history, for whatever reason.

    Returns:
        The number of missing proofs.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    kept = f"SELECT DISTINCT table_name, partition, run_id FROM {PARTITION_SCORES.full_name} WHERE status = '{Status.PUBLISHED}'"
    there = set(query(connection, state, kept).fetchall())
    restored = 0
    for name, node in state.workspace.project.nodes.items():
        missing = {
            partition: entry
            for partition, entry in state.index(name).items()
            if entry.published_at and (name, partition, entry.run_id) not in there
        }
        restore_proofs(state, node, missing)
        restored += len(missing)
    return restored
