"""Checks of a table's declaration against its model.

Belongs here: the expectations that a model declares itself (`unique`), and what must be true of a table before anything runs.
Does not belong here: other tables (`engine.references`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from assay.contracts.dimension import Dimension
from assay.contracts.expectation import Expectation
from assay.contracts.expectations import ControlTotal, Refers, Unique
from assay.contracts.measured import Bounded, Drifting
from assay.contracts.model import RUN_COLUMNS, Contract
from assay.contracts.periods import Grain, Window, is_longer
from assay.contracts.rules import GIVEN_RULES
from assay.contracts.severity import Severity
from assay.errors import ContractError

if TYPE_CHECKING:
    from assay.contracts.table import Table

RESERVED = frozenset({"key_unique", "healed", "books_balanced", "quality_threshold", "every_partition_proven", "no_anomalies"})
"""Names of the checks that every table has, whatever its contract declares."""
LAYERS = ("enriched", "marts")
"""The layers that tables are in; sources are in `raw`."""
_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT")
_TIMES = ("DATE", "TIMESTAMP")


def uniques_of(
    model: type[Contract], severities: Mapping[str, Severity], owners: Mapping[str, str], dimensions: Mapping[str, Dimension]
) -> tuple[Unique, ...]:
    """The unique columns that a model declares as Pandera does: on a column, and in its `Config`."""
    if GIVEN_RULES in vars(model):
        return ()
    schema = model.to_schema()
    sets = [(name,) for name, declared in schema.columns.items() if declared.unique]
    several = schema.unique or []
    sets += [tuple(several)] if all(isinstance(each, str) for each in several) and several else map(tuple, several)
    found = []
    for columns in sets:
        name = Unique(columns).title
        severity = severities.get(name, Severity.QUARANTINE)
        found.append(Unique(columns, name=name, severity=severity, owner=owners.get(name, ""), dimension=dimensions.get(name)))
    return tuple(found)


def _require_sound(table: str, model: type[Contract], expects: Sequence[Expectation], types: Mapping[str, str]) -> None:
    """Reject invalid expectations of a table.

    Raises:
        ContractError: One names a column that the model does not have, has a severity that it cannot have, or is invalid itself.
    """
    for each in expects:
        where = f"{table}: {type(each).__name__} {each.name or each.title}"
        unknown = [name for name in each.own_columns if name not in types]
        if unknown:
            raise ContractError(
                f"{where} names {', '.join(unknown)}, which {model.__name__} does not declare",
                hint=f"declare the column in {model.__module__} or correct the expectation",
            )
        if each.severity not in each.severities:
            raise ContractError(
                f"{where} cannot have the severity {each.severity}, because {each.why_no_other}",
                hint=f"give it severity {' or '.join(each.severities)}",
            )
        if each.wrong is not None:
            raise ContractError(f"{where}: {each.wrong}", hint=f"correct it where {model.__module__} declares it")
        if not re.fullmatch(r"\w+", each.name or each.title, re.ASCII):
            raise ContractError(f"{where} has a name that is not an identifier", hint="give it a name of letters, digits and _")
        _require_types(where, each, types)


def _require_types(where: str, each: Expectation, types: Mapping[str, str]) -> None:
    numeric: Sequence[str] = ()
    if isinstance(each, Bounded | Drifting) and each.measure.is_numeric:
        numeric = each.own_columns
    elif isinstance(each, ControlTotal):
        numeric = tuple(each.money)
    for name in numeric:
        if not types[name].startswith(_NUMBERS):
            raise ContractError(f"{where} needs a number, but {name} is {types[name]}", hint="name a numeric column")
    if isinstance(each, Refers) and each.at is not None and not types[each.at].startswith(_TIMES):
        raise ContractError(f"{where} looks at {each.at}, which is {types[each.at]}", hint="name a DATE or TIMESTAMP column")


def require_columns(declared: Table) -> None:
    """Reject an invalid layer and invalid columns in a table's declaration.

    Raises:
        ContractError: There is no such layer; or a column does not exist, or is of the wrong type.
    """
    if declared.layer not in LAYERS:
        raise ContractError(
            f"{declared.full_name}: there is no layer {declared.layer} for tables", hint=f"give layer={' or '.join(LAYERS)}"
        )
    names = {spec.name for spec in declared.columns}
    wanted = {"key": declared.key, "partition": (declared.partition_column,), "money": (declared.money,)}
    wanted |= {f"lookup {relation}": tuple(on) for relation, on in declared.lookups.items()}
    watch = declared.watched
    wanted |= {f"watch ({what})": columns for what, columns in watch.columns.items()} if watch else {}
    for what, columns in wanted.items():
        unknown = [name for name in columns if name is not None and name not in names]
        if unknown:
            raise ContractError(
                f"{declared.full_name}: its {what} names {', '.join(unknown)}, which {declared.model.__name__} does not declare",
                hint=f"declare the column in {declared.model.__module__} or correct the {what}",
            )
    kinds = {spec.name: spec.sql_type for spec in declared.columns}
    day, cut = declared.partition_column, type(declared.partition).__name__
    if day is not None and kinds[day] != "DATE":
        raise ContractError(
            f"{declared.full_name}: its partition column {day} is {kinds[day]}, but {cut} needs a DATE",
            hint=f"declare {day} as Date",
        )
    if watch is not None and declared.grain is not Grain.DAY:
        raise ContractError(
            f"{declared.full_name}: it is watched for anomalies, but has no days to compare",
            hint="give it partition=Daily(...), or leave out watch",
        )
    reserved = sorted(name for name in names if name.startswith("_") or name in RUN_COLUMNS)
    if reserved:
        raise ContractError(
            f"{declared.full_name}: {', '.join(reserved)} is reserved for the engine, as are names that begin with an underscore",
            hint="declare it under another name",
        )


def require_rules(declared: Table) -> None:
    """Reject invalid rules and expectations of a table.

    Raises:
        ContractError: Two have the same name, a severity, owner or dimension is given for an unknown rule, or an expectation is
            invalid.
    """
    _require_sound(declared.full_name, declared.model, declared.expects, declared.types)
    own = uniques_of(declared.model, {}, {}, {})
    named = [*(rule.name for rule in declared.rules), *(each.name or each.title for each in (*own, *declared.expects))]
    twice = sorted({name for name in named if named.count(name) > 1 or name in RESERVED})
    if twice:
        raise ContractError(
            f"{declared.full_name}: more than one rule is called {', '.join(twice)}",
            hint="give the expectation a name of its own with name=",
        )
    if declared.grain is not Grain.DAY and (drifting := [each for each in declared.expects if isinstance(each, Drifting)]):
        raise ContractError(
            f"{declared.full_name}: {drifting[0].name or drifting[0].title} compares days, but the table has no daily partitions",
            hint="give it partition=Daily(...), or leave out the expectation",
        )
    rules = {rule.name for rule in declared.rules} | {each.name or each.title for each in own}
    given: dict[str, Mapping[str, object]] = {
        "a severity": declared.severities,
        "an owner": declared.owners,
        "a dimension": declared.dimensions,
    }
    for what, by_rule in given.items():
        unknown_rules = [name for name in by_rule if name not in rules]
        if unknown_rules:
            raise ContractError(
                f"{declared.full_name}: {what} is given for {', '.join(unknown_rules)}, which is not one of its rules",
                hint=f"the rules are: {', '.join(sorted(rules))}",
            )


def require_windows(declared: Table) -> None:
    """Reject invalid windows of a table.

    Raises:
        ContractError: A window has no meaning for a table partitioned this way.
    """
    for relation, window in declared.windows.items():
        name = f"{declared.full_name}: its window over {relation}"
        if declared.grain is Grain.WHOLE:
            raise ContractError(f"{name} has no meaning for an unpartitioned table", hint="it reads all of it: leave it out")
        if window.before < 0 or (window.before and window.since):
            raise ContractError(f"{name} says before={window.before}, since={window.since}", hint="give one of them")
        if window.after < 0:
            raise ContractError(
                f"{name} says after={window.after}", hint="give the number of partitions after its own, 0 or more"
            )
        if window.about and (window.since or window.year_before or not window.own):
            raise ContractError(
                f"{name} says about={window.about}, but reads more or less than the days around its own",
                hint="give before= and after= alone",
            )
        if window.about and not declared.is_local:
            raise ContractError(
                f"{name} says about={window.about}, but the table is not local",
                hint="give it is_local=True: its days are not UTC",
            )
        if window.since in (Grain.MONTH, Grain.YEAR) and not is_longer(Grain(window.since), than=declared.grain):
            raise ContractError(
                f"{name} begins with the {window.since}, but the table is partitioned by {declared.grain}",
                hint="leave out since, or begin with something longer",
            )
        if window.semi_join and (window.about or not window.own or window == Window(semi_join=window.semi_join)):
            raise ContractError(
                f"{name} says semi_join={window.semi_join}, but does not read its own period and others beside it",
                hint="leave out semi_join, or say which others are read, as with before=; about= cannot be combined with it",
            )
        if not (window.own or window.before or window.since or window.year_before or window.after):
            raise ContractError(f"{name} reads nothing", hint="leave out own=False, or declare what is read instead")
