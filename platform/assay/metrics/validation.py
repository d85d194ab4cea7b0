"""Validation: consistency of facts, entities, groups and names, before any metric is resolved.

Belongs here: the checks of a catalog as a whole. Does not belong here: a metric's own fields (`resolving`), its SQL (`probing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints

from assay.contracts import Table
from assay.contracts.columns import column_specs
from assay.contracts.model import RUN_COLUMNS, Published
from assay.metrics.declarations import CHARGED, Calendar, Declared, Entity, Fact, Group, calendar_of, local_name
from assay.metrics.grains import SPAN_COLUMNS, Grain
from assay.metrics.kinds import Metric, Quantile
from assay.metrics.parts import Part, is_of_rows

NAME = r"[a-z][a-z0-9_]*"
PERIOD_COLUMNS = ("hour", *SPAN_COLUMNS, *(str(grain) for grain in Grain))
"""Columns of every mart besides keys and metrics."""
_TYPES: Mapping[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    str | None: ((str, type(None)), "text"),
    int: ((int,), "a whole number"),
    bool: ((bool,), "True or False"),
    tuple[str, ...]: ((tuple,), "a tuple of texts, as in ('region',)"),
}
"""By declared field type: the allowed types of its value, and their description in words."""


def by_name(what: str, declared: Iterable[Fact] | Iterable[Entity] | Iterable[Group] | Iterable[Calendar]) -> dict[str, Declared]:
    """Index declarations by name.

    Raises:
        MetricError: A name is invalid, or is used twice.
    """
    found: dict[str, Declared] = {}
    for each in declared:
        if not re.fullmatch(NAME, each.name):
            raise each.place.error(
                each.name or what, "name", f"{each.name!r} is not a valid name", "Use lower-case letters, digits and _."
            )
        if each.name in found:
            raise each.place.error(each.name, "name", f"{what} {each.name} is already declared at {found[each.name].place}")
        found[each.name] = each
    return found


def require_facts(facts: Mapping[str, Fact], entities: Mapping[str, Entity], tables: Mapping[str, Table]) -> None:
    """Check facts against the tables and entities that exist.

    Raises:
        MetricError: A fact's relation does not exist, is not partitioned by its day, or lacks the key of an entity.
    """
    for fact in facts.values():
        table = tables.get(fact.table)
        if table is None:
            raise fact.place.error(fact.name, "table", f"there is no {fact.table}", "Declare its contract, or correct the name.")
        _require_days(fact, table)
        for entity in entities.values():
            if fact.is_dated and entity.key is not None and entity.name not in fact.keys:
                raise fact.place.error(
                    fact.name,
                    "keys",
                    f"{entity.name} is missing",
                    "Every entity needs a key in every fact of events: give its expression.",
                )
        for name in fact.keys:
            if name not in entities:
                raise fact.place.error(fact.name, "keys", f"there is no entity {name}", f"There are {', '.join(entities)}.")


def _require_days(fact: Fact, table: Table) -> None:
    column = table.partition_column
    if fact.is_dated:
        if column != fact.day:
            hint = f"That is {column}." if column else "It has none: leave day and at out."
            raise fact.place.error(fact.name, "day", f"{fact.day} is not the partition column of {fact.table}", hint)
        return
    if column is not None:
        raise fact.place.error(fact.name, "day", "it is missing", f"{fact.table} is partitioned: give day={column!r}, and at.")
    for attribute in ("at", "calendars", "total"):
        if getattr(fact, attribute):
            raise fact.place.error(fact.name, attribute, "it has no day", f"Leave {attribute} out, or give its day.")


def require_calendars(
    calendars: Mapping[str, Calendar], facts: Mapping[str, Fact], entities: Mapping[str, Entity], tables: Mapping[str, Table]
) -> None:
    """Hold calendars against the facts that have them, and the names that follow from them against those there are.

    Raises:
        MetricError: A fact names a calendar that is not there, or a column that is no day; or a name is taken.
    """
    for calendar in calendars.values():
        for entity in entities:
            taken = entities.get(f"{entity}_{calendar.name}")
            if taken is not None:
                said = f"the marts of {entity} by it would have the names of those of {taken.name}, declared at {taken.place}"
                raise calendar.place.error(calendar.name, "name", said, "Rename one of them.")
        for name in facts:
            other = facts.get(local_name(name, calendar.name))
            if other is not None:
                said = f"{name} by it would have the name of {other.name}, declared at {other.place}"
                raise calendar.place.error(calendar.name, "name", said, "Rename one of them.")
    for fact in facts.values():
        for name, column in fact.calendars.items():
            if name not in calendars:
                raise fact.place.error(fact.name, "calendars", *_no_calendar(name, calendars))
            kind = tables[fact.table].types.get(column)
            if kind != "DATE":
                said = f"{fact.table} has no column {column}" if kind is None else f"{column} is {kind}, but must be a DATE"
                raise fact.place.error(fact.name, f"calendars[{name}]", said)


def _no_calendar(name: str, calendars: Mapping[str, Calendar]) -> tuple[str, str]:
    known = f"There are {', '.join(calendars)}; " if calendars else "Declare a Calendar; "
    return f"there is no calendar {name}", f"{known}without one, days are UTC days."


def require_metrics(
    groups: Mapping[str, Group], facts: Mapping[str, Fact], entities: Mapping[str, Entity], calendars: Mapping[str, Calendar]
) -> dict[str, tuple[Metric, Group]]:
    """Index metrics by name, with their groups.

    Raises:
        MetricError: A name is used twice or taken, a text is missing, or a group or metric refers to something unknown.
    """
    taken = _taken(entities)
    found: dict[str, tuple[Metric, Group]] = {}
    for group in groups.values():
        _require_group(group, facts, entities, calendars)
        for metric in group.metrics:
            _require_types(metric)
            _require_texts(metric)
            if metric.name in found:
                before = found[metric.name][0].place
                raise metric.place.error(metric.name, "name", f"it is already declared at {before}", "Rename one of them.")
            if metric.name in taken:
                raise metric.place.error(
                    metric.name, "name", f"marts have a column {metric.name} that is not a metric", "Rename it."
                )
            if metric.fact is not None and metric.fact not in facts:
                raise metric.place.error(metric.name, "fact", f"there is no fact {metric.fact}", f"There are {', '.join(facts)}.")
            if metric.by is not None and metric.by not in entities:
                raise metric.place.error(
                    metric.name, "by", f"there is no entity {metric.by}", f"There are {', '.join(entities)}."
                )
            _require_calendar(metric, group, facts, calendars)
            found[metric.name] = metric, group
    return found


def require_parts(parts: Mapping[str, tuple[Part, ...]], metrics: Mapping[str, tuple[Metric, Group]]) -> None:
    """Require that no part stored for a metric has the name of another metric.

    Raises:
        MetricError: One has such a name.
    """
    for name, own in parts.items():
        for part in own:
            if part.metric == name != part.name and part.name in metrics:
                other = metrics[part.name][0]
                raise other.place.error(other.name, "name", f"{name} stores a part under this name", "Rename one of them.")


def require_totals(parts: Mapping[str, tuple[Part, ...]], facts: Mapping[str, Fact]) -> None:
    """Require that the total of each fact is money in one currency that a metric adds up over all its rows.

    Raises:
        MetricError: It is not.
    """
    added = {(part.fact, part.of) for own in parts.values() for part in own if part.function == "sum" and not part.where}
    for fact in facts.values():
        if fact.total is None:
            continue
        if fact.money.get(fact.total, CHARGED) == CHARGED:
            one = [name for name, currency in fact.money.items() if currency != CHARGED]
            said = f"There are {', '.join(one)}." if one else "Name no total."
            raise fact.place.error(fact.name, "total", f"{fact.total} is not money in one currency", said)
        if (fact.name, fact.total) not in added:
            calendar = calendar_of(fact)
            by = f" by {calendar.title} days" if calendar is not None else ""
            asked = f', calendar="{calendar.name}"' if calendar is not None else ""
            hint = f'Declare a metric for it, as in Sum(…, of="{fact.total}"{asked}).'
            raise fact.place.error(fact.name, "total", f"no metric adds up {fact.total} over all {fact.unit}{by}", hint)


def _require_calendar(metric: Metric, group: Group, facts: Mapping[str, Fact], calendars: Mapping[str, Calendar]) -> None:
    if metric.calendar is not None and metric.calendar not in calendars:
        raise metric.place.error(metric.name, "calendar", *_no_calendar(metric.calendar, calendars))
    fact, calendar = facts[metric.fact or group.fact], group.calendar_of(metric)
    if is_of_rows(metric) and calendar is not None and calendar not in fact.calendars:
        raise metric.place.error(
            metric.name,
            "calendar",
            f"{fact.name} has no days by {calendar}",
            f"Give the fact calendars={{'{calendar}': …}}, a column of {fact.table} that is a DATE.",
        )


def _require_group(
    group: Group, facts: Mapping[str, Fact], entities: Mapping[str, Entity], calendars: Mapping[str, Calendar]
) -> None:
    if group.calendar is not None and group.calendar not in calendars:
        raise group.place.error(group.name, "calendar", *_no_calendar(group.calendar, calendars))
    if group.fact not in facts:
        raise group.place.error(group.name, "fact", f"there is no fact {group.fact}", f"There are {', '.join(facts)}.")
    for name in group.entities:
        if name not in entities:
            raise group.place.error(group.name, "entities", f"there is no entity {name}", f"There are {', '.join(entities)}.")


def _require_types(metric: Metric) -> None:
    """Require that the fields of a metric have their declared types, which Python itself does not check."""
    for each in fields(metric):
        if not each.init:
            continue
        value = getattr(metric, each.name)
        known, said = _TYPES[_hints(type(metric))[each.name]]
        is_right = type(value) in known and (not isinstance(value, tuple) or all(isinstance(item, str) for item in value))
        if not is_right:
            raise metric.place.error(metric.name or type(metric).__name__, each.name, f"it must be {said}, not {value!r}")


@cache
def _hints(of: type[Metric]) -> Mapping[str, Any]:
    """The declared types of fields; for a field of fixed choices, the type of the choices."""
    found = get_type_hints(of)
    return {name: str if get_origin(hint) is Literal else hint for name, hint in found.items()}


def _require_texts(metric: Metric) -> None:
    if not re.fullmatch(NAME, metric.name):
        raise metric.place.error(
            metric.name, "name", f"{metric.name!r} is not a valid name", "Use lower-case letters, digits and _."
        )
    for attribute in ("title", "meaning"):
        if not getattr(metric, attribute).strip():
            raise metric.place.error(metric.name, attribute, "it is empty", "Write it in words a merchant understands.")
    if isinstance(metric, Quantile) and not re.fullmatch(r"0?\.\d+", metric.q):
        raise metric.place.error(metric.name, "q", f"{metric.q!r} is not a share between 0 and 1", "Write it as in '0.95'.")


def _taken(entities: Mapping[str, Entity]) -> set[str]:
    own = {spec.name for spec in column_specs(Published)} | set(RUN_COLUMNS) | set(PERIOD_COLUMNS)
    for entity in entities.values():
        own |= {*entity.keys, *(attribute.name for attribute in entity.attributes)}
    return own
