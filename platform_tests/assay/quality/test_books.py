"""The arithmetic of the books."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.quality.books import PLACES, Books, Healing, Side, from_dict, total

AMOUNTS = st.decimals(-(10**12), 10**12, places=4, allow_nan=False, allow_infinity=False)
SIDES = st.builds(Side, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
COUNTS = st.integers(0, 10**9).map(Decimal)
HEALING = st.builds(Healing, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
BOOKS = st.builds(Books, st.builds(Side, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS), SIDES, HEALING)


def side(*values: object) -> Side:
    return Side(*(Decimal(str(value)) for value in values))


def test_what_came_in_is_published_quarantined_superseded_or_deleted() -> None:
    assert side(10, 4, 3, 2, 1).difference == 0
    assert side(10, 4, 3, 2, 0).difference == 1
    assert side("0.30", "0.10", "0.20", 0, 0).difference == 0


@pytest.mark.parametrize(
    ("rows", "money", "balanced"),
    [
        ((2, 1, 1, 0, 0), ("2.5", "2.5", 0, 0, 0), True),
        ((2, 1, 0, 0, 0), (0, 0, 0, 0, 0), False),
        ((2, 3, 0, 0, 0), (0, 0, 0, 0, 0), False),
        ((2, 2, 0, 0, 0), ("0.01", 0, 0, 0, 0), False),
    ],
)
def test_books_balance_in_rows_and_in_money(rows: tuple[int, ...], money: tuple[object, ...], balanced: bool) -> None:
    books = Books(side(*rows), side(*money))
    assert books.balanced is balanced
    assert books.to_dict()["balanced"] is balanced


def test_two_wrong_partitions_that_cancel_each_other_balance_only_as_a_sum() -> None:
    more, less = Books(side(1, 2, 0, 0, 0)), Books(side(2, 1, 0, 0, 0))
    assert not more.balanced
    assert not less.balanced
    assert total([more, less]).rows == side(3, 3, 0, 0, 0)


@given(st.lists(BOOKS, max_size=5))
def test_a_total_adds_every_place_exactly(books: list[Books]) -> None:
    summed = total(books)
    for place in PLACES:
        assert getattr(summed.rows, place) == sum(getattr(entry.rows, place) for entry in books)
        assert getattr(summed.money, place) == sum(getattr(entry.money, place) for entry in books)


@given(BOOKS)
def test_books_are_read_back_as_they_were_written(books: Books) -> None:
    assert from_dict(books.to_dict()) == books
