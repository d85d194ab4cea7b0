"""Periods: days, ISO weeks, months and years, how they contain each other, and which of them a partition reads.

Belongs here: all calendar arithmetic of partitions, in Python and as SQL, and the lookback windows of declarations. Does
not belong here: holidays (`calendar`), which partitions exist (`pipeline.state`).

A period is named by its first day in ISO form, whatever its grain: `2025-01-01` is a day, a month and a year; `2024-12-30` is a
day and a week, which begins on Monday. Days are UTC days. Keys of one grain sort chronologically. Months and years consist of
whole days, years of whole months, but a week may straddle two of either: it belongs to the month and the year that contain its
Thursday, as in ISO 8601.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

WHOLE = "all"
"""The partition key of an unpartitioned table."""


class Grain(StrEnum):
    """How a table is partitioned."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    WHOLE = "whole"


LONGEST_DAYS = {Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 31, Grain.YEAR: 366}
"""Days of the longest period of a grain."""
_LENGTH = list(Grain)
_ONE_DAY = dt.timedelta(days=1)
_TO_THURSDAY = dt.timedelta(days=3)
_A_YEAR_OF_WEEKS = dt.timedelta(weeks=52)


@dataclass(frozen=True)
class Window:
    """Which other partitions of a relation are read besides those that overlap the table's own partition.

    By default a table reads, of a finer relation, the partitions inside its own period; of a coarser one, the period that
    contains its own; and of one of its own grain, the same period. All counts below are in partitions of the relation.

    A running total by day is read in parts: `Window(since="month")` of the days, `Window(since="year", own=False)` of the
    months, `Window(since="start", own=False)` of the years.

    A table by another day than that of the relation's partitions, as by the merchant's clock, reads those around its own:
    `Window(before=1, after=1, about="merchant_date")`. Then it has a partition for each period that a row may be about.

    Attributes:
        before: How many partitions before the overlapping ones are read, too.
        since: Read all partitions before them since the start of the table partition's month or year, or all there are.
        own: Whether the overlapping partitions are read at all.
        year_before: Whether to read, too, the partitions that overlap the period a year before the table's own: the same day (28
            February for the 29th), month or year, or the week 52 weeks before.
        after: How many partitions after them are read, too.
        about: The relation's column with the day that a row is about, where that may be another than its partition's: no further
            off than the window reads. A row without one is about no period.
        semi_join: Columns of the relation, if all that matters of its other partitions is whether they have rows with the same
            values there as an own row, as in a semi-join. Then values that come or go with a late row dirty only the partitions
            that have them, too.
    """

    before: int = 0
    since: Literal["month", "year", "start"] | None = None
    own: bool = True
    year_before: bool = False
    after: int = 0
    about: str | None = None
    semi_join: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is read, in words."""
        own = "its own period" if self.own else ""
        earlier = {"start": "all before it", None: f"the {self.before} before it" if self.before else ""}
        looked_back = earlier.get(self.since, f"those before it since the start of its {self.since}")
        year_before = "the one a year before" if self.year_before else ""
        ahead = f"the {self.after} after it" if self.after else ""
        about = f"for the rows that are about it by {self.about}" if self.about else ""
        others = f"and of the others whether they have the same {', '.join(self.semi_join)}" if self.semi_join else ""
        return ", ".join(part for part in (own, looked_back, year_before, ahead, about, others) if part)


OWN = Window()
"""The window of a relation for which none is declared."""


@dataclass(frozen=True)
class Span:
    """Consecutive partitions of one grain.

    Attributes:
        first: Key of the first.
        last: Key of the last, inclusive.
    """

    first: str
    last: str


def first_day(grain: Grain, day: dt.date) -> dt.date:
    """First day of the period that contains a day; for a week that begins before the calendar does, the calendar's first day."""
    match grain:
        case Grain.WEEK:
            return _days_after(day, -day.weekday())
        case Grain.MONTH:
            return day.replace(day=1)
        case Grain.YEAR:
            return day.replace(month=1, day=1)
        case _:
            return day


def following(grain: Grain, first: dt.date, periods: int = 1) -> dt.date:
    """First day of the period that is `periods` after (negative: before) the one that begins on `first`.

    The result is clamped to the calendar, the years 1 to 9999.
    """
    match grain:
        case Grain.MONTH:
            years, month = divmod(first.month - 1 + periods, 12)
            return _date(first.year + years, month + 1)
        case Grain.YEAR:
            return _date(first.year + periods, 1)
        case _:
            return _days_after(first, periods * LONGEST_DAYS[grain])


def last_day(grain: Grain, first: dt.date) -> dt.date:
    """Last day of the period that begins on a day."""
    after = following(grain, first)
    # The calendar's last day ends its month and year; it begins neither.
    return dt.date.max if after == dt.date.max else after - _ONE_DAY


def year_before(grain: Grain, first: dt.date) -> dt.date:
    """First day of the period a year earlier that the one beginning on `first` is compared with."""
    if grain is Grain.WEEK:
        return _days_after(first, -_A_YEAR_OF_WEEKS.days)
    year = max(first.year - 1, dt.MINYEAR)
    is_leap_day = (first.month, first.day) == (2, 29)
    return first.replace(year=year, day=28 if is_leap_day else first.day)


def is_partition(grain: Grain, key: str) -> bool:
    """Whether a text is the partition key of a period of a grain, or of an unpartitioned table."""
    if grain is Grain.WHOLE:
        return key == WHOLE
    try:
        day = dt.date.fromisoformat(key)
    except ValueError:
        return False
    return day.isoformat() == key and first_day(grain, day) == day


def holding(grain: Grain, key: str) -> str:
    """Key of the period of a grain that contains a partition of a grain nested in it; not for a partition of the whole."""
    if grain is Grain.WHOLE:
        return WHOLE
    return key if grain is Grain.DAY else first_day(grain, dt.date.fromisoformat(key)).isoformat()


def first_day_sql(grain: Grain, expression: str) -> str:
    """DuckDB expression for the first day of the period that contains a day.

    Args:
        grain: Of the period; not the whole.
        expression: A DuckDB expression of type DATE.
    """
    return expression if grain is Grain.DAY else f"date_trunc('{grain}', {expression})::DATE"


def is_longer(grain: Grain, than: Grain) -> bool:
    """Whether one grain's periods are longer than another's."""
    return _LENGTH.index(grain) > _LENGTH.index(than)


def nests(grain: Grain, within: Grain) -> bool:
    """Whether every period of one grain lies inside one period of another; weeks do not nest in months and years."""
    if grain is within or within is Grain.WHOLE:
        return True
    return is_longer(within, than=grain) and grain is not Grain.WEEK


def reads(grain: Grain, partition: str, of: Grain, window: Window = OWN) -> tuple[Span, ...]:
    """Which partitions of a relation a table's partition is computed from, as far as they exist.

    Args:
        grain: How the table is partitioned; not the whole.
        partition: The table's partition.
        of: How the relation is partitioned; not the whole.
        window: The table's window over the relation.

    Returns:
        Spans of the relation's partitions, in order and disjoint.
    """
    if grain is of and window == OWN:
        return (Span(partition, partition),)
    day = dt.date.fromisoformat(partition)
    own, last = _sharing(grain, day, of)
    first = min(own, _looked_back(grain, day, of, own, window))
    furthest = following(of, last, window.after)
    spans = []
    if window.year_before:
        spans.append(_sharing(grain, year_before(grain, day), of))
    if window.own:
        spans.append((first, furthest))
    else:
        spans += [(first, following(of, own, -1))] if first < own else []
        spans += [(following(of, last), furthest)] if furthest > last else []
    if len(spans) > 1 and spans[0][1] >= spans[1][0]:
        spans[:2] = [(min(spans[0][0], spans[1][0]), max(spans[0][1], spans[1][1]))]
    return tuple(Span(first.isoformat(), last.isoformat()) for first, last in spans)


def held_by(grain: Grain, partition: str, window: Window = OWN) -> frozenset[str]:
    """Keys of the periods of a grain that rows of a relation's partition are about, or may be.

    Args:
        grain: How the table is cut; not the whole.
        partition: A partition of the relation, which nests in the table's.
        window: What the table declares of the relation.
    """
    if window.about is None:
        return frozenset({holding(grain, partition)})
    day = dt.date.fromisoformat(partition)
    near = (_days_after(day, days) for days in range(-window.after, window.before + 1))
    return frozenset(first_day(grain, each).isoformat() for each in near)


def _sharing(grain: Grain, first: dt.date, of: Grain) -> tuple[dt.date, dt.date]:
    """The first and last period of a grain that overlap the period beginning on a day."""
    return first_day(of, first), first_day(of, last_day(grain, first))


def _looked_back(grain: Grain, day: dt.date, of: Grain, own: dt.date, window: Window) -> dt.date:
    """The first of the relation's periods that a window reaches."""
    if window.since is None:
        return following(of, own, -window.before)
    if window.since == "start":
        return first_day(of, dt.date.min)
    return first_day(of, _start(Grain(window.since), grain, day))


def _start(since: Grain, grain: Grain, day: dt.date) -> dt.date:
    """First day of the first period of `grain` in the month or year to which the period beginning on `day` belongs."""
    if grain is not Grain.WEEK:
        return first_day(since, day)
    start = first_day(since, _days_after(day, _TO_THURSDAY.days))
    monday = first_day(Grain.WEEK, start)
    return monday if _days_after(monday, _TO_THURSDAY.days) >= start else following(Grain.WEEK, monday)


def _date(year: int, month: int) -> dt.date:
    """First day of a month, clamped to the calendar."""
    if year < dt.MINYEAR:
        return dt.date.min
    return dt.date.max if year > dt.MAXYEAR else dt.date(year, month, 1)


def _days_after(day: dt.date, days: int) -> dt.date:
    """The day some days after another, clamped to the calendar."""
    number = min(max(day.toordinal() + days, dt.date.min.toordinal()), dt.date.max.toordinal())
    return dt.date.fromordinal(number)
