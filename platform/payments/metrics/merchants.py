"""Merchants: who is paid, their shares, and how they compare.

Belongs here: counts of merchants, and their ranks within region and category. Does not belong here: their turnover
(`volume`).
"""

from __future__ import annotations

from assay.metrics import Arrived, CountDistinct, Group, Growth, Lost, Rank, Ratio, Retention, Share
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import DAYS_UP
from payments.metrics.facts import CAPTURED

_OTHERS = ("platform", "region", "category", "currency", "partner")

MERCHANTS = Group(
    "merchants",
    "Merchants",
    fact="payments",
    owner=OWNER,
    entities=_OTHERS,
    grains=DAYS_UP,
    metrics=(
        CountDistinct(
            "active_merchants",
            "Active merchants",
            "Different merchants whom somebody tried to pay",
            of="merchant_id",
            unit="merchants",
        ),
        CountDistinct(
            "earning_merchants",
            "Earning merchants",
            "Different merchants for whom money was taken",
            of="merchant_id",
            where=CAPTURED,
            unit="merchants",
        ),
        CountDistinct(
            "active_categories",
            "Active categories",
            "Different categories of merchants whom somebody tried to pay",
            of="mcc",
            unit="categories",
        ),
        CountDistinct(
            "merchant_countries",
            "Countries of merchants",
            "Different countries of merchants whom somebody tried to pay",
            of="merchant_country",
            unit="countries",
        ),
        Ratio(
            "value_per_merchant_usd",
            "Value of a merchant",
            "What was taken for each earning merchant",
            of="captured_value_usd",
            to="earning_merchants",
        ),
        Ratio(
            "payments_per_merchant",
            "Payments for a merchant",
            "Payments for each active merchant",
            of="payment_count",
            to="active_merchants",
        ),
        Ratio(
            "revenue_per_merchant_usd",
            "Revenue of a merchant",
            "Fees for each earning merchant",
            of="fee_revenue_usd",
            to="earning_merchants",
        ),
        Growth(
            "earning_merchants_month_growth",
            "Earning merchants, growth over a month",
            "How many more than in the month before, as a share",
            of="earning_merchants",
            over="month",
        ),
        Arrived(
            "new_merchants",
            "New merchants",
            "Merchants for whom money was taken, and not in the twelve months before",
            of="earning_merchants",
            months=12,
        ),
        Lost(
            "lost_merchants",
            "Lost merchants",
            "Merchants for whom money was last taken three months ago",
            of="earning_merchants",
            months=3,
        ),
        Retention(
            "merchant_retention_1m",
            "Merchant retention, 1 month",
            "Share of the merchants of the month before who earned again",
            of="earning_merchants",
            months=1,
        ),
        Retention(
            "merchant_retention_12m",
            "Merchant retention, 12 months",
            "Share of the merchants of a year before who earned again",
            of="earning_merchants",
            months=12,
        ),
    ),
)

PLACES = Group(
    "merchant_places",
    "A merchant among others",
    fact="payments",
    owner=OWNER,
    entities=("merchant",),
    grains=DAYS_UP,
    metrics=(
        Share(
            "value_share_of_region",
            "Share of its region",
            "Share of what was taken in the merchant's region",
            of="captured_value_usd",
            within="merchant_region",
        ),
        Share(
            "value_share_of_category",
            "Share of its category",
            "Share of what was taken in the merchant's category",
            of="captured_value_usd",
            within="mcc",
        ),
        Rank(
            "value_rank_in_region",
            "Place in its region",
            "Place among the merchants of its region by what was taken",
            of="captured_value_usd",
            within="merchant_region",
        ),
        Rank(
            "value_rank_in_category",
            "Place in its category",
            "Place among the merchants of its category by what was taken",
            of="captured_value_usd",
            within="mcc",
        ),
        Rank(
            "refund_rate_rank_in_category",
            "Place by refund rate",
            "Place among the merchants of its category by refund rate, the highest first",
            of="refund_rate",
            within="mcc",
        ),
        Rank(
            "dispute_rate_rank_in_category",
            "Place by dispute rate",
            "Place among the merchants of its category by dispute rate, the highest first",
            of="dispute_rate",
            within="mcc",
        ),
        Rank(
            "approval_rank_in_region",
            "Place by approval rate",
            "Place among the merchants of its region by approval rate",
            of="approval_rate",
            within="merchant_region",
        ),
    ),
)
