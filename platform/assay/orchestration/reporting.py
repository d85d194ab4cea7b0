"""The quality report as an asset, and the schedule that writes it every morning.

Belongs here: the asset's one step, its job and schedule. Does not belong here: the report's content (`pipeline.reporting`),
its layout (`report`).
"""

import datetime as dt
from typing import Any

import dagster as dg

from assay.orchestration.assets import RETRIES, as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.resources import Lake

REPORT = dg.AssetKey(["quality", "report"])
POOL = "report"
"""A pool of its own: the report reads the current state, and neither waits for a refresh nor delays one."""
_TOLD = 20


def report_asset() -> dg.AssetsDefinition:
    """Make the asset. It has no dependencies: it shows the current state, whatever has failed."""

    @dg.asset(
        key=REPORT,
        group_name="quality",
        kinds={"html"},
        pool=POOL,
        retry_policy=RETRIES,
        description="One HTML file a day: scores and trends, worst rules, quarantine by age, anomalies, books, freshness.",
    )
    def quality_report(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
        # Imported late: loading the definitions needs none of it.
        from assay.pipeline.reporting import collect_report
        from assay.report.daily import write_report
        from assay.report.words import concerns, sentence, verdict

        now = dt.datetime.now(dt.UTC)
        with lake.open() as opened, as_failure():
            report = collect_report(opened.connection, opened.state, now, now)
            key = write_report(opened.workspace.store, report)
            location = opened.workspace.store.path(key)
        found = concerns(report)
        lines = [f"- **{each.kind}** {each.about}: {each.text} (`{each.command}`)" for each in found[:_TOLD]]
        context.log.info(f"{sentence(report)} {location}")
        metadata: dict[str, dg.MetadataValue | str | int | float] = {
            "report": dg.MetadataValue.path(location),
            "how good the data are": sentence(report),
            "verdict": str(verdict(report)),
            "what needs somebody": dg.MetadataValue.md("\n".join(lines) or "nothing"),
            "failed partitions": len(report.failures),
            "records in quarantine": report.standing,
        }
        if report.score is not None:
            metadata["score"] = report.score
        return dg.MaterializeResult(metadata=metadata)

    return quality_report


def report_job() -> Any:
    """Make the job that writes the report; Dagster has no public name for the type of an unresolved asset job."""
    return dg.define_asset_job(
        Job.QUALITY_REPORT.value,
        selection=dg.AssetSelection.assets(REPORT),
        description="Write the daily quality report.",
        executor_def=dg.in_process_executor,
    )


def daily_report(job: Any) -> dg.ScheduleDefinition:
    """Make the schedule that writes the report, after the day's reconciliation."""
    return dg.ScheduleDefinition(
        name="daily_quality_report",
        job=job,
        cron_schedule="15 7 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Writes the quality report of the day to the lake.",
    )
