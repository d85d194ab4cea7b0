"""What checks say beside the rules of contracts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dagster as dg
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.contracts.soundness import RESERVED
from assay.engine.project import load_project
from assay.orchestration.recording import ANOMALY_CHECK, PROOF_CHECK, check_results, check_specs
from assay.pipeline.outcome import Status
from assay.pipeline.runs import refresh_table
from assay.pipeline.state import State
from assay.quality.books import Books, Side
from assay.quality.expectations import partition_rules
from assay.quality.proof import all_rules
from payments import DOMAIN


def test_no_rule_can_be_called_like_a_check_that_every_table_has() -> None:
    own: set[str] = set()
    for node in load_project(DOMAIN).nodes.values():
        declared = {rule.name for rule in (*all_rules(node), *partition_rules(node.table))}
        own |= {spec.name for spec in check_specs(node)} - declared
    assert own == RESERVED


def test_books_that_do_not_balance_say_what_is_missing_in_rows_and_in_money(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "o.json", text(order("o1", 10)))
    (outcome,) = lake.run().outcomes["enriched.orders"]
    books = Books(rows=Side(received=Decimal(1), published=Decimal(1)), money=Side(received=Decimal("9.50")))
    failed = replace(outcome, status=Status.FAILED, books=books)
    node = lake.workspace.project.nodes["enriched.orders"]

    checks = {each.check_name: each for each in check_results(State(lake.workspace), node, [failed])}

    (record,) = checks["books_balanced"].metadata["failing"].records
    assert record.data == {"partition": outcome.partition, "why": "0 rows and 9.50 of money are unaccounted for"}


def test_a_partition_whose_sql_failed_makes_no_check_green(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    lake.land("orders", "o.json", text(*(order(f"o{n}", 10 + n, day=f"2025-01-0{n}") for n in (1, 2))))
    lake.run(leave_out=lake.workspace.project.nodes.keys() - {"enriched.customers"})
    node = lake.workspace.project.nodes["enriched.orders"]

    def checked(fails: str) -> dict[str | None, dg.AssetCheckResult]:
        sql = f"SELECT * FROM ({node.query.sql}) WHERE CASE WHEN {fails} THEN error('broken')::BOOLEAN ELSE true END"
        failing = replace(node, query=replace(node.query, sql=sql), code=fails)
        with lake.connection() as connection:
            state = State(lake.workspace)
            _, outcomes = refresh_table(connection, state, failing, "run")
            assert len(outcomes) == 2
            return {each.check_name: each for each in check_results(state, failing, outcomes)}

    all_fail = checked("true")
    assert {name: each.passed for name, each in all_fail.items()} == {PROOF_CHECK: False}

    # What could be computed is judged, and the rest keeps failing.
    one_fails = checked("order_day = DATE '2025-01-02'")
    assert one_fails.keys() == {spec.name for spec in check_specs(node)} - {ANOMALY_CHECK}
    assert [name for name, each in one_fails.items() if not each.passed] == [PROOF_CHECK]
    assert one_fails["amount_at_least"].metadata["rows"].value == 1
