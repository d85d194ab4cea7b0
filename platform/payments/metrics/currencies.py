"""Currencies: amounts as charged, and their conversion.

Belongs here: money in the currency charged, which can be added up within a single currency only, and conversions. Does not
belong here: money in US dollars (`volume`, `fees`).
"""

from __future__ import annotations

from assay.metrics import Average, Count, Derived, Group, Growth, Maximum, Minimum, Ratio, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP
from payments.metrics.facts import CAPTURED

CHARGED = Group(
    "charged",
    "Money as charged",
    fact="payments",
    owner=OWNER,
    entities=("currency",),
    grains=DAYS_UP,
    metrics=(
        Sum("gross_value", "Gross value charged", "What customers tried to pay, in its currency", of="amount"),
        Sum("captured_value", "Captured value charged", "What was taken, in its currency", of="amount", where=CAPTURED),
        Sum("fee_revenue", "Fees charged", "What merchants owe, in its currency", of="fee_amount"),
        Sum("processing_cost", "Costs charged", "What schemes and issuers take, in its currency", of="cost_amount"),
        Derived(
            "net_revenue_charged",
            "Net revenue charged",
            "What the company keeps, in its currency",
            formula_of="fee_revenue - processing_cost",
        ),
        Average("average_ticket", "Average payment charged", "What a payment is worth on average, in its currency", of="amount"),
        Ratio(
            "charged_take_rate",
            "Take rate as charged",
            "Fees as a share of what was taken, without any exchange rate",
            of="fee_revenue",
            to="captured_value",
        ),
        Sum("refund_value", "Refund value charged", "What was asked back, in its currency", of="amount", fact="refunds"),
        Sum("dispute_value", "Disputed value charged", "What was demanded back, in its currency", of="amount", fact="disputes"),
        Growth(
            "gross_value_month_growth",
            "Gross value charged, growth over a month",
            "Growth that no exchange rate moves",
            of="gross_value",
            over="month",
        ),
        Growth(
            "gross_value_year_growth",
            "Gross value charged, growth over a year",
            "Growth that no exchange rate moves",
            of="gross_value",
            over="year",
        ),
    ),
)

FX = Group(
    "fx",
    "Exchange",
    fact="payments",
    owner=OWNER,
    entities=BUSINESS,
    grains=DAYS_UP,
    metrics=(
        Count(
            "converted_count",
            "Converted payments",
            "Payments charged in another currency than US dollars",
            where="currency <> 'USD'",
        ),
        Sum(
            "converted_value_usd",
            "Converted value",
            "What was paid in other currencies, at the day's rate",
            of="amount_usd",
            where="currency <> 'USD'",
        ),
        Ratio(
            "converted_share",
            "Share converted",
            "Share of payments charged in another currency than US dollars",
            of="converted_count",
            to="payment_count",
        ),
        Ratio(
            "converted_value_share",
            "Share of value converted",
            "Share of the value that was charged in another currency",
            of="converted_value_usd",
            to="gross_value_usd",
        ),
        Count(
            "unconverted_count",
            "Payments without a rate",
            "Payments that no exchange rate is known for, and that are in no amount in US dollars",
            where="amount_usd IS NULL",
        ),
        Count(
            "stale_rate_count",
            "Payments at an older rate",
            "Payments converted at the rate of an earlier day, as on weekends",
            where="fx_source_date < transaction_date",
        ),
        Ratio(
            "stale_rate_share",
            "Share at an older rate",
            "Share of converted payments at the rate of an earlier day",
            of="stale_rate_count",
            to="converted_count",
        ),
        Minimum(
            "lowest_rate_to_usd",
            "Lowest rate",
            "The least that a unit of the currency was worth",
            of="fx_rate_to_usd",
            unit="USD per unit",
            entities=("currency",),
        ),
        Maximum(
            "highest_rate_to_usd",
            "Highest rate",
            "The most that a unit of the currency was worth",
            of="fx_rate_to_usd",
            unit="USD per unit",
            entities=("currency",),
        ),
    ),
)
