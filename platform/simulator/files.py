"""Writing files of lines, reproducible to the byte.

Belongs here: names of landed files, writing a query's lines to a file, compression. Does not belong here: the lines' content.

Files are compressed here rather than by DuckDB's COPY, whose gzip takes several times as long for the same lines. Lines are
passed in Arrow's layout, which no part of Python has to copy or to encode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
from isal import isal_zlib

# Four times as fast as zlib's fastest level, and smaller. Its gzip header contains no time.
_LEVEL = 1
_GZIP = isal_zlib.MAX_WBITS | 16

# Lines fetched from the database and compressed at a time: as many as it produces at a time.
_LINES_A_BLOCK = 2_048

Block = bytes | memoryview


@dataclass(frozen=True)
class LandingFile:
    """A file written by a system of the company, to be landed.

    Attributes:
        source: The system's name in the platform.
        name: Key of the object below `landing/<source>/`.
        path: The file; the consumer deletes it.
        records: Lines that represent a record, valid or not; a header does not count.
    """

    source: str
    name: str
    path: Path
    records: int


def write_query(
    connection: duckdb.DuckDBPyConnection,
    lines: str,
    parameters: dict[str, int],
    path: Path,
    header: str | None = None,
) -> int:
    """Write the lines of a query, in order.

    connection: A cursor that no other thread uses.
        connection: A cursor that no other thread uses.
        lines: A query of `line_no` (from 0, without gaps) and `line`.
        parameters: Values of the query's parameters.
        path: The file; compressed if its name ends in `.gz`.
        header: A first line.

    Returns:
        The number of lines.
    """
    count = 0

    def blocks() -> Iterator[Block]:
        nonlocal count
        if header is not None:
            yield f"{header}\n".encode()
        found = connection.execute(f"SELECT line_no, concat(line, E'\\n') AS line FROM ({lines})", parameters)
        for block in found.to_arrow_reader(_LINES_A_BLOCK):
            # A single thread produces them, in the order of their input.
            assert block.column(0)[-1].as_py() == count + block.num_rows - 1, "lines are out of order"
            count += block.num_rows
            # Arrow stores texts one after the other, as UTF-8.
            _, _, texts = block.column(1).buffers()
            yield memoryview(texts)

    _write(path, blocks())
    return count


def write_text(path: Path, texts: Iterable[str]) -> None:
    """Write texts one after the other.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        texts: What to write, as UTF-8.
    """
    _write(path, (text.encode() for text in texts))


def _write(path: Path, blocks: Iterable[Block]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines(blocks)
            return
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        for block in blocks:
            file.write(packer.compress(block))
        file.write(packer.flush())
