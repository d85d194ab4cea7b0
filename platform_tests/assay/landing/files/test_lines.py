"""Lines of files, numbered one way however they are read."""

from __future__ import annotations

import gzip
from pathlib import Path
from unittest import mock

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.landing.files import lines

LINES = st.lists(
    st.sampled_from([b"", b" ", b"\t\r", b"a", b'{"b": 1}\r', b"c" * 20, b" " * 20, b"\xff", b"d\x01e"]), max_size=12
)


def written(path: Path, content: list[bytes], *, packed: bool = False, cut: int = 0) -> Path:
    raw = b"\n".join(content)
    path.write_bytes(gzip.compress(raw)[: -cut or None] if packed else raw)
    return path


@given(content=LINES, packed=st.booleans(), cut=st.integers(0, 12))
def test_starts_of_lines_are_where_the_lines_are(tmp_path_factory, content: list[bytes], packed: bool, cut: int) -> None:
    path = written(tmp_path_factory.mktemp("lines") / "a", content, packed=packed, cut=cut)
    with mock.patch.object(lines, "MAX_LINE_BYTES", 10):
        assert list(lines.line_starts(path)) == [(line.row, line.offset) for line in lines.located_lines(path)]


@given(content=LINES, rows=st.sets(st.integers(1, 14)), block=st.integers(1, 30))
def test_the_starts_of_some_lines_are_those_of_all(tmp_path_factory, content: list[bytes], rows: set[int], block: int) -> None:
    path = written(tmp_path_factory.mktemp("lines") / "a", content)
    with mock.patch.multiple(lines, MAX_LINE_BYTES=10, _BLOCK_BYTES=block):
        assert lines.starts_of(path, rows) == {row: start for row, start in lines.line_starts(path) if row in rows}


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", b""), (b"a", b"a"), (b"a\n", b"a"), (b"a\nb\n\n", b"b"), (b"a\n" + b"b" * 70_000, b"b" * 65_536)],
)
def test_the_last_line(tmp_path: Path, content: bytes, expected: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert lines.last_line(tmp_path / "a") == expected


@given(contents=st.lists(LINES, min_size=1, max_size=3), data=st.data())
def test_wanted_lines_are_those_of_their_numbers(tmp_path_factory, contents: list[list[bytes]], data: st.DataObject) -> None:
    """But for those that DuckDB does not read as one line."""
    folder = tmp_path_factory.mktemp("lines")
    expected, wanted = [], {}
    with mock.patch.object(lines, "MAX_LINE_BYTES", 10):
        for number, content in enumerate(contents):
            path = written(folder / str(number), content)
            rows = wanted[path] = data.draw(st.sets(st.integers(1, 12)))
            for line in lines.located_lines(path):
                if not line.reason and line.row in rows and b"\xff" not in line.raw and b"\x01" not in line.raw:
                    expected.append((str(path), line.row, line.raw.rstrip(b"\r\n").decode()))
        query, starts = lines.wanted_lines(wanted, folder / "copied")
        found = duckdb.sql(query).fetchall()
        assert starts == {path: lines.starts_of(path, rows) for path, rows in wanted.items()}
    assert sorted(found) == sorted(expected)
