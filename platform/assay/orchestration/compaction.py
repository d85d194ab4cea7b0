"""The compaction job: merge small raw objects and those of the histories of proofs and restatements, and pack small partitions
of tables, so that readers open fewer of them.

Belongs here: the job's one step. Does not belong here: the merging itself (`landing.upkeep.compaction`, `pipeline.packing`,
`pipeline.score_compaction`, `pipeline.restatement_objects`), forgetting deleted rows before it (`pipeline.forgetting`).

It changes no asset, and so records none. It may run beside a refresh, because the ledger decides which of two writers is first;
with a pool and one thread of its own, neither waits for the other.
"""

import datetime as dt

import dagster as dg

from assay.contracts import Domain
from assay.landing.upkeep.compaction import compact
from assay.orchestration.assets import RETRIES, as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.resources import Lake
from assay.pipeline.forgetting import forget
from assay.pipeline.packing import pack
from assay.pipeline.restatement_objects import Merged, merge_restatements
from assay.pipeline.score_compaction import compact_proofs, restore_lost_proofs
from assay.pipeline.state import State

POOL = "compaction"
"""Runs of this pool go one after the other: two at once are safe, but merge the same things twice."""
THREADS = 1
ROWS_A_RUN = 20_000_000
"""Rows of a source after which a run leaves the rest to the next run."""


def build_compaction_job(domain: Domain) -> dg.JobDefinition:
    """Make the job."""

    @dg.op(
        name="compact",
        pool=POOL,
        description="Forget what was deleted long enough ago, merge small raw objects and proofs, pack small partitions.",
    )
    def compact_sources(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        with lake.open_workspace() as workspace, as_failure(), workspace.connection(THREADS) as connection:
            for source in domain.sources.values():
                gone = forget(workspace.store, connection, source, workspace.scratch, dt.datetime.now(dt.UTC))
                if gone.rows:
                    context.log.info(f"{source.full_name}: {gone.told}")
                done = compact(workspace.store, connection, source, workspace.scratch, most_rows=ROWS_A_RUN)
                if done.merges or done.removed:
                    context.log.info(
                        f"{source.full_name}: {done.objects:,} raw objects were merged into {len(done.merges):,}, "
                        f"{done.removed:,} replaced ones removed"
                    )
            state = State(workspace)
            for name, node in workspace.project.nodes.items():
                packed = pack(connection, state, node, dt.datetime.now(dt.UTC))
                if packed.months or packed.removed:
                    context.log.info(f"{name}: {packed.months:,} months were packed, {packed.removed:,} replaced packs removed")
            restored = restore_lost_proofs(connection, state)
            merged = compact_proofs(workspace.store, dt.datetime.now(dt.UTC))
            if restored or merged.objects:
                context.log.info(
                    f"history of proofs: {merged.proofs:,} were merged, {restored:,} of published partitions restored, "
                    f"{merged.removed:,} objects removed"
                )
            restatements = merge_restatements(connection, state, dt.datetime.now(dt.UTC))
            if restatements != Merged():
                context.log.info(
                    f"history of restatements: {restatements.objects:,} objects were merged, {restatements.removed:,} removed"
                )

    @dg.graph(name="compact_raw", description="Merge the small raw objects that frequent batches leave. No table changes.")
    def compact_raw() -> None:
        compact_sources()

    return compact_raw.to_job(name=Job.COMPACT.value, executor_def=dg.in_process_executor, op_retry_policy=RETRIES)
