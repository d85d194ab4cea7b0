"""What a sink writes beside the values: no records of their own, or messages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Event, column, source
from assay.landing.formats import JsonDocuments


def orders_lake(folder: Path) -> ShopLake:
    @source("orders", format=JsonDocuments(version="version::BIGINT"), key=("id",), owner="team:x", subject="x")
    class Orders(Event):
        """Orders."""

        id: int = column("Key")
        version: int = column("Version")

    return ShopLake(folder, domain_of(folder / "sql", [Orders], {}))


def test_keys_and_headers_are_no_records(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    lake.land("orders", "orders/partition=0/orders+0+0000000000.json", b'{"id": 1, "version": 1}\n')
    lake.land("orders", "orders/partition=0/orders+0+0000000000.keys.json", b'{"id": 1}\nnot JSON\n')
    lake.land("orders", "orders/partition=0/orders+0+0000000000.headers.json", b"[]\n")
    done = lake.ingest("orders")
    assert (done.records, done.quarantined) == (1, 0)
    assert {landed.key.rsplit("/", 1)[-1]: landed.records for batch in done.batches for landed in batch.landed} == {
        "orders+0+0000000000.json": 1,
        "orders+0+0000000000.keys.json": 0,
        "orders+0+0000000000.headers.json": 0,
    }
    assert lake.ingest("orders").batches == []


def test_tombstones_are_messages_and_no_changes(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    lake.land("orders", "orders/partition=0/orders+0+0000000000.json", b'{"id": 1, "version": 1}\n')
    keys = b"".join(json.dumps({"id": number}).encode() + b"\n" for number in range(3))
    lake.land("orders", "orders/tombstone/orders+0+0000000001.keys.json", keys)
    done = lake.ingest("orders")
    assert (done.records, done.quarantined) == (4, 0)
    assert sum(landed.messages for batch in done.batches for landed in batch.landed) == 3
    assert lake.rows("SELECT id FROM latest.orders") == [(1,)]


def test_a_damaged_file_of_tombstones_gives_what_it_holds(tmp_path: Path) -> None:
    lake = orders_lake(tmp_path)
    keys = b"".join(json.dumps({"id": number}).encode() + b"\n" for number in range(1000))
    packed = gzip.compress(keys, compresslevel=0)
    lake.land("orders", "orders/tombstone/orders+0+0000000001.keys.json.gz", packed[: len(packed) // 2])
    lake.land("orders", "orders/partition=0/orders+0+0000000000.headers.json.gz", packed[: len(packed) // 2])
    done = lake.ingest("orders")
    assert done.quarantined == 1
    assert done.records > 400
    assert lake.rows("SELECT id FROM latest.orders") == []
