"""The quality report of fifty tables with four hundred days each, process start included."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import lakes
import measure
import pytest
import wide_lake

pytestmark = pytest.mark.bench

TABLES = lakes.scaled(50, 5)
DAYS = lakes.scaled(400, 40)
QUARANTINED = max(1, TABLES // 5)
MOST_SECONDS = 5.0
RUNS = 3


@pytest.fixture
def domain(folder: Path) -> Iterator[Path]:
    """A domain of many tables, which this process can import, too."""
    wide_lake.write_domain(folder, TABLES)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == wide_lake.MODULE]:
        del sys.modules[name]


def test_report(board: measure.Board, domain: Path) -> None:
    """Index, histories, quarantine objects of a fifth of the tables and figures to be watched are read; the page is written."""
    lake = wide_lake.write_lake(domain, DAYS, QUARANTINED)
    target = domain / "report.html"
    path = f"{lakes.environment()['PYTHONPATH']}:{domain}"
    settings = {"ASSAY_LAKE": lake.store.uri, "ASSAY_DOMAIN": wide_lake.MODULE, "PYTHONPATH": path}
    opened = lakes.Lake(domain / "home", lake.store, settings)
    started = measure.best_of(RUNS, lambda: opened.assay("--help"))
    cost = measure.best_of(
        RUNS, lambda: opened.assay("quality", "report", "--as-of", wide_lake.LAST.isoformat(), "--to", str(target))
    )
    assert target.read_text().count('class="detail"') == TABLES
    size = f"{TABLES} tables × {DAYS} days, process start included"
    met = cost.wall <= MOST_SECONDS
    board.bar("report", size, measure.seconds(cost.wall), f"≤ {MOST_SECONDS:g} s", met)
    board.note("report", "of that, starting (as assay --help)", measure.seconds(started.wall))
    board.note("report", "processor", f"{cost.cpu:.2f} s; starting {started.cpu:.2f} s")
    board.note("report", "page, peak memory", f"{target.stat().st_size / 1e6:.1f} MB, {cost.peak / measure.GIB:.2f} GiB")
