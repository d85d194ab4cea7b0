"""Grains: the reporting periods of metrics, and how coarser ones consist of finer ones.

Belongs here: the five grains, their columns, and which divides which. Does not belong here: arithmetic on dates
(`contracts.periods`), SQL of whole marts (`compiler`).

Days are UTC days, or those of the calendar that a metric asks for; weeks are ISO weeks (Monday to Sunday). A month is no whole
number of weeks, so no week rolls up to a month or a year.
"""

from __future__ import annotations

from enum import StrEnum

from assay.contracts import periods
from assay.contracts.periods import first_day_sql

SPAN_COLUMNS = ("newest_day", "is_partial")
"""Columns of marts with periods of several days: the newest day with data, and whether data of the last day are missing."""


class Grain(StrEnum):
    """A period of reporting."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def period_column(self) -> str:
        """The partition column of its marts: the first day of the period. Hourly rows are in daily partitions."""
        return "day" if self is Grain.HOUR else str(self)

    @property
    def days(self) -> int:
        """Approximate number of days in a partition."""
        return {Grain.HOUR: 1, Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 31, Grain.YEAR: 366}[self]

    def divides(self, coarser: Grain) -> bool:
        """Whether a period of `coarser` is a whole number of periods of this grain."""
        return coarser in _COARSER[self]


_COARSER = {
    Grain.HOUR: {Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.YEAR},
    Grain.DAY: {Grain.WEEK, Grain.MONTH, Grain.YEAR},
    Grain.WEEK: set(),
    Grain.MONTH: {Grain.YEAR},
    Grain.YEAR: set(),
}


def first_day(grain: Grain, column: str) -> str:
    """SQL for the first day of the grain's period that contains a date."""
    return column if grain is Grain.HOUR else first_day_sql(periods.Grain(grain), column)


def last_day(grain: Grain, column: str) -> str:
    """SQL for the last day of the period that begins at a date."""
    return {
        Grain.HOUR: column,
        Grain.DAY: column,
        Grain.WEEK: f"{column} + 6",
        Grain.MONTH: f"last_day({column})",
        Grain.YEAR: f"make_date(year({column}), 12, 31)",
    }[grain]
