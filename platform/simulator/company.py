"""The size of the company, and its distribution over days.

Belongs here: the settings and every number derived from them alone. Does not belong here: anything drawn at random.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

# Monday to Sunday; the mean is 1, so that whole weeks keep `transactions_per_day`.
_WEEKDAY_SHAPE = (0.96, 0.95, 0.97, 1.00, 1.14, 1.12, 0.86)

# Lines that no reader can turn into a payment; 0.5 % of about two lines per payment.
_MALFORMED_SHARE = 0.01

MALFORMED_SHAPES = 8
"""Kinds of malformed lines; each day of payments has all of them."""

# About 0.5 % of the lines of refunds; there is one refund for every nine payments.
_MALFORMED_REFUNDS_SHARE = 0.0006

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Company:
    """A simulated company. Two equal companies write the same bytes, given the same version of DuckDB.

    Attributes:
        days: Days simulated, from `start` on.
        transactions_per_day: Payments a day, on average over a week.
        seed: Another seed gives another company of the same size.
        start: First day, UTC.
        schemas: Whether change events carry their Kafka Connect schema (`{"schema": …, "payload": …}`).

    Raises:
        ValueError: A number is not positive.
    """

    days: int = 7
    transactions_per_day: int = 20_000
    seed: int = 1
    start: dt.date = dt.date(2025, 1, 1)
    schemas: bool = False

    def __post_init__(self) -> None:
        for name in ("days", "transactions_per_day"):
            if getattr(self, name) < 1:
                raise ValueError(f"Company.{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def first_customers(self) -> int:
        """Customers that exist before the first day."""
        return max(50, self.transactions_per_day // 4)

    @property
    def new_customers(self) -> int:
        """Customers that register each day."""
        return max(1, self.first_customers // 50)

    @property
    def deleted_customers(self) -> int:
        """Customers deleted each day from the third on."""
        return max(1, self.first_customers // 5_000)

    @property
    def first_merchants(self) -> int:
        """Merchants that exist before the first day."""
        return max(20, self.transactions_per_day // 100)

    @property
    def new_merchants(self) -> int:
        """Merchants that join each day."""
        return max(1, self.first_merchants // 200)

    @property
    def legacy_payments(self) -> int:
        """Payments in the archive of the month before `start`."""
        return max(200, self.transactions_per_day // 20)

    @property
    def malformed_lines(self) -> int:
        """Malformed lines each day."""
        return max(MALFORMED_SHAPES, round(self.transactions_per_day * _MALFORMED_SHARE))

    @property
    def malformed_refunds(self) -> int:
        """Malformed lines of refunds each day."""
        return max(MALFORMED_SHAPES // 2, round(self.transactions_per_day * _MALFORMED_REFUNDS_SHARE))

    @property
    def sca_day(self) -> int:
        """Index of the first day whose payments have the column `sca_method`; `days` if none has."""
        return max(1, self.days // 2)

    @property
    def legacy_month(self) -> dt.date:
        """First day of the month before `start`."""
        return (self.start.replace(day=1) - dt.timedelta(days=1)).replace(day=1)

    @property
    def start_day(self) -> int:
        """`start` in days since 1970."""
        return (self.start - _EPOCH).days

    def malformed_chargebacks(self, day: int) -> range:
        """Numbers of the malformed lines of disputes on a day: one every third day, because disputes are rare."""
        number = 1 + day // 3
        return range(number, number + (day % 3 == 1))

    def date(self, day: int) -> dt.date:
        """The date of a day, given its index."""
        return self.start + dt.timedelta(days=day)

    def start_us(self, day: int) -> int:
        """When a day begins, in microseconds since 1970, UTC."""
        return (self.start_day + day) * 86_400_000_000

    def payments(self, day: int) -> int:
        """Payments that first land on a day."""
        return max(1, round(self.transactions_per_day * _WEEKDAY_SHAPE[self.date(day).weekday()]))

    def groups(self, days: range, payments: int) -> list[range]:
        """Split consecutive days into groups that are processed together.

        Args:
            days: Indexes of the days.
            payments: Maximum number of payments in a group of several days.
        """
        groups: list[range] = []
        for day in days:
            grown = range(groups[-1].start, day + 1) if groups else range(0)
            if grown and sum(map(self.payments, grown)) <= payments:
                groups[-1] = grown
            else:
                groups.append(range(day, day + 1))
        return groups
