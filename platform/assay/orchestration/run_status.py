"""The status of jobs' runs, from the Dagster instance.

Belongs here: reading it for alerts and metrics. Does not belong here: alerting (`alerting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from assay.orchestration.jobs import MONITORED

if TYPE_CHECKING:
    from assay.alerts.exposition import JobRuns
    from assay.alerts.incidents import Incident

FAILED_BY_DATA = "assay/failed_by"
"""Tag of runs that failed because of data: the lake has those incidents, so the run is not one of its own."""
_WILL_RETRY = "dagster/will_retry"


def failed_runs(instance: dg.DagsterInstance) -> list[Incident]:
    """An incident for each monitored job whose last run failed for a reason other than data, and will not be retried."""
    # Imported late, as below: every run needs this module for its tag, and nothing of alerts.
    from assay.alerts.incidents import Incident, Kind

    found = []
    for job in MONITORED:
        record = _last(instance, job, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
        if record is None or record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            continue
        tags = record.dagster_run.tags
        if FAILED_BY_DATA not in tags and tags.get(_WILL_RETRY) != "true":
            text = f"its last run failed after all retries: {record.dagster_run.run_id}. The Dagster UI says why"
            found.append(Incident(Kind.RUN_FAILED, job, "", text))
    return found


def job_runs(instance: dg.DagsterInstance) -> list[JobRuns]:
    """Count the runs of each monitored job, and time the last successful one."""
    from assay.alerts.exposition import JobRuns

    found = []
    for job in MONITORED:
        counts = {
            status.value.lower(): instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[status]))
            for status in dg.DagsterRunStatus
        }
        last = _last(instance, job, dg.DagsterRunStatus.SUCCESS)
        ended = last.end_time if last else None
        took = ended - last.start_time if last and ended is not None and last.start_time is not None else None
        found.append(JobRuns(job, {status: count for status, count in counts.items() if count}, ended, took))
    return found


def _last(instance: dg.DagsterInstance, job: str, *statuses: dg.DagsterRunStatus) -> dg.RunRecord | None:
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=list(statuses)), limit=1)
    return records[0] if records else None
