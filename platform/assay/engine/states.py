"""The states that unusual events leave a key in: moved to another day, partially updated, emptied away.

Belongs here: finding the keys for which one event alone does not give the row's state, and the SQL that derives it from their
other events. Does not belong here: the folds over those states (`fold`).

Most keys have no such events, and are folded directly. The events of the others are processed in order:

- A create, a read and a delete start anew; an update continues. A column that an update does not give has the last value
  given since the start. If none was given, it is null if the producer has no such column (`_missing`), and unknown if the
  producer reports it unchanged (`_unchanged`): then the row is held back until an event with the value lands.
- A key is only in the partition of the day that was given last. In any other it counts as deleted.
- A truncate deletes every key that has older events.
- An element of a document (`elements`) is deleted by the next version of the document that lacks it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine.elements import left_out
from assay.engine.fold import NEWEST_FIRST

STATE_COLUMNS = {
    "_unhealed": "VARCHAR[]",
    "_healed": "INTEGER",
    "_is_told": "BOOLEAN",
    "_origin": "STRUCT(_landing_object VARCHAR, _landing_row BIGINT, _sequence BIGINT[])",
}
"""Columns of a state besides an event's: the unknown columns, how many values were taken from older events, whether an event of
the key itself (and not a truncate) is its origin, and the event of a row that is held back."""

ORDINARY = {"_unhealed": "NULL", "_healed": "0", "_is_told": "true", "_origin": "NULL"}
"""The values of those columns for an event that is complete."""


@dataclass(frozen=True)
class Unusual:
    """The keys whose states must be derived.

    Attributes:
        keys: Table of those keys.
        columns: The columns that some of their updates do not give.
        truncates: Relation of the truncates, if there are any.
    """

    keys: str
    columns: tuple[str, ...]
    truncates: str | None


def find_unusual(
    connection: duckdb.DuckDBPyConnection, events: str, truncates: str | None, source: Source, keys: str
) -> Unusual | None:
    """List the keys with copies, partial updates, truncates or removed elements in a table; returns None if there are none.

    Args:
        connection: The connection.
        events: Name of the relation of raw events.
        truncates: Name of the relation of truncates, if there are any.
        source: Their source.
        keys: Name of the table to create.
    """
    copied = f"_about IS DISTINCT FROM {quote(source.partition_column)}" if source.partition_column else "false"
    partial = "_op = 'u' AND _missing IS NOT NULL"
    found = connection.execute(
        f"SELECT bool_or({copied}), bool_or({partial}), bool_or(_unchanged IS NOT NULL) FROM {events}"
    ).fetchone()
    has_copies, has_partial, has_unchanged = found or (False, False, False)
    of = source.elements
    if not (has_copies or has_partial or has_unchanged or truncates or of):
        return None
    key = ", ".join(quote(name) for name in source.key)
    unchanged = _named(connection, events, source, "_unchanged", "true") if has_unchanged else []
    missing = _given_elsewhere(connection, events, _named(connection, events, source, "_missing", partial) if has_partial else [])
    emptied = f" OR _sequence <= (SELECT max(_sequence) FROM {truncates})" if truncates else ""
    queries = [f"SELECT {key} FROM {events} WHERE {copied} OR _unchanged IS NOT NULL{emptied}"]
    if missing:
        lists = "[" + ", ".join(literal(name) for name in missing) + "]"
        given = " OR ".join(f"{quote(name)} IS NOT NULL" for name in missing)
        queries.append(
            f"SELECT {key} FROM {events} SEMI JOIN (SELECT {key} FROM {events} WHERE {given}) USING ({key}) "
            f"WHERE {partial} AND list_has_any(_missing, {lists})"
        )
    if of:
        queries.append(f"SELECT {key} FROM ({left_out(events, source, of, by_day=False)})")
    listed = connection.execute(f"CREATE OR REPLACE TABLE {keys} AS {' UNION '.join(queries)}").fetchone()
    if listed is None or listed[0] == 0:
        return None
    return Unusual(keys, tuple(dict.fromkeys([*unchanged, *missing])), truncates)


def states(events: str, unusual: Unusual, source: Source, columns: Collection[str], by_day: bool) -> str:
    """Write the query of the states of unusual keys, one per key and position.

    Args:
        events: Name of the relation of raw events.
        unusual: The unusual keys.
        source: Their source.
        columns: The event columns to select.
        by_day: Whether each day's events are folded separately, as for a partitioned table; otherwise copies of an event
            count as one event.

    Returns:
        A query of the columns, those that give an event its position, and `STATE_COLUMNS`.
    """
    day = source.partition_column
    group = ", ".join(quote(name) for name in group_of(source, by_day))
    keys = ", ".join(quote(name) for name in source.key)
    read = dict.fromkeys([*columns, *source.key, *([day] if day else []), *unusual.columns, *source.money_columns, *_PLACED])
    healed = _healed(unusual.columns)
    is_here = "true" if day is None else f"_day IS NOT DISTINCT FROM {quote(day)}" if by_day else "_day IS NOT NULL"
    place = "" if day is None or by_day else f", coalesce(_day, {quote(day)}) AS {quote(day)}"
    money = f"coalesce(({source.money})::DECIMAL(38,4), 0)" if source.money else "0::DECIMAL(38,4)"
    return f"""
WITH own AS (SELECT {_list(read)} FROM {events} SEMI JOIN {unusual.keys} USING ({keys})),{_truncates(unusual)}
told AS (SELECT *, true AS _is_told FROM own{_emptied(unusual, source, group)}{_left_out(events, source, by_day)}),
numbered AS (
  -- One event per position: the others there are copies of it.
  SELECT *, count(*) FILTER (_op IN ('c', 'r', 'd')) OVER (PARTITION BY {group} ORDER BY _sequence) AS _start
  FROM (SELECT * FROM told QUALIFY row_number() OVER (PARTITION BY {group}, _sequence ORDER BY {NEWEST_FIRST}) = 1)
),
marked AS (SELECT *{_marks(unusual.columns)} FROM numbered),
known AS (
  SELECT *, last_value(CASE WHEN _op <> 'd' THEN _about END IGNORE NULLS) OVER since_start AS _day{_givens(unusual.columns)}
  FROM marked
  WINDOW since_start AS (PARTITION BY {group}, _start ORDER BY _sequence ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
healed AS (
  SELECT *{f" REPLACE ({healed})" if healed else ""}, _op <> 'd' AND {is_here} AS _is_here,
    list_filter([{_unknown(unusual.columns)}]::VARCHAR[], lambda name: name IS NOT NULL) AS _unknown,
    {_taken(unusual.columns)} AS _taken
  FROM known
)
SELECT * REPLACE (
    CASE WHEN _is_here THEN _op ELSE 'd' END AS _op,
    CASE WHEN _is_here THEN {money} ELSE 0 END::DECIMAL(38,4) AS _money{place}
  ),
  CASE WHEN _is_here AND len(_unknown) > 0 THEN _unknown END AS _unhealed,
  CASE WHEN _is_here THEN _taken ELSE 0 END::INTEGER AS _healed,
  CASE WHEN _is_here AND len(_unknown) > 0
    THEN {{'_landing_object': _landing_object, '_landing_row': _landing_row, '_sequence': _sequence}} END AS _origin
FROM healed"""


def _marks(columns: Sequence[str]) -> str:
    """Columns that say whether an event lacks the value of a column."""
    return "".join(
        f", _op <> 'd' AND (coalesce(list_contains(_unchanged, {literal(name)}), false) "
        f"OR _op = 'u' AND coalesce(list_contains(_missing, {literal(name)}), false)) AS _lacks_{place}"
        for place, name in enumerate(columns)
    )


def _givens(columns: Sequence[str]) -> str:
    """Columns with the last value given up to an event; in a struct, because a null that was given is a value, too."""
    return "".join(
        f", last_value(CASE WHEN _op <> 'd' AND NOT _lacks_{place} THEN {{'given': {quote(name)}}} END IGNORE NULLS) "
        f"OVER since_start AS _known_{place}"
        for place, name in enumerate(columns)
    )


def _healed(columns: Sequence[str]) -> str:
    """The columns, with values that an event lacks taken from earlier ones."""
    return ", ".join(
        f"CASE WHEN _lacks_{place} THEN _known_{place}.given ELSE {quote(name)} END AS {quote(name)}"
        for place, name in enumerate(columns)
    )


def _unknown(columns: Sequence[str]) -> str:
    """The names of columns that are said to be unchanged, and of which no earlier event gives a value."""
    return ", ".join(
        f"CASE WHEN _lacks_{place} AND _known_{place} IS NULL AND list_contains(_unchanged, {literal(name)}) "
        f"THEN {literal(name)} END"
        for place, name in enumerate(columns)
    )


def _taken(columns: Sequence[str]) -> str:
    """How many values were taken from earlier events."""
    counted = (f"(_lacks_{place} AND _known_{place}.given IS NOT NULL)::INTEGER" for place, _ in enumerate(columns))
    return " + ".join(counted) or "0"


def group_of(source: Source, by_day: bool) -> tuple[str, ...]:
    """The columns that identify a key's states."""
    return (*source.key, source.partition_column) if by_day and source.partition_column else source.key


_PLACED = (
    "_op",
    "_sequence",
    "_source_timestamp",
    "_about",
    "_ingested_at",
    "_landing_object",
    "_landing_row",
    "_missing",
    "_unchanged",
    "_money",
)
"""Event columns that are needed to derive states."""


def _emptied(unusual: Unusual, source: Source, group: str) -> str:
    """Write the deletes that truncates imply for existing keys, as an addition to `told`.

    Each event of a key is followed by a delete at the next truncate, with the earliest time of that and all later ones: the
    truncates between them would say the same. So a source that is emptied daily does not give each key a delete a day.
    """
    if unusual.truncates is None:
        return ""
    day = quote(source.partition_column) if source.partition_column else ""
    key = _list(source.key)
    return f"""
  UNION ALL BY NAME
  SELECT {key}{f", max({day}) AS {day}" if day else ""}, 'd' AS _op, own._next AS _sequence,
    any_value(emptied._since) AS _source_timestamp,
    any_value(emptied._ingested_at) AS _ingested_at, any_value(emptied._landing_object) AS _landing_object,
    any_value(emptied._landing_row) AS _landing_row, 0::DECIMAL(38,4) AS _money, false AS _is_told
  FROM (SELECT own.*, following._next FROM own JOIN following USING (_sequence)) AS own
  JOIN emptied ON emptied._sequence = own._next
  GROUP BY {group}, own._next"""


def _left_out(events: str, source: Source, by_day: bool) -> str:
    """Write the deletes that documents imply for the elements that they lack, as an addition to `told`."""
    of = source.elements
    return f" UNION ALL BY NAME FROM ({left_out(events, source, of, by_day)})" if of else ""


def _truncates(unusual: Unusual) -> str:
    """Write the truncates, one per position, and which of them follows each position, as CTEs before `told`."""
    if unusual.truncates is None:
        return ""
    return f"""
emptied AS (
  SELECT _sequence, _ingested_at, _landing_object, _landing_row, min(coalesce(_source_timestamp, _ingested_at)) OVER (
    ORDER BY _sequence ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
  ) AS _since
  FROM (SELECT * FROM {unusual.truncates} QUALIFY row_number() OVER (PARTITION BY _sequence ORDER BY {NEWEST_FIRST}) = 1)
),
following AS (
  SELECT _sequence, _next FROM (
    SELECT _sequence, _is_truncate, first_value(CASE WHEN _is_truncate THEN _sequence END IGNORE NULLS) OVER (
      ORDER BY _sequence, _is_truncate ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS _next
    FROM (
      SELECT DISTINCT _sequence, false AS _is_truncate FROM own
      UNION ALL SELECT _sequence, true FROM emptied
    )
  ) WHERE NOT _is_truncate AND _next IS NOT NULL
),"""


def _named(connection: duckdb.DuckDBPyConnection, events: str, source: Source, lists: str, condition: str) -> list[str]:
    """The source's columns that occur in some events' lists."""
    found = connection.execute(
        f"SELECT DISTINCT unnest({lists}) FROM {events} WHERE {lists} IS NOT NULL AND {condition}"
    ).fetchall()
    named = {name for (name,) in found}
    return [spec.name for spec in source.columns if spec.name in named]


def _given_elsewhere(connection: duckdb.DuckDBPyConnection, events: str, columns: list[str]) -> list[str]:
    """The columns for which any event has a value: the others are null with or without older events."""
    if not columns:
        return []
    counts = ", ".join(f"count({quote(name)})" for name in columns)
    found = connection.execute(f"SELECT {counts} FROM {events}").fetchone() or ()
    return [name for name, count in zip(columns, found, strict=True) if count]


def _list(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)
