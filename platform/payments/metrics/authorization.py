"""Authorization: which payments are approved, and why others are not.

Belongs here: approvals, captures and declines by reason. Does not belong here: what is paid with (`methods`), risk (`risk`).
"""

from __future__ import annotations

from assay.metrics import Conversion, Count, Group, Growth, Moving, Ratio, Sum
from payments.contracts.vocabulary import DECLINE_REASONS, OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP, EVERYBODY, WATCHED
from payments.metrics.facts import APPROVED, CAPTURED, FAILED

_SAID = {
    "insufficient_funds": "the account had too little money",
    "expired_card": "the card had expired",
    "do_not_honor": "the issuer declined without saying why",
    "fraud_suspected": "fraud was suspected",
    "processing_error": "something broke on the way",
}
_GROUPS = {
    "card": "the card itself",
    "fraud": "suspected fraud",
    "funds": "too little money",
    "issuer": "the issuer, who did not say why",
    "technical": "a technical fault",
}

AUTHORIZATION = Group(
    "authorization",
    "Authorization",
    fact="payments",
    owner=OWNER,
    tags=("core",),
    entities=BUSINESS,
    metrics=(
        Count("approved_count", "Approved payments", "Payments that the customer's bank approved", where=APPROVED),
        Sum("approved_value_usd", "Approved value", "What the customers' banks approved", of="amount_usd", where=APPROVED),
        Ratio(
            "approval_rate",
            "Approval rate",
            "Share of payments that were approved",
            of="approved_count",
            to="payment_count",
            by="region",
        ),
        Ratio(
            "approval_rate_by_value",
            "Approval rate by value",
            "Share of the value that was approved",
            of="approved_value_usd",
            to="gross_value_usd",
        ),
        Ratio(
            "decline_rate",
            "Decline rate",
            "Share of payments that failed",
            of="failed_count",
            to="payment_count",
            entities=EVERYBODY,
        ),
        Ratio(
            "decline_rate_by_value",
            "Decline rate by value",
            "Share of the value that failed",
            of="failed_value_usd",
            to="gross_value_usd",
        ),
        Conversion(
            "capture_rate", "Capture rate", "Share of approved payments whose money was taken", where=APPROVED, reached=CAPTURED
        ),
        Conversion(
            "keep_rate",
            "Keep rate",
            "Share of captured payments that were neither refunded nor disputed since",
            where=CAPTURED,
            reached="status = 'captured'",
        ),
        Ratio("success_rate", "Success rate", "Share of payments whose money was taken", of="captured_count", to="payment_count"),
    ),
)

DECLINES = Group(
    "declines",
    "Declines by reason",
    fact="payments",
    owner=OWNER,
    entities=WATCHED,
    grains=DAYS_UP,
    adds_up={
        "failed_count": (
            *(f"declined_{reason}_count" for reason in DECLINE_REASONS),
            "declined_other_count",
            "declined_unknown_count",
        )
    },
    metrics=(
        *(
            Count(
                f"declined_{reason}_count",
                f"Declined: {reason.replace('_', ' ')}",
                f"Payments that failed because {_SAID[reason]}",
                where=f"{FAILED} AND failure_reason = '{reason}'",
            )
            for reason in DECLINE_REASONS
        ),
        Count(
            "declined_other_count",
            "Declined: other reasons",
            "Payments that failed for a reason that is not listed",
            where="decline_group = 'other'",
        ),
        Count(
            "declined_unknown_count",
            "Declined: no reason",
            "Payments that failed without a reason",
            where="decline_group = 'unknown'",
        ),
        *(
            Sum(
                f"declined_{group}_value_usd",
                f"Value declined: {group}",
                f"What could not be paid because of {said}",
                of="amount_usd",
                where=f"decline_group = '{group}'",
            )
            for group, said in _GROUPS.items()
        ),
        *(
            Ratio(
                f"{reason}_share_of_declines",
                f"Share of declines: {reason.replace('_', ' ')}",
                f"Share of failed payments that failed because {_SAID[reason]}",
                of=f"declined_{reason}_count",
                to="failed_count",
            )
            for reason in DECLINE_REASONS
        ),
        Count(
            "soft_declined_count",
            "Soft declines",
            "Failed payments that may go through when they are tried again: too little money, or a technical fault",
            where="decline_group IN ('funds', 'technical')",
        ),
        Ratio(
            "soft_decline_share",
            "Share of soft declines",
            "Share of failed payments worth trying again",
            of="soft_declined_count",
            to="failed_count",
        ),
    ),
)

TRENDS = Group(
    "authorization_trends",
    "Authorization over time",
    fact="payments",
    owner=OWNER,
    tags=("trend",),
    entities=BUSINESS,
    metrics=(
        *(
            Moving(
                f"approval_rate_{days}d",
                f"Approval rate, {days} days",
                f"Share of the payments of the last {days} days that were approved",
                of="approval_rate",
                days=days,
            )
            for days in (7, 30, 90)
        ),
        Moving(
            "decline_rate_7d",
            "Decline rate, 7 days",
            "Share of the payments of the last 7 days that failed",
            of="decline_rate",
            days=7,
        ),
        Moving(
            "decline_rate_30d",
            "Decline rate, 30 days",
            "Share of the payments of the last 30 days that failed",
            of="decline_rate",
            days=30,
        ),
        Growth(
            "approval_rate_month_growth",
            "Approval rate, change over a month",
            "How much higher than the month before, as a share of it",
            of="approval_rate",
            over="month",
        ),
    ),
)
