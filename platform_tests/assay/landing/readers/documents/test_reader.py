"""Plain JSON documents: exactly what was sent, one a line, in arrays and in responses."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import pytest
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Count, Event, Money, column, source
from assay.errors import ContractError
from assay.landing.formats import Explode, JsonDocuments


def documents_lake(folder: Path, form: JsonDocuments | None = None, money: str | None = None) -> ShopLake:
    @source("docs", format=form or JsonDocuments(version="v::BIGINT"), key=("id",), owner="team:x", subject="x", money=money)
    class Documents(Event):
        """Documents."""

        id: str = column("Key")
        v: str = column("Version", nullable=True)
        a: str = column("A value", nullable=True)
        b: str = column("Another", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Documents], {}))


def read(folder: Path, *lines: str) -> list[tuple[object, ...]]:
    lake = documents_lake(folder)
    lake.land("docs", "a.json", "\n".join(lines).encode())
    lake.ingest("docs")
    assert lake.refused("docs") == []
    return lake.rows("SELECT a, b, _missing FROM changes.docs ORDER BY _landing_row")


class TestValues:
    def test_absent_null_and_empty_are_four_things(self, tmp_path: Path) -> None:
        assert read(
            tmp_path,
            '{"id":"1","v":1}',
            '{"id":"2","v":1,"a":null,"b":null}',
            '{"id":"3","v":1,"a":[],"b":{}}',
            '{"id":"4","v":1,"a":"","b":"[]"}',
        ) == [(None, None, ["a", "b"]), (None, None, None), ("[]", "{}", None), ("", "[]", None)]

    @pytest.mark.parametrize(
        "number",
        [
            "1",
            "1.50",
            "100.00",
            "-0",
            "-0.0",
            "1e5",
            "1E+5",
            "0.00001",
            "12345678901234567890123",
            "0.1234567890123456789012",
            "1.10e-7",
        ],
    )
    def test_a_number_keeps_all_its_digits_wherever_it_is(self, tmp_path: Path, number: str) -> None:
        document = (
            f'{{"id": "1", "v": {number}, "a": {number}, "b": [{number}, {{"c": {number}, "d": "{number}"}}], "z": {number}}}'
        )
        lake = documents_lake(tmp_path, JsonDocuments(version="1"))
        lake.land("docs", "a.json", document.encode())
        lake.ingest("docs")
        assert lake.rows("SELECT a, b, _rescued FROM changes.docs") == [
            (number, f'[{number},{{"c":{number},"d":"{number}"}}]', f'{{"z":{number}}}')
        ]

    def test_one_object_where_others_have_a_scalar_changes_nothing_else(self, tmp_path: Path) -> None:
        @source("docs", format=JsonDocuments(version="1"), key=("id",), owner="team:x", subject="x")
        class Documents(Event):
            """Documents."""

            id: str = column("Key")
            amount: Money = column("Amount", nullable=True)

        lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Documents], {}))
        lake.land("docs", "a.json", b'{"id":"1","amount":1.5}\n{"id":"2","amount":{"value":1}}\n{"id":"3","amount":"2.50"}\n')
        lake.ingest("docs")
        assert lake.rows("SELECT id, amount FROM changes.docs ORDER BY id") == [("1", Decimal("1.50")), ("3", Decimal("2.50"))]
        assert [reason for _, _, reason in lake.refused("docs")] == ["amount is '{\"value\":1}', which is no DECIMAL(18,2)"]

    @settings(max_examples=15)
    @given(
        st.lists(
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.decimals(allow_nan=False, allow_infinity=False).map(str)
                | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab1."\\', min_size=1), inner, max_size=3),
                max_leaves=5,
            ),
            min_size=1,
            max_size=6,
        )
    )
    def test_any_nested_value_comes_out_as_it_was(self, values: list[object]) -> None:
        values = [[each] for each in values]
        lines = [json.dumps({"id": str(n), "v": 1, "a": each}) for n, each in enumerate(values)]
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), *lines)
        assert [json.loads(str(row[0])) for row in found] == values


def test_a_document_whose_version_is_no_number_stops_no_other(tmp_path: Path) -> None:
    lake = documents_lake(tmp_path)
    key = lake.land("docs", "a.json", b'{"id":"1","v":1}\n{"id":"2","v":"soon"}\n{"id":"3","v":12345678901234567890}\n')
    lake.land("docs", "b.json", b'{"id":"4","v":1}\n')
    lake.ingest("docs")
    assert lake.rows("SELECT id FROM latest.docs ORDER BY 1") == [("1",), ("4",)]
    assert lake.refused("docs") == [(key, line, "no version: v::BIGINT gives no number") for line in (2, 3)]


class TestAmounts:
    LINES = b'{"id":"1","v":1,"a":"1.5"}\n{"id":"2","v":1,"a":"soon"}\n{"id":"3","v":1}\n'

    @pytest.mark.parametrize("expression", ["a::DECIMAL(18,4)", "a::DECIMAL(38,4)"])
    def test_a_document_whose_amount_is_no_number_stops_no_other(self, tmp_path: Path, expression: str) -> None:
        lake = documents_lake(tmp_path, money=expression)
        key = lake.land("docs", "a.json", self.LINES + b'{"id":"4","v":1,"a":9999999999999999999999999999999999}\n' * 2)
        lake.land("docs", "b.json", b'{"id":"5","v":1,"a":2}\n')
        lake.ingest("docs")
        amounts = lake.rows("SELECT id, _money::VARCHAR FROM latest.docs ORDER BY 1")
        assert amounts == [("1", "1.5000"), ("3", "0.0000"), ("5", "2.0000")]
        reason = f"no amount: {expression} gives no number with at most 24 digits before its point"
        assert lake.refused("docs") == [(key, line, reason) for line in (2, 4, 5)]

    def test_totals_have_more_digits_than_an_amount(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path, money="a::DECIMAL(38,4)")
        most = b"9" * 24 + b".9999"
        lake.land("docs", "a.json", b"".join(b'{"id":"%d","v":1,"a":%s}\n' % (n, most) for n in range(50)))
        (batch,) = lake.ingest("docs").batches
        assert [part.money for part in batch.parts] == ["49999999999999999999999999.9950"]


class TestSeveralLines:
    ONE = b'{\n  "id": "1",\r\n  "v": 1,\n  "a": {"x": [\n1.50]},\n  "b": "\xc3\xa9"\n}\n'

    @pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n "])
    @pytest.mark.parametrize("is_packed", [False, True])
    def test_an_object_over_several_lines_is_one_document(self, tmp_path: Path, start: bytes, is_packed: bool) -> None:
        lake = documents_lake(tmp_path)
        content = start + self.ONE
        key = lake.land("docs", "a.json", gzip.compress(content) if is_packed else content)
        done = lake.ingest("docs")
        assert (done.records, lake.refused("docs")) == (1, [])
        ((document, other, found, line),) = lake.rows("SELECT a, b, _landing_object, _landing_row FROM changes.docs")
        assert (json.loads(str(document)), other, found, line) == ({"x": [1.5]}, "é", key, 1)
        assert "1.50" in str(document)

    def test_several_stand_one_after_the_other(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        lake.land("docs", "a.json", self.ONE + self.ONE.replace(b'"1"', b'"2"') + b'{"id":"3","v":1}')
        lake.ingest("docs")
        assert lake.rows("SELECT id, _landing_row FROM latest.docs ORDER BY 1") == [("1", 1), ("2", 2), ("3", 3)]

    @pytest.mark.parametrize("whole", [0, 1])
    def test_one_that_breaks_off_is_refused_once_and_those_before_it_are_kept(self, tmp_path: Path, whole: int) -> None:
        lake = documents_lake(tmp_path)
        key = lake.land("docs", "a.json", self.ONE * whole + self.ONE[:-3])
        lake.ingest("docs")
        assert len(lake.rows("SELECT id FROM changes.docs")) == whole
        ((refused, line, reason),) = lake.refused("docs")
        assert (refused, line) == (key, whole + 1)
        assert reason.startswith("the file is damaged from here on: ")

    def test_lines_are_lines_whatever_the_first_is(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        key = lake.land("docs", "a.json", b'{\n{"id":"2","v":1}\n')
        lake.ingest("docs")
        assert lake.rows("SELECT id FROM changes.docs") == [("2",)]
        assert [(found, line) for found, line, _ in lake.refused("docs")] == [(key, 1)]


class TestResponses:
    FORM = JsonDocuments(version="v::BIGINT", records="data.items")
    ONE = b'\xef\xbb\xbf{"data": {"page": 1, "items": [\n {"id": "1", "v":1, "a":1.50},\r\n\t{"id": "2", "v": 1}\n]}, "next": 0}'

    def test_records_are_found_where_they_are_declared_to_be(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path, self.FORM)
        first = lake.land("docs", "a.json", self.ONE)
        second = lake.land("docs", "b.json", b'{"data":{"items":[]}}')
        lines = b'{"data":{"items":{"id":"3","v":1}}}\n{"data":{"items":null}}\n{"data":{"items":[{"id":"4"}]}}\n'
        third = lake.land("docs", "c.json", lines)
        done = lake.ingest("docs")
        assert lake.rows("SELECT id, a, _landing_object, _landing_row FROM changes.docs ORDER BY id") == [
            ("1", "1.50", first, 1),
            ("2", None, first, 2),
            ("3", None, third, 1),
        ]
        assert lake.refused("docs") == [(third, 2, "no version: v::BIGINT gives no number")]
        assert {each.key for batch in done.batches for each in batch.landed} == {first, second, third}

    def test_an_array_is_its_elements(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path)
        lake.land("docs", "a.json", b'[{"id": "1", "v": 1, "a": 1.50},\n {"id": "2", "v": 1, "a": [2.00]}]')
        lake.ingest("docs")
        assert lake.rows("SELECT id, a FROM changes.docs ORDER BY id") == [("1", "1.50"), ("2", "[2.00]")]

    @pytest.mark.parametrize("zip_it", [False, True], ids=["plain", "gzip"])
    def test_the_whole_records_of_half_a_response_are_kept(self, tmp_path: Path, zip_it: bool) -> None:
        lake = documents_lake(tmp_path, self.FORM)
        records = b", ".join(b'{"id": "%d", "v": 1, "a": %d.50}' % (n, n * 7919 % 1000) for n in range(500))
        content = b'{"data": {"items": [' + records + b"]}}"
        half = gzip.compress(content)[:-40] if zip_it else content[:-40]
        lake.land("docs", "a.json", half)
        lake.land("docs", "b.json", self.ONE.replace(b'"id": "', b'"id": "b'))
        lake.ingest("docs")
        kept = lake.rows("SELECT count(*), count(*) FILTER (a LIKE '%.50') FROM changes.docs WHERE id NOT LIKE 'b%'")
        ((_, line, reason),) = lake.refused("docs")
        assert kept[0][0] == kept[0][1] == line - 1 > 400
        offset = int(reason.rpartition("at byte ")[2].rstrip(")").replace(",", ""))
        assert content[offset:].startswith(b'{"id": "%d"' % (line - 1)) or content[:offset].endswith(b".50}")

    def test_damage_between_two_responses_is_reported(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path, self.FORM)
        key = lake.land("docs", "a.json.gz", gzip.compress(self.ONE)[:-4])
        lake.ingest("docs")
        assert lake.rows("SELECT count(*) FROM changes.docs") == [(2,)]
        ((where, line, reason),) = lake.refused("docs")
        assert (where, line) == (key, 3)
        assert reason.startswith("the file is damaged from here on: the compressed data ends before its end marker")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b'{"error": "busy"}', "not a response with records at data.items: it has no data (at byte 16)"),
            (b"<html>", "not a response with records at data.items: an object with data should begin here (at byte 0)"),
            (b'{"data": {"items": 5}}', "not a response with records at data.items: [ should be here (at byte 19)"),
        ],
    )
    def test_what_is_no_response_is_refused(self, tmp_path: Path, content: bytes, reason: str) -> None:
        lake = documents_lake(tmp_path, self.FORM)
        key = lake.land("docs", "a.json", content)
        lake.land("docs", "b.json", self.ONE)
        lake.ingest("docs")
        assert lake.refused("docs") == [(key, 1, reason)]
        assert lake.rows("SELECT count(*) FROM changes.docs") == [(2,)]

    def test_a_record_that_is_not_utf8_is_refused_alone(self, tmp_path: Path) -> None:
        lake = documents_lake(tmp_path, self.FORM)
        lake.land("docs", "a.json", b'{"data": {"items": [{"id":"1","v":1}, {"id":"2","v":1,"a":"\xe9"}, {"id":"3","v":1}]}}')
        lake.ingest("docs")
        assert lake.rows("SELECT id, _landing_row FROM changes.docs ORDER BY id") == [("1", 1), ("3", 3)]
        assert [(line, reason) for _, line, reason in lake.refused("docs")] == [(2, "not valid UTF-8 (at byte 38)")]

    def test_four_times_the_records_that_are_not_utf8_take_not_more_than_that(self, tmp_path: Path) -> None:
        spent = []
        for records in (400, 1600):
            lake = documents_lake(tmp_path / str(records), self.FORM)
            record = b'{"id":"1","v":1,"a":"' + b"x" * 4000 + b'\xe9"}'
            lake.land("docs", "a.json", b'{"data": {"items": [' + b", ".join([record] * records) + b"]}}")
            started = time.process_time()
            assert lake.ingest("docs").quarantined == records
            spent.append(time.process_time() - started)
        assert spent[1] < 5 * spent[0]


def items_lake(folder: Path) -> ShopLake:
    explode = Explode("order.items", ordinal="place", parent={"order_id": "id", "v": "v"})

    @source(
        "items",
        format=JsonDocuments(version="v::BIGINT", explode=explode),
        key=("order_id", "place"),
        owner="team:x",
        subject="x",
    )
    class Items(Event):
        """Items of orders."""

        order_id: str = column("The order")
        place: Count = column("Its place")
        v: str = column("Version", nullable=True)
        sku: str = column("What", nullable=True)
        price: Money = column("Price", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Items], {}))


class TestChildren:
    def test_each_element_is_a_record_of_its_document_and_place(self, tmp_path: Path) -> None:
        lake = items_lake(tmp_path)
        key = lake.land(
            "items",
            "a.json",
            b'{"id":"o1","v":1,"order":{"items":[{"sku":"x","price":1.10},{"sku":"y","new":2.00},7]}}\n'
            b'{"id":"o2","v":1,"order":{"items":{"sku":"z"}}}\n{"id":"o3","v":1,"order":{"items":[]}}\n{"id":"o4","v":1}\n'
            b'{"id":"o5","v":1,"order":{"items":"none"}}\n',
        )
        lake.ingest("items")
        rows = "SELECT order_id, place, sku, price::VARCHAR, _missing, _rescued, _landing_row FROM changes.items WHERE _op = 'r'"
        assert lake.rows(f"{rows} ORDER BY ALL") == [
            ("o1", 1, "x", "1.10", None, None, 1),
            ("o1", 2, "y", None, ["price"], '{"new":2.00}', 1),
            ("o2", 1, "z", None, ["price"], None, 2),
        ]
        assert lake.refused("items") == [(key, 1, "element 3 of order.items is no object"), (key, 5, "order.items is no array")]

    def test_each_version_of_a_document_says_that_it_replaces_all_elements(self, tmp_path: Path) -> None:
        lake = items_lake(tmp_path)
        lake.land(
            "items", "a.json", b'{"id":"o1","v":2,"order":{"items":[]}}\n{"id":"o1","v":1,"order":{"items":[{"sku":"x"}]}}\n'
        )
        lake.ingest("items")
        marks = "SELECT order_id, place, _op, _sequence FROM changes.items ORDER BY _sequence, place"
        assert lake.rows(marks) == [("o1", 0, "d", [1]), ("o1", 1, "r", [1]), ("o1", 0, "d", [2])]


def test_documents_without_any_order_are_a_wrong_declaration() -> None:
    with pytest.raises(ContractError, match="nothing orders the documents"):
        JsonDocuments()
