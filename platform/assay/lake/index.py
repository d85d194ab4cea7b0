"""The index of a table's published partitions.

Belongs here: what is known about each published partition without opening it. Does not belong here: publishing
(`pipeline.publish`), deciding what to rebuild (`pipeline.plan`).

The published objects are the truth: the Parquet metadata of each records what it was made from. The index is a copy of
that, validated by the listing's ETags, so that planning does not open a thousand footers. It may be lost or stale at
any time: missing entries are read from the objects again. Only the index remembers that newer inputs were proven to
give the same content; losing that costs a recomputation, never a wrong table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.contracts import Table
from assay.contracts.periods import is_partition
from assay.errors import ObjectMissing
from assay.lake.layout import index_key, partition_of, table_prefix
from assay.lake.store import ObjectInfo, ObjectStore

METADATA_KEY = "assay"
"""The key in a published object's Parquet metadata that holds its `Entry` as JSON."""
_FOOTER = 1 << 16
"""Bytes read from the end of an object; the metadata of most fit."""
_LENGTH_AND_MAGIC = 8
"""Bytes after a Parquet file's metadata: their length, little-endian, and `PAR1` (Apache Parquet format, "File format")."""
_READERS = 8


@dataclass(frozen=True)
class Entry:
    """What is known about a published partition.

    Attributes:
        contract: Version of the contract that it was proven against.
        code: Version of the SQL and contract that made it.
        inputs: Hash of everything it was computed from, except lookups.
        lookups: By relation used only as a lookup: `content`, the hash of that whole relation, and `rows`, the hash of the rows
            that were found.
        content: Hash of its rows, independent of their order, without the columns that describe the run.
        refused: Hash of the rows in its quarantine.
        rows: Number of its rows.
        staged: Number of its rows and those in quarantine.
        books: Its books, as `quality.books.Books` writes them.
        score: Its quality score, 0 to 100.
        rules: Number of rows that broke each rule, by rule; only those above zero.
        run_id: The run that published it.
        published_at: When, ISO 8601 UTC.
        quarantine: Key of the object with its quarantined rows, if there are any.
        etag: The object's version; empty in the object's own metadata, which cannot know it.
        proven_at: When newer inputs were last proven to give the same content, ISO 8601 UTC; empty if they never were.
        scores: Its scores by money and dimension, as `quality.scores.Scores` writes them; empty if an older Assay proved it.
        at_risk: Absolute money of the rows that broke each rule, by rule, as decimal strings.
        measures: Its measured figures, by the name of the rule that uses each.
        unmet: By rule about the partition as a whole that it breaks: the explanation.
        is_scored: Whether its proof is in the history of proofs; the object's own metadata cannot know.
    """

    contract: str
    code: str
    inputs: str
    lookups: Mapping[str, Mapping[str, str]]
    content: str
    refused: str
    rows: int
    staged: int
    books: Mapping[str, Any]
    score: float
    rules: Mapping[str, int]
    run_id: str
    published_at: str
    quarantine: str | None = None
    etag: str = ""
    proven_at: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    at_risk: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    unmet: Mapping[str, str] = field(default_factory=dict)
    is_scored: bool = False

    def to_json(self) -> str:
        """Serialize the entry as canonical JSON."""
        return json.dumps(vars(self), sort_keys=True)


FOREIGN = Entry(
    contract="",
    code="",
    inputs="",
    lookups={},
    content="",
    refused="",
    rows=0,
    staged=0,
    books={},
    score=0.0,
    rules={},
    run_id="",
    published_at="",
)
"""Stands for an object that something else put in a partition's place: it matches nothing, so the partition is dirty."""


def read_index(store: ObjectStore, table: Table) -> dict[str, Entry]:
    """Return the published partitions of a table, by partition.

    Entries whose object changed since they were written are read again from the object.
    """
    listed = _published_objects(store, table)
    if not listed:
        return {}
    remembered = _read_remembered(store, table)
    unknown = {
        partition: info
        for partition, info in listed.items()
        if partition not in remembered or remembered[partition].etag != info.etag
    }
    with ThreadPoolExecutor(_READERS) as pool:
        read = dict(zip(unknown, pool.map(lambda info: _read_footer(store, info), unknown.values()), strict=True))
    return {partition: read.get(partition) or remembered[partition] for partition in listed}


def lost_partitions(store: ObjectStore, table: Table) -> dict[str, Entry]:
    """Return the partitions that were published but no longer have an object, with their remembered entries."""
    listed = _published_objects(store, table)
    return {
        partition: entry
        for partition, entry in _read_remembered(store, table).items()
        # A table that was partitioned differently before remembers partitions that it can no longer have.
        if partition not in listed and is_partition(table.grain, partition)
    }


def write_index(store: ObjectStore, table: Table, changed: Mapping[str, Entry]) -> None:
    """Remember changed entries in addition to those already there. The last writer wins; see the module's docstring."""
    if changed:
        remembered = _read_remembered(store, table) | dict(changed)
        body = json.dumps({partition: vars(entry) for partition, entry in sorted(remembered.items())})
        store.put(index_key(table), body.encode())


def _published_objects(store: ObjectStore, table: Table) -> dict[str, ObjectInfo]:
    listed = ((partition_of(table, info.key), info) for info in store.list(table_prefix(table)))
    return {partition: info for partition, info in listed if partition is not None}


def _read_remembered(store: ObjectStore, table: Table) -> dict[str, Entry]:
    try:
        body = store.get(index_key(table))
    except ObjectMissing:
        return {}
    return {partition: _entry(written) for partition, written in json.loads(body).items()}


def _read_footer(store: ObjectStore, info: ObjectInfo) -> Entry:
    footer = store.get(info.key, last=_FOOTER) if info.size else b""
    needed = int.from_bytes(footer[-8:-4], "little") + _LENGTH_AND_MAGIC
    if len(footer) < needed <= info.size:
        footer = store.get(info.key, last=needed)
    try:
        metadata = pq.read_metadata(pa.BufferReader(footer)).metadata or {}
    except pa.ArrowInvalid:
        metadata = {}
    written = metadata.get(METADATA_KEY.encode())
    return replace(_entry(json.loads(written)) if written else FOREIGN, etag=info.etag)


def _entry(written: Mapping[str, Any]) -> Entry:
    """Parse an entry; one that another version of Assay wrote in a different shape counts as foreign."""
    try:
        return Entry(**written)
    except TypeError:
        return FOREIGN
