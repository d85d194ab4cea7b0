"""A bad partition: what is downstream of it stops, nothing else does, and the graph shows it until it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from change_lines import customer, order, text
from shop_lake import ShopLake
from stepping_lake import SteppingLake

from assay.orchestration.definitions import build_definitions
from assay.orchestration.recording import PROOF_CHECK, SCORE_CHECK
from assay.pipeline.runs import failed_partitions, refresh_table
from assay.pipeline.state import State

ORDERS, TOTALS = dg.AssetKey(["enriched", "orders"]), dg.AssetKey(["marts", "daily_totals"])
GOOD, BAD = ("2025-01-01", "2025-01-02", "2025-01-04"), "2025-01-03"


def bad_orders(amount: str = "-1", first: int = 100, op: str = "c") -> bytes:
    """Five orders of the bad day."""
    return text(*(order(f"bad{n}", first + n, day=BAD, amount=amount, op=op) for n in range(5)))


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with good days and a bad one."""
    lake = ShopLake(tmp_path)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "good.json", text(*(order(f"o{n}", 10 + n, day=day) for n, day in enumerate(GOOD))))
    lake.land("orders", "bad.json", bad_orders())
    return lake


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of its own."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def checks(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, bool]:
    """The last result of the checks of an asset."""
    found = {}
    for name in (PROOF_CHECK, SCORE_CHECK, "amount_at_least"):
        check = dg.AssetCheckKey(key, name)
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).get(check)
        if record is not None and record.event is not None:
            found[name] = record.event.dagster_event.asset_check_evaluation_data.passed
    return found


def refresh(lake: ShopLake, instance: dg.DagsterInstance) -> bool:
    job = build_definitions(lake.workspace.domain, SteppingLake(lake)).resolve_job_def("refresh")
    return job.execute_in_process(instance=instance, raise_on_error=False).success


def test_a_refresh_stops_downstream_of_the_bad_partition_and_nothing_else(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    assert not refresh(lake, instance)
    for key in (ORDERS, TOTALS, dg.AssetKey(["marts", "customer_weeks"])):
        assert instance.get_materialized_partitions(key) == set(GOOD), key
    for name in ("enriched/customers", "enriched/levels", "marts/shop_totals", "quality/partition_scores"):
        assert instance.get_latest_materialization_event(dg.AssetKey(name.split("/"))) is not None, name
    assert lake.rows("SELECT sum(order_count) FROM marts.shop_totals") == [(3,)]
    assert checks(instance, ORDERS) == {PROOF_CHECK: False, SCORE_CHECK: False, "amount_at_least": False}
    assert checks(instance, TOTALS)[PROOF_CHECK]

    # Another day does not hide it...
    lake.land("orders", "more.json", text(order("x", 200, day="2025-01-05")))
    assert not refresh(lake, instance)
    assert checks(instance, ORDERS) == {PROOF_CHECK: False, SCORE_CHECK: True, "amount_at_least": True}
    assert "2025-01-05" in instance.get_materialized_partitions(TOTALS)

    # ...and what mends it is seen.
    lake.land("orders", "mended.json", bad_orders("1.00", 300, "u"))
    assert refresh(lake, instance)
    assert checks(instance, ORDERS) == {PROOF_CHECK: True, SCORE_CHECK: True, "amount_at_least": True}
    assert BAD in instance.get_materialized_partitions(TOTALS)


def test_runs_of_single_partitions_stop_for_the_bad_one_alone(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    with lake.connection():
        lake.ingest("customers")
        lake.ingest("orders")
    definitions = build_definitions(lake.workspace.domain, SteppingLake(lake))
    assets = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)]

    def run(day: str) -> bool:
        resources = dict(definitions.resources or {})
        options = {"selection": [ORDERS, TOTALS], "partition_key": day, "resources": resources, "instance": instance}
        return dg.materialize(assets, raise_on_error=False, **options).success  # type: ignore[arg-type]

    assert [run(day) for day in (GOOD[0], BAD, GOOD[1])] == [True, False, True]
    for key in (ORDERS, TOTALS):
        assert instance.get_materialized_partitions(key) == set(GOOD[:2]), key
    assert not checks(instance, ORDERS)[PROOF_CHECK]


def test_automation_asks_for_what_is_downstream_of_good_partitions_alone(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(lake.workspace.domain, SteppingLake(lake))
    assets = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)]
    resources = dict(definitions.resources or {})

    def run(name: str, days: tuple[str, str] | None = None) -> None:
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]} if days else {}
        key = dg.AssetKey(name.split("/"))
        dg.materialize(assets, selection=[key], resources=resources, instance=instance, tags=tags, raise_on_error=False)

    for name in ("raw/customers", "enriched/customers"):
        run(name)
    result = dg.evaluate_automation_conditions(definitions, instance)
    for name in ("raw/orders", "enriched/orders"):
        run(name, ("2025-01-01", "2025-01-04"))
    result = dg.evaluate_automation_conditions(definitions, instance, cursor=result.cursor)
    requested = result.get_requested_partitions(TOTALS)
    assert set(GOOD) <= requested
    assert BAD not in requested


def test_a_release_that_is_taken_back_leaves_no_failure_behind(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    lake = ShopLake(tmp_path)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "good.json", text(*(order(f"o{n}", 10 + n, day=day) for n, day in enumerate(GOOD))))
    assert refresh(lake, instance)
    node = lake.workspace.project.nodes["enriched.orders"]
    loses = replace(node.query, sql=f"SELECT * FROM ({node.query.sql}) WHERE order_id <> 'o1'")
    release = replace(node, query=loses, code="release")
    with lake.connection() as connection:
        refresh_table(connection, State(lake.workspace), release, "release")
    assert failed_partitions(State(lake.workspace)).keys() == {"enriched.orders"}
    instance.report_runless_asset_event(dg.AssetCheckEvaluation(asset_key=ORDERS, check_name=PROOF_CHECK, passed=False))
    assert refresh(lake, instance)
    assert checks(instance, ORDERS)[PROOF_CHECK]
