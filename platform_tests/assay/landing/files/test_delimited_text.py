"""Records of delimited text, one by one."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.landing.files.delimited_text import Record, records_in
from assay.landing.files.lines import MAX_LINE_BYTES, Rejected


def split(folder: Path, content: bytes) -> list[tuple[int, list[str]] | tuple[int, str]]:
    path = folder / "file"
    path.write_bytes(content)
    return [
        (number, record.told if isinstance(record, Rejected) else record.fields)
        for number, record in enumerate(records_in(path, ","), 1)
    ]


class TestRecords:
    def test_blank_lines_are_kept_within_quotes_only(self, tmp_path: Path) -> None:
        assert split(tmp_path, b'a,b\n\n\r\n"c\n\nd",e\n') == [(1, ["a", "b"]), (2, ["c\n\nd", "e"])]

    def test_a_byte_order_mark_is_no_text(self, tmp_path: Path) -> None:
        assert split(tmp_path, b"\xef\xbb\xbfa\n") == [(1, ["a"])]

    def test_after_a_line_that_begins_no_record_the_next_starts_anew(self, tmp_path: Path) -> None:
        found = split(tmp_path, b'a,"open\nb,2\n"x"y,3\nc,4\n')
        assert [record for record in found if isinstance(record[1], list)] == [(2, ["b", "2"]), (4, ["c", "4"])]
        assert [record[0] for record in found] == [1, 2, 3, 4]

    def test_what_is_not_utf_8_is_escaped(self, tmp_path: Path) -> None:
        assert split(tmp_path, b"a\ncaf\xe9\nb\n") == [(1, ["a"]), (2, ["caf\udce9"]), (3, ["b"])]

    def test_a_line_that_is_too_long_is_one_refused_record(self, tmp_path: Path) -> None:
        length = MAX_LINE_BYTES + 10
        told = f"the line is {length:,} bytes long; {MAX_LINE_BYTES:,} is the most (at byte 2)"
        assert split(tmp_path, b"a\n" + b"x" * length + b"\nb\n") == [(1, ["a"]), (2, told), (3, ["b"])]

    def test_a_record_has_the_line_and_the_byte_at_which_it_begins(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b'a\n\n"b\nc"\nd\n')
        found = [(record.row, record.offset) for record in records_in(tmp_path / "file", ",")]
        assert found == [(1, 0), (2, 3), (4, 9)]

    def test_broken_compression_ends_the_file(self, tmp_path: Path) -> None:
        packed = gzip.compress(b"".join(b"%d\n" % number for number in range(1000)), compresslevel=0)
        *records, (row, reason) = split(tmp_path, packed[:1000])
        assert row == len(records) + 1 > 100
        assert "the file is damaged from here on" in str(reason)

    @given(st.lists(st.lists(st.text('a,"\n\r é', max_size=4), min_size=2, max_size=3), max_size=5))
    @settings(max_examples=50)
    def test_what_a_writer_wrote_is_read(self, tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
        assert split(tmp_path_factory.mktemp("rows"), text.getvalue().encode()) == list(enumerate(rows, start=1))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\nc\n", (["a", "b"], "\n")),
        (b'"a\n",b\r\nc\r\n', (["a\n", "b"], "\r\n")),
        (b"a,b", (["a", "b"], "\n")),
        (b'a"', (['a"'], "\n")),
    ],
)
def test_what_ends_a_record(tmp_path: Path, content: bytes, expected: tuple[list[str], str]) -> None:
    (tmp_path / "file").write_bytes(content)
    first = next(records_in(tmp_path / "file", ","))
    assert isinstance(first, Record)
    assert (first.fields, first.line_end) == expected
