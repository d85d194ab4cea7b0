"""The names of the jobs.

Belongs here: every job, so that none is forgotten by who looks after them. Does not belong here: what they do.
"""

from __future__ import annotations

from enum import StrEnum

from assay.contracts import Cadence


class Job(StrEnum):
    """A job, by its name in Dagster."""

    REFRESH = "refresh"
    HOURLY = Cadence.HOURLY.value
    DAILY = Cadence.DAILY.value
    COMPACT = "compact"
    AUDIT = "audit"
    RECONCILE = "reconcile"
    QUALITY_REPORT = "quality_report"
    ALERTS = "alerts"


MONITORED = tuple(job.value for job in Job if job is not Job.ALERTS)
"""The jobs whose failed runs are told of: all but the one that tells."""
