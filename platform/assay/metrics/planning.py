"""Planning: which mart gives an exact answer to a question at the least cost, and its SQL.

Belongs here: questions, their candidates, and why each can or cannot answer. Does not belong here: running anything
(`pipeline.metrics`).

The coarsest exact mart wins: one of the requested grain whose periods the requested days fill, otherwise a finer one whose parts
add up to it. If no mart has the answer, it is computed from the facts on request. Facts over all days are added up already:
they answer themselves.

A period is partial until there are data of a later one. A mart does not store that: it only knows whether there are data of the
period's last day. A period by another calendar lies in UTC days up to the one after it, so that it is partial until there are
data of a UTC day after that one. A period is partial, too, if what a metric of it looks at begins before the first day of data.
No mart stores that either: older data that come would change it for many periods. So is a period of which not all days are asked
for, or whose trends are not built yet.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from assay.contracts import periods
from assay.errors import SettingsError
from assay.metrics.compiler import counted_rows, hour_of, key_of, last_utc_day, starts_at_zero
from assay.metrics.declarations import NEAR, Calendar, Entity, Fact, LocalFact, calendar_of, clock_of
from assay.metrics.expressions import Writer
from assay.metrics.grains import Grain, first_day, last_day
from assay.metrics.kinds import Rank, Share
from assay.metrics.lattice import Lattice, Mart
from assay.metrics.parts import Part
from assay.metrics.resolving import ALL_DAYS, Resolved
from assay.metrics.text import Select, indented, statement
from assay.metrics.trends import first_day_seen

_NEWEST = "$newest"
"""Stands in a statement for the first day of the newest period of what is read; by a calendar, for the newest UTC day."""
_FIRST = "$first"
"""Stands in a statement for the first UTC day with data of any fact."""


@dataclass(frozen=True)
class Days:
    """A range of consecutive days.

    Attributes:
        first: The first day; None for no lower bound.
        last: The last day, inclusive; None for no upper bound.
    """

    first: dt.date | None = None
    last: dt.date | None = None

    def fill(self, grain: Grain) -> bool:
        """Whether they are whole periods of a grain."""
        cut = periods.Grain.DAY if grain is Grain.HOUR else periods.Grain(grain)
        begins = self.first is None or periods.first_day(cut, self.first) == self.first
        return begins and (self.last is None or periods.last_day(cut, periods.first_day(cut, self.last)) == self.last)

    def cut(self, grain: Grain, period: str) -> list[str]:
        """SQL conditions, one of which a period meets that has other days, too; none if no period does."""
        tests = [] if Days(first=self.first).fill(grain) else [f"{period} < DATE '{self.first}'"]
        return tests if Days(last=self.last).fill(grain) else [*tests, f"{last_day(grain, period)} > DATE '{self.last}'"]

    def condition(self, column: str) -> str:
        """SQL condition that a date is one of them; empty when every date is."""
        tests = [f"{column} >= DATE '{self.first}'"] if self.first else []
        tests += [f"{column} <= DATE '{self.last}'"] if self.last else []
        return " AND ".join(tests)


@dataclass(frozen=True)
class Question:
    """A question about metrics.

    Attributes:
        metrics: Names of metrics.
        by: Names of entities; the whole company when empty.
        grain: The period of each row; None for one row over all days.
        days: The days.
    """

    metrics: tuple[str, ...]
    by: tuple[str, ...] = ()
    grain: Grain | None = None
    days: Days = field(default_factory=Days)


@dataclass(frozen=True)
class Candidate:
    """A way to answer a question.

    Attributes:
        name: What is read, in words.
        relations: The relations read.
        sql: The statement, except for how far the data reach (`statement`); empty if it cannot answer.
        why: Why it is exact, or why it cannot answer.
        near: Days around those asked for that rows about them may be in.
        facts: What is counted, as SQL names it, where its days are not those of what is read.
        begin: Relations whose first partition is the first day of data; empty if no period can begin before that.
    """

    name: str
    relations: tuple[str, ...]
    sql: str
    why: str
    near: int = 0
    facts: tuple[str, ...] = ()
    begin: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether it gives the exact answer."""
        return bool(self.sql)

    @property
    def has_periods(self) -> bool:
        """Whether its rows are periods, which may be partial."""
        return _NEWEST in self.sql

    def statement(self, newest: dt.date | None, first: dt.date | None = None) -> str:
        """The complete statement.

        Args:
            newest: The first day of the newest period, or the newest day, of what is read; None where nothing is. By a
                calendar, the newest UTC day that is in it.
            first: The first day of data; None where there are none.
        """
        return self.sql.replace(_NEWEST, _date(newest)).replace(_FIRST, _date(first))


@dataclass(frozen=True)
class Plan:
    """The answers considered for a question.

    Attributes:
        chosen: The candidate chosen; None if only the facts can answer.
        scan: The candidate of the facts; None if even they cannot answer.
        considered: Every candidate, coarsest first.
        calendar: The calendar of its days; None for UTC.
        is_dated: Whether it is about periods; otherwise it is over all days.
    """

    chosen: Candidate | None
    scan: Candidate | None
    considered: tuple[Candidate, ...]
    calendar: Calendar | None = None
    is_dated: bool = True

    @property
    def days(self) -> str:
        """What its days are called."""
        return clock_of(self.calendar) if self.is_dated else ALL_DAYS


def plan(lattice: Lattice, question: Question) -> Plan:
    """Find the cheapest exact way to answer a question.

    Args:
        lattice: The lattice.
        question: The question.

    Raises:
        SettingsError: The question names an unknown metric or entity.
    """
    metrics = [lattice.catalog.find(name) for name in dict.fromkeys(question.metrics)]
    entities = _entities(lattice, question)
    calendar = _calendar(metrics)
    planner = _Planner(lattice, question, metrics, entities, calendar)
    scan = planner.scan()
    if not any(metric.is_dated for metric in metrics):
        return Plan(scan if scan.is_exact else None, None, (scan,), is_dated=False)
    considered = list(planner.marts()) if len(entities) == 1 else []
    # The requested grain is stored directly; finer ones cost more.
    chosen = next((candidate for candidate in considered if candidate.is_exact), None)
    return Plan(chosen, scan if scan.is_exact else None, (*considered, scan), calendar)


def _calendar(metrics: Sequence[Resolved]) -> Calendar | None:
    """The calendar of the metrics of a question, who are all by the same."""
    first, *others = metrics
    for other in others:
        if other.calendar != first.calendar:
            raise SettingsError(
                f"{first.name} is by {first.days} days and {other.name} by {other.days} days.", hint="Ask for them one by one."
            )
    return first.calendar


def _entities(lattice: Lattice, question: Question) -> tuple[Entity, ...]:
    known = lattice.catalog.entities
    for name in question.by:
        if name not in known:
            raise SettingsError(f"There is no entity {name}.", hint=f"Metrics are grouped by {', '.join(known)}.")
    named = tuple(known[name] for name in dict.fromkeys(question.by) if known[name].key is not None)
    return named or (next(entity for entity in known.values() if entity.key is None),)


@dataclass(frozen=True)
class _Planner:
    lattice: Lattice
    question: Question
    metrics: Sequence[Resolved]
    entities: tuple[Entity, ...]
    calendar: Calendar | None

    # --- From marts --------------------------------------------------------------------------------------------------

    def marts(self) -> Iterator[Candidate]:
        """Consider every mart of the entity, the coarsest first."""
        (entity,) = self.entities
        marts = [mart for mart in self.lattice.marts if mart.entity == entity and mart.calendar == self.calendar]
        for mart in sorted(marts, key=lambda mart: -mart.grain.days * 24 + (mart.grain is Grain.HOUR)):
            if self.question.grain is None or mart.grain is self.question.grain or mart.grain.divides(self.question.grain):
                yield self._from_mart(mart)

    def _from_mart(self, mart: Mart) -> Candidate:
        days = self.question.days
        relations = [mart.full_name]
        if any(metric.is_trend for metric in self.metrics):
            relations.append(mart.trend_name)

        def no(why: str) -> Candidate:
            return Candidate(mart.full_name, tuple(relations), "", why)

        def yes(sql: str, why: str) -> Candidate:
            return Candidate(mart.full_name, tuple(relations), sql, why, facts=self._facts(), begin=self._begin(mart))

        missing = [metric.name for metric in self.metrics if mart.entity.name not in metric.entities]
        if missing:
            return no(f"{missing[0]} is not computed for {mart.entity.title}")
        missing = [metric.name for metric in self.metrics if mart.grain not in metric.grains]
        if missing:
            return no(f"{missing[0]} is not computed by the {mart.grain}")
        if not days.fill(mart.grain):
            return no(f"the requested days are not whole {mart.grain}s")
        if mart.grain is self.question.grain:
            return yes(self._stored(mart), "it stores the answer")
        for metric in self.metrics:
            if metric.is_trend:
                return no(f"{metric.name} depends on other periods of its own grain")
            sets = [name for name in metric.parts if self.lattice.catalog.parts[name].is_set]
            if sets:
                return no(f"{metric.name} cannot be added up: members of two {mart.grain}s would be counted twice")
        return yes(self._rolled_up(mart), f"what it stores adds up exactly over {mart.grain}s")

    def _facts(self) -> tuple[str, ...]:
        if self.calendar is None:
            return ()
        names = dict.fromkeys(name for metric in self.metrics for name in metric.facts)
        return tuple(self.lattice.catalog.facts[name].table for name in names)

    def _begin(self, mart: Mart | None = None) -> tuple[str, ...]:
        """The relations of which the first partition is the first day of data, as far as the answer depends on it."""
        if not self._reach_back():
            return ()
        dated = {fact.name: fact.table for fact in self.lattice.catalog.facts.values() if fact.is_dated and not calendar_of(fact)}
        if mart is not None and mart.grain.days == 1 and dated.keys() <= {part.fact for part in self.lattice.stored(mart)}:
            return (mart.full_name,)
        return tuple(dict.fromkeys(dated.values()))

    def _reach_back(self) -> bool:
        """Whether metrics of a period are computed from more than one UTC day."""
        grain = self.question.grain
        is_longer = grain is not None and (grain.days > 1 or self.calendar is not None)
        return is_longer or any(metric.is_trend for metric in self.metrics)

    def _stored(self, mart: Mart) -> str:
        source = mart.full_name
        columns = {name: name for name in (*mart.period, *mart.entity.keys)}
        columns |= {metric.name: metric.name for metric in self.metrics}
        columns |= self._partial(mart.grain.period_column)
        if self.calendar is not None:
            columns["is_partial"] = f"{mart.name}.is_partial OR {columns['is_partial']}"
        if any(metric.is_trend for metric in self.metrics):
            source += f"\nLEFT JOIN {mart.trend_name} AS trend USING ({', '.join(mart.key)})"
            columns["is_partial"] = f"trend.ingestion_timestamp IS NULL OR {columns['is_partial']}"
        where = self.question.days.condition(mart.grain.period_column)
        return statement([], {}, Select(columns, source, where=where)) + _order((*mart.period, *mart.entity.keys))

    def _rolled_up(self, mart: Mart) -> str:
        day = mart.grain.period_column
        columns = self._period(day, "hour") | {key: key for key in mart.entity.keys}
        # As in rolled-up marts: the last in alphabetical order if a period has several.
        within = dict.fromkeys(name for metric in self.metrics for name in self._within(metric))
        columns |= {name: f"max({name})" for name in within}
        parts = self._parts()
        columns |= {part.name: part.merged(part.name) for part in parts}
        where = self.question.days.condition(day)
        return self._finished({"added_up": Select(columns, mart.full_name, where=where, grouped=True)}, parts)

    # --- From facts --------------------------------------------------------------------------------------------------

    def scan(self) -> Candidate:
        """Consider computing the answer from the facts themselves."""
        parts = self._parts()
        facts = [self.lattice.catalog.facts[name] for name in dict.fromkeys(part.fact for part in parts)]
        relations = tuple(fact.table for fact in facts)
        name = " and ".join(fact.unit for fact in facts) or "the facts"
        by = [entity.name for entity in self.entities]
        for metric in self.metrics:
            if metric.is_trend:
                why = f"{metric.name} depends on other periods, and is only known where it is stored"
                return Candidate(name, relations, "", why)
            if within := self._within(metric):
                # Which value a member has is only known to marts, from the rows of all facts.
                why = f"{metric.name} compares those of the same {within[0]}, which is only known where it is stored"
                return Candidate(name, relations, "", why)
            if metric.is_charged and not any(entity.is_currency for entity in self.entities):
                why = f"{metric.name} is money as charged, and different currencies cannot be added up: ask by currency, too"
                return Candidate(name, relations, "", why)
            if self.calendar is not None and self.question.grain is Grain.HOUR:
                why = f"{metric.name} is by {metric.days} days, which have no hours"
                return Candidate(name, relations, "", why)
        if refused := self._unanswered(facts):
            return Candidate(name, relations, "", refused)
        branches = {}
        for fact in facts:
            columns = self._period(fact.day, hour_of(fact))
            columns |= {str(entity.key): key_of(entity, fact) for entity in self.entities if entity.key is not None}
            columns |= {part.name: part.aggregate() for part in parts if part.fact == fact.name}
            where = " AND ".join(filter(None, (counted_rows(fact), self.question.days.condition(fact.day))))
            branches[f"from_{fact.name}"] = Select(columns, fact.table, where=where, grouped=True)
        said = f"every row is read, by {' and '.join(by)}"
        if not any(fact.is_dated for fact in facts):
            name, said = " and ".join(relations), "it is added up over all days already"
        near = NEAR if any(isinstance(fact, LocalFact) for fact in facts) else 0
        return Candidate(name, relations, self._finished(branches, parts), said, near, self._facts(), self._begin())

    def _unanswered(self, facts: Sequence[Fact]) -> str:
        """Why facts over all days do not answer the question; empty if they do."""
        for fact in facts:
            if fact.is_dated:
                continue
            metric = next(metric.name for metric in self.metrics if fact.name in metric.facts)
            if self.question.grain is not None or self.question.days != Days():
                return f"{metric} is over all days, and not of periods: ask without a grain and without days"
            unknown = [entity for entity in self.entities if entity.key is not None and entity.name not in fact.keys]
            if unknown:
                return f"{metric} is kept by {' and '.join(fact.keys)}, not by {unknown[0].name}"
        return ""

    def _within(self, metric: Resolved) -> tuple[str, ...]:
        """The attributes within which a metric, or any metric that it is computed from, compares members."""
        declared = metric.metric
        own = (declared.within,) if isinstance(declared, Share | Rank) and declared.within else ()
        known = self.lattice.catalog.metrics
        return (*own, *(name for other in metric.refers for name in self._within(known[other])))

    def _parts(self) -> list[Part]:
        names = dict.fromkeys(name for metric in self.metrics for name in metric.parts)
        return [self.lattice.catalog.parts[name] for name in names]

    def _period_names(self) -> tuple[str, ...]:
        grain = self.question.grain
        if grain is None:
            return ()
        return (grain.period_column, "hour") if grain is Grain.HOUR else (grain.period_column,)

    def _period(self, day: str, hour: str) -> dict[str, str]:
        grain = self.question.grain
        expressions = () if grain is None else (first_day(grain, day), hour)
        return dict(zip(self._period_names(), expressions, strict=False))

    def _partial(self, period: str) -> dict[str, str]:
        grain = self.question.grain
        if grain is None:
            return {}
        tests = [f"{last_utc_day(grain, self.calendar, period)} >= {_NEWEST}"]
        tests += self.question.days.cut(grain, period)
        if self._reach_back():
            begin = dict.fromkeys(first_day_seen(metric, grain, period) for metric in self.metrics)
            near = "" if self.calendar is None else f" - {NEAR}"
            tests += [f"{each}{near} < {_FIRST}" for each in begin]
        return {"is_partial": " OR ".join(tests)}

    def _finished(self, branches: Mapping[str, Select], parts: Sequence[Part]) -> str:
        """Join the parts that one or more relations give, and compute the metrics from them."""
        tables: dict[str, tuple[list[str], str]] = {name: ([], indented(each.text())) for name, each in branches.items()}
        first = next(iter(branches))
        period = self._period_names()
        keys = [*period, *(key for entity in self.entities for key in entity.keys)]
        source = first
        if len(branches) > 1:
            tables["side_by_side"] = ([], "\n  UNION ALL BY NAME\n".join(f"  FROM {name}" for name in branches))
            columns = {name: name for name in keys}
            for part in parts:
                columns[part.name] = f"coalesce(max({part.name}), 0)" if starts_at_zero(part) else f"max({part.name})"
            tables["together"] = ([], indented(Select(columns, "side_by_side", grouped=True).text()))
            source = "together"
        writer = Writer(self.lattice.catalog)
        columns = {name: name for name in keys}
        for metric in self.metrics:
            columns[metric.name] = writer.over_parts(metric, lambda name: name, period)
        columns |= self._partial(period[0]) if period else {}
        return statement([], tables, Select(columns, source)) + _order(keys)


def _date(day: dt.date | None) -> str:
    return f"DATE '{day}'" if day else "CAST(NULL AS DATE)"


def _order(keys: Sequence[str]) -> str:
    return f"ORDER BY {', '.join(keys)}\n" if keys else ""
