"""Anomalies: what is odd, whatever the order of days; what is not; and what is learnt."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Holidays, Watch
from assay.contracts.calendar import Fixed
from assay.quality.anomalies import Anomaly, Figure, complete_until, find_anomalies
from assay.quality.profile import Metric

START = dt.date(2024, 1, 1)
DAYS = 126
WATCH = Watch(value="amount", by="region", nulls=("note",), shares=("kind",), happened="at")
few = settings(max_examples=8)


def day(number: int) -> dt.date:
    return START + dt.timedelta(days=number)


def series(
    value: Callable[[int], float],
    metric: Metric = Metric.VOLUME,
    *,
    days: int = DAYS,
    rows: int = 5_000,
    region: str | None = None,
    column: str | None = None,
    category: str | None = None,
) -> list[Figure]:
    """One figure a day."""
    return [Figure(day(number), metric, column, category, region, value(number), rows) for number in range(days)]


def ordinary(number: int, seed: int = 0) -> float:
    """A business with quiet weekends, growth and a little chance."""
    chance = random.Random(f"{seed}/{number}").gauss(0, 0.03)
    return round(2_000 * (0.6 if day(number).weekday() > 4 else 1.0) * 1.002**number * math.exp(chance))


def changed(figures: Sequence[Figure], at: int, factor: float) -> list[Figure]:
    """The same, with another figure on one day."""
    return [replace(each, figure=(each.figure or 0) * factor) if each.day == day(at) else each for each in figures]


def find(
    figures: Sequence[Figure], watch: Watch = WATCH, as_of: dt.datetime | None = None, **holidays: Holidays
) -> list[Anomaly]:
    """Judge; if nothing else is said, as soon as the last day is complete."""
    last = max((each.day for each in figures), default=START)
    moment = as_of or dt.datetime.combine(last + dt.timedelta(days=1), dt.time(6), dt.UTC)
    return find_anomalies(figures, watch, holidays, moment)


def days_of(found: Sequence[Anomaly]) -> list[int]:
    return sorted({(each.day - START).days for each in found})


class TestProperties:
    @few
    @given(st.randoms(use_true_random=False), st.integers(45, DAYS - 1), st.sampled_from([0.0, 0.4, 2.0, 100.0]))
    def test_the_order_of_days_never_matters(self, chance: random.Random, at: int, factor: float) -> None:
        figures = changed(series(ordinary), at, factor) + series(lambda n: 5 + n % 3, Metric.LAG, column="at")
        shuffled = list(figures)
        chance.shuffle(shuffled)
        assert find(shuffled) == find(figures)

    @few
    @given(st.integers(45, DAYS - 1), st.sampled_from([0.0, 0.4, 2.0, 100.0]), st.integers(0, 5))
    def test_a_restated_day_restates_its_verdict_and_no_other(self, at: int, factor: float, seed: int) -> None:
        right = series(lambda number: ordinary(number, seed))
        wrong = changed(right, at, factor)
        assert days_of(find(wrong)) == [at]
        assert days_of(find(right)) == []

    @few
    @given(st.integers(45, 90), st.sampled_from([0.0, 0.3, 3.0, 1_000.0]), st.integers(1, 13))
    def test_an_anomaly_does_not_poison_what_is_expected_later(self, at: int, factor: float, length: int) -> None:
        figures = series(ordinary)
        for number in range(at, at + length):
            figures = changed(figures, number, factor)
        second = changed(figures, at + length + 9, 0.5)
        clean = changed(series(ordinary), at + length + 9, 0.5)
        assert days_of(find(second)) == [*range(at, at + length), at + length + 9]
        (told,) = (each for each in find(second) if each.day == day(at + length + 9))
        (alone,) = find(clean)
        # The days that are left out are days fewer to learn from, most of all early on.
        assert told.expected == pytest.approx(alone.expected, rel=0.08)

    @few
    @given(st.integers(45, DAYS - 2), st.floats(0, 3), st.integers(0, 60 * 29))
    def test_incomplete_days_raise_nothing_and_change_nothing(self, at: int, factor: float, minutes: int) -> None:
        as_of = dt.datetime.combine(day(at), dt.time(), dt.UTC) + dt.timedelta(minutes=minutes)
        figures = [each for each in series(ordinary) if each.day < day(at)]
        partial = changed(series(ordinary, days=at + 1), at, factor)
        assert find(figures, as_of=as_of) == find(partial, as_of=as_of) == []

    @few
    @given(st.integers(45, DAYS - 1), st.integers(45, DAYS - 1))
    def test_verdicts_stand_as_time_passes(self, at: int, until: int) -> None:
        figures = changed(series(ordinary), at, 0.2)
        then = dt.datetime.combine(day(until), dt.time(6), dt.UTC)
        assert find(figures, as_of=then) == [each for each in find(figures) if each.day < day(until)]


class TestBothMustBeLarge:
    def test_a_small_change_of_a_regular_figure_is_none(self) -> None:
        assert days_of(find(changed(series(ordinary), 100, 1.25))) == []
        assert days_of(find(changed(series(ordinary), 100, 1.4))) == [100]

    def test_a_large_change_of_an_irregular_figure_is_none(self) -> None:
        wild = series(lambda number: 10_000 * math.exp(random.Random(number).gauss(0, 0.25)), Metric.VALUE, column="amount")
        assert days_of(find(wild)) == []
        assert days_of(find(changed(wild, 100, 100.0))) == [100]

    def test_the_thresholds_are_the_table_s(self) -> None:
        figures = changed(series(ordinary), 100, 1.25)
        assert days_of(find(figures, replace(WATCH, change=0.2))) == [100]
        assert days_of(find(changed(series(ordinary), 100, 1.4), replace(WATCH, score=50))) == []

    def test_a_handful_of_rows_proves_nothing(self) -> None:
        few_rows = series(lambda number: 4.0)
        assert days_of(find(changed(few_rows, 100, 0.0))) == []
        assert days_of(find(changed(series(lambda number: 40.0), 100, 0.0))) == [100]

    def test_shares_must_be_off_by_a_point(self) -> None:
        rare = series(lambda number: 0.001, Metric.NULL_SHARE, column="note", rows=1_000_000) + series(ordinary)
        assert days_of(find(changed(rare, 100, 5.0)[: len(rare) // 2] + series(ordinary))) == []
        assert days_of(find(changed(rare, 100, 50.0)[: len(rare) // 2] + series(ordinary))) == [100]


class TestWhatIsOdd:
    def test_it_says_what_in_words_and_numbers(self) -> None:
        (found,) = find(changed(series(ordinary, region="EU"), 100, 0.1))
        assert (found.metric, found.region, found.like_days, found.holiday) == (Metric.VOLUME, "EU", 8, None)
        assert found.change == pytest.approx(-0.9, abs=0.02)
        assert found.score < -10
        assert found.text.startswith("rows in EU: 2")
        assert "(-90%, score -" in found.text

    def test_a_day_that_was_not_published_is_empty(self) -> None:
        figures = [each for each in series(ordinary) if each.day != day(100)]
        assert days_of(find(figures)) == [100]

    def test_a_day_on_which_a_shop_is_always_closed_is_not(self) -> None:
        closed = [each for each in series(ordinary) if each.day.weekday() != 6]
        assert days_of(find(closed)) == []

    def test_a_region_that_is_missing(self) -> None:
        figures = series(ordinary) + series(lambda number: ordinary(number) / 10, region="EU")
        without = [each for each in figures if not (each.region == "EU" and each.day == day(100))]
        assert [(each.region, each.observed) for each in find(without)] == [("EU", 0.0)]

    def test_a_new_category_and_one_that_is_gone(self) -> None:
        volume = series(ordinary)
        usd = series(lambda number: 1.0 if number != 100 else 0.6, Metric.CATEGORY_SHARE, column="kind", category="USD")
        eur = Figure(day(100), Metric.CATEGORY_SHARE, "kind", "EUR", None, 0.4, 800)
        found = {each.category: each.change for each in find([*volume, *usd, eur])}
        assert found["EUR"] is None or found["EUR"] > 10
        assert found["USD"] == pytest.approx(-0.4, abs=0.01)

    def test_a_column_that_is_unusually_empty_or_full(self) -> None:
        nulls = series(lambda number: 0.9, Metric.NULL_SHARE, column="note") + series(ordinary)
        for share in (0.5, 1.0):
            figures = [replace(each, figure=share) if each.column and each.day == day(100) else each for each in nulls]
            assert days_of(find(figures)) == [100]

    def test_data_that_come_later_than_they_did_but_not_sooner(self) -> None:
        lag = series(lambda number: 6.0 + number % 2, Metric.LAG, column="at") + series(ordinary)
        for hours, odd in ((30.0, [100]), (0.1, []), (7.5, [])):
            figures = [replace(each, figure=hours) if each.column and each.day == day(100) else each for each in lag]
            assert days_of(find(figures)) == odd

    def test_a_short_past_judges_nothing(self) -> None:
        assert find(changed(series(ordinary, days=30), 29, 0.0)) == []

    def test_nothing_measured_is_nothing_odd(self) -> None:
        assert find([]) == []


class TestNewNormal:
    def test_what_goes_on_is_accepted_after_a_while(self) -> None:
        shifted = series(lambda number: ordinary(number) * (2 if number >= 60 else 1))
        found = find(shifted)
        assert days_of(found) == list(range(60, 60 + WATCH.accept_after))
        back = series(lambda number: ordinary(number) * (2 if 60 <= number < 120 else 1))
        assert 120 in days_of(find(back))

    def test_absence_never_is(self) -> None:
        gone = series(lambda number: 0.0 if 60 <= number < 90 else ordinary(number))
        assert days_of(find(gone)) == list(range(60, 90))


class TestCalendar:
    def test_pay_days_and_month_ends_are_learnt(self) -> None:
        def busy(number: int) -> float:
            last = (day(number) + dt.timedelta(days=1)).day == 1
            return ordinary(number) * (1.5 if last or day(number).day == 15 else 1.0)

        found = days_of(find(series(busy, days=365)))
        assert all(number < 110 for number in found)

    def test_holidays_are_the_region_s_own_and_learnt(self) -> None:
        holiday = Holidays(source="a law", days={"Founding Day": Fixed(5, 8)})
        festive = dt.date(2025, 5, 8)

        def quiet(number: int) -> float:
            return ordinary(number) * (0.55 if (day(number).month, day(number).day) == (5, 8) else 1.0)

        figures = series(quiet, region="EU", days=500)
        assert find(figures, EU=holiday) == []
        assert [each.day.year for each in find(figures, NA=holiday)] == [2024, 2025]
        as_ever = ordinary((festive - START).days)
        busy = [replace(each, figure=as_ever) if each.day == festive else each for each in figures]
        assert [(each.day, each.holiday) for each in find(busy, EU=holiday)] == [(festive, "Founding Day")]


class TestComplete:
    @pytest.mark.parametrize(
        ("as_of", "until"),
        [("2024-03-05T05:59", "2024-03-03"), ("2024-03-05T06:00", "2024-03-04"), ("2024-03-05T08:00+02:00", "2024-03-04")],
    )
    def test_a_day_is_complete_some_hours_after_its_end(self, as_of: str, until: str) -> None:
        assert complete_until([], Watch(), dt.datetime.fromisoformat(as_of)) == dt.date.fromisoformat(until)

    def test_data_that_always_come_a_day_late_are_waited_for(self) -> None:
        figures = [replace(each, figure=26.0) for each in series(ordinary, Metric.FIRST_LANDING)]
        moment = dt.datetime.combine(day(DAYS), dt.time(12), dt.UTC)
        assert complete_until(figures, Watch(), moment) == day(DAYS - 2)

    def test_a_history_that_was_loaded_at_once_has_not_stopped(self) -> None:
        landed = [
            Figure(each.day, Metric.FIRST_LANDING, None, None, None, 24.0 * (DAYS - number + 900), 1)
            for number, each in enumerate(series(ordinary))
        ]
        moment = dt.datetime.combine(day(DAYS + 901), dt.time(12), dt.UTC)
        assert find(series(ordinary) + landed, as_of=moment) == []

    def test_a_feed_that_has_stopped_is_told_of(self) -> None:
        landed = [replace(each, figure=-20.0) for each in series(ordinary, Metric.FIRST_LANDING)]
        moment = dt.datetime.combine(day(DAYS + 3), dt.time(7), dt.UTC)
        assert days_of(find(series(ordinary) + landed, as_of=moment)) == [126, 127, 128]
        assert len(find(series(ordinary), as_of=moment + dt.timedelta(days=3_000))) < 91
        other = series(ordinary, region="EU", days=DAYS + 3)
        assert days_of([each for each in find(series(ordinary) + other, as_of=moment) if each.region is None]) == [126, 127, 128]


@given(st.lists(st.lists(st.one_of(st.floats(-9, 9), st.just(math.nan)), min_size=3, max_size=3), min_size=1, max_size=9))
def test_medians_are_numpy_s(rows: list[list[float]]) -> None:
    from assay.quality.baseline import _median

    middle, count = _median(np.array(rows))
    for place in range(3):
        known = [row[place] for row in rows if not math.isnan(row[place])]
        assert count[place] == len(known)
        assert middle[place] == pytest.approx(np.median(known)) if known else math.isnan(middle[place])
