"""Values of the simulated company's records, read in plain Python in whatever form they are written."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

EPOCH = dt.datetime(1970, 1, 1)


def amount_of(value: Any) -> Decimal:
    """An amount.

    Raises:
        ArithmeticError: It is none.
    """
    return Decimal(str(value).replace("$", "").replace(",", ""))


def instant_of(value: Any) -> dt.datetime:
    """A time, UTC.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, int):
        return EPOCH + dt.timedelta(seconds=value)
    if "/" in value:
        return dt.datetime.strptime(value, "%m/%d/%Y %H:%M:%S")
    return dt.datetime.fromisoformat(value.removesuffix("Z"))
