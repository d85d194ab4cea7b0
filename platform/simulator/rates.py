"""Euro reference rates, as the European Central Bank publishes them.

Belongs here: banking days, made-up rates around real levels, the ECB's wide CSV. Does not belong here: the use of the
rates.
"""

from __future__ import annotations

import datetime as dt
import math
from hashlib import blake2b

from simulator.company import Company

HISTORY_DAYS = 45
"""How many days before the first day the history file begins."""

# Units for one euro and digits after the point; None is no longer quoted. Order and header are those of the ECB's file.
_LEVELS: dict[str, tuple[float, int] | None] = {
    "USD": (1.08, 4),
    "JPY": (161.5, 2),
    "BGN": (1.9558, 4),
    "CYP": None,
    "CZK": (25.1, 3),
    "DKK": (7.46, 4),
    "EEK": None,
    "GBP": (0.84, 5),
    "HUF": (405.0, 2),
    "LTL": None,
    "LVL": None,
    "MTL": None,
    "PLN": (4.25, 4),
    "ROL": None,
    "RON": (4.9755, 4),
    "SEK": (11.4, 4),
    "SIT": None,
    "SKK": None,
    "CHF": (0.945, 4),
    "ISK": (145.5, 1),
    "NOK": (11.7, 4),
    "HRK": None,
    "RUB": None,
    "TRL": None,
    "TRY": (37.2, 4),
    "AUD": (1.66, 4),
    "BRL": (6.2, 4),
    "CAD": (1.49, 4),
    "CNY": (7.55, 4),
    "HKD": (8.1, 4),
    "IDR": (16_900.0, 2),
    "ILS": (3.76, 4),
    "INR": (89.5, 4),
    "KRW": (1_507.0, 2),
    "MXN": (21.3, 4),
    "MYR": (4.63, 4),
    "NZD": (1.84, 4),
    "PHP": (60.4, 3),
    "SGD": (1.41, 4),
    "THB": (35.4, 3),
    "ZAR": (19.3, 4),
}
_PEGGED = ("BGN",)
# The company's payment currencies are quoted every banking day; others lack a rate now and then.
_ALWAYS_QUOTED = ("USD", "GBP", "JPY", "BRL", "CAD", "BGN")

HEADER = "Date," + "".join(f"{currency}," for currency in _LEVELS)


def is_banking_day(day: dt.date) -> bool:
    """Whether the euro's payment system (TARGET) is open, so that rates are published."""
    easter = _easter(day.year)
    closed = {easter - dt.timedelta(days=2), easter + dt.timedelta(days=1)}
    fixed = {(1, 1), (5, 1), (12, 25), (12, 26)}
    return day.weekday() < 5 and day not in closed and (day.month, day.day) not in fixed


def history(company: Company) -> list[dt.date]:
    """Banking days before the company's first day, latest first as the ECB writes them."""
    days = [company.start - dt.timedelta(days=back) for back in range(1, HISTORY_DAYS + 1)]
    return [day for day in days if is_banking_day(day)]


def rates_line(company: Company, day: dt.date) -> str:
    """Write the ECB's line for a banking day."""
    cells = [_cell(company.seed, currency, day) for currency in _LEVELS]
    return f"{day.isoformat()}," + "".join(f"{cell}," for cell in cells)


def _cell(seed: int, currency: str, day: dt.date) -> str:
    quoted = _LEVELS[currency]
    missing = currency not in _ALWAYS_QUOTED and _share(f"{seed} {currency} {day} hole") < 0.01
    if quoted is None or missing:
        return "N/A"
    level, digits = quoted
    text = f"{level if currency in _PEGGED else level * _drift(seed, currency, day):.{digits}f}"
    return text.rstrip("0").rstrip(".")


def _drift(seed: int, currency: str, day: dt.date) -> float:
    # Slow swings of 3 %, faster ones of 1 % and a daily jitter, each with the currency's own phase.
    phase = 2 * math.pi * _share(f"{seed} {currency} phase")
    number = day.toordinal()
    swings = 0.03 * math.sin(number / 97 + phase) + 0.01 * math.sin(number / 13 + 2 * phase)
    return math.exp(swings + 0.006 * (_share(f"{seed} {currency} {day}") - 0.5))


def _share(text: str) -> float:
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / (1 << 48)


def _easter(year: int) -> dt.date:
    # The anonymous Gregorian algorithm (Meeus, Jones, Butcher).
    century, rest = divmod(year, 100)
    moon = (19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    sunday = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    shift = (year % 19 + 11 * moon + 22 * sunday) // 451
    month, day = divmod(moon + sunday - 7 * shift + 114, 31)
    return dt.date(year, month, day + 1)
