"""The company's model in DuckDB: a connection that knows the company, and the queries of the package.

Belongs here: opening connections, reading SQL files. Does not belong here: what the queries are for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import duckdb

from simulator.company import Company

_SQL = Path(__file__).parent / "sql"

# Half of what a day of two million payments may take; the other half is text on its way to files.
_MEMORY = "1GB"

PAYMENTS_A_QUERY = 500_000
"""Payments that a query over several days may make at a time."""


@cache
def query(name: str) -> str:
    """Read one of the package's SQL files, given its name without `.sql`."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8").rstrip()


def open_model(company: Company, *, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database that knows the company's numbers and the model's macros.

    A query runs on the thread that asks for it, and on no other: several files are made by several threads, each with its own
    cursor. Threads of DuckDB's own would take their work away, and they would spin until it is done.

    Args:
        company: The company.
        spill: Folder that takes what does not fit into memory; DuckDB's own if not given.
    """
    connection = duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY})
    if spill is not None:
        connection.execute("SET temp_directory = ?", [str(spill)])
    set_company(connection, company)
    connection.execute(query("macros"))
    connection.execute("CREATE TABLE landings (day BIGINT, first BIGINT, payments BIGINT, day_us BIGINT)")
    # Filled as days are made: few payments are given back, and the days on which they are may be weeks away.
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
    """Tell a connection the company's numbers. Cursors need it too: variables are the connection's own."""
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
