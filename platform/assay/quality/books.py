"""The books: every row and every amount that came in is accounted for.

Belongs here: the arithmetic. Does not belong here: counting rows (`proof`, `engine.relations`).

`received = published + quarantined + superseded + deleted`, in rows and in money, for every partition. The left side is counted
at the inputs, the right side at the result, so that a join that drops or doubles rows cannot balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PLACES = ("received", "published", "quarantined", "superseded", "deleted")


@dataclass(frozen=True)
class Side:
    """One measure (rows, or money) of the books.

    Attributes:
        received: What came in.
        published: What the result accounts for.
        quarantined: What was refused.
        superseded: What something newer replaced.
        deleted: What the source says is gone.
    """

    received: Decimal = Decimal(0)
    published: Decimal = Decimal(0)
    quarantined: Decimal = Decimal(0)
    superseded: Decimal = Decimal(0)
    deleted: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        """What is unaccounted for; zero when balanced."""
        return self.received - self.published - self.quarantined - self.superseded - self.deleted

    def __add__(self, other: Side) -> Side:
        return Side(*(getattr(self, place) + getattr(other, place) for place in PLACES))


@dataclass(frozen=True)
class Books:
    """The books of a partition or a table.

    Attributes:
        rows: Whole numbers of rows.
        money: Amounts as the contract counts them; currencies are mixed, so this is a control total and no revenue.
    """

    rows: Side = field(default_factory=Side)
    money: Side = field(default_factory=Side)

    @property
    def balanced(self) -> bool:
        """Whether rows and money are both accounted for."""
        return self.rows.difference == 0 and self.money.difference == 0

    def __add__(self, other: Books) -> Books:
        return Books(self.rows + other.rows, self.money + other.money)

    def to_dict(self) -> dict[str, Any]:
        """Rows as integers by place, `balanced`, and the money as decimal strings."""
        rows: dict[str, Any] = {place: int(getattr(self.rows, place)) for place in PLACES}
        money = {place: str(getattr(self.money, place)) for place in PLACES}
        return rows | {"balanced": self.balanced, "money": money}


def total(books: Iterable[Books]) -> Books:
    """Add up books."""
    summed = Books()
    for entry in books:
        summed += entry
    return summed


def from_dict(written: Mapping[str, Any]) -> Books:
    """Read what `Books.to_dict` wrote."""
    money = written.get("money", {})
    return Books(
        rows=Side(*(Decimal(written.get(place, 0)) for place in PLACES)),
        money=Side(*(Decimal(money.get(place, 0)) for place in PLACES)),
    )
