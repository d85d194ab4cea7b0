"""Fixtures of the benchmarks: the board they write on, and folders on one disk with the cached files."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test folders are no packages; the benchmarks share two modules that no other test needs.
sys.path.insert(0, str(Path(__file__).parent))

import lakes
import measure


@pytest.fixture(scope="session")
def all_rows() -> Iterator[measure.Board]:
    """What every benchmark measured; printed once more, together, at the end."""
    board = measure.Board()
    yield board
    board.show(f"All, scale {lakes.SCALE:g}")


@pytest.fixture
def board(all_rows: measure.Board, request: pytest.FixtureRequest) -> Iterator[measure.Board]:
    """Where a benchmark writes its rows; printed when it ends."""
    before = len(all_rows.rows)
    yield all_rows
    measure.Board(all_rows.rows[before:]).show(f"{request.node.name}, scale {lakes.SCALE:g}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder beside the cached files, so that files are linked into it; removed at the end."""
    folder = lakes.DATA / "work" / uuid.uuid4().hex
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
