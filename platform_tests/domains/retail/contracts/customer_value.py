"""What customers are worth over all days.

Belongs here: `marts.customer_value`. Does not belong here: days (`daily_sales`).
"""

from __future__ import annotations

from assay.contracts import Balance, Count, Date, Decimal, Published, Whole, column, table
from retail.contracts.invoice_lines import OWNER


@table(
    "customer_value",
    layer="marts",
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    balance=Balance(inputs=("enriched.invoice_lines",), rows="line_count", money_out="net_value"),
)
class CustomerValue(Published):
    """One row a customer, and one for all lines without a customer."""

    customer_id: str = column("The customer; `unknown` for lines without one", pii="identifier")
    line_count: Count = column("Invoice lines", unit="lines", ge=1)
    invoice_count: Count = column("Invoices, cancelled ones included", unit="invoices", ge=1)
    net_value: Decimal = column("Value of all lines, refunds taken off", unit="GBP")
    first_invoice_date: Date = column("Day of the first invoice")
    last_invoice_date: Date = column("Day of the last invoice")
