"""Invoice lines: as the shop's system exports them, and cleaned.

Belongs here: the source `invoice_lines` and `enriched.invoice_lines`. Does not belong here: sums of lines.
"""

from __future__ import annotations

from typing import Annotated

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Count, Daily, Date, Event, Published, Severity, column, source, table
from assay.landing.formats import Csv

OWNER = "team:retail"

Sterling = Annotated[dt.Decimal, 18, 3, True]
"""An amount in pounds; a few unit prices are a tenth of a penny."""
LocalTime = Annotated[dt.Timestamp, None, None, True]
"""What the shop's clock showed; the export names no time zone."""


@source(
    "invoice_lines",
    format=Csv(
        columns={
            "invoice_no": "InvoiceNo",
            "stock_code": "StockCode",
            "description": "Description",
            "quantity": "Quantity",
            "invoiced_at": "InvoiceDate",
            "unit_price": "UnitPrice",
            "customer_id": "CustomerID",
            "country": "Country",
        }
    ),
    # What a line is about. Nothing identifies it: an invoice may hold the same line twice, and both count.
    key=("invoice_no", "stock_code"),
    partition=Daily("invoice_date", of="invoiced_at"),
    owner=OWNER,
    subject="sales",
    money="quantity * unit_price",
)
class InvoiceLineRecord(Event):
    """A line of the export."""

    invoice_no: str = column("The invoice; `C…` cancels, `A…` adjusts bad debt")
    stock_code: str = column("The article, or what else is charged, as in `POST`")
    description: str = column("The article's name", nullable=True)
    quantity: Count = column("Pieces; negative when they come back", unit="pieces")
    invoiced_at: LocalTime = column("When the invoice was made, by the shop's clock")
    unit_price: Sterling = column("Price of a piece", unit="GBP")
    customer_id: str = column("The customer, as in `17850.0`", nullable=True, pii="identifier")
    country: str = column("Where the customer is")


@table(
    "invoice_lines",
    layer="enriched",
    key=("landing_object", "landing_row"),
    partition=Daily("invoice_date"),
    owner=OWNER,
    subject="sales",
    severities={"refund_returns": Severity.STOP, "only_adjustments_are_negative": Severity.STOP},
    money="net_value",
    threshold=99.0,
)
class InvoiceLine(Published):
    """One row a landed line. Lines that are equal in everything are rows of their own, since nothing says that one is a copy."""

    landing_object: str = column("The file the line came from")
    landing_row: Count = column("Its line there, from 1", ge=1)
    invoice_no: str = column("The invoice", str_matches="[AC]?[0-9]{6}$")
    is_refund: bool = column("Whether the invoice cancels another")
    stock_code: str = column("The article, or what else is charged; upper case")
    description: str = column("The article's name", nullable=True)
    quantity: Count = column("Pieces; negative when they come back", unit="pieces")
    unit_price: Sterling = column("Price of a piece", unit="GBP")
    net_value: Sterling = column("Quantity times unit price", unit="GBP")
    customer_id: str = column(
        "The customer; null when the till did not ask", nullable=True, str_matches="[0-9]{5}$", pii="identifier"
    )
    country: str = column("Where the customer is")
    invoiced_at: LocalTime = column("When the invoice was made, by the shop's clock")
    invoice_date: Date = column("The day of that")

    @pa.dataframe_check(description="a refund takes pieces back")
    def refund_returns(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """A cancelled invoice that sells would be counted on the wrong side."""
        return ~data.table.is_refund | (data.table.quantity < 0)

    @pa.dataframe_check(description="only adjustments of bad debt have a negative price")
    def only_adjustments_are_negative(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """With a negative price, a refund would add to what was sold."""
        return (data.table.unit_price >= 0) | data.table.invoice_no.startswith("A")
