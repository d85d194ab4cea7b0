"""Reconciliation: comparing the lake's totals with a control's, day by day; and the history of the results.

Belongs here: comparing totals, and keeping the newest result of every day and those before it; pure functions. Does not belong
here: computing and fetching totals (`pipeline.reconciling`, `pipeline.controls`), comparing single rows (`capture.reconcile`).

A result of a day has the figures of all its keys. The newest result of a day counts, regardless of which was written last; a
result equal to the one before it only updates that one's time, so that the history grows only when something changes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from assay.contracts import Control

Keys = tuple[str | None, ...]
Totals = Mapping[tuple[dt.date, Keys], Mapping[str, Decimal]]
"""Figures by measure, by day and further key values."""
_PLACES = Decimal("0.0001")
_NOTHING = Decimal(0)


class Match(StrEnum):
    """How a figure of the lake compares with the control's."""

    SAME = "same"
    TOLERATED = "tolerated"
    """They differ by no more than the control's tolerance."""
    QUARANTINED = "quarantined"
    """They differ by what the lake has in quarantine, give or take the control's tolerance."""
    DIFFERENT = "different"
    ONLY_IN_LAKE = "only_in_lake"
    ONLY_IN_CONTROL = "only_in_control"
    OPEN = "open"
    """The day is not complete yet; a difference is allowed."""

    @property
    def is_settled(self) -> bool:
        """Whether it need not be compared again."""
        return self in (Match.SAME, Match.TOLERATED)

    @property
    def is_wrong(self) -> bool:
        """Whether somebody must look at it. Quarantined rows are dealt with in quarantine."""
        return self in (Match.DIFFERENT, Match.ONLY_IN_LAKE, Match.ONLY_IN_CONTROL)


@dataclass(frozen=True)
class Compared:
    """One figure of one day, from both sides.

    Attributes:
        day: The day.
        key: The further key values as a JSON object; None where there are none.
        measure: `row_count`, or the name of a sum.
        in_lake: The lake's published figure; None where it has no such day or key.
        in_control: The control's figure; None where it has no such day or key.
        tolerance: By how much they may differ.
        match: How they compare.
        in_quarantine: The total of the table's rows that its contract refused.
    """

    day: dt.date
    key: str | None
    measure: str
    in_lake: Decimal | None
    in_control: Decimal | None
    tolerance: Decimal
    match: Match
    in_quarantine: Decimal = Decimal("0.0000")

    @property
    def difference(self) -> Decimal:
        """How much more the lake has published; a missing figure counts as zero."""
        return (self.in_lake or _NOTHING) - (self.in_control or _NOTHING)


@dataclass(frozen=True)
class DayResult:
    """The result of comparing one day.

    Attributes:
        day: The day.
        figures: All figures of the day, in the order of keys and measures.
        asked: Where the control's figures come from: `postgresql`, `mysql` or `file`.
        found_at: When this result was first found, UTC.
        reconciled_at: When it was last confirmed.
        run_id: The run that confirmed it last.
    """

    day: dt.date
    figures: tuple[Compared, ...]
    asked: str
    found_at: dt.datetime
    reconciled_at: dt.datetime
    run_id: str = field(default="", compare=False)

    @property
    def is_wrong(self) -> bool:
        """Whether any figure of the day is wrong."""
        return any(figure.match.is_wrong for figure in self.figures)

    @property
    def is_settled(self) -> bool:
        """Whether the day need not be compared again."""
        return all(figure.match.is_settled for figure in self.figures)

    @property
    def order(self) -> tuple[dt.datetime, str, dt.datetime]:
        """The order of one day's results, the last of which counts. The time of finding comes last, as joining changes it."""
        return (self.reconciled_at, repr((self.figures, self.asked)), self.found_at)

    def says_the_same(self, other: DayResult) -> bool:
        """Whether another result of the day has the same figures."""
        return (self.figures, self.asked) == (other.figures, other.asked)


def compare(
    control: Control, days: Sequence[dt.date], lake: Totals, refused: Totals, said: Totals, last_complete: dt.date
) -> dict[dt.date, list[Compared]]:
    """Compare the lake's totals with a control's.

    Args:
        control: The control.
        days: The days to compare; a day on which neither side has anything counts as equal.
        lake: The lake's published totals of those days.
        refused: The totals of the quarantined rows.
        said: The control's totals of those days.
        last_complete: The last day that is complete.

    Returns:
        Every figure, by day.
    """
    places = sorted(lake.keys() | said.keys(), key=repr)
    found: dict[dt.date, list[Compared]] = {day: [] for day in days}
    for day, keys in places:
        if day in found:
            sides = (each.get((day, keys)) for each in (lake, refused, said))
            found[day] += _figures(control, day, keys, *sides, is_open=day > last_complete)
    for day, figures in found.items():
        if not figures:
            figures += _figures(control, day, (), None, None, None, is_open=day > last_complete)
    return found


def _figures(
    control: Control,
    day: dt.date,
    keys: Keys,
    lake: Mapping[str, Decimal] | None,
    refused: Mapping[str, Decimal] | None,
    said: Mapping[str, Decimal] | None,
    *,
    is_open: bool,
) -> list[Compared]:
    key = json.dumps(dict(zip(control.keys, keys, strict=True)), ensure_ascii=False) if keys else None
    found = []
    for measure in control.measures:
        here = _rounded(lake[measure]) if lake is not None else None
        there = _rounded(said[measure]) if said is not None else None
        aside = _rounded(refused[measure] if refused is not None else _NOTHING)
        match = _match(here, aside, there, control.tolerance, is_open)
        found.append(Compared(day, key, measure, here, there, control.tolerance, match, aside))
    return found


def _match(here: Decimal | None, aside: Decimal, there: Decimal | None, tolerance: Decimal, is_open: bool) -> Match:
    missing = (there or _NOTHING) - (here or _NOTHING)
    difference = abs(missing)
    if is_open:
        return Match.OPEN
    if difference == 0:
        return Match.SAME
    if difference <= tolerance:
        return Match.TOLERATED
    if abs(missing - aside) <= tolerance:
        return Match.QUARANTINED
    if there is None:
        return Match.ONLY_IN_LAKE
    return Match.ONLY_IN_CONTROL if here is None else Match.DIFFERENT


def _rounded(figure: Decimal) -> Decimal:
    """A figure as stored; adding zero avoids a negative zero."""
    return figure.quantize(_PLACES, ROUND_HALF_EVEN) + _NOTHING


def merge(before: Iterable[DayResult], found: Iterable[DayResult]) -> list[DayResult]:
    """Add results to the history of one control.

    The outcome does not depend on the order in which results are added, nor on repetition: the newest of each day counts, and
    every figure ever found is kept.

    Returns:
        Every result, by day and time.
    """
    by_day: dict[dt.date, list[DayResult]] = {}
    for result in (*before, *found):
        by_day.setdefault(result.day, []).append(result)
    return [result for day in sorted(by_day) for result in _joined(by_day[day])]


def _joined(results: list[DayResult]) -> list[DayResult]:
    """Results of one day in order of time, with equal neighbours merged."""
    joined: list[DayResult] = []
    for result in sorted(results, key=lambda each: each.order):
        if joined and joined[-1].says_the_same(result):
            joined[-1] = replace(result, found_at=min(joined[-1].found_at, result.found_at))
        else:
            joined.append(result)
    return joined


def latest(results: Iterable[DayResult]) -> list[DayResult]:
    """The newest result of each day, by day."""
    newest: dict[dt.date, DayResult] = {}
    for result in results:
        if result.day not in newest or newest[result.day].order <= result.order:
            newest[result.day] = result
    return [newest[day] for day in sorted(newest)]
