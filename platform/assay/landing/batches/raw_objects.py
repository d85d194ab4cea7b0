"""Writing the events of a batch as Parquet, one file per partition.

Belongs here: the raw objects of a batch. Does not belong here: which events (`ingest`, `placement`), and recording them
(`recorder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.lake.layout import raw_part_key
from assay.lake.ledger import Part
from assay.lake.store import ObjectStore
from assay.landing.files.fetch import FETCHERS

LARGE = 5_000
"""Rows from which a partition is written by a query of its own; smaller ones are written together."""
# Version 2 encodings (delta-encoded numbers, lengths apart from texts) are smaller and faster to write and read. A dictionary of
# more values than this limit takes longer than it saves.
_FORMAT = "FORMAT parquet, PARQUET_VERSION V2, DICTIONARY_SIZE_LIMIT 1000"
# A higher level takes a third longer to save a twentieth.
_LARGE_FORMAT = f"{_FORMAT}, COMPRESSION zstd, COMPRESSION_LEVEL 1"
# Starting zstd for every column is costly.
_SMALL_FORMAT = f"{_FORMAT}, COMPRESSION snappy"


@dataclass(frozen=True)
class WrittenPart:
    """The events of one partition, on local disk.

    Attributes:
        partition: The partition.
        path: The file.
        rows: The number of its rows.
        money: The total of their money.
    """

    partition: str
    path: Path
    rows: int
    money: Decimal


def write_parts(cursor: duckdb.DuckDBPyConnection, events: str, folder: Path) -> Iterator[WrittenPart]:
    """Write events to one file per partition.

    Late events make many small partitions beside a large one: a query for each would cost more than the rows do, and one
    partitioned write of everything is slow if a partition is large.

    Args:
        cursor: The cursor with the events.
        events: Query of raw events, with the partition as `_p`.
        folder: Where the files go.

    Yields:
        Each partition, in order, as soon as its file is complete.
    """
    counted = cursor.execute(f"SELECT _p, count(*), sum(_money) FROM ({events}) GROUP BY 1 ORDER BY 1").fetchall()
    small = [str(partition) for partition, rows, _ in counted if rows < LARGE]
    together = folder / "small"
    if len(small) > 1:
        names = ", ".join(literal(name) for name in small)
        cursor.execute(
            f"COPY (SELECT * FROM ({events}) WHERE _p IN ({names})) "
            f"TO {literal(str(together))} ({_SMALL_FORMAT}, PARTITION_BY (_p))"
        )
    for partition, rows, money in counted:
        files = list((together / f"_p={partition}").glob("*.parquet"))
        path = files[0] if len(files) == 1 else folder / f"{partition}.parquet"
        if len(files) != 1:
            cursor.execute(
                f"COPY (SELECT * EXCLUDE (_p) FROM ({events}) WHERE _p = {literal(partition)}) "
                f"TO {literal(str(path))} ({_LARGE_FORMAT})"
            )
        yield WrittenPart(str(partition), path, int(rows), money)


def upload_parts(
    store: ObjectStore, source: Source, batch: str, ingestion_date: str, written: Iterable[WrittenPart]
) -> tuple[Part, ...]:
    """Put a batch's files into the lake, several at a time, each as soon as it is written.

    Args:
        store: The lake.
        source: The source.
        batch: The batch's id, which names the objects.
        ingestion_date: The day its landing objects were written.
        written: The files.
    """

    def upload(one: WrittenPart) -> Part:
        key = raw_part_key(source, one.partition, ingestion_date, batch)
        store.put(key, one.path)
        return Part(one.partition, key, one.rows, str(one.money), source.version)

    with ThreadPoolExecutor(FETCHERS) as pool:
        return tuple(pool.map(upload, written))
