"""A made-up lake for metrics: rows of the facts, and every generated mart computed from them by its own SQL."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb

from assay.contracts import Domain
from assay.contracts.rules import quote
from assay.engine.project import load_project

STATES = ("authorized", "captured", "captured", "captured", "captured", "refunded", "chargeback", "failed")
REASONS = ("insufficient_funds", "expired_card", "do_not_honor", "fraud_suspected", "processing_error", "other_reason", None)
GROUPS = {
    "insufficient_funds": "funds",
    "expired_card": "card",
    "do_not_honor": "issuer",
    "fraud_suspected": "fraud",
    "processing_error": "technical",
    "other_reason": "other",
    None: "unknown",
}
RATES = {"USD": Decimal(1), "EUR": Decimal("1.03"), "JPY": Decimal("0.0064")}


def payments(seed: int, count: int, days: Sequence[dt.date]) -> list[dict[str, Any]]:
    """Payments of few merchants and customers, with everything missing now and then that may be."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        day = rng.choice(days)
        made = _entities(rng)
        cents = rng.choice((rng.randint(1, 60_000), rng.randint(1, 900), 10_000 * rng.randint(1, 99), 950_000))
        status = rng.choice(STATES)
        reason = rng.choice(REASONS) if status == "failed" else None
        settled = status in ("captured", "refunded", "chargeback")
        amount = Decimal(cents) / 100
        fee = (amount * Decimal("0.029")).quantize(Decimal("0.01")) if settled else Decimal(0)
        cost = (amount * Decimal(rng.choice(("0.012", "0.034")))).quantize(Decimal("0.01")) if settled else Decimal(0)
        at = dt.datetime.combine(day, dt.time(rng.randint(0, 23), rng.randint(0, 59)), dt.UTC)
        rows.append(
            made
            | _money(rng, made["currency"], amount=amount, fee=fee, cost=cost)
            | {
                "transaction_id": f"t{number}",
                "transaction_date": day,
                "transaction_timestamp": at,
                **_clock(rng, day),
                "status": status,
                "failure_reason": reason,
                "decline_group": GROUPS[reason] if status == "failed" else None,
                "payment_method": rng.choice(("card", "wallet", "bank_transfer", None)),
                "is_recurring": rng.choice((True, False, None)),
                "sca_method": rng.choice(("3ds2", "exempt", "none", None)),
                "amount": amount,
                "fx_rate_to_usd": RATES[made["currency"]],
                "fx_source_date": day - dt.timedelta(days=rng.choice((0, 0, 2))),
                # Some clocks are ahead, so that what they time is in the lake before it was.
                "ingestion_timestamp": at + dt.timedelta(minutes=rng.choice((-7, -4, -1, rng.randint(1, 3000)))),
                "data_source": rng.choice(("transactions", "legacy_transactions")),
            }
        )
    return rows


def refunds(seed: int, count: int, days: Sequence[dt.date]) -> list[dict[str, Any]]:
    """Refunds, of no payments in particular."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        day = rng.choice(days)
        made = _entities(rng)
        amount = Decimal(rng.randint(1, 60_000)) / 100
        at = dt.datetime.combine(day, dt.time(rng.randint(0, 23)), dt.UTC)
        reasons = ("cancelled", "damaged", "duplicate", "fraudulent", "goodwill", "not_received", "other", "returned", None)
        rows.append(
            made
            | _money(rng, made["currency"], amount=amount, payment_amount=amount)
            | {
                "refund_id": f"r{number}",
                "refund_date": day,
                "requested_at": at,
                **_clock(rng, day),
                "state": rng.choice(("pending", "succeeded", "succeeded", "failed")),
                "reason": rng.choice(reasons),
                "is_full": rng.random() < 0.7,
                "amount": amount,
                "payment_amount": amount,
                "days_to_refund": rng.randint(0, 40),
                "ingestion_timestamp": at,
                "data_source": "refunds",
            }
        )
    return rows


def disputes(seed: int, count: int, days: Sequence[dt.date]) -> list[dict[str, Any]]:
    """Disputes, of no payments in particular."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        day = rng.choice(days)
        made = _entities(rng)
        amount = Decimal(rng.randint(1, 60_000)) / 100
        at = dt.datetime.combine(day, dt.time(rng.randint(0, 23)), dt.UTC)
        state = rng.choice(("open", "won", "lost"))
        rows.append(
            made
            | _money(rng, made["currency"], amount=amount, payment_amount=amount)
            | {
                "dispute_id": f"d{number}",
                "opened_date": day,
                "opened_at": at,
                **_clock(rng, day),
                "state": state,
                "network": rng.choice(("visa", "mastercard", "amex", "bank")),
                "reason_category": rng.choice(("fraud", "authorization", "processing", "consumer")),
                "is_full": rng.random() < 0.7,
                "days_to_dispute": rng.randint(0, 90),
                "days_to_close": None if state == "open" else rng.randint(0, 60),
                "amount": amount,
                "payment_amount": amount,
                "ingestion_timestamp": at,
                "data_source": "chargebacks",
            }
        )
    return rows


def _clock(rng: random.Random, day: dt.date) -> dict[str, Any]:
    """What the merchant's clock showed: another day now and then, and nothing or no hour where it is not known."""
    there = rng.choice((day, day, None, day - dt.timedelta(days=1), day + dt.timedelta(days=1)))
    return {"merchant_date": there, "merchant_hour": None if there is None else rng.choice((None, *range(24)))}


def _entities(rng: random.Random) -> dict[str, Any]:
    merchant = rng.choice(("m1", "m2", "m3", "m4"))
    known = merchant != "m4"
    customer = f"c{rng.randint(1, 9)}"
    return {
        "merchant_id": merchant,
        "merchant_name": rng.choice((f"Shop {merchant}", f"Old {merchant}")) if known else None,
        "merchant_region": {"m1": "EU", "m2": "EU", "m3": "NA"}.get(merchant),
        "merchant_country": {"m1": "DE", "m2": "FR", "m3": "US"}.get(merchant),
        "mcc": {"m1": "5411", "m2": "5812", "m3": "5411"}.get(merchant),
        "category": {"m1": "Grocery Stores", "m2": "Restaurants", "m3": "Grocery Stores"}.get(merchant),
        "partner": {"m1": "north", "m3": "south"}.get(merchant),
        "customer_id": customer,
        "customer_country": rng.choice(("DE", "US", None)),
        "region": rng.choice(("EU", "NA")),
        "risk_score": rng.choice((12.5, 55.125, 91.0, None)),
        "risk_band": rng.choice(("low", "medium", "high", None)),
        "currency": rng.choice(tuple(RATES)),
    }


def _money(rng: random.Random, currency: str, **amounts: Decimal) -> dict[str, Any]:
    """Amounts in their currency and in dollars, which are sometimes not known."""
    known = rng.random() < 0.9
    rate = RATES[currency]
    found: dict[str, Any] = {}
    for name, amount in amounts.items():
        dollars = (amount * rate).quantize(Decimal("0.01")) if known else None
        found[f"{name}_usd"] = dollars
        if name in ("fee", "cost"):
            found[f"{name}_amount"] = amount
    if "fee" in amounts:
        found["net_revenue"] = amounts["fee"] - amounts["cost"]
        found["net_revenue_usd"] = found["fee_usd"] - found["cost_usd"] if known else None
    return found


def world(domain: Domain, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> duckdb.DuckDBPyConnection:
    """Fill the relations of facts, and compute every mart that follows from them alone, each after those that it reads."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA marts")
    for relation, given in rows.items():
        types = domain.tables[relation].types
        connection.execute(f"CREATE TABLE {relation} ({', '.join(f'{quote(name)} {kind}' for name, kind in types.items())})")
        insert(connection, relation, types, given)
    there = set(rows)
    for name, node in load_project(domain).nodes.items():
        if name not in there and there.issuperset(node.query.reads):
            connection.execute(f"CREATE TABLE {name} AS {node.query.sql}")
            there.add(name)
    return connection


def insert(
    connection: duckdb.DuckDBPyConnection, relation: str, types: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Add rows to a relation; columns that a row lacks are null."""
    listed = [tuple(row.get(name) for name in types) for row in rows]
    if listed:
        marks = ", ".join(f"CAST(? AS {kind})" for kind in types.values())
        connection.executemany(f"INSERT INTO {relation} SELECT {marks}", listed)
