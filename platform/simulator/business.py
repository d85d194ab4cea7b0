"""Years of the company's business, small enough for memory, and faults in their delivery.

Belongs here: days with their shape (weekday, month, holidays, season, growth, chance), as a clean table with one row per
payment; and the faults known in the payments industry, applied to such rows. Does not belong here: landing files (`produce`),
finding the faults.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import duckdb

REGIONS = {"NA": 0.42, "EU": 0.30, "APAC": 0.18, "LATAM": 0.10}
"""Share of each region in the payments of the first days."""
CURRENCIES = {
    "NA": {"USD": 1.0},
    "EU": {"EUR": 0.75, "GBP": 0.25},
    "APAC": {"JPY": 0.7, "USD": 0.3},
    "LATAM": {"BRL": 0.8, "USD": 0.2},
}
"""Share of each currency in a region's payments."""
RATES = {"USD": 1.0, "EUR": 1.08, "GBP": 1.27, "JPY": 0.0067, "BRL": 0.19}
"""US dollars for one unit."""
_WEEKDAYS = {
    "NA": (0.97, 0.96, 0.98, 1.00, 1.15, 1.10, 0.84),
    "EU": (1.00, 0.98, 1.00, 1.02, 1.20, 1.12, 0.68),
    "APAC": (0.94, 0.94, 0.95, 0.97, 1.05, 1.12, 1.03),
    "LATAM": (0.98, 0.95, 0.97, 1.02, 1.22, 1.16, 0.70),
}
_GROWTH = {"NA": 0.20, "EU": 0.30, "APAC": 0.60, "LATAM": 0.45}
"""A year."""
_PAY_DAYS = {1: 0.14, 15: 0.10, 25: 0.08}
_MONTH_END = (0.18, 0.10, 0.04)
"""The last day of the month and the days before it."""
_FESTIVE = ("Black Friday", "Cyber Monday")
_FILE_HOURS = 6
"""A region's payments from this many hours are delivered as one file."""
_LAST_STUCK_HOUR = 14
"""From this hour on, a third of a day's payments are made."""


class Fault(StrEnum):
    """What goes wrong."""

    REGION_MISSING = "a region missing"
    DOUBLED_FILES = "doubled files"
    CURRENCY_SWITCH = "a currency switch"
    STUCK_CONNECTOR = "a stuck connector"
    DECIMAL_SHIFT = "a decimal shift"


@dataclass(frozen=True)
class Injected:
    """A fault that was applied to the rows.

    Attributes:
        fault: What went wrong.
        days: The affected days.
        region: The affected region; None for all of them.
        is_late: Whether all data arrive in the end, but late.
    """

    fault: Fault
    days: tuple[dt.date, ...]
    region: str | None
    is_late: bool = False


@dataclass(frozen=True)
class Business:
    """Years of business. Two equal ones have the same rows.

    seed: Another seed gives another history.
        seed: Another seed, another history.
        start: The first day.
        days: The number of days.
        payments_per_day: Payments per day at the beginning.
        holidays: Names of holidays by region and day. The effect of each on business depends on its name.
    """

    seed: int
    start: dt.date = dt.date(2023, 1, 1)
    days: int = 730
    payments_per_day: int = 1_500
    holidays: Mapping[str, Mapping[dt.date, str]] = field(default_factory=dict)

    def expected(self, day: dt.date, region: str) -> float:
        """Expected payments of a region on a day, without chance."""
        number = (day - self.start).days
        month_end = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
        to_end = (month_end - day).days
        factors = (
            (1 + _GROWTH[region]) ** (number / 365),
            1 + 0.08 * math.sin(2 * math.pi * (day.timetuple().tm_yday - 80) / 365),
            _WEEKDAYS[region][day.weekday()],
            1 + _PAY_DAYS.get(day.day, 0.0),
            1 + (_MONTH_END[to_end] if to_end < len(_MONTH_END) else 0.0),
            1 + self._holiday_effect(day, region),
        )
        return self.payments_per_day * REGIONS[region] * math.prod(factors)

    def drawn(self, day: dt.date, region: str) -> int:
        """Actual payments of a region on a day. Now and then a day is odd for a reason unknown to the data team."""
        chance = random.Random(f"{self.seed}/{day}/{region}")
        spread = 0.12 if chance.random() < 0.03 else 0.045
        return round(self.expected(day, region) * math.exp(chance.gauss(0, spread)))

    def write(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        """Create a table of the payments: day, region, currency, amount, amount_usd, method, country, paid_at, landed_at."""
        every = [self.start + dt.timedelta(days=number) for number in range(self.days)]
        drawn = [f"(DATE '{day}', '{region}', {self.drawn(day, region)})" for day in every for region in REGIONS]
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS "
            f"WITH days(day, region, payments) AS (VALUES {', '.join(drawn)}), "
            "one AS (SELECT day, region, unnest(range(payments)) AS number FROM days), "
            f"chance AS (SELECT day, region, hash({self.seed}, day, region, number) AS g, "
            f"  hash(number, region, day, {self.seed}) AS h FROM one), "
            f"drawn AS (SELECT day, region, {_draws('g', 'abc')}, {_draws('h', 'def')} FROM chance), "
            f"priced AS (SELECT *, {_currency('a')} AS currency, "
            # Sums of uniform draws give bell curves; amounts spread around their median by a factor of two and a half.
            "  day + to_microseconds(((b + c) / 2 * 86399e6)::BIGINT) AS paid, exp(3.5 + 1.8 * (d + e + f - 1.5)) AS dollars "
            "  FROM drawn) "
            f"SELECT day, region, currency, round(dollars / {_rate()}, 2) AS amount, round(dollars, 2) AS amount_usd, "
            "  CASE WHEN c < 0.62 THEN 'card' WHEN c < 0.9 THEN 'wallet' ELSE 'transfer' END AS method, "
            "  CASE WHEN f > 0.02 THEN 'known' END AS country, paid AS paid_at, "
            "  paid + to_microseconds((60e6 * (5 + 40 * a))::BIGINT) AS landed_at FROM priced"
        )

    def _holiday_effect(self, day: dt.date, region: str) -> float:
        name = self.holidays.get(region, {}).get(day)
        if name is None:
            return 0.0
        drawn = random.Random(f"{region}/{name}").random()
        return 0.3 + 0.5 * drawn if any(festive in name for festive in _FESTIVE) else 0.05 - 0.45 * drawn


def inject(connection: duckdb.DuckDBPyConnection, table: str, business: Business, first: int, seed: int) -> list[Injected]:
    """Apply faults of all kinds to the rows, at random days that are some days apart.

    Args:
        connection: A connection with the rows.
        table: Their table, as created by `Business.write`.
        business: The business of the rows.
        first: Number of the first day that may have a fault.
        seed: Seed of the random choices.
    """
    chance = random.Random(f"faults/{seed}")
    done: list[Injected] = []
    kinds: list[Fault] = []
    number = first + chance.randrange(8)
    while number < business.days - 4:
        if not kinds:
            kinds = list(Fault)
            chance.shuffle(kinds)
        day = business.start + dt.timedelta(days=number)
        done.append(_FAULTS[kinds.pop()](connection, table, day, chance))
        number += chance.randrange(9, 19)
    return done


def _region_missing(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date, chance: random.Random) -> Injected:
    region = chance.choice(list(REGIONS))
    days = _days(day, chance.randrange(1, 4))
    connection.execute(f"DELETE FROM {table} WHERE region = ? AND day IN ({_listed(days)})", [region])
    return Injected(Fault.REGION_MISSING, days, region)


def _doubled_files(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date, chance: random.Random) -> Injected:
    """Deliver half or more of the files of one region, or of all of them, twice."""
    region = chance.choice([*REGIONS, None, None])
    files = [(each, part) for each in REGIONS for part in range(24 // _FILE_HOURS) if region in (None, each)]
    doubled = chance.sample(files, chance.randrange(len(files) // 2, len(files) + 1))
    chosen = ", ".join(f"('{each}', {part})" for each, part in doubled)
    connection.execute(
        f"INSERT INTO {table} FROM {table} WHERE day = ? AND (region, hour(paid_at) // {_FILE_HOURS}) IN ({chosen})", [day]
    )
    return Injected(Fault.DOUBLED_FILES, (day,), region)


def _currency_switch(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date, chance: random.Random) -> Injected:
    """Let a region's payments name a different currency from that of their amounts."""
    region = chance.choice(list(REGIONS))
    main = max(CURRENCIES[region], key=lambda currency: CURRENCIES[region][currency])
    other = chance.choice([currency for currency in RATES if currency != main])
    days = _days(day, chance.randrange(1, 4))
    connection.execute(
        f"UPDATE {table} SET currency = ?, amount_usd = round(amount * ?, 2) WHERE region = ? AND currency = ? "
        f"AND day IN ({_listed(days)})",
        [other, RATES[other], region, main],
    )
    return Injected(Fault.CURRENCY_SWITCH, days, region)


def _stuck_connector(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date, chance: random.Random) -> Injected:
    """Deliver nothing from some hour on, which affects a third of the day or more; or deliver it half a day late or more."""
    region = chance.choice([*REGIONS, None, None])
    hour = chance.randrange(_LAST_STUCK_HOUR + 1)
    where = f"region = '{region}'" if region else "true"
    if chance.random() < 0.3:
        late = chance.uniform(12, 72)
        connection.execute(
            f"UPDATE {table} SET landed_at = day + INTERVAL 1 DAY + to_microseconds(?) WHERE {where} AND day = ? "
            "AND hour(paid_at) >= ?",
            [round(late * 3.6e9), day, hour],
        )
        return Injected(Fault.STUCK_CONNECTOR, (day,), region, is_late=True)
    days = _days(day, chance.randrange(1, 4))
    connection.execute(
        f"DELETE FROM {table} WHERE {where} AND (day = ? AND hour(paid_at) >= ? OR day IN ({_listed(days)}) AND day > ?)",
        [day, hour, day],
    )
    return Injected(Fault.STUCK_CONNECTOR, days, region)


def _decimal_shift(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date, chance: random.Random) -> Injected:
    """Write amounts in cents instead of units, or the other way round; or with a digit too many or too few."""
    region = chance.choice([*REGIONS, None])
    factor = chance.choice([100.0, 10.0, 0.1, 0.01])
    where = f"region = '{region}'" if region else "true"
    days = _days(day, chance.randrange(1, 4))
    connection.execute(
        f"UPDATE {table} SET amount = amount * ?, amount_usd = amount_usd * ? WHERE {where} AND day IN ({_listed(days)})",
        [factor, factor],
    )
    return Injected(Fault.DECIMAL_SHIFT, days, region)


_FAULTS = {
    Fault.REGION_MISSING: _region_missing,
    Fault.DOUBLED_FILES: _doubled_files,
    Fault.CURRENCY_SWITCH: _currency_switch,
    Fault.STUCK_CONNECTOR: _stuck_connector,
    Fault.DECIMAL_SHIFT: _decimal_shift,
}


def _days(first: dt.date, count: int) -> tuple[dt.date, ...]:
    return tuple(first + dt.timedelta(days=number) for number in range(count))


def _listed(days: Sequence[dt.date]) -> str:
    return ", ".join(f"DATE '{day}'" for day in days)


def _draws(chance: str, names: str) -> str:
    """Columns of uniform draws, from 0 to 1, out of a hash."""
    return ", ".join(f"{chance} // {1000**place} % 1000 / 1000 AS {name}" for place, name in enumerate(names))


def _currency(draw: str) -> str:
    """Expression that draws a currency of the row's region."""
    cases = []
    for region, shares in CURRENCIES.items():
        below = 0.0
        for currency, share in shares.items():
            below += share
            cases.append(f"WHEN region = '{region}' AND {draw} < {below:.4f} THEN '{currency}'")
    return f"CASE {' '.join(cases)} ELSE 'USD' END"


def _rate() -> str:
    cases = " ".join(f"WHEN '{currency}' THEN {rate}" for currency, rate in RATES.items())
    return f"CASE currency {cases} END"
