"""The asset graph that a domain becomes, and what materializing it through Dagster records."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import bazaar
import dagster as dg
import parcels
import pytest
import shop
from change_lines import change, text
from shop_lake import ShopLake
from stepping_lake import SteppingLake
from tills import land_days, last_complete_day, run_all, till_lake

from assay.contracts import LATER, Domain
from assay.engine.project import Node, load_project
from assay.lake import ObjectStore
from assay.orchestration.definitions import build_definitions
from assay.orchestration.in_process import run_later
from assay.orchestration.jobs import MONITORED
from assay.orchestration.refresh import tables_of
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.outcome import Report, Unobserved
from assay.pipeline.state import State
from assay.settings import Settings
from payments import DOMAIN


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop in a folder."""
    return ShopLake(tmp_path)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    """An instance of its own."""
    return dg.DagsterInstance.ephemeral()


DAYS = ("2025-01-01", "2025-01-03")


def definitions(lake: ShopLake) -> dg.Definitions:
    return build_definitions(lake.workspace.domain, SteppingLake(lake))


def land_shop(lake: ShopLake, orders: int = 6) -> None:
    import json

    def change(table: str, position: int, **row: str) -> str:
        source = {"table": table, "lsn": position, "sequence": f'["{position}","{position}"]', "ts_ms": 1735689600000}
        return json.dumps({"before": None, "after": row, "op": "c", "ts_ms": 1735689600000, "source": source})

    lake.land(
        "customers", "c.json", text(*(change("customers", n, customer_id=f"c{n}", name="N", level="gold") for n in range(3)))
    )
    rows = [
        change("orders", 10 + n, order_id=f"o{n}", customer_id=f"c{n % 3}", amount="2.50", ordered_at=f"2025-01-0{1 + n % 3}")
        for n in range(orders)
    ]
    rows.append(change("orders", 99, order_id="bad", customer_id="c1", amount="-1", ordered_at="2025-01-01"))
    lake.land("orders", "o.json", text(*rows))


def materialized(instance: dg.DagsterInstance, *key: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(list(key))))


class TestGraph:
    def test_every_table_of_payments_is_an_asset_with_what_the_catalog_shows(self) -> None:
        repository = build_definitions(DOMAIN).get_repository_def()
        nodes = {node.key.to_user_string(): node for node in repository.asset_graph.asset_nodes}
        assert {
            "raw/transactions",
            "raw/customers",
            "enriched/transactions",
            "enriched/customers",
            "enriched/merchants",
            "enriched/fx_rates",
            "enriched/merchant_categories",
            "enriched/customer_risk",
            "marts/transactions_enriched",
            "marts/daily_revenue",
            "marts/merchant_daily",
            "marts/customer_lifetime",
        } <= nodes.keys()
        for name, node in nodes.items():
            assert node.description, name
            if name == "quality/report":
                # It is a page, and of everybody.
                assert "html" in node.kinds
                continue
            assert node.owners, name
            assert node.group_name != "default", name
            assert "parquet" in node.kinds, name
            assert node.metadata["dagster/column_schema"], name
            assert all(column.description for column in node.metadata["dagster/column_schema"].columns), name
        transactions = nodes["enriched/transactions"]
        assert transactions.metadata["dagster/column_lineage"]
        assert transactions.metadata["dagster/code_references"]
        assert transactions.code_version
        assert transactions.check_keys
        assert {key.to_user_string() for key in transactions.parent_keys} == {
            "raw/transactions",
            "raw/legacy_transactions",
            "enriched/customers",
        }

    def test_the_graph_is_the_one_that_was_reviewed(self) -> None:
        repository = build_definitions(shop.DOMAIN).get_repository_def()
        graph = {
            node.key.to_user_string(): sorted(key.to_user_string() for key in node.parent_keys)
            for node in repository.asset_graph.asset_nodes
        }
        tables = sorted(name.replace(".", "/") for name in shop.DOMAIN.tables)
        assert graph == {
            "raw/orders": [],
            "raw/customers": [],
            "enriched/customers": ["raw/customers"],
            "enriched/levels": ["raw/customers"],
            "enriched/orders": ["enriched/customers", "raw/orders"],
            "marts/daily_totals": ["enriched/orders"],
            "marts/customer_weeks": ["enriched/orders"],
            "marts/shop_totals": ["enriched/orders"],
            "quality/partition_scores": tables,
            "quality/rule_results": tables,
            "quality/report": [],
        }

    def test_a_backfill_of_any_table_is_one_run_for_its_range(self) -> None:
        graph = build_definitions(DOMAIN).get_repository_def().asset_graph
        cut = [node for node in graph.asset_nodes if node.is_partitioned]
        assert {"raw", "enriched", "marts"} == {node.key.path[0] for node in cut}
        assert {node.backfill_policy for node in cut} == {dg.BackfillPolicy.single_run()}

    def test_sensors_and_schedules_are_there(self) -> None:
        repository = build_definitions(shop.DOMAIN).get_repository_def()
        assert {sensor.name for sensor in repository.sensor_defs} == {"landing", "failed_runs", "asset_by_asset"}
        assert {schedule.name for schedule in repository.schedule_defs} == {
            "hourly_refresh",
            "hourly_compaction",
            "daily_audit",
            "alerts_every_ten_minutes",
            "daily_quality_report",
        }

    @pytest.mark.parametrize("domain", [shop.DOMAIN, bazaar.DOMAIN, DOMAIN], ids=["shop", "bazaar", "payments"])
    def test_every_job_is_looked_after_but_the_one_that_does_so(self, domain: Domain) -> None:
        definitions = build_definitions(domain)
        jobs = {job.name for job in definitions.jobs or ()}
        assert jobs - {"alerts"} <= set(MONITORED)
        scheduled = {schedule.job_name for schedule in definitions.get_repository_def().schedule_defs}
        assert scheduled <= jobs

    def test_each_cadence_has_a_job_of_its_own_tables(self) -> None:
        repository = build_definitions(bazaar.DOMAIN).get_repository_def()
        assert {"hourly_rebuild", "daily_rebuild"} <= {schedule.name for schedule in repository.schedule_defs}
        project = load_project(bazaar.DOMAIN)
        hourly, daily = (names(tables_of(project, cadence)) for cadence in LATER)
        assert {"marts.stall_hour", "marts.stall_day", "marts.stall_day_trend"} <= hourly
        assert {"marts.stall_week", "marts.stall_month", "marts.stall_year", "marts.stall_month_trend"} <= daily
        assert hourly | daily == bazaar.DOMAIN.generated.keys()


def names(nodes: list[Node]) -> set[str]:
    return {node.table.full_name for node in nodes}


class TestAnomalies:
    """Seven weeks of sales, the last day of which is odd."""

    @pytest.fixture
    def lake(self, tmp_path: Path) -> ShopLake:
        lake = till_lake(tmp_path)
        land_days(lake, last_complete_day(dt.datetime.now(dt.UTC)))
        run_all(lake)
        return lake

    def evaluations(self, result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
        events = (event for event in result.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION")
        found = (event.asset_check_evaluation_data for event in events)
        return [each for each in found if each.check_name == "no_anomalies"]

    def test_every_run_and_every_materialization_checks_watched_tables_and_blocks_nothing(
        self, lake: ShopLake, instance: dg.DagsterInstance
    ) -> None:
        asset, day = dg.AssetKey(["enriched", "sales"]), last_complete_day(dt.datetime.now(dt.UTC)).isoformat()
        repository = definitions(lake).get_repository_def()
        watched = {key.asset_key for key in repository.asset_graph.asset_check_keys if key.name == "no_anomalies"}
        assert watched == {asset}
        by_hand = dg.materialize([repository.assets_defs_by_key[asset]], partition_key=day, instance=instance)
        for result in (repository.get_job("refresh").execute_in_process(instance=instance), by_hand):
            assert result.success
            (check,) = self.evaluations(result)
            assert (check.asset_key, check.passed, check.severity) == (asset, False, dg.AssetCheckSeverity.WARN)
            assert check.description == f"2 anomalies on 1 of the 7 days up to {day}"
            (texts,) = check.metadata["anomalies"].value.values()
            assert any(text.startswith("rows: 8, expected 40") for text in texts)
        assert lake.rows("SELECT count(*) FROM quality.anomalies") == [(2,)]

    def test_several_jobs_with_one_report_say_each_anomaly_once(self, lake: ShopLake, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path / "home", lake=lake.store.uri)
        report = Report()
        for cadence in LATER:
            run_later(settings, lake.workspace, Unobserved(), report, cadence, [])
        ((day, texts),) = report.anomalies["enriched.sales"].items()
        assert day == last_complete_day(dt.datetime.now(dt.UTC)).isoformat()
        assert len(texts) == len(set(texts)) == 2


class TestCompaction:
    def test_it_merges_what_frequent_batches_left_and_dirties_nothing(
        self, lake: ShopLake, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("assay.landing.upkeep.compaction.AT_LEAST", 2)
        land_shop(lake)
        lake.ingest("orders")
        lake.land("orders", "more.json", (lake.folder / "landing/orders/o.json").read_bytes().replace(b'"o', b'"more'))
        lake.run()
        result = definitions(lake).get_job_def("compact").execute_in_process(instance=instance)
        assert result.success
        ledger = lake.ledger("orders")
        assert {partition: len({ledger.object_of(part) for part in parts}) for partition, parts in ledger.parts.items()} == {
            "2025-01-01": 1,
            "2025-01-02": 1,
            "2025-01-03": 1,
        }
        assert lake.run().computed == {}

    def test_it_forgets_what_was_deleted_long_enough_ago(self, tmp_path: Path, instance: dg.DagsterInstance) -> None:
        lake = ShopLake(tmp_path, parcels.DOMAIN)
        made = change("parcels", "c", 1, {"parcel_id": "p1", "grams": "5", "day": "2025-01-02"})
        gone = change("parcels", "d", 2, {"parcel_id": "p1"})
        lake.land("parcels", "1.json", text(made, gone))
        lake.run()
        assert definitions(lake).get_job_def("compact").execute_in_process(instance=instance).success
        assert lake.rows("SELECT count(*) FROM changes.parcels") == [(0,)]
        assert lake.run().computed == {}

    def test_it_does_not_wait_for_a_refresh(self, lake: ShopLake) -> None:
        jobs = definitions(lake)
        pools = {name: {node.pool for node in jobs.get_job_def(name).graph.iterate_op_defs()} for name in ("compact", "refresh")}
        assert pools == {"compact": {"compaction"}, "refresh": {"lake"}}


class TestRefresh:
    def test_it_records_exactly_what_it_published(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        result = definitions(lake).get_job_def("refresh").execute_in_process(instance=instance)
        assert result.success
        assert materialized(instance, "raw", "orders") == {"2025-01-01", "2025-01-02", "2025-01-03"}
        assert materialized(instance, "enriched", "orders") == {"2025-01-01", "2025-01-02", "2025-01-03"}
        event = instance.get_latest_materialization_event(dg.AssetKey(["enriched", "orders"]))
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.tags["dagster/data_version"]
        assert event.asset_materialization.metadata["dagster/partition_row_count"].value == 2

    def test_checks_carry_counts_examples_and_the_quarantine(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        result = definitions(lake).get_job_def("refresh").execute_in_process(instance=instance)
        checks = {
            event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data
            for event in result.all_events
            if event.event_type_value == "ASSET_CHECK_EVALUATION"
            and event.asset_check_evaluation_data.asset_key == dg.AssetKey(["enriched", "orders"])
        }
        broken = checks["amount_at_least"]
        assert not broken.passed
        assert broken.severity is dg.AssetCheckSeverity.WARN
        assert broken.metadata["broken"].value == 1
        (partition,) = broken.metadata["broken by partition"].records
        assert (partition.data["partition"], partition.data["broken"]) == ("2025-01-01", 1)
        assert broken.metadata["examples"].records[0].data["key"] == "order_id = bad"
        assert "quarantine/enriched/orders" in broken.metadata["quarantine"].value
        assert checks["books_balanced"].passed
        assert checks["order_id_required"].passed

    def test_what_did_not_change_wakes_nothing(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        job = definitions(lake).get_job_def("refresh")
        job.execute_in_process(instance=instance)
        lake.land("orders", "again.json", (lake.folder / "landing/orders/o.json").read_bytes())
        again = job.execute_in_process(instance=instance)
        published = [
            event.asset_key.to_user_string() for event in again.all_events if event.is_step_materialization and event.asset_key
        ]
        assert {name for name in published if not name.startswith("quality/")} == {"raw/orders"}

    def test_a_failed_proof_fails_the_run_and_says_what_to_do(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        import json

        source = {"table": "orders", "lsn": 1, "sequence": '["1","1"]', "ts_ms": 1}
        row = {"order_id": "o1", "customer_id": "c1", "amount": "-1", "ordered_at": "2025-01-01"}
        lake.land("orders", "o.json", text(json.dumps({"after": row, "op": "c", "ts_ms": 1, "source": source})))
        result = definitions(lake).get_job_def("refresh").execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        failure = next(event for event in result.all_events if event.is_step_failure)
        assert "enriched.orders 2025-01-01" in str(failure.step_failure_data.user_failure_data)
        assert materialized(instance, "enriched", "orders") == set()


class TestAssets:
    def test_a_range_is_one_run(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        defs = definitions(lake)
        self.materialize(defs, instance, ["raw", "customers"])
        self.materialize(defs, instance, ["enriched", "customers"])
        for key in (["raw", "orders"], ["enriched", "orders"], ["marts", "daily_totals"]):
            self.materialize(defs, instance, key, DAYS)
        assert materialized(instance, "marts", "daily_totals") == {"2025-01-01", "2025-01-02", "2025-01-03"}
        assert lake.rows("SELECT sum(order_count) FROM marts.daily_totals") == [(6,)]

    def test_one_partition_by_hand(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        lake.run()
        defs = definitions(lake)
        result = dg.materialize(
            list(defs.assets),
            selection=[dg.AssetKey(["enriched", "orders"])],
            partition_key="2025-01-02",
            resources=dict(defs.resources),
            instance=instance,
        )
        assert result.success
        assert {check.check_name for check in result.get_asset_check_evaluations()} >= {"books_balanced", "key_unique"}

    def test_inputs_that_change_request_their_readers_however_old(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        land_shop(lake)
        defs = definitions(lake)
        self.materialize(defs, instance, ["raw", "customers"])
        self.materialize(defs, instance, ["enriched", "customers"])
        result = dg.evaluate_automation_conditions(defs, instance)
        self.materialize(defs, instance, ["raw", "orders"], DAYS)
        self.materialize(defs, instance, ["enriched", "orders"], DAYS)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=result.cursor)
        assert result.get_requested_partitions(dg.AssetKey(["marts", "daily_totals"])) >= {"2025-01-01", "2025-01-03"}
        self.materialize(defs, instance, ["marts", "daily_totals"], DAYS)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=result.cursor)
        assert not result.get_requested_partitions(dg.AssetKey(["marts", "daily_totals"]))

    def materialize(
        self, defs: dg.Definitions, instance: dg.DagsterInstance, key: list[str], days: tuple[str, str] | None = None
    ) -> None:
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]} if days else {}
        result = dg.materialize(
            list(defs.assets), selection=[dg.AssetKey(key)], resources=dict(defs.resources), instance=instance, tags=tags
        )
        assert result.success


class TestLandingSensor:
    def evaluate(self, lake: ShopLake, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
        sensor = definitions(lake).get_sensor_def("landing")
        context = dg.build_sensor_context(instance=instance, resources={"lake": SteppingLake(lake)})
        result = sensor(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    def test_it_asks_once_for_what_has_landed(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        assert isinstance(self.evaluate(lake, instance), dg.SkipReason)
        land_shop(lake)
        first, second = self.evaluate(lake, instance), self.evaluate(lake, instance)
        assert isinstance(first, dg.SensorResult) and isinstance(second, dg.SensorResult)
        assert first.run_requests and second.run_requests
        assert first.run_requests[0].run_key == second.run_requests[0].run_key
        lake.run()
        assert isinstance(self.evaluate(lake, instance), dg.SkipReason)

    def test_a_file_that_is_still_being_written_is_left_alone(self, lake: ShopLake, instance: dg.DagsterInstance) -> None:
        import datetime as dt

        lake.land("orders", "o.json.tmp", b"half")
        lake.land("orders", "fresh.json", b"half", at=dt.datetime.now(dt.UTC))
        assert isinstance(self.evaluate(lake, instance), dg.SkipReason)


def test_the_whole_graph_of_a_simulated_company_on_real_s3(
    tmp_path: Path, s3_store: ObjectStore, instance: dg.DagsterInstance
) -> None:
    from assay.engine.connection import Limits
    from assay.lake.layout import landing_prefix
    from assay.pipeline.outcome import Report
    from assay.pipeline.runs import fill_report
    from assay.pipeline.workspace import Workspace
    from simulator import Company, produce

    company = Company(days=3, transactions_per_day=300)
    for file in produce(company, tmp_path / "files"):
        s3_store.put(landing_prefix(file.source) + file.name, file.path)
    workspace = Workspace(DOMAIN, s3_store, Limits("1GB", 2, tmp_path / "scratch"))
    report = Report()
    with workspace.connection() as connection:
        opened = Opened(workspace, connection, State(workspace), report)
        result = build_definitions(DOMAIN, Lake(opened)).get_job_def("refresh").execute_in_process(instance=instance)
        assert result.success
        fill_report(opened.state, report)
    assert all(books.balanced for books in report.books.values())
    assert report.partitions.failed == 0
    assert report.books["enriched.transactions"].rows.published > 900
    assert report.books["marts.merchant_daily"].rows.published == report.books["enriched.transactions"].rows.published
