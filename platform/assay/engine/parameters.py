"""Parameters of a table's SQL: the CTE `parameters`, read and replaced.

Belongs here: checking that CTE against the rule that declares its values, and rewriting the SQL with other values. Does not
belong here: running either (`pipeline.backtest`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import sqlglot
from sqlglot import TokenType, exp

from assay.contracts import Domain, Grain, MonitoringRule, Window
from assay.contracts.monitoring import MEASURED, Value
from assay.contracts.rules import literal
from assay.engine.queries import Query
from assay.errors import ContractError, SqlError

NAME = "parameters"
"""The name of the CTE, which comes first."""


def require_parameters(domain: Domain, queries: Mapping[str, Query]) -> None:
    """Check every monitoring rule of a domain against its table and SQL.

    Args:
        domain: The domain.
        queries: The SQL of its tables, by full name.

    Raises:
        ContractError: A rule's name is used twice, or its table or window differs from what the rule declares.
        SqlError: The SQL has other parameters or other values.
    """
    names = [rule.name for rule in domain.monitoring]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"more than one monitoring rule is called {', '.join(twice)}", hint="rename one of them")
    for rule in domain.monitoring:
        if rule.table not in queries:
            raise ContractError(
                f"the monitoring rule {rule.name}: table is {rule.table}, which the domain {domain.name} does not declare",
                hint="declare it, or correct the name",
            )
        query, table = queries[rule.table], domain.tables[rule.table]
        if rule.reads not in query.reads or table.windows.get(rule.reads) != window_of(rule.window_days):
            raise ContractError(
                f"the monitoring rule {rule.name}: window_days is {rule.window_days}, but {rule.table} does not read that many "
                f"days of {rule.reads}",
                hint=f"give the table windows={{'{rule.reads}': Window(before={rule.window_days - 1})}}, and let its SQL read it",
            )
        if MEASURED not in table.types or table.grain is not Grain.DAY:
            raise ContractError(
                f"the monitoring rule {rule.name}: {rule.table} is not an alert table",
                hint=f"partition it by day, and give it a column {MEASURED}",
            )
        _require_values(query, rule)


def window_of(days: int) -> Window:
    """The window of a table that looks at a number of days, including its own."""
    return Window(before=days - 1)


def with_values(query: Query, values: Mapping[str, Value]) -> Query:
    """Rewrite a rule's SQL with other values.

    Args:
        query: The SQL.
        values: Every parameter's value.
    """
    start, end = _span(query)
    written = ", ".join(f"{_written(value)} AS {name}" for name, value in values.items())
    return replace(query, sql=f"{query.sql[:start]}SELECT {written}{query.sql[end:]}")


def _require_values(query: Query, rule: MonitoringRule) -> None:
    start, end = _span(query)
    select = sqlglot.parse_one(query.sql[start:end], dialect="duckdb")
    written = {column.alias: _canonical(column.unalias()) for column in select.selects} if isinstance(select, exp.Select) else {}
    declared = {name: _canonical(sqlglot.parse_one(_written(value), dialect="duckdb")) for name, value in rule.defaults.items()}
    if written != declared:
        name = next(name for name in (*declared, *written) if written.get(name) != declared.get(name))
        line = query.sql[:start].count("\n") + 1
        raise SqlError(
            f"{query.path}:{line}: the monitoring rule {rule.name} declares {name} as {declared.get(name, 'nothing')}, "
            f"but its SQL has {written.get(name, 'nothing')}",
            hint="make the CTE parameters and the declaration equal, including decimals",
        )


def _canonical(expression: exp.Expr) -> str:
    return expression.sql(dialect="duckdb")


def _written(value: Value) -> str:
    match value:
        case tuple():
            return f"[{', '.join(literal(part) for part in value)}]" if value else "[]::VARCHAR[]"
        case Decimal():
            return f"{value:f}"
        case _:
            return literal(value)


def _span(query: Query) -> tuple[int, int]:
    """The start and end of the CTE's SELECT in the text.

    Raises:
        SqlError: The SQL does not begin with this CTE.
    """
    tokens = sqlglot.tokenize(query.sql, dialect="duckdb")
    begins = [token.text.lower() for token in tokens[:4]] == ["with", NAME, "as", "("]
    depth = 0
    for token in tokens[3:] if begins else ():
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth == 0:
            return tokens[4].start, token.start
    raise SqlError(
        f"{query.path}:1: a monitoring rule's SQL must begin WITH {NAME} AS (SELECT …)",
        hint="define its parameters there",
    )
