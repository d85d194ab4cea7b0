"""The audit trail: every change of a payment, its refunds and its disputes, with the record that reported it.

Belongs here: `enriched.return_changes` and `marts.transaction_audit_trail`. Does not belong here: the current state of payments
(`transactions`), who looked at what (that is the lake's own audit).

A change belongs to the day of its payment, however much later it was made: refunds and disputes are looked up by that day. A
trail covers readable records: unreadable ones are in the quarantine of their source. Changes of refunds and disputes for a day
of which no payment has landed are in `enriched.return_changes`, and in no trail until one lands. A payment that is corrected to
another day has a trail on each: the changes that were told of that day, the first of them with nothing before it. `subject_id`
has all of them, in the order of `source_position`.
"""

from __future__ import annotations

from datetime import timedelta

from assay.contracts import Balance, Cadence, Count, Daily, Date, Decimal, Money, Position, Published, Timestamp, table
from assay.contracts import column as col
from payments.contracts.vocabulary import OWNER

OPERATIONS = ("c", "d", "r", "u")
"""What a source does to a row: create, delete, read in a snapshot, update."""


class Change(Published):
    """Columns on the origin of every change."""

    operation: str = col("What the source did: c create, u update, d delete, r snapshot read", isin=OPERATIONS)
    changed_at: Timestamp = col("When the source says that the change was made, UTC", nullable=True)
    source_position: Position = col("The change's position at its source; later is larger, compared number by number")
    landing_object: str = col("Key of the landing object in which it was first delivered")
    landing_row: Count = col("Line of the record in that object, from 1", ge=1)
    delivery_count: Count = col(
        "How often it was delivered; a deletion that has only a key counts on every day on which the key was",
        unit="deliveries",
        ge=1,
    )
    delivered_amount: Decimal = col("Amount of all these deliveries, for the books; a deletion has none")


@table(
    "return_changes",
    layer="enriched",
    key=("subject", "subject_id", "source_position", "operation"),
    partition=Daily("subject_date"),
    owner=OWNER,
    subject="compliance",
    freshness=timedelta(hours=50),
    balance=Balance(inputs=("changes.refunds", "changes.chargebacks"), rows="delivery_count", money_out="delivered_amount"),
    watch=False,
    cadence=Cadence.HOURLY,
)
class ReturnChange(Change):
    """One row per change of a refund or of a dispute, on the day of the refund or dispute."""

    subject: str = col("What changed: refund or dispute", isin=("dispute", "refund"))
    subject_id: str = col("The refund or dispute")
    subject_date: Date = col("Day the refund was asked for or the dispute was opened, UTC")
    payment_date: Date = col("Day the payment was made, UTC")
    transaction_id: str = col("The payment")
    state: str = col("State in the change; `deleted` for a deletion, null where it has none", nullable=True)
    amount: Money = col("Amount in the change, in the payment's currency", nullable=True)
    currency: str = col("Currency in the change, ISO 4217", nullable=True)


@table(
    "transaction_audit_trail",
    layer="marts",
    key=("transaction_date", "data_source", "subject_id", "source_position", "operation"),
    partition=Daily("transaction_date"),
    owner=OWNER,
    subject="compliance",
    freshness=timedelta(hours=26),
    lookups={"enriched.return_changes": {"transaction_date": "payment_date"}},
    balance=Balance(
        inputs=("changes.transactions", "changes.legacy_transactions", "enriched.return_changes"),
        rows="delivery_count",
        input_rows="sum(delivery_count)",
        money_in="delivered_amount",
        money_out="delivered_amount",
    ),
    watch=False,
    cadence=Cadence.HOURLY,
)
class AuditedChange(Change):
    """One row per change of a payment, of a refund of it or of a dispute about it, on the day of the payment."""

    transaction_id: str = col("The payment")
    transaction_date: Date = col("Day the payment was made, UTC")
    subject: str = col("What changed: payment, refund or dispute", isin=("dispute", "payment", "refund"))
    subject_id: str = col("The payment, refund or dispute")
    changed: str = col("What changed: the state, else the amount, else something other", isin=("amount", "other", "state"))
    from_state: str = col("State before; null for the first change", nullable=True)
    to_state: str = col("State after; `deleted` after a deletion", nullable=True)
    amount_before: Money = col("Amount before, in the payment's currency", nullable=True)
    amount_after: Money = col("Amount after; of a deletion the amount that it had", nullable=True)
    currency: str = col("ISO 4217 code of the amounts", nullable=True)
