"""Finding the partition of events that name only their key.

Belongs here: deletes whose day is told by the key's earlier events, in whatever order they land. Does not belong here: events
that say their day themselves.

A delete is copied to every partition that holds events of its key. One whose key has not been seen is kept as *unplaced*, and
copied when a batch brings the key.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.lake.layout import UNPLACED


def has_unplaced(connection: duckdb.DuckDBPyConnection, staged: str) -> bool:
    """Whether a staged batch has events without a partition."""
    found = connection.execute(
        f"SELECT 1 FROM {staged} WHERE _partition = {literal(UNPLACED)} AND _reason IS NULL LIMIT 1"
    ).fetchone()
    return found is not None


def place_batch(connection: duckdb.DuckDBPyConnection, source: Source, staged: str, known_paths: Iterable[str]) -> int:
    """Copy the unplaced events of a batch to the partitions of their keys; those of unknown keys stay unplaced.

    Args:
        connection: Where the batch is staged.
        source: The source.
        staged: The staged batch's table.
        known_paths: Raw objects ingested before.

    Returns:
        By how many rows the batch grew.
    """
    keys = _keys(source)
    day = quote(str(source.partition_column))
    homes = [f"SELECT DISTINCT {keys}, {day} FROM {staged} WHERE {day} IS NOT NULL AND _reason IS NULL"]
    if paths := list(known_paths):
        homes.append(f"SELECT DISTINCT {keys}, {day} FROM {_read(paths)} WHERE {day} IS NOT NULL")
    before = _count(connection, staged)
    unplaced = f"_partition = {literal(UNPLACED)} AND _reason IS NULL"
    connection.execute(
        f"CREATE OR REPLACE TABLE {staged}_placed AS "
        f"SELECT event.* REPLACE (home.{day} AS {day}, home.{day}::VARCHAR AS _partition) FROM {staged} AS event "
        f"JOIN (SELECT DISTINCT * FROM ({' UNION ALL '.join(homes)})) AS home USING ({keys}) WHERE event.{unplaced}"
    )
    connection.execute(
        f"DELETE FROM {staged} WHERE {unplaced} AND EXISTS "
        f"(FROM {staged}_placed AS placed WHERE {_same(source, staged, 'placed')})"
    )
    connection.execute(f"INSERT INTO {staged} FROM {staged}_placed")
    connection.execute(f"DROP TABLE {staged}_placed")
    return _count(connection, staged) - before


def copy_waiting(connection: duckdb.DuckDBPyConnection, source: Source, staged: str, unplaced_paths: list[str]) -> str | None:
    """Find the events that waited unplaced for a key which a batch brings.

    Returns:
        A query of raw events with their new day, or None when nothing waited.
    """
    if not unplaced_paths:
        return None
    keys = _keys(source)
    day = quote(str(source.partition_column))
    query = (
        f"SELECT event.* REPLACE (home.{day} AS {day}) FROM {_read(unplaced_paths)} AS event JOIN "
        f"(SELECT DISTINCT {keys}, {day} FROM {staged} WHERE {day} IS NOT NULL AND _reason IS NULL) AS home USING ({keys})"
    )
    return query if connection.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchone() else None


def _keys(source: Source) -> str:
    return ", ".join(quote(name) for name in source.key)


def _same(source: Source, left: str, right: str) -> str:
    return " AND ".join(f"{left}.{quote(name)} = {right}.{quote(name)}" for name in source.key)


def _read(paths: list[str]) -> str:
    return f"read_parquet([{', '.join(literal(path) for path in paths)}], hive_partitioning=false, union_by_name=true)"


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0]) if found else 0
