"""Records of delimited text, one by one.

Belongs here: the slow way for files that DuckDB rejects, and reading a file's first record. Does not belong here: what a
record means.

A record keeps the blank lines within its quotes. Records are counted from 1 as DuckDB counts them, without blank lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from assay.landing.files.lines import DAMAGE, DAMAGED, KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected, open_unpacked

# The process-wide limit of one field, 128 KiB by default; DuckDB reads up to this much.
csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(frozen=True)
class First:
    """A file's first record.

    Attributes:
        fields: Its fields.
        line_end: The end of its last line. Unless told, DuckDB uses the first line end it sees, even one within quotes.
    """

    fields: list[str]
    line_end: str


def first_record(path: Path, delimiter: str) -> First | None:
    """Read a file's first record; None if there is none, or the file begins with a damage."""
    with open_unpacked(path) as stream:
        lines = _Lines(stream)
        for record in _split(lines, delimiter):
            return None if isinstance(record, Rejected) else First(record[1], lines.line_end)
    return None


def split_records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    """Read a file's records, gzipped or not, damaged or not.

    After a line that cannot begin a record, parsing restarts at the next line.

    Yields:
        A record's number and its fields, or why it is not a record.
    """
    with open_unpacked(path) as stream:
        yield from _split(_Lines(stream), delimiter)


def places(path: Path, delimiter: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each record of a file, readable or not, and the byte at which it begins."""
    with open_unpacked(path) as stream:
        lines = _Lines(stream)
        for record in _split(lines, delimiter):
            yield (record.row if isinstance(record, Rejected) else record[0]), lines.offset


def _split(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    while True:
        lines.start_record()
        row += 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            text = lines.back_to_second()
            yield Rejected(row, text, f"not a record of delimited text: {error}", lines.offset)
        except _UnreadableLineError as error:
            yield Rejected(row, error.text, error.reason, lines.offset)
        else:
            if not fields:
                row -= 1
            elif any(not _encodable(value) for value in fields):
                yield Rejected(row, lines.text(), "not valid UTF-8", lines.offset)
            else:
                yield row, fields


class _UnreadableLineError(Exception):
    """A line that cannot be part of any record."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.reason = reason


class _Lines:
    """Hands a file's lines to `csv.reader`, and can take back the lines after the first when they turn out not to be one record.

    Args:
        stream: The file, decompressed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._read = 0
        self._is_broken = False
        self._taken_back: list[tuple[int, str]] = []
        self._taken: list[tuple[int, str]] = []

    @property
    def offset(self) -> int:
        """The byte at which the current record begins."""
        return self._taken[0][0] if self._taken else self._read

    def start_record(self) -> None:
        """Begin a record with the next line."""
        self._taken = []

    def back_to_second(self) -> str:
        """Take back all lines of the current record except the first, and return that."""
        self._taken_back += self._taken[:0:-1]
        self._taken = self._taken[:1]
        return self.text()

    @property
    def line_end(self) -> str:
        """The end of the current record's last line."""
        return "\r\n" if self._taken and self._taken[-1][1].endswith("\r\n") else "\n"

    def text(self) -> str:
        """The lines of the current record, as far as they are kept."""
        text = "".join(line for _, line in self._taken).rstrip("\r\n")
        return text.encode("utf-8", "backslashreplace").decode()[:KEPT_OF_A_BAD_LINE]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._taken_back:
            self._taken.append(self._taken_back.pop())
            return self._taken[-1][1]
        if self._is_broken:
            raise StopIteration
        try:
            raw = self._stream.readline(MAX_LINE_BYTES + 1)
        except DAMAGE as error:
            self._is_broken = True
            raise _UnreadableLineError("", f"{DAMAGED}: {error}") from error
        if not raw:
            raise StopIteration
        text = raw.decode("utf-8" if self._read else "utf-8-sig", errors="surrogateescape")
        self._taken.append((self._read, text))
        self._read += len(raw)
        return text


def _encodable(value: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in value)
