"""Volume and value: how much is paid.

Belongs here: counts and amounts of payments by their state. Does not belong here: why payments fail (`authorization`).
"""

from __future__ import annotations

from assay.metrics import (
    Arrived,
    Average,
    Conversion,
    Count,
    CountDistinct,
    Cumulative,
    Derived,
    Group,
    Growth,
    Lost,
    Maximum,
    Moving,
    Quantile,
    Rank,
    Ratio,
    Retained,
    Retention,
    Share,
    Sum,
)

EVERYWHERE = ("platform", "region", "merchant", "customer", "category", "currency")

VOLUME = Group(
    "volume",
    "Volume and value",
    fact="payments",
    owner="team:payments",
    metrics=(
        Count("payment_count", "Payments", "Payments, whatever became of them", entities=EVERYWHERE),
        Count("captured_count", "Captured payments", "Payments captured and not given back", where="status = 'captured'", entities=EVERYWHERE),
        Sum("gross_value_usd", "Gross value", "Amount of all payments in US dollars at the day's rate", of="amount_usd", entities=EVERYWHERE),
        Sum("gross_value", "Gross value charged", "Amount of all payments in the currency they were charged in", of="amount"),
        Average("average_ticket_usd", "Average ticket", "What a payment is worth on average", of="amount_usd"),
        Maximum("largest_payment_usd", "Largest payment", "The largest payment", of="amount_usd", where="status = 'captured'"),
        Quantile("median_ticket_usd", "Median ticket", "Half of the payments are smaller", of="amount_usd", q="0.5"),
        CountDistinct("active_customers", "Active customers", "Customers who paid", of="customer_id", unit="customers"),
        Ratio("capture_rate", "Capture rate", "Share of payments captured", of="captured_count", to="payment_count", entities=EVERYWHERE),
        Ratio("payments_per_customer", "Payments per customer", "How often a customer pays", of="payment_count", to="active_customers"),
        Conversion("conv", "Conversion", "Share of EU payments that were captured", where="region = 'EU'", reached="status = 'captured'"),
        Derived("not_captured_count", "Not captured", "All others", formula_of="payment_count - captured_count"),
        Share("value_share", "Share of value", "Share of the company's value", of="gross_value_usd"),
        Rank("value_rank", "Rank", "Place by value", of="gross_value_usd"),
        Rank("value_rank_in_region", "Rank in region", "Place by value", of="gross_value_usd", within="merchant_region"),
        Moving("payment_count_7d", "Payments, 7 days", "Payments of the last 7 days", of="payment_count", days=7),
        Moving("value_30d_daily", "Daily value, 30 days", "Average daily value of the last 30 days", of="gross_value_usd", days=30, daily=True),
        Moving("capture_rate_30d", "Capture rate, 30 days", "Capture rate of the last 30 days", of="capture_rate", days=30),
        Cumulative("value_mtd", "Value, month to date", "So far this month", of="gross_value_usd", since="month"),
        Cumulative("value_ytd", "Value, year to date", "So far this year", of="gross_value_usd", since="year"),
        Growth("value_dod", "Growth, day", "More than the day before", of="gross_value_usd", over="day"),
        Growth("value_wow", "Growth, week", "More than the week before", of="gross_value_usd", over="week"),
        Growth("value_mom", "Growth, month", "More than the month before", of="gross_value_usd", over="month"),
        Growth("value_yoy", "Growth, year", "More than the year before", of="gross_value_usd", over="year"),
        Retained("retained_customers", "Retained", "Customers of the month before who came back", of="active_customers"),
        Retention("retention_3m", "Retention, 3 months", "Customers of 3 months before who came back", of="active_customers", months=3),
        Arrived("new_customers", "New", "Customers not seen in 12 months", of="active_customers", months=12),
        Lost("lost_customers", "Lost", "Customers last seen 3 months ago", of="active_customers", months=3),
    ),
)
