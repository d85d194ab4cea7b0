"""Files of AWS DMS: every layout, every order they land in, past every damage."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from declared import domain_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_source import Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Daily, Event, column, source
from assay.landing.formats import Dms

STAMPED = Dms(table="shop.orders", timestamp="at", layout=("at", "id", "day", "amount", "note"))
SEQUENCED = Dms(table="orders", layout=("id", "day", "amount", "note", "AR_H_CHANGE_SEQ", "AR_H_TIMESTAMP", "BI_id"))


def orders_lake(folder: Path, form: Dms | None = None) -> ShopLake:
    form = form or Dms(table="orders")
    return lake_of(folder, "orders", Row, format=form, partition=Daily("about", of="day"), money="amount")


def read(folder: Path, files: dict[str, bytes], form: Dms | None = None) -> ShopLake:
    lake = orders_lake(folder, form)
    for name, content in files.items():
        lake.land("orders", name, content)
    lake.ingest("orders")
    return lake


def changes(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, _op, day::VARCHAR, amount::VARCHAR, note FROM changes.orders ORDER BY _sequence, _op DESC, id")


def latest(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, about::VARCHAR, amount::VARCHAR, note FROM latest.orders ORDER BY id")


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


class TestLayouts:
    def test_a_full_load_without_an_operation(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"LOAD00000001.csv": b"1,2025-01-03,1.50,first\n2,2025-01-04,NULL,NULL\n"})
        assert changes(lake) == [(1, "r", "2025-01-03", "1.50", "first"), (2, "r", "2025-01-04", None, None)]
        assert lake.rows("SELECT _sequence, _landing_row, _missing, _unchanged, _rescued FROM changes.orders ORDER BY id") == [
            ([0, 0, 0, 0, 0, 1, 1], 1, None, None, None),
            ([0, 0, 0, 0, 0, 1, 2], 2, None, None, None),
        ]

    def test_a_full_load_with_an_operation(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"LOAD00000001.csv": b"I,1,2025-01-03,1.50,first\n"})
        assert changes(lake) == [(1, "r", "2025-01-03", "1.50", "first")]

    def test_changes(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {"20250103-101500123.csv": b"I,1,2025-01-03,1,a\nU,1,2025-01-03,2,b\nD,1,2025-01-03,2,b\nI,2,2025-01-03,1,c\n"},
        )
        assert changes(lake) == [
            (1, "c", "2025-01-03", "1.00", "a"),
            (1, "u", "2025-01-03", "2.00", "b"),
            (1, "d", None, None, None),
            (2, "c", "2025-01-03", "1.00", "c"),
        ]
        assert lake.rows("SELECT DISTINCT _sequence[:6] FROM changes.orders") == [
            ([1, 0, 0, 0, 20250103101500, 123000000000000000],)
        ]
        assert latest(lake) == [(2, "2025-01-03", "1.00", "c")]

    def test_changes_of_an_endpoint_that_writes_inserts_only(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"20250103-101500123.csv": b"1,2025-01-03,1,a\n"})
        assert changes(lake) == [(1, "c", "2025-01-03", "1.00", "a")]

    @pytest.mark.parametrize(
        "content",
        [
            b"Op,id,day,amount,note\nU,1,2025-01-03,1.50,x\n",
            b"\xef\xbb\xbfOp,note,amount,day,id\r\nU,x,1.50,2025-01-03,1\r\n",
            b'"Op","id","day","amount","note"\n"U","1","2025-01-03","1.50","x"\n',
            gzip.compress(b"Op,id,day,amount,note\nU,1,2025-01-03,1.50,x\n"),
        ],
        ids=["plain", "other order", "quoted", "gzipped"],
    )
    def test_a_header_is_found_and_is_no_record(self, tmp_path: Path, content: bytes) -> None:
        lake = read(tmp_path, {"20250103-101500123.csv": content})
        assert changes(lake) == [(1, "u", "2025-01-03", "1.50", "x")]
        assert lake.rows("SELECT _landing_row FROM changes.orders") == [(2,)]
        assert sum(landed.records for batch in lake.ledger("orders").batches for landed in batch.landed) == 1

    def test_a_header_without_an_operation(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"LOAD00000001.csv": b"id,day,amount,note\n1,2025-01-03,1.50,x\n"})
        assert changes(lake) == [(1, "r", "2025-01-03", "1.50", "x")]

    def test_a_gzipped_parquet_file(self, tmp_path: Path) -> None:
        content = parquet(Op=pa.array(["U"]), id=pa.array([1]), day=pa.array(["2025-01-03"]))
        lake = read(tmp_path, {"20250103-101500123.parquet.gz": gzip.compress(content)})
        assert changes(lake) == [(1, "u", "2025-01-03", None, None)]

    def test_layouts_of_all_kinds_land_together(self, tmp_path: Path) -> None:
        day = pa.array([dt.date(2025, 1, 3)])
        lake = read(
            tmp_path,
            {
                "LOAD00000001.csv": b"1,2025-01-03,1,load\n",
                "20250103-101500123.csv": b"U,1,2025-01-03,2,csv\n",
                "20250104-101500123.csv": b"Op,id,day,note\nU,1,2025-01-03,header\n",
                "20250105-101500123.parquet": parquet(
                    Op=pa.array(["U"]), id=pa.array([1]), day=day, amount=pa.array([Decimal("4.00")]), note=pa.array(["parquet"])
                ),
            },
        )
        assert len([batch for batch in lake.ledger("orders").batches if batch.landed]) == 1
        assert [row[-1] for row in changes(lake)] == ["load", "csv", "header", "parquet"]
        assert latest(lake) == [(1, "2025-01-03", "4.00", "parquet")]

    def test_names_and_delimiter_of_the_endpoint(self, tmp_path: Path) -> None:
        form = Dms(table="orders", columns={"id": "ORDER_ID", "note": "FREE TEXT"}, delimiter="|", nulls=("NULL", ""))
        lake = read(tmp_path, {"20250103-101500123.csv": b"Op|ORDER_ID|day|amount|FREE TEXT\nI|1|2025-01-03||x,y\n"}, form)
        assert changes(lake) == [(1, "c", "2025-01-03", None, "x,y")]

    @pytest.mark.parametrize(
        ("first", "expected"), [(b"I,x\nU,y\n", [("I", "x"), ("U", "y")]), (b"I,A,x\nU,A,y\n", [("A", "y")])], ids=["text", "Op"]
    )
    def test_a_first_column_that_looks_like_an_operation(self, tmp_path: Path, first: bytes, expected: list[object]) -> None:
        @source("codes", format=Dms(table="codes"), key=("code",), owner="team:x", subject="x")
        class Codes(Event):
            """Codes."""

            code: str = column("Key")
            text: str = column("Text")

        lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Codes], {}))
        lake.land("codes", "20250103-101500123.csv", first)
        lake.ingest("codes")
        assert lake.rows("SELECT code, text FROM latest.codes ORDER BY ALL") == expected

    @pytest.mark.parametrize("name", ["orders.csv", "LOAD.csv", "2025-01-03.csv", "LOADX1.csv"])
    def test_a_name_that_tells_no_order_is_refused(self, tmp_path: Path, name: str) -> None:
        lake = read(tmp_path, {name: b"1,2025-01-03,1,a\n"})
        ((_, line, reason),) = lake.refused("orders")
        assert line == 1
        assert reason == (
            f"{name} is neither LOAD and a counter nor the time of changes: its place in the order of changes cannot be told"
        )

    def test_a_file_of_another_table_is_refused(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"20250103-101500123.parquet": parquet(x=pa.array([1]))})
        assert lake.refused("orders")[0][2] == "the file lacks id: it is of another table, or its layout changed"

    def test_a_column_may_be_called_as_a_file_is(self, tmp_path: Path) -> None:
        content = parquet(Op=pa.array(["I"]), id=pa.array([1]), day=pa.array(["2025-01-03"]), filename=pa.array(["x.pdf"]))
        lake = read(tmp_path, {"20250103-101500123.parquet": content})
        assert lake.rows("SELECT id, _rescued FROM changes.orders") == [(1, '{"filename":"x.pdf"}')]

    def test_a_name_that_is_there_twice_is_refused_however_it_is_written(self, tmp_path: Path) -> None:
        content = b"Op,id,note,Note\nI,1,a,b\n"
        lake = read(tmp_path, {"20250103-101500123.csv": content, "20250103-101500124.csv": b"I,2,2025-01-03,1,a\n"})
        assert [reason for _, _, reason in lake.refused("orders")] == ["the file names Note, note twice"]
        assert [row[0] for row in changes(lake)] == [2]


class TestValues:
    def test_newlines_quotes_and_delimiters_within_a_field(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"20250103-101500123.csv": b'I,1,2025-01-03,1,"two\n\nlines, ""quoted"""\nI,2,2025-01-03,2,\n'})
        assert [row[4] for row in changes(lake)] == ['two\n\nlines, "quoted"', ""]
        assert lake.rows("SELECT id, _landing_row FROM changes.orders ORDER BY 1") == [(1, 1), (2, 2)]

    @pytest.mark.parametrize("inner", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_line_ends_within_a_field_are_kept_whatever_ends_a_record(self, tmp_path: Path, inner: str, end: bytes) -> None:
        records = [b'I,1,2025-01-03,1,"a' + inner.encode() + b'b"', b"I,2,2025-01-03,2,c", b""]
        lake = read(
            tmp_path,
            {"20250103-101500123.csv": end.join(records), "20250104-101500123.csv": end.join([*records[:2], b"D,2", b""])},
        )
        assert lake.refused("orders") == []
        assert latest(lake) == [(1, "2025-01-03", "1.00", f"a{inner}b")]

    def test_a_value_that_was_not_provided_stays_what_it_was(self, tmp_path: Path) -> None:
        form = Dms(table="orders", not_provided="?")
        lake = read(tmp_path, {"20250103-101500123.csv": b"I,1,2025-01-03,1,a\nU,1,2025-01-03,2,?\n"}, form)
        assert lake.rows("SELECT _op, note, _unchanged FROM changes.orders ORDER BY _sequence") == [
            ("c", "a", None),
            ("u", None, ["note"]),
        ]
        assert latest(lake) == [(1, "2025-01-03", "2.00", "a")]

    def test_an_explicit_null_overwrites(self, tmp_path: Path) -> None:
        lake = read(tmp_path, {"20250103-101500123.csv": b"I,1,2025-01-03,1,a\nU,1,2025-01-03,2,NULL\n"})
        assert latest(lake) == [(1, "2025-01-03", "2.00", None)]

    @pytest.mark.parametrize("delete", [b"D,1\n", b"D,1,,,\n", b"D,1,NULL,NULL,NULL\n", b"D,1,2025-01-03,1,a\n"])
    @pytest.mark.parametrize("alone", [True, False], ids=["in a file of its own", "with its insert"])
    def test_a_delete_may_hold_the_key_only(self, tmp_path: Path, delete: bytes, alone: bool) -> None:
        insert = b"I,1,2025-01-03,1,a\nI,2,2025-01-03,1,b\n"
        files = {"20250103-101500123.csv": insert + (b"" if alone else delete)}
        lake = read(tmp_path, files | ({"20250104-101500123.csv": delete} if alone else {}))
        assert lake.refused("orders") == []
        assert latest(lake) == [(2, "2025-01-03", "1.00", "b")]

    def test_parquet_values_are_exact(self, tmp_path: Path) -> None:
        content = parquet(
            Op=pa.array(["I", "D"]),
            at=pa.array(["2025-01-03 10:15:00.123456", "2025-01-03 10:15:00.123457"]),
            id=pa.array([1, 1]),
            day=pa.array([dt.date(2025, 1, 3), None]),
            amount=pa.array([Decimal("1234567890123456.78"), None], pa.decimal128(18, 2)),
            note=pa.array(["a", None]),
        )
        lake = read(tmp_path, {"20250103-101500123.parquet": content}, STAMPED)
        assert changes(lake) == [(1, "c", "2025-01-03", "1234567890123456.78", "a"), (1, "d", None, None, None)]
        assert lake.rows("SELECT _sequence[4], _source_timestamp::VARCHAR FROM changes.orders ORDER BY 1") == [
            (1735899300123456, "2025-01-03 10:15:00.123456+00"),
            (1735899300123457, "2025-01-03 10:15:00.123457+00"),
        ]

    @pytest.mark.parametrize("unit", ["ms", "us"])
    def test_parquet_timestamps_of_both_units(self, tmp_path: Path, unit: str) -> None:
        instant = dt.datetime(2025, 1, 3, 10, 15, 0, 123000)
        content = parquet(
            Op=pa.array(["I"]), at=pa.array([instant], pa.timestamp(unit)), id=pa.array([1]), day=pa.array(["2025-01-03"])
        )
        lake = read(tmp_path, {"20250103-101500123.parquet": content}, STAMPED)
        assert lake.rows("SELECT _sequence[4], _missing FROM changes.orders") == [(1735899300123000, ["amount", "note"])]

    def test_columns_that_come_and_go(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "20250103-101500123.csv": b"I,1,2025-01-03,1\n",
                "20250104-101500123.csv": b"I,2,2025-01-03,1,a,new,newer\n",
                "20250105-101500123.csv": b"Op,id,day,colour\nI,3,2025-01-03,red\n",
            },
        )
        assert lake.refused("orders") == []
        assert lake.rows("SELECT id, _missing, _rescued FROM changes.orders ORDER BY id") == [
            (1, ["note"], None),
            (2, None, '{"column6":"new","column7":"newer"}'),
            (3, ["amount", "note"], '{"colour":"red"}'),
        ]

    def test_values_that_do_not_fit_are_refused(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {"20250103-101500123.csv": b"I,1,2025-01-03,1,a\nX,2,2025-01-03,1,a\nI,,2025-01-03,1,a\nI,4,2025-01-03,abc,a\n"},
        )
        assert [row[0] for row in changes(lake)] == [1]
        assert [(line, reason) for _, line, reason in lake.refused("orders")] == [
            (2, "operation 'X' is no row change"),
            (3, "the key column id is null"),
            (4, "amount is 'abc', which is no DECIMAL(18,2)"),
        ]


class TestOrder:
    def test_the_counter_of_a_full_load_is_hexadecimal(self, tmp_path: Path) -> None:
        names = ["LOAD00000009.csv", "LOAD0000000A.csv", "LOAD0000000F.csv", "LOAD00000010.csv"]
        lake = read(tmp_path, {name: b"1,2025-01-03,1,%d\n" % place for place, name in enumerate(names)})
        assert [row[4] for row in changes(lake)] == ["0", "1", "2", "3"]

    def test_a_full_load_is_older_than_every_change(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "LOAD00000001.csv": b"2025-02-01 00:00:00.000000,1,2025-01-03,1,loaded\n2025-02-01 00:00:00,2,2025-01-03,1,b\n",
                "20250103-101500123.csv": b"U,2025-01-03 10:15:00.000000,1,2025-01-03,2,changed\n",
            },
            STAMPED,
        )
        assert latest(lake) == [(1, "2025-01-03", "2.00", "changed"), (2, "2025-01-03", "1.00", "b")]
        assert lake.rows("SELECT DISTINCT _source_timestamp FROM changes.orders WHERE _op = 'r'") == [(None,)]

    @pytest.mark.parametrize(
        ("older", "newer"),
        [
            ("20250103-101500.csv", "20250103-1015001.csv"),
            ("20250103-101500123.csv", "20250103-1015001231.csv"),
            ("20250103-1015001299.csv", "20250103-10150013.csv"),
            ("2025/01/04/20250103-101500123.csv", "2025/01/03/20250103-101500124.csv"),
            ("CDC_TXN-20250103101500123.csv", "20250103-101500124.csv"),
        ],
    )
    def test_of_one_time_the_file_name_decides_whatever_its_length(self, tmp_path: Path, older: str, newer: str) -> None:
        record = b"2025-01-03 10:15:00,1,2025-01-03,1,"
        many = b"orders,shop," if older.startswith("CDC_TXN") else b""
        lake = read(tmp_path, {newer: b"U," + record + b"newer\n", older: b"U," + many + record + b"older\n"}, STAMPED)
        assert lake.refused("orders") == []
        assert latest(lake) == [(1, "2025-01-03", "1.00", "newer")]

    def test_of_one_time_and_file_the_line_decides(self, tmp_path: Path) -> None:
        stamp = b"2025-01-03 10:15:00.000000"
        lake = read(
            tmp_path,
            {
                "20250103-101500123.csv": b"".join(
                    operation + b"," + stamp + b",1,2025-01-03,1," + note + b"\n"
                    for operation, note in ((b"I", b"a"), (b"D", b"a"), (b"I", b"b"), (b"U", b"c"))
                )
                + b"I,%s,2,2025-01-03,1,x\nD,%s,2,2025-01-03,1,x\n" % (stamp, stamp)
            },
            STAMPED,
        )
        assert latest(lake) == [(1, "2025-01-03", "1.00", "c")]

    def test_the_timestamp_decides_before_the_file_name(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "20250103-101500124.csv": b"U,2025-01-03 10:15:00.000001,1,2025-01-03,1,again\n",
                "20250103-101500123.csv": b"U,2025-01-03 10:15:00.000002,1,2025-01-03,1,newest\n",
            },
            STAMPED,
        )
        assert latest(lake) == [(1, "2025-01-03", "1.00", "newest")]

    def test_a_change_without_a_time_is_refused(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "20250103-101500123.csv": b"U,NULL,1,2025-01-03,1,a\nD,soon,1,2025-01-03,1,a\n",
                "LOAD00000001.csv": b"NULL,2,2025-01-03,1,b\n",
            },
            STAMPED,
        )
        assert [row[0] for row in changes(lake)] == [2]
        assert [reason for _, _, reason in lake.refused("orders")] == [
            "no source position: at is null",
            "no source position: at is 'soon', which is no timestamp",
        ]

    def test_the_change_sequence_is_a_number_of_35_digits(self, tmp_path: Path) -> None:
        smaller, larger = b"20250103101500120000000000009999999", b"20250103101500120000000000010000000"
        assert len(smaller) == 35
        lake = read(
            tmp_path,
            {
                "20250103-101500123.csv": b"U,1,2025-01-03,1,newer,%s,2025-01-03 10:15:00.12,NULL\n" % larger,
                "20250103-101500124.csv": b"U,1,2025-01-03,1,older,%s,2025-01-03 10:15:00.11,NULL\n" % smaller,
                "LOAD00000001.csv": b"1,2025-01-03,1,load,,2025-02-03 10:15:00.11,NULL\n",
            },
            SEQUENCED,
        )
        assert lake.rows("SELECT note, _sequence, _source_timestamp::VARCHAR, _rescued FROM changes.orders ORDER BY 2") == [
            ("load", [0, 0, 0, 0, 0, 1, 1], None, None),
            ("older", [1, 20250103101500120, 9999999, 0, 0, 0, 0], "2025-01-03 10:15:00.11+00", None),
            ("newer", [1, 20250103101500120, 10000000, 0, 0, 0, 0], "2025-01-03 10:15:00.12+00", None),
        ]
        assert latest(lake) == [(1, "2025-01-03", "1.00", "newer")]

    def test_a_change_that_is_written_again_is_one_change(self, tmp_path: Path) -> None:
        record = b"U,1,2025-01-03,1,a,%035d,2025-01-03 10:15:00.12,NULL\n" % 7
        files = {"20250103-101500123.csv": record, "20250103-101600123.csv": record + record}
        lake = read(tmp_path, files, SEQUENCED)
        assert lake.rows("SELECT DISTINCT _sequence FROM changes.orders") == [([1, 0, 7, 0, 0, 0, 0],)]
        assert len(lake.rows("SELECT * FROM history.orders")) == 1

    def test_a_change_sequence_that_is_none_is_refused(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {"20250103-101500123.csv": b"U,1,2025-01-03,1,a,%036d,NULL,NULL\nU,1,2025-01-03,1,a,x,NULL,NULL\n" % 1},
            SEQUENCED,
        )
        assert [reason for _, _, reason in lake.refused("orders")] == [
            "AR_H_CHANGE_SEQ is '000000000000000000000000000000000001', which is no position",
            "AR_H_CHANGE_SEQ is 'x', which is no position",
        ]

    def test_the_operation_may_be_in_a_column_of_its_own(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "20250103-101500123.csv": b"id,day,amount,note,AR_H_OPERATION,AR_H_STREAM_POSITION\n"
                b"1,2025-01-03,1,a,INSERT,p:1\n1,2025-01-03,1,b,UPDATE,p:2\n2,2025-01-03,1,b,INSERT,p:2\n2,2025-01-03,1,b,DELETE,p:2\n"
            },
        )
        assert [row[1] for row in changes(lake)] == ["c", "u", "c", "d"]
        assert lake.rows("SELECT DISTINCT _rescued FROM changes.orders") == [(None,)]


class TestKeyChange:
    def test_the_old_key_is_deleted(self, tmp_path: Path) -> None:
        rows = [b"I,1,2025-01-03,1,a,%035d,NULL,NULL", b"U,2,2025-01-03,1,b,%035d,NULL,1", b"U,2,2025-01-03,1,c,%035d,NULL,2"]
        lake = read(
            tmp_path, {"20250103-101500123.csv": b"".join(row % place + b"\n" for place, row in enumerate(rows))}, SEQUENCED
        )
        assert changes(lake) == [
            (1, "c", "2025-01-03", "1.00", "a"),
            (2, "u", "2025-01-03", "1.00", "b"),
            (1, "d", None, None, None),
            (2, "u", "2025-01-03", "1.00", "c"),
        ]
        assert latest(lake) == [(2, "2025-01-03", "1.00", "c")]

    def test_it_is_found_in_parquet_too(self, tmp_path: Path) -> None:
        content = parquet(
            Op=pa.array(["I", "U"]),
            id=pa.array([1, 2]),
            day=pa.array(["2025-01-03"] * 2),
            BI_id=pa.array([None, 1]),
            BI_day=pa.array([None, "x"]),
        )
        lake = read(tmp_path, {"20250103-101500123.parquet": content})
        assert [row[:2] for row in changes(lake)] == [(1, "c"), (2, "u"), (1, "d")]
        assert lake.rows("SELECT DISTINCT _rescued FROM changes.orders") == [(None,)]


class TestManyTables:
    FORM = Dms(table="shop.orders")

    def test_only_records_of_the_table_are_read(self, tmp_path: Path) -> None:
        content = (
            b"I,orders,shop,1,2025-01-03,1,a\n"
            b'I,customers,shop,1,"a\n\nb",x,y,z,1,2,3,4,5,6,7,8,9\n'
            b"I,orders,archive,7,2025-01-03,1,other schema\n"
            b"D,items,shop,5\n"
            b"U,orders,shop,1,2025-01-03,2,b\n"
            b"I,orders,shop,2,2025-01-03,1,a,new\n"
            b"D,orders,shop,2\n"
        )
        lake = read(tmp_path, {"cdc/CDC_TXN-20250103101500123.csv": content}, self.FORM)
        assert lake.refused("orders") == []
        assert lake.rows("SELECT id, _op, note, _landing_row, _rescued FROM changes.orders ORDER BY _sequence") == [
            (1, "c", "a", 1, None),
            (1, "u", "b", 5, None),
            (2, "c", "a", 6, '{"column8":"new"}'),
            (2, "d", None, 7, None),
        ]
        ((landed,),) = [batch.landed for batch in lake.ledger("orders").batches if batch.landed]
        assert (landed.records, landed.quarantined) == (4, 0)

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"U,orders,shop,1,2025-01-03", "less than 7 fields"),
            (b"U,orders", "no table: the record breaks off"),
            (b"U", "no table: the record breaks off"),
            (b"U,orders,shop,1,2025-01-03,1,a" + b",x" * 17, "more than 23 fields"),
            (b'U,orders,shop,1,2025-01-03,1,"open', "not a record of delimited text: "),
            (b"U,orders,shop,1,2025-01-03,1,caf\xe9", "not valid UTF-8"),
        ],
    )
    @pytest.mark.parametrize("place", [0, 2])
    def test_a_bad_record_is_refused_and_the_others_are_kept(self, tmp_path: Path, bad: bytes, reason: str, place: int) -> None:
        records = [b"I,orders,shop,1,2025-01-03,1,a", b"I,items,shop,1"]
        records.insert(place, bad)
        lake = read(tmp_path, {"CDC_TXN-20250103101500123.csv": b"\n".join(records) + b"\n"}, self.FORM)
        assert [row[4] for row in changes(lake)] == ["a"]
        ((_, line, said),) = lake.refused("orders")
        assert (line, said[: len(reason)]) == (place + 1, reason)


class TestDamage:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"U,7,2025-01-03", "3 fields where the file has 5"),
            (b"U,7,2025-01-03,1,x,y", "6 fields where the file has 5"),
            (b"U,7,2025-01-03,1,caf\xe9", "not valid UTF-8"),
            (b'U,7,2025-01-03,1,"open', "not a record of delimited text: "),
            (b'U,7,2025-01-03,1,"a"b', "not a record of delimited text: "),
        ],
        ids=["few", "many", "encoding", "open quote", "text after a quote"],
    )
    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("header", [b"", b"Op,id,day,amount,note\n"], ids=["headerless", "header"])
    def test_a_bad_record_is_refused_and_the_others_are_kept(
        self, tmp_path: Path, bad: bytes, reason: str, place: int, header: bytes
    ) -> None:
        records = [b'I,1,2025-01-03,1,"a\n\nb"', b"I,2,2025-01-03,1,b"]
        records.insert(place, bad)
        lake = read(tmp_path, {"20250103-101500123.csv": header + b"\n".join(records) + b"\n"})
        assert [row[::4] for row in changes(lake)] == [(1, "a\n\nb"), (2, "b")]
        ((_, line, said),) = lake.refused("orders")
        assert (line, said[: len(reason)]) == (place + 1 + bool(header), reason)

    def test_the_order_of_lines_is_the_same_beside_a_damage(self, tmp_path: Path) -> None:
        records = [b'I,1,2025-01-03,1,"a\nb"', b"", b"U,1,2025-01-03,1,b", b"D,2", b"U,1,2025-01-03,1,c"]
        whole = read(tmp_path / "whole", {"20250103-101500123.csv": b"\n".join([*records[:3], b"D,2,,,", records[4]])})
        short = read(tmp_path / "short", {"20250103-101500123.csv": b"\n".join(records)})
        every = "SELECT id, _op, note, _sequence, _landing_row FROM changes.orders ORDER BY _sequence"
        assert whole.rows(every) == short.rows(every)

    def test_half_a_parquet_file_is_refused_as_a_whole(self, tmp_path: Path) -> None:
        content = parquet(Op=pa.array(["I"] * 100), id=pa.array(range(100)), day=pa.array(["2025-01-03"] * 100))
        lake = read(tmp_path, {"20250103-101500123.parquet": content[:-100], "20250104-101500123.csv": b"I,1,2025-01-03,1,a\n"})
        assert [row[0] for row in changes(lake)] == [1]
        ((_, line, reason),) = lake.refused("orders")
        assert (line, reason[:67]) == (1, "the Parquet file is damaged, or was not written to its end: Parquet")

    @pytest.mark.parametrize("compression", ["none", "snappy"])
    def test_a_broken_page_of_a_parquet_file_refuses_it(self, tmp_path: Path, compression: str) -> None:
        sink = pa.BufferOutputStream()
        ids = pa.array(range(5000))
        table = pa.table({"Op": ["I"] * 5000, "note": [f"text {number}" for number in range(5000)], "id": ids})
        pq.write_table(table, sink, compression=compression)
        content = bytearray(sink.getvalue().to_pybytes())
        content[200:2200] = b"\xff" * 2000
        lake = read(tmp_path, {"20250103-101500123.parquet": bytes(content), "20250104-101500123.csv": b"I,1,2025-01-03,1,a\n"})
        assert [row[0] for row in changes(lake)] == [1]
        assert [reason for _, _, reason in lake.refused("orders")] == [
            "the Parquet file is damaged, or was not written to its end"
        ]

    def test_half_a_gzipped_parquet_file_is_refused_as_a_whole(self, tmp_path: Path) -> None:
        packed = gzip.compress(parquet(Op=pa.array(["I"] * 100), id=pa.array(range(100)), day=pa.array(["2025-01-03"] * 100)))
        lake = read(tmp_path, {"20250103-101500123.parquet.gz": packed[: len(packed) // 2]})
        assert [reason for _, _, reason in lake.refused("orders")] == [
            "the Parquet file is damaged, or was not written to its end"
        ]

    @pytest.mark.parametrize(("content", "reason"), [(b"", "the file is empty"), (b"\n\n", "the file holds no record")])
    def test_a_file_that_holds_nothing(self, tmp_path: Path, content: bytes, reason: str) -> None:
        lake = read(tmp_path, {"20250103-101500123.csv": content})
        assert [said for _, _, said in lake.refused("orders")] == [reason]

    def test_half_a_gzipped_file_gives_what_it_holds(self, tmp_path: Path) -> None:
        whole = gzip.compress(b"".join(b"I,%d,2025-01-03,%d,note %d\n" % (n, n * 7919 % 1000, n * n) for n in range(2000)))
        lake = orders_lake(tmp_path)
        lake.land("orders", "20250103-101500123.csv.gz", whole[: len(whole) // 2])
        done = lake.ingest("orders")
        ((_, line, reason),) = lake.refused("orders")
        assert 500 < done.records < 1500
        assert (line, reason.split(":")[0]) == (done.records, "the file is damaged from here on")


CHANGE = st.tuples(st.sampled_from("IUD"), st.integers(1, 3), st.integers(0, 2), st.integers(3, 5))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(CHANGE, min_size=1, max_size=8), data=st.data())
def test_any_order_batching_and_repetition_gives_the_same_rows(
    made: list[tuple[str, int, int, int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = 0
    lines: list[tuple[int, bytes]] = []
    expected: dict[int, tuple[object, ...]] = {}
    for place, (operation, key, pause, day) in enumerate(made):
        second += pause
        lines.append((second, b"%s,2025-01-03 10:15:%02d,%d,2025-01-%02d,1,%d\n" % (operation.encode(), second, key, day, place)))
        expected[key] = (key, f"2025-01-{day:02d}", "1.00", str(place))
        if operation == "D":
            del expected[key]
    # DMS writes changes in their order, a few to a file, and begins again some files back after a restart.
    cuts = sorted(data.draw(st.sets(st.integers(1, len(lines)), max_size=3)) | {len(lines)})
    files = [lines[start:end] for start, end in zip([0, *cuts[:-1]], cuts, strict=True)]
    files += files[data.draw(st.integers(0, len(files))) :]
    named = [(b"20250103-1020%02d%d.csv" % (n, n), b"".join(line for _, line in file)) for n, file in enumerate(files)]
    lake = orders_lake(tmp_path_factory.mktemp("order"), STAMPED)
    for name, content in data.draw(st.permutations(named)):
        lake.land("orders", name.decode(), content)
        if data.draw(st.booleans()):
            lake.ingest("orders")
    lake.ingest("orders")
    assert lake.refused("orders") == []
    assert latest(lake) == sorted(expected.values())
