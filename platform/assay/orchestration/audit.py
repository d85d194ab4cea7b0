"""The audit job: recompute and add up published partitions without publishing, and compare.

Belongs here: the job's one step. Does not belong here: how partitions are compared (`pipeline.verify`) and added up
(`pipeline.totals`).
"""

import dagster as dg

from assay.engine.project import Project
from assay.orchestration.assets import POOL, RETRIES, as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.resources import Lake
from assay.pipeline.totals import Totals, add_up, is_of_tables
from assay.pipeline.verify import Compared, verify_table

NEWEST = 7
"""The number of newest partitions of each table that the daily audit recomputes."""


def build_audit_job(project: Project) -> dg.JobDefinition:
    """Make the job."""

    @dg.op(
        name="audit",
        pool=POOL,
        description="Recompute the newest partitions of every table and compare content hashes; compare all totals with those of "
        "their inputs.",
    )
    def audit(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        different = []
        with lake.open() as opened, as_failure():
            for node in project.nodes.values():
                compared = verify_table(opened.connection, opened.state, node, newest=NEWEST)
                same = sum(each.is_same for each in compared)
                context.log.info(f"{node.table.full_name}: {same} of {len(compared)} partitions match their inputs")
                wrong: list[Compared | Totals] = [each for each in compared if not each.is_same]
                if is_of_tables(node):
                    added = add_up(opened.connection, opened.state, node)
                    context.log.info(f"{node.table.full_name}: {len(added)} partitions were compared with their inputs' totals")
                    wrong += [each for each in added if not each.is_equal]
                different += [f"{node.table.full_name} {each.partition}: {each.explanation}" for each in wrong]
        if different:
            raise dg.Failure("Published partitions differ from their inputs.\n" + "\n".join(different), allow_retries=False)

    @dg.graph(name="audit_published", description="Recompute published partitions and compare.")
    def audit_published() -> None:
        audit()

    return audit_published.to_job(name=Job.AUDIT.value, executor_def=dg.in_process_executor, op_retry_policy=RETRIES)
