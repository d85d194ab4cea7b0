"""Fixtures of the landing tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_lake import ShopLake


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """The shop on an empty lake."""
    return ShopLake(tmp_path)
