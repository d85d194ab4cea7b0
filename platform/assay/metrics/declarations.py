"""What a domain declares beside its metrics: facts, entities, groups, calendars.

Belongs here: the frozen declarations, as plain values that remember where they were written. Does not belong here: the types of
metrics (`kinds`), consistency checks (`validation`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import FrameType
from typing import TYPE_CHECKING

from assay.contracts import Window
from assay.metrics.additivity import MetricError
from assay.metrics.grains import Grain

if TYPE_CHECKING:
    from assay.metrics.kinds import Metric

CHARGED = "charged currency"
"""The unit of money in the currency charged, which differs from row to row."""
NEAR = 1
"""Days that a day by any clock on Earth, 12 hours behind UTC to 14 ahead of it, may be off the UTC day."""
UNKNOWN = "unknown"
"""The key of rows without a merchant, customer, …: every entity assigns every row to exactly one key."""


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
    """The nearest place on the stack outside this room."""
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
class Calendar(Declared):
    """Days by another clock than UTC, for metrics that ask for them.

    Attributes:
        name: As in `local`; the marts by it are `marts.merchant_local_day` and so on.
        title: What its days are called, as in `merchant-local`.
        meaning: Whose clock it is, and what has no day by it.
    """

    name: str
    title: str
    meaning: str


@dataclass(frozen=True)
class Fact(Declared):
    """A relation whose rows metrics count: events, or what became of somebody over all days.

    The latter, as in `marts.customer_lifetime`, has no day: it is a table of one partition that is already added up. So its
    metrics have no marts; they are computed from it when asked.

    Attributes:
        name: As in `payments`; also the name of its rows.
        table: The relation, as in `marts.transactions_enriched`.
        keys: By entity, the SQL expression of its key in a row; null counts as `unknown`. Events have one for every entity.
        day: Its partition column: the UTC day of the event. Empty for what is over all days.
        at: Column of the event's time: a timestamp, UTC. Empty for what is over all days.
        money: By money column, its currency: as in `USD`, or `CHARGED`.
        signed: Columns that may be negative.
        total: The money column, in one currency, whose total closes the books of marts beside the number of rows.
        rows_a_day: Approximate number of rows per day, from which the cost of a scan is estimated.
        calendars: By the name of a calendar, the column with a row's day in it: at most a day from the UTC day, as no clock is
            further off; a row without one counts on no day of that calendar.
    """

    name: str
    table: str
    keys: Mapping[str, str]
    day: str = ""
    at: str = ""
    money: Mapping[str, str] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    total: str | None = None
    rows_a_day: int = 1_000_000
    calendars: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What its rows are counted in."""
        return self.name

    @property
    def is_dated(self) -> bool:
        """Whether its rows are events, each of a day."""
        return bool(self.day)


@dataclass(frozen=True)
class LocalFact(Fact):
    """A fact by the days of a calendar: the same rows, each on the day that the calendar gives it.

    Attributes:
        calendar: The calendar.
        by_utc: The fact, whose relation is cut by UTC days.
    """

    calendar: Calendar = field(kw_only=True)
    by_utc: Fact = field(kw_only=True)

    @property
    def unit(self) -> str:
        """See the base class."""
        return self.by_utc.name

    @property
    def window(self) -> Window:
        """Which days of its relation a period is computed from."""
        return Window(before=NEAR, after=NEAR, about=self.day)


def by_calendar(fact: Fact, calendar: Calendar) -> LocalFact:
    """A fact by the days of a calendar that it has."""
    own = {each.name: getattr(fact, each.name) for each in fields(fact) if each.init}
    changed = own | {"name": local_name(fact.name, calendar.name), "day": fact.calendars[calendar.name]}
    made = LocalFact(**changed, calendar=calendar, by_utc=fact)
    # It is declared where the fact is.
    object.__setattr__(made, "place", fact.place)
    return made


def calendar_of(fact: Fact) -> Calendar | None:
    """The calendar of a fact's days; None for UTC."""
    return fact.calendar if isinstance(fact, LocalFact) else None


def clock_of(calendar: Calendar | None) -> str:
    """What the days of a calendar are called."""
    return "UTC" if calendar is None else calendar.title


def local_name(name: str, calendar: str | None) -> str:
    """The name of something by the days of a calendar, as in `local_payments`."""
    return name if calendar is None else f"{calendar}_{name}"


@dataclass(frozen=True)
class Attribute:
    """A property of an entity besides its key, such as a merchant's name.

    Attributes:
        name: The column, in facts and marts. A fact without the column does not provide it.
        description: What it means.
    """

    name: str
    description: str


@dataclass(frozen=True)
class Entity(Declared):
    """What metrics are grouped by.

    Attributes:
        name: As in `merchant`; its marts are `marts.merchant_day` and so on.
        title: In words, as in `a merchant`.
        description: What the key means.
        key: Its column in the marts; None for the whole company.
        members: Approximate number of members, from which the cost of reading its marts is estimated.
        grains: The grains of its marts.
        attributes: Further columns of its marts; the last in alphabetical order if a period has several values.
        is_currency: Whether the key is the currency charged, so that charged amounts may be added up.
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
    def noun(self) -> str:
        """The title without its article, as in `merchant`."""
        return self.title.removeprefix("a ").removeprefix("an ")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key as a tuple: empty for the whole company."""
        return () if self.key is None else (self.key,)


@dataclass(frozen=True)
class Group(Declared):
    """Metrics that are presented together.

    Attributes:
        name: As in `refunds`.
        title: Its heading.
        metrics: In order of presentation.
        fact: The default fact of its metrics.
        owner: The default owner of its metrics.
        tags: Tags of all its metrics.
        entities: The default entities of its metrics; if empty, all that are not `opt_in`.
        grains: The grains of its metrics.
        adds_up: By metric, the metrics that must add up to it in every row of every mart.
        calendar: The calendar of its metrics that name none; UTC days where it does not say.
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
    calendar: str | None = None

    def fact_of(self, metric: Metric) -> str:
        """The name of the fact whose rows one of its metrics counts, by the days that it asks for."""
        return local_name(metric.fact or self.fact, self.calendar_of(metric))

    def calendar_of(self, metric: Metric) -> str | None:
        """The name of the calendar that one of its metrics asks for; None for UTC days."""
        return metric.calendar or self.calendar
