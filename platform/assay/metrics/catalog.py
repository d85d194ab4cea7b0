"""The catalog: a domain's declarations about metrics, resolved and validated.

Belongs here: collecting declarations and finding metrics by name. Does not belong here: what a metric is (`kinds`), its SQL
(`compiler`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import ModuleType
from typing import cast

from assay.contracts import Table
from assay.contracts.modules import modules_of
from assay.errors import ContractError, SettingsError
from assay.metrics import declarations, kinds
from assay.metrics.additivity import MetricError
from assay.metrics.declarations import Calendar, Entity, Fact, Group, by_calendar
from assay.metrics.kinds import Metric
from assay.metrics.parts import Part, PartKey, is_of_rows, parts_of
from assay.metrics.probing import Prober, conditions_of, require_fact
from assay.metrics.resolving import Resolved, Resolver
from assay.metrics.validation import by_name, require_calendars, require_facts, require_metrics, require_parts, require_totals
from assay.nearest import suggestion


@dataclass(frozen=True)
class Catalog:
    """Facts, entities and metrics of a domain, consistent with each other and with the contracts.

    Attributes:
        facts: By name; those by a calendar that metrics ask for, too.
        entities: By name.
        groups: By name.
        metrics: By name, in order of declaration.
        parts: Every stored part by name.
        tables: The contracts of the facts' relations.
        calendars: By name.
    """

    facts: Mapping[str, Fact]
    entities: Mapping[str, Entity]
    groups: Mapping[str, Group]
    metrics: Mapping[str, Resolved]
    parts: Mapping[str, Part]
    tables: Mapping[str, Table]
    calendars: Mapping[str, Calendar] = field(default_factory=dict)

    @cached_property
    def rows_parts(self) -> Mapping[str, Part]:
        """By fact, the part that counts all its rows; the books of marts are closed with it."""
        return {
            part.fact: part
            for part in reversed(list(self.parts.values()))
            if part.function == "count" and not part.of and not part.where
        }

    @cached_property
    def total_parts(self) -> Mapping[str, Part]:
        """By fact that names a total, the part that adds it up over all its rows."""
        return {
            part.fact: part
            for part in self.parts.values()
            if part.function == "sum" and not part.where and part.of == self.facts[part.fact].total
        }

    def find(self, name: str) -> Resolved:
        """Find a metric by name.

        Raises:
            SettingsError: There is no such metric.
        """
        if name in self.metrics:
            return self.metrics[name]
        raise SettingsError(f"There is no metric {name}.", hint=suggestion(name, self.metrics, "`assay metrics list` shows all."))


def read_catalog(package: str, tables: Mapping[str, Table]) -> Catalog:
    """Read the facts, entities, groups and calendars that the modules of a package declare.

    Args:
        package: Import name of a package, each of whose modules may contain declarations.
        tables: The domain's tables, to which facts refer.

    Raises:
        MetricError: A declaration is wrong; the message names file, line and field.
    """
    declared = [value for module in _modules(package) for value in _listed(module)]
    unique = {id(value): value for value in declared}.values()
    return make_catalog(
        [each for each in unique if isinstance(each, Fact)],
        [each for each in unique if isinstance(each, Entity)],
        [each for each in unique if isinstance(each, Group)],
        tables,
        [each for each in unique if isinstance(each, Calendar)],
    )


def make_catalog(
    facts: Iterable[Fact],
    entities: Iterable[Entity],
    groups: Iterable[Group],
    tables: Mapping[str, Table],
    calendars: Iterable[Calendar] = (),
) -> Catalog:
    """Resolve and validate declarations.

    Raises:
        MetricError: One is wrong.
    """
    named_facts = cast("dict[str, Fact]", by_name("fact", facts))
    named_entities = cast("dict[str, Entity]", by_name("entity", entities))
    named_groups = cast("dict[str, Group]", by_name("group", groups))
    named_calendars = cast("dict[str, Calendar]", by_name("calendar", calendars))
    require_facts(named_facts, named_entities, tables)
    require_calendars(named_calendars, named_facts, named_entities, tables)
    declared = require_metrics(named_groups, named_facts, named_entities, named_calendars)
    named_facts |= _by_calendars(declared, named_facts, named_calendars)
    with Prober(named_facts, tables) as prober:
        prober.require_names(metric for metric, _ in declared.values())
        for fact in named_facts.values():
            require_fact(prober, fact, tables[fact.table].types)
        parts = _stored(prober, declared, named_facts)
    require_parts(parts, declared)
    require_totals(parts, named_facts)
    metrics = Resolver(declared, named_entities, named_facts, parts, named_calendars).all()
    stored = {part.name: part for own in parts.values() for part in own}
    counted = {part.fact for part in stored.values() if part.function == "count" and not part.of and not part.where}
    for name in named_facts:
        if name not in counted:
            stored[f"{name}_rows"] = Part(f"{name}_rows", name, "count", "", "", "", "", "BIGINT")
    return Catalog(named_facts, named_entities, named_groups, metrics, stored, tables, named_calendars)


def _by_calendars(
    declared: Mapping[str, tuple[Metric, Group]], facts: Mapping[str, Fact], calendars: Mapping[str, Calendar]
) -> dict[str, Fact]:
    """The facts by the calendars that metrics ask for."""
    asked = {
        (metric.fact or group.fact, calendar)
        for metric, group in declared.values()
        if (calendar := group.calendar_of(metric)) is not None and is_of_rows(metric)
    }
    made = (by_calendar(facts[fact], calendars[calendar]) for fact, calendar in sorted(asked))
    return {fact.name: fact for fact in made}


def _stored(
    prober: Prober, declared: Mapping[str, tuple[Metric, Group]], facts: Mapping[str, Fact]
) -> dict[str, tuple[Part, ...]]:
    """Type the parts of each metric that is computed from rows; a part that two metrics need is stored once."""
    raw = {name: parts_of(metric, group.fact_of(metric)) for name, (metric, group) in declared.items()}
    # A metric that is itself a part keeps its name, wherever it is declared; only then do other parts get their names.
    own = {name: parts for name, parts in raw.items() if parts}
    first: dict[PartKey, Part] = {}
    for name, parts in own.items():
        for part in parts:
            if part.name == name:
                before = first.setdefault(part.key, part)
                if before is not part:
                    metric = declared[name][0]
                    other = declared[before.metric][0].place
                    raise metric.place.error(name, "of", f"it is the same as {before.metric} at {other}", "Remove one of them.")
    for parts in own.values():
        for part in parts:
            first.setdefault(part.key, part)
    typed: dict[PartKey, Part] = {}
    for fact in facts.values():
        ours = [(declared[part.metric][0], part) for part in first.values() if part.fact == fact.name]
        tests = [
            (metric, attribute, test)
            for metric, group in declared.values()
            if group.fact_of(metric) == fact.name
            for attribute, test in conditions_of(metric)
        ]
        for part in prober.type_parts(fact, ours, tests):
            typed[part.key] = part
    return {name: tuple(typed[part.key] for part in parts) for name, parts in own.items()}


def _modules(package: str) -> Iterator[ModuleType]:
    try:
        yield from modules_of(package)
    except ContractError as error:
        refused = _refused_fields(error.__cause__)
        if refused is None:
            raise
        raise refused from error


def _refused_fields(error: BaseException | None) -> MetricError | None:
    """Turn Python's error about unknown or missing fields into one that names the place of the declaration."""
    if not isinstance(error, TypeError):
        return None
    found = re.match(
        r"(\w+)\.__init__\(\) (?:got an unexpected keyword argument|missing .*arguments?:) (.+?)(?:\. Did .*)?$", str(error)
    )
    declared = found and {**vars(kinds), **vars(declarations)}.get(found.group(1))
    if not found or not (isinstance(declared, type) and issubclass(declared, declarations.Declared)):
        return None
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    place = declarations.Place(frame.f_code.co_filename, line)
    names = ", ".join(re.findall(r"'(\w+)'", found.group(2)))
    if "missing" in str(error):
        return place.error(found.group(1), names, "it is missing")
    known = [each.name for each in fields(declared) if each.init]
    return place.error(
        found.group(1), names, f"{found.group(1)} has no such field", suggestion(names, known, f"It has {', '.join(known)}.")
    )


def _listed(module: ModuleType) -> Iterator[object]:
    for value in vars(module).values():
        if isinstance(value, tuple | list):
            yield from (each for each in value if isinstance(each, Fact | Entity | Group | Calendar))
        elif isinstance(value, Fact | Entity | Group | Calendar):
            yield value
