"""The whole graph of a simulated company, from its landing files to its marts: equal to what is true of the company."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

import pytest
from shop_lake import LANDED_AT, ShopLake

from assay.lake.layout import demo_key, landing_prefix
from assay.pipeline.reconciling import Reconciling
from assay.pipeline.state import State
from payments import DOMAIN
from simulator import Company, Total, Truth, closings, produce, truth

COMPANY = Company(days=8, transactions_per_day=500, seed=13)
# The archive is judged on its own, and is a month of days.
LEFT_OUT = ("legacy_transactions",)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    folder = tmp_path_factory.mktemp("company")
    lake = ShopLake(folder, DOMAIN)
    for file in produce(COMPANY, folder / "files"):
        if file.source not in LEFT_OUT:
            place = lake.folder / f"{landing_prefix(file.source)}{file.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            file.path.rename(place)
            os.utime(place, (LANDED_AT.timestamp(), LANDED_AT.timestamp()))
    for closed in closings(COMPANY, folder / "files"):
        lake.store.put(demo_key(closed), closed.path)
    ran = lake.run(leave_out=DOMAIN.generated)
    failed = {
        f"{name} {outcome.partition}": outcome.status.value
        for name, outcomes in ran.outcomes.items()
        for outcome in outcomes
        if outcome.status.value == "failed"
    }
    assert failed == {}
    return lake


@pytest.fixture(scope="module")
def told() -> Truth:
    return truth(COMPANY)


def by_day(lake: ShopLake, table: str, day: str) -> dict[tuple, Total]:
    rows = lake.rows(f"SELECT {day}, state, region, currency, count(*), sum(amount) FROM {table} GROUP BY ALL")
    return {tuple(key): Total(count, Decimal(amount)) for *key, count, amount in rows}


def test_payments_are_in_the_states_that_they_are_in(lake: ShopLake, told: Truth) -> None:
    statuses = dict(lake.rows("SELECT status, count(*) FROM marts.transactions_enriched GROUP BY ALL"))
    revenue = lake.rows(
        "SELECT transaction_date, region, currency, sum(amount) FROM marts.transactions_enriched "
        "WHERE status = 'captured' GROUP BY ALL"
    )
    assert statuses == told.statuses
    assert {tuple(key): amount for *key, amount in revenue} == told.revenue


@pytest.mark.parametrize("table", ["enriched.refunds", "marts.refunds_enriched"])
def test_refunds_of_each_day_are_those_that_were_made(lake: ShopLake, told: Truth, table: str) -> None:
    assert by_day(lake, table, "refund_date") == told.refunds


@pytest.mark.parametrize("table", ["enriched.chargebacks", "marts.chargebacks_enriched"])
def test_chargebacks_of_each_day_are_those_that_were_opened(lake: ShopLake, told: Truth, table: str) -> None:
    found = by_day(lake, table, "opened_date")
    assert found == told.chargebacks
    assert {"open", "won"} == {state for _, state, *_ in found}


def test_refunds_and_disputes_agree_with_the_payments_in_the_lake(lake: ShopLake) -> None:
    refunded = lake.rows(
        "SELECT count(*), count(*) FILTER (WHERE returned = payment.amount) FROM enriched.transactions AS payment LEFT JOIN ("
        "  SELECT transaction_id, sum(amount) AS returned FROM enriched.refunds WHERE state = 'succeeded' GROUP BY ALL"
        ") USING (transaction_id) WHERE status = 'refunded'"
    )
    disputed = lake.rows(
        "SELECT count(*), count(dispute_id) FROM enriched.transactions LEFT JOIN enriched.chargebacks USING (transaction_id) "
        "WHERE status = 'chargeback'"
    )
    assert refunded[0][0] == refunded[0][1] > 20
    assert disputed[0][0] == disputed[0][1] > 0


def test_facts_of_one_payment_have_the_same_merchant_and_partner(lake: ShopLake) -> None:
    columns = ("merchant_id", "merchant_name", "mcc", "partner", "region", "currency", "customer_id", "payment_method")
    differs = " OR ".join(f"payment.{name} IS DISTINCT FROM returned.{name}" for name in columns)
    for mart in ("marts.refunds_enriched", "marts.chargebacks_enriched"):
        [(rows, differing)] = lake.rows(
            f"SELECT count(*), count(*) FILTER (WHERE {differs}) "
            f"FROM {mart} AS returned JOIN marts.transactions_enriched AS payment USING (transaction_id)"
        )
        assert (differing, rows > 0) == (0, True)
    assert len(lake.rows("SELECT DISTINCT partner FROM marts.refunds_enriched")) > 3


def test_every_settled_payment_has_a_fee_and_a_day_at_the_merchant(lake: ShopLake) -> None:
    [row] = lake.rows(
        "SELECT count(*) FILTER (WHERE fee_usd IS NULL OR cost_usd IS NULL OR merchant_date IS NULL), "
        "count(*) FILTER (WHERE (status IN ('captured', 'refunded', 'chargeback')) <> (fee_amount > 0)), "
        "count(*) FILTER (WHERE merchant_date <> transaction_date), count(*), "
        "count(*) FILTER (WHERE abs(merchant_date - transaction_date) > 1) FROM marts.transactions_enriched"
    )
    without, wrong, moved, rows, far = row
    assert (without, far) == (0, 0)
    # The smallest payments owe less than half a cent where the terms have no fixed fee.
    assert wrong < rows / 1_000
    assert 0.05 < moved / rows < 0.6


def test_payments_by_local_day_are_those_of_the_days_around_it(lake: ShopLake) -> None:
    local = [f"marts.{entity}_local_{grain}" for entity in ("merchant", "platform") for grain in ("day", "week", "month", "year")]
    ran = lake.run("local", leave_out=DOMAIN.generated.keys() - set(local))
    assert {status for name in local for status in ran.computed[name].values()} == {"published"}
    for name in local:
        grain = name.rsplit("_", 1)[1]
        key = "'all'" if "platform" in name else "merchant_id"
        counted = lake.rows(
            f"SELECT {key}, date_trunc('{grain}', merchant_date)::DATE, count(*), sum(amount_usd), "
            "coalesce(sum(amount_usd) FILTER (WHERE status IN ('captured', 'refunded', 'chargeback')), 0), "
            "count(*) FILTER (WHERE merchant_hour IN (18, 19, 20, 21, 22)), "
            "count(*) FILTER (WHERE merchant_hour IN (23, 0, 1, 2, 3, 4, 5)) "
            "FROM marts.transactions_enriched WHERE merchant_date IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
        stored = lake.rows(
            f"SELECT {key}, {grain}, local_payment_count, local_gross_value_usd, local_captured_value_usd, evening_count, "
            f"night_count FROM {name} ORDER BY ALL"
        )
        assert [row for row in stored if row[2]] == counted and len(stored) > 1, name
        for what, mart in (("refund", "marts.refunds_enriched"), ("dispute", "marts.chargebacks_enriched")):
            counted = lake.rows(
                f"SELECT {key}, date_trunc('{grain}', merchant_date)::DATE, count(*), sum(amount_usd) FROM {mart} "
                "WHERE merchant_date IS NOT NULL GROUP BY ALL ORDER BY ALL"
            )
            stored = lake.rows(
                f"SELECT {key}, {grain}, local_{what}_count, local_{what}_value_usd FROM {name} "
                f"WHERE local_{what}_count > 0 ORDER BY ALL"
            )
            assert stored == counted and stored, (name, what)
    days = lake.rows("SELECT transaction_date, merchant_date FROM marts.transactions_enriched GROUP BY ALL")
    # The last day is one that has only begun where clocks are ahead.
    assert max(day for _, day in days) == max(day for day, _ in days) + dt.timedelta(days=1)


def test_malformed_records_are_the_only_ones_refused(lake: ShopLake, told: Truth) -> None:
    counted: Mapping[str, tuple[int, int]] = {
        "refunds": (told.refund_records, sum(total.count for total in told.refunds.values())),
        "chargebacks": (told.chargeback_records, sum(total.count for total in told.chargebacks.values())),
    }
    for source, (records, rows) in counted.items():
        [(events,)] = lake.rows(f"SELECT count(*) FROM changes.{source}")
        refused = Counter(reason for *_, reason in lake.refused(source))
        assert events + refused.total() == records
        assert lake.rows(f"SELECT count(*) FROM enriched.{source}") == [(rows,)]


def test_the_audit_trail_ends_where_payments_and_returns_are_now(lake: ShopLake) -> None:
    for subject, table, key, state in (
        ("payment", "enriched.transactions", "transaction_id", "status"),
        ("refund", "enriched.refunds", "refund_id", "state"),
        ("dispute", "enriched.chargebacks", "dispute_id", "state"),
    ):
        [(rows, differing)] = lake.rows(
            f"SELECT count(*), count(*) FILTER (WHERE last.to_state IS DISTINCT FROM now.{state}) FROM {table} AS now LEFT JOIN ("
            "  SELECT subject_id, max_by(to_state, source_position) AS to_state FROM marts.transaction_audit_trail"
            f"  WHERE subject = '{subject}' GROUP BY ALL"
            f") AS last ON last.subject_id = now.{key}"
        )
        assert (differing, rows > 0) == (0, True), subject
    [(refunded,)] = lake.rows(
        "SELECT count(*) FROM marts.transaction_audit_trail "
        "WHERE subject = 'payment' AND from_state = 'captured' AND to_state = 'refunded'"
    )
    assert refunded > 20


def test_the_audit_trail_counts_every_delivery(lake: ShopLake) -> None:
    counted = [("changes.transactions", "payment"), ("changes.refunds", "refund"), ("changes.chargebacks", "dispute")]
    for relation, subject in counted:
        [(landed,)] = lake.rows(f"SELECT count(*) FROM {relation} WHERE event_date IS NOT NULL")
        [(told, without)] = lake.rows(
            "SELECT sum(delivery_count), count(*) FILTER (WHERE landing_object IS NULL) FROM marts.transaction_audit_trail "
            f"WHERE subject = '{subject}'"
        )
        assert (told, without) == (landed, 0)


def test_customers_of_any_time_are_those_of_today_today(lake: ShopLake) -> None:
    left_out = ("updated_at", "ingestion_timestamp")
    columns = ", ".join(each.name for each in DOMAIN.tables["enriched.customers"].columns if each.name not in left_out)
    today = lake.rows(f"SELECT {columns} FROM enriched.customers ORDER BY ALL")
    assert lake.rows(f"SELECT {columns} FROM enriched.customer_history WHERE is_current ORDER BY ALL") == today
    gone = lake.rows("SELECT customer_id FROM enriched.customer_history GROUP BY ALL HAVING NOT bool_or(is_current)")
    assert len(gone) > 0


def test_nothing_of_the_compliance_sets_is_refused(lake: ShopLake) -> None:
    state = State(lake.workspace)
    for name in DOMAIN.tables:
        if DOMAIN.tables[name].subject == "compliance" or name == "enriched.customer_history":
            refused = {partition: dict(entry.rules) for partition, entry in state.index(name).items() if entry.rules}
            assert refused == {}, name


def test_customers_who_pay_often_are_alerted_with_all_their_payments(lake: ShopLake) -> None:
    [(alerted, differing)] = lake.rows(
        "WITH carried AS (SELECT subject_id, alert_date, unnest(transactions) AS payment FROM marts.aml_alerts) "
        "SELECT count(DISTINCT (subject_id, alert_date)), count(*) FILTER (WHERE t.customer_id IS DISTINCT FROM subject_id "
        "  OR t.amount_usd IS DISTINCT FROM payment.amount_usd OR t.status = 'failed') "
        "FROM carried LEFT JOIN marts.transactions_enriched AS t "
        "ON t.transaction_id = payment.transaction_id AND t.transaction_date = payment.transaction_date"
    )
    assert (differing, alerted > 10) == (0, True)


def test_what_the_systems_booked_is_published_or_in_quarantine(lake: ShopLake, told: Truth) -> None:
    work = Reconciling(DOMAIN.controls, {})
    with lake.connection() as connection:
        work.run(connection, State(lake.workspace), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "reconcile")
    assert (work.waiting, work.failed) == ([], {})
    assert {found.control.name: set(found.counts) for found in work.done} == {
        "booked_transactions": {"same", "quarantined"},
        "booked_refunds": {"same", "quarantined"},
        "booked_chargebacks": {"same", "quarantined"},
    }
    assert [found.wrong for found in work.done] == [(), (), ()]
    [(published, refused, booked)] = lake.rows(
        "SELECT sum(in_lake)::BIGINT, sum(in_quarantine)::BIGINT, sum(in_control)::BIGINT FROM quality.reconciliations "
        "WHERE control = 'booked_transactions' AND measure = 'row_count'"
    )
    assert published == sum(told.statuses.values())
    assert refused == told.early + told.malformed // 2
    assert booked == published + refused
