"""Records of delimited text, one by one, past every damage.

Belongs here: splitting lines into records, and the byte at which each begins: the slow way, for files that DuckDB rejects. Does
not belong here: what a record means, and how many fields it must have (the readers).

A record keeps the blank lines within its quotes; those between records are none.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.landing.files.lines import KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Line, Rejected, located_lines

# The process-wide limit of one field, 128 KiB by default; DuckDB reads up to this much.
csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(frozen=True)
class Record:
    """A record as it is in a file.

    Attributes:
        row: The line on which it begins, from 1.
        offset: The byte at which it begins.
        fields: Its fields; bytes that are not UTF-8 are escaped as surrogates.
        text: Its whole text.
    """

    row: int
    offset: int
    fields: list[str]
    text: str

    @property
    def line_end(self) -> str:
        """The end of its last line."""
        return "\r\n" if self.text.endswith("\r\n") else "\n"


def records_in(path: Path, delimiter: str) -> Iterator[Record | Rejected]:
    """Read a file's records, gzipped or not, damaged or not; see `records_of`."""
    return records_of(located_lines(path, blank=True), delimiter)


def places(path: Path, delimiter: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each record of a file, readable or not, and the byte at which it begins."""
    for number, record in enumerate(records_in(path, delimiter), 1):
        yield number, record.offset or 0


def records_of(lines: Iterator[Line], delimiter: str, size: Callable[[bytes], int] | None = None) -> Iterator[Record | Rejected]:
    """Split lines into records.

    After a line that cannot begin a record, parsing restarts at the next line.

    Args:
        lines: The lines of a file, blank ones included.
        delimiter: One character.
        size: Computes a line's size in the object from its bytes here, if the two differ.

    Yields:
        A record, or why there is none.
    """
    taken = _Lines(lines, size)
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    while True:
        taken.start_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            text = taken.back_to_second()
            yield Rejected(taken.row, kept(text), f"not a record of delimited text: {error}", taken.offset)
        except _UnreadableLineError as error:
            yield Rejected(error.line.row, kept(text_of(error.line)), str(error.line.reason), taken.offset_of(error.line))
        else:
            if fields:
                yield Record(taken.row, taken.offset, fields, taken.text)


def text_of(line: Line) -> str:
    """A line's text; bytes that are not UTF-8 are escaped as surrogates."""
    return line.raw.decode("utf-8-sig" if line.offset == 0 else "utf-8", errors="surrogateescape")


def kept(text: str) -> str:
    """The start of a bad record, as far as it is kept; bytes that are not UTF-8 are escaped."""
    raw = text.rstrip("\r\n").encode("utf-8", "surrogateescape")
    return raw[:KEPT_OF_A_BAD_LINE].decode("utf-8", "backslashreplace")


class _UnreadableLineError(Exception):
    """A line that cannot be part of any record."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.reason)
        self.line = line


class _Lines:
    """Hands lines to `csv.reader`, and can take back the lines after the first when they turn out not to be one record.

    Args:
        lines: The lines.
        size: Computes a line's size in the object from its bytes here, if the two differ.
    """

    def __init__(self, lines: Iterator[Line], size: Callable[[bytes], int] | None) -> None:
        self._unread = lines
        self._size = size
        self._end = len(b"\xff\xfe") if size else 0
        self._taken_back: list[tuple[int, int, str]] = []
        self._taken: list[tuple[int, int, str]] = []

    @property
    def row(self) -> int:
        """The line on which the current record begins."""
        return self._taken[0][0]

    @property
    def offset(self) -> int:
        """The byte at which the current record begins."""
        return self._taken[0][1]

    @property
    def text(self) -> str:
        """The text of the current record."""
        return "".join(text for _, _, text in self._taken)

    def start_record(self) -> None:
        """Begin a record with the next line."""
        self._taken = []

    def back_to_second(self) -> str:
        """Take back all lines of the current record except the first, and return that."""
        self._taken_back += self._taken[:0:-1]
        self._taken = self._taken[:1]
        return self.text

    def offset_of(self, line: Line) -> int:
        """The byte at which the line read last begins."""
        return self._end if self._size else line.offset

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._taken_back:
            self._taken.append(self._taken_back.pop())
            return self._taken[-1][2]
        line = next(self._unread)
        if line.reason is not None:
            raise _UnreadableLineError(line)
        offset = self.offset_of(line)
        if self._size:
            self._end += self._size(line.raw)
        self._taken.append((line.row, offset, text_of(line)))
        return self._taken[-1][2]
