"""The report as an asset of Dagster."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg
from change_lines import order, text
from shop_lake import ShopLake

from assay.orchestration.definitions import build_definitions
from assay.orchestration.reporting import REPORT
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.state import State


class OneLake(Lake):
    """A shop, opened anew for every step."""

    def __init__(self, shop: ShopLake) -> None:
        super().__init__()
        self.shop = shop

    @contextmanager
    def open(self):  # type: ignore[no-untyped-def]
        """One step's lake."""
        with self.shop.workspace.connection() as connection:
            yield Opened(self.shop.workspace, connection, State(self.shop.workspace))

    def open_workspace(self):  # type: ignore[no-untyped-def]
        """The lake, to look at."""
        return nullcontext(self.shop.workspace)


def test_the_job_writes_the_report_and_records_where_it_is(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    lake.land("orders", "1.json", text(order("o1", 1, amount="-1")))
    lake.run("first")
    instance = dg.DagsterInstance.ephemeral()
    definitions = build_definitions(lake.workspace.domain, OneLake(lake))
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
