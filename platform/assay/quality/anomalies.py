"""Anomalies: figures of complete days that are far from those of similar days.

Belongs here: turning profiles into series, and deciding what to report. Does not belong here: the expected figures (`baseline`),
measuring (`profile`), storing (`pipeline.watching`).

An anomaly is off by many robust standard deviations *and* by a large share of what was expected: the first alone cries wolf over
regular business, the second alone over irregular business. Counts must also be further off than chance explains (the deviance
of a Poisson or binomial count), and shares by some percentage points.

Everything is a pure function of the profiles, the declaration, the holidays and the moment at which completeness is judged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.contracts import Holidays, Watch
from assay.contracts.calendar import merged
from assay.quality.baseline import LIKE_WEEKS, Floats, expect
from assay.quality.profile import Metric

DETECTOR = 1
"""Raise this when the same figures lead to other verdicts than before: stored verdicts are then judged again."""
_ODDS_OFFSET = 0.005
"""Added to both sides of a share (half a point), so that its log-odds are finite."""
_VALUE_OFFSET = 0.001
"""Added to totals for the same reason, as a share of the usual total."""
_USUAL_DAYS = 28
"""First days of a series that determine its usual total."""
_CHANCE = 4.0
"""Counts must be off by this many standard deviations of pure chance: a table has dozens of series a day."""
_LEAST_HOURS = 1.0
"""A lag that exceeds the expected one by less than this is no anomaly."""
_SILENCE = dt.timedelta(weeks=LIKE_WEEKS)
"""After this long without a published day, a table has nothing left to compare with."""
_RECENT_DAYS = 7
"""Published days that determine how long after its end a day's data usually begin to land."""


@dataclass(frozen=True)
class Figure:
    """One measured figure of one day.

    Attributes:
        day: The day.
        metric: What was measured.
        column: The column that was measured.
        category: The value whose share it is.
        region: The region; None for all of them.
        figure: The value; None where there was nothing to measure.
        rows: The number of rows measured.
    """

    day: dt.date
    metric: Metric
    column: str | None
    category: str | None
    region: str | None
    figure: float | None
    rows: int


@dataclass(frozen=True)
class Anomaly:
    """A figure that is far from those of similar days.

    Attributes:
        day: The day.
        metric: What was measured.
        column: The column that was measured.
        category: The value whose share it is.
        region: The region; None for all of them.
        observed: The measured value.
        expected: The expected value.
        change: The difference as a share of the expected value; None where nothing was expected.
        score: The difference in robust standard deviations.
        like_days: Number of days of the same weekday behind the expectation.
        holiday: The holiday on that day in the region.
    """

    day: dt.date
    metric: Metric
    column: str | None
    category: str | None
    region: str | None
    observed: float
    expected: float
    change: float | None
    score: float
    like_days: int
    holiday: str | None

    @property
    def subject(self) -> str:
        """The figure in words, without its day and value."""
        where = f" in {self.region}" if self.region is not None else ""
        return f"{_named(self.metric, self.column, self.category)}{where}"

    @property
    def text(self) -> str:
        """The anomaly in words."""
        observed, expected = (_shown(self.metric, figure) for figure in (self.observed, self.expected))
        change = "there was none before" if self.change is None else f"{self.change:+.0%}"
        festive = f", {self.holiday}" if self.holiday else ""
        return (
            f"{self.subject}: {observed}, expected {expected} "
            f"({change}, score {self.score:.1f}, {self.like_days} like days{festive})"
        )


def complete_until(figures: Sequence[Figure], watch: Watch, as_of: dt.datetime) -> dt.date:
    """Find the last complete day: one that ended so long ago that its data must have landed.

    A day's data are not expected to land sooner after its end than those of recent days did: a history that was loaded at once
    does not count as stopped because nothing follows it.

    Args:
        figures: The table's figures.
        watch: The declaration.
        as_of: The moment, with a time zone.
    """
    landings = {each.day: each.figure for each in figures if each.metric is Metric.FIRST_LANDING and each.figure is not None}
    recent = [landings[day] for day in sorted(landings)[-_RECENT_DAYS:]]
    usual = dt.timedelta(hours=max(0.0, min(recent, default=0.0)))
    return (as_of.astimezone(dt.UTC) - watch.complete_after - usual).date() - dt.timedelta(days=1)


def find_anomalies(
    figures: Sequence[Figure], watch: Watch, holidays: Mapping[str, Holidays], as_of: dt.datetime
) -> list[Anomaly]:
    """Judge every complete day of a table.

    Args:
        figures: The measured figures, in any order; days without any were not published, and count as empty.
        watch: What counts as an anomaly.
        holidays: By region.
        as_of: The moment at which completeness is judged, with a time zone.

    Returns:
        The anomalies, in order of days.
    """
    last = complete_until(figures, watch, as_of)
    judged = [each for each in figures if each.day <= last and each.metric is not Metric.FIRST_LANDING]
    if not judged:
        return []
    first = min(each.day for each in judged)
    last = min(last, max(each.day for each in judged) + _SILENCE)
    series = _series(judged, first, (last - first).days + 1)
    calendars = _calendars(holidays, series.keys, first, last)
    return list(_judge(first, series, calendars, watch))


_Key = tuple[Metric, str | None, str | None, str | None]
"""Metric, column, category and region of a series."""


@dataclass(frozen=True)
class _Series:
    """All series of a table.

    Attributes:
        keys: Their identities.
        observed: Values, days by series; NaN where there was nothing to measure.
        rows: Number of rows behind each value.
    """

    keys: Sequence[_Key]
    observed: Floats
    rows: Floats


def _series(figures: Sequence[Figure], first: dt.date, days: int) -> _Series:
    keys = sorted({(each.metric, each.column, each.category, each.region) for each in figures}, key=str)
    place = {key: number for number, key in enumerate(keys)}
    observed = np.full((days, len(keys)), np.nan)
    rows = np.zeros((days, len(keys)))
    for each in figures:
        number = place[(each.metric, each.column, each.category, each.region)]
        observed[(each.day - first).days, number] = np.nan if each.figure is None else each.figure
        rows[(each.day - first).days, number] = each.rows
    for key, number in place.items():
        metric, _, _, region = key
        if metric in (Metric.VOLUME, Metric.VALUE):
            # No rows means a count of zero, not an unknown count.
            observed[:, number] = np.nan_to_num(observed[:, number])
        elif metric is Metric.CATEGORY_SHARE:
            volume = rows[:, place[(Metric.VOLUME, None, None, region)]]
            rows[:, number] = volume
            observed[:, number] = np.where(volume > 0, np.nan_to_num(observed[:, number]), np.nan)
    return _Series(keys, observed, rows)


def _calendars(
    holidays: Mapping[str, Holidays], keys: Sequence[_Key], first: dt.date, last: dt.date
) -> list[Mapping[dt.date, str]]:
    by_region = {region: declared.between(first, last) for region, declared in holidays.items()}
    every = merged(by_region.values())
    return [every if key[3] is None else by_region.get(key[3], {}) for key in keys]


def _judge(first: dt.date, series: _Series, calendars: Sequence[Mapping[dt.date, str]], watch: Watch) -> list[Anomaly]:
    scales = _Scales(series)
    found: list[Anomaly] = []

    def flag(day: int, centre: Floats, score: Floats) -> NDArray[np.int64]:
        observed, expected = series.observed[day], scales.back(centre)
        change, chance = scales.change(observed, expected), scales.chance(observed, expected, series.rows[day])
        with np.errstate(invalid="ignore"):
            far = (np.abs(score) >= watch.score) & (chance >= _CHANCE) & (np.abs(change) >= watch.change)
            far &= ~scales.is_share | (np.abs(observed - expected) >= watch.points)
            far &= ~scales.is_lag | (observed - expected >= _LEAST_HOURS)
        return np.where(far, np.sign(score), 0).astype(np.int64)

    absent = (series.observed == 0) & ~scales.is_share & ~scales.is_lag
    expected = expect(first, scales.there(series.observed), calendars, flag, watch.accept_after, absent)
    for day in np.flatnonzero(expected.flags.any(axis=1)).tolist():
        natural = scales.back(expected.centre[day])
        change = scales.change(series.observed[day], natural)
        for number in np.flatnonzero(expected.flags[day]).tolist():
            metric, column, category, region = series.keys[number]
            date = first + dt.timedelta(days=day)
            found.append(
                Anomaly(
                    day=date,
                    metric=metric,
                    column=column,
                    category=category,
                    region=region,
                    observed=float(series.observed[day, number]),
                    expected=float(natural[number]),
                    change=float(change[number]) if np.isfinite(change[number]) else None,
                    score=float(expected.score[day, number]),
                    like_days=int(expected.like_days[day, number]),
                    holiday=calendars[number].get(date),
                )
            )
    return found


class _Scales:
    """Figures on a scale on which effects are additive, and back; and the size of a difference."""

    def __init__(self, series: _Series) -> None:
        metrics = [key[0] for key in series.keys]
        self.is_share = np.array([metric in (Metric.NULL_SHARE, Metric.CATEGORY_SHARE) for metric in metrics])
        self.is_null = np.array([metric is Metric.NULL_SHARE for metric in metrics])
        self.is_volume = np.array([metric is Metric.VOLUME for metric in metrics])
        self.is_lag = np.array([metric is Metric.LAG for metric in metrics])
        offsets = {Metric.VOLUME: 0.5, Metric.LAG: 1.0}
        self.offset = np.array(
            [offsets.get(metric, _offset(series.observed[:, number])) for number, metric in enumerate(metrics)]
        )

    def there(self, figures: Floats) -> Floats:
        """Convert figures to the scale on which effects add up: log-odds of shares, logarithms of other figures."""
        share = (np.where(self.is_share, figures, 0.5) + _ODDS_OFFSET) / (1 + 2 * _ODDS_OFFSET)
        other = np.maximum(np.where(self.is_share, 1.0, figures), 0.0) + self.offset
        return np.where(self.is_share, np.log(share / (1 - share)), np.log(other))

    def back(self, figures: Floats) -> Floats:
        """Convert back from that scale."""
        odds = np.exp(np.minimum(np.where(self.is_share, figures, 0.0), 700.0))
        share = np.clip(odds / (1 + odds) * (1 + 2 * _ODDS_OFFSET) - _ODDS_OFFSET, 0.0, 1.0)
        other = np.maximum(np.exp(np.where(self.is_share, 0.0, figures)) - self.offset, 0.0)
        result: Floats = np.where(self.is_share, share, other)
        return result

    def change(self, observed: Floats, expected: Floats) -> Floats:
        """Differences as shares of the expected value. A column may be unusually empty or unusually full: the larger counts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.where(observed == expected, 0.0, (observed - expected) / expected)
            filled = np.where(observed == expected, 0.0, (observed - expected) / (1 - expected))
        return np.where(self.is_null & (filled > np.abs(change)), filled, change)

    def chance(self, observed: Floats, expected: Floats, rows: Floats) -> Floats:
        """How unlikely counts are by pure chance: deviance residuals, in standard deviations; infinite for other figures."""
        poisson = _deviance(observed, np.maximum(expected, 0.5))
        least = 0.5 / np.maximum(rows, 1.0)
        share = np.clip(expected, least, 1 - least)
        binomial = _binomial(observed, share, rows)
        return np.where(self.is_volume, poisson, np.where(self.is_share, binomial, np.inf))


def _offset(observed: Floats) -> float:
    usual = observed[observed > 0][:_USUAL_DAYS]
    return _VALUE_OFFSET * float(np.median(usual)) if len(usual) else 1.0


def _deviance(observed: Floats, expected: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(observed > 0, observed * np.log(observed / expected), 0.0)
        result: Floats = np.sqrt(np.maximum(2 * (logs - (observed - expected)), 0.0))
    return result


def _binomial(observed: Floats, expected: Floats, rows: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(observed > 0, observed * np.log(observed / expected), 0.0)
        outside = np.where(observed < 1, (1 - observed) * np.log((1 - observed) / (1 - expected)), 0.0)
        result: Floats = np.sqrt(np.maximum(2 * rows * (inside + outside), 0.0))
    return result


def _named(metric: Metric, column: str | None, category: str | None) -> str:
    match metric:
        case Metric.VOLUME:
            return "rows"
        case Metric.VALUE:
            return f"total of {column}"
        case Metric.NULL_SHARE:
            return f"share of {column} that is null"
        case Metric.CATEGORY_SHARE:
            return f"share of {column} that is {category}"
        case _:
            return f"hours from {column} to landing"


def _shown(metric: Metric, figure: float) -> str:
    if metric in (Metric.NULL_SHARE, Metric.CATEGORY_SHARE):
        return f"{figure:.1%}"
    return f"{figure:,.1f}" if metric is Metric.LAG else f"{figure:,.0f}"
