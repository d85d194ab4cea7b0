"""Edits in every way that records are written: the record is read as if it had been written so, and stands in its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from change_lines import change, text
from one_source import Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Count, Daily, column
from assay.contracts import Event as Sent
from assay.errors import EditError
from assay.landing.formats import Csv, Debezium, Dms, Explode, JsonDocuments, Snapshot
from assay.landing.quarantine.editing import land_edits
from assay.landing.quarantine.in_place import Wish
from assay.landing.readers.edits import Edit, Event, edit_of, is_edit
from assay.pipeline.quarantined import Record, Selection, records
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.pipeline.trail import read_trail

SOURCE = "rows"
DAILY = {"partition": Daily("d", of="day", moves="told")}
GOOD = "id,day,amount,note\n1,2025-01-03,1.00,a\n"


def row(id: int, position: int | None = None, op: str = "c", amount: str = "1.00", day: str = "2025-01-03") -> str:
    return change("t", op, position or id, {"id": id, "day": day, "amount": amount, "note": "n"})


def lake_with(folder: Path, name: str, content: bytes, **declaration: Any) -> ShopLake:
    lake = lake_of(folder, SOURCE, Row, **declaration)
    lake.land(SOURCE, name, content)
    lake.ingest(SOURCE)
    return lake


def stands(lake: ShopLake) -> list[Record]:
    with lake.connection() as connection:
        return records(connection, State(lake.workspace), lake.source(SOURCE), Selection())


def edit(lake: ShopLake, number: int = 0, text: str | None = None, values: Mapping[str, str | None] | None = None) -> list[Edit]:
    record = stands(lake)[number]
    assert record.object is not None and record.line is not None
    wish = Wish(record.object, record.line, "record", record.record or "", text=text, values=values or {})
    with lake.connection() as connection:
        source, ledger = lake.source(SOURCE), lake.ledger(SOURCE)
        return land_edits(lake.store, connection, source, lake.workspace.scratch, ledger, [wish], "ann", "typo")


def told(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, day::VARCHAR, amount::VARCHAR, note, _op, _sequence FROM changes.rows ORDER BY _sequence, id")


def require_balance(lake: ShopLake) -> None:
    books = source_books(lake.ledger(SOURCE))
    assert books.balanced
    assert books.rows.quarantined == len(stands(lake))


class TestText:
    def test_a_line_of_delimited_text_that_was_cut(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.csv", f'{GOOD}2,2025\n3,2025-01-03,3.00,"x\ny"\n'.encode(), format=Csv())
        edit(lake, text="2,2025-01-03,2.00,b")
        lake.ingest(SOURCE)
        assert [(each[0], each[2]) for each in told(lake)] == [(1, "1.00"), (3, "3.00"), (2, "2.00")]
        assert stands(lake) == []
        require_balance(lake)

    def test_fields_of_delimited_text_are_shown_and_edited_as_an_object(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.csv", f'{GOOD}2,2025-01-03,x,"b;"\n'.replace(",", ";").encode(), format=Csv(delimiter=";"))
        (record,) = stands(lake)
        fields = json.loads(str(record.record))
        assert fields == {"id": "2", "day": "2025-01-03", "amount": "x", "note": "b;"}
        edit(lake, text=json.dumps(fields | {"amount": "2.00"}))
        lake.ingest(SOURCE)
        assert (2, "2025-01-03", "2.00", "b;", "r") in [each[:5] for each in told(lake)]
        require_balance(lake)

    def test_an_element_of_an_array_and_a_packed_file(self, tmp_path: Path) -> None:
        rows = [{"id": 1, "amount": "1.00"}, {"id": 2, "amount": "x"}, {"id": 3, "amount": "3.00"}]
        for name, content in (("a.json", json.dumps(rows).encode()), ("b.json.gz", gzip.compress(json.dumps(rows[1]).encode()))):
            lake = lake_with(tmp_path / name, name, content, format=JsonDocuments(version="id"))
            edit(lake, text='{"id": 2, "amount": "2.00"}')
            lake.ingest(SOURCE)
            assert (2, None, "2.00") in [each[:3] for each in told(lake)]
            require_balance(lake)

    def test_a_row_of_a_database_migration(self, tmp_path: Path) -> None:
        content = b"I,1,2025-01-03,1.00,n\nU,2,2025-01-03,x,n\n"
        form = Dms(table="rows", layout=("id", "day", "amount", "note"))
        lake = lake_with(tmp_path, "20250110-000000001.csv", content, format=form, **DAILY)
        shown = json.loads(str(stands(lake)[0].record))
        edit(lake, text=json.dumps({**shown, "amount": "2.00"}))
        lake.ingest(SOURCE)
        assert [(each[0], each[2], each[4]) for each in told(lake)] == [(1, "1.00", "c"), (2, "2.00", "u")]
        require_balance(lake)

    def test_several_lines_of_one_object(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text("{a", row(1), "{b", row(3, amount="x")), format=Debezium("t"), **DAILY)
        for _ in range(2):
            edit(lake, 0, text=row(2))
            edit(lake, 1, text=row(4, amount="4.00"))
        lake.ingest(SOURCE)
        assert [each[0] for each in told(lake)] == [1, 2, 4]
        assert [each.line for each in stands(lake)] == [4]
        require_balance(lake)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ("{nonsense", "cannot be read: not valid JSON"),
            ("", "it is no record"),
            (change("other", "c", 1, {"id": 1}), "cannot be read"),
        ],
    )
    def test_what_cannot_be_read_does_not_land(self, tmp_path: Path, changed: str, said: str) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1), "{b"), format=Debezium("t"), **DAILY)
        with pytest.raises(EditError, match=said):
            edit(lake, text=changed)
        assert lake.etags(f"landing/{SOURCE}/_edits/") == {}

    def test_a_message_does_not_land(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1), "{b"), format=Debezium("t"), **DAILY)
        with pytest.raises(EditError, match="is a message, not a row change"):
            edit(
                lake,
                text='{"op": "m", "source": {"table": "t", "lsn": 3, "ts_ms": 1}, "message": {"prefix": "p", "content": ""}}',
            )

    def test_an_object_that_is_gone_or_replaced_is_not_edited(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1), "{b"), format=Debezium("t"), **DAILY)
        lake.land(SOURCE, "a.json", text(row(2), row(3)))
        with pytest.raises(EditError, match="has been replaced since it was ingested"):
            edit(lake, text=row(2))
        lake.store.delete(f"landing/{SOURCE}/a.json")
        with pytest.raises(EditError, match="is gone from the landing zone"):
            edit(lake, text=row(2))
        assert lake.etags(f"landing/{SOURCE}/_edits/") == {}

    def test_other_fields_than_the_file_has_do_not_land(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.csv", f"{GOOD}2,2025-01-03,x,b\n".encode(), format=Csv())
        with pytest.raises(EditError, match="of the fields id, day, amount, note, in this order"):
            edit(lake, text='{"id": "2"}')


class TestValues:
    def test_a_column_of_a_workbook_or_of_any_other_file(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.csv", f"{GOOD}2,2025-01-03,x,b\n".encode("utf-16"), format=Csv())
        with pytest.raises(EditError, match="the place of record 3 in its text is not known"):
            edit(lake, text='{"id": "2", "day": "2025-01-03", "amount": "2.00", "note": "b"}')
        edit(lake, values={"amount": "2.00"})
        lake.ingest(SOURCE)
        assert (2, "2025-01-03", "2.00", "b", "r") in [each[:5] for each in told(lake)]
        require_balance(lake)

    def test_a_record_of_a_snapshot_stays_in_it(self, tmp_path: Path) -> None:
        form = Csv(snapshot=Snapshot(share=0))
        lake = lake_with(tmp_path, "s-2025-01-02.csv", b"id,amount\n1,1\n2,x\n", format=form)
        edit(lake, values={"amount": "2.00"})
        lake.ingest(SOURCE)
        assert lake.rows("SELECT id FROM latest.rows ORDER BY 1") == [(1,), (2,)]
        lake.land(SOURCE, "s-2025-01-03.csv", b"id,amount\n1,1\n")
        lake.ingest(SOURCE)
        assert lake.rows("SELECT id FROM latest.rows") == [(1,)]
        require_balance(lake)

    def test_a_record_without_a_position_needs_its_text(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1), "{amount"), format=Debezium("t"), **DAILY)
        with pytest.raises(EditError, match="`set` does not change the value that is wrong"):
            edit(lake, values={"amount": "1"})

    def test_a_line_of_several_records_needs_its_text(self, tmp_path: Path) -> None:
        items = Explode("items", ordinal="place", parent={"id": "id", "v": "v"})
        form = JsonDocuments(version="v::BIGINT", explode=items)
        lake = lake_of(tmp_path, SOURCE, Item, format=form, key=("id", "place"))
        lake.land(SOURCE, "a.json", b'{"id": "a", "v": 1, "items": [{"amount": "x"}, {"amount": "y"}, {"amount": 1}]}\n')
        lake.ingest(SOURCE)
        with pytest.raises(EditError, match="there are 2 records, and `set` does not say which one"):
            edit(lake, values={"amount": "1"})
        edit(lake, text='{"id": "a", "v": 1, "items": [{"amount": 7}, {"amount": 8}, {"amount": 1}]}')
        lake.ingest(SOURCE)
        assert lake.rows("SELECT place, amount FROM latest.rows ORDER BY 1") == [(1, 7), (2, 8), (3, 1)]
        require_balance(lake)


class Item(Sent):
    """An item of an order."""

    id: str = column("The order")
    place: Count = column("Its place")
    v: str = column("Version", nullable=True)
    amount: Count = column("Amount", nullable=True)


class TestEdits:
    def test_an_edit_is_read_back_as_it_was(self) -> None:
        event = Event("u", (1, 2, 0), "2025-01-01 00:00:00+00", ("a",), None, '{"x": 1}', {"id": "1", "note": None})
        made = Edit("landing/rows/a.json", 3, "record", "", "ann", "typo", "2025-01-01", "ä", "b", (event, event))
        assert edit_of(made.to_lines()) == made

    def test_its_name_is_that_of_the_record(self) -> None:
        made = Edit("landing/rows/a.json", 3, "record", "", "ann", "typo", "2025-01-01", "a", "b", ())
        other = Edit("landing/rows/a.json", 3, "record", "", "bob", "other", "2025-01-02", "a", "c", ())
        assert made.key(SOURCE) == other.key(SOURCE)
        assert is_edit(made.key(SOURCE)) and not is_edit("landing/rows/_edit/a.json") and not is_edit("landing/rows/a/_edits/b")

    def test_what_else_is_put_there_goes_to_quarantine(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1)), format=Debezium("t"), **DAILY)
        lake.land(SOURCE, "_edits/mine.json", b'{"no": "edit"}\nnonsense\n')
        lake.ingest(SOURCE)
        assert [each.reasons for each in stands(lake)] == [("no edited record",)] * 2
        assert read_trail(lake.store, [lake.source(SOURCE)]) == []
        require_balance(lake)

    def test_what_stands_in_its_place_and_is_none_stops_it(self, tmp_path: Path) -> None:
        lake = lake_with(tmp_path, "a.json", text(row(1), "{b"), format=Debezium("t"), **DAILY)
        (made,) = edit(lake, text=row(2))
        lake.land(SOURCE, made.key(SOURCE).removeprefix(f"landing/{SOURCE}/"), b"mine")
        with pytest.raises(EditError, match="is not an edit, but has the name of one that is to land"):
            edit(lake, text=row(2))
