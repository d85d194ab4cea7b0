"""Events that Debezium has really written, its documentation's examples, and the fixtures of another consumer."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, get_args

import ibis.expr.datatypes as types
import pytest
from debezium_lake import messages, read, refused, rows_lake

from assay.contracts import Date, Money, Timestamp
from assay.lake.layout import TRUNCATES
from assay.landing.formats import Connector, Debezium

WALL_CLOCK = Annotated[types.Timestamp, None, None, True]
EXACT = Annotated[types.Decimal, 38, 10, True]

# --- Captured: one database read with every mode ---

MODES = {
    "precise_schema": Debezium("orders"),
    "precise_noschema": Debezium(
        "orders", decimals="base64", time_precision="microseconds", encodings={"ts_ms": "milliseconds"}, scales={"score": 4}
    ),
    "double_connect": Debezium("orders", time_precision="milliseconds"),
    "string_isostring": Debezium("orders"),
    "string_micros": Debezium(
        "orders", time_precision="microseconds", encodings={"ts_ms": "milliseconds"}, placeholder="__UNAVAIL__"
    ),
}
ORDERS: dict[str, Any] = {
    **dict.fromkeys(("payload", "tags", "nums", "ext_id", "note", "big", "st", "attrs", "ip", "tsr", "pt", "channel"), str),
    "id": int,
    "i2": int,
    "ok": bool,
    "r4": float,
    "r8": float,
    "day": Date,
    "raw": types.Binary,
    "tod": types.Time,
    "todz": types.Time,
    "amount": Money,
    "m": Money,
    "fee": EXACT,
    "score": EXACT,
    "placed_at": Timestamp,
    "local_ts": WALL_CLOCK,
    "ts_ms": WALL_CLOCK,
}


def captured(real_data: Callable[[str], Path], mode: str) -> list[dict[str, Any]]:
    text = real_data(f"cdc_samples/debezium_captured/{mode}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def read_orders(folder: Path, records: list[dict[str, Any]], form: Debezium) -> list[dict[str, Any]]:
    lake = rows_lake(folder, form, **ORDERS)
    columns = [*ORDERS, "_op", "_missing", "_unchanged", "_sequence"]
    found = read(lake, *(record["value"] for record in records), columns=", ".join(columns))
    reasons = [reason for _, reason in refused(lake)]
    others = [reason for reason in reasons if "expected orders" in reason]
    not_a_number = [reason for reason in reasons if reason.lower() == "fee is 'nan', which is no decimal(38,10)"]
    assert len(others) == sum(record["destination"] in ("srv.shop.nopk", "srv.shop.late") for record in records)
    # NaN is null in the precise mode, and in the others it is no number that a column of decimals can hold.
    assert len(not_a_number) == (0 if "precise" in folder.name else 1)
    assert len(reasons) == len(others) + len(not_a_number)
    told = ("srv.transaction", "__debezium-heartbeat.srv", "srv.message")
    assert messages(lake) == sum(record["value"] is None or record["destination"] in told for record in records)
    return [dict(zip(columns, row, strict=True)) for row in found]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_same_rows(tmp_path: Path, real_data: Callable[[str], Path], mode: str) -> None:
    expected = read_orders(tmp_path / "precise_schema", captured(real_data, "precise_schema"), MODES["precise_schema"])
    found = read_orders(tmp_path / mode, captured(real_data, mode), MODES[mode])
    if "precise" not in mode:
        expected = [row for row in expected if (row["id"], row["_op"]) != (2, "r")]
    sequences = [row.pop("_sequence") for row in found]
    assert sequences == sorted(sequences)
    for row in expected:
        row.pop("_sequence")
        if mode == "double_connect":
            row.update({name: milliseconds(row[name]) for name in ("local_ts", "tod")}, amount=seventeen_digits(row["amount"]))
    assert found == expected


def milliseconds(value: Any) -> Any:
    """What is left of a time in the mode `connect`."""
    return value and value.replace(microsecond=value.microsecond // 1000 * 1000)


def seventeen_digits(value: Decimal | None) -> Decimal | None:
    """What is left of a decimal in the mode `double`."""
    return None if value is None else Decimal(repr(float(value))).quantize(Decimal("0.01"))


def test_the_precise_rows_are_what_the_database_held(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    rows = read_orders(tmp_path / "precise_schema", captured(real_data, "precise_schema"), MODES["precise_schema"])
    first = {name: value for name, value in rows[0].items() if name not in ("big", "_sequence", "_missing", "_unchanged")}
    assert first == {
        "id": 1,
        "amount": Decimal("1234567890123456.78"),
        "fee": Decimal("3.14159"),
        "m": Decimal("12.34"),
        "score": None,
        "placed_at": dt.datetime(2026, 1, 2, 1, 4, 5, 678901, tzinfo=dt.UTC),
        "day": dt.date(2026, 2, 3),
        "local_ts": dt.datetime(2026, 2, 3, 4, 5, 6, 789012),
        "ts_ms": dt.datetime(2026, 2, 3, 4, 5, 6, 789000),
        "tod": dt.time(23, 59, 59, 123456),
        "todz": dt.time(11),
        "raw": b"\xde\xad\xbe\xef",
        "ok": True,
        "st": "paid",
        "r4": 1.5,
        "r8": 2.718281828459045,
        "i2": -7,
        "note": "n",
        "ip": "192.0.2.7/24",
        "channel": None,
        "payload": '{"k": [1, 2.50, null], "z": "é"}',
        "tags": '["a","b,c",null]',
        "nums": "[1,null,3]",
        "ext_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "attrs": '{"a":"1","b":null}',
        "tsr": '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")',
        "pt": '{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}',
        "_op": "r",
    }
    assert [row["amount"] for row in rows[1:3]] == [Decimal("-0.01"), Decimal("0.00")]
    assert rows[0]["_missing"] == ["channel", "score"]
    placeholders = [(row["id"], row["_op"], row["big"]) for row in rows if row["_unchanged"] == ["big"]]
    assert placeholders == [(5, "u", None), (1005, "c", None)]


def test_flattened_events_of_a_real_connector(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    records = captured(real_data, "unwrap_smt")
    lake = rows_lake(tmp_path, Debezium("t"), id=int, amt=Money, v=str)
    found = read(lake, *(record["value"] for record in records), columns="id, amt, v, _op, _sequence, _rescued")
    assert found == [
        (1, Decimal("1.50"), "a", "r", [30491272, 30491272], None),
        (1, Decimal("1.50"), "b", "u", [30491312, 30491312], None),
        (1, None, None, "d", [30491440, 30491440], None),
    ]


# --- The documentation's examples, by their number ---

ROWS = {15, 16, 23, 24, 28, 29, 30, 42, 43, 44, 55, 56, 69, 70, 71, 79, 80, 88, 89, 90}
"""Changes of a row."""
TRUNCATED = {38, 45, 72, 91}
RECORDED = {10, 18, 46, 51, 66, 73, 78, 84}
"""Messages: changes of a table's columns, logical messages."""
OF_ANOTHER_CONNECTOR = {2, 3, 4, 6, 7, 8, 48, 49, 62, 63, 64}
"""Cassandra, CockroachDB, Spanner and Vitess, whose events do not tell a position made of numbers."""
OF_NO_TABLE = {12, 20, 25, 33, 35, 36, 37, 39, 57, 58, 59, 74, 75, 76, 77, 81, 82, 85}
"""Examples with a part of `source` only."""
REASONS = {"connector": OF_ANOTHER_CONNECTOR, "table": OF_NO_TABLE}


def test_examples_of_the_documentation(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    found = {}
    for path in sorted(real_data("cdc_samples/debezium_docs").glob("*.json")):
        number = int(path.name.split("__")[1])
        found[number] = outcome(tmp_path / str(number), json.loads(path.read_text()), path.name.split("__")[0])
    expected = dict.fromkeys(found, "not a Debezium change event: it has no op")
    expected |= dict.fromkeys(ROWS, "row") | dict.fromkeys(TRUNCATED, "truncate") | dict.fromkeys(RECORDED, "message")
    expected |= {number: f"an event of {kind} " for kind, numbers in REASONS.items() for number in numbers}
    assert {number: told for number, told in found.items() if not told.startswith(expected[number])} == {}
    assert set(expected) == set(found)


def outcome(folder: Path, document: dict[str, Any], of: str) -> str:
    """What becomes of an example in a source that its own connector, table and key are declared for, as far as it has them."""
    body = document["payload"] if isinstance(document.get("payload"), dict) else document
    origin, row = body.get("source") or {}, body.get("after") or body.get("before") or {}
    connector = origin.get("connector", of)
    known: Connector = connector if connector in get_args(Connector) else "postgresql"
    table = origin.get("table") or origin.get("collection") or "TEST_TABLE"
    key = "_id" if known == "mongodb" else next((name for name in ("id", "ID", "pk") if name in row), "id")
    lake = rows_lake(folder, Debezium(table, connector=known, columns={"id": key}))
    if read(lake, document, columns="id"):
        return "row"
    if any(part.partition == TRUNCATES for batch in lake.ledger("rows").batches for part in batch.parts):
        return "truncate"
    return "message" if messages(lake) else refused(lake)[0][1]


# --- Fixtures of Apache Paimon: MySQL, read without a binary log's position ---


def fixture_lines(folder: Path) -> list[dict[str, Any]]:
    """The events of a folder's files, in their order, each without its comments."""
    return [
        json.loads(line)
        for path in sorted(folder.rglob("*.txt"))
        for line in path.read_text().splitlines()
        if line.startswith("{")
    ]


def rows_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event.get("payload", event)["after"] for event in events]


def test_a_table_whose_columns_change(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    events = fixture_lines(real_data("cdc_samples/paimon/debezium/table/schemaevolution"))
    form = Debezium("product", connector="mysql")
    types: dict[str, Any] = {"name": str, "weight": float, "address": str}
    lake = rows_lake(tmp_path / "as they are", form, **types)
    assert read(lake, *events, columns="id") == []
    assert {reason for _, reason in refused(lake)} == {"no source position"}

    lake = rows_lake(tmp_path / "positioned", form, **types)
    assert len(read(lake, *positioned(events), columns="id")) == len(events)
    assert refused(lake) == []
    assert lake.rows("SELECT id, weight, address FROM latest.rows WHERE id IN ('101', '102', '105') ORDER BY id") == [
        ("102", 8.1, None),
        ("105", 0.875, "Beijing"),
    ]


def positioned(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give events the positions that they would have in a binary log."""
    for position, event in enumerate(events, start=4):
        event.get("payload", event)["source"].update(file="binlog.000003", pos=position)
    return events


def test_a_row_of_every_type(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    (event,) = fixture_lines(real_data("cdc_samples/paimon/debezium/table/schema/alltype"))
    names = {
        "a_decimal": ("_numeric", EXACT),
        "a_wide_decimal": ("_bigint_unsigned", int),
        "a_bit": ("_bit", int),
        "a_date": ("_date", Date),
        "a_wall_clock": ("_datetime6", WALL_CLOCK),
        "an_instant": ("_timestamp", Timestamp),
        "a_year": ("_year", int),
        "a_time": ("_time", types.Time),
        "bytes": ("_varbin", types.Binary),
        "a_set": ("_set", str),
        "no_decimal": ("_datetime3", WALL_CLOCK),
        "a_text": ("_varchar", str),
        "json": ("_json", str),
    }
    form = Debezium("all_types_table", connector="mysql", columns={"id": "_id"} | {own: sent for own, (sent, _) in names.items()})
    lake = rows_lake(tmp_path, form, **{own: kind for own, (_, kind) in names.items()})
    found = read(lake, *positioned([event]), columns=f"{', '.join(names)}, _sequence")
    assert found == [
        (
            *(Decimal("12345.11"), 20000000000, 1991, dt.date(2023, 3, 23), dt.datetime(2023, 3, 23, 14, 30, 5, 123456)),
            *(dt.datetime(2023, 3, 23, 22, 0, 10, 123456, tzinfo=dt.UTC), 2023, dt.time(10, 13, 23), b"more bytes", "a,b"),
            *(dt.datetime(2023, 3, 23, 14, 30, 5, 123000), "Apache Paimon", '{"a": "b"}', [3, 4, 0]),
        )
    ]


@pytest.mark.parametrize(
    "name", ["computedcolumn", "metadatacolumn", "nestedtype", "nullvalue", "schema/computedcolumn", "schema/include"]
)
def test_other_fixtures_are_read_once_they_have_a_position(tmp_path: Path, real_data: Callable[[str], Path], name: str) -> None:
    events = fixture_lines(real_data(f"cdc_samples/paimon/debezium/table/{name}"))
    of_table = {event.get("payload", event)["source"]["table"] for event in events}
    for table in of_table:
        key = next(name for name in ("id", "_id") if name in rows_of(events)[0])
        lake = rows_lake(tmp_path / table, Debezium(table, connector="mysql", columns={"id": key}))
        own = [event for event in events if event.get("payload", event)["source"]["table"] == table]
        assert len(read(lake, *positioned(events), columns="id")) == len(own)
        assert all(reason.startswith("an event of table ") for _, reason in refused(lake))
