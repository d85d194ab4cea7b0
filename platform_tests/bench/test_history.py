"""Reading the history of proofs: 400 days of 50 tables with 30 rules, merged as the hourly job leaves it."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import lakes
import measure
import pyarrow as pa
import pytest

from assay.engine.connection import Limits, connect
from assay.lake import ObjectStore, open_store
from assay.lake.layout import proofs_prefix, proofs_run_key
from assay.pipeline.score_compaction import compact_proofs
from assay.pipeline.scoring import PROOFS, as_parquet, proof_rows
from assay.quality.own_tables import PARTITION_SCORES, RULE_RESULTS

pytestmark = pytest.mark.bench

DAYS = lakes.scaled(400, 20)
TABLES, RULES = 50, 30
MOST_SECONDS = 2.0
LOOKS = 3
START = dt.datetime(2025, 1, 1, 5, tzinfo=dt.UTC)
QUERIES = {
    "newest score of every day": "SELECT table_name, partition, arg_max(score, proven_at) FROM {scores} GROUP BY ALL",
    "every result of every rule": "SELECT table_name, rule, sum(broken) FROM {results} GROUP BY ALL",
    "one table": "SELECT partition, score FROM {scores} WHERE table_name = 'marts.table_07'",
}


def test_history(board: measure.Board, folder: Path) -> None:
    """The same two views as `assay sql` binds."""
    store = open_store((folder / "lake").as_uri())
    merging = _fill(store)
    objects = list(store.list(proofs_prefix()))
    size = sum(info.size for info in objects) / 1e6
    board.note("history", f"{DAYS} days × {TABLES} tables", f"{len(objects)} objects, {size:.1f} MB, merged in {merging:.1f} s")
    tables = [f"marts.table_{number:02}" for number in range(TABLES)]
    with connect(Limits(lakes.MEMORY, lakes.THREADS, folder / "scratch")) as connection:
        for name, text in QUERIES.items():

            def look(text: str = text) -> None:
                views = {own: f"({proof_rows(store, tables, own)})" for own in (PARTITION_SCORES, RULE_RESULTS)}
                rows = connection.execute(text.format(scores=views[PARTITION_SCORES], results=views[RULE_RESULTS])).fetchall()
                assert len(rows) >= min(DAYS, TABLES * RULES)

            seconds = measure.timed(look, LOOKS)
            board.bar("history", name, measure.seconds(seconds), f"≤ {MOST_SECONDS:g} s", seconds <= MOST_SECONDS)


def _fill(store: ObjectStore) -> float:
    """Keep one proof a day and table; says how long merging took in all."""
    rng = random.Random(1)
    spent = 0.0
    for day in range(DAYS):
        at = START + dt.timedelta(days=day)
        proofs = pa.Table.from_pylist([_proof(number, at, rng) for number in range(TABLES)], PROOFS)
        for number in range(TABLES):
            store.put(proofs_run_key(at, f"{number:02}"), as_parquet(proofs.slice(number, 1)))
        if day % 5 == 4 or day == DAYS - 1:
            spent += measure.timed(lambda: compact_proofs(store, dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)), 1)
    return spent


def _proof(number: int, at: dt.datetime, rng: random.Random) -> dict[str, Any]:
    scores = {name: round(100 - rng.random(), 4) for name in ("score", "money_score", "completeness", "validity", "uniqueness")}
    counts = {"row_count": 10_000 + rng.randrange(1_000), "published": 9_990, "quarantined": 10}
    return {
        "table_name": f"marts.table_{number:02}",
        "partition": at.date().isoformat(),
        "run_id": f"{rng.getrandbits(128):032x}",
        "proven_at": at,
        "status": "published",
        "money": Decimal(rng.randrange(10**9)),
        "money_at_risk": Decimal(rng.randrange(10**5)),
        "balanced": True,
        "contract": "0123456789abcdef",
        "results": [_result(place, rng) for place in range(RULES)],
        **scores,
        **counts,
    }


def _result(place: int, rng: random.Random) -> dict[str, Any]:
    broken = rng.randrange(3) if place % 7 == 0 else 0
    return {
        "rule": f"rule_{place}",
        "dimension": "validity",
        "severity": "quarantine",
        "owner": "team:payments",
        "broken": broken,
        "money_at_risk": Decimal(broken),
        "passed": broken == 0,
    }
