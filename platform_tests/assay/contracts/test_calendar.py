"""Holidays: the days that rules give, against published dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from assay.contracts import Holidays
from assay.contracts.calendar import Fixed, FromEaster, Nth, On, easter, merged
from assay.errors import ContractError

MONDAY, THURSDAY = 0, 3


@pytest.mark.parametrize(
    "day",
    [
        "1961-04-02",
        "1981-04-19",
        "2000-04-23",
        "2019-04-21",
        "2024-03-31",
        "2025-04-20",
        "2026-04-05",
        "2027-03-28",
        "2038-04-25",
    ],
)
def test_easter(day: str) -> None:
    assert easter(int(day[:4])) == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("rule", "year", "day"),
    [
        (Nth(1, MONDAY, 3), 2025, "2025-01-20"),
        (Nth(5, MONDAY, -1), 2025, "2025-05-26"),
        (Nth(5, MONDAY, -2), 2025, "2025-05-19"),
        (Nth(12, MONDAY, -1), 2025, "2025-12-29"),
        (Nth(11, THURSDAY, 4), 2024, "2024-11-28"),
        (Nth(11, THURSDAY, 4, days_after=4), 2024, "2024-12-02"),
        (FromEaster(-47), 2025, "2025-03-04"),
        (FromEaster(60), 2025, "2025-06-19"),
        (On(("2024-02-10", "2025-01-29")), 2025, "2025-01-29"),
    ],
)
def test_rules(rule: Nth | FromEaster | On, year: int, day: str) -> None:
    assert rule.of(year) == (dt.date.fromisoformat(day),)


@pytest.mark.parametrize(
    ("rule", "years"),
    [
        (Fixed(2, 29), [2024, 2028]),
        (Nth(2, MONDAY, 5), []),
        (Nth(2, THURSDAY, 5), [2024]),
        (Nth(2, THURSDAY, -5, days_after=30), [2024]),
    ],
)
def test_a_day_that_a_year_does_not_have_is_not_another(rule: Fixed | Nth, years: list[int]) -> None:
    assert [year for year in range(2023, 2030) if rule.of(year)] == years


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(2, 30),
        lambda: Fixed(13, 1),
        lambda: Fixed(1, 0),
        lambda: Nth(1, MONDAY, 0),
        lambda: Nth(1, MONDAY, 6),
        lambda: Nth(1, 7, 1),
        lambda: Nth(0, MONDAY, 1),
    ],
)
def test_a_day_that_no_year_has_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ContractError, match=r"^no (year|month) "):
        make()


def test_a_holiday_does_not_exist_before_its_law() -> None:
    assert Fixed(6, 19, since=2021).of(2020) == ()
    assert On(("2024-02-10",)).of(2031) == ()


def test_the_holidays_of_a_stretch_of_days() -> None:
    holidays = Holidays(source="a law", days={"New Year": Fixed(1, 1), "Eve": Fixed(12, 31), "Silly Day": Fixed(1, 1)})
    assert holidays.between(dt.date(2024, 12, 31), dt.date(2025, 1, 1)) == {
        dt.date(2024, 12, 31): "Eve",
        dt.date(2025, 1, 1): "New Year and Silly Day",
    }
    assert holidays.between(dt.date(2025, 1, 2), dt.date(2025, 12, 30)) == {}


def test_regions_together_have_the_holidays_of_each() -> None:
    day = dt.date(2025, 1, 1)
    assert merged([{day: "A"}, {day: "B", dt.date(2025, 1, 2): "C"}, {day: "A"}]) == {day: "A and B", dt.date(2025, 1, 2): "C"}
