"""What is read only by key: bound whole, and accounted for where the books count it."""

from __future__ import annotations

from pathlib import Path

from change_lines import change, text
from shop_lake import ShopLake

from assay.engine.relations import account
from assay.pipeline.lookups import bind_lookup
from assay.pipeline.state import State

ORDER = {"order_id": "o1", "customer_id": "c1", "amount": "2.50", "ordered_at": "2024-01-01"}


def test_a_fold_that_is_looked_up_says_what_it_left_out(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    lake.land("orders", "1.json", text(change("orders", "c", 1, ORDER), change("orders", "u", 2, ORDER | {"amount": "3.00"})))
    lake.ingest("orders")
    node = lake.workspace.project.nodes["enriched.orders"]

    with lake.connection() as connection:
        bind_lookup(connection, State(lake.workspace), node, "latest.orders")
        (accounted,) = account(connection, "latest.orders", lake.source("orders"), node.table.grain).values()

    assert "latest.orders" in node.inputs
    assert (accounted.received.rows, accounted.superseded.rows, accounted.deleted.rows) == (2, 1, 0)
