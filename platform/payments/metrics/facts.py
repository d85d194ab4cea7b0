"""The facts behind metrics: the events of a payments company, with the key of every entity.

Belongs here: facts. Does not belong here: metrics over them, contracts of their relations (`payments.contracts`).

A payment counts on the day it was made, a refund on the day it was requested, a dispute on the day it was opened. So a rate of
refunds or disputes relates those of a period to the payments of the same period, not to the payments that they concern.
A customer's lifetime is over all days.
"""

from __future__ import annotations

from assay.metrics import CHARGED, Fact

KEYS = {
    "region": "region",
    "merchant": "merchant_id",
    "customer": "customer_id",
    "category": "mcc",
    "currency": "currency",
    "partner": "partner",
}

PAYMENTS = Fact(
    "payments",
    table="marts.transactions_enriched",
    day="transaction_date",
    at="transaction_timestamp",
    keys=KEYS,
    money={
        "amount": CHARGED,
        "fee_amount": CHARGED,
        "cost_amount": CHARGED,
        "net_revenue": CHARGED,
        "amount_usd": "USD",
        "fee_usd": "USD",
        "cost_usd": "USD",
        "net_revenue_usd": "USD",
    },
    signed=("net_revenue", "net_revenue_usd"),
    total="amount_usd",
    rows_a_day=2_000_000,
    calendars={"local": "merchant_date"},
)
REFUNDS = Fact(
    "refunds",
    table="marts.refunds_enriched",
    day="refund_date",
    at="requested_at",
    keys=KEYS,
    money={"amount": CHARGED, "payment_amount": CHARGED, "amount_usd": "USD", "payment_amount_usd": "USD"},
    total="amount_usd",
    rows_a_day=60_000,
    calendars={"local": "merchant_date"},
)
DISPUTES = Fact(
    "disputes",
    table="marts.chargebacks_enriched",
    day="opened_date",
    at="opened_at",
    keys=KEYS,
    money={"amount": CHARGED, "payment_amount": CHARGED, "amount_usd": "USD", "payment_amount_usd": "USD"},
    total="amount_usd",
    rows_a_day=10_000,
    calendars={"local": "merchant_date"},
)
LIFETIMES = Fact(
    "customers",
    table="marts.customer_lifetime",
    keys={"customer": "customer_id"},
    money={"lifetime_value_usd": "USD", "gross_amount_usd": "USD"},
)

FACTS = (PAYMENTS, REFUNDS, DISPUTES, LIFETIMES)

CAPTURED = "status IN ('captured', 'refunded', 'chargeback')"
"""Payments whose money was taken, including those given back since."""
APPROVED = "status <> 'failed'"
"""Payments that the issuer approved."""
FAILED = "status = 'failed'"
