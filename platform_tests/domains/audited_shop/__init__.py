"""The shop with an accountant: what the tills' rolls and the ledger say that its orders add up to.

Belongs here: one control of every kind. Does not belong here: tables, which are the shop's own.
"""

from dataclasses import replace
from decimal import Decimal

import shop

from assay.contracts import Control, ControlFile, MySqlQuery, PostgresQuery

ROLLS = Control(
    "till_rolls",
    table="enriched.orders",
    by=("order_day",),
    from_=ControlFile("controls/till_rolls-*.csv"),
    sums={"amount": "amount"},
)
LEDGER_SQL = """
    SELECT booked_on AS order_day, level AS customer_level, sum(orders) AS row_count, sum(amount) AS amount
    FROM ledger WHERE booked_on BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
"""
LEDGER = Control(
    "ledger",
    table="marts.daily_totals",
    by=("order_day", "customer_level"),
    from_=PostgresQuery(LEDGER_SQL, dsn="ledger"),
    rows="order_count",
    sums={"amount": "amount"},
    tolerance=Decimal("0.05"),
)
OLD_LEDGER = replace(LEDGER, name="old_ledger", from_=MySqlQuery(LEDGER_SQL, dsn="old_ledger"))

DOMAIN = replace(shop.DOMAIN, name="audited_shop", controls=(ROLLS, LEDGER))
