"""Chargebacks: payments that customers dispute with their bank, as the dispute desk sends them, joined with related data.

Belongs here: the source `chargebacks`, `enriched.chargebacks`, `marts.chargebacks_enriched`. Does not belong here: the state of
the disputed payment (`transactions`), money given back by the merchant (`refunds`).

A dispute's day is the day on which it was opened. Weeks later it is won or lost: that changes the row of the opening day, so
that a win rate by opening day settles as its disputes close. The payment stays charged back even if the merchant wins.
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
from payments.contracts.vocabulary import (
    CURRENCIES,
    DISPUTE_CATEGORIES,
    DISPUTE_NETWORKS,
    DISPUTE_STATES,
    OWNER,
    REGIONS,
    instant,
    money,
)


@source(
    "chargebacks",
    format=Debezium(table="chargebacks"),
    key=("dispute_id",),
    partition=Daily("event_date", of=instant("opened_at"), moves="told"),
    money=money("amount"),
    owner=OWNER,
    subject="chargebacks",
    freshness=timedelta(days=3),
)
class ChargebackEvent(Event):
    """A change of a dispute, as the dispute desk's database reports it."""

    dispute_id: str = col("The dispute")
    transaction_id: str = col("The disputed payment", nullable=True)
    customer_id: str = col("Who paid, and disputes it", nullable=True, pii="identifier")
    merchant_id: str = col("Who was paid", nullable=True)
    amount: str = col("Disputed amount in the payment's currency, as text: `150`, `150.50` or `$1,234.50`", nullable=True)
    payment_amount: str = col("Amount of the payment, as text", nullable=True)
    currency: str = col("ISO 4217 code of both amounts, in any case, with blanks", nullable=True)
    region: str = col("Sales region of the payment", nullable=True)
    payment_method: str = col("What was paid with", nullable=True)
    network: str = col("Whose rules the dispute follows: a card scheme, or bank", nullable=True)
    reason_code: str = col("Reason code of that network", nullable=True)
    state: str = col("State of the dispute", nullable=True)
    paid_at: str = col("When the payment was made: ISO 8601, MM/DD/YYYY or Unix seconds; UTC", nullable=True)
    captured_at: str = col("When the payment was captured, in the same forms", nullable=True)
    opened_at: str = col("When the dispute was opened, in the same forms", nullable=True)
    closed_at: str = col("When it was won or lost, in the same forms; null before", nullable=True)
    created_at: Count = col("When the dispute's row was made", unit="microseconds since 1970, UTC", nullable=True)
    updated_at: Count = col("When the dispute's row was last changed", unit="microseconds since 1970, UTC", nullable=True)


@table(
    "chargebacks",
    layer="enriched",
    key=("dispute_id",),
    partition=Daily("opened_date"),
    owner=OWNER,
    subject="chargebacks",
    freshness=timedelta(days=4),
    balance=Balance(inputs=("latest.chargebacks",)),
    severities={"reason_category_required": Severity.WARN},
    money="amount",
    threshold=95.0,
    # A day of disputes is small, and a single bad row must not block it.
    tolerated=10,
    # Currencies are mixed here: money is watched in dollars, in `marts.chargebacks_enriched`.
    watch=Watch(),
)
class Chargeback(Published):
    """One row per dispute: its latest state, in standard values."""

    dispute_id: str = col("The dispute")
    opened_date: Date = col("Day it was opened, UTC")
    opened_at: Timestamp = col("When it was opened, UTC")
    closed_at: Timestamp = col("When it was won or lost, UTC; null while it is open", nullable=True)
    state: str = col("State, as the merchant sees it: open, won or lost", isin=DISPUTE_STATES)
    network: str = col("Whose rules the dispute follows: visa, mastercard, amex or bank", isin=DISPUTE_NETWORKS)
    reason_code: str = col("Reason code of that network, as in `10.4`, `4853`, `C08` or `MD06`")
    reason_category: str = col(
        "What the code stands for: fraud, authorization, processing or consumer; null for a code that is not listed",
        isin=DISPUTE_CATEGORIES,
    )
    amount: Money = col("Disputed amount in the payment's currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amounts", isin=CURRENCIES)
    transaction_id: str = col("The disputed payment")
    payment_amount: Money = col("Amount of the payment", ge=0.01, le=1_000_000)
    paid_at: Timestamp = col("When the payment was made, UTC")
    captured_at: Timestamp = col("When the payment was captured, UTC")
    payment_method: str = col("What was paid with", nullable=True)
    region: str = col("Sales region of the payment", isin=REGIONS)
    customer_id: str = col("Who paid, and disputes it", pii="identifier")
    merchant_id: str = col("Who was paid")
    created_at: Timestamp = col("When the dispute's row was made at its source, UTC", nullable=True)
    updated_at: Timestamp = col("When the dispute's row was last changed at its source, UTC", nullable=True)

    @pa.dataframe_check(description="no more is disputed than was paid")
    def not_more_than_paid(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A part of a payment may be disputed."""
        return data.table.amount <= data.table.payment_amount

    @pa.dataframe_check(description="only what was captured is disputed")
    def not_before_capture(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """An authorization that was never captured took no money."""
        return data.table.opened_at >= data.table.captured_at

    @pa.dataframe_check(description="a dispute that is won or lost says when, and an open one does not")
    def closing_has_time(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """How long disputes take is computed from it."""
        row = data.table
        return (row.state == "open") == row.closed_at.isnull()

    @pa.dataframe_check(description="a dispute is closed after it was opened")
    def not_closed_before_opened(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Both times come from the dispute desk's clock."""
        return data.table.closed_at >= data.table.opened_at


@table(
    "chargebacks_enriched",
    layer="marts",
    key=("dispute_id",),
    partition=Daily("opened_date"),
    owner=OWNER,
    subject="chargebacks",
    freshness=timedelta(days=4),
    lookups={
        "enriched.customers": {"customer_id": "customer_id"},
        "enriched.merchants": {"merchant_id": "merchant_id"},
        "enriched.merchant_categories": {"mcc": "mcc"},
        "enriched.customer_risk": {"customer_id": "customer_id"},
        "enriched.dollar_rates": {"opened_date": "rate_date"},
    },
    severities={
        "amount_usd_required": Severity.WARN,
        "payment_amount_usd_required": Severity.WARN,
        "reason_category_required": Severity.WARN,
    },
    money="amount",
    threshold=95.0,
    watch=Watch(value="amount_usd", nulls=("amount_usd",)),
)
class EnrichedChargeback(Published):
    """One row per dispute, joined with its customer, merchant, category, risk and the exchange rate of the day of opening."""

    dispute_id: str = col("The dispute")
    opened_date: Date = col("Day it was opened, UTC")
    opened_at: Timestamp = col("When it was opened, UTC")
    merchant_date: Date = col(
        "Day it was opened by the merchant's own clock; the day in UTC where the producer gave no time; null where the "
        "merchant's time zone is not known",
        nullable=True,
    )
    closed_at: Timestamp = col("When it was won or lost, UTC; null while it is open", nullable=True)
    closed_date: Date = col("Day it was won or lost, UTC; null while it is open", nullable=True)
    state: str = col("State, as the merchant sees it: open, won or lost", isin=DISPUTE_STATES)
    days_to_dispute: Count = col("Days from the capture of the payment to the dispute", unit="days", ge=0)
    days_to_close: Count = col("Days from the opening to the closing; null while it is open", unit="days", nullable=True, ge=0)
    network: str = col("Whose rules the dispute follows: visa, mastercard, amex or bank", isin=DISPUTE_NETWORKS)
    reason_code: str = col("Reason code of that network, as in `10.4`, `4853`, `C08` or `MD06`")
    reason_category: str = col("What the code stands for: fraud, authorization, processing or consumer")
    is_full: bool = col("Whether the whole payment is disputed")
    amount: Money = col("Disputed amount in the payment's currency", ge=0.01, le=1_000_000)
    payment_amount: Money = col("Amount of the payment in its currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amounts", isin=CURRENCIES)
    fx_rate_to_usd: Rate = col("US dollars for one unit of the currency on the day of opening", unit="USD", nullable=True)
    fx_source_date: Date = col("Day whose published rates were used, the earlier one of two; null for dollars", nullable=True)
    amount_usd: Money = col(
        "Disputed amount in US dollars at the ECB rates of the day of opening, rounded once; null where no rate is known",
        unit="USD",
    )
    payment_amount_usd: Money = col("Amount of the payment at the same rates", unit="USD")
    transaction_id: str = col("The disputed payment")
    transaction_timestamp: Timestamp = col("When the payment was made, UTC")
    transaction_date: Date = col("Day the payment was made, UTC")
    captured_at: Timestamp = col("When the payment was captured, UTC")
    region: str = col("Sales region of the payment", isin=REGIONS)
    payment_method: str = col("What was paid with", nullable=True)
    customer_id: str = col("Who paid, and disputes it", pii="identifier")
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
