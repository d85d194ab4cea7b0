"""Local days: payments, refunds and disputes by the day that their merchants' own clocks showed, payments by its hour too.

Belongs here: what a merchant asks of a day as it lives it: its days, its evenings and nights. Does not belong here: the same by
UTC days (`volume`, `refunds`, `disputes`).

A payment whose merchant has no time zone has no local day, and is not in here: `without_local_day_count` counts those. One of
which only the day is known has a day and no hour: it is in none of the hours, and in all that a share is of.
A refund or dispute is on the day it was asked for or opened, by the clock of the merchant as it was when it was paid.
"""

from __future__ import annotations

from assay.metrics import Calendar, Count, Group, Ratio, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.facts import CAPTURED

MERCHANT_LOCAL = Calendar(
    "local",
    "merchant-local",
    "from midnight to midnight by the clock of the merchant's time zone; what is about a merchant without one is on no day",
)
_EVENING = "merchant_hour BETWEEN 18 AND 22"
_NIGHT = "merchant_hour >= 23 OR merchant_hour < 6"

LOCAL_DAYS = Group(
    "local_days",
    "Days by the merchant's own clock",
    fact="payments",
    calendar="local",
    owner=OWNER,
    tags=("local",),
    # Each entity is a mart a grain more, with a partition for every day.
    entities=("platform", "merchant"),
    metrics=(
        Count("local_payment_count", "Payments, local days", "Payments that customers tried to make, whatever became of them"),
        Sum(
            "local_gross_value_usd",
            "Gross value, local days",
            "What customers tried to pay, in US dollars at the rate of the day in UTC",
            of="amount_usd",
        ),
        Sum(
            "local_captured_value_usd",
            "Captured value, local days",
            "What was taken, whatever became of it since, in US dollars at the rate of the day in UTC",
            of="amount_usd",
            where=CAPTURED,
        ),
        Count("evening_count", "Payments in the evening", "Payments from 18:00 to 22:59 by the merchant's clock", where=_EVENING),
        Ratio(
            "evening_share",
            "Share of the evening",
            "Share of payments that were made from 18:00 to 22:59 by the merchant's clock",
            of="evening_count",
            to="local_payment_count",
        ),
        Count("night_count", "Payments at night", "Payments from 23:00 to 5:59 by the merchant's clock", where=_NIGHT),
        Ratio(
            "night_share",
            "Share of the night",
            "Share of payments that were made from 23:00 to 5:59 by the merchant's clock: unusual where shops are closed",
            of="night_count",
            to="local_payment_count",
        ),
        Count("local_refund_count", "Refunds, local days", "Refunds asked for, whatever became of them", fact="refunds"),
        Sum(
            "local_refund_value_usd",
            "Refund value, local days",
            "What customers asked back, in US dollars at the rate of the day in UTC",
            of="amount_usd",
            fact="refunds",
        ),
        Count("local_dispute_count", "Disputes, local days", "Disputes opened, whatever became of them", fact="disputes"),
        Sum(
            "local_dispute_value_usd",
            "Disputed value, local days",
            "What customers' banks demanded back, in US dollars at the rate of the day in UTC",
            of="amount_usd",
            fact="disputes",
        ),
    ),
)
