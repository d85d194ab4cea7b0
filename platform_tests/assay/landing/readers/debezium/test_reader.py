"""Debezium messages of every form, from real files: changes of rows, messages that are none, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from change_lines import change, customer, deleted_order, order, text, zipped
from debezium_lake import TABLE, at, described, envelope, lines_of, messages, read, refused, rows_lake, with_schema
from debezium_lake import change as changed_row
from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Event, Money, column, source
from assay.landing.formats import Debezium


def test_an_event_is_the_same_with_and_without_its_schema(lake: ShopLake) -> None:
    row = {"order_id": "o1", "customer_id": "c1", "amount": 12.5, "ordered_at": "2025-01-03"}
    lake.land("orders", "bare.json", text(change("orders", "c", 7, row)))
    lake.land("orders", "wrapped.json", text(change("orders", "c", 7, row, with_schema=True)))
    lake.ingest("orders")
    events = lake.rows("SELECT * EXCLUDE (_landing_object) FROM changes.orders")
    assert len(events) == 2
    assert events[0] == events[1]


def test_a_row_that_has_a_payload_column_is_no_wrapped_event(lake: ShopLake) -> None:
    lake.land("orders", "a.json", text(order("o1", 1, payload='{"op": "d"}')))
    lake.ingest("orders")
    assert lake.rows("SELECT _op, order_id, _rescued->>'payload' FROM changes.orders") == [("c", "o1", '{"op": "d"}')]


def test_an_event_says_what_it_is_and_where_it_came_from(lake: ShopLake) -> None:
    key = lake.land("orders", "a.json.gz", zipped(order("o1", 1), order("o2", 2, amount="3.10", op="u")))
    lake.ingest("orders")
    found = lake.rows(
        "SELECT order_id, amount, order_day, _op, _sequence, _source_timestamp, _ingested_at, _source, _landing_object, "
        "_landing_row, _missing, _rescued, _money FROM changes.orders ORDER BY order_id"
    )
    at, day = dt.datetime(2025, 1, 10, tzinfo=dt.UTC), dt.date(2025, 1, 3)
    happened = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)
    assert found == [
        ("o1", "10.00", day, "c", [1, 1], happened + second, at, "orders", key, 1, None, None, Decimal(10)),
        ("o2", "3.10", day, "u", [2, 2], happened + 2 * second, at, "orders", key, 2, None, None, Decimal("3.1")),
    ]


def test_columns_that_were_not_sent_are_named_and_unknown_ones_are_rescued(lake: ShopLake) -> None:
    row = {"order_id": "o1", "ordered_at": "2025-01-03", "customer_id": None, "gift": True, "note": {"a": [1, None]}}
    lake.land("orders", "a.json", text(change("orders", "c", 1, row)))
    lake.ingest("orders")
    ((customer_id, missing, rescued),) = lake.rows("SELECT customer_id, _missing, _rescued FROM changes.orders")
    assert customer_id is None
    assert missing == ["amount"]
    assert json.loads(rescued) == {"gift": True, "note": {"a": [1, None]}}


@pytest.mark.parametrize("name", ['a"b', "a.b", "a b", "a\\b", "*", "$", "ünï", ""])
def test_an_unknown_column_of_any_name_is_rescued(lake: ShopLake, name: str) -> None:
    lake.land("orders", "a.json", text(order("o1", 1, **{name: 1, "plain": None})))
    lake.ingest("orders")
    ((rescued,),) = lake.rows("SELECT _rescued FROM changes.orders")
    assert json.loads(rescued) == {name: 1, "plain": None}


def test_a_repeated_json_name_costs_no_other_record(lake: ShopLake) -> None:
    twice = order("o1", 1, extra=1).replace('"extra": 1', '"extra": 1, "extra": 2')
    lake.land("orders", "a.json", text(twice, order("o2", 2)))
    done = lake.ingest("orders")
    assert done.records == 2
    assert ("o2",) in lake.rows("SELECT order_id FROM changes.orders")


def test_a_column_added_midway_is_missing_before_and_there_after(tmp_path: Path) -> None:
    @source("orders", format=ShopLake(tmp_path).source("orders").format, key=("order_id",), owner="team:x", subject="x")
    class Wider(Event):
        """Orders with a column more."""

        order_id: str = column("The order", nullable=True)
        gift: bool = column("A gift", nullable=True)

    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Wider], {}))
    lake.land(
        "orders",
        "a.json",
        text(change("orders", "c", 1, {"order_id": "o1"}), change("orders", "c", 2, {"order_id": "o2", "gift": True})),
    )
    lake.ingest("orders")
    assert lake.rows("SELECT order_id, gift, _missing FROM changes.orders ORDER BY 1") == [
        ("o1", None, ["gift"]),
        ("o2", True, None),
    ]


def test_positions_are_compared_as_numbers(lake: ShopLake) -> None:
    lake.land("customers", "a.json", text(customer("c1", 9, level="old"), customer("c1", 10, level="new")))
    lake.ingest("customers")
    assert lake.rows("SELECT level FROM latest.customers") == [("new",)]


def test_a_snapshot_read_without_a_commit_position_stands_at_its_own(lake: ShopLake) -> None:
    read = json.loads(order("o1", 5, op="r"))
    read["source"]["sequence"] = '[null,"5"]'
    lake.land("orders", "a.json", text(json.dumps(read)))
    lake.ingest("orders")
    assert lake.rows("SELECT _op, _sequence FROM changes.orders") == [("r", [5, 5])]


def broken_events() -> dict[str, tuple[str, str]]:
    def changed(**values: object) -> str:
        return json.dumps(json.loads(order("o9", 9)) | values)

    return {
        "text": ("hello", "not valid JSON"),
        "half an object": (order("o9", 9)[:-9], "not valid JSON"),
        "two objects": (f"{order('o9', 9)} {order('o8', 8)}", "not valid JSON"),
        "a number": ("42", "not a Debezium change event: it has no op"),
        "a list": ("[]", "not a Debezium change event: it has no op"),
        "an unknown operation": (changed(op="x"), "operation x is no row change"),
        "a key": ('{"order_id": "o9"}', "not a Debezium change event: it has no op"),
        "a wrapped key": (
            '{"schema": {"type": "struct"}, "payload": {"order_id": "o9"}}',
            "not a Debezium change event: it has no op",
        ),
        "an empty envelope": ('{"schema": {}, "payload": {}}', "not a Debezium change event: it has no op"),
        "another table": (customer("c1", 1), "an event of table customers, expected orders"),
        "no source": (changed(source=None), "an event of table (none), expected orders"),
        "no position": (changed(source={"table": "orders"}), "no source position"),
        "positions that are none": (changed(source={"table": "orders", "sequence": "[]"}), "no source position"),
        "null key": (order(None, 9), "the key column order_id is null"),
        "empty key": (order("", 9), "the key column order_id is empty"),
        "blank key": (order("  ", 9), "the key column order_id is empty"),
        "no row": (changed(after=None), "operation c without the row after it"),
        "no row but the one before": (
            changed(op="u", before={"order_id": "o9"}, after=None),
            "operation u without the row after it",
        ),
        "no day": (order("o9", 9, day=None), "order_day cannot be told: the date is missing or of no known form"),
        "a day that is none": (
            order("o9", 9, day="2025-02-30"),
            "order_day cannot be told: the date is missing or of no known form",
        ),
        "an endless day": (order("o9", 9, day="infinity"), "order_day cannot be told: the date is missing or of no known form"),
        "a day of year 20250": (
            order("o9", 9, day="20250-01-03"),
            "order_day cannot be told: the date is missing or of no known form",
        ),
        "a day before our time": (
            order("o9", 9, day="0044-03-15 (BC)"),
            "order_day cannot be told: the date is missing or of no known form",
        ),
    }


@pytest.mark.parametrize("kind", broken_events())
def test_a_bad_record_is_refused_with_object_line_and_reason_and_the_others_are_kept(lake: ShopLake, kind: str) -> None:
    line, reason = broken_events()[kind]
    key = lake.land("orders", "a.json", text(order("o1", 1), line, order("o2", 2)))
    done = lake.ingest("orders")
    assert lake.refused("orders") == [(key, 2, reason)]
    assert lake.rows("SELECT order_id, _landing_row FROM changes.orders ORDER BY 1") == [("o1", 1), ("o2", 3)]
    assert (done.records, done.quarantined) == (3, 1)


def test_an_instant_out_of_range_does_not_stop_the_others(lake: ShopLake) -> None:
    lake.land(
        "orders", "a.json", text(change("orders", "c", 1, json.loads(order("o1", 1))["after"], ts_ms=2**63 - 10), order("o2", 2))
    )
    lake.ingest("orders")
    assert lake.rows("SELECT order_id, _source_timestamp IS NULL FROM changes.orders ORDER BY 1") == [("o1", True), ("o2", False)]


def test_a_value_of_the_wrong_type_is_refused_by_name(tmp_path: Path) -> None:
    @source("counts", format=ShopLake(tmp_path).source("orders").format, key=("order_id",), owner="team:x", subject="x")
    class Counts(Event):
        """Typed events."""

        order_id: int = column("The order")
        number: int = column("A number", nullable=True)
        needed: str = column("Never null")

    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Counts], {}))
    rows = [
        {"order_id": 1, "number": 7, "needed": "x"},
        {"order_id": 2, "number": "seven", "needed": "x"},
        {"order_id": 3, "number": {"a": 1}, "needed": "x"},
        {"order_id": "x", "number": 1, "needed": "x"},
        {"order_id": 5, "number": 99999999999999999999, "needed": "x"},
        {"order_id": 6, "number": 1, "needed": None},
    ]
    lake.land("counts", "a.json", text(*(change("orders", "c", place, row) for place, row in enumerate(rows, start=1))))
    lake.ingest("counts")
    assert lake.rows("SELECT order_id, number FROM changes.counts") == [(1, 7)]
    assert [(line, reason) for _, line, reason in lake.refused("counts")] == [
        (2, "number is 'seven', which is no BIGINT"),
        (3, """number is '{"a":1}', which is no BIGINT"""),
        (4, "the key column order_id is 'x', which is no BIGINT"),
        (5, "number is '99999999999999999999', which is no BIGINT"),
        (6, "needed is null"),
    ]


@pytest.mark.parametrize("quickly", [True, False])
def test_a_mark_of_byte_order_is_no_text(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, v=str)
    lake.land(
        TABLE,
        "a.json",
        b"\xef\xbb\xbf" + lines_of(changed_row(1, v="a"), changed_row(2, v="b")) + (b"" if quickly else b"\xff\n"),
    )
    lake.ingest(TABLE)
    assert lake.rows("SELECT id, v FROM latest.rows ORDER BY 1") == [("1", "a"), ("2", "b")]
    assert refused(lake) == []


def test_what_is_refused_keeps_its_text(lake: ShopLake) -> None:
    lake.land("orders", "a.json", text("{broken"))
    lake.ingest("orders")
    (key,) = [batch.quarantine for batch in lake.ledger("orders").batches if batch.quarantine]
    with lake.connection() as connection:
        found = connection.execute(f"SELECT _record, _rules, _contract FROM '{lake.store.path(str(key))}'").fetchall()
    assert found == [("{broken", ["readable"], lake.source("orders").version)]


def test_the_made_up_values_of_a_delete_are_not_read(lake: ShopLake) -> None:
    lake.land("orders", "a.json", text(order("o1", 1), deleted_order("o1", 2)))
    lake.ingest("orders")
    assert lake.rows("SELECT customer_id, amount, _money FROM changes.orders WHERE _op = 'd'") == [(None, None, Decimal(0))]


ODD_VALUES = [
    150,
    150.5,
    1e2,
    0.1,
    -0.0,
    12345678901234567890,
    1.005,
    True,
    None,
    "",
    "  ",
    "é\n\"'\\",
    "null",
    [1, 2.5],
    {"a": [1, None]},
    {},
]


def test_the_quick_and_the_exact_way_of_reading_give_the_same_events(tmp_path: Path) -> None:
    """A line that is not UTF-8 has its whole file read the exact way."""
    odd = [order(f"o{number}", number, amount=value) for number, value in enumerate(ODD_VALUES)]
    lines = text(*odd, order("x", len(odd), amount="x", day="next week"))
    found = []
    for name, content in (("quick", lines), ("exact", lines + b"\xff\n")):
        lake = ShopLake(tmp_path / name)
        lake.land("orders", "a.json", content)
        lake.ingest("orders")
        refused = [each for each in lake.refused("orders") if each[1] <= len(odd) + 1]
        found.append((lake.rows("SELECT * FROM changes.orders ORDER BY _landing_row"), refused))
    assert found[0] == found[1]
    rows, refused = found[0]
    assert len(rows) + len(refused) == len(odd) + 1


def test_lines_of_odd_blanks_do_not_shift_what_is_read_again(tmp_path: Path) -> None:
    lake = ShopLake(tmp_path)
    blanks = [b" ", b"\t", b"\v", b"\f", b" \t\v\f "]
    cut = b'{"op":'
    lines = [*blanks, order("o1", 1).encode(), cut, order("o2", 2).encode(), *blanks, cut, order("o3", 3).encode()]
    lake.land("orders", "a.json", b"\n".join(lines))
    lake.ingest("orders")
    assert lake.rows("SELECT order_id, _landing_row FROM changes.orders ORDER BY 2") == [("o1", 1), ("o2", 3), ("o3", 5)]
    assert [row for _, row, _ in lake.refused("orders")] == [2, 4]


# --- Forms ---

both_ways = pytest.mark.parametrize("quickly", [True, False], ids=["quickly", "exactly"])

EVENT = "id, value, _op, _sequence, _source_timestamp, _missing, _rescued"


def cloud_event(op: str, lsn: int, data: dict[str, Any]) -> dict[str, Any]:
    origin = {
        "iodebeziumconnector": "postgresql",
        "iodebeziumtable": TABLE,
        "iodebeziumlsn": str(lsn),
        "iodebeziumsnapshot": "false",
    }
    time = {"iodebeziumtsms": "1700000000000", "iodebeziumsequence": json.dumps([str(lsn), str(lsn)])}
    standard = {
        "id": f"name:x;lsn:{lsn}",
        "source": "/debezium/postgresql/x",
        "specversion": "1.0",
        "time": "2023-11-14T22:13:20Z",
    }
    return {**standard, "type": "io.debezium.postgresql.datachangeevent", "iodebeziumop": op, **origin, **time, "data": data}


def flattened(op: str, lsn: int, **row: object) -> dict[str, Any]:
    meta = {"__deleted": str(op == "d").lower(), "__op": op, "__lsn": lsn, "__source_ts_ms": 1_700_000_000_000, "__table": TABLE}
    return {**row, **meta}


def test_every_form_gives_the_same_events(tmp_path: Path) -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("c", {"id": "1", "value": 1.5, "new": [1]}),
        ("u", {"id": "1", "new": 2}),
        ("d", {"id": "1"}),
    ]
    bare = [envelope(op, at(n), row) for n, (op, row) in enumerate(rows, start=1)]
    forms = {
        "bare": bare,
        "wrapped": [with_schema(each, described("id", "string"), described("value", "double")) for each in bare],
        "payload first": [dict(reversed(with_schema(each).items())) for each in bare],
        "flattened": [flattened(op, n, **row) for n, (op, row) in enumerate(rows, start=1)],
        "cloudevent": [
            cloud_event(each["op"], n, {"before": each["before"], "after": each["after"]}) for n, each in enumerate(bare, start=1)
        ],
        "cloudevent with schema": [
            cloud_event(
                each["op"], n, with_schema({"before": each["before"], "after": each["after"]}, described("value", "double"))
            )
            for n, each in enumerate(bare, start=1)
        ],
    }
    forms["wrapped flattened"] = [{"schema": {"type": "struct", "fields": []}, "payload": each} for each in forms["flattened"]]
    forms["all together"] = [each for form in forms.values() for each in form]
    found = {}
    for name, lines in forms.items():
        lake = rows_lake(tmp_path / name, value=Money)
        found[name] = read(lake, *lines, columns=EVENT)
        assert refused(lake) == [], name
    happened = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert found["bare"] == [
        ("1", Decimal("1.50"), "c", [1, 1], happened, None, '{"new":[1]}'),
        ("1", None, "u", [2, 2], happened, ["value"], '{"new":2}'),
        ("1", None, "d", [3, 3], happened, None, None),
    ]
    assert found.pop("all together") == found["bare"] * len(found)
    assert {name for name, events in found.items() if events != found["bare"]} == set()


def test_a_flattened_row_has_what_the_transformation_was_told_to_add(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, value=str)
    lines = [
        {"id": "1", "value": "a", "__deleted": "false", "__source_lsn": 7, "__source_ts_us": 1_700_000_000_000_000},
        {"id": "2", "value": "b", "op": "x", "source": "y", "__op": "c", "__lsn": 8, "__source_sequence": '["3","8"]'},
        {"id": "3", "value": "c", "__deleted": "true", "__lsn": 9},
        {"id": "4", "value": "d", "__op": "c", "__lsn": 10, "__table": "other"},
        {"id": "5", "value": "e", "__op": "c"},
    ]
    happened = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert read(lake, *lines, columns=EVENT) == [
        ("1", "a", "u", [7, 7], happened, None, None),
        ("2", "b", "c", [3, 8], None, None, '{"op":"x","source":"y"}'),
        ("3", None, "d", [9, 9], None, None, None),
    ]
    assert refused(lake) == [(4, "an event of table other, expected rows"), (5, "no source position")]


def test_a_flattened_row_takes_its_types_from_its_schema(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, value=Money)
    field = described("value", "bytes", "org.apache.kafka.connect.data.Decimal", scale="2")
    message = {"schema": {"type": "struct", "fields": [field]}, "payload": flattened("c", 1, id="1", value="ew==")}
    assert read(lake, message, columns="value") == [(Decimal("1.23"),)]


@both_ways
def test_columns_may_have_other_names_at_the_source(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, Debezium(TABLE, columns={"id": "_id", "value": "Wert"}), value=str, other=str)
    rows = [{"_id": "1", "Wert": "a", "other": "b"}, {"_id": "2", "value": "x"}]
    found = read(
        lake,
        *(envelope("c", at(n), row) for n, row in enumerate(rows)),
        columns="id, value, other, _missing, _rescued",
        quickly=quickly,
    )
    assert found == [("1", "a", "b", None, None), ("2", None, None, ["value", "other"], '{"value":"x"}')]


def test_a_document_of_mongodb_is_whole(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, Debezium(TABLE, connector="mongodb", columns={"id": "_id"}), value=int)
    documents = ['{"_id": {"$oid": "a1"}, "value": {"$numberLong": "5"}, "more": {"n": 1}}', '{"_id": {"$oid": "a1"}}']
    lines = [
        envelope("u", {"collection": TABLE, "ts_ms": 1000, "ord": n}, None) | {"after": each} for n, each in enumerate(documents)
    ]
    gone = envelope("d", {"collection": TABLE, "ts_ms": 1000, "ord": 3}, None) | {"before": documents[1]}
    found = read(lake, *lines, gone, columns="id, value, _op, _missing, _rescued")
    assert found == [("a1", 5, "u", None, '{"more":{"n":1}}'), ("a1", None, "u", None, None), ("a1", None, "d", None, None)]


# --- What is no row change ---

MESSAGES: dict[str, object] = {
    "tombstone": None,
    "wrapped tombstone": {"schema": None, "payload": None},
    "wrapped tombstone without schema": {"payload": None},
    "logical message": {"op": "m", "ts_ms": 1, "source": {**at(1), "table": ""}, "message": {"prefix": "p", "content": "eA=="}},
    "transaction begin": {"status": "BEGIN", "id": "856:1", "event_count": None, "data_collections": None, "ts_ms": 1},
    "transaction end": {"status": "END", "id": "856:1", "event_count": 1, "data_collections": [], "ts_ms": 1},
    "heartbeat": {"ts_ms": 1795235635715},
    "schema change": {
        "source": at(1),
        "ts_ms": 1,
        "databaseName": "d",
        "schemaName": None,
        "ddl": "ALTER TABLE x",
        "tableChanges": [],
    },
    "schema change without ddl": {"ts_ms": 1, "databaseName": "d", "ddl": None, "tableChanges": [{"type": "DROP", "id": "x"}]},
    "cloud message": cloud_event("m", 1, {"before": None, "after": None}),
}


@both_ways
@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_no_row_change_is_recorded_and_not_refused(tmp_path: Path, kind: str, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=str)
    found = read(lake, changed_row(1, value="a"), MESSAGES[kind], changed_row(2, value="b"), columns="id", quickly=quickly)
    assert found == [("1",), ("2",)]
    assert refused(lake) == []
    assert messages(lake) == 1
    # Alone in its file it is recognized as well.
    lake.land("rows", "b.json", (json.dumps(MESSAGES[kind]) + "\n").encode())
    lake.ingest("rows")
    assert refused(lake) == []
    assert messages(lake) == 2


@both_ways
def test_a_truncate_has_a_position_and_no_key(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=str)
    truncate = envelope("t", at(2), None)
    other = envelope("t", {**at(2), "table": "other"}, None)
    read(lake, changed_row(1, value="a"), truncate, other, changed_row(3, value="b"), columns="id", quickly=quickly)
    assert refused(lake) == [(3, "an event of table other, expected rows")]
    assert lake.rows("SELECT id FROM latest.rows") == [("3",)]


@both_ways
def test_bug_4_a_delete_needs_its_key_and_nothing_else(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=Money, other=str)
    deletes = [
        envelope("d", at(1), {"id": "1"}),
        envelope("d", at(2), None),
        envelope("d", at(3), {"id": "3", "value": "made up"}),
    ]
    assert read(lake, *deletes, columns="id, value, _op", quickly=quickly) == [("1", None, "d"), ("3", None, "d")]
    assert refused(lake) == [(2, "the key column id is null")]


@both_ways
def test_a_value_that_was_not_sent_is_named(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, a=str, b=Money, c=str)
    gone = "__debezium_unavailable_value"
    rows = [{"a": gone, "b": 1, "c": "x"}, {"a": gone, "b": gone, "c": None}, {"a": "1", "b": 1, "c": f"{gone}!"}]
    found = read(
        lake, *(changed_row(n, "u", **row) for n, row in enumerate(rows)), columns="a, b, c, _unchanged", quickly=quickly
    )
    assert found == [
        (None, Decimal(1), "x", ["a"]),
        (None, None, None, ["a", "b"]),
        ("1", Decimal(1), f"{gone}!", None),
    ]
