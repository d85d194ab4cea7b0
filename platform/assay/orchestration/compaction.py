"""The compaction job: merge small raw objects and those of histories, pack small partitions, so that readers open fewer of them.

Belongs here: the job's one step. Does not belong here: what is done, and in which order (`pipeline.upkeep`).

It changes no asset, and so records none. It may run beside a refresh, because the ledger decides which of two writers is first;
with a pool and one thread of its own, neither waits for the other.
"""

import dagster as dg

from assay.contracts import Domain
from assay.orchestration.assets import RETRIES, as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.resources import Lake
from assay.pipeline.upkeep import upkeep

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
            for step in upkeep(connection, workspace, domain.sources.values(), most_rows=ROWS_A_RUN):
                if not step.is_idle:
                    context.log.info(f"{step.subject}: {step.said}")

    @dg.graph(name="compact_raw", description="Merge the small raw objects that frequent batches leave. No table changes.")
    def compact_raw() -> None:
        compact_sources()

    return compact_raw.to_job(name=Job.COMPACT.value, executor_def=dg.in_process_executor, op_retry_policy=RETRIES)
