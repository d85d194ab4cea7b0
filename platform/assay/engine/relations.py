"""Binding: the names that SQL reads, made views over exactly the files they stand for.

Belongs here: typed relations over raw batches and published partitions, the folds over them, and what a fold left out, for
the books. Does not belong here: choosing the files (`pipeline.inputs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from assay.contracts import WHOLE, Source, Table
from assay.contracts.rules import literal, quote
from assay.engine import fold
from assay.engine.project import relation_types

PARTITION = "_partition"
"""The partition a row belongs to, as text, wherever one relation holds several."""


@dataclass(frozen=True)
class Files:
    """The files of one relation that have one schema.

    Attributes:
        version: What decided that schema: equal versions have equal schemas.
        paths: As DuckDB opens them.
    """

    version: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Accounted:
    """What a relation took in and left out, for one partition.

    Attributes:
        received: Rows read.
        superseded: Rows that a newer one replaced.
        deleted: Rows that say that their key is gone.
        received_money: Money of each, in the order above.
        superseded_money: See above.
        deleted_money: See above.
    """

    received: int
    superseded: int
    deleted: int
    received_money: Decimal
    superseded_money: Decimal
    deleted_money: Decimal


def create_layers(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas that SQL names, and the one that the folds are kept in."""
    for layer in ("events", "folds", "changes", "latest", "history", "raw", "enriched", "marts"):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")


def bind(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    declared: Source | Table,
    files: Iterable[Files],
    columns: Collection[str],
    *,
    materialize: bool = False,
) -> None:
    """Create the view that a relation's name stands for.

    Args:
        connection: Where.
        relation: The name in SQL, as in `latest.transactions`.
        declared: The source or table behind it.
        files: Exactly the files to read.
        columns: The columns that are wanted of a fold.
        materialize: Keep the fold as a table, so that `account` can count what it left out.
    """
    layer, _, bare = relation.partition(".")
    name = quote(bare)
    if not isinstance(declared, Source):
        connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS {_typed(declared, files)}")
        return
    events = f"events.{name}"
    connection.execute(f"CREATE OR REPLACE VIEW {events} AS {_typed(declared, files)}")
    if layer in ("changes", "raw"):
        connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS FROM {events}")
        return
    wanted = tuple(dict.fromkeys((*columns, *declared.key, *_partition_columns(declared), "_op", "_money")))
    write = {"latest": fold.latest, "history": fold.history}[layer]
    kind = "TABLE" if materialize else "VIEW"
    folded = f"folds.{quote(relation)}"
    for dropped in ("TABLE", "VIEW"):
        _drop(connection, dropped, "folds", relation)
    connection.execute(f"CREATE {kind} {folded} AS {write(events, declared, wanted)}")
    connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS SELECT * FROM {folded} WHERE _op <> 'd'")


def bind_all_columns(
    connection: duckdb.DuckDBPyConnection, relation: str, declared: Source | Table, files: Iterable[Files]
) -> None:
    """Bind a relation with every column it has, for reading by hand."""
    bind(connection, relation, declared, files, tuple(relation_types(declared, "")))


def account(connection: duckdb.DuckDBPyConnection, relation: str, source: Source) -> dict[str, Accounted]:
    """Count, by partition of its source, what a materialized fold (or all changes) took in and left out."""
    layer, _, bare = relation.partition(".")
    partition = partition_text(source.partition_column)
    received = _totals(connection, f"SELECT {partition}, count(*), sum(_money) FROM events.{quote(bare)} GROUP BY 1")
    if layer == "changes":
        return {key: Accounted(rows, 0, 0, money, Decimal(0), Decimal(0)) for key, (rows, money) in received.items()}
    folded = f"folds.{quote(relation)}"
    kept = _totals(connection, f"SELECT {partition}, count(*), sum(_money) FROM {folded} GROUP BY 1")
    deleted = _totals(connection, f"SELECT {partition}, count(*), sum(_money) FROM {folded} WHERE _op = 'd' GROUP BY 1")
    nothing = (0, Decimal(0))
    return {
        key: Accounted(
            received=rows,
            superseded=rows - kept.get(key, nothing)[0],
            deleted=deleted.get(key, nothing)[0],
            received_money=money,
            superseded_money=money - kept.get(key, nothing)[1],
            deleted_money=deleted.get(key, nothing)[1],
        )
        for key, (rows, money) in received.items()
    }


def partition_text(column: str | None) -> str:
    """Expression for the partition key of a row: its date as ISO text, or the one key of what is not cut."""
    return literal(WHOLE) if column is None else f"{quote(column)}::VARCHAR"


def _partition_columns(source: Source) -> tuple[str, ...]:
    return () if source.partition_column is None else (source.partition_column,)


def _typed(declared: Source | Table, files: Iterable[Files]) -> str:
    """Rows of the files, each column of its declared type; no files, no rows."""
    types: Mapping[str, str] = declared.types
    parts = [group for group in files if group.paths]
    if [group.version for group in parts] == [declared.version]:
        return f"SELECT {', '.join(quote(name) for name in types)} FROM {_read(parts[0])}"
    nulls = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in types.items())
    empty = f"SELECT {nulls} WHERE false"
    if not parts:
        return empty
    # Files of an older contract may lack columns or hold them as another type.
    unions = " UNION ALL BY NAME ".join([empty, *(f"SELECT * FROM {_read(group)}" for group in parts)])
    casts = ", ".join(f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in types.items())
    return f"SELECT {casts} FROM ({unions})"


def _read(files: Files) -> str:
    paths = ", ".join(literal(path) for path in files.paths)
    return f"read_parquet([{paths}], hive_partitioning=false)"


def _totals(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, tuple[int, Decimal]]:
    return {str(key): (int(rows), money or Decimal(0)) for key, rows, money in connection.execute(query).fetchall()}


def _drop(connection: duckdb.DuckDBPyConnection, kind: str, schema: str, name: str) -> None:
    found = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ? AND table_type = ?",
        [schema, name, "VIEW" if kind == "VIEW" else "BASE TABLE"],
    ).fetchone()
    if found:
        connection.execute(f"DROP {kind} {schema}.{quote(name)}")
