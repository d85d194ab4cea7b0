"""A small shop whose change files many commands are run over, as a user would run them."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay_process import DOMAINS, PLATFORM, AssayProcess

DAYS = 12
ORDERS = 3000


@dataclass
class Shop:
    """One lake of the shop, worked on by the command line.

    Attributes:
        home: Its `ASSAY_HOME`.
        lake: Its `ASSAY_LAKE`.
        settings: More environment.
    """

    home: Path
    lake: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the command runs in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "AWS_", "DAGSTER_"))}
        own = {
            "ASSAY_HOME": str(self.home),
            "ASSAY_LAKE": self.lake,
            "ASSAY_DOMAIN": "shop",
            "ASSAY_MEMORY": "500MB",
            "PYTHONPATH": f"{PLATFORM}{os.pathsep}{DOMAINS}",
        }
        return kept | own | dict(self.settings)

    def start(self, *arguments: str) -> AssayProcess:
        """Start `assay` with arguments."""
        return AssayProcess(arguments, self.environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `assay` with arguments to its end."""
        process = self.start(*arguments)
        out, error = process.communicate(timeout=180)
        return subprocess.CompletedProcess(process.args, process.wait(), out, error)

    def report(self, command: str = "run", *options: str) -> dict:
        """Run a command with `--json` and read what it prints."""
        done = self.run(command, *options, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)


def change(table: str, position: int, op: str = "c", before: Mapping | None = None, **row: str) -> str:
    """One Debezium change event."""
    source = {"table": table, "lsn": position, "sequence": f'["{position}","{position}"]', "ts_ms": 1735689600000 + position}
    after = None if op == "d" else row
    return json.dumps({"before": before, "after": after, "op": op, "ts_ms": 1735689600000 + position, "source": source})


def order(number: int, position: int, rng: random.Random) -> str:
    """One order event."""
    return change(
        "orders",
        position,
        order_id=f"o{number}",
        customer_id=f"c{rng.randrange(40)}",
        amount=f"{rng.randrange(1, 9999) / 100:.2f}",
        ordered_at=f"2025-01-{1 + number % DAYS:02}",
    )


def write_landing(folder: Path) -> None:
    """Write the shop's landing files: customers, and orders of which some are changed later, in a dozen files."""
    rng = random.Random(7)
    customers = [
        change("customers", n, customer_id=f"c{n}", name=f"Name {n}", level=rng.choice(["gold", "basic"])) for n in range(40)
    ]
    (folder / "customers").mkdir(parents=True)
    (folder / "customers" / "customers.json").write_text("\n".join(customers))
    (folder / "orders").mkdir()
    for number in range(12):
        lines = [order(rng.randrange(ORDERS), 1000 + number * 1000 + n, rng) for n in range(ORDERS // 4)]
        (folder / "orders" / f"orders-{number:02}.json").write_text("\n".join(lines))
    # Landing objects keep their times when they are copied, and a folder lake waits until files have settled.
    for file in folder.rglob("*.json"):
        os.utime(file, (1735700000, 1735700000))


def new_shop(folder: Path, landing: Path) -> Shop:
    """Make a shop in a folder, with its files landed."""
    shutil.copytree(landing, folder / "lake" / "landing")
    return Shop(folder / "home", (folder / "lake").as_uri())


def contents(lake: Path) -> dict[str, str]:
    """Content hash of every published partition of a folder lake, from the objects themselves."""
    import pyarrow.parquet as pq

    found = {}
    for layer in ("enriched", "marts"):
        for file in (lake / layer).rglob("data.parquet"):
            written = json.loads(pq.read_metadata(file).metadata[b"assay"])
            found[file.relative_to(lake).as_posix()] = written["content"]
    return found
