"""What is wrong, found in lakes where it is."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import audited_shop
import duckdb
import pytest
from change_lines import change, customer, order, text
from one_source import lake_of
from shop_lake import ShopLake

from assay.alerts import conditions
from assay.alerts.conditions import Looked, anomalies, differing, failed_proofs, look_at_lake
from assay.alerts.incidents import Incident, Kind
from assay.contracts import Event, Money, column
from assay.errors import StoreUnavailable
from assay.lake.layout import failures_key
from assay.landing.formats import Debezium
from assay.pipeline.dropping import Dropped, write_drop
from assay.pipeline.failures import Failure, write_failures
from assay.pipeline.quarantined import Selection, records
from assay.pipeline.reconciling import reconcile
from assay.pipeline.runs import refresh_table
from assay.pipeline.state import State
from assay.pipeline.watching import Watched
from assay.quality.anomalies import Anomaly
from assay.quality.profile import Metric

D3, D4 = "2025-01-03", "2025-01-04"


def look(lake: ShopLake, days: float = 0) -> Looked:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    with lake.connection() as connection:
        return look_at_lake(connection, State(lake.workspace), now)


def wrong(lake: ShopLake, days: float = 0) -> list[Incident]:
    return list(look(lake, days).incidents)


def test_nothing_is_wrong_with_an_empty_lake(lake: ShopLake) -> None:
    assert wrong(lake) == []


def test_nothing_is_wrong_with_a_good_one(lake: ShopLake) -> None:
    lake.land("orders", "1.json", text(order("o1", 1), order("o2", 2, day=D4)))
    lake.run()
    assert wrong(lake) == []


class TestProof:
    def test_a_score_below_the_threshold_is_told_until_it_is_mended(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(order("o1", 1, amount="-1"), order("o2", 2, day=D4)))
        lake.run("first")
        (incident,) = wrong(lake)
        assert incident.key == ("threshold_crossed", "enriched.orders", D3)
        assert "the quality score is 0.00, below the threshold of 50" in incident.text
        assert "found by run first" in incident.text
        assert incident.owner == "team:shop"
        lake.land("orders", "2.json", text(order("o1", 3, op="u")))
        lake.run("second")
        assert wrong(lake) == []

    def test_any_other_problem_is_a_failed_proof(self, lake: ShopLake) -> None:
        table = lake.workspace.domain.tables["enriched.orders"]
        problems = ("the quality score is low", "5 rows repeat a key")
        failures = {
            "2025-01-01": Failure("x", problems[:1], "run", below_threshold=True),
            "2025-01-02": Failure("x", problems[1:], "run"),
            "2025-01-03": Failure("x", problems, "run", below_threshold=True),
        }
        write_failures(lake.store, table, failures, ())
        assert [(incident.kind, incident.scope) for incident in failed_proofs(State(lake.workspace))] == [
            (Kind.THRESHOLD_CROSSED, "2025-01-01"),
            (Kind.PROOF_FAILED, "2025-01-02"),
            (Kind.THRESHOLD_CROSSED, "2025-01-03"),
            (Kind.PROOF_FAILED, "2025-01-03"),
        ]

    def test_failures_of_before_are_read(self, lake: ShopLake) -> None:
        table = lake.workspace.domain.tables["enriched.orders"]
        old = {D3: {"made_from": "x", "problems": ["p"], "run_id": "r"}}
        lake.store.put(failures_key(table), json.dumps(old).encode())
        assert [incident.kind for incident in wrong(lake)] == [Kind.PROOF_FAILED]

    @pytest.mark.parametrize(
        ("sql", "said", "kept"),
        [
            ("CAST(order_id AS INTEGER)", "O'Brien 1985", "orders.sql failed on the data (ConversionException, INT32)"),
            ("CAST(1985999999 + length(order_id) AS SMALLINT)", "1986000011", "ConversionException, INT16)"),
            ("CAST(length(order_id) AS BIGINT) * 9223372036854775807", "922337", "OutOfRangeException, INT64)"),
            ("error(order_id)", "O'Brien", "orders.sql failed on the data (InvalidInputException)"),
        ],
    )
    def test_no_value_leaves_the_house(self, lake: ShopLake, sql: str, said: str, kept: str) -> None:
        lake.land("orders", "1.json", text(order("O'Brien 1985", 1)))
        lake.ingest("orders")
        node = lake.workspace.project.nodes["enriched.orders"]
        fails = replace(node.query, sql=f"SELECT * REPLACE (({sql})::VARCHAR AS note) FROM ({node.query.sql})")
        with lake.connection() as connection:
            state = State(lake.workspace)
            _, (outcome,) = refresh_table(connection, state, replace(node, query=fails), "run")
        (incident,) = failed_proofs(state)
        assert said in outcome.problems[-1], "logs and the command line have it"
        assert kept in incident.text
        assert said not in incident.text and "Brien" not in incident.text and "1985" not in incident.text


class Orders(Event):
    """Orders."""

    order_id: str = column("Key")
    amount: Money = column("Amount", nullable=True)


class Coloured(Orders):
    """Orders with a colour."""

    colour: str = column("Colour", nullable=True)


class TestProducers:
    def lake(self, folder: Path, model: type[Event] = Orders, **said: Any) -> ShopLake:
        return lake_of(folder, "orders", model, format=Debezium(table="orders"), key=("order_id",), **said)

    def line(self, key: str, position: int, **columns: Any) -> str:
        return change("orders", "c", position, {"order_id": key, "amount": "10.00"} | columns)

    def test_a_new_column_is_drift_until_it_is_declared_or_discarded(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        lake.land("orders", "1.json", text(self.line("o1", 1)))
        lake.ingest("orders")
        assert wrong(lake) == []
        lake.land("orders", "2.json", text(self.line("o2", 2, colour="secret-red")))
        lake.ingest("orders")
        (incident,) = wrong(lake)
        assert incident.key == ("drift", "raw.orders", "colour")
        assert "secret" not in incident.text
        assert wrong(self.lake(tmp_path, Coloured)) == []
        assert wrong(self.lake(tmp_path, drift="discard")) == []

    def test_objects_that_are_held_back_are_one_incident_a_reason_and_say_no_value(self, tmp_path: Path) -> None:
        lake = self.lake(tmp_path)
        for number in range(3):
            lines = (self.line(f"o{number}{n}", 1, amount=f"secret{n}") for n in range(4))
            lake.land("orders", f"{number}.json", text(*lines))
        lake.ingest("orders")
        (incident,) = wrong(lake)
        assert incident.key == ("held", "raw.orders", "the type of amount has changed")
        assert incident.text.startswith("3 landing objects are not ingested, the first is landing/orders/0.json")
        assert "secret" not in incident.text


class TestLate:
    def test_it_says_since_when_and_what_may_be(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(vars(lake.workspace.domain.tables["enriched.orders"]), "freshness", dt.timedelta(hours=26))
        lake.land("orders", "1.json", text(order("o1", 1)))
        lake.run()
        assert wrong(lake, days=1) == []
        (incident,) = wrong(lake, days=2)
        assert incident.key == ("late", "enriched.orders", "")
        assert incident.text.endswith("UTC; the limit is 26 hours; its newest partition is 2025-01-03")
        assert wrong(lake, days=3) == [incident], "its words stay while it does"


class TestQuarantine:
    """One rejected row, and one record that cannot be read, both a day old."""

    @pytest.fixture
    def lake(self, tmp_path: Path) -> ShopLake:
        lake = ShopLake(tmp_path)
        lines = [order("bad", 1, amount="-1"), "{broken", *(order(f"ok{n}", 1) for n in range(3))]
        lake.land("orders", "1.json", text(*lines), dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
        lake.run()
        return lake

    def old(self, lake: ShopLake, days: float) -> list[str]:
        found = [incident for incident in wrong(lake, days) if incident.kind is Kind.QUARANTINE_OLD]
        assert all(incident.scope == "" for incident in found)
        return [incident.table for incident in found]

    def test_what_is_there_for_too_long_is_an_incident_a_table_or_source(self, lake: ShopLake) -> None:
        assert self.old(lake, 5.9) == []
        assert self.old(lake, 6.1) == ["raw.orders", "enriched.orders"]
        record, row = (incident for incident in wrong(lake, 6.1) if incident.kind is Kind.QUARANTINE_OLD)
        day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date()
        assert row.text == (
            "in quarantine for more than 7 days: 1 that broke amount_at_least, 1 that broke customer_known; "
            f"the first since {day}. See `assay quarantine list enriched.orders`"
        )
        assert record.text.startswith("in quarantine for more than 7 days: 1 that broke readable;")
        assert (row.owner, record.owner) == ("team:shop", "team:shop")

    def test_it_counts_from_landing_and_not_from_the_last_rebuild(self, lake: ShopLake) -> None:
        lake.land("orders", "2.json", text(order("ok9", 1)), dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
        lake.run()
        assert "enriched.orders" in self.old(lake, 6.1)

    def test_each_table_and_source_has_a_limit_of_its_own(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(vars(lake.source("orders")), "quarantine_age", dt.timedelta(hours=12))
        assert self.old(lake, 0) == ["raw.orders"]
        monkeypatch.setitem(vars(lake.workspace.domain.tables["enriched.orders"]), "quarantine_age", dt.timedelta(days=30))
        assert self.old(lake, 20) == ["raw.orders"]

    def test_what_was_dropped_or_has_left_is_over(self, lake: ShopLake) -> None:
        with lake.connection() as connection:
            source = lake.source("orders")
            (record,) = records(connection, State(lake.workspace), source, Selection())
        write_drop(lake.store, "raw.orders", [Dropped(record.id, record.object, record.line)], "ann", "a test")
        lake.land("orders", "2.json", text(order("bad", 2, op="u")))
        lake.run()
        assert self.old(lake, 100) == []


DAY = dt.date(2025, 3, 4)


def odd(day: dt.date, region: str | None = None, metric: Metric = Metric.VOLUME, score: float = -9.0) -> Anomaly:
    return Anomaly(day, metric, None, None, region, 12.0, 100.0, -0.88, score, 9, None)


class TestAnomalies:
    def incidents(self, lake: ShopLake, *found: Anomaly) -> list[Incident]:
        return list(anomalies([Watched(lake.workspace.domain.tables["enriched.orders"], DAY, found)]))

    def test_all_figures_of_a_region_are_one_incident_that_says_the_worst_of_the_newest_day(self, lake: ShopLake) -> None:
        scores = [-5.0, -9.0, -7.0, -3.5]
        newest = [odd(DAY, "EMEA", score=score) for score in scores]
        (incident,) = self.incidents(lake, odd(DAY - dt.timedelta(days=1), "EMEA", score=-99), *newest)
        assert incident.key == ("anomaly", "enriched.orders", "EMEA")
        assert incident.owner == "team:shop"
        said = "; ".join(
            f"rows in EMEA: 12, expected 100 (-88%, score {score}, 9 like days)" for score in ("-9.0", "-7.0", "-5.0")
        )
        assert incident.text == f"2025-03-04: {said}; and 1 more figures. See `assay anomalies enriched.orders`"

    def test_it_is_the_same_incident_the_day_after_and_another_in_another_region(self, lake: ShopLake) -> None:
        first = self.incidents(lake, odd(DAY - dt.timedelta(days=1)))
        second = self.incidents(lake, odd(DAY), odd(DAY, "APAC"))
        assert first[0].key == second[0].key == ("anomaly", "enriched.orders", "")
        assert [incident.scope for incident in second] == ["", "APAC"]

    def test_it_is_over_after_three_days(self, lake: ShopLake) -> None:
        assert self.incidents(lake, odd(DAY - dt.timedelta(days=2)))
        assert self.incidents(lake, odd(DAY - dt.timedelta(days=3))) == []


def test_a_table_that_differs_from_its_control_is_one_until_they_agree(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path, audited_shop.DOMAIN)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "o.json", text(order("a", 2), order("b", 3, day=D4)))
    lake.run()

    def compare(second: str, hour: int) -> list[Incident]:
        rolls = f"order_day,row_count,amount\n{D3},1,10.00\n{D4},1,{second}\n"
        lake.store.put("controls/till_rolls-1.csv", rolls.encode())
        with lake.connection() as connection:
            state, now = State(lake.workspace), dt.datetime(2025, 1, 6, hour, tzinfo=dt.UTC)
            reconcile(connection, state, audited_shop.ROLLS, {}, now, f"run {second}")
            return list(differing(connection, state))

    (incident,) = compare("77.25", 12)
    assert incident.key == ("differs", audited_shop.ROLLS.table, audited_shop.ROLLS.name)
    assert incident.text.startswith(f"1 days differ, the newest is {D4}, as compared at 2025-01-06 12:00 UTC.")
    assert "77.25" in incident.detail and "77.25" not in incident.text
    assert compare("10.00", 13) == []


def test_the_lake_knows_every_kind_but_two(lake: ShopLake) -> None:
    assert set(Kind) - look(lake).judged == {Kind.RUN_FAILED, Kind.LAKE_GONE}


class TestUnseen:
    def test_an_object_that_cannot_be_read_hides_nothing_else(self, lake: ShopLake) -> None:
        good = [order(f"ok{n}", 10 + n, day=D4) for n in range(5)]
        lake.land("orders", "1.json", text(order("o1", 1, amount="-1"), *good, order("secret", 9, day=D4, amount="-1")))
        lake.run()
        (key,) = lake.etags("quarantine/enriched/orders/")
        lake.store.put(key, b"no Parquet at all, and secret")
        found = look(lake)
        failed, unseen = found.incidents
        assert failed.key == ("threshold_crossed", "enriched.orders", D3)
        assert unseen.key == ("unseen", "lake", "quarantine_old")
        assert key in unseen.detail and "secret" not in unseen.text and key not in unseen.text
        assert set(Kind) - found.judged == {Kind.RUN_FAILED, Kind.LAKE_GONE, Kind.QUARANTINE_OLD}

    def test_a_lake_that_is_gone_meanwhile_is_not_looked_at_any_more(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(*_: object) -> None:
            raise duckdb.HTTPException("HTTP Error: Connection error for HTTP GET")

        monkeypatch.setattr(conditions, "late", gone)
        with pytest.raises(StoreUnavailable):
            look(lake)
