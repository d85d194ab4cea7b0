"""Lifetimes: what customers have been worth since their first payment.

Belongs here: metrics over all days, of one customer or of all of them. Does not belong here: customers of a period (`customers`).

They come from `marts.customer_lifetime`, which adds up the months of `marts.customer_spending`: a late payment changes its month,
and that the customer's row. Of one customer an average is the customer's own value. As in the contracts, what was given back is
no value.
"""

from __future__ import annotations

from assay.metrics import Average, Count, Group, Maximum, Minimum, Quantile, Rank, Ratio, Sum
from payments.contracts.vocabulary import OWNER

_COMPANY = ("platform",)

LIFETIMES = Group(
    "lifetimes",
    "Customers over their lifetime",
    fact="customers",
    owner=OWNER,
    tags=("core", "ever"),
    entities=("platform", "customer"),
    metrics=(
        Average(
            "lifetime_value",
            "Lifetime value",
            "What was taken of a customer and not given back, over all days; of all customers, what it is on average",
            of="lifetime_value_usd",
        ),
        Quantile(
            "median_lifetime_value",
            "Median lifetime value",
            "Half of the customers have not been worth more",
            of="lifetime_value_usd",
            q="0.5",
        ),
        Quantile(
            "p90_lifetime_value",
            "Lifetime value of 90 %",
            "Nine of ten customers have not been worth more",
            of="lifetime_value_usd",
            q="0.9",
        ),
        Maximum(
            "largest_lifetime_value",
            "Largest lifetime value",
            "What the customer of most value has been worth",
            of="lifetime_value_usd",
            entities=_COMPANY,
        ),
        Sum(
            "total_lifetime_value",
            "Lifetime value in total",
            "What was taken and not given back, over all days",
            of="lifetime_value_usd",
        ),
        Rank(
            "lifetime_value_rank",
            "Place by lifetime value",
            "Place among all customers by what they have been worth",
            of="lifetime_value",
        ),
        Count("customers_ever", "Customers", "Customers who ever tried to pay", entities=_COMPANY),
        Count(
            "repeat_customers",
            "Customers who came back",
            "Customers who tried to pay more than once",
            where="transaction_count > 1",
            entities=_COMPANY,
        ),
        Ratio(
            "repeat_customer_share",
            "Share of customers who came back",
            "Share of customers who tried to pay more than once",
            of="repeat_customers",
            to="customers_ever",
        ),
        Sum("lifetime_payments", "Payments over a lifetime", "Payments ever tried", of="transaction_count", unit="payments"),
        Ratio(
            "lifetime_payments_per_customer",
            "Payments of a customer over a lifetime",
            "How often a customer has tried to pay",
            of="lifetime_payments",
            to="customers_ever",
        ),
        Sum(
            "lifetime_months",
            "Months of lifetimes",
            "Calendar months from that of a customer's first payment to that of the last, both counted",
            of="date_diff('month', first_transaction_date, last_transaction_date) + 1",
            unit="months",
        ),
        Ratio(
            "lifetime_payments_per_month",
            "Payments a month over a lifetime",
            "How often customers try to pay in a month from that of their first payment to that of their last",
            of="lifetime_payments",
            to="lifetime_months",
        ),
        Average(
            "tenure_days",
            "Tenure",
            "Days from a customer's first payment to the last; of all customers, on average",
            of="tenure_days",
            unit="days",
        ),
        Minimum("customer_since", "Customer since", "Day of the first payment ever", of="first_transaction_date", unit="day"),
        Maximum(
            "customer_last_seen", "Customer last seen", "Day of the last payment so far", of="last_transaction_date", unit="day"
        ),
    ),
)
