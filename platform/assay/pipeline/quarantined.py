"""The current content of quarantine, of both kinds, in one shape.

Belongs here: unreadable records and rows that contracts refused as one relation; counts of them, and single ones.
Does not belong here: changing anything (`replaying`, `editing`, `dropping`), printing (`cli`).

A record's id stays the same as long as it comes from the same line, whatever happens to its table. An edited record is a new one.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.contracts import Source, Table
from assay.contracts.rules import literal, quote
from assay.lake.ledger import Edited
from assay.pipeline.dropping import read_drops
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.state import State
from assay.quality.ages import Standing

QUARANTINED = "quarantined"
"""The table of a table's or source's quarantine; its keys are `k0`, `k1`, …"""
ATTEMPTS = 3
"""How often it is reread while runs replace partitions."""
_COLUMNS = {
    "partition": "VARCHAR",
    "_rules": "VARCHAR[]",
    "_reasons": "VARCHAR[]",
    "_contract": "VARCHAR",
    "_landing_object": "VARCHAR",
    "_landing_row": "BIGINT",
    "_landing_byte": "BIGINT",
    "_sequence": "BIGINT[]",
    "_record": "VARCHAR",
    "_ingested_at": "TIMESTAMPTZ",
}


@dataclass(frozen=True)
class Record:
    """A record in quarantine.

    Attributes:
        id: Its id, unique within its table.
        table: Full name of its table or source.
        partition: The partition; empty for an unreadable record.
        rules: Every rule that it broke.
        reasons: The reasons of those rules.
        contract: Version of the contract that refused it.
        object: Its landing object, if known.
        line: Its line in the object.
        byte: The byte at which it begins in the uncompressed object; known for unreadable text.
        sequence: Its position at the source.
        since: When it landed, UTC.
        record: The original record: its text, or a JSON object of its source's columns.
        dropped: Whether it has been dropped.
    """

    id: str
    table: str
    partition: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    contract: str
    object: str | None
    line: int | None
    byte: int | None
    sequence: tuple[int, ...] | None
    since: dt.datetime | None
    record: str | None
    dropped: bool


def collect(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    declared: Source | Table,
    into: str = QUARANTINED,
    columns: Collection[str] = tuple(_COLUMNS),
) -> int:
    """Create a temporary table of the quarantine of a table or source; returns the number of records.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        declared: The table or source.
        into: The temporary table's name.
        columns: Columns to read, besides `id`, `dropped` and the keys.

    Raises:
        StoreError: The lake cannot be read.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _collect(connection, state, declared, into, columns)
        except duckdb.IOException:
            # A run has replaced a partition's quarantine since the index was read.
            state = State(state.workspace)
    try:
        return _collect(connection, state, declared, into, columns)
    except duckdb.IOException as error:
        raise_if_not_about_data(error)
        raise


def _collect(
    connection: duckdb.DuckDBPyConnection, state: State, declared: Source | Table, into: str, columns: Collection[str]
) -> int:
    query = rows_of(state, declared)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {into}_dropped (id VARCHAR)")
    dropped = sorted({each.id for drop in read_drops(state.workspace.store, declared.full_name) for each in drop.records})
    connection.execute(f"INSERT INTO {into}_dropped SELECT unnest(?::VARCHAR[])", [dropped])
    keys = [f"k{place}" for place in range(len(declared.key))] if isinstance(declared, Table) else []
    own = f"to_json([{', '.join(['_landing_object', '_landing_row::VARCHAR', *keys])}]::VARCHAR[])::VARCHAR"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT *, id IN (FROM {into}_dropped) AS dropped "
        f"FROM (SELECT {', '.join([*columns, *keys])}, left(sha256({own}), 16) AS id FROM ({query}))"
    )
    counted = connection.execute(f"SELECT count(*) FROM {into}").fetchone()
    return int(counted[0]) if counted else 0


def rows_of(state: State, declared: Source | Table) -> str:
    """Write the query of quarantined records, dropped or not; cheaper than `collect` where no ids are needed."""
    return _unreadable(state, declared) if isinstance(declared, Source) else _refused(state, declared)


def _unreadable(state: State, source: Source) -> str:
    ledger = state.ledger(source.name)
    paths = [state.workspace.store.path(key) for key in ledger.quarantines]
    head = _nothing({})
    if not paths:
        return head
    read = f"read_parquet({_texts(paths)}, union_by_name=true, hive_partitioning=false)"
    columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in _COLUMNS.items())
    return f"SELECT {columns} FROM ({head} UNION ALL BY NAME SELECT *, '' AS partition FROM {read}) {_unedited(ledger.edited)}"


def _unedited(edited: Iterable[Edited]) -> str:
    places = ", ".join(f"({literal(each.key)}, {each.row})" for each in edited)
    return f"WHERE (_landing_object, _landing_row) NOT IN ({places})" if places else ""


def _refused(state: State, table: Table) -> str:
    index = state.index(table.full_name)
    store = state.workspace.store
    objects = [(store.path(entry.quarantine), name, entry.published_at) for name, entry in index.items() if entry.quarantine]
    keys = {name: f"k{place}" for place, name in enumerate(table.key)}
    if not objects:
        return _nothing(dict.fromkeys(keys.values(), "VARCHAR"))
    read = f"read_parquet({_texts([path for path, _, _ in objects])}, filename=true, union_by_name=true, hive_partitioning=false)"
    of = ", ".join(f"({literal(path)}, {literal(name)}, TIMESTAMPTZ {literal(at)})" for path, name, at in objects)
    # Quarantine of an older contract may lack columns.
    known = dict.fromkeys(keys, "VARCHAR") | {"ingestion_timestamp": "TIMESTAMPTZ"}
    head = _nothing({**known, "filename": "VARCHAR"}, without=("partition",))
    given = {
        "partition": "of.name",
        "_ingested_at": "coalesce(file._ingested_at, file.ingestion_timestamp, of.published)",
    }
    columns = ", ".join(f"{given.get(name, f'file.{name}')}::{kind} AS {name}" for name, kind in _COLUMNS.items())
    own = "".join(f", file.{quote(name)}::VARCHAR AS {key}" for name, key in keys.items())
    return (
        f"SELECT {columns}{own} FROM ({head} UNION ALL BY NAME SELECT * REPLACE (_record::VARCHAR AS _record) FROM {read}) "
        "AS file "
        f"JOIN (VALUES {of}) AS of(path, name, published) ON file.filename = of.path"
    )


def _nothing(more: dict[str, str], without: Collection[str] = ()) -> str:
    columns = {name: kind for name, kind in _COLUMNS.items() if name not in without} | more
    return f"SELECT {', '.join(f'NULL::{kind} AS {quote(name)}' for name, kind in columns.items())} WHERE false"


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(literal(value) for value in values)}]::VARCHAR[]"


def standing(connection: duckdb.DuckDBPyConnection, state: State, declared: Iterable[Source | Table]) -> list[Standing]:
    """Count the quarantined records of tables and sources, by table, partition, rule and day of landing."""
    found: list[Standing] = []
    for each in declared:
        collect(connection, state, each, columns=("partition", "_rules", "_ingested_at"))
        rows = connection.execute(
            "SELECT partition, rule, count(*), count(*) FILTER (dropped), min(_ingested_at), max(_ingested_at) "
            f"FROM (SELECT *, unnest(_rules) AS rule FROM {QUARANTINED}) GROUP BY 1, 2, _ingested_at::DATE ORDER BY ALL"
        ).fetchall()
        found += [Standing(each.full_name, partition, rule, *counts) for partition, rule, *counts in rows]
    return found


@dataclass(frozen=True)
class Selection:
    """A selection of a table's records; by default all.

    Attributes:
        rule: Records that broke this rule.
        partition: Records of this partition.
        ids: Records with these ids.
        dropped: Include dropped records.
    """

    rule: str | None = None
    partition: str | None = None
    ids: tuple[str, ...] = ()
    dropped: bool = False

    def condition(self) -> str:
        """The selection as a SQL condition."""
        tests = [] if self.dropped else ["NOT dropped"]
        tests += [f"list_contains(_rules, {literal(self.rule)})"] if self.rule else []
        tests += [f"partition = {literal(self.partition)}"] if self.partition else []
        tests += [f"id IN ({', '.join(map(literal, self.ids))})"] if self.ids else []
        return " AND ".join(tests) or "true"


def records(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    declared: Source | Table,
    selection: Selection,
    limit: int | None = None,
) -> list[Record]:
    """Read records in a table's or source's quarantine, oldest first.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        declared: The table or source.
        selection: The selection.
        limit: At most this many.
    """
    collect(connection, state, declared)
    found = connection.execute(
        "SELECT id, partition, _rules, _reasons, _contract, _landing_object, _landing_row, _landing_byte, _sequence, "
        f"_ingested_at, _record, dropped FROM {QUARANTINED} WHERE {selection.condition()} "
        f"ORDER BY _ingested_at, partition, _landing_object, _landing_row, id {'' if limit is None else f'LIMIT {limit}'}"
    ).fetchall()
    return [_record(declared.full_name, row) for row in found]


def _record(table: str, row: Sequence[Any]) -> Record:
    id, partition, rules, reasons, contract, landed, line, byte, sequence, since, record, dropped = row
    position = None if sequence is None else tuple(sequence)
    return Record(
        id, table, partition, tuple(rules), tuple(reasons), contract, landed, line, byte, position, since, record, dropped
    )


def columns_of(record: Record) -> dict[str, str | None] | None:
    """The columns of an event whose row was refused, as text; None for an unreadable record."""
    if record.table.startswith("raw.") or record.record is None:
        return None
    columns: dict[str, Any] = json.loads(record.record, parse_float=str, parse_int=str)
    return {name: as_text(value) for name, value in columns.items()}


def as_text(value: Any) -> str | None:
    """Convert a JSON value to the text from which it is cast."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
