"""What a domain declares beside its metrics: facts, entities, groups.

Belongs here: the frozen declarations, as plain values that remember where they were written. Does not belong here: the types of
metrics (`kinds`), whether it all fits together (`validation`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from assay.metrics.additivity import MetricError
from assay.metrics.grains import Grain

if TYPE_CHECKING:
    from assay.metrics.kinds import Metric

CHARGED = "charged currency"
"""The unit of money in the currency that it was charged in, which differs from row to row."""
UNKNOWN = "unknown"
"""The key of rows that name no merchant, customer, …: every entity cuts every row exactly once."""


@dataclass(frozen=True)
class Place:
    """Where something is declared.

    Attributes:
        file: The file.
        line: The line its declaration begins or ends at.
    """

    file: str
    line: int

    def error(self, name: str, attribute: str, said: str, hint: str = "") -> MetricError:
        """Make the error for a wrong field of the declaration at this place."""
        return MetricError(f"{self}: {name}: {attribute}: {said.rstrip('.')}.", hint=hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def caller() -> Place:
    """The nearest place on the stack outside of this room."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (frame.f_globals.get("__name__", "").startswith("assay.metrics") or _is_made(frame)):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _is_made(frame: FrameType) -> bool:
    """Whether a frame belongs to a method that `dataclass` generated."""
    return frame.f_code.co_filename.startswith("<")


@dataclass(frozen=True)
class Declared:
    """Base of all declarations: remembers where in the code it was made."""

    place: Place = field(default_factory=caller, init=False, repr=False, compare=False, kw_only=True)


@dataclass(frozen=True)
class Fact(Declared):
    """A relation whose rows are events that metrics count.

    Attributes:
        name: As in `payments`; rows are called so.
        table: The relation, as in `marts.transactions_enriched`.
        day: Its partition column: the UTC day of the event.
        at: When the event was: a timestamp, UTC.
        keys: By entity, the expression of its key in a row; null counts as `unknown`.
        money: By column that holds money, the currency: as in `USD`, or `CHARGED`.
        signed: Columns that may be below zero.
        total: The column of money whose total the books of marts are closed with, beside the number of rows; of one currency.
        rows_a_day: About how many rows a day has: what a scan costs.
    """

    name: str
    table: str
    day: str
    at: str
    keys: Mapping[str, str]
    money: Mapping[str, str] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    total: str | None = None
    rows_a_day: int = 1_000_000


@dataclass(frozen=True)
class Attribute:
    """What is known of a single entity beside its key, as in a merchant's name.

    Attributes:
        name: The column, in facts and marts. A fact without it says nothing of it.
        description: What it means.
    """

    name: str
    description: str


@dataclass(frozen=True)
class Entity(Declared):
    """What metrics are cut by.

    Attributes:
        name: As in `merchant`; its marts are `marts.merchant_day` and so on.
        title: In words, as in `a merchant`.
        description: What the key means.
        key: Its column in the marts; None for the whole company.
        members: About how many there are: what reading its marts costs.
        grains: The grains it has marts of.
        attributes: What else its marts say of it; the last in the alphabet where a period has several.
        is_currency: Whether the key is the currency that money is charged in, so that charged amounts may be added up.
        pii: The kind of personal information that the key is, if any.
        opt_in: Whether only metrics that name it are computed for it, because it has very many members.
    """

    name: str
    title: str
    description: str
    key: str | None
    members: int
    grains: tuple[Grain, ...] = tuple(Grain)
    attributes: tuple[Attribute, ...] = ()
    is_currency: bool = False
    pii: str | None = None
    opt_in: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The key as a tuple: empty for the whole company."""
        return () if self.key is None else (self.key,)


@dataclass(frozen=True)
class Group(Declared):
    """Metrics that are read together.

    Attributes:
        name: As in `refunds`.
        title: Its heading.
        metrics: In the order they are read in.
        fact: The fact of its metrics that name none.
        owner: Who answers for its metrics that name nobody.
        tags: Of all its metrics.
        entities: The entities of its metrics that name none; all that are not `opt_in` when empty.
        grains: The grains of its metrics.
        adds_up: By the name of a metric, those that must add up to it in every row of every mart.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    fact: str
    owner: str
    tags: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    grains: tuple[Grain, ...] = tuple(Grain)
    adds_up: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
