"""Refunds: money that merchants give back.

Belongs here: refunds by the day on which they were requested. Does not belong here: money taken back against the merchant's will
(`disputes`).
"""

from __future__ import annotations

from assay.metrics import Average, Conversion, Count, CountDistinct, Group, Growth, Maximum, Moving, Quantile, Ratio, Sum
from payments.contracts.vocabulary import OWNER, REFUND_REASONS
from payments.metrics.entities import BUSINESS, DAYS_UP, EVERYBODY, WATCHED

_GIVEN = "state = 'succeeded'"

REFUNDS = Group(
    "refunds",
    "Refunds",
    fact="refunds",
    owner=OWNER,
    tags=("core",),
    entities=BUSINESS,
    grains=DAYS_UP,
    adds_up={"refund_count": ("refund_given_count", "refund_pending_count", "refund_failed_count")},
    metrics=(
        Count("refund_count", "Refunds", "Refunds asked for, whatever became of them", entities=EVERYBODY),
        Count("refund_given_count", "Refunds given", "Refunds whose money was given back", where=_GIVEN),
        Count("refund_pending_count", "Refunds pending", "Refunds asked for and not given back yet", where="state = 'pending'"),
        Count("refund_failed_count", "Refunds failed", "Refunds that could not be given back", where="state = 'failed'"),
        Count("partial_refund_count", "Partial refunds", "Refunds of less than the whole payment", where="NOT is_full"),
        Sum(
            "refund_value_usd",
            "Refund value",
            "What customers asked back, at the rate of that day",
            of="amount_usd",
            entities=EVERYBODY,
        ),
        Sum("refund_given_value_usd", "Refund value given", "What was given back", of="amount_usd", where=_GIVEN),
        Average("average_refund_usd", "Average refund", "What a refund is worth on average", of="amount_usd"),
        Maximum("largest_refund_usd", "Largest refund", "The largest refund asked for", of="amount_usd"),
        Quantile("median_refund_usd", "Median refund", "Half of the refunds are not larger", of="amount_usd", q="0.5"),
        Ratio(
            "refund_rate",
            "Refund rate",
            "Refunds for each captured payment of the period",
            of="refund_count",
            to="captured_count",
        ),
        Ratio(
            "refund_rate_by_value",
            "Refund rate by value",
            "What was asked back, as a share of what was taken in the period",
            of="refund_value_usd",
            to="captured_value_usd",
        ),
        Ratio(
            "partial_refund_share",
            "Share of partial refunds",
            "Share of refunds of less than the whole payment",
            of="partial_refund_count",
            to="refund_count",
        ),
        Conversion(
            "refund_success_rate",
            "Refund success rate",
            "Share of closed refunds whose money was given back",
            where="state <> 'pending'",
            reached=_GIVEN,
        ),
        Average(
            "average_days_to_refund",
            "Days to a refund",
            "Days from a payment to the request for its refund",
            of="days_to_refund",
            unit="days",
        ),
        Quantile(
            "median_days_to_refund",
            "Median days to a refund",
            "Half of the refunds came within these days",
            of="days_to_refund",
            q="0.5",
            unit="days",
        ),
        Count(
            "refund_within_day_count",
            "Same-day refunds",
            "Refunds asked for on the day of the payment",
            where="days_to_refund = 0",
        ),
        CountDistinct(
            "customers_refunded",
            "Customers who asked back",
            "Different customers who asked for a refund",
            of="customer_id",
            unit="customers",
        ),
        *(
            Count(
                f"refund_{reason}_count",
                f"Refunds: {reason.replace('_', ' ')}",
                f"Refunds that the merchant gave as: {reason.replace('_', ' ')}",
                where=f"reason = '{reason}'",
                entities=WATCHED,
            )
            for reason in REFUND_REASONS
        ),
        Count(
            "refund_unexplained_count",
            "Refunds without a reason",
            "Refunds of which nobody said why",
            where="reason IS NULL",
            entities=WATCHED,
        ),
        Moving(
            "refund_rate_30d",
            "Refund rate, 30 days",
            "Refunds for each captured payment of the last 30 days",
            of="refund_rate",
            days=30,
        ),
        Moving(
            "refund_rate_90d",
            "Refund rate, 90 days",
            "Refunds for each captured payment of the last 90 days",
            of="refund_rate",
            days=90,
        ),
        Growth(
            "refund_value_usd_month_growth",
            "Refund value, growth over a month",
            "How much more was asked back than in the month before, as a share of it",
            of="refund_value_usd",
            over="month",
        ),
    ),
)
