"""Daily revenue of the company.

Belongs here: `marts.daily_revenue`. Does not belong here: revenue of single merchants (`merchants`) or customers (`lifetime`).
"""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Balance, Count, Daily, Date, Decimal, Published, Severity, table
from assay.contracts import column as col
from payments.contracts.vocabulary import CURRENCIES, OWNER, REGIONS


@table(
    "daily_revenue",
    layer="marts",
    key=("transaction_date", "region", "currency"),
    partition=Daily("transaction_date"),
    owner=OWNER,
    subject="revenue",
    freshness=timedelta(hours=26),
    balance=Balance(inputs=("marts.transactions_enriched",), rows="transaction_count", money_out="gross_amount"),
    severities={"counts_add_up": Severity.STOP, "amounts_add_up": Severity.STOP},
    threshold=95.0,
)
class DailyRevenue(Published):
    """One row per day, region and currency; amounts are in that currency, those that end in _usd in US dollars."""

    transaction_date: Date = col("The day, UTC")
    region: str = col("Sales region", isin=REGIONS)
    currency: str = col("ISO 4217 code of the amounts", isin=CURRENCIES)
    transaction_count: Count = col("Payments, whatever became of them", unit="payments", ge=1)
    authorized_count: Count = col("Payments authorized and not captured yet", unit="payments", ge=0)
    kept_count: Count = col("Payments captured and not given back", unit="payments", ge=0)
    refunded_count: Count = col("Payments captured and refunded since", unit="payments", ge=0)
    chargeback_count: Count = col("Payments captured and charged back since", unit="payments", ge=0)
    failed_count: Count = col("Payments that failed", unit="payments", ge=0)
    gross_amount: Decimal = col("Amount of all payments: a control total", ge=0)
    revenue: Decimal = col("Amount captured and not given back", ge=0)
    authorized_amount: Decimal = col("Amount authorized and not captured yet", ge=0)
    refunded_amount: Decimal = col("Amount captured and refunded since", ge=0)
    chargeback_amount: Decimal = col("Amount captured and charged back since", ge=0)
    failed_amount: Decimal = col("Amount of failed payments", ge=0)
    gross_amount_usd: Decimal = col("Amount of all payments at the day's rate", unit="USD", ge=0)
    revenue_usd: Decimal = col("Revenue at the day's rate", unit="USD", ge=0)

    @pa.dataframe_check(description="every payment is in exactly one state")
    def counts_add_up(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A state that the SQL does not know would be missing from every column except the total."""
        row = data.table
        parts = row.authorized_count + row.kept_count + row.refunded_count + row.chargeback_count + row.failed_count
        return row.transaction_count == parts

    @pa.dataframe_check(description="the amounts of the states add up to the gross amount")
    def amounts_add_up(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """As `counts_add_up`, in money."""
        row = data.table
        parts = row.authorized_amount + row.revenue + row.refunded_amount + row.chargeback_amount + row.failed_amount
        return row.gross_amount == parts
