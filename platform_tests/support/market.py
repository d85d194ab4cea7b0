"""A small catalog to change: one fact of a market's sales, its entities, and two metrics."""

from __future__ import annotations

import datetime as dt
from typing import Any

from assay.contracts import Daily, Date, Money, Published, Table, Timestamp, column, table
from assay.contracts.table import DECLARATION
from assay.metrics import CHARGED, Attribute, Count, Entity, Fact, Sum


@table(
    "sales",
    layer="marts",
    key=("sale_id",),
    partition=Daily("sale_date"),
    owner="team:stall",
    subject="sales",
    freshness=dt.timedelta(hours=26),
)
class Sale(Published):
    """One row a sale."""

    sale_id: str = column("The sale")
    sale_date: Date = column("Day, UTC")
    sold_at: Timestamp = column("When, UTC")
    day_there: Date = column("Day, by the clock of the stall", nullable=True)
    stall: str = column("Where", nullable=True)
    colour: str = column("Of the stall", nullable=True)
    customer: str = column("Who", nullable=True)
    currency: str = column("ISO 4217 code")
    amount: Money = column("In its currency")
    dollars: Money = column("In US dollars", nullable=True)
    tip: Money = column("In US dollars; below zero where it was taken back", nullable=True)
    euros: Money = column("In euros", nullable=True)
    weight: float = column("Kilograms", nullable=True)
    pieces: int = column("Pieces")
    is_gift: bool = column("Whether it was a gift")


@table("regulars", layer="marts", key=("customer",), owner="team:stall", subject="sales", freshness=dt.timedelta(hours=26))
class Regular(Published):
    """One row a customer, over all days."""

    customer: str = column("Who")
    spent: Money = column("In US dollars")
    first_visit: Date = column("Day of the first")


TABLES: dict[str, Table] = {"marts.sales": vars(Sale)[DECLARATION], "marts.regulars": vars(Regular)[DECLARATION]}


def a_fact(**changed: Any) -> Fact:
    """The sales, with changes."""
    given = {
        "name": "sales",
        "table": "marts.sales",
        "day": "sale_date",
        "at": "sold_at",
        "keys": {"stall": "stall", "customer": "customer", "currency": "currency"},
        "money": {"amount": CHARGED, "dollars": "USD", "tip": "USD", "euros": "EUR"},
        "signed": ("tip",),
        "rows_a_day": 1000,
    }
    return Fact(**(given | changed))


ENTITIES = (
    Entity("market", "market", "All of it", key=None, members=1),
    Entity("stall", "a stall", "Where", key="stall", members=9, attributes=(Attribute("colour", "Its colour"),)),
    Entity("currency", "a currency", "Charged", key="currency", members=3, is_currency=True),
    Entity("customer", "a customer", "Who", key="customer", members=500, opt_in=True),
)
BASE = (
    Count("sale_count", "Sales", "All sales", entities=("market", "stall", "currency", "customer")),
    Sum("sold_usd", "Sold", "What was paid", of="dollars"),
)
