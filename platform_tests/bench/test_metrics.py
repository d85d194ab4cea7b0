"""The marts of metrics: of a day, of a year, of one late day in it, and what is asked of them."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
from pathlib import Path

import facts
import lakes
import make_marts
import measure
import pytest

from assay.contracts import load_domain
from assay.contracts.version import fingerprint
from assay.engine.project import load_project
from assay.lake import open_store
from assay.metrics.grains import Grain
from assay.metrics.planning import Days, Question
from assay.pipeline.metrics import ask
from assay.pipeline.packing import pack
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace, open_workspace
from assay.settings import Settings

pytestmark = pytest.mark.bench

START = dt.date(2025, 1, 1)
DAY = facts.Trade(START, 1, lakes.scaled(2_000_000, 2_000), lakes.scaled(500_000, 500), lakes.scaled(20_000, 100))
YEAR = facts.Trade(
    START,
    # A tenth of the payments, and all the partitions: below that, fewer days say as much.
    365 if lakes.SCALE >= 0.1 else 35,
    lakes.scaled(136_986, 500),
    lakes.scaled(5_000_000, 1_000),
    lakes.scaled(20_000, 100),
)
LATE = 100

OVER_BY_HAND = 1.5
MOST_SECONDS = 600.0
MOST_MEMORY = 6 * measure.GIB
MOST_OF_A_REBUILD = 0.01
MOST_OF_A_QUESTION = 0.15
MOST_OF_A_LONG_QUESTION = 1.0

MAKE = Path(make_marts.__file__)
BY_HAND = Path(__file__).with_name("marts_by_hand.py")


def test_marts_of_a_day(board: measure.Board, folder: Path) -> None:
    """All marts of all grains of one day, beside the script by hand."""
    lake = _lake(folder, DAY)
    hand = _by_hand(lake, folder)
    cost = _make(lake)
    board.note(
        "marts of a day",
        f"{DAY.payments_a_day:,} payments: by hand",
        f"{measure.seconds(hand.wall)}, {hand.cpu:.1f} s of processor",
    )
    _rows(board, "marts of a day", cost)
    ratio, in_processor = cost.wall / hand.wall, cost.cpu / hand.cpu
    board.bar("marts of a day", "assay / by hand", measure.times(ratio), f"≤ {OVER_BY_HAND}×", ratio <= OVER_BY_HAND)
    board.note("marts of a day", "the same in processor time", measure.times(in_processor))
    board.note("marts of a day", "peak memory by hand", measure.size(hand.peak))
    assert not lakes.all_differences(lake, folder / "hand")


def test_marts_of_a_year(board: measure.Board, folder: Path) -> None:
    """All marts of a year; one late day in the middle of it; questions."""
    lake = _lake(folder, YEAR)
    cost = _make(lake)
    bench = "marts of a year"
    payments = sum(YEAR.payments(day) for day in YEAR.dates)
    _rows(board, bench, cost)
    board.bar(bench, f"{payments:,} payments", measure.seconds(cost.wall), f"≤ {MOST_SECONDS:g} s", cost.wall <= MOST_SECONDS)
    board.bar(bench, "peak memory", measure.size(cost.peak), "< 6 GiB", cost.peak < MOST_MEMORY)
    nothing = _make(lake)
    facts.publish_late(_workspace(lake), YEAR, YEAR.dates[YEAR.days // 2], LATE)
    late = _make(lake)
    share, more = late.cpu / cost.cpu, (late.cpu - nothing.cpu) / cost.cpu
    _rows(board, "late day in a year", late)
    board.bar("late day in a year", f"{LATE} late payments", f"{100 * share:.2f} %", "≤ 1 %", share <= MOST_OF_A_REBUILD)
    board.note("late day in a year", "the same, less a run with nothing to do", f"{100 * more:.2f} %")
    _questions(board, lake)


def _questions(board: measure.Board, lake: lakes.Lake) -> None:
    """Asked in this process, so that nothing is imported; what one question leaves behind serves no other."""
    month = Days(START, dt.date(2025, 1, 31))
    six = Days(START, dt.date(2025, 6, 30))
    asked = {
        "refund rate by merchant, one month": (Question(("refund_rate",), ("merchant",), Grain.MONTH, month), MOST_OF_A_QUESTION),
        "approval rate by region, each day": (Question(("approval_rate",), ("region",), Grain.DAY, Days()), MOST_OF_A_QUESTION),
        "trend of six months by category": (
            Question(("captured_value_usd", "paying_customers", "new_customers"), ("category",), Grain.MONTH, six),
            MOST_OF_A_LONG_QUESTION,
        ),
        "lifetime value of all customers": (
            Question(("lifetime_value", "p90_lifetime_value", "repeat_customer_share", "tenure_days")),
            MOST_OF_A_LONG_QUESTION,
        ),
    }
    load_project(load_domain("payments"))
    _pack(lake)
    for name, (question, most) in asked.items():
        seconds = measure.timed(lambda question=question: _asked(lake, question), 3)
        board.bar("questions", name, f"{1000 * seconds:,.0f} ms", f"≤ {1000 * most:g} ms", seconds <= most)


def _pack(lake: lakes.Lake) -> None:
    """Pack small days, as the hourly job does."""
    with session(_settings(lake)) as workspace, workspace.connection() as connection:
        state = State(workspace)
        for node in workspace.project.nodes.values():
            pack(connection, state, node, dt.datetime.now(dt.UTC))


def _asked(lake: lakes.Lake, question: Question) -> int:
    with session(_settings(lake)) as workspace, workspace.connection() as connection:
        return len(ask(connection, State(workspace), question).result.fetchall())


# --- Lakes -----------------------------------------------------------------------------------------------------------


def _lake(folder: Path, trade: facts.Trade) -> lakes.Lake:
    """A lake with the facts of a trade, which are made once and kept."""
    tables = load_domain("payments").tables
    version = fingerprint([tables[name].version for name in (facts.PAYMENTS, facts.REFUNDS, facts.DISPUTES)])
    kept = lakes.DATA / "facts" / f"{trade.name}-{version}"
    if not (kept / "whole").exists():
        shutil.rmtree(kept, ignore_errors=True)
        (kept / "lake").mkdir(parents=True)
        facts.publish_trade(_workspace(_at(kept)), trade)
        (kept / "whole").touch()
    lakes.link(kept / "lake" / "marts", folder / "lake" / "marts")
    for zone in ("audit", "quality"):
        shutil.copytree(kept / "lake" / zone, folder / "lake" / zone)
    return _at(folder)


def _at(folder: Path) -> lakes.Lake:
    uri = (folder / "lake").as_uri()
    return lakes.Lake(folder / "home", open_store(uri), {"ASSAY_LAKE": uri})


def _settings(lake: lakes.Lake) -> Settings:
    return Settings(lake=lake.settings["ASSAY_LAKE"], home=lake.home, memory=lakes.MEMORY, threads=lakes.THREADS)


def _workspace(lake: lakes.Lake) -> Workspace:
    return open_workspace(_settings(lake))


def _make(lake: lakes.Lake) -> measure.Cost:
    own = {"ASSAY_HOME": str(lake.home), "ASSAY_THREADS": str(lakes.THREADS), "ASSAY_MEMORY": lakes.MEMORY, **lake.settings}
    return measure.run_process([sys.executable, str(MAKE)], lakes.environment() | own)


def _by_hand(lake: lakes.Lake, folder: Path) -> measure.Cost:
    sql = folder / "sql"
    sql.mkdir()
    domain = load_domain("payments")
    wanted = make_marts.marts_of(domain)
    made = {name: node for name, node in load_project(domain).nodes.items() if name in wanted}
    listed = []
    for node in made.values():
        table = node.table
        (sql / f"{table.name}.sql").write_text(node.query.sql)
        key = ", ".join(f'"{name}"' for name in table.key)
        listed.append({"name": table.name, "partition": table.partition_column or "", "key": key})
    (sql / "marts.json").write_text(json.dumps(listed))
    command = [sys.executable, str(BY_HAND), str(folder / "lake"), str(sql), str(folder / "hand")]
    command += ["--memory", lakes.MEMORY, "--threads", str(lakes.THREADS)]
    return measure.run_process(command, lakes.environment())


def _rows(board: measure.Board, bench: str, cost: measure.Cost) -> None:
    told = json.loads(cost.out)
    board.note(bench, "assay", f"{measure.seconds(cost.wall)}, {cost.cpu:.1f} s of processor, {measure.size(cost.peak)}")
    board.note(bench, "partitions rebuilt", f"{told['partitions']['rebuilt']:,}")
