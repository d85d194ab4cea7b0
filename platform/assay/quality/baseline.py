"""The baseline: the expected figure of a day, given similar days.

Belongs here: the arithmetic, over one matrix of days and series. Does not belong here: what the series are and which deviations
to report (`anomalies`), measuring (`profile`).

Figures are compared on a scale on which multiplicative business effects become additive (logarithms; log-odds for shares). The
expected figure of a day is

    level of its weekday + recent shift + effect of its day of the month + effect of its holiday

- *Level of the weekday*: the median of the last `LIKE_DAYS` days of the same weekday.
- *Recent shift*: the median difference of recent days of any weekday from that level. It follows trend and season, which the
level, some weeks old, lags behind.
- *Effects* of the day of the month (its last three days are counted from its end) and of holidays: the median difference of
earlier such days from the rest, shrunk towards zero the fewer of them there are (the mean of a normal prior and a normal
observation). Uncertainty about an effect widens the expectation: the first Christmas is judged more mildly than the second.
One observation weighs much here, so a day with any anomaly teaches no series anything, unless it happens again on the next
such day.
- *Scale*: 1.4826 times the median absolute deviation (MAD) of recent days.

A day's score is its deviation in units of that scale: the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle
Outliers" (ASQC, 1993), whose 0.6745 is 1/1.4826. Only earlier days count, so that no verdict changes as time passes.
Anomalous days are excluded from all of this, for each series separately, unless they go on for so long that they become the
new normal.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LIKE_DAYS = 8
"""Days of the same weekday that determine the level."""
LIKE_WEEKS = 13
"""How many weeks back to look for them."""
FEWEST_LIKE_DAYS = 4
"""With fewer of them, nothing is expected of a day."""
SHIFT_DAYS = 21
"""Days back that determine the recent shift..."""
FEWEST_SHIFTS = 7
"""...if at least this many of them can be used."""
SCALE_DAYS = 70
"""Days back that determine the scale..."""
FEWEST_DEVIATIONS = 14
"""...if at least this many of them can be used: with fewer, nothing is judged."""
LEAST_SCALE = 0.03
"""Lower bound of the scale: no business is more regular than three in a hundred, whatever a short past suggests."""
TO_DEVIATION = 1.4826
"""Scales the MAD of normally distributed figures to their standard deviation."""
MONTH_EFFECT = 0.10
"""Assumed standard deviation of day-of-the-month effects before any is known."""
HOLIDAY_EFFECT = 0.30
"""The same for holidays."""
MEDIAN_LOSS = np.pi / 2
"""Variance of the median of normal figures, relative to that of their mean."""
MOST_EFFECTS = 24
"""The newest earlier days of one kind, whose median is the effect."""
MONTH_CLASSES = 34


@dataclass(frozen=True)
class Expected:
    """What was expected of days, and how far off they were, as matrices of days by series.

    Attributes:
        centre: The expected figure, on the scale of the input; NaN where nothing is expected.
        score: The deviation of the day, in robust standard deviations; NaN where it is not judged.
        like_days: Number of days of the same weekday behind the expectation.
        flags: The caller's verdict.
    """

    centre: Floats
    score: Floats
    like_days: NDArray[np.int64]
    flags: NDArray[np.int64]


Flag = Callable[[int, Floats, Floats], NDArray[np.int64]]
"""Takes a day's number, expected figures and scores; returns −1 or 1 for series that are too low or high, else 0."""


def expect(
    first: dt.date,
    figures: Floats,
    holidays: Sequence[Mapping[dt.date, str]],
    flag: Flag,
    accept_after: int,
    absent: Bools,
) -> Expected:
    """Go through the days in order, and derive each day's expectation from earlier days.

    Args:
        first: The first day.
        figures: Days by series, on a scale on which effects are additive; NaN where there is none.
        holidays: The holidays that apply to each series.
        flag: Decides what is an anomaly, and is thus excluded from the expectations of later days.
        accept_after: Days in a row after which anomalies become the new normal...
        absent: ...but where this is true.
    """
    days, series = figures.shape
    walk = _Walk(first, figures, _groups(first, days, holidays))
    unknown, none = np.full((days, series), np.nan), np.zeros((days, series), np.int64)
    expected = Expected(unknown, unknown.copy(), none, none.copy())
    run = np.zeros(series, np.int64)
    for day in range(days):
        centre, score, like = walk.expect(day)
        expected.centre[day], expected.score[day], expected.like_days[day] = centre, score, like
        flags = expected.flags[day] = flag(day, centre, score)
        run = np.where(flags == 0, 0, np.where(np.sign(run) == flags, run + flags, flags))
        walk.learn(day, flags != 0)
        accepted = (np.abs(run) >= accept_after) & ~absent[day]
        if accepted.any():
            walk.restart(day, accepted, accept_after)
            run[accepted] = 0
    return expected


@dataclass(frozen=True)
class _Group:
    """Series that share the same holidays.

    Attributes:
        columns: Their numbers.
        names: The holiday by day number.
    """

    columns: NDArray[np.int64]
    names: Mapping[int, str]


def _groups(first: dt.date, days: int, holidays: Sequence[Mapping[dt.date, str]]) -> list[_Group]:
    by_calendar: dict[tuple[tuple[dt.date, str], ...], list[int]] = {}
    for column, calendar_of in enumerate(holidays):
        by_calendar.setdefault(tuple(sorted(calendar_of.items())), []).append(column)
    numbered = [
        (columns, {number: name for day, name in named if 0 <= (number := (day - first).days) < days})
        for named, columns in by_calendar.items()
    ]
    return [_Group(np.array(columns), names) for columns, names in numbered]


@dataclass
class _Effect:
    """The effect of one kind of day on some series, learnt from earlier days of that kind.

    Attributes:
        prior: Standard deviation of such effects before any is known.
        seen: One row per day: its difference from the rest; NaN for what is excluded.
        doubted: The same for days with anomalies.
    """

    prior: float
    seen: list[Floats] = field(default_factory=list)
    doubted: list[Floats] = field(default_factory=list)

    def learn(self, above: Floats, is_doubted: bool) -> None:
        """Record a day."""
        (self.doubted if is_doubted else self.seen).append(above)

    def estimate(self, scale: Floats) -> tuple[Floats, Floats]:
        """The effect and the variance of its uncertainty, given the scale of the series."""
        prior = self.prior**2
        known = self.seen + self.doubted if len(self.doubted) > 1 else self.seen
        if not known:
            return np.zeros_like(scale), np.full_like(scale, prior)
        middle, count = _median(np.array(known[-MOST_EFFECTS:]))
        noise = MEDIAN_LOSS * np.where(np.isnan(scale), prior, scale**2)
        weight = np.where(count == 0, 0.0, count * prior / (count * prior + noise))
        return np.where(count == 0, 0.0, weight * middle), prior * (1 - weight)


class _Walk:
    """The state of knowledge after each day."""

    def __init__(self, first: dt.date, figures: Floats, groups: Sequence[_Group]) -> None:
        days, series = figures.shape
        self.figures = figures
        self.groups = groups
        self.usable = np.zeros((days, series), np.bool_)
        self.from_day = np.zeros(series, np.int64)
        self.above_level = np.full((days, series), np.nan)
        self.off = np.full((days, series), np.nan)
        self.scale = np.full(series, np.nan)
        self.month_classes = [_month_class(first + dt.timedelta(days=day)) for day in range(days)]
        self.of_month = [_Effect(MONTH_EFFECT) for _ in range(MONTH_CLASSES)]
        self.month_effects = np.zeros((MONTH_CLASSES, series))
        self.of_holiday: dict[tuple[int, str], _Effect] = {}
        self.rest = np.full(series, np.nan)
        self.month = np.zeros(series)

    def expect(self, day: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Centre, score and number of like days of a day."""
        level, like = self._level(day)
        self.scale = self._scale(day)
        month, unknown = self.of_month[self.month_classes[day]].estimate(self.scale)
        self.month = month
        self.above_level[day] = self.figures[day] - month - level
        usual = level + self._shift(day)
        self.rest = self.figures[day] - usual
        holiday, unknown_holiday = self._holiday(day)
        centre = usual + month + holiday
        self.off[day] = self.figures[day] - centre
        deviation = np.sqrt(self.scale**2 + unknown + unknown_holiday)
        return centre, self.off[day] / deviation, like

    def learn(self, day: int, left_out: Bools) -> None:
        """Learn from a day, except from what is to be left out."""
        festive = np.zeros(len(left_out), np.bool_)
        for number, group in enumerate(self.groups):
            if (name := group.names.get(day)) is not None:
                festive[group.columns] = True
                known = self.of_holiday.setdefault((number, name), _Effect(HOLIDAY_EFFECT))
                known.learn((self.rest - self.month)[group.columns], bool(left_out.any()))
        self.usable[day] = ~left_out & ~festive & ~np.isnan(self.figures[day])
        self.above_level[day, ~self.usable[day]] = np.nan
        self.off[day, ~self.usable[day]] = np.nan
        of_class = self.month_classes[day]
        self.of_month[of_class].learn(np.where(festive, np.nan, self.rest), bool(left_out.any()))
        self.month_effects[of_class] = self.of_month[of_class].estimate(self.scale)[0]

    def restart(self, day: int, series: Bools, days: int) -> None:
        """Take the last days of some series as the new normal, and forget their earlier level."""
        self.from_day[series] = day - days + 1
        self.usable[day - days + 1 : day + 1, series] = ~np.isnan(self.figures[day - days + 1 : day + 1, series])

    def _level(self, day: int) -> tuple[Floats, NDArray[np.int64]]:
        back = np.arange(day - 7, max(-1, day - 7 * LIKE_WEEKS - 1), -7)
        usable = self.usable[back] & (back[:, None] >= self.from_day)
        usable &= np.cumsum(usable, axis=0) <= LIKE_DAYS
        effects = self.month_effects[[self.month_classes[each] for each in back]]
        level, count = _median(np.where(usable, self.figures[back] - effects, np.nan))
        return np.where(count >= FEWEST_LIKE_DAYS, level, np.nan), count

    def _shift(self, day: int) -> Floats:
        shift, count = _median(self.above_level[max(0, day - SHIFT_DAYS) : day])
        return np.where(count >= FEWEST_SHIFTS, shift, 0.0)

    def _scale(self, day: int) -> Floats:
        middle, count = _median(np.abs(self.off[max(0, day - SCALE_DAYS) : day]))
        return np.where(count >= FEWEST_DEVIATIONS, np.maximum(TO_DEVIATION * middle, LEAST_SCALE), np.nan)

    def _holiday(self, day: int) -> tuple[Floats, Floats]:
        effect, unknown = np.zeros(len(self.scale)), np.zeros(len(self.scale))
        for number, group in enumerate(self.groups):
            if (name := group.names.get(day)) is not None:
                known = self.of_holiday.get((number, name), _Effect(HOLIDAY_EFFECT))
                effect[group.columns], unknown[group.columns] = known.estimate(self.scale[group.columns])
        return effect, unknown


def _month_class(day: dt.date) -> int:
    """The day of the month, from 0; the last three days are 31, 32 and 33."""
    to_end = calendar.monthrange(day.year, day.month)[1] - day.day
    return 31 + to_end if to_end < MONTH_CLASSES - 31 else day.day - 1


def _median(rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The median of each column without its NaNs (NaN if there is nothing else), and the number of other values."""
    if not len(rows):
        return np.full(rows.shape[1], np.nan), np.zeros(rows.shape[1], np.int64)
    # NaNs are sorted to the end. np.nanmedian does the same but takes ten times as long.
    ordered = np.sort(rows, axis=0)
    count = np.sum(~np.isnan(rows), axis=0)
    columns = np.arange(rows.shape[1])
    upper = ordered[np.minimum(count // 2, len(rows) - 1), columns]
    lower = ordered[np.maximum((count - 1) // 2, 0), columns]
    return np.where(count == 0, np.nan, (lower + upper) / 2), count
