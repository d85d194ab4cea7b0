"""Controls: the totals that the company's own systems booked, which the tables must match.

Belongs here: declarations. Does not belong here: comparing, or its schedule (`assay reconcile`).

At the end of a day each system writes a closing: rows and money that it booked on that day, by the day they belong to and by
currency, because amounts of different currencies are never added up. All closings together are what it has booked. Rows that
were booked but refused here are in quarantine, and are counted there.

Nobody closes a day while business goes on, so `assay demo --live` writes none: there the database itself is compared, row by row.
"""

from __future__ import annotations

from assay.contracts import Control, ControlFile


def _closing(system: str, table: str, day: str, where: str | None = None) -> Control:
    """Declare a control over every day in a system's closings, however long ago."""
    file = ControlFile(f"controls/closing/{system}-*.csv")
    return Control(f"booked_{system}", table, by=(day, "currency"), from_=file, sums={"amount": "amount"}, where=where, days=None)


CONTROLS = (
    # The archive comes from a system that was shut down, and closes no days.
    _closing("transactions", "enriched.transactions", "transaction_date", where="data_source = 'transactions'"),
    _closing("refunds", "enriched.refunds", "refund_date"),
    _closing("chargebacks", "enriched.chargebacks", "opened_date"),
)
"""One for each table of money movements."""
