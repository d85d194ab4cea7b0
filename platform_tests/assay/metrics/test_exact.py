"""Exact arithmetic: quotients are what integers say, at any size, on both sides of where DuckDB is asked for less."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.metrics.exact import MONEY_PLACES, SHARE_PLACES, divide

MOST = 10**24
TYPES = {"BIGINT": 0, "DECIMAL(38,2)": 2, "DECIMAL(38,4)": 4, "DECIMAL(38,6)": 6}
# Where one way of dividing ends and the other begins, and what is next to it.
EDGES = [4 * 10**8, 45 * 10**9, 10**12, 10**14, 10**16]
NEAR_EDGES = st.builds(lambda edge, step: edge + step, st.sampled_from(EDGES), st.integers(-2, 2))


def numbers(scale: int, least: int) -> st.SearchStrategy[int]:
    """Numbers in units of their last decimal."""
    most = MOST if scale else 10**9
    small = st.integers(max(least, -1000), 1000)
    return st.one_of(small, st.integers(max(least, -most), most), NEAR_EDGES.filter(lambda number: number <= most))


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def written(number: int, scale: int) -> str:
    """A number in units of its last decimal, as SQL has it."""
    return f"{Decimal(number).scaleb(-scale):f}"


def quotient(above: int, below: int, places: int) -> Fraction | None:
    """Rounded once, half away from zero."""
    if below == 0:
        return None
    rounded = int(Fraction(abs(above), below) * 10**places + Fraction(1, 2))
    return Fraction(rounded if above >= 0 else -rounded, 10**places)


@pytest.mark.parametrize("places", [MONEY_PLACES, SHARE_PLACES])
@pytest.mark.parametrize("above_type", TYPES)
@pytest.mark.parametrize("below_type", TYPES)
def test_a_quotient_is_exact_whatever_its_size(
    connection: duckdb.DuckDBPyConnection, above_type: str, below_type: str, places: int
) -> None:
    above_scale, below_scale = TYPES[above_type], TYPES[below_type]
    said = divide("above", above_type, "below", below_type, places, signed=True)

    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(st.tuples(numbers(above_scale, -MOST), numbers(below_scale, 0)), min_size=1, max_size=20))
    def holds(rows: list[tuple[int, int]]) -> None:
        values = ", ".join(
            f"({place}, {written(above, above_scale)}::{above_type}, {written(below, below_scale)}::{below_type})"
            for place, (above, below) in enumerate(rows)
        )
        found = connection.execute(f"SELECT {said} FROM (VALUES {values}) AS rows(place, above, below) ORDER BY place").fetchall()
        assert [None if value is None else Fraction(value) for (value,) in found] == [
            quotient(above * 10**below_scale, below * 10**above_scale, places) for above, below in rows
        ]

    holds()


def test_nothing_divides_to_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    said = divide("above", "DECIMAL(38,2)", "below", "DECIMAL(38,2)", SHARE_PLACES)
    rows = "(VALUES (1.00, 0.00), (NULL, 1.00), (1.00, NULL)) AS rows(above, below)"
    assert connection.execute(f"SELECT {said} FROM {rows}").fetchall() == [(None,)] * 3
