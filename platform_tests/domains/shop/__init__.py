"""A small shop: the domain that the machinery's tests run on.

Belongs here: as little business as shows every mechanism (folds, a lookup, a window, aggregates). Does not belong here: payments.
"""

from datetime import date
from pathlib import Path

import ibis.expr.types as ir
import pandera.ibis as pa

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Domain,
    Event,
    Money,
    Published,
    Severity,
    Timestamp,
    Window,
    column,
    source,
    table,
)
from assay.landing.formats import Debezium

OWNER = "team:shop"


@source(
    "orders",
    format=Debezium(table="orders"),
    key=("order_id",),
    partition=Daily("order_day", of="ordered_at", moves="told"),
    owner=OWNER,
    subject="orders",
    money="TRY_CAST(amount AS DECIMAL(18,2))",
)
class OrderEvents(Event):
    """Orders as the shop's database changes them."""

    order_id: str = column("The order", nullable=True)
    customer_id: str = column("Who ordered", nullable=True)
    amount: str = column("What it cost", nullable=True)
    ordered_at: str = column("The day", nullable=True)


@source("customers", format=Debezium(table="customers"), key=("customer_id",), owner=OWNER, subject="customers")
class CustomerEvents(Event):
    """Customers as the shop's database changes them."""

    customer_id: str = column("The customer", nullable=True)
    name: str = column("Their name", pii="name", nullable=True)
    level: str = column("gold or basic", nullable=True)


@table("customers", layer="enriched", key=("customer_id",), owner=OWNER, subject="customers")
class Customers(Published):
    """One row a customer."""

    customer_id: str = column("The customer")
    name: str = column("Their name", pii="name", nullable=True)
    level: str = column("gold or basic", isin=["gold", "basic"])


@table("levels", layer="enriched", key=("customer_id", "valid_from"), owner=OWNER, subject="customers")
class Levels(Published):
    """One row a customer and level, with the time it held."""

    customer_id: str = column("The customer")
    level: str = column("gold or basic")
    valid_from: Timestamp = column("Since when")
    valid_to: Timestamp = column("Until when", nullable=True)


@table(
    "orders",
    layer="enriched",
    key=("order_id",),
    partition=Daily("order_day"),
    owner=OWNER,
    subject="orders",
    lookups={"enriched.customers": {"customer_id": "customer_id"}},
    severities={"note_length": Severity.FIX, "customer_known": Severity.WARN},
    money="amount",
    threshold=50,
)
class Orders(Published):
    """One row an order."""

    order_id: str = column("The order")
    customer_id: str = column("Who ordered")
    customer_level: str = column("Their level now", nullable=True)
    amount: Money = column("What it cost", unit="EUR", ge=0)
    note: str = column("Free text", nullable=True, str_length={"max_value": 8})
    order_day: Date = column("The day")

    @pa.dataframe_check(name="customer_known", description="the customer should be known")
    @classmethod
    def customer_known(cls, data: pa.IbisData) -> ir.BooleanColumn:
        """Whether the lookup found the customer."""
        return data.table.customer_level.notnull()


@table(
    "daily_totals",
    layer="marts",
    key=("order_day", "customer_level"),
    partition=Daily("order_day"),
    owner=OWNER,
    subject="orders",
    balance=Balance(inputs=("enriched.orders",), rows="order_count", money_out="amount"),
)
class DailyTotals(Published):
    """One row a day and level."""

    order_day: Date = column("The day")
    customer_level: str = column("The level")
    order_count: Count = column("Orders")
    amount: Money = column("What they cost", unit="EUR")


@table(
    "customer_weeks",
    layer="marts",
    key=("order_day", "customer_id"),
    partition=Daily("order_day"),
    owner=OWNER,
    subject="orders",
    windows={"enriched.orders": Window(before=6)},
    balance=Balance(inputs=("enriched.orders",), rows="order_count"),
)
class CustomerWeeks(Published):
    """One row a day and customer who ordered on it, with what they spent in the seven days up to it."""

    order_day: Date = column("The day")
    customer_id: str = column("The customer")
    order_count: Count = column("Orders on the day")
    amount_of_week: Money = column("What they spent in the seven days up to the day", unit="EUR")


@table(
    "shop_totals",
    layer="marts",
    key=("customer_id",),
    owner=OWNER,
    subject="orders",
    balance=Balance(inputs=("enriched.orders",), rows="order_count", money_out="amount"),
)
class ShopTotals(Published):
    """One row a customer, over all days."""

    customer_id: str = column("The customer")
    order_count: Count = column("Orders")
    amount: Money = column("What they cost", unit="EUR")


DOMAIN = Domain(name="shop", contracts=__name__, sql=Path(__file__).parent / "sql", start=date(2025, 1, 1))
