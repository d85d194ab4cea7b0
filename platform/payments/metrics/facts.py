"""What metrics count: the events of a payments company, with the key of every entity.

Belongs here: facts. Does not belong here: metrics of them, contracts of their relations (`payments.contracts`).
"""

from __future__ import annotations

from assay.metrics import CHARGED, Fact

PAYMENTS = Fact(
    "payments",
    table="marts.transactions_enriched",
    day="transaction_date",
    at="transaction_timestamp",
    keys={
        "region": "region",
        "merchant": "merchant_id",
        "customer": "customer_id",
        "category": "mcc",
        "currency": "currency",
    },
    money={"amount": CHARGED, "amount_usd": "USD"},
    rows_a_day=2_000_000,
)

FACTS = (PAYMENTS,)
