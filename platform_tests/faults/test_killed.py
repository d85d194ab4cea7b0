"""What is killed leaves nothing wrong behind."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from command_line import Shop, contents, new_shop

KILLS = 20


def test_a_run_killed_at_random_moments_ends_with_the_same_tables(
    tmp_path: Path, landing: Path, undisturbed: dict[str, str]
) -> None:
    rng = random.Random(20)
    shop = new_shop(tmp_path, landing)
    began = time.monotonic()
    new_shop(tmp_path / "timed", landing).run("run")
    usual = time.monotonic() - began
    killed = 0
    for _ in range(KILLS):
        process = shop.start("run")
        time.sleep(rng.uniform(0.3, 1.1) * usual)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert contents(tmp_path / "lake").items() <= undisturbed.items()
    assert killed >= KILLS // 4, "the kills came too late to disturb anything"
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    assert all(books["balanced"] for books in report["books"].values())
    assert contents(tmp_path / "lake") == undisturbed
    assert shop.report("verify")["partitions"]["failed"] == 0


def test_two_runs_at_once_make_the_same_tables(shop: Shop, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    first, second = shop.start("run", "--json"), shop.start("run", "--json")
    for process in (first, second):
        out, error = process.communicate(timeout=180)
        assert process.returncode == 0, out + error
    assert contents(tmp_path / "lake") == undisturbed
    report = shop.report()
    assert report["partitions"]["rebuilt"] == 0
    assert report["books"]["raw.orders"]["received"] == 9000
