"""The marts over payments: `transactions_enriched`, `daily_revenue`, `customer_spending`, `customer_lifetime`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ENRICHED = "marts.transactions_enriched"
REVENUE = "marts.daily_revenue"
LIFETIME = "marts.customer_lifetime"
SPENDING = "marts.customer_spending"
DAY = date(2025, 1, 3)
LANDED = datetime(2025, 2, 1, tzinfo=UTC)


def payment(**values: Any) -> dict[str, Any]:
    """A row of `enriched.transactions`."""
    return {
        "transaction_id": "t1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "100.00",
        "currency": "USD",
        "status": "captured",
        "region": "EU",
        "transaction_timestamp": datetime(2025, 1, 3, 12, tzinfo=UTC),
        "transaction_date": DAY,
        "ingestion_timestamp": LANDED,
        "data_source": "transactions",
    } | values


def rate(currency: str, value: str, day: date = DAY, source: date = DAY) -> dict[str, Any]:
    """A row of `enriched.fx_rates`."""
    return {"rate_date": day, "currency": currency, "rate": value, "source_date": source}


def span(name: str, valid_from: int, **values: Any) -> dict[str, Any]:
    """A row of `enriched.merchants`, from a day of January 2025 on."""
    start = datetime(2025, 1, valid_from, tzinfo=UTC)
    return {"merchant_id": "m1", "merchant_name": name, "valid_from": start, "mcc": "5411"} | values


RATES = [rate("USD", "1.0299"), rate("EUR", "1"), rate("GBP", "0.8299"), rate("JPY", "161.77")]


def test_a_payment_with_all_that_is_known_of_it(compute, broken) -> None:
    [row] = compute(
        ENRICHED,
        {
            "enriched.transactions": [payment(currency="GBP")],
            "enriched.fx_rates": RATES,
            "enriched.customers": [{"customer_id": "c1", "billing_country": "GB", "billing_region": "EU", "status": "active"}],
            "enriched.customer_risk": [{"customer_id": "c1", "score": 12.5, "band": "low"}],
            "enriched.merchants": [span("Corner Shop", 1, country="GB", region="EU")],
            "enriched.merchant_categories": [{"mcc": "5411", "description": "Grocery Stores"}],
        },
    )

    assert (row["customer_country"], row["customer_region"], row["customer_status"]) == ("GB", "EU", "active")
    assert (row["risk_score"], row["risk_band"]) == (12.5, "low")
    assert (row["merchant_name"], row["merchant_country"], row["merchant_region"]) == ("Corner Shop", "GB", "EU")
    assert (row["mcc"], row["category"]) == ("5411", "Grocery Stores")
    assert (row["fx_rate_to_usd"], row["fx_source_date"]) == (Decimal("1.24099289"), DAY)
    assert row["amount_usd"] == Decimal("124.10")
    assert (row["ingestion_timestamp"], row["data_source"]) == (LANDED, "transactions")
    assert broken(ENRICHED, row) == set()


def test_a_payment_of_which_nothing_is_known_is_kept(compute, broken, accounted) -> None:
    rows = compute(ENRICHED, {"enriched.transactions": [payment(currency="GBP")]})

    assert accounted(ENRICHED, rows) == (1, 100)
    assert rows[0]["amount_usd"] is None
    assert broken(ENRICHED, rows[0]) == {"amount_usd_required"}


def test_a_missing_rate_only_warns(domain) -> None:
    severities = {rule.name: rule.severity for rule in domain.tables[ENRICHED].rules}

    assert severities["amount_usd_required"] == "warn"


def test_dollars_need_no_rate(compute) -> None:
    [row] = compute(ENRICHED, {"enriched.transactions": [payment()]})

    assert (row["amount_usd"], row["fx_rate_to_usd"], row["fx_source_date"]) == (Decimal(100), Decimal(1), None)


@pytest.mark.parametrize(
    ("amount", "dollars_for_a_euro", "amount_usd"),
    [
        ("0.50", "1.01", "0.51"),  # 0.505: half is rounded away from zero
        ("0.50", "1.0099", "0.50"),  # 0.50495: once, not by way of 0.505
        ("1000000.00", "1.6", "1600000.00"),
        ("0.01", "0.8252", "0.01"),
    ],
)
def test_dollars_are_rounded_once(compute, amount: str, dollars_for_a_euro: str, amount_usd: str) -> None:
    [row] = compute(
        ENRICHED,
        {
            "enriched.transactions": [payment(currency="EUR", amount=amount)],
            "enriched.fx_rates": [rate("USD", dollars_for_a_euro), rate("EUR", "1")],
        },
    )

    assert row["amount_usd"] == Decimal(amount_usd)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cents=st.integers(1, 10**8),
    dollars=st.decimals("0.5", "5", places=8),
    units=st.decimals("0.00001", "30000", places=8),
)
def test_dollars_are_exact(compute, cents: int, dollars: Decimal, units: Decimal) -> None:
    amount = Decimal(cents) / 100
    [row] = compute(
        ENRICHED,
        {
            "enriched.transactions": [payment(currency="JPY", amount=str(amount))],
            "enriched.fx_rates": [rate("USD", str(dollars)), rate("JPY", str(units))],
        },
    )

    assert row["amount_usd"] == (amount * dollars / units).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert row["fx_rate_to_usd"] == (dollars / units).quantize(Decimal("0.00000001"), ROUND_HALF_UP)


def test_the_rate_is_that_of_the_day(compute) -> None:
    sunday = date(2025, 1, 5)
    rates = [*RATES, rate("USD", "2", sunday, DAY), rate("EUR", "1", sunday, sunday)]
    payments = [payment(currency="EUR"), payment(transaction_id="t2", currency="EUR", transaction_date=sunday)]

    friday, weekend = compute(ENRICHED, {"enriched.transactions": payments, "enriched.fx_rates": rates})

    assert (friday["amount_usd"], weekend["amount_usd"]) == (Decimal("102.99"), Decimal("200.00"))


@pytest.mark.parametrize(
    ("day", "hour", "name"),
    [
        (1, 0, "Old"),  # before the first span
        (2, 0, "Old"),  # the first span begins
        (4, 23, "Old"),
        (5, 0, "New"),  # a span's end is exclusive
        (8, 0, "New"),  # after the merchant was deleted
    ],
)
def test_merchants_are_as_they_were(compute, day: int, hour: int, name: str) -> None:
    merchants = [
        span("Old", 2, valid_to=datetime(2025, 1, 5, tzinfo=UTC)),
        span("New", 5, valid_to=datetime(2025, 1, 7, tzinfo=UTC)),
    ]
    paid = payment(transaction_timestamp=datetime(2025, 1, day, hour, tzinfo=UTC))

    [row] = compute(ENRICHED, {"enriched.transactions": [paid], "enriched.merchants": merchants})

    assert row["merchant_name"] == name


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_joins_neither_lose_nor_double_payments_in_any_order(compute, accounted, order: list[int]) -> None:
    currencies = ["USD", "EUR", "JPY", "BRL", "GBP", "EUR"]
    payments = [payment(transaction_id=f"t{n}", currency=currency, amount=f"{n}.10") for n, currency in enumerate(currencies)]
    others = {"enriched.fx_rates": RATES, "enriched.merchants": [span("Old", 2), span("New", 3)]}

    rows = compute(ENRICHED, {"enriched.transactions": [payments[place] for place in order], **others})

    assert rows == compute(ENRICHED, {"enriched.transactions": payments, **others})
    assert accounted(ENRICHED, rows) == (6, Decimal("15.60"))


TERMS = {"fee_percent": "2.5", "fixed_fee_usd": "0.30", "cost_percent": "1.2", "partner": "Northgate"}


def test_a_fee_and_what_is_kept_of_it(compute, broken) -> None:
    [row] = compute(ENRICHED, {"enriched.transactions": [payment()], "enriched.merchants": [span("Shop", 1, **TERMS)]})

    assert row["partner"] == "Northgate"
    assert (row["fee_amount"], row["cost_amount"], row["net_revenue"]) == (Decimal("2.80"), Decimal("1.20"), Decimal("1.60"))
    assert (row["fee_usd"], row["cost_usd"], row["net_revenue_usd"]) == (Decimal("2.80"), Decimal("1.20"), Decimal("1.60"))
    assert broken(ENRICHED, row) == set()


def test_a_fee_in_another_currency(compute) -> None:
    relations = {
        "enriched.transactions": [payment(currency="EUR")],
        "enriched.merchants": [span("Shop", 1, **TERMS)],
        "enriched.fx_rates": [rate("USD", "1.25"), rate("EUR", "1")],
    }

    [row] = compute(ENRICHED, relations)

    # 0.30 dollars are 0.24 euros.
    assert (row["fee_amount"], row["fee_usd"]) == (Decimal("2.74"), Decimal("3.43"))
    assert (row["cost_amount"], row["cost_usd"]) == (Decimal("1.20"), Decimal("1.50"))
    assert (row["net_revenue"], row["net_revenue_usd"]) == (Decimal("1.54"), Decimal("1.93"))


@pytest.mark.parametrize(("status", "fee"), [("captured", "2.80"), ("refunded", "2.80"), ("chargeback", "2.80")])
def test_a_fee_is_owed_on_capture_and_kept(compute, status: str, fee: str) -> None:
    relations = {"enriched.transactions": [payment(status=status)], "enriched.merchants": [span("Shop", 1, **TERMS)]}

    assert compute(ENRICHED, relations)[0]["fee_amount"] == Decimal(fee)


@pytest.mark.parametrize("status", ["authorized", "failed"])
def test_nothing_is_owed_without_a_capture(compute, broken, status: str) -> None:
    unknown = payment(status=status, currency="GBP", merchant_id="nobody")

    [row] = compute(ENRICHED, {"enriched.transactions": [unknown]})

    money = ("fee_amount", "fee_usd", "cost_amount", "cost_usd", "net_revenue", "net_revenue_usd")
    assert {row[column] for column in money} == {Decimal(0)}
    assert broken(ENRICHED, row) == {"amount_usd_required"}


def test_a_fee_that_cannot_be_known_is_null(compute) -> None:
    relations = {"enriched.transactions": [payment(), payment(transaction_id="t2", currency="GBP")]}
    relations["enriched.merchants"] = [span("Shop", 1)]
    [without_terms, _] = compute(ENRICHED, relations)
    relations["enriched.merchants"] = [span("Shop", 1, **TERMS)]
    [_, without_rate] = compute(ENRICHED, relations)

    assert (without_terms["fee_amount"], without_terms["net_revenue_usd"]) == (None, None)
    # The fixed fee is in dollars.
    assert (without_rate["fee_amount"], without_rate["cost_amount"], without_rate["cost_usd"]) == (None, Decimal("1.20"), None)


def test_terms_are_those_of_the_payments_time(compute) -> None:
    merchants = [span("Shop", 1, **TERMS), span("Shop", 4, **TERMS | {"fee_percent": "1", "partner": "Meridian"})]
    times = [datetime(2025, 1, day, 12, tzinfo=UTC) for day in (3, 4)]
    payments = [payment(transaction_id=f"t{n}", transaction_timestamp=time) for n, time in enumerate(times)]

    before, after = compute(ENRICHED, {"enriched.transactions": payments, "enriched.merchants": merchants})

    assert (before["partner"], before["fee_amount"]) == ("Northgate", Decimal("2.80"))
    assert (after["partner"], after["fee_amount"]) == ("Meridian", Decimal("1.30"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cents=st.integers(1, 10**8),
    percent=st.decimals("0", "100", places=4),
    fixed=st.decimals("0", "1000", places=2),
    dollars=st.decimals("0.5", "5", places=8),
    units=st.decimals("0.00001", "30000", places=8),
)
def test_fees_are_exact(compute, cents: int, percent: Decimal, fixed: Decimal, dollars: Decimal, units: Decimal) -> None:
    amount = Decimal(cents) / 100
    [row] = compute(
        ENRICHED,
        {
            "enriched.transactions": [payment(currency="JPY", amount=str(amount))],
            "enriched.fx_rates": [rate("USD", str(dollars)), rate("JPY", str(units))],
            "enriched.merchants": [span("Shop", 1, fee_percent=str(percent), fixed_fee_usd=str(fixed), cost_percent="0")],
        },
    )

    cent = Decimal("0.01")
    fee = (amount * percent / 100).quantize(cent, ROUND_HALF_UP) + (fixed * units / dollars).quantize(cent, ROUND_HALF_UP)
    assert row["fee_amount"] == fee
    assert row["fee_usd"] == (fee * dollars / units).quantize(cent, ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("zone", "paid", "day", "hour"),
    [
        ("America/New_York", datetime(2025, 1, 3, 4, 59, tzinfo=UTC), date(2025, 1, 2), 23),
        ("America/New_York", datetime(2025, 1, 3, 5, 0, tzinfo=UTC), date(2025, 1, 3), 0),
        ("Asia/Tokyo", datetime(2025, 1, 3, 15, 0, tzinfo=UTC), date(2025, 1, 4), 0),
        ("Asia/Kolkata", datetime(2025, 1, 3, 18, 29, 59, tzinfo=UTC), date(2025, 1, 3), 23),
        ("Asia/Kolkata", datetime(2025, 1, 3, 18, 30, tzinfo=UTC), date(2025, 1, 4), 0),
        # The clocks furthest behind and furthest ahead.
        ("Etc/GMT+12", datetime(2025, 1, 3, 11, 59, tzinfo=UTC), date(2025, 1, 2), 23),
        ("Pacific/Kiritimati", datetime(2025, 1, 3, 10, 0, tzinfo=UTC), date(2025, 1, 4), 0),
        # Before 1970.
        ("America/New_York", datetime(1969, 12, 31, 12, 30, tzinfo=UTC), date(1969, 12, 31), 7),
        # Clocks go forward at 01:00 UTC: midnight is at 23:00 UTC the day before, and at 22:00 UTC that day.
        ("Europe/Berlin", datetime(2025, 3, 29, 22, 59, tzinfo=UTC), date(2025, 3, 29), 23),
        ("Europe/Berlin", datetime(2025, 3, 30, 0, 59, tzinfo=UTC), date(2025, 3, 30), 1),
        ("Europe/Berlin", datetime(2025, 3, 30, 1, 0, tzinfo=UTC), date(2025, 3, 30), 3),
        ("Europe/Berlin", datetime(2025, 3, 30, 22, 0, tzinfo=UTC), date(2025, 3, 31), 0),
        # Half an hour forward, at 15:30 UTC.
        ("Australia/Lord_Howe", datetime(2025, 10, 4, 13, 29, tzinfo=UTC), date(2025, 10, 4), 23),
        ("Australia/Lord_Howe", datetime(2025, 10, 5, 13, 0, tzinfo=UTC), date(2025, 10, 6), 0),
        # The producer gave a day and no time.
        ("America/New_York", datetime(2025, 1, 3, 0, 0, tzinfo=UTC), date(2025, 1, 3), None),
        (None, datetime(2025, 1, 3, 12, 0, tzinfo=UTC), None, None),
    ],
)
def test_the_day_and_hour_by_the_merchants_clock(
    compute, zone: str | None, paid: datetime, day: date | None, hour: int | None
) -> None:
    paid_then = payment(transaction_timestamp=paid, transaction_date=paid.date())

    [row] = compute(ENRICHED, {"enriched.transactions": [paid_then], "enriched.merchants": [span("Shop", 1, time_zone=zone)]})

    assert (row["merchant_date"], row["merchant_hour"]) == (day, hour)


@pytest.mark.parametrize(
    ("status", "reason", "group"),
    [
        ("captured", None, None),
        ("failed", None, "unknown"),
        ("failed", "insufficient_funds", "funds"),
        ("failed", "expired_card", "card"),
        ("failed", "do_not_honor", "issuer"),
        ("failed", "fraud_suspected", "fraud"),
        ("failed", "processing_error", "technical"),
        ("failed", "sunspots", "other"),
    ],
)
def test_decline_groups(compute, status: str, reason: str | None, group: str | None) -> None:
    [row] = compute(ENRICHED, {"enriched.transactions": [payment(status=status, failure_reason=reason)]})

    assert row["decline_group"] == group


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({"net_revenue": "1.61"}, {"net_adds_up"}),
        ({"net_revenue_usd": "1.61"}, {"net_adds_up"}),
        ({"status": "authorized"}, {"only_settled_earn"}),
        ({"fee_amount": "-1.00", "net_revenue": "-2.20"}, {"fee_amount_at_least"}),
        ({"decline_group": "weather"}, {"decline_group_known"}),
        ({"cost_usd": "-1.00", "net_revenue_usd": "3.80"}, {"cost_usd_at_least"}),
    ],
)
def test_rules_of_what_is_earned(compute, broken, values: dict[str, Any], rules: set[str]) -> None:
    [row] = compute(ENRICHED, {"enriched.transactions": [payment()], "enriched.merchants": [span("Shop", 1, **TERMS)]})

    assert broken(ENRICHED, row | values) == rules


def enriched(**values: Any) -> dict[str, Any]:
    """A row of `marts.transactions_enriched`."""
    return payment(amount="10.00", amount_usd="12.00", currency="EUR") | values


STATES = ["authorized", "captured", "captured", "refunded", "chargeback", "failed"]


def test_a_day_of_revenue(compute, broken, accounted) -> None:
    rows = compute(REVENUE, {ENRICHED: [enriched(status=status, amount=f"{10 + n}.00") for n, status in enumerate(STATES)]})

    assert rows == [
        {
            "transaction_date": DAY,
            "region": "EU",
            "currency": "EUR",
            "transaction_count": 6,
            "authorized_count": 1,
            "kept_count": 2,
            "refunded_count": 1,
            "chargeback_count": 1,
            "failed_count": 1,
            "gross_amount": Decimal(75),
            "revenue": Decimal(23),
            "authorized_amount": Decimal(10),
            "refunded_amount": Decimal(13),
            "chargeback_amount": Decimal(14),
            "failed_amount": Decimal(15),
            "gross_amount_usd": Decimal(72),
            "revenue_usd": Decimal(24),
            "ingestion_timestamp": LANDED,
            "data_source": "transactions",
        }
    ]
    assert broken(REVENUE, rows[0]) == set()
    assert accounted(REVENUE, rows) == (6, 75)


def test_revenue_is_cut_by_day_region_and_currency(compute) -> None:
    payments = [
        enriched(),
        enriched(currency="JPY"),
        enriched(region="NA"),
        enriched(transaction_date=date(2025, 1, 4)),
        enriched(data_source="legacy_transactions"),
    ]

    rows = compute(REVENUE, {ENRICHED: payments})

    keys = [(row["transaction_date"].day, row["region"], row["currency"], row["transaction_count"]) for row in rows]
    assert keys == [(3, "EU", "EUR", 2), (3, "EU", "JPY", 1), (3, "NA", "EUR", 1), (4, "EU", "EUR", 1)]
    assert rows[0]["data_source"] == "legacy_transactions,transactions"


def test_revenue_without_a_rate_is_zero_dollars(compute) -> None:
    [row] = compute(REVENUE, {ENRICHED: [enriched(amount_usd=None)]})

    assert (row["revenue"], row["revenue_usd"]) == (Decimal(10), Decimal(0))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"kept_count": 2}, "counts_add_up"),
        ({"revenue": "9.99"}, "amounts_add_up"),
        ({"region": "X"}, "region_known"),
        ({"currency": "XXX"}, "currency_known"),
        ({"transaction_date": None}, "transaction_date_required"),
    ],
)
def test_revenue_rules(compute, broken, values: dict[str, Any], rule: str) -> None:
    [row] = compute(REVENUE, {ENRICHED: [enriched()]})

    assert broken(REVENUE, row | values) == {rule}


def test_revenue_that_does_not_add_up_is_not_published(domain) -> None:
    severities = {rule.name: rule.severity for rule in domain.tables[REVENUE].rules}

    assert severities["counts_add_up"] == severities["amounts_add_up"] == "stop"


def test_a_lifetime(compute, broken, accounted) -> None:
    payments = [
        enriched(transaction_date=date(2024, 11, 30), amount_usd="10.00"),
        enriched(transaction_date=date(2025, 1, 1), amount_usd="20.01"),
        enriched(transaction_date=date(2024, 12, 5), amount_usd="40.00", status="refunded"),
        enriched(transaction_date=date(2024, 12, 5), amount_usd=None, status="failed"),
    ]

    rows = compute(LIFETIME, {ENRICHED: payments})

    assert rows == [
        {
            "customer_id": "c1",
            "transaction_count": 4,
            "kept_count": 2,
            "gross_amount_usd": Decimal("70.01"),
            "lifetime_value_usd": Decimal("30.01"),
            "average_amount_usd": Decimal("23.3367"),
            "first_transaction_date": date(2024, 11, 30),
            "last_transaction_date": date(2025, 1, 1),
            "tenure_days": 32,
            "transactions_per_month": 4 / 3,
            "ingestion_timestamp": LANDED,
            "data_source": "transactions",
        }
    ]
    assert broken(LIFETIME, rows[0]) == set()
    assert accounted(LIFETIME, rows) == (4, Decimal("70.01"))
    assert rows == compute(LIFETIME, {ENRICHED: payments[::-1]})


def test_a_lifetime_is_added_up_from_months(compute, accounted) -> None:
    payments = [
        enriched(transaction_date=date(2024, 12, 5), data_source="legacy_transactions"),
        enriched(transaction_date=date(2024, 12, 31), amount_usd=None, status="failed"),
        enriched(transaction_date=date(2025, 1, 1), amount_usd="20.01"),
    ]

    months = compute(SPENDING, {ENRICHED: payments})

    assert [row["month"] for row in months] == [date(2024, 12, 1), date(2025, 1, 1)]
    assert [row["transaction_count"] for row in months] == [2, 1]
    assert [row["with_dollars_count"] for row in months] == [1, 1]
    assert months[0]["last_transaction_date"] == date(2024, 12, 31)
    assert accounted(SPENDING, months)[0] == 3
    [row] = compute(LIFETIME, {SPENDING: months})
    assert row["data_source"] == "legacy_transactions,transactions"
    assert [row] == compute(LIFETIME, {SPENDING: months[::-1]}) == compute(LIFETIME, {ENRICHED: payments})


def test_a_lifetime_of_one_payment(compute) -> None:
    [row] = compute(LIFETIME, {ENRICHED: [enriched(amount_usd=None)]})

    assert (row["tenure_days"], row["transactions_per_month"]) == (0, 1.0)
    assert (row["lifetime_value_usd"], row["average_amount_usd"]) == (Decimal(0), None)


def test_lifetime_rules(compute, broken) -> None:
    [row] = compute(LIFETIME, {ENRICHED: [enriched()]})
    turned = {"first_transaction_date": date(2025, 1, 4)}

    assert broken(LIFETIME, row | turned) == {"first_not_after_last"}
    assert broken(LIFETIME, row | {"tenure_days": -1}) == {"tenure_days_at_least"}
    assert broken(LIFETIME, row | {"customer_id": None}) == {"customer_id_required"}
