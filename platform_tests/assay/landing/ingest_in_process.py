"""Ingest files with one very long line, and print as JSON what became of them. Run by `test_ingest`."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / place) for place in ("platform", "platform_tests/domains", "platform_tests/support")]

from change_lines import order, text  # noqa: E402
from declared import domain_of  # noqa: E402
from shop_lake import ShopLake  # noqa: E402

from assay.contracts import Event, column, source  # noqa: E402
from assay.landing.formats import Csv, Debezium  # noqa: E402


@source("archive", format=Csv(), key=("order_id",), owner="team:x", subject="x")
class Archive(Event):
    """Delimited text."""

    order_id: str = column("Key")


@source("orders", format=Debezium(table="orders"), key=("order_id",), owner="team:x", subject="x")
class Orders(Event):
    """Change events."""

    order_id: str = column("Key")


def ingest_long_line(folder: Path, name: str, megabytes: int) -> dict[str, object]:
    lake = ShopLake(folder, domain_of(folder / "sql", [Archive, Orders], {}))
    before, after = (b"order_id\n", b"o1\no2\n") if name == "archive" else (text(order("o1", 1)), text(order("o2", 2)))
    path = lake.folder / lake.land(name, "a", before)
    with path.open("ab") as file:
        for _ in range(megabytes):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + after)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    lake.ingest(name)
    return {
        "kept": lake.rows(f"SELECT count(*) FROM changes.{name}")[0][0],
        "refused": [(line, reason) for _, line, reason in lake.refused(name)],
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main(folder: Path) -> None:
    found = [
        {name: ingest_long_line(folder / f"{name}-{megabytes}", name, megabytes) for name in ("orders", "archive")}
        for megabytes in (9, 200)
    ]
    sys.stdout.write(json.dumps(found))


main(Path(sys.argv[1]))
