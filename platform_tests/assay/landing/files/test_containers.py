"""Avro, Parquet and JSON arrays become lines without losing a digit, and give what is whole of them when they are damaged."""

from __future__ import annotations

import datetime as dt
import gzip
import importlib
import io
import json
import math
import subprocess
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Event, Money, Timestamp, column, source
from assay.errors import IngestError
from assay.landing.files.containers import Container, container_of, unwrap
from assay.landing.formats import Csv, Debezium, JsonDocuments
from assay.landing.quarantine.replay import Replay

UTC = dt.UTC


def avro(schema: dict[str, Any], records: list[dict[str, Any]], **options: Any) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, schema, records, **options)
    return file.getvalue()


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in fields]}


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def unwrapped(folder: Path, content: bytes) -> tuple[list[Any], list[tuple[int, str]]]:
    path, to = folder / "landed", folder / "lines"
    path.write_bytes(content)
    container = container_of(path)
    assert container is not None
    rejected = unwrap(path, container, to)
    assert rejected is not None
    lines = to.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines], [(each.row, each.reason) for each in rejected]


class TestDetection:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (avro(record(("a", "int")), []), "avro"),
            (parquet(pa.table({"a": [1]})), "parquet"),
            (b'[{"a": 1}]', "array"),
            (b'\xef\xbb\xbf \r\n[{"a": 1}]', "array"),
            (b'{"a": 1}\n', None),
            (b"\x00\x00\x00\x00\x07\x02a", "framed"),
            (b"\x00\x00\xfe\xff\x00\x00\x00a", None),
            (b"\x00a\x00,\x00b", None),
            (b"a,b\n", None),
            (b"", None),
        ],
    )
    def test_a_file_is_told_by_how_it_begins(self, tmp_path: Path, content: bytes, expected: Container | None) -> None:
        path = tmp_path / "anything.csv"
        path.write_bytes(content)
        assert container_of(path) == expected


class TestAvro:
    def test_values_are_exact(self, tmp_path: Path) -> None:
        schema = record(
            ("long", "long"),
            ("double", "double"),
            ("nan", "double"),
            ("bytes", "bytes"),
            ("decimal", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}),
            ("fixed", {"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}),
            ("day", {"type": "int", "logicalType": "date"}),
            ("time", {"type": "long", "logicalType": "time-micros"}),
            ("millis", {"type": "long", "logicalType": "timestamp-millis"}),
            ("micros", {"type": "long", "logicalType": "timestamp-micros"}),
            ("local", {"type": "long", "logicalType": "local-timestamp-micros"}),
            ("uuid", {"type": "string", "logicalType": "uuid"}),
            ("maybe", ["null", "string"]),
            ("list", {"type": "array", "items": "int"}),
            ("map", {"type": "map", "values": "int"}),
            ("plain", {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}),
        )
        value = {
            "long": 9007199254740993,
            "double": 0.1,
            "nan": math.nan,
            "bytes": b"\x00\xff",
            "decimal": Decimal("-123456789012345678901234567890.12"),
            "fixed": Decimal("-8.6000"),
            "day": dt.date(1754, 8, 30),
            "time": dt.time(1, 2, 3, 4),
            "millis": dt.datetime(2025, 1, 3, 12, 0, 0, 123000, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "micros": dt.datetime(1754, 8, 30, 22, 43, 41, 129000, tzinfo=UTC),
            "local": dt.datetime(2025, 1, 3, 10, 0, 0, 1),
            "uuid": uuid.UUID(int=7),
            "maybe": 'é\n"',
            "list": [1, 2],
            "map": {"k": 1},
            "plain": 1735899300000001,
        }
        assert unwrapped(tmp_path, avro(schema, [value])) == (
            [
                {
                    "long": 9007199254740993,
                    "double": 0.1,
                    "nan": "nan",
                    "bytes": "AP8=",
                    "decimal": "-123456789012345678901234567890.12",
                    "fixed": "-8.6000",
                    "day": "1754-08-30",
                    "time": "01:02:03.000004",
                    "millis": "2025-01-03T10:00:00.123000Z",
                    "micros": "1754-08-30T22:43:41.129000Z",
                    "local": "2025-01-03T10:00:00.000001",
                    "uuid": "00000000-0000-0000-0000-000000000007",
                    "maybe": 'é\n"',
                    "list": [1, 2],
                    "map": {"k": 1},
                    "plain": 1735899300000001,
                }
            ],
            [],
        )

    @pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
    def test_every_codec(self, tmp_path: Path, codec: str) -> None:
        content = avro(record(("a", "int")), [{"a": number} for number in range(1000)], codec=codec)
        assert unwrapped(tmp_path, content) == ([{"a": number} for number in range(1000)], [])

    def test_half_a_file_gives_what_it_holds(self, tmp_path: Path) -> None:
        content = avro(record(("a", "string")), [{"a": "x" * 100} for _ in range(1000)], sync_interval=1000)
        records, ((row, reason),) = unwrapped(tmp_path, content[: len(content) // 2])
        assert 400 < len(records) < 600
        assert (row, reason.split(":")[0]) == (len(records) + 1, "the file is damaged from here on")

    def test_a_file_cut_in_its_header(self, tmp_path: Path) -> None:
        records, ((row, reason),) = unwrapped(tmp_path, avro(record(("a", "int")), [{"a": 1}])[:20])
        assert (records, row, reason.split(":")[0]) == ([], 1, "the file is damaged from here on")

    @given(place=st.integers(4, 1500), bits=st.integers(1, 255))
    @settings(max_examples=40)
    def test_a_broken_byte_never_stops_a_file_from_being_told(
        self, tmp_path_factory: pytest.TempPathFactory, place: int, bits: int
    ) -> None:
        content = bytearray(avro(record(("a", "string")), [{"a": f"text {number}"} for number in range(200)]))
        content[place % len(content)] ^= bits
        unwrapped(tmp_path_factory.mktemp("broken"), bytes(content))

    def test_without_the_library_it_is_said_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = importlib.import_module

        def without(name: str) -> ModuleType:
            if name == "fastavro":
                raise ModuleNotFoundError(name)
            return real(name)

        monkeypatch.setattr(importlib, "import_module", without)
        with pytest.raises(IngestError, match="fastavro, which reads it, is not installed") as raised:
            unwrapped(tmp_path, avro(record(("a", "int")), []))
        assert "assay-platform[avro]" in (raised.value.hint or "")


class TestParquet:
    def test_values_are_exact(self, tmp_path: Path) -> None:
        instant = dt.datetime(2025, 1, 3, 10, 0, 0, 123456)
        table = pa.table(
            {
                "long": pa.array([9007199254740993]),
                "unsigned": pa.array([2**64 - 1], pa.uint64()),
                "float": pa.array([0.1], pa.float32()),
                "nan": pa.array([math.nan]),
                "bytes": pa.array([b"\x00\xff"]),
                "decimal": pa.array([Decimal("-123456789012345678901234567890.12")], pa.decimal128(38, 2)),
                "day": pa.array([dt.date(1754, 8, 30)]),
                "zoned": pa.array([instant], pa.timestamp("us", "America/New_York")),
                "micros": pa.array([instant], pa.timestamp("us")),
                "millis": pa.array([dt.datetime(1754, 8, 30, 22, 43, 41, 129000)], pa.timestamp("ms")),
                "nanos": pa.array([1735898400123456789], pa.timestamp("ns")),
                "none": pa.array([None], pa.string()),
                "envelope": pa.array([{"before": None, "after": {"id": 1, "amount": Decimal("1.50"), "at": instant}}]),
                "list": pa.array([[{"a": Decimal("1.10")}, None]]),
                "map": pa.array([[("k", Decimal("2.20"))]], pa.map_(pa.string(), pa.decimal128(9, 2))),
                'odd "name"': pa.array(["x\ny"]),
            }
        )
        assert unwrapped(tmp_path, parquet(table)) == (
            [
                {
                    "long": 9007199254740993,
                    "unsigned": 2**64 - 1,
                    "float": 0.1,
                    "nan": "nan",
                    "bytes": "AP8=",
                    "decimal": "-123456789012345678901234567890.12",
                    "day": "1754-08-30",
                    "zoned": "2025-01-03T10:00:00.123456Z",
                    "micros": "2025-01-03T10:00:00.123456",
                    "millis": "1754-08-30T22:43:41.129",
                    "nanos": "2025-01-03T10:00:00.123456789",
                    "none": None,
                    "envelope": {"before": None, "after": {"id": 1, "amount": "1.50", "at": "2025-01-03T10:00:00.123456"}},
                    "list": [{"a": "1.10"}, None],
                    "map": {"k": "2.20"},
                    'odd "name"': "x\ny",
                }
            ],
            [],
        )

    def test_records_keep_their_order(self, tmp_path: Path) -> None:
        content = parquet(pa.table({"a": list(range(5000))}), row_group_size=100)
        assert unwrapped(tmp_path, content) == ([{"a": number} for number in range(5000)], [])

    @pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b[:200] + b"\xff" * 2000 + b[2200:]], ids=["cut", "page"])
    def test_a_damaged_file_is_refused_as_a_whole(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        content = parquet(pa.table({"a": [f"text {number}" for number in range(5000)]}), compression="none")
        records, ((row, reason),) = unwrapped(tmp_path, damage(content))
        assert (records, row) == ([], 1)
        assert reason.startswith("the Parquet file is damaged, or was not written to its end: ")
        assert str(tmp_path) not in reason


class TestArrays:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"[]", []),
            (b' [\r\n {"a":\r\n 1},\n{"a": "x\\ny"} ]\n', ['{"a":   1}', '{"a": "x\\ny"}']),
            (b'[{"a": 1.23456789012345678901234567890}]', ['{"a": 1.23456789012345678901234567890}']),
            (b'[1, "x", null]', ["1", '"x"', "null"]),
            (b'[{"a": 1}]\n[{"a": 2}]\n', ['{"a": 1}', '{"a": 2}']),
        ],
    )
    def test_every_element_is_a_line_and_its_text_is_kept(self, tmp_path: Path, content: bytes, expected: list[str]) -> None:
        path, to = tmp_path / "landed", tmp_path / "lines"
        path.write_bytes(content)
        assert unwrap(path, "array", to) == []
        assert to.read_text().splitlines() == expected

    @pytest.mark.parametrize("end", [b',{"a": 2', b"", b",", b',{"a": 2}}'])
    def test_an_array_that_breaks_off_gives_what_it_holds(self, tmp_path: Path, end: bytes) -> None:
        records, ((row, reason),) = unwrapped(tmp_path, b'[{"a": 0}, {"a": 1}' + end)
        assert records[:2] == [{"a": 0}, {"a": 1}]
        assert (row, reason.split(":")[0]) == (len(records) + 1, "the file is damaged from here on")

    @pytest.mark.parametrize("content", [b"[id],name\n1,2\n", b"[\n", b"[info] a log line\n", b"[1],2\n", b'[1]\n{"id": 1}\n'])
    def test_text_that_only_begins_like_an_array_is_left_as_it_is(self, tmp_path: Path, content: bytes) -> None:
        path, to = tmp_path / "landed", tmp_path / "lines"
        path.write_bytes(content)
        assert unwrap(path, "array", to) is None
        assert not to.exists()


MEMORY_OF_UNWRAPPING = """
import re, sys
from pathlib import Path
from assay.landing.files.containers import container_of, unwrap

small, large = map(Path, sys.argv[1:])
for path in (small, large):
    assert unwrap(path, container_of(path), path.with_suffix(".lines")) == []
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


class TestObjectsOverSeveralLines:
    OBJECTS = tuple({"id": number, "text": f"é{number}\n", "long": "x" * 300} for number in range(8000))

    def content(self, objects: int) -> bytes:
        return "\n".join(json.dumps(each, indent=1, ensure_ascii=False) for each in self.OBJECTS[:objects]).encode()

    @pytest.mark.parametrize("objects", [3, 8000])
    def test_every_object_is_a_line(self, tmp_path: Path, objects: int) -> None:
        records, rejected = unwrapped(tmp_path, b"\xef\xbb\xbf" + self.content(objects))
        assert (records, rejected) == (list(self.OBJECTS[:objects]), [])

    def test_what_stands_before_the_damage_of_a_large_file_is_kept(self, tmp_path: Path) -> None:
        records, ((row, reason),) = unwrapped(tmp_path, self.content(8000)[:-1])
        assert (records, row) == (list(self.OBJECTS[:-1]), 8000)
        assert reason.startswith("the file is damaged from here on: ")

    # What `resource` tells of a process begins with that of the one which started it.
    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell the memory of a process")
    def test_a_sound_file_is_read_in_memory_that_does_not_grow_with_it(self, tmp_path: Path) -> None:
        for name, times in (("small", 1), ("large", 20)):
            (tmp_path / f"{name}.json").write_bytes(b"\n".join([self.content(8000)] * times))
        paths = [str(tmp_path / f"{name}.json") for name in ("small", "large")]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY_OF_UNWRAPPING, *paths], capture_output=True, text=True, check=True, timeout=300
        )
        small, large = map(int, done.stdout.split())
        assert large - small < 55_000, "kilobytes: less than the file has; decoding it as a whole takes three times as much"


def payment_lake(folder: Path, form: Any) -> ShopLake:
    @source("payment", format=form, key=("id",), owner="team:x", subject="x")
    class Payment(Event):
        """Payments."""

        id: int = column("Key")
        amount: Money = column("Amount", nullable=True)
        paid_at: Timestamp = column("When", nullable=True)
        version: int = column("Version", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Payment], {}))


ROWS = [(1, "12345678901234.56", "2025-01-03 10:00:00.123+00"), (2, "0.10", "1754-08-30 22:43:41.129+00")]
VALUES = [
    {
        "id": 1,
        "amount": Decimal("12345678901234.56"),
        "paid_at": dt.datetime(2025, 1, 3, 10, 0, 0, 123000, tzinfo=UTC),
        "version": 1,
    },
    {"id": 2, "amount": Decimal("0.10"), "paid_at": dt.datetime(1754, 8, 30, 22, 43, 41, 129000, tzinfo=UTC), "version": 1},
]
ROW = (
    ("id", "long"),
    ("amount", {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}),
    ("paid_at", {"type": "long", "logicalType": "timestamp-millis"}),
    ("version", "int"),
)


def rows(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, amount::VARCHAR, paid_at::VARCHAR FROM latest.payment ORDER BY id")


def as_array(values: list[dict[str, Any]]) -> bytes:
    return json.dumps(
        [value | {"amount": str(value["amount"]), "paid_at": value["paid_at"].isoformat()} for value in values]
    ).encode()


class TestIngestion:
    @pytest.mark.parametrize(
        "content",
        [avro(record(*ROW), VALUES), parquet(pa.Table.from_pylist(VALUES)), as_array(VALUES), gzip.compress(as_array(VALUES))],
        ids=["avro", "parquet", "array", "gzipped array"],
    )
    def test_documents(self, tmp_path: Path, content: bytes) -> None:
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        lake.land("payment", "whatever.bin", content)
        done = lake.ingest("payment")
        assert (done.records, done.quarantined) == (2, 0)
        assert rows(lake) == ROWS
        assert lake.rows("SELECT id, _landing_row FROM changes.payment ORDER BY 1") == [(1, 1), (2, 2)]

    def test_without_the_library_avro_files_are_held_and_others_are_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        lake.land("payment", "a.avro", avro(record(*ROW), VALUES[:1]))
        lake.land("payment", "b.json", as_array(VALUES[1:]))
        monkeypatch.setitem(sys.modules, "fastavro", None)
        for _ in range(2):
            held = lake.ingest("payment").held
            assert list(held) == ["landing/payment/a.avro"]
            assert "fastavro, which reads it, is not installed" in held["landing/payment/a.avro"]
        assert rows(lake) == ROWS[1:]
        monkeypatch.undo()
        assert lake.ingest("payment").held == {}
        assert rows(lake) == ROWS

    def test_without_the_library_what_is_in_quarantine_stays_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        form = record(("id", "string"), ("version", "int"))
        lake.land("payment", "a.avro", avro(form, [{"id": "1", "version": 1}, {"id": "one", "version": 1}]))
        assert lake.ingest("payment").quarantined == 1
        monkeypatch.setitem(sys.modules, "fastavro", None)
        replayed = lake.ingest("payment", Replay()).replayed
        assert replayed is not None and "fastavro, which reads it" in replayed.unreachable["landing/payment/a.avro"]
        assert lake.rows("SELECT id FROM latest.payment") == [(1,)]
        assert len(lake.refused("payment")) == 1

    def test_a_cut_file_beside_a_whole_one(self, tmp_path: Path) -> None:
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        cut = lake.land("payment", "a.json", as_array(VALUES)[:-20])
        lake.land("payment", "b.avro", avro(record(*ROW), VALUES[1:]))
        broken = lake.land("payment", "c.parquet", parquet(pa.Table.from_pylist(VALUES))[:-9])
        lake.ingest("payment")
        assert rows(lake) == ROWS
        assert [(key, line) for key, line, _ in lake.refused("payment")] == [(cut, 2), (broken, 1)]

    def test_an_empty_array_holds_no_records(self, tmp_path: Path) -> None:
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        lake.land("payment", "a.json", b"[]")
        done = lake.ingest("payment")
        assert (done.records, len(done.batches), lake.ingest("payment").batches) == (0, 1, [])

    @pytest.mark.parametrize(
        ("content", "kept"),
        [
            (as_array(VALUES * 500), range(100, 900)),
            (avro(record(*ROW), VALUES * 500, codec="null", sync_interval=500), range(100, 900)),
            (parquet(pa.Table.from_pylist(VALUES * 500)), range(1)),
        ],
        ids=["array", "avro", "parquet"],
    )
    def test_half_a_gzipped_container_gives_what_it_holds(self, tmp_path: Path, content: bytes, kept: range) -> None:
        packed = gzip.compress(content, compresslevel=0)
        lake = payment_lake(tmp_path, JsonDocuments(version="version::BIGINT"))
        lake.land("payment", "a.gz", packed[: len(packed) // 2])
        done = lake.ingest("payment")
        assert done.quarantined == 1
        assert done.records - 1 in kept

    def test_delimited_text_may_begin_like_an_array(self, tmp_path: Path) -> None:
        lake = payment_lake(tmp_path, Csv())
        lake.land("payment", "a.csv", b"[1],id\n[2],1\n")
        lake.ingest("payment")
        assert lake.rows("SELECT id, _rescued FROM changes.payment") == [(1, '{"[1]":"[2]"}')]

    def test_debezium_envelopes_in_avro(self, tmp_path: Path) -> None:
        row = {
            "type": "record",
            "name": "Row",
            "fields": [{"name": "id", "type": "long"}, {"name": "paid_at", "type": ROW[2][1]}],
        }
        origin = record(("table", "string"), ("lsn", "long"), ("ts_ms", "long"), ("sequence", ["null", "string"]))
        schema = record(
            ("before", ["null", row]),
            ("after", ["null", "Row"]),
            ("source", origin | {"name": "Source"}),
            ("op", "string"),
            ("ts_ms", "long"),
        )
        at = {"table": "payment", "ts_ms": 0, "sequence": None}
        events = [
            {"before": None, "after": value, "source": at | {"lsn": 7 + place}, "op": "c", "ts_ms": 0}
            for place, value in enumerate(VALUES)
        ]
        events.append({"before": VALUES[1], "after": None, "source": at | {"lsn": 9}, "op": "d", "ts_ms": 0})
        lake = payment_lake(tmp_path, Debezium(table="payment"))
        lake.land("payment", "payment+0+0000000000.avro", avro(schema, events))
        lake.ingest("payment")
        assert lake.refused("payment") == []
        assert lake.rows("SELECT id, paid_at::VARCHAR FROM latest.payment") == [(1, "2025-01-03 10:00:00.123+00")]

    def test_debezium_envelopes_in_parquet(self, tmp_path: Path) -> None:
        events = [
            {
                "before": None,
                "after": {"id": value["id"], "paid_at": value["paid_at"]},
                "source": {"table": "payment", "lsn": 7 + place, "ts_ms": 0, "sequence": None},
                "op": "c",
                "ts_ms": 0,
            }
            for place, value in enumerate(VALUES)
        ]
        lake = payment_lake(tmp_path, Debezium(table="payment"))
        lake.land("payment", "payment+0+0000000000.snappy.parquet", parquet(pa.Table.from_pylist(events)))
        lake.ingest("payment")
        assert lake.refused("payment") == []
        assert lake.rows("SELECT id, paid_at::VARCHAR FROM latest.payment ORDER BY 1") == [(row[0], row[2]) for row in ROWS]


@pytest.mark.parametrize("packed", [False, True])
def test_messages_framed_by_a_schema_registry_are_refused_with_what_to_do(tmp_path: Path, packed: bool) -> None:
    @source("orders", format=Debezium("orders"), key=("id",), owner="team:x", subject="x")
    class Orders(Event):
        """Orders."""

        id: str = column("Key")

    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Orders], {}))
    content = b"\x00\x00\x00\x00\x07\x02a\n\x00\x00\x00\x00\x07\x02b\n"
    key = lake.land("orders", "orders+0+0000000000.bin", gzip.compress(content) if packed else content)
    lake.ingest("orders")
    [(where, row, reason)] = lake.refused("orders")
    assert (where, row) == (key, 1)
    assert reason.startswith("the messages are as the topic has them, framed by a schema registry (schema 7)")
    assert "schema.registry.url" in reason
