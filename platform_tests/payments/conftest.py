"""Fixtures of the payments domain's tests: its SQL run over small typed relations. What only one module needs is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pytest

from assay.contracts import Domain, Source, load_domain
from assay.contracts.rules import quote

Row = dict[str, Any]
Relations = Mapping[str, Sequence[Mapping[str, Any]]]
Compute = Callable[[str, Relations], list[Row]]

FOLDS = ("changes", "latest", "history")
# Tests give rates as they are published, and payments; what is only a step on the way is computed from them.
DERIVED = {"enriched.dollar_rates": "enriched.fx_rates", "marts.customer_spending": "marts.transactions_enriched"}
HISTORY = {"valid_from": "TIMESTAMPTZ", "valid_to": "TIMESTAMPTZ", "is_current": "BOOLEAN"}


@pytest.fixture(scope="session")
def domain() -> Domain:
    """The payments domain."""
    return load_domain("payments")


@pytest.fixture
def compute(domain: Domain) -> Compute:
    """Run a table's SQL over `{relation: rows}`; columns a row lacks are null, relations not given are empty."""

    def run(name: str, relations: Relations) -> list[Row]:
        table = domain.tables[name]
        body = (domain.sql / table.layer / f"{table.name}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")
        steps = {step: run(step, relations) for step, origin in DERIVED.items() if step in body and origin in relations}
        connection = _connect(domain, body, steps | dict(relations))
        typed = ", ".join(f"CAST({quote(spec.name)} AS {spec.sql_type}) AS {quote(spec.name)}" for spec in table.columns)
        order = ", ".join(quote(column) for column in [*table.key, *(spec.name for spec in table.columns)])
        found = connection.execute(f"SELECT {typed} FROM (\n{body}\n) ORDER BY {order}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]

    return run


@pytest.fixture
def broken(domain: Domain) -> Callable[[str, Mapping[str, Any]], set[str]]:
    """Name the rules that one row of a table breaks."""

    def judge(name: str, row: Mapping[str, Any]) -> set[str]:
        table = domain.tables[name]
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        _create(connection, "staged", {spec.name: spec.sql_type for spec in table.columns}, [row])
        tests = ", ".join(f"({rule.predicate}) IS FALSE" for rule in table.rules)
        result = connection.execute(f"SELECT {tests} FROM staged").fetchone()
        assert result is not None
        return {rule.name for rule, breaks in zip(table.rules, result, strict=True) if breaks}

    return judge


@pytest.fixture
def accounted(domain: Domain) -> Callable[[str, Sequence[Row]], tuple[int, Any]]:
    """Add up the input rows and the money that computed rows account for, as the books do."""

    def total(name: str, rows: Sequence[Row]) -> tuple[int, Any]:
        table = domain.tables[name]
        connection = duckdb.connect()
        _create(connection, "staged", {spec.name: spec.sql_type for spec in table.columns}, rows)
        count = table.balance.rows if table.balance else "1"
        money = (table.balance and table.balance.money_out) or table.money or "0"
        found = connection.execute(f"SELECT sum({count})::BIGINT, coalesce(sum({money}), 0) FROM staged").fetchone()
        assert found is not None
        return found[0] or 0, found[1]

    return total


def _connect(domain: Domain, sql: str, relations: Relations) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    for layer in (*FOLDS, "enriched", "marts"):
        connection.execute(f"CREATE SCHEMA {layer}")
    declared: dict[str, dict[str, str]] = {name: dict(table.types) for name, table in domain.tables.items()}
    for source in domain.sources.values():
        declared |= {f"{layer}.{source.name}": _fold_types(source, layer) for layer in FOLDS}
    unknown = relations.keys() - declared.keys()
    assert not unknown, f"no such relation: {unknown}"
    for name in set(re.findall(r"\b[a-z]+\.[a-z_]+\b", sql)) & declared.keys():
        types = declared[name]
        _create(connection, name, types, relations.get(name, []))
    return connection


def _fold_types(source: Source, layer: str) -> dict[str, str]:
    return dict(source.types) | (HISTORY if layer == "history" else {})


def _create(
    connection: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> None:
    columns = ", ".join(f"{quote(column)} {kind}" for column, kind in types.items())
    connection.execute(f"CREATE TABLE {name} ({columns})")
    for row in rows:
        unknown = row.keys() - types.keys()
        assert not unknown, f"{name} has no column {unknown}"
        names = ", ".join(quote(column) for column in row)
        marks = ", ".join(f"CAST(? AS {types[column]})" for column in row)
        connection.execute(f"INSERT INTO {name} ({names}) SELECT {marks}", list(row.values()))
