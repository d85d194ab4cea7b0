"""Refunds: money that merchants give back, as the payment service sends it, joined with related data.

Belongs here: the source `refunds`, `enriched.refunds`, `marts.refunds_enriched`. Does not belong here: the state of the refunded
payment (`transactions`), money taken back against the merchant's will (`chargebacks`).

A refund's day is the day on which it was requested: it is known at once and never changes. The payment may be of any earlier day;
the refund itself contains the required data of the payment, so that a day of refunds does not depend on all days of payments.
"""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Event,
    Money,
    Number,
    Published,
    Rate,
    Severity,
    Timestamp,
    Watch,
    source,
    table,
)
from assay.contracts import column as col
from assay.landing.formats import Debezium
from payments.contracts.vocabulary import CURRENCIES, OWNER, REFUND_REASONS, REFUND_STATES, REGIONS, instant, money


@source(
    "refunds",
    format=Debezium(table="refunds"),
    key=("refund_id",),
    partition=Daily("event_date", of=instant("requested_at"), moves="told"),
    money=money("amount"),
    owner=OWNER,
    subject="refunds",
    freshness=timedelta(hours=26),
)
class RefundEvent(Event):
    """A change of a refund, as the payment service's database reports it."""

    refund_id: str = col("The refund")
    transaction_id: str = col("The payment that is given back", nullable=True)
    customer_id: str = col("Who paid", nullable=True, pii="identifier")
    merchant_id: str = col("Who was paid", nullable=True)
    amount: str = col("Amount given back in the payment's currency, as text: `150`, `150.50` or `$1,234.50`", nullable=True)
    payment_amount: str = col("Amount of the payment, as text", nullable=True)
    currency: str = col("ISO 4217 code of both amounts, in any case, with blanks", nullable=True)
    region: str = col("Sales region of the payment", nullable=True)
    payment_method: str = col("What was paid with", nullable=True)
    reason: str = col("Why it is given back", nullable=True)
    state: str = col("State of the refund", nullable=True)
    paid_at: str = col("When the payment was made: ISO 8601, MM/DD/YYYY or Unix seconds; UTC", nullable=True)
    requested_at: str = col("When the refund was asked for, in the same forms", nullable=True)
    refunded_at: str = col("When the money was given back, in the same forms; null before", nullable=True)
    created_at: Count = col("When the refund's row was made", unit="microseconds since 1970, UTC", nullable=True)
    updated_at: Count = col("When the refund's row was last changed", unit="microseconds since 1970, UTC", nullable=True)


@table(
    "refunds",
    layer="enriched",
    key=("refund_id",),
    partition=Daily("refund_date"),
    owner=OWNER,
    subject="refunds",
    freshness=timedelta(hours=50),
    balance=Balance(inputs=("latest.refunds",)),
    severities={"reason_known": Severity.WARN},
    money="amount",
    threshold=95.0,
    # A day of refunds is small, and a single bad row must not block it.
    tolerated=10,
    # Currencies are mixed here: money is watched in dollars, in `marts.refunds_enriched`.
    watch=Watch(by="region", shares=("payment_method",)),
)
class Refund(Published):
    """One row per refund: its latest state, in standard values."""

    refund_id: str = col("The refund")
    refund_date: Date = col("Day it was asked for, UTC")
    requested_at: Timestamp = col("When it was asked for, UTC")
    refunded_at: Timestamp = col("When the money was given back, UTC; null unless it succeeded", nullable=True)
    state: str = col("State: pending, succeeded or failed", isin=REFUND_STATES)
    reason: str = col("Why it is given back; null where nobody said", nullable=True, isin=REFUND_REASONS)
    amount: Money = col("Amount given back in the payment's currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amounts", isin=CURRENCIES)
    transaction_id: str = col("The payment that is given back")
    payment_amount: Money = col("Amount of the payment", ge=0.01, le=1_000_000)
    paid_at: Timestamp = col("When the payment was made, UTC")
    payment_method: str = col("What was paid with", nullable=True)
    region: str = col("Sales region of the payment", isin=REGIONS)
    customer_id: str = col("Who paid", pii="identifier")
    merchant_id: str = col("Who was paid")
    created_at: Timestamp = col("When the refund's row was made at its source, UTC", nullable=True)
    updated_at: Timestamp = col("When the refund's row was last changed at its source, UTC", nullable=True)

    @pa.dataframe_check(description="no more is given back than was paid")
    def not_more_than_paid(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Only for one refund; several refunds of a payment are not seen together here."""
        return data.table.amount <= data.table.payment_amount

    @pa.dataframe_check(description="nothing is given back before it was paid")
    def not_before_payment(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A refund follows a capture, which follows the payment."""
        return data.table.requested_at >= data.table.paid_at

    @pa.dataframe_check(description="a refund that succeeded says when, and no other does")
    def success_has_time(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Accounting is based on `refunded_at`."""
        row = data.table
        return (row.state == "succeeded") == row.refunded_at.notnull()

    @pa.dataframe_check(description="the money is given back after it was asked for")
    def not_before_request(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Both times come from the payment service's clock."""
        return data.table.refunded_at >= data.table.requested_at


@table(
    "refunds_enriched",
    layer="marts",
    key=("refund_id",),
    partition=Daily("refund_date"),
    owner=OWNER,
    subject="refunds",
    freshness=timedelta(hours=50),
    lookups={
        "enriched.customers": {"customer_id": "customer_id"},
        "enriched.merchants": {"merchant_id": "merchant_id"},
        "enriched.merchant_categories": {"mcc": "mcc"},
        "enriched.customer_risk": {"customer_id": "customer_id"},
        "enriched.dollar_rates": {"refund_date": "rate_date"},
    },
    severities={"amount_usd_required": Severity.WARN, "payment_amount_usd_required": Severity.WARN},
    money="amount",
    threshold=95.0,
    watch=Watch(value="amount_usd", by="region", nulls=("amount_usd",)),
)
class EnrichedRefund(Published):
    """One row per refund, joined with its customer, merchant, category, risk and the exchange rate of the refund's day."""

    refund_id: str = col("The refund")
    refund_date: Date = col("Day it was asked for, UTC")
    requested_at: Timestamp = col("When it was asked for, UTC")
    merchant_date: Date = col(
        "Day it was asked for by the merchant's own clock; the day in UTC where the producer gave no time; null where the "
        "merchant's time zone is not known",
        nullable=True,
    )
    refunded_at: Timestamp = col("When the money was given back, UTC; null unless it succeeded", nullable=True)
    state: str = col("State: pending, succeeded or failed", isin=REFUND_STATES)
    reason: str = col("Why it is given back; null where nobody said", nullable=True)
    is_full: bool = col("Whether it gives back the whole payment")
    amount: Money = col("Amount given back in the payment's currency", ge=0.01, le=1_000_000)
    payment_amount: Money = col("Amount of the payment in its currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amounts", isin=CURRENCIES)
    fx_rate_to_usd: Rate = col("US dollars for one unit of the currency on the refund's day", unit="USD", nullable=True)
    fx_source_date: Date = col("Day whose published rates were used, the earlier one of two; null for dollars", nullable=True)
    amount_usd: Money = col(
        "Amount given back in US dollars at the ECB rates of the refund's day, rounded once; null where no rate is known",
        unit="USD",
    )
    payment_amount_usd: Money = col("Amount of the payment at the same rates", unit="USD")
    transaction_id: str = col("The payment that is given back")
    transaction_timestamp: Timestamp = col("When the payment was made, UTC")
    transaction_date: Date = col("Day the payment was made, UTC")
    days_to_refund: Count = col("Days from the payment to the refund", unit="days", ge=0)
    region: str = col("Sales region of the payment", isin=REGIONS)
    payment_method: str = col("What was paid with", nullable=True)
    customer_id: str = col("Who paid", pii="identifier")
    customer_country: str = col("Country of the customer's billing address", nullable=True)
    customer_region: str = col("Region of the customer's billing address", nullable=True)
    customer_status: str = col("State of the customer's account; null for unknown customers", nullable=True)
    risk_score: Number = col("The customer's present risk score", nullable=True)
    risk_band: str = col("The customer's present risk band", nullable=True)
    merchant_id: str = col("Who was paid")
    merchant_name: str = col("The merchant's name at the time of the payment", nullable=True)
    merchant_country: str = col("The merchant's country at the time of the payment", nullable=True)
    merchant_region: str = col("The merchant's region at the time of the payment", nullable=True)
    mcc: str = col("The merchant's category code (ISO 18245) at the time of the payment", nullable=True)
    category: str = col("What that category code means", nullable=True)
    partner: str = col("The partner who had brought the merchant, at the time of the payment; null for none", nullable=True)
