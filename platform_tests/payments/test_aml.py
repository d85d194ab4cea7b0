"""The monitoring rules: what must fire and what just must not, and three of them against judges that know no SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.monitoring import RULES

PAYMENTS = "marts.transactions_enriched"
REFUNDS = "marts.refunds_enriched"
TODAY = date(2025, 6, 30)
LANDED = datetime(2025, 7, 1, tzinfo=UTC)
Row = dict[str, Any]
Found = set[tuple[str, date, Decimal, tuple[str, ...]]]
"""Customer, day, what was measured, and the payments."""


def payment(name: str, days_ago: int = 0, dollars: str = "10.00", *, hour: float = 12, **values: Any) -> Row:
    """A row of `marts.transactions_enriched` and, with its key, of `enriched.transactions`."""
    day = TODAY - timedelta(days=days_ago)
    return {
        "transaction_id": name,
        "transaction_date": day,
        "transaction_timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour),
        "customer_id": "c1",
        "status": "captured",
        "amount": dollars,
        "amount_usd": dollars,
        "currency": "USD",
        "customer_country": "GB",
        "merchant_country": "GB",
        "ingestion_timestamp": LANDED,
        "data_source": "transactions",
    } | values


def refund(name: str, days_ago: int = 0, dollars: str = "600.00", *, hours: float = 24, **values: Any) -> Row:
    """A row of `marts.refunds_enriched`: money given back some hours after the payment, which was of the same amount."""
    day = TODAY - timedelta(days=days_ago)
    given_back = datetime(day.year, day.month, day.day, 18, tzinfo=UTC)
    paid = given_back - timedelta(hours=hours)
    return {
        "refund_id": f"r-{name}",
        "transaction_id": name,
        "refund_date": day,
        "refunded_at": given_back,
        "transaction_timestamp": paid,
        "transaction_date": paid.date(),
        "state": "succeeded",
        "amount": dollars,
        "payment_amount": dollars,
        "amount_usd": dollars,
        "customer_id": "c1",
        "ingestion_timestamp": LANDED,
        "data_source": "refunds",
    } | values


def found(rows: Iterable[Row]) -> Found:
    return {
        (row["subject_id"], row["alert_date"], row["measured"], tuple(each["transaction_id"] for each in row["transactions"]))
        for row in rows
    }


@pytest.fixture
def alerts(compute, broken) -> Callable[..., list[Row]]:
    """Run a rule over payments or refunds; what it gives keeps its contract."""

    def run(rule: str, rows: Iterable[Row], **relations: Iterable[Row]) -> list[Row]:
        given = {REFUNDS if rule == "rapid_in_and_out" else PAYMENTS: list(rows)}
        table = f"marts.aml_{rule}"
        alerts = compute(table, given | {f"enriched.{name}": list(more) for name, more in relations.items()})
        assert {name for row in alerts for name in broken(table, row)} == set()
        return alerts

    return run


def test_declarations_say_what_the_rows_say(domain, alerts) -> None:
    rows = [payment(f"t{number}", dollars="9000.00") for number in range(3)]
    [row] = alerts("structuring", rows)

    assert row == {
        "rule": "structuring",
        "severity": "high",
        "subject_id": "c1",
        "alert_date": TODAY,
        "window_start": TODAY - timedelta(days=6),
        "measured": Decimal("27000"),
        "held_against": Decimal("10000"),
        "transaction_count": 3,
        "amount_usd": Decimal("27000"),
        "transactions": [
            {"transaction_id": f"t{number}", "transaction_date": TODAY, "amount_usd": Decimal("9000")} for number in range(3)
        ],
        "parameters": "{'threshold': 10000.00, 'near_share': 0.80, 'min_payments': 3, 'window_days': 7}",
        "ingestion_timestamp": LANDED,
        "data_source": "transactions",
    }
    assert {rule.table for rule in RULES} | {"marts.aml_alerts"} == {name for name in domain.tables if ".aml_" in name}
    for rule in RULES:
        sql = (domain.sql / f"{rule.table.replace('.', '/')}.sql").read_text(encoding="utf-8")
        assert f"'{rule.name}' AS rule" in sql and f"'{rule.severity}' AS severity" in sql, rule.name


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({}, True),
        ({"dollars": "8000.00"}, True),
        ({"dollars": "7999.99"}, False),
        ({"dollars": "9999.99"}, True),
        ({"dollars": "10000.00"}, False),
        ({"status": "failed"}, False),
        ({"status": "refunded"}, True),
        ({"customer_id": "c2"}, False),
        ({"amount_usd": None}, False),
    ],
)
def test_structuring_takes_three_payments_just_under_the_threshold(alerts, changes: Row, fires: bool) -> None:
    rows = [payment("t1", 6, "9000.00"), payment("t2", 3, "8500.00"), payment("t3", **({"dollars": "9500.00"} | changes))]

    assert bool(alerts("structuring", rows)) is fires


def test_structuring_looks_at_a_week(alerts) -> None:
    assert alerts("structuring", [payment("t1", 7, "9000.00"), payment("t2", 3, "9000.00"), payment("t3", 0, "9000.00")]) == []


def test_structuring_that_goes_on_is_told_on_every_day_that_has_such_a_payment(alerts) -> None:
    rows = [payment(f"t{days}", days, "9000.00") for days in (8, 6, 4, 2)]

    assert [(row["alert_date"], row["transaction_count"]) for row in alerts("structuring", rows)] == [
        (TODAY - timedelta(days=4), 3),
        (TODAY - timedelta(days=2), 4),
    ]


@pytest.mark.parametrize(("hours", "fires"), [(24.0, True), (24.01, False)])
def test_velocity_counts_within_hours_over_midnight(alerts, hours: float, fires: bool) -> None:
    first = payment("first", 1, hour=20)
    rest = [payment(f"t{number}", 0, hour=20 - 24 + hours - number / 100) for number in range(9)]

    rows = alerts("velocity", [first, *rest])

    assert bool(rows) is fires
    if fires:
        assert (rows[0]["measured"], rows[0]["transaction_count"], rows[0]["held_against"]) == (10, 10, 10)
        assert rows[0]["transactions"][0]["transaction_id"] == "first"


def test_velocity_leaves_out_what_failed_and_counts_what_has_no_rate(alerts) -> None:
    rows = [payment(f"t{number}", hour=number, amount_usd=None) for number in range(10)]

    assert [row["amount_usd"] for row in alerts("velocity", rows)] == [0]
    assert alerts("velocity", [*rows[:9], rows[9] | {"status": "failed"}]) == []


@pytest.mark.parametrize(
    ("last", "fires"),
    [
        ({}, True),
        ({"amount": "650.00"}, False),
        ({"amount_usd": "499.99"}, False),
        ({"days_ago": 30}, False),
        ({"status": "failed"}, False),
    ],
)
def test_round_amounts_are_round_in_their_currency_and_large_in_dollars(alerts, last: Row, fires: bool) -> None:
    rows = [payment(f"t{number}", number, "700.00", amount="90000", currency="JPY") for number in range(4)]
    rows.append(payment("last", **({"dollars": "500.00", "days_ago": 29} | last)))

    assert bool(alerts("round_amounts", rows)) is fires


def test_round_amounts_among_many_others_mean_nothing(alerts) -> None:
    rows = [payment(f"t{number}", number, "700.00") for number in range(8)]
    odd = [payment(f"odd{number}", 1, "701.50") for number in range(3)]

    assert {row["transaction_count"] for row in alerts("round_amounts", [*rows, *odd[:2]]) if row["alert_date"] == TODAY} == {8}
    assert [row for row in alerts("round_amounts", [*rows, *odd]) if row["alert_date"] == TODAY] == []


@pytest.mark.parametrize(
    ("last", "fires"),
    [
        ({}, True),
        ({"hours": 72}, True),
        ({"hours": 72.01}, False),
        ({"dollars": "399.99"}, False),
        ({"payment_amount": "444.44"}, True),
        ({"payment_amount": "444.45"}, False),
        ({"state": "pending"}, False),
        ({"days_ago": 7}, False),
        ({"customer_id": "c2"}, False),
    ],
)
def test_rapid_in_and_out_takes_two_payments_given_back_within_three_days(alerts, last: Row, fires: bool) -> None:
    rows = [refund("t1"), refund("t2", **({"dollars": "400.00", "days_ago": 6} | last))]

    assert bool(alerts("rapid_in_and_out", rows)) is fires


def test_a_payment_given_back_in_parts_is_one_payment(alerts) -> None:
    halves = [refund("t1", 1, "500.00", payment_amount="1000.00"), refund("t1", 0, "500.00", payment_amount="1000.00")]

    assert alerts("rapid_in_and_out", halves) == []
    [row] = alerts("rapid_in_and_out", [*halves, refund("t2")])
    assert (row["transaction_count"], row["measured"]) == (2, 1600)


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ({"customer_country": "KP"}, True),
        ({"merchant_country": "IR"}, True),
        ({"merchant_country": "FR"}, False),
        ({"merchant_country": None}, False),
        ({"merchant_country": "IR", "status": "failed"}, False),
        ({"merchant_country": "IR", "dollars": "399.99"}, False),
        ({"merchant_country": "IR", "days_ago": 30}, False),
    ],
)
def test_corridors_are_those_of_the_list(alerts, values: Row, fires: bool) -> None:
    rows = [payment("t1", 0, "600.00", merchant_country="MM"), payment("t2", **({"dollars": "400.00", "days_ago": 29} | values))]

    assert bool(alerts("high_risk_corridors", rows)) is fires


OLD = TODAY - timedelta(days=200)


@pytest.mark.parametrize(
    ("earlier", "registered", "dollars", "fires"),
    [
        (None, OLD, "1000.00", True),
        (91, OLD, "1000.00", True),
        (90, OLD, "1000.00", False),
        (1, OLD, "1000.00", False),
        (None, OLD, "999.99", False),
        (None, TODAY - timedelta(days=91), "1000.00", False),
        (None, TODAY - timedelta(days=92), "1000.00", True),
        (None, None, "1000.00", False),
    ],
)
def test_dormant_is_who_registered_more_than_a_day_before_the_window_and_paid_nothing_in_it(
    alerts, earlier: int | None, registered: date | None, dollars: str, fires: bool
) -> None:
    rows = [payment("now", 0, dollars), payment("somebody", 88, customer_id="c2")]
    if earlier is not None:
        rows.append(payment("earlier", earlier))

    found = alerts("dormant_awakening", rows, transactions=[known(row, registered) for row in rows])

    assert [row["transactions"][0]["transaction_id"] for row in found if row["subject_id"] == "c1"] == ["now"] * fires


def known(row: Row, registered: date | None) -> Row:
    """The row of `enriched.transactions` of a payment."""
    at = None if registered is None else datetime(registered.year, registered.month, registered.day, 23, 59, tzinfo=UTC)
    return {name: row[name] for name in ("transaction_id", "transaction_date", "customer_id")} | {"customer_registered_at": at}


@pytest.mark.parametrize(("days_ago", "fires"), [(90, True), (84, True), (83, False), (91, False)])
def test_nobody_is_dormant_before_there_is_anything_to_see(alerts, days_ago: int, fires: bool) -> None:
    rows = [payment("now", 0, "1000.00"), payment("somebody", days_ago, customer_id="c2")]

    assert bool(alerts("dormant_awakening", rows, transactions=[known(row, OLD) for row in rows])) is fires


def test_all_alerts_are_those_of_the_rules(compute, alerts, accounted) -> None:
    structuring = alerts("structuring", [payment(f"t{number}", dollars="9000.00") for number in range(3)])
    velocity = alerts("velocity", [payment(f"t{number}") for number in range(12)])

    rows = compute("marts.aml_alerts", {"marts.aml_structuring": structuring, "marts.aml_velocity": velocity})

    assert rows == [*structuring, *velocity]
    assert accounted("marts.aml_alerts", rows) == (2, Decimal("27120"))


# --- Judges that know no SQL -----------------------------------------------------------------------------------------

BOUNDED = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def payments_of(dollars: st.SearchStrategy[str], days: int, most: int) -> st.SearchStrategy[list[Row]]:
    """Payments of two customers on some days, at any hour."""
    one = st.tuples(
        st.integers(0, days),
        dollars,
        st.integers(0, 23),
        st.sampled_from(["c1", "c1", "c2"]),
        st.sampled_from(["captured", "failed"]),
    )
    return st.lists(one, max_size=most).map(
        lambda drawn: [
            payment(f"t{place:03}", days_ago, amount, hour=hour, customer_id=customer, status=status)
            for place, (days_ago, amount, hour, customer, status) in enumerate(drawn)
        ]
    )


def by_customer(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    """Payments that did not fail, oldest first."""
    grouped = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["transaction_timestamp"], row["transaction_id"])):
        if row["status"] != "failed":
            grouped[row["customer_id"]].append(row)
    return grouped


def names(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row["transaction_id"] for row in rows)


def dollars_of(rows: Iterable[Row]) -> Decimal:
    return sum((Decimal(row["amount_usd"]) for row in rows), Decimal(0))


@BOUNDED
@given(rows=payments_of(st.sampled_from(["7999.99", "8000.00", "9999.99", "10000.00"]), 20, 20))
def test_structuring_against_its_judge(alerts, rows: list[Row]) -> None:
    expected = set()
    for customer, paid in by_customer(rows).items():
        near = [row for row in paid if Decimal(8000) <= Decimal(row["amount_usd"]) < Decimal(10000)]
        for day in {row["transaction_date"] for row in near}:
            window = [row for row in near if timedelta(0) <= day - row["transaction_date"] < timedelta(days=7)]
            if len(window) >= 3:
                expected.add((customer, day, dollars_of(window), names(window)))

    assert found(alerts("structuring", rows)) == expected


@BOUNDED
@given(rows=payments_of(st.just("10.00"), 3, 60))
def test_velocity_against_its_judge(alerts, rows: list[Row]) -> None:
    expected = set()
    for customer, paid in by_customer(rows).items():
        for day in {row["transaction_date"] for row in paid}:
            bursts = []
            for last in (row for row in paid if row["transaction_date"] == day):
                at = last["transaction_timestamp"]
                burst = [row for row in paid if at - timedelta(hours=24) <= row["transaction_timestamp"] <= at]
                if len(burst) >= 10:
                    bursts.append(burst)
            if bursts:
                involved = {row["transaction_id"] for burst in bursts for row in burst}
                listed = names(row for row in paid if row["transaction_id"] in involved)
                expected.add((customer, day, Decimal(max(map(len, bursts))), listed))

    assert found(alerts("velocity", rows)) == expected


@BOUNDED
@given(rows=payments_of(st.sampled_from(["400.00", "1000.00"]), 200, 12))
def test_dormant_against_its_judge(alerts, rows: list[Row]) -> None:
    days = {row["transaction_date"] for row in rows}
    expected = set()
    for customer, paid in by_customer(rows).items():
        for day in {row["transaction_date"] for row in paid}:
            before = [row for row in paid if timedelta(0) < day - row["transaction_date"] <= timedelta(days=90)]
            that_day = [row for row in paid if row["transaction_date"] == day]
            seen = any(timedelta(days=84) <= day - other <= timedelta(days=90) for other in days)
            if not before and seen and dollars_of(that_day) >= 1000:
                expected.add((customer, day, dollars_of(that_day), names(that_day)))
    long_ago = date(2020, 1, 1)

    assert found(alerts("dormant_awakening", rows, transactions=[known(row, long_ago) for row in rows])) == expected


@BOUNDED
@given(data=st.data(), rows=payments_of(st.sampled_from(["9000.00", "600.00", "1100.00"]), 110, 40))
def test_an_alert_depends_on_its_window_and_nothing_else(alerts, data: st.DataObject, rows: list[Row]) -> None:
    """Whatever else is read at once, before and after: so that days may be computed together or one by one."""
    rule = data.draw(st.sampled_from([rule for rule in RULES if rule.reads == PAYMENTS]))
    day = TODAY - timedelta(days=data.draw(st.integers(0, 20)))
    rows = [row | {"merchant_country": "IR"} for row in rows]
    window = [row for row in rows if timedelta(0) <= day - row["transaction_date"] < timedelta(days=rule.window_days)]

    def of_the_day(read: list[Row]) -> list[Row]:
        same_day = [known(row, date(2020, 1, 1)) for row in read]
        relations = {"transactions": same_day} if rule.name == "dormant_awakening" else {}
        return [row for row in alerts(rule.name, read, **relations) if row["alert_date"] == day]

    assert of_the_day(rows) == of_the_day(window)
