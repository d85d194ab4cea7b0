"""The asset of reconciliations, its job and its schedule.

Belongs here: turning results into Dagster events. Does not belong here: reconciling (`pipeline.reconciling`).

A difference between the lake and a control fails the control's check, not the run: a run fails when a control cannot be queried.
If no file of a control has ever landed, the check says so, and passes.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg

from assay.contracts import Control, ControlFile, Domain
from assay.engine.project import Project
from assay.errors import ControlError
from assay.orchestration.assets import as_failure
from assay.orchestration.jobs import Job
from assay.orchestration.metadata import asset_key, own_table_metadata
from assay.orchestration.recording import evaluation
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.controls import variable
from assay.pipeline.reconciling import Reconciled, Reconciling
from assay.quality.own_tables import RECONCILIATIONS
from assay.quality.reconciliation import DayResult
from assay.settings import read_settings

POOL = "reconciliation"
"""A pool of its own: it reads published data, and waits for no refresh."""
KEY = asset_key(RECONCILIATIONS.full_name)
NOTHING_LANDED = "no control has landed, and nothing was compared"
SHOWN = 20
"""Figures that differ, as the check shows them."""


def build_reconciliations(
    project: Project, retries: dg.RetryPolicy | None, only: Collection[str] = ()
) -> dg.AssetsDefinition | None:
    """Make the asset; None where the domain declares no controls.

    Args:
        project: The domain's tables.
        retries: The retry policy when a control cannot be queried; None for a run that a user is waiting for.
        only: Names of the controls to reconcile; all when empty.
    """
    controls = [control for control in project.domain.controls if not only or control.name in only]
    if not controls:
        return None

    @dg.asset(
        key=KEY,
        deps=sorted({asset_key(control.table) for control in controls}),
        description="Comparison of tables' daily totals with controls. The newest result of each day.",
        metadata=own_table_metadata(RECONCILIATIONS),
        group_name="quality",
        owners=sorted({project.domain.tables[control.table].owner for control in controls}),
        code_version=RECONCILIATIONS.version,
        kinds={"parquet"},
        tags={"layer": "quality", "domain": project.domain.name},
        check_specs=[_check_spec(project, control) for control in controls],
        retry_policy=retries,
        pool=POOL,
    )
    def reconciliations(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
        with lake.open() as opened:
            work = opened.reconciling or Reconciling(controls, read_settings().dsn)
            _run(context, opened, work)
        metadata = {found.control.name: _summary(found) for found in work.done}
        metadata |= {control.name: NOTHING_LANDED for control in work.waiting}
        checks = [*(_check_result(found) for found in work.done), *(_check_of_nothing(control) for control in work.waiting)]
        if work.failed:
            # A failed step yields no results, but the results were stored.
            for check in checks:
                context.log_event(evaluation(check))
            if metadata:
                context.log_event(dg.AssetMaterialization(KEY, metadata=metadata))
            may_pass = any(isinstance(error, ControlError) for error in work.failed.values())
            raise dg.Failure("\n".join(str(error) for error in work.failed.values()), allow_retries=may_pass)
        return dg.MaterializeResult(metadata=metadata, check_results=checks)

    return reconciliations


def build_reconcile_job(asset: dg.AssetsDefinition) -> Any:
    """Make the job; Dagster has no public name for the type of an asset job before it is resolved."""
    return dg.define_asset_job(
        Job.RECONCILE.value,
        selection=[asset],
        description="Compare tables with what controls say.",
        executor_def=dg.in_process_executor,
    )


def daily_reconciliation(domain: Domain, job: Any) -> dg.ScheduleDefinition:
    """Make the schedule that reconciles every morning, unless no control can be queried."""

    @dg.schedule(
        cron_schedule="45 6 * * *",
        job=job,
        name="daily_reconciliation",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares newly complete days, and those that differed before, with controls.",
    )
    def every_morning() -> dg.RunRequest | dg.SkipReason:
        dsns = read_settings().dsn
        needed = {None if isinstance(control.from_, ControlFile) else control.from_.dsn for control in domain.controls}
        if needed.isdisjoint({None, *dsns}):
            return dg.SkipReason(f"no connection string is set: {', '.join(sorted(variable(name) for name in needed if name))}")
        return dg.RunRequest()

    return every_morning


def _run(context: dg.AssetExecutionContext, opened: Opened, work: Reconciling) -> None:
    try:
        with as_failure():
            work.run(opened.connection, opened.state, dt.datetime.now(dt.UTC), context.run.run_id)
    except dg.Failure as failure:
        opened.error = failure.__cause__  # type: ignore[assignment]
        raise
    for found in work.done:
        context.log.info(f"{found.control.name}: {_summary(found)}")
    for control in work.waiting:
        context.log.info(f"{control.name}: {NOTHING_LANDED}")


def _check_spec(project: Project, control: Control) -> dg.AssetCheckSpec:
    table = project.domain.tables[control.table]
    measures = ", ".join(control.measures)
    return dg.AssetCheckSpec(
        control.name,
        asset=KEY,
        description=f"{control.table} has the same {measures} as {control.name} ({control.from_.kind}) on every complete day",
        metadata={"table": control.table, "by": ", ".join(control.by), "owner": table.owner},
    )


def _check_result(found: Reconciled) -> dg.AssetCheckResult:
    wrong = found.wrong
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=found.control.name,
        passed=not wrong,
        description=_summary(found),
        metadata={
            "days that differ": len(wrong),
            "figures compared": dg.MetadataValue.json(dict(found.counts)),
            "complete until": found.last_complete.isoformat(),
            **({"differences": differences(wrong)} if wrong else {}),
        },
    )


def _check_of_nothing(control: Control) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(asset_key=KEY, check_name=control.name, passed=True, description=NOTHING_LANDED)


def _summary(found: Reconciled) -> str:
    aside = f", {found.quarantined} of them differ by the rows in quarantine" if found.quarantined else ""
    return f"{len(found.wrong)} days differ; {len(found.compared)} were compared{aside}, complete until {found.last_complete}"


def differences(wrong: Sequence[DayResult]) -> dg.MetadataValue:
    """The newest figures that differ."""
    figures = [figure for result in reversed(wrong) for figure in result.figures if figure.match.is_wrong]
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "day": each.day.isoformat(),
                    "key": each.key or "",
                    "measure": each.measure,
                    "in the lake": "" if each.in_lake is None else f"{each.in_lake:,}",
                    "in quarantine": f"{each.in_quarantine:,}",
                    "in the control": "" if each.in_control is None else f"{each.in_control:,}",
                    "difference": f"{each.difference:+,}",
                    "status": str(each.match),
                }
            )
            for each in figures[:SHOWN]
        ]
    )
