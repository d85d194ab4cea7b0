"""Figures for Prometheus: runs, lag, scores, books.

Belongs here: the measures and their names. Does not belong here: serving them (`endpoint`), measuring runs (`orchestration`).

Labels are tables, jobs, kinds and states, never partitions: the number of series does not grow with time. Points in time are
given as timestamps rather than ages, so that a query can subtract them from its own `time()`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
from prometheus_client.core import GaugeMetricFamily, Metric

from assay.alerts.conditions import look_at_lake
from assay.landing.drift import read_held
from assay.landing.ingest import find_outstanding
from assay.pipeline.duckdb_errors import raise_if_unavailable
from assay.pipeline.freshness import freshness
from assay.pipeline.outcome import Report
from assay.pipeline.runs import fill_report
from assay.pipeline.state import State
from assay.quality.books import PLACES, Books


@dataclass(frozen=True)
class JobRuns:
    """The remembered runs of a job.

    Attributes:
        job: The job's name.
        counts: Runs by status.
        succeeded_at: When the last successful run ended, in seconds since 1970; None if there is none.
        seconds: Its duration.
    """

    job: str
    counts: Mapping[str, int] = field(default_factory=dict)
    succeeded_at: float | None = None
    seconds: float | None = None


def run_figures(jobs: Sequence[JobRuns]) -> Iterator[Metric]:
    """Figures of runs."""
    counts = ((job.job, status, count) for job in jobs for status, count in job.counts.items())
    yield _gauge("runs", "Runs by job and status, as far as Dagster remembers them", ("job", "status"), counts)
    ended = ((job.job, job.succeeded_at) for job in jobs)
    yield _gauge("run_succeeded_timestamp_seconds", "When the last successful run of a job ended", ("job",), ended)
    lasted = ((job.job, job.seconds) for job in jobs)
    yield _gauge("run_duration_seconds", "How long the last successful run of a job took", ("job",), lasted)


def lake_figures(connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime) -> Iterator[Metric]:
    """Figures of the lake; a part that cannot be collected is left out, and no other is for its sake.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        now: The time, UTC.

    Raises:
        StoreUnavailable: The lake cannot be reached.
    """
    parts: dict[str, Callable[[], Iterable[Metric]]] = {
        "lag": lambda: _lag(state, now),
        "quality": lambda: _quality(state),
        "incidents": lambda: _incidents(connection, state, now),
    }
    collected: dict[str, bool] = {}
    for part, collect in parts.items():
        try:
            yield from list(collect())
        except Exception as error:  # whatever it is that an object which cannot be read raises
            raise_if_unavailable(error)
            collected[part] = False
        else:
            collected[part] = True
    yield _gauge("part_up", "Whether a part of the lake's figures can be collected", ("part",), collected.items())


def _incidents(connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime) -> Iterator[Metric]:
    found = look_at_lake(connection, state, now).incidents
    kinds = Counter((incident.kind.value, incident.table) for incident in found)
    open_now = ((kind, table, count) for (kind, table), count in sorted(kinds.items()))
    yield _gauge("incidents", "What is wrong now, by kind and table", ("kind", "table"), open_now)


def _quality(state: State) -> Iterator[Metric]:
    report = Report()
    fill_report(state, report)
    yield from _scores(state, report)
    yield from _books(report.books)


def _lag(state: State, now: dt.datetime) -> Iterator[Metric]:
    every = freshness(state, now)
    updated = ((name, found.updated.timestamp() if found.updated else None) for name, found in every.items())
    yield _gauge("updated_timestamp_seconds", "When a source or table last got something new", ("table",), updated)
    limits = ((name, found.declared.freshness) for name, found in every.items())
    seconds = ((name, limit.total_seconds() if limit else None) for name, limit in limits)
    yield _gauge("freshness_limit_seconds", "How old a source or table may be", ("table",), seconds)
    store = state.workspace.store
    sources = state.workspace.domain.sources.values()
    waiting = {each.full_name: find_outstanding(store, each, state.ledger(each.name), now).new for each in sources}
    counts = ((name, len(found)) for name, found in waiting.items())
    yield _gauge("landed_waiting_objects", "Landing objects that are not ingested", ("table",), counts)
    oldest = ((name, min((info.modified.timestamp() for info in found), default=None)) for name, found in waiting.items())
    yield _gauge("landed_waiting_timestamp_seconds", "When the oldest of them was landed", ("table",), oldest)
    held = ((each.full_name, len(read_held(store, each.name))) for each in sources)
    yield _gauge(
        "landed_held_objects",
        "Landing objects that are held back: nothing of them is ingested",
        ("table",),
        held,
    )


def _scores(state: State, report: Report) -> Iterator[Metric]:
    yield _gauge("quality_score", "Quality score over all that is published, 0 to 100", ("table",), report.scores.items())
    indexes = {name: state.index(name) for name in state.workspace.project.nodes}
    newest = ((name, index[max(index)].score if index else None) for name, index in indexes.items())
    yield _gauge("quality_score_newest", "Quality score of the newest partition, 0 to 100", ("table",), newest)
    published = ((name, len(index)) for name, index in indexes.items())
    yield _gauge("partitions", "Partitions that are published", ("table",), published)
    failed = ((name, len(report.failures.get(name, ()))) for name in indexes)
    yield _gauge("partitions_failed", "Partitions whose last proof failed", ("table",), failed)


def _books(books: Mapping[str, Books]) -> Iterator[Metric]:
    labels = ("table", "place")
    rows = ((name, place, getattr(each.rows, place)) for name, each in books.items() for place in PLACES)
    yield _gauge("books_rows", "The books in rows: received = the sum of the others", labels, rows)
    money = ((name, place, getattr(each.money, place)) for name, each in books.items() for place in PLACES)
    yield _gauge("books_money", "The books in money, all currencies added up: a control total and no revenue", labels, money)
    balanced = ((name, each.balanced) for name, each in books.items())
    yield _gauge("books_balanced", "Whether rows and money are all accounted for", ("table",), balanced)


def _gauge(name: str, meaning: str, labels: Sequence[str], samples: Iterable[tuple[Any, ...]]) -> Metric:
    """A figure from samples, each with its label values followed by its value; None without samples."""
    family = GaugeMetricFamily(f"assay_{name}", meaning, labels=labels)
    for *values, value in samples:
        if value is not None:
            family.add_metric([str(each) for each in values], float(value))
    return family
