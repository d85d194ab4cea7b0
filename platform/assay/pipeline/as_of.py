"""Point-in-time queries: the rows of a history table at one instant.

Belongs here: parsing the instant, and finding the rows that held at it. Does not belong here: computing spans (a table's SQL),
showing rows (`cli`).

The result reflects what the sources have reported by now about that time: a change that landed late counts from when it was made.
A key has no row before its first landed change, and none after its deletion.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.contracts import Domain, Table
from assay.contracts.rules import literal, quote
from assay.errors import ContractError, SettingsError
from assay.pipeline.query import query
from assay.pipeline.state import State

FROM, TO = "valid_from", "valid_to"


@dataclass(frozen=True)
class Snapshot:
    """The rows of a history table that held at an instant.

    Attributes:
        table: The history table.
        at: The instant, UTC.
        sql: The query of the rows, by key.
        rows: Its result.
        known_until: When the newest event behind the table landed; None if it is empty.
    """

    table: Table
    at: dt.datetime
    sql: str
    rows: duckdb.DuckDBPyRelation
    known_until: dt.datetime | None

    @property
    def pii(self) -> dict[str, str]:
        """Kind of personal information, by column that contains any."""
        return {spec.name: spec.pii for spec in self.table.columns if spec.pii is not None}

    def write_parquet(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        """Write the rows as a Parquet file whose metadata describe it and name the personal columns."""
        said = {"table": self.table.full_name, "as_of": self.at.isoformat(), "pii": self.pii}
        connection.execute(
            f"COPY ({self.sql}) TO {literal(str(path))} "
            f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{assay: {literal(json.dumps(said))}}})"
        )


def snapshot(
    connection: duckdb.DuckDBPyConnection, state: State, table: Table, at: dt.datetime, keys: Sequence[str] = ()
) -> Snapshot:
    """Find the rows of a history table that held at an instant.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        table: The table.
        at: The instant.
        keys: Only these keys; all if empty.

    Raises:
        StoreError: The lake cannot be read.
    """
    key = quote(table.key[0])
    instant = f"TIMESTAMPTZ {literal(at.astimezone(dt.UTC).isoformat(sep=' '))}"
    only = f" AND {key} IN ({', '.join(literal(each) for each in keys)})" if keys else ""
    columns = ", ".join(quote(spec.name) for spec in table.columns)
    sql = (
        f"SELECT {columns} FROM {table.full_name} "
        f"WHERE {FROM} <= {instant} AND ({TO} IS NULL OR {TO} > {instant}){only} ORDER BY {key}"
    )
    found = query(connection, state, f"SELECT max(ingestion_timestamp) FROM {table.full_name}").fetchone()
    return Snapshot(table, at, sql, query(connection, state, sql), found[0] if found else None)


def instant(text: str) -> dt.datetime:
    """Parse an instant: a day stands for its end, a time without an offset is UTC.

    Raises:
        SettingsError: It is neither a day nor a time.
    """
    try:
        read = dt.datetime.fromisoformat(text.strip())
        if _is_day(text.strip()):
            read = dt.datetime.combine(read, dt.time.max)
        return read.replace(tzinfo=dt.UTC) if read.tzinfo is None else read.astimezone(dt.UTC)
    # An offset may lead out of the calendar.
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"{text} is neither a day nor a time.", hint="Write 2025-03-31 for the end of that day, or 2025-03-31T12:00:00."
        ) from error


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def find_history(domain: Domain, about: str | None) -> Table:
    """Find the history table that a domain names for a subject; its first one when no subject is given.

    Raises:
        SettingsError: The domain names no such table.
        ContractError: The named table is no history of time spans.
    """
    named = domain.histories
    about = next(iter(named), "") if about is None else about
    if about not in named:
        raise SettingsError(
            f"The domain {domain.name} has no history of {about or 'anything'}.",
            hint=f"It has one of {', '.join(named)}." if named else "Give Domain(histories={'customer': 'enriched.…'}).",
        )
    table = domain.tables.get(named[about])
    if table is None or table.key[1:] != (FROM,) or TO not in table.types:
        raise ContractError(
            f"the domain {domain.name}: its history of {about} is {named[about]}, which is not a table of spans",
            hint=f"name a table with a key of one column and {FROM}, and with {TO}",
        )
    return table
