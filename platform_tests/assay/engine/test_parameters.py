"""Parameters of a rule's SQL: held against their declaration, and replaced without touching anything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from declared import domain_of

from assay.contracts import (
    Balance,
    Daily,
    Date,
    Event,
    MonitoringRule,
    Number,
    Parameter,
    Published,
    Window,
    column,
    source,
    table,
)
from assay.engine.parameters import with_values
from assay.engine.project import Project, load_project
from assay.errors import AssayError
from assay.landing.formats import Debezium

TABLE = "marts.large_days"
SQL = """-- One row a day (with) much.
WITH parameters AS (
  -- What is much.
  SELECT
    100.00 AS least,
    ['a', 'b)'] AS shops,
    3 AS window_days
)

SELECT day, 5.0 AS measured, ingestion_timestamp, data_source
FROM enriched.orders
CROSS JOIN parameters
WHERE day > DATE '2025-01-01' - window_days
"""
RULE = MonitoringRule(
    name="large_days",
    title="Large days",
    finds="days with much",
    why="so that somebody looks",
    guidance="none",
    table=TABLE,
    reads="enriched.orders",
    window_days=3,
    measures="EUR",
    severity="low",
    owner="team:x",
    own_parameters=(Parameter("least", "What is much", Decimal("100.00"), "EUR"), Parameter("shops", "Whose", ("a", "b)"))),
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Project]:
    """Load a made-up domain with a rule."""

    def run(*rules: MonitoringRule, sql: str = SQL, before: int = 2, measured: str = "measured") -> Project:
        @source(
            "orders",
            format=Debezium("orders"),
            key=("id",),
            partition=Daily("event_date", of="day::DATE"),
            owner="x",
            subject="x",
        )
        class OrderEvents(Event):
            """Events."""

            id: str = column("Key")
            day: str = column("Day", nullable=True)

        @table("orders", layer="enriched", key=("id",), partition=Daily("day"), owner="x", subject="x")
        class Orders(Published):
            """One row an order."""

            id: str = column("Key")
            day: Date = column("Day")

        columns = {"__annotations__": {"day": Date, measured: Number}, "day": column("Day"), measured: column("Much")}
        declare = table(
            "large_days",
            layer="marts",
            key=("day",),
            partition=Daily("day"),
            owner="x",
            subject="x",
            windows={"enriched.orders": Window(before=before)},
            balance=Balance(inputs=("enriched.orders",), rows="0", input_rows="0"),
        )
        large_days = declare(type("LargeDays", (Published,), {"__doc__": "One row a day.", **columns}))
        orders = "SELECT id, event_date AS day, _ingested_at AS ingestion_timestamp, _source AS data_source FROM latest.orders"
        texts = {"enriched.orders": orders, TABLE: sql.replace("AS measured", f"AS {measured}")}
        return load_project(replace(domain_of(tmp_path, [OrderEvents, Orders, large_days], texts), monitoring=rules))

    return run


def test_other_values_change_nothing_but_the_values(load) -> None:
    query = load(RULE).nodes[TABLE].query
    changed = with_values(query, {"least": Decimal("1E+2"), "shops": ("it's",), "window_days": 5})

    start, end = SQL.index("-- What is much."), SQL.index(")\n\nSELECT")
    assert changed.sql == f"{SQL[:start]}-- What is much.\n  SELECT 100 AS least, ['it''s'] AS shops, 5 AS window_days{SQL[end:]}"
    assert (changed.reads, changed.lineage) == (query.reads, query.lineage)


def test_no_texts_are_still_texts(load) -> None:
    values = {"least": Decimal(1), "shops": (), "window_days": 1}

    assert "[]::VARCHAR[] AS shops" in with_values(load(RULE).nodes[TABLE].query, values).sql


@pytest.mark.parametrize(
    ("rule", "given", "said"),
    [
        ({}, {"sql": SQL.replace("100.00", "90.00")}, "declares least as 100.00, but its SQL has 90.00"),
        ({}, {"sql": SQL.replace("    100.00 AS least,\n", "")}, "declares least as 100.00, but its SQL has nothing"),
        ({"own_parameters": RULE.own_parameters[:1]}, {}, "declares shops as nothing, but its SQL has"),
        ({}, {"sql": SQL.replace("3 AS window", "4 AS window")}, "declares window_days as 3, but its SQL has 4"),
        ({}, {"sql": SQL.replace("parameters", "numbers")}, "must begin WITH parameters AS"),
        ({}, {"before": 3}, "window_days is 3, but marts.large_days does not read that many"),
        ({"reads": "latest.orders"}, {}, "does not read that many days of latest.orders"),
        ({"table": "marts.nowhere"}, {}, "table is marts.nowhere, which the domain"),
        ({}, {"measured": "found"}, "is not an alert table"),
    ],
)
def test_what_does_not_agree_is_said_when_the_domain_is_loaded(load, rule: Any, given: Any, said: str) -> None:
    with pytest.raises(AssayError, match=said.replace("(", r"\(")):
        load(replace(RULE, **rule), **given)


def test_two_rules_of_one_name(load) -> None:
    with pytest.raises(AssayError, match="more than one monitoring rule is called large_days"):
        load(RULE, RULE)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"why": " "}, "large_days: why is empty"),
        ({"severity": "dire"}, "large_days: severity is dire"),
        ({"window_days": 0}, "large_days: window_days is 0"),
        ({"own_parameters": RULE.own_parameters * 2}, "large_days: own_parameters has least, shops twice"),
        ({"own_parameters": (Parameter("window_days", "Days", 3),)}, "own_parameters has window_days twice"),
        ({"own_parameters": (Parameter("hours", "How far", 49, is_reach=True),)}, "window_days is 3, but hours=49 looks"),
    ],
)
def test_a_rule_that_cannot_be_names_itself_and_the_field(wrong: Any, said: str) -> None:
    with pytest.raises(AssayError, match=said):
        replace(RULE, **wrong)


def test_values_are_read_as_what_they_are() -> None:
    read = RULE.read({"least": "90.5", "shops": "c, a,,c", "window_days": "9"})

    assert read == {"least": Decimal("90.5"), "shops": ("a", "c"), "window_days": 9}
    assert RULE.read({}) == RULE.defaults
