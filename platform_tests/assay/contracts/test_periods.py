"""Periods, held against day-by-day counting with Python's own calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spans import partitions_in

from assay.contracts.periods import (
    LONGEST_DAYS,
    OWN,
    WHOLE,
    Grain,
    Span,
    Window,
    first_day,
    first_day_sql,
    following,
    held_by,
    holding,
    is_longer,
    is_partition,
    last_day,
    nests,
    reads,
    year_before,
)
from assay.contracts.version import fingerprint, said

CUT = [Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.YEAR]
days = st.dates(dt.date(1999, 1, 1), dt.date(2031, 12, 31))
grains = st.sampled_from(CUT)
windows = st.builds(
    Window,
    before=st.sampled_from([0, 1, 6, 30]),
    since=st.none(),
    own=st.booleans(),
    year_before=st.booleans(),
    after=st.sampled_from([0, 1, 5]),
) | st.builds(Window, since=st.sampled_from(["month", "year", "start"]), own=st.booleans(), year_before=st.booleans())


def period(grain: Grain, day: dt.date) -> tuple[int, ...]:
    """What the days of a period have in common, and others do not."""
    match grain:
        case Grain.DAY:
            return (day.toordinal(),)
        case Grain.WEEK:
            return tuple(day.isocalendar())[:2]
        case Grain.MONTH:
            return (day.year, day.month)
        case _:
            return (day.year,)


def calendar(grain: Grain) -> dict[dt.date, list[dt.date]]:
    """The days of every period, by its first day, counted day by day."""
    day = dt.date(1961, 12, 31)
    found: dict[tuple[int, ...], list[dt.date]] = {}
    while (day := day + dt.timedelta(days=1)) < dt.date(2038, 1, 1):
        found.setdefault(period(grain, day), []).append(day)
    return {of[0]: of for of in found.values()}


CALENDAR = {grain: calendar(grain) for grain in CUT}


def days_of(grain: Grain, first: dt.date) -> list[dt.date]:
    return CALENDAR[grain][first]


def sharing(of: Grain, some: list[dt.date]) -> list[dt.date]:
    """The periods of a grain that share a day with days that follow each other, by the calendar."""
    near = [some[0] + dt.timedelta(days=back) for back in range(-LONGEST_DAYS[of], 0)] + some
    return [first for first in near if first in CALENDAR[of] and days_of(of, first)[-1] >= some[0]]


def around(day: dt.date, before: int = 400, after: int = 400) -> Iterator[dt.date]:
    return (day + dt.timedelta(days=offset) for offset in range(-before, after + 1))


def keys_in(of: Grain, span: Span) -> list[str]:
    """The span's partitions of the calendar's years: a window may reach back to the year 1."""
    return partitions_in(replace(span, first=max(span.first, holding(of, "1962-01-01"))), of)


def read(grain: Grain, partition: str, of: Grain, window: Window = OWN) -> list[str]:
    return [key for span in reads(grain, partition, of, window) for key in keys_in(of, span)]


@given(grains, days)
@example(Grain.WEEK, dt.date(2024, 12, 31))
@example(Grain.MONTH, dt.date(2024, 2, 29))
def test_a_period_is_its_days(grain: Grain, day: dt.date) -> None:
    first = first_day(grain, day)
    same = days_of(grain, first)
    assert day in same
    assert (first, last_day(grain, first)) == (same[0], same[-1])
    assert following(grain, first) == same[-1] + dt.timedelta(days=1)
    assert len(same) <= LONGEST_DAYS[grain]
    assert [each for each in same if is_partition(grain, each.isoformat())] == [first]


@given(grains, days, st.integers(-30, 30))
def test_periods_follow_each_other(grain: Grain, day: dt.date, number: int) -> None:
    first = first_day(grain, day)
    there = following(grain, first, number)
    assert following(grain, there, -number) == first
    assert is_partition(grain, there.isoformat())
    between = partitions_in(next(iter(reads(grain, max(first, there).isoformat(), grain, Window(before=abs(number))))), grain)
    assert len(between) == abs(number) + 1
    assert between == sorted(between)


@given(grains, st.dates())
@example(Grain.WEEK, dt.date.min)
@example(Grain.YEAR, dt.date.max)
def test_duckdb_says_the_same(grain: Grain, day: dt.date) -> None:
    found = duckdb.sql(f"SELECT ({first_day_sql(grain, f'DATE {day.isoformat()!r}')})::VARCHAR").fetchone()
    assert found == (first_day(grain, day).isoformat(),)


@pytest.mark.parametrize("grain", CUT)
@pytest.mark.parametrize("of", CUT)
@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-31", "9999-12-31", "9999-12-27", "9999-12-01", "2000-02-29"])
@pytest.mark.parametrize(
    "window", [OWN, Window(before=90), Window(since="start", own=False), Window(since="year", year_before=True), Window(after=3)]
)
def test_the_calendars_ends_are_no_errors(grain: Grain, of: Grain, day: str, window: Window) -> None:
    partition = first_day(grain, dt.date.fromisoformat(day)).isoformat()
    own = holding(of, partition)
    found = reads(grain, partition, of, window)
    assert all(span.first <= span.last for span in found)
    assert any(span.first <= own <= span.last for span in found) or not window.own


@pytest.mark.parametrize(
    ("grain", "key", "said"),
    [
        (Grain.DAY, "2025-01-03", True),
        (Grain.DAY, "2025-1-3", False),
        (Grain.DAY, "20250103", False),
        (Grain.DAY, "all", False),
        (Grain.DAY, "2025-02-30", False),
        (Grain.WEEK, "2024-12-30", True),
        (Grain.WEEK, "2025-01-01", False),
        (Grain.MONTH, "2025-02-01", True),
        (Grain.MONTH, "2025-02-02", False),
        (Grain.YEAR, "2025-01-01", True),
        (Grain.YEAR, "2025-02-01", False),
        (Grain.WHOLE, WHOLE, True),
        (Grain.WHOLE, "2025-01-01", False),
    ],
)
def test_keys_are_told_from_other_texts(grain: Grain, key: str, said: bool) -> None:
    assert is_partition(grain, key) is said


@given(grains, grains, days)
def test_without_a_window_what_shares_a_day_is_read(grain: Grain, of: Grain, day: dt.date) -> None:
    partition = first_day(grain, day)
    shared = [first.isoformat() for first in sharing(of, days_of(grain, partition))]
    assert read(grain, partition.isoformat(), of) == shared
    if nests(of, within=grain):
        assert {holding(grain, key) for key in shared} == {partition.isoformat()}
        inside = [each for key in shared for each in days_of(of, dt.date.fromisoformat(key))]
        assert sorted(inside) == days_of(grain, partition)


@given(days, grains)
def test_a_late_day_dirties_the_one_period_that_holds_it(day: dt.date, grain: Grain) -> None:
    periods = {first_day(grain, each).isoformat() for each in around(day)}
    assert [key for key in periods if day.isoformat() in read(grain, key, Grain.DAY)] == [first_day(grain, day).isoformat()]


def counts_to(since: str, grain: Grain, first: dt.date) -> tuple[int, ...]:
    """The month or year that a period is of: of a week, Thursday says it."""
    return period(Grain(since), first + dt.timedelta(days=3 if grain is Grain.WEEK else 0))


def wanted(grain: Grain, partition: dt.date, of: Grain, window: Window) -> list[str]:
    """What a window reads, from its words."""
    own = sharing(of, days_of(grain, partition))
    earlier = [first for first in CALENDAR[of] if first < own[0]]
    if window.since in ("month", "year"):
        named = counts_to(window.since, grain, partition)
        counted = [first for first in CALENDAR[grain] if first <= partition and counts_to(window.since, grain, first) == named]
        looked_back = [first for first in earlier if days_of(of, first)[-1] >= counted[0]]
    else:
        looked_back = earlier if window.since == "start" else earlier[len(earlier) - window.before :]
    later = [first for first in CALENDAR[of] if first > own[-1]]
    found = {*looked_back, *(own if window.own else []), *later[: window.after]}
    if window.year_before:
        found |= set(sharing(of, days_of(grain, year_before(grain, partition))))
    return [first.isoformat() for first in sorted(found)]


@given(grains, grains, days, windows)
@example(Grain.WEEK, Grain.DAY, dt.date(2024, 12, 31), Window(since="year"))
@example(Grain.WEEK, Grain.WEEK, dt.date(2021, 1, 2), Window(since="month"))
@example(Grain.DAY, Grain.MONTH, dt.date(2025, 1, 31), Window(since="year", own=False))
@example(Grain.DAY, Grain.DAY, dt.date(2024, 2, 29), Window(before=89, year_before=True))
@example(Grain.WEEK, Grain.DAY, dt.date(2024, 12, 31), Window(before=1, after=1))
@example(Grain.DAY, Grain.DAY, dt.date(2024, 12, 31), Window(before=1, after=1, own=False, year_before=True))
def test_a_window_reads_what_its_words_say(grain: Grain, of: Grain, day: dt.date, window: Window) -> None:
    partition = first_day(grain, day)
    found = [key for key in read(grain, partition.isoformat(), of, window) if key >= "1962"]
    assert found == wanted(grain, partition, of, window)


@given(grains, days, st.integers(0, 2), st.integers(0, 2))
def test_a_day_is_held_by_the_periods_that_read_it_for_a_day_of_theirs(
    grain: Grain, day: dt.date, before: int, after: int
) -> None:
    window = Window(before=before, after=after, about="there")
    held = held_by(grain, day.isoformat(), window)

    near = {first_day(grain, each).isoformat() for each in around(day, 10, 10)}
    assert held == {key for key in near if day.isoformat() in read(grain, key, Grain.DAY, window)}
    assert held_by(grain, day.isoformat(), Window(before=before, after=after)) == {holding(grain, day.isoformat())}


def test_every_field_of_a_window_is_in_its_version() -> None:
    windows = (Window(before=6), Window(before=6, after=1), Window(before=6, after=1, about="there"))
    assert len({fingerprint(said(window)) for window in windows}) == 3


def test_a_running_total_by_parts_reads_every_day_before_once() -> None:
    for day in around(dt.date(2024, 1, 1), 40, 80):
        parts = [
            (Grain.YEAR, read(Grain.DAY, day.isoformat(), Grain.YEAR, Window(since="start", own=False))),
            (Grain.MONTH, read(Grain.DAY, day.isoformat(), Grain.MONTH, Window(since="year", own=False))),
            (Grain.DAY, read(Grain.DAY, day.isoformat(), Grain.DAY, Window(since="month"))),
        ]
        counted = [
            each for grain, keys in parts for key in keys if key >= "2022" for each in days_of(grain, dt.date.fromisoformat(key))
        ]
        assert counted == list(around(day, (day - dt.date(2022, 1, 1)).days, 0))


def test_spans_are_apart_and_in_order() -> None:
    for grain in CUT:
        for window in (Window(before=400, year_before=True), Window(since="year", year_before=True), Window(1, year_before=True)):
            for of in CUT:
                spans = reads(grain, first_day(grain, dt.date(2024, 12, 31)).isoformat(), of, window)
                assert all(one.last < other.first for one, other in pairwise(spans))


def test_weeks_lie_in_no_month_and_no_year() -> None:
    inside = {(of, grain) for of in Grain for grain in Grain if nests(of, within=grain)}
    assert inside == {(grain, grain) for grain in Grain} | {
        (Grain.DAY, Grain.WEEK),
        (Grain.DAY, Grain.MONTH),
        (Grain.DAY, Grain.YEAR),
        (Grain.MONTH, Grain.YEAR),
        *((of, Grain.WHOLE) for of in CUT),
    }
    assert is_longer(Grain.YEAR, than=Grain.MONTH)
    assert not is_longer(Grain.DAY, than=Grain.DAY)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window(before=6), "its own period, the 6 before it"),
        (Window(since="month"), "its own period, those before it since the start of its month"),
        (Window(since="start", own=False), "all before it"),
        (Window(own=False, year_before=True), "the one a year before"),
        (
            Window(before=1, after=1, about="there"),
            "its own period, the 1 before it, the 1 after it, for the rows that are about it by there",
        ),
    ],
)
def test_a_window_says_in_words_what_is_read(window: Window, said: str) -> None:
    assert window.text == said
