"""What is wrong, found in lakes where it is."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from change_lines import change, order, text
from one_source import lake_of
from shop_lake import ShopLake

from assay.alerts.conditions import OF_THE_LAKE, anomalies, failed_proofs, lake_incidents, old_quarantine
from assay.alerts.incidents import Incident, Kind
from assay.contracts import Event, Money, column
from assay.lake.layout import failures_key
from assay.landing.formats import Debezium
from assay.pipeline.plan import Failure, write_failures
from assay.pipeline.state import State

D3, D4 = "2025-01-03", "2025-01-04"


def wrong(lake: ShopLake, days: float = 0) -> list[Incident]:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    return lake_incidents(State(lake.workspace), now)


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

    def test_no_value_leaves_the_house(self, lake: ShopLake) -> None:
        table = lake.workspace.domain.tables["enriched.orders"]
        problem = "orders.sql failed on the data: Could not convert string 'ann@x.example' to \"BIRTH 1970\""
        write_failures(lake.store, table, {D3: Failure("x", (problem,), "run")}, ())
        (incident,) = wrong(lake)
        assert "ann" not in incident.text
        assert "1970" not in incident.text


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
        assert incident.text.endswith("UTC, and it may be 26 hours old at most; its newest partition is 2025-01-03")
        assert wrong(lake, days=3) == [incident], "its words stay while it does"


class TestQuarantine:
    def test_rows_that_are_there_for_too_long_are_one_incident_a_table(self, lake: ShopLake) -> None:
        days = [D3, D4]
        lines = [order(f"bad{day}", 1, day=day, amount="-1") for day in days] + [order(f"ok{day}", 1, day=day) for day in days]
        lake.land("orders", "1.json", text(*lines))
        lake.run()
        assert wrong(lake, days=6.9) == []
        (incident,) = wrong(lake, days=7.1)
        assert incident.key == ("quarantine_old", "enriched.orders", "")
        assert incident.text.startswith("2 partitions have had rows in quarantine for more than 7 days")

    def test_each_table_has_a_limit_of_its_own(self, lake: ShopLake) -> None:
        lake.land("orders", "1.json", text(order("bad", 1, amount="-1"), order("ok", 1)))
        lake.run()
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
        state = State(lake.workspace)
        assert [found.table for found in old_quarantine(state, now, lambda table: dt.timedelta(days=1))] == ["enriched.orders"]
        assert not list(old_quarantine(state, now, lambda table: dt.timedelta(days=1 if table.name == "customers" else 3)))


@dataclass(frozen=True)
class Odd:
    """An anomaly."""

    table: str
    subject: str
    text: str


def test_an_anomaly_is_one_incident_however_many_days_it_lasts(lake: ShopLake) -> None:
    first = Odd("marts.daily_totals", "volume", "12 on 2025-01-03, 100 is usual")
    second = Odd("marts.daily_totals", "volume", "11 on 2025-01-04, 100 is usual")
    found = [*anomalies(State(lake.workspace), [first]), *anomalies(State(lake.workspace), [second])]
    assert found[0].key == found[1].key == ("anomaly", "marts.daily_totals", "volume")
    assert found[0].owner == "team:shop"


def test_the_lake_knows_every_kind_but_three() -> None:
    assert set(Kind) - OF_THE_LAKE == {Kind.ANOMALY, Kind.RUN_FAILED, Kind.LAKE_GONE}
