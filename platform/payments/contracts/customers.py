"""Customers: as the account service sends them, flattened, and as they were at any time.

Belongs here: the source `customers`, `enriched.customers` and `enriched.customer_history`. Does not belong here: their risk
(`customer_risk`), their spending (`lifetime`).

There is no table of month-end states: it would copy every customer each month, and one condition on the history answers the
same question for any instant (`assay compliance snapshot`).
"""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Balance, Count, Date, Event, Published, Timestamp, Whole, source, table
from assay.contracts import column as col
from assay.landing.formats import Debezium
from payments.contracts.vocabulary import OWNER


@source(
    "customers",
    format=Debezium(table="customers"),
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(days=1),
)
class CustomerEvent(Event):
    """A change of a customer, as the account service's database reports it."""

    customer_id: str = col("The customer", pii="identifier")
    email: str = col("Address the customer signs in with", nullable=True, pii="email")
    profile: str = col("JSON document: personal information, addresses, preferences", nullable=True, pii="free_text")
    status: str = col("State of the account", nullable=True)
    registered_at: str = col("When the customer registered: ISO 8601, MM/DD/YYYY or Unix seconds", nullable=True)
    updated_at: Count = col("When the row was last changed", unit="microseconds since 1970, UTC", nullable=True)


class Profile(Published):
    """The known data of a customer, in standard values."""

    customer_id: str = col("The customer", pii="identifier")
    email: str = col("Address the customer signs in with, lower case", nullable=True, pii="email")
    status: str = col("State of the account, lower case", nullable=True)
    registered_at: Timestamp = col("When the customer registered, UTC", nullable=True)
    first_name: str = col("First name", nullable=True, pii="name")
    last_name: str = col("Last name", nullable=True, pii="name")
    full_name: str = col("First and last name", nullable=True, pii="name")
    date_of_birth: Date = col("Day of birth", nullable=True, pii="birth_date")
    phone: str = col("Telephone number", nullable=True, pii="phone")
    billing_line1: str = col("Billing address: street", nullable=True, pii="address")
    billing_city: str = col("Billing address: city", nullable=True, pii="address")
    billing_postal_code: str = col("Billing address: postal code", nullable=True, pii="address")
    billing_country: str = col("Billing address: country, ISO 3166", nullable=True)
    billing_region: str = col("Billing address: region", nullable=True)
    shipping_line1: str = col("Shipping address: street", nullable=True, pii="address")
    shipping_city: str = col("Shipping address: city", nullable=True, pii="address")
    shipping_postal_code: str = col("Shipping address: postal code", nullable=True, pii="address")
    shipping_country: str = col("Shipping address: country, ISO 3166", nullable=True)
    shipping_region: str = col("Shipping address: region", nullable=True)
    address_count: Count = col("Addresses in the profile", unit="addresses", ge=0)
    email_notifications: bool = col("Whether e-mail notifications are on", nullable=True)
    sms_notifications: bool = col("Whether text-message notifications are on", nullable=True)
    push_notifications: bool = col("Whether push notifications are on", nullable=True)
    notification_frequency: str = col("How often e-mail notifications come", nullable=True)
    language: str = col("Language of the interface", nullable=True)
    theme: str = col("Colours of the interface", nullable=True)
    preferred_currency: str = col("Currency that amounts are shown in, ISO 4217", nullable=True)
    updated_at: Timestamp = col("When the customer was last changed at the source, UTC", nullable=True)


@table(
    "customer_history",
    layer="enriched",
    key=("customer_id", "valid_from"),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(hours=26),
    balance=Balance(inputs=("history.customers",), rows="state_count"),
    threshold=95.0,
)
class CustomerSpan(Profile):
    """One row for every time span in which nothing about a customer changed (SCD2).

    A deleted customer's last span ends with the deletion. No span covers the time before the first landed change.
    """

    valid_from: Timestamp = col("When the span begins, UTC, inclusive")
    valid_to: Timestamp = col("When the span ends, UTC, exclusive; null while it lasts", nullable=True)
    is_current: bool = col("Whether the span still lasts")
    state_count: Count = col("Number of source changes that this span merges, because no column here differs", ge=1)

    @pa.dataframe_check(description="a span ends after it begins")
    def span_not_empty(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Of several changes in one database transaction only the last ever takes effect."""
        return data.table.valid_to > data.table.valid_from


@table(
    "customers",
    layer="enriched",
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(hours=26),
    balance=Balance(inputs=("enriched.customer_history",), input_rows="count(*) FILTER (is_current)"),
    threshold=95.0,
)
class Customer(Profile):
    """One row per customer: the current profile. Deleted customers are removed."""
