"""Sales by day.

Belongs here: `marts.daily_sales`. Does not belong here: single lines (`invoice_lines`), customers (`customer_value`).
"""

from __future__ import annotations

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Balance, Count, Daily, Date, Decimal, Published, Severity, column, table
from retail.contracts.invoice_lines import OWNER


@table(
    "daily_sales",
    layer="marts",
    key=("invoice_date", "country"),
    partition=Daily("invoice_date"),
    owner=OWNER,
    subject="sales",
    balance=Balance(inputs=("enriched.invoice_lines",), rows="line_count", money_out="net_value"),
    severities={"values_add_up": Severity.STOP},
)
class DailySales(Published):
    """One row a day and country."""

    invoice_date: Date = column("The day, by the shop's clock")
    country: str = column("Where the customers are")
    line_count: Count = column("Invoice lines", unit="lines", ge=1)
    refund_line_count: Count = column("Of them, those of cancelled invoices", unit="lines", ge=0)
    anonymous_line_count: Count = column("Of them, those without a customer", unit="lines", ge=0)
    invoice_count: Count = column("Invoices, cancelled ones included", unit="invoices", ge=1)
    gross_value: Decimal = column("Value of all lines but refunds", unit="GBP")
    refund_value: Decimal = column("Value that refunds gave back", unit="GBP", ge=0)
    net_value: Decimal = column("Gross value less refund value", unit="GBP")

    @pa.dataframe_check(description="net is gross less refunds")
    def values_add_up(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A line is either a refund or not."""
        return data.table.net_value == data.table.gross_value - data.table.refund_value
