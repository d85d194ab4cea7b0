"""Producers whose columns change: what is told, what is kept, what is held back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from change_lines import change, text
from one_source import lake_of
from shop_lake import ShopLake

from assay.contracts import Event, Money, column
from assay.landing.drift import LEAST_MISFITS, read_held, schema_versions
from assay.landing.formats import Debezium, Dms, DmsJson


class Orders(Event):
    """Orders."""

    order_id: str = column("Key")
    amount: Money = column("Amount", nullable=True)
    pieces: int = column("Pieces", nullable=True)


class WidenedOrders(Orders):
    """Orders whose pieces may be any text."""

    pieces: str = column("Pieces", nullable=True)


def orders_lake(folder: Path, model: type[Event] = Orders, **said: Any) -> ShopLake:
    """A lake with orders as its one source; called again on a folder, the same lake with another contract."""
    return lake_of(folder, "orders", model, format=Debezium(table="orders"), key=("order_id",), **said)


def order(key: str, position: int, **columns: Any) -> str:
    return change("orders", "c", position, {"order_id": key, "amount": "10.00", "pieces": 1} | columns)


def test_a_new_column_is_kept_and_told_at_once(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    lake.land("orders", "1.json", text(order("o1", 1)))
    assert lake.ingest("orders").warnings == []
    lake.land("orders", "2.json", text(order("o2", 2, colour="red"), order("o3", 3, colour=None, size={"w": 1})))
    (told,) = lake.ingest("orders").warnings
    assert "landing/orders/2.json has new columns, kept in _rescued: colour (varchar), size (object)" in told
    assert lake.rows("SELECT _rescued->>'colour' FROM changes.orders WHERE order_id = 'o2'") == [("red",)]
    lake.land("orders", "3.json", text(order("o4", 4, colour="red", size={})))
    assert lake.ingest("orders").warnings == [], "it is told once"


def test_every_schema_is_recorded_with_its_first_and_last_object(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    lake.land("orders", "1.json", text(order("o1", 1)))
    lake.land("orders", "2.json", text(order("o2", 2, colour="red")))
    lake.land("orders", "3.json", text(order("o3", 3, colour="blue"), order("o4", 4)))
    lake.land("orders", "4.json", text(change("orders", "c", 5, {"order_id": "o5", "amount": "1.00"})))
    lake.ingest("orders")
    assert [
        (
            version.first[-6:],
            version.last[-6:],
            version.objects,
            version.records,
            dict(version.layout.added),
            version.layout.missing,
        )
        for version in schema_versions(lake.ledger("orders"))
    ] == [
        ("1.json", "1.json", 1, 1, {}, ()),
        ("2.json", "3.json", 2, 3, {"colour": "VARCHAR"}, ()),
        ("4.json", "4.json", 1, 1, {}, ("pieces",)),
    ]


def test_discard_drops_new_columns_and_tells(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path, drift="discard")
    lake.land("orders", "1.json", text(order("o1", 1, colour="red")))
    (told,) = lake.ingest("orders").warnings
    assert "new columns, dropped: colour" in told
    assert lake.rows("SELECT order_id, _rescued FROM changes.orders") == [("o1", None)]


def test_freeze_holds_the_object_back_and_takes_it_up_later(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path, drift="freeze")
    lake.land("orders", "1.json", text(order("o1", 1)))
    key = lake.land("orders", "2.json", text(order("o2", 2, colour="red")))
    done = lake.ingest("orders")
    assert list(done.held) == [key]
    assert "the contract is frozen, and there are new columns: colour (varchar). Declare them in" in done.held[key]
    assert lake.rows("SELECT order_id FROM latest.orders") == [("o1",)]
    assert read_held(lake.store, "orders") == done.held
    thawed = orders_lake(tmp_path)
    assert thawed.ingest("orders").held == {}
    assert thawed.rows("SELECT order_id FROM latest.orders ORDER BY 1") == [("o1",), ("o2",)]
    assert read_held(thawed.store, "orders") == {}


@pytest.mark.parametrize(
    ("form", "name", "content"),
    [
        (Dms("shop.orders"), "CDC_TXN-20250103101500123.csv", b"I,orders,shop,o1,1.00,1\nI,items,shop,i1,1.00,1,red,2\n"),
        (
            DmsJson("shop.orders"),
            "orders+0+0000000000.json",
            b'{"data":{"order_id":"o1","pieces":1},"metadata":{"operation":"load","schema-name":"shop","table-name":"orders"}}\n'
            b'{"data":{"item":1},"metadata":{"operation":"load","schema-name":"shop","table-name":"items"}}\n',
        ),
    ],
)
def test_columns_of_other_tables_are_not_new(tmp_path: Path, form: Dms | DmsJson, name: str, content: bytes) -> None:
    lake = lake_of(tmp_path, "orders", Orders, format=form, key=("order_id",), drift="freeze")
    lake.land("orders", name, content)
    done = lake.ingest("orders")
    assert (done.held, done.warnings) == ({}, [])
    assert lake.rows("SELECT order_id FROM latest.orders") == [("o1",)]


def test_a_changed_type_holds_the_object_and_a_widened_contract_takes_it_up(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    lake.land("orders", "1.json", text(order("o0", 1)))
    lines = [order(f"o{n}", n + 1, pieces=f"{n} boxes") for n in range(1, LEAST_MISFITS + 1)]
    key = lake.land("orders", "2.json", text(*lines))
    done = lake.ingest("orders")
    assert "the type of pieces has changed: none of its 3 values is a BIGINT (pieces is '1 boxes'" in done.held[key]
    assert lake.refused("orders") == []
    widened = orders_lake(tmp_path, WidenedOrders)
    assert widened.ingest("orders").held == {}
    assert widened.rows("SELECT order_id, pieces FROM latest.orders ORDER BY 1") == [
        ("o0", "1"), ("o1", "1 boxes"), ("o2", "2 boxes"), ("o3", "3 boxes"),
    ]  # fmt: skip


@pytest.mark.parametrize(("column_name", "values"), [("pieces", [1.5, 2.25, 0.5]), ("amount", ["1.005", "2.125", "12.345"])])
def test_a_type_that_has_got_more_digits_is_a_changed_one(tmp_path: Path, column_name: str, values: list[object]) -> None:
    lake = orders_lake(tmp_path)
    lines = [order(f"o{n}", n, **{column_name: value}) for n, value in enumerate(values, 1)]
    key = lake.land("orders", "1.json", text(*lines))
    assert f"the type of {column_name} has changed: none of its 3 values is a " in lake.ingest("orders").held[key]
    assert lake.rows("SELECT * FROM latest.orders") == []


class NumberedOrders(Orders):
    """Orders with a number."""

    order_id: int = column("Key")


def test_a_changed_type_of_the_key_holds_the_object(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path, NumberedOrders)
    key = lake.land("orders", "1.json", text(*[order(f"uuid-{n}", n) for n in range(10)]))
    done = lake.ingest("orders")
    assert "the type of order_id has changed: none of its 10 values is a BIGINT (order_id is 'uuid-0')" in done.held[key]
    assert done.quarantined == 0


def test_records_without_a_key_are_mistakes(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path, NumberedOrders)
    lake.land("orders", "1.json", text(*[order("", n) for n in range(10)]))
    done = lake.ingest("orders")
    assert (done.held, done.quarantined) == ({}, 10)


def test_a_key_of_another_type_here_and_there_is_a_mistake_as_long_as_a_delete_has_the_old(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path, NumberedOrders)
    lines = [order(f"uuid-{n}", n) for n in range(10)]
    lake.land("orders", "1.json", text(*lines, change("orders", "d", 11, {"order_id": 7})))
    done = lake.ingest("orders")
    assert (done.held, done.quarantined) == ({}, 10)


def test_every_column_of_a_record_counts_that_does_not_fit(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    key = lake.land("orders", "1.json", text(*[order(f"o{n}", n, amount="oops" if n else 1, pieces=f"t{n}") for n in range(10)]))
    assert "the type of pieces has changed: none of its 10 values is a BIGINT (pieces is 't0')" in lake.ingest("orders").held[key]


@pytest.mark.parametrize("good", [0, 1])
def test_single_mistakes_go_to_quarantine(tmp_path: Path, good: int) -> None:
    lake = orders_lake(tmp_path)
    bad = [order(f"b{n}", n, pieces="many") for n in range(LEAST_MISFITS - 1 + good)]
    lake.land("orders", "1.json", text(*bad, *(order(f"g{n}", 100 + n) for n in range(good))))
    done = lake.ingest("orders")
    assert done.held == {}
    assert (done.records, done.quarantined) == (len(bad) + good, len(bad))
