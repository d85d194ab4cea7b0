"""Binding names to files: exactly those given, of whatever schema they were written with."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from change_lines import change, deleted_order, order, text
from declared import domain_of
from shop import DOMAIN
from shop_lake import ShopLake

from assay.contracts import Event, Source, column, source
from assay.engine.relations import Amount, account, bind, bind_all_columns, create_layers
from assay.lake.layout import UNPLACED
from assay.lake.rows import Files
from assay.landing.formats import Debezium

ORDERS = DOMAIN.sources["orders"]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """An engine with the layers."""
    opened = duckdb.connect(config={"threads": 1})
    opened.execute("SET TimeZone = 'UTC'")
    create_layers(opened)
    return opened


def narrow_and_wide(folder: Path) -> tuple[ShopLake, Source, Source]:
    """A lake with events of an older contract of a source, and the source as it was and is."""

    @source("orders", format=Debezium("orders"), key=("order_id",), owner="team:x", subject="x")
    class Narrow(Event):
        """As it was."""

        order_id: str = column("Key", nullable=True)
        amount: int = column("Amount", nullable=True)
        dropped: str = column("No longer declared", nullable=True)

    @source("orders", format=Debezium("orders"), key=("order_id",), owner="team:x", subject="x")
    class Wide(Event):
        """As it is."""

        order_id: str = column("Key", nullable=True)
        amount: str = column("Amount", nullable=True)
        gift: bool = column("New", nullable=True)

    old = ShopLake(folder, domain_of(folder / "sql", [Narrow], {}))
    old.land("orders", "a.json", text(change("orders", "c", 1, {"order_id": "o1", "amount": 5, "dropped": "x"})))
    old.ingest("orders")
    new = ShopLake(folder, domain_of(folder / "sql", [Wide], {}))
    return new, old.source("orders"), new.source("orders")


def test_files_of_an_older_contract_are_read_with_the_columns_of_todays(tmp_path: Path) -> None:
    lake, _, _ = narrow_and_wide(tmp_path)
    assert lake.rows("SELECT order_id, amount, gift FROM changes.orders") == [("o1", "5", None)]


def test_files_of_two_contracts_are_read_together(tmp_path: Path) -> None:
    lake, before, after = narrow_and_wide(tmp_path)
    lake.land("orders", "b.json", text(change("orders", "u", 2, {"order_id": "o1", "amount": "6.5", "gift": True})))
    lake.ingest("orders")
    assert before.version != after.version
    assert lake.rows("SELECT order_id, amount, gift FROM changes.orders ORDER BY _sequence") == [
        ("o1", "5", None),
        ("o1", "6.5", True),
    ]
    assert lake.rows("SELECT amount FROM latest.orders") == [("6.5",)]


def test_a_column_may_be_written_in_other_letters_than_its_contract(connection: duckdb.DuckDBPyConnection) -> None:
    bind(connection, "latest.orders", ORDERS, [], ["ORDER_ID", "order_id", "Amount"])
    assert [row[0] for row in connection.execute("DESCRIBE latest.orders").fetchall()] == [
        "order_id",
        "amount",
        "order_day",
        "_op",
        "_money",
    ]


def test_no_files_are_an_empty_relation_of_the_declared_types(connection: duckdb.DuckDBPyConnection) -> None:
    bind_all_columns(connection, "latest.orders", ORDERS, [])
    bind_all_columns(connection, "history.orders", ORDERS, [Files("v", ())])
    bind(connection, "enriched.orders", DOMAIN.tables["enriched.orders"], [], [])
    assert connection.execute("SELECT count(*), max(order_day) FROM latest.orders").fetchall() == [(0, None)]
    assert connection.execute("SELECT count(valid_from) FROM history.orders").fetchall() == [(0,)]
    described = {row[0]: row[1] for row in connection.execute("DESCRIBE enriched.orders").fetchall()}
    assert described == dict(DOMAIN.tables["enriched.orders"].types)


def test_only_the_files_given_are_read_and_binding_again_replaces(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    lake = ShopLake(tmp_path)
    lake.land("orders", "a.json", text(order("o1", 1, day="2025-01-03"), order("o2", 2, day="2025-01-04")))
    lake.ingest("orders")
    found = {part.partition: lake.store.path(part.key) for parts in lake.ledger("orders").parts.values() for part in parts}
    for materialize, day, key in ((False, "2025-01-03", "o1"), (True, "2025-01-04", "o2"), (False, "2025-01-03", "o1")):
        files = [Files(ORDERS.version, (found[day],))]
        bind(connection, "latest.orders", ORDERS, files, ["order_id"], materialize=materialize)
        assert connection.execute("SELECT order_id FROM latest.orders").fetchall() == [(key,)]


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize(
    ("relation", "superseded", "deleted"),
    [("latest.orders", (3, "20"), (1, "0")), ("history.orders", (1, "10"), (1, "0")), ("changes.orders", (0, "0"), (0, "0"))],
)
def test_what_a_fold_left_out_is_counted_by_partition(
    tmp_path: Path,
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    superseded: tuple[int, str],
    deleted: tuple[int, str],
    copy: bool,
) -> None:
    lake = ShopLake(tmp_path)
    create = order("o1", 1, amount="10")
    lake.land(
        "orders",
        "a.json",
        text(create, create, order("o1", 2, amount="15", op="u"), deleted_order("o2", 4), order("o2", 3, amount="0")),
    )
    lake.land("orders", "b.json", text(order("o3", 9, day="2025-01-04", amount="7")))
    lake.ingest("orders")
    files = [
        Files(
            ORDERS.version,
            tuple(
                lake.store.path(part.key)
                for day, parts in lake.ledger("orders").parts.items()
                for part in parts
                if day != UNPLACED
            ),
        )
    ]
    bind(connection, relation, ORDERS, files, ["order_id", "amount"], materialize=True, copy=copy)
    if copy:
        for path in files[0].paths:
            Path(path).unlink()
    counted = account(connection, relation, ORDERS)
    assert sorted(counted) == ["2025-01-03", "2025-01-04"]
    day = counted["2025-01-03"]
    assert day.received == Amount(5, Decimal(35))
    assert day.superseded == Amount(superseded[0], Decimal(superseded[1]))
    assert day.deleted == Amount(deleted[0], Decimal(deleted[1]))
    assert counted["2025-01-04"].superseded == Amount()
