"""MongoDB's updates without a document: what they name is taken, and all else stays what it was."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import ibis.expr.datatypes as types
import pytest
from debezium_lake import SOURCE, TABLE, envelope, lines_of, read, refused, rows_lake
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Daily, Date, Event, Money, Published, Timestamp, column, source, table
from assay.errors import ContractError
from assay.landing.formats import Debezium
from assay.pipeline.state import State
from assay.quality.books import from_dict, total

WIDE = Annotated[types.Decimal, 38, 10, True]
FORM = Debezium(TABLE, connector="mongodb", columns={"id": "_id"})
STATE = f"SELECT id, v, note FROM latest.{SOURCE} ORDER BY id"


def documents_lake(folder: Path, **kinds: Any) -> ShopLake:
    return rows_lake(folder, FORM, **(kinds or {"v": int, "note": str}))


def origin(second: int) -> dict[str, Any]:
    return {"connector": "mongodb", "collection": TABLE, "ts_ms": second * 1000, "ord": 1}


def created(second: int, key: object = "a", **document: object) -> dict[str, Any]:
    return envelope("c", origin(second), None) | {"after": json.dumps({"_id": key, **document})}


def updated(second: int, key: object = "a", removed: Any = None, cut: Any = None, **fields: object) -> dict[str, Any]:
    """An update of a capture mode that looks nothing up; without a key it says nothing of its document."""
    description = {"updatedFields": json.dumps(fields), "removedFields": removed, "truncatedArrays": cut}
    before = None if key is None else json.dumps({"_id": key})
    return envelope("u", origin(second), None) | {"before": before, "updateDescription": description}


def test_what_is_named_is_taken_and_all_else_stays_what_it_was(tmp_path: Path) -> None:
    lake = documents_lake(tmp_path)
    lines = [created(1, v=1, note="x"), updated(2, v=2), updated(3, removed=["note", "other"]), updated(4, v=None, new=1)]
    assert read(lake, *lines, columns="id, v, note, _op, _missing, _unchanged, _rescued") == [
        ("a", 1, "x", "c", None, None, None),
        ("a", 2, None, "u", None, ["note"], None),
        ("a", None, None, "u", None, ["v"], None),
        ("a", None, None, "u", None, ["note"], '{"new":1}'),
    ]
    assert lake.rows(STATE) == [("a", None, None)]


class TestFlattened:
    """Rows of `ExtractNewDocumentState`, of which an update has only what changed."""

    FORM = Debezium(TABLE, connector="mongodb", columns={"id": "_id"}, updates="changes")

    def row(self, second: int, op: str | None, **fields: object) -> dict[str, Any]:
        origin = {"__source_ts_ms": second * 1000, "__source_ord": 1, "__source_connector": "mongodb"}
        told = {"__deleted": "true" if op == "d" else "false"} | ({"__op": op} if op else {})
        return {"_id": "a", **fields, **told, **origin}

    def test_an_update_changes_the_fields_that_it_has(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        lines = [self.row(1, "c", v=1, note="x"), self.row(2, "u", v=2), self.row(3, "u", note=None, new=1)]
        assert read(lake, *lines, columns="v, note, _op, _unchanged, _rescued") == [
            (1, "x", "c", None, None),
            (2, None, "u", ["note"], None),
            (None, None, "u", ["v"], '{"new":1}'),
        ]
        assert lake.rows(STATE) == [("a", 2, None)]

    def test_a_field_that_a_made_or_read_document_lacks_is_null(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        read(lake, self.row(1, "c", v=1, note="x"), self.row(2, "r", v=2))
        assert lake.rows(STATE) == [("a", 2, None)]

    def test_what_is_not_known_is_held_back(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        read(lake, self.row(2, "u", v=2))
        assert lake.rows(STATE) == []
        lake.land(SOURCE, "late.json", lines_of(self.row(1, "c", v=1, note="x")))
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == [("a", 2, "x")]

    def test_a_part_of_a_value_is_refused(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        read(lake, self.row(1, "c", v=1, note="x"), self.row(2, "u", **{"note.first": "y"}))
        assert refused(lake) == [(2, "note is changed in part: let capture.mode look documents up (change_streams_update_full)")]

    def test_a_row_that_does_not_say_its_operation_is_refused(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        read(lake, self.row(1, None, v=1))
        assert refused(lake) == [(1, "not a Debezium change event: it has no op")]

    def test_deletes(self, tmp_path: Path) -> None:
        lake = rows_lake(tmp_path, self.FORM, v=int, note=str)
        read(lake, self.row(1, "c", v=1, note="x"), self.row(2, "d"))
        assert lake.rows(STATE) == []

    def test_without_being_told_an_update_is_the_document(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        read(lake, self.row(1, "c", v=1, note="x"), self.row(2, "u", v=2))
        assert lake.rows(STATE) == [("a", 2, None)]

    def test_only_documents_come_in_parts(self) -> None:
        with pytest.raises(ContractError, match="flattened updates of connector 'mysql' contain the whole row"):
            Debezium(TABLE, connector="mysql", updates="changes")


class TestParts:
    """What changes a part of a declared value is refused: the rest of the value was not sent."""

    @pytest.mark.parametrize(
        ("sent", "column"),
        [
            ({"address.city": "Rome"}, "address"),
            ({"tags.2": "x", "v": 1}, "tags"),
            ({"removed": ["address.zip"]}, "address"),
            ({"cut": [{"field": "tags", "size": 1}]}, "tags"),
            ({"cut": [{"field": "address.lines", "size": 1}]}, "address"),
        ],
    )
    def test_of_a_declared_column(self, tmp_path: Path, sent: dict[str, Any], column: str) -> None:
        lake = documents_lake(tmp_path, v=int, address=str, tags=str)
        read(lake, created(1, v=0, address={"city": "Oslo"}, tags=["a", "b", "c"]), updated(2, **sent))
        told = f"{column} is changed in part: let capture.mode look documents up (change_streams_update_full)"
        assert refused(lake) == [(2, told)]
        assert lake.rows(f"SELECT v, address, tags FROM latest.{SOURCE}") == [(0, '{"city":"Oslo"}', '["a","b","c"]')]

    def test_of_what_is_not_declared(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        cut = [{"field": "more", "size": 1}]
        read(lake, created(1, v=0, note="x"), updated(2, v=1, cut=cut, removed=["notes.x"], **{"more.n": 2, "vv.v": 3}))
        assert refused(lake) == []
        assert lake.rows(STATE) == [("a", 1, "x")]

    def test_a_path_is_not_taken_for_a_column_that_is_called_so(self, tmp_path: Path) -> None:
        form = Debezium(TABLE, connector="mongodb", columns={"id": "_id", "v": "address.city"})
        lake = rows_lake(tmp_path, form, v=str)
        read(lake, updated(1, **{"address.city": "Rome"}))
        ((_, reason),) = refused(lake)
        assert reason.startswith("address.city is changed in part")

    def test_a_key_that_changes_is_nobodys(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        read(lake, updated(1, removed=["_id"]), updated(2, _id="b"))
        assert refused(lake) == [(1, "_id is the key, and is changed"), (2, "_id is the key, and is changed")]


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            (int, {"$numberLong": "1004"}, 1004),
            (int, {"$numberInt": "7"}, 7),
            (WIDE, {"$numberDecimal": "1234567890123456789.25"}, Decimal("1234567890123456789.25")),
            (str, {"$oid": "596e275826f08b2730779e1f"}, "596e275826f08b2730779e1f"),
            (types.Binary, {"$binary": "3q2+7w==", "$type": "00"}, b"\xde\xad\xbe\xef"),
            (types.Binary, {"$binary": {"base64": "3q2+7w==", "subType": "00"}}, b"\xde\xad\xbe\xef"),
            (Timestamp, {"$date": 0}, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
            (Timestamp, {"$date": {"$numberLong": "0"}}, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
            (Timestamp, {"$date": "1970-01-01T00:00:00Z"}, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
            (str, {"street": "Main"}, '{"street":"Main"}'),
        ],
        ids=repr,
    )
    def test_extended_json_of_both_versions(self, tmp_path: Path, kind: Any, value: object, expected: object) -> None:
        found = read(documents_lake(tmp_path, v=kind), updated(1, v=value), columns="v, _unchanged")
        assert found == [(expected, None)]

    def test_a_number_keeps_all_its_digits(self, tmp_path: Path) -> None:
        message = updated(1)
        message["updateDescription"]["updatedFields"] = '{"v": 12345678901234567890.123}'
        found = read(documents_lake(tmp_path, v=WIDE), message, columns="v")
        assert found == [(Decimal("12345678901234567890.123"),)]

    def test_fields_that_are_sent_as_a_document(self, tmp_path: Path) -> None:
        message = updated(1)
        message["updateDescription"]["updatedFields"] = {"v": 3}
        assert read(documents_lake(tmp_path), message, columns="v, _unchanged") == [(3, ["note"])]

    def test_with_a_schema_around_it_and_as_a_cloud_event(self, tmp_path: Path) -> None:
        message = updated(1, v=3)
        cloud = {"iodebeziumop": "u", "iodebeziumcollection": TABLE, "iodebeziumord": 1, "iodebeziumtsms": "2000"}
        cloud |= {"iodebeziumconnector": "mongodb", "data": {name: message[name] for name in ("before", "updateDescription")}}
        found = read(documents_lake(tmp_path), {"schema": {}, "payload": message}, cloud, columns="id, v, _unchanged")
        assert found == [("a", 3, ["note"]), ("a", 3, ["note"])]


@pytest.mark.parametrize(
    "description",
    [
        None,
        {"updatedFields": None, "removedFields": None, "truncatedArrays": None},
        {"updatedFields": "{broken", "removedFields": ["v"]},
        {"updatedFields": "[1]", "removedFields": None},
        {"updatedFields": None, "removedFields": []},
        {"updatedFields": '{"v":2}', "removedFields": "note"},
    ],
)
def test_an_update_that_says_nothing_makes_no_nulls(tmp_path: Path, description: object) -> None:
    lake = documents_lake(tmp_path)
    read(lake, created(1, v=1), updated(2) | {"updateDescription": description})
    assert lake.rows(STATE) == [("a", 1, None)]
    ((_, reason),) = refused(lake)
    assert reason.startswith("operation u without the row after it: let capture.mode")


def test_a_document_that_was_looked_up_is_taken_whole(tmp_path: Path) -> None:
    lake = documents_lake(tmp_path)
    looked_up = updated(2, v=2, **{"note.x": 1}) | {"after": '{"_id": "a", "v": 3}'}
    found = read(lake, created(1, v=1, note="x"), looked_up, columns="v, note, _unchanged")
    assert found == [(1, "x", None), (3, None, None)]


class TestKeys:
    """The value of an update that has nothing before it does not say whose it is."""

    def test_without_any_it_is_refused(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        read(lake, created(1, v=1), updated(2, None, v=2))
        assert refused(lake) == [(2, "the key column id is null")]
        assert lake.rows(STATE) == [("a", 1, None)]

    def test_from_a_keys_object(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        lake.land(SOURCE, "rows+0+0000000000.json", lines_of(created(1, v=1, note="x"), updated(2, None, v=2)))
        lake.land(SOURCE, "rows+0+0000000000.keys.json", lines_of({"id": '"a"'}, {"id": '"a"'}))
        assert lake.ingest(SOURCE).quarantined == 0
        assert lake.rows(STATE) == [("a", 2, "x")]

    def test_from_an_envelope(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        values = [created(1, v=1, note="x"), updated(2, None, v=2)]
        lake.land(SOURCE, "rows-0-0", lines_of(*({"key": {"id": '"a"'}, "value": value} for value in values)))
        assert lake.ingest(SOURCE).quarantined == 0
        assert lake.rows(STATE) == [("a", 2, "x")]


class TestTransactions:
    """All changes of a transaction have one position; each of them counts."""

    CHANGES = (updated(2, v=2), updated(2, note="y"), updated(2, v=3))

    @pytest.mark.parametrize("lines", [slice(0, 2), slice(0, 3)])
    def test_in_one_object(self, tmp_path: Path, lines: slice) -> None:
        lake = documents_lake(tmp_path)
        read(lake, created(1, v=1, note="x"), *self.CHANGES[lines])
        assert lake.rows(STATE) == [("a", len(self.CHANGES[lines]), "y")]

    def test_a_document_that_is_made_and_changed(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        read(lake, created(2, v=1, note="x"), *self.CHANGES)
        assert lake.rows(STATE) == [("a", 3, "y")]

    def test_a_document_that_is_changed_and_deleted(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        gone = envelope("d", origin(2), None) | {"before": '{"_id": "a"}'}
        read(lake, created(1, v=1), *self.CHANGES, gone, created(2, v=9))
        assert lake.rows(STATE) == [("a", 9, None)]
        lake.land(SOURCE, "b.json", lines_of(updated(3, v=1), envelope("d", origin(3), None) | {"before": '{"_id": "a"}'}))
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == []

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    @pytest.mark.parametrize("at_once", [True, False])
    def test_in_several_objects_of_a_sink(self, tmp_path: Path, order: tuple[int, ...], at_once: bool) -> None:
        lake = documents_lake(tmp_path)
        lake.land(SOURCE, "rows+0+0000000007.json", lines_of(created(1, v=1, note="x")))
        for place in order:
            name = f"rows+0+{8 + place:010}.json"
            lake.land(SOURCE, name, lines_of(self.CHANGES[place]))
            if not at_once:
                lake.ingest(SOURCE)
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == [("a", 3, "y")]

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_in_several_objects_of_an_older_version(self, tmp_path: Path, order: tuple[int, ...]) -> None:
        lake = documents_lake(tmp_path)
        lake.land(SOURCE, "created.json", lines_of(created(1, v=1, note="x")))
        for place in order:
            message = self.CHANGES[place]
            lake.land(
                SOURCE, f"{place}.json", lines_of(message | {"source": message["source"] | {"h": -place, "tord": place + 1}})
            )
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == [("a", 3, "y")]

    def test_a_damaged_object_has_its_offset(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        lake.land(SOURCE, "rows+0+0000000008.json", lines_of(updated(2, v=2)) + b"\xff\n")
        lake.ingest(SOURCE)
        assert lake.rows(f"SELECT _sequence FROM changes.{SOURCE}") == [([2, 1, 0, 8],)]


@given(st.data())
@settings(max_examples=15)
def test_they_come_to_what_whole_documents_come_to(data: st.DataObject) -> None:
    """In any order, in any files, with any ingests between, and repeated."""
    names = ("v", "note")
    documents: dict[str, dict[str, object]] = {"a": {}, "b": {}}
    whole, partial = [created(1, key) for key in documents], [created(1, key) for key in documents]
    for second in range(2, data.draw(st.integers(3, 8))):
        key = data.draw(st.sampled_from(sorted(documents)))
        fields = data.draw(st.fixed_dictionaries({}, optional={"v": st.integers(0, 9), "note": st.sampled_from(["x", None])}))
        removed = [name for name in names if name not in fields and data.draw(st.booleans())]
        documents[key] = {name: value for name, value in (documents[key] | fields).items() if name not in removed}
        whole.append(created(second, key, **documents[key]) | {"op": "u"})
        partial.append(updated(second, key, removed, **fields) if fields or removed else whole[-1])
    order = data.draw(st.permutations(range(len(partial)))) + data.draw(st.lists(st.integers(0, 1), max_size=2))
    with tempfile.TemporaryDirectory() as folder:
        expected, lake = documents_lake(Path(folder) / "whole"), documents_lake(Path(folder) / "partial")
        read(expected, *whole)
        for file, place in enumerate(order):
            lake.land(SOURCE, f"{file}.json", lines_of(partial[place]))
            if data.draw(st.booleans()):
                lake.ingest(SOURCE)
        lake.ingest(SOURCE)
        assert lake.rows(STATE) == expected.rows(STATE)


def test_the_books_count_what_is_healed_and_an_update_finds_its_day(tmp_path: Path) -> None:
    day = Daily("about", of="day")

    @source("rows", format=FORM, key=("id",), partition=day, money="amount", owner="team:x", subject="x")
    class Rows(Event):
        """Rows of a day."""

        id: str = column("Key")
        day: Date = column("Day")
        amount: Money = column("Amount", nullable=True)
        note: str = column("Text", nullable=True)

    @table("now", layer="enriched", key=("id",), partition=Daily("day"), money="amount", owner="team:x", subject="x")
    class Now(Published):
        """The latest of each."""

        id: str = column("Key")
        day: Date = column("Day")
        amount: Money = column("Amount", nullable=True)
        note: str = column("Text", nullable=True)

    columns = "id, about AS day, amount, note, TIMESTAMPTZ '2025-01-10' AS ingestion_timestamp, 'rows' AS data_source"
    lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Rows, Now], {"enriched.now": f"SELECT {columns} FROM latest.rows"}))
    lake.land("rows", "2.json", lines_of(updated(2, note="y"), updated(2, "b", amount=1)))
    lake.run()
    lake.land("rows", "1.json", lines_of(created(1, day="2025-01-03", amount=12.5, note="x")))
    lake.run()
    assert lake.rows("SELECT id, day::VARCHAR, amount::VARCHAR, note FROM enriched.now") == [("a", "2025-01-03", "12.50", "y")]
    books = total(from_dict(entry.books) for entry in State(lake.workspace).index("enriched.now").values())
    assert books.balanced
    assert (books.healing.rows, books.healing.columns, books.money.published) == (1, 2, Decimal("12.5"))
