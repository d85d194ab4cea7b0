"""Drift: a day is held against days like it, and too little history says nothing."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest

from assay.contracts import Drift, MeanShift, NullShare
from assay.quality.baseline import Expected, Floats, expect
from assay.quality.drift import HISTORY_DAYS, judge_drift

TODAY = dt.date(2025, 5, 14)
MEAN = MeanShift("amount")
NULLS = Drift(NullShare("amount"))


def history(days: int, usual: float, spread: float = 0.02, weekend: float = 1.0) -> dict[str, float]:
    made = random.Random(7)
    found = {}
    for back in range(1, days + 1):
        day = TODAY - dt.timedelta(days=back)
        found[day.isoformat()] = usual * (weekend if day.weekday() > 4 else 1) * (1 + made.uniform(-spread, spread))
    return found


def said(each: MeanShift | Drift, figure: float | None, known: dict[str, float], day: dt.date = TODAY) -> str:
    return judge_drift(each, {day.isoformat(): figure}, known, {})[day.isoformat()]


@pytest.mark.parametrize("figure", [75.0, 100.0, 125.0])
def test_what_is_near_what_days_like_it_had_is_fine(figure: float) -> None:
    assert said(MEAN, figure, history(120, 100)) == ""


def test_what_is_far_is_said_with_what_days_like_it_had() -> None:
    found = said(MEAN, 10.0, history(120, 100))
    assert found.startswith("measured 10, usual for similar days: 1")
    assert "days of the same weekday), expected: the mean of amount is within 3 deviations or 30%" in found
    assert found.endswith("check the input, or declare a permanent change")


def test_days_are_held_against_days_of_their_kind() -> None:
    known = history(120, 100, weekend=0.4)
    saturday = TODAY + dt.timedelta(days=3)
    assert saturday.weekday() == 5
    assert said(MEAN, 40.0, known, saturday) == ""
    assert said(MEAN, 40.0, known) != ""


@pytest.mark.parametrize("days", [0, 1, 10, 25])
def test_too_little_history_says_nothing(days: int) -> None:
    assert said(MEAN, 1.0, history(days, 100)) == ""


def test_of_nothing_measured_nothing_is_said() -> None:
    assert said(MEAN, None, history(120, 100)) == ""


def test_shares_are_on_a_scale_of_their_own() -> None:
    known = history(120, 0.10)
    assert said(NULLS, 0.11, known) == ""
    assert said(NULLS, 0.5, known).startswith("measured 50.00%, usual for similar days: 1")


def test_only_earlier_days_count() -> None:
    later = {(TODAY + dt.timedelta(days=ahead)).isoformat(): 1.0 for ahead in range(1, 60)}
    assert said(MEAN, 100.0, history(120, 100) | later) == ""


def test_days_that_are_proven_together_see_each_other() -> None:
    known = history(120, 100)
    together = {day: figure for day, figure in known.items() if day >= "2025-03-01"} | {TODAY.isoformat(): 10.0}
    before = {day: figure for day, figure in known.items() if day < "2025-03-01"}
    found = judge_drift(MEAN, together, before, {})
    assert [day for day, text in found.items() if text] == [TODAY.isoformat()]


def test_a_new_normal_is_accepted_in_time() -> None:
    known = history(120, 100)
    for back in range(1, 30):
        known[(TODAY - dt.timedelta(days=back)).isoformat()] = 300.0 + back
    assert said(MEAN, 310.0, known) == ""


def test_days_of_years_that_cannot_be_cost_nothing_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = history(120, 100)
    spans: list[int] = []

    def counted(first: dt.date, figures: Floats, *others: Any) -> Expected:
        spans.append(len(figures))
        return expect(first, figures, *others)

    monkeypatch.setattr("assay.quality.drift.expect", counted)
    odd = ("0001-01-01", "1990-01-01", "2099-05-05", "9999-12-31")
    found = judge_drift(MEAN, dict.fromkeys((*odd, TODAY.isoformat()), 10.0), known, {})
    assert found == dict.fromkeys(odd, "") | {TODAY.isoformat(): said(MEAN, 10.0, known)}
    assert found[TODAY.isoformat()]
    assert max(spans) <= HISTORY_DAYS + 1
