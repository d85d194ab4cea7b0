"""Incidents and the incident book: when each began, when it was resolved, which channels were notified.

Belongs here: values, and the pure steps from one book to the next. Does not belong here: finding incidents (`conditions`),
storing the book (`memory`), sending anything (`telling`).

An incident has one kind, one table and one scope (mostly a partition). Every channel is notified once when it begins and once
when it is resolved, however many runs see it in between. A channel that cannot be reached is owed the message until it has
received it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

KEPT = dt.timedelta(days=30)
"""How long the book remembers resolved incidents."""


class Urgency(StrEnum):
    """Whether an incident pages somebody."""

    CRITICAL = "critical"
    """Served data are missing, late or wrong: it pages."""
    WARNING = "warning"
    """It can wait for the morning."""


class Kind(StrEnum):
    """The kind of an incident."""

    PROOF_FAILED = "proof_failed"
    """A partition broke a rule with severity `stop`, or its books do not balance."""
    THRESHOLD_CROSSED = "threshold_crossed"
    """A partition's quality score is below its table's threshold."""
    LATE = "late"
    """A source or table has had nothing new for longer than allowed."""
    HELD = "held"
    """Landing objects are not ingested: they do not fit the contract, or the library that reads them is not installed."""
    DRIFT = "drift"
    """A producer sends columns that the contract does not declare."""
    QUARANTINE_OLD = "quarantine_old"
    """Rows have been in quarantine for longer than allowed."""
    ANOMALY = "anomaly"
    """A figure is far from its expected value on that day."""
    DIFFERS = "differs"
    """A table's totals differ from those of a control."""
    RUN_FAILED = "run_failed"
    """A job's last run failed for a reason other than data."""
    LAKE_GONE = "lake_gone"
    """The lake cannot be reached."""
    UNSEEN = "unseen"
    """The lake is there, and something of it cannot be read: what else is wrong may go unseen."""

    @property
    def urgency(self) -> Urgency:
        """Whether it pages."""
        return Urgency.WARNING if self in _CAN_WAIT else Urgency.CRITICAL

    @property
    def words(self) -> str:
        """Its name in messages."""
        return _WORDS[self]


_CAN_WAIT = {Kind.DRIFT, Kind.QUARANTINE_OLD, Kind.ANOMALY}
_WORDS = {
    Kind.PROOF_FAILED: "proof failed",
    Kind.THRESHOLD_CROSSED: "below its quality threshold",
    Kind.LATE: "late",
    Kind.HELD: "landing objects held back",
    Kind.DRIFT: "columns have changed",
    Kind.QUARANTINE_OLD: "rows in quarantine too long",
    Kind.ANOMALY: "anomaly",
    Kind.DIFFERS: "differs from its control",
    Kind.RUN_FAILED: "run failed",
    Kind.LAKE_GONE: "lake cannot be reached",
    Kind.UNSEEN: "cannot be looked at",
}

Key = tuple[str, str, str]
"""Kind, table and scope: the identity of an incident."""


@dataclass(frozen=True)
class Incident:
    """A current incident.

    Attributes:
        kind: Its kind.
        table: The table's or source's full name; a job's name for a failed run.
        scope: The partition, column or the like; empty for the table as a whole.
        text: What is wrong, in words that contain no value of any row.
        owner: The team responsible, as in `team:payments`.
        detail: More, which may hold values: for who looks by hand. No channel is told of it, and the book does not keep it.
    """

    kind: Kind
    table: str
    scope: str
    text: str
    owner: str = ""
    detail: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """The identity of the incident."""
        return (self.kind.value, self.table, self.scope)

    @property
    def urgency(self) -> Urgency:
        """Whether it pages."""
        return self.kind.urgency


@dataclass(frozen=True)
class Record:
    """An incident in the book.

    Attributes:
        incident: The incident as last seen.
        opened_at: When it began, UTC.
        resolved_at: When it was resolved; None while it is open.
        told: Last message to each channel: true for its beginning, false for its resolution, None for nothing yet.
    """

    incident: Incident
    opened_at: dt.datetime
    resolved_at: dt.datetime | None = None
    told: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self.resolved_at is None

    def is_owed(self, channel: str) -> bool:
        """Whether a channel is still owed a message; a channel set up after the resolution is not."""
        return self.told[channel] is not self.is_open if channel in self.told else self.is_open


@dataclass(frozen=True)
class Claim:
    """A run's exclusive right to notify a channel, so that two concurrent runs do not both do it.

    Attributes:
        by: The run.
        until: When it expires if the run does not release it.
    """

    by: str
    until: dt.datetime


@dataclass(frozen=True)
class Book:
    """All open and recent incidents, and the claims on channels.

    Attributes:
        records: By the incident's key.
        claims: By channel.
    """

    records: Mapping[Key, Record] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def open(self) -> tuple[Record, ...]:
        """The open incidents, oldest first."""
        return tuple(sorted((record for record in self.records.values() if record.is_open), key=_by_age))

    def owed(self, channel: str, urgencies: Collection[Urgency]) -> tuple[Record, ...]:
        """The messages owed to a channel that receives some urgencies, oldest first."""
        found = (each for each in self.records.values() if each.is_owed(channel) and each.incident.urgency in urgencies)
        return tuple(sorted(found, key=_by_age))


def judge(
    book: Book,
    current: Iterable[Incident],
    judged: Collection[Kind],
    channels: Mapping[str, Collection[Urgency]],
    now: dt.datetime,
) -> Book:
    """Open new incidents, and resolve those that are over.

    Args:
        book: The book so far.
        current: The current incidents.
        judged: The kinds of which `current` has every incident; incidents of other kinds are not resolved.
        channels: The urgencies that each channel receives.
        now: The time, UTC.
    """
    seen = {incident.key: incident for incident in current}
    records = dict(book.records)
    for key, incident in seen.items():
        listening = {channel: None for channel, urgencies in channels.items() if incident.urgency in urgencies}
        records[key] = _seen(records.get(key), incident, listening, now)
    for key, record in book.records.items():
        if record.is_open and key not in seen and record.incident.kind in judged:
            records[key] = replace(record, resolved_at=now)
    kept = {key: record for key, record in records.items() if record.resolved_at is None or now - record.resolved_at < KEPT}
    return replace(book, records=kept)


def claim(book: Book, channel: str, by: str, until: dt.datetime, now: dt.datetime) -> Book:
    """Claim the right to notify a channel; the book is unchanged if another run has it."""
    held = book.claims.get(channel)
    if held is not None and held.by != by and held.until > now:
        return book
    return replace(book, claims={**book.claims, channel: Claim(by, until)})


def release(book: Book, channel: str, by: str) -> Book:
    """Release the right to notify a channel."""
    held = book.claims.get(channel)
    if held is None or held.by != by:
        return book
    return replace(book, claims={name: each for name, each in book.claims.items() if name != channel})


def note_told(book: Book, channel: str, told: Iterable[Record]) -> Book:
    """Record the messages sent to a channel.

    Args:
        book: The book.
        channel: The channel.
        told: The records as sent: any change since is owed again.
    """
    records = dict(book.records)
    for record in told:
        now = records.get(record.incident.key)
        if now is not None:
            records[record.incident.key] = replace(now, told={**now.told, channel: record.is_open})
    return replace(book, records=records)


def _seen(before: Record | None, incident: Incident, listening: Mapping[str, bool | None], now: dt.datetime) -> Record:
    if before is None:
        return Record(incident, now, told=listening)
    if before.is_open:
        return replace(before, incident=incident)
    if before.told and False not in before.told.values():
        # Its resolution was never sent, so it never ended.
        return replace(before, incident=incident, resolved_at=None)
    known = {channel: told or None for channel, told in before.told.items()}
    return Record(incident, now, told={**listening, **known})


def _by_age(record: Record) -> tuple[dt.datetime, Key]:
    return record.opened_at, record.incident.key
