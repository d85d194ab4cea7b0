"""Telling apart the changes that one landing object reports of one key at one position.

Belongs here: what lines add to positions. Does not belong here: positions themselves (the readers), ties between objects
(`engine.fold`).

A database transaction that deletes a row and writes it again may give all of it one position. Where a delete is followed by
something else, each event's position is followed by the number of changes of operation before it, so that `[7]` becomes
`[7], [7, 1], [7, 2]`. Compared number by number, they are after all that has the bare position. Only lines of one object are
compared, so that the same lines in another object give the same positions.

All changes of a transaction of MongoDB's have one position, and its updates may come without their document
(`debezium_updates`): then none of them stands for the others, and each is followed by the number of changes before it.
"""

from __future__ import annotations

import duckdb

from assay.contracts import Source
from assay.contracts.rules import quote
from assay.landing.debezium_updates import are_described
from assay.landing.formats import Debezium
from assay.landing.typed import LINE


def resolve_ties(connection: duckdb.DuckDBPyConnection, source: Source, staged: str) -> None:
    """Lengthen the positions of staged events among which a delete is followed by something else.

    Args:
        connection: Where the batch is staged.
        source: The source.
        staged: The staged batch's table; that of its files is beside it.
    """
    if isinstance(source.format, Debezium) and are_described(source.format):
        _number_updates(connection, source, staged)
    if not connection.execute(f"SELECT 1 FROM {staged} WHERE _op = 'd' AND {_EVENT} LIMIT 1").fetchone():
        return
    place = _place(source)
    # Deletes are few: joining with them first leaves few lines to be told.
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
    """The columns that are the same in changes of one key at one position of one object."""
    return ", ".join(("_path", *(quote(name) for name in source.key), "_sequence"))


def _number_updates(connection: duckdb.DuckDBPyConnection, source: Source, staged: str) -> None:
    """Lengthen the positions of staged events among which an update does not give all columns."""
    place = _place(source)
    connection.execute(f"""
WITH numbered AS (
  SELECT record.rowid AS _id, row_number() OVER (PARTITION BY {place} ORDER BY {LINE}) - 1 AS _turn FROM {staged} AS record
  SEMI JOIN (SELECT {place} FROM {staged} WHERE _unchanged IS NOT NULL AND {_EVENT}) USING ({place})
  JOIN {staged}_files AS file ON file.path = record._path
  WHERE {_EVENT}
)
UPDATE {staged} SET _sequence = list_append(_sequence, _turn) FROM numbered WHERE {staged}.rowid = _id AND _turn > 0""")
