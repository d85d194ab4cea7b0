"""Batches of Debezium's events as landing objects."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from assay.capture.debezium_engine import NEVER_EMPTY, Landing
from assay.capture.objects import Channel, put_segment
from assay.errors import StoreUnavailable
from assay.lake import ObjectStore

ORDERS = Channel("orders", "shop.public.orders")
EVENT = '{"op":"c","after":{"id":1},"source":{"ts_ms":1700000000123,"snapshot":"false"}}'
READ = '{"op":"r","after":{"id":1},"source":{"ts_ms":1700000000123,"snapshot":"first","table":"orders","lsn":500}}'


def landing(store: ObjectStore) -> Landing:
    return Landing(store, {ORDERS.topic: ORDERS})


def test_a_batch_becomes_one_object_a_topic_and_the_next_goes_on(file_store: ObjectStore) -> None:
    landed = landing(file_store)
    assert landed.land([(ORDERS.topic, READ), (ORDERS.topic, EVENT)]) == [
        {"key": ORDERS.key(0), "records": 2, "commits": [1700000000123]}
    ]
    assert landed.land([(ORDERS.topic, EVENT)])[0]["key"] == ORDERS.key(2)
    assert gzip.decompress(file_store.get(ORDERS.key(0))).decode() == f"{READ}\n{EVENT}\n"


def test_a_snapshot_that_begins_anew_empties_the_tables_first(file_store: ObjectStore) -> None:
    refunds, empty = Channel("refunds", "shop.public.refunds"), Channel("empty", "shop.public.empty")
    channels = {each.topic: each for each in (ORDERS, refunds, empty)}
    Landing(file_store, channels).land([(ORDERS.topic, READ), (refunds.topic, READ.replace("first", "true"))])
    again = Landing(file_store, channels)
    reports = again.land([(ORDERS.topic, READ)])
    assert [(report["key"], report["records"], report["commits"]) for report in reports] == [
        (ORDERS.key(1), 2, []),
        (refunds.key(1), 1, []),
    ]
    truncate, read = gzip.decompress(file_store.get(ORDERS.key(1))).splitlines()
    assert read.decode() == READ
    event = json.loads(truncate)
    assert (event["op"], event["source"]["table"], event["source"]["lsn"]) == ("t", "orders", 499)
    assert event["source"]["sequence"] == '[null,"499"]'
    assert json.loads(gzip.decompress(file_store.get(refunds.key(1))))["source"]["table"] == "refunds"
    assert again.land([(ORDERS.topic, EVENT)])[0]["records"] == 1


@pytest.mark.parametrize("marker", ["true", "first_in_data_collection", "last_in_data_collection", "last"])
def test_a_snapshot_is_known_by_any_row_of_it_and_by_one_of_an_empty_database(file_store: ObjectStore, marker: str) -> None:
    row = READ.replace("first", marker)
    landing(file_store).land([(ORDERS.topic, row)])
    again = landing(file_store)
    assert again.land([(f"shop.{NEVER_EMPTY}", row.replace("500", "700"))]) == [
        {"key": ORDERS.key(1), "records": 1, "commits": []}
    ]
    assert json.loads(gzip.decompress(file_store.get(ORDERS.key(1))))["source"]["lsn"] == 699
    # Its other rows empty nothing, nor does what is committed after it.
    assert again.land([(ORDERS.topic, row.replace("500", "700")), (ORDERS.topic, EVENT)])[0]["records"] == 2
    # Debezium begins anew within the process when the database was away.
    assert again.land([(ORDERS.topic, row.replace("500", "900"))])[0]["records"] == 2


def test_a_new_process_goes_on_after_what_is_there(file_store: ObjectStore) -> None:
    landing(file_store).land([(ORDERS.topic, EVENT)] * 3)
    assert landing(file_store).land([(ORDERS.topic, EVENT)])[0]["key"] == ORDERS.key(3)


def test_a_write_that_arrived_after_its_process_was_killed_keeps_its_name(file_store: ObjectStore) -> None:
    landed = landing(file_store)
    landed.land([(ORDERS.topic, EVENT)])
    put_segment(file_store, ORDERS, [b"late"] * 5, 1, 5)
    assert landed.land([(ORDERS.topic, EVENT)])[0]["key"] == ORDERS.key(6)
    assert gzip.decompress(file_store.get(ORDERS.key(1))) == b"late\n" * 5


def test_tombstones_and_heartbeats_are_not_landed_and_marks_are_told(file_store: ObjectStore) -> None:
    mark = {"op": "m", "message": {"prefix": "assay", "content": base64.b64encode(b"here").decode()}}
    other = {"op": "m", "message": {"prefix": "outbox", "content": ""}}
    events = [
        (ORDERS.topic, None),
        ("__debezium-heartbeat.shop", '{"ts_ms":1}'),
        ("shop.message", json.dumps(mark)),
        ("shop.message", json.dumps(other)),
    ]
    assert landing(file_store).land(events) == [{"mark": "here"}]
    assert list(file_store.list("landing/")) == []


def test_it_waits_for_a_lake_that_is_away(file_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put, failures = file_store.put, iter([True, True])

    def failing(*args, **kwargs):
        if next(failures, False):
            raise StoreUnavailable("gone")
        return put(*args, **kwargs)

    monkeypatch.setattr(file_store, "put", failing)
    assert landing(file_store).land([(ORDERS.topic, EVENT)])[0]["key"] == ORDERS.key(0)


def test_one_that_is_to_end_does_not_wait(file_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args, **kwargs):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(file_store, "put", failing)
    landed = landing(file_store)
    landed.closing.set()
    with pytest.raises(StoreUnavailable):
        landed.land([(ORDERS.topic, EVENT)])
