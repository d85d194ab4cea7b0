"""Texts that become values: as they were written, or not at all."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assay.contracts.rules import literal
from assay.engine.connection import Limits, connect
from assay.landing.batches.casts import cast

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
            for text in ("1.7", "0.5", "-2.5", "15e-1", "0x10", "9223372036854775808", "9007199254740993.5", "seven", "", "1_000")
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
        *[(text, None) for text in ("12.345", "-0.001", "1e-3", "1234567890.123", "40000000000.004", "NaN", "1,5", "1_0.5")],
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


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("-1e3", -1000.0),
        *[(text, math.inf) for text in ("inf", "Infinity", "+infinity")],
        *[(text, None) for text in ("1e400", "-1e400", "1_0", "_", "")],
    ],
)
def test_only_what_says_so_is_infinite(
    connection: duckdb.DuckDBPyConnection, text: str, expected: float | None, kind: str
) -> None:
    assert value(connection, text, kind) == expected


def test_a_number_that_is_too_large_for_its_type_is_none(connection: duckdb.DuckDBPyConnection) -> None:
    assert value(connection, "1e39", "FLOAT") is None
    assert value(connection, "1e39", "DOUBLE") == 1e39


def test_no_number_is_one_too(connection: duckdb.DuckDBPyConnection) -> None:
    assert math.isnan(value(connection, "NaN", "DOUBLE"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, dt.time(12, 30)) for text in ("12:30", "12:30:00", " 12:30:00 ", "12:30:00.000", "12:30:00.0000000")],
        *[(text, dt.time(12, 30)) for text in ("12:30:00Z", "12:30:00+00:00", "12:30:00-00", "12:30:00 +0000")],
        ("12:30:00.9999999", dt.time(12, 30, 0, 999999)),
        *[
            (text, None)
            for text in (
                "12:30:00+02:00",
                "12:30:00.5-05",
                "01:30:00 PM",
                "12:30:00 Europe/Berlin",
                "2025-01-03 12:30:00",
                "noon",
            )
        ],
    ],
)
def test_a_time_is_of_no_other_zone_and_of_no_day(
    connection: duckdb.DuckDBPyConnection, text: str, expected: dt.time | None
) -> None:
    assert value(connection, text, "TIME") == expected


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])
@pytest.mark.parametrize("second", ["1969-12-31 23:59:59", "2025-01-03 12:00:00"])
@pytest.mark.parametrize("rest", ["9999999", "999999000", "999999999"])
def test_an_instant_is_of_microseconds(connection: duckdb.DuckDBPyConnection, second: str, rest: str, kind: str) -> None:
    """As Debezium's nanoseconds are: no instant becomes a later one, before 1970 either."""
    expected = dt.datetime.fromisoformat(f"{second}.999999")
    assert value(connection, f"{second}.{rest}", kind).replace(tzinfo=None) == expected


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])
@pytest.mark.parametrize("text", ["infinity", "-infinity"])
def test_all_time_has_ends(connection: duckdb.DuckDBPyConnection, text: str, kind: str) -> None:
    ((is_finite,),) = connection.execute(f"SELECT isfinite({cast(literal(text), kind)})").fetchall()
    assert is_finite is False


def test_text_is_taken_as_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    assert value(connection, " 01-02-03 ", "VARCHAR") == " 01-02-03 "
