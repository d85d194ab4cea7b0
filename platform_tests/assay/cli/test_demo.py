"""Landing a demo: its files lie where they belong, a second time adds nothing, and one with other options is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_lake import ShopLake

from assay.cli.move import _land_demo
from assay.errors import StoreError
from assay.pipeline.outcome import Unobserved
from payments import DOMAIN


def land(lake: ShopLake, seed: int = 1) -> int:
    return _land_demo(lake.workspace, Unobserved(), days=2, transactions_per_day=100, seed=seed)[0]


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    return ShopLake(tmp_path, DOMAIN)


def test_a_second_one_adds_nothing(lake: ShopLake) -> None:
    landed = land(lake)
    before = lake.etags("")
    assert landed == len(lake.etags("landing/")) > 0
    assert "controls/closing/transactions-2025-01-02.csv" in lake.etags("controls/")
    assert (land(lake), lake.etags("")) == (0, before)


def test_one_with_other_options_is_refused_and_leaves_nothing_behind(lake: ShopLake) -> None:
    land(lake)
    before = lake.etags("")
    with pytest.raises(StoreError, match="from a demo with other options"):
        land(lake, seed=2)
    assert lake.etags("") == before
    assert list(lake.workspace.scratch.iterdir()) == []
