"""Operations: how complete and how fresh the data are.

Belongs here: what is missing of payments, and how long they took to get here. Does not belong here: quality scores of tables
(`assay.quality`).
"""

from __future__ import annotations

from assay.metrics import Average, Count, Group, Maximum, Quantile, Ratio, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import COMPANY, DAYS_UP

_LAG = "(epoch_us(ingestion_timestamp) - epoch_us(transaction_timestamp)) // 60000000"
_BLANKS = {
    "merchant": ("merchant_name", "whose merchant is not known"),
    "category": ("mcc", "whose merchant has no category"),
    "customer": ("customer_country", "whose customer is not known, or has no country"),
    "local_day": ("merchant_date", "whose merchant has no time zone"),
}

OPERATIONS = Group(
    "operations",
    "Operations",
    fact="payments",
    owner=OWNER,
    tags=("quality",),
    entities=(*COMPANY, "partner"),
    grains=DAYS_UP,
    metrics=(
        *(
            Count(
                f"without_{name}_count",
                f"Payments without {name.replace('_', ' ')}",
                f"Payments {said}",
                where=f"{column} IS NULL",
            )
            for name, (column, said) in _BLANKS.items()
        ),
        Count(
            "complete_count",
            "Complete payments",
            "Payments with merchant, category, customer, method and rate",
            where="merchant_name IS NOT NULL AND mcc IS NOT NULL AND customer_country IS NOT NULL AND payment_method IS NOT NULL "
            "AND amount_usd IS NOT NULL",
        ),
        Ratio(
            "completeness",
            "Completeness",
            "Share of payments with merchant, category, customer, method and rate",
            of="complete_count",
            to="payment_count",
        ),
        Count(
            "archived_count",
            "Payments from archives",
            "Payments that the system before this one took",
            where="data_source = 'legacy_transactions'",
        ),
        Count(
            "other_local_day_count",
            "Payments of another local day",
            "Payments on another day by the merchant's own clock than in UTC",
            where="merchant_date <> transaction_date",
        ),
        Average(
            "average_lag_minutes", "Average lag", "Minutes from a payment to its newest word in the lake", of=_LAG, unit="minutes"
        ),
        Quantile(
            "median_lag_minutes",
            "Median lag",
            "Half of the payments had their newest word within these minutes",
            of=_LAG,
            q="0.5",
            unit="minutes",
        ),
        Quantile(
            "p95_lag_minutes",
            "95 % lag",
            "95 of 100 payments had their newest word within these minutes",
            of=_LAG,
            q="0.95",
            unit="minutes",
        ),
        Maximum(
            "longest_lag_minutes", "Longest lag", "The longest that a payment took to its newest word", of=_LAG, unit="minutes"
        ),
        Sum(
            "late_payment_count",
            "Late payments",
            "Payments whose newest word came more than a day later",
            of=f"CAST({_LAG} > 1440 AS INTEGER)",
            unit="payments",
        ),
        Ratio(
            "late_payment_share",
            "Share of late payments",
            "Share of payments whose newest word came more than a day later",
            of="late_payment_count",
            to="payment_count",
        ),
    ),
)
