"""Reconciliations through Dagster: the asset, a check a control, the job and its schedule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import audited_shop
import dagster as dg
import pytest
from audited_shop import ROLLS
from change_lines import customer, order, text
from shop_lake import ShopLake
from stepping_lake import SteppingLake

from assay.orchestration.definitions import build_definitions
from assay.orchestration.reconciling import KEY, NOTHING_LANDED

CONTROLS = (replace(ROLLS, days=4000), audited_shop.LEDGER)
DOMAIN = replace(audited_shop.DOMAIN, controls=CONTROLS)
ROLL = "order_day,row_count,amount\n2025-01-03,{rows},10.00\n"


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with one order."""
    lake = ShopLake(tmp_path, DOMAIN)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "o.json", text(order("a", 2)))
    lake.run()
    return lake


def ran(lake: ShopLake, instance: dg.DagsterInstance, controls: int = 1) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(replace(DOMAIN, controls=CONTROLS[:controls]), SteppingLake(lake))
    return definitions.resolve_job_def("reconcile").execute_in_process(instance=instance, raise_on_error=False)


def test_a_day_that_differs_fails_the_check_and_no_run(lake: ShopLake) -> None:
    with dg.instance_for_test() as instance:
        for rows, passed in ((2, False), (1, True)):
            lake.store.put("controls/till_rolls-1.csv", ROLL.format(rows=rows).encode())
            result = ran(lake, instance)
            assert result.success
            (check,) = result.get_asset_check_evaluations()
            assert (check.check_name, check.passed, check.asset_key) == ("till_rolls", passed, KEY)
            if not passed:
                assert check.metadata["days that differ"].value == 1
                (record,) = check.metadata["differences"].records
                assert record.data == {
                    "day": "2025-01-03",
                    "key": "",
                    "measure": "row_count",
                    "in the lake": "1.0000",
                    "in quarantine": "0.0000",
                    "in the control": "2.0000",
                    "difference": "-1.0000",
                    "status": "different",
                }
        (materialized,) = result.asset_materializations_for_node("quality__reconciliations")
        assert "0 days differ; 1 were compared" in str(materialized.metadata["till_rolls"].value)


def test_a_control_that_cannot_be_asked_fails_the_run_and_keeps_what_others_found(lake: ShopLake) -> None:
    lake.store.put("controls/till_rolls-1.csv", ROLL.format(rows=1).encode())
    with dg.instance_for_test() as instance:
        result = ran(lake, instance, controls=2)
        assert not result.success
        (logged,) = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        check = logged.get_dagster_event().asset_check_evaluation_data
        assert (check.check_name, check.passed) == ("till_rolls", True)
        assert instance.get_latest_materialization_event(KEY) is not None
    assert lake.rows("SELECT count(*) FROM quality.reconciliations") == [(2,)]


def test_a_control_that_nothing_has_landed_of_passes_and_says_so(lake: ShopLake) -> None:
    with dg.instance_for_test() as instance:
        result = ran(lake, instance)
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        assert (check.check_name, check.passed, check.description) == ("till_rolls", True, NOTHING_LANDED)
        (materialized,) = result.asset_materializations_for_node("quality__reconciliations")
        assert materialized.metadata["till_rolls"].value == NOTHING_LANDED


def test_a_day_that_only_quarantine_explains_passes_and_says_so(lake: ShopLake) -> None:
    lake.land("orders", "bad.json", text(order("b", 3, amount="-1.00")))
    lake.run("bad")
    lake.store.put("controls/till_rolls-1.csv", b"order_day,row_count,amount\n2025-01-03,2,9.00\n")
    with dg.instance_for_test() as instance:
        (check,) = ran(lake, instance).get_asset_check_evaluations()
    assert check.passed
    assert "0 days differ; 1 were compared, 1 of them differ by the rows in quarantine" in str(check.description)


def test_the_graph_has_it_where_there_are_controls() -> None:
    repository = build_definitions(DOMAIN).get_repository_def()
    (node,) = [node for node in repository.asset_graph.asset_nodes if node.key == KEY]
    assert {key.to_user_string() for key in node.parent_keys} == {"enriched/orders", "marts/daily_totals"}
    assert {key.name for key in node.check_keys} == {"till_rolls", "ledger"}


def test_the_schedule_waits_for_a_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    def tick(controls: slice) -> dg.RunRequest | dg.SkipReason:
        definitions = build_definitions(replace(DOMAIN, controls=CONTROLS[controls]))
        schedule = definitions.resolve_schedule_def("daily_reconciliation")
        with dg.instance_for_test() as instance, dg.build_schedule_context(instance) as context:
            evaluated = schedule.evaluate_tick(context)
        return (evaluated.run_requests or [dg.SkipReason(evaluated.skip_message)])[0]

    assert isinstance(tick(slice(0, 2)), dg.RunRequest)
    waiting = tick(slice(1, 2))
    assert isinstance(waiting, dg.SkipReason) and "ASSAY_DSN__LEDGER" in str(waiting.skip_message)
    monkeypatch.setenv("ASSAY_DSN__LEDGER", "postgresql://127.0.0.1/d")
    assert isinstance(tick(slice(1, 2)), dg.RunRequest)
