"""Elements of documents that a newer version of the document lacks.

Belongs here: the SQL that finds them among raw events. Does not belong here: the records of a document (`landing`), the
resulting states (`states`).
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.contracts import Elements, Source
from assay.contracts.rules import quote
from assay.engine.fold import NEWEST_FIRST


def left_out(events: str, source: Source, of: Elements, by_day: bool) -> str:
    """Write the query of the deletes that documents imply for the elements that they lack.

    Each event of an element is followed by a delete at the next version of its document, unless that version has the element.

    Args:
        events: Name of the relation of raw events.
        source: Their source.
        of: How its elements are identified.
        by_day: Whether each day's events are folded separately; otherwise copies of an event count as one event.

    Returns:
        A query of the key, the source's day and the event columns that give an event its position, with `_is_told` false.
    """
    day = [source.partition_column] if source.partition_column else []
    parent = _list([*of.parent, *(day if by_day else [])])
    element = _list([*source.key, *(day if by_day else [])])
    is_document = f"{quote(of.ordinal)} = 0 AND _op = 'd'"
    days = "" if by_day else "".join(f", max({quote(name)}) AS {quote(name)}" for name in day)
    return f"""
WITH places AS (
  SELECT {parent}, _sequence, bool_or({is_document}) AS _is_document FROM {events} GROUP BY {parent}, _sequence
),
following AS (
  SELECT {parent}, _sequence, first_value(CASE WHEN _is_document THEN _sequence END IGNORE NULLS) OVER (
    PARTITION BY {parent} ORDER BY _sequence ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
  ) AS _next
  FROM places
),
elements AS (SELECT {element}{days}, _sequence FROM {events} WHERE {quote(of.ordinal)} <> 0 GROUP BY {element}, _sequence),
gone AS (
  SELECT * EXCLUDE (_sequence, _next), _next AS _sequence FROM elements JOIN following USING ({parent}, _sequence)
  WHERE _next IS NOT NULL
),
documents AS (
  SELECT {parent}, _sequence, _source_timestamp, _ingested_at, _landing_object, _landing_row FROM {events} WHERE {is_document}
  QUALIFY row_number() OVER (PARTITION BY {parent}, _sequence ORDER BY {NEWEST_FIRST}) = 1
)
SELECT *, 'd' AS _op, 0::DECIMAL(38,4) AS _money, false AS _is_told
FROM (SELECT DISTINCT * FROM gone) ANTI JOIN elements USING ({element}, _sequence) JOIN documents USING ({parent}, _sequence)"""


def _list(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)
