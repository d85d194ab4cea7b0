"""One small file about one old day, landed on years of history."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
from functools import partial
from pathlib import Path

import lakes
import measure
import pytest

import simulator

pytestmark = pytest.mark.bench

# Small for what platforms hold: the larger the history, the smaller the share of one file.
DAYS = int(os.environ.get("ASSAY_BENCH_DAYS", "400" if lakes.SCALE >= 0.1 else "25"))
PAYMENTS_A_DAY = lakes.scaled(5_000, 300)
COMPANY = simulator.Company(days=DAYS, transactions_per_day=PAYMENTS_A_DAY, start=dt.date(2024, 1, 1))
EVENTS = 100

MOST_SECONDS = 5.0
MOST_OF_A_REBUILD = 0.01


def test_late_file(board: measure.Board, folder: Path) -> None:
    """A hundred payments of a day in the middle of all, against making everything anew."""
    files = lakes.landed(COMPANY, range(DAYS), clean=True)
    hand_folder = folder / "hand"
    hand = measure.best_of(lakes.REPEAT, partial(lakes.by_hand, files.folder, hand_folder))
    lake = lakes.folder_lake(folder, files.folder)
    rebuild = lake.assay("run", "--json")
    assert not lakes.differences(lake, hand_folder)
    nothing = lake.assay("run", "--json")
    late = _late_file(lake, DAYS // 2)
    target = folder / "lake" / "landing" / "transactions" / late.name
    os.link(late, target)
    cost = lake.assay("run", "--json")
    late_by_hand = lakes.by_hand(files.folder, hand_folder, late)
    assert not lakes.differences(lake, hand_folder)
    rebuilt = json.loads(cost.out)["partitions"]["rebuilt"]
    stages = ", ".join(f"{stage} {taken:.1f}" for stage, taken in json.loads(cost.out)["seconds"].items())
    published = sum(1 for _ in lake.store.list("enriched/transactions/"))
    share = cost.wall / rebuild.wall
    board.note("late file", f"full rebuild, {published} days, {files.events:,} events: by hand", measure.seconds(hand.wall))
    board.note("late file", "full rebuild: assay", measure.seconds(rebuild.wall))
    board.bar(
        "late file",
        f"{EVENTS} late events: assay",
        measure.seconds(cost.wall),
        f"≤ {MOST_SECONDS:g} s",
        cost.wall <= MOST_SECONDS,
    )
    board.bar("late file", "share of a full rebuild", f"{100 * share:.2f} %", "≤ 1 %", share <= MOST_OF_A_REBUILD)
    board.note("late file", "the same in processor time", f"{100 * cost.cpu / rebuild.cpu:.2f} %")
    board.note("late file", "the same, less a run with nothing to do", f"{100 * (cost.wall - nothing.wall) / rebuild.wall:.2f} %")
    board.note("late file", "that in processor time", f"{100 * (cost.cpu - nothing.cpu) / rebuild.cpu:.2f} %")
    board.note("late file", f"{EVENTS} late events: by hand", measure.seconds(late_by_hand.wall))
    board.note("late file", "partitions rebuilt", f"{rebuilt:,}")
    board.note("late file", "seconds by stage", stages)


def _late_file(lake: lakes.Lake, day: int) -> Path:
    """Write new payments of one day, by customers that had one on it, at merchants that had one of somebody else."""
    date = COMPANY.date(day)
    with lake.connection() as connection:
        path = lake.store.path(f"enriched/transactions/transaction_date={date}/data.parquet")
        parties = connection.execute(
            f"SELECT customer_id, merchant_id FROM read_parquet('{path}') ORDER BY transaction_id LIMIT {EVENTS}"
        ).fetchall()
    assert len(parties) == EVENTS
    customers, merchants = zip(*parties, strict=True)
    parties = list(zip(customers, merchants[1:] + merchants[:1], strict=True))
    made = int(dt.datetime(date.year, date.month, date.day, 12, tzinfo=dt.UTC).timestamp())
    lines = [_event(number, customer, merchant, made) for number, (customer, merchant) in enumerate(parties)]
    path = lake.home / "late.json.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    # A folder's files count as landed once they have been left alone for a while.
    before = dt.datetime.now(dt.UTC).timestamp() - 3600
    os.utime(path, (before, before))
    return path


def _event(number: int, customer: str, merchant: str, made: int) -> str:
    position = (1 << 60) + number * 256
    after = {
        "transaction_id": f"pay_late_{number:04}",
        "customer_id": customer,
        "merchant_id": merchant,
        "amount": f"{10 + number}.50",
        "currency": "USD",
        "status": "captured",
        "failure_reason": None,
        "region": "NA",
        "payment_method": "card",
        "is_recurring": "N",
        "transaction_date": made,
        "sca_method": "3ds2",
        "created_at": made * 1_000_000,
        "updated_at": made * 1_000_000,
    }
    source = {
        "ts_ms": made * 1000, "table": "transactions", "lsn": position, "sequence": f'["{position - 256}","{position}"]',
    }  # fmt: skip
    return json.dumps({"before": None, "after": after, "source": source, "op": "c", "ts_ms": made * 1000})
