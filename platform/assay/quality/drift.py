"""Drift: whether a measure of a day is in line with similar days.

Belongs here: putting a measure on the scale of `baseline`, and wording the verdict. Does not belong here: the expected figure
of a day (`baseline`), measuring (`expectations`), watching whole tables after the fact (`anomalies`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assay.contracts.measured import Drifting
from assay.quality.baseline import Floats, expect

HISTORY_DAYS = 400
"""Days back that are considered: a year, so that holidays and ends of months are known."""
ACCEPT_AFTER = 14
"""Days in a row after which something unusual becomes the new normal."""
_ODDS_OFFSET = 0.005
_OFFSET = 0.001


def judge_drift(
    each: Drifting,
    measured: Mapping[str, float | None],
    history: Mapping[str, float],
    holidays: Mapping[dt.date, str],
) -> dict[str, str]:
    """Judge the measures of some days.

    Args:
        each: The expectation.
        measured: Measures of the days being proven.
        history: Measures of published days.
        holidays: The holidays that apply to the table.

    Returns:
        For each day being proven, a message; empty where the measure is as usual, or where there is too little history to tell.
    """
    days = {dt.date.fromisoformat(day): day for day in measured}
    known = {dt.date.fromisoformat(day): figure for day, figure in history.items() if day not in measured}
    known |= {day: figure for day, text in days.items() if (figure := measured[text]) is not None}
    said: dict[str, str] = {}
    for together in _close(sorted(days)):
        said |= _judge_together(each, {day: days[day] for day in together}, known, holidays)
    return said


def _close(days: Sequence[dt.date]) -> Iterator[Sequence[dt.date]]:
    """Split ordered days where the gap is so long that the later day is not judged by the earlier.

    Otherwise one event with an impossible year would make every day in between be considered.
    """
    begins = 0
    for place, day in enumerate(days):
        if place and (day - days[place - 1]).days > HISTORY_DAYS:
            yield days[begins:place]
            begins = place
    if days:
        yield days[begins:]


def _judge_together(
    each: Drifting, days: Mapping[dt.date, str], known: Mapping[dt.date, float], holidays: Mapping[dt.date, str]
) -> dict[str, str]:
    """Judge days that are close together."""
    # As ordinals, because the start may lie before the first date that can be represented.
    first = dt.date.fromordinal(max(min([*known, *days]).toordinal(), min(days).toordinal() - HISTORY_DAYS))
    span = (max(days) - first).days + 1
    figures = np.full((span, 1), np.nan)
    for day, figure in known.items():
        if first <= day <= max(days):
            figures[(day - first).days, 0] = figure
    scale = _Scale(each, figures)

    def flag(day: int, centre: Floats, score: Floats) -> NDArray[np.int64]:
        """Mark the days that are excluded from expectations of later days."""
        change = np.abs(scale.change(figures[day], scale.back(centre)))
        with np.errstate(invalid="ignore"):
            is_off = (np.abs(score) >= each.deviations) & (change >= each.change)
        return np.where(is_off, np.sign(score), 0).astype(np.int64)

    expected = expect(first, scale.there(figures), [holidays], flag, ACCEPT_AFTER, np.zeros((span, 1), np.bool_))
    said = {}
    for day, text in days.items():
        number = (day - first).days
        said[text] = ""
        if expected.flags[number, 0]:
            usual = each.measure.shown(float(scale.back(expected.centre[number])[0]))
            like = f"{expected.score[number, 0]:+.1f} deviations, from {expected.like_days[number, 0]} days of the same weekday"
            said[text] = (
                f"measured {each.measure.shown(float(figures[number, 0]))}, usual for similar days: {usual} ({like}), expected: "
                f"{each.expected}; check the input, or declare a permanent change"
            )
    return said


class _Scale:
    """A measure on a scale on which effects are additive, and back."""

    def __init__(self, each: Drifting, figures: Floats) -> None:
        self.is_share = each.measure.is_share
        positive = figures[figures > 0]
        self.offset = _OFFSET * float(np.median(positive)) if len(positive) else 1.0

    def there(self, figures: Floats) -> Floats:
        if self.is_share:
            share = (figures + _ODDS_OFFSET) / (1 + 2 * _ODDS_OFFSET)
            return np.asarray(np.log(share / (1 - share)))
        return np.asarray(np.log(np.maximum(figures, 0.0) + self.offset))

    def back(self, figures: Floats) -> Floats:
        powers = np.exp(np.minimum(figures, 700.0))
        if self.is_share:
            return np.asarray(np.clip(powers / (1 + powers) * (1 + 2 * _ODDS_OFFSET) - _ODDS_OFFSET, 0.0, 1.0))
        return np.asarray(np.maximum(powers - self.offset, 0.0))

    def change(self, observed: Floats, expected: Floats) -> Floats:
        """The difference as a share of the expected value."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(observed == expected, 0.0, (observed - expected) / expected))
