"""What starts runs: the landing sensor and the schedules.

Belongs here: deciding when. Does not belong here: what a run does (`refresh`).
"""

import datetime as dt

import dagster as dg

from assay.contracts import Cadence, Domain
from assay.contracts.version import fingerprint
from assay.lake.ledger import LedgerLog
from assay.landing.ingest import find_outstanding
from assay.loading import without_collecting
from assay.orchestration.resources import Lake
from assay.pipeline.workspace import Workspace

_ABOUT_TO_RUN = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)


def landing_sensor(domain: Domain, job: dg.JobDefinition, seconds: int) -> dg.SensorDefinition:
    """Make the sensor that requests a refresh when something has landed.

    It keeps no cursor: the outstanding objects follow from the listing and the ledger alone. The run key names the outstanding
    objects and the hour, so that one set of files is requested once, and again after an hour if no run has taken it. While a
    refresh is queued, none is requested: it will take everything that has landed when it starts.

    Args:
        domain: The domain.
        job: The refresh job.
        seconds: How often it checks.
    """

    @dg.sensor(
        name="landing",
        job=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a refresh when change files have landed that are not yet ingested.",
    )
    def landing(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake]) -> dg.SensorResult | dg.SkipReason:
        now = dt.datetime.now(dt.UTC)
        waiting = dg.RunsFilter(job_name=job.name, statuses=_ABOUT_TO_RUN)
        if context.instance.get_runs_count(waiting):
            return dg.SkipReason("a refresh is about to run")
        with lake.open_workspace() as workspace:
            found = outstanding_objects(workspace, domain, now)
        if not found:
            return dg.SkipReason("nothing new has landed")
        by_source = {source: str(len(objects)) for source, objects in found.items()}
        key = fingerprint([found, now.strftime("%Y-%m-%dT%H")])
        tags = {f"assay.landed/{source}": count for source, count in by_source.items()}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, tags=tags)])

    return landing


def outstanding_objects(workspace: Workspace, domain: Domain, now: dt.datetime) -> dict[str, list[tuple[str, str]]]:
    """Key and version of every landing object that is not yet ingested, by source; sources without any are left out."""
    found: dict[str, list[tuple[str, str]]] = {}
    # Everything listed and read stays in use until it is compared: the garbage collector would scan it repeatedly in vain.
    with without_collecting():
        for source in domain.sources.values():
            ledger = LedgerLog(workspace.store, source.name).read()
            waiting = find_outstanding(workspace.store, source, ledger, now)
            if new := (*waiting.new, *waiting.edits):
                found[source.name] = [(info.key, info.etag) for info in new]
    return found


def hourly_refresh(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Make the schedule that refreshes every hour, whether or not the sensor has noticed anything."""
    return dg.ScheduleDefinition(
        name="hourly_refresh",
        job=job,
        cron_schedule="7 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Ingests what the sensor may have missed, and retries partitions whose inputs or code changed.",
    )


def later_rebuild(cadence: Cadence, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Make the schedule that updates the tables of a later cadence.

    The daily one runs when the first hours of the new day have brought most of the late data, and before the audit.
    """
    return dg.ScheduleDefinition(
        name=f"{cadence}_rebuild",
        job=job,
        cron_schedule={Cadence.HOURLY: "17 * * * *", Cadence.DAILY: "47 1 * * *"}[cadence],
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Rebuilds the dirty partitions of the {cadence} tables, which are not needed at once.",
    )


def hourly_compaction(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Make the schedule that merges and packs the small objects of the hour."""
    return dg.ScheduleDefinition(
        name="hourly_compaction",
        job=job,
        cron_schedule="37 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Merges the many small raw objects that frequent batches leave. No table changes, nothing is rebuilt.",
    )


def daily_audit(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Make the schedule that recomputes recently published partitions and compares."""
    return dg.ScheduleDefinition(
        name="daily_audit",
        job=job,
        cron_schedule="30 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Recomputes the newest partitions of every table from their inputs and compares content hashes.",
    )
