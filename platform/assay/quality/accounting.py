"""Input rows and money: the left side of the books.

Belongs here: counting a table's inputs by the table's own partitions. Does not belong here: the result (`proof`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

import duckdb

from assay.contracts import Table
from assay.contracts.periods import OWN
from assay.contracts.rules import quote
from assay.engine.project import Node, Project, source_of
from assay.engine.relations import Accounted, Amount, account, partition_of
from assay.quality.books import Books, Healing, Side
from assay.quality.tally import counts_money


def received(
    connection: duckdb.DuckDBPyConnection, project: Project, node: Node, partitions: Collection[str]
) -> dict[str, Books]:
    """Count the rows of a table's bound inputs, by the table's partition.

    Args:
        connection: A connection in which the inputs are bound.
        project: The domain's tables.
        node: The table.
        partitions: The partitions being computed.

    Returns:
        Books with `received`, `superseded` and `deleted` filled in, and `quarantined` with the rows that are held back.
    """
    books: dict[str, Books] = {}
    for relation in node.inputs:
        source = source_of(relation)
        if source is None:
            counted = _of_table(connection, project.nodes[relation].table, node.table)
        else:
            counted = account(connection, relation, project.domain.sources[source], node.table.grain)
        for partition, accounted in counted.items():
            # Windows also bring in rows of other partitions.
            if partition in partitions:
                books[partition] = books.get(partition, Books()) + _books(accounted, counts_money(node.table))
    return books


def _of_table(connection: duckdb.DuckDBPyConnection, read: Table, reader: Table) -> Mapping[str, Accounted]:
    balance = reader.balance
    rows = balance.rows_in(read.full_name) if balance else "count(*)"
    money = (balance.money_of(read.full_name) if balance else None) or (quote(read.money) if read.money else "0")
    partition = partition_of(_day_in(read, reader), reader.grain)
    # Sums of decimals are exact, and sums of narrow ones ten times faster.
    found = connection.execute(
        f"SELECT {partition}, {rows}, sum({money})::DECIMAL(38,4) FROM {read.full_name} GROUP BY 1"
    ).fetchall()
    return {str(partition): Accounted(Amount(int(count), total or Decimal(0))) for partition, count, total in found}


def _day_in(read: Table, reader: Table) -> str | None:
    """Expression for the day that a row of a table is about to its reader, or None where it has none.

    A row that is about a day too far off to be read for it counts on its partition's own day: there it is missing.
    """
    name = reader.partition_in(read.full_name) or read.partition_column
    if name is None:
        return None
    own, window = quote(name), reader.windows.get(read.full_name, OWN)
    if window.about is None:
        return own
    about = quote(window.about)
    return f"CASE WHEN {about} NOT BETWEEN {own} - {window.after} AND {own} + {window.before} THEN {own} ELSE {about} END"


def _books(accounted: Accounted, money: bool) -> Books:
    places = {
        "received": accounted.received,
        "quarantined": accounted.held_back,
        "superseded": accounted.superseded,
        "deleted": accounted.deleted,
    }
    return Books(
        rows=Side(**{place: Decimal(amount.rows) for place, amount in places.items()}),
        money=Side(**{place: amount.money for place, amount in places.items()}) if money else Side(),
        healing=Healing(accounted.healed_rows, accounted.healed_columns, accounted.held_back.rows),
    )
