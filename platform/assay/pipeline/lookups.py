"""Row-exact lookups: which partitions a change in a looked-up relation touches.

Belongs here: hashing, by partition, the rows of a relation that the partition's own keys find. Does not belong here: what follows
from a changed hash (`plan`).

A table that only looks a relation up by key (`lookups` in its contract) depends on the rows it finds, and of those on the
columns it names, and on nothing else: a new customer does not dirty yesterday's payments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb

from assay.contracts import Table
from assay.contracts.rules import literal, quote
from assay.engine.project import Node
from assay.engine.relations import PARTITION, bind
from assay.pipeline.state import State


def bind_lookup(connection: duckdb.DuckDBPyConnection, state: State, node: Node, relation: str) -> None:
    """Bind the whole of a looked-up relation."""
    files, truncates = state.all_files(relation), state.truncate_files(relation)
    bind(connection, relation, state.declared(relation), files, node.query.reads[relation], truncates=truncates)


def hashes(
    connection: duckdb.DuckDBPyConnection, node: Node, relation: str, rows: str, partitions: Collection[str]
) -> dict[str, str]:
    """Hash what a table's rows find in a bound relation.

    Args:
        connection: Where the relation is bound.
        node: The table.
        relation: The looked-up relation.
        rows: A relation of the table's rows with `_partition`.
        partitions: The partitions that are asked for; one that finds nothing has a hash too.
    """
    own = node.table.lookups[relation]
    found = ", ".join(f"found.{quote(name)}" for name in node.query.reads[relation])
    same = " AND ".join(f"asked.{quote(mine)} = found.{quote(theirs)}" for mine, theirs in own.items())
    keys = ", ".join(quote(name) for name in own)
    result = connection.execute(
        f"SELECT {PARTITION}, sum(hash({found}))::HUGEINT::VARCHAR || '/' || count(*) FROM "
        f"(SELECT DISTINCT {PARTITION}, {keys} FROM {rows}) AS asked JOIN {relation} AS found ON {same} GROUP BY 1"
    ).fetchall()
    hashed = {str(partition): str(value) for partition, value in result}
    return {partition: hashed.get(partition, "0/0") for partition in partitions}


def published_hashes(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, relation: str, partitions: Collection[str]
) -> dict[str, str]:
    """Hash what published partitions, and the rows in their quarantine, find in a relation as it is now."""
    index = state.index(node.table.full_name)
    store = state.workspace.store
    objects = [
        (partition, store.path(found.key))
        for partition in partitions
        for found in state.available(node.table.full_name)[partition]
    ]
    objects += [(partition, store.path(key)) for partition in partitions if (key := index[partition].quarantine)]
    bind_lookup(connection, state, node, relation)
    rows = _rows_of(node.table, objects, tuple(node.table.lookups[relation]))
    return hashes(connection, node, relation, rows, partitions)


def _rows_of(table: Table, objects: list[tuple[str, str]], columns: tuple[str, ...]) -> str:
    paths = ", ".join(literal(path) for _, path in objects)
    pairs = ", ".join(f"({literal(path)}, {literal(partition)})" for partition, path in objects)
    types: Mapping[str, str] = table.types
    selected = ", ".join(f"{quote(name)}::{types[name]} AS {quote(name)}" for name in columns)
    return (
        f"(SELECT {selected}, of.partition AS {PARTITION} FROM "
        f"read_parquet([{paths}], filename=true, union_by_name=true, hive_partitioning=false) AS file "
        f"JOIN (VALUES {pairs}) AS of(path, partition) ON file.filename = of.path)"
    )
