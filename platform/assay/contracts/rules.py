"""A contract's rules as DuckDB predicates.

Belongs here: turning Pandera's declarations (nullable, built-in checks, custom checks) into named boolean expressions
over one row, so that `quality` can fuse all of them into one scan. Does not belong here: running them.

Pandera's own Ibis backend joins the table with itself for every built-in check, which is why the built-in ones are
written as SQL here, from their public `statistics`. Custom checks return a boolean column and are compiled by Ibis.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ibis
import ibis.expr.types as ir
import sqlglot
from pandera.api.checks import Check
from sqlglot import exp

from assay.contracts.dimension import Dimension
from assay.contracts.model import Contract
from assay.contracts.severity import Severity
from assay.contracts.wording import asked, pattern_of
from assay.errors import ContractError

GIVEN_RULES = "_given_rules"
"""Attribute of a model that holds its rules as values, so that they need not be compiled; its Pandera schema has none."""


@dataclass(frozen=True)
class Rule:
    """One rule of a contract.

    Attributes:
        name: Unique within the contract, as in `amount_in_range`.
        predicate: DuckDB boolean expression over a row; a row passes unless it is false. Null passes, because presence is
            checked by the `_required` rules.
        severity: What breaking it leads to.
        columns: The columns it is about.
        reason: Why the rule is there, or what it requires, in words.
        dimension: The dimension of quality it belongs to.
        owner: Who answers for it, as in `team:payments`.
        expected: What is expected, in words, if that differs from its reason.
        of_value: Whether it looks only at the value of its one column.
        allowed: The only texts that pass it, if it lists them.
        opposite: An expression that is true of the rows that break it, if DuckDB evaluates it faster than the negated predicate.
    """

    name: str
    predicate: str
    severity: Severity
    columns: tuple[str, ...]
    reason: str
    dimension: Dimension = Dimension.VALIDITY
    owner: str = ""
    expected: str = ""
    of_value: bool = False
    allowed: tuple[str, ...] = ()
    opposite: str = ""

    @property
    def broken(self) -> str:
        """DuckDB boolean expression over a row that is true if it breaks the rule, else false or null."""
        return f"({self.opposite})" if self.opposite else f"NOT ({self.predicate})"


def rules_of(
    model: type[Contract],
    severities: Mapping[str, Severity],
    owner: str = "",
    owners: Mapping[str, str] | None = None,
    dimensions: Mapping[str, Dimension] | None = None,
) -> tuple[Rule, ...]:
    """List a model's rules: not-null first, then column checks, then cross-column checks.

    Args:
        model: The Pandera model.
        severities: Severity by rule name; the default is `warn` for a check with `raise_warning`, else `quarantine`.
        owner: The table's owner.
        owners: Owner by rule name, where it is not the table's.
        dimensions: Dimension by rule name. By default, a not-null rule belongs to completeness, any other rule of one column to
            validity, and a rule of several columns to consistency.

    Raises:
        ContractError: A check cannot be fused (element-wise, or not a boolean column), has an invalid argument, or two have the
            same name.
    """
    given: tuple[Rule, ...] | None = vars(model).get(GIVEN_RULES)
    if given is not None:
        return given
    schema = model.to_schema()
    staged = ibis.table({name: declared.dtype.type for name, declared in schema.columns.items()}, name="staged")
    rules: list[Rule] = []

    def add(rule: Rule) -> None:
        name = rule.name
        severity, dimension = severities.get(name, rule.severity), (dimensions or {}).get(name, rule.dimension)
        rules.append(replace(rule, severity=severity, dimension=dimension, owner=(owners or {}).get(name, owner)))

    for name, declared in schema.columns.items():
        if not declared.nullable:
            said, predicate = f"{name} must be there", f"{quote(name)} IS NOT NULL"
            add(Rule(f"{name}_required", predicate, Severity.QUARANTINE, (name,), said, Dimension.COMPLETENESS, of_value=True))
    for name, declared in schema.columns.items():
        for check in declared.checks:
            add(_column_rule(model, staged, name, check))
    for check in schema.checks:
        expression = _custom(model, check, staged, None)
        columns = tuple(dict.fromkeys(column.name for column in expression.find_all(exp.Column)))
        said, opposite = _reason(check, None), _opposite_of(expression)
        predicate = expression.sql(dialect="duckdb")
        add(Rule(check.name or "rule", predicate, _severity(check), columns, said, Dimension.CONSISTENCY, opposite=opposite))
    _require_unique(model, rules)
    return tuple(rules)


def quote(identifier: str) -> str:
    """Quote an identifier for DuckDB."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Write a Python value as a DuckDB literal.

    Raises:
        TypeError: The value is of a type that no check compares with.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return f"'{value}'::DOUBLE"
    if isinstance(value, int | float | decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        kind = "TIMESTAMPTZ" if value.tzinfo else "TIMESTAMP"
        return f"{kind} '{value.isoformat(sep=' ')}'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, datetime.timedelta):
        return f"to_microseconds({value // datetime.timedelta(microseconds=1)})"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise TypeError(f"{type(value).__name__} cannot be written as a SQL literal")


def _list(values: Any) -> str:
    return "(" + ", ".join(literal(value) for value in values) + ")"


def _in_range(column: str, s: Mapping[str, Any]) -> str:
    low = ">=" if s.get("include_min", True) else ">"
    high = "<=" if s.get("include_max", True) else "<"
    return f"{column} {low} {literal(s['min_value'])} AND {column} {high} {literal(s['max_value'])}"


def _length(column: str, s: Mapping[str, Any]) -> str:
    if s.get("exact_value") is not None:
        return f"length({column}) = {s['exact_value']}"
    parts = []
    if s.get("min_value") is not None:
        parts.append(f"length({column}) >= {s['min_value']}")
    if s.get("max_value") is not None:
        parts.append(f"length({column}) <= {s['max_value']}")
    return " AND ".join(parts)


# By Pandera's name of the check: our suffix for the rule's name, and the predicate, from the check's public statistics.
_BUILT_IN: dict[str, tuple[str, Callable[[str, Mapping[str, Any]], str]]] = {
    "equal_to": ("equals", lambda c, s: f"{c} = {literal(s['value'])}"),
    "not_equal_to": ("not_equals", lambda c, s: f"{c} <> {literal(s['value'])}"),
    "greater_than": ("above", lambda c, s: f"{c} > {literal(s['min_value'])}"),
    "greater_than_or_equal_to": ("at_least", lambda c, s: f"{c} >= {literal(s['min_value'])}"),
    "less_than": ("below", lambda c, s: f"{c} < {literal(s['max_value'])}"),
    "less_than_or_equal_to": ("at_most", lambda c, s: f"{c} <= {literal(s['max_value'])}"),
    "in_range": ("in_range", _in_range),
    "isin": ("known", lambda c, s: f"{c} IN {_list(sorted(s['allowed_values'], key=str))}"),
    "notin": ("not_forbidden", lambda c, s: f"{c} NOT IN {_list(sorted(s['forbidden_values'], key=str))}"),
    # Python's re.match anchors at the start; Pandera follows it.
    "str_matches": ("matches", lambda c, s: f"regexp_matches({c}, {literal('^(?:' + pattern_of(s) + ')')})"),
    "str_contains": ("contains", lambda c, s: f"regexp_matches({c}, {literal(pattern_of(s))})"),
    "str_startswith": ("prefixed", lambda c, s: f"starts_with({c}, {literal(s['string'])})"),
    "str_endswith": ("suffixed", lambda c, s: f"ends_with({c}, {literal(s['string'])})"),
    "str_length": ("length", _length),
}


# For these checks DuckDB finds the offending rows faster by the opposite predicate than by NOT: it compares equality with its
# column statistics, stops at the first of several comparisons that fails, and has a function for prefixes.
_OPPOSITE: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "equal_to": lambda c, s: f"{c} <> {literal(s['value'])}",
    "not_equal_to": lambda c, s: f"{c} = {literal(s['value'])}",
    "isin": lambda c, s: " AND ".join(f"{c} <> {literal(value)}" for value in sorted(s["allowed_values"], key=str)),
    "notin": lambda c, s: f"{c} IN {_list(sorted(s['forbidden_values'], key=str))}",
    "str_startswith": lambda c, s: f"NOT prefix({c}, {literal(s['string'])})",
}


def _column_rule(model: type[Contract], staged: ir.Table, name: str, check: Check) -> Rule:
    """Turn a check of one column into a rule."""
    if check.name in _BUILT_IN:
        suffix, write = _BUILT_IN[check.name]
        statistics = check.statistics or {}
        _require_comparable(model, name, check.name, statistics)
        rule, predicate = f"{name}_{suffix}", write(quote(name), statistics)
        opposite = _OPPOSITE[check.name](quote(name), statistics) if check.name in _OPPOSITE else ""
    else:
        expression = _custom(model, check, staged, name)
        rule, predicate, opposite = check.name or f"{name}_rule", expression.sql(dialect="duckdb"), _opposite_of(expression)
    said, allowed = _reason(check, name), _allowed(check)
    return Rule(rule, predicate, _severity(check), (name,), said, of_value=True, allowed=allowed, opposite=opposite)


def _require_comparable(model: type[Contract], column: str, check: str, statistics: Mapping[str, Any]) -> None:
    """Refuse arguments of a built-in check that DuckDB cannot evaluate.

    Raises:
        ContractError: The list of values is empty, or DuckDB does not support a flag of the pattern.
    """
    where = f"{model.__module__}.{model.__name__}: {column}"
    values = {"isin": "allowed_values", "notin": "forbidden_values"}.get(check)
    if values and not statistics[values]:
        raise ContractError(f"{where}: {check} names no values", hint="name some, or leave the check out")
    if "pattern" in statistics:
        try:
            pattern_of(statistics)
        except ValueError as error:
            raise ContractError(f"{where}: {error}", hint="write the pattern without them") from error


# Each comparison and its inverse: true where the comparison is false, and null where it is null.
_INVERSE: dict[type[exp.Expr], type[exp.Binary]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.GT: exp.LTE,
    exp.LTE: exp.GT,
    exp.GTE: exp.LT,
    exp.LT: exp.GTE,
}


def _opposite_of(expression: exp.Expr) -> str:
    return _negated(expression).sql(dialect="duckdb")


def _negated(expression: exp.Expr) -> exp.Expr:
    """Negate a boolean expression, pushing NOT inward by De Morgan's laws, which hold for nulls, too."""
    match expression:
        case exp.Paren():
            return _negated(expression.this)
        case exp.Not():
            return exp.paren(expression.this)
        case exp.And():
            return exp.or_(_negated(expression.left), _negated(expression.right), copy=False)
        case exp.Or():
            return exp.and_(_negated(expression.left), _negated(expression.right), copy=False)
        case exp.Binary() if type(expression) in _INVERSE:
            return _INVERSE[type(expression)](this=expression.left.copy(), expression=expression.right.copy())
        case _:
            return exp.not_(expression)


def _severity(check: Check) -> Severity:
    return Severity.WARN if check.raise_warning else Severity.QUARANTINE


def _allowed(check: Check) -> tuple[str, ...]:
    values = (check.statistics or {}).get("allowed_values", ()) if check.name == "isin" else ()
    return tuple(sorted(values)) if all(isinstance(value, str) for value in values) else ()


def _custom(model: type[Contract], check: Check, staged: ir.Table, name: str | None) -> exp.Expr:
    """The expression that an author's custom check asserts of a row."""
    where = f"{model.__module__}.{model.__name__}: check {check.name}"
    try:
        output = check(staged, name).check_output
    except TypeError:
        # Pandera raises this for a result that is neither a boolean nor a table.
        output = None
    if check.element_wise or not isinstance(output, ir.BooleanColumn):
        raise ContractError(
            f"{where} does not return one boolean column, so it cannot be fused with the others",
            hint="return an Ibis expression over data.table, as in `data.table.end >= data.table.start`",
        )
    select = sqlglot.parse_one(ibis.to_sql(output.as_table(), dialect="duckdb"), dialect="duckdb")
    if not isinstance(select, exp.Select) or select.args.get("joins") or select.find(exp.AggFunc, exp.Window):
        raise ContractError(
            f"{where} needs more than one row to decide, so it is not a row rule",
            hint="compute what it compares with as a column in the table's SQL",
        )
    expression = select.selects[0].unalias()
    for column in list(expression.find_all(exp.Column)):
        column.set("table", None)
    return expression


def _reason(check: Check, column: str | None) -> str:
    if check.description:
        return str(check.description)
    # Pandera describes a built-in check only by its call.
    if column and (words := asked(str(check.name), check.statistics or {})):
        return f"{column} {words}"
    said = check.error or check.title or check.name or "rule"
    return f"{column}: {said}" if column else str(said)


def _require_unique(model: type[Contract], rules: list[Rule]) -> None:
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(
            f"{model.__module__}.{model.__name__}: more than one rule is called {', '.join(twice)}",
            hint="give custom checks a name of their own with name=",
        )
