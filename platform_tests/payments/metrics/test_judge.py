"""Every metric at every grain for every entity, held against its recomputation in plain Python straight from the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import duckdb
import pytest
from metrics_judge import Judge, differences, last_day_of, published
from metrics_world import disputes, payments, refunds, world

from assay.contracts import Domain, load_domain
from assay.metrics import Calendar
from assay.metrics.grains import Grain
from assay.metrics.lattice import Lattice, Mart
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
    assert len(LATTICE.catalog.metrics) >= 200


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


def test_lattice_is_of_the_domain() -> None:
    assert isinstance(DOMAIN, Domain) and isinstance(LATTICE, Lattice)
    assert {mart.grain for mart in LATTICE.marts} == set(Grain)
