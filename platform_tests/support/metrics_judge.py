"""The judge of metrics: every number computed again in plain Python, row by row, from what the declarations say.

It shares with the compiler the declarations and the value of each declared expression for a single row. Grouping, adding up,
counting, sorting, dividing, rounding, windows and months are its own, in integers, fractions and sets.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import duckdb

from assay.contracts.rules import quote
from assay.metrics import kinds
from assay.metrics.catalog import Catalog
from assay.metrics.declarations import Calendar, Entity, Fact
from assay.metrics.grains import Grain
from assay.metrics.lattice import Mart
from assay.metrics.resolving import Resolved

Period = tuple[Any, ...]
Rows = dict[str, list[dict[str, Any]]]
"""Rows by fact, each a dict of the values of every declared expression."""


def rounded(value: Fraction, places: int) -> Decimal:
    """Round once, half away from zero."""
    whole = math.floor(abs(value) * 10**places + Fraction(1, 2))
    return Decimal(whole if value >= 0 else -whole).scaleb(-places)


def period_of(grain: Grain, day: dt.date, hour: int = 0) -> Period:
    match grain:
        case Grain.HOUR:
            return day, hour
        case Grain.WEEK:
            return (day - dt.timedelta(days=day.weekday()),)
        case Grain.MONTH:
            return (day.replace(day=1),)
        case Grain.YEAR:
            return (day.replace(month=1, day=1),)
    return (day,)


def months_after(month: dt.date, months: int) -> dt.date:
    years, zero = divmod(month.year * 12 + month.month - 1 + months, 12)
    return dt.date(years, zero + 1, 1)


def last_day_of(grain: Grain, first: dt.date) -> dt.date:
    following = {
        Grain.DAY: first + dt.timedelta(days=1),
        Grain.WEEK: first + dt.timedelta(days=7),
        Grain.MONTH: months_after(first, 1),
        Grain.YEAR: first.replace(year=first.year + 1),
    }
    return following[grain] - dt.timedelta(days=1)


def compared_with(metric: kinds.Growth, grain: Grain, first: dt.date) -> dt.date:
    """First day of the period that growth is measured against."""
    match metric.over, grain:
        case "day", _:
            return first - dt.timedelta(days=1)
        case "week", _:
            return first - dt.timedelta(days=7)
        case "month", _:
            return months_after(first, -1)
        case _, Grain.WEEK:
            return first - dt.timedelta(weeks=52)
    return months_after(first, -12)


def looks_back_to(metric: kinds.Metric, grain: Grain, first: dt.date) -> dt.date:
    """First day of all that a metric of a period looks at."""
    match metric:
        case kinds.Moving():
            return first - dt.timedelta(days=metric.days - 1)
        case kinds.Cumulative():
            return period_of(Grain.MONTH if metric.since == "month" else Grain.YEAR, first)[0]
        case kinds.Growth():
            return compared_with(metric, grain, first)
        case kinds.Followed():
            return months_after(first, -metric.months)
    return first


@dataclass
class Judge:
    """Judges one lake.

    Attributes:
        catalog: The declarations.
        connection: Where the facts' relations are.
        calendar: Judge by its days; by UTC days when None.
    """

    catalog: Catalog
    connection: duckdb.DuckDBPyConnection
    calendar: Calendar | None = None
    _grouped: dict[tuple[str, Grain | None], dict[tuple[Any, Period], Rows]] = field(default_factory=dict)

    @cached_property
    def rows(self) -> Rows:
        """All rows of all facts, with every declared expression of each worked out for itself."""
        asked = {fact for metric in self.catalog.metrics.values() if metric.calendar == self.calendar for fact in metric.facts}
        return {name: self._read(fact) for name, fact in self.catalog.facts.items() if name in asked}

    def _read(self, fact: Fact) -> list[dict[str, Any]]:
        wanted = {f"key {entity}": expression for entity, expression in fact.keys.items()}
        if fact.is_dated:
            wanted |= {"day": fact.day, "hour": f"(epoch_us({fact.at}) // 3600000000) % 24"}
        known = self.catalog.tables[fact.table].types
        names = {attribute.name for entity in self.catalog.entities.values() for attribute in entity.attributes}
        wanted |= {f"attribute {name}": name for name in names if name in known}
        for resolved in self.catalog.metrics.values():
            metric = resolved.metric
            if resolved.group.fact_of(metric) != fact.name or resolved.refers:
                continue
            for name in ("of", "where", "reached"):
                if text := getattr(metric, name, ""):
                    wanted[text] = text
        listed = ", ".join(f"({expression}) AS {quote(name)}" for name, expression in wanted.items())
        where = f" WHERE {fact.day} IS NOT NULL" if fact.is_dated else ""
        found = self.connection.execute(f"SELECT {listed} FROM {fact.table}{where}")
        return [dict(zip(wanted, values, strict=True)) for values in found.fetchall()]

    def groups(self, entity: Entity, grain: Grain | None) -> dict[tuple[Any, Period], Rows]:
        """The rows of each member and period; without a grain, those over all days."""
        if (entity.name, grain) not in self._grouped:
            grouped: dict[tuple[Any, Period], Rows] = defaultdict(lambda: {name: [] for name in self.rows})
            counted = self.facts_of(entity, grain)
            for fact, rows in self.rows.items():
                for row in rows if fact in counted else ():
                    key = "" if entity.key is None else row[f"key {entity.name}"] or "unknown"
                    grouped[key, period_of(grain, row["day"], row["hour"]) if grain else ()][fact].append(row)
            self._grouped[entity.name, grain] = dict(grouped)
        return self._grouped[entity.name, grain]

    def facts_of(self, entity: Entity, grain: Grain | None) -> set[str]:
        """The facts that the metrics of an entity and grain count."""
        return {
            fact
            for metric in self.catalog.metrics.values()
            if metric.calendar == self.calendar and entity.name in metric.entities
            if (grain in metric.grains if grain else not metric.is_dated)
            for fact in metric.facts
        }

    # --- One metric --------------------------------------------------------------------------------------------------

    def value(self, name: str, rows: Rows) -> Any:
        """A metric of a set of rows, whatever they have in common."""
        resolved = self.catalog.metrics[name]
        metric = resolved.metric
        match metric:
            case kinds.Ratio():
                above, below = (self.value(each, rows) for each in (metric.of, metric.to))
                places = int(re.sub(r".*,(\d+)\)", r"\1", resolved.sql_type))
                return None if not below or above is None else rounded(Fraction(above) / Fraction(below), places)
            case kinds.Derived():
                values = {each: self.value(each, rows) for each in re.findall(r"[a-z]\w*", metric.formula_of)}
                return None if None in values.values() else eval(metric.formula_of, {}, values)
        own = rows[resolved.group.fact_of(metric)]
        return self._of_rows(metric, own)

    def _of_rows(self, metric: kinds.Metric, rows: list[dict[str, Any]]) -> Any:
        where = getattr(metric, "where", "")
        met = [row for row in rows if not where or row[where] is True]
        if isinstance(metric, kinds.Count):
            return len(met)
        if isinstance(metric, kinds.Conversion):
            reached = sum(row[metric.reached] is True for row in met)
            return rounded(Fraction(reached, len(met)), 8) if met else None
        assert isinstance(metric, kinds.Measured)
        values = [row[metric.of] for row in met if row[metric.of] is not None]
        match metric:
            case kinds.Sum():
                return sum(values)
            case kinds.Minimum():
                return min(values, default=None)
            case kinds.Maximum():
                return max(values, default=None)
            case kinds.Average():
                return rounded(sum(map(Fraction, values), Fraction(0)) / len(values), 4) if values else None
            case kinds.CountDistinct():
                return len(set(values))
            case kinds.Quantile():
                place = math.ceil(Fraction(metric.q) * len(values)) - 1
                return sorted(values)[place] if values else None
        raise AssertionError(f"{metric.type} is not known to the judge")

    # --- A whole mart ------------------------------------------------------------------------------------------------

    def mart(self, entity: Entity, grain: Grain | None, metrics: Iterable[Resolved]) -> dict[tuple[Any, Period], dict[str, Any]]:
        """Every metric of every member and period."""
        groups = self.groups(entity, grain)
        found: dict[tuple[Any, Period], dict[str, Any]] = {at: {} for at in groups}
        for resolved in metrics:
            compute = self._computer(resolved, entity, grain)
            for at in groups:
                found[at][resolved.name] = compute(at)
        return found

    def _computer(self, resolved: Resolved, entity: Entity, grain: Grain | None) -> Callable[[tuple[Any, Period]], Any]:
        metric = resolved.metric
        groups = self.groups(entity, grain)
        match metric:
            case kinds.Share():
                return self._share(metric, entity, grain)
            case kinds.Rank():
                return self._rank(metric, entity, grain)
            case kinds.Moving() if grain:
                return self._moving(metric, entity, grain)
            case kinds.Cumulative() if grain:
                return self._cumulative(metric, entity, grain)
            case kinds.Growth() if grain:
                return self._growth(metric, entity, grain)
            case kinds.Followed():
                return self._followed(metric, entity)
        return lambda at: self.value(resolved.name, groups[at])

    def attribute(self, entity: Entity, grain: Grain | None, at: tuple[Any, Period], name: str) -> Any:
        """What a mart says of a member in a period."""
        rows = [row for rows in self.groups(entity, grain)[at].values() for row in rows]
        return max((row[f"attribute {name}"] for row in rows if row.get(f"attribute {name}") is not None), default=None)

    def _rivals(self, entity: Entity, grain: Grain | None, of: str, within: str | None) -> Mapping[Any, dict[Any, Any]]:
        """The values of a metric of all members of a period, by what they are compared within."""
        found: dict[Any, dict[Any, Any]] = defaultdict(dict)
        for at, rows in self.groups(entity, grain).items():
            same = self.attribute(entity, grain, at, within) if within else None
            found[at[1], same][at[0]] = self.value(of, rows)
        return found

    def _share(self, metric: kinds.Share, entity: Entity, grain: Grain | None) -> Callable[[tuple[Any, Period]], Any]:
        rivals = self._rivals(entity, grain, metric.of, metric.within)

        def compute(at: tuple[Any, Period]) -> Any:
            among = rivals[at[1], self.attribute(entity, grain, at, metric.within) if metric.within else None]
            total = sum(among.values())
            return rounded(Fraction(among[at[0]]) / Fraction(total), 8) if total > 0 else None

        return compute

    def _rank(self, metric: kinds.Rank, entity: Entity, grain: Grain | None) -> Callable[[tuple[Any, Period]], Any]:
        rivals = self._rivals(entity, grain, metric.of, metric.within)

        def compute(at: tuple[Any, Period]) -> Any:
            among = rivals[at[1], self.attribute(entity, grain, at, metric.within) if metric.within else None]
            own = among[at[0]]
            return None if own is None else 1 + sum(other is not None and other > own for other in among.values())

        return compute

    def _moving(self, metric: kinds.Moving, entity: Entity, grain: Grain) -> Callable[[tuple[Any, Period]], Any]:
        assert grain is Grain.DAY
        groups = self.groups(entity, grain)

        def compute(at: tuple[Any, Period]) -> Any:
            last = at[1][0]
            days = [last - dt.timedelta(days=back) for back in range(metric.days)]
            value = self.value(metric.of, _together(groups, [(at[0], (day,)) for day in days]))
            return rounded(Fraction(value) / metric.days, 4) if metric.daily else value

        return compute

    def _cumulative(self, metric: kinds.Cumulative, entity: Entity, grain: Grain) -> Callable[[tuple[Any, Period]], Any]:
        groups = self.groups(entity, grain)
        start = Grain.MONTH if metric.since == "month" else Grain.YEAR

        def compute(at: tuple[Any, Period]) -> Any:
            first = period_of(start, at[1][0])[0]
            return self.value(
                metric.of, _together(groups, [each for each in groups if each[0] == at[0] and first <= each[1][0] <= at[1][0]])
            )

        return compute

    def _growth(self, metric: kinds.Growth, entity: Entity, grain: Grain) -> Callable[[tuple[Any, Period]], Any]:
        groups = self.groups(entity, grain)

        def compute(at: tuple[Any, Period]) -> Any:
            then = groups.get((at[0], (compared_with(metric, grain, at[1][0]),)))
            base = None if then is None else self.value(metric.of, then)
            now = self.value(metric.of, groups[at])
            if base is None or base <= 0 or now is None:
                return None
            return rounded((Fraction(now) - Fraction(base)) / Fraction(base), 8)

        return compute

    def _followed(self, metric: kinds.Followed, entity: Entity) -> Callable[[tuple[Any, Period]], Any]:
        counted = self.catalog.metrics[metric.of].metric
        assert isinstance(counted, kinds.CountDistinct)
        fact = self.catalog.metrics[metric.of].group.fact_of(counted)
        groups = self.groups(entity, Grain.MONTH)

        def seen(key: Any, month: dt.date) -> set[Any]:
            rows = groups.get((key, (month,)), {}).get(fact, [])
            return {row[counted.of] for row in rows if not counted.where or row[counted.where] is True} - {None}

        def compute(at: tuple[Any, Period]) -> Any:
            key, (month,) = at
            now, then = seen(key, month), seen(key, months_after(month, -metric.months))
            between = [seen(key, months_after(month, -back)) for back in range(metric.months)]
            match metric:
                case kinds.Retained():
                    return len(now & then)
                case kinds.Retention():
                    return rounded(Fraction(len(now & then), len(then)), 8) if then else None
                case kinds.Arrived():
                    return len(now - then - set().union(*between[1:]))
                case kinds.Lost():
                    return len(then - set().union(*between))
            raise AssertionError(f"{metric.type} is not known to the judge")

        return compute


def _together(groups: Mapping[tuple[Any, Period], Rows], wanted: Iterable[tuple[Any, Period]]) -> Rows:
    found: Rows = defaultdict(list)
    for at in wanted:
        for fact, rows in groups.get(at, {}).items():
            found[fact] += rows
    return found


def published(lake: duckdb.DuckDBPyConnection, relation: str, mart: Mart) -> dict[tuple[Any, tuple[Any, ...]], dict[str, Any]]:
    """The rows of a mart by member and period."""
    found = lake.execute(f"SELECT * FROM {relation}")
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    return {(row[mart.entity.key] if mart.entity.key else "", tuple(row[name] for name in mart.period)): row for row in rows}


def differences(computed: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, Any]]) -> Iterator[str]:
    """Where a mart says something else than its judge."""
    for at, metrics in expected.items():
        for name, value in metrics.items():
            if computed[at][name] != value:
                yield f"{at}: {name} is {computed[at][name]!r}, and should be {value!r}"
