"""The truth is what the files say: folded in plain Python, they give the same numbers."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from company_values import amount_of, instant_of

from simulator import Company, truth
from simulator.model import open_model
from simulator.topics import TRANSACTIONS, count_day


@pytest.fixture(scope="module")
def told(written):
    return truth(written.company)


def test_truth_is_deterministic(written, told) -> None:
    assert truth(written.company) == told


def test_files_fold_to_the_truth(written, told) -> None:
    registered = {
        event["after"]["customer_id"]: instant_of(event["after"]["registered_at"])
        for event in written.events("customers")
        if event["after"]
    }
    events, malformed, records = {}, 0, 0
    for record in written.records("transactions"):
        records += 1
        if record.event is None or record.event["after"]["transaction_id"].startswith("pay_bad_"):
            malformed += 1
        else:
            events[record.event["source"]["lsn"]] = record.event["after"]
    latest = {events[lsn]["transaction_id"]: events[lsn] for lsn in sorted(events)}
    assert len(latest) == told.payments
    assert len(events) == told.changes
    assert malformed == told.malformed
    assert records == told.changes + told.duplicates + told.malformed

    statuses: Counter[str] = Counter()
    revenue: defaultdict[tuple[dt.date, str, str], Decimal] = defaultdict(Decimal)
    early = 0
    for row in latest.values():
        made = instant_of(row["transaction_date"])
        if made < registered[row["customer_id"]]:
            early += 1
            continue
        statuses[row["status"]] += 1
        if row["status"] == "captured":
            revenue[made.date(), row["region"], row["currency"].strip().upper()] += amount_of(row["amount"])
    assert early == told.early > 0
    assert statuses == told.statuses
    assert revenue == told.revenue


def test_customers_and_merchants_fold_to_the_truth(written, told) -> None:
    customers = sorted(written.events("customers"), key=lambda event: event["source"]["lsn"])
    latest = {(event["after"] or event["before"])["customer_id"]: event["op"] for event in customers}
    assert Counter(op == "d" for op in latest.values()) == {
        False: told.customers,
        True: told.deleted_customers,
    }
    assert len({event["after"]["merchant_id"] for event in written.events("merchants")}) == told.merchants


def test_archive_folds_to_the_truth(written, told) -> None:
    [file] = written.of("legacy_transactions")
    rows = list(csv.DictReader(file.path.read_text().splitlines()))
    revenue: defaultdict[tuple[dt.date, str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        if row["TXN_STATUS"] == "CAPTURED":
            day = dt.datetime.strptime(row["TXN_DATE"], "%m/%d/%Y").date()
            revenue[day, row["SALES_REGION"], row["CCY"]] += amount_of(row["AMT"])
    assert len(rows) == told.legacy_payments
    assert revenue == told.legacy_revenue


def test_changes_of_long_ago_land() -> None:
    """Refunds and chargebacks come up to three weeks later: none may be lost, whatever day they land on."""
    company = Company(days=30, transactions_per_day=100, seed=5)
    with open_model(company) as connection:
        records = [count_day(connection, company, TRANSACTIONS, day) for day in range(company.days)]
    told = truth(company)
    assert sum(sum(day.values()) for day in records) == told.changes + told.duplicates + told.malformed
    assert {"refunded", "chargeback"} <= set(told.statuses)
