"""A lake with one source, whose columns many tests of formats can do with. Nothing here reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Date, Event, Money, Number, Timestamp, column, source


class Row(Event):
    """A dated row."""

    id: int = column("Key")
    day: Date = column("Day", nullable=True)
    amount: Money = column("Amount", nullable=True)
    note: str = column("Text", nullable=True)


class RowOfAllKinds(Event):
    """A row with a column of every kind that is written differently from place to place."""

    id: int = column("Key")
    day: Date = column("Day", nullable=True)
    at: Timestamp = column("Time", nullable=True)
    amount: Money = column("Amount", nullable=True)
    rate: Number = column("Rate", nullable=True)
    note: str = column("Text", nullable=True)


class RateOfDay(Event):
    """A rate of a currency on a day."""

    day: Date = column("Day")
    currency: str = column("Currency")
    rate: Number = column("Rate")


def lake_of(folder: Path, name: str, model: type[Event], **declaration: Any) -> ShopLake:
    """Make a lake with one source; called again on a folder, the same lake with another declaration.

    Args:
        folder: Where the lake is.
        name: The source's name.
        model: Its columns.
        **declaration: The rest of `source`, the format among it; a key of `id`, an owner and a subject if it does not say.
    """
    said = {"key": ("id",), "owner": "team:x", "subject": "x"} | declaration
    declared = source(name, **said)(type(model.__name__, (model,), {"__doc__": model.__doc__}))
    return ShopLake(folder, domain_of(folder / "sql", [declared], {}))
