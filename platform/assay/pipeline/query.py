"""Queries by hand over everything in the lake.

Belongs here: binding the names that a query mentions. Does not belong here: showing results (`cli`).
"""

from __future__ import annotations

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from assay.engine.queries import RAW_LAYERS
from assay.engine.relations import bind_all_columns
from assay.errors import SqlError
from assay.pipeline.build import raise_if_not_about_data
from assay.pipeline.state import State


def query(connection: duckdb.DuckDBPyConnection, state: State, sql: str) -> duckdb.DuckDBPyRelation:
    """Bind what a query reads (`marts.x`, `enriched.x`, `latest.x`, `history.x`, `changes.x`) and prepare it.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        sql: One SELECT.

    Raises:
        SqlError: It does not parse, or names what is not there.
        StoreError: The lake cannot be read.
    """
    for relation in _mentioned(sql, state):
        files, truncates = state.all_files(relation), state.truncate_files(relation)
        bind_all_columns(connection, relation, state.declared(relation), files, truncates)
    try:
        return connection.sql(sql)
    except duckdb.Error as error:
        raise_if_not_about_data(error)
        raise SqlError(str(error)) from error


def _mentioned(sql: str, state: State) -> list[str]:
    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except ParseError as error:
        raise SqlError(f"The query does not parse: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SqlError("`assay sql` takes one SELECT.", hint="Tables are changed by contracts and SQL files, not by hand.")
    domain = state.workspace.domain
    known = {f"{layer}.{name}" for layer in RAW_LAYERS for name in domain.sources} | set(domain.tables)
    mentioned = sorted({f"{table.db}.{table.name}" for table in statements[0].find_all(exp.Table) if table.db})
    unknown = [name for name in mentioned if name not in known]
    if unknown:
        raise SqlError(f"There is no {unknown[0]}.", hint=f"There are {', '.join(sorted(known))}.")
    return mentioned
