"""Watching: measured once a published content, restated with it, kept in the lake and read as SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import shop
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.contracts import Domain
from assay.lake.layout import quality_key
from assay.pipeline import watching
from assay.pipeline.state import State
from assay.pipeline.watching import Watched, watch_table, watch_tables
from assay.quality.profile import Metric

ORDERS = shop.DOMAIN.tables["enriched.orders"]
START = dt.date(2025, 1, 1)
DAYS = 63
A_DAY = 40
AFTER = dt.datetime(2025, 3, 5, 12, tzinfo=dt.UTC)


def day(number: int) -> str:
    return (START + dt.timedelta(days=number)).isoformat()


def orders(number: int, count: int = A_DAY, first: int = 0, amount: str = "10.00") -> list[str]:
    """Orders of one day."""
    return [
        order(f"{number}-{place}", 1_000 * number + place + 1, day=day(number), amount=amount)
        for place in range(first, first + count)
    ]


def land(lake: ShopLake, name: str, lines: list[str], number: int = DAYS) -> None:
    landed = dt.datetime.combine(START, dt.time(2), dt.UTC) + dt.timedelta(days=number)
    lake.land("orders", name, text(*lines), at=landed)


def watch(lake: ShopLake, as_of: dt.datetime = AFTER, keep: bool = True) -> Watched:
    with lake.connection() as connection:
        (found,) = watch_tables(connection, State(lake.workspace), as_of, keep=keep)
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """Nine weeks of orders, of which one day has only a quarter; it is published, and not watched yet."""
    lake = ShopLake(tmp_path_factory.mktemp("filled"))
    lake.land("customers", "c.json", text(customer("c1", 1)))
    for number in range(DAYS):
        land(lake, f"{day(number)}.json", orders(number, A_DAY // 4 if number == 55 else A_DAY), number + 1)
    lake.run()
    return lake


@pytest.fixture
def lake(filled: ShopLake) -> ShopLake:
    """The same, with nothing measured or judged."""
    for info in list(filled.store.list("quality/")):
        filled.store.delete(info.key)
    return filled


def measured(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Days that are measured from now on."""
    found: list[str] = []
    real = watching._measure

    def told(*arguments: Any) -> Any:
        contents: Mapping[dt.date, str] = arguments[-1]
        found.extend(each.isoformat() for each in contents)
        return real(*arguments)

    monkeypatch.setattr(watching, "_measure", told)
    return found


def test_a_table_with_money_is_watched_by_default(lake: ShopLake) -> None:
    found = watch(lake)
    assert (found.table.full_name, found.until) == ("enriched.orders", dt.date(2025, 3, 4))
    assert [(each.day.isoformat(), each.metric, each.observed) for each in found.anomalies] == [
        (day(55), Metric.VALUE, 100.0),
        (day(55), Metric.VOLUME, 10.0),
    ]
    assert found.recent(7) == ()
    assert len(found.recent(8)) == 2


def test_what_was_measured_and_judged_is_not_done_again(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    days = measured(lake, monkeypatch)
    first = watch(lake)
    assert len(days) == DAYS
    before = lake.etags("quality/")
    assert len(before) == 2
    days.clear()
    assert watch(lake) == first
    assert days == []
    assert lake.etags("quality/") == before


def test_time_that_passes_judges_days_that_have_become_complete(lake: ShopLake) -> None:
    early = watch(lake, AFTER.replace(month=2, day=25))
    assert (early.until, early.anomalies) == (dt.date(2025, 2, 24), ())
    assert len(watch(lake).anomalies) == 2


def test_looking_writes_nothing(lake: ShopLake) -> None:
    assert len(watch(lake, keep=False).anomalies) == 2
    assert lake.etags("quality/") == {}


def test_sql_reads_what_was_found(lake: ShopLake) -> None:
    assert lake.rows("SELECT * FROM quality.anomalies") == []
    watch(lake)
    found = lake.rows("SELECT table_name, partition, metric, change, text FROM quality.anomalies ORDER BY metric")
    assert [row[:3] for row in found] == [
        ("enriched.orders", dt.date(2025, 2, 25), "value"),
        ("enriched.orders", dt.date(2025, 2, 25), "volume"),
    ]
    assert found[1][3] == pytest.approx(-0.75, abs=0.01)
    assert found[1][4].startswith("rows: 10, expected 40 (-75%")
    (row,) = lake.rows("SELECT count(*), count(DISTINCT partition), max(row_count) FROM quality.profiles WHERE metric = 'volume'")
    assert row == (DAYS, DAYS, A_DAY)


def test_a_declaration_that_changes_measures_anew(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(lake)
    days = measured(lake, monkeypatch)
    assert ORDERS.watched is not None
    with lake.connection() as connection:
        state = State(lake.workspace)
        node = lake.workspace.project.nodes["enriched.orders"]
        stricter = replace(node, table=replace(ORDERS, watch=replace(ORDERS.watched, change=0.9)))
        found = watch_table(connection, state, stricter, AFTER, keep=False)
        assert found is not None and found.anomalies == ()
        assert days == []
        other = replace(node, table=replace(ORDERS, watch=replace(ORDERS.watched, nulls=("note",))))
        watch_table(connection, state, other, AFTER, keep=False)
        assert len(days) == DAYS


def test_what_is_kept_in_an_unknown_shape_is_made_anew(lake: ShopLake) -> None:
    watch(lake)
    for name in ("profiles", "anomalies"):
        path = lake.store.local(quality_key(name, ORDERS))
        assert path is not None
        with lake.connection() as connection:
            connection.execute(f"COPY (SELECT 1 AS x) TO '{path}' (FORMAT parquet)")
    assert len(watch(lake).anomalies) == 2


def test_nothing_published_is_nothing_watched(tmp_path: Any) -> None:
    empty = ShopLake(tmp_path)
    with empty.connection() as connection:
        assert watch_tables(connection, State(empty.workspace), AFTER) == []
    assert empty.etags("quality/") == {}


def test_a_domain_may_watch_nothing(lake: ShopLake) -> None:
    node = lake.workspace.project.nodes["enriched.orders"]
    with lake.connection() as connection:
        silent = replace(node, table=replace(ORDERS, watch=False))
        assert watch_table(connection, State(lake.workspace), silent, AFTER) is None
    assert isinstance(lake.workspace.domain, Domain)


class TestRestated:
    """Last, because it changes what is published."""

    def test_a_late_file_restates_its_day_and_nothing_else(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        watch(lake)
        land(lake, "late.json", orders(55, A_DAY - A_DAY // 4, first=A_DAY // 4))
        lake.run("late")
        days = measured(lake, monkeypatch)
        assert watch(lake).anomalies == ()
        assert days == [day(55)]
        assert lake.rows("SELECT * FROM quality.anomalies") == []
        (row,) = lake.rows(f"SELECT figure FROM quality.profiles WHERE metric = 'volume' AND partition = '{day(55)}'")
        assert row == (A_DAY,)

    def test_a_day_whose_rows_are_all_refused_is_empty(self, lake: ShopLake) -> None:
        watch(lake)
        table = lake.workspace.domain.tables["enriched.orders"]
        folder = lake.folder / "enriched" / "orders" / f"{table.partition_column}={day(50)}"
        (folder / "data.parquet").unlink()
        assert [each.day.isoformat() for each in watch(lake).anomalies if each.metric is Metric.VOLUME] == [day(50)]
        assert lake.rows(f"SELECT * FROM quality.profiles WHERE partition = '{day(50)}'") == []
        assert lake.rows("SELECT content FROM quality.anomalies WHERE metric = 'volume'") == [(None,)]
