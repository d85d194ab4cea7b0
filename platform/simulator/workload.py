"""The company's database while business goes on: customers, merchants, payments, refunds and disputes in PostgreSQL.

Belongs here: its tables, their first rows, and what changes in them. Does not belong here: capturing the changes, the files of
the company's other systems (`produce`).

Changes are drawn at random and are not repeatable: the expected result is read from the database itself. They include late
payments, payments that move to another day, changed keys, deletes, and profiles too long to be sent with every change (TOAST).
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator import model
from simulator.company import Company
from simulator.files import LandingFile
from simulator.produce import write_categories, write_rates
from simulator.rates import history

if TYPE_CHECKING:
    import psycopg

FIRST_CUSTOMERS = 500
FIRST_MERCHANTS = 60
_REMEMBERED = 5_000
"""Number of payments that may still change."""
_OLDEST_DAYS = 400
_LATEST_DAYS = 3
"""How many days before today a late payment may be."""

_MIGRATION = (
    "ALTER TABLE transactions ADD COLUMN IF NOT EXISTS sca_method text",
    "ALTER TABLE customers ADD COLUMN IF NOT EXISTS loyalty_tier text DEFAULT 'none'",
)
"""The contract already has the first column, but not the second."""

_PLACES = {
    "NA": (("US", "New York"), ("US", "Chicago"), ("CA", "Toronto")),
    "EU": (("DE", "Berlin"), ("FR", "Lyon"), ("GB", "London")),
    "APAC": (("JP", "Tokyo"), ("AU", "Sydney"), ("SG", "Singapore")),
    "LATAM": (("BR", "Sao Paulo"), ("MX", "Puebla"), ("CL", "Santiago")),
}
_ZONES = {
    "New York": "America/New_York",
    "Chicago": "America/Chicago",
    "Toronto": "America/Toronto",
    "Berlin": "Europe/Berlin",
    "Lyon": "Europe/Paris",
    "London": "Europe/London",
    "Tokyo": "Asia/Tokyo",
    "Sydney": "Australia/Sydney",
    "Singapore": "Asia/Singapore",
    "Sao Paulo": "America/Sao_Paulo",
    "Puebla": "America/Mexico_City",
    "Santiago": "America/Santiago",
}
_PARTNERS = ("Northgate", "Harbour Pay", "Meridian", None)
_REFUND_REASONS = ("returned", "returned", "cancelled", "not_received", "damaged", "duplicate", None)
_DISPUTE_REASONS = (
    ("visa", "10.4"),
    ("visa", "10.4"),
    ("visa", "13.1"),
    ("mastercard", "4837"),
    ("mastercard", "4853"),
    ("amex", "C08"),
)
_CURRENCIES = {"NA": ("USD",), "EU": ("EUR", "EUR", "GBP"), "APAC": ("JPY", "USD"), "LATAM": ("BRL", "USD")}
_REASONS = ("insufficient_funds", "expired_card", "fraud_suspected", "do_not_honor")
_FIRST_NAMES = ("Ada", "Bruno", "Chloe", "Diego", "Emma", "Felix", "Grace", "Hiro", "Inès", "Jonas")
_LAST_NAMES = ("Almeida", "Becker", "Costa", "Dubois", "Evans", "O'Brien", "Müller", "Nakamura", "Silva", "Wagner")
_CODES = ("5411", "5812", "5541", "5912", "5732", "4121", "7011", "5311", "5942", "5999")

_NEW_PAYMENT = (
    "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, currency, status, failure_reason, region, "
    "payment_method, is_recurring, transaction_date{more}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s{given})"
)
_NEW_CUSTOMER = "INSERT INTO customers (customer_id, email, profile, status, registered_at) VALUES (%s, %s, %s, 'active', %s)"
_NEW_MERCHANT = (
    "INSERT INTO merchants (merchant_id, name, mcc, country, region, city, terms, active, time_zone) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
# Not now(), which is the start of the database transaction: the payment may be younger.
_NEW_REFUND = """
INSERT INTO refunds (refund_id, transaction_id, customer_id, merchant_id, amount, payment_amount, currency, region,
  payment_method, reason, state, paid_at, requested_at)
SELECT %s, transaction_id, customer_id, merchant_id, greatest(0.01, round(amount * %s::numeric, 2)), amount, currency, region,
  payment_method, %s, 'pending', transaction_date, clock_timestamp()
FROM transactions WHERE transaction_id = %s AND status = 'captured'
"""
_SETTLE = """
UPDATE refunds SET state = %s, refunded_at = CASE WHEN %s THEN clock_timestamp() END, updated_at = localtimestamp
WHERE refund_id = %s
"""
_REFUNDED = """
UPDATE transactions SET status = 'refunded', updated_at = localtimestamp
FROM refunds
WHERE refund_id = %s AND refunds.transaction_id = transactions.transaction_id AND refunds.amount = refunds.payment_amount
"""
_NEW_DISPUTE = """
INSERT INTO chargebacks (dispute_id, transaction_id, customer_id, merchant_id, amount, payment_amount, currency, region,
  payment_method, network, reason_code, state, paid_at, captured_at, opened_at)
SELECT %s, transaction_id, customer_id, merchant_id, amount, amount, currency, region, payment_method, %s, %s, 'open',
  transaction_date, updated_at AT TIME ZONE current_setting('TimeZone'), clock_timestamp()
FROM transactions WHERE transaction_id = %s AND status = 'captured'
"""
_CLOSE = "UPDATE chargebacks SET state = %s, closed_at = clock_timestamp(), updated_at = localtimestamp WHERE dispute_id = %s"
_MOVE_ON = "UPDATE transactions SET status = %s, updated_at = localtimestamp WHERE transaction_id = %s"


class PaymentsDatabase:
    """The payments company's database.

    Args:
        seed: Seed of the random choices.
    """

    prefix = "payments"
    tables: Mapping[str, str] = {
        "public.customers": "customers",
        "public.merchants": "merchants",
        "public.transactions": "transactions",
        "public.refunds": "refunds",
        "public.chargebacks": "chargebacks",
    }
    watched = ("enriched.transactions", "marts.transactions_enriched", "marts.merchant_daily", "marts.daily_revenue")
    totals: Mapping[str, tuple[str, str]] = {
        "enriched.customers": ("SELECT count(*) FROM customers", "SELECT count(*) FROM enriched.customers"),
        "enriched.transactions": (
            "SELECT count(*), sum(amount) FROM transactions",
            "SELECT count(*), sum(amount)::DECIMAL(18,2) FROM enriched.transactions",
        ),
        "marts.transactions_enriched": (
            "SELECT count(*), sum(amount) FROM transactions",
            "SELECT count(*), sum(amount)::DECIMAL(18,2) FROM marts.transactions_enriched",
        ),
        "marts.refunds_enriched": (
            "SELECT count(*), sum(amount), count(refunded_at) FROM refunds",
            "SELECT count(*), sum(amount)::DECIMAL(18,2), count(refunded_at) FROM marts.refunds_enriched",
        ),
        "marts.chargebacks_enriched": (
            "SELECT count(*), sum(amount), count(*) FILTER (WHERE state = 'won') FROM chargebacks",
            "SELECT count(*), sum(amount)::DECIMAL(18,2), count(*) FILTER (WHERE state = 'won') FROM marts.chargebacks_enriched",
        ),
    }

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._is_migrated = False

    def create(self, dsn: str) -> None:
        """Create the tables and their first rows; existing ones stay."""
        with _connected(dsn) as connection, connection.transaction():
            connection.execute(model.query("workload_tables").encode())
            if connection.execute("SELECT 1 FROM merchants LIMIT 1").fetchone():
                return
            business = _Business(connection, self._rng)
            for _ in range(FIRST_MERCHANTS):
                business.new_merchant()
            for _ in range(FIRST_CUSTOMERS):
                business.new_customer(days_ago=self._rng.randrange(_OLDEST_DAYS - 200, _OLDEST_DAYS))

    def files(self, folder: Path) -> Iterator[LandingFile]:
        """Write the reference files: category codes, and exchange rates for the weeks before today."""
        company = Company(days=1, transactions_per_day=1, start=dt.datetime.now(dt.UTC).date())
        past = history(company)
        yield write_categories(company, folder)
        yield write_rates(company, past, f"eurofxref-hist-{past[0]}.csv", folder)

    def run(self, dsn: str, rate: float, stopping: threading.Event) -> int:
        """Do business until `stopping` is set, at `rate` row changes a second; return how many were committed."""
        with _connected(dsn) as connection:
            business = _Business(connection, self._rng)
            business.remember()
            started, done = time.monotonic(), 0
            while not stopping.is_set():
                ahead = done / rate - (time.monotonic() - started)
                if ahead > 0 and stopping.wait(ahead):
                    break
                business.has_sca = business.has_sca or self._is_migrated
                with connection.transaction():
                    for _ in range(self._rng.choice((1, 1, 2, 4))):
                        done += business.change()
            return done

    def migrate(self, dsn: str) -> None:
        """Add columns while business goes on."""
        with _connected(dsn) as connection:
            # Each in its own transaction: with two tables locked at once, this and the business would wait for each other.
            for statement in _MIGRATION:
                connection.execute(statement)
        self._is_migrated = True


@dataclass
class _Business:
    """What happens in the database, and which of it may continue."""

    connection: psycopg.Connection[Any]
    rng: random.Random
    numbers: dict[str, int] = field(default_factory=dict)
    customers: list[str] = field(default_factory=list)
    merchants: dict[str, str] = field(default_factory=dict)
    authorized: list[str] = field(default_factory=list)
    captured: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    # Late payments are made by these: they were customers then.
    old_customers: int = 0
    has_sca: bool = False

    def remember(self) -> None:
        """Read the state left by earlier business."""
        rows = self.connection.execute("SELECT customer_id FROM customers ORDER BY registered_at, customer_id")
        self.customers = [row[0] for row in rows]
        self.old_customers = len(self.customers) // 2
        self.merchants = dict(self.connection.execute("SELECT merchant_id, region FROM merchants").fetchall())
        for status in ("authorized", "captured"):
            query = "SELECT transaction_id FROM transactions WHERE status = %s ORDER BY updated_at DESC LIMIT %s"
            setattr(self, status, [row[0] for row in self.connection.execute(query, (status, _REMEMBERED))])
        self.pending = self._keys("SELECT refund_id FROM refunds WHERE state = 'pending' ORDER BY created_at")
        self.disputed = self._keys("SELECT dispute_id FROM chargebacks WHERE state = 'open' ORDER BY created_at")
        query = "SELECT 1 FROM information_schema.columns WHERE table_name = 'transactions' AND column_name = 'sca_method'"
        self.has_sca = self.connection.execute(query).fetchone() is not None

    def change(self) -> int:
        """Change something; return how many rows were changed."""
        change = self.rng.choices(tuple(_CHANGES), tuple(_CHANGES.values()))[0]
        return change(self)

    def new_payment(self) -> int:
        """A payment is made; one in thirty is dated in the past."""
        late = self.rng.random() < 1 / 30
        customer = self._pick_customer(old=late)
        merchant = self.rng.choice(list(self.merchants))
        region = self.merchants[merchant]
        failed = self.rng.random() < 0.03
        status = "failed" if failed else "authorized"
        now = dt.datetime.now(dt.UTC)
        row = (
            payment := f"pay_{self._number('transactions', 'transaction_id'):014d}",
            customer,
            merchant,
            f"{math.exp(self.rng.gauss(3.6, 1.1)) + 0.01:.2f}",
            self.rng.choice(_CURRENCIES[region]),
            status,
            self.rng.choice(_REASONS) if failed else None,
            region,
            self.rng.choice(("card", "card", "wallet", "bank_transfer")),
            self.rng.random() < 0.25,
            now - dt.timedelta(days=self.rng.randint(1, _LATEST_DAYS)) if late else now,
        )
        if self.has_sca:
            sca = self.rng.choice(("3ds2", "3ds2", "exempt", "none"))
            self._execute(_NEW_PAYMENT.format(more=", sca_method", given=", %s"), (*row, sca))
        else:
            self._execute(_NEW_PAYMENT.format(more="", given=""), row)
        if not failed:
            self.authorized = [*self.authorized[-_REMEMBERED:], payment]
        return 1

    def capture(self) -> int:
        """A payment is captured."""
        payment = self._take(self.authorized)
        if payment is None:
            return 0
        self.captured = [*self.captured[-_REMEMBERED:], payment]
        return self._execute(_MOVE_ON, ("captured", payment))

    def ask_refund(self) -> int:
        """A refund of a captured payment is requested, one in four for a part; the payment stays captured until it is settled."""
        payment = self._take(self.captured)
        if payment is None:
            return 0
        refund = f"ref_{self._number('refunds', 'refund_id'):014d}"
        share = self.rng.choice((1, 1, 1, 0.4))
        done = self._execute(_NEW_REFUND, (refund, share, self.rng.choice(_REFUND_REASONS), payment))
        self.pending += [refund] * done
        return done

    def settle_refund(self) -> int:
        """The money is given back, or cannot be; a payment that is given back entirely is refunded."""
        refund = self._take(self.pending)
        if refund is None:
            return 0
        is_success = self.rng.random() < 0.95
        done = self._execute(_SETTLE, ("succeeded" if is_success else "failed", is_success, refund))
        return done + (self._execute(_REFUNDED, (refund,)) if is_success else 0)

    def open_dispute(self) -> int:
        """A customer disputes a captured payment: it is charged back."""
        payment = self._take(self.captured)
        if payment is None:
            return 0
        dispute = f"dis_{self._number('chargebacks', 'dispute_id'):014d}"
        done = self._execute(_NEW_DISPUTE, (dispute, *self.rng.choice(_DISPUTE_REASONS), payment))
        self.disputed += [dispute] * done
        return done + (self._execute(_MOVE_ON, ("chargeback", payment)) if done else 0)

    def close_dispute(self) -> int:
        """A dispute is won or lost."""
        dispute = self._take(self.disputed)
        return self._execute(_CLOSE, (self.rng.choice(("won", "lost", "lost")), dispute))

    def correct_day(self) -> int:
        """A payment of an old customer is corrected to the day before."""
        payment = self._take(self.captured)
        return self._execute(
            "UPDATE transactions SET transaction_date = transaction_date - interval '1 day', updated_at = localtimestamp "
            "WHERE transaction_id = %s AND customer_id = ANY(%s)",
            (payment, self.customers[: self.old_customers]),
        )

    def change_key(self) -> int:
        """A payment gets another id."""
        payment = self._take(self.captured)
        query = "UPDATE transactions SET transaction_id = %s, updated_at = localtimestamp WHERE transaction_id = %s"
        return self._execute(query, (f"{payment}_moved", payment))

    def delete_payment(self) -> int:
        """A payment was a test and is deleted."""
        return self._execute("DELETE FROM transactions WHERE transaction_id = %s", (self._take(self.authorized),))

    def new_customer(self, days_ago: float = 0) -> int:
        """A customer registers."""
        customer = f"cust_{self._number('customers', 'customer_id'):08d}"
        first, last = self.rng.choice(_FIRST_NAMES), self.rng.choice(_LAST_NAMES)
        registered = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago, seconds=1)
        email = f"{first}.{last}.{customer}@example.com".lower()
        self.customers.append(customer)
        return self._execute(_NEW_CUSTOMER, (customer, email, self._profile(first, last), registered))

    def change_email(self) -> int:
        """A customer changes the address, and keeps the profile."""
        query = "UPDATE customers SET email = %s, updated_at = localtimestamp WHERE customer_id = %s"
        return self._execute(query, (f"{self.rng.getrandbits(40):x}@example.com", self._pick_customer()))

    def change_profile(self) -> int:
        """A customer changes the profile."""
        query = "UPDATE customers SET profile = %s, updated_at = localtimestamp WHERE customer_id = %s"
        profile = self._profile(self.rng.choice(_FIRST_NAMES), self.rng.choice(_LAST_NAMES))
        return self._execute(query, (profile, self._pick_customer()))

    def delete_customer(self) -> int:
        """A customer leaves."""
        if len(self.customers) < FIRST_CUSTOMERS // 2:
            return 0
        place = self.rng.randrange(len(self.customers))
        self.old_customers -= place < self.old_customers
        return self._execute("DELETE FROM customers WHERE customer_id = %s", (self.customers.pop(place),))

    def new_merchant(self) -> int:
        """A merchant joins."""
        number = self._number("merchants", "merchant_id")
        merchant = f"mer_{number:06d}"
        region = self.rng.choice(tuple(_PLACES))
        country, city = self.rng.choice(_PLACES[region])
        self.merchants[merchant] = region
        row = (merchant, f"Merchant {number}", self.rng.choice(_CODES), country, region, city, self._terms(), True, _ZONES[city])
        return self._execute(_NEW_MERCHANT, row)

    def change_terms(self) -> int:
        """A merchant's terms change."""
        query = "UPDATE merchants SET terms = %s, active = %s, updated_at = localtimestamp WHERE merchant_id = %s"
        return self._execute(query, (self._terms(), self.rng.random() < 0.97, self.rng.choice(list(self.merchants))))

    def _execute(self, query: str, row: tuple[object, ...]) -> int:
        return self.connection.execute(query, row).rowcount

    def _keys(self, query: str) -> list[str]:
        return [row[0] for row in self.connection.execute(query)]

    def _number(self, table: str, key: str) -> int:
        if table not in self.numbers:
            found = self.connection.execute(f"SELECT max(substring({key} from '[0-9]+'))::bigint FROM {table}").fetchone()
            self.numbers[table] = found[0] or 0 if found else 0
        self.numbers[table] += 1
        return self.numbers[table]

    def _pick_customer(self, old: bool = False) -> str:
        return self.customers[self.rng.randrange(self.old_customers if old else len(self.customers))]

    def _take(self, payments: list[str]) -> str | None:
        return payments.pop(self.rng.randrange(len(payments))) if payments else None

    def _profile(self, first: str, last: str) -> str:
        rng = self.rng
        region = rng.choice(tuple(_PLACES))
        country, city = rng.choice(_PLACES[region])
        profile: dict[str, Any] = {
            "personal_information": {
                "first_name": first,
                "last_name": last,
                "date_of_birth": str(dt.date(1945, 1, 1) + dt.timedelta(days=rng.randrange(21_900))),
                "phone": f"+{rng.randrange(10**10, 10**11)}",
            },
            "addresses": [
                {"type": kind, "line1": f"{rng.randrange(1, 200)} Oak Street", "city": city, "country": country, "region": region}
                for kind in ("billing", "shipping", "home")[: rng.randint(1, 3)]
            ],
            "preferences": {
                "notifications": {"email": {"enabled": rng.random() < 0.6, "frequency": "daily"}},
                "language": "en",
                "display": {"theme": "dark", "currency": rng.choice(_CURRENCIES[region])},
            },
        }
        if rng.random() < 0.2:
            # Too long for a row, and not compressible: stored separately, and not sent unless it changes.
            profile["notes"] = base64.b64encode(rng.randbytes(4_000)).decode()
        return json.dumps(profile)

    def _terms(self) -> str:
        fee = round(self.rng.uniform(0.9, 3.5), 2)
        return json.dumps(
            {
                "settlement_days": self.rng.randint(1, 7),
                "fee_percent": fee,
                "fixed_fee_usd": round(self.rng.uniform(0.05, 0.35), 2),
                "cost_percent": round(fee * self.rng.uniform(0.35, 0.75), 2),
                "partner": self.rng.choice(_PARTNERS),
            }
        )


_CHANGES: Mapping[Callable[[_Business], int], float] = {
    _Business.new_payment: 44,
    _Business.capture: 34,
    _Business.ask_refund: 3,
    _Business.settle_refund: 2.5,
    _Business.open_dispute: 1,
    _Business.close_dispute: 0.7,
    _Business.correct_day: 0.5,
    _Business.change_key: 0.3,
    _Business.delete_payment: 1,
    _Business.new_customer: 2,
    _Business.change_email: 6,
    _Business.change_profile: 4,
    _Business.delete_customer: 0.7,
    _Business.new_merchant: 0.2,
    _Business.change_terms: 1,
}


def _connected(dsn: str) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(dsn, autocommit=True)
