"""Every metric over real payments, held against its recomputation in plain Python.

The payments are all baskets of a few households of Complete Journey, through a whole year: real gaps, real days without anything,
the same customer at several merchants. What the marts are computed from is written from the original file alone. Everything was
paid, so that metrics of declines, refunds and disputes are those of none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from metrics_judge import Judge, differences, published
from metrics_world import world

from assay.contracts import load_domain
from assay.metrics import Calendar
from assay.metrics.lattice import Mart
from assay.metrics.planning import Question, plan
from payments.metrics import METRICS

DOMAIN = load_domain("payments")
LATTICE = METRICS.lattice(DOMAIN.written_tables)
HOUSEHOLDS = 12


def baskets(original: Path) -> list[dict[str, Any]]:
    """Rows of `marts.transactions_enriched`: every basket of some households that is worth anything."""
    with duckdb.connect() as connection:
        found = connection.execute(
            f"""
            WITH baskets AS (
              SELECT
                basket_id, household_id, store_id, transaction_timestamp AS made_at,
                sum(sales_value::DECIMAL(18,2)) AS amount
              FROM read_parquet('{original}') GROUP BY ALL
            )
            SELECT basket_id, household_id, store_id, made_at, amount FROM baskets
            WHERE amount > 0 AND household_id::BIGINT IN (
              SELECT household_id::BIGINT FROM baskets GROUP BY 1 ORDER BY hash(household_id::BIGINT) LIMIT {HOUSEHOLDS}
            )"""
        ).fetchall()
    rows = []
    for basket, household, store, made_at, amount in found:
        at = made_at.replace(tzinfo=dt.UTC)
        there = at - dt.timedelta(hours=5)
        rows.append(
            {
                "transaction_id": str(basket),
                "transaction_date": at.date(),
                "transaction_timestamp": at,
                "merchant_date": there.date(),
                "merchant_hour": there.hour,
                "status": "captured",
                "region": "NA",
                "is_recurring": False,
                "amount": amount,
                "currency": "USD",
                "fx_rate_to_usd": 1,
                "amount_usd": amount,
                "customer_id": str(household),
                "merchant_id": str(store),
                "ingestion_timestamp": at + dt.timedelta(days=1),
                "data_source": "legacy_transactions",
            }
        )
    return rows


@pytest.fixture(scope="module")
def rows(real_data: Callable[[str], Path]) -> list[dict[str, Any]]:
    return baskets(real_data("complete_journey/transactions.parquet"))


@pytest.fixture(scope="module")
def lake(rows: list[dict[str, Any]]) -> Iterator[duckdb.DuckDBPyConnection]:
    facts = {fact.table: [] for fact in LATTICE.catalog.facts.values() if fact.is_dated} | {"marts.transactions_enriched": rows}
    with world(DOMAIN, facts) as connection:
        yield connection


@pytest.fixture(scope="module")
def judges(lake: duckdb.DuckDBPyConnection) -> dict[Calendar | None, Judge]:
    return {calendar: Judge(LATTICE.catalog, lake, calendar) for calendar in (None, *LATTICE.catalog.calendars.values())}


@pytest.mark.parametrize("mart", LATTICE.marts, ids=lambda mart: mart.name)
def test_every_metric_of_real_payments_is_what_their_rows_say(
    lake: duckdb.DuckDBPyConnection, judges: dict[Calendar | None, Judge], rows: list[dict[str, Any]], mart: Mart
) -> None:
    assert len(rows) > 500
    for relation, metrics in ((mart.full_name, LATTICE.metrics(mart)), (mart.trend_name, LATTICE.trends(mart))):
        if metrics:
            computed, expected = published(lake, relation, mart), judges[mart.calendar].mart(mart.entity, mart.grain, metrics)
            assert computed.keys() == expected.keys()
            assert not list(differences(computed, expected))


@pytest.mark.parametrize("entity", ["platform", "customer"])
def test_every_metric_over_all_days_is_what_the_rows_say(
    lake: duckdb.DuckDBPyConnection, judges: dict[Calendar | None, Judge], rows: list[dict[str, Any]], entity: str
) -> None:
    metrics = [each for each in LATTICE.catalog.metrics.values() if not each.is_dated and entity in each.entities]
    chosen = plan(LATTICE, Question(tuple(each.name for each in metrics), (entity,))).chosen
    assert chosen is not None
    answer = lake.sql(chosen.statement(None))
    found = [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]

    computed = {(row.pop("customer_id", ""), ()): row for row in found}
    assert computed == judges[None].mart(LATTICE.catalog.entities[entity], None, metrics)
    # What each customer was worth, from the baskets themselves.
    worth: dict[str, Decimal] = {}
    for row in rows:
        key = row["customer_id"] if entity == "customer" else ""
        worth[key] = worth.get(key, Decimal(0)) + row["amount"]
    assert {key: each["total_lifetime_value"] for (key, _), each in computed.items()} == worth
