"""Row-exact lookups: which partitions are affected by a change in a looked-up relation.

Belongs here: hashing, by partition, the rows of a relation that the partition's own keys match. Does not belong here: the
consequences of a changed hash (`plan`).

A table that only looks up a relation by key (`lookups` in its contract, or the relation of a `Refers`) depends only on the rows
that match, and on the columns it uses of those: a new customer does not dirty yesterday's payments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb

from assay.contracts import WHOLE, Table
from assay.contracts.expectations import ControlTotal, Refers
from assay.contracts.rules import literal, quote
from assay.engine.project import Node
from assay.engine.references import references
from assay.engine.relations import PARTITION, bind
from assay.pipeline.state import State


@dataclass(frozen=True)
class Lookup:
    """What a table looks up in one relation.

    Attributes:
        relation: The relation.
        on: The table's column by the relation's column.
        columns: The columns of the relation that are used.
        by_partition: Whether it is looked up by the partition itself, regardless of its rows.
    """

    relation: str
    on: Mapping[str, str]
    columns: tuple[str, ...]
    by_partition: bool = False


def lookups_of(node: Node) -> dict[str, Lookup]:
    """The lookups of a table and its expectations, by their names in an entry."""
    found = {relation: Lookup(relation, on, node.query.reads[relation]) for relation, on in node.table.lookups.items()}
    for name, each in references(node.table).items():
        if isinstance(each, Refers):
            found[f"{name}: {each.to}"] = Lookup(each.to, each.columns, each.their_columns)
        elif isinstance(each, ControlTotal):
            found[f"{name}: {each.to}"] = Lookup(each.to, each.on, each.their_columns, by_partition=True)
    return found


def contents(state: State, node: Node) -> dict[str, str]:
    """Hash of the entire content of each looked-up relation."""
    return {name: state.content(lookup.relation) for name, lookup in lookups_of(node).items()}


def bind_lookup(connection: duckdb.DuckDBPyConnection, state: State, node: Node, relation: str) -> None:
    """Bind all of a relation that the SQL looks up; its fold is kept if the books count what the fold left out."""
    bind_whole(connection, state, relation, node.query.reads[relation], materialize=relation in node.inputs)


def bind_whole(
    connection: duckdb.DuckDBPyConnection, state: State, relation: str, columns: Collection[str], *, materialize: bool = False
) -> None:
    """Bind all of a relation."""
    files, truncates = state.all_files(relation), state.truncate_files(relation)
    bind(connection, relation, state.declared(relation), files, columns, truncates=truncates, materialize=materialize)


def hashes(
    connection: duckdb.DuckDBPyConnection, node: Node, lookup: Lookup, rows: str, partitions: Collection[str]
) -> dict[str, str]:
    """Hash the rows of a bound relation that a table's rows match.

    Args:
        connection: A connection in which the relation is bound.
        node: The table.
        lookup: The lookup.
        rows: A relation of the table's rows with `_partition`.
        partitions: The requested partitions; one without matches has a hash too.
    """
    found = ", ".join(f"found.{quote(name)}" for name in lookup.columns)
    types = node.table.types
    same = " AND ".join(_same(mine, theirs, types[mine], lookup) for mine, theirs in lookup.on.items()) or "true"
    keys = "".join(f", {quote(name)}" for name in lookup.on)
    asked = _partitions(lookup, types, partitions) if lookup.by_partition else f"SELECT DISTINCT {PARTITION}{keys} FROM {rows}"
    result = connection.execute(
        f"SELECT {PARTITION}, sum(hash({found}))::HUGEINT::VARCHAR || '/' || count(*) FROM "
        f"({asked}) AS asked JOIN {lookup.relation} AS found ON {same} GROUP BY 1"
    ).fetchall()
    hashed = {str(partition): str(value) for partition, value in result}
    return {partition: hashed.get(partition, "0/0") for partition in partitions}


def published_hashes(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, lookup: Lookup, partitions: Collection[str]
) -> dict[str, str]:
    """Hash the current rows of a relation that published partitions, and the rows in their quarantine, match."""
    index = state.index(node.table.full_name)
    store = state.workspace.store
    objects = [
        (partition, store.path(found.key))
        for partition in partitions
        for found in state.available(node.table.full_name)[partition]
    ]
    objects += [(partition, store.path(key)) for partition in partitions if (key := index[partition].quarantine)]
    bind_whole(connection, state, lookup.relation, lookup.columns)
    return hashes(connection, node, lookup, _rows_of(node.table, objects, tuple(lookup.on)), partitions)


def _same(mine: str, theirs: str, kind: str, lookup: Lookup) -> str:
    other = f"found.{quote(theirs)}"
    # A control may have its days as text.
    return f"asked.{quote(mine)} = " + (f"TRY_CAST({other} AS {kind})" if lookup.by_partition else other)


def _partitions(lookup: Lookup, types: Mapping[str, str], partitions: Collection[str]) -> str:
    keys = "".join(f", {PARTITION}::{types[name]} AS {quote(name)}" for name in lookup.on)
    listed = ", ".join(f"({literal(partition)})" for partition in partitions or [WHOLE])
    return f"SELECT {PARTITION}{keys} FROM (VALUES {listed}) AS asked({PARTITION})"


def _rows_of(table: Table, objects: list[tuple[str, str]], columns: tuple[str, ...]) -> str:
    paths = ", ".join(literal(path) for _, path in objects)
    pairs = ", ".join(f"({literal(path)}, {literal(partition)})" for partition, path in objects)
    types: Mapping[str, str] = table.types
    selected = "".join(f"{quote(name)}::{types[name]} AS {quote(name)}, " for name in columns)
    return (
        f"(SELECT {selected}of.partition AS {PARTITION} FROM "
        f"read_parquet([{paths}], filename=true, union_by_name=true, hive_partitioning=false) AS file "
        f"JOIN (VALUES {pairs}) AS of(path, partition) ON file.filename = of.path)"
    )
