"""A tick of the landing sensor over very many landed objects, nearly all of them ingested."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lakes
import measure
import pytest

import payments
from assay.engine.connection import Limits
from assay.lake import ObjectStore
from assay.lake.layout import landing_prefix
from assay.lake.ledger import Batch, LandedObject, LedgerLog
from assay.landing.batches.outstanding import cuts, outstanding
from assay.orchestration.sensing import outstanding_objects
from assay.pipeline.workspace import Workspace

pytestmark = pytest.mark.bench

OBJECTS = lakes.scaled(100_000, 2_000)
NEW = 10
SOURCE = "transactions"
OBJECTS_A_BATCH = 250
MOST_SECONDS = 2.0
TICKS = 3


def test_sensor_on_a_folder(board: measure.Board, folder: Path) -> None:
    """Files in as many folders as a sink with hourly folders makes."""
    lake = lakes.folder_lake(folder, _no_files(folder))
    for number in range(OBJECTS):
        path = folder / "lake" / _key(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    _measure(board, "folder", lake.store, folder)


def test_sensor_on_s3(board: measure.Board, folder: Path) -> None:
    """Objects of the embedded S3 server, which is no faster at listing than others."""
    with lakes.s3_lake(folder) as lake, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: lake.store.put(_key(number), b"{}"), range(OBJECTS)))
        _measure(board, "embedded S3", lake.store, folder)


def _measure(board: measure.Board, where: str, store: ObjectStore, folder: Path) -> None:
    prefix = landing_prefix(SOURCE)
    # A folder's files count as landed once they have been left alone for a while.
    now = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    listing = sorted(store.list(prefix), key=lambda info: info.key)
    assert len(listing) == OBJECTS
    log = LedgerLog(store, SOURCE)
    log.read()
    known = listing[:-NEW]
    for first in range(0, len(known), OBJECTS_A_BATCH):
        landed = tuple(LandedObject(info.key, info.etag, 1, 0) for info in known[first : first + OBJECTS_A_BATCH])
        assert log.append(Batch(id=str(first), version="1", landed=landed, parts=()))
    workspace = Workspace(payments.DOMAIN, store, Limits(lakes.MEMORY, lakes.THREADS, folder / "scratch"))
    found = outstanding_objects(workspace, payments.DOMAIN, now)
    assert [len(objects) for objects in found.values()] == [NEW]
    tick = measure.timed(lambda: outstanding_objects(workspace, payments.DOMAIN, now), TICKS)
    read = measure.timed(lambda: LedgerLog(store, SOURCE).read().landed, TICKS)
    ledger = LedgerLog(store, SOURCE).read()
    listed = measure.timed(lambda: list(store.list(prefix, cuts(ledger))), TICKS)
    compared = measure.timed(lambda: outstanding(listing, ledger), TICKS)
    board.bar(
        "sensor", f"tick, {OBJECTS:,} objects, {where}", measure.seconds(tick), f"≤ {MOST_SECONDS:g} s", tick <= MOST_SECONDS
    )
    parts = f"list {listed:.2f}, ledger {read:.2f}, compare {compared:.2f}"
    board.note("sensor", f"seconds by part, {where}", parts)


def _key(number: int) -> str:
    return f"{landing_prefix(SOURCE)}topics/payments/hour={number // 500:04}/payments+0+{number:010}.json.gz"


def _no_files(folder: Path) -> Path:
    empty = folder / "nothing"
    empty.mkdir()
    return empty
