"""Numbers as texts."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report import numbers


@given(st.floats(0, 99.999999))
def test_only_what_is_perfect_looks_so(score: float) -> None:
    assert numbers.score(score) != "100.00"
    assert float(numbers.score(score)) <= score + 1e-6


def test_scores_are_rounded_down() -> None:
    assert [numbers.score(score) for score in (100.0, 99.999, 99.19, 0.0, None)] == ["100.00", "99.99", "99.19", "0.00", "–"]
    assert [numbers.change(points) for points in (1.234, -0.5, 0.0001, None)] == ["+1.23", "−0.50", "±0.00", "–"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (99_999, "99,999"), (123_456, "123 k"), (1_770_000, "1.77 M"), (Decimal("-2.5e9"), "−2.50 B")]
)
def test_amounts_are_short(number: float, text: str) -> None:
    assert numbers.short(number) == text


def test_money_has_its_unit() -> None:
    assert [numbers.money(Decimal(12), "EUR"), numbers.money(Decimal(12)), numbers.money(None, "EUR")] == ["12 EUR", "12", "–"]


def test_shares_keep_two_digits_that_tell_something() -> None:
    assert [numbers.percent(share) for share in (0.5, 0.0123, 0.00043, 0.0, None)] == ["50 %", "1.2 %", "0.043 %", "0 %", "–"]
    assert numbers.percent(-0.2, signed=True) == "−20 %"
    assert [numbers.times(change) for change in (24.0, 0.5, 0.0, None)] == ["× 25", "+50 %", "same", "–"]


def test_lengths_of_time_have_one_unit() -> None:
    lengths = [dt.timedelta(minutes=13), dt.timedelta(hours=26), dt.timedelta(days=3.8), dt.timedelta(days=397), None]
    assert [numbers.duration(length) for length in lengths] == ["13 min", "26 h", "3.8 days", "397 days", "–"]
    assert numbers.moment(dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))) == "2025-12-31 23:00"


def test_figures_and_counts() -> None:
    assert [numbers.figure(0.214, True), numbers.figure(12.34, False), numbers.figure(None, False)] == ["21 %", "12.3", "–"]
    assert [numbers.counted(1, "table"), numbers.counted(2, "table"), numbers.counted(2, "day is", "days are")] == [
        "1 table",
        "2 tables",
        "2 days are",
    ]
    assert numbers.count(None) == "–"
