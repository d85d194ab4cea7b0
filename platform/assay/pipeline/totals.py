"""Totals: what a published table accounts for, compared with the published data of its input tables.

Belongs here: adding up both sides, in one scan each, over all partitions. Does not belong here: recomputing rows (`verify`),
totals from elsewhere (`reconciling`).

The books of a partition hold for the moment at which it was computed; totals check the current content of the lake.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import duckdb

from assay.contracts import Table
from assay.contracts.rules import quote
from assay.engine.project import Node, source_of
from assay.engine.relations import bind, partition_of
from assay.lake.rows import typed_rows
from assay.pipeline.plan import plan
from assay.pipeline.state import State
from assay.quality.accounting import received
from assay.quality.books import Books, Side, from_dict
from assay.quality.tally import measures_of


@dataclass(frozen=True)
class Totals:
    """A published partition compared with its inputs.

    Attributes:
        partition: The partition.
        books: The current content of its inputs, and what it accounts for now.
    """

    partition: str
    books: Books

    @property
    def is_equal(self) -> bool:
        """Whether it accounts for all of its inputs."""
        return not self.books.rows.difference and not self.books.money.difference

    @property
    def explanation(self) -> str:
        """The difference, and what to do."""
        rows, money = self.books.rows.difference, self.books.money.difference
        return f"{int(rows):,} rows and {money} of money of its inputs are not in it; `assay verify` shows why"


def is_of_tables(node: Node) -> bool:
    """Whether a table is computed from tables only, so that its books can be checked against them."""
    return bool(node.inputs) and all(source_of(relation) is None for relation in node.inputs)


def add_up(connection: duckdb.DuckDBPyConnection, state: State, node: Node) -> list[Totals]:
    """Add up the published partitions of a table and the published data of its inputs.

    Partitions that wait to be rebuilt are left out: they were computed from other inputs.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        node: A table that is computed from tables only.

    Raises:
        StoreError: The lake cannot be read.
    """
    current = plan(connection, state, node).unchanged
    if not current:
        return []
    for relation in node.inputs:
        bind(connection, relation, state.declared(relation), state.all_files(relation), node.query.reads[relation])
    came_in = received(connection, state.workspace.project, node, current)
    published = _published(connection, state, node.table)
    index = state.index(node.table.full_name)
    found = []
    for partition in current:
        kept = from_dict(index[partition].books)
        rows, money = published.get(partition, (Decimal(0), Decimal(0)))
        sides = came_in.get(partition, Books())
        found.append(Totals(partition, Books(_with(sides.rows, kept.rows, rows), _with(sides.money, kept.money, money))))
    return found


def _with(received: Side, kept: Side, published: Decimal) -> Side:
    """The current input and published totals, with what was left out when the partition was computed."""
    return Side(received.received, published, kept.quarantined, kept.superseded, kept.deleted)


def _published(connection: duckdb.DuckDBPyConnection, state: State, table: Table) -> dict[str, tuple[Decimal, Decimal]]:
    """Input rows and money that a table accounts for, by partition."""
    measures = measures_of(table)
    rows, money = measures.get("accounted", "1"), measures.get("money", "0")
    partition = partition_of(quote(table.partition_column) if table.partition_column else None, table.grain)
    counted = connection.execute(
        f"SELECT {partition}, sum({rows}), sum({money}) FROM ({typed_rows(table, state.all_files(table.full_name))}) GROUP BY 1"
    ).fetchall()
    return {str(key): (Decimal(count or 0), Decimal(total or 0)) for key, count, total in counted}
