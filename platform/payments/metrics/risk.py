"""Risk: how risky the customers behind payments are, and which corridors payments take.

Belongs here: payments by risk band and corridor, round and near-threshold amounts, velocity. Does not belong here: alerts on
single customers, resulting disputes (`disputes`).
"""

from __future__ import annotations

from assay.metrics import Average, Conversion, Count, Derived, Group, Growth, Maximum, Moving, Ratio, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import DAYS_UP, WATCHED
from payments.metrics.facts import APPROVED, CAPTURED, FAILED

_BANDS = {"low": "below 40", "medium": "from 40 to below 75", "high": "of 75 and more"}
_SCORE = "CAST(risk_score AS DECIMAL(9,4))"
_CROSS_BORDER = "customer_country <> merchant_country"

RISK = Group(
    "risk",
    "Risk",
    fact="payments",
    owner=OWNER,
    entities=WATCHED,
    grains=DAYS_UP,
    metrics=(
        *(
            Count(
                f"{band}_risk_count",
                f"Payments of {band} risk",
                f"Payments of customers with a risk score {said}",
                where=f"risk_band = '{band}'",
            )
            for band, said in _BANDS.items()
        ),
        Count(
            "unscored_count",
            "Payments without a score",
            "Payments of customers whose risk nobody scored",
            where="risk_band IS NULL",
        ),
        *(
            Sum(
                f"{band}_risk_captured_value_usd",
                f"Captured value of {band} risk",
                f"What was taken of customers with a risk score {said}",
                of="amount_usd",
                where=f"risk_band = '{band}' AND {CAPTURED}",
            )
            for band, said in _BANDS.items()
        ),
        *(
            Conversion(
                f"{band}_risk_approval_rate",
                f"Approval rate of {band} risk",
                f"Share of payments of customers with a risk score {said} that were approved",
                where=f"risk_band = '{band}'",
                reached=APPROVED,
            )
            for band, said in _BANDS.items()
        ),
        Average(
            "average_risk_score", "Average risk score", "Risk score of the customers behind payments", of=_SCORE, unit="points"
        ),
        Maximum("highest_risk_score", "Highest risk score", "The highest risk score behind a payment", of=_SCORE, unit="points"),
        Ratio(
            "high_risk_share",
            "Share of high risk",
            "Share of payments of customers with a high risk score",
            of="high_risk_count",
            to="payment_count",
        ),
        Count(
            "cross_border_count",
            "Cross-border payments",
            "Payments of customers from another country than the merchant's",
            where=_CROSS_BORDER,
        ),
        Sum(
            "cross_border_captured_value_usd",
            "Cross-border captured value",
            "What was taken of customers from another country",
            of="amount_usd",
            where=f"{_CROSS_BORDER} AND {CAPTURED}",
        ),
        Ratio(
            "cross_border_share",
            "Cross-border share",
            "Share of payments of customers from another country than the merchant's",
            of="cross_border_count",
            to="payment_count",
        ),
        Conversion(
            "cross_border_approval_rate",
            "Cross-border approval rate",
            "Share of cross-border payments that were approved",
            where=_CROSS_BORDER,
            reached=APPROVED,
        ),
        Count(
            "risky_corridor_count",
            "Payments on risky corridors",
            "Cross-border payments of customers with a high risk score",
            where=f"{_CROSS_BORDER} AND risk_band = 'high'",
        ),
        Count(
            "round_amount_count",
            "Round amounts",
            "Payments of whole hundreds, as money that is moved and not spent",
            where="amount % 100 = 0",
        ),
        Count(
            "near_threshold_count",
            "Just under a threshold",
            "Payments from 9,000 to below 10,000 US dollars, just under what must be reported",
            where="amount_usd >= 9000 AND amount_usd < 10000",
        ),
        Count(
            "suspected_fraud_count",
            "Fraud suspected or disputed",
            "Payments that failed as suspected fraud or were disputed since",
            where=f"{FAILED} AND failure_reason = 'fraud_suspected' OR status = 'chargeback'",
        ),
        Ratio(
            "suspected_fraud_rate",
            "Rate of suspected fraud",
            "Share of payments that failed as suspected fraud or were disputed since",
            of="suspected_fraud_count",
            to="payment_count",
        ),
        Ratio(
            "failed_tries_per_customer",
            "Failed tries of a customer",
            "How often those customers failed of whom any payment failed: who tests stolen cards tries fast and fails often",
            of="failed_count",
            to="declined_customers",
        ),
        Derived(
            "elevated_risk_count",
            "Payments of elevated risk",
            "Payments of customers with a medium or high risk score",
            formula_of="medium_risk_count + high_risk_count",
        ),
        Moving(
            "high_risk_share_30d",
            "Share of high risk, 30 days",
            "Share of the payments of the last 30 days of customers with a high risk score",
            of="high_risk_share",
            days=30,
        ),
        Growth(
            "high_risk_count_week_growth",
            "High risk, growth over a week",
            "How many more payments of high risk than a week before, as a share",
            of="high_risk_count",
            over="week",
        ),
    ),
)
