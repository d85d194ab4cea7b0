"""Staging: each column as its contract types it, with a flag where a value did not fit."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest
from declared import domain_of

from assay.contracts import Daily, Date, Event, Money, Published, column, source, table
from assay.engine.connection import Limits, connect
from assay.engine.project import Node, load_project
from assay.engine.relations import create_layers
from assay.engine.staging import cast_rules, stage
from assay.landing.formats import Debezium

DAYS = ["2025-01-03", "2025-01-04"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A daily table whose SQL leaves two of its columns as texts."""

    @source("orders", format=Debezium("orders"), key=("id",), partition=Daily("day", of="on_day"), owner="team:x", subject="x")
    class Orders(Event):
        """Events."""

        id: str = column("Key")
        amount: str = column("Amount", nullable=True)
        on_day: str = column("Day", nullable=True)

    @table("orders", layer="enriched", key=("id",), partition=Daily("day"), owner="team:x", subject="x")
    class Staged(Published):
        """A table."""

        id: str = column("Key")
        amount: Money = column("Amount", nullable=True)
        day: Date = column("Day")

    sql = (
        "SELECT id, amount, on_day AS day, _ingested_at AS ingestion_timestamp, _source AS data_source "
        "FROM changes.orders -- no semicolon"
    )
    return load_project(domain_of(tmp_path, [Orders, Staged], {"enriched.orders": sql})).nodes["enriched.orders"]


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """An engine with a few events bound."""
    opened = connect(Limits("500MB", 1, tmp_path / "scratch"))
    create_layers(opened)
    rows = [
        ("fits", "1.50", "2025-01-03"),
        ("rounds", "1.005", "2025-01-04"),
        ("none", None, "2025-01-04"),
        ("bad", "abc", "2025-01-04"),
        ("large", "99999999999999999", "2025-01-04"),
        ("other day", "1", "2025-01-05"),
        ("no day", "1", "x"),
    ]
    opened.execute(
        "CREATE TABLE changes.orders (id VARCHAR, amount VARCHAR, on_day VARCHAR, _ingested_at TIMESTAMPTZ, _source VARCHAR)"
    )
    opened.executemany("INSERT INTO changes.orders VALUES (?, ?, ?, '2025-01-10 00:00:00+00', 'orders')", rows)
    return opened


def test_columns_are_typed_and_flagged(connection: duckdb.DuckDBPyConnection, node: Node) -> None:
    stage(connection, node, DAYS)
    types = {row[0]: row[1] for row in connection.execute("DESCRIBE staged").fetchall()}
    assert (types["amount"], types["day"], types["ingestion_timestamp"]) == ("DECIMAL(18,2)", "DATE", "TIMESTAMP WITH TIME ZONE")
    found = connection.execute("SELECT id, amount::VARCHAR, _fits_amount, _fits_day FROM staged ORDER BY id").fetchall()
    assert found == [
        ("bad", None, False, True),
        ("fits", "1.50", True, True),
        ("large", None, False, True),
        ("none", None, True, True),
        ("rounds", "1.01", True, True),
    ]


def test_a_value_that_does_not_fit_breaks_a_rule(connection: duckdb.DuckDBPyConnection, node: Node) -> None:
    stage(connection, node, DAYS)
    rules = {rule.name: rule for rule in cast_rules(node)}
    assert list(rules) == ["amount_type", "day_type"]
    assert rules["amount_type"].reason == "amount must fit DECIMAL(18,2)"
    broken = connection.execute(f"SELECT id FROM staged WHERE ({rules['amount_type'].predicate}) IS FALSE ORDER BY id").fetchall()
    assert broken == [("bad",), ("large",)]


def test_only_the_asked_partitions_are_staged_each_under_its_key(connection: duckdb.DuckDBPyConnection, node: Node) -> None:
    stage(connection, node, DAYS[:1])
    assert connection.execute("SELECT id, day, _partition FROM staged").fetchall() == [
        ("fits", dt.date(2025, 1, 3), "2025-01-03")
    ]


def test_instants_are_utc_and_nothing_is_installed(connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute(
        "SELECT current_setting('TimeZone'), current_setting('autoinstall_known_extensions')"
    ).fetchone() == ("UTC", False)
