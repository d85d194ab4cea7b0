"""Lakes to measure on: landed files of the simulated company, and the same tables made by the platform and by hand.

Belongs here: sizes, the cache of landed files, starting either program on them, comparing what they made. Does not belong here:
clocks (`measure`), bars (the tests).
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import measure

import simulator
from assay.engine.connection import Limits, connect
from assay.lake import ObjectStore, open_store
from assay.lake.server import EmbeddedS3, find_free_port
from assay.settings import EMBEDDED_BUCKET

REPOSITORY = Path(__file__).resolve().parents[2]
SQL = REPOSITORY / "assets_sql"
BY_HAND = Path(__file__).with_name("by_hand.py")

SCALE = float(os.environ.get("ASSAY_BENCH_SCALE", "1"))
"""Share of the full sizes."""
REPEAT = int(os.environ.get("ASSAY_BENCH_REPEAT", "1"))
"""How often long measurements are made; the fastest counts."""
DATA = Path(os.environ.get("ASSAY_BENCH_DATA", Path(tempfile.gettempdir()) / "assay-bench"))
"""Folder of landed files, kept from run to run, and of the lakes made of them, which are not."""
THREADS = 2
MEMORY = "2GB"

MARTS = ("transactions_enriched", "daily_revenue", "merchant_daily", "customer_spending", "customer_lifetime")
DEBEZIUM = ("customers", "merchants", "transactions", "refunds", "chargebacks")
RETURNS = ("refunds", "chargebacks")
"""Sources that neither the script nor the dbt project knows."""
# What names the run that made a row.
OF_THE_RUN = ("processing_timestamp", "job_run_id", "data_quality_score")
_SETTLED = dt.datetime(2025, 6, 1, tzinfo=dt.UTC).timestamp()


def scaled(count: int, least: int) -> int:
    """A size, scaled."""
    return max(least, round(count * SCALE))


@dataclass(frozen=True)
class Landed:
    """Files of the simulated company.

    Attributes:
        folder: Where they are, as `<source>/…`.
        records: How many records each source has.
    """

    folder: Path
    records: Mapping[str, int]

    @property
    def events(self) -> int:
        """Debezium events."""
        return sum(self.records.get(source, 0) for source in DEBEZIUM)


def landed(company: simulator.Company, days: range, *, clean: bool = False, returns: bool = False) -> Landed:
    """Files of some days of a company, written once and kept.

    Args:
        company: The company.
        days: The days.
        clean: Leave out the payments that no contract lets through. On the days before the first, of which only stragglers tell,
            a single one of them is so large a share that the day fails its proof.
        returns: Land refunds and chargebacks too. What is compared with the script and with dbt has none: they do not make those
            tables, so the platform must not be measured at making them, nor gain from their events being counted.
    """
    size = f"{company.transactions_per_day}-a-day-{company.start}-of-{company.days}"
    name = f"{size}-{days.start}-to-{days.stop}{'-clean' if clean else ''}{'-returns' if returns else ''}-{_simulator_version()}"
    folder = DATA / "landed" / name
    books = folder / "records.json"
    if not books.exists():
        shutil.rmtree(folder, ignore_errors=True)
        records: dict[str, int] = {}
        for file in simulator.produce(company, folder / "landing", days=days):
            if file.source in RETURNS and not returns:
                file.path.unlink()
                continue
            taken = _take_out_bad(file.path) if clean and file.source == "transactions" else 0
            records[file.source] = records.get(file.source, 0) + file.records - taken
            os.utime(file.path, (_SETTLED, _SETTLED))
        books.write_text(json.dumps(records))
    return Landed(folder / "landing", json.loads(books.read_text()))


def _take_out_bad(path: Path) -> int:
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    good = [line for line in lines if b'"pay_bad_' not in line]
    path.write_bytes(gzip.compress(b"".join(good), 1, mtime=0))
    return len(lines) - len(good)


def together(parts: list[Landed], folder: Path) -> Landed:
    """Files of several deliveries in one folder, as links."""
    records: dict[str, int] = {}
    for part in parts:
        link(part.folder, folder)
        for source, count in part.records.items():
            records[source] = records.get(source, 0) + count
    return Landed(folder, records)


def link(files: Path, to: Path) -> None:
    """Put files into a folder without copying what is in them."""
    shutil.copytree(files, to, copy_function=os.link, dirs_exist_ok=True)


def _simulator_version() -> str:
    package = Path(simulator.__file__).parent
    sources = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".sql", ".csv"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]


@dataclass
class Lake:
    """A lake that the platform works on.

    Attributes:
        home: Its `ASSAY_HOME`.
        store: Its objects.
        settings: What its `assay` is told besides.
    """

    home: Path
    store: ObjectStore
    settings: Mapping[str, str] = field(default_factory=dict)

    def assay(self, *arguments: str) -> measure.Cost:
        """Run `assay` as a process; what counts is from its start to its end."""
        command = [sys.executable, "-c", "from assay.cli import main; main()", *arguments]
        own = {"ASSAY_HOME": str(self.home), "ASSAY_THREADS": str(THREADS), "ASSAY_MEMORY": MEMORY, **self.settings}
        return measure.run_process(command, environment() | own)

    def mart(self, name: str) -> str:
        """Relation over a mart's published files."""
        paths = [self.store.path(info.key) for info in self.store.list(f"marts/{name}/")]
        return f"read_parquet({sorted(paths)}, hive_partitioning=false)"

    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB that sees the lake."""
        return connect(Limits(MEMORY, THREADS, self.home / "compared"), self.store.s3_access())


def environment() -> dict[str, str]:
    """This process's environment without what it says to `assay`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "AWS_", "DAGSTER_"))}
    return kept | {"PYTHONPATH": str(REPOSITORY / "platform")}


def folder_lake(folder: Path, files: Path) -> Lake:
    """A lake in a folder, with files landed."""
    link(files, folder / "lake" / "landing")
    uri = (folder / "lake").as_uri()
    return Lake(folder / "home", open_store(uri), {"ASSAY_LAKE": uri})


@contextmanager
def s3_lake(folder: Path, files: Path | None = None) -> Iterator[Lake]:
    """A lake on the embedded S3 server, which runs as long as this does, with files landed."""
    home = folder / "s3-home"
    with EmbeddedS3(home / "s3", find_free_port()) as server:
        store = open_store(
            f"s3://{EMBEDDED_BUCKET}",
            endpoint=server.endpoint,
            region=server.region,
            access_key=server.access_key,
            secret_key=server.secret_key,
            create_bucket=True,
        )
        if files is not None:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda path: store.put(f"landing/{path.relative_to(files)}", path), _files(files)))
        yield Lake(home, store)


def by_hand(files: Path, folder: Path, late: Path | None = None) -> measure.Cost:
    """Run the script as a process; on an empty folder, unless it takes in a late file."""
    if late is None:
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(BY_HAND), str(files), str(folder), "--sql", str(SQL)]
    command += ["--memory", MEMORY, "--threads", str(THREADS)]
    return measure.run_process([*command, "--late", str(late)] if late else command, environment())


def differences(lake: Lake, hand: Path) -> list[str]:
    """How the platform's marts differ from the script's, in every column but those that name a run; empty if they do not."""
    return _differences(lake, hand, MARTS, (*OF_THE_RUN, "ingestion_timestamp"))


def all_differences(lake: Lake, hand: Path) -> list[str]:
    """The same of every mart that the script has made, in when its rows were ingested too."""
    return _differences(lake, hand, sorted(folder.name for folder in (hand / "marts").iterdir()), OF_THE_RUN)


def _differences(lake: Lake, hand: Path, marts: Iterable[str], left_out: Collection[str]) -> list[str]:
    found = []
    with lake.connection() as connection:
        for mart in marts:
            ours, theirs = lake.mart(mart), f"read_parquet('{hand}/marts/{mart}/**/*.parquet', hive_partitioning=false)"
            types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {ours}").fetchall()}
            columns = ", ".join(f'"{name}"::{kind}' for name, kind in types.items() if name not in left_out)
            one, other = (_content(connection, rows, columns) for rows in (ours, theirs))
            if one != other or one[0] == 0:
                found.append(f"marts.{mart}: (rows, hash) is {one} in the lake, {other} by hand")
    return found


def _content(connection: duckdb.DuckDBPyConnection, rows: str, columns: str) -> tuple[int, int]:
    """Count and hash rows, in whatever order."""
    found = connection.execute(f"SELECT count(*), coalesce(sum(hash({columns})), 0)::HUGEINT FROM {rows}").fetchone()
    assert found is not None
    return found[0], found[1]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
