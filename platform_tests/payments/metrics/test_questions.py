"""Every way to answer a question about a metric: its SQL binds, and ways that all call themselves exact give the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import duckdb
import pytest
from metrics_world import payments, world

from assay.contracts import load_domain
from assay.contracts.rules import quote
from assay.metrics.grains import Grain
from assay.metrics.kinds import Rank, Share
from assay.metrics.planning import Question, plan
from payments.metrics import METRICS

DOMAIN = load_domain("payments")
LATTICE = METRICS.lattice(DOMAIN.written_tables)
COMPARED = tuple(
    name
    for name, resolved in LATTICE.catalog.metrics.items()
    if isinstance(resolved.metric, Rank | Share) and resolved.metric.within
)
PAYMENTS = LATTICE.catalog.facts["payments"].table
NOTHING_ELSE = {fact.table: [] for fact in LATTICE.catalog.facts.values() if fact.is_dated and fact.table != PAYMENTS}
DAYS = [dt.date(2025, 1, 30) + dt.timedelta(days=day) for day in range(4)]


@pytest.fixture(scope="module")
def empty() -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables of a lake without a row."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA marts")
        for name, table in DOMAIN.tables.items():
            if table.layer == "marts":
                columns = ", ".join(f"{quote(column)} {kind}" for column, kind in table.types.items())
                connection.execute(f"CREATE TABLE {name} ({columns})")
        yield connection


@pytest.mark.parametrize("entity", LATTICE.catalog.entities)
@pytest.mark.parametrize("grain", [None, Grain.HOUR, Grain.MONTH])
def test_whatever_calls_itself_exact_binds(empty: duckdb.DuckDBPyConnection, entity: str, grain: Grain | None) -> None:
    answered = 0
    for name in LATTICE.catalog.metrics:
        for candidate in plan(LATTICE, Question((name,), (entity,), grain)).considered:
            if candidate.is_exact:
                columns = empty.sql(candidate.statement(None)).columns
                assert name in columns, candidate.name
                answered += 1
    assert answered


def test_what_is_compared_within_an_attribute_is_rolled_up_as_it_is_stored() -> None:
    with world(DOMAIN, {PAYMENTS: payments(4, 200, DAYS)} | NOTHING_ELSE) as lake:
        for grain in (Grain.MONTH, Grain.YEAR):
            exact = [each for each in plan(LATTICE, Question(COMPARED, ("merchant",), grain)).considered if each.is_exact]
            answers = [lake.sql(each.statement(None)).fetchall() for each in exact]

            assert len(exact) == (2 if grain is Grain.MONTH else 3)
            assert all(answer == answers[0] for answer in answers[1:])
            # Merchants share regions and categories: most have a part of the whole, and some are not the first.
            assert len({row[2:] for row in answers[0]}) > 2


@pytest.mark.parametrize("name", COMPARED)
def test_a_scan_says_that_it_cannot_compare_within_an_attribute(name: str) -> None:
    for by in (("merchant",), ("region",), ("merchant", "region")):
        found = plan(LATTICE, Question((name,), by, Grain.MONTH))

        assert found.scan is None
        assert "which is only known where it is stored" in found.considered[-1].why
