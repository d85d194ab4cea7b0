"""A fair whose sales are joined with what they were paid in and where: the domain that tests of restatements run on.

Belongs here: a fact by way of two tables, what each of those looks up, and a fact that is summed up. Does not belong here: a
metric of every type (`bazaar`).
"""

from datetime import date
from pathlib import Path

from assay.contracts import Balance, Count, Daily, Date, Domain, Event, Money, Published, Timestamp, column, source, table
from assay.landing.formats import Debezium

OWNER = "team:fair"


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
    coin: str = column("What it was paid in", nullable=True)
    pieces: str = column("How many coins", nullable=True)
    hour: str = column("When", nullable=True)
    day: str = column("The day", nullable=True)


@source("coins", format=Debezium(table="coins"), key=("coin",), owner=OWNER, subject="reference")
class CoinEvents(Event):
    """Coins as the money changer changes them."""

    coin: str = column("The coin", nullable=True)
    worth: str = column("What it is worth", nullable=True)


@source("stalls", format=Debezium(table="stalls"), key=("stall",), owner=OWNER, subject="reference")
class StallEvents(Event):
    """Stalls as the warden changes them."""

    stall: str = column("The stall", nullable=True)
    street: str = column("Where it is", nullable=True)
    keeper: str = column("Who keeps it", nullable=True)


@table("stalls", layer="enriched", key=("stall",), owner=OWNER, subject="reference")
class Stalls(Published):
    """One row a stall."""

    stall: str = column("The stall")
    street: str = column("Where it is", nullable=True)
    keeper: str = column("Who keeps it", nullable=True)


@table("neighbours", layer="enriched", key=("stall",), owner=OWNER, subject="reference")
class Neighbours(Published):
    """One row a stall, with how many are in its street."""

    stall: str = column("The stall")
    in_street: Count = column("Stalls in its street")


@table(
    "sales",
    layer="enriched",
    key=("sale_id",),
    partition=Daily("day_sold"),
    owner=OWNER,
    subject="sales",
    lookups={"latest.coins": {"coin": "coin"}},
    watch=False,
)
class Sales(Published):
    """One row a sale."""

    sale_id: str = column("The sale")
    stall: str = column("Where", nullable=True)
    coin: str = column("What it was paid in", nullable=True)
    amount: Money = column("What it cost", unit="EUR", nullable=True, ge=0)
    day_sold: Date = column("The day")
    sold_at: Timestamp = column("When")


@table(
    "sold",
    layer="marts",
    key=("sale_id",),
    partition=Daily("day_sold"),
    owner=OWNER,
    subject="sales",
    lookups={"enriched.stalls": {"stall": "stall"}, "enriched.neighbours": {"stall": "stall"}},
    watch=False,
)
class Sold(Published):
    """One row a sale, with where it was."""

    sale_id: str = column("The sale")
    stall: str = column("Where", nullable=True)
    street: str = column("Where that is", nullable=True)
    keeper: str = column("Who keeps it", nullable=True)
    in_street: Count = column("Stalls in its street", nullable=True)
    amount: Money = column("What it cost", unit="EUR", nullable=True)
    day_sold: Date = column("The day")
    sold_at: Timestamp = column("When")


@table(
    "takings",
    layer="marts",
    key=("stall", "day_sold"),
    partition=Daily("day_sold"),
    owner=OWNER,
    subject="sales",
    balance=Balance(inputs=("enriched.sales",), rows="sale_count"),
    watch=False,
)
class Takings(Published):
    """One row a stall and day."""

    stall: str = column("The stall")
    day_sold: Date = column("The day")
    closed_at: Timestamp = column("When the last sale was")
    sale_count: Count = column("Sales")


DOMAIN = Domain(
    name="fair", contracts=__name__, sql=Path(__file__).parent / "sql", start=date(2023, 1, 1), metrics="fair.metrics"
)
