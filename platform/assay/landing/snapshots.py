"""When a dated full snapshot is complete, and what is believed of one that is not.

Belongs here: pure functions over names and counts. Does not belong here: an object's date, and the record that bounds a snapshot
(`readers.snapshot_dates`), folding (`engine.fold`).

Whether a snapshot is complete is judged over all existing snapshots, never only against those that happened to land first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from assay.contracts import Source
from assay.lake.ledger import LandedObject
from assay.lake.store import ObjectInfo
from assay.landing.formats import Csv, Snapshot
from assay.landing.readers.edits import is_edit
from assay.landing.readers.snapshot_dates import date_of, snapshot_of


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
