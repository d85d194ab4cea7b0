"""Merchants: as the onboarding service sends them, through time, and their earnings by day.

Belongs here: the source `merchants`, `enriched.merchants`, `marts.merchant_daily`. Does not belong here: category codes
(`merchant_categories`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Decimal,
    Event,
    Money,
    Number,
    Published,
    Timestamp,
    Whole,
    Window,
    source,
    table,
)
from assay.contracts import column as col
from assay.landing.formats import Debezium
from payments.contracts.vocabulary import OWNER

Percent = Annotated[dt.Decimal, 9, 4, True]
"""An exact percentage."""


@source(
    "merchants",
    format=Debezium(table="merchants"),
    key=("merchant_id",),
    partition=Whole(),
    owner=OWNER,
    subject="merchants",
    freshness=timedelta(days=7),
)
class MerchantEvent(Event):
    """A change of a merchant, as the onboarding service's database reports it."""

    merchant_id: str = col("The merchant")
    name: str = col("Trading name", nullable=True)
    mcc: str = col("Category code, ISO 18245", nullable=True)
    country: str = col("Country, ISO 3166", nullable=True)
    region: str = col("Sales region", nullable=True)
    city: str = col("City", nullable=True)
    terms: str = col(
        'JSON document: {"settlement_days", "fee_percent", "fixed_fee_usd", "cost_percent", "partner"}', nullable=True
    )
    active: str = col("Whether it takes payments: Y, N, 1, 0, true or false", nullable=True)
    time_zone: str = col("Time zone of its books, as the IANA database names it: `Europe/Berlin`", nullable=True)
    created_at: Count = col("When the row was made", unit="microseconds since 1970, UTC", nullable=True)
    updated_at: Count = col("When the row was last changed", unit="microseconds since 1970, UTC", nullable=True)


@table(
    "merchants",
    layer="enriched",
    key=("merchant_id", "valid_from"),
    partition=Whole(),
    owner=OWNER,
    subject="merchants",
    freshness=timedelta(days=7),
    balance=Balance(inputs=("history.merchants",), rows="state_count"),
    threshold=95.0,
)
class Merchant(Published):
    """One row for every time span in which nothing about a merchant changed (SCD2)."""

    merchant_id: str = col("The merchant")
    valid_from: Timestamp = col("When the span begins, UTC, inclusive")
    valid_to: Timestamp = col("When the span ends, UTC, exclusive; null while it lasts", nullable=True)
    is_current: bool = col("Whether the span still lasts")
    merchant_name: str = col("Trading name", nullable=True)
    mcc: str = col("Category code, ISO 18245, four digits", nullable=True, str_matches="[0-9]{4}$")
    country: str = col("Country, ISO 3166", nullable=True)
    region: str = col("Sales region", nullable=True)
    city: str = col("City", nullable=True)
    settlement_days: Count = col("Days until a captured payment is paid out", unit="days", nullable=True, ge=0)
    fee_percent: Percent = col("Fee on a captured payment", unit="percent", nullable=True, ge=0, le=100)
    fixed_fee_usd: Money = col("Additional fee on each captured payment", unit="USD", nullable=True, ge=0, le=1_000)
    cost_percent: Percent = col(
        "What the scheme and the issuer take of a captured payment: scheme fee and interchange",
        unit="percent",
        nullable=True,
        ge=0,
        le=100,
    )
    partner: str = col("The partner who brought the merchant and shares in its fees; null for none", nullable=True)
    time_zone: str = col("Time zone of its books (IANA); null where it is not known", nullable=True)
    is_active: bool = col("Whether it takes payments", nullable=True)
    state_count: Count = col("Number of source changes that this span merges, because no column here differs", ge=1)

    @pa.dataframe_check(description="a span ends after it begins")
    def span_not_empty(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Of several changes in one database transaction only the last ever takes effect."""
        return data.table.valid_to > data.table.valid_from


@table(
    "merchant_daily",
    layer="marts",
    key=("merchant_id", "transaction_date"),
    partition=Daily("transaction_date"),
    owner=OWNER,
    subject="merchants",
    freshness=timedelta(hours=26),
    windows={"marts.transactions_enriched": Window(before=90, semi_join=("merchant_id", "customer_id"))},
    balance=Balance(
        inputs=("marts.transactions_enriched",),
        rows="transaction_count",
        money_in="amount_usd",
        money_out="gross_amount_usd",
    ),
    threshold=95.0,
)
class MerchantDay(Published):
    """One row per merchant and day with payments: counts, amounts, rates, and how many customers are new."""

    merchant_id: str = col("The merchant")
    transaction_date: Date = col("The day, UTC")
    merchant_name: str = col("The merchant's name that day", nullable=True)
    transaction_count: Count = col("Payments, whatever became of them", unit="payments", ge=1)
    kept_count: Count = col("Payments captured and not given back", unit="payments", ge=0)
    refunded_count: Count = col("Payments captured and refunded since", unit="payments", ge=0)
    chargeback_count: Count = col("Payments captured and charged back since", unit="payments", ge=0)
    settled_count: Count = col("Payments that were captured: kept + refunded + charged back", unit="payments", ge=0)
    gross_amount_usd: Decimal = col("Amount of all payments", unit="USD", ge=0)
    revenue_usd: Decimal = col("Amount captured and not given back", unit="USD", ge=0)
    average_amount_usd: Decimal = col("Average amount of a payment; null where no rate is known", unit="USD", nullable=True)
    refunded_rate: Number = col(
        "Share of the day's captured payments that were refunded since, on whatever day: refunded_count / settled_count",
        unit="share, 0 to 1",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    chargeback_rate: Number = col(
        "Share of the day's captured payments that were charged back since, on whatever day: chargeback_count / settled_count",
        unit="share, 0 to 1",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    unique_customers: Count = col("Customers with a payment, whatever became of it", unit="customers", ge=1)
    new_customers_90d: Count = col("Those of them with none at this merchant in the 90 days before", unit="customers", ge=0)
    returning_customers_90d: Count = col("Those of them with one at this merchant in the 90 days before", unit="customers", ge=0)
