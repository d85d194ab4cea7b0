"""The record of failed partitions: what one run has mended, no other brings back."""

from __future__ import annotations

from pathlib import Path

import pytest
import shop
from shop_lake import ShopLake

from assay.lake.files import FileStore
from assay.lake.store import ObjectInfo
from assay.pipeline.failures import Failure, forget_failures, read_failures, write_failures

ORDERS = shop.DOMAIN.tables["enriched.orders"]
D3, D4 = "2025-01-03", "2025-01-04"
OLD, NEW = Failure("old inputs", ("why",), "first"), Failure("new inputs", ("why",), "second")


def test_what_another_run_has_mended_meanwhile_stays_mended(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    write_failures(lake.store, ORDERS, {D3: OLD}, ())
    put, others = FileStore.put, [lambda: write_failures(lake.store, ORDERS, {}, mended=[D3])]

    def put_after_another(
        self: FileStore, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False
    ) -> ObjectInfo:
        if others:
            others.pop()()
        return put(self, key, body, if_match=if_match, if_absent=if_absent)

    monkeypatch.setattr(FileStore, "put", put_after_another)
    write_failures(lake.store, ORDERS, {D4: NEW}, ())
    assert read_failures(lake.store, ORDERS) == {D4: NEW}


def test_a_failure_that_was_found_since_is_not_forgotten(lake: ShopLake) -> None:
    write_failures(lake.store, ORDERS, {D3: NEW, D4: OLD}, ())
    forget_failures(lake.store, ORDERS, {D3: OLD, D4: OLD})
    assert read_failures(lake.store, ORDERS) == {D3: NEW}
