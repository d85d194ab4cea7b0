"""Payments: as the payment service and the old archive send them, cleaned, and joined with related data.

Belongs here: the sources `transactions` and `legacy_transactions`, `enriched.transactions`, `marts.transactions_enriched`.
Does not belong here: sums of payments (`revenue`, `lifetime`, `merchants`).
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Dimension,
    Event,
    MeanShift,
    Money,
    NullShare,
    Number,
    Published,
    Rate,
    Refers,
    Severity,
    Timestamp,
    Watch,
    source,
    table,
)
from assay.contracts import column as col
from assay.landing.formats import Csv, Debezium
from payments.contracts.vocabulary import CURRENCIES, DECLINE_GROUPS, OWNER, REGIONS, STATUSES, instant, money

MICROSECONDS_A_DAY = 86_400_000_000


@ibis.udf.scalar.builtin(signature=((dt.Timestamp("UTC"),), dt.int64))  # type: ignore[untyped-decorator]
def epoch_us(instant: ir.TimestampValue) -> ir.IntegerColumn:
    """DuckDB's `epoch_us`. Ibis's own `epoch_seconds` calls the time-zone library for every row, ten times slower."""
    raise AssertionError("Ibis compiles this to DuckDB's function and never calls it")


@source(
    "transactions",
    format=Debezium(table="transactions"),
    key=("transaction_id",),
    partition=Daily("event_date", of=instant("transaction_date"), moves="told"),
    money=money("amount"),
    owner=OWNER,
    subject="transactions",
    freshness=timedelta(hours=2),
)
class TransactionEvent(Event):
    """A change of a payment, as the payment service's database reports it."""

    transaction_id: str = col("The payment")
    customer_id: str = col("Who pays", nullable=True, pii="identifier")
    merchant_id: str = col("Who is paid", nullable=True)
    amount: str = col("Amount in the payment's currency, as text: `150`, `150.50` or `$1,234.50`", nullable=True)
    currency: str = col("ISO 4217 code, in any case, with blanks", nullable=True)
    status: str = col("State of the payment", nullable=True)
    failure_reason: str = col("Why it failed", nullable=True)
    region: str = col("Sales region", nullable=True)
    payment_method: str = col("What was paid with", nullable=True)
    is_recurring: str = col("Whether the customer did not start it: Y, N, 1, 0, true or false", nullable=True)
    transaction_date: str = col("When it was made: ISO 8601, MM/DD/YYYY or Unix seconds; UTC", nullable=True)
    sca_method: str = col("How the customer proved who they are; sent since it exists", nullable=True)
    created_at: Count = col("When the payment's row was made", unit="microseconds since 1970, UTC", nullable=True)
    updated_at: Count = col("When the payment's row was last changed", unit="microseconds since 1970, UTC", nullable=True)


@source(
    "legacy_transactions",
    format=Csv(
        columns={
            "transaction_id": "TXN_REF",
            "customer_id": "CUST_NO",
            "merchant_id": "MERCH_NO",
            "transaction_date": "TXN_DATE",
            "amount": "AMT",
            "currency": "CCY",
            "status": "TXN_STATUS",
            "region": "SALES_REGION",
            "is_recurring": "RECURRING",
        },
        version=r"(\d{4}-\d{2}(?:-\d{2})?)",
    ),
    key=("transaction_id",),
    partition=Daily("event_date", of=instant("transaction_date")),
    money=money("amount"),
    owner=OWNER,
    subject="transactions",
)
class LegacyTransaction(Event):
    """A payment of the previous system, from its monthly CSV archive."""

    transaction_id: str = col("The payment")
    customer_id: str = col("Who paid", nullable=True, pii="identifier")
    merchant_id: str = col("Who was paid", nullable=True)
    transaction_date: str = col("When it was made, mostly MM/DD/YYYY", nullable=True)
    amount: str = col("Amount in the payment's currency, as text", nullable=True)
    currency: str = col("ISO 4217 code", nullable=True)
    status: str = col("Last state of the payment", nullable=True)
    region: str = col("Sales region", nullable=True)
    is_recurring: str = col("Whether the customer did not start it", nullable=True)


@table(
    "transactions",
    layer="enriched",
    key=("transaction_id",),
    partition=Daily("transaction_date"),
    owner=OWNER,
    subject="transactions",
    freshness=timedelta(hours=26),
    lookups={"enriched.customers": {"customer_id": "customer_id"}},
    balance=Balance(inputs=("latest.transactions", "latest.legacy_transactions")),
    money="amount",
    threshold=95.0,
    dimensions={"recorded_in_time": Dimension.TIMELINESS},
    # Days filled only by late files are small, and a single bad row must not block them.
    tolerated=10,
    # Currencies are mixed here: money is watched in dollars, in `marts.transactions_enriched`.
    watch=Watch(
        by="region",
        # Not the status: it changes as payments age, so the newest day resembles no earlier one.
        shares=("currency", "payment_method"),
        nulls=("failure_reason", "is_recurring", "sca_method"),
        happened="updated_at",
    ),
)
class Transaction(Published):
    """One row per payment: its latest state, in standard values."""

    transaction_id: str = col("The payment")
    customer_id: str = col("Who pays", pii="identifier")
    merchant_id: str = col("Who is paid")
    amount: Money = col("Amount in the payment's currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amount", isin=CURRENCIES)
    status: str = col("State: authorized, captured, refunded, chargeback or failed", isin=STATUSES)
    failure_reason: str = col("Why it failed; null unless it did", nullable=True)
    region: str = col("Sales region", isin=REGIONS)
    payment_method: str = col("What was paid with, as in `card`; null for archived payments", nullable=True)
    is_recurring: bool = col("Whether the customer did not start it; null when the producer did not say", nullable=True)
    sca_method: str = col("How the customer proved who they are; null where it was not sent", nullable=True)
    transaction_timestamp: Timestamp = col("When it was made, UTC; midnight where the producer gave no time")
    transaction_date: Date = col("Day it was made, UTC")
    customer_registered_at: Timestamp = col("When the customer registered; null for unknown customers", nullable=True)
    created_at: Timestamp = col("When the payment's row was made at its source, UTC", nullable=True)
    updated_at: Timestamp = col("When the payment's row was last changed at its source, UTC", nullable=True)

    @pa.dataframe_check(description="a customer cannot pay before registering")
    def not_before_registration(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A payment without a time is dated midnight, and may be from the day of registration."""
        paid = epoch_us(data.table.transaction_timestamp)
        registered = epoch_us(data.table.customer_registered_at)
        has_no_time = paid % MICROSECONDS_A_DAY == 0
        return (paid >= registered) | (has_no_time & (paid + MICROSECONDS_A_DAY > registered))

    @pa.dataframe_check(description="a failed payment says why", raise_warning=True)
    def failure_has_reason(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Support needs the reason; the payment itself is valid without it. The archive never had reasons."""
        row = data.table
        return (row.status != "failed") | row.failure_reason.notnull() | (row.data_source == "legacy_transactions")

    @pa.dataframe_check(description="a payment is recorded within a day after it was made", raise_warning=True)
    def recorded_in_time(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Later records change figures already reported. A payment without a time is dated midnight, and has its whole day."""
        paid, recorded = epoch_us(data.table.transaction_timestamp), epoch_us(data.table.created_at)
        has_no_time = paid % MICROSECONDS_A_DAY == 0
        return (recorded <= paid + MICROSECONDS_A_DAY) | (has_no_time & (recorded <= paid + 2 * MICROSECONDS_A_DAY))


@table(
    "transactions_enriched",
    layer="marts",
    key=("transaction_id",),
    partition=Daily("transaction_date"),
    owner=OWNER,
    subject="transactions",
    freshness=timedelta(hours=26),
    lookups={
        "enriched.customers": {"customer_id": "customer_id"},
        "enriched.merchants": {"merchant_id": "merchant_id"},
        "enriched.merchant_categories": {"mcc": "mcc"},
        "enriched.customer_risk": {"customer_id": "customer_id"},
        "enriched.dollar_rates": {"transaction_date": "rate_date"},
    },
    severities={"amount_usd_required": Severity.WARN},
    expects=(
        # Not as of the time of the payment: archived payments were made before the onboarding service had any data.
        Refers(
            {"merchant_id": "merchant_id"},
            to="enriched.merchants",
            name="merchant_known",
            severity=Severity.WARN,
            reason="a payment to nobody we know cannot be settled",
        ),
        Refers(
            {"customer_id": "customer_id"},
            to="enriched.customers",
            name="customer_known",
            severity=Severity.WARN,
            reason="customers are captured apart from their payments, and may come later",
        ),
        NullShare("amount_usd", at_most=0.01, reason="without a rate, revenue in dollars is too low"),
        MeanShift("amount_usd", reason="a decimal shift or a currency mixed up shows in the mean first"),
    ),
    money="amount",
    threshold=95.0,
    watch=Watch(value="amount_usd", by="region", nulls=("amount_usd", "customer_country", "merchant_name"), shares=("currency",)),
)
class EnrichedTransaction(Published):
    """One row per payment, joined with its customer, merchant, category, risk and the day's exchange rate."""

    transaction_id: str = col("The payment")
    transaction_date: Date = col("Day it was made, UTC")
    transaction_timestamp: Timestamp = col("When it was made, UTC")
    merchant_date: Date = col(
        "Day it was made by the merchant's own clock; the day in UTC where the producer gave no time; null where the merchant's "
        "time zone is not known",
        nullable=True,
    )
    merchant_hour: Count = col(
        "Hour of that day, 0 to 23, by the merchant's own clock; null where the producer gave no time, or the merchant's time "
        "zone is not known",
        nullable=True,
    )
    status: str = col("State: authorized, captured, refunded, chargeback or failed", isin=STATUSES)
    failure_reason: str = col("Why it failed; null unless it did", nullable=True)
    decline_group: str = col(
        "What failed payments have in common: card, fraud, funds, issuer, technical, other or unknown; null unless it failed",
        nullable=True,
        isin=DECLINE_GROUPS,
    )
    region: str = col("Sales region of the payment", isin=REGIONS)
    payment_method: str = col("What was paid with", nullable=True)
    is_recurring: bool = col("Whether the customer did not start it", nullable=True)
    sca_method: str = col("How the customer proved who they are", nullable=True)
    amount: Money = col("Amount in the payment's currency", ge=0.01, le=1_000_000)
    currency: str = col("ISO 4217 code of the amount", isin=CURRENCIES)
    fx_rate_to_usd: Rate = col("US dollars for one unit of the currency on that day", unit="USD", nullable=True)
    fx_source_date: Date = col("Day whose published rates were used, the earlier one of two; null for dollars", nullable=True)
    amount_usd: Money = col(
        "Amount in US dollars at the day's ECB rates, rounded once, half away from zero; null where no rate is known",
        unit="USD",
    )
    fee_amount: Money = col(
        "What the merchant owes for the payment, in its currency to a hundredth: percentage and fixed fee of the terms at the "
        "time of the payment; 0 unless it was captured, kept when it is given back; null where no terms or no rate are known",
        nullable=True,
        ge=0,
    )
    fee_usd: Money = col("That fee in US dollars at the day's rates", unit="USD", nullable=True, ge=0)
    cost_amount: Money = col(
        "What the scheme and the issuer take for the payment, in its currency to a hundredth; 0 unless it was captured; null "
        "where it is not known",
        nullable=True,
        ge=0,
    )
    cost_usd: Money = col("That cost in US dollars at the day's rates", unit="USD", nullable=True, ge=0)
    net_revenue: Money = col("What the company keeps, in the payment's currency: fee - cost", nullable=True)
    net_revenue_usd: Money = col("What the company keeps: fee_usd - cost_usd", unit="USD", nullable=True)
    customer_id: str = col("Who pays", pii="identifier")
    customer_country: str = col("Country of the customer's billing address", nullable=True)
    customer_region: str = col("Region of the customer's billing address", nullable=True)
    customer_status: str = col("State of the customer's account; null for unknown customers", nullable=True)
    risk_score: Number = col("The customer's present risk score", nullable=True)
    risk_band: str = col("The customer's present risk band", nullable=True)
    merchant_id: str = col("Who is paid")
    merchant_name: str = col("The merchant's name at the time of the payment", nullable=True)
    merchant_country: str = col("The merchant's country at the time of the payment", nullable=True)
    merchant_region: str = col("The merchant's region at the time of the payment", nullable=True)
    mcc: str = col("The merchant's category code (ISO 18245) at the time of the payment", nullable=True)
    category: str = col("What that category code means", nullable=True)
    partner: str = col("The partner who had brought the merchant, at the time of the payment; null for none", nullable=True)

    @pa.dataframe_check(description="what the company keeps is the fee without the cost")
    def net_adds_up(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """In both currencies, each of which is rounded on its own."""
        row = data.table
        return (row.net_revenue == row.fee_amount - row.cost_amount) & (row.net_revenue_usd == row.fee_usd - row.cost_usd)

    @pa.dataframe_check(description="only a captured payment earns and costs")
    def only_settled_earn(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Fees are owed on capture."""
        row = data.table
        return ~row.status.isin(("authorized", "failed")) | ((row.fee_amount == 0) & (row.cost_amount == 0))
