"""The alerts job and its triggers.

Belongs here: the job's one step, its schedule, and the sensor of failed runs. Does not belong here: what alerts say, and to whom
(`alerts`).

A failed run is reported at once. Everything else, such as lateness or resolved incidents, is checked every ten minutes: no run
is needed for a table to become late. Without a channel nothing is started.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assay.orchestration.assets import RETRIES, as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.resources import Lake
from assay.settings import Settings, read_settings

if TYPE_CHECKING:
    from assay.alerts.delivery import Channel

POOL = "alerts"
"""A pool of its own: an alert does not wait for the refresh that it is about."""
_NO_CHANNEL = "no channel is set (ASSAY_ALERTS_…)"


def build_alerts_job() -> dg.JobDefinition:
    """Make the job."""

    @dg.op(name="tell", pool=POOL, description="Find incidents, and send every channel those that it has not received.")
    def tell(context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]) -> None:
        # Imported late: loading the definitions needs none of it.
        from assay.alerts.incidents import Kind
        from assay.alerts.telling import tell_everything
        from assay.orchestration.run_status import failed_runs

        settings = read_settings()
        with as_failure():
            runs = failed_runs(context.instance)
            told = tell_everything(settings, _channels(settings), lake.open_workspace, runs, {Kind.RUN_FAILED})
        for record in told.book.open:
            incident = record.incident
            context.log.warning(f"{incident.table} {incident.scope}: {incident.kind.words}: {incident.text}")
        for channel, count in told.delivered.items():
            context.log.info(f"{count} incidents were sent to {channel}")
        if told.undelivered:
            # The channel was tried four times; the next run tries again.
            said = "\n".join(f"{channel}: {reason}" for channel, reason in told.undelivered.items())
            raise dg.Failure(f"Alerts were not sent to all channels.\n{said}", allow_retries=False)

    @dg.graph(name="tell_alerts", description="Send alerts about new and resolved incidents.")
    def tell_alerts() -> None:
        tell()

    return tell_alerts.to_job(name=Job.ALERTS.value, executor_def=dg.in_process_executor, op_retry_policy=RETRIES)


def alerts_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Make the schedule that runs every ten minutes."""

    @dg.schedule(
        cron_schedule="*/10 * * * *",
        job=job,
        name="alerts_every_ten_minutes",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Sends alerts about what has become late, what is resolved, and what could not be sent before.",
    )
    def every_ten_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return dg.RunRequest() if _channels(read_settings()) else dg.SkipReason(_NO_CHANNEL)

    return every_ten_minutes


def failed_run_sensor(job: dg.JobDefinition, monitored: list[Any]) -> dg.SensorDefinition:
    """Make the sensor that reports failed runs at once."""

    @dg.run_failure_sensor(
        name="failed_runs",
        monitored_jobs=monitored,
        request_job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the alerts job when a run has failed.",
    )
    def failed(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
        if not _channels(read_settings()):
            return dg.SkipReason(_NO_CHANNEL)
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return failed


def _channels(settings: Settings) -> "list[Channel]":
    # Imported late: loading the definitions needs none of it.
    from assay.alerts.channels import channels_of

    return channels_of(settings)
