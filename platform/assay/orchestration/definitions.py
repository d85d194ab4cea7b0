"""A domain as Dagster definitions: the one function that a code location calls.

Belongs here: putting the parts together. Does not belong here: the parts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from assay.contracts import LATER, Domain
from assay.engine.project import load_project
from assay.loading import without_collecting
from assay.orchestration.alerting import alerts_schedule, build_alerts_job, failed_run_sensor
from assay.orchestration.assets import RETRIES, build_assets, proof_assets
from assay.orchestration.audit import build_audit_job
from assay.orchestration.compaction import build_compaction_job
from assay.orchestration.reconciling import build_reconcile_job, build_reconciliations, daily_reconciliation
from assay.orchestration.refresh import build_later_job, build_refresh_job, tables_of
from assay.orchestration.reporting import daily_report, report_asset, report_job
from assay.orchestration.resources import Lake
from assay.orchestration.sensing import daily_audit, hourly_compaction, hourly_refresh, landing_sensor, later_rebuild
from assay.settings import read_settings


def build_definitions(domain: Domain, lake: Lake | None = None) -> dg.Definitions:
    """Make the definitions of a domain. Only the domain's files are read; no server is contacted.

    Args:
        domain: The domain.
        lake: The lake that assets work on; None for the one in the settings. Tests pass their own.

    Raises:
        SqlError: SQL and contracts disagree; the message names file and line.
    """
    with quiet_beta(), without_collecting():
        return _build(domain, lake or Lake())


@contextmanager
def quiet_beta() -> Iterator[None]:
    """Suppress Dagster's warnings about its beta features, which would fill every log: we chose them knowingly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def _build(domain: Domain, lake: Lake) -> dg.Definitions:
    project = load_project(domain)
    refresh = build_refresh_job(project, RETRIES)
    tables = {cadence: tables_of(project, cadence) for cadence in LATER}
    later = {cadence: build_later_job(cadence, nodes, RETRIES) for cadence, nodes in tables.items() if nodes}
    audit = build_audit_job(project)
    compaction = build_compaction_job(domain)
    alerts = build_alerts_job()
    reconciliations = build_reconciliations(project, RETRIES)
    reconciling = [build_reconcile_job(reconciliations)] if reconciliations else []
    report = report_job()
    monitored = [refresh, *later.values(), compaction, audit, report, *reconciling]
    return dg.Definitions(
        assets=[
            *build_assets(project),
            *proof_assets(project),
            report_asset(),
            *([reconciliations] if reconciliations else []),
        ],
        jobs=[*monitored, alerts],
        sensors=[
            landing_sensor(domain, refresh, read_settings().sense_seconds),
            failed_run_sensor(alerts, monitored),
            dg.AutomationConditionSensorDefinition(
                "asset_by_asset",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.STOPPED,
                description="Lets automation conditions decide, asset by asset. Turn the landing sensor off first.",
            ),
        ],
        schedules=[
            hourly_refresh(refresh),
            *(later_rebuild(cadence, job) for cadence, job in later.items()),
            hourly_compaction(compaction),
            daily_audit(audit),
            alerts_schedule(alerts),
            daily_report(report),
            *(daily_reconciliation(domain, job) for job in reconciling),
        ],
        resources={"lake": lake},
        executor=dg.in_process_executor,
    )
