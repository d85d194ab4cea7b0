"""Building: which partitions are computed together."""

from __future__ import annotations

import bazaar
import pytest
from change_lines import change, text
from shop_lake import ShopLake

from assay.pipeline import build
from assay.pipeline.build import chunks
from assay.pipeline.state import State

MONTHS = [f"2024-{number:02}-01" for number in range(1, 13)]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A bazaar with ten sales in every month of a year."""
    lake = ShopLake(tmp_path_factory.mktemp("year"), bazaar.DOMAIN)
    days = [month.removesuffix("01") + f"{day:02}" for month in MONTHS for day in range(1, 11)]
    given = {"stall": "s1", "customer": "ann", "amount": "2.50", "pieces": "3"}
    sold = [change("sales", "c", n, given | {"sale_id": f"k{n}", "day": day}) for n, day in enumerate(days, start=1)]
    lake.land("sales", "1.json", text(*sold))
    lake.run("first", leave_out=[name for name in lake.workspace.project.nodes if name.endswith("_trend")])
    return State(lake.workspace)


def together(state: State, name: str) -> list[int]:
    """How many months of a table are computed at once."""
    return [len(chunk) for chunk in chunks(state, state.workspace.project.nodes[name], MONTHS)]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROWS_AT_ONCE", 25)


def test_inputs_bound_what_is_computed_together(state: State) -> None:
    # A month of a stall is added up from its ten days.
    assert together(state, "marts.stall_month") == [2] * 6


def test_a_wide_table_takes_fewer_rows_at_once(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    node = state.workspace.project.nodes["marts.stall_month"]
    monkeypatch.setattr(build, "CELLS_AT_ONCE", 10 * len(node.table.columns))

    assert together(state, "marts.stall_month") == [1] * 12


def test_what_is_looked_at_bounds_it_too(state: State) -> None:
    # One row of the stall's month becomes one of the bazaar's; whom it counts is in ten sales.
    assert together(state, "marts.bazaar_month") == [2] * 6


def test_months_that_look_at_the_same_rows_are_computed_together(state: State) -> None:
    # A month looks at its own ten sales and at those of the three months before it. The first chunk may look at 25 sales, the
    # second at twice the thirty of March, the third at twice the forty of July.
    assert together(state, "marts.bazaar_month_trend") == [2, 4, 5, 1]
