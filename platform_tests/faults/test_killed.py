"""What is killed leaves nothing wrong behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import parcels
import pyarrow.parquet as pq
import pytest
from assay_process import AssayProcess
from command_line import Shop, change, contents, new_shop
from shop_lake import ShopLake

from assay.pipeline.state import State
from assay.pipeline.verify import verify_table


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
        # Killed runs leave files of their own, so that a lake may come to hold more than the undisturbed one.
        wanted = rng.randint(min(objects(folder), whole), whole)
        if killed_after(process, folder, wanted, rng.uniform(0, 0.2)):
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


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 10])
def test_a_run_over_every_grain_killed_at_random_moments_ends_with_the_same_tables(kills: int, tmp_path: Path) -> None:
    rng = random.Random(kills)
    days = [f"{2024 + n % 2}-{1 + n % 5:02}-{1 + n % 27:02}" for n in range(12)]
    events = [change("sales", n, sale_id=f"s{n}", product="tea", amount="1.50", day=rng.choice(days)) for n in range(1, 40)]
    landed = tmp_path / "landing" / "sales" / "1.json"
    landed.parent.mkdir(parents=True)
    landed.write_text("\n".join(events))
    os.utime(landed, (1735700000, 1735700000))
    every_grain = {"ASSAY_DOMAIN": "kiosk"}
    replace(new_shop(tmp_path / "whole", landed.parents[1]), settings=every_grain).run("run")
    shop = replace(new_shop(tmp_path / "killed", landed.parents[1]), settings=every_grain)
    before, whole = objects(tmp_path / "killed"), objects(tmp_path / "whole")
    for kill in range(kills):
        wanted = before + (whole - before) * (kill + 1) // (kills + 1)
        assert killed_after(shop.start("run"), tmp_path / "killed", wanted, rng.uniform(0, 0.2))
    assert shop.report()["partitions"]["failed"] == 0
    assert contents(tmp_path / "killed" / "lake") == contents(tmp_path / "whole" / "lake")
    assert shop.report("verify")["partitions"]["failed"] == 0


def objects(folder: Path) -> int:
    """How much a lake holds: work is told by it, where seconds depend on the machine."""
    return sum(1 for path in (folder / "lake").rglob("*") if path.is_file())


def killed_after(process: AssayProcess, folder: Path, wanted: int, seconds: float) -> bool:
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


@pytest.fixture(scope="module")
def many_batches(tmp_path_factory: pytest.TempPathFactory, landing: Path) -> Path:
    """A shop in which each landing file was ingested as it came."""
    folder = tmp_path_factory.mktemp("batches")
    lake = ShopLake(folder)
    for file in sorted(landing.rglob("*.json")):
        target = folder / "lake" / "landing" / file.relative_to(landing)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
        lake.ingest(file.parent.name)
    lake.run()
    return folder


def copied(folder: Path, to: Path) -> Shop:
    """Copy a shop. Linked objects keep their versions; they are replaced and never written to."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder / "lake", to / "lake", copy_function=os.link)
    return Shop(to / "home", (to / "lake").as_uri())


def require_all_there(folder: Path) -> None:
    """Every part's rows are where the ledger says, and there only."""
    lake = ShopLake(folder)
    parts = [part for found in lake.ledger("orders").parts.values() for part in found]
    assert len(parts) == 144
    assert {lake.ledger("orders").object_of(part) for part in parts} <= {info.key for info in lake.store.list("raw/orders/")}
    assert lake.rows("SELECT count(*), count(DISTINCT (_landing_object, _landing_row)) FROM changes.orders") == [(9000, 9000)]


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_compaction_killed_at_random_moments_changes_nothing(
    kills: int, tmp_path: Path, many_batches: Path, undisturbed: dict[str, str]
) -> None:
    rng = random.Random(kills)
    killed = 0
    shop = copied(many_batches, tmp_path)
    while killed < kills:
        before = objects(tmp_path)
        process = shop.start("compact", "--grace-hours", "0")
        # Each of twelve days gives an object and an entry of the ledger; then those that were replaced go.
        if killed_after(process, tmp_path, before + rng.randint(1, 24), rng.uniform(0, 0.1)):
            killed += 1
        else:
            shop = copied(many_batches, tmp_path)
        require_all_there(tmp_path)
    assert shop.run("compact", "--grace-hours", "0").returncode == 0
    require_all_there(tmp_path)
    lake = ShopLake(tmp_path)
    ledger = lake.ledger("orders")
    used = {ledger.object_of(part) for parts in ledger.parts.values() for part in parts}
    assert {path.relative_to(tmp_path / "lake").as_posix() for path in (tmp_path / "lake/raw/orders").rglob("*.parquet")} == used
    assert lake.run().computed == {}
    assert contents(tmp_path / "lake") == undisturbed
    state = State(lake.workspace)
    with lake.connection() as connection:
        for node in lake.workspace.project.nodes.values():
            assert all(each.is_same and each.is_current for each in verify_table(connection, state, node))


def test_two_compactions_and_a_run_at_once(tmp_path: Path, many_batches: Path, landing: Path) -> None:
    late = change("orders", 5_000_000, order_id="late", customer_id="c1", amount="5.00", ordered_at="2025-01-03")
    new_shop(tmp_path / "whole", landing)
    shop = copied(many_batches, tmp_path / "compacted")
    for folder in ("whole", "compacted"):
        file = tmp_path / folder / "lake/landing/orders/late.json"
        file.write_text(late)
        os.utime(file, (1735700000, 1735700000))
    for process in [shop.start(command) for command in ("compact", "run", "compact")]:
        out, error = process.communicate(timeout=180)
        assert process.returncode == 0, out + error
    ShopLake(tmp_path / "whole").run()
    assert contents(tmp_path / "compacted/lake") == contents(tmp_path / "whole/lake")
    assert ShopLake(tmp_path / "compacted").run().computed == {}


@pytest.fixture(scope="module")
def deleted_parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parcels of six days, of which every third moved to another day, and every second was deleted, more than a year ago."""
    folder = tmp_path_factory.mktemp("parcels")
    lake = ShopLake(folder, parcels.DOMAIN)
    for file in range(6):
        lines = []
        for number in range(300):
            position, row = (
                1000 * number + 10 * file,
                {"parcel_id": f"p{number}", "grams": "5", "day": f"2025-01-0{1 + number % 6}"},
            )
            if file == 5 and number % 2:
                lines.append(change("parcels", position, "d", {"parcel_id": f"p{number}"}))
            elif file == number % 6 and number % 3 == 0:
                lines.append(change("parcels", position, "u", **row | {"day": "2025-01-09"}))
            else:
                lines.append(change("parcels", position, "u" if file else "c", **row | {"day": f"2025-01-0{1 + number % 6}"}))
        lake.land("parcels", f"{file}.json", "\n".join(lines).encode())
        lake.ingest("parcels")
    lake.run()
    return folder


def parcels_events(lake: ShopLake) -> dict[str, int]:
    """How many raw events there are of each parcel, copies among them."""
    ledger = lake.ledger("parcels")
    paths = {lake.store.path(ledger.object_of(part)) for parts in ledger.parts.values() for part in parts}
    return Counter(row["parcel_id"] for path in paths for row in pq.read_table(path, columns=["parcel_id"]).to_pylist())


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_forgetting_killed_at_random_moments_forgets_all_or_nothing(kills: int, tmp_path: Path, deleted_parcels: Path) -> None:
    rng = random.Random(kills)
    every, before = parcels_events(ShopLake(deleted_parcels, parcels.DOMAIN)), contents(deleted_parcels / "lake")
    left = {key: count for key, count in every.items() if int(key[1:]) % 2 == 0}
    shop = replace(copied(deleted_parcels, tmp_path), settings={"ASSAY_DOMAIN": "parcels"})
    killed = 0
    while killed < kills:
        process = shop.start("compact", "parcels", "--grace-hours", "0")
        if killed_after(process, tmp_path, objects(tmp_path) + rng.randint(1, 40), rng.uniform(0, 0.1)):
            killed += 1
        else:
            copied(deleted_parcels, tmp_path)
        assert parcels_events(ShopLake(tmp_path, parcels.DOMAIN)) in (every, left)
    assert shop.run("compact", "parcels", "--grace-hours", "0").returncode == 0
    lake = ShopLake(tmp_path, parcels.DOMAIN)
    assert parcels_events(lake) == left
    ledger = lake.ledger("parcels")
    used = {ledger.object_of(part) for parts in ledger.parts.values() for part in parts}
    assert {path.relative_to(tmp_path / "lake").as_posix() for path in (tmp_path / "lake/raw/parcels").rglob("*.parquet")} == used
    lake.land("parcels", "late.json", change("parcels", 1, parcel_id="p1", grams="5", day="2025-01-02").encode())
    assert lake.run().computed == {}
    assert len(lake.refused("parcels")) == 1
    assert contents(tmp_path / "lake") == before
