"""Ordering the changes that one landing object reports for one key at one position.

Belongs here: the numbers that lines append to positions. Does not belong here: positions themselves (the readers), ties between
objects (`engine.fold`).

A database transaction that deletes a row and writes it again may give all these changes the same position. If a delete is
followed by another operation, each event's position is extended by the number of changes of operation before it, so that `[7]`
becomes `[7], [7, 1], [7, 2]`. Compared number by number, these come after everything with the bare position. Only lines of one
object are compared, so that the same lines in another object give the same positions.

All changes of one MongoDB transaction have the same position, and its updates may come without their document
(`readers.debezium.updates`): then no change replaces the others, and each position is extended by the number of changes before
it.
"""

from __future__ import annotations

import duckdb

from assay.contracts import Source
from assay.contracts.rules import quote
from assay.landing.batches.typed import LINE
from assay.landing.formats import Debezium
from assay.landing.readers.debezium.updates import are_described


def resolve_ties(connection: duckdb.DuckDBPyConnection, source: Source, staged: str) -> None:
    """Extend the positions of tied events if a delete among them is followed by another operation.

    Args:
        connection: The connection with the staged batch.
        source: The source.
        staged: The staged batch's table, which has its table of files beside it.
    """
    if isinstance(source.format, Debezium) and are_described(source.format):
        _number_updates(connection, source, staged)
    if not connection.execute(f"SELECT 1 FROM {staged} WHERE _op = 'd' AND {_EVENT} LIMIT 1").fetchone():
        return
    place = _place(source)
    # Deletes are few: joining with them first leaves few lines to compare.
    connection.execute(f"""
WITH suspects AS (
  SELECT record.rowid AS _id, {place}, _op, {LINE} AS _line FROM {staged} AS record
  SEMI JOIN (SELECT {place} FROM {staged} WHERE _op = 'd' AND {_EVENT}) USING ({place})
  JOIN {staged}_files AS file ON file.path = record._path
  WHERE {_EVENT}
),
turns AS (
  SELECT _id, {place}, _line, coalesce(_op <> lag(_op) OVER by_line, false) AS _turns,
    coalesce(_op <> 'd' AND lag(_op) OVER by_line = 'd', false) AS _returns
  FROM suspects
  WINDOW by_line AS (PARTITION BY {place} ORDER BY _line)
),
numbered AS (
  SELECT _id, count(*) FILTER (_turns) OVER (PARTITION BY {place} ORDER BY _line) AS _turn,
    bool_or(_returns) OVER (PARTITION BY {place}) AS _returned
  FROM turns
)
UPDATE {staged} SET _sequence = list_append(_sequence, _turn) FROM numbered
WHERE {staged}.rowid = _id AND _returned AND _turn > 0""")


_EVENT = "_reason IS NULL AND _op NOT IN ('t', 'm')"


def _place(source: Source) -> str:
    """The columns that are equal in changes of one key at one position in one object."""
    return ", ".join(("_path", *(quote(name) for name in source.key), "_sequence"))


def _number_updates(connection: duckdb.DuckDBPyConnection, source: Source, staged: str) -> None:
    """Extend the positions of tied events if an update among them does not give all columns."""
    place = _place(source)
    connection.execute(f"""
WITH numbered AS (
  SELECT record.rowid AS _id, row_number() OVER (PARTITION BY {place} ORDER BY {LINE}) - 1 AS _turn FROM {staged} AS record
  SEMI JOIN (SELECT {place} FROM {staged} WHERE _unchanged IS NOT NULL AND {_EVENT}) USING ({place})
  JOIN {staged}_files AS file ON file.path = record._path
  WHERE {_EVENT}
)
UPDATE {staged} SET _sequence = list_append(_sequence, _turn) FROM numbered WHERE {staged}.rowid = _id AND _turn > 0""")
