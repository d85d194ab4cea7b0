"""Lines of text files, numbered.

Belongs here: reading files line by line in DuckDB, and the slower way for files that DuckDB rejects. Does not belong
here: what a line means.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from assay.contracts.rules import literal
from assay.landing.sql import text_list

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line that is read as a record; a longer one is quarantined."""
KEPT_OF_A_BAD_LINE = 4096
"""Bytes of an unreadable line that are kept in quarantine."""
DAMAGED = "the file is damaged from here on"
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Exceptions on reading a file whose compression is damaged."""
_END_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 18
_NEWLINE = 10
_IS_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Raw control characters cannot occur in valid JSON, so this never splits a line.
_NO_DELIMITER = "E'\\x01'"
_SALVAGED = (
    f"delim={_NO_DELIMITER}, quote='', escape='', header=false, auto_detect=false, compression='none', "
    f"max_line_size={2 * MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES}"
)
"""Options for reading lines that were copied with their numbers."""


@dataclass(frozen=True)
class Rejected:
    """A piece of a landing object that could not be read as a record.

    Attributes:
        row: Its line, from 1.
        record: Its text, as far as it is kept.
        reason: Why it was rejected.
        offset: The byte at which it begins, from 0, in the decompressed object; None if the whole object is meant.
    """

    row: int
    record: str
    reason: str
    offset: int | None = None

    @property
    def told(self) -> str:
        """The reason, with the place if known."""
        return self.reason if self.offset is None else f"{self.reason} (at byte {self.offset:,})"


@dataclass(frozen=True)
class Line:
    """A line of a landing object.

    Attributes:
        row: Its number from 1, blank lines not counted.
        offset: The byte at which it begins, from 0.
        raw: Its bytes including the line end; at most `KEPT_OF_A_BAD_LINE` of a line that is too long.
        reason: Why it is not a record, or None.
    """

    row: int
    offset: int
    raw: bytes
    reason: str | None


def lines_relation(paths: list[Path]) -> str:
    """Write a query that yields every line of some files: `_path`, `_n` (running number over all files), `line`.

    `_n` counts in the order of `paths`, which DuckDB keeps because a running number makes the
    scan serial.
    """
    return (
        "SELECT filename AS _path, row_number() OVER () AS _n, line FROM read_csv("
        f"{text_list(map(str, paths))}, columns={{'line': 'VARCHAR'}}, delim={_NO_DELIMITER}, quote='', escape='', header=false, "
        f"auto_detect=false, filename=true, compression='none', max_line_size={MAX_LINE_BYTES}, "
        f"buffer_size={4 * MAX_LINE_BYTES})"
    )


def is_gzipped(path: Path) -> bool:
    """Whether a file starts as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def wanted_lines(wanted: Mapping[Path, Collection[int]], to: Path) -> tuple[str, dict[Path, dict[int, int]]]:
    """Like `lines_relation`, for selected lines of files that are not gzipped.

    They are few among many, so copying them is faster than having DuckDB read them all.

    Args:
        wanted: The numbers of each file's lines, from 1, not counting blank lines.
        to: Where the lines are copied; without those that DuckDB cannot read as one line.

    Returns:
        The query, and the bytes at which the lines begin, by file and number.
    """
    starts = {path: starts_of(path, rows) for path, rows in wanted.items()}
    with to.open("wb") as copy:
        for number, (path, found) in enumerate(starts.items(), 1):
            with path.open("rb") as file:
                for row, start in found.items():
                    file.seek(start)
                    raw = file.readline(MAX_LINE_BYTES + 1)
                    is_short = len(raw) <= MAX_LINE_BYTES or raw.endswith(b"\n")
                    if is_short and b"\x01" not in raw and _is_utf8(raw):
                        copy.write(b"%d\x01%d\x01%s\n" % (number, row, _text_of(raw, start)))
    query = (
        f"SELECT {text_list(map(str, wanted))}[file] AS _path, _n, line FROM read_csv({literal(str(to))}, "
        f"columns={{'file': 'BIGINT', '_n': 'BIGINT', 'line': 'VARCHAR'}}, {_SALVAGED})"
    )
    return query, starts


def salvaged_relation(path: Path, salvaged: Path) -> str:
    """Like `lines_relation`, for one file that `salvage_lines` has rewritten."""
    return (
        f"SELECT {literal(str(path))} AS _path, _n, line FROM read_csv({literal(str(salvaged))}, "
        f"columns={{'_n': 'BIGINT', 'line': 'VARCHAR'}}, {_SALVAGED})"
    )


def salvage_lines(path: Path, to: Path) -> list[Rejected]:
    """Keep every intact, readable line of a file that could not be read as it is.

    Args:
        path: The file, gzipped or not, damaged or not.
        to: Where the good lines go, each after its number.

    Returns:
        What was left out: truncated compression, lines that are too long or not UTF-8.
    """
    rejected: list[Rejected] = []
    with to.open("w", encoding="utf-8", newline="\n") as good:
        for line in located_lines(path):
            raw, reason = _text_of(line.raw, line.offset), line.reason
            text = raw.decode("utf-8", errors="backslashreplace")
            if reason is None and not _is_utf8(raw):
                reason = "not valid UTF-8"
            if reason is None and "\x01" in text:
                reason = "a control character (0x01) in the line"
            if reason is not None:
                rejected.append(Rejected(line.row, text[:KEPT_OF_A_BAD_LINE], reason, line.offset))
            else:
                good.write(f"{line.row}\x01{text}\n")
    return rejected


def numbered_lines(path: Path, *, blank: bool = False) -> Iterator[tuple[int, bytes, str | None]]:
    """Like `located_lines`, without the offset: number, bytes and reason of each line."""
    return ((line.row, line.raw, line.reason) for line in located_lines(path, blank=blank))


def located_lines(path: Path, *, blank: bool = False) -> Iterator[Line]:
    """Read a file's lines in bounded memory.

    Args:
        path: The file, gzipped or not, damaged or not.
        blank: Whether to include blank lines; they have the number of the line before.
    """
    row, offset = 0, 0
    with open_unpacked(path) as stream:
        while True:
            try:
                raw = stream.readline(MAX_LINE_BYTES + 1)
                if not raw:
                    return
                length, reason = len(raw), None
                if length > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    skipped, text = _skip_line(stream)
                    length += skipped
                    reason = f"the line is {len(raw) + text:,} bytes long; {MAX_LINE_BYTES:,} is the most"
                    raw = raw[:KEPT_OF_A_BAD_LINE]
            except DAMAGE as error:
                yield Line(row + 1, offset, b"", f"{DAMAGED}: {error}")
                return
            is_blank = not raw.strip() and reason is None
            row += not is_blank
            if blank or not is_blank:
                yield Line(row, offset, raw, reason)
            offset += length


def line_starts(path: Path) -> Iterator[tuple[int, int]]:
    """Number and first byte of each line, as `located_lines` yields them, in a fraction of its time."""
    row, offset, is_within = 0, 0, False
    with open_unpacked(path) as stream:
        try:
            for raw in iter(partial(stream.readline, MAX_LINE_BYTES + 1), b""):
                if not is_within and (len(raw) > MAX_LINE_BYTES or not raw.isspace()):
                    row += 1
                    yield row, offset
                is_within = (is_within or len(raw) > MAX_LINE_BYTES) and not raw.endswith(b"\n")
                offset += len(raw)
        except DAMAGE:
            if not is_within:
                yield row + 1, offset


def last_line(path: Path) -> bytes:
    """The last line of a decompressed file; truncated, or empty, if the line is long."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        return file.read().rstrip().rpartition(b"\n")[2]


def starts_of(path: Path, rows: Collection[int]) -> dict[int, int]:
    """The first byte of selected lines of a decompressed file, by number, in a fraction of the time of `line_starts`."""
    found: dict[int, int] = {}
    wanted = sorted(rows, reverse=True)
    row = offset = 0
    with path.open("rb") as file:
        while wanted and (block := file.read(_BLOCK_BYTES)):
            if not block.endswith(b"\n"):
                block += file.readline(MAX_LINE_BYTES + 1)
            starts = _starts_in(block)
            while wanted and wanted[-1] <= row + len(starts):
                number = wanted.pop()
                found[number] = offset + int(starts[number - row - 1])
            row += len(starts)
            offset += len(block)
            if not block.endswith(b"\n"):
                offset += _skip_line(file)[0]
    return found


def _starts_in(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Starts of the non-blank lines of a block; a line that is too long is never blank."""
    codes = np.frombuffer(block, dtype=np.uint8)
    bounds = np.concatenate(([0], np.flatnonzero(codes == _NEWLINE) + 1, [len(block)]))
    starts = bounds[:-1][bounds[:-1] < len(block)]
    blank = [
        place
        for place in np.flatnonzero(_IS_SPACE[codes[starts]])
        if bounds[place + 1] - bounds[place] <= MAX_LINE_BYTES and block[bounds[place] : bounds[place + 1]].isspace()
    ]
    return np.delete(starts, blank) if blank else starts


def _skip_line(stream: BinaryIO) -> tuple[int, int]:
    """Read to the end of the line; returns the number of remaining bytes, with and without the line end."""
    skipped = text = 0
    while chunk := stream.readline(MAX_LINE_BYTES):
        skipped += len(chunk)
        text += len(chunk.rstrip(b"\r\n"))
        if chunk.endswith(b"\n"):
            break
    return skipped, text


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file, gzipped or not; reading raises one of `DAMAGE` if its compression is damaged."""
    raw = path.open("rb")
    return io.BufferedReader(_TailKeepingGzip(raw), buffer_size=1 << 20) if is_gzipped(path) else raw


class _TailKeepingGzip(io.RawIOBase):
    """Decompresses gzip and returns everything before a damage, where `gzip` would drop the last block."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decompressor = zlib.decompressobj(wbits=31)
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]
        while not self._pending:
            chunk = self._decompressor.unconsumed_tail or self._raw.read(1 << 16)
            if self._decompressor.eof:
                rest = self._decompressor.unused_data + chunk
                if not rest:
                    return 0
                self._decompressor = zlib.decompressobj(wbits=31)
                chunk = rest
            elif not chunk:
                raise EOFError("the compressed data ends before its end marker")
            self._pending = self._decompressor.decompress(chunk, 1 << 20)
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _text_of(raw: bytes, offset: int) -> bytes:
    """A line's text: without its line end, and, on the file's first line, without a byte-order mark."""
    text = raw.rstrip(b"\r\n")
    return text if offset else text.removeprefix(_BYTE_ORDER_MARK)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
