"""The truth about the company, for judging a platform that has read its files.

Belongs here: sums over the model. Does not belong here: reading the files.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from simulator.company import Company
from simulator.model import PAYMENTS_A_QUERY, open_model, query
from simulator.produce import legacy_parameters
from simulator.topics import CHARGEBACKS, REFUNDS, Topic, malformed_numbers, values_of

Revenue = Mapping[tuple[dt.date, str, str], Decimal]
"""Amount by date (UTC), sales region and currency."""


@dataclass(frozen=True)
class Total:
    """How many, and how much money, in the currency of the payments."""

    count: int
    amount: Decimal


Totals = Mapping[tuple[dt.date, str, str, str], Total]
"""Total by the date of the request or the opening (UTC), state, sales region of the payment and currency."""

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Truth:
    """The company at the end of its last day, once everything has landed.

    Attributes:
        payments: Good payments: distinct ids of the topic, including `early` ones, excluding archived and malformed ones.
        changes: Distinct good change events of payments.
        duplicates: Records of the payments' topic that are delivered a second time.
        malformed: Lines of the payments' topic that are not payments. The topic has `changes + duplicates + malformed` lines.
        early: Payments made before their customer registered: well formed, to be quarantined.
        statuses: Payments by latest status, excluding `early` ones.
        revenue: Amount of payments whose latest status is captured, by the day they were made; without `early` ones and
            without the archive.
        legacy_payments: Payments in the archive.
        legacy_revenue: Amount of the archive's captured payments.
        customers: Customers that exist.
        deleted_customers: Customers that were deleted.
        merchants: Merchants.
        refunds: Good refunds in their latest state, including those of `early` payments.
        refund_records: Lines of the refunds' topic.
        chargebacks: Good disputes in their latest state, including those of `early` payments.
        chargeback_records: Lines of the chargebacks' topic.
    """

    payments: int
    changes: int
    duplicates: int
    malformed: int
    early: int
    statuses: Mapping[str, int]
    revenue: Revenue
    legacy_payments: int
    legacy_revenue: Revenue
    customers: int
    deleted_customers: int
    merchants: int
    refunds: Totals
    refund_records: int
    chargebacks: Totals
    chargeback_records: int


def truth(company: Company) -> Truth:
    """Compute the truth about a company.

    Args:
        company: The company.
    """
    numbers: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    revenue: defaultdict[tuple[dt.date, str, str], Decimal] = defaultdict(Decimal)
    with open_model(company) as connection:
        for days in company.groups(range(company.days), PAYMENTS_A_QUERY):
            _add_days(connection, company, days, numbers, statuses, revenue)
        deleted = _one(
            connection,
            "SELECT count(*) FROM range($first) AS numbers (n) WHERE deleted_day(n + 1) < $days",
            {"first": company.first_customers, "days": company.days},
        )
        legacy = _legacy_revenue(connection, company)
        refunds, refund_records = _given_back(connection, company, REFUNDS)
        chargebacks, chargeback_records = _given_back(connection, company, CHARGEBACKS)
    return Truth(
        payments=numbers["payments"],
        changes=numbers["changes"],
        duplicates=numbers["duplicates"],
        malformed=company.days * company.malformed_lines,
        early=numbers["early"],
        statuses=dict(statuses),
        revenue=dict(revenue),
        legacy_payments=company.legacy_payments,
        legacy_revenue=legacy,
        customers=company.first_customers + company.days * company.new_customers - deleted,
        deleted_customers=deleted,
        merchants=company.first_merchants + company.days * company.new_merchants,
        refunds=refunds,
        refund_records=refund_records,
        chargebacks=chargebacks,
        chargeback_records=chargeback_records,
    )


def _add_days(
    connection: duckdb.DuckDBPyConnection,
    company: Company,
    days: range,
    numbers: Counter[str],
    statuses: Counter[str],
    revenue: defaultdict[tuple[dt.date, str, str], Decimal],
) -> None:
    rows = connection.execute(
        f"WITH payment AS ({query('landed_payments')}), valued AS ({query('payment_values')}) "
        "SELECT is_early, status, paid_on, region, currency, count(*), sum(changes), sum(duplicates), sum(cents) "
        f"FROM ({query('truth_payments')}) GROUP BY ALL",
        {"from_day": days[0], "to_day": days[-1], "horizon_us": company.start_us(company.days)},
    ).fetchall()
    for is_early, status, paid_on, region, currency, payments, changes, duplicates, cents in rows:
        numbers.update(payments=payments, changes=changes, duplicates=duplicates)
        if is_early:
            numbers.update(early=payments)
            continue
        statuses[status] += payments
        if status == "captured":
            revenue[_EPOCH + dt.timedelta(days=paid_on), region, currency] += Decimal(cents).scaleb(-2)


def _given_back(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic) -> tuple[Totals, int]:
    """Totals of refunds or of disputes, and the number of records in their topic."""
    records = sum(len(malformed_numbers(company, topic, day)) for day in range(company.days))
    totals: dict[tuple[dt.date, str, str, str], Total] = {}
    for days in company.groups(range(company.days), PAYMENTS_A_QUERY):
        rows = connection.execute(
            f"WITH landed AS ({query('landed_payments')}), returned AS ({query('returned')}), "
            f"given_back AS ({query(topic.table)}), {values_of(topic, 'given_back')} "
            "SELECT opened_on, state, region, currency, count(*), sum(cents), sum(changes + duplicates) "
            f"FROM ({query(f'truth_{topic.table}')}) GROUP BY ALL",
            {"from_day": days[0], "to_day": days[-1], "horizon_us": company.start_us(company.days)},
        ).fetchall()
        for opened_on, state, region, currency, count, cents, told in rows:
            records += told
            key = (_EPOCH + dt.timedelta(days=opened_on), state, region, currency)
            known = totals.get(key, Total(0, Decimal(0)))
            totals[key] = Total(known.count + count, known.amount + Decimal(cents).scaleb(-2))
    return totals, records


def _legacy_revenue(connection: duckdb.DuckDBPyConnection, company: Company) -> Revenue:
    rows = connection.execute(
        f"SELECT paid_on, region, currency, sum(cents) FROM ({query('legacy_values')}) WHERE status = 'CAPTURED' GROUP BY ALL",
        legacy_parameters(company),
    ).fetchall()
    return {
        (_EPOCH + dt.timedelta(days=paid_on), region, currency): Decimal(cents).scaleb(-2)
        for paid_on, region, currency, cents in rows
    }


def _one(connection: duckdb.DuckDBPyConnection, text: str, parameters: dict[str, int]) -> int:
    row = connection.execute(text, parameters).fetchone()
    assert row is not None
    return int(row[0])
