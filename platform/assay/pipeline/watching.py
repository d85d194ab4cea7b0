"""Watching: profiles and anomalies of tables, kept up to date in the lake.

Belongs here: which days to measure, and the storage of figures and verdicts. Does not belong here: measuring days
(`quality.profile`) and judging them (`quality.anomalies`).

Figures are measured on published days, not during their proof: a profile belongs to the content hash that it was measured on, a
day is measured once unless it is restated, and a run that is killed, or a newly declared watch, only leaves days that the next
run will measure. As with the index, the last writer wins: if one run overwrites the results of another, they are measured again.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.contracts import Holidays, Table, Watch
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.errors import ObjectMissing
from assay.lake.layout import quality_key
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.state import State
from assay.quality.anomalies import DETECTOR, Anomaly, Figure, complete_until, find_anomalies
from assay.quality.own_tables import ANOMALIES, PROFILES, OwnTable
from assay.quality.profile import Metric, profile_query

DAYS_AT_ONCE = 366
"""Days measured by one query."""
_JUDGED_FROM = b"assay_judged_from"


@dataclass(frozen=True)
class Watched:
    """The state of a watched table.

    Attributes:
        table: The table.
        until: The last day that is complete.
        anomalies: Every anomaly up to then, in order of days.
    """

    table: Table
    until: dt.date
    anomalies: tuple[Anomaly, ...]

    def recent(self, days: int) -> tuple[Anomaly, ...]:
        """The anomalies of the last complete days."""
        return tuple(each for each in self.anomalies if each.day > self.until - dt.timedelta(days=days))


def watch_tables(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime, *, keep: bool = True) -> list[Watched]:
    """Update the profiles and anomalies of every watched table; tables without published data are left out.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        as_of: The moment at which completeness is judged, with a time zone.
        keep: Write changes to the lake.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    nodes = [node for node in state.workspace.project.nodes.values() if node.table.watched is not None]
    found = [watch_table(connection, state, node, as_of, keep=keep) for node in nodes]
    return [watched for watched in found if watched is not None]


def watch_table(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, as_of: dt.datetime, *, keep: bool = True
) -> Watched | None:
    """The same for one table; None if it is not watched, or has no published data."""
    table, watch = node.table, node.table.watched
    if watch is None or not state.index(table.full_name):
        return None
    store = state.workspace.store
    profiles = _up_to_date(connection, state, table, watch, keep)
    until = complete_until(_figures(profiles.filter(pc.field("metric") == Metric.FIRST_LANDING.value)), watch, as_of)
    index = state.index(table.full_name)
    contents = {day: index[day.isoformat()].content for day in profiles["partition"].unique().to_pylist()}
    holidays = state.workspace.domain.holidays
    judged_from = _judged_from(contents, watch, holidays, until)
    kept = _read(store, ANOMALIES, table)
    if kept is not None and (kept.schema.metadata or {}).get(_JUDGED_FROM) == judged_from:
        return Watched(table, until, _anomalies(kept))
    found = find_anomalies(_figures(profiles), watch, holidays, as_of)
    if keep:
        rows = _anomaly_rows(table, found, contents).replace_schema_metadata({_JUDGED_FROM: judged_from})
        _write(store, ANOMALIES, table, rows)
    return Watched(table, until, tuple(found))


def _up_to_date(connection: duckdb.DuckDBPyConnection, state: State, table: Table, watch: Watch, keep: bool) -> pa.Table:
    """The profiles of every published day, measuring those that are missing."""
    # An object put there by something other than Assay has no content hash to which a profile could belong.
    wanted = {
        dt.date.fromisoformat(partition): entry.content
        for partition, entry in state.index(table.full_name).items()
        if entry.content
    }
    kept = _read(state.workspace.store, PROFILES, table)
    profiles = PROFILES.schema.empty_table() if kept is None else kept
    measured_of = profiles.group_by(["partition", "content", "watch"]).aggregate([]).to_pylist()
    current_days = {
        row["partition"]
        for row in measured_of
        if wanted.get(row["partition"]) == row["content"] and row["watch"] == watch.version
    }
    missing = sorted(wanted.keys() - current_days)
    if not missing and len(measured_of) == len(current_days):
        return profiles
    current = profiles.filter(pc.field("partition").isin(pa.array(current_days, pa.date32())))
    measured = [
        _measure(connection, state, table, watch, {day: wanted[day] for day in missing[start : start + DAYS_AT_ONCE]})
        for start in range(0, len(missing), DAYS_AT_ONCE)
    ]
    profiles = pa.concat_tables([current, *measured]).sort_by([("partition", "ascending"), ("metric", "ascending")])
    if keep:
        _write(state.workspace.store, PROFILES, table, profiles)
    return profiles


def _measure(
    connection: duckdb.DuckDBPyConnection, state: State, table: Table, watch: Watch, contents: Mapping[dt.date, str]
) -> pa.Table:
    store, available = state.workspace.store, state.available(table.full_name)
    objects = [(each.version, store.path(each.key)) for day in contents for each in available[day.isoformat()]]
    query = profile_query(table, typed_rows(table, files_by_version(objects)))
    try:
        found = connection.execute(query).to_arrow_table()
    except duckdb.Error as error:
        raise_if_not_about_data(error)
        raise
    rows = found.to_pylist()
    measured = {row["partition"] for row in rows}
    rows += [
        {"partition": day, "metric": Metric.VOLUME.value, "figure": 0.0, "row_count": 0}
        for day in contents
        if day not in measured
    ]
    for row in rows:
        row |= {"table_name": table.full_name, "content": contents[row["partition"]], "watch": watch.version}
    return pa.Table.from_pylist(rows, PROFILES.schema)


def _figures(profiles: pa.Table) -> list[Figure]:
    names = ("partition", "metric", "of_column", "category", "region", "figure", "row_count")
    columns = [profiles[name].to_pylist() for name in names]
    metrics = {metric.value: metric for metric in Metric}
    return [
        Figure(day, metrics[metric], column, category, region, figure, rows)
        for day, metric, column, category, region, figure, rows in zip(*columns, strict=True)
    ]


def _judged_from(contents: Mapping[dt.date, str], watch: Watch, holidays: Mapping[str, Holidays], until: dt.date) -> bytes:
    """Hash of everything that determines the verdicts."""
    days = sorted((day.isoformat(), content) for day, content in contents.items() if day <= until)
    calendar = sorted((region, repr(declared)) for region, declared in holidays.items())
    return fingerprint([DETECTOR, days, repr(watch), calendar, until]).encode()


def _anomaly_rows(table: Table, found: Sequence[Anomaly], contents: Mapping[dt.date, str]) -> pa.Table:
    rows = [
        {
            "table_name": table.full_name,
            "partition": each.day,
            "metric": each.metric.value,
            "of_column": each.column,
            "category": each.category,
            "region": each.region,
            "observed": each.observed,
            "expected": each.expected,
            "change": each.change,
            "score": each.score,
            "like_days": each.like_days,
            "holiday": each.holiday,
            "content": contents.get(each.day),
            "text": each.text,
        }
        for each in found
    ]
    return pa.Table.from_pylist(rows, ANOMALIES.schema)


def _anomalies(rows: pa.Table) -> tuple[Anomaly, ...]:
    return tuple(
        Anomaly(
            day=row["partition"],
            metric=Metric(row["metric"]),
            column=row["of_column"],
            category=row["category"],
            region=row["region"],
            observed=row["observed"],
            expected=row["expected"],
            change=row["change"],
            score=row["score"],
            like_days=row["like_days"],
            holiday=row["holiday"],
        )
        for row in rows.to_pylist()
    )


def _read(store: ObjectStore, own: OwnTable, table: Table) -> pa.Table | None:
    """The stored rows of a table, or None; rows that another version of Assay stored in another shape are ignored."""
    try:
        found = pq.read_table(pa.BufferReader(store.get(quality_key(own.name, table))))
    except ObjectMissing:
        return None
    return found if found.schema.equals(own.schema) else None


def _write(store: ObjectStore, own: OwnTable, table: Table, rows: pa.Table) -> None:
    written = io.BytesIO()
    pq.write_table(rows, written, compression="zstd")
    store.put(quality_key(own.name, table), written.getvalue())
