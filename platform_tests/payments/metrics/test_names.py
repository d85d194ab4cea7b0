"""A column of a mart written by hand that is named like a metric means it: the same rows give the same of both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import duckdb
import pytest
from metrics_world import insert, payments

from assay.contracts import load_domain
from assay.contracts.rules import quote
from assay.metrics.grains import Grain
from assay.metrics.planning import Question, plan
from payments.metrics import METRICS

DOMAIN = load_domain("payments")
LATTICE = METRICS.lattice(DOMAIN.written_tables)
PAYMENTS = "marts.transactions_enriched"
FACTS = {fact.table for fact in LATTICE.catalog.facts.values() if fact.is_dated}
DAYS = [dt.date(2025, 1, 30) + dt.timedelta(days=day) for day in range(4)]
# The key of a mart, and the same as entities and a grain.
CUTS = {
    "marts.customer_spending": (("month", "customer_id"), ("customer",), Grain.MONTH),
    "marts.daily_revenue": (("transaction_date", "region", "currency"), ("region", "currency"), Grain.DAY),
    "marts.merchant_daily": (("transaction_date", "merchant_id"), ("merchant",), Grain.DAY),
    "marts.customer_lifetime": (("customer_id",), ("customer",), None),
}
NAMED_ALIKE = {
    name: shared
    for name, table in DOMAIN.written_tables.items()
    if table.layer == "marts" and name not in FACTS
    if (shared := tuple(spec.name for spec in table.columns if spec.name in LATTICE.catalog.metrics))
}


def test_only_marts_whose_cut_is_known_have_columns_named_like_metrics() -> None:
    assert NAMED_ALIKE.keys() <= CUTS.keys()


@pytest.fixture(scope="module")
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """Payments, and every mart over them that is written by hand and cut like metrics."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA marts")
        for fact in FACTS:
            types = DOMAIN.tables[fact].types
            connection.execute(f"CREATE TABLE {fact} ({', '.join(f'{quote(name)} {kind}' for name, kind in types.items())})")
        insert(connection, PAYMENTS, DOMAIN.tables[PAYMENTS].types, payments(5, 300, DAYS))
        for name in CUTS:
            body = (DOMAIN.sql / f"{name.replace('.', '/')}.sql").read_text(encoding="utf-8")
            connection.execute(f"CREATE TABLE {name} AS {body}")
        yield connection


@pytest.mark.parametrize("name", NAMED_ALIKE)
def test_a_column_named_like_a_metric_means_it(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    metrics = NAMED_ALIKE[name]
    key, by, grain = CUTS[name]
    scan = plan(LATTICE, Question(metrics, by, grain)).scan
    assert scan is not None, f"{name}: of {', '.join(metrics)} not all can be counted from its rows"

    # Where a payment names nobody, metrics say so in a word.
    named = [f"coalesce({column}::VARCHAR, 'unknown')" for column in key]
    written = lake.execute(f"SELECT {', '.join([*named, *metrics])} FROM {name} ORDER BY ALL").fetchall()
    asked = lake.sql(scan.statement(None))
    same = [f"{column}::VARCHAR" for column in asked.columns[: len(key)]]
    expected = asked.project(", ".join([*same, *metrics])).order("ALL").fetchall()

    assert len(written) > 5
    assert written == expected
