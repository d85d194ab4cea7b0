"""The reference tables: `enriched.fx_rates`, `enriched.merchant_categories`, `enriched.customer_risk`."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RATES = "enriched.fx_rates"
CATEGORIES = "enriched.merchant_categories"
RISK = "enriched.customer_risk"
DOLLARS = "enriched.dollar_rates"
FRIDAY = date(2025, 1, 3)
LANDED = datetime(2025, 2, 1, tzinfo=UTC)


def rate(day: date, value: str, currency: str = "USD") -> dict[str, Any]:
    """A row of `latest.fx_rates`."""
    return {"date": day, "currency": currency, "rate": value, "_ingested_at": LANDED, "_source": "fx_rates"}


def by_day(rows: list[dict[str, Any]], currency: str = "USD") -> dict[date, dict[str, Any]]:
    return {row["rate_date"]: row for row in rows if row["currency"] == currency}


def test_weekends_take_the_rate_of_friday(compute) -> None:
    monday = FRIDAY + timedelta(days=3)

    rows = by_day(compute(RATES, {"latest.fx_rates": [rate(FRIDAY, "1.0299"), rate(monday, "1.0426")]}))

    sunday = rows[FRIDAY + timedelta(days=2)]
    assert (sunday["rate"], sunday["source_date"]) == (Decimal("1.0299"), FRIDAY)
    assert (sunday["is_filled"], sunday["days_filled"]) == (True, 2)
    assert (rows[FRIDAY]["is_filled"], rows[FRIDAY]["days_filled"]) == (False, 0)
    assert (rows[monday]["rate"], rows[monday]["source_date"]) == (Decimal("1.0426"), monday)


def test_the_last_rate_holds_for_ten_more_days(compute) -> None:
    rows = by_day(compute(RATES, {"latest.fx_rates": [rate(FRIDAY, "1.0299")]}))

    assert min(rows) == FRIDAY
    assert max(rows) == FRIDAY + timedelta(days=10)
    assert len(rows) == 11


def test_a_long_gap_is_not_bridged_with_a_stale_rate(compute) -> None:
    later = FRIDAY + timedelta(days=30)

    rows = by_day(compute(RATES, {"latest.fx_rates": [rate(FRIDAY, "1.0299"), rate(later, "1.1")]}))

    assert FRIDAY + timedelta(days=10) in rows
    assert FRIDAY + timedelta(days=11) not in rows
    assert later in rows


def test_the_euro_stands_among_the_currencies(compute, accounted) -> None:
    published = [rate(FRIDAY, "1.0299"), rate(FRIDAY, "161.5", "JPY")]

    rows = compute(RATES, {"latest.fx_rates": published})

    euro = by_day(rows, "EUR")
    assert set(euro) == set(by_day(rows, "JPY"))
    assert {(row["rate"], row["is_filled"]) for row in euro.values()} == {(Decimal(1), False)}
    assert all(row["source_date"] == row["rate_date"] for row in euro.values())
    assert accounted(RATES, rows) == (2, 0)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=10))
def test_every_published_rate_is_accounted_for_once_in_any_order(compute, accounted, days: list[int]) -> None:
    published = [rate(FRIDAY + timedelta(days=day), f"1.{day:02d}") for day in days]

    rows = compute(RATES, {"latest.fx_rates": published})

    assert rows == compute(RATES, {"latest.fx_rates": published[::-1]})
    assert accounted(RATES, rows) == (len(days), 0)
    assert len({(row["rate_date"], row["currency"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({}, set()),
        ({"rate": "0"}, {"rate_above"}),
        ({"rate": None}, {"rate_required"}),
        ({"currency": "us"}, {"currency_matches"}),
        ({"days_filled": 11}, {"days_filled_at_most"}),
        ({"rate_date": None}, {"rate_date_required"}),
    ],
)
def test_rate_rules(compute, broken, values: dict[str, Any], rules: set[str]) -> None:
    row = by_day(compute(RATES, {"latest.fx_rates": [rate(FRIDAY, "1.0299")]}))[FRIDAY]

    assert broken(RATES, row | values) == rules


@pytest.mark.parametrize(
    ("mcc", "reportable", "code", "flag"),
    [("742", "Yes", "0742", True), ("5411", "No1.6041-3(c)", "5411", False), (" 0780 ", None, "0780", None)],
)
def test_categories(compute, broken, mcc: str, reportable: str | None, code: str, flag: bool | None) -> None:
    record = {
        "mcc": mcc,
        "edited_description": " Grocery Stores ",
        "irs_reportable": reportable,
        "_ingested_at": LANDED,
        "_source": "merchant_categories",
    }

    [row] = compute(CATEGORIES, {"latest.merchant_categories": [record]})

    assert (row["mcc"], row["description"], row["is_irs_reportable"]) == (code, "Grocery Stores", flag)
    assert broken(CATEGORIES, row) == set()
    assert broken(CATEGORIES, row | {"mcc": "54x1"}) == {"mcc_matches"}
    assert broken(CATEGORIES, row | {"description": None}) == {"description_required"}


def answer(**values: Any) -> dict[str, Any]:
    """A row of `latest.customer_risk`."""
    return {
        "customer_id": "c1",
        "scored_at": "2025-01-03T14:05:09Z",
        "model": "risk-4",
        "score": "61.5",
        "band": "HIGH",
        "factors": json.dumps([{"name": "age", "weight": 0.2}, {"name": "velocity", "weight": 0.7}]),
        "history": json.dumps(
            [
                {"date": "2024-12-01", "score": 40},
                {"date": "2024-12-20", "score": 51.5},
                {"date": "2025-01-03", "score": 61.5},
            ]
        ),
        "_ingested_at": LANDED,
        "_source": "customer_risk",
    } | values


def test_a_scored_customer(compute, broken) -> None:
    [row] = compute(RISK, {"latest.customer_risk": [answer()]})

    assert row["scored_at"] == datetime(2025, 1, 3, 14, 5, 9, tzinfo=UTC)
    assert (row["score"], row["band"], row["factor_count"]) == (61.5, "high", 2)
    assert (row["top_factor"], row["top_factor_weight"]) == ("velocity", 0.7)
    assert (row["previous_score"], row["score_change"]) == (51.5, 10.0)
    assert broken(RISK, row) == set()


@pytest.mark.parametrize("text", [None, "[]", "nothing", "{}"])
def test_empty_arrays_say_nothing(compute, text: str | None) -> None:
    [row] = compute(RISK, {"latest.customer_risk": [answer(factors=text, history=text)]})

    assert (row["factor_count"], row["top_factor"], row["top_factor_weight"]) == (0, None, None)
    assert (row["previous_score"], row["score_change"]) == (None, None)


def test_the_order_of_factors_and_history_does_not_matter(compute) -> None:
    turned = answer(
        factors=json.dumps(json.loads(answer()["factors"])[::-1]),
        history=json.dumps(json.loads(answer()["history"])[::-1]),
    )
    derived = ("factor_count", "top_factor", "top_factor_weight", "previous_score", "score_change")

    [one], [other] = (compute(RISK, {"latest.customer_risk": [document]}) for document in (answer(), turned))

    assert [one[name] for name in derived] == [other[name] for name in derived]


def test_a_factor_without_a_weight_and_a_day_without_a_score_count_for_nothing(compute) -> None:
    document = answer(
        factors=json.dumps([{"name": "age", "weight": 0.2}, {"name": "country"}, {"name": "device", "weight": None}]),
        history=json.dumps([{"date": "2024-12-20", "score": 51.5}, {"date": "2025-01-02"}, {"score": 12}]),
    )

    [row] = compute(RISK, {"latest.customer_risk": [document]})

    assert (row["factor_count"], row["top_factor"], row["top_factor_weight"]) == (3, "age", 0.2)
    assert row["previous_score"] == 51.5


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"score": "high"}, "score_required"),
        ({"score": "-1"}, "score_at_least"),
        ({"scored_at": "lately"}, "scored_at_required"),
    ],
)
def test_risk_rules(compute, broken, values: dict[str, Any], rule: str) -> None:
    [row] = compute(RISK, {"latest.customer_risk": [answer(**values)]})

    assert broken(RISK, row) == {rule}


def test_what_a_currency_is_worth_in_dollars(compute, broken, accounted) -> None:
    quoted = [
        {"rate_date": FRIDAY, "currency": currency, "rate": value, "source_date": FRIDAY, "ingestion_timestamp": LANDED}
        for currency, value in (("USD", "1.25"), ("EUR", "1"), ("JPY", "160"))
    ]

    rows = compute(DOLLARS, {RATES: quoted})

    assert [row["currency"] for row in rows] == ["EUR", "JPY"]
    assert [row["rate_to_usd"] for row in rows] == [Decimal("1.25"), Decimal("0.0078125")]
    assert (rows[1]["dollars"], rows[1]["units"]) == (125_000_000, 16_000_000_000)
    assert broken(DOLLARS, rows[1] | {"data_source": "fx_rates"}) == set()
    assert accounted(DOLLARS, rows)[0] == 2


def test_a_conversion_is_as_old_as_the_older_of_its_two_rates(compute) -> None:
    thursday, saturday = FRIDAY - timedelta(days=1), FRIDAY + timedelta(days=1)
    published = [rate(thursday, "160", "JPY"), rate(FRIDAY, "1.25"), rate(FRIDAY, "0.8", "GBP")]

    rates = compute(RATES, {"latest.fx_rates": published})
    rows = compute(DOLLARS, {RATES: rates})

    assert {row["currency"]: row["source_date"] for row in rows if row["rate_date"] == saturday} == {
        "EUR": FRIDAY,
        "GBP": FRIDAY,
        "JPY": thursday,
    }


def test_without_the_dollars_rate_nothing_is_worth_dollars(compute, accounted) -> None:
    [row] = compute(DOLLARS, {RATES: [{"rate_date": FRIDAY, "currency": "JPY", "rate": "160", "source_date": FRIDAY}]})

    assert (row["dollars"], row["rate_to_usd"], row["source_date"]) == (None, None, None)
    assert accounted(DOLLARS, [row])[0] == 1
