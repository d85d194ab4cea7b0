"""A bazaar that asks much of its sales: the domain that the tests of metrics run on, through the real engine.

Belongs here: one fact of events and one over all days, three entities, a metric of every type. Does not belong here: a
catalogue that anyone would read.
"""

from datetime import date
from pathlib import Path

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Decimal,
    Domain,
    Event,
    Money,
    Published,
    Timestamp,
    column,
    source,
    table,
)
from assay.landing.formats import Debezium

OWNER = "team:bazaar"


@source(
    "sales",
    format=Debezium(table="sales"),
    key=("sale_id",),
    partition=Daily("sold_on", of="day", moves="told"),
    owner=OWNER,
    subject="sales",
)
class SaleEvents(Event):
    """Sales as the tills change them."""

    sale_id: str = column("The sale", nullable=True)
    stall: str = column("Where", nullable=True)
    customer: str = column("Who", nullable=True)
    amount: str = column("What it cost", nullable=True)
    pieces: str = column("How many", nullable=True)
    day: str = column("When", nullable=True)


@table("sales", layer="enriched", key=("sale_id",), partition=Daily("day_sold"), owner=OWNER, subject="sales", watch=False)
class Sales(Published):
    """One row a sale."""

    sale_id: str = column("The sale")
    stall: str = column("Where", nullable=True)
    street: str = column("Of the stall", nullable=True)
    customer: str = column("Who", nullable=True)
    amount: Money = column("What it cost", unit="EUR", nullable=True)
    pieces: Count = column("How many", nullable=True)
    day_sold: Date = column("The day")
    day_there: Date = column("The day by the stall's clock: that of one is behind, that of another ahead", nullable=True)
    sold_at: Timestamp = column("When")


@table(
    "patrons",
    layer="marts",
    key=("customer",),
    owner=OWNER,
    subject="sales",
    balance=Balance(inputs=("enriched.sales",), rows="visit_count"),
    watch=False,
)
class Patrons(Published):
    """One row a customer, over all days."""

    customer: str = column("Who")
    visit_count: Count = column("Sales")
    spent: Decimal = column("What they cost", unit="EUR", nullable=True)
    first_visit: Date = column("Day of the first")


DOMAIN = Domain(
    name="bazaar", contracts=__name__, sql=Path(__file__).parent / "sql", start=date(2023, 1, 1), metrics="bazaar.metrics"
)
