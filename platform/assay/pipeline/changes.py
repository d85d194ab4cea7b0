"""Changes of metrics: what was reported when, and which late or corrected rows made the difference.

Belongs here: reading restatements back, and the rows behind one. Does not belong here: recording them (`restating`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.contracts.rules import literal, quote
from assay.errors import SettingsError
from assay.metrics.compiler import hour_of, key_of
from assay.metrics.declarations import Fact
from assay.metrics.grains import Grain, first_day
from assay.metrics.lattice import Mart
from assay.metrics.marts import lattice_of
from assay.metrics.parts import columns_in
from assay.pipeline.query import query
from assay.pipeline.state import State

ROWS_NAMED = 1000
"""Rows behind one change that are named at most."""


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
        'SELECT table_name, "partition", key, metric, before, after, reported_at, restated_at, seen_until, run_id '
        f'FROM quality.restatements WHERE {" AND ".join(tests)} ORDER BY restated_at, table_name, "partition", key',
    ).fetchall()
    return [Change(table, partition, json.loads(key), *rest) for table, partition, key, *rest in rows]


def changed_rows(connection: duckdb.DuckDBPyConnection, state: State, change: Change) -> list[dict[str, Any]]:
    """The rows of the facts behind a changed cell that were landed after what had been reported.

    A row that is gone is in no fact any more; `changes.…` has its event.

    Raises:
        SettingsError: The metric looks at other periods, so that rows of many of them are behind it.
    """
    lattice = lattice_of(state.workspace.domain)
    metric = lattice.catalog.find(change.metric)
    mart = next((each for each in lattice.marts if each.full_name == change.table), None)
    if mart is None:
        raise SettingsError(
            f"{metric.name} looks at other periods.", hint=f"Ask for what it looks at: {', '.join(metric.refers) or metric.name}."
        )
    found = []
    for name in metric.facts:
        fact = lattice.catalog.facts[name]
        types = lattice.catalog.tables[fact.table].types
        parts = [part for part in (lattice.catalog.parts[each] for each in metric.parts) if part.fact == name]
        used = columns_in(" ".join(f"{part.of} {part.where}" for part in parts), types)
        shown = dict.fromkeys((*lattice.catalog.tables[fact.table].key, fact.day, *used, "ingestion_timestamp", "data_source"))
        tests = [f"{first_day(mart.grain, fact.day)} = DATE {literal(change.partition.isoformat())}", *_about(mart, fact, change)]
        if change.seen_until is not None:
            tests.append(f"ingestion_timestamp > TIMESTAMPTZ {literal(change.seen_until.isoformat())}")
        result = query(
            connection,
            state,
            f"SELECT {', '.join(quote(column) for column in shown)} FROM {fact.table} WHERE {' AND '.join(tests)} "
            f"ORDER BY ingestion_timestamp, 1 LIMIT {ROWS_NAMED}",
        )
        found += [dict(zip(shown, row, strict=True)) for row in result.fetchall()]
    return found


def _about(mart: Mart, fact: Fact, change: Change) -> list[str]:
    """Conditions on the rows of a fact that are about who a change is about."""
    tests = [f"{key_of(mart.entity, fact)} = {literal(change.key[name])}" for name in mart.entity.keys]
    return [*tests, f"{hour_of(fact)} = {int(change.key['hour'])}"] if mart.grain is Grain.HOUR else tests
