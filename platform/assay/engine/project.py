"""A domain's SQL as a whole: checked against its contracts, in the order of its dependencies.

Belongs here: what must hold between the files before anything runs. Does not belong here: data.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb

from assay.contracts import Domain, Grain, Source, Table
from assay.contracts.model import RUN_COLUMNS
from assay.contracts.periods import OWN, is_longer, nests
from assay.contracts.rules import quote
from assay.contracts.version import fingerprint
from assay.engine.declared import require_balance, require_lookups, require_source_expressions
from assay.engine.fold import HISTORY_COLUMNS
from assay.engine.parameters import require_parameters
from assay.engine.queries import RAW_LAYERS, Query, Schema, generated_query, prepare, read_query, read_text
from assay.engine.references import relations_of, require_references
from assay.errors import ContractError, SqlError
from assay.loading import without_collecting


@dataclass(frozen=True)
class Node:
    """A table with its SQL.

    Attributes:
        table: The contract.
        query: The SQL.
        code: Version of everything that determines its rows: SQL, contract, keys of the sources it folds.
        inputs: The relations whose rows must be accounted for in the books.
        casts: Contract type of the columns that the SQL computes as another type.
        cut_by: The relations whose partitions determine which ones the table has; empty for an unpartitioned table.
    """

    table: Table
    query: Query
    code: str
    inputs: tuple[str, ...]
    casts: Mapping[str, str]
    cut_by: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The relations that the SQL or the expectations read."""
        return tuple(dict.fromkeys((*self.query.reads, *relations_of(self.table))))


@dataclass(frozen=True)
class Project:
    """A domain whose SQL and contracts agree.

    Attributes:
        domain: The domain.
        nodes: Its tables by full name, each after everything it reads.
    """

    domain: Domain
    nodes: Mapping[str, Node]

    def upstream(self, name: str) -> tuple[str, ...]:
        """Full names of what a table and its expectations read: `raw.x` for the folds of a source."""
        return tuple(dict.fromkeys(_upstream_name(relation) for relation in self.nodes[name].reads))


@cache
def load_project(domain: Domain) -> Project:
    """Read a domain's SQL and check it against its contracts, once per process.

    Raises:
        SqlError: A name, a cycle, a column or a type is wrong; the message names file and line.
        ContractError: A window, a lookup, the books or the partitions of a table do not fit what its SQL reads, an expression of
            a source names an undeclared column, or a control is declared wrongly.
    """
    with without_collecting():
        return _load(domain)


def _load(domain: Domain) -> Project:
    domain.check_controls()
    for source in domain.sources.values():
        require_source_expressions(source)
    schema = _schema(domain)
    prepared = prepare(schema)
    queries = {name: read_query(_path(domain, table), schema, prepared) for name, table in domain.written_tables.items()}
    queries |= {name: generated_query(generated) for name, generated in domain.generated.items()}
    _require_contracts(domain)
    for table in domain.tables.values():
        require_references(table, schema)
    order = _order(domain, queries)
    connection = _typed_connection(schema)
    nodes = {}
    for name in order:
        table, query = domain.tables[name], queries[name]
        # Generated SQL follows its contract by construction; tests check that, and so does each partition's proof.
        produced = table.types
        if name not in domain.generated:
            _require_layering(name, query)
            produced = _produced_types(query, connection)
            _require_agreement(table, query, produced)
            require_lookups(table, query, schema)
            require_balance(connection, table)
        _require_cadence(domain, table, query)
        _require_kept_deletes(domain, table, query)
        nodes[name] = Node(
            table=table,
            query=query,
            code=_code(domain, table, query),
            inputs=_book_inputs(domain, table, query),
            casts={spec.name: spec.sql_type for spec in table.columns if produced[spec.name] != spec.sql_type},
            cut_by=_cut_by(domain, table, query),
        )
    require_parameters(domain, queries)
    return Project(domain, nodes)


def source_of(relation: str) -> str | None:
    """The source whose events a relation folds, or None for a table."""
    layer, _, name = relation.partition(".")
    return name if layer in RAW_LAYERS else None


def _upstream_name(relation: str) -> str:
    source = source_of(relation)
    return relation if source is None else f"raw.{source}"


def _path(domain: Domain, table: Table) -> Path:
    return domain.sql / table.layer / f"{table.name}.sql"


def _require_contracts(domain: Domain) -> None:
    """Reject SQL files without a table: their author would wait for a table that never comes."""
    known = {_path(domain, table) for table in domain.written_tables.values()}
    for path in sorted(path for layer in ("enriched", "marts") for path in (domain.sql / layer).glob("*.sql")):
        if path not in known:
            raise SqlError(
                f"{path}:1: no contract declares {path.parent.name}.{path.stem}", hint="declare the table, or remove the file"
            )


def _schema(domain: Domain) -> Schema:
    """The schema that handwritten SQL may read; it includes only those generated tables that the SQL may name."""
    schema: dict[str, dict[str, dict[str, str]]] = {layer: {} for layer in (*RAW_LAYERS, "enriched", "marts")}
    for source in domain.sources.values():
        for layer in RAW_LAYERS:
            schema[layer][source.name] = relation_types(source, layer)
    named = _named(domain)
    for name, table in domain.tables.items():
        if name not in domain.generated or name in named:
            schema[table.layer][table.name] = dict(table.types)
    return schema


def _named(domain: Domain) -> set[str]:
    """The marts that handwritten SQL may name, found without parsing."""
    paths = [_path(domain, table) for table in domain.written_tables.values()] if domain.generated else []
    texts = [read_text(path) for path in paths if path.is_file()]
    return {word for text in texts for word in re.findall(r"\bmarts\.\w+", text)}


def relation_types(declared: Source | Table, layer: str) -> dict[str, str]:
    """DuckDB type by column of a relation as SQL sees it."""
    return dict(declared.types) | (HISTORY_COLUMNS if layer == "history" else {})


def _order(domain: Domain, queries: Mapping[str, Query]) -> list[str]:
    reads = {name: (*query.reads, *relations_of(domain.tables[name])) for name, query in queries.items()}
    graph = {name: [relation for relation in relations if source_of(relation) is None] for name, relations in reads.items()}
    try:
        return list(TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).static_order())
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        path = queries[cycle[0]].path
        line = _line_of(queries[cycle[0]].sql, re.escape(cycle[1]))
        raise SqlError(
            f"{path}:{line}: {' reads '.join(cycle)}, which is a cycle", hint="break it in one of these files"
        ) from error


def _typed_connection(schema: Schema) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"autoload_known_extensions": False, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    for layer, tables in schema.items():
        connection.execute(f"CREATE SCHEMA {layer}")
        for name, columns in tables.items():
            declared = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
            connection.execute(f"CREATE TABLE {layer}.{quote(name)} ({declared})")
    return connection


def _require_layering(name: str, query: Query) -> None:
    marts = [relation for relation in query.reads if relation.startswith("marts.")]
    if name.startswith("enriched.") and marts:
        line = _line_of(query.sql, re.escape(marts[0]))
        raise SqlError(
            f"{query.path}:{line}: {name} reads {marts[0]}, but enriched tables are built before marts",
            hint="make it a mart, or read what the mart reads",
        )


def _require_cadence(domain: Domain, table: Table, query: Query) -> None:
    """Reject a table that would have to wait for one that is built later."""
    tables = (domain.tables[relation] for relation in query.reads if source_of(relation) is None)
    late = next((read for read in tables if table.cadence.is_before(read.cadence)), None)
    if late is not None:
        line = _line_of(query.sql, re.escape(late.full_name))
        raise SqlError(
            f"{query.path}:{line}: {table.full_name} is {table.cadence} and reads {late.full_name}, which is {late.cadence}",
            hint=f"give {table.full_name} cadence=Cadence.{late.cadence.name} too, or read what {late.full_name} reads",
        )


def _require_kept_deletes(domain: Domain, table: Table, query: Query) -> None:
    """Reject a table whose content would change when deleted rows are forgotten."""
    for relation in (*query.reads, *relations_of(table)):
        layer, _, _ = relation.partition(".")
        source = domain.sources.get(source_of(relation) or "")
        if source is not None and source.deletes_kept is not None and layer != "latest":
            line = _line_of(query.sql, re.escape(relation))
            raise SqlError(
                f"{query.path}:{line}: {table.full_name} reads {relation}, which would lose deleted rows: "
                f"{source.full_name} keeps its deletes for {source.deletes_kept} only",
                hint=f"read latest.{source.name}, or leave deletes_kept out",
            )


def _produced_types(query: Query, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    try:
        described = connection.execute(f"DESCRIBE {query.sql.rstrip().rstrip(';')}").fetchall()
    except duckdb.Error as error:
        said = str(error)
        line = re.search(r"^LINE (\d+):", said, re.MULTILINE)
        first = said.split("\n", 1)[0]
        raise SqlError(f"{query.path}:{line.group(1) if line else 1}: {first}", hint="correct the SQL") from error
    return {str(row[0]): str(row[1]) for row in described}


def _require_agreement(table: Table, query: Query, produced: Mapping[str, str]) -> None:
    declared = {spec.name: spec.sql_type for spec in table.columns}
    for name in sorted(declared.keys() - produced.keys()):
        raise SqlError(
            f"{query.path}:1: the SQL of {table.full_name} does not produce {name}, which its contract declares "
            f"({_contract_place(table)})",
            hint=f"add {name} to the SELECT, or remove it from the contract",
        )
    for name in sorted(produced.keys() - declared.keys()):
        line_number = _line_of(query.sql, rf"\b{re.escape(name)}\b")
        owned = " (the engine adds this column itself)" if name in RUN_COLUMNS else ""
        raise SqlError(
            f"{query.path}:{line_number}: the SQL of {table.full_name} produces {name}, which its contract does not "
            f"declare ({_contract_place(table)}){owned}",
            hint=f"declare {name} in the contract, or remove it from the SELECT",
        )
    for name, kind in declared.items():
        if kind.startswith("DECIMAL") and produced[name] in ("DOUBLE", "FLOAT"):
            line_number = _line_of(query.sql, rf"\b{re.escape(name)}\b")
            raise SqlError(
                f"{query.path}:{line_number}: {name} of {table.full_name} is computed as {produced[name]}, but its "
                f"contract says {kind}",
                hint="compute it in DECIMAL: a float is not exact",
            )


def _contract_place(table: Table) -> str:
    """Where a contract is written; finding it parses its module, so this is called only for an error message."""
    try:
        _, line = inspect.getsourcelines(table.model)
        return f"{inspect.getsourcefile(table.model)}:{line}"
    except (OSError, TypeError):
        return f"{table.model.__module__}.{table.model.__name__}"


def _line_of(sql: str, pattern: str) -> int:
    """The last line that matches: an output column's last mention is usually where it is selected."""
    lines = [number for number, line in enumerate(sql.splitlines(), start=1) if re.search(pattern, line)]
    return lines[-1] if lines else 1


def _code(domain: Domain, table: Table, query: Query) -> str:
    reads = (*query.reads, *relations_of(table))
    folds = {relation: domain.sources[name].key for relation in reads if (name := source_of(relation)) is not None}
    return fingerprint({"sql": query.canonical, "contract": table.version, "folds": folds})


def _grain_of(domain: Domain, relation: str) -> Grain:
    source = source_of(relation)
    return domain.tables[relation].grain if source is None else domain.sources[source].grain


def _is_inside(domain: Domain, table: Table, relation: str) -> bool:
    """Whether each partition of a relation lies within one partition of the table, and is read for that one."""
    return nests(_grain_of(domain, relation), within=table.grain) and table.windows.get(relation, OWN).own


def _cut_by(domain: Domain, table: Table, query: Query) -> tuple[str, ...]:
    for relation, window in table.windows.items():
        if relation not in query.reads or relation in table.lookups:
            raise ContractError(
                f"{table.full_name}: it has a window over {relation}, which {query.path} does not read by its partitions",
                hint=f"it reads {', '.join(query.reads)}",
            )
        grain = _grain_of(domain, relation)
        if grain is Grain.WHOLE:
            raise ContractError(
                f"{table.full_name}: it has a window over {relation}, which is not partitioned",
                hint="all of it is read: leave it out",
            )
        if window.since in (Grain.MONTH, Grain.YEAR) and not is_longer(Grain(window.since), than=grain):
            raise ContractError(
                f"{table.full_name}: its window over {relation} begins with the {window.since}, "
                f"but {relation} is partitioned by {grain}",
                hint="give before=…, or begin with something longer",
            )
        if window.about is not None:
            _require_day(domain, table, relation, window.about)
        if window.semi_join:
            _require_semi_join(domain, table, relation, window.semi_join)
    if table.grain is Grain.WHOLE:
        return ()
    read = [relation for relation in query.reads if relation not in table.lookups]
    inside = tuple(relation for relation in read if _is_inside(domain, table, relation))
    if not inside:
        cuts = ", ".join(f"{relation} (by {_grain_of(domain, relation)})" for relation in read)
        raise ContractError(
            f"{table.full_name}: it is partitioned by {table.grain}, but nothing that {query.path} reads determines which "
            f"{table.grain}s exist: it reads {cuts or 'lookups only'}",
            hint=f"read what is partitioned by {table.grain}, or by parts of one, as days are; or partition the table otherwise",
        )
    local = [relation for relation in inside if source_of(relation) is None and domain.tables[relation].is_local]
    if local and not table.is_local:
        raise ContractError(
            f"{table.full_name}: it is made of periods of {local[0]}, which are by other clocks than UTC",
            hint="give it is_local=True",
        )
    return inside


def _require_day(domain: Domain, table: Table, relation: str, column: str) -> None:
    """Refuse a window by a column that does not say the day of a table's row."""
    name = f"{table.full_name}: its window over {relation} is by {column}"
    if source_of(relation) is not None or domain.tables[relation].grain is not Grain.DAY:
        raise ContractError(f"{name}, but {relation} is not a table partitioned by day", hint="read a table that is")
    kind = domain.tables[relation].types.get(column)
    if kind != "DATE":
        said = "which it does not have" if kind is None else f"which is {kind}"
        raise ContractError(f"{name}, {said}", hint="name a column that is a DATE")


def _require_semi_join(domain: Domain, table: Table, relation: str, columns: Collection[str]) -> None:
    """Refuse a window that is semi-joined with what is no published table, or on columns that it does not have."""
    name = f"{table.full_name}: its window over {relation} has a semi_join"
    if source_of(relation) is not None:
        raise ContractError(f"{name}, but {relation} is not a table", hint="leave out semi_join, or read a table")
    unknown = [column for column in columns if column not in domain.tables[relation].types]
    if unknown:
        raise ContractError(f"{name} on {', '.join(unknown)}, which {relation} does not have", hint="correct the column's name")


def _book_inputs(domain: Domain, table: Table, query: Query) -> tuple[str, ...]:
    inputs = _named_inputs(table, query)
    for relation in inputs:
        # In a lookup by the table's partition, too, each row belongs to one partition of the table.
        if not _is_inside(domain, table, relation) and table.partition_in(relation) is None:
            raise ContractError(
                f"{table.full_name}: its books count the rows of {relation}, but a partition of {relation}, by "
                f"{_grain_of(domain, relation)}, is not read for exactly one {table.grain} of it",
                hint="name relations in the balance each of whose rows belongs to one partition of the table",
            )
    return inputs


def _named_inputs(table: Table, query: Query) -> tuple[str, ...]:
    if table.balance is not None:
        unknown = [name for name in table.balance.inputs if name not in query.reads]
        if unknown:
            raise ContractError(
                f"{table.full_name}: its balance names {', '.join(unknown)}, which {query.path} does not read",
                hint=f"it reads {', '.join(query.reads)}",
            )
        return table.balance.inputs
    inputs = [relation for relation in query.reads if relation not in table.lookups]
    if len(inputs) != 1:
        raise ContractError(
            f"{table.full_name}: its books are not defined, because {query.path} reads {', '.join(inputs) or 'nothing'}",
            hint="give balance=Balance(inputs=…), naming the relations whose rows must all be accounted for",
        )
    return tuple(inputs)
