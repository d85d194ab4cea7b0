"""What ingestion costs beside bare DuckDB: change files to raw Parquet, the fold, and very many small files."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import by_hand
import duckdb
import lakes
import measure
import pytest

import payments
import simulator
from assay.contracts.rules import quote
from assay.engine.connection import Limits, connect
from assay.engine.fold import latest
from assay.lake import open_store
from assay.landing.ingest import ingest
from assay.pipeline.runs import INGEST_THREADS

pytestmark = pytest.mark.bench

SOURCE = payments.DOMAIN.sources["transactions"]
COMPANY = simulator.Company(days=1, transactions_per_day=lakes.scaled(1_060_000, 20_000))
EVENTS_FOLDED = lakes.scaled(5_000_000, 100_000)
EVENTS_A_KEY = 3
SMALL_FILES = lakes.scaled(10_000, 500)
EVENTS_A_SMALL_FILE = 20
REPEAT = 2

# The other columns of a raw event, as far as `read_json` can tell them: not which columns a record lacks. DuckDB numbers lines
# in one thread.
_TRACING = (
    ", event_date AS about, now() AS ingested_at, 'transactions' AS source_name, row_number() OVER () AS landing_row, "
    "NULL::VARCHAR[] AS missing, NULL::VARCHAR[] AS unchanged, NULL::VARCHAR AS rescued, "
    f"CASE WHEN op = 'd' THEN 0 ELSE coalesce(({SOURCE.money})::DECIMAL(38,4), 0) END AS money"
)
LEAST_A_SECOND = 250_000
MOST_OF_BARE = 1.3
MOST_OF_MAX_BY = 1.3
MOST_SECONDS_OF_SMALL_FILES = 60.0


@dataclass(frozen=True)
class Spent:
    """What a call took.

    Attributes:
        wall: Seconds.
        cpu: Seconds of processor time.
    """

    wall: float
    cpu: float


def test_ingest(board: measure.Board, folder: Path) -> None:
    """Debezium JSON to raw Parquet: the platform's ingest of one topic, and DuckDB's `read_json` to `COPY`."""
    files = lakes.landed(COMPANY, range(1))
    events = files.records["transactions"]
    paths = sorted((files.folder / "transactions").rglob("*.gz"))
    bare = _best(lambda: _bare(paths, folder / "bare.parquet", _TRACING))
    less = _best(lambda: _bare(paths, folder / "less.parquet"))
    rounds = iter(range(REPEAT))
    ours = _best(lambda: _ingest(files.folder, folder / f"lake-{next(rounds)}"))
    share = ours.wall / bare.wall
    rate = events / ours.wall
    board.note("ingest", f"{events:,} events, bare read_json to COPY of the same columns", measure.seconds(bare.wall))
    board.note("ingest", f"{events:,} events, assay: one file a day, typed, placed, recorded", measure.seconds(ours.wall))
    board.bar("ingest", "events a second", f"{rate:,.0f}", f"≥ {LEAST_A_SECOND:,}", rate >= LEAST_A_SECOND)
    board.bar("ingest", "assay / bare", measure.times(share), f"≤ {MOST_OF_BARE}×", share <= MOST_OF_BARE)
    board.note("ingest", "the same in processor time", measure.times(ours.cpu / bare.cpu))
    board.note("ingest", "bare, without the columns that lead back to the record", measure.seconds(less.wall))
    ratios = f"{measure.times(ours.wall / less.wall)}, {measure.times(ours.cpu / less.cpu)} in processor time"
    board.note("ingest", "assay / that", ratios)


def test_fold(board: measure.Board, folder: Path) -> None:
    """Millions of events to the newest of each key: `latest`, and `max_by` written by hand."""
    columns = [name for name in SOURCE.types if name != "_rescued"]
    with connect(Limits(lakes.MEMORY, lakes.THREADS, folder / "scratch")) as connection:
        _write_events(connection, folder / "events.parquet")
        connection.execute(f"CREATE VIEW events AS FROM '{folder / 'events.parquet'}'")
        values = ", ".join(f"max_by({quote(name)}, _sequence) AS {quote(name)}" for name in columns if name != "transaction_id")
        packed = ", ".join(f"{quote(name)} := {quote(name)}" for name in columns)
        by_max = (
            f"SELECT transaction_id, {values} FROM events GROUP BY transaction_id",
            f"SELECT unnest(newest) FROM (SELECT max_by(struct_pack({packed}), _sequence) AS newest FROM events "
            "GROUP BY transaction_id)",
        )
        hand = min((_best(partial(_create, connection, "by_max", query)) for query in by_max), key=lambda spent: spent.wall)
        ours = _best(partial(_create, connection, "folded", latest("events", SOURCE.key, columns)))
        same = connection.execute(
            "SELECT (SELECT count(*) FROM by_max), count(*) FROM folded "
            "SEMI JOIN by_max USING (transaction_id, _sequence, amount)"
        ).fetchone()
        assert same is not None and same[0] == same[1] == -(-EVENTS_FOLDED // EVENTS_A_KEY)
    share = ours.wall / hand.wall
    board.note("fold", f"{EVENTS_FOLDED:,} events, max_by", measure.seconds(hand.wall))
    board.note("fold", f"{EVENTS_FOLDED:,} events, latest", measure.seconds(ours.wall))
    board.bar("fold", "latest / max_by", measure.times(share), f"≤ {MOST_OF_MAX_BY}×", share <= MOST_OF_MAX_BY)


def test_small_files(board: measure.Board, folder: Path) -> None:
    """Very many files of a few events each, through `assay run`; memory beside that of a tenth of them."""
    costs = []
    for number, files in enumerate((SMALL_FILES // 10, SMALL_FILES)):
        landing = folder / f"small-{number}"
        _write_small_files(landing / "transactions", files)
        lake = lakes.folder_lake(folder / f"at-{number}", landing)
        costs.append(lake.assay("run", "--json"))
        assert json.loads(costs[-1].out)["books"]["raw.transactions"]["received"] == files * EVENTS_A_SMALL_FILE
    few, many = costs
    most = MOST_SECONDS_OF_SMALL_FILES
    board.bar(
        "small files", f"{SMALL_FILES:,} files, landing to marts", measure.seconds(many.wall), f"< {most:g} s", many.wall < most
    )
    board.note("small files", f"peak memory, {SMALL_FILES // 10:,} files", measure.size(few.peak))
    board.note("small files", f"peak memory, {SMALL_FILES:,} files", measure.size(many.peak))


def _create(connection: duckdb.DuckDBPyConnection, table: str, query: str) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")


def _best(work: Callable[[], object]) -> Spent:
    spent = []
    for _ in range(REPEAT):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        spent.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return min(spent, key=lambda each: each.wall)


def _ingest(files: Path, folder: Path) -> None:
    lakes.link(files / "transactions", folder / "landing" / "transactions")
    limits = Limits(lakes.MEMORY, INGEST_THREADS, folder / "scratch")
    with connect(limits) as connection, ThreadPoolExecutor(lakes.THREADS) as pool:
        done = ingest(open_store(folder.as_uri()), connection, SOURCE, limits.scratch, pool=pool)
    assert done.records


def _bare(paths: list[Path], to: Path, more: str = "") -> None:
    """What a script would do that trusts its files: read into columns, type them, write one file."""
    texts = ", ".join(f'"{spec.name}" VARCHAR' for spec in SOURCE.columns)
    columns = {
        "op": "VARCHAR",
        "ts_ms": "BIGINT",
        "source": 'STRUCT("table" VARCHAR, "sequence" VARCHAR, lsn BIGINT, ts_ms BIGINT)',
        "before": "STRUCT(transaction_id VARCHAR)",
        "after": f"STRUCT({texts})",
    }
    values = ", ".join(f"TRY_CAST(after.{spec.name} AS {spec.sql_type}) AS {spec.name}" for spec in SOURCE.columns)
    with connect(Limits(lakes.MEMORY, lakes.THREADS, to.parent / "bare")) as connection:
        connection.execute(by_hand.INSTANT)
        connection.execute(
            f"COPY (SELECT *{more} FROM (SELECT {values}, instant(after.transaction_date)::DATE AS event_date, op, "
            "[TRY_CAST(split_part(source.sequence, '\"', 2) AS BIGINT), source.lsn] AS position, "
            "make_timestamptz(source.ts_ms * 1000) AS changed_at, filename "
            f"FROM read_json({[str(path) for path in paths]}, format='newline_delimited', ignore_errors=true, filename=true, "
            f"columns={columns}))) TO '{to}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _write_events(connection: duckdb.DuckDBPyConnection, to: Path) -> None:
    """Write raw events in no order of keys or positions."""
    given = {
        "transaction_id": f"'pay_' || hash(n // {EVENTS_A_KEY})",
        "amount": "(n % 10000)::VARCHAR",
        "customer_id": "'cust_' || n % 100000",
        "status": f"['authorized', 'captured', 'refunded'][1 + n % {EVENTS_A_KEY}]",
        "_op": f"CASE WHEN n % {EVENTS_A_KEY} = 0 THEN 'c' ELSE 'u' END",
        "_sequence": "[1000 + n, 1000 + n]",
        "_ingested_at": "TIMESTAMPTZ '2026-01-01 00:00:00Z'",
        "_landing_object": "'landing/transactions/' || n // 100000",
        "_landing_row": "n % 100000",
        "_money": "(n % 10000)",
        "event_date": "DATE '2026-01-01'",
        "_about": "DATE '2026-01-01'",
    }
    columns = ", ".join(f"({given.get(name, 'NULL')})::{kind} AS {quote(name)}" for name, kind in SOURCE.types.items())
    connection.execute(
        f"COPY (SELECT {columns} FROM range({EVENTS_FOLDED}) AS numbers(n) ORDER BY hash(n)) TO '{to}' (FORMAT parquet)"
    )


def _write_small_files(folder: Path, files: int) -> None:
    landed = lakes.landed(simulator.Company(days=1, transactions_per_day=20_000), range(1)).folder / "transactions"
    lines = [
        line for path in sorted(landed.rglob("*.gz")) for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    ]
    folder.mkdir(parents=True)
    settled = time.time() - 3600
    for number in range(files):
        first = number * EVENTS_A_SMALL_FILE % (len(lines) - EVENTS_A_SMALL_FILE)
        path = folder / f"payments+0+{number * EVENTS_A_SMALL_FILE:010}.json"
        path.write_bytes(b"".join(lines[first : first + EVENTS_A_SMALL_FILE]))
        os.utime(path, (settled, settled))
