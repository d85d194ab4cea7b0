"""Fees and net revenue: the company's earnings from payments.

Belongs here: fees, costs and the difference. Does not belong here: merchants' turnover (`volume`).
"""

from __future__ import annotations

from assay.metrics import Average, Count, Cumulative, Derived, Group, Growth, Moving, Rank, Ratio, Share, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP, MEMBERS
from payments.metrics.facts import CAPTURED

FEES = Group(
    "fees",
    "Fees and net revenue",
    fact="payments",
    owner=OWNER,
    tags=("core", "revenue"),
    entities=BUSINESS,
    grains=DAYS_UP,
    metrics=(
        Sum("fee_revenue_usd", "Fee revenue", "What merchants owe for their payments", of="fee_usd"),
        Sum("processing_cost_usd", "Processing cost", "What card schemes and issuers take of them", of="cost_usd"),
        Derived(
            "net_revenue_of_fees_usd",
            "Net revenue",
            "What the company keeps: fees without costs",
            formula_of="fee_revenue_usd - processing_cost_usd",
        ),
        Derived(
            "revenue_after_disputes_usd",
            "Revenue after lost disputes",
            "What the company would keep if it bore every dispute that was lost",
            formula_of="net_revenue_of_fees_usd - dispute_lost_value_usd",
        ),
        Ratio("take_rate", "Take rate", "Fees as a share of what was taken", of="fee_revenue_usd", to="captured_value_usd"),
        Ratio("cost_rate", "Cost rate", "Costs as a share of what was taken", of="processing_cost_usd", to="captured_value_usd"),
        Ratio(
            "net_take_rate",
            "Net take rate",
            "What the company keeps as a share of what was taken",
            of="net_revenue_of_fees_usd",
            to="captured_value_usd",
        ),
        Ratio(
            "net_margin",
            "Net margin",
            "What the company keeps of each dollar of fees",
            of="net_revenue_of_fees_usd",
            to="fee_revenue_usd",
        ),
        Ratio(
            "fee_per_payment_usd",
            "Fee for a payment",
            "Fees for each captured payment",
            of="fee_revenue_usd",
            to="captured_count",
        ),
        Ratio(
            "cost_per_payment_usd",
            "Cost of a payment",
            "Costs of each captured payment",
            of="processing_cost_usd",
            to="captured_count",
        ),
        Average(
            "average_net_usd",
            "Net revenue of a payment",
            "What the company keeps of a captured payment",
            of="net_revenue_usd",
            where=CAPTURED,
        ),
        Count(
            "unprofitable_count",
            "Unprofitable payments",
            "Captured payments that cost more than they earn",
            where=f"{CAPTURED} AND net_revenue_usd < 0",
        ),
        Ratio(
            "unprofitable_share",
            "Share of unprofitable payments",
            "Share of captured payments that cost more than they earn",
            of="unprofitable_count",
            to="captured_count",
        ),
        Sum(
            "unprofitable_value_usd",
            "Unprofitable value",
            "Value of the payments that cost more than they earn",
            of="amount_usd",
            where=f"{CAPTURED} AND net_revenue_usd < 0",
        ),
        Count(
            "fee_unknown_count",
            "Payments without terms",
            "Captured payments whose fee is not known, because no terms or no rate are",
            where=f"{CAPTURED} AND fee_usd IS NULL",
        ),
        Share(
            "fee_revenue_share",
            "Share of fee revenue",
            "Share of all the company's fees",
            of="fee_revenue_usd",
            entities=MEMBERS,
        ),
        Rank("fee_revenue_rank", "Place by fee revenue", "Place among all by fees", of="fee_revenue_usd", entities=MEMBERS),
        Rank(
            "net_revenue_rank",
            "Place by net revenue",
            "Place among all by what the company keeps",
            of="net_revenue_of_fees_usd",
            entities=MEMBERS,
        ),
        Moving("fee_revenue_usd_30d", "Fee revenue, 30 days", "Fees of the last 30 days", of="fee_revenue_usd", days=30),
        Moving(
            "net_revenue_usd_30d",
            "Net revenue, 30 days",
            "What the company kept in the last 30 days",
            of="net_revenue_of_fees_usd",
            days=30,
        ),
        Moving(
            "take_rate_30d",
            "Take rate, 30 days",
            "Fees of the last 30 days as a share of what was taken",
            of="take_rate",
            days=30,
        ),
        Cumulative(
            "fee_revenue_usd_mtd", "Fee revenue, month to date", "Fees since the month began", of="fee_revenue_usd", since="month"
        ),
        Cumulative(
            "fee_revenue_usd_ytd", "Fee revenue, year to date", "Fees since the year began", of="fee_revenue_usd", since="year"
        ),
        Cumulative(
            "net_revenue_usd_ytd",
            "Net revenue, year to date",
            "What the company kept since the year began",
            of="net_revenue_of_fees_usd",
            since="year",
        ),
        *(
            Growth(
                f"fee_revenue_usd_{over}_growth",
                f"Fee revenue, growth over a {over}",
                f"How much more fees than a {over} before, as a share of them",
                of="fee_revenue_usd",
                over=over,
            )
            for over in ("week", "month", "year")
        ),
    ),
)
