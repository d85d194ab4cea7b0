"""Expectations held against the model that they are declared for.

Belongs here: what of a model is an expectation (`unique`), and what must be true of a table's expectations before anything runs.
Does not belong here: other tables (`engine.references`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from assay.contracts.dimension import Dimension
from assay.contracts.expectations import Bounded, ControlTotal, Drifting, Expectation, Refers, Unique
from assay.contracts.model import Contract
from assay.contracts.severity import Severity
from assay.errors import ContractError

RESERVED = frozenset({"key_unique", "healed", "books_balanced", "quality_threshold", "no_anomalies"})
"""Names of what is checked of every table."""
_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT")
_TIMES = ("DATE", "TIMESTAMP")


def uniques_of(
    model: type[Contract], severities: Mapping[str, Severity], owners: Mapping[str, str], dimensions: Mapping[str, Dimension]
) -> tuple[Unique, ...]:
    """What a model says of unique values, as Pandera has it: of its columns, and in its `Config`."""
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


def require_sound(table: str, model: type[Contract], expects: Sequence[Expectation], types: Mapping[str, str]) -> None:
    """Raise what is wrong with a table's expectations.

    Raises:
        ContractError: One names a column that the model does not have, has a severity that cannot be, or asks for nonsense.
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
            raise ContractError(f"{where} has a name that is no identifier", hint="give it a name of letters, digits and _")
        _require_types(where, each, types)


def _require_types(where: str, each: Expectation, types: Mapping[str, str]) -> None:
    numeric: Sequence[str] = ()
    if isinstance(each, Bounded | Drifting) and each.measure.is_numeric:
        numeric = each.own_columns
    elif isinstance(each, ControlTotal):
        numeric = tuple(each.money)
    for name in numeric:
        if not types[name].startswith(_NUMBERS):
            raise ContractError(f"{where} needs a number, but {name} is {types[name]}", hint="name a column of numbers")
    if isinstance(each, Refers) and each.at is not None and not types[each.at].startswith(_TIMES):
        raise ContractError(f"{where} looks at {each.at}, which is {types[each.at]}", hint="name a column of days or instants")
