"""`enriched.merchants` (SCD2) and `marts.merchant_daily`."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from change_lines import change, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.pipeline.build import compute
from assay.pipeline.state import State
from assay.quality.quarantine import REFUSED, collect_refused
from payments import DOMAIN

MERCHANTS = "enriched.merchants"
DAILY = "marts.merchant_daily"


TERMS = '{"settlement_days": 2, "fee_percent": 1.9, "fixed_fee_usd": 0.3, "cost_percent": 1.25, "partner": "Northgate"}'
TERMS_IN_ANOTHER_ORDER = (
    '{"partner": " Northgate ", "fee_percent": 1.90, "cost_percent": "1.250", "fixed_fee_usd": 0.30, "settlement_days": "2"}'
)


def at(day: int, hour: int = 0) -> datetime:
    """An instant of January 2025."""
    return datetime(2025, 1, day, hour, tzinfo=UTC)


def state(valid_from: datetime, valid_to: datetime | None, **values: Any) -> dict[str, Any]:
    """A state of `history.merchants`."""
    return {
        "merchant_id": "m1",
        "name": "Corner Shop",
        "mcc": "5411",
        "country": "gb",
        "region": "EU",
        "city": "London",
        "terms": TERMS,
        "active": "Y",
        "time_zone": "Europe/London",
        "valid_from": valid_from,
        "valid_to": valid_to,
        "is_current": valid_to is None,
        "_ingested_at": "2025-02-01 00:00:00+00",
        "_source": "merchants",
    } | values


def test_a_merchant_in_standard_values(compute) -> None:
    [row] = compute(MERCHANTS, {"history.merchants": [state(at(1), None, mcc="742")]})

    assert row == {
        "merchant_id": "m1",
        "valid_from": at(1),
        "valid_to": None,
        "is_current": True,
        "merchant_name": "Corner Shop",
        "mcc": "0742",
        "country": "GB",
        "region": "EU",
        "city": "London",
        "settlement_days": 2,
        "fee_percent": Decimal("1.9"),
        "fixed_fee_usd": Decimal("0.3"),
        "cost_percent": Decimal("1.25"),
        "partner": "Northgate",
        "time_zone": "Europe/London",
        "is_active": True,
        "state_count": 1,
        "ingestion_timestamp": datetime(2025, 2, 1, tzinfo=UTC),
        "data_source": "merchants",
    }


def spans(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["merchant_name"], row["valid_from"], row["valid_to"], row["state_count"]) for row in rows]


def test_every_change_is_a_span(compute) -> None:
    states = [state(at(1), at(5), name="A"), state(at(5), at(9), name="B"), state(at(9), None, name="A")]

    rows = compute(MERCHANTS, {"history.merchants": states})

    assert spans(rows) == [("A", at(1), at(5), 1), ("B", at(5), at(9), 1), ("A", at(9), None, 1)]
    assert [row["is_current"] for row in rows] == [False, False, True]


def test_states_that_differ_only_in_how_they_are_written_are_one_span(compute, accounted) -> None:
    states = [
        state(at(1), at(5), active="Y"),
        state(at(5), at(9), active="true", terms=TERMS_IN_ANOTHER_ORDER),
        state(at(9), None, active="1", country=" GB "),
    ]

    rows = compute(MERCHANTS, {"history.merchants": states})

    assert spans(rows) == [("Corner Shop", at(1), None, 3)]
    assert accounted(MERCHANTS, rows) == (3, 0)


def test_a_merchant_that_was_gone_begins_a_new_span(compute) -> None:
    states = [state(at(1), at(5)), state(at(7), None)]

    rows = compute(MERCHANTS, {"history.merchants": states})

    assert spans(rows) == [("Corner Shop", at(1), at(5), 1), ("Corner Shop", at(7), None, 1)]


def test_a_deleted_merchant_has_no_current_span(compute) -> None:
    [row] = compute(MERCHANTS, {"history.merchants": [state(at(1), at(5))]})

    assert (row["valid_to"], row["is_current"]) == (at(5), False)


def test_states_replaced_in_the_same_instant_are_refused_and_split_no_span(compute, broken, accounted) -> None:
    states = [state(at(1), at(5)), state(at(5), at(5), name="Typo"), state(at(5), at(5), name="Slip"), state(at(5), None)]

    rows = compute(MERCHANTS, {"history.merchants": states})

    good = [row for row in rows if not broken(MERCHANTS, row)]
    assert spans(good) == [("Corner Shop", at(1), None, 2)]
    assert {rule for row in rows for rule in broken(MERCHANTS, row)} == {"span_not_empty"}
    assert accounted(MERCHANTS, rows) == (4, 0)


@pytest.mark.parametrize("terms", [None, "nothing", "[]", "{}", '{"fee_percent": "high"}'])
def test_terms_of_another_shape_cost_only_the_terms(compute, terms: str | None) -> None:
    [row] = compute(MERCHANTS, {"history.merchants": [state(at(1), None, terms=terms)]})

    assert (row["merchant_name"], row["settlement_days"], row["fee_percent"]) == ("Corner Shop", None, None)
    assert (row["fixed_fee_usd"], row["cost_percent"], row["partner"]) == (None, None, None)


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "CET+99"])
def test_a_time_zone_that_nobody_knows_is_none(compute, zone: str | None) -> None:
    [row] = compute(MERCHANTS, {"history.merchants": [state(at(1), None, time_zone=zone)]})

    assert (row["merchant_name"], row["time_zone"]) == ("Corner Shop", None)


@pytest.mark.parametrize(
    "changed",
    [
        {"terms": TERMS.replace("Northgate", "Meridian")},
        {"terms": TERMS.replace('"Northgate"', "null")},
        {"terms": TERMS.replace("0.3,", "0.4,")},
        {"terms": TERMS.replace("1.25", "1.5")},
        {"time_zone": "Europe/Paris"},
    ],
)
def test_partner_costs_and_time_zone_have_a_history(compute, changed: dict[str, Any]) -> None:
    rows = compute(MERCHANTS, {"history.merchants": [state(at(1), at(5)), state(at(5), None, **changed)]})

    assert [row["valid_from"] for row in rows] == [at(1), at(5)]


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({}, set()),
        ({"mcc": "54110"}, {"mcc_matches"}),
        ({"fee_percent": "101"}, {"fee_percent_at_most"}),
        ({"fee_percent": "-1"}, {"fee_percent_at_least"}),
        ({"settlement_days": -1}, {"settlement_days_at_least"}),
        ({"fixed_fee_usd": "-0.01"}, {"fixed_fee_usd_at_least"}),
        ({"fixed_fee_usd": "1000.01"}, {"fixed_fee_usd_at_most"}),
        ({"cost_percent": "-1"}, {"cost_percent_at_least"}),
        ({"cost_percent": "101"}, {"cost_percent_at_most"}),
        ({"valid_to": at(1)}, {"span_not_empty"}),
        ({"merchant_id": None}, {"merchant_id_required"}),
        ({"valid_from": None}, {"valid_from_required"}),
    ],
)
def test_merchant_rules(compute, broken, values: dict[str, Any], rules: set[str]) -> None:
    [row] = compute(MERCHANTS, {"history.merchants": [state(at(1), None)]})

    assert broken(MERCHANTS, row | values) == rules


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(5)))
def test_the_order_of_states_does_not_matter(compute, order: list[int]) -> None:
    names = ["A", "A", "B", "B", "A"]
    states = [state(at(n + 1), at(n + 2) if n < 4 else None, name=name) for n, name in enumerate(names)]

    rows = compute(MERCHANTS, {"history.merchants": [states[place] for place in order]})

    assert spans(rows) == [("A", at(1), at(3), 2), ("B", at(3), at(5), 2), ("A", at(5), None, 1)]


def payment(day: date, customer: str = "c1", **values: Any) -> dict[str, Any]:
    """A row of `marts.transactions_enriched`."""
    return {
        "transaction_id": f"{customer}-{day}",
        "transaction_date": day,
        "merchant_id": "m1",
        "merchant_name": "Corner Shop",
        "customer_id": customer,
        "status": "captured",
        "amount_usd": "10.00",
        "ingestion_timestamp": "2025-02-01 00:00:00+00",
        "data_source": "transactions",
    } | values


TODAY = date(2025, 4, 1)


def test_a_day_of_a_merchant(compute) -> None:
    payments = [
        payment(TODAY, "c1", amount_usd="10.00"),
        payment(TODAY, "c1", amount_usd="20.00", data_source="legacy_transactions"),
        payment(TODAY, "c2", amount_usd="30.00", status="refunded"),
        payment(TODAY, "c3", amount_usd="40.00", status="chargeback"),
        payment(TODAY, "c4", amount_usd="0.03", status="failed"),
        payment(TODAY, "c4", amount_usd="50.00", status="authorized"),
        payment(TODAY, "c5", amount_usd=None),
    ]

    [row] = compute(DAILY, {"marts.transactions_enriched": payments})

    assert row == {
        "merchant_id": "m1",
        "transaction_date": TODAY,
        "merchant_name": "Corner Shop",
        "transaction_count": 7,
        "kept_count": 3,
        "refunded_count": 1,
        "chargeback_count": 1,
        "settled_count": 5,
        "gross_amount_usd": Decimal("150.03"),
        "revenue_usd": Decimal("30.00"),
        "average_amount_usd": Decimal("25.0050"),
        "refunded_rate": 0.2,
        "chargeback_rate": 0.2,
        "unique_customers": 5,
        "new_customers_90d": 5,
        "returning_customers_90d": 0,
        "ingestion_timestamp": datetime(2025, 2, 1, tzinfo=UTC),
        "data_source": "legacy_transactions,transactions",
    }


def test_rates_and_averages_without_anything_to_divide_by_are_null(compute, broken) -> None:
    [row] = compute(DAILY, {"marts.transactions_enriched": [payment(TODAY, status="failed", amount_usd=None)]})

    assert (row["refunded_rate"], row["chargeback_rate"], row["average_amount_usd"]) == (None, None, None)
    assert row["gross_amount_usd"] == 0
    assert broken(DAILY, row) == set()


@pytest.mark.parametrize(("days_ago", "returning"), [(1, 1), (89, 1), (90, 1), (91, 0), (400, 0)])
def test_a_customer_returns_within_90_days(compute, days_ago: int, returning: int) -> None:
    payments = [payment(TODAY - timedelta(days=days_ago)), payment(TODAY)]

    row = compute(DAILY, {"marts.transactions_enriched": payments})[-1]

    assert (row["new_customers_90d"], row["returning_customers_90d"]) == (1 - returning, returning)


def test_two_payments_of_one_day_make_no_return(compute) -> None:
    [row] = compute(DAILY, {"marts.transactions_enriched": [payment(TODAY), payment(TODAY)]})

    assert (row["unique_customers"], row["new_customers_90d"]) == (1, 1)


def test_a_customer_of_another_merchant_is_new(compute) -> None:
    payments = [payment(TODAY - timedelta(days=1), merchant_id="m2"), payment(TODAY)]

    rows = compute(DAILY, {"marts.transactions_enriched": payments})

    assert [row["new_customers_90d"] for row in rows] == [1, 1]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    visits=st.lists(st.tuples(st.integers(0, 200), st.sampled_from("ab")), min_size=1, max_size=12, unique=True),
    more=st.integers(0, 120),
)
def test_a_day_is_the_same_with_its_window_as_with_all_history(compute, accounted, visits, more: int) -> None:
    payments = [payment(TODAY + timedelta(days=days), customer) for days, customer in visits]
    day = max(row["transaction_date"] for row in payments)
    window = [row for row in payments if row["transaction_date"] >= day - timedelta(days=90 + more)]

    everything = compute(DAILY, {"marts.transactions_enriched": payments})
    windowed = compute(DAILY, {"marts.transactions_enriched": window[::-1]})

    assert windowed[-1] == everything[-1]
    assert accounted(DAILY, everything) == (len(payments), 10 * len(payments))


# --- Quarantine ------------------------------------------------------------------------------------------------------

CHANGED = {"merchant_id": "m1", "name": "Ada's", "mcc": "5411", "country": "GB", "region": "EU"}


def test_a_refused_span_keeps_the_record_that_began_it(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path, DOMAIN)
    states = [change("merchants", "u", place, CHANGED | {"mcc": mcc}) for place, mcc in enumerate(("5411", "food", "5812"), 1)]
    landed = lake.land("merchants", "1.json", text(*states))
    lake.ingest("merchants")
    node = lake.workspace.project.nodes["enriched.merchants"]

    with lake.connection() as connection:
        compute(connection, State(lake.workspace), node, ["all"])
        collect_refused(connection, lake.workspace.project, node)
        rows = connection.execute(f"SELECT mcc, _rules, _landing_object, _landing_row, _record FROM {REFUSED}").fetchall()

    ((mcc, rules, where, line, record),) = rows
    assert (mcc, rules, where, line) == ("food", ["mcc_matches"], landed, 2)
    assert json.loads(record)["mcc"] == "food"
