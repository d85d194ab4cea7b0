"""Customers: who pays, how often, and who comes back.

Belongs here: monthly counts of customers per merchant, region, …. Does not belong here: what customers are worth over their
lifetime (`lifetimes`).

A customer is new who did not pay in the twelve months before, and lost who last paid three months ago. Both follow from the
payments of those months, without reading the whole history.
"""

from __future__ import annotations

from assay.metrics import Arrived, CountDistinct, Group, Growth, Lost, Maximum, Minimum, Rank, Ratio, Retained, Retention
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP, MEMBERS
from payments.metrics.facts import CAPTURED

CUSTOMERS = Group(
    "customers",
    "Customers",
    fact="payments",
    owner=OWNER,
    tags=("core",),
    entities=BUSINESS,
    grains=DAYS_UP,
    metrics=(
        CountDistinct(
            "active_customers", "Active customers", "Different customers who tried to pay", of="customer_id", unit="customers"
        ),
        CountDistinct(
            "paying_customers",
            "Paying customers",
            "Different customers whose money was taken",
            of="customer_id",
            where=CAPTURED,
            unit="customers",
        ),
        CountDistinct(
            "declined_customers",
            "Customers declined",
            "Different customers of whom a payment failed",
            of="customer_id",
            where="status = 'failed'",
            unit="customers",
        ),
        CountDistinct(
            "recurring_customers",
            "Subscribers",
            "Different customers with a recurring payment",
            of="customer_id",
            where="is_recurring",
            unit="customers",
        ),
        CountDistinct(
            "customer_countries",
            "Countries of customers",
            "Different countries that customers pay from",
            of="customer_country",
            unit="countries",
        ),
        Ratio(
            "payments_per_customer",
            "Payments for a customer",
            "How often a customer tried to pay",
            of="payment_count",
            to="active_customers",
        ),
        Ratio(
            "value_per_customer_usd",
            "Value of a customer",
            "What was taken of each paying customer",
            of="captured_value_usd",
            to="paying_customers",
        ),
        Ratio(
            "revenue_per_customer_usd",
            "Revenue of a customer",
            "Fees for each paying customer",
            of="fee_revenue_usd",
            to="paying_customers",
        ),
        Ratio(
            "customer_success_rate",
            "Customers who got through",
            "Share of the customers who tried to pay whose money was taken at least once",
            of="paying_customers",
            to="active_customers",
        ),
        Ratio(
            "customer_decline_rate",
            "Customers declined at least once",
            "Share of the customers who tried to pay of whom a payment failed",
            of="declined_customers",
            to="active_customers",
        ),
        Ratio(
            "refunds_per_customer",
            "Refunds for a customer",
            "Refunds for each customer who tried to pay",
            of="refund_count",
            to="active_customers",
        ),
        Rank(
            "customer_rank",
            "Place by customers",
            "Place among all by number of paying customers",
            of="paying_customers",
            entities=MEMBERS,
        ),
        Growth(
            "paying_customers_month_growth",
            "Paying customers, growth over a month",
            "How many more than in the month before, as a share",
            of="paying_customers",
            over="month",
        ),
        Growth(
            "paying_customers_year_growth",
            "Paying customers, growth over a year",
            "How many more than a year before, as a share",
            of="paying_customers",
            over="year",
        ),
        Arrived(
            "new_customers",
            "New customers",
            "Customers whose money was taken, and not in the twelve months before",
            of="paying_customers",
            months=12,
        ),
        Retained(
            "returning_customers",
            "Returning customers",
            "Customers of the month before who came back",
            of="paying_customers",
            months=1,
        ),
        Lost("lost_customers", "Lost customers", "Customers who last paid three months ago", of="paying_customers", months=3),
        *(
            Retention(
                f"retention_{months}m",
                f"Retention, {back}",
                f"Share of those who paid {back} ago who paid again this month",
                of="paying_customers",
                months=months,
            )
            for months, back in ((1, "1 month"), (3, "3 months"), (6, "6 months"), (12, "12 months"))
        ),
    ),
)

OF_A_CUSTOMER = Group(
    "of_a_customer",
    "First and last payments",
    fact="payments",
    owner=OWNER,
    entities=("customer", "merchant"),
    grains=DAYS_UP,
    metrics=(
        Minimum(
            "first_payment_date", "First payment", "Day of the first payment in the period", of="transaction_date", unit="day"
        ),
        Maximum("last_payment_date", "Last payment", "Day of the last payment in the period", of="transaction_date", unit="day"),
    ),
)
