"""Binding: creating a view over exactly the right files for each name that SQL reads.

Belongs here: typed relations over raw batches and published partitions, the folds over them, and counting what a fold left out,
for the books. Does not belong here: choosing the files (`pipeline.state`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from assay.contracts import WHOLE, Grain, Source, Table
from assay.contracts.periods import first_day_sql
from assay.contracts.rules import literal, quote
from assay.engine import fold
from assay.engine.fold import HISTORY_COLUMNS
from assay.engine.project import relation_types
from assay.engine.states import ORDINARY, STATE_COLUMNS, Unusual, find_unusual, group_of, states
from assay.lake.rows import Files, typed_rows

PARTITION = "_partition"
"""Column with a row's partition, as text, if one relation holds several partitions."""

_UNFOLDED = ("changes.", "raw.")
"""Prefixes of the relations that hold all events."""


@dataclass(frozen=True)
class Amount:
    """A number of rows, and their money."""

    rows: int = 0
    money: Decimal = Decimal(0)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.rows - other.rows, self.money - other.money)


@dataclass(frozen=True)
class Accounted:
    """What a relation took in and left out, for one partition.

    Attributes:
        received: Rows read.
        superseded: Rows that a newer one replaced.
        deleted: Rows that record that their key is deleted, or has moved to another partition.
        held_back: Rows with an unknown value.
        healed_rows: Rows with values taken from older events.
        healed_columns: The number of such values.
    """

    received: Amount
    superseded: Amount = Amount()
    deleted: Amount = Amount()
    held_back: Amount = Amount()
    healed_rows: int = 0
    healed_columns: int = 0


def create_layers(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas that SQL names, and those in which folds are built and kept."""
    for layer in ("events", "truncates", "folds", "changes", "latest", "history", "raw", "enriched", "marts", "quality"):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")


def bind(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    declared: Source | Table,
    files: Iterable[Files],
    columns: Collection[str],
    *,
    truncates: Iterable[Files] = (),
    by_day: bool = False,
    materialize: bool = False,
    copy: bool = False,
) -> None:
    """Create the view for a relation's name.

    Args:
        connection: The connection.
        relation: The name in SQL, as in `latest.transactions`.
        declared: The source or table behind it.
        files: Exactly the files to read.
        columns: The columns wanted from a fold.
        truncates: The files of events that empty the source.
        by_day: Whether the reader is partitioned, so that each day is folded separately: then a period's days together give what
            daily tables have of them.
        materialize: Keep the fold as a table, so that `account` can count what it left out.
        copy: Copy a source's events into a table once, instead of reading their files in each query: a fold reads them three to
            ten times. This is faster up to a thousand rows, and slower from ten thousand on.
    """
    layer, _, bare = relation.partition(".")
    name = quote(bare)
    if not isinstance(declared, Source):
        connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS {typed_rows(declared, files)}")
        return
    events = f"events.{name}"
    rows = typed_rows(declared, files)
    if copy:
        copied = f"folds.{quote(f'{relation} events')}"
        connection.execute(f"CREATE OR REPLACE TABLE {copied} AS {rows}")
        rows = f"FROM {copied}"
    connection.execute(f"CREATE OR REPLACE VIEW {events} AS {rows}")
    if relation.startswith(_UNFOLDED):
        connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS FROM {events}{_own_changes(declared)}")
        return
    emptied = list(truncates)
    if emptied:
        connection.execute(f"CREATE OR REPLACE VIEW truncates.{name} AS {typed_rows(declared, emptied)}")
    unusual = find_unusual(
        connection, events, f"truncates.{name}" if emptied else None, declared, f"folds.{quote(f'{relation} keys')}"
    )
    wanted = _as_declared((*columns, *declared.key, *_partition_columns(declared), "_op", "_money"), declared)
    query = _fold(layer, events, declared, wanted, unusual, by_day)
    folded = _kept(relation)
    # Dropped, not replaced: there may not be room for both.
    connection.execute(f"DROP TABLE IF EXISTS {folded}")
    if materialize:
        connection.execute(f"CREATE TABLE {folded} AS {query}")
    else:
        folded = f"({query})"
    alive = "_op <> 'd'" if unusual is None else "_op <> 'd' AND _unhealed IS NULL"
    seen = "*" if unusual is None else f"* EXCLUDE ({', '.join(STATE_COLUMNS)})"
    connection.execute(f"CREATE OR REPLACE VIEW {layer}.{name} AS SELECT {seen} FROM {folded} WHERE {alive}")


def bind_all_columns(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    declared: Source | Table,
    files: Iterable[Files],
    truncates: Iterable[Files] = (),
) -> None:
    """Bind a relation with every column it has, for ad-hoc queries."""
    bind(connection, relation, declared, files, tuple(relation_types(declared, "")), truncates=truncates)


def account(
    connection: duckdb.DuckDBPyConnection, relation: str, source: Source, grain: Grain = Grain.DAY
) -> dict[str, Accounted]:
    """Count, by partition of a table of some grain, what a materialized fold (or all changes) received and left out."""
    layer, _, bare = relation.partition(".")
    partition = partition_of(quote(source.partition_column) if source.partition_column else None, grain)
    if layer == "changes":
        return {key: Accounted(received) for key, received in _totals(connection, partition, f"changes.{quote(bare)}").items()}
    received = _totals(connection, partition, f"events.{quote(bare)}")
    is_kept, is_held_back, healed = "true", "false", "0, 0"
    if has_states(connection, relation):
        # A truncate is not a row of the key that it deletes; as the newest state it stands for the event that it replaced.
        is_kept = "true" if layer == "latest" else "_is_told"
        is_held_back = "_unhealed IS NOT NULL"
        healed = "count(*) FILTER (_healed > 0), sum(_healed)"
    amounts = ", ".join(
        f"count(*) FILTER ({rows}), sum(_money) FILTER ({rows})" for rows in (is_kept, f"_op = 'd' AND {is_kept}", is_held_back)
    )
    counted = connection.execute(f"SELECT {partition}, {amounts}, {healed} FROM {_kept(relation)} GROUP BY 1").fetchall()
    folded = {str(key): row for key, *row in counted}
    nothing = (0,) * 8
    accounted = {}
    for key, amount in received.items():
        row = folded.get(key, nothing)
        accounted[key] = Accounted(
            received=amount,
            superseded=amount - _amount(*row[0:2]),
            deleted=_amount(*row[2:4]),
            held_back=_amount(*row[4:6]),
            healed_rows=int(row[6]),
            healed_columns=int(row[7]),
        )
    return accounted


def has_states(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    """Whether a materialized fold has keys with derived states, and therefore `STATE_COLUMNS`."""
    if relation.startswith(_UNFOLDED):
        return False
    found = connection.execute(f"FROM {_kept(relation)} LIMIT 0")
    return any(name == "_unhealed" for name, *_ in found.description or ())


def partition_of(day: str | None, grain: Grain) -> str:
    """Expression for the first day of a row's partition in a table of some grain; its text is the partition key.

    Grouping rows by days is several times as fast as by texts.

    Args:
        day: Expression for the row's day, or None if it has none.
        grain: How the table is partitioned.
    """
    if day is None or grain is Grain.WHOLE:
        return literal(WHOLE)
    return f"({first_day_sql(grain, day)})"


def _partition_columns(source: Source) -> tuple[str, ...]:
    return () if source.partition_column is None else (source.partition_column,)


def _as_declared(columns: Iterable[str], source: Source) -> tuple[str, ...]:
    """Columns spelled as in the contract, without duplicates: SQL is case-insensitive."""
    names = {name.lower(): name for name in relation_types(source, "history")}
    return tuple(dict.fromkeys(names.get(name.lower(), name) for name in columns))


def _own_changes(source: Source) -> str:
    """Condition that leaves out copies of events that are about another day."""
    day = source.partition_column
    return "" if day is None else f" WHERE _about IS NULL OR _about = {quote(day)}"


def _fold(layer: str, events: str, source: Source, columns: tuple[str, ...], unusual: Unusual | None, by_day: bool) -> str:
    if unusual is None:
        return _folded(layer, events, source, source.key, columns)
    plain = tuple(name for name in columns if name not in HISTORY_COLUMNS)
    keys = ", ".join(quote(name) for name in source.key)
    ordinary = _folded(layer, f"(SELECT * FROM {events} ANTI JOIN {unusual.keys} USING ({keys}))", source, source.key, columns)
    added = ", ".join(f"{value}::{STATE_COLUMNS[name]} AS {name}" for name, value in ORDINARY.items())
    worked_out = f"({states(events, unusual, source, plain, by_day)})"
    others = _folded(layer, worked_out, source, group_of(source, by_day), (*columns, *STATE_COLUMNS), of_states=True)
    return f"SELECT *, {added} FROM ({ordinary}) UNION ALL BY NAME ({others})"


def _folded(
    layer: str, events: str, source: Source, group: tuple[str, ...], columns: tuple[str, ...], *, of_states: bool = False
) -> str:
    if layer == "latest":
        return fold.latest(events, group, columns)
    state = [spec.name for spec in source.columns if spec.name in columns]
    return fold.history(events, group, columns, [*state, "_unhealed"] if of_states else state, is_unique=of_states)


def _kept(relation: str) -> str:
    """Name of the table that holds a materialized fold."""
    return f"folds.{quote(relation)}"


def _totals(connection: duckdb.DuckDBPyConnection, partition: str, rows: str) -> dict[str, Amount]:
    found = connection.execute(f"SELECT {partition} AS p, count(*), sum(_money) FROM {rows} GROUP BY ALL").fetchall()
    return {str(key): _amount(count, money) for key, count, money in found}


def _amount(rows: int, money: Decimal | None) -> Amount:
    return Amount(int(rows), money or Decimal(0))
