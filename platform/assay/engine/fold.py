"""The folds: from change events to the state of each key.

Belongs here: the SQL of `latest` and `history` over a relation of raw events, or of states (`states`). Does not belong
here: which files those events are in (`relations`).

Events are ordered by `_sequence`, compared number by number. Of two events at one position a delete wins; otherwise the one of
the object landed first, and of its lines the last, so that a repeated delivery changes nothing. Nothing here depends on the
order in which rows are read.
"""

from __future__ import annotations

from collections.abc import Collection

from assay.contracts.rules import quote

HISTORY_COLUMNS = {
    "valid_from": "TIMESTAMP WITH TIME ZONE",
    "valid_to": "TIMESTAMP WITH TIME ZONE",
    "is_current": "BOOLEAN",
}
"""Columns that `history` adds to a raw event's."""

_PLACE = (
    "{position: _sequence, is_delete: _op = 'd', landed_first: -epoch_us(_ingested_at), "
    "object: hash(_landing_object), last_row: _landing_row}"
)
"""The sort key of an event: one struct, because DuckDB sorts by one composite key faster than by five columns."""
NEWEST_FIRST = f"{_PLACE} DESC"
SINCE = "coalesce(_source_timestamp, _ingested_at)"
"""When an event's state began: `valid_from` in `history`."""


def latest(events: str, group: Collection[str], columns: Collection[str]) -> str:
    """Fold events to the newest one of each key; deleted keys stay, with `_op = 'd'`.

    Args:
        events: The relation of raw events: a name, or a query in parentheses.
        group: The key's columns.
        columns: The columns to select.
    """
    return (
        f"SELECT {_select(columns)} FROM {events} "
        f"QUALIFY row_number() OVER (PARTITION BY {_select(group)} ORDER BY {NEWEST_FIRST}) = 1"
    )


def history(
    events: str, group: Collection[str], columns: Collection[str], state: Collection[str], *, is_unique: bool = False
) -> str:
    """Fold events to the intervals during which each key's state did not change.

    Each state lasts from its event's source timestamp to the next state's; equal neighbours form one interval. A delete closes
    the state before it and stays, with `_op = 'd'`, for the books.

    Args:
        events: The relation of raw events: a name, or a query in parentheses.
        group: The key's columns.
        columns: The columns to select, of the event or of `HISTORY_COLUMNS`.
        state: The columns in which neighbours must agree to form one interval.
        is_unique: Whether each key is known to have one event per position, as in `states`.
    """
    wanted = [name for name in columns if name not in HISTORY_COLUMNS]
    packed = "{" + ", ".join(f"{quote(name)}: {quote(name)}" for name in state) + "}" if state else "0"
    key = _select(group)
    newest = "" if is_unique else f"\n  QUALIFY row_number() OVER (PARTITION BY {key}, _sequence ORDER BY {NEWEST_FIRST}) = 1"
    return f"""
WITH positions AS (
  SELECT *, {SINCE} AS _since FROM {events}{newest}
),
lasting AS (
  -- A state that was replaced at the instant it began (one transaction), or before it (a clock set back), never held.
  SELECT * FROM positions
  QUALIFY coalesce(_since < min(_since) OVER (
    PARTITION BY {key} ORDER BY _sequence ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
  ), true)
),
changed AS (
  SELECT * FROM lasting
  WINDOW by_key AS (PARTITION BY {key} ORDER BY _sequence)
  QUALIFY (_op = 'd', {packed}) IS DISTINCT FROM lag((_op = 'd', {packed})) OVER by_key
)
SELECT {_select(wanted)}, _since AS valid_from, lead(_since) OVER by_key AS valid_to,
  lead(_since) OVER by_key IS NULL AS is_current
FROM changed
WINDOW by_key AS (PARTITION BY {key} ORDER BY _sequence)"""


def _select(columns: Collection[str]) -> str:
    return ", ".join(quote(name) for name in columns)
