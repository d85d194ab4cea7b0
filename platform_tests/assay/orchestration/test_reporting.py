"""The report as an asset of Dagster."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
from change_lines import order, text
from shop_lake import ShopLake
from stepping_lake import SteppingLake

from assay.orchestration.definitions import build_definitions
from assay.orchestration.reporting import REPORT


def test_the_job_writes_the_report_and_records_where_it_is(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    lake.land("orders", "1.json", text(order("o1", 1, amount="-1")))
    lake.run("first")
    instance = dg.DagsterInstance.ephemeral()
    definitions = build_definitions(lake.workspace.domain, SteppingLake(lake))
    job = definitions.get_repository_def().get_job("quality_report")
    assert job.execute_in_process(instance=instance).success
    event = instance.get_latest_materialization_event(REPORT)
    assert event is not None and event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    written = lake.store.path(f"quality/reports/{dt.datetime.now(dt.UTC).date()}.html")
    assert metadata["report"].value == written
    assert Path(written).exists()
    assert metadata["verdict"].value == "act"
    assert "Proof failed" in str(metadata["what needs somebody"].value)
    assert metadata["failed partitions"].value == 1


def test_the_schedule_runs_every_morning(tmp_path: Path) -> None:
    repository = build_definitions(ShopLake(tmp_path).workspace.domain).get_repository_def()
    (schedule,) = [each for each in repository.schedule_defs if each.name == "daily_quality_report"]
    assert schedule.cron_schedule == "15 7 * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
