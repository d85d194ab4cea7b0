"""The lattice: which relations each mart is computed from, so that each number comes from its cheapest exact parent.

Belongs here: the existing marts, what each stores, and the choice of parents with its reason. Does not belong here: SQL
(`compiler`, `multisets`, `trends`).

Exact parents of a part: the fact itself, always; for additive and mergeable parts, the same entity at a finer grain that divides
this one, and for the whole company any entity, because each covers every row once. Distinct counts and quantiles have no other
parent than the fact. All of them by the same calendar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from assay.metrics.additivity import cannot
from assay.metrics.catalog import Catalog
from assay.metrics.declarations import Calendar, Entity, Fact, local_name
from assay.metrics.grains import Grain
from assay.metrics.parts import Part
from assay.metrics.resolving import Resolved

_PERIODS = {
    (Grain.HOUR, Grain.DAY): 24,
    (Grain.HOUR, Grain.WEEK): 168,
    (Grain.HOUR, Grain.MONTH): 744,
    (Grain.HOUR, Grain.YEAR): 8784,
    (Grain.DAY, Grain.WEEK): 7,
    (Grain.DAY, Grain.MONTH): 31,
    (Grain.DAY, Grain.YEAR): 366,
    (Grain.MONTH, Grain.YEAR): 12,
}


@dataclass(frozen=True)
class Mart:
    """All metrics of one entity, grain and calendar.

    Attributes:
        entity: The entity.
        grain: The grain.
        calendar: The calendar of its days; None for UTC.
    """

    entity: Entity
    grain: Grain
    calendar: Calendar | None = None

    @property
    def name(self) -> str:
        """As in `merchant_day`, or `merchant_local_day` by a calendar."""
        calendar = self.calendar.name if self.calendar is not None else None
        return f"{self.entity.name}_{local_name(self.grain, calendar)}"

    @property
    def full_name(self) -> str:
        """Its name in SQL."""
        return f"marts.{self.name}"

    @property
    def trend_name(self) -> str:
        """The SQL name of the mart of metrics over other periods."""
        return f"{self.full_name}_trend"

    @property
    def period(self) -> tuple[str, ...]:
        """The columns that identify its period."""
        return ("day", "hour") if self.grain is Grain.HOUR else (self.grain.period_column,)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return (*self.entity.keys, *self.period)


Origin = Fact | Mart


@dataclass(frozen=True)
class Parent:
    """The relation that a part of a mart is read from.

    Attributes:
        origin: The relation.
        rows: Approximate number of its rows that one partition reads.
        why: The reason for the choice, in words.
    """

    origin: Origin
    rows: int
    why: str


@dataclass(frozen=True)
class Lattice:
    """The marts of a catalog and their parents.

    Attributes:
        catalog: The declarations.
    """

    catalog: Catalog
    _found: dict[tuple[str, str, bool], tuple[Parent, ...]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _names(self) -> dict[str, frozenset[str]]:
        return {mart: frozenset(part.name for part in parts) for mart, parts in self._stored.items()}

    @cached_property
    def marts(self) -> tuple[Mart, ...]:
        """Every mart that has metrics."""
        possible = (
            Mart(entity, grain, calendar)
            for calendar in (None, *self.catalog.calendars.values())
            for entity in self.catalog.entities.values()
            for grain in Grain
            if grain in entity.grains
        )
        return tuple(mart for mart in possible if self._of_mart(mart))

    @cached_property
    def of_entity(self) -> dict[str, tuple[Resolved, ...]]:
        """The metrics of each entity, in order of declaration."""
        return {
            entity: tuple(each for each in self.catalog.metrics.values() if entity in each.entities)
            for entity in self.catalog.entities
        }

    def _of_mart(self, mart: Mart) -> list[Resolved]:
        """The metrics of a mart, and of the trend beside it."""
        return [each for each in self.of_entity[mart.entity.name] if mart.grain in each.grains and each.calendar == mart.calendar]

    @cached_property
    def _stored(self) -> dict[str, tuple[Part, ...]]:
        return {mart.name: self._parts_for(mart) for mart in self.marts}

    def stored(self, mart: Mart) -> tuple[Part, ...]:
        """The parts that a mart stores: those its metrics and its trends are computed from, and those that close its books."""
        return self._stored[mart.name]

    def _parts_for(self, mart: Mart) -> tuple[Part, ...]:
        names = dict.fromkeys(name for metric in self._of_mart(mart) for name in metric.parts)
        facts = dict.fromkeys(self.catalog.parts[name].fact for name in names)
        for closing in (self.catalog.rows_parts, self.catalog.total_parts):
            names |= dict.fromkeys(closing[fact].name for fact in facts if fact in closing)
        return tuple(part for name, part in self.catalog.parts.items() if name in names)

    def metrics(self, mart: Mart) -> tuple[Resolved, ...]:
        """The metrics of a mart that are computed from its own period alone."""
        return tuple(each for each in self._of_mart(mart) if not each.is_trend)

    def trends(self, mart: Mart) -> tuple[Resolved, ...]:
        """The metrics of a mart that need other periods, too."""
        return tuple(each for each in self._of_mart(mart) if each.is_trend)

    def parent(self, mart: Mart, part: Part) -> Parent:
        """The cheapest relation that gives a part of a mart exactly."""
        fact = self.catalog.facts[part.fact]
        return next(
            parent
            for parent in self._candidates(mart, fact, part.is_set)
            if not isinstance(parent.origin, Mart) or part.name in self._names[parent.origin.name]
        )

    def require_exact(self, mart: Mart, part: Part, origin: Mart) -> None:
        """Require that a part may be rolled up from another mart.

        Raises:
            AdditivityError: It may not.
        """
        if part.is_set:
            raise cannot(part.additivity, part.name, f"be rolled up from {origin.full_name} to {mart.full_name}")
        if origin.grain is not mart.grain and not origin.grain.divides(mart.grain):
            raise cannot(
                part.additivity, part.name, f"be rolled up from {origin.grain} to {mart.grain}, not a whole number of them"
            )

    def _candidates(self, mart: Mart, fact: Fact, is_set: bool) -> tuple[Parent, ...]:
        """The relations that can give parts of a fact to a mart, the cheapest first."""
        found = self._found.get((mart.name, fact.name, is_set))
        if found is None:
            parents = [Parent(fact, fact.rows_a_day * mart.grain.days, "the rows themselves")]
            if not is_set:
                parents += self._finer(mart, fact)
            found = tuple(sorted(parents, key=lambda parent: (parent.rows, parent.origin.name)))
            self._found[mart.name, fact.name, is_set] = found
        return found

    def _finer(self, mart: Mart, fact: Fact) -> Iterator[Parent]:
        """The marts that sums of a mart can be added up from."""
        for other in self.marts:
            same_grain = other.grain is mart.grain
            if other.calendar != mart.calendar or not (same_grain or other.grain.divides(mart.grain)):
                continue
            rolls_up = other.entity == mart.entity and not same_grain
            is_whole = mart.entity.key is None and other.entity.key is not None
            if rolls_up or is_whole:
                periods = _PERIODS.get((other.grain, mart.grain), 24 if other.grain is Grain.HOUR else 1)
                rows = min(other.entity.members, self._rows_a_day(other) * other.grain.days) * periods
                yield Parent(other, rows, f"about {rows:,} rows to add up instead of {fact.rows_a_day * mart.grain.days:,}")

    def _rows_a_day(self, mart: Mart) -> int:
        """Approximate number of rows of the largest fact that a mart counts: each of its rows is read, whatever a part counts."""
        return max(self.catalog.facts[part.fact].rows_a_day for part in self._stored[mart.name])
