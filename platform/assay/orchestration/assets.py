"""The asset factory: every source and table of a domain as a software-defined asset.

Belongs here: specs, dependencies and policies, the same for all. Does not belong here: the effect of materializing on
data (`pipeline`), and its records (`recording`).

A partition that fails its proof is not published, so nothing that reads it changes; its run stops there. Dagster does not support
a step that fails for some partitions of a range: a range run with a bad one publishes and records the good ones and stops, and
their readers are built by the next refresh, or requested by the automation conditions.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from assay.contracts import WHOLE, Domain, Source, Table
from assay.engine.project import Node, Project, source_of
from assay.errors import AssayError
from assay.lake.store import ObjectStore
from assay.orchestration.conditions import when_inputs_change
from assay.orchestration.metadata import asset_key, own_table_metadata, source_metadata, table_metadata
from assay.orchestration.partitions import mapping_of, partitions_of
from assay.orchestration.recording import (
    anomaly_result,
    check_results,
    check_specs,
    evaluation,
    failure_text,
    materialization,
    outcome_metadata,
    proof_materializations,
    source_materializations,
    source_metadata_of,
)
from assay.orchestration.resources import Lake
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.runs import INGEST_THREADS, ingest_sources, rebuild_partitions
from assay.pipeline.scoring import KEPT
from assay.pipeline.watching import watch_table

POOL = "lake"
"""Runs of this pool go one after the other: two at once are safe, but compute the same things twice."""
RETRIES = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def proof_assets(project: Project) -> list[dg.AssetSpec]:
    """Describe the history of proofs, to which every run that computes anything adds."""
    return [
        dg.AssetSpec(
            asset_key(own.full_name),
            deps=[asset_key(name) for name in project.nodes],
            description=own.description,
            metadata=own_table_metadata(own),
            group_name="quality",
            owners=sorted({node.table.owner for node in project.nodes.values()}),
            kinds={"parquet"},
            tags={"layer": "quality", "domain": project.domain.name},
            code_version=own.version,
        )
        for own in KEPT
    ]


def build_assets(project: Project) -> list[dg.AssetsDefinition]:
    """Make the assets of a domain."""
    domain = project.domain
    sources = [_source_asset(domain, source) for source in domain.sources.values()]
    return sources + [_table_asset(project, node) for node in project.nodes.values()]


def _source_asset(domain: Domain, source: Source) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(source.full_name),
        description=source.description,
        metadata=source_metadata(source),
        **_common(domain, source, source.version, {"parquet", source.format.name}),
        partitions_def=partitions_of(domain, source),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        pool=POOL,
    )
    def ingest(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
        with (
            lake.open() as opened,
            opened.workspace.connection(INGEST_THREADS) as connection,
            as_failure(),
        ):
            (done,) = ingest_sources(connection, opened.state, [source])
            own = set(context.partition_keys) if context.has_partition_key_range else set()
            for event in source_materializations(opened.workspace.store, done):
                if event.partition is not None and event.partition not in own:
                    context.log_event(event)
        for warning in done.warnings:
            context.log.warning(warning)
        return dg.MaterializeResult(metadata=source_metadata_of(done))

    return ingest


def _table_asset(project: Project, node: Node) -> dg.AssetsDefinition:
    table = node.table
    key = asset_key(table.full_name)

    @dg.asset(
        key=key,
        deps=_dependencies(project, node),
        description=table.description,
        metadata=table_metadata(project.domain, node),
        automation_condition=when_inputs_change(_may_be_missing(project, node)),
        **_common(project.domain, table, node.code, {"duckdb", "parquet", "sql"}),
        check_specs=check_specs(node),
        partitions_def=partitions_of(project.domain, table),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        pool=POOL,
    )
    def build(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
        partitions = [WHOLE] if table.partition_column is None else list(context.partition_keys)
        with lake.open() as opened, as_failure():
            store = opened.workspace.store
            outcomes = rebuild_partitions(opened.connection, opened.state, node, partitions, context.run.run_id)
            for event in proof_materializations(outcomes):
                context.log_event(event)
            checks = list(check_results(opened.state, node, outcomes))
            if watched := watch_table(opened.connection, opened.state, node, dt.datetime.now(dt.UTC)):
                checks.append(anomaly_result(watched))
            if failure := failure_text(outcomes):
                _record_what_stands(context, node, outcomes, checks, opened.workspace.store)
                raise dg.Failure(failure, allow_retries=False)
            if table.partition_column is not None:
                for outcome in outcomes:
                    context.add_asset_metadata(outcome_metadata(store, node, outcome), key, outcome.partition)
            single = outcomes[0] if len(outcomes) == 1 else None
            return dg.MaterializeResult(
                metadata=outcome_metadata(store, node, single) if single else {"partitions": len(outcomes)},
                data_version=_data_version(single),
                check_results=checks,
            )

    return build


def _data_version(outcome: Outcome | None) -> dg.DataVersion | None:
    return dg.DataVersion(outcome.entry.content) if outcome and outcome.entry else None


def _record_what_stands(
    context: dg.AssetExecutionContext,
    node: Node,
    outcomes: Sequence[Outcome],
    checks: Sequence[dg.AssetCheckResult],
    store: ObjectStore,
) -> None:
    """Log what a failing run has published and found, because a failed step yields no results."""
    for outcome in outcomes:
        if outcome.status is Status.PUBLISHED:
            context.log_event(materialization(store, node, outcome))
    for check in checks:
        context.log_event(evaluation(check))


@contextmanager
def as_failure() -> Iterator[None]:
    """Turn Assay's own errors into failures that the UI shows as one sentence; other errors keep their stack."""
    try:
        yield
    except AssayError as error:
        raise dg.Failure(str(error)) from error


def _common(domain: Domain, declared: Source | Table, version: str, kinds: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "group_name": re.sub(r"\W", "_", declared.subject),
        "owners": [declared.owner],
        "code_version": version,
        "kinds": kinds,
        "tags": {"layer": declared.layer, "domain": domain.name},
    }
    if declared.freshness is not None:
        found["freshness_policy"] = dg.FreshnessPolicy.time_window(fail_window=declared.freshness)
    return found


def _dependencies(project: Project, node: Node) -> list[dg.AssetDep]:
    found: dict[dg.AssetKey, dg.AssetDep] = {}
    for relation in node.reads:
        key, window = asset_key(relation), node.table.windows.get(relation)
        # The folds of a source are one asset; where one of them is read through a window, the window determines the mapping.
        if key not in found or window is not None:
            mapping = mapping_of(node.table, _declared(project.domain, relation), window)
            found[key] = dg.AssetDep(key, partition_mapping=mapping)
    return list(found.values())


def _may_be_missing(project: Project, node: Node) -> tuple[dg.AssetKey, ...]:
    """The inputs of a table that need not have every partition: a day without events has none."""
    read = {asset_key(relation): _declared(project.domain, relation) for relation in node.reads}
    return tuple(key for key, declared in read.items() if declared.partition_column is not None)


def _declared(domain: Domain, relation: str) -> Source | Table:
    source = source_of(relation)
    return domain.tables[relation] if source is None else domain.sources[source]
