"""The jobs that rebuild exactly what is dirty and record it: `refresh`, which ingests first, `hourly` and `daily`.

Belongs here: the job's steps. Does not belong here: what they do to data (`pipeline.runs`).

It is made of ops, because a Dagster run of assets covers one contiguous range of partitions, and a late file dirties a scattered
few. It records what it publishes as materializations of exactly those partitions, with check results, so that the catalog and
lineage are the same as if every asset had been materialized by hand.

Tables of a later cadence are expensive to compute: each cadence has a job of its own, so that landed data reach all other tables
within seconds. These jobs have a pool of their own, because nothing else builds their tables.
"""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import dagster as dg
import duckdb

from assay.contracts import Cadence, Domain
from assay.engine.project import Node, Project
from assay.errors import AssayError
from assay.orchestration.assets import POOL
from assay.orchestration.event_log import kept_open
from assay.orchestration.jobs import Job
from assay.orchestration.recording import (
    ANOMALY_DAYS,
    anomaly_result,
    check_results,
    evaluation,
    materialization,
    proof_materializations,
    proof_result,
    source_materializations,
)
from assay.orchestration.resources import Lake, Opened
from assay.orchestration.run_status import FAILED_BY_DATA
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.plan import Plan
from assay.pipeline.runs import INGEST_THREADS, count, failed_partitions, held_objects, ingest_sources, refresh_table
from assay.pipeline.score_compaction import AT_LEAST, compact_proofs
from assay.pipeline.watching import watch_table

LATER_POOL = "lake_later"
"""Runs of this pool go one after the other, without delaying a refresh."""


def build_refresh_job(project: Project, retries: dg.RetryPolicy | None) -> dg.JobDefinition:
    """Make the job.

    Args:
        project: The domain's tables.
        retries: The retry policy of steps; None for a run that a user is waiting for.
    """
    at_once = tables_of(project, Cadence.AT_ONCE)
    ingest = _ingest_op(project.domain)
    enrich = _build_op("enriched", [node for node in at_once if node.table.layer == "enriched"])
    marts = _build_op("marts", [node for node in at_once if node.table.layer == "marts"], is_last=True)

    @dg.graph(name=Job.REFRESH.value, description="Ingest what has landed, rebuild the dirty partitions, up to the marts.")
    def refresh() -> None:
        marts(enrich(ingest()))

    return refresh.to_job(executor_def=dg.in_process_executor, op_retry_policy=retries)


def build_later_job(cadence: Cadence, nodes: Sequence[Node], retries: dg.RetryPolicy | None) -> dg.JobDefinition:
    """Make the job that rebuilds tables of a later cadence; it has the cadence's name.

    Args:
        cadence: The cadence.
        nodes: The tables, each after its inputs.
        retries: The retry policy of steps; None for a run that a user is waiting for.
    """
    build = _build_op(f"{cadence}_tables", nodes, pool=LATER_POOL, is_first=True, is_last=True)

    @dg.graph(name=Job(cadence).value, description=f"Rebuild the dirty partitions of the {cadence} tables.")
    def later() -> None:
        build()

    return later.to_job(executor_def=dg.in_process_executor, op_retry_policy=retries)


def tables_of(project: Project, cadence: Cadence) -> list[Node]:
    """The tables of a cadence, each after its inputs."""
    return [node for node in project.nodes.values() if node.table.cadence is cadence]


def _ingest_op(domain: Domain) -> dg.OpDefinition:
    @dg.op(name="ingest", out=dg.Out(dg.Nothing), pool=POOL, description="Landing objects to raw batches.")
    def ingest(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        with (
            lake.open() as opened,
            _step(context, opened, "ingest"),
            opened.workspace.connection(INGEST_THREADS) as connection,
        ):
            sources = domain.sources.values()
            for done in ingest_sources(connection, opened.state, sources, opened.observer, opened.replaying):
                opened.report.records += done.records
                opened.report.warnings += done.warnings
                for warning in done.warnings:
                    context.log.warning(warning)
                if done.batches:
                    context.log.info(f"{done.source.full_name}: {done.records:,} records, {done.quarantined:,} quarantined")
                for event in source_materializations(opened.workspace.store, done):
                    context.log_event(event)

    return ingest


def _build_op(
    name: str, nodes: Sequence[Node], *, pool: str = POOL, is_first: bool = False, is_last: bool = False
) -> dg.OpDefinition:
    own = {node.table.full_name for node in nodes}

    @dg.op(
        name=name,
        ins={} if is_first else {"after": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool=pool,
        description=f"Dirty partitions of {len(nodes)} tables, proven and published.",
    )
    def build(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        with lake.open() as opened, _step(context, opened, name):
            proven = []
            with _refreshing(opened, nodes, context.run_id) as running, ExitStack() as stack:
                # On its own connection: the other is busy with the next tables.
                beside = stack.enter_context(opened.workspace.connection(threads=1)) if is_last else None
                if beside is not None:
                    earlier = [node for name, node in opened.workspace.project.nodes.items() if name not in own]
                    _watch(context, opened, beside, earlier)
                for node, future in running:
                    planned, outcomes = future.result()
                    count(opened.report, planned, outcomes)
                    _record(context, opened, node, planned, outcomes)
                    proven += outcomes
                    if beside is not None:
                        _watch(context, opened, beside, [node])
            for event in proof_materializations(proven):
                context.log_event(event)
            if is_last:
                compact_proofs(opened.workspace.store, dt.datetime.now(dt.UTC), at_least=AT_LEAST)
                _judge(context, opened)

    def _record(context: dg.OpExecutionContext, opened: Opened, node: Node, planned: Plan, outcomes: list[Outcome]) -> None:
        store = opened.workspace.store
        for outcome in outcomes:
            if outcome.status is Status.PUBLISHED:
                context.log_event(materialization(store, node, outcome))
        results = list(check_results(opened.state, node, outcomes))
        if planned.settled and not results:
            results.append(proof_result(store, node.table))
        for result in results:
            # An op may log check evaluations, although its type does not say so.
            context.log_event(evaluation(result))  # type: ignore[arg-type]

    return build


@contextmanager
def _refreshing(
    opened: Opened, nodes: Sequence[Node], run_id: str
) -> Iterator[list[tuple[Node, Future[tuple[Plan, list[Outcome]]]]]]:
    """Refresh tables one after the other in a thread, while the caller consumes them in that order.

    Recording a partition in Dagster can take longer than publishing it: every event is a transaction of its own.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="refresh") as pool:
        running = [pool.submit(refresh_table, opened.connection, opened.state, node, run_id, opened.observer) for node in nodes]
        try:
            yield list(zip(nodes, running, strict=True))
        finally:
            for future in running:
                future.cancel()


def _watch(context: dg.OpExecutionContext, opened: Opened, connection: duckdb.DuckDBPyConnection, nodes: Sequence[Node]) -> None:
    """Look for anomalies in tables that are up to date; anomalies fail nothing."""
    for node in nodes:
        watched = watch_table(connection, opened.state, node, dt.datetime.now(dt.UTC))
        if watched is None:
            continue
        name = watched.table.full_name
        # An op may log check evaluations, although its type does not say so.
        context.log_event(evaluation(anomaly_result(watched)))  # type: ignore[arg-type]
        for anomaly in watched.recent(ANOMALY_DAYS):
            context.log.warning(f"{name} {anomaly.day}: {anomaly.text}")
            days = opened.report.anomalies.setdefault(name, {})
            said = days.get(anomaly.day.isoformat(), ())
            # `assay run --all` is several jobs with one report, and each checks every table that is up to date.
            days[anomaly.day.isoformat()] = said if anomaly.text in said else (*said, anomaly.text)


def _judge(context: dg.OpExecutionContext, opened: Opened) -> None:
    """Fail the run for partitions that failed their proof, now that everything else has been built."""
    failed = failed_partitions(opened.state)
    sentences = [
        f"{table} {partition}: {'; '.join(failure.reasons)} (found by run {failure.run_id})"
        for table, failures in failed.items()
        for partition, failure in failures.items()
    ]
    for sentence in sentences:
        context.log.error(sentence)
    held = [
        f"{source} holds back {key}: {reason}"
        for source, objects in held_objects(opened.state).items()
        for key, reason in objects.items()
    ]
    for sentence in held:
        context.log.error(sentence)
    if sentences or held:
        context.instance.add_run_tags(context.run_id, {FAILED_BY_DATA: "data"})
    if sentences:
        raise dg.Failure(
            "Partitions failed their proof; the data published before stay in place.\n" + "\n".join([*sentences, *held]),
            allow_retries=False,
        )
    if held:
        raise dg.Failure("Landing objects were not ingested; their data are not lost.\n" + "\n".join(held), allow_retries=False)


@contextmanager
def _step(context: dg.OpExecutionContext, opened: Opened, stage: str) -> Iterator[None]:
    """Time a step, and turn Assay's errors into failures that read as one sentence."""
    started = time.perf_counter()
    try:
        with kept_open(context.instance):
            yield
    except AssayError as error:
        opened.error = error
        raise dg.Failure(str(error)) from error
    finally:
        opened.report.seconds[stage] = time.perf_counter() - started
