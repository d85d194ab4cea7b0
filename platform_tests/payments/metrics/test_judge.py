"""Every metric at every grain for every entity, held against its recomputation in plain Python straight from the rows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from metrics_judge import Judge, differences, last_day_of, looks_back_to, published, rounded
from metrics_world import disputes, payments, refunds, world

from assay.contracts import load_domain
from assay.metrics import Calendar
from assay.metrics.grains import Grain
from assay.metrics.lattice import Mart
from assay.metrics.planning import Question, plan
from assay.metrics.resolving import Resolved
from payments.metrics import METRICS

DOMAIN = load_domain("payments")
LATTICE = METRICS.lattice(DOMAIN.written_tables)
Judges = dict[Calendar | None, Judge]
# A leap year's end and the year after it: a whole week over New Year's Eve, two months, and days a year later.
DAYS = [
    *(dt.date(2024, 1, 29) + dt.timedelta(days=day) for day in range(3)),
    *(dt.date(2024, 12, 28) + dt.timedelta(days=day) for day in range(9)),
    *(dt.date(2025, 1, 29) + dt.timedelta(days=day) for day in range(3)),
    dt.date(2025, 3, 31),
]


@pytest.fixture(scope="module")
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every mart over a few hundred rows."""
    facts = {
        "marts.transactions_enriched": payments(1, 420, DAYS),
        "marts.refunds_enriched": refunds(2, 90, DAYS),
        "marts.chargebacks_enriched": disputes(3, 60, DAYS),
    }
    with world(DOMAIN, facts) as connection:
        yield connection


@pytest.fixture(scope="module")
def judges(lake: duckdb.DuckDBPyConnection) -> Judges:
    return {calendar: Judge(LATTICE.catalog, lake, calendar) for calendar in (None, *LATTICE.catalog.calendars.values())}


@pytest.mark.parametrize("mart", LATTICE.marts, ids=lambda mart: mart.name)
def test_a_mart_says_what_the_rows_say(lake: duckdb.DuckDBPyConnection, judges: Judges, mart: Mart) -> None:
    computed = published(lake, mart.full_name, mart)
    expected = judges[mart.calendar].mart(mart.entity, mart.grain, LATTICE.metrics(mart))

    assert computed.keys() == expected.keys()
    assert not list(differences(computed, expected))


@pytest.mark.parametrize("mart", [mart for mart in LATTICE.marts if LATTICE.trends(mart)], ids=lambda mart: mart.name)
def test_a_trend_says_what_the_rows_say(lake: duckdb.DuckDBPyConnection, judges: Judges, mart: Mart) -> None:
    computed = published(lake, mart.trend_name, mart)
    expected = judges[mart.calendar].mart(mart.entity, mart.grain, LATTICE.trends(mart))

    assert computed.keys() == expected.keys()
    assert not list(differences(computed, expected))


EVER = tuple(metric for metric in LATTICE.catalog.metrics.values() if not metric.is_dated)


def lifetimes(lake: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """What each customer has been worth, added up payment by payment."""
    found: dict[str, dict[str, Any]] = {}
    columns = "customer_id, transaction_date, status, amount_usd"
    for customer, day, status, dollars in lake.execute(f"SELECT {columns} FROM marts.transactions_enriched").fetchall():
        each = found.setdefault(customer, {"payments": 0, "value": Decimal(0), "first": day, "last": day})
        each["payments"] += 1
        each["value"] += dollars if status == "captured" and dollars is not None else 0
        each["first"], each["last"] = min(each["first"], day), max(each["last"], day)
    for each in found.values():
        each["months"] = 12 * (each["last"].year - each["first"].year) + each["last"].month - each["first"].month + 1
        each["tenure"] = (each["last"] - each["first"]).days
    return found


def over_all_days(customers: Sequence[Mapping[str, Any]], everybody: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every metric over all days, of some customers."""
    count, values = len(customers), sorted(each["value"] for each in customers)
    total, payments, months, tenure = (
        sum(each[name] for each in customers) for name in ("value", "payments", "months", "tenure")
    )
    again = sum(each["payments"] > 1 for each in customers)
    return {
        "lifetime_value": rounded(Fraction(total) / count, 4),
        "median_lifetime_value": values[math.ceil(Fraction("0.5") * count) - 1],
        "p90_lifetime_value": values[math.ceil(Fraction("0.9") * count) - 1],
        "largest_lifetime_value": values[-1],
        "total_lifetime_value": total,
        "lifetime_value_rank": 1 + sum(other["value"] > total for other in everybody),
        "customers_ever": count,
        "repeat_customers": again,
        "repeat_customer_share": rounded(Fraction(again, count), 8),
        "lifetime_payments": payments,
        "lifetime_payments_per_customer": rounded(Fraction(payments, count), 8),
        "lifetime_months": months,
        "lifetime_payments_per_month": rounded(Fraction(payments, months), 8),
        "tenure_days": rounded(Fraction(tenure, count), 4),
        "customer_since": min(each["first"] for each in customers),
        "customer_last_seen": max(each["last"] for each in customers),
    }


@pytest.mark.parametrize("entity", ["platform", "customer"])
def test_what_is_over_all_days_says_what_the_payments_say(lake: duckdb.DuckDBPyConnection, judges: Judges, entity: str) -> None:
    metrics = [metric for metric in EVER if entity in metric.entities]
    chosen = plan(LATTICE, Question(tuple(metric.name for metric in metrics), (entity,))).chosen
    assert chosen is not None and chosen.relations == ("marts.customer_lifetime",)
    answer = lake.sql(chosen.statement(None))
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]
    computed = {(row.pop("customer_id", ""), ()): row for row in rows}

    assert computed == judges[None].mart(LATTICE.catalog.entities[entity], None, metrics)
    customers = lifetimes(lake)
    cuts = {"": list(customers)} if entity == "platform" else {name: [name] for name in customers}
    expected = {
        (key, ()): over_all_days([customers[name] for name in names], list(customers.values())) for key, names in cuts.items()
    }
    assert computed == {at: {metric.name: row[metric.name] for metric in metrics} for at, row in expected.items()}
    assert len(customers) > 5 and {metric.name for metric in EVER} == expected[next(iter(expected))].keys()


def newest_days(judge: Judge, mart: Mart) -> dict[dt.date, dt.date]:
    """The newest day of each period that has rows, whoever they are about."""
    days: dict[dt.date, dt.date] = {}
    for (_, (first,)), facts in judge.groups(mart.entity, mart.grain).items():
        newest = max(row["day"] for rows in facts.values() for row in rows)
        days[first] = max(newest, days.get(first, newest))
    return days


@pytest.mark.parametrize("mart", [mart for mart in LATTICE.marts if mart.grain.days > 1 or mart.calendar], ids=lambda m: m.name)
def test_a_period_without_its_last_day_is_partial(lake: duckdb.DuckDBPyConnection, judges: Judges, mart: Mart) -> None:
    expected = []
    for first, newest in sorted(newest_days(judges[mart.calendar], mart).items()):
        if mart.calendar is None:
            expected.append((first, newest, newest < last_day_of(mart.grain, first)))
        else:
            # A local day is over everywhere on the UTC day after it.
            utc = max(day for day in DAYS if day <= newest + dt.timedelta(days=1))
            expected.append((first, utc, utc <= last_day_of(mart.grain, first)))
    for name in (mart.full_name, *([mart.trend_name] if LATTICE.trends(mart) else [])):
        found = lake.execute(f"SELECT {mart.period[0]}, newest_day, is_partial FROM {name} GROUP BY ALL").fetchall()
        assert sorted(found) == expected, name


@pytest.mark.parametrize("mart", [mart for mart in LATTICE.marts if mart.entity.name == "platform"], ids=lambda mart: mart.name)
def test_what_looks_at_days_before_the_first_is_partial(lake: duckdb.DuckDBPyConnection, mart: Mart) -> None:
    alike: dict[Any, Resolved] = {}
    for metric in (*LATTICE.trends(mart), *LATTICE.metrics(mart)):
        alike.setdefault(tuple(looks_back_to(metric.metric, mart.grain, day) for day in DAYS), metric)
    stored = f"SELECT {mart.period[0]}, {'is_partial' if mart.calendar else 'false'} FROM {mart.full_name}"
    ends = dict(lake.execute(stored).fetchall())
    near = dt.timedelta(days=1 if mart.calendar else 0)
    # Neither data nor a day of them is newer than all of it, so that only where periods begin counts.
    for names in [*((metric.name,) for metric in alike.values()), tuple(metric.name for metric in alike.values())]:
        chosen = plan(LATTICE, Question(names, (), mart.grain)).chosen
        assert chosen is not None
        answer = lake.sql(chosen.statement(dt.date(9999, 12, 31), DAYS[0])).project(f"{mart.period[0]}, is_partial")
        metrics = [LATTICE.catalog.metrics[name].metric for name in names]
        assert dict(answer.fetchall()) == {
            day: is_cut or any(looks_back_to(metric, mart.grain, day) - near < DAYS[0] for metric in metrics)
            for day, is_cut in ends.items()
        }


def test_every_metric_is_judged_at_every_grain_and_entity_it_is_declared_for() -> None:
    judged = {
        (metric.name, mart.entity.name, mart.grain)
        for mart in LATTICE.marts
        for metric in (*LATTICE.metrics(mart), *LATTICE.trends(mart))
    }
    declared = {
        (metric.name, entity, grain)
        for metric in LATTICE.catalog.metrics.values()
        for entity in metric.entities
        for grain in metric.grains
        if grain in LATTICE.catalog.entities[entity].grains
    }

    assert judged == declared
    assert len(LATTICE.catalog.metrics) > 300, "as the README says"


@pytest.mark.parametrize("name", DOMAIN.generated)
def test_generated_sql_gives_what_its_contract_says(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    generated = DOMAIN.generated[name]
    described = {str(row[0]): str(row[1]) for row in lake.execute(f"DESCRIBE {name}").fetchall()}
    broken = [
        rule.name
        for rule in generated.table.rules
        if lake.execute(f"SELECT count(*) FROM {name} WHERE ({rule.predicate}) IS FALSE").fetchone() != (0,)
    ]
    columns = [spec.name for spec in generated.table.columns]
    nulls = [
        spec.name
        for spec in generated.table.columns
        if not spec.nullable and lake.execute(f"SELECT count(*) FROM {name} WHERE {spec.name} IS NULL").fetchone() != (0,)
    ]

    assert described == {spec.name: spec.sql_type for spec in generated.table.columns}
    assert list(described) == columns
    assert (broken, nulls) == ([], [])
    assert generated.lineage.keys() >= set(columns) - {"data_source"}


def test_there_are_marts_of_every_grain() -> None:
    assert {mart.grain for mart in LATTICE.marts} == set(Grain)
