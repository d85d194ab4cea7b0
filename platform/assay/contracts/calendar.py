"""Holidays: days on which business differs from other days of the same weekday.

Belongs here: how a holiday is declared, and which days of a year it falls on. Does not belong here: the holidays of any region;
a domain declares them, with the source of the dates.
"""

from __future__ import annotations

import datetime as dt
from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from assay.errors import ContractError

_A_LEAP_YEAR = 2000


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
        day: 1 to 31; 29 February exists in leap years only.
        since: The first year in which it is a holiday.

    Raises:
        ContractError: No year has such a day.
    """

    month: int
    day: int
    since: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.month <= 12 or not 1 <= self.day <= monthrange(_A_LEAP_YEAR, self.month)[1]:
            raise ContractError(f"no year has a day {self.day} of month {self.month}", hint="correct the holiday's date")

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The one day in a year; none in a year without it."""
        has_it = year >= self.since and self.day <= monthrange(year, self.month)[1]
        return (dt.date(year, self.month, self.day),) if has_it else ()


@dataclass(frozen=True)
class Nth:
    """The nth weekday of a month.

    Attributes:
        month: 1 to 12.
        weekday: 0 for Monday to 6 for Sunday.
        nth: 1 to 5, counted from the month's start; -1 to -5, from its end.
        days_after: Days from that weekday to the holiday, as 1 for the Friday after the fourth Thursday.

    Raises:
        ContractError: No month has such a weekday.
    """

    month: int
    weekday: int
    nth: int
    days_after: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.month <= 12 or not 0 <= self.weekday <= 6 or not 1 <= abs(self.nth) <= 5:
            said = f"no month {self.month} has a weekday {self.weekday} of number {self.nth}"
            raise ContractError(said, hint="months are 1 to 12, weekdays 0 to 6, and their numbers 1 to 5 or -1 to -5")

    def of(self, year: int) -> tuple[dt.date, ...]:
        """The one day in a year; none if the month has no fifth such weekday."""
        length = monthrange(year, self.month)[1]
        if self.nth > 0:
            day = 1 + (self.weekday - dt.date(year, self.month, 1).weekday()) % 7 + 7 * (self.nth - 1)
        else:
            day = length - (dt.date(year, self.month, length).weekday() - self.weekday) % 7 + 7 * (self.nth + 1)
        return (dt.date(year, self.month, day) + dt.timedelta(days=self.days_after),) if 1 <= day <= length else ()


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
