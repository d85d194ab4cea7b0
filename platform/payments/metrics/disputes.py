"""Disputes: payments that customers demand back through their bank (chargebacks).

Belongs here: disputes by the day on which they were opened, and their outcomes. Does not belong here: money that merchants give
back themselves (`refunds`).
"""

from __future__ import annotations

from assay.metrics import Average, Conversion, Count, Derived, Group, Growth, Moving, Quantile, Ratio, Sum
from payments.contracts.vocabulary import DISPUTE_CATEGORIES, DISPUTE_NETWORKS, OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP, EVERYBODY, WATCHED

_SAID = {
    "fraud": "says that somebody else paid",
    "authorization": "was never approved",
    "processing": "was processed wrongly",
    "consumer": "paid for what did not come or was not right",
}

DISPUTES = Group(
    "disputes",
    "Disputes",
    fact="disputes",
    owner=OWNER,
    tags=("core",),
    entities=BUSINESS,
    grains=DAYS_UP,
    adds_up={"dispute_count": ("dispute_won_count", "dispute_lost_count", "dispute_open_count")},
    metrics=(
        Count("dispute_count", "Disputes", "Payments that customers demanded back through their bank", entities=EVERYBODY),
        Count("dispute_won_count", "Disputes won", "Disputes that the merchant won", where="state = 'won'"),
        Count("dispute_lost_count", "Disputes lost", "Disputes that the merchant lost", where="state = 'lost'"),
        Count("dispute_open_count", "Disputes open", "Disputes not decided yet", where="state = 'open'"),
        Sum(
            "dispute_value_usd",
            "Disputed value",
            "What customers demanded back, at the rate of that day",
            of="amount_usd",
            entities=EVERYBODY,
        ),
        Sum(
            "dispute_won_value_usd",
            "Disputed value won",
            "Disputed value that the merchant kept",
            of="amount_usd",
            where="state = 'won'",
        ),
        Sum(
            "dispute_lost_value_usd",
            "Disputed value lost",
            "Disputed value that went back",
            of="amount_usd",
            where="state = 'lost'",
        ),
        Sum(
            "dispute_open_value_usd",
            "Disputed value open",
            "Disputed value not decided yet",
            of="amount_usd",
            where="state = 'open'",
        ),
        Derived(
            "dispute_exposure_usd",
            "Dispute exposure",
            "Disputed value that is lost or may still be",
            formula_of="dispute_lost_value_usd + dispute_open_value_usd",
        ),
        Average("average_dispute_usd", "Average dispute", "What a dispute is about on average", of="amount_usd"),
        Ratio(
            "dispute_rate",
            "Dispute rate",
            "Disputes for each captured payment of the period, as card schemes watch it",
            of="dispute_count",
            to="captured_count",
        ),
        Ratio(
            "dispute_rate_by_value",
            "Dispute rate by value",
            "What was demanded back, as a share of what was taken in the period",
            of="dispute_value_usd",
            to="captured_value_usd",
        ),
        Conversion(
            "win_rate",
            "Win rate",
            "Share of decided disputes that the merchant won",
            where="state <> 'open'",
            reached="state = 'won'",
        ),
        Average(
            "average_days_to_dispute",
            "Days to a dispute",
            "Days from a capture to its dispute",
            of="days_to_dispute",
            unit="days",
        ),
        Quantile(
            "median_days_to_dispute",
            "Median days to a dispute",
            "Half of the disputes came within these days",
            of="days_to_dispute",
            q="0.5",
            unit="days",
        ),
        Average(
            "average_days_to_close",
            "Days to a decision",
            "Days from opening a dispute to its decision",
            of="days_to_close",
            unit="days",
        ),
        Quantile(
            "p90_days_to_close",
            "90 % of decisions",
            "Nine of ten decided disputes took no longer",
            of="days_to_close",
            q="0.9",
            unit="days",
        ),
        Count("partial_dispute_count", "Partial disputes", "Disputes about less than the whole payment", where="NOT is_full"),
        *(
            Count(
                f"dispute_{category}_count",
                f"Disputes: {category}",
                f"Disputes in which the customer {_SAID[category]}",
                where=f"reason_category = '{category}'",
                entities=WATCHED,
            )
            for category in DISPUTE_CATEGORIES
        ),
        *(
            Count(
                f"dispute_{network}_count",
                f"Disputes: {network}",
                f"Disputes under the rules of {network}",
                where=f"network = '{network}'",
                entities=WATCHED,
            )
            for network in DISPUTE_NETWORKS
        ),
        Ratio(
            "fraud_dispute_share",
            "Share of fraud disputes",
            "Share of disputes in which the customer says that somebody else paid",
            of="dispute_fraud_count",
            to="dispute_count",
        ),
        Ratio(
            "fraud_dispute_rate",
            "Fraud rate",
            "Fraud disputes for each captured payment of the period",
            of="dispute_fraud_count",
            to="captured_count",
        ),
        Moving(
            "dispute_rate_30d",
            "Dispute rate, 30 days",
            "Disputes for each captured payment of the last 30 days",
            of="dispute_rate",
            days=30,
        ),
        Moving(
            "dispute_rate_90d",
            "Dispute rate, 90 days",
            "Disputes for each captured payment of the last 90 days",
            of="dispute_rate",
            days=90,
        ),
        Growth(
            "dispute_value_usd_month_growth",
            "Disputed value, growth over a month",
            "How much more was demanded back than in the month before, as a share of it",
            of="dispute_value_usd",
            over="month",
        ),
    ),
)
