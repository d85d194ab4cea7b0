"""What every command pays before it does anything: loading the definitions, starting the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import lakes
import measure
import pytest

import simulator

pytestmark = pytest.mark.bench

LOADS = 2
MOST_SECONDS = 3.0


def test_definitions(board: measure.Board, folder: Path) -> None:
    """Loading `payments.definitions` in a fresh process, as Dagster does."""
    command = [sys.executable, "-W", "ignore", "-c", "import payments.definitions"]
    loaded = measure.best_of(LOADS, lambda: measure.run_process(command, lakes.environment()))
    met = loaded.wall <= MOST_SECONDS
    board.bar("start", "load payments.definitions", measure.seconds(loaded.wall), f"≤ {MOST_SECONDS:g} s", met)
    files = lakes.landed(simulator.Company(days=1, transactions_per_day=200), range(1))
    lake = lakes.folder_lake(folder, files.folder)
    shown = measure.best_of(LOADS, lambda: lake.assay("--help"))
    board.note("start", "assay --help", measure.seconds(shown.wall))
    lake.assay("run", "--json")
    nothing = measure.best_of(LOADS, lambda: lake.assay("run", "--json"))
    board.note("start", "assay run with nothing to do", f"{measure.seconds(nothing.wall)}, {nothing.cpu:.2f} s of processor")
