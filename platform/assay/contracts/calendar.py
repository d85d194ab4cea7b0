"""Holidays: days on which business differs from other days of the same weekday.

Belongs here: how a holiday is declared, and which days of a year it falls on. Does not belong here: the holidays of any region;
a domain declares them, with the source of the dates.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


class Falls(Protocol):
    """A rule that says on which days of a year a holiday falls."""

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The days in a year; none if the holiday does not exist yet or its dates are unknown."""
        ...


@dataclass(frozen=True)
class Fixed:
    """A fixed date, such as 25 December.

    Attributes:
        month: 1 to 12.
        day: 1 to 31.
        since: The first year in which it is a holiday.
    """

    month: int
    day: int
    since: int = 1

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The one day in a year."""
        return (dt.date(year, self.month, self.day),) if year >= self.since else ()


@dataclass(frozen=True)
class Nth:
    """The nth weekday of a month.

    Attributes:
        month: 1 to 12.
        weekday: 0 for Monday to 6 for Sunday.
        nth: 1 for the month's first; -1 for its last.
        days_after: Days from that weekday to the holiday, as 1 for the Friday after the fourth Thursday.
    """

    month: int
    weekday: int
    nth: int
    days_after: int = 0

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The one day in a year."""
        if self.nth > 0:
            first = dt.date(year, self.month, 1)
            days = (self.weekday - first.weekday()) % 7 + 7 * (self.nth - 1)
            return (first + dt.timedelta(days=days + self.days_after),)
        last = dt.date(year + self.month // 12, self.month % 12 + 1, 1) - dt.timedelta(days=1)
        days = (last.weekday() - self.weekday) % 7 + 7 * (-self.nth - 1)
        return (last - dt.timedelta(days=days - self.days_after),)


@dataclass(frozen=True)
class FromEaster:
    """A day that moves with Easter Sunday of the Western churches.

    Attributes:
        days: Days after Easter Sunday; negative for days before it.
    """

    days: int

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The one day in a year."""
        return (easter(year) + dt.timedelta(days=self.days),)


@dataclass(frozen=True)
class On:
    """Days that an authority announces year by year.

    Attributes:
        days: The days as ISO dates.
    """

    days: tuple[str, ...]

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The announced days in a year."""
        return tuple(dt.date.fromisoformat(day) for day in self.days if day.startswith(f"{year:04}-"))


@dataclass(frozen=True)
class Holidays:
    """The holidays of one region.

    Attributes:
        source: The law or calendar that the dates come from.
        days: Rule by holiday name. A holiday that lasts several days has one name for each.
    """

    source: str
    days: Mapping[str, Falls]

    def between(self, first: dt.date, last: dt.date) -> dict[dt.date, str]:
        """The holidays between two days, both included; the names of holidays on the same day are joined."""
        found: dict[dt.date, list[str]] = {}
        for name, rule in self.days.items():
            for year in range(first.year, last.year + 1):
                for day in rule.of(year):
                    if first <= day <= last:
                        found.setdefault(day, []).append(name)
        return {day: " and ".join(sorted(names)) for day, names in sorted(found.items())}


def merged(calendars: Iterable[Mapping[dt.date, str]]) -> dict[dt.date, str]:
    """Merge the holidays of several regions into one calendar."""
    names: dict[dt.date, set[str]] = {}
    for calendar in calendars:
        for day, name in calendar.items():
            names.setdefault(day, set()).add(name)
    return {day: " and ".join(sorted(found)) for day, found in sorted(names.items())}


def easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar (the algorithm of Meeus, Astronomical Algorithms, 2nd edition, chapter 8)."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    leaps, rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - correction + 15) % 30
    quarters, odd = divmod(of_century, 4)
    to_sunday = (32 + 2 * rest + 2 * quarters - epact - odd) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late + 114, 31)
    return dt.date(year, month, day + 1)
