"""Numbers, amounts and times as formatted in the report.

Belongs here: one short text per value. Does not belong here: markup.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

NOTHING = "–"
_MINUS = "−"


def count(number: float | Decimal | None) -> str:
    """A whole number, in groups of three digits."""
    return NOTHING if number is None else f"{number:,.0f}".replace("-", _MINUS)


def short(number: float | Decimal | None) -> str:
    """An amount in about three digits, as in `1.24 M`."""
    if number is None:
        return NOTHING
    for least, divisor, unit in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if abs(float(number)) >= least:
            scaled = float(number) / divisor
            digits = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
            return f"{scaled:,.{digits}f} {unit}".replace("-", _MINUS)
    return f"{number:,.0f}".replace("-", _MINUS)


def money(amount: Decimal | None, unit: str = "") -> str:
    """An amount of money with its unit, if it has one."""
    return NOTHING if amount is None else f"{short(amount)} {unit}".strip()


def score(number: float | None) -> str:
    """A score, 0 to 100, never rounded up: an imperfect score must not look perfect."""
    return NOTHING if number is None else f"{math.floor(number * 100 + 1e-7) / 100:.2f}"


def change(points: float | None) -> str:
    """The change of a score, in points."""
    if points is None:
        return NOTHING
    return f"{points:+.2f}".replace("-", _MINUS) if abs(points) >= 0.005 else "±0.00"


def percent(share: float | None, signed: bool = False) -> str:
    """A share, 0 to 1, as a percentage with two significant digits."""
    if share is None:
        return NOTHING
    hundredths = 100 * share
    is_plain = abs(hundredths) >= 10 or hundredths == 0
    digits = 0 if is_plain else min(4, 1 - math.floor(math.log10(abs(hundredths))))
    return f"{hundredths:{'+' if signed else ''}.{digits}f} %".replace("-", _MINUS)


def times(change: float | None) -> str:
    """Relative growth: a percentage, or a factor where that is easier to grasp."""
    if change is None:
        return NOTHING
    return f"× {1 + change:,.0f}" if change >= 2 else "same" if change == 0 else percent(change, signed=True)


def duration(length: dt.timedelta | None) -> str:
    """A length of time in its largest unit, as in `3 h` or `2.5 days`."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds()
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        hours = seconds / 3600
        return f"{hours:.1f}".removesuffix(".0") + " h"
    days = seconds / 86400
    return (f"{days:.1f}".removesuffix(".0") if days < 10 else f"{days:,.0f}") + " days"


def moment(time: dt.datetime | None) -> str:
    """A time to the minute, UTC."""
    return NOTHING if time is None else time.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")


def figure(value: float | None, is_share: bool) -> str:
    """A watched figure: shares as percentages, others as numbers."""
    if value is None:
        return NOTHING
    return percent(value) if is_share else f"{value:,.1f}" if abs(value) < 100 and value % 1 else short(value)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun, as in `1 table` or `3 tables`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
