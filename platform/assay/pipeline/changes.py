"""Changes of metrics: values reported earlier, and the late or corrected rows that changed them.

Belongs here: reading restatements, and finding the rows behind one. Does not belong here: recording restatements (`restating`),
computing earlier states of those rows (`behind`) or of the relations they are joined with (`corrections`).

The rows behind a value are computed from the events ingested when it was reported, and again from those at its restatement. Of
the rows that differ in what the metric counts, those with newly ingested events are listed; of those that differ because of a
joined row, the joined row is. Rows that make no difference are not listed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.contracts import periods
from assay.contracts.rules import literal, quote
from assay.metrics.compiler import hour_of, key_of
from assay.metrics.declarations import NEAR, Fact
from assay.metrics.grains import Grain, first_day
from assay.metrics.lattice import Lattice, Mart
from assay.metrics.marts import lattice_of
from assay.metrics.parts import columns_in
from assay.metrics.resolving import Resolved
from assay.metrics.trends import periods_seen
from assay.pipeline.behind import Behind, Chain, chain_of, find_behind, restricting
from assay.pipeline.corrections import by_column, changed_list, find_corrections
from assay.pipeline.events_behind import name_by_events, newest
from assay.pipeline.known import Between, looking_back
from assay.pipeline.query import sql_errors
from assay.pipeline.restatement_objects import restatement_rows
from assay.pipeline.state import State

ROWS_NAMED = 1000
"""Limit on the rows listed per change: for each fact, current rows and removed rows, and for each joined relation, its rows."""
_DIFFERING = "differing"
"""The table of the rows of a fact that differ in a cell's count."""
_AWAY = "moved or refused"
"""The fate of a row that left the requested periods without being deleted."""


@dataclass(frozen=True)
class Change:
    """One cell that was reported as complete and later changed.

    Attributes:
        table: The mart.
        partition: The period: its first day.
        key: The entity; empty for the whole company.
        metric: The metric.
        before: The value first reported, as text.
        after: The value reported since, as text.
        reported_at: When the first value was published.
        restated_at: When the second value was published.
        seen_until: When the newest event behind the first value had landed.
        run_id: The run that restated it.
    """

    table: str
    partition: dt.date
    key: Mapping[str, str]
    metric: str
    before: str | None
    after: str | None
    reported_at: dt.datetime
    restated_at: dt.datetime
    seen_until: dt.datetime | None
    run_id: str


def history(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    metric: str,
    table: str | None = None,
    key: Mapping[str, str] | None = None,
) -> list[Change]:
    """Every change of a metric, oldest first.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        metric: The metric.
        table: Only in this mart.
        key: Only for the entity with these values in the mart's key.
    """
    lattice_of(state.workspace.domain).catalog.find(metric)
    tables = [each for name, each in state.workspace.domain.tables.items() if metric in each.types and name == (table or name)]
    tests = [f"metric = {literal(metric)}"]
    tests += [f"json_extract_string(key, {literal(name)}) = {literal(value)}" for name, value in (key or {}).items()]
    with sql_errors():
        rows = connection.execute(
            'SELECT table_name, "partition", key, metric, before, after, reported_at, restated_at, seen_until, run_id '
            f"FROM ({restatement_rows(state, tables)}) WHERE {' AND '.join(tests)} "
            'ORDER BY restated_at, table_name, "partition", key'
        ).fetchall()
    return [Change(table, partition, json.loads(key), *rest) for table, partition, key, *rest in rows]


def changed_rows(connection: duckdb.DuckDBPyConnection, state: State, changes: Sequence[Change]) -> list[list[dict[str, Any]]]:
    """The rows behind changed cells of a metric.

    For each fact that the metric counts, these are: late and corrected rows in their new state; removed rows, by key and with
    their fate; corrected joined rows, by the key of their source and with the old and new values of changed columns.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        changes: The cells. Simultaneous changes of one period are handled together if they are consecutive.

    Returns:
        The rows behind each change.

    Raises:
        SqlError: The SQL of today fails on what was known.
        StoreError: The lake cannot be read, or there is no room to compute.
    """
    found: list[list[dict[str, Any]]] = []
    with sql_errors(), looking_back(connection, state) as kept:
        for _, group in itertools.groupby(changes, key=lambda each: (each.metric, each.table, each.partition, each.restated_at)):
            cells = list(group)
            time = Between(connection, state, cells[0].reported_at, cells[0].restated_at, kept)
            by_fact = zip(*_by_fact(time, cells), strict=True)
            found += [[row for rows in each for row in rows] for each in by_fact]
    return found


def _by_fact(time: Between, cells: Sequence[Change]) -> Iterator[list[list[dict[str, Any]]]]:
    """The rows behind each cell, for each fact."""
    lattice = lattice_of(time.now.workspace.domain)
    metric = lattice.catalog.find(cells[0].metric)
    mart = next(each for each in lattice.marts if cells[0].table in (each.full_name, each.trend_name))
    seen = periods_seen(metric, mart.grain, cells[0].partition)
    for name in metric.facts:
        counted = _Counted.of(lattice, metric, mart, lattice.catalog.facts[name], seen)
        chain = chain_of(time.now.workspace.project, counted.fact.table)
        corrections = list(find_corrections(time, chain.joined, chain.columns(counted.columns)))
        asked = [day for day in time.now.index(counted.fact.table) if counted.is_seen(day)]
        behind = find_behind(time, chain, asked, counted.columns, corrections)
        yield [_rows_behind(time, chain, counted, behind, cell) for cell in cells] if behind else [[] for _ in cells]


@dataclass(frozen=True)
class _Counted:
    """The part of a fact that a metric counts in a period of a mart.

    Attributes:
        fact: The fact.
        mart: The mart.
        used: The counted columns.
        counts: What each row adds to a part of the metric.
        columns: The counted columns, and those that determine a row's entity and time.
        seen: The requested periods.
    """

    fact: Fact
    mart: Mart
    used: Sequence[str]
    counts: Sequence[str]
    columns: Sequence[str]
    seen: Sequence[periods.Span]

    @classmethod
    def of(cls, lattice: Lattice, metric: Resolved, mart: Mart, fact: Fact, seen: Sequence[periods.Span]) -> _Counted:
        types = lattice.catalog.tables[fact.table].types
        parts = [part for part in (lattice.catalog.parts[each] for each in metric.parts) if part.fact == fact.name]
        used = columns_in(" ".join(f"{part.of} {part.where}" for part in parts), types)
        about = [fact.keys[mart.entity.name]] if mart.entity.keys else []
        about += [fact.at] if mart.grain is Grain.HOUR else []
        columns = columns_in(" ".join((fact.day, *used, *about)), types)
        counts = [f"CASE WHEN {part.where or 'true'} THEN {part.of or '1'} END" for part in parts]
        return cls(fact, mart, used, counts, columns, seen)

    def is_seen(self, day: str) -> bool:
        """Whether rows of a UTC day may be in the periods; local days are up to a day off."""
        cut = periods.Grain.DAY if self.mart.grain is Grain.HOUR else periods.Grain(self.mart.grain)
        near = NEAR if self.mart.calendar is not None else 0
        days = (dt.date.fromisoformat(day) + dt.timedelta(days=each) for each in range(-near, near + 1))
        first_days = {periods.first_day(cut, each).isoformat() for each in days}
        return any(span.first <= first <= span.last for span in self.seen for first in first_days)

    def about(self, change: Change) -> str:
        """Condition for rows of the entity and period of a change."""
        first = first_day(self.mart.grain, quote(self.fact.day))
        spans = (f"{first} BETWEEN DATE {literal(span.first)} AND DATE {literal(span.last)}" for span in self.seen)
        tests = [f"({' OR '.join(spans)})"]
        tests += [f"{key_of(self.mart.entity, self.fact)} = {literal(change.key[name])}" for name in self.mart.entity.keys]
        tests += [f"{hour_of(self.fact)} = {int(change.key['hour'])}"] if self.mart.grain is Grain.HOUR else []
        return " AND ".join(tests)


def _rows_behind(time: Between, chain: Chain, counted: _Counted, behind: Behind, change: Change) -> list[dict[str, Any]]:
    key, about = chain.table.key, counted.about(change)
    counts = "".join(f", {each} AS count_{place}" for place, each in enumerate(counted.counts))
    # A row that moved within its period counts as before.
    period = f"{first_day(counted.mart.grain, quote(counted.fact.day))} AS _period"
    before, after = (f"(SELECT *, true AS is_there, {period}{counts} FROM ({rows}) WHERE {about})" for rows in behind.rows)
    compared = ("is_there", "_period", *(f"count_{place}" for place in range(len(counted.counts))))
    other = " OR ".join(f"before.{quote(name)} IS DISTINCT FROM after.{quote(name)}" for name in compared)
    shown = list(dict.fromkeys((counted.fact.day, *counted.used)))
    named = ", ".join(map(quote, key))
    time.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_DIFFERING} AS SELECT {named}, after.is_there IS NULL AS is_gone, "
        f"CASE WHEN before.is_there AND after.is_there THEN {changed_list(shown, 'before', 'after')} END AS changed "
        f"FROM {before} AS before FULL JOIN {after} AS after USING ({named}) WHERE {other}"
    )
    found = _own_rows(time, chain, shown, behind) if chain.sources else _any_rows(time, chain, shown, behind)
    of = {f"_of_{name}": name for name in key}
    same = " AND ".join(f"link.{quote(mine)} = row.{quote(own)}" for mine, own in of.items())
    for correction, links in behind.links:
        columns = f"DISTINCT * EXCLUDE ({', '.join(map(quote, of))})"
        rows = f"SELECT {columns} FROM {links} AS link SEMI JOIN {_DIFFERING} AS row ON {same} ORDER BY ALL LIMIT {ROWS_NAMED}"
        found += name_by_events(time, correction, rows)
    return found


def _own_rows(time: Between, chain: Chain, shown: Sequence[str], behind: Behind) -> list[dict[str, Any]]:
    """The differing rows with newly ingested events: in their new state, or with their fate."""
    key, columns = ", ".join(map(quote, chain.table.key)), ", ".join(map(quote, shown))
    of_table, (_, after) = f'{literal(chain.table.full_name)} AS "table"', behind.rows
    is_elsewhere = f"({key}) IN (SELECT ({key}) FROM ({after}))"
    became = f"CASE WHEN event.op = 'd' THEN 'deleted' WHEN {is_elsewhere} THEN 'moved' ELSE {literal(_AWAY)} END AS gone"
    late, gone = [], []
    for relation, events in behind.told.items():
        source = chain.sources[relation]
        told = f"({newest(restricting(source), events)}) AS event USING ({', '.join(map(quote, restricting(source)))})"
        late.append(
            f"SELECT {of_table}, {key}, {columns}, changed, ingestion_timestamp, data_source, "
            "event.landing_object, event.landing_row "
            f"FROM ({after}) JOIN (FROM {_DIFFERING} WHERE NOT is_gone) USING ({key}) JOIN {told} "
            f"ORDER BY ingestion_timestamp, {key} LIMIT {ROWS_NAMED}"
        )
        gone.append(
            f"SELECT {of_table}, {key}, {became}, event.landed_at AS ingestion_timestamp, {literal(source.name)} AS data_source, "
            "event.landing_object, event.landing_row "
            f"FROM {_DIFFERING} JOIN {told} WHERE is_gone ORDER BY {key} LIMIT {ROWS_NAMED}"
        )
    return [row for sql in late + gone for row in _rows(time, sql)]


def _any_rows(time: Between, chain: Chain, shown: Sequence[str], behind: Behind) -> list[dict[str, Any]]:
    """The differing rows of a fact whose key differs from its sources', so that no event can be assigned to them."""
    key = ", ".join(map(quote, chain.table.key))
    columns = ", ".join(map(quote, (*shown, "changed", "ingestion_timestamp", "data_source")))
    of_table, (_, after) = f'{literal(chain.table.full_name)} AS "table"', behind.rows
    there = f"SELECT {of_table}, {key}, {columns} FROM ({after}) JOIN (FROM {_DIFFERING} WHERE NOT is_gone) USING ({key})"
    gone = f"SELECT {of_table}, {key}, 'gone' AS gone FROM {_DIFFERING} WHERE is_gone"
    return [row for sql in (there, gone) for row in _rows(time, f"{sql} ORDER BY {key} LIMIT {ROWS_NAMED}")]


def _rows(time: Between, sql: str) -> list[dict[str, Any]]:
    result = time.connection.execute(sql)
    columns = [name for name, *_ in result.description or ()]
    return [_named(dict(zip(columns, row, strict=True))) for row in result.fetchall()]


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A row that existed before, with its changes by column; any other row without."""
    found = {name: by_column(value or ()) if name == "changed" else value for name, value in row.items()}
    return {name: value for name, value in found.items() if name != "changed" or value}
