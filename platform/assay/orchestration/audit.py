"""The audit job: recompute what is published, publish nothing, compare.

Belongs here: the job's one step. Does not belong here: how partitions are compared (`pipeline.verify`).
"""

import dagster as dg

from assay.engine.project import Project
from assay.orchestration.assets import POOL, RETRIES, as_failure
from assay.orchestration.resources import Lake
from assay.pipeline.verify import verify_table

NEWEST = 7
"""Partitions of each table that the daily audit recomputes."""


def build_audit_job(project: Project) -> dg.JobDefinition:
    """Make the job."""

    @dg.op(name="audit", pool=POOL, description="Recompute the newest partitions of every table and compare content hashes.")
    def audit(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        different = []
        with lake.open() as opened, as_failure():
            for node in project.nodes.values():
                compared = verify_table(opened.connection, opened.state, node, newest=NEWEST)
                same = sum(each.is_same for each in compared)
                context.log.info(f"{node.table.full_name}: {same} of {len(compared)} partitions are what their inputs give")
                different += [
                    f"{node.table.full_name} {each.partition}: {each.explanation}" for each in compared if not each.is_same
                ]
        if different:
            raise dg.Failure("Published partitions differ from their inputs.\n" + "\n".join(different), allow_retries=False)

    @dg.graph(name="audit_published", description="Recompute published partitions and compare.")
    def audit_published() -> None:
        audit()

    return audit_published.to_job(name="audit", executor_def=dg.in_process_executor, op_retry_policy=RETRIES)
