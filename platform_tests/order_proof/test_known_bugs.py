"""Bugs that other consumers of change events had, one test each, on a real lake: landed, ingested, folded.

Belongs here: what went wrong elsewhere, as short as it can be told. Does not belong here: what is special of one format (the
tests of its reader) and whatever can be made up at random (`test_order_proof`).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from debezium_lake import SOURCE, at, change, described, envelope, lines_of, refused, rows_lake, with_schema
from one_source import Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Count, Money, Timestamp
from assay.landing.formats import Csv, Debezium, Dms

PLACEHOLDER = "__debezium_unavailable_value"


def ingest(lake: ShopLake, *files: tuple[str, bytes], at_once: bool = True) -> None:
    """Land files, and ingest them together or each by itself."""
    for name, content in files:
        (source,) = lake.workspace.domain.sources
        lake.land(source, name, content)
        if not at_once:
            lake.ingest(source)
    lake.ingest(source)


def events(lake: ShopLake, *messages: dict[str, Any]) -> None:
    """Land each message in a file of its own, in this order."""
    for message in messages:
        ingest(lake, (f"{len(list(lake.folder.rglob('*.json')))}.json", lines_of(message)))


def newest(lake: ShopLake, columns: str = "id, v") -> list[tuple[Any, ...]]:
    (source,) = lake.workspace.domain.sources
    return lake.rows(f"SELECT {columns} FROM latest.{source} ORDER BY id")


def dms_lake(folder: Path) -> ShopLake:
    return lake_of(
        folder, "orders", Row, format=Dms(table="orders", timestamp="at", layout=("at", "id", "day", "amount", "note"))
    )


def row(lsn: int, op: str = "c", *, key: str = "1", **values: Any) -> dict[str, Any]:
    return envelope(op, at(lsn), {"id": key, **values})


def test_1_binary_logs_are_numbered_not_spelled(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, Debezium("rows", connector="mysql"), v=str)
    position = {"connector": "mysql", "pos": 4, "row": 0, "ts_ms": 0}
    old = envelope("c", {**position, "file": "mysql-bin.999999"}, {"id": "1", "v": "old"})
    new = envelope("u", {**position, "file": "mysql-bin.1000000"}, {"id": "1", "v": "new"})
    events(lake, new, old)
    assert newest(lake) == [("1", "new")]


def test_2_of_changes_in_one_second_the_last_is_kept(tmp_path: Path) -> None:
    lake = dms_lake(tmp_path)
    same = b"%c,2025-01-03 10:15:00,1,2025-01-03,%d,x\n"
    ingest(lake, ("20250103-101501000.csv", same % (b"U", 3)), ("20250103-101500000.csv", same % (b"I", 1) + same % (b"U", 2)))
    assert newest(lake, "id, amount") == [(1, Decimal(3))]


def test_3_an_insert_and_its_delete_in_one_batch_leave_nothing(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    ingest(lake, ("a.json", lines_of(row(1, v="a"), row(2, "d", v="a"))))
    assert newest(lake) == []


def test_4_a_delete_may_hold_nothing_but_its_key(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    events(lake, row(2, "d"), row(1, v="a"))
    assert newest(lake) == []
    assert refused(lake) == []


def test_5_rows_that_were_loaded_without_marks_are_older_than_every_change(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "orders", Row, format=Dms(table="orders", layout=("id", "day", "amount", "note")))
    ingest(
        lake,
        ("20250103-101500000.csv", b"U,1,2025-01-03,2,changed\n"),
        ("LOAD00000001.csv", b"1,2025-01-03,1,loaded\n2,2025-01-03,1,loaded\n"),
        at_once=False,
    )
    assert newest(lake, "id, note") == [(1, "changed"), (2, "loaded")]


def test_6_a_column_that_is_added_stops_nothing(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    events(lake, row(1, v="a"), row(2, key="2", v="b", colour="red"), row(3, key="3", v="c"))
    assert newest(lake, "id, v, _rescued") == [("1", "a", None), ("2", "b", '{"colour":"red"}'), ("3", "c", None)]


def test_7_files_of_one_instant_are_all_read(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    ingest(lake, ("b.json", lines_of(row(2, key="2", v="b"))), ("a.json", lines_of(row(1, v="a"))), at_once=False)
    assert newest(lake) == [("1", "a"), ("2", "b")]


def test_8_created_deleted_and_created_again_in_one_transaction_is_there(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    ingest(lake, ("a.json", lines_of(row(7, v="old"), row(7, "d"), row(7, v="new"))))
    assert newest(lake) == [("1", "new")]


def test_9_a_snapshot_does_not_overwrite_what_was_streamed_after_it(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    events(lake, row(10, "u", v="streamed"), row(9, "r", v="read"))
    incremental = {**at(1), "lsn": None, "sequence": None, "snapshot": "incremental"}
    events(lake, envelope("r", incremental, {"id": "1", "v": "read in between"}))
    assert newest(lake) == [("1", "streamed")]


def test_10_a_placeholder_is_neither_written_nor_made_null(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str, w=str)
    events(lake, row(2, "u", v=PLACEHOLDER, w="new"), row(1, v="long", w="old"))
    assert newest(lake, "id, v, w") == [("1", "long", "new")]


def test_11_rows_of_one_position_are_rows_of_their_own(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    ingest(lake, ("a.json", lines_of(row(5, key="1", v="a"), row(5, key="2", v="b"))))
    assert newest(lake) == [("1", "a"), ("2", "b")]


def test_12_a_row_whose_key_changes_goes_on_under_the_new_one(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    events(lake, row(1, v="a"), row(2, "d"), row(2, key="2", v="a"))
    assert newest(lake) == [("2", "a")]


def test_13_a_second_snapshot_doubles_nothing(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    events(lake, row(1, "r", v="a"), row(2, "u", v="b"), row(3, "r", v="b"), row(4, "u", v="c"))
    assert newest(lake) == [("1", "c")]
    intervals = lake.rows(f"SELECT v FROM history.{SOURCE} WHERE _op <> 'd' AND is_current")
    assert intervals == [("c",)]


def test_14_negative_decimals_in_base64_are_negative(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, Debezium("rows", decimals="base64"), v=Money)
    events(lake, row(1, key="1", v="/w=="), row(2, key="2", v="/4A="), row(3, key="3", v="AP8="))
    assert newest(lake) == [("1", Decimal("-0.01")), ("2", Decimal("-1.28")), ("3", Decimal("2.55"))]


def test_15_an_instant_before_1970_has_its_fraction(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, Debezium("rows", time_precision="microseconds"), v=Timestamp)
    events(lake, row(1, v=-871000))
    assert newest(lake, "id, v = TIMESTAMPTZ '1969-12-31 23:59:59.129+00'") == [("1", True)]


def test_16_an_instant_is_the_same_in_every_zone(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=Timestamp)
    events(lake, row(1, "r", key="1", v="2025-01-01T00:30:00+02:00"), row(2, key="2", v="2024-12-31T22:30:00Z"))
    assert newest(lake, "DISTINCT v = TIMESTAMPTZ '2024-12-31 22:30:00+00' AS id") == [(True,)]


def test_17_a_null_that_was_sent_is_not_the_columns_default(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=Count)
    fields = [described("id", "string"), {**described("v", "int32"), "default": 5}]
    events(lake, with_schema(row(1, v=7), *fields), with_schema(row(2, "u", v=None), *fields))
    assert newest(lake) == [("1", None)]


def test_18_a_line_may_end_within_quotes(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "orders", Row, format=Csv())
    ingest(lake, ("a.csv", b'id,day,amount,note\n1,2025-01-03,1,"two\nlines"\n2,2025-01-03,2,one\n'))
    assert newest(lake, "id, note") == [(1, "two\nlines"), (2, "one")]


def test_19_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    whole = lines_of(row(1, v="a"), row(2, key="2", v="b"))
    lake.land(SOURCE, "a.json", whole[:-20], at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30))
    assert lake.ingest(SOURCE).records == 0
    lake.land(SOURCE, "a.json", whole)
    lake.ingest(SOURCE)
    assert newest(lake) == [("1", "a"), ("2", "b")]
    assert refused(lake) == []


def test_20_very_many_small_files_become_one(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, v=str)
    ingest(lake, *((f"{n}.json", lines_of(change(n, v="a"))) for n in range(1, 301)))
    assert lake.rows(f"SELECT count(*) FROM latest.{SOURCE}") == [(300,)]
    assert len(list((lake.folder / "raw").rglob("*.parquet"))) == 1
