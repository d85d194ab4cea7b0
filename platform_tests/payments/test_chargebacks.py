"""`enriched.chargebacks` and `marts.chargebacks_enriched`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from merchant_clocks import MERCHANT_CLOCKS

from payments.contracts.vocabulary import DISPUTE_REASONS

TABLE = "enriched.chargebacks"
MART = "marts.chargebacks_enriched"
DAY = date(2025, 1, 9)
PAID = datetime(2025, 1, 3, 14, 5, 9, tzinfo=UTC)
CAPTURED = datetime(2025, 1, 4, 1, tzinfo=UTC)
OPENED = datetime(2025, 1, 9, 9, 30, tzinfo=UTC)
CLOSED = datetime(2025, 1, 24, 8, tzinfo=UTC)
LANDED = datetime(2025, 2, 1, tzinfo=UTC)


def event(**values: Any) -> dict[str, Any]:
    """An event of `latest.chargebacks`, right in every column but those given."""
    return {
        "dispute_id": "d1",
        "transaction_id": "t1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "$1,150.50",
        "payment_amount": "1150.50",
        "currency": " usd ",
        "region": "eu",
        "payment_method": "CARD",
        "network": "Visa",
        "reason_code": " 10.4 ",
        "state": "Won",
        "paid_at": "01/03/2025 14:05:09",
        "captured_at": "1735952400",
        "opened_at": "2025-01-09T09:30:00Z",
        "closed_at": "2025-01-24 08:00:00",
        "event_date": DAY,
        "created_at": 1_736_415_000_000_000,
        "updated_at": 1_737_705_600_000_000,
        "_ingested_at": LANDED,
        "_source": "chargebacks",
    } | values


GOOD = {
    "dispute_id": "d1",
    "opened_date": DAY,
    "opened_at": OPENED,
    "closed_at": CLOSED,
    "state": "won",
    "network": "visa",
    "reason_code": "10.4",
    "reason_category": "fraud",
    "amount": Decimal("1150.50"),
    "currency": "USD",
    "transaction_id": "t1",
    "payment_amount": Decimal("1150.50"),
    "paid_at": PAID,
    "captured_at": CAPTURED,
    "payment_method": "card",
    "region": "EU",
    "customer_id": "c1",
    "merchant_id": "m1",
    "created_at": OPENED,
    "updated_at": CLOSED,
    "ingestion_timestamp": LANDED,
    "data_source": "chargebacks",
}


def test_a_dispute_in_standard_values(compute, broken, accounted) -> None:
    rows = compute(TABLE, {"latest.chargebacks": [event()]})

    assert rows == [GOOD]
    assert broken(TABLE, rows[0]) == set()
    assert accounted(TABLE, rows) == (1, Decimal("1150.50"))


@pytest.mark.parametrize(("network", "code"), DISPUTE_REASONS)
def test_every_reason_code_has_its_category(compute, network: str, code: str) -> None:
    [row] = compute(TABLE, {"latest.chargebacks": [event(network=network.upper(), reason_code=code.lower())]})

    assert (row["reason_code"], row["reason_category"]) == (code, DISPUTE_REASONS[network, code])


@pytest.mark.parametrize(("network", "code"), [("visa", "4837"), ("mastercard", "10.4"), ("visa", "99"), ("amex", "MD06")])
def test_a_code_of_another_network_has_none(compute, broken, domain, network: str, code: str) -> None:
    [row] = compute(TABLE, {"latest.chargebacks": [event(network=network, reason_code=code)]})

    assert row["reason_category"] is None
    assert broken(TABLE, row) == {"reason_category_required"}
    severities = {rule.name: rule.severity for rule in domain.tables[TABLE].rules}
    assert severities["reason_category_required"] == "warn"


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"dispute_id": None}, "dispute_id_required"),
        ({"opened_date": None}, "opened_date_required"),
        ({"opened_at": None}, "opened_at_required"),
        ({"captured_at": None}, "captured_at_required"),
        ({"paid_at": None}, "paid_at_required"),
        ({"transaction_id": None}, "transaction_id_required"),
        ({"customer_id": None}, "customer_id_required"),
        ({"merchant_id": None}, "merchant_id_required"),
        ({"amount": "0.00"}, "amount_at_least"),
        ({"payment_amount": "1000000.01"}, "payment_amount_at_most"),
        ({"amount": "1150.51"}, "not_more_than_paid"),
        ({"currency": "XXX"}, "currency_known"),
        ({"region": "MOON"}, "region_known"),
        ({"network": "diners"}, "network_known"),
        ({"reason_code": None}, "reason_code_required"),
        ({"reason_category": "weather"}, "reason_category_known"),
        ({"state": "paused"}, "state_known"),
        ({"captured_at": datetime(2025, 1, 9, 9, 30, 1, tzinfo=UTC)}, "not_before_capture"),
        ({"closed_at": None}, "closing_has_time"),
        ({"state": "open"}, "closing_has_time"),
        ({"closed_at": datetime(2025, 1, 9, 9, 29, 59, tzinfo=UTC)}, "not_closed_before_opened"),
    ],
)
def test_each_rule_is_broken_by_its_own_fault(broken, values: dict[str, Any], rule: str) -> None:
    assert broken(TABLE, GOOD | values) == {rule}


@pytest.mark.parametrize(
    "values",
    [{"amount": "0.01"}, {"captured_at": OPENED}, {"closed_at": OPENED}, {"state": "lost"}, {"state": "open", "closed_at": None}],
)
def test_edges_that_are_good(broken, values: dict[str, Any]) -> None:
    assert broken(TABLE, GOOD | values) == set()


RATES = [
    {"rate_date": DAY, "currency": currency, "rate": value, "source_date": DAY}
    for currency, value in (("USD", "1.25"), ("EUR", "1"))
]
MERCHANTS = [
    {
        "merchant_id": "m1",
        "merchant_name": name,
        "valid_from": datetime(2025, 1, day, tzinfo=UTC),
        "mcc": "5411",
        "partner": partner,
    }
    for day, name, partner in ((1, "Old", "Northgate"), (4, "New", "Meridian"))
]


def test_a_dispute_with_all_that_is_known_of_it(compute, broken, accounted) -> None:
    rows = compute(
        MART,
        {
            TABLE: [GOOD | {"currency": "EUR", "amount": "50.25"}],
            "enriched.fx_rates": RATES,
            "enriched.merchants": MERCHANTS,
            "enriched.customers": [{"customer_id": "c1", "billing_country": "GB", "billing_region": "EU", "status": "active"}],
            "enriched.customer_risk": [{"customer_id": "c1", "score": 12.5, "band": "low"}],
            "enriched.merchant_categories": [{"mcc": "5411", "description": "Grocery Stores"}],
        },
    )

    assert rows == [
        {
            "dispute_id": "d1",
            "opened_date": DAY,
            "opened_at": OPENED,
            "merchant_date": None,
            "closed_at": CLOSED,
            "closed_date": date(2025, 1, 24),
            "state": "won",
            "days_to_dispute": 5,
            "days_to_close": 15,
            "network": "visa",
            "reason_code": "10.4",
            "reason_category": "fraud",
            "is_full": False,
            "amount": Decimal("50.25"),
            "payment_amount": Decimal("1150.50"),
            "currency": "EUR",
            "fx_rate_to_usd": Decimal("1.25"),
            "fx_source_date": DAY,
            "amount_usd": Decimal("62.81"),
            "payment_amount_usd": Decimal("1438.13"),
            "transaction_id": "t1",
            "transaction_timestamp": PAID,
            "transaction_date": date(2025, 1, 3),
            "captured_at": CAPTURED,
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
            "merchant_country": None,
            "merchant_region": None,
            "mcc": "5411",
            "category": "Grocery Stores",
            "partner": "Northgate",
            "ingestion_timestamp": LANDED,
            "data_source": "chargebacks",
        }
    ]
    assert broken(MART, rows[0]) == set()
    assert accounted(MART, rows) == (1, Decimal("50.25"))


@pytest.mark.parametrize(
    ("zone", "opened", "day"),
    MERCHANT_CLOCKS,
)
def test_the_day_by_the_merchants_clock(compute, zone: str | None, opened: datetime, day: date | None) -> None:
    then = GOOD | {"opened_at": opened, "opened_date": opened.date()}

    [row] = compute(MART, {TABLE: [then], "enriched.merchants": [MERCHANTS[0] | {"time_zone": zone}]})

    assert row["merchant_date"] == day


def test_an_open_dispute_of_which_nothing_is_known_is_kept(compute, broken) -> None:
    [row] = compute(MART, {TABLE: [GOOD | {"state": "open", "closed_at": None, "currency": "GBP"}]})

    assert (row["closed_date"], row["days_to_close"], row["is_full"]) == (None, None, True)
    assert broken(MART, row) == {"amount_usd_required", "payment_amount_usd_required"}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"days_to_dispute": -1}, "days_to_dispute_at_least"),
        ({"days_to_close": -1}, "days_to_close_at_least"),
        ({"reason_category": None}, "reason_category_required"),
        ({"state": "paused"}, "state_known"),
        ({"network": "diners"}, "network_known"),
        ({"customer_id": None}, "customer_id_required"),
    ],
)
def test_rules_of_the_mart(compute, broken, values: dict[str, Any], rule: str) -> None:
    [row] = compute(MART, {TABLE: [GOOD]})

    assert broken(MART, row | values) == {rule}
