"""Records of delimited text that DuckDB cannot read: kept one by one, repaired, and rewritten so that it can.

Belongs here: the slow path for files with damage or with bytes that are not UTF-8. Does not belong here: splitting text into
records (`files.delimited_text`), what a record means (`reader`), spreadsheets (`workbooks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from assay.contracts import Source
from assay.landing.files import delimited_text
from assay.landing.files.delimited_text import Record, kept, records_of, text_of
from assay.landing.files.encodings import LOST, has_foreign_bytes, repaired, rewrite_utf16, utf16_of
from assay.landing.files.lines import (
    DAMAGE,
    DAMAGED,
    Line,
    Rejected,
    located_lines,
    open_unpacked,
)
from assay.landing.formats import Csv
from assay.landing.readers.delimited.layouts import Layout, Misfit, csv_format, layout_of, layout_with
from assay.landing.readers.delimited.workbooks import is_workbook

COLUMN_OF_LINE = "_n"
"""Name of the first column written: the line on which a record begins."""


@dataclass
class Unusual:
    """Counts fields whose text was repaired, or could not be.

    Attributes:
        count: How many.
        row: The line of the first.
        column: Its column.
    """

    count: int = 0
    row: int = 0
    column: str = ""

    def add(self, row: int, column: str) -> None:
        """Count one more."""
        if not self.count:
            self.row, self.column = row, column
        self.count += 1

    @property
    def place(self) -> str:
        """Where the first one is, in words."""
        return f"the first is {self.column or 'a column without name'} on line {self.row}"


@dataclass
class Salvaged:
    """What was kept of a file.

    Attributes:
        layout: Its layout, or why it does not fit its source.
        rejected: What was left out.
        is_cut: Whether the file is truncated.
        records: How many records were kept.
        repaired: Fields with bytes that were read as Windows-1252.
        lost: Fields with a replacement character, whose original was lost upstream.
        trailer: The number of records stated in the file's last line; None if it has no such line, or needs none.
    """

    layout: Layout | Misfit = field(default_factory=lambda: Misfit("", "the file has no header line"))
    rejected: list[Rejected] = field(default_factory=list)
    is_cut: bool = False
    records: int = 0
    repaired: Unusual = field(default_factory=Unusual)
    lost: Unusual = field(default_factory=Unusual)
    trailer: int | None = None


def salvage_records(path: Path, key: str, source: Source, to: Path) -> Salvaged:
    """Keep every record of a file that can be delimited.

    Args:
        path: The file, gzipped or not, damaged or not.
        key: The object's key.
        source: Its source.
        to: Where the good records go: comma-separated, each after its line number, everything but nulls in quotes.
    """
    salvaged = Salvaged()
    text, size = _as_utf8(path, to.with_suffix(".utf8"), salvaged)
    with to.open("w", encoding="utf-8", newline="") as good:
        _keep(text, size, key, source, good, salvaged)
    return salvaged


def places(path: Path, key: str, source: Source, *, by_line: bool) -> Iterator[tuple[int, int]]:
    """Yield the number of each record and the byte at which it begins; nothing for files that are not lines of text.

    Args:
        path: The file, gzipped or not, damaged or not.
        key: The object's key.
        source: Its source.
        by_line: Whether a record's number is that of its first line; otherwise records are counted, the header being the first.
    """
    try:
        with open_unpacked(path) as stream:
            start = stream.read(8)
    except DAMAGE:
        start = b""
    first = None if utf16_of(start) or is_workbook(start) else next(located_lines(path), None)
    if first is None:
        return
    layout = None if by_line else layout_of(text_of(first), key, source)
    if layout is None or isinstance(layout, Misfit):
        yield from ((line.row, line.offset) for line in located_lines(path))
        return
    yield from delimited_text.places(path, layout.delimiter)


def write_record(good: TextIO, row: int, fields: Sequence[str | None]) -> None:
    """Write a record so that DuckDB distinguishes nulls from empty texts, and ends of records from line breaks in texts."""
    cells = ["" if value is None else '"' + value.replace('"', '""') + '"' for value in fields]
    good.write(f"{row},{','.join(cells)}\r\n")


def _as_utf8(path: Path, to: Path, salvaged: Salvaged) -> tuple[Path, Callable[[bytes], int] | None]:
    """Rewrite UTF-16 as UTF-8; returns the file to read, and how to compute a line's size in the object from its UTF-8 bytes."""
    try:
        with open_unpacked(path) as stream:
            kind = utf16_of(stream.read(2))
        if kind is None:
            return path, None
        with open_unpacked(path) as stream:
            broken = rewrite_utf16(stream, kind, to)
    except DAMAGE as error:
        # What was rewritten before the damage is kept; if nothing was, reading the lines reports the damage.
        if not to.exists():
            return path, None
        salvaged.is_cut = True
        salvaged.rejected.append(Rejected(1, "", f"{DAMAGED}: {error}"))
        return to, _utf16_size
    if broken:
        salvaged.is_cut = True
        salvaged.rejected.append(Rejected(1, "", f"{DAMAGED}: {broken.reason}", broken.offset))
    return to, _utf16_size


def _utf16_size(raw: bytes) -> int:
    return len(raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass"))


def _keep(path: Path, size: Callable[[bytes], int] | None, key: str, source: Source, good: TextIO, salvaged: Salvaged) -> None:
    form = csv_format(source)
    first = next(located_lines(path), None)
    if first is None or first.reason is not None:
        salvaged.rejected += [Rejected(1, "", first.reason or "", first.offset)] if first else []
        return
    layout = layout_of(text_of(first), key, source)
    salvaged.layout = layout
    if isinstance(layout, Misfit):
        return
    unread = located_lines(path, blank=True)
    lines = _without_trailer(unread, re.compile(form.trailer), salvaged) if form.trailer else unread
    has_header = False
    for record in records_of(lines, layout.delimiter, size):
        if isinstance(record, Rejected):
            salvaged.is_cut |= record.reason.startswith(DAMAGED)
            salvaged.rejected.append(record)
        elif not has_header:
            has_header = True
            header = [repaired(name).strip() for name in record.fields]
            _tell_unusual(record, header, salvaged)
            salvaged.layout = layout_with(layout.delimiter, header, key, source)
            if isinstance(salvaged.layout, Misfit):
                return
        else:
            _keep_record(record, layout, form, size is None, good, salvaged)


def _keep_record(record: Record, layout: Layout, form: Csv, may_repair: bool, good: TextIO, salvaged: Salvaged) -> None:
    is_foreign = has_foreign_bytes(record.text)
    problem = None
    if len(record.fields) != len(layout.header):
        problem = f"{len(record.fields)} fields where the header has {len(layout.header)}"
    elif is_foreign and not may_repair:
        problem = "half a surrogate pair: not valid UTF-16"
    if problem:
        salvaged.rejected.append(Rejected(record.row, kept(record.text), problem, record.offset))
        return
    _tell_unusual(record, layout.header, salvaged)
    if is_foreign:
        record.fields[:] = map(repaired, record.fields)
    salvaged.records += 1
    write_record(good, record.row, _with_nulls(record, layout.delimiter, form))


def _tell_unusual(record: Record, header: Sequence[str], salvaged: Salvaged) -> None:
    """Count the fields of a record that need repair, and those that cannot be repaired."""
    is_lost, is_foreign = LOST in record.text, has_foreign_bytes(record.text)
    if not is_lost and not is_foreign:
        return
    for column, value in zip(header, record.fields, strict=True):
        if has_foreign_bytes(value):
            salvaged.repaired.add(record.row, column)
        if LOST in value:
            salvaged.lost.add(record.row, column)


def _with_nulls(record: Record, delimiter: str, form: Csv) -> list[str | None]:
    """A record's fields, with the texts that mean null replaced by null."""
    if not any(null in record.fields for null in form.nulls):
        return list(record.fields)
    quoted = [False] * len(record.fields) if form.quoted_nulls else _are_quoted(record.text, delimiter)
    return [None if value in form.nulls and not within else value for value, within in zip(record.fields, quoted, strict=True)]


def _are_quoted(text: str, delimiter: str) -> list[bool]:
    """Whether each field of a well-formed record is in quotes."""
    end = re.escape(delimiter)
    found = re.finditer(rf'(?:^|{end})("(?:[^"]|"")*"|[^{end}\r\n]*)', text.rstrip("\r\n"))
    return [match.group(1).startswith('"') for match in found]


def _without_trailer(lines: Iterator[Line], pattern: re.Pattern[str], salvaged: Salvaged) -> Iterator[Line]:
    """Pass a file's lines on, except a trailer as the last non-blank line, whose count is noted."""
    held: list[Line] = []
    for line in lines:
        if line.reason is None and line.raw.strip():
            yield from held
            held = []
        held.append(line)
    if held and held[0].reason is None and (found := pattern.search(text_of(held[0]).rstrip("\r\n"))):
        salvaged.trailer = int(re.sub(r"\D", "", found.group(1)))
        held = []
    yield from held
