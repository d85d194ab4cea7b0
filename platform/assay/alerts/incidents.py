"""What an incident is, and the book of those that were ever open: when each began, when it was over, who was told.

Belongs here: values, and the pure steps from one book to the next. Does not belong here: finding incidents (`conditions`),
keeping the book (`memory`), sending anything (`telling`).

An incident is one kind of trouble, of one table, in one scope (mostly a partition). It is told once to every channel when it
begins and once when it is over, however many runs see it in between. A channel that cannot be reached is owed the message until
it has it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

KEPT = dt.timedelta(days=30)
"""How long the book remembers incidents that are over."""


class Urgency(StrEnum):
    """Whether somebody is to be woken."""

    CRITICAL = "critical"
    """What is served is missing, late or wrong: it pages."""
    WARNING = "warning"
    """It can wait for the morning."""


class Kind(StrEnum):
    """What is wrong."""

    PROOF_FAILED = "proof_failed"
    """A partition broke a rule that stops it, or its books do not balance."""
    THRESHOLD_CROSSED = "threshold_crossed"
    """A partition's quality score is below its table's threshold."""
    LATE = "late"
    """A source is silent, or a table old, for longer than it may be."""
    HELD = "held"
    """Landing objects are not ingested: they do not fit the contract, or the library that reads them is not installed."""
    DRIFT = "drift"
    """A producer sends columns that the contract does not declare."""
    QUARANTINE_OLD = "quarantine_old"
    """Rows have been in quarantine for longer than they may be."""
    ANOMALY = "anomaly"
    """A figure is unlike what it should be on such a day."""
    RUN_FAILED = "run_failed"
    """A job's last run failed, and not because of data."""
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
        """What it is called in messages."""
        return _WORDS[self]


_CAN_WAIT = {Kind.DRIFT, Kind.QUARANTINE_OLD, Kind.ANOMALY}
_WORDS = {
    Kind.PROOF_FAILED: "proof failed",
    Kind.THRESHOLD_CROSSED: "below its quality threshold",
    Kind.LATE: "late",
    Kind.HELD: "landing objects held back",
    Kind.DRIFT: "columns have changed",
    Kind.QUARANTINE_OLD: "rows too long in quarantine",
    Kind.ANOMALY: "anomaly",
    Kind.RUN_FAILED: "run failed",
    Kind.LAKE_GONE: "lake cannot be reached",
    Kind.UNSEEN: "cannot be looked at",
}

Key = tuple[str, str, str]
"""Kind, table and scope: what makes two incidents the same one."""


@dataclass(frozen=True)
class Incident:
    """Something that is wrong now.

    Attributes:
        kind: What.
        table: The table's or source's full name; a job's name for a failed run.
        scope: The partition, column or the like; empty where the table as a whole is meant.
        text: What is wrong, in words that hold no value of any row.
        owner: Who answers for it, as in `team:payments`.
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
        """What makes two incidents the same one."""
        return (self.kind.value, self.table, self.scope)

    @property
    def urgency(self) -> Urgency:
        """Whether it pages."""
        return self.kind.urgency


@dataclass(frozen=True)
class Record:
    """An incident, as the book has it.

    Attributes:
        incident: As it was seen last.
        opened_at: When it began, UTC.
        resolved_at: When it was over; None while it is not.
        told: What each channel was told last: true that it began, false that it is over, None nothing yet.
    """

    incident: Incident
    opened_at: dt.datetime
    resolved_at: dt.datetime | None = None
    told: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.resolved_at is None

    def is_owed(self, channel: str) -> bool:
        """Whether a channel must still be told; one that was set up after an incident was over is not."""
        return self.told[channel] is not self.is_open if channel in self.told else self.is_open


@dataclass(frozen=True)
class Claim:
    """A run's right to tell a channel, so that two runs at once do not both do it.

    Attributes:
        by: The run.
        until: When it ends, should the run not come back.
    """

    by: str
    until: dt.datetime


@dataclass(frozen=True)
class Book:
    """All incidents that are open or were lately, and who is telling them.

    Attributes:
        records: By the incident's key.
        claims: By channel.
    """

    records: Mapping[Key, Record] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def open(self) -> tuple[Record, ...]:
        """What goes on, oldest first."""
        return tuple(sorted((record for record in self.records.values() if record.is_open), key=_by_age))

    def owed(self, channel: str, urgencies: Collection[Urgency]) -> tuple[Record, ...]:
        """What a channel that is told of some urgencies must still be told, oldest first."""
        found = (each for each in self.records.values() if each.is_owed(channel) and each.incident.urgency in urgencies)
        return tuple(sorted(found, key=_by_age))


def judge(
    book: Book,
    current: Iterable[Incident],
    judged: Collection[Kind],
    channels: Mapping[str, Collection[Urgency]],
    now: dt.datetime,
) -> Book:
    """Open what is new, and close what is over.

    Args:
        book: The book so far.
        current: What is wrong now.
        judged: The kinds whose every incident is in `current`; of other kinds, nothing is over.
        channels: The urgencies that each channel is told of.
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
    """Take the right to tell a channel; the book stays as it is where another run has it."""
    held = book.claims.get(channel)
    if held is not None and held.by != by and held.until > now:
        return book
    return replace(book, claims={**book.claims, channel: Claim(by, until)})


def release(book: Book, channel: str, by: str) -> Book:
    """Give back the right to tell a channel."""
    held = book.claims.get(channel)
    if held is None or held.by != by:
        return book
    return replace(book, claims={name: each for name, each in book.claims.items() if name != channel})


def note_told(book: Book, channel: str, told: Iterable[Record]) -> Book:
    """Note what a channel was told.

    Args:
        book: The book.
        channel: The channel.
        told: The records as they were when it was told: whatever has changed since is owed again.
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
        # Nobody was told that it was over: it never was.
        return replace(before, incident=incident, resolved_at=None)
    known = {channel: told or None for channel, told in before.told.items()}
    return Record(incident, now, told={**listening, **known})


def _by_age(record: Record) -> tuple[dt.datetime, Key]:
    return record.opened_at, record.incident.key
