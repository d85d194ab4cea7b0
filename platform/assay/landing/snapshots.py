"""Dated full snapshots: an object's date, when a snapshot is complete, and what its absences mean.

Belongs here: pure functions over names and counts, and the record that bounds a snapshot. Does not belong here: reading files
(the readers), folding (`engine.fold`).

A full snapshot is a truncate at `[date, 0]` and its records as reads at `[date, 1]`: whatever it lacks was deleted as of its
date, whatever lands before or after it. Each object of a snapshot contributes the same truncate, so the order in which they land
does not matter.

Whether a snapshot is complete is judged over all existing snapshots, never only against those that happened to land first.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.lake.layout import landing_prefix
from assay.lake.ledger import LandedObject
from assay.lake.store import ObjectInfo
from assay.landing.edits import is_edit
from assay.landing.formats import Csv, JsonDocuments, Snapshot
from assay.landing.records import text_list

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


@dataclass(frozen=True)
class Arrived:
    """A source's objects that were not ingested, by what to do with them.

    Attributes:
        ready: To be ingested.
        waiting: Of snapshots that are not yet marked complete.
    """

    ready: tuple[ObjectInfo, ...]
    waiting: tuple[ObjectInfo, ...]


def sort_out(objects: Iterable[ObjectInfo], source: Source) -> Arrived:
    """Hold back the objects of snapshots whose marker does not exist; markers themselves hold no records.

    Args:
        objects: Everything that was listed and not ingested; markers never are ingested.
        source: Their source.
    """
    arrived = tuple(objects)
    rule = snapshot_of(source)
    if rule is None or rule.marker is None:
        return Arrived(arrived, ())
    markers = {info.key for info in arrived if fnmatchcase(info.key.rsplit("/", 1)[-1], rule.marker)}
    whole = {date_of(key, source, rule) for key in markers}
    data = [(info, date_of(info.key, source, rule)) for info in arrived if info.key not in markers]
    return Arrived(
        tuple(info for info, date in data if date is None or date in whole),
        tuple(info for info, date in data if date is not None and date not in whole),
    )


@dataclass(frozen=True)
class Counted:
    """What a snapshot's objects hold together; objects with the same content count once.

    Attributes:
        records: Usable records.
        refused: Quarantined records and pieces.
        clean: Objects without any in quarantine.
    """

    records: int
    refused: int = 0
    clean: int = 1


@dataclass(frozen=True)
class Judged:
    """Snapshots that must not be trusted fully, with the reason and what to do.

    Attributes:
        refused: By date: nothing of these is used.
        unbounded: By date: the records of these are used, but their absences mean nothing.
    """

    refused: Mapping[int, str]
    unbounded: Mapping[int, str]

    @property
    def reasons(self) -> list[str]:
        """All reasons, by date."""
        return [reason for _, reason in sorted((*self.refused.items(), *self.unbounded.items()))]


def counted(landed: Iterable[LandedObject], source: Source) -> dict[int, Counted]:
    """Count the snapshots that were ingested, by date."""
    rule = snapshot_of(source)
    if rule is None:
        return {}
    found: dict[int, dict[str, LandedObject]] = {}
    for each in landed:
        if not is_edit(each.key) and (date := date_of(each.key, source, rule)):
            found.setdefault(int(date), {})[each.etag] = each
    return {
        date: Counted(
            # Each object contributes its boundary besides its records.
            records=sum(max(each.events - 1, 0) for each in objects.values()),
            refused=sum(each.quarantined for each in objects.values()),
            clean=sum(each.quarantined == 0 for each in objects.values()),
        )
        for date, objects in found.items()
    }


def judge(counts: Mapping[int, Counted], rule: Snapshot, *, declares_size: bool = False) -> Judged:
    """Determine which snapshots are complete.

    Each is compared with the last one before it, by date, that was not rejected: the answer depends on the set alone.

    Args:
        counts: What landed, by date.
        rule: The source's declaration of its snapshots.
        declares_size: Whether a marker, or a count in its files, shows that a snapshot is complete.
    """
    accepted = {int(date) for date in rule.accepted}
    refused: dict[int, str] = {}
    unbounded: dict[int, str] = {}
    before: tuple[int, int] | None = None
    for date, count in sorted(counts.items()):
        hint = f"or add '{date}' to Snapshot(accepted=…) if it is complete."
        if date in accepted:
            before = (date, count.records)
        elif not declares_size and before is not None and count.records < rule.share * before[1]:
            refused[date] = (
                f"the snapshot of {date} has {count.records:,} records, less than {rule.share:.0%} of the {before[1]:,} of "
                f"{before[0]}: it counts as incomplete, and nothing of it is used. Land the rest under a name with that date, "
                f"{hint}"
            )
        else:
            before = (date, count.records)
            problem = _unbounded(count, rule)
            if problem:
                unbounded[date] = (
                    f"the snapshot of {date} {problem}: what it lacks is not deleted. Land what is missing under a name with "
                    f"that date, {hint}"
                )
    return Judged(refused, unbounded)


def _unbounded(count: Counted, rule: Snapshot) -> str | None:
    """Why a snapshot's absences mean nothing: a record that cannot be read, or has not landed, is not absent."""
    if rule.marker is not None:
        return f"has {count.refused:,} records in quarantine" if count.refused else None
    if count.clean >= rule.files:
        return None
    return f"has {count.clean:,} objects without a record in quarantine, and {rule.files:,} make one"


def judged(landed: Iterable[LandedObject], source: Source) -> Judged:
    """Judge the ingested snapshots of a source; empty for a source without snapshots."""
    rule = snapshot_of(source)
    if rule is None:
        return Judged({}, {})
    has_trailer = isinstance(source.format, Csv) and source.format.trailer is not None
    return judge(counted(landed, source), rule, declares_size=rule.marker is not None or has_trailer)


def believed(verdict: Judged) -> str | None:
    """Write the condition on raw events that leaves out those that must not be trusted; None if all are trusted."""
    tests = []
    if verdict.refused:
        tests.append(f"_sequence[1] NOT IN ({', '.join(map(str, sorted(verdict.refused)))})")
    if verdict.unbounded:
        tests.append(f"NOT (_op = 't' AND _sequence[1] IN ({', '.join(map(str, sorted(verdict.unbounded)))}))")
    return " AND ".join(tests) or None
