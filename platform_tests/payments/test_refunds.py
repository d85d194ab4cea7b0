"""`enriched.refunds` and `marts.refunds_enriched`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from merchant_clocks import MERCHANT_CLOCKS

TABLE = "enriched.refunds"
MART = "marts.refunds_enriched"
DAY = date(2025, 1, 5)
PAID = datetime(2025, 1, 3, 14, 5, 9, tzinfo=UTC)
ASKED = datetime(2025, 1, 5, 9, 30, tzinfo=UTC)
LANDED = datetime(2025, 2, 1, tzinfo=UTC)


def event(**values: Any) -> dict[str, Any]:
    """An event of `latest.refunds`, right in every column but those given."""
    return {
        "refund_id": "r1",
        "transaction_id": "t1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "$50.25",
        "payment_amount": "150.50",
        "currency": " usd ",
        "region": "eu",
        "payment_method": "CARD",
        "reason": "Returned",
        "state": "Succeeded",
        "paid_at": "01/03/2025 14:05:09",
        "requested_at": "2025-01-05T09:30:00Z",
        "refunded_at": "1736157600",
        "event_date": DAY,
        "created_at": 1_736_069_400_000_000,
        "updated_at": 1_736_157_600_000_001,
        "_ingested_at": LANDED,
        "_source": "refunds",
    } | values


GOOD = {
    "refund_id": "r1",
    "refund_date": DAY,
    "requested_at": ASKED,
    "refunded_at": datetime(2025, 1, 6, 10, tzinfo=UTC),
    "state": "succeeded",
    "reason": "returned",
    "amount": Decimal("50.25"),
    "currency": "USD",
    "transaction_id": "t1",
    "payment_amount": Decimal("150.50"),
    "paid_at": PAID,
    "payment_method": "card",
    "region": "EU",
    "customer_id": "c1",
    "merchant_id": "m1",
    "created_at": datetime(2025, 1, 5, 9, 30, tzinfo=UTC),
    "updated_at": datetime(2025, 1, 6, 10, microsecond=1, tzinfo=UTC),
    "ingestion_timestamp": LANDED,
    "data_source": "refunds",
}


def test_a_refund_in_standard_values(compute, broken, accounted) -> None:
    rows = compute(TABLE, {"latest.refunds": [event()]})

    assert rows == [GOOD]
    assert broken(TABLE, rows[0]) == set()
    assert accounted(TABLE, rows) == (1, Decimal("50.25"))


def test_a_pending_refund_has_no_time(compute, broken) -> None:
    [row] = compute(TABLE, {"latest.refunds": [event(state="pending", refunded_at=None, reason=" ")]})

    assert (row["state"], row["refunded_at"], row["reason"]) == ("pending", None, None)
    assert broken(TABLE, row) == set()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"refund_id": None}, "refund_id_required"),
        ({"refund_date": None}, "refund_date_required"),
        ({"transaction_id": None}, "transaction_id_required"),
        ({"customer_id": None}, "customer_id_required"),
        ({"merchant_id": None}, "merchant_id_required"),
        ({"requested_at": None}, "requested_at_required"),
        ({"paid_at": None}, "paid_at_required"),
        ({"amount": None}, "amount_required"),
        ({"amount": "0.00"}, "amount_at_least"),
        ({"amount": "1000000.01", "payment_amount": "1000000.00"}, "amount_at_most"),
        ({"payment_amount": None}, "payment_amount_required"),
        ({"payment_amount": "1000000.01"}, "payment_amount_at_most"),
        ({"amount": "150.51"}, "not_more_than_paid"),
        ({"currency": "XXX"}, "currency_known"),
        ({"region": "MOON"}, "region_known"),
        ({"state": "lost", "refunded_at": None}, "state_known"),
        ({"reason": "boredom"}, "reason_known"),
        ({"paid_at": datetime(2025, 1, 5, 9, 30, 1, tzinfo=UTC)}, "not_before_payment"),
        ({"refunded_at": None}, "success_has_time"),
        ({"state": "failed"}, "success_has_time"),
        ({"state": "pending"}, "success_has_time"),
        ({"refunded_at": datetime(2025, 1, 5, 9, 29, 59, tzinfo=UTC)}, "not_before_request"),
    ],
)
def test_each_rule_is_broken_by_its_own_fault(broken, values: dict[str, Any], rule: str) -> None:
    found = broken(TABLE, GOOD | values)

    # What is over the highest amount is over that of the payment, too.
    assert found - ({"not_more_than_paid"} if rule == "amount_at_most" else set()) == {rule}


@pytest.mark.parametrize(
    "values",
    [
        {"amount": "150.50"},
        {"amount": "0.01", "payment_amount": "0.01"},
        {"paid_at": ASKED},
        {"refunded_at": ASKED},
        {"reason": None},
        {"state": "failed", "refunded_at": None},
    ],
)
def test_edges_that_are_good(broken, values: dict[str, Any]) -> None:
    assert broken(TABLE, GOOD | values) == set()


def test_a_reason_that_nobody_knows_does_not_hold_money_back(domain) -> None:
    severities = {rule.name: rule.severity for rule in domain.tables[TABLE].rules}

    assert severities["reason_known"] == "warn"
    assert severities["not_more_than_paid"] == "quarantine"


KNOWN = {
    "enriched.fx_rates": [
        {"rate_date": day, "currency": currency, "rate": value, "source_date": day}
        for day, dollars in ((date(2025, 1, 3), "1.00"), (DAY, "1.25"))
        for currency, value in (("USD", dollars), ("EUR", "1"))
    ],
    "enriched.customers": [{"customer_id": "c1", "billing_country": "GB", "billing_region": "EU", "status": "active"}],
    "enriched.customer_risk": [{"customer_id": "c1", "score": 12.5, "band": "low"}],
    "enriched.merchants": [
        {
            "merchant_id": "m1",
            "merchant_name": name,
            "valid_from": datetime(2025, 1, day, tzinfo=UTC),
            "mcc": mcc,
            "partner": partner,
        }
        | {"country": "GB", "region": "EU"}
        for day, name, mcc, partner in ((1, "Old", "5411", "Northgate"), (4, "New", "5812", None))
    ],
    "enriched.merchant_categories": [{"mcc": "5411", "description": "Grocery Stores"}],
}


def test_a_refund_with_all_that_is_known_of_it(compute, broken, accounted) -> None:
    rows = compute(MART, {TABLE: [GOOD | {"currency": "EUR"}], **KNOWN})

    assert rows == [
        {
            "refund_id": "r1",
            "refund_date": DAY,
            "requested_at": ASKED,
            "merchant_date": None,
            "refunded_at": datetime(2025, 1, 6, 10, tzinfo=UTC),
            "state": "succeeded",
            "reason": "returned",
            "is_full": False,
            "amount": Decimal("50.25"),
            "payment_amount": Decimal("150.50"),
            "currency": "EUR",
            # Of the refund's day, not of the payment's.
            "fx_rate_to_usd": Decimal("1.25"),
            "fx_source_date": DAY,
            "amount_usd": Decimal("62.81"),
            "payment_amount_usd": Decimal("188.13"),
            "transaction_id": "t1",
            "transaction_timestamp": PAID,
            "transaction_date": date(2025, 1, 3),
            "days_to_refund": 2,
            "region": "EU",
            "payment_method": "card",
            "customer_id": "c1",
            "customer_country": "GB",
            "customer_region": "EU",
            "customer_status": "active",
            "risk_score": 12.5,
            "risk_band": "low",
            "merchant_id": "m1",
            # As it was when it was paid.
            "merchant_name": "Old",
            "merchant_country": "GB",
            "merchant_region": "EU",
            "mcc": "5411",
            "category": "Grocery Stores",
            "partner": "Northgate",
            "ingestion_timestamp": LANDED,
            "data_source": "refunds",
        }
    ]
    assert broken(MART, rows[0]) == set()
    assert accounted(MART, rows) == (1, Decimal("50.25"))


@pytest.mark.parametrize(
    ("zone", "asked", "day"),
    MERCHANT_CLOCKS,
)
def test_the_day_by_the_merchants_clock(compute, zone: str | None, asked: datetime, day: date | None) -> None:
    then = GOOD | {"requested_at": asked, "refund_date": asked.date()}

    [row] = compute(MART, {TABLE: [then], "enriched.merchants": [KNOWN["enriched.merchants"][0] | {"time_zone": zone}]})

    assert row["merchant_date"] == day


def test_a_refund_of_which_nothing_is_known_is_kept(compute, broken) -> None:
    whole, part = compute(MART, {TABLE: [GOOD | {"amount": "150.50"}, GOOD | {"refund_id": "r2", "currency": "GBP"}]})

    assert (whole["is_full"], whole["amount_usd"], whole["partner"]) == (True, Decimal("150.50"), None)
    assert (part["is_full"], part["amount_usd"]) == (False, None)
    assert broken(MART, part) == {"amount_usd_required", "payment_amount_usd_required"}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"days_to_refund": -1}, "days_to_refund_at_least"),
        ({"is_full": None}, "is_full_required"),
        ({"region": "MOON"}, "region_known"),
        ({"currency": "XXX"}, "currency_known"),
        ({"state": "lost"}, "state_known"),
        ({"merchant_id": None}, "merchant_id_required"),
    ],
)
def test_rules_of_the_mart(compute, broken, values: dict[str, Any], rule: str) -> None:
    [row] = compute(MART, {TABLE: [GOOD]})

    assert broken(MART, row | values) == {rule}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_joins_neither_lose_nor_double_refunds_in_any_order(compute, accounted, order: list[int]) -> None:
    refunds = [GOOD | {"refund_id": f"r{n}", "currency": "EUR" if n % 2 else "USD", "amount": f"{n + 1}.10"} for n in range(6)]

    rows = compute(MART, {TABLE: [refunds[place] for place in order], **KNOWN})

    assert rows == compute(MART, {TABLE: refunds, **KNOWN})
    assert accounted(MART, rows) == (6, Decimal("21.60"))
