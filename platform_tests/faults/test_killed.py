"""What is killed leaves nothing wrong behind."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import Shop, contents, new_shop


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_same_tables(
    kills: int, tmp_path: Path, landing: Path, undisturbed: dict[str, str]
) -> None:
    rng = random.Random(kills)
    new_shop(tmp_path / "whole", landing).run("run")
    whole = objects(tmp_path / "whole")
    killed = 0
    folder = tmp_path / "0"
    shop = new_shop(folder, landing)
    while killed < kills:
        process = shop.start("run")
        if killed_after(process, folder, rng.randint(objects(folder), whole), rng.uniform(0, 0.2)):
            killed += 1
            assert contents(folder / "lake").items() <= undisturbed.items()
        else:
            # It ended before its moment: what the killed ones left is whole, and nothing is left to disturb.
            assert contents(folder / "lake") == undisturbed
            folder = tmp_path / f"after {killed}"
            shutil.rmtree(folder, ignore_errors=True)
            shop = new_shop(folder, landing)
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    assert all(books["balanced"] for books in report["books"].values())
    assert contents(folder / "lake") == undisturbed
    assert shop.report("verify")["partitions"]["failed"] == 0


def objects(folder: Path) -> int:
    """How much a lake holds: work is told by it, where seconds depend on the machine."""
    return sum(1 for path in (folder / "lake").rglob("*") if path.is_file())


def killed_after(process: subprocess.Popen[str], folder: Path, wanted: int, seconds: float) -> bool:
    """Kill a run some time after its lake has come to hold so many objects, unless it ends before."""
    while process.poll() is None and objects(folder) < wanted:
        time.sleep(0.01)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    _, error = process.communicate()
    assert alive or process.returncode == 0, error
    return alive


def test_two_runs_at_once_make_the_same_tables(shop: Shop, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    first, second = shop.start("run", "--json"), shop.start("run", "--json")
    for process in (first, second):
        out, error = process.communicate(timeout=180)
        assert process.returncode == 0, out + error
    assert contents(tmp_path / "lake") == undisturbed
    report = shop.report()
    assert report["partitions"]["rebuilt"] == 0
    assert report["books"]["raw.orders"]["received"] == 9000
