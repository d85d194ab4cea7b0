"""The entities by which metrics are grouped.

Belongs here: the entities, each with the grains of its marts, and the groups of entities for which metrics are declared. Does not
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
# Hourly rows would be the payments themselves.
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
"""Everybody with or through whom the company does business, except single customers."""
MEMBERS = tuple(name for name in BUSINESS if name != PLATFORM.name)
"""Those of them that are parts of the company: for shares and places among others."""
EVERYBODY = (*BUSINESS, "customer")
"""Single customers too: only for metrics that are meaningful for one customer, because there are millions of them."""
WATCHED = ("platform", "region", "merchant")
"""For detailed breakdowns by reason, method or band."""
COMPANY = ("platform", "region")
"""For metrics of the company as a whole."""
DAYS_UP = (Grain.DAY, Grain.WEEK, Grain.MONTH, Grain.YEAR)
"""The grains of metrics that are not meaningful for an hour."""
