"""Reconciliation: what the lake adds up to, held against what a control says, day by day; and the history of such results.

Belongs here: comparing totals, and keeping the newest result of every day beside those before it; pure functions. Does not belong
here: adding up and asking (`pipeline.reconciling`, `pipeline.controls`), comparing rows one by one (`capture.reconcile`).

A result of a day is the figures of all its keys together. The newest result of a day is the one that counts, whichever was
written last; a result that says the same as the one before it moves that one's time on, so that history grows only when something
changes.
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
"""By day and further key values: by measure, its figure."""
_PLACES = Decimal("0.0001")
_NOTHING = Decimal(0)


class Match(StrEnum):
    """How a figure of the lake compares with a control's."""

    SAME = "same"
    TOLERATED = "tolerated"
    """They differ by no more than the control tolerates."""
    QUARANTINED = "quarantined"
    """They differ by what the lake has in quarantine, and by nothing else."""
    DIFFERENT = "different"
    ONLY_IN_LAKE = "only_in_lake"
    ONLY_IN_CONTROL = "only_in_control"
    OPEN = "open"
    """The day is not complete yet, and may differ."""

    @property
    def is_settled(self) -> bool:
        """Whether it need not be compared again."""
        return self in (Match.SAME, Match.TOLERATED)

    @property
    def is_wrong(self) -> bool:
        """Whether somebody must look at it. What is in quarantine is looked at there."""
        return self in (Match.DIFFERENT, Match.ONLY_IN_LAKE, Match.ONLY_IN_CONTROL)


@dataclass(frozen=True)
class Compared:
    """One figure of one day, on both sides.

    Attributes:
        day: The day.
        key: The further key values as a JSON object; None where there are none.
        measure: `row_count`, or the name of a sum.
        in_lake: The lake's published figure; None where it has no such day or key.
        in_control: The control's figure; None where it has no such day or key.
        tolerance: By how much they may differ.
        match: How they compare.
        in_quarantine: What rows of the table add up to that its contract refused.
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
        """How much more the lake has published; what is not there counts as nothing."""
        return (self.in_lake or _NOTHING) - (self.in_control or _NOTHING)


@dataclass(frozen=True)
class DayResult:
    """The result of comparing one day.

    Attributes:
        day: The day.
        figures: All figures of the day, in the order of keys and measures.
        asked: Who said what the control says: `postgresql`, `mysql` or `file`.
        found_at: When it was first found to be so, UTC.
        reconciled_at: When it was last found to be so.
        run_id: The run that found it last.
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
    """Compare what the lake adds up to with what a control says.

    Args:
        control: The control.
        days: The days to compare; one that neither side has anything of is the same on both, namely nothing.
        lake: The lake's totals of those days, of what is published.
        refused: The same of what is in quarantine.
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
        tolerance = Decimal(control.tolerance)
        match = _match(here, aside, there, tolerance, is_open)
        found.append(Compared(day, key, measure, here, there, tolerance, match, aside))
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
    """A figure as it is kept; adding zero leaves no negative zero."""
    return figure.quantize(_PLACES, ROUND_HALF_EVEN) + _NOTHING


def merge(before: Iterable[DayResult], found: Iterable[DayResult]) -> list[DayResult]:
    """Add results to the history of one control.

    Whatever the order in which results are added, and however often, the newest of each day is the one that counts, and every
    figure that was ever found is there.

    Returns:
        Every result, by day and time.
    """
    by_day: dict[dt.date, list[DayResult]] = {}
    for result in (*before, *found):
        by_day.setdefault(result.day, []).append(result)
    return [result for day in sorted(by_day) for result in _joined(by_day[day])]


def _joined(results: list[DayResult]) -> list[DayResult]:
    """Results of one day in the order of time, neighbours that say the same made one."""
    joined: list[DayResult] = []
    for result in sorted(results, key=lambda each: each.order):
        if joined and joined[-1].says_the_same(result):
            joined[-1] = replace(result, found_at=min(joined[-1].found_at, result.found_at))
        else:
            joined.append(result)
    return joined


def latest(results: Iterable[DayResult]) -> list[DayResult]:
    """The result of each day that counts, by day."""
    newest: dict[dt.date, DayResult] = {}
    for result in results:
        if result.day not in newest or newest[result.day].order <= result.order:
            newest[result.day] = result
    return [newest[day] for day in sorted(newest)]
