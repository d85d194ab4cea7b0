"""The value of customers over their lifetime.

Belongs here: `marts.customer_spending`, by month, and `marts.customer_lifetime`, its totals. Does not belong here:
customers' data (`customers`).
"""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Balance, Count, Date, Decimal, Monthly, Number, Published, Whole, table
from assay.contracts import column as col
from payments.contracts.vocabulary import OWNER


@table(
    "customer_spending",
    layer="marts",
    key=("customer_id", "month"),
    partition=Monthly("month"),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(hours=26),
    balance=Balance(
        inputs=("marts.transactions_enriched",),
        rows="transaction_count",
        money_in="amount_usd",
        money_out="gross_amount_usd",
    ),
    threshold=95.0,
)
class CustomerSpending(Published):
    """One row per customer and month with payments; lifetimes are the sums of these."""

    customer_id: str = col("The customer", pii="identifier")
    month: Date = col("The month's first day, UTC")
    transaction_count: Count = col("Payments, whatever became of them", unit="payments", ge=1)
    with_dollars_count: Count = col("Payments whose amount in dollars is known", unit="payments", ge=0)
    kept_count: Count = col("Payments captured and not given back", unit="payments", ge=0)
    gross_amount_usd: Decimal = col("Amount of all payments", unit="USD", ge=0)
    kept_amount_usd: Decimal = col("Amount captured and not given back", unit="USD", ge=0)
    first_transaction_date: Date = col("Day of the first payment in the month, UTC")
    last_transaction_date: Date = col("Day of the last payment in the month, UTC")


@table(
    "customer_lifetime",
    layer="marts",
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(hours=26),
    balance=Balance(
        inputs=("marts.customer_spending",),
        rows="transaction_count",
        input_rows="sum(transaction_count)",
        money_in="gross_amount_usd",
        money_out="gross_amount_usd",
    ),
    threshold=95.0,
)
class CustomerLifetime(Published):
    """One row per customer with payments, over all of them."""

    customer_id: str = col("The customer", pii="identifier")
    transaction_count: Count = col("Payments, whatever became of them", unit="payments", ge=1)
    kept_count: Count = col("Payments captured and not given back", unit="payments", ge=0)
    gross_amount_usd: Decimal = col("Amount of all payments", unit="USD", ge=0)
    lifetime_value_usd: Decimal = col("Amount captured and not given back", unit="USD", ge=0)
    average_amount_usd: Decimal = col("Average amount of a payment; null where no rate is known", unit="USD", nullable=True)
    first_transaction_date: Date = col("Day of the first payment, UTC")
    last_transaction_date: Date = col("Day of the last payment, UTC")
    tenure_days: Count = col("Days from the first payment to the last; 0 when all were on one day", unit="days", ge=0)
    transactions_per_month: Number = col(
        "Payments for each calendar month from that of the first to that of the last, both counted",
        unit="payments per month",
        gt=0,
    )

    @pa.dataframe_check(description="the last payment is not before the first")
    def first_not_after_last(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Dates come from the same payments."""
        return data.table.first_transaction_date <= data.table.last_transaction_date
