"""Ad hoc queries over everything in the lake.

Belongs here: binding the relations that a query mentions. Does not belong here: showing results (`cli`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from assay.engine.queries import RAW_LAYERS, UNCLOSED, unclosed_line
from assay.engine.relations import bind_all_columns
from assay.errors import SqlError
from assay.lake.layout import control_key, quality_key, quality_prefix
from assay.lake.rows import files_by_version, typed_rows
from assay.nearest import suggestion
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.packing import packed_files
from assay.pipeline.restatement_objects import restatement_rows
from assay.pipeline.scoring import KEPT, proof_rows
from assay.pipeline.state import State
from assay.quality.own_tables import OWN_TABLES, RESTATEMENTS, OwnTable


def query(connection: duckdb.DuckDBPyConnection, state: State, sql: str) -> duckdb.DuckDBPyRelation:
    """Bind the relations of a query (`marts.x`, `enriched.x`, `latest.x`, `history.x`, `changes.x`, `quality.x`) and prepare it.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        sql: One SELECT.

    Raises:
        SqlError: It does not parse, or names an unknown relation.
        StoreError: The lake cannot be read.
    """
    for relation in _mentioned(sql, state):
        if relation in OWN_TABLES:
            _bind_own(connection, state, OWN_TABLES[relation])
            continue
        files, truncates = packed_files(state, relation, state.available(relation)), state.truncate_files(relation)
        bind_all_columns(connection, relation, state.declared(relation), files, truncates)
    with sql_errors():
        return connection.sql(sql)


@contextmanager
def sql_errors() -> Iterator[None]:
    """Convert DuckDB's errors to Assay's. A prepared query is computed when its rows are fetched, and may fail only then.

    Raises:
        SqlError: The query does not bind, or fails on the rows.
        StoreError: The lake cannot be read, or there is no room to compute.
    """
    try:
        yield
    except duckdb.Error as error:
        raise_if_not_about_data(error)
        raise SqlError(str(error)) from error


def _bind_own(connection: duckdb.DuckDBPyConnection, state: State, own: OwnTable) -> None:
    """Bind the platform's findings about all tables and controls that are currently declared."""
    store, domain = state.workspace.store, state.workspace.domain
    if own in KEPT:
        connection.execute(f"CREATE OR REPLACE VIEW {own.full_name} AS {proof_rows(store, domain.tables, own)}")
        return
    if own is RESTATEMENTS:
        connection.execute(f"CREATE OR REPLACE VIEW {own.full_name} AS {restatement_rows(state, domain.tables.values())}")
        return
    declared = {quality_key(own.stored, table) for table in domain.tables.values()}
    declared |= {control_key(own.stored, control) for control in domain.controls}
    keys = [info.key for info in store.list(quality_prefix(own.stored)) if info.key in declared]
    # Without a version: older versions of Assay may have stored other columns.
    rows = typed_rows(own, files_by_version(("", store.path(key)) for key in sorted(keys)))
    only = f" WHERE {own.only}" if own.only else ""
    connection.execute(f"CREATE OR REPLACE VIEW {own.full_name} AS SELECT * FROM ({rows}){only}")


def _said(error: ParseError) -> str:
    """A parser's message, without terminal escapes."""
    if not error.errors:
        return str(error)
    first = error.errors[0]
    return f"{first['description']} at line {first['line']}, column {first['col']}, near `{first['highlight']}`."


def _mentioned(sql: str, state: State) -> list[str]:
    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except ParseError as error:
        raise SqlError(f"The query does not parse: {_said(error)}") from error
    except TokenError as error:
        raise SqlError(f"The query does not parse: at line {unclosed_line(sql)}, {UNCLOSED}.") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SqlError("`assay sql` takes one SELECT.", hint="Tables are changed by contracts and SQL files, not by hand.")
    domain = state.workspace.domain
    known = {f"{layer}.{name}" for layer in RAW_LAYERS for name in domain.sources} | set(domain.tables) | set(OWN_TABLES)
    tables = list(statements[0].find_all(exp.Table))
    mentioned = sorted({f"{table.db}.{table.name}" for table in tables if table.db})
    named_within = {cte.alias for cte in statements[0].find_all(exp.CTE)}
    bare = {table.name for table in tables if not table.db} - named_within
    # A name without a layer may be anything that DuckDB knows; it is refused only if it is one of ours.
    layerless = sorted(name for name in bare if name in {each.partition(".")[2] for each in known})
    unknown = [name for name in mentioned if name not in known] + layerless
    if unknown:
        raise SqlError(f"There is no {unknown[0]}.", hint=suggestion(unknown[0], known, "`assay tables` lists all."))
    return mentioned
