"""Comparing a table in PostgreSQL with the lake's version: rows, sums, and a hash per key.

Belongs here: reading both sides in the same form, and counting differences. Does not belong here: finding the lake's files
(`pipeline`), showing the result (`cli`), daily totals against a control (`assay reconcile`, `quality.reconciliation`): those
are about published tables, this is about every captured row while capture is paused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from assay.contracts.rules import literal, quote

if TYPE_CHECKING:
    import psycopg

EXAMPLES = 5
_SEPARATOR = "\x1f"
_NULL = "\x1e"
_SUMMED = ("smallint", "integer", "bigint", "numeric")


@dataclass
class Comparison:
    """The result of comparing one table.

    Attributes:
        table: The table in the database.
        relation: The lake's relation.
        source_rows: Rows in the database.
        lake_rows: Rows in the lake.
        missing: Keys that only the database has.
        extra: Keys that only the lake has.
        different: Keys whose rows differ.
        sums: By numeric column: its sum in the database, and in the lake.
        examples: A few keys that differ.
    """

    table: str
    relation: str
    source_rows: int
    lake_rows: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    sums: dict[str, tuple[str, str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether there is no difference at all."""
        counts = self.missing or self.extra or self.different or self.source_rows != self.lake_rows
        return not counts and all(here == there for here, there in self.sums.values())

    def to_dict(self) -> dict[str, Any]:
        """The comparison as a JSON-like value."""
        return asdict(self) | {"is_same": self.is_same}


def compare(
    connection: duckdb.DuckDBPyConnection,
    database: psycopg.Connection[Any],
    table: str,
    relation: str,
    key: Sequence[str],
    columns: Sequence[str],
) -> Comparison:
    """Compare a table with a relation of its latest rows as Debezium wrote them.

    Args:
        connection: DuckDB, which can read `relation`.
        database: The database.
        table: The table, as in `public.orders`.
        relation: The relation, as in `latest.orders`.
        key: Columns that identify a row.
        columns: Columns to compare; those that the table lacks must be null in the lake.
    """
    types = _types(database, table)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        with database.cursor().copy(f"COPY ({_source_query(table, key, columns, types)}) TO STDOUT (FORMAT csv)") as copy:
            for block in copy:
                file.write(block)
        file.flush()
        return _compare(connection, Path(file.name), table, relation, key, columns, types)


def _compare(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    table: str,
    relation: str,
    key: Sequence[str],
    columns: Sequence[str],
    types: dict[str, str],
) -> Comparison:
    summed = [column for column in columns if types.get(column) in _SUMMED]
    amounts = "".join(f", {quote(column)} DECIMAL(38,6)" for column in summed)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE of_source (key VARCHAR, hash VARCHAR{amounts})")
    connection.execute(f"COPY of_source FROM {literal(str(file))} (FORMAT csv, HEADER false)")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE of_lake AS {_lake_query(relation, key, columns, types, summed)}")
    comparison = Comparison(table, relation, _count(connection, "of_source"), _count(connection, "of_lake"))
    joined = "of_source AS here FULL JOIN of_lake AS there ON here.key = there.key"
    found = connection.execute(
        f"SELECT count(*) FILTER (there.key IS NULL), count(*) FILTER (here.key IS NULL), "
        f"count(*) FILTER (here.hash <> there.hash) FROM {joined}"
    ).fetchone()
    assert found is not None
    comparison.missing, comparison.extra, comparison.different = found
    for column in summed:
        sums = (_one(connection, f"SELECT sum({quote(column)})::VARCHAR FROM {side}") for side in ("of_source", "of_lake"))
        here, there = sums
        comparison.sums[column] = (str(here), str(there))
    examples = connection.execute(
        f"SELECT coalesce(here.key, there.key) FROM {joined} "
        f"WHERE here.hash IS DISTINCT FROM there.hash ORDER BY 1 LIMIT {EXAMPLES}"
    )
    comparison.examples = [str(row[0]) for row in examples.fetchall()]
    connection.execute("DROP TABLE of_source; DROP TABLE of_lake")
    return comparison


def _types(database: psycopg.Connection[Any], table: str) -> dict[str, str]:
    schema, _, name = table.rpartition(".")
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return dict(database.execute(query, (schema or "public", name)).fetchall())


def _source_query(table: str, key: Sequence[str], columns: Sequence[str], types: dict[str, str]) -> str:
    texts = [_source_text(column, types.get(column)) for column in columns]
    keys = [_source_text(column, types.get(column)) for column in key]
    summed = [f"{quote(column)}" for column in columns if types.get(column) in _SUMMED]
    return f"SELECT {', '.join([_joined(keys), f'md5({_joined(texts)})', *summed])} FROM {table}"


def _source_text(column: str, kind: str | None) -> str:
    name = quote(column)
    if kind is None:
        return "NULL::text"
    if kind.startswith("timestamp"):
        # Microseconds since 1970; values without a time zone count as UTC, as in Debezium.
        return f"(extract(epoch FROM {name}) * 1000000)::bigint::text"
    return f"{name}::text"


def _lake_query(relation: str, key: Sequence[str], columns: Sequence[str], types: dict[str, str], summed: Sequence[str]) -> str:
    texts = [_lake_text(column, types.get(column)) for column in columns]
    keys = [_lake_text(column, types.get(column)) for column in key]
    amounts = "".join(f", {quote(column)}::DECIMAL(38,6) AS {quote(column)}" for column in summed)
    return f"SELECT {_joined(keys)} AS key, md5({_joined(texts)}) AS hash{amounts} FROM {relation}"


def _lake_text(column: str, kind: str | None) -> str:
    name = quote(column)
    if kind == "timestamp with time zone":
        return f"epoch_us({name}::VARCHAR::TIMESTAMPTZ)::VARCHAR"
    return f"{name}::VARCHAR"


def _joined(texts: Sequence[str]) -> str:
    return " || ".join(f"coalesce({text}, '{_NULL}') || '{_SEPARATOR}'" for text in texts)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(_one(connection, f"SELECT count(*) FROM {table}"))


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
