"""Semi-joined windows: which partitions are affected by a change in another partition of their window.

Belongs here: the values that come or go with a replaced partition, and the partitions that have none of them. Does not belong
here: what becomes of the others (`plan`).

A table whose window declares a `semi_join` asks of a relation's other partitions only whether they have the values of its own
rows. A late row of a new customer dirties none of the ninety later days that ask who is returning.

The values are known only to the run that replaces a partition, because the earlier version is gone afterwards. Where they
are not known, as after a crash, partitions are computed again: slower, with the same result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb

from assay.contracts import Table
from assay.contracts.periods import OWN
from assay.contracts.rules import literal, quote
from assay.engine.project import Node
from assay.engine.relations import PARTITION
from assay.lake.rows import typed_rows
from assay.pipeline.publish import Candidate
from assay.pipeline.state import Replaced, State, Values
from assay.quality.flagging import PROVEN

MOST_VALUES = 10_000
"""With more values than this, nearly every partition has one of them, and looking for it would cost more than it saves."""
_VALUES = "semi_joined_values"


def replacements(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    candidates: Sequence[Candidate],
    changing: Collection[str],
) -> dict[str, Replaced]:
    """Compare partitions that are about to be published with the versions they replace.

    Args:
        connection: A connection with `proven`.
        state: The lake's state before any of this is published.
        node: The table.
        candidates: Partitions that are about to be published.
        changing: All partitions of the table that this run computes.

    Returns:
        By partition: the values that come or go. Partitions are left out if no unchanged partition of another table looks at
        them, or if there are too many values.
    """
    versions = {
        each.partition: (each.published.content, each.verdict.content)
        for each in candidates
        # An older contract may have had other columns.
        if each.published is not None and each.published.contract == node.table.version
        if each.published.content != each.verdict.content
    }
    found: dict[str, dict[tuple[str, ...], Values]] = {}
    for columns, partition in sorted(_looked_at(state, node.table, versions, changing)):
        values = _changed(connection, state, node.table, partition, columns)
        if len(values) <= MOST_VALUES:
            found.setdefault(partition, {})[columns] = values
    return {partition: Replaced(*versions[partition], values) for partition, values in found.items()}


def pass_over(connection: duckdb.DuckDBPyConnection, state: State, node: Node) -> None:
    """Record that partitions are up to date if all that changed is in partitions beside them and does not concern their rows.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    replaced = _replaced(state, node.table)
    if not replaced:
        return
    index = state.index(node.table.full_name)
    beside: dict[str, str] = {}
    for partition, entry in index.items():
        before = {
            (relation, of): each.before
            for (relation, of), each in replaced.items()
            if of not in state.own(node, relation, partition)
        }
        now = state.inputs_hash(node, partition)
        if entry.code == node.code and entry.inputs != now and entry.inputs == state.inputs_hash(node, partition, before):
            beside[partition] = now
    concerned = _concerned(connection, state, node, replaced, beside) if beside else set()
    passed = {partition: now for partition, now in beside.items() if partition not in concerned}
    state.remember(node.table, {partition: replace(index[partition], inputs=now) for partition, now in passed.items()})


def _looked_at(
    state: State, table: Table, replaced: Collection[str], changing: Collection[str]
) -> set[tuple[tuple[str, ...], str]]:
    """The replaced partitions, with the columns asked for, that partitions of other tables look at whose own rows stay."""
    found = set()
    for node in state.workspace.project.nodes.values():
        window = node.table.windows.get(table.full_name, OWN)
        if not (window.semi_join and replaced):
            continue
        for partition in state.index(node.table.full_name):
            if state.own(node, table.full_name, partition).isdisjoint(changing):
                seen = state.wanted(node, table.full_name, [partition])
                found |= {(window.semi_join, each) for each in seen if each in replaced}
    return found


def _replaced(state: State, table: Table) -> dict[tuple[str, str], Replaced]:
    """What this run has replaced of the relations that a table semi-joins, as long as it is what is there."""
    return {
        (relation, partition): each
        for (relation, partition), each in state.replaced.items()
        if table.windows.get(relation, OWN).semi_join in each.values
        and [found.id for found in state.available(relation).get(partition, ())] == [each.after]
    }


def _changed(connection: duckdb.DuckDBPyConnection, state: State, table: Table, partition: str, columns: Sequence[str]) -> Values:
    """The values that only one of the published and the proven version of a partition has; at most one too many."""
    names = ", ".join(quote(name) for name in columns)
    files = state.files_of(table.full_name, state.available(table.full_name)[partition])
    old = f"SELECT DISTINCT {names} FROM ({typed_rows(table, files)})"
    new = f"SELECT DISTINCT {names} FROM {PROVEN} WHERE {PARTITION} = {literal(partition)} AND NOT _broken"
    return connection.execute(f"(({old}) EXCEPT ({new})) UNION ALL (({new}) EXCEPT ({old})) LIMIT {MOST_VALUES + 1}").fetchall()


def _concerned(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    replaced: Mapping[tuple[str, str], Replaced],
    partitions: Collection[str],
) -> set[str]:
    """The partitions with own rows of values that came or went."""
    found: set[str] = set()
    for relation in {relation for relation, _ in replaced}:
        columns = node.table.windows[relation].semi_join
        values = {value for (of, _), each in replaced.items() if of == relation for value in each.values[columns]}
        own = {partition: state.own(node, relation, partition) for partition in partitions}
        having = _having(connection, state, relation, columns, values, set().union(*own.values())) if values else set()
        found |= {partition for partition, there in own.items() if not there.isdisjoint(having)}
    return found


def _having(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    relation: str,
    columns: Sequence[str],
    values: Collection[tuple[Any, ...]],
    partitions: Collection[str],
) -> set[str]:
    """The partitions of a relation with rows of some values."""
    table = state.workspace.domain.tables[relation]
    typed = ", ".join(f"{quote(name)} {table.types[name]}" for name in columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_VALUES} ({typed})")
    connection.executemany(f"INSERT INTO {_VALUES} VALUES ({', '.join('?' for _ in columns)})", [list(each) for each in values])
    same = " AND ".join(f"own.{quote(name)} IS NOT DISTINCT FROM changed.{quote(name)}" for name in columns)
    files = state.files_of(relation, (found for each in partitions for found in state.available(relation)[each]))
    found = connection.execute(
        f"SELECT DISTINCT {quote(str(table.partition_column))}::VARCHAR FROM ({typed_rows(table, files)}) AS own "
        f"SEMI JOIN {_VALUES} AS changed ON {same}"
    ).fetchall()
    connection.execute(f"DROP TABLE {_VALUES}")
    return {str(partition) for (partition,) in found}
