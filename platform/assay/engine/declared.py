"""Checks of the SQL expressions and the relations that contracts name.

Belongs here: expressions and lookups of declarations, bound before anything runs. Does not belong here: the tables' own SQL
(`project`), the relations that expectations read (`references`).
"""

from __future__ import annotations

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from assay.contracts import Source, Table
from assay.contracts.table import Daily
from assay.engine.queries import RAW_LAYERS, Query, Schema
from assay.errors import ContractError
from assay.nearest import suggestion


def require_source_expressions(source: Source) -> None:
    """Reject invalid expressions of a source.

    Raises:
        ContractError: One does not parse, or names a column that the source does not declare.
    """
    names = {spec.name for spec in source.columns}
    of = source.partition.of if isinstance(source.partition, Daily) else None
    for what, expression in (("of", of), ("money", source.money)):
        if expression is None:
            continue
        try:
            columns = list(sqlglot.parse_one(expression, dialect="duckdb").find_all(exp.Column))
        except SqlglotError as error:
            raise ContractError(f"{source.full_name}: its {what} does not parse: {expression}", hint="correct it") from error
        # A field of a nested column is written like a column of a table.
        unknown = [column.name for column in columns if not {column.name, column.parts[0].name} & names]
        if unknown:
            raise ContractError(
                f"{source.full_name}: its {what} names {unknown[0]}, which {source.model.__name__} does not declare",
                hint=suggestion(unknown[0], names, f"declare the column in {source.model.__module__} or correct the {what}"),
            )


def require_lookups(table: Table, query: Query, schema: Schema) -> None:
    """Reject invalid lookups of a table.

    Raises:
        ContractError: One is in a relation that the SQL does not read, or by a column that the relation does not have.
    """
    for relation, on in table.lookups.items():
        if relation not in query.reads:
            raise ContractError(
                f"{table.full_name}: it has a lookup in {relation}, which {query.path} does not read",
                hint=suggestion(relation, query.reads, f"it reads {', '.join(query.reads)}"),
            )
        layer, name = relation.split(".", 1)
        unknown = [column for column in on.values() if column not in schema[layer][name]]
        if unknown:
            raise ContractError(
                f"{table.full_name}: its lookup in {relation} is by {unknown[0]}, which {relation} does not have",
                hint=suggestion(unknown[0], schema[layer][name], "correct the lookup"),
            )


def require_balance(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Reject an invalid balance of a table.

    Args:
        connection: A connection with an empty, typed table for every relation that SQL may read.
        table: The table.

    Raises:
        ContractError: An expression of the balance does not bind.
    """
    balance = table.balance
    if balance is None:
        return
    expressions = [("rows", balance.rows, table.full_name), ("money_out", balance.money_out, table.full_name)]
    for relation in balance.inputs:
        # The engine itself counts events.
        if relation.split(".", 1)[0] not in RAW_LAYERS:
            expressions.append(("input_rows", balance.rows_in(relation), relation))
            expressions.append(("money_in", balance.money_of(relation), relation))
    for what, expression, relation in expressions:
        if expression is None:
            continue
        try:
            connection.execute(f"DESCRIBE SELECT {expression} FROM {relation}")
        except duckdb.Error as error:
            raise ContractError(
                f"{table.full_name}: the {what} of its balance, {expression}, cannot be computed over {relation}: "
                f"{str(error).splitlines()[0]}",
                hint="correct the balance",
            ) from error
