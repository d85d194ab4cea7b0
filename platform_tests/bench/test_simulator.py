"""How fast the simulated company writes."""

from __future__ import annotations

import time
from pathlib import Path

import lakes
import measure
import pytest

import simulator

pytestmark = pytest.mark.bench

PAYMENTS = lakes.scaled(1_060_000, 20_000)
LEAST_A_SECOND = 200_000


def test_simulator(board: measure.Board, folder: Path) -> None:
    """Records written in a second on two threads, the files taken away as they come."""
    company = simulator.Company(days=1, transactions_per_day=PAYMENTS, seed=2)
    records = 0
    started = time.perf_counter()
    for file in simulator.produce(company, folder, threads=lakes.THREADS):
        records += file.records
        file.path.unlink()
    took = time.perf_counter() - started
    met = records / took >= LEAST_A_SECOND
    board.bar("simulator", f"{records:,} records", measure.rate(records, took), f"≥ {LEAST_A_SECOND:,}", met)
