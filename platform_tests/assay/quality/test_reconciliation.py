"""Reconciliation: figures of both sides compared, and the newest result of a day is the one that counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from audited_shop import LEDGER, ROLLS
from hypothesis import given
from hypothesis import strategies as st

from assay.quality.reconciliation import Compared, DayResult, Match, compare, latest, merge

DAY = dt.date(2025, 1, 3)
AT = dt.datetime(2025, 1, 10, tzinfo=dt.UTC)


def totals(day: dt.date = DAY, *keys: str, rows: str, amount: str) -> dict:  # type: ignore[type-arg]
    return {(day, keys): {"row_count": Decimal(rows), "amount": Decimal(amount)}}


def matches(lake: dict, said: dict, *, refused: dict | None = None, complete: dt.date = DAY, control=ROLLS) -> list[str]:  # type: ignore[no-untyped-def, type-arg]
    return [str(each.match) for each in compare(control, [DAY], lake, refused or {}, said, complete)[DAY]]


@pytest.mark.parametrize(
    ("here", "there", "found"),
    [
        (("2", "10.00"), ("2", "10"), ["same", "same"]),
        (("2", "10.00"), ("3", "10.00"), ["different", "same"]),
        (("2", "10.00"), ("2", "10.05"), ["same", "different"]),
        (("2", "0.00001"), ("2", "0"), ["same", "same"]),
        (("2", "10.00"), None, ["only_in_lake", "only_in_lake"]),
        (None, ("2", "10.00"), ["only_in_control", "only_in_control"]),
        (None, ("0", "0"), ["same", "same"]),
        (None, None, ["same", "same"]),
    ],
)
def test_both_sides(here: tuple[str, str] | None, there: tuple[str, str] | None, found: list[str]) -> None:
    lake = totals(rows=here[0], amount=here[1]) if here else {}
    said = totals(rows=there[0], amount=there[1]) if there else {}
    assert matches(lake, said) == found


def test_what_is_tolerated_is_said_to_be() -> None:
    lake, said = totals(DAY, "gold", rows="2", amount="10.05"), totals(DAY, "gold", rows="2", amount="10.00")
    assert matches(lake, said, control=LEDGER) == ["same", "tolerated"]
    assert matches(lake, totals(DAY, "gold", rows="2", amount="9.99"), control=LEDGER) == ["same", "different"]


@pytest.mark.parametrize(
    ("here", "aside", "there", "found"),
    [
        (("2", "10.00"), ("1", "5.00"), ("3", "15.00"), ["quarantined", "quarantined"]),
        (None, ("1", "5.00"), ("1", "5.00"), ["quarantined", "quarantined"]),
        # An amount that could not be read is no money here.
        (("2", "10.00"), ("1", "0"), ("3", "10.00"), ["quarantined", "same"]),
        (("2", "10.00"), ("1", "0"), ("3", "15.00"), ["quarantined", "different"]),
        # What the control does not count needs no explanation.
        (("2", "10.00"), ("1", "5.00"), ("2", "10.00"), ["same", "same"]),
        (None, ("1", "-5.00"), ("1", "-5.00"), ["quarantined", "quarantined"]),
        (("2", "10.00"), ("1", "5.00"), ("4", "20.00"), ["different", "different"]),
        (("2", "10.00"), ("1", "5.00"), None, ["only_in_lake", "only_in_lake"]),
        (None, ("1", "5.00"), None, ["same", "same"]),
    ],
)
def test_what_is_in_quarantine_explains_what_is_missing(
    here: tuple[str, str] | None, aside: tuple[str, str], there: tuple[str, str] | None, found: list[str]
) -> None:
    lake, refused, said = (totals(rows=side[0], amount=side[1]) if side else {} for side in (here, aside, there))
    assert matches(lake, said, refused=refused) == found


def test_what_is_tolerated_is_so_with_quarantine_too() -> None:
    lake, refused = totals(DAY, "gold", rows="2", amount="10.00"), totals(DAY, "gold", rows="1", amount="5.00")
    assert matches(lake, totals(DAY, "gold", rows="3", amount="15.04"), refused=refused, control=LEDGER) == ["quarantined"] * 2
    assert matches(lake, totals(DAY, "gold", rows="3", amount="15.06"), refused=refused, control=LEDGER)[1] == "different"


def test_what_is_in_quarantine_is_not_wrong_and_not_settled() -> None:
    assert [(match.is_wrong, match.is_settled) for match in (Match.QUARANTINED, Match.SAME, Match.OPEN, Match.DIFFERENT)] == [
        (False, False),
        (False, True),
        (False, False),
        (True, False),
    ]


def test_a_day_that_is_not_complete_is_open_whatever_it_has() -> None:
    before = DAY - dt.timedelta(days=1)
    assert matches(totals(rows="2", amount="1"), {}, complete=before) == ["open", "open"]
    assert matches({}, {}, complete=before) == ["open", "open"]


def test_keys_are_compared_one_by_one() -> None:
    lake = totals(DAY, "gold", rows="1", amount="5") | totals(DAY, "basic", rows="1", amount="5")
    said = totals(DAY, "gold", rows="2", amount="10")
    found = compare(LEDGER, [DAY], lake, {}, said, DAY)[DAY]
    assert [(each.key, str(each.match), each.difference) for each in found if each.measure == "amount"] == [
        ('{"customer_level": "basic"}', "only_in_lake", Decimal(5)),
        ('{"customer_level": "gold"}', "different", Decimal(-5)),
    ]


def test_days_that_nobody_asked_for_are_left_out() -> None:
    assert list(compare(ROLLS, [DAY], totals(dt.date(2025, 1, 4), rows="1", amount="1"), {}, {}, DAY)) == [DAY]


def result(minute: int, figure: int, day: int = 0, match: Match = Match.DIFFERENT) -> DayResult:
    at = AT + dt.timedelta(minutes=minute)
    on = DAY + dt.timedelta(days=day)
    compared = Compared(on, None, "row_count", Decimal(figure), Decimal(1), Decimal(0), match)
    return DayResult(on, (compared,), "file", at, at, f"run {minute}")


def test_a_result_that_says_the_same_moves_its_time_on() -> None:
    (joined,) = merge([result(1, 5)], [result(2, 5)])
    assert (joined.found_at, joined.reconciled_at, joined.run_id) == (result(1, 5).found_at, result(2, 5).found_at, "run 2")


def test_a_restatement_counts_and_what_was_found_before_is_kept() -> None:
    results = merge(merge([result(1, 5)], [result(2, 1, match=Match.SAME)]), [result(3, 1, match=Match.SAME)])
    assert [each.figures[0].in_lake for each in results] == [5, 1]
    assert [each.is_wrong for each in latest(results)] == [False]


FOUND = st.builds(result, st.integers(0, 6), st.integers(0, 2), st.integers(0, 1))


@given(st.lists(FOUND, max_size=8), st.randoms(use_true_random=False))
def test_in_any_order_and_however_often_the_newest_counts_and_nothing_is_lost(found: list[DayResult], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = [*found, *random.sample(found, len(found) // 2)]
    random.shuffle(shuffled)
    one_by_one: list[DayResult] = []
    for each in shuffled:
        one_by_one = merge(one_by_one, [each])
    for day in {each.day for each in found}:
        newest = max((each for each in found if each.day == day), key=lambda each: each.order)
        (counting,) = (each for each in latest(one_by_one) if each.day == day)
        assert (counting.figures, counting.reconciled_at) == (newest.figures, newest.reconciled_at)
    assert {each.figures for each in one_by_one} == {each.figures for each in found}
    assert merge(one_by_one, one_by_one) == one_by_one


def test_who_said_it_is_a_part_of_what_was_found() -> None:
    assert len(merge([result(1, 5)], [replace(result(2, 5), asked="mysql")])) == 2
