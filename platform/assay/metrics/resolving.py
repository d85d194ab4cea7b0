"""Resolving: a declared metric combined with what it refers to, for the compiler.

Belongs here: unit, type, parts, entities and grains of one metric, and the errors of its fields. Does not belong here: facts and
entities themselves (`validation`), SQL of marts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.metrics.additivity import Additivity, MetricError, cannot
from assay.metrics.declarations import CHARGED, Calendar, Entity, Fact, Group, clock_of
from assay.metrics.exact import MONEY_PLACES, SHARE_PLACES, names_in, scale_of
from assay.metrics.grains import Grain
from assay.metrics.kinds import (
    Arrived,
    Average,
    Conversion,
    CountDistinct,
    Cumulative,
    Derived,
    Followed,
    Growth,
    Lost,
    Measured,
    Metric,
    Moving,
    Rank,
    Ratio,
    Retained,
    Retention,
    Share,
)
from assay.metrics.parts import Part, columns_in
from assay.nearest import suggestion

SHARE = "share"
ALL_DAYS = "all"
"""What the days are called of a metric that is over all of them."""
GROWTH_GRAINS = {
    "day": (Grain.DAY,),
    "week": (Grain.DAY, Grain.WEEK),
    "month": (Grain.MONTH,),
    "year": (Grain.WEEK, Grain.MONTH, Grain.YEAR),
}
"""Grains whose marts support growth over a day, week, month or year."""


@dataclass(frozen=True)
class Resolved:
    """A metric with everything that follows from its declaration.

    Attributes:
        metric: The declaration.
        group: Its group.
        unit: Its unit.
        sql_type: Its column's type.
        parts: Names of the stored parts from which it is computed, directly or indirectly.
        facts: Names of the facts that these count.
        entities: Names of the entities for which it is computed.
        grains: The grains at which it is computed.
        is_signed: Whether it may be negative.
        is_trend: Whether it depends on other periods, and is stored in the trend mart.
        refers: The metrics it is computed from.
        calendar: The calendar of its days; None for UTC.
        is_dated: Whether it is of periods; otherwise it is over all days, and has no grains.
    """

    metric: Metric
    group: Group
    unit: str
    sql_type: str
    parts: tuple[str, ...]
    facts: tuple[str, ...]
    entities: tuple[str, ...]
    grains: tuple[Grain, ...]
    is_signed: bool = False
    is_trend: bool = False
    refers: tuple[str, ...] = ()
    calendar: Calendar | None = None
    is_dated: bool = True

    @property
    def name(self) -> str:
        """Its column."""
        return self.metric.name

    @property
    def owner(self) -> str:
        """The team responsible for it."""
        return self.metric.owner or self.group.owner

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags and those of its group."""
        return (*self.group.tags, *self.metric.tags)

    @property
    def is_charged(self) -> bool:
        """Whether it is money in the currency charged."""
        return CHARGED in self.unit

    @property
    def days(self) -> str:
        """What its days are called."""
        return clock_of(self.calendar) if self.is_dated else ALL_DAYS


@dataclass
class Resolver:
    """Resolves the metrics of a catalog, each after those it refers to.

    Attributes:
        declared: Every metric with its group, by name.
        entities: By name.
        facts: By name.
        parts: By metric computed from rows: the typed parts it needs, as they are stored.
        calendars: By name.
    """

    declared: Mapping[str, tuple[Metric, Group]]
    entities: Mapping[str, Entity]
    facts: Mapping[str, Fact]
    parts: Mapping[str, tuple[Part, ...]]
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    _done: dict[str, Resolved] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def all(self) -> dict[str, Resolved]:
        """Every metric, in order of declaration.

        Raises:
            MetricError: One is wrong; the message names file, line and field.
        """
        return {name: self.resolve(name) for name in self.declared}

    def resolve(self, name: str) -> Resolved:
        """One metric."""
        if name in self._done:
            return self._done[name]
        metric, group = self.declared[name]
        if name in self._open:
            way = " refers to ".join([*self._open[self._open.index(name) :], name])
            raise metric.place.error(name, next(iter(metric.refers), "formula_of"), f"it refers to itself: {way}")
        self._open.append(name)
        try:
            found = self._of_rows(metric, group) if name in self.parts else self._of_metrics(metric, group)
        finally:
            self._open.pop()
        if metric.by is not None and metric.by not in found.entities:
            said = f"{metric.by}: the metric is not computed for it"
            raise metric.place.error(name, "by", said, f"It is computed for {', '.join(found.entities)}.")
        self._done[name] = found
        return found

    # --- From rows ---------------------------------------------------------------------------------------------------

    def _of_rows(self, metric: Metric, group: Group) -> Resolved:
        parts = self.parts[metric.name]
        unit = self._row_unit(metric, group)
        is_money = unit.startswith(CHARGED) or unit in self._currencies()
        sql_type = parts[0].sql_type
        if isinstance(metric, Average):
            sql_type = f"DECIMAL(38,{MONEY_PLACES})"
        if isinstance(metric, Conversion):
            sql_type = f"DECIMAL(38,{SHARE_PLACES})"
        fact = self.facts[group.fact_of(metric)]
        possible = tuple(name for name, entity in self.entities.items() if entity.key is None or name in fact.keys)
        if any(part.is_set for part in parts):
            self._require_no_sets_of_many(metric)
            possible = tuple(name for name in possible if not self.entities[name].opt_in)
        charged = unit == CHARGED
        calendar = self.calendars.get(group.calendar_of(metric) or "")
        return Resolved(
            metric=metric,
            group=group,
            unit=unit,
            sql_type=sql_type,
            parts=tuple(part.name for part in parts),
            facts=tuple(dict.fromkeys(part.fact for part in parts)),
            entities=self._entities(metric, group, possible, charged=charged and is_money),
            # Hours are those of UTC: a row may have a day by another clock and no time.
            grains=tuple(
                grain
                for grain in metric.grains
                if fact.is_dated and grain in group.grains and (calendar is None or grain is not Grain.HOUR)
            ),
            is_signed=isinstance(metric, Measured) and self._is_signed(metric, group),
            calendar=calendar,
            is_dated=fact.is_dated,
        )

    def _require_no_sets_of_many(self, metric: Metric) -> None:
        for name in metric.entities:
            if name in self.entities and self.entities[name].opt_in:
                raise metric.place.error(
                    metric.name,
                    "entities",
                    f"{name}: it has so many members that storing these for each would save no reading of the facts",
                    "Leave it out; `assay metrics query --scan` computes it from the facts.",
                )

    def _is_signed(self, metric: Measured, group: Group) -> bool:
        return "-" in metric.of or bool(columns_in(metric.of, self.facts[group.fact_of(metric)].signed))

    def _row_unit(self, metric: Metric, group: Group) -> str:
        fact = self.facts[group.fact_of(metric)]
        if isinstance(metric, Conversion):
            return SHARE
        if not isinstance(metric, Measured):
            return fact.unit
        used = columns_in(metric.of, fact.money)
        currencies = {fact.money[column] for column in used}
        if isinstance(metric, CountDistinct) or not currencies:
            if not metric.unit:
                raise metric.place.error(
                    metric.name, "unit", f"{metric.of} is not money, so it needs a unit", "Give unit=, as in 'seconds'."
                )
            return metric.unit
        if len(currencies) > 1:
            raise metric.place.error(
                metric.name,
                "of",
                f"{metric.of} mixes money in {' and '.join(sorted(currencies))}",
                "Use columns of one currency only.",
            )
        (unit,) = currencies
        if metric.unit not in (None, unit):
            raise metric.place.error(
                metric.name, "unit", f"{metric.of} is money in {unit}, not {metric.unit}", "Leave unit= out: money has its own."
            )
        return unit

    def _currencies(self) -> set[str]:
        return {unit for fact in self.facts.values() for unit in fact.money.values()}

    # --- From metrics ------------------------------------------------------------------------------------------------

    def _of_metrics(self, metric: Metric, group: Group) -> Resolved:
        referred = self._referred(metric)
        self._require_tier(metric, referred)
        is_dated = self._is_dated(metric, referred)
        calendar = self._calendar(metric, group, referred)
        unit, sql_type, signed = self._shape(metric, referred)
        entities = tuple(self.entities)
        for other in referred.values():
            entities = tuple(name for name in entities if name in other.entities)
        entities = self._entities(metric, group, entities, charged=False)
        if isinstance(metric, Share | Rank):
            entities = self._with_members(metric, entities)
        possible = (*(other.grains for other in referred.values()), group.grains)
        grains = tuple(grain for grain in self._grains(metric) if all(grain in each for each in possible))
        return Resolved(
            metric=metric,
            group=group,
            unit=unit,
            sql_type=sql_type,
            parts=tuple(dict.fromkeys(part for other in referred.values() for part in other.parts)),
            facts=tuple(dict.fromkeys(fact for other in referred.values() for fact in other.facts)),
            entities=entities,
            grains=grains,
            is_signed=signed,
            is_trend=isinstance(metric, Moving | Cumulative | Growth | Followed),
            refers=tuple(other.name for other in referred.values()),
            calendar=calendar,
            is_dated=is_dated,
        )

    def _is_dated(self, metric: Metric, referred: Mapping[str, Resolved]) -> bool:
        """Whether what a metric is computed from is of periods: either all of it, or nothing."""
        (_, first), *others = referred.items()
        for attribute, other in others:
            if other.is_dated != first.is_dated:
                ever, periods = (first, other) if other.is_dated else (other, first)
                said = f"{ever.name} is over all days and {periods.name} of periods"
                raise metric.place.error(metric.name, attribute, said, "Name metrics of one kind.")
        if not first.is_dated and isinstance(metric, Moving | Cumulative | Growth | Followed):
            said = f"{first.name} is over all days, so there are no periods to look at"
            raise metric.place.error(metric.name, next(iter(referred)), said, "Name a metric of periods.")
        return first.is_dated

    def _calendar(self, metric: Metric, group: Group, referred: Mapping[str, Resolved]) -> Calendar | None:
        """The calendar of what a metric is computed from, which is the same for all of it."""
        (_, first), *others = referred.items()
        for attribute, other in others:
            if other.calendar != first.calendar:
                raise metric.place.error(
                    metric.name,
                    attribute,
                    f"{other.name} is by {other.days} days and {first.name} by {first.days} days",
                    "Name metrics of one calendar.",
                )
        asked = self.calendars.get(group.calendar_of(metric) or "")
        if asked is not None and asked != first.calendar:
            raise metric.place.error(
                metric.name,
                "calendar",
                f"{first.name}, which it is computed from, is by {first.days} days",
                f"Name metrics by {asked.title} days, or leave the calendar out.",
            )
        return first.calendar

    def _referred(self, metric: Metric) -> dict[str, Resolved]:
        refers = metric.refers
        if isinstance(metric, Derived):
            try:
                refers = {f"formula_of ({name})": name for name in names_in(metric.formula_of)}
            except ValueError as error:
                raise metric.place.error(metric.name, "formula_of", str(error)) from error
            if not refers:
                raise metric.place.error(metric.name, "formula_of", "it names no metric")
        found = {}
        for attribute, name in refers.items():
            if name not in self.declared:
                hint = suggestion(name, self.declared, "`assay metrics list` shows all.")
                raise metric.place.error(metric.name, attribute, f"there is no metric {name}", hint)
            found[attribute] = self.resolve(name)
        return found

    def _require_tier(self, metric: Metric, referred: Mapping[str, Resolved]) -> None:
        for attribute, other in referred.items():
            try:
                self._require_additivity(metric, other)
            except MetricError as error:
                raise type(error)(f"{metric.place}: {metric.name}: {attribute}: {error.message}", hint=error.hint) from error

    def _require_additivity(self, metric: Metric, other: Resolved) -> None:
        additivity = other.metric.additivity
        said = f"{other.name}, a {other.metric.type},"
        if isinstance(metric, Followed):
            if not isinstance(other.metric, CountDistinct):
                raise MetricError(
                    f"{said} is not a distinct count, so nobody can be followed in it", hint="Name a CountDistinct."
                )
            return
        if additivity is Additivity.WINDOWED:
            raise cannot(additivity, said, "be computed with")
        if isinstance(metric, Share) and (additivity is not Additivity.ADDITIVE and not self._is_sum(other)):
            raise cannot(additivity, said, "be added up to a total")
        if isinstance(metric, Moving | Cumulative) and any(self._part(name).is_set for name in other.parts):
            raise cannot(Additivity.SETS, said, "be added up over days")
        if isinstance(metric, Moving) and metric.daily and additivity is not Additivity.ADDITIVE and not self._is_sum(other):
            raise cannot(additivity, said, "be divided by days")
        if isinstance(metric, Moving | Cumulative) and isinstance(other.metric, Share):
            raise cannot(additivity, said, "be added up over days")

    def _is_sum(self, other: Resolved) -> bool:
        """Whether a metric is made of additive metrics by adding and subtracting only."""
        if isinstance(other.metric, Derived):
            return all(self._is_sum(self.resolve(name)) for name in other.refers)
        return other.metric.additivity is Additivity.ADDITIVE

    def _part(self, name: str) -> Part:
        return next(part for parts in self.parts.values() for part in parts if part.name == name)

    def _shape(self, metric: Metric, referred: Mapping[str, Resolved]) -> tuple[str, str, bool]:
        """Unit, type and sign."""
        share = f"DECIMAL(38,{SHARE_PLACES})"
        others = list(referred.values())
        match metric:
            case Ratio():
                above, below = others
                return self._ratio(metric, above, below)
            case Derived():
                return self._derived(metric, others)
            case Share():
                self._require_exact(metric, others[0])
                return SHARE, share, others[0].is_signed
            case Growth():
                self._require_exact(metric, others[0])
                return SHARE, share, True
            case Retention():
                return SHARE, share, False
            case Rank():
                return "place", "BIGINT", False
            case Moving(daily=True):
                self._require_exact(metric, others[0])
                return f"{others[0].unit} per day", f"DECIMAL(38,{MONEY_PLACES})", others[0].is_signed
            case Moving() | Cumulative() | Retained() | Arrived() | Lost():
                return others[0].unit, others[0].sql_type, others[0].is_signed
        raise metric.place.error(metric.name, "type", f"{metric.type} is not a type of metric that can be computed")

    def _ratio(self, metric: Ratio, above: Resolved, below: Resolved) -> tuple[str, str, bool]:
        self._require_exact(metric, above, "of")
        self._require_exact(metric, below, "to")
        if below.is_signed:
            raise metric.place.error(
                metric.name, "to", f"{below.name} may be negative, so a ratio to it means nothing", "Name one that cannot be."
            )
        moneys = {unit for unit in (above.unit, below.unit) if unit in self._currencies()}
        if len(moneys) > 1:
            raise metric.place.error(
                metric.name,
                "of",
                f"{above.name} is in {above.unit} and {below.name} in {below.unit}",
                "Divide money of one currency only.",
            )
        if above.unit == below.unit:
            return SHARE, f"DECIMAL(38,{SHARE_PLACES})", above.is_signed
        if above.unit in self._currencies() and scale_of(below.sql_type) == 0:
            return f"{above.unit} per {below.unit}", f"DECIMAL(38,{MONEY_PLACES})", above.is_signed
        return f"{above.unit} per {below.unit}", f"DECIMAL(38,{SHARE_PLACES})", above.is_signed

    def _derived(self, metric: Derived, others: list[Resolved]) -> tuple[str, str, bool]:
        for other in others:
            self._require_exact(metric, other, "formula_of")
        units = {other.unit: other.name for other in others}
        if len(units) > 1:
            said = ", ".join(f"{name} is in {unit}" for unit, name in units.items())
            raise metric.place.error(metric.name, "formula_of", f"it adds different units: {said}")
        scale = max(scale_of(other.sql_type) or 0 for other in others)
        sql_type = f"DECIMAL(38,{scale})" if scale else "BIGINT"
        signed = "-" in metric.formula_of or any(other.is_signed for other in others)
        return others[0].unit, sql_type, signed

    def _require_exact(self, metric: Metric, other: Resolved, attribute: str = "of") -> None:
        scale = scale_of(other.sql_type)
        if scale is None:
            raise metric.place.error(metric.name, attribute, f"{other.name} is {other.sql_type}, which is not an exact number")

    # --- Entities and grains -----------------------------------------------------------------------------------------

    def _entities(self, metric: Metric, group: Group, possible: tuple[str, ...], *, charged: bool) -> tuple[str, ...]:
        for name in metric.entities:
            if name not in self.entities:
                raise metric.place.error(
                    metric.name, "entities", f"there is no entity {name}", f"There are {', '.join(self.entities)}."
                )
        if charged:
            possible = tuple(name for name in possible if self.entities[name].is_currency)
        impossible = [name for name in metric.entities if name not in possible]
        if impossible:
            why = (
                "it would add up money of different currencies"
                if charged
                else f"{' and '.join(metric.refers.values()) or metric.formula} is not computed for it"
            )
            raise metric.place.error(metric.name, "entities", f"{impossible[0]}: {why}", f"It can have {', '.join(possible)}.")
        wanted = metric.entities or group.entities or tuple(e.name for e in self.entities.values() if not e.opt_in)
        found = tuple(name for name in possible if name in wanted)
        if not found and charged and not metric.entities:
            return possible
        return found

    def _with_members(self, metric: Share | Rank, entities: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(name for name in entities if self.entities[name].key is not None)
        if metric.within is None:
            return found
        having = tuple(name for name in found if metric.within in {each.name for each in self.entities[name].attributes})
        if not having:
            raise metric.place.error(
                metric.name, "within", f"none of {', '.join(found)} has an attribute {metric.within}", "Name an attribute."
            )
        return having

    def _grains(self, metric: Metric) -> tuple[Grain, ...]:
        match metric:
            case Growth():
                if metric.over not in GROWTH_GRAINS:
                    raise metric.place.error(metric.name, "over", f"{metric.over} is not one of {', '.join(GROWTH_GRAINS)}")
                return GROWTH_GRAINS[metric.over]
            case Cumulative():
                grains = {"month": (Grain.DAY,), "year": (Grain.MONTH,)}
                if metric.since not in grains:
                    raise metric.place.error(metric.name, "since", f"{metric.since} is not one of {', '.join(grains)}")
                return grains[metric.since]
            case Moving() if not 2 <= metric.days <= 366:
                raise metric.place.error(metric.name, "days", f"{metric.days} is not between 2 and 366")
            case Followed() if not 1 <= metric.months <= 24:
                raise metric.place.error(metric.name, "months", f"{metric.months} is not between 1 and 24")
        return metric.grains
