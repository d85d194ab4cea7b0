"""A complete run: ingest every source, build every table, in order.

Belongs here: the steps of a run, each of which keeps the state up to date. Does not belong here: recording them
(`orchestration`) or printing them (`cli`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from decimal import Decimal

import duckdb

from assay.contracts import LATER, Source, Table
from assay.engine.project import Node
from assay.lake.layout import failures_key, failures_prefix, held_key, held_prefix
from assay.lake.ledger import Ledger
from assay.landing.drift import read_held
from assay.landing.ingest import Ingested, ingest
from assay.landing.quarantine.replay import Replay
from assay.pipeline.build import build
from assay.pipeline.failures import Failure, forget_failures, read_failures
from assay.pipeline.outcome import Observer, Outcome, Report, Status, Unobserved
from assay.pipeline.plan import Plan, plan
from assay.pipeline.scoring import keep_standing_proofs
from assay.pipeline.state import State
from assay.quality.books import Books, Side, from_dict, total

_UNOBSERVED = Unobserved()
INGEST_THREADS = 1
"""A batch is read by one thread, because its records are numbered; more threads inside DuckDB would only wait for each other."""


def ingest_sources(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    sources: Iterable[Source],
    observer: Observer = _UNOBSERVED,
    replaying: Mapping[str, Replay] | None = None,
) -> Iterator[Ingested]:
    """Ingest landed data of some sources, with as many parallel batches as the settings have threads.

    The sources are ingested in parallel, because the last batches of one, or its only batch, leave threads to the next.

    Args:
        connection: DuckDB with `INGEST_THREADS`, with access to the lake.
        state: The lake's state.
        sources: The sources.
        observer: Notified of records as they are recorded.
        replaying: By source, what a replay of its quarantine leaves alone; the quarantine of other sources is not read again.

    Yields:
        The result for each source, in order.

    Raises:
        StoreError: The lake cannot be read or written.
        IngestError: There is too little space for temporary files.
    """
    workspace = state.workspace
    workspace.renew(connection)
    threads = workspace.limits.threads

    def ingest_one(source: Source, pool: Executor) -> Ingested:
        with connection.cursor() as own:
            return ingest(
                workspace.store,
                own,
                source,
                workspace.scratch,
                pool=pool,
                progress=lambda records: observer.ingested(source.name, records),
                replaying=(replaying or {}).get(source.name),
            )

    # Threads that wait for batches are separate from those that read them.
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(threads) as waiting:
        running = [waiting.submit(ingest_one, source, pool) for source in sources]
        try:
            for future in running:
                done = future.result()
                state.forget(done.source.name)
                yield done
        except BaseException:
            for future in running:
                future.cancel()
            raise


def refresh_table(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, run_id: str, observer: Observer = _UNOBSERVED
) -> tuple[Plan, list[Outcome]]:
    """Build the dirty partitions of a table, and forget failures that no longer matter.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    name = node.table.full_name
    planned = plan(connection, state, node)
    observer.planned(name, len(planned.dirty))
    built = build(connection, state, node, planned.dirty, run_id, lambda outcomes: observer.built(name, len(outcomes)))
    if planned.settled:
        keep_standing_proofs(state, node, planned.settled.keys() & planned.unchanged, run_id, dt.datetime.now(dt.UTC))
        forget_failures(state.workspace.store, node.table, planned.settled)
    return planned, built


def rebuild_partitions(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, partitions: Collection[str], run_id: str
) -> list[Outcome]:
    """Build partitions whether or not they are dirty; those without inputs are left out.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    asked = [partition for partition in state.partitions(node) if partition in partitions]
    return build(connection, state, node, {partition: state.inputs_hash(node, partition) for partition in asked}, run_id)


def source_books(ledger: Ledger) -> Books:
    """The books of a source: records received, raw events and quarantined records; messages count as neither.

    Events copied to a second partition (`placement`) count as received again, but their money does not; events that a replay has
    produced again, at another position, count as received again.
    """
    landed = ledger.landed_objects
    copies = sum(batch.copies for batch in ledger.batches)
    again = sum(batch.again for batch in ledger.batches)
    told = [part for batch in ledger.batches if not batch.covers for part in batch.parts]
    money = sum((Decimal(part.money) for part in told), Decimal(0))
    return Books(
        rows=Side(
            received=Decimal(sum(each.records - each.messages for each in landed) + copies + again),
            published=Decimal(sum(part.rows for part in told) + copies),
            quarantined=Decimal(sum(each.quarantined for each in landed)),
        ),
        money=Side(received=money, published=money),
    )


def fill_report(state: State, report: Report) -> None:
    """Add the current books, scores and failures to a report."""
    project = state.workspace.project
    for source in project.domain.sources.values():
        books = source_books(state.ledger(source.name))
        report.books[source.full_name] = books
        received = float(books.rows.received)
        report.scores[source.full_name] = round(100 * float(books.rows.published) / received, 2) if received else 100.0
    for name, node in project.nodes.items():
        entries = state.index(name).values()
        if is_dormant(state, node.table):
            continue
        report.books[name] = total(from_dict(entry.books) for entry in entries)
        staged = sum(entry.staged for entry in entries)
        flawless = sum(entry.score * entry.staged for entry in entries)
        report.scores[name] = round(flawless / staged, 2) if staged else 100.0
    for name, failures in failed_partitions(state).items():
        report.failures[name] = {partition: failure.reasons for partition, failure in failures.items()}
    for name, objects in held_objects(state).items():
        report.failures[name] = {key: (reason,) for key, reason in objects.items()}
    report.partitions.failed = sum(len(failed) for name, failed in report.failures.items() if name in project.nodes)


def is_dormant(state: State, table: Table) -> bool:
    """Whether a table is of a later cadence and was never published: its books mean nothing."""
    return table.cadence in LATER and not state.index(table.full_name)


def held_objects(state: State) -> dict[str, dict[str, str]]:
    """Why landing objects are held back, by source and key; sources without any are left out."""
    store, sources = state.workspace.store, state.workspace.domain.sources.values()
    # Most sources have none: one listing finds those that do.
    there = {info.key for info in store.list(held_prefix())}
    found = {source.full_name: read_held(store, source.name) for source in sources if held_key(source.name) in there}
    return {name: held for name, held in found.items() if held}


def failed_partitions(state: State) -> dict[str, dict[str, Failure]]:
    """The partitions whose last proof failed, by table; tables without any are left out."""
    store, nodes = state.workspace.store, state.workspace.project.nodes
    # As with held-back objects: only a few tables have any.
    there = {info.key for info in store.list(failures_prefix())}
    found = {name: read_failures(store, node.table) for name, node in nodes.items() if failures_key(node.table) in there}
    return {name: dict(sorted(failures.items())) for name, failures in found.items() if failures}


def count(report: Report, planned: Plan, outcomes: Collection[Outcome]) -> None:
    """Add the results for one table's partitions to a report."""
    report.partitions.add(outcome for outcome in outcomes if outcome.status is not Status.FAILED)
    report.partitions.unchanged += len(planned.unchanged)
