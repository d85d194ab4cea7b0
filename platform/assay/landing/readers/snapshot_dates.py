"""Dated full snapshots, object by object: the date in an object's name, and the record that bounds a snapshot.

Belongs here: what readers need of a snapshot. Does not belong here: reading files (the readers), whether a snapshot is complete
(`snapshots`).

A full snapshot is a truncate at `[date, 0]` and its records as reads at `[date, 1]`: whatever it lacks was deleted as of its
date, whatever lands before or after it. Each object of a snapshot contributes the same truncate, so the order in which they land
does not matter.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.lake.layout import landing_prefix
from assay.landing.formats import Csv, JsonDocuments, Snapshot
from assay.landing.sql import text_list

BOUNDARY, RECORD = 0, 1
"""Second number in the sequence of a snapshot's truncate and of its records."""
MOST_DIGITS = 18
"""Most digits that a number in a position can have."""
_DATE_PARTS = (4, 2, 2, 2, 2, 2)
_LEAST = ("0000", "01", "01", "00", "00", "00")


def snapshot_of(source: Source) -> Snapshot | None:
    """How a source's snapshots are identified, if it lands snapshots."""
    return source.format.snapshot if isinstance(source.format, Csv | JsonDocuments) else None


def date_of(key: str, source: Source, rule: Snapshot) -> str | None:
    """The digits of an object's date; None if its name has none, or one that is not in the calendar."""
    found = re.search(rule.date, key.removeprefix(landing_prefix(source.name)))
    digits = re.sub(r"\D", "", "".join(group or "" for group in found.groups() or (found.group(),))) if found else ""
    return digits if digits and is_of_calendar(digits) else None


def is_of_calendar(digits: str) -> bool:
    """Whether the digits of a date, possibly with a time of day, are in the calendar."""
    if len(digits) > MOST_DIGITS:
        return False
    try:
        dt.datetime.fromisoformat(_written(digits))
    except ValueError:
        return False
    return True


def no_date(source: Source, rule: Snapshot) -> str:
    """Why an object without a date is rejected."""
    return f"the name has no date as {rule.date} of {source.full_name} finds one: land it under a name that has it"


def instant(date: str) -> str:
    """Write the time of a snapshot's deletes: its date, at midnight UTC if it has no time of day."""
    return f"TRY_CAST({literal(f'{_written(date)}+00')} AS TIMESTAMPTZ)"


def _written(date: str) -> str:
    parts, rest = [], date
    for size, least in zip(_DATE_PARTS, _LEAST, strict=True):
        parts.append(rest[:size] or least)
        rest = rest[size:]
    return f"{'-'.join(parts[:3])} {':'.join(parts[3:])}"


def boundaries(paths: Iterable[Path], date: str, source: Source, width: int = 2) -> str:
    """Write the query that yields the truncate of each of a snapshot's files, in the shape of parsed records.

    A truncate has no line, because it comes from the object as a whole.

    Args:
        paths: The files.
        date: Their date.
        source: Their source.
        width: Length of the source's sequences.
    """
    sequence = ", ".join([date, str(BOUNDARY), *["0"] * (width - 2)])
    columns = ", ".join(f"NULL::VARCHAR AS {quote(spec.name)}" for spec in source.columns)
    return (
        f"SELECT unnest({text_list([str(path) for path in paths])}) AS _path, NULL::BIGINT AS _n, NULL::VARCHAR AS _record, "
        f"NULL::VARCHAR AS _reason, 't' AS _op, [{sequence}]::BIGINT[] AS _sequence, {instant(date)} AS _source_timestamp, "
        f"NULL::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued, {columns}"
    )
