"""How fresh sources and tables are, and which of those that are late are late by themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.landing.upkeep.compaction import compact
from assay.pipeline.freshness import freshness, late
from assay.pipeline.runs import rebuild_partitions
from assay.pipeline.state import State

HOUR = dt.timedelta(hours=1)
D3, D4 = "2025-01-03", "2025-01-04"
Limit = Callable[[str, float], None]


@pytest.fixture
def limit(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Says how many hours old a source or table may be."""

    def set_limit(name: str, hours: float) -> None:
        monkeypatch.setitem(vars(lake.workspace.domain.find(name)), "freshness", hours * HOUR)

    return set_limit


def late_names(lake: ShopLake, hours: float) -> list[str]:
    return [found.declared.full_name for found in late(State(lake.workspace), now() + hours * HOUR)]


def updated(lake: ShopLake, name: str) -> dt.datetime:
    found = freshness(State(lake.workspace), now())[name].updated
    assert found is not None
    return found


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_what_never_had_anything_is_not_late(lake: ShopLake, limit: Limit) -> None:
    limit("raw.orders", 1)
    limit("enriched.orders", 1)
    assert late_names(lake, 1000) == []


def test_a_source_is_late_when_nothing_was_ingested_for_too_long(lake: ShopLake, limit: Limit) -> None:
    limit("raw.orders", 2)
    lake.land("orders", "1.json", text(order("o1", 1)))
    lake.ingest("orders")
    assert late_names(lake, 1.9) == []
    assert late_names(lake, 2.1) == ["raw.orders"]


def test_a_compaction_brings_nothing_new(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.landing.upkeep.compaction.AT_LEAST", 2)
    for number in range(4):
        lake.land("orders", f"{number}.json", text(order(f"o{number}", number)))
        lake.ingest("orders")
    before = updated(lake, "raw.orders")
    with lake.connection() as connection:
        assert compact(lake.store, connection, lake.source("orders"), lake.workspace.scratch).merges
    assert updated(lake, "raw.orders") == before


def test_an_old_day_that_is_mended_does_not_make_a_table_fresh(lake: ShopLake) -> None:
    lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4)))
    lake.run()
    before = updated(lake, "enriched.orders")
    lake.land("orders", "2.json", text(order("o3", 3, day=D3)))
    assert lake.run().computed["enriched.orders"] == {D3: "published"}
    assert updated(lake, "enriched.orders") == before
    lake.land("orders", "3.json", text(order("o4", 4, day=D4)))
    lake.run()
    assert updated(lake, "enriched.orders") > before


def test_a_day_of_the_future_does_not_make_a_table_fresh(lake: ShopLake) -> None:
    lake.land("orders", "1.json", text(order("o1", 1, day=D4)))
    lake.run()
    before = updated(lake, "enriched.orders")
    lake.land("orders", "2.json", text(order("o2", 2, day="2999-01-01")))
    lake.run()
    assert updated(lake, "enriched.orders") == before
    assert freshness(State(lake.workspace), now())["enriched.orders"].newest == D4


def test_newer_inputs_that_give_the_same_rows_make_it_fresh_and_a_rebuild_does_not(lake: ShopLake) -> None:
    lake.land("customers", "1.json", text(customer("c1", 1)))
    lake.run()
    before = updated(lake, "enriched.customers")
    with lake.connection() as connection:
        rebuild_partitions(
            connection, State(lake.workspace), lake.workspace.project.nodes["enriched.customers"], ["all"], "again"
        )
    assert updated(lake, "enriched.customers") == before
    lake.land("customers", "2.json", text(customer("c1", 1)))
    assert lake.run().computed["enriched.customers"] == {"all": "unchanged"}
    assert updated(lake, "enriched.customers") > before


def test_what_waits_for_something_late_is_not_late_by_itself(lake: ShopLake, limit: Limit) -> None:
    for name in ("enriched.orders", "marts.daily_totals", "marts.shop_totals"):
        limit(name, 3)
    lake.land("orders", "1.json", text(order("o1", 1)))
    lake.run()
    assert late_names(lake, 4) == ["enriched.orders"]
    limit("raw.orders", 2)
    assert late_names(lake, 4) == ["raw.orders"]
    limit("raw.orders", 9)
    limit("enriched.orders", 9)
    assert late_names(lake, 4) == ["marts.daily_totals", "marts.shop_totals"]
