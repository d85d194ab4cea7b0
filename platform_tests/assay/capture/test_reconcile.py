"""Source and lake compared."""

from __future__ import annotations

import duckdb
import pytest

from assay.capture.postgres import Database
from assay.capture.reconcile import compare

COLUMNS = ("id", "amount", "placed", "wall", "profile", "flag", "note", "later")


@pytest.fixture
def lake() -> duckdb.DuckDBPyConnection:
    """Rows as Debezium writes them: text, and microseconds since 1970 for a timestamp without time zone."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute("CREATE SCHEMA latest")
    columns = ", ".join(f"{name} VARCHAR" for name in COLUMNS if name != "wall")
    connection.execute(f"CREATE TABLE latest.orders ({columns}, wall BIGINT)")
    first = "'1', '1.50', '2025-01-02T03:04:05.678901Z', 1735787045678901, '{\"a\": 1}', 'true', NULL, NULL"
    second = "'2', '-0.05', '2025-01-02T03:04:05Z', 0, '[]', 'false', '', NULL"
    connection.execute(f"INSERT INTO latest.orders ({', '.join(COLUMNS)}) VALUES ({first}), ({second})")
    return connection


@pytest.fixture
def filled(database: Database) -> Database:
    import psycopg

    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "CREATE TABLE orders (id text PRIMARY KEY, amount numeric(12,2), placed timestamptz, wall timestamp, profile jsonb, "
            "flag boolean, note text)"
        )
        connection.execute(
            """INSERT INTO orders VALUES
            ('1', 1.5, '2025-01-02 04:04:05.678901+01', '2025-01-02 03:04:05.678901', '{"a":1}', true, NULL),
            ('2', -0.05, '2025-01-02 03:04:05Z', '1970-01-01', '[]', false, '')"""
        )
    return database


def test_every_difference_is_found(filled: Database, lake: duckdb.DuckDBPyConnection) -> None:
    import psycopg

    def found():
        with psycopg.connect(filled.dsn) as connection:
            return compare(lake, connection, "public.orders", "latest.orders", ("id",), COLUMNS)

    same = found()
    assert same.is_same, same
    assert (same.source_rows, same.lake_rows, same.sums) == (2, 2, {"amount": ("1.450000", "1.450000")})
    lake.execute("UPDATE latest.orders SET note = NULL WHERE id = '2'")
    assert not found().is_same
    assert found().different == 1
    lake.execute("UPDATE latest.orders SET note = '', id = '3' WHERE id = '2'")
    assert (found().missing, found().extra) == (1, 1)
    lake.execute("UPDATE latest.orders SET id = '2', later = 'not in the source' WHERE id = '3'")
    assert found().different == 1
    lake.execute("DELETE FROM latest.orders WHERE id = '2'")
    assert found().sums == {"amount": ("1.450000", "1.500000")}
