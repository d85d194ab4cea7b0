"""What the daily quality report says: values, and the pure sums over them.

Belongs here: one dataclass a part of the report, and what follows from its figures (shares, changes, ages). Does not belong here:
collecting them (`pipeline.reporting`), the words that need no figure, and every pixel (`report`).

A table's *newest days* are the newest that it has, not the newest of the calendar: a history that ended in spring is judged by
its last days in spring, and that it has ended is the business of freshness.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from assay.contracts.dimension import Dimension
from assay.quality.books import Side

DIMENSIONS = tuple(Dimension)
RECENT = 7
"""Newest days that a score is about."""
BEFORE = 28
"""Days before those, that it is compared with."""
RULE_DAYS = 30
"""Newest days that broken rules are counted on."""
_CHANCE = 3.0
"""Standard deviations of a count that may be chance."""
AGES = (dt.timedelta(days=1), dt.timedelta(days=7), dt.timedelta(days=30))
"""Upper bounds of the groups that quarantined records are put in by age; the last group has none."""


@dataclass(frozen=True, slots=True)
class Day:
    """How good one partition was found to be when it was last proven.

    Attributes:
        day: The partition; of a table that is not cut, the day on which it was proven.
        rows: Rows that were judged.
        score: Share of them that broke no rule but such that only warn, 0 to 100; None where nothing could be judged.
        quarantined: Rows that went to quarantine.
        failed: Whether it failed its proof, so that what was published before stands.
        money_score: The score weighted by money; None where the table has none, or it was not kept.
        money_at_risk: Absolute money of the rows that broke a rule.
        dimensions: The score by dimension, in the order of `DIMENSIONS`; empty where it was not kept.
    """

    day: dt.date
    rows: int
    score: float | None
    quarantined: int = 0
    failed: bool = False
    money_score: float | None = None
    money_at_risk: Decimal | None = None
    dimensions: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class TableQuality:
    """A table and its history.

    Attributes:
        name: Its full name.
        owner: Who answers for it.
        about: What a row is.
        threshold: Lowest score at which a partition is published.
        is_daily: Whether it is cut by day.
        unit: Unit of its money; empty where currencies are mixed, or it has none.
        days: Its partitions, the oldest first.
    """

    name: str
    owner: str
    about: str
    threshold: float
    is_daily: bool
    unit: str
    days: tuple[Day, ...]

    @property
    def recent(self) -> tuple[Day, ...]:
        """Its newest days; the last proof of a table that is not cut."""
        return self.days[-RECENT:] if self.is_daily else self.days[-1:]

    @property
    def before(self) -> tuple[Day, ...]:
        """The days before those."""
        return self.days[: len(self.days) - len(self.recent)][-BEFORE:]

    @property
    def rows(self) -> int:
        """Rows judged on its newest days."""
        return sum(day.rows for day in self.recent)

    @property
    def quarantined(self) -> int:
        """Those of them that went to quarantine."""
        return sum(day.quarantined for day in self.recent)

    @property
    def score(self) -> float | None:
        """Its score on its newest days, weighted by rows; None where there are none."""
        return mean_score(self.recent)

    @property
    def change(self) -> float | None:
        """By how much the score is above or below that of the days before."""
        now, then = self.score, mean_score(self.before)
        return None if now is None or then is None else now - then

    @property
    def money_score(self) -> float | None:
        """The score by money on its newest days."""
        return _weighted((day.money_score, day.rows) for day in self.recent)

    @property
    def money_at_risk(self) -> Decimal | None:
        """Absolute money of the rows that broke a rule on its newest days."""
        known = [day.money_at_risk for day in self.recent if day.money_at_risk is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def dimensions(self) -> tuple[float | None, ...]:
        """The score by dimension on its newest days; empty where it was not kept."""
        kept = [day for day in self.recent if day.dimensions]
        return tuple(
            _weighted((day.dimensions[place], day.rows) for day in kept) for place in range(len(DIMENSIONS) if kept else 0)
        )


@dataclass(frozen=True)
class BrokenRule:
    """A rule that rows broke on a table's newest days.

    Attributes:
        table: The table's full name.
        rule: The rule.
        reason: What it says, in words.
        dimension: What it is about; empty where it was not kept.
        severity: What breaking it leads to.
        owner: Who answers for it.
        unit: Unit of the table's money.
        rows: Rows that were judged.
        broken: By day, rows that broke it; every day that was judged, the oldest first.
        money: Absolute money of those rows; None where the table has none, or it was not kept.
        note: What was last said of it where it is about a partition as a whole, and did not hold.
    """

    table: str
    rule: str
    reason: str
    dimension: str
    severity: str
    owner: str
    unit: str
    rows: int
    broken: tuple[tuple[dt.date, int], ...]
    money: Decimal | None = None
    note: str = ""

    @property
    def total(self) -> int:
        """Rows that broke it."""
        return sum(count for _, count in self.broken)

    @property
    def share(self) -> float:
        """The same as a share of those judged."""
        return self.total / self.rows if self.rows else 0.0

    @property
    def change(self) -> float | None:
        """How many times as many a day as before broke it on the newest days, less one; None where none did before."""
        recent, before = self.broken[-RECENT:], self.broken[:-RECENT]
        then = sum(count for _, count in before) / len(before) if before else 0.0
        return sum(count for _, count in recent) / len(recent) / then - 1 if then else None

    @property
    def is_rising(self) -> bool:
        """Whether more rows broke it on the newest days than before, beyond what chance explains."""
        recent, before = self.broken[-RECENT:], self.broken[:-RECENT]
        expected = sum(count for _, count in before) / len(before) * len(recent) if before else 0.0
        return sum(count for _, count in recent) - expected > _CHANCE * math.sqrt(max(expected, 1.0))


@dataclass(frozen=True)
class Quarantined:
    """What stands in the quarantine of a table, or source.

    Attributes:
        name: Its full name.
        owner: Who answers for it.
        limit: How long a record may stand there.
        ages: Records by age, in the groups of `AGES`; what was dropped is left out.
        dropped: Records that somebody has dropped.
        too_old: Records older than the limit.
        oldest: When the oldest landed.
        rules: The rules that most of them broke, each with how many.
    """

    name: str
    owner: str
    limit: dt.timedelta
    ages: tuple[int, ...]
    dropped: int
    too_old: int
    oldest: dt.datetime | None
    rules: tuple[tuple[str, int], ...]

    @property
    def records(self) -> int:
        """Records that wait for somebody."""
        return sum(self.ages)


@dataclass(frozen=True)
class Drifted:
    """A column in which what a producer sends differs from the contract.

    Attributes:
        source: The source's full name.
        owner: Who answers for it.
        column: The column.
        what: How it differs, in words.
        objects: Landing objects that differ so.
        first: The first of them.
        last: The last of them.
        matters: Whether somebody should look: not when the contract says that such columns are dropped.
    """

    source: str
    owner: str
    column: str
    what: str
    objects: int
    first: str
    last: str
    matters: bool


@dataclass(frozen=True)
class Held:
    """Landing objects that are not ingested, because they do not fit the contract or need a library that is not installed.

    Attributes:
        source: The source's full name.
        owner: Who answers for it.
        reason: Why.
        objects: How many.
        first: The first of them.
    """

    source: str
    owner: str
    reason: str
    objects: int
    first: str


@dataclass(frozen=True)
class Unusual:
    """A figure that was far from what days like it had.

    Attributes:
        day: The day.
        observed: What was measured.
        expected: What days like it had.
        score: How far off, in robust standard deviations.
        text: The same in words.
    """

    day: dt.date
    observed: float
    expected: float
    score: float
    text: str


@dataclass(frozen=True)
class Anomaly:
    """A series of figures of which some were unusual.

    Attributes:
        table: The table's full name.
        owner: Who answers for it.
        subject: What was measured, in words.
        is_share: Whether the figures are shares, from 0 to 1.
        found: The unusual ones on the table's newest days, the oldest first.
        series: The figures around them, by day.
    """

    table: str
    owner: str
    subject: str
    is_share: bool
    found: tuple[Unusual, ...]
    series: tuple[tuple[dt.date, float | None], ...]


@dataclass(frozen=True)
class Account:
    """The books of a table or source as they stand.

    Attributes:
        name: Its full name.
        unit: Unit of its money; empty where currencies are mixed.
        rows: In rows.
        money: In money; None where it is not counted.
        partitions: Partitions that are summed up.
        unbalanced: Those of them that do not balance.
    """

    name: str
    unit: str
    rows: Side
    money: Side | None
    partitions: int
    unbalanced: tuple[str, ...] = ()

    @property
    def is_balanced(self) -> bool:
        """Whether every row and amount is accounted for, in the sum and in each partition."""
        return not self.unbalanced and self.rows.difference == 0 and (self.money is None or self.money.difference == 0)


@dataclass(frozen=True)
class Fresh:
    """How fresh a table or source is.

    Attributes:
        name: Its full name.
        owner: Who answers for it.
        updated: When it last got something new; None where it has nothing.
        age: How long that is ago.
        limit: How long it may be; None for no limit.
        newest: Its newest partition.
        waits_for: What it reads that is late, too.
    """

    name: str
    owner: str
    updated: dt.datetime | None
    age: dt.timedelta | None
    limit: dt.timedelta | None
    newest: str
    waits_for: tuple[str, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether it is older than it may be."""
        return self.age is not None and self.limit is not None and self.age > self.limit


@dataclass(frozen=True)
class FailedPartition:
    """A partition that failed its last proof; what was published before stands.

    Attributes:
        table: The table's full name.
        owner: Who answers for it.
        partition: The partition.
        problems: Why.
        run_id: The run that found it.
        published_at: When what stands was published; None where nothing stands.
    """

    table: str
    owner: str
    partition: str
    problems: tuple[str, ...]
    run_id: str
    published_at: dt.datetime | None


@dataclass(frozen=True)
class Reconciled:
    """A table held against a control: a database or file that says what it adds up to.

    Attributes:
        control: The control's name.
        table: The table's full name.
        owner: Who answers for the table.
        days: Days that were compared.
        newest: The newest of them.
        wrong: Days on which they differ by more than is tolerated, the oldest first.
        text: By how much they differ on the newest of those days, in words; empty where they do not.
        reconciled_at: When the newest day was compared last.
    """

    control: str
    table: str
    owner: str
    days: int
    newest: dt.date
    wrong: tuple[dt.date, ...]
    text: str
    reconciled_at: dt.datetime


@dataclass(frozen=True)
class QualityReport:
    """Everything that the report shows.

    Attributes:
        domain: The domain.
        as_of: The time, UTC, that ages, trends and freshness are judged at.
        is_past: Whether that is not the time that the report was made at: what stands in quarantine, the books and the failures
            are then later than that.
        tables: Every table, with its history.
        dormant: How many more there are of later cadences, of which nothing was ever built.
        rules: The rules that rows broke, the worst first.
        quarantine: Tables and sources of which something stands in quarantine.
        drift: Columns that differ from the contracts.
        held: Landing objects that are held back.
        anomalies: Unusual figures of the newest days.
        watched: Tables that are watched for anomalies.
        books: The books of every source and table.
        freshness: Every source and table.
        failures: Partitions that failed their last proof.
        reconciled: Tables held against controls.
    """

    domain: str
    as_of: dt.datetime
    is_past: bool
    tables: tuple[TableQuality, ...] = ()
    dormant: int = 0
    rules: tuple[BrokenRule, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
    drift: tuple[Drifted, ...] = ()
    held: tuple[Held, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    watched: int = 0
    books: tuple[Account, ...] = ()
    freshness: tuple[Fresh, ...] = ()
    failures: tuple[FailedPartition, ...] = ()
    reconciled: tuple[Reconciled, ...] = ()

    @property
    def score(self) -> float | None:
        """Score of all tables on their newest days, weighted by rows."""
        return mean_score([day for table in self.tables for day in table.recent])

    @property
    def change(self) -> float | None:
        """By how much it is above or below that of the days before."""
        now, then = self.score, mean_score([day for table in self.tables for day in table.before])
        return None if now is None or then is None else now - then

    @property
    def below(self) -> tuple[TableQuality, ...]:
        """Tables whose score is below their threshold."""
        return tuple(table for table in self.tables if table.score is not None and table.score < table.threshold)

    @property
    def late(self) -> tuple[Fresh, ...]:
        """What is late by itself, without what only waits for something late."""
        return tuple(each for each in self.freshness if each.is_late and not each.waits_for)

    @property
    def unbalanced(self) -> tuple[Account, ...]:
        """Books that do not balance."""
        return tuple(each for each in self.books if not each.is_balanced)

    @property
    def differing(self) -> tuple[Reconciled, ...]:
        """Tables that differ from what a control says."""
        return tuple(each for each in self.reconciled if each.wrong)

    @property
    def standing(self) -> int:
        """Records in quarantine."""
        return sum(each.records for each in self.quarantine)

    @property
    def too_old(self) -> int:
        """Those that have been in quarantine for too long."""
        return sum(each.too_old for each in self.quarantine)


def mean_score(days: Sequence[Day]) -> float | None:
    """The score of several partitions, weighted by their rows; None without any rows."""
    return _weighted((day.score, day.rows) for day in days)


def _weighted(figures: Iterable[tuple[float | None, int]]) -> float | None:
    total, weight = 0.0, 0
    for figure, rows in figures:
        if figure is not None:
            total += figure * rows
            weight += rows
    return total / weight if weight else None
