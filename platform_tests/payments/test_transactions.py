"""`enriched.transactions`: every form of every value, every rule, and money that is never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.contracts import Domain
from payments.contracts.vocabulary import money

TABLE = "enriched.transactions"
PAID = datetime(2025, 1, 3, 14, 5, 9, tzinfo=UTC)


def event(**values: Any) -> dict[str, Any]:
    """An event of `latest.transactions`, right in every column but those given."""
    return {
        "transaction_id": "t1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "150.50",
        "currency": "USD",
        "status": "captured",
        "region": "EU",
        "payment_method": "card",
        "is_recurring": "N",
        "transaction_date": "2025-01-03T14:05:09Z",
        "event_date": "2025-01-03",
        "_ingested_at": "2025-01-04 00:00:00+00",
        "_source": "transactions",
    } | values


GOOD = {
    "transaction_id": "t1",
    "customer_id": "c1",
    "merchant_id": "m1",
    "amount": "150.50",
    "currency": "USD",
    "status": "captured",
    "region": "EU",
    "transaction_timestamp": "2025-01-03 14:05:09+00",
    "transaction_date": "2025-01-03",
    "customer_registered_at": "2024-01-01 00:00:00+00",
    "ingestion_timestamp": "2025-01-04 00:00:00+00",
    "data_source": "transactions",
}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("150.50", "150.50"),
        ("150", "150.00"),
        ("$1,234.50", "1234.50"),
        (" $ 1,234,567.5 ", "1234567.50"),
        ("0.005", "0.01"),
        ("0.004", "0.00"),
        ("-5", "-5.00"),
        ("1.234,50", None),
        ("12,34", None),
        ("twelve", None),
        ("", None),
        (None, None),
    ],
)
def test_amounts(compute, text: str | None, amount: str | None) -> None:
    [row] = compute(TABLE, {"latest.transactions": [event(amount=text)]})

    assert row["amount"] == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-01-03T14:05:09Z", PAID),
        ("2025-01-03T14:05:09.250Z", PAID.replace(microsecond=250_000)),
        ("2025-01-03T16:05:09+02:00", PAID),
        ("2025-01-03 14:05:09", PAID),
        ("01/03/2025 14:05:09", PAID),
        (" 01/03/2025 14:05:09 ", PAID),
        ("01/03/2025", datetime(2025, 1, 3, tzinfo=UTC)),
        ("2025-01-03", datetime(2025, 1, 3, tzinfo=UTC)),
        ("1735913109", PAID),
        ("13/25/2025", None),
        ("20250103", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_instants(compute, text: str | None, instant: datetime | None) -> None:
    [row] = compute(TABLE, {"latest.transactions": [event(transaction_date=text)]})

    assert row["transaction_timestamp"] == instant


def test_reasons_are_lower_case(compute) -> None:
    [row] = compute(TABLE, {"latest.transactions": [event(status="FAILED", failure_reason=" Expired_Card")]})

    assert row["failure_reason"] == "expired_card"


@pytest.mark.parametrize("text", ["usd", " USD ", "Usd", "uSD  "])
def test_currencies(compute, text: str) -> None:
    [row] = compute(TABLE, {"latest.transactions": [event(currency=text)]})

    assert row["currency"] == "USD"


@pytest.mark.parametrize(
    ("text", "truth"),
    [(text, True) for text in ("Y", "y", "1", "true", "TRUE", " True ", "yes", "t")]
    + [(text, False) for text in ("N", "n", "0", "false", "FALSE", "no", "F")]
    + [("maybe", None), ("", None), (None, None)],
)
def test_booleans(compute, text: str | None, truth: bool | None) -> None:
    [row] = compute(TABLE, {"latest.transactions": [event(is_recurring=text)]})

    assert row["is_recurring"] is truth


def test_standard_values(compute) -> None:
    messy = event(
        status=" Captured",
        region="eu ",
        payment_method="CARD",
        failure_reason=" ",
        sca_method="3DS2",
        created_at=1_735_913_109_000_000,
        updated_at=1_735_913_109_000_001,
    )

    [row] = compute(TABLE, {"latest.transactions": [messy]})

    assert (row["status"], row["region"], row["payment_method"]) == ("captured", "EU", "card")
    assert (row["failure_reason"], row["sca_method"]) == (None, "3ds2")
    assert row["transaction_date"] == date(2025, 1, 3)
    assert row["created_at"] == PAID
    assert row["updated_at"] == PAID.replace(microsecond=1)
    assert row["ingestion_timestamp"] == datetime(2025, 1, 4, tzinfo=UTC)
    assert row["data_source"] == "transactions"


def test_archived_payments_stand_beside_the_new_ones(compute) -> None:
    archived = {
        "transaction_id": "old",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "$2,000",
        "currency": "eur",
        "status": "CAPTURED",
        "region": "NA",
        "is_recurring": "0",
        "transaction_date": "12/31/2024",
        "event_date": "2024-12-31",
        "_source": "legacy_transactions",
    }

    old, new = compute(TABLE, {"latest.transactions": [event()], "latest.legacy_transactions": [archived]})

    assert (old["transaction_id"], old["amount"], old["data_source"]) == ("old", Decimal(2000), "legacy_transactions")
    assert (old["currency"], old["status"], old["is_recurring"]) == ("EUR", "captured", False)
    assert (old["payment_method"], old["sca_method"], old["created_at"]) == (None, None, None)
    assert new["transaction_id"] == "t1"


def test_registration_is_looked_up_and_unknown_customers_are_kept(compute) -> None:
    known, unknown = compute(
        TABLE,
        {
            "latest.transactions": [event(), event(transaction_id="t2", customer_id="gone")],
            "enriched.customers": [{"customer_id": "c1", "registered_at": "2024-05-06 07:08:09+00"}],
        },
    )

    assert known["customer_registered_at"] == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert unknown["customer_registered_at"] is None


def test_a_good_row_breaks_nothing(broken) -> None:
    assert broken(TABLE, GOOD) == set()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"transaction_id": None}, "transaction_id_required"),
        ({"customer_id": None}, "customer_id_required"),
        ({"merchant_id": None}, "merchant_id_required"),
        ({"amount": None}, "amount_required"),
        ({"amount": "0.00"}, "amount_at_least"),
        ({"amount": "-5.00"}, "amount_at_least"),
        ({"amount": "1000000.01"}, "amount_at_most"),
        ({"currency": "XXX"}, "currency_known"),
        ({"currency": None}, "currency_required"),
        ({"status": "lost"}, "status_known"),
        ({"region": "MOON"}, "region_known"),
        ({"region": None}, "region_required"),
        ({"transaction_timestamp": None}, "transaction_timestamp_required"),
        ({"customer_registered_at": "2025-01-03 14:05:10+00"}, "not_before_registration"),
        ({"status": "failed"}, "failure_has_reason"),
        ({"created_at": "2025-01-04 14:05:10+00"}, "recorded_in_time"),
        ({"transaction_timestamp": "2025-01-03 00:00:00+00", "created_at": "2025-01-05 00:00:01+00"}, "recorded_in_time"),
    ],
)
def test_each_rule_is_broken_by_its_own_fault(broken, values: dict[str, Any], rule: str) -> None:
    assert broken(TABLE, GOOD | values) == {rule}


@pytest.mark.parametrize(
    "values",
    [
        {"amount": "0.01"},
        {"amount": "1000000.00"},
        {"amount": "1000000", "currency": "JPY"},
        {"customer_registered_at": None},
        {"customer_registered_at": "2025-01-03 14:05:09+00"},
        {"transaction_timestamp": "2025-01-03 00:00:00+00", "customer_registered_at": "2025-01-03 23:59:59+00"},
        {"status": "failed", "failure_reason": "insufficient_funds"},
        {"status": "failed", "data_source": "legacy_transactions"},
    ],
)
def test_edges_that_are_good(broken, values: dict[str, Any]) -> None:
    assert broken(TABLE, GOOD | values) == set()


def test_a_payment_without_a_time_may_not_be_of_the_day_before_registration(broken) -> None:
    early = {"transaction_timestamp": "2025-01-03 00:00:00+00", "customer_registered_at": "2025-01-04 00:00:00+00"}

    assert broken(TABLE, GOOD | early) == {"not_before_registration"}


@pytest.mark.parametrize(
    "values",
    [
        {"created_at": "2025-01-04 14:05:09+00"},
        {"transaction_timestamp": "2025-01-03 00:00:00+00", "created_at": "2025-01-05 00:00:00+00"},
        {"created_at": None},
    ],
)
def test_payments_that_are_recorded_within_a_day_are_in_time(broken, domain: Domain, values: dict[str, Any]) -> None:
    assert broken(TABLE, GOOD | values) == set()
    [rule] = [rule for rule in domain.tables[TABLE].rules if rule.name == "recorded_in_time"]
    assert (rule.severity, rule.dimension) == ("warn", "timeliness")


def test_failed_payments_without_a_reason_are_published(domain: Domain) -> None:
    severities = {rule.name: rule.severity for rule in domain.tables[TABLE].rules}

    assert severities["failure_has_reason"] == "warn"
    assert severities["not_before_registration"] == "quarantine"


def _forms(cents: int) -> list[str]:
    plain = f"{cents // 100}.{cents % 100:02d}"
    grouped = f"${cents // 100:,}.{cents % 100:02d}"
    whole = [str(cents // 100), f"${cents // 100:,}"] if cents % 100 == 0 else []
    return [plain, grouped, f" {plain} ", f"${plain}", *whole]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cents=st.integers(min_value=0, max_value=10**10))
def test_money_comes_back_from_every_form(compute, cents: int) -> None:
    events = [event(transaction_id=str(place), amount=text) for place, text in enumerate(_forms(cents))]

    rows = compute(TABLE, {"latest.transactions": events})

    assert {row["amount"] for row in rows} == {Decimal(cents) / 100}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet="0123456789.,$ -e", max_size=14), max_size=8))
def test_the_source_counts_the_money_that_the_table_publishes(compute, texts: list[str]) -> None:
    events = [event(transaction_id=str(place), amount=text) for place, text in enumerate(texts)]

    rows = compute(TABLE, {"latest.transactions": events})

    connection = duckdb.connect()
    counted = [
        connection.execute(
            f"SELECT coalesce(({money('amount')})::DECIMAL(38,4), 0) FROM (SELECT ? AS amount)", [text]
        ).fetchall()[0][0]
        for text in texts
    ]
    assert [row["amount"] or 0 for row in rows] == counted


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_the_order_of_rows_does_not_matter(compute: Callable[..., Any], order: list[int]) -> None:
    events = [event(transaction_id=f"t{n}", customer_id=f"c{n % 2}", amount=str(n)) for n in range(6)]
    customers = [{"customer_id": f"c{n}", "registered_at": f"2024-01-0{n + 1}"} for n in range(2)]
    sorted_rows = compute(TABLE, {"latest.transactions": events, "enriched.customers": customers})

    shuffled = [events[place] for place in order]
    rows = compute(TABLE, {"latest.transactions": shuffled, "enriched.customers": customers[::-1]})

    assert rows == sorted_rows
