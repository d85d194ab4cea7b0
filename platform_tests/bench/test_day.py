"""A day, and ten days, from landed files to marts, beside the script that does the same by hand."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import by_dbt
import lakes
import measure
import pytest

import simulator

pytestmark = pytest.mark.bench

# As many payments as give two million Debezium events on the company's first day.
PAYMENTS_A_DAY = lakes.scaled(1_060_000, 2_000)
DAYS = 10
COMPANY = simulator.Company(days=DAYS, transactions_per_day=PAYMENTS_A_DAY)

MOST_SECONDS = 20.0
DBT_SECONDS = 13.0
"""What dbt-duckdb takes on the machine for which the seconds were set; machines differ several times over, ratios hardly do."""
MARGINAL = 1.3
MOST_MEMORY = 4 * measure.GIB


def test_day(board: measure.Board, folder: Path) -> None:
    """Two million events of one day, process start included."""
    files = lakes.landed(COMPANY, range(1))
    hand = measure.best_of(lakes.REPEAT, partial(lakes.by_hand, files.folder, folder / "hand"))
    board.note("day", "Debezium events", f"{files.events:,}")
    board.note("day", "by hand, folder", measure.seconds(hand.wall))
    lake = lakes.folder_lake(folder, files.folder)
    cost = lake.assay("run", "--json")
    _rows(board, "folder", cost, hand, files)
    assert not lakes.differences(lake, folder / "hand")
    if by_dbt.DBT is None:
        board.note("day", "dbt-duckdb", "not measured: no dbt; name one in ASSAY_BENCH_DBT")
    else:
        dbt = measure.best_of(lakes.REPEAT, partial(by_dbt.run, files.folder, folder / "dbt"))
        assert not lakes.differences(lake, folder / "dbt")
        board.note("day", "dbt-duckdb, folder", measure.seconds(dbt.wall))
        board.bar("day", "assay / dbt-duckdb, folder", measure.times(cost.wall / dbt.wall), "< 1×", cost.wall < dbt.wall)
        board.note("day", "the same in processor time, folder", measure.times(cost.cpu / dbt.cpu))
        there = DBT_SECONDS * cost.wall / dbt.wall
        board.bar(
            "day",
            f"assay, folder, where dbt takes {DBT_SECONDS:g} s",
            measure.seconds(there),
            f"≤ {MOST_SECONDS:g} s",
            there <= MOST_SECONDS,
        )
    with lakes.s3_lake(folder, files.folder) as lake:
        cost = lake.assay("run", "--json")
        _rows(board, "embedded S3", cost, hand, files)
        assert not lakes.differences(lake, folder / "hand")


def test_marginal(board: measure.Board, folder: Path) -> None:
    """What each further event costs, from two million to twenty million, and the memory that those take."""
    first = lakes.landed(COMPANY, range(1))
    all_days = lakes.together([first, lakes.landed(COMPANY, range(1, DAYS))], folder / "landed")
    hand, ours = [], []
    for name, files in (("one", first), ("ten", all_days)):
        by_hand = folder / f"hand-{name}"
        hand.append(measure.best_of(lakes.REPEAT, partial(lakes.by_hand, files.folder, by_hand)))
        lake = lakes.folder_lake(folder / name, files.folder)
        ours.append(lake.assay("run", "--json"))
        both = f"{measure.seconds(hand[-1].wall)}, {measure.seconds(ours[-1].wall)}"
        board.note("marginal", f"{files.events:,} events: by hand, assay", both)
        assert not lakes.differences(lake, by_hand)
    more = all_days.events - first.events
    per_event = (ours[1].wall - ours[0].wall) / (hand[1].wall - hand[0].wall)
    board.note("marginal", "by hand, each further million events", measure.seconds((hand[1].wall - hand[0].wall) / more * 1e6))
    board.note("marginal", "assay, each further million events", measure.seconds((ours[1].wall - ours[0].wall) / more * 1e6))
    board.bar("marginal", "marginal cost, assay / by hand", measure.times(per_event), f"≤ {MARGINAL}×", per_event <= MARGINAL)
    cpu = (ours[1].cpu - ours[0].cpu) / (hand[1].cpu - hand[0].cpu)
    board.note("marginal", "the same in processor time", measure.times(cpu))
    board.note("marginal", "peak memory, by hand", measure.size(hand[1].peak))
    board.bar("marginal", "peak memory, assay", measure.size(ours[1].peak), "< 4 GiB", ours[1].peak < MOST_MEMORY)


def _rows(board: measure.Board, where: str, cost: measure.Cost, hand: measure.Cost, files: lakes.Landed) -> None:
    stages = json.loads(cost.out)["seconds"]
    said = ", ".join(f"{stage} {taken:.1f}" for stage, taken in stages.items() if stage != "total")
    board.bar("day", f"assay run, {where}", measure.seconds(cost.wall), f"≤ {MOST_SECONDS:g} s", cost.wall <= MOST_SECONDS)
    board.note("day", f"seconds by stage, {where}", said)
    board.note("day", f"assay / by hand, {where}", measure.times(cost.wall / hand.wall))
    board.note("day", f"the same in processor time, {where}", measure.times(cost.cpu / hand.cpu))
    board.note("day", f"events, {where}", measure.rate(files.events, cost.wall))
    board.note("day", f"peak memory, {where}", measure.size(cost.peak))
