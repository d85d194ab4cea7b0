"""What metrics are cut by.

Belongs here: the entities, each with the grains it has marts of, and the groups of them that metrics are declared for. Does not
belong here: their keys in each fact (`facts`).
"""

from __future__ import annotations

from assay.metrics import Attribute, Entity, Grain

PLATFORM = Entity("platform", "platform", "The whole company", key=None, members=1)
REGION = Entity("region", "a sales region", "Sales region of the payment", key="region", members=4)
MERCHANT = Entity(
    "merchant",
    "a merchant",
    "Who is paid",
    key="merchant_id",
    members=20_000,
    attributes=(
        Attribute("merchant_name", "The merchant's name at the time; the last in the alphabet where it changed in the period"),
        Attribute("merchant_region", "The merchant's region at the time"),
        Attribute("mcc", "The merchant's category code at the time (ISO 18245)"),
    ),
)
# Its hours would be the payments themselves.
CUSTOMER = Entity(
    "customer",
    "a customer",
    "Who pays",
    key="customer_id",
    members=5_000_000,
    grains=(Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.YEAR),
    pii="identifier",
    opt_in=True,
)
CATEGORY = Entity(
    "category",
    "a merchant category",
    "The merchant's category code (ISO 18245)",
    key="mcc",
    members=300,
    attributes=(Attribute("category", "What the category code means"),),
)
CURRENCY = Entity("currency", "a currency", "ISO 4217 code of the currency charged", key="currency", members=5, is_currency=True)
PARTNER = Entity(
    "partner", "a partner", "The partner who brought the merchant; unknown where nobody did", key="partner", members=50
)

ENTITIES = (PLATFORM, REGION, MERCHANT, CUSTOMER, CATEGORY, CURRENCY, PARTNER)

BUSINESS = ("platform", "region", "merchant", "category", "currency", "partner")
"""Whoever the company does business with or by; not the single customer."""
EVERYBODY = (*BUSINESS, "customer")
"""Single customers too: only what says something of a single one, as there are millions of them."""
WATCHED = ("platform", "region", "merchant")
"""Where details are looked at: breakdowns by reason, method or band."""
COMPANY = ("platform", "region")
"""What is watched for the company as a whole."""
DAYS_UP = (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.YEAR)
"""The grains of what says nothing about an hour."""
