"""Changes of metrics: what was reported when, and which late or corrected rows made the difference.

Belongs here: reading restatements back, and the rows behind one. Does not belong here: recording them (`restating`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.contracts import Source, periods
from assay.contracts.rules import literal, quote
from assay.metrics.compiler import hour_of, key_of
from assay.metrics.declarations import UNKNOWN, Fact
from assay.metrics.grains import Grain, first_day
from assay.metrics.lattice import Mart
from assay.metrics.marts import lattice_of
from assay.metrics.parts import columns_in
from assay.metrics.trends import periods_seen
from assay.pipeline.behind import Span, gone_rows, landed_keys, sources_behind
from assay.pipeline.query import query
from assay.pipeline.state import State

ROWS_NAMED = 1000
"""Rows behind one change that are named at most."""
_LANDED = (
    'WITH published AS (SELECT table_name, "partition", restated_at, min(seen_until) AS seen_until '
    "FROM quality.restatements GROUP BY ALL), "
    'landed AS (SELECT table_name, "partition", restated_at, '
    "least(restated_at, lead(seen_until) OVER in_order) AS landed_until, lag(restated_at) OVER in_order AS restated_before "
    'FROM published WINDOW in_order AS (PARTITION BY table_name, "partition" ORDER BY restated_at))'
)
"""What a restatement had seen is what the next one of the same period replaced: no row in it was landed later.

Of a row that is gone nothing is left that says when, so that it counts to the restatement that came after it.
"""


@dataclass(frozen=True)
class Change:
    """One cell that was reported as complete, and said something else afterwards.

    Attributes:
        table: The mart.
        partition: The period: its first day.
        key: Who it is about; empty for the whole company.
        metric: The metric.
        before: What was reported, as text.
        after: What is reported since.
        reported_at: When the first was published.
        restated_at: When the second was.
        seen_until: When the newest event behind what was reported had been landed.
        landed_until: When the newest event behind the rows that restated it had been landed at the latest.
        restated_before: When the period had been restated the last time before; None where it had not.
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
    landed_until: dt.datetime
    restated_before: dt.datetime | None
    run_id: str


def history(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    metric: str,
    table: str | None = None,
    key: Mapping[str, str] | None = None,
) -> list[Change]:
    """Every change of a metric, the oldest first.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        metric: The metric.
        table: Of one mart only.
        key: Only about who has these values in the mart's key.
    """
    lattice_of(state.workspace.domain).catalog.find(metric)
    tests = [f"metric = {literal(metric)}"]
    tests += [f"table_name = {literal(table)}"] if table else []
    tests += [f"json_extract_string(key, {literal(name)}) = {literal(value)}" for name, value in (key or {}).items()]
    rows = query(
        connection,
        state,
        f"{_LANDED} "
        'SELECT table_name, "partition", key, metric, before, after, reported_at, restated_at, seen_until, landed_until, '
        "restated_before, run_id "
        'FROM quality.restatements INNER JOIN landed USING (table_name, "partition", restated_at) '
        f'WHERE {" AND ".join(tests)} ORDER BY restated_at, table_name, "partition", key',
    ).fetchall()
    return [Change(table, partition, json.loads(key), *rest) for table, partition, key, *rest in rows]


def changed_rows(connection: duckdb.DuckDBPyConnection, state: State, change: Change) -> list[dict[str, Any]]:
    """The rows of the facts behind a changed cell: those that were landed after what had been reported, until it was restated.

    A row that is gone since is named by its key, what became of it, and where that was landed. It is known whom it was about
    where the key of the mart is a column of the source, too.
    """
    lattice = lattice_of(state.workspace.domain)
    metric = lattice.catalog.find(change.metric)
    mart = next(each for each in lattice.marts if change.table in (each.full_name, each.trend_name))
    seen = periods_seen(metric, mart.grain, change.partition)
    span = Span(change.seen_until, change.landed_until)
    since = Span(max(filter(None, (change.seen_until, change.restated_before)), default=None), change.restated_at)
    found = []
    for name in metric.facts:
        fact = lattice.catalog.facts[name]
        table = lattice.catalog.tables[fact.table]
        parts = [part for part in (lattice.catalog.parts[each] for each in metric.parts) if part.fact == name]
        used = columns_in(" ".join(f"{part.of} {part.where}" for part in parts), table.types)
        shown = dict.fromkeys((*table.key, fact.day, *used, "ingestion_timestamp", "data_source"))
        sources = sources_behind(state.workspace.project, fact.table)
        keys = ", ".join(map(quote, table.key))
        landed = f"({keys}) IN ({landed_keys(sources, span)})" if sources else span.condition("ingestion_timestamp")
        there = " AND ".join([_in_periods(mart, fact.day, seen), *_about(mart, fact, change)])
        found += _rows(
            connection,
            state,
            f"SELECT {', '.join(quote(column) for column in shown)} FROM {fact.table} WHERE {there} AND {landed} "
            f"ORDER BY ingestion_timestamp, 1 LIMIT {ROWS_NAMED}",
        )
        for source in sources:
            was_there = _was_there(mart, fact, source, change, seen)
            if was_there is not None and since.after is not None:
                gone = gone_rows(source, since, was_there, f"SELECT ({keys}) FROM {fact.table} WHERE {there}")
                found += _rows(connection, state, f"{gone} LIMIT {ROWS_NAMED}")
    return found


def _rows(connection: duckdb.DuckDBPyConnection, state: State, sql: str) -> list[dict[str, Any]]:
    result = query(connection, state, sql)
    columns = result.columns
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _in_periods(mart: Mart, day: str, seen: Sequence[periods.Span]) -> str:
    first = first_day(mart.grain, quote(day))
    spans = (f"{first} BETWEEN DATE {literal(span.first)} AND DATE {literal(span.last)}" for span in seen)
    return f"({' OR '.join(spans)})"


def _about(mart: Mart, fact: Fact, change: Change) -> list[str]:
    """Conditions on the rows of a fact that are about who a change is about."""
    tests = [f"{key_of(mart.entity, fact)} = {literal(change.key[name])}" for name in mart.entity.keys]
    return [*tests, f"{hour_of(fact)} = {int(change.key['hour'])}"] if mart.grain is Grain.HOUR else tests


def _was_there(mart: Mart, fact: Fact, source: Source, change: Change, seen: Sequence[periods.Span]) -> str | None:
    """Condition on the events of a source that are about who a change is about; None where they do not tell.

    Events have their values as they were sent: here they are compared without regard to case and blanks.
    """
    if mart.grain is Grain.HOUR or source.partition_column is None:
        return None
    tests = [_in_periods(mart, source.partition_column, seen)]
    for name in mart.entity.keys:
        column = fact.keys[mart.entity.name]
        if source.types.get(column) != "VARCHAR":
            return None
        tests.append(
            f"upper(coalesce(nullif(trim({quote(column)}), ''), {literal(UNKNOWN)})) = upper({literal(change.key[name])})"
        )
    return " AND ".join(tests)
