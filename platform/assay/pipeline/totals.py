"""Totals: what a table accounts for as it is published, held against what is published of the tables that it was made of.

Belongs here: adding up both sides, a scan each, over all partitions. Does not belong here: recomputing rows (`verify`), what
somebody else says of them (`reconciling`).

The books of a partition say this of the moment at which it was made; here it is said of what lies in the lake now.
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
    """A published partition beside what it was made of.

    Attributes:
        partition: The partition.
        books: What its inputs hold now, and what it accounts for now.
    """

    partition: str
    books: Books

    @property
    def is_equal(self) -> bool:
        """Whether it accounts for all of its inputs."""
        return not self.books.rows.difference and not self.books.money.difference

    @property
    def explanation(self) -> str:
        """By how much, and what to do."""
        rows, money = self.books.rows.difference, self.books.money.difference
        return f"{int(rows):,} rows and {money} of money of its inputs are not in it; `assay verify` says why"


def is_of_tables(node: Node) -> bool:
    """Whether a table is made of tables alone, so that what it accounts for can be read from them."""
    return bool(node.inputs) and all(source_of(relation) is None for relation in node.inputs)


def add_up(connection: duckdb.DuckDBPyConnection, state: State, node: Node) -> list[Totals]:
    """Add up the published partitions of a table and what is published of its inputs.

    Those that wait to be rebuilt are left out: they are of other inputs.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        node: A table that is made of tables.

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
    """What came in and what is published now, with what was left out when it was made."""
    return Side(received.received, published, kept.quarantined, kept.superseded, kept.deleted)


def _published(connection: duckdb.DuckDBPyConnection, state: State, table: Table) -> dict[str, tuple[Decimal, Decimal]]:
    """Rows and money of inputs that a table accounts for, by partition."""
    measures = measures_of(table)
    rows, money = measures.get("accounted", "1"), measures.get("money", "0")
    partition = partition_of(quote(table.partition_column) if table.partition_column else None, table.grain)
    counted = connection.execute(
        f"SELECT {partition}, sum({rows}), sum({money}) FROM ({typed_rows(table, state.all_files(table.full_name))}) GROUP BY 1"
    ).fetchall()
    return {str(key): (Decimal(count or 0), Decimal(total or 0)) for key, count, total in counted}
