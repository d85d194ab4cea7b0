"""Dagster's event log, kept open."""

from pathlib import Path

import dagster as dg
import pytest

from assay.orchestration.event_log import kept_open

CHECK = dg.AssetCheckKey(dg.AssetKey("made"), "sound")


@dg.op
def _make(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetMaterialization("made"))
    context.log_event(dg.AssetCheckEvaluation(asset_key=dg.AssetKey("made"), check_name="sound", passed=True))


@dg.job
def making() -> None:
    """A job that logs an asset and a check."""
    _make()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return dg.DagsterInstance.get()


def test_the_databases_keep_their_logs_while_they_are_open(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    folder = tmp_path / "history" / "runs"
    with kept_open(instance):
        run_id = making.execute_in_process(instance=instance).run_id
        assert {log.name for log in folder.glob("*-wal")} == {f"{run_id}.db-wal", "index.db-wal"}
        # Whoever reads beside sees it at once.
        assert _last_run_of_made() == run_id

    assert not list(folder.glob("*-wal"))
    assert _last_run_of_made() == run_id


def test_a_run_is_recorded_as_without(instance: dg.DagsterInstance) -> None:
    plain = making.execute_in_process(instance=instance).run_id
    with kept_open(instance):
        kept = making.execute_in_process(instance=instance).run_id
    after = making.execute_in_process(instance=instance).run_id

    recorded = [[entry.dagster_event_type for entry in instance.all_logs(run_id)] for run_id in (plain, kept, after)]
    assert recorded[0] == recorded[1] == recorded[2]
    run = instance.get_run_by_id(kept)
    assert run is not None and run.is_success
    checked = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=10)
    assert [record.run_id for record in checked] == [after, kept, plain]


def test_kept_open_twice_they_close_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with kept_open(instance):
        with kept_open(instance):
            making.execute_in_process(instance=instance)
        run_id = making.execute_in_process(instance=instance).run_id

    assert _last_run_of_made() == run_id
    assert not list(tmp_path.rglob("*-wal"))


def test_what_fails_in_a_database_does_not_spoil_the_next_event(instance: dg.DagsterInstance) -> None:
    with kept_open(instance):
        with pytest.raises(ZeroDivisionError), instance.event_log_storage.index_connection():  # type: ignore[attr-defined]
            raise ZeroDivisionError
        run_id = making.execute_in_process(instance=instance).run_id

    assert _last_run_of_made() == run_id


def test_an_instance_without_such_databases_is_left_alone(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as ephemeral, kept_open(ephemeral):
        assert not list(tmp_path.rglob("*.db"))


def _last_run_of_made() -> str:
    with dg.DagsterInstance.get() as other:
        event = other.get_latest_materialization_event(CHECK.asset_key)
    assert event is not None
    return event.run_id
