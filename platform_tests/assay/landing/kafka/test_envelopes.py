"""Envelopes of key, value, offset, timestamp and headers around the records of a topic."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from debezium_lake import SOURCE, at, change, envelope, lines_of, messages, refused, rows_lake
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Count, Event, Money, column, source
from assay.errors import ContractError
from assay.landing.formats import DmsJson, JsonDocuments, Snapshot

STATE = f"SELECT id, note FROM latest.{SOURCE} ORDER BY ALL"


def wrapped(offset: int, key: object, value: object, **more: object) -> dict[str, Any]:
    return {"key": key, "value": value, "offset": offset, "timestamp": "2025-01-01T00:00:01Z", "headers": None, **more}


def changes() -> list[dict[str, Any]]:
    """Two changes, a delete that names no row, and its tombstone."""
    values = [change(1, note="x"), change(2, note="y"), envelope("d", at(3), None), None]
    return [wrapped(place, {"id": key}, value) for place, (key, value) in enumerate(zip("1211", values, strict=True))]


def state_of(folder: Path, name: str, content: bytes) -> list[tuple[Any, ...]]:
    lake = rows_lake(folder, note=str)
    lake.land(SOURCE, name, content)
    done = lake.ingest(SOURCE)
    assert (done.records, done.quarantined, messages(lake)) == (4, 0, 1), refused(lake)
    return lake.rows(STATE)


class TestForms:
    def test_lines(self, tmp_path: Path) -> None:
        assert state_of(tmp_path, "rows-0-0", lines_of(*changes())) == [("2", "y")]

    def test_lines_gzipped(self, tmp_path: Path) -> None:
        assert state_of(tmp_path, "rows-0-0.gz", gzip.compress(lines_of(*changes()))) == [("2", "y")]

    def test_an_array(self, tmp_path: Path) -> None:
        assert state_of(tmp_path, "rows-0-0.json", json.dumps(changes(), indent=1).encode()) == [("2", "y")]

    def test_parquet(self, tmp_path: Path) -> None:
        held = io.BytesIO()
        pq.write_table(
            pa.Table.from_pylist([{**each, "value": each["value"] and json.dumps(each["value"])} for each in changes()]), held
        )
        assert state_of(tmp_path, "rows-0-0.parquet", held.getvalue()) == [("2", "y")]

    def test_avro(self, tmp_path: Path) -> None:
        fastavro = pytest.importorskip("fastavro")
        fields = [
            {"name": "key", "type": {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "string"}]}},
            {"name": "offset", "type": "long"},
            {"name": "value", "type": ["null", "bytes"]},
        ]
        records = [
            {"key": each["key"], "offset": each["offset"], "value": each["value"] and json.dumps(each["value"]).encode()}
            for each in changes()
        ]
        held = io.BytesIO()
        fastavro.writer(held, {"type": "record", "name": "Envelope", "fields": fields}, records)
        assert state_of(tmp_path, "rows-0-0.avro", held.getvalue()) == [("2", "y")]

    @pytest.mark.parametrize("indent", [None, 1])
    def test_values_and_keys_as_text(self, tmp_path: Path, indent: int | None) -> None:
        sent = [
            {**each, "key": json.dumps(each["key"]), "value": each["value"] and json.dumps(each["value"], indent=indent)}
            for each in changes()
        ]
        assert state_of(tmp_path, "rows-0-0", lines_of(*sent)) == [("2", "y")]

    def test_values_and_keys_as_bytes(self, tmp_path: Path) -> None:
        def packed(value: object) -> str:
            return base64.b64encode(json.dumps(value).encode()).decode()

        sent = [{**each, "key": packed(each["key"]), "value": each["value"] and packed(each["value"])} for each in changes()]
        assert state_of(tmp_path, "rows-0-0", lines_of(*sent)) == [("2", "y")]

    def test_some_of_the_fields(self, tmp_path: Path) -> None:
        sent = [{"value": each["value"], "key": each["key"]} for each in changes()]
        assert state_of(tmp_path, "rows-0-0", lines_of(*sent)) == [("2", "y")]

    def test_without_envelope(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, note=str)
        lake.land(SOURCE, "rows-0-0", lines_of(change(1, note="x")))
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == [("1", "x")]


class TestDamage:
    def test_lines_that_are_no_envelope_keep_their_place(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, note=str)
        good = [json.dumps(each).encode() for each in changes()]
        content = b"\n".join([good[0], b"", b'{"key": 1, "value"', b'{"value": 1, "key": 2, "what": 3}', b'"\xff"', good[2], b""])
        lake.land(SOURCE, "rows-0-0", content)
        lake.ingest(SOURCE)
        assert [row for row, _ in refused(lake)] == [2, 3]
        assert [row for _, row, _ in lake.refused(SOURCE)] == [2, 3, 4]
        assert lake.rows(STATE) == []

    def test_a_name_that_is_no_text_makes_no_envelope(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, note=str)
        lake.land(SOURCE, "rows-0-0", lines_of(*changes()[:1]) + b'{["value"]: 1}\n')
        lake.ingest(SOURCE)
        assert refused(lake) == [(2, "not valid JSON")]

    def test_a_file_that_breaks_off(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, note=str)
        content = gzip.compress(
            lines_of(*(wrapped(number, None, change(number, note="x")) for number in range(1000))), compresslevel=0
        )
        lake.land(SOURCE, "rows-0-0.gz", content[: len(content) // 2])
        done = lake.ingest(SOURCE)
        assert [reason.split(":")[0] for _, reason in refused(lake)] == ["the file is damaged from here on"]
        assert done.records > 400


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, amount=Money)
    after = '{"id":"1","amount":12345678901234.1200}'
    line = json.dumps(wrapped(0, None, "?")).replace(
        '"?"', json.dumps(envelope("c", at(1), None) | {"after": 0}).replace('"after": 0', f'"after": {after}')
    )
    lake.land(SOURCE, "rows-0-0", line.encode() + b"\n")
    lake.ingest(SOURCE)
    assert lake.rows(f"SELECT amount::VARCHAR FROM changes.{SOURCE}") == [("12345678901234.12",)]


def test_messages_of_dms(tmp_path: Path) -> None:
    @source("orders", format=DmsJson(table="orders"), key=("id",), owner="team:x", subject="x")
    class Orders(Event):
        """Orders."""

        id: str = column("Key")
        note: str = column("Note", nullable=True)

    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Orders], {}))
    metadata = {"timestamp": "2025-01-01T00:00:00Z", "record-type": "data", "operation": "load", "table-name": "orders"}
    lake.land(
        "orders", "orders-0-0", lines_of(wrapped(0, "public.orders.1", {"data": {"id": "1", "note": "x"}, "metadata": metadata}))
    )
    lake.ingest("orders")
    assert lake.rows("SELECT id, note FROM latest.orders") == [("1", "x")]


def test_a_contract_with_a_column_called_value_has_no_envelopes(tmp_path: Path) -> None:
    @source("pairs", format=JsonDocuments(version='"offset"::BIGINT'), key=("key",), owner="team:x", subject="x")
    class Pairs(Event):
        """Pairs."""

        key: str = column("Key")
        value: str = column("Value")
        offset: str = column("Offset")

    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Pairs], {}))
    lake.land("pairs", "a.json", b'{"key": "a", "value": "b", "offset": 7}\n')
    lake.ingest("pairs")
    assert lake.rows("SELECT key, value FROM latest.pairs") == [("a", "b")]


def changelog_lake(folder: Path, form: JsonDocuments | None = None) -> ShopLake:
    @source("prices", format=form or JsonDocuments(version="_offset"), key=("sku",), owner="team:x", subject="x")
    class Prices(Event):
        """Prices, as a compacted topic holds them."""

        sku: str = column("Key")
        price: Money = column("Price", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Prices], {}))


class TestOffsets:
    """Documents of a compacted topic say nothing of their order themselves."""

    SENT = (
        wrapped(7, "a", {"price": 1}),
        wrapped(8, "b", {"price": 2}),
        wrapped(11, "a", {"price": 3}),
        wrapped(12, "b", None),
        wrapped(15, "c", None),
        wrapped(19, "c", {"price": 4}),
    )

    @given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4), st.integers(1, 8))
    @settings(max_examples=10)
    def test_the_offset_orders_them_and_a_null_is_a_delete(self, order: list[int], again: list[int], size: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lake = changelog_lake(Path(folder))
            sent = [self.SENT[place] for place in (*order, *again)]
            for first in range(0, len(sent), size):
                lake.land("prices", f"prices-0-{first}", lines_of(*sent[first : first + size]))
                if first % 2:
                    lake.ingest("prices")
            lake.ingest("prices")
            assert lake.rows("SELECT sku, price::VARCHAR FROM latest.prices ORDER BY sku") == [("a", "3.00"), ("c", "4.00")]
            assert lake.refused("prices") == []

    def test_without_offset_nothing_orders_them(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path)
        key = lake.land("prices", "prices-0-7", lines_of({"key": "a", "value": {"price": 1}}, {"key": "a", "value": None}))
        lake.ingest("prices")
        assert lake.refused("prices") == [(key, 1, "no version: _offset gives no number")]
        assert messages_of(lake, "prices") == 1

    def test_where_the_version_is_another_a_null_is_a_message(self, tmp_path: Path) -> None:
        @source("orders", format=JsonDocuments(version="coalesce(v::BIGINT, 0)"), key=("id",), owner="team:x", subject="x")
        class Orders(Event):
            """Orders."""

            id: str = column("Key")
            v: Count = column("Version", nullable=True)

        lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Orders], {}))
        lake.land("orders", "orders-0-0", lines_of(wrapped(0, "a", {"v": 1}), wrapped(1, "a", None)))
        done = lake.ingest("orders")
        assert (done.records, done.quarantined, messages_of(lake, "orders")) == (2, 0, 1)
        assert lake.rows("SELECT id, v FROM latest.orders") == [("a", 1)]

    def test_a_null_in_a_file_of_no_topic_is_no_document(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path)
        key = lake.land("prices", "a.json", b"null\n")
        lake.ingest("prices")
        assert lake.refused("prices") == [(key, 1, "not a JSON document")]


def in_base64(*values: object) -> bytes:
    return b"".join(base64.b64encode(json.dumps(each, indent=1).encode()) + b"\n" for each in values)


class TestCsv:
    """What Aiven's sink writes if it is not told otherwise: the values alone, each in base64."""

    @pytest.mark.parametrize("is_packed", [False, True])
    def test_each_line_is_a_value(self, tmp_path: Path, is_packed: bool) -> None:
        lake = changelog_lake(tmp_path, JsonDocuments(by_name=True))
        content = in_base64({"sku": "a", "price": 1}, {"sku": "b", "price": 2}) + b"e30!\n" + in_base64({"sku": "a", "price": 3})
        key = lake.land("prices", "prices-0-7.gz", gzip.compress(content) if is_packed else content)
        lake.ingest("prices")
        assert lake.rows("SELECT sku, price::VARCHAR, _landing_row FROM latest.prices ORDER BY 1") == [
            ("a", "3.00", 4),
            ("b", "2.00", 2),
        ]
        assert [(refused, line) for refused, line, _ in lake.refused("prices")] == [(key, 3)]

    def test_changes(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, note=str)
        lake.land(SOURCE, "rows-0-0", in_base64(change(1, note="x"), change(2, note="y")))
        lake.ingest(SOURCE)
        assert refused(lake) == []
        assert lake.rows(STATE) == [("1", "x"), ("2", "y")]

    def test_a_document_may_hold_base64_between_commas(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, JsonDocuments(by_name=True))
        lake.land("prices", "prices-0-7", b'{"sku":"a,' + in_base64({}).rstrip() + b',b"}\n')
        lake.ingest("prices")
        assert lake.rows("SELECT sku FROM latest.prices") == [(f"a,{in_base64({}).rstrip().decode()},b",)]

    def test_of_several_fields_which_is_the_value_cannot_be_told(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, JsonDocuments(by_name=True))
        line = in_base64({"sku": "a"}).rstrip() + b"," + in_base64({"sku": "a", "price": 1}).rstrip() + b",7\n"
        key = lake.land("prices", "prices-0-7", b",,6\n" + line * 5)
        lake.ingest("prices")
        assert lake.rows("SELECT sku FROM changes.prices") == []
        ((name, number, reason),) = lake.refused("prices")
        assert (name, number) == (key, 1)
        assert reason.startswith("CSV of Aiven's sink with several fields, and nothing in it says which of them is the value: ")


class TestNames:
    """Plain documents, whose only order is that of their objects' names and of their lines."""

    FORM = JsonDocuments(by_name=True)

    @pytest.mark.parametrize("names", [("t+3+0000000009.json", "t+3+12345678901.json"), ("t-3-9", "t-3-10.gz")])
    def test_the_partition_the_first_offset_and_the_line_order_them(self, tmp_path: Path, names: tuple[str, str]) -> None:
        lake = changelog_lake(tmp_path, self.FORM)
        first = lines_of({"sku": "a", "price": 1}, {"sku": "a", "price": 2}, {"sku": "b", "price": 3})
        lake.land("prices", f"day=2/{names[1]}", lines_of({"sku": "b", "price": 4}))
        lake.ingest("prices")
        lake.land("prices", f"day=1/{names[0]}", first)
        lake.ingest("prices")
        assert lake.refused("prices") == []
        assert lake.rows("SELECT sku, price::VARCHAR FROM latest.prices ORDER BY 1") == [("a", "2.00"), ("b", "4.00")]
        assert lake.rows("SELECT _sequence FROM changes.prices WHERE price = 2") == [([3, 9, 2],)]

    def test_lines_are_counted_in_a_damaged_file_too(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, self.FORM)
        good = lines_of({"sku": "a", "price": 1})
        lake.land("prices", "t+0+0000000000.json", good + b"\xff\n" + good)
        lake.ingest("prices")
        assert lake.rows("SELECT _sequence FROM changes.prices ORDER BY 1") == [([0, 0, 1],), ([0, 0, 3],)]

    def test_after_the_version_where_there_is_one(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, JsonDocuments(version="price::BIGINT", by_name=True))
        lake.land("prices", "t+0+0000000007.json", lines_of({"sku": "a", "price": 5}, {"sku": "a", "price": 1}, None))
        lake.ingest("prices")
        assert lake.rows("SELECT price::VARCHAR, _sequence FROM latest.prices") == [("5.00", [5, 0, 7, 1])]
        assert messages_of(lake, "prices") == 1

    def test_a_null_with_its_key_beside_it_is_a_delete_and_without_one_is_refused(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, self.FORM)
        lake.land("prices", "t+0+0000000000.json", lines_of({"sku": "a", "price": 1}, {"sku": "b", "price": 1}, None))
        lake.land("prices", "t+0+0000000000.keys.json", lines_of({"sku": "a"}, {"sku": "b"}, {"sku": "a"}))
        alone = lake.land("prices", "t+0+0000000003.json", lines_of(None))
        lake.ingest("prices")
        assert lake.rows("SELECT sku FROM latest.prices") == [("b",)]
        assert lake.refused("prices") == [(alone, 1, "the key column sku is null")]

    def test_a_file_that_no_sink_has_named_is_refused(self, tmp_path: Path) -> None:
        lake = changelog_lake(tmp_path, self.FORM)
        key = lake.land("prices", "export.json", lines_of({"sku": "a", "price": 1}))
        lake.ingest("prices")
        assert lake.refused("prices") == [
            (
                key,
                1,
                "no position: the object's name tells no Kafka partition and offset; land it under the name that the sink has "
                "given it",
            )
        ]

    def test_snapshots_are_of_no_topic(self) -> None:
        with pytest.raises(ContractError, match="either of dated snapshots or of a topic"):
            JsonDocuments(by_name=True, snapshot=Snapshot())


class TestOutbox:
    """Debezium's outbox: `id` says which messages are one, in a header if a router has taken the rows apart."""

    def test_a_row_of_the_outbox_counts_once(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, aggregateid=str, payload=str)
        row = {"id": "4d47e190-0402-4048-bc2c-89dd54343cdc", "aggregateid": "1", "payload": '{"total": 1}'}
        sent = [change(1, **row), change(1, **row), change(2, **row | {"id": "5e58f2a1"})]
        lake.land(
            SOURCE,
            "outbox-0-0",
            lines_of(*(wrapped(offset, {"id": each["after"]["id"]}, each) for offset, each in enumerate(sent))),
        )
        lake.land(SOURCE, "outbox-0-9", lines_of(wrapped(9, {"id": row["id"]}, sent[0])))
        lake.ingest(SOURCE)
        assert lake.rows(f"SELECT aggregateid, count(*) FROM latest.{SOURCE} GROUP BY ALL") == [("1", 2)]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    @pytest.mark.parametrize("as_list", [True, False])
    def test_a_message_that_a_router_has_made_counts_once(self, tmp_path: Path, order: tuple[int, ...], as_list: bool) -> None:
        """It comes again at other offsets where a connector crashed; the key of its record is the aggregate's."""
        lake = outbox_lake(tmp_path)

        def message(offset: int, name: str, price: int) -> dict[str, Any]:
            headers = [{"key": "type", "value": "x"}, {"key": "id", "value": name}] if as_list else {"id": name}
            return wrapped(offset, "one aggregate", {"price": price}, headers=headers)

        files = [
            lines_of(message(1, "4d47e190-0402", 1), message(2, "5e58f2a1-1513", 2)),
            lines_of(message(3, "5e58f2a1-1513", 2), message(4, "6f690312-2624", 3)),
        ]
        for place in order:
            lake.land("prices", f"prices-0-{1 + 2 * place}", files[place])
            lake.ingest("prices")
        assert lake.refused("prices") == []
        assert lake.rows("SELECT id, price::VARCHAR FROM latest.prices ORDER BY id") == [
            ("4d47e190-0402", "1.00"),
            ("5e58f2a1-1513", "2.00"),
            ("6f690312-2624", "3.00"),
        ]

    def test_the_key_of_its_record_is_not_taken_for_a_messages(self, tmp_path: Path) -> None:
        lake = outbox_lake(tmp_path)
        sent = [wrapped(1, "a", {"price": 1}), wrapped(2, "a", {"price": 2}, headers=[{"key": "other", "value": "x"}])]
        sent.append(wrapped(3, "a", {"price": 3}, headers=7))
        envelopes = lake.land("prices", "prices-0-1", lines_of(*sent))
        values = lake.land("prices", "prices+0+0000000005.json", lines_of({"price": 1}))
        lake.land("prices", "prices+0+0000000005.keys.json", lines_of("a"))
        lake.ingest("prices")
        assert lake.refused("prices") == [
            (values, 1, "no version: _offset gives no number"),
            *((envelopes, row, "the key column id is null") for row in range(1, 4)),
        ]


def outbox_lake(folder: Path) -> ShopLake:
    @source("prices", format=JsonDocuments(version="_offset", key_header="id"), key=("id",), owner="team:x", subject="x")
    class Prices(Event):
        """Messages of an outbox."""

        id: str = column("The message")
        price: Money = column("Price", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Prices], {}))


def messages_of(lake: ShopLake, source: str) -> int:
    return sum(landed.messages for batch in lake.ledger(source).batches for landed in batch.landed)
