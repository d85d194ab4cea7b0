"""Tables of every grain: a late day dirties the periods that hold it and what looks back on them, and nothing else."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import kiosk
import pytest
from change_lines import change, text
from declared import domain_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import Ran, ShopLake

from assay.contracts import Balance, Daily, Date, Event, Monthly, Published, Window, Yearly, column, source, table
from assay.contracts.periods import Grain, first_day
from assay.engine.project import load_project
from assay.errors import ContractError
from assay.lake.layout import partition_key
from assay.landing.formats import Debezium
from assay.pipeline.freshness import freshness
from assay.pipeline.plan import plan
from assay.pipeline.runs import rebuild_partitions
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table

OF_THE_RUN = ("processing_timestamp", "job_run_id")
DAYS = ("2023-12-31", "2024-01-01", "2024-01-15", "2024-02-03", "2024-12-30", "2025-01-01", "2025-01-31", "2025-02-01")
Sale = tuple[str, str, str]
"""Its key, product and day."""


def sale(key: str, position: int, day: str, product: str = "tea", op: str = "c") -> str:
    row = {"sale_id": key, "product": product, "amount": "2.50", "day": day}
    return change("sales", op, position, row)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A kiosk that sold something on some days."""
    return ShopLake(tmp_path, kiosk.DOMAIN)


def fill(lake: ShopLake) -> Ran:
    lake.land("sales", "1.json", text(*(sale(f"s{place}", place, day) for place, day in enumerate(DAYS, start=1))))
    return lake.run("first")


def tables(lake: ShopLake) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    for name, declared in lake.workspace.domain.tables.items():
        columns = ", ".join(each for each in declared.types if each not in OF_THE_RUN)
        found[name] = lake.rows(f"SELECT {columns} FROM {name} ORDER BY ALL")
    return found


def contents(lake: ShopLake) -> dict[tuple[str, str], str]:
    state = State(lake.workspace)
    return {(name, key): entry.content for name in lake.workspace.domain.tables for key, entry in state.index(name).items()}


def keys(grain: Grain, days: Iterable[str]) -> set[str]:
    return {first_day(grain, dt.date.fromisoformat(day)).isoformat() for day in days}


def test_a_period_is_a_partition_where_something_is_to_be_read(lake: ShopLake) -> None:
    computed = fill(lake).computed
    assert {name: set(partitions) for name, partitions in computed.items()} == {
        "enriched.sales": set(DAYS),
        "marts.by_day": set(DAYS),
        "marts.running": set(DAYS),
        "marts.by_week": keys(Grain.WEEK, DAYS),
        "marts.weekly_range": keys(Grain.WEEK, DAYS),
        "marts.by_month": keys(Grain.MONTH, DAYS),
        "marts.growth": keys(Grain.MONTH, DAYS),
        "marts.by_year": keys(Grain.YEAR, DAYS),
        "marts.products": {"all"},
    }
    assert {status for partitions in computed.values() for status in partitions.values()} == {"published"}
    assert lake.store.local("marts/by_week/week=2024-12-30/data.parquet") is not None
    assert lake.rows("SELECT week::VARCHAR, sale_count FROM marts.by_week ORDER BY 1 DESC LIMIT 3") == [
        ("2025-01-27", 2),
        ("2024-12-30", 2),
        ("2024-01-29", 1),
    ]
    assert lake.rows("SELECT day::VARCHAR, month_to_date, year_to_date, to_date FROM marts.running ORDER BY 1") == [
        ("2023-12-31", 1, 1, 1),
        ("2024-01-01", 1, 1, 2),
        ("2024-01-15", 2, 2, 3),
        ("2024-02-03", 1, 3, 4),
        ("2024-12-30", 1, 4, 5),
        ("2025-01-01", 1, 1, 6),
        ("2025-01-31", 2, 2, 7),
        ("2025-02-01", 1, 3, 8),
    ]
    assert lake.rows("SELECT month::VARCHAR, over_month, over_year FROM marts.growth ORDER BY 1") == [
        ("2023-12-01", None, None),
        ("2024-01-01", 1.0, None),
        ("2024-02-01", -0.5, None),
        ("2024-12-01", None, 0.0),
        ("2025-01-01", 1.0, 0.0),
        ("2025-02-01", -0.5, 0.0),
    ]
    assert lake.run("second").computed == {}


def test_a_late_sale_dirties_the_periods_that_hold_it_and_what_looks_back_on_them(lake: ShopLake) -> None:
    fill(lake)
    lake.land("sales", "late.json", text(sale("late", 99, "2024-01-15")))
    ran = lake.run("late")
    assert {name: set(planned.dirty) for name, planned in ran.plans.items()} == {
        "enriched.sales": {"2024-01-15"},
        "marts.by_day": {"2024-01-15"},
        "marts.by_week": {"2024-01-15"},
        "marts.weekly_range": {"2024-01-15"},
        "marts.by_month": {"2024-01-01"},
        "marts.by_year": {"2024-01-01"},
        "marts.products": {"all"},
        # Later days of its month, of later months of its year, and of later years.
        "marts.running": {day for day in DAYS if day >= "2024-01-15"},
        # Its month, the next one, and the same one of the next year.
        "marts.growth": {"2024-01-01", "2024-02-01", "2025-01-01"},
    }
    assert all(status == "published" for name in ran.computed for status in ran.computed[name].values())


def test_a_sale_of_a_new_year_dirties_nothing_before(lake: ShopLake) -> None:
    fill(lake)
    lake.land("sales", "new.json", text(sale("new", 99, "2026-01-01")))
    dirty = {name: set(planned.dirty) for name, planned in lake.run("new").plans.items()}
    assert dirty["marts.by_week"] == {"2025-12-29"}
    assert dirty["marts.running"] == dirty["marts.by_year"] == dirty["marts.growth"] == {"2026-01-01"}


def test_a_sale_that_moves_to_another_month_leaves_its_own(lake: ShopLake) -> None:
    fill(lake)
    lake.land("sales", "moved.json", text(sale("s4", 99, "2024-03-05", op="u")))
    lake.run()
    spring = "month BETWEEN '2024-02-01' AND '2024-03-01'"
    assert lake.rows(f"SELECT month::VARCHAR, sale_count FROM marts.by_month WHERE {spring}") == [("2024-03-01", 1)]
    assert lake.rows("SELECT sum(sale_count) FROM marts.weekly_range") == [(len(DAYS),)]
    assert lake.rows("SELECT sum(sale_count) FROM marts.by_year") == [(len(DAYS),)]


def test_a_period_by_hand_is_computed_alone(lake: ShopLake) -> None:
    fill(lake)
    with lake.connection() as connection:
        state = State(lake.workspace)
        for name, asked in {"marts.by_month": "2024-01-01", "marts.by_year": "2024-01-01", "marts.by_week": "2024-12-30"}.items():
            node = lake.workspace.project.nodes[name]
            outcomes = rebuild_partitions(connection, state, node, [asked, "2024-01-02"], "by hand")
            assert [(outcome.partition, outcome.status.value) for outcome in outcomes] == [(asked, "unchanged")]
            assert list(plan(connection, state, node, [asked]).unchanged) == [asked]


def test_the_current_period_is_the_newest_and_not_the_futures(lake: ShopLake) -> None:
    fill(lake)
    found = freshness(State(lake.workspace), dt.datetime(2025, 1, 31, tzinfo=dt.UTC))
    newest = {name: each.newest for name, each in found.items() if name.startswith("marts.by_")}
    assert newest == {
        "marts.by_day": "2025-01-31",
        "marts.by_week": "2025-01-27",
        "marts.by_month": "2025-01-01",
        "marts.by_year": "2025-01-01",
    }


def require_verified(lake: ShopLake) -> None:
    with lake.connection() as connection:
        state = State(lake.workspace)
        compared = [each for node in lake.workspace.project.nodes.values() for each in verify_table(connection, state, node)]
    assert compared
    assert [each for each in compared if not (each.is_same and each.is_current)] == []


def require_counted(lake: ShopLake, sales: Iterable[Sale]) -> None:
    """Every table counts what a loop over the sales counts."""
    there = list(sales)
    for grain, name in ((Grain.DAY, "day"), (Grain.WEEK, "week"), (Grain.MONTH, "month"), (Grain.YEAR, "year")):
        counted = Counter((first_day(grain, dt.date.fromisoformat(day)), product) for _, product, day in there)
        found = lake.rows(f"SELECT {name}, product, sale_count FROM marts.by_{name}")
        assert {(first, product): number for first, product, number in found} == counted
    for day, product, *sums in lake.rows("SELECT day::VARCHAR, product, month_to_date, year_to_date, to_date FROM marts.running"):
        before = [each for _, of, each in there if of == product and each <= day]
        assert sums == [sum(each[:7] == day[:7] for each in before), sum(each[:4] == day[:4] for each in before), len(before)]
    per_month = Counter(day[:7] for *_, day in there)
    for month, over_month, over_year in lake.rows("SELECT strftime(month, '%Y-%m'), over_month, over_year FROM marts.growth"):
        year, number = int(month[:4]), int(month[5:])
        bases = (f"{year - (number == 1)}-{(number - 2) % 12 + 1:02}", f"{year - 1}-{number:02}")
        expected = [per_month[month] / per_month[base] - 1 if per_month[base] else None for base in bases]
        assert [over_month, over_year] == pytest.approx(expected)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_whatever_comes_when_gives_the_tables_of_a_full_rebuild(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    days = [(dt.date(2023, 11, 20) + dt.timedelta(days=rng.randrange(480))).isoformat() for _ in range(30)]
    sales = {f"s{n}": (f"s{n}", rng.choice(["tea", "milk"]), day) for n, day in enumerate(days)}
    lines = [sale(key, n, day, product) for n, (key, product, day) in enumerate(sales.values(), start=1)]
    for n, key in enumerate(rng.sample(sorted(sales), 8), start=1000):
        day = rng.choice(days)
        sales[key] = (key, sales[key][1], day)
        lines.append(sale(key, n, day, sales[key][1], op="u"))
    for n, key in enumerate(rng.sample(sorted(sales), 3), start=2000):
        _, product, day = sales.pop(key)
        lines.append(sale(key, n, day, product, op="d"))
    rng.shuffle(lines)
    files = [text(*lines[start : start + 14]) for start in range(0, len(lines), 14)]
    bit_by_bit, at_once = ShopLake(tmp_path / "one", kiosk.DOMAIN), ShopLake(tmp_path / "other", kiosk.DOMAIN)
    for number, content in enumerate(files):
        bit_by_bit.land("sales", f"{number}.json", content)
        bit_by_bit.run(f"run {number}")
        at_once.land("sales", f"{number}.json", content)
    at_once.run("only")
    require_counted(at_once, sales.values())
    assert tables(bit_by_bit) == tables(at_once)
    emptied = contents(bit_by_bit).keys() - contents(at_once).keys()
    assert {key: found for key, found in contents(bit_by_bit).items() if key not in emptied} == contents(at_once)
    require_verified(bit_by_bit)


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(day=st.dates(dt.date(2023, 11, 1), dt.date(2025, 3, 31)).map(dt.date.isoformat))
def test_nothing_that_was_not_planned_would_have_changed(tmp_path_factory: pytest.TempPathFactory, day: str) -> None:
    folder = tmp_path_factory.mktemp("late")
    late, again = ShopLake(folder / "late", kiosk.DOMAIN), ShopLake(folder / "again", kiosk.DOMAIN)
    for lake in (late, again):
        lake.land("sales", "1.json", text(*(sale(f"s{place}", place, on) for place, on in enumerate(DAYS, start=1))))
    late.run("first")
    for lake in (late, again):
        lake.land("sales", "late.json", text(sale("late", 99, day)))
    ran = late.run("late")
    assert sorted(ran.plans["marts.by_day"].dirty) == [day]
    for grain, name in ((Grain.WEEK, "week"), (Grain.MONTH, "month"), (Grain.YEAR, "year")):
        assert set(ran.plans[f"marts.by_{name}"].dirty) == keys(grain, [day])
    again.run("only")
    assert contents(late) == contents(again)


class TestWhatTheProofRefuses:
    def kiosk_with(self, folder: Path, month: str) -> ShopLake:
        sql = folder / "sql"
        for path in sorted(kiosk.DOMAIN.sql.rglob("*.sql")):
            target = sql / path.relative_to(kiosk.DOMAIN.sql)
            target.parent.mkdir(parents=True, exist_ok=True)
            said = path.read_text(encoding="utf-8")
            target.write_text(said.replace("date_trunc('month', day)::DATE", month) if path.stem == "by_month" else said)
        return ShopLake(folder, replace(kiosk.DOMAIN, sql=sql))

    def test_a_partition_column_that_is_no_first_day(self, tmp_path: Path) -> None:
        lake = self.kiosk_with(tmp_path, "day")
        lake.land("sales", "1.json", text(sale("s1", 1, "2024-01-01"), sale("s2", 2, "2024-01-15"), sale("s3", 3, "2024-02-01")))
        ran = lake.run()
        assert ran.computed["marts.by_month"] == {"2024-01-01": "failed", "2024-02-01": "published"}
        problems = next(each.problems for each in ran.outcomes["marts.by_month"] if each.partition == "2024-01-01")
        assert problems[0] == (
            "1 rows break month_first_day (month must be the first day of a month, as date_trunc('month', …)::DATE gives it), "
            "which stops a partition"
        )

    def test_rows_that_went_to_another_month_are_missed_by_the_books(self, tmp_path: Path) -> None:
        lake = self.kiosk_with(tmp_path, "(date_trunc('month', day) + INTERVAL 1 MONTH)::DATE")
        ran = fill(lake)
        assert set(ran.computed["marts.by_month"].values()) == {"failed"}


def test_what_was_cut_otherwise_is_no_partition_any_more(lake: ShopLake) -> None:
    fill(lake)
    months = kiosk.DOMAIN.tables["marts.by_month"]
    path = lake.store.local(partition_key(months, "2024-01-01"))
    assert path is not None
    stray = path.parents[1] / "month=2024-01-15" / path.name
    stray.parent.mkdir()
    stray.write_bytes(path.read_bytes())
    assert sorted(State(lake.workspace).index("marts.by_month")) == sorted(keys(Grain.MONTH, DAYS))
    assert lake.rows("SELECT sum(sale_count) FROM marts.by_month") == [(len(DAYS),)]


class TestWhatCannotBe:
    def domain(self, folder: Path, partition: Daily | Monthly | Yearly, reads: str, **options: object) -> None:
        @source("x", format=Debezium("x"), key=("id",), partition=Daily("sold_on", of="id"), owner="team:x", subject="x")
        class Events(Event):
            """Events."""

            id: str = column("Key", nullable=True)

        @source("y", format=Debezium("y"), key=("id",), owner="team:x", subject="x")
        class Others(Event):
            """Events without a day."""

            id: str = column("Key", nullable=True)

        @table("years", layer="enriched", key=("id",), partition=Yearly("d"), owner="team:x", subject="x")
        class Years(Published):
            """By year."""

            id: str = column("Key")
            d: Date = column("Year")

        @table("read", layer="marts", key=("id",), partition=partition, owner="team:x", subject="x", **options)  # type: ignore[arg-type]
        class Reader(Published):
            """Reads."""

            id: str = column("Key")
            d: Date = column("Day")

        run = "NULL::TIMESTAMPTZ AS ingestion_timestamp, '' AS data_source"
        sql = {
            "enriched.years": f"SELECT id, sold_on AS d, {run} FROM latest.x",
            "marts.read": f"SELECT id, DATE '2025-01-01' AS d, {run} FROM {reads}",
        }
        load_project(domain_of(folder, [Events, Others, Years, Reader], sql))

    @pytest.mark.parametrize(
        ("partition", "reads", "options", "said"),
        [
            (Daily("d"), "enriched.years", {}, "its books count the rows of enriched.years, but a partition of enriched.years"),
            (
                Daily("d"),
                "enriched.years JOIN latest.y USING (id)",
                {"balance": Balance(inputs=())},
                "it is partitioned by day, but nothing that",
            ),
            (Monthly("d"), "latest.x", {"windows": {"latest.y": Window(1)}}, "it has a window over latest.y, which"),
            (
                Monthly("d"),
                "latest.x JOIN latest.y USING (id)",
                {"windows": {"latest.y": Window(1)}, "balance": Balance(inputs=("latest.x",))},
                "it has a window over latest.y, which is not partitioned",
            ),
            (
                Daily("d"),
                "latest.x JOIN enriched.years USING (id)",
                {"windows": {"enriched.years": Window(since="year")}, "balance": Balance(inputs=("latest.x",))},
                "its window over enriched.years begins with the year, but enriched.years is partitioned by year",
            ),
            (Daily("d"), "latest.x", {"windows": {"latest.x": Window(1, own=False)}}, "its books count the rows of latest.x"),
            (
                Daily("d"),
                "latest.x",
                {"windows": {"latest.x": Window(1, after=1, about="id")}, "is_local": True},
                "its window over latest.x is by id, but latest.x is not a table partitioned by day",
            ),
            (
                Yearly("d"),
                "enriched.years",
                {"windows": {"enriched.years": Window(1, after=1, about="d")}, "is_local": True},
                "its window over enriched.years is by d, but enriched.years is not a table partitioned by day",
            ),
            (
                Daily("d"),
                "latest.x JOIN enriched.years USING (id)",
                {"lookups": {"enriched.years": {"id": "id"}}, "balance": Balance(inputs=("latest.x", "enriched.years"))},
                "its books count the rows of enriched.years",
            ),
        ],
    )
    def test_is_said_at_load_time(self, tmp_path: Path, partition, reads: str, options: dict[str, object], said: str) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(ContractError) as raised:
            self.domain(tmp_path, partition, reads, **options)
        assert raised.value.message.startswith(f"marts.read: {said}")
        assert raised.value.hint

    def test_what_is_looked_up_by_the_partition_may_be_counted(self, tmp_path: Path) -> None:
        balance = Balance(inputs=("latest.x", "enriched.years"))
        lookups = {"enriched.years": {"d": "d"}}
        self.domain(tmp_path, Daily("d"), "latest.x JOIN enriched.years USING (id)", lookups=lookups, balance=balance)
