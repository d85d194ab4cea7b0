"""Lines of files, numbered one way however they are read."""

from __future__ import annotations

import gzip
from pathlib import Path
from unittest import mock

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from assay.landing import lines

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


@given(contents=st.lists(LINES, min_size=1, max_size=3), data=st.data())
def test_wanted_lines_are_those_of_their_numbers(tmp_path_factory, contents: list[list[bytes]], data: st.DataObject) -> None:
    """But for those that DuckDB does not read as one line, and all after one that is too long."""
    folder = tmp_path_factory.mktemp("lines")
    expected, wanted = [], {}
    with mock.patch.object(lines, "MAX_LINE_BYTES", 10):
        for number, content in enumerate(contents):
            path = written(folder / str(number), content)
            rows = wanted[path] = data.draw(st.sets(st.integers(1, 12)))
            for line in lines.located_lines(path):
                if line.reason:
                    break
                if line.row in rows and b"\xff" not in line.raw and b"\x01" not in line.raw:
                    expected.append((str(path), line.row, line.raw.rstrip(b"\r\n").decode()))
        found = duckdb.sql(lines.wanted_lines(wanted, folder / "copied")).fetchall()
    assert sorted(found) == sorted(expected)
