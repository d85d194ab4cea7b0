"""The books: every incoming row and amount is accounted for.

Belongs here: the arithmetic. Does not belong here: counting rows (`proof`, `engine.relations`).

`received = published + quarantined + superseded + deleted`, in rows and in money, for every partition. The left side is counted
at the inputs, the right side in the result, so that a join that drops or doubles rows cannot balance.
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
        superseded: What was replaced by something newer.
        deleted: What the source deleted.
    """

    received: Decimal = Decimal(0)
    published: Decimal = Decimal(0)
    quarantined: Decimal = Decimal(0)
    superseded: Decimal = Decimal(0)
    deleted: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        """The unaccounted difference; zero when balanced."""
        return self.received - self.published - self.quarantined - self.superseded - self.deleted

    def __add__(self, other: Side) -> Side:
        return Side(*(getattr(self, place) + getattr(other, place) for place in PLACES))


@dataclass(frozen=True)
class Healing:
    """Values that events left out, and how many were filled in.

    Attributes:
        rows: Rows with values filled in from older events of their keys.
        columns: The number of those values.
        unhealed: Rows held back in quarantine, because no event with the missing value has landed.
    """

    rows: int = 0
    columns: int = 0
    unhealed: int = 0

    def __add__(self, other: Healing) -> Healing:
        return Healing(self.rows + other.rows, self.columns + other.columns, self.unhealed + other.unhealed)


@dataclass(frozen=True)
class Books:
    """The books of a partition or a table.

    Attributes:
        rows: Whole numbers of rows.
        money: Amounts as the contract counts them; currencies are mixed, so this is a control total, not revenue.
        healing: What was healed; it does not affect the balance.
    """

    rows: Side = field(default_factory=Side)
    money: Side = field(default_factory=Side)
    healing: Healing = field(default_factory=Healing)

    @property
    def balanced(self) -> bool:
        """Whether rows and money are both accounted for."""
        return self.rows.difference == 0 and self.money.difference == 0

    def __add__(self, other: Books) -> Books:
        return Books(self.rows + other.rows, self.money + other.money, self.healing + other.healing)

    def to_dict(self) -> dict[str, Any]:
        """Rows as integers by field, `balanced`, the money as decimal strings, and the healing."""
        rows: dict[str, Any] = {place: int(getattr(self.rows, place)) for place in PLACES}
        money = {place: str(getattr(self.money, place)) for place in PLACES}
        healed = {"healed": self.healing.rows, "healed_columns": self.healing.columns, "unhealed": self.healing.unhealed}
        return rows | {"balanced": self.balanced, "money": money} | healed


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
        healing=Healing(*(int(written.get(name, 0)) for name in ("healed", "healed_columns", "unhealed"))),
    )
