"""Upkeep: every step in one order, and a lake that says the same afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any

from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.lake.layout import proofs_prefix
from assay.landing.upkeep.compaction import AT_LEAST, Compacted
from assay.pipeline.upkeep import Step, upkeep

DAYS = ("2025-01-01", "2025-01-02")
SCORES = "SELECT table_name, partition, run_id FROM quality.partition_scores ORDER BY ALL"


def fill(lake: ShopLake) -> None:
    """Land and ingest orders of two days in as many batches as are worth merging, and build the tables."""
    lake.land("customers", "c.json", text(customer("c1", 1)))
    for number in range(AT_LEAST):
        lake.land("orders", f"{number}.json", text(*(order(f"o{number}{day}", 10 + number, day=day) for day in DAYS)))
        lake.ingest("orders")
    lake.run()


def kept(lake: ShopLake, **options: Any) -> list[Step]:
    with lake.connection() as connection:
        sources = options.pop("sources", lake.workspace.domain.sources.values())
        return list(upkeep(connection, lake.workspace, sources, **options))


def merged(steps: list[Step]) -> int:
    return sum(step.result.objects for step in steps if isinstance(step.result, Compacted))


def test_it_merges_and_restores_lost_proofs_and_then_there_is_nothing_to_do(lake: ShopLake) -> None:
    fill(lake)
    before = lake.rows(SCORES)
    for key in lake.etags(proofs_prefix()):
        lake.store.delete(key)
    first, second = kept(lake), kept(lake)
    assert merged(first) == AT_LEAST * len(DAYS)
    assert any(f"{len(before)} of published partitions restored" in step.said for step in first)
    assert lake.rows(SCORES) == before
    assert merged(second) == 0
    assert not any("restored" in step.said and " 0 of published" not in step.said for step in second)
    assert lake.run().computed == {}


def test_a_lake_in_order_has_only_idle_steps(lake: ShopLake) -> None:
    steps = kept(lake)
    assert {step.subject for step in steps} == {
        *(source.full_name for source in lake.workspace.domain.sources.values()),
        *lake.workspace.project.nodes,
        "history of proofs",
        "history of restatements",
    }
    assert all(step.is_idle for step in steps)


def test_a_source_alone_leaves_tables_and_histories(lake: ShopLake) -> None:
    fill(lake)
    proofs = lake.etags(proofs_prefix())
    steps = kept(lake, sources=[lake.source("orders")], sources_only=True)
    assert {step.subject for step in steps} == {"raw.orders"}
    assert merged(steps) == AT_LEAST * len(DAYS)
    assert lake.etags(proofs_prefix()) == proofs


def test_a_limit_of_rows_leaves_the_rest_to_the_next_call(lake: ShopLake) -> None:
    fill(lake)
    assert [merged(kept(lake, most_rows=1)) for _ in range(3)] == [AT_LEAST, AT_LEAST, 0]


def test_replaced_objects_stay_for_the_grace_period(lake: ShopLake) -> None:
    fill(lake)
    for grace, removed in ((dt.timedelta(hours=1), 0), (dt.timedelta(0), AT_LEAST * len(DAYS))):
        kept(lake, sources_only=True)
        steps = kept(lake, sources_only=True, grace=grace)
        assert sum(step.result.removed for step in steps if isinstance(step.result, Compacted)) == removed
