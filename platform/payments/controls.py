"""Controls: what the company's own systems say that they booked, which the tables must come to.

Belongs here: declarations. Does not belong here: comparing, or when it is done (`assay reconcile`).

At the end of a day each system writes a closing: rows and money of what it booked on that day, by the day that they are of and by
currency, because amounts of different currencies are never added up. All closings together are what it has booked. What was
booked and refused here is in quarantine, and is counted there.

Nobody closes a day while business goes on, so `assay demo --live` writes none: there the database itself is compared, row by row.
"""

from __future__ import annotations

from assay.contracts import Control, ControlFile


def _closing(system: str, table: str, day: str, where: str | None = None) -> Control:
    """Whatever the closings of one system speak of is compared, however long ago."""
    file = ControlFile(f"controls/closing/{system}-*.csv")
    return Control(f"booked_{system}", table, by=(day, "currency"), from_=file, sums={"amount": "amount"}, where=where, days=None)


CONTROLS = (
    # The archive is of a system that was shut down, and closes no days.
    _closing("transactions", "enriched.transactions", "transaction_date", where="data_source = 'transactions'"),
    _closing("refunds", "enriched.refunds", "refund_date"),
    _closing("chargebacks", "enriched.chargebacks", "opened_date"),
)
"""One for each table of money that was moved."""
