"""Dagster's event log, kept open."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assay.orchestration.event_log import kept_open


@dg.job
def nothing() -> None:
    """A job of no steps."""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return dg.DagsterInstance.get()


def test_the_databases_of_a_run_keep_their_logs_while_they_are_open(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run_id = nothing.execute_in_process(instance=instance).run_id
    logs = {tmp_path / "history" / "runs" / f"{name}.db-wal" for name in (run_id, "index")}

    instance.report_runless_asset_event(dg.AssetMaterialization("before"))
    assert not any(log.exists() for log in logs)
    with kept_open(instance, run_id):
        instance.report_runless_asset_event(dg.AssetMaterialization("within"))
        assert all(log.exists() for log in logs)

    assert not any(log.exists() for log in logs)
    assert instance.get_latest_materialization_event(dg.AssetKey("within")) is not None


def test_an_instance_without_such_databases_is_left_alone(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as ephemeral, kept_open(ephemeral, "a run"):
        assert not list(tmp_path.rglob("*.db"))
