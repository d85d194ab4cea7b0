"""Staging: computing a table's partitions into one local relation, before they are judged and published.

Belongs here: running a table's SQL for the requested partitions and typing its result. Does not belong here: which files are
read (`relations`), rules (`quality`).
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from assay.contracts import WHOLE, Table
from assay.contracts.dimension import Dimension
from assay.contracts.periods import first_day_sql
from assay.contracts.rules import Rule, literal, quote
from assay.contracts.severity import Severity
from assay.engine.project import Node
from assay.engine.relations import PARTITION

STAGED = "staged"
"""The table with the computed rows."""
REFUSED = "_refused"
"""The column of staged rows that is true, after judging, for those that go to quarantine."""


def stage(connection: duckdb.DuckDBPyConnection, node: Node, partitions: Collection[str]) -> None:
    """Compute partitions of a table into `staged`, with every input already bound.

    Each column is cast to its contract's type. A value that does not fit becomes null in `staged`, and the column's flag
    (`cast_flag`) false, which breaks the rule from `cast_rules`. A row belongs to the partition of the period that contains its
    partition column's day; a rule of the contract requires that to be the period's first day.

    Args:
        connection: The connection with the inputs bound.
        node: The table.
        partitions: Partition keys; rows of any other are left out.

    Raises:
        duckdb.Error: The SQL failed on the data.
    """
    table = node.table
    columns = [f"TRY_CAST({quote(spec.name)} AS {spec.sql_type}) AS {quote(spec.name)}" for spec in table.columns]
    flags = [
        f"(TRY_CAST({quote(name)} AS {kind}) IS NOT NULL OR {quote(name)} IS NULL) AS {quote(cast_flag(name))}"
        for name, kind in node.casts.items()
    ]
    partition = f"{_partition(table)} AS {PARTITION}"
    refused = f"false AS {REFUSED}"
    body = node.query.sql.rstrip().rstrip(";")
    connection.execute(
        f"CREATE OR REPLACE TABLE {STAGED} AS SELECT {', '.join([*columns, *flags, partition, refused])}\n"
        f"FROM (\n{body}\n) AS computed{_only(table, partitions)}\n"
        # Ordered by key, so that each partition is written from one contiguous range of rows.
        f"ORDER BY {PARTITION}, {', '.join(quote(name) for name in table.key)}"
    )


def drop_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop everything a table was computed in, including folds: the next table needs the memory, or DuckDB spills to disk.

    Args:
        connection: A connection on which the computed tables are no longer read.
    """
    kept = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() AND NOT temporary"
    ).fetchall()
    for schema, name in kept:
        connection.execute(f"DROP TABLE {quote(schema)}.{quote(name)}")


def cast_flag(column: str) -> str:
    """Name of the staged column for whether a value fits its type."""
    return f"_fits_{column}"


def cast_rules(node: Node) -> tuple[Rule, ...]:
    """The rules that every value fits its contract type."""
    return tuple(
        Rule(
            name=f"{name}_type",
            predicate=quote(cast_flag(name)),
            severity=Severity.QUARANTINE,
            columns=(name,),
            reason=f"{name} must fit {kind}",
            dimension=Dimension.VALIDITY,
            owner=node.table.owner,
        )
        for name, kind in node.casts.items()
    )


def _only(table: Table, partitions: Collection[str]) -> str:
    if table.partition_column is None or list(partitions) == [WHOLE]:
        return ""
    days = ", ".join(f"DATE {literal(key)}" for key in sorted(partitions))
    return f"\nWHERE {_first_day(table, table.partition_column)} IN ({days})"


def _partition(table: Table) -> str:
    column = table.partition_column
    return literal(WHOLE) if column is None else f"{_first_day(table, column)}::VARCHAR"


def _first_day(table: Table, column: str) -> str:
    # The SQL may return the day as text, and an invalid value in one row must not fail the partition.
    return first_day_sql(table.grain, f"TRY_CAST({quote(column)} AS DATE)")
