"""What checks show: counts, trends, examples, and the way to quarantine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.orchestration.evidence import rule_evidence, score_evidence, sparkline
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.state import State
from assay.quality.quarantine import Example

DAY = "2025-01-03"


@pytest.mark.parametrize(
    ("values", "low", "high", "line"),
    [
        ((), 0, 1, ""),
        ((0, 0), 0, 0, "▁▁"),
        ((0, 1, 50, 100), 0, 100, "▁▂▅█"),
        ((90, 95, 100), 90, 100, "▁▅█"),
    ],
)
def test_a_line_of_text_draws_values(values: tuple[float, ...], low: float, high: float, line: str) -> None:
    assert sparkline(values, low, high) == line


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A shop with a day that is half bad, and better ones."""
    lake = ShopLake(tmp_path_factory.mktemp("lake"))
    lake.land("customers", "c.json", text(customer("c1", 1)))
    good = [order(f"o{n}", 10 + n, day=f"2025-01-0{n}") for n in range(1, 6)]
    lake.land("orders", "o.json", text(*good, order("bad", 90, amount="-5.00")))
    lake.first = lake.run()  # type: ignore[attr-defined]
    return lake


def evidence(lake: ShopLake, name: str, table: str = "enriched.orders") -> dict[str, Any]:
    node = lake.workspace.project.nodes[table]
    (rule,) = (rule for rule in node.table.rules if rule.name == name)
    index = State(lake.workspace).index(table)
    return rule_evidence(lake.store, node.table, rule, lake.first.outcomes[table], index)  # type: ignore[attr-defined]


def test_a_broken_rule_shows_where_what_and_how_to_see_it(lake: ShopLake) -> None:
    found = evidence(lake, "amount_at_least")
    assert (found["rows"], found["broken"], found["broken %"], found["broken in all partitions"]) == (6, 1, 16.6667, 1)
    assert found["trend of 5 days"].startswith("▁▁█▁▁  % broken by day, 2025-01-01 to 2025-01-05; lowest 0 on 2025-01-01, ")
    assert found["trend of 5 days"].endswith("highest 50 on 2025-01-03")
    (record,) = found["broken by partition"].records
    assert record.data == {"partition": DAY, "broken": 1, "rows": 2, "%": 50.0, "status": "published"}
    (example,) = found["examples"].records
    assert example.data == {"partition": DAY, "key": "order_id = bad", "values": "amount = -5.00"}
    assert found["quarantine"].value.endswith(".parquet")
    assert found["show them"] == f"assay quarantine show enriched.orders --rule amount_at_least --partition {DAY}"
    assert Path(found["quarantine"].value).is_file()


def test_a_rule_that_holds_shows_its_counts_and_trend_alone(lake: ShopLake) -> None:
    found = evidence(lake, "order_id_required")
    assert found.keys() == {"rows", "broken", "broken %", "broken in all partitions", "trend of 5 days"}
    assert found["trend of 5 days"].startswith("▁▁▁▁▁  ")


def test_a_table_that_is_not_cut_has_no_days_to_draw(lake: ShopLake) -> None:
    assert evidence(lake, "order_count_required", "marts.shop_totals").keys() == {
        "rows",
        "broken",
        "broken %",
        "broken in all partitions",
    }


def test_the_score_shows_the_lowest_and_the_trend(lake: ShopLake) -> None:
    table = lake.workspace.domain.tables["enriched.orders"]
    index = State(lake.workspace).index("enriched.orders")
    found = score_evidence(table, lake.first.outcomes["enriched.orders"], index)  # type: ignore[attr-defined]
    assert (found["lowest score"], found["threshold"], found["lowest score by money"]) == (50.0, 50, 66.6667)
    assert found["trend of 5 days"].startswith("██▁██  score by day")


def test_examples_show_no_person(lake: ShopLake) -> None:
    node = lake.workspace.project.nodes["enriched.customers"]
    rule = replace(node.table.rules[0], name="name_odd", columns=("name", "level"))
    example = Example("all", "name_odd", {"customer_id": "c1"}, {"name": "Ann", "level": None})
    outcome = Outcome("enriched.customers", "all", Status.PUBLISHED, None, broken={"name_odd": 1}, rows=1, examples=(example,))
    (record,) = rule_evidence(lake.store, node.table, rule, [outcome], {})["examples"].records
    assert record.data["key"] == "customer_id = c1"
    assert record.data["values"] == "name = •••, level = null"
