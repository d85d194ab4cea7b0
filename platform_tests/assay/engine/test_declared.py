"""What contracts say in SQL: wrong names in it are said when the domain is loaded, not when the first row comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from declared import domain_of

from assay.contracts import Balance, Contract, Count, Daily, Date, Event, Money, Published, column, source, table
from assay.engine.project import load_project
from assay.errors import ContractError, SqlError
from assay.landing.formats import Debezium

TAIL = "_ingested_at AS ingestion_timestamp, _source AS data_source"
ORDERS = f"SELECT id, amount, day::DATE AS day, {TAIL} FROM latest.orders"
TOTALS = (
    "SELECT day, count(*) AS order_count, sum(amount)::DECIMAL(18, 2) AS amount,\n"
    "  max(ingestion_timestamp) AS ingestion_timestamp, 'x' AS data_source\n"
    "FROM enriched.orders GROUP BY day"
)


def order_events(of: str = "day", money: str = "amount") -> type[Contract]:
    @source(
        "orders", format=Debezium("orders"), key=("id",), partition=Daily("d", of=of), money=money, owner="team:x", subject="x"
    )
    class OrderEvents(Event):
        """Events."""

        id: str = column("Key")
        amount: Money = column("Amount", nullable=True)
        day: str = column("Day")

    return OrderEvents


def orders(**options: Any) -> type[Contract]:
    options = {"layer": "enriched", "partition": Daily("day"), "money": "amount"} | options

    @table("orders", key=("id",), owner="team:x", subject="x", **options)
    class Orders(Published):
        """Orders."""

        id: str = column("Key")
        amount: Money = column("Amount", nullable=True)
        day: Date = column("Day")

    return Orders


def totals(**balance: Any) -> type[Contract]:
    balance = {"inputs": ("enriched.orders",), "rows": "order_count", "money_out": "amount"} | balance

    @table(
        "totals",
        layer="marts",
        key=("day",),
        partition=Daily("day"),
        owner="team:x",
        subject="x",
        balance=Balance(**balance),
    )
    class Totals(Published):
        """Totals."""

        day: Date = column("Day")
        order_count: Count = column("Orders")
        amount: Money = column("Amount")

    return Totals


def load(folder: Path, contracts: list[type[Contract]], orders_sql: str = ORDERS) -> None:
    load_project(domain_of(folder, contracts, {"enriched.orders": orders_sql, "marts.totals": TOTALS}))


def test_what_is_right_is_loaded(tmp_path: Path) -> None:
    right = totals(input_rows="count(id)", money_in="amount * 1")
    load(tmp_path, [order_events(of="coalesce(day, '2025-01-01')", money="abs(amount)"), orders(), right])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"of": "dayy::DATE"}, "raw.orders: its of names dayy, which OrderEvents does not declare; Did you mean day?"),
        ({"money": "amont"}, "raw.orders: its money names amont, which OrderEvents does not declare; Did you mean amount?"),
        ({"money": "abs((amount"}, "raw.orders: its money does not parse: abs((amount; correct it"),
    ],
)
def test_a_wrong_expression_of_a_source_is_said(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ContractError) as raised:
        load(tmp_path, [order_events(**wrong), orders(), totals()])
    assert f"{raised.value.message}; {raised.value.hint}" == said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": "order_cnt"}, 'the rows of its balance, order_cnt, cannot be computed over marts.totals: .*"order_cnt"'),
        ({"money_out": "amont"}, 'the money_out of its balance, amont, cannot be computed over marts.totals: .*"amont"'),
        ({"money_in": "amont"}, 'the money_in of its balance, amont, cannot be computed over enriched.orders: .*"amont"'),
        ({"input_rows": "sum(n)"}, 'the input_rows of its balance, sum\\(n\\), cannot be computed over enriched.orders: .*"n"'),
    ],
)
def test_a_wrong_expression_of_a_balance_is_said(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(tmp_path, [order_events(), orders(), totals(**wrong)])


@pytest.mark.parametrize(
    ("lookups", "said"),
    [
        (
            {"enriched.customers": {"id": "id"}},
            "enriched.orders: it has a lookup in enriched.customers, which .*orders.sql does not read",
        ),
        ({"latest.orders": {"id": "idd"}}, "enriched.orders: its lookup in latest.orders is by idd, which .* Did you mean id"),
    ],
)
def test_a_wrong_lookup_is_said(tmp_path: Path, lookups: dict[str, dict[str, str]], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(tmp_path, [order_events(), orders(lookups=lookups), totals()])


def test_a_layer_that_is_none_is_said() -> None:
    with pytest.raises(ContractError, match=r"mart\.orders: there is no layer mart for tables; give layer=enriched or marts"):
        orders(layer="mart")


def test_an_unknown_column_is_said_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(SqlError) as raised:
        load(
            tmp_path,
            [order_events(), orders(), totals()],
            f"SELECT o.id,\n  o.amont AS amount,\n  o.day, {TAIL} FROM latest.orders AS o",
        )
    assert raised.value.message.startswith(f"{tmp_path}/enriched/orders.sql:2: ")
    assert raised.value.hint == "Did you mean amount?"
