"""The content of the daily quality report: values, and pure aggregates over them.

Belongs here: one dataclass per part of the report, and what follows from its figures (shares, changes, ages). Does not belong
here: collecting them (`pipeline.reporting`), wording and layout (`report`).

A table's *newest days* are the newest that it has, not the newest of the calendar: a history that ended in spring is judged by
its last days in spring. That it has ended is a matter of freshness.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from assay.contracts.dimension import Dimension
from assay.contracts.table import is_good_enough
from assay.quality.books import Side
from assay.quality.scores import weighted_mean

DIMENSIONS = tuple(Dimension)
RECENT = 7
"""Newest days that a score covers."""
BEFORE = 28
"""Days before those, for comparison."""
RULE_DAYS = 30
"""Newest days over which broken rules are counted."""
_CHANCE = 3.0
"""Standard deviations by which a count may vary by chance."""
AGES = (dt.timedelta(days=1), dt.timedelta(days=7), dt.timedelta(days=30))
"""Upper bounds of the age groups of quarantined records; the last group has none."""


@dataclass(frozen=True, slots=True)
class Day:
    """The last proof of one partition.

    Attributes:
        day: The partition; for an unpartitioned table, the day on which it was proven.
        rows: Rows that were judged.
        score: Share of them that broke no rule other than warnings, 0 to 100; None where nothing could be judged.
        quarantined: Rows that went to quarantine.
        failed: Whether it failed its proof, so that the earlier published data stay in place.
        money_score: The score weighted by money; None where the table has none, or it was not recorded.
        money_at_risk: Absolute money of the rows that broke a rule.
        dimensions: The score by dimension, in the order of `DIMENSIONS`; empty where it was not recorded.
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
        owner: The team responsible for it.
        about: What a row represents.
        threshold: Lowest score at which a partition is published.
        tolerated: Rows of a partition that may break rules whatever the score.
        is_daily: Whether it is partitioned by day.
        unit: Unit of its money; empty where currencies are mixed, or it has no money.
        days: Its partitions, oldest first.
    """

    name: str
    owner: str
    about: str
    threshold: float
    tolerated: int
    is_daily: bool
    unit: str
    days: tuple[Day, ...]

    @property
    def recent(self) -> tuple[Day, ...]:
        """Its newest days; for an unpartitioned table, the last proof."""
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
        """How many of them went to quarantine."""
        return sum(day.quarantined for day in self.recent)

    @property
    def score(self) -> float | None:
        """Its score on its newest days, weighted by rows; None where there are none."""
        return mean_score(self.recent)

    @property
    def is_below(self) -> bool:
        """Whether its score is below its threshold, and not only by what is tolerated of each of its newest days."""
        if self.score is None or self.score >= self.threshold:
            return False
        judged = [(day.rows, day.score) for day in self.recent if day.score is not None]
        return not all(is_good_enough(*each, self.threshold, self.tolerated) for each in judged)

    @property
    def change(self) -> float | None:
        """The difference between the score and that of the days before."""
        now, then = self.score, mean_score(self.before)
        return None if now is None or then is None else now - then

    @property
    def money_score(self) -> float | None:
        """The score weighted by money on its newest days."""
        return weighted_mean((day.money_score, day.rows) for day in self.recent)

    @property
    def money_at_risk(self) -> Decimal | None:
        """Absolute money of the rows that broke a rule on its newest days."""
        known = [day.money_at_risk for day in self.recent if day.money_at_risk is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def dimensions(self) -> tuple[float | None, ...]:
        """The score by dimension on its newest days; empty where it was not recorded."""
        kept = [day for day in self.recent if day.dimensions]
        return tuple(
            weighted_mean((day.dimensions[place], day.rows) for day in kept) for place in range(len(DIMENSIONS) if kept else 0)
        )


@dataclass(frozen=True)
class BrokenRule:
    """A rule that rows broke on a table's newest days.

    Attributes:
        table: The table's full name.
        rule: The rule.
        reason: Its meaning, in words.
        dimension: Its dimension; empty where it was not recorded.
        severity: The consequence of breaking it.
        owner: The team responsible for it.
        unit: Unit of the table's money.
        rows: Rows that were judged.
        broken: By day, the rows that broke it; every day that was judged, oldest first.
        money: Absolute money of those rows; None where the table has none, or it was not recorded.
        note: The last message about it, if it is about a whole partition and did not hold.
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
        """Number of rows that broke it."""
        return sum(count for _, count in self.broken)

    @property
    def share(self) -> float:
        """That number as a share of the judged rows."""
        return self.total / self.rows if self.rows else 0.0

    @property
    def change(self) -> float | None:
        """Relative change of the daily number of rows that broke it against the days before; None where none did before."""
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
    """The quarantined records of a table or source.

    Attributes:
        name: Its full name.
        owner: The team responsible for it.
        limit: How long a record may stay there.
        ages: Records by age, in the groups of `AGES`; dropped records are left out.
        dropped: Number of dropped records.
        too_old: Records older than the limit.
        oldest: When the oldest of them landed.
        rules: The rules broken most often, each with its number of records.
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
        """Number of records that need attention."""
        return sum(self.ages)


@dataclass(frozen=True)
class Drifted:
    """A column in which a producer's data differ from the contract.

    Attributes:
        source: The source's full name.
        owner: The team responsible for it.
        column: The column.
        what: How it differs, in words.
        objects: Number of landing objects that differ in this way.
        first: The first of them.
        last: The last of them.
        matters: Whether somebody should look: false when the contract says that such columns are dropped.
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
        owner: The team responsible for it.
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
    """A figure that was far from those of similar days.

    Attributes:
        day: The day.
        observed: The measured value.
        expected: The expected value.
        score: The difference in robust standard deviations.
        text: The same in words.
    """

    day: dt.date
    observed: float
    expected: float
    score: float
    text: str


@dataclass(frozen=True)
class Anomaly:
    """A series with some unusual figures.

    Attributes:
        table: The table's full name.
        owner: The team responsible for it.
        subject: What was measured, in words.
        is_share: Whether the figures are shares, from 0 to 1.
        found: The unusual figures on the table's newest days, oldest first.
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
    """The current books of a table or source.

    Attributes:
        name: Its full name.
        unit: Unit of its money; empty where currencies are mixed.
        rows: In rows.
        money: In money; None where it is not counted.
        partitions: Number of partitions included.
        unbalanced: Partitions that do not balance.
    """

    name: str
    unit: str
    rows: Side
    money: Side | None
    partitions: int
    unbalanced: tuple[str, ...] = ()

    @property
    def is_balanced(self) -> bool:
        """Whether every row and amount is accounted for, in total and in each partition."""
        return not self.unbalanced and self.rows.difference == 0 and (self.money is None or self.money.difference == 0)


@dataclass(frozen=True)
class Fresh:
    """How fresh a table or source is.

    Attributes:
        name: Its full name.
        owner: The team responsible for it.
        updated: When it last received new data; None where it has none.
        age: How long ago that was.
        limit: The longest allowed age; None for no limit.
        newest: Its newest partition.
        waits_for: Its inputs that are late as well.
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
        """Whether it is older than allowed."""
        return self.age is not None and self.limit is not None and self.age > self.limit


@dataclass(frozen=True)
class FailedPartition:
    """A partition that failed its last proof; the earlier published data stay in place.

    Attributes:
        table: The table's full name.
        owner: The team responsible for it.
        partition: The partition.
        problems: Why.
        run_id: The run that proved it.
        published_at: When the data in place were published; None where there are none.
    """

    table: str
    owner: str
    partition: str
    problems: tuple[str, ...]
    run_id: str
    published_at: dt.datetime | None


@dataclass(frozen=True)
class Reconciled:
    """The comparison of a table with a control: a database or file with its expected totals.

    Attributes:
        control: The control's name.
        table: The table's full name.
        owner: The team responsible for the table.
        days: Number of compared days.
        newest: The newest of them.
        wrong: Days on which they differ by more than the tolerance, oldest first.
        text: The difference on the newest of those days, in words; empty where there is none.
        reconciled_at: When the newest day was last compared.
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
    """The content of the report.

    Attributes:
        domain: The domain.
        as_of: The time, UTC, at which ages, trends and freshness are judged.
        is_past: Whether that is earlier than the time at which the report was made: quarantine, books and failures are then as
            of the later time.
        tables: Every table, with its history.
        dormant: Number of further tables, of later cadences, that were never built.
        rules: The broken rules, worst first.
        quarantine: Tables and sources with quarantined records.
        drift: Columns that differ from the contracts.
        held: Landing objects that are held back.
        anomalies: Unusual figures of the newest days.
        watched: Tables that are watched for anomalies.
        books: The books of every source and table.
        freshness: Every source and table.
        failures: Partitions that failed their last proof.
        reconciled: Comparisons of tables with controls.
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
        """The difference between that score and that of the days before."""
        now, then = self.score, mean_score([day for table in self.tables for day in table.before])
        return None if now is None or then is None else now - then

    @property
    def below(self) -> tuple[TableQuality, ...]:
        """Tables whose score is below their threshold."""
        return tuple(table for table in self.tables if table.is_below)

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
        """Tables that differ from a control."""
        return tuple(each for each in self.reconciled if each.wrong)

    @property
    def standing(self) -> int:
        """Number of records in quarantine."""
        return sum(each.records for each in self.quarantine)

    @property
    def too_old(self) -> int:
        """Those that have been in quarantine for too long."""
        return sum(each.too_old for each in self.quarantine)


def mean_score(days: Sequence[Day]) -> float | None:
    """The score of several partitions, weighted by their rows; None without any rows."""
    return weighted_mean((day.score, day.rows) for day in days)
