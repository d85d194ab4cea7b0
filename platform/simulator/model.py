"""The company's model in DuckDB: a connection with the company's numbers, and the queries of the package.

Belongs here: opening connections, reading SQL files. Does not belong here: the purpose of the queries.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import duckdb

from simulator.company import Company

_SQL = Path(__file__).parent / "sql"

# Half the memory that a day of two million payments may take; the other half is text on its way to files.
_MEMORY = "1GB"

PAYMENTS_A_QUERY = 500_000
"""Payments that a query over several days may generate at a time."""


@cache
def query(name: str) -> str:
    """Read one of the package's SQL files, given its name without `.sql`."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8").rstrip()


def open_model(company: Company, *, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with the company's numbers and the model's macros.

    A query runs only on the thread that executes it: several files are written by several threads, each with its own cursor.
    Threads of DuckDB's own would take work away from them, and they would spin until it is done.

    Args:
        company: The company.
        spill: Folder for data that do not fit into memory; DuckDB's own if not given.
    """
    connection = duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY})
    if spill is not None:
        connection.execute("SET temp_directory = ?", [str(spill)])
    set_company(connection, company)
    connection.execute(query("macros"))
    connection.execute("CREATE TABLE landings (day BIGINT, first BIGINT, payments BIGINT, day_us BIGINT)")
    # Filled as days are generated: few payments are given back, and the days on which that happens may be weeks away.
    connection.execute(
        "CREATE TABLE returned (day BIGINT, no BIGINT, created_us BIGINT, fate INTEGER, captured_us BIGINT, final_us BIGINT)"
    )
    connection.execute("CREATE TABLE returned_days (day BIGINT)")
    first = 1
    landings = []
    for day in range(company.days):
        landings.append([day, first, company.payments(day), company.start_us(day)])
        first += company.payments(day)
    connection.executemany("INSERT INTO landings VALUES (?, ?, ?, ?)", landings)
    return connection


def set_company(connection: duckdb.DuckDBPyConnection, company: Company) -> None:
    """Set the company's numbers on a connection. Cursors need it too, because variables belong to a connection."""
    numbers = {
        "seed": company.seed,
        "days": company.days,
        "start_day": company.start_day,
        "first_customers": company.first_customers,
        "new_customers": company.new_customers,
        "deleted_customers": company.deleted_customers,
        "first_merchants": company.first_merchants,
        "new_merchants": company.new_merchants,
        "sca_us": company.start_us(company.sca_day),
    }
    for name, number in numbers.items():
        connection.execute(f"SET VARIABLE {name} = {number}::BIGINT")
    set_wrapping(connection, "", "")


def set_wrapping(connection: duckdb.DuckDBPyConnection, prefix: str, suffix: str) -> None:
    """Set the text around each change event."""
    connection.execute("SET VARIABLE line_prefix = ?", [prefix])
    connection.execute("SET VARIABLE line_suffix = ?", [suffix])
