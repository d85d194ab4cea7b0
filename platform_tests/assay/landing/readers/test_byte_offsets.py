"""Quarantine tells the byte at which a refused record begins, whichever way the record was read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from debezium_lake import SOURCE, change, lines_of, rows_lake
from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Count, Event, column, source
from assay.contracts.source import Format
from assay.landing.formats import Csv, Dms, JsonDocuments


def bytes_told(lake: ShopLake, source: str) -> list[tuple[int, int | None]]:
    """Line and byte of every refused record."""
    paths = [lake.store.path(batch.quarantine) for batch in lake.ledger(source).batches if batch.quarantine]
    with lake.connection() as connection:
        return connection.execute("SELECT _landing_row, _landing_byte FROM read_parquet(?) ORDER BY ALL", [paths]).fetchall()


def read(folder: Path, form: Format, name: str, content: bytes) -> list[tuple[int, int | None]]:
    @source("things", format=form, key=("id",), owner="team:x", subject="x")
    class Things(Event):
        """Things."""

        id: str = column("Key")
        count: Count = column("How many", nullable=True)

    lake = ShopLake(folder, domain_of(folder / "sql", [Things], {}))
    lake.land("things", name, content)
    lake.ingest("things")
    return bytes_told(lake, "things")


@pytest.mark.parametrize("tail", [b"", b"\xff\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_changes(tmp_path: Path, tail: bytes, packed: bool) -> None:
    lake = rows_lake(tmp_path, count=Count)
    first, bad = lines_of(change(1, count=1)), lines_of(change(2, count="é?"))
    content = first + b"\n" + bad + b"{\n" + tail
    lake.land(SOURCE, "a.json", gzip.compress(content) if packed else content)
    lake.ingest(SOURCE)
    at = len(first) + 1
    told = [(2, at), (3, at + len(bad)), (4, at + len(bad) + 2)]
    assert bytes_told(lake, SOURCE) == told[: 3 if tail else 2]


DOCUMENTS = JsonDocuments(version="1")


def test_documents_over_several_lines(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{\n"id":"\xc3\xa9"\n}\n {"id":"b",\n"count":"?"}\n{"id":"c"'
    assert read(tmp_path, DOCUMENTS, "a.json", content) == [(2, content.index(b'{"id":"b"')), (3, content.index(b'{"id":"c"'))]


def test_documents(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"id":"\xc3\xa9"}\r\n{"id":"b","count":"?"}\r\n[]\r\n'
    assert read(tmp_path, DOCUMENTS, "a.json", content) == [(2, content.index(b'{"id":"b"')), (3, content.index(b"[]"))]


def test_arrays(tmp_path: Path) -> None:
    content = '\n[{"id":"é"},\n {"id":"b","count":"?"},\n {"id":"c"}, 7, {"id'.encode()
    told = [(2, content.index(b'{"id":"b"')), (4, content.index(b"7")), (5, content.rindex(b'{"id'))]
    assert read(tmp_path, DOCUMENTS, "a.json", content) == told
    assert read(tmp_path / "whole", DOCUMENTS, "a.json", content[:-6] + b"]") == told[:2]


def test_responses(tmp_path: Path) -> None:
    content = '{"name":"é","data":[{"id":"a"},{"id":"b","count":"?"}]}\n{"data":[{"id":"c"},{"count":1}]}\n'.encode()
    told = [(2, content.index(b'{"id":"b"')), (4, content.index(b'{"count":1'))]
    assert read(tmp_path, JsonDocuments(version="1", records="data"), "a.json", content) == told


def test_envelopes(tmp_path: Path) -> None:
    good, bad = ({"key": None, "value": {"id": key, "count": count}} for key, count in (("a", 1), ("b", "?")))
    first = json.dumps(good).encode() + b"\n"
    content = first + json.dumps(bad).encode() + b'\n"\xff"\n'
    assert read(tmp_path, DOCUMENTS, "things-0-0", content) == [(2, len(first)), (3, content.index(b'"\xff"'))]


@pytest.mark.parametrize("tail", ["", '"c\n'])
def test_delimited_text(tmp_path: Path, tail: str) -> None:
    content = f'id,count\n"é\n\na",1\n\nb,?\n{tail}'.encode()
    told = read(tmp_path, Csv(), "a.csv", content)
    assert [byte for _, byte in told] == [content.index(b"b,?"), content.find(b'"c')][: len(told)]
    assert len(told) == (2 if tail else 1)


def test_changes_of_dms(tmp_path: Path) -> None:
    content = 'Op,id,count\nI,"é\na",1\nI,b,?\n'.encode()
    assert read(tmp_path, Dms(table="things"), "LOAD00000001.csv", content) == [(3, content.index(b"I,b"))]


def test_what_is_no_text_has_no_bytes(tmp_path: Path) -> None:
    fastavro = pytest.importorskip("fastavro")
    fields = [{"name": "id", "type": "string"}, {"name": "count", "type": "string"}]
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "Thing", "fields": fields}, [{"id": "a", "count": "?"}])
    assert read(tmp_path, DOCUMENTS, "a.avro", (tmp_path / "a.avro").read_bytes()) == [(1, None)]
