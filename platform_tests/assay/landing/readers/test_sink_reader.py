"""What a sink writes beside the values: no records of their own, or messages."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from debezium_lake import SOURCE, at, change, envelope, lines_of, rows_lake
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Event, Money, column, source
from assay.landing.formats import Debezium, JsonDocuments


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


def debezium_lake(folder: Path, form: Debezium | None = None) -> ShopLake:
    return rows_lake(folder, form, note=str)


def keyless_delete(lsn: int) -> dict[str, object]:
    """A delete whose value names no row, as of a table without replica identity."""
    return envelope("d", at(lsn), None)


VALUES = "rows+0+0000000010.json"
KEYS = "rows+0+0000000010.keys.json"
STATE = f"SELECT id, note FROM latest.{SOURCE} ORDER BY ALL"
EVENTS = f"SELECT * FROM changes.{SOURCE} ORDER BY ALL"


class TestKeysObjects:
    """A keys object gives a key to those records of its values object that do not name their own."""

    CHANGES = (change(1, note="x"), change(2, note="y"), keyless_delete(3))

    def test_a_delete_whose_key_stands_only_in_the_keys_object_finds_its_row(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(*self.CHANGES))
        key = lake.land(SOURCE, KEYS, lines_of({"id": "1"}, {"id": "2"}, {"id": "1"}))
        done = lake.ingest(SOURCE)
        assert (done.records, done.quarantined) == (3, 0)
        assert lake.rows(STATE) == [("2", "y")]
        assert lake.rows(f"SELECT id, _landing_object, _landing_row FROM changes.{SOURCE} WHERE _op = 'd'") == [("1", key, 3)]

    @pytest.mark.parametrize("order", [(VALUES, KEYS), (KEYS, VALUES)])
    def test_it_makes_no_difference_which_lands_first(self, tmp_path: Path, order: tuple[str, str]) -> None:
        content = {VALUES: lines_of(*self.CHANGES), KEYS: lines_of({"id": "1"}, {"id": "2"}, {"id": "1"})}
        apart, together = debezium_lake(tmp_path / "apart"), debezium_lake(tmp_path / "together")
        for name in order:
            apart.land(SOURCE, name, content[name])
            apart.ingest(SOURCE)
            together.land(SOURCE, name, content[name])
        apart.ingest(SOURCE)
        together.ingest(SOURCE)
        assert apart.rows(EVENTS) == together.rows(EVENTS)
        assert len(apart.rows(EVENTS)) == 3
        assert apart.ingest(SOURCE).batches == []

    def test_values_without_their_keys_object_are_refused_until_it_lands(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        values = lake.land(SOURCE, VALUES, lines_of(*self.CHANGES))
        assert lake.ingest(SOURCE).quarantined == 1
        assert lake.refused(SOURCE) == [(values, 3, "the key column id is null")]

    def test_a_record_that_names_its_key_keeps_it(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(change(1, note="x"), envelope("d", at(2), {"id": "1"})))
        lake.land(SOURCE, KEYS, lines_of({"id": "7"}, {"id": "8"}))
        done = lake.ingest(SOURCE)
        assert (done.records, done.quarantined) == (2, 0)
        assert lake.rows(f"SELECT id, _op FROM changes.{SOURCE} ORDER BY _sequence") == [("1", "c"), ("1", "d")]

    def test_keys_that_do_not_count_like_the_values_are_given_to_nobody(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(*self.CHANGES))
        key = lake.land(SOURCE, KEYS, lines_of({"id": "1"}))
        done = lake.ingest(SOURCE)
        assert (done.records, done.quarantined) == (3, 1)
        told = "its keys object has 1 line, and the values object 3 lines: which key is whose cannot be told"
        assert lake.refused(SOURCE) == [(key, 3, told)]

    def test_keys_that_cannot_be_read_at_all_are_given_to_nobody(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(*self.CHANGES))
        lake.land(SOURCE, "rows+0+0000000010.keys.avro", b"\x00\x00\x00\x00\x07\x02a\n" * 3)
        lake.ingest(SOURCE)
        assert "its keys object cannot be read: the messages are as the topic has them" in lake.refused(SOURCE)[0][2]

    def test_a_key_that_cannot_be_read_is_none(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(change(1, note="x"), keyless_delete(2), keyless_delete(3)))
        key = lake.land(SOURCE, KEYS, b'{"id":"1"}\n\xff\n{"other":"1"}\n')
        lake.ingest(SOURCE)
        assert lake.refused(SOURCE) == [(key, 2, "the key column id is null"), (key, 3, "the key column id is null")]

    def test_damaged_and_unusual_values_are_given_their_keys_too(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        bad = (
            lines_of(change(1, note="x"), {"no": "event"})
            + b"\xff\n"
            + lines_of({**change(4, note="y"), "more": 1}, keyless_delete(5))
        )
        values = lake.land(SOURCE, VALUES, bad)
        lake.land(SOURCE, KEYS, lines_of(*[{"id": "1"}] * 5))
        done = lake.ingest(SOURCE)
        assert [(key, row) for key, row, _ in lake.refused(SOURCE)] == [(values, 2), (values, 3)]
        assert (done.records, done.quarantined) == (5, 2)
        assert lake.rows(STATE) == [("4", "y")]

    @pytest.mark.parametrize(
        "key",
        [
            b'{"id":"1"}',
            b'"1"',
            b"1",
            b'{"schema":{"type":"struct","fields":[{"type":"string","field":"id"}]},"payload":{"id":"1"}}',
            b'{"schema":{"type":"string"},"payload":"1"}',
            b'"{\\"id\\":\\"1\\"}"',
            b'"eyJpZCI6IjEifQ=="',
            b'{"key":"1"}',
        ],
    )
    def test_forms_of_keys(self, tmp_path: Path, key: bytes) -> None:
        lake = debezium_lake(tmp_path)
        lake.land(SOURCE, VALUES, lines_of(change(1, note="x"), keyless_delete(2)))
        lake.land(SOURCE, KEYS, key + b"\n" + key + b"\n")
        assert lake.ingest(SOURCE).quarantined == 0
        assert lake.rows(STATE) == []

    def test_a_key_is_decoded_as_its_column_is(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, Debezium("rows", decimals="base64"), id=Money)
        lake.land(SOURCE, VALUES, lines_of(keyless_delete(1)))
        lake.land(SOURCE, KEYS, lines_of({"id": "/KQ="}))
        lake.ingest(SOURCE)
        assert lake.rows(f"SELECT id::VARCHAR FROM changes.{SOURCE}") == [("-8.60",)]

    def test_deletes_of_mongodb(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, Debezium("rows", connector="mongodb", columns={"id": "_id"}), note=str)
        origin = {"connector": "mongodb", "collection": "rows", "ts_ms": 1_700_000_000_000}
        oid = '{"$oid": "596e275826f08b2730779e1f"}'
        created = envelope("c", {**origin, "ord": 1}, None) | {"after": json.dumps({"_id": json.loads(oid), "note": "x"})}
        lake.land(SOURCE, VALUES, lines_of(created, envelope("d", {**origin, "ord": 2}, None)))
        lake.land(SOURCE, KEYS, lines_of({"id": oid}, {"id": oid}))
        assert lake.ingest(SOURCE).quarantined == 0
        assert lake.rows(f"SELECT id, _op FROM changes.{SOURCE} ORDER BY _sequence") == [
            ("596e275826f08b2730779e1f", "c"),
            ("596e275826f08b2730779e1f", "d"),
        ]

    def test_documents_whose_key_is_not_in_their_value(self, tmp_path: Path) -> None:
        lake = orders_lake(tmp_path)
        lake.land("orders", "orders+0+0000000000.json", b'{"version": 1}\n{"version": 2}\n{"id": 9, "version": 1}\n')
        lake.land("orders", "orders+0+0000000000.keys.json", b"7\n7\n8\n")
        lake.land("orders", "orders+0+0000000003.json", b'{"id": 7, "version": 3}\n')
        lake.ingest("orders")
        assert lake.rows("SELECT id, version, _missing FROM changes.orders ORDER BY ALL") == [
            (7, 1, None),
            (7, 2, None),
            (7, 3, None),
            (9, 1, None),
        ]

    @given(st.permutations([(number, name) for number in range(3) for name in ("json", "keys.json")]), st.data())
    @settings(max_examples=12)
    def test_in_any_order_and_with_any_ingests_between(self, order: list[tuple[int, str]], data: st.DataObject) -> None:
        changes = [change(1, note="a"), change(2, note="b"), keyless_delete(3), change(4, id="1", note="c"), keyless_delete(5)]
        changes += [{**change(6, note="d"), "more": 1}]
        keys = [{"id": key} for key in ("1", "2", "1", "1", "2", "6")]
        with tempfile.TemporaryDirectory() as folder:
            lake = debezium_lake(Path(folder))
            for number, name in order:
                part = slice(2 * number, 2 * number + 2)
                lake.land(SOURCE, f"rows+0+{2 * number:010}.{name}", lines_of(*(changes if name == "json" else keys)[part]))
                if data.draw(st.booleans()):
                    lake.ingest(SOURCE)
            lake.ingest(SOURCE)
            events = lake.rows(f"SELECT id, _op, _sequence FROM changes.{SOURCE} ORDER BY _sequence")
            assert [(key, op) for key, op, _ in events] == [
                (key["id"], each["op"]) for key, each in zip(keys, changes, strict=True)
            ]
            assert lake.rows(STATE) == [("1", "c"), ("6", "d")]

    def test_undeclared_columns_are_those_of_the_values(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        values = lake.land(SOURCE, VALUES, lines_of(change(1, new="x"), keyless_delete(2)))
        lake.land(SOURCE, KEYS, lines_of(*[{"id": "1"}] * 2))
        [warning] = lake.ingest(SOURCE).warnings
        assert warning.startswith(f"raw.{SOURCE}: {values} has new columns")

    def test_many_objects_at_once(self, tmp_path: Path) -> None:
        lake = debezium_lake(tmp_path)
        for number in range(30):
            changes = (change(number * 10, note="x"), change(number * 10 + 1, note="y"), keyless_delete(number * 10 + 2))
            lake.land(SOURCE, f"rows+0+{number * 10:010}.json", lines_of(*changes))
            lake.land(SOURCE, f"rows+0+{number * 10:010}.keys.json", lines_of(*[{"id": str(number * 10)}] * 3))
        done = lake.ingest(SOURCE)
        assert (done.records, done.quarantined) == (90, 0)
        assert len(lake.rows(STATE)) == 30
