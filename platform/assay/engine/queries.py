"""A table's parsed SQL: what it reads, where its columns come from, its code version.

Belongs here: everything that follows from one SQL file and the schema of what it may read. Does not belong here:
the order of tables and agreement with contracts (`project`), running SQL (`staging`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope
from sqlglot.schema import MappingSchema

from assay.contracts import ColumnOrigin, Generated
from assay.contracts.version import fingerprint
from assay.engine.purity import require_pure
from assay.errors import SqlError
from assay.nearest import suggestion

Schema = Mapping[str, Mapping[str, Mapping[str, str]]]
"""DuckDB type by layer, table and column."""
UNCLOSED = "a text, a name or a comment is never closed"
RAW_LAYERS = ("changes", "latest", "history")
"""The layers through which SQL sees a raw source."""
_BEFORE_A_COLUMN = (TokenType.SELECT, TokenType.DISTINCT, TokenType.COMMA, TokenType.DOT)


@dataclass(frozen=True)
class Query:
    """The SELECT of one table.

    Attributes:
        path: Its file; for generated SQL, where it is declared.
        sql: Its text.
        reads: The columns it uses, by relation.
        lineage: The upstream columns that each output column is computed from.
        canonical: Hash of the parsed SQL, without comments and layout.
    """

    path: Path
    sql: str
    reads: Mapping[str, tuple[str, ...]]
    lineage: Mapping[str, tuple[ColumnOrigin, ...]]
    canonical: str


def generated_query(generated: Generated) -> Query:
    """The query of a generated table, known without parsing."""
    return Query(generated.path, generated.sql, generated.reads, generated.lineage, generated.canonical)


def prepare(schema: Schema) -> MappingSchema:
    """Convert a schema for sqlglot's lookups: once for many files, because that costs more than parsing one."""
    # An empty layer would be mistaken for a table without columns.
    return MappingSchema({layer: tables for layer, tables in schema.items() if tables}, dialect="duckdb")


def read_query(path: Path, schema: Schema, prepared: MappingSchema | None = None) -> Query:
    """Read and parse a SQL file.

    Args:
        path: The file.
        schema: What it may read.
        prepared: The result of `prepare` for the schema, to share between many files.

    Raises:
        SqlError: It is missing, is not text, is not one SELECT, selects `*` at the top, reads an unknown relation or column, or
            is not deterministic (`purity`).
    """
    if not path.is_file():
        raise SqlError(f"{path}: there is no such file", hint="write the table's SELECT there, or remove its contract")
    text = read_text(path)
    select = _parse(path, text)
    require_pure(path, text, select)
    names = _relations(path, select, schema)
    canonical = fingerprint(select.sql(dialect="duckdb", comments=False))
    try:
        # This modifies the parsed statement itself, which is why its canonical text was taken before.
        qualified = qualify(
            select, schema=prepared or prepare(schema), dialect="duckdb", validate_qualify_columns=False, identify=False
        )
        scope = build_scope(qualified)
    except SqlglotError as error:
        relations = [schema[layer][name] for layer, name in (relation.split(".", 1) for relation in names)]
        line, hint = _unknown_column(text, str(error), relations)
        raise SqlError(f"{path}:{line}: {error}", hint=hint) from error
    if scope is None:
        raise SqlError(f"{path}: it is not a query", hint="write one SELECT")
    return Query(
        path=path,
        sql=text,
        reads={name: _used(scope, name, schema) for name in names},
        lineage=_lineage(scope),
        canonical=canonical,
    )


def read_text(path: Path) -> str:
    """Read a SQL file.

    Raises:
        SqlError: It is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SqlError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from error


def _parse(path: Path, text: str) -> exp.Query:
    try:
        statements = [statement for statement in sqlglot.parse(text, dialect="duckdb") if statement is not None]
    except ParseError as error:
        line = error.errors[0].get("line", 1) if error.errors else 1
        said = error.errors[0].get("description", str(error)) if error.errors else str(error)
        raise SqlError(f"{path}:{line}: {said}", hint="correct the SQL") from error
    except TokenError as error:
        raise SqlError(f"{path}:{unclosed_line(text)}: {UNCLOSED}", hint="close it") from error
    if not statements:
        raise SqlError(f"{path}:1: there is no SQL in this file", hint="write the table's SELECT there")
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SqlError(f"{path}:1: a table is one SELECT", hint="remove the other statements")
    query = statements[0]
    for select in _top_selects(query):
        if any(isinstance(column.unalias(), exp.Star) or column.is_star for column in select.expressions):
            raise SqlError(f"{path}:{_star_line(text) or _line(select)}: the top SELECT has a *", hint="name its columns")
    return query


def unclosed_line(sql: str) -> int:
    """The line on which an unclosed token begins: the text before it can be tokenized."""
    lines = sql.splitlines()
    return max(number for number in range(1, len(lines) + 1) if _has_words("\n".join(lines[: number - 1])))


def _has_words(sql: str) -> bool:
    try:
        sqlglot.tokenize(sql, dialect="duckdb")
    except TokenError:
        return False
    return True


def _star_line(text: str) -> int | None:
    """Line of the first `*` outside all parentheses that selects columns; a parsed star has no position."""
    depth = 0
    before = None
    for token in sqlglot.tokenize(text, dialect="duckdb"):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if token.token_type is TokenType.STAR and depth == 0 and before in _BEFORE_A_COLUMN:
            return int(token.line)
        before = token.token_type
    return None


def _top_selects(query: exp.Expr) -> Iterator[exp.Select]:
    if isinstance(query, exp.Select):
        yield query
    elif isinstance(query, exp.SetOperation):
        yield from _top_selects(query.left)
        yield from _top_selects(query.right)
    elif isinstance(query, exp.Subquery):
        yield from _top_selects(query.this)


def _relations(path: Path, query: exp.Query, schema: Schema) -> list[str]:
    found: dict[str, None] = {}
    ctes = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        name = table.name
        if not table.db:
            if name in ctes or not isinstance(table.this, exp.Identifier):
                continue
            raise SqlError(f"{path}:{_line(table)}: {name} has no layer", hint=f"write one of {_examples(schema)}")
        if name not in schema.get(table.db, {}):
            raise SqlError(f"{path}:{_line(table)}: there is no {table.db}.{name}", hint=_nearest(table.db, name, schema))
        found[f"{table.db}.{name}"] = None
    return sorted(found)


def _examples(schema: Schema) -> str:
    return ", ".join(f"{layer}.<name>" for layer in schema)


def _nearest(layer: str, name: str, schema: Schema) -> str:
    if layer not in schema:
        return f"the layers are {', '.join(schema)}"
    known = [f"{each}.{table}" for each, tables in schema.items() for table in tables]
    return suggestion(f"{layer}.{name}", known, f"{layer} has {', '.join(sorted(schema[layer])) or 'no tables'}")


def _unknown_column(text: str, said: str, relations: Iterable[Mapping[str, str]]) -> tuple[int, str]:
    """First line with an unknown column, and what was probably meant; sqlglot's message gives no position."""
    found = re.search(r"Unknown column: (\w+)|Column '(?:\w+\.)?(\w+)'", said)
    if found is None:
        return 1, "correct the SQL"
    column = found[1] or found[2]
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if re.search(rf"\b{column}\b", line)]
    return min(lines, default=1), suggestion(column, {name for columns in relations for name in columns}, "correct the SQL")


def _line(node: exp.Expression) -> int:
    lines = [int(found.meta["line"]) for found in node.find_all(exp.Identifier) if "line" in found.meta]
    return min(lines, default=1)


def _used(scope: Scope, relation: str, schema: Schema) -> tuple[str, ...]:
    """Columns of a relation that any part of the query uses, spelled as declared."""
    layer, _, name = relation.partition(".")
    declared = {column.lower(): column for column in schema[layer][name]}
    used = set()
    for part in scope.traverse():
        for column in part.columns:
            source = part.sources.get(column.table)
            if isinstance(source, exp.Table) and f"{source.db}.{source.name}" == relation:
                used.add(declared.get(column.name.lower(), column.name))
    return tuple(sorted(used))


def _lineage(scope: Scope) -> dict[str, tuple[ColumnOrigin, ...]]:
    return {
        column.alias_or_name: tuple(
            sorted(_origins(scope, column.alias_or_name), key=lambda origin: (origin.relation, origin.column))
        )
        for column in _selects(scope)
    }


def _selects(scope: Scope) -> list[exp.Expr]:
    return list(scope.expression.selects) if isinstance(scope.expression, exp.Query) else []


def _origins(scope: Scope, output: str) -> set[ColumnOrigin]:
    """Follow one output column of a scope down to the relations it is computed from."""
    if scope.set_operation_scopes:
        place = [column.alias_or_name for column in _selects(scope)].index(output)
        branches = [(branch, _selects(branch)[place].alias_or_name) for branch in scope.set_operation_scopes]
        return set().union(*(_origins(branch, name) for branch, name in branches))
    selected = next((column for column in _selects(scope) if column.alias_or_name == output), None)
    return set() if selected is None else _origins_of(scope, selected)


def _origins_of(scope: Scope, expression: exp.Expr) -> set[ColumnOrigin]:
    origins: set[ColumnOrigin] = set()
    within = {id(node) for node in expression.walk()}
    for subquery in scope.subquery_scopes:
        if id(subquery.expression) in within:
            origins |= {origin for column in _selects(subquery) for origin in _origins_of(subquery, column)}
    for column in expression.find_all(exp.Column):
        source = scope.sources.get(column.table)
        # A table function, such as `pg_timezone_names()`, is not a relation, and has no name.
        if isinstance(source, exp.Table) and source.name:
            origins.add(ColumnOrigin(f"{source.db}.{source.name}", column.name))
        elif isinstance(source, Scope):
            origins |= _origins(source, column.name)
    return origins
