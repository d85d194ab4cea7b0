"""Keys: where everything lies, and back."""

from __future__ import annotations

import pytest
import shop

from assay.contracts import WHOLE, Source
from assay.lake import layout
from assay.lake.store import check_key

ORDERS, CUSTOMERS = shop.DOMAIN.tables["enriched.orders"], shop.DOMAIN.tables["enriched.customers"]
RAW_ORDERS, RAW_CUSTOMERS = shop.DOMAIN.sources["orders"], shop.DOMAIN.sources["customers"]
DAY = "2025-01-03"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (layout.landing_prefix("orders"), "landing/orders/"),
        (layout.raw_part_key(RAW_ORDERS, DAY, "2025-01-10", "b"), "raw/orders/order_day=2025-01-03/2025-01-10/b.parquet"),
        (layout.raw_part_key(RAW_ORDERS, layout.UNPLACED, "2025-01-10", "b"), "raw/orders/unplaced/2025-01-10/b.parquet"),
        (layout.raw_part_key(RAW_CUSTOMERS, WHOLE, "2025-01-10", "b"), "raw/customers/all/2025-01-10/b.parquet"),
        (layout.raw_compacted_key(RAW_ORDERS, DAY, "c"), "raw/orders/order_day=2025-01-03/compacted/c.parquet"),
        (layout.raw_log_prefix("orders"), "audit/ingested/orders/"),
        (layout.raw_quarantine_key("orders", "b"), "quarantine/raw/orders/b.parquet"),
        (layout.partition_key(ORDERS, DAY), "enriched/orders/order_day=2025-01-03/data.parquet"),
        (layout.partition_key(CUSTOMERS, WHOLE), "enriched/customers/data.parquet"),
        (layout.quarantine_key(ORDERS, DAY, "i"), "quarantine/enriched/orders/order_day=2025-01-03/i.parquet"),
        (layout.quarantine_key(CUSTOMERS, WHOLE, "i"), "quarantine/enriched/customers/i.parquet"),
        (layout.index_key(ORDERS), "audit/published/enriched/orders.json"),
        (layout.failures_key(ORDERS), "audit/failed/enriched/orders.json"),
        (
            layout.restatement_key(ORDERS, "2025-01-03", "v1", "run"),
            "quality/restatements/enriched/orders/2025-01-03-v1-run.parquet",
        ),
        (layout.merged_restatements_key(ORDERS, "i"), "quality/restatements/merged/enriched/orders/i.parquet"),
        (layout.merged_restatements_index_key(), "quality/restatements/merged/index.json"),
    ],
)
def test_keys_are_where_the_design_has_them(key: str, expected: str) -> None:
    assert key == expected
    check_key(key.removesuffix("/"))


@pytest.mark.parametrize("source", [RAW_ORDERS, RAW_CUSTOMERS], ids=["daily", "whole"])
def test_what_compactions_wrote_is_told_by_its_key(source: Source) -> None:
    assert layout.is_compacted(layout.raw_compacted_key(source, DAY, "compacted"))
    assert not layout.is_compacted(layout.raw_part_key(source, "compacted", "2025-01-10", "compacted"))


@pytest.mark.parametrize(("table", "partition"), [(ORDERS, DAY), (CUSTOMERS, WHOLE)], ids=["daily", "whole"])
def test_a_partition_is_told_by_its_key(table, partition: str) -> None:
    assert layout.partition_of(table, layout.partition_key(table, partition)) == partition


@pytest.mark.parametrize(
    "key",
    [
        "enriched/orders/data.parquet",
        "enriched/orders/order_day=2025-01-03/other.parquet",
        "enriched/orders/order_day=2025-01-03/deeper/data.parquet",
        "enriched/orders/day=2025-01-03/data.parquet",
        "enriched/orders/order_day/data.parquet",
    ],
)
def test_other_keys_are_no_partitions(key: str) -> None:
    assert layout.partition_of(ORDERS, key) is None


def test_one_tables_prefix_holds_no_other_table() -> None:
    prefixes = [layout.table_prefix(table) for table in shop.DOMAIN.tables.values()]
    assert not any(one != other and one.startswith(other) for one in prefixes for other in prefixes)
