"""Texts that become values: as they were written, or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assay.contracts.rules import literal
from assay.engine.connection import Limits, connect
from assay.landing.casts import cast

NOON = dt.datetime(2025, 1, 3, 12)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder: Path = tmp_path_factory.mktemp("casts")
    with connect(Limits("1GB", 1, folder)) as connected:
        yield connected


def value(connection: duckdb.DuckDBPyConnection, text: str, kind: str) -> Any:
    ((found,),) = connection.execute(f"SELECT {cast(literal(text), kind)}").fetchall()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, 7) for text in ("7", "7.0", " 7 ", "+7", "0.7e1")],
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("9007199254740993", 2**53 + 1),
        *[
            (text, None)
            for text in ("1.7", "0.5", "-2.5", "15e-1", "0x10", "9223372036854775808", "9007199254740993.5", "seven", "")
        ],
    ],
)
def test_whole_numbers_are_whole(connection: duckdb.DuckDBPyConnection, text: str, expected: int | None) -> None:
    assert value(connection, text, "BIGINT") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.34", "12.34"),
        ("12.3400", "12.34"),
        ("-.5", "-0.50"),
        ("1e2", "100.00"),
        # What computing with doubles leaves.
        ("0.30000000000000004", "0.30"),
        ("19.990000000000002", "19.99"),
        ("100.00000000000014", "100.00"),
        ("8.399999999999999", "8.40"),
        ("1234567890123456.7800000", "1234567890123456.78"),
        ("1.2345678901230000E+10", "12345678901.23"),
        *[(text, None) for text in ("12.345", "-0.001", "1e-3", "1234567890.123", "40000000000.004", "NaN", "1,5")],
        *[(text, None) for text in ("1234567890123456.789", "0.0000000000000000019")],
    ],
)
def test_no_decimal_loses_a_digit(connection: duckdb.DuckDBPyConnection, text: str, expected: str | None) -> None:
    assert value(connection, text, "DECIMAL(18,2)") == (expected and Decimal(expected))


def test_all_digits_of_a_wide_decimal_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    digits = "1234567890123456789012345678.0123456789"
    assert value(connection, digits, "DECIMAL(38,10)") == Decimal(digits)
    assert value(connection, f"{digits}1", "DECIMAL(38,10)") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            (text, NOON.date())
            for text in ("2025-01-03", "2025-1-3", "2025/01/03", "2025-01-03 12:00:00", "2025-01-03T12:00:00Z")
        ],
        ("0001-01-01", dt.date(1, 1, 1)),
        *[
            (text, None)
            for text in ("01-02-03", "25/01/03", "3 1 25", "2025-01-03x", "2025-01-03 25:00", "2025-02-30", "epoch", "tomorrow")
        ],
    ],
)
def test_a_day_has_a_whole_year_and_nothing_after_it_but_a_time(
    connection: duckdb.DuckDBPyConnection, text: str, expected: dt.date | None
) -> None:
    assert value(connection, text, "DATE") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            (text, NOON)
            for text in (
                "2025-01-03 12:00:00",
                "2025-01-03T12:00:00Z",
                "2025-01-03T17:00:00+05:00",
                "2025-01-03 07:00:00-0500",
                "2025-01-03 17:00:00.000+05",
            )
        ],
        *[(text, None) for text in ("01-02-03 12:00:00", "noon")],
    ],
)
def test_an_instant_is_the_same_with_and_without_a_zone(
    connection: duckdb.DuckDBPyConnection, text: str, expected: dt.datetime | None
) -> None:
    assert value(connection, text, "TIMESTAMP") == expected
    assert value(connection, text, "TIMESTAMP WITH TIME ZONE") == (expected and expected.replace(tzinfo=dt.UTC))


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])
@pytest.mark.parametrize("text", ["infinity", "-infinity"])
def test_all_time_has_ends(connection: duckdb.DuckDBPyConnection, text: str, kind: str) -> None:
    ((is_finite,),) = connection.execute(f"SELECT isfinite({cast(literal(text), kind)})").fetchall()
    assert is_finite is False


def test_text_is_taken_as_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    assert value(connection, " 01-02-03 ", "VARCHAR") == " 01-02-03 "
