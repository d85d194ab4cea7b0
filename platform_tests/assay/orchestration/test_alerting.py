"""Alerts through Dagster: the job, what starts it, and runs that fail."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from change_lines import order, text
from receivers import Answer, HttpReceiver, http_receiver
from shop_lake import ShopLake
from stepping_lake import SteppingLake

from assay.orchestration import refresh
from assay.orchestration.definitions import build_definitions
from assay.orchestration.run_status import failed_runs, job_runs


@pytest.fixture
def instance() -> dg.DagsterInstance:
    """An instance of its own."""
    return dg.DagsterInstance.ephemeral()


@pytest.fixture
def lake(tmp_path: Path) -> SteppingLake:
    """A shop in a folder."""
    return SteppingLake(ShopLake(tmp_path))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HttpReceiver]:
    """A webhook that settings name."""
    for name in [name for name in os.environ if name.startswith("ASSAY_ALERTS")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    with http_receiver() as receiver:
        monkeypatch.setenv("ASSAY_ALERTS_WEBHOOK", receiver.url)
        yield receiver


Run = Callable[[str], dg.ExecuteInProcessResult]


@pytest.fixture
def run(lake: SteppingLake, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a job; steps are not retried."""
    monkeypatch.setattr("assay.orchestration.definitions.RETRIES", None)
    monkeypatch.setattr("assay.orchestration.alerting.RETRIES", None)
    definitions = build_definitions(lake.shop.workspace.domain, lake)

    def execute(name: str) -> dg.ExecuteInProcessResult:
        return definitions.get_job_def(name).execute_in_process(instance=instance, raise_on_error=False)

    return execute


def kinds(bodies: list[Any], place: str) -> list[list[str]]:
    return [[incident["kind"] for incident in body[place]] for body in bodies]


def test_a_failed_proof_is_told_once_and_when_it_is_mended(lake: SteppingLake, hook: HttpReceiver, run: Run) -> None:
    lake.shop.land("orders", "1.json", text(order("o1", 1, amount="-1")))
    assert not run("refresh").success
    for _ in range(2):
        assert run("alerts").success
    assert kinds(hook.bodies, "opened") == [["threshold_crossed"]], "the failed run is no incident of its own"
    lake.shop.land("orders", "2.json", text(order("o1", 2, op="u")))
    assert run("refresh").success
    assert run("alerts").success
    assert kinds(hook.bodies, "over") == [[], ["threshold_crossed"]]


def test_a_run_that_failed_for_another_reason_is_told_until_one_succeeds(
    lake: SteppingLake, hook: HttpReceiver, run: Run, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("ann@x.example is no number")

    with monkeypatch.context() as patch:
        patch.setattr(refresh, "ingest_sources", broken)
        failed = run("refresh")
    assert not failed.success
    run("alerts")
    (incident,) = hook.bodies[0]["opened"]
    assert (incident["kind"], incident["table"]) == ("run_failed", "refresh")
    assert failed.run_id in incident["text"]
    assert "ann@x.example" not in json.dumps(hook.bodies)
    assert run("refresh").success
    run("alerts")
    assert kinds(hook.bodies, "over") == [[], ["run_failed"]]
    refreshed = {each.job: each for each in job_runs(instance)}["refresh"]
    assert refreshed.counts == {"success": 1, "failure": 1}
    assert refreshed.seconds is not None and 0 <= refreshed.seconds < 60


def test_a_run_that_will_be_tried_again_has_not_failed(lake: SteppingLake, run: Run, instance: dg.DagsterInstance) -> None:
    lake.gone = True
    failed = run("refresh")
    assert [incident.table for incident in failed_runs(instance)] == ["refresh"]
    instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    assert failed_runs(instance) == []


def test_a_channel_that_takes_nothing_fails_the_run_which_is_not_retried(
    lake: SteppingLake, hook: HttpReceiver, run: Run
) -> None:
    lake.shop.land("orders", "1.json", text(order("o1", 1, amount="-1")))
    run("refresh")
    hook.answers = [Answer(403)]
    result = run("alerts")
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "webhook: 127.0.0.1 answered 403" in str(failure.step_failure_data.user_failure_data)
    assert "SECRET" not in str(result.all_events)
    assert run("alerts").success
    assert kinds(hook.bodies, "opened") == [["threshold_crossed"]] * 2


def test_a_lake_that_is_gone_is_told(lake: SteppingLake, hook: HttpReceiver, run: Run) -> None:
    lake.gone = True
    assert run("alerts").success
    lake.gone = False
    assert run("alerts").success
    assert kinds(hook.bodies, "opened") == [["lake_gone"], []]
    assert kinds(hook.bodies, "over") == [[], ["lake_gone"]]


class TestStarting:
    def schedule(self, lake: SteppingLake, instance: dg.DagsterInstance) -> Any:
        definitions = build_definitions(lake.shop.workspace.domain, lake)
        schedule = definitions.get_schedule_def("alerts_every_ten_minutes")
        return schedule.evaluate_tick(dg.build_schedule_context(instance))

    def test_every_ten_minutes_when_there_is_a_channel(
        self, lake: SteppingLake, hook: HttpReceiver, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert len(self.schedule(lake, instance).run_requests) == 1
        monkeypatch.delenv("ASSAY_ALERTS_WEBHOOK")
        tick = self.schedule(lake, instance)
        assert not tick.run_requests
        assert "no channel" in tick.skip_message

    def test_at_once_when_a_run_has_failed(
        self, lake: SteppingLake, hook: HttpReceiver, run: Run, instance: dg.DagsterInstance
    ) -> None:
        lake.gone = True
        failed = run("refresh")
        sensor = build_definitions(lake.shop.workspace.domain, lake).get_sensor_def("failed_runs")
        event = next(event for event in failed.all_events if event.event_type_value == "PIPELINE_FAILURE")
        dagster_run = instance.get_run_by_id(failed.run_id)
        assert dagster_run is not None
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs", dagster_event=event, dagster_instance=instance, dagster_run=dagster_run
        ).for_run_failure()
        request = sensor(context)
        assert isinstance(request, dg.RunRequest)
        assert request.run_key == failed.run_id
        assert [job.name for job in sensor.jobs] == ["alerts"]
