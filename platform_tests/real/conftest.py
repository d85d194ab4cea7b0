"""Fixtures of the tests on real data: where the data are. The repository does not hold them; without them tests are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

VARIABLE = "ASSAY_TEST_DATA"
BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Find a file or folder of the real data, or skip the test."""
    root = Path(os.environ.get(VARIABLE) or BESIDE_THE_REPOSITORY)

    def find(name: str) -> Path:
        found = root / name
        if not found.exists():
            pytest.skip(f"the real data {name} are not in {root}; {VARIABLE} names the folder that has them")
        return found

    return find
