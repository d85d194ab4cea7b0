"""A kiosk that counts its sales by day, week, month and year: the domain that the tests of periods run on.

Belongs here: a table of every grain, read across grains, with every kind of window. Does not belong here: what the shop shows
(lookups, severities).
"""

from datetime import date
from pathlib import Path

from assay.contracts import (
    Balance,
    Count,
    Daily,
    Date,
    Domain,
    Event,
    Money,
    Monthly,
    Number,
    Published,
    Weekly,
    Window,
    Yearly,
    column,
    source,
    table,
)
from assay.landing.formats import Debezium

OWNER = "team:kiosk"
COUNTED = Balance(inputs=("enriched.sales",), rows="sale_count", money_out="amount")


def _summed(relation: str) -> Balance:
    """Books of a table whose rows sum up those of another one."""
    return Balance(inputs=(relation,), rows="sale_count", input_rows="sum(sale_count)", money_in="amount", money_out="amount")


@source(
    "sales",
    format=Debezium(table="sales"),
    key=("sale_id",),
    partition=Daily("sold_on", of="day", moves="told"),
    owner=OWNER,
    subject="sales",
    money="TRY_CAST(amount AS DECIMAL(18,2))",
)
class SaleEvents(Event):
    """Sales as the till's database changes them."""

    sale_id: str = column("The sale", nullable=True)
    product: str = column("What was sold", nullable=True)
    amount: str = column("What it cost", nullable=True)
    day: str = column("When", nullable=True)


@table(
    "sales", layer="enriched", key=("sale_id",), partition=Daily("day"), owner=OWNER, subject="sales", money="amount", watch=False
)
class Sales(Published):
    """One row a sale."""

    sale_id: str = column("The sale")
    product: str = column("What was sold")
    amount: Money = column("What it cost", unit="EUR")
    day: Date = column("The day")


class Summed(Published):
    """What every grain has."""

    product: str = column("What was sold")
    sale_count: Count = column("Sales")
    amount: Money = column("What they cost", unit="EUR")


@table("by_day", layer="marts", key=("day", "product"), partition=Daily("day"), owner=OWNER, subject="sales", balance=COUNTED)
class ByDay(Summed):
    """One row a day and product."""

    day: Date = column("The day")


@table(
    "by_week",
    layer="marts",
    key=("week", "product"),
    partition=Weekly("week"),
    owner=OWNER,
    subject="sales",
    balance=_summed("marts.by_day"),
)
class ByWeek(Summed):
    """One row an ISO week and product."""

    week: Date = column("The week's Monday")


@table(
    "by_month",
    layer="marts",
    key=("month", "product"),
    partition=Monthly("month"),
    owner=OWNER,
    subject="sales",
    balance=_summed("marts.by_day"),
)
class ByMonth(Summed):
    """One row a month and product."""

    month: Date = column("The month's first day")


@table(
    "by_year",
    layer="marts",
    key=("year", "product"),
    partition=Yearly("year"),
    owner=OWNER,
    subject="sales",
    balance=_summed("marts.by_month"),
)
class ByYear(Summed):
    """One row a year and product."""

    year: Date = column("The year's first day")


@table("products", layer="marts", key=("product",), owner=OWNER, subject="sales", balance=_summed("marts.by_year"))
class Products(Summed):
    """One row a product, over all years."""


@table(
    "weekly_range",
    layer="marts",
    key=("week",),
    partition=Weekly("week"),
    owner=OWNER,
    subject="sales",
    balance=Balance(inputs=("latest.sales",), rows="sale_count"),
)
class WeeklyRange(Published):
    """One row an ISO week, of the sales as they landed."""

    week: Date = column("The week's Monday")
    sale_count: Count = column("Sales")
    product_count: Count = column("Different products")


@table(
    "running",
    layer="marts",
    key=("day", "product"),
    partition=Daily("day"),
    owner=OWNER,
    subject="sales",
    windows={
        "marts.by_day": Window(since="month"),
        "marts.by_month": Window(since="year", own=False),
        "marts.by_year": Window(since="start", own=False),
    },
    balance=Balance(inputs=("marts.by_day",), rows="sale_count", input_rows="sum(sale_count)"),
)
class Running(Published):
    """One row a day and product, with what was sold up to it: in the month, in the year, ever."""

    day: Date = column("The day")
    product: str = column("What was sold")
    sale_count: Count = column("Sales of the day")
    month_to_date: Count = column("Sales of the month up to the day")
    year_to_date: Count = column("Sales of the year up to the day")
    to_date: Count = column("Sales up to the day")


@table(
    "growth",
    layer="marts",
    key=("month",),
    partition=Monthly("month"),
    owner=OWNER,
    subject="sales",
    windows={"marts.by_month": Window(before=1, year_before=True)},
    balance=Balance(inputs=("marts.by_month",), rows="sale_count", input_rows="sum(sale_count)"),
)
class Growth(Published):
    """One row a month, beside the month before and the same month of the year before."""

    month: Date = column("The month's first day")
    sale_count: Count = column("Sales")
    over_month: Number = column("Growth over the month before; null where it had none", nullable=True)
    over_year: Number = column("Growth over the same month of the year before; null where it had none", nullable=True)


DOMAIN = Domain(name="kiosk", contracts=__name__, sql=Path(__file__).parent / "sql", start=date(2023, 1, 1))
