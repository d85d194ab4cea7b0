"""Writing files of lines, the same bytes every time.

Belongs here: names of landed files, lines from a query to a file, compression. Does not belong here: what the lines say.

Files are compressed here and not by DuckDB's COPY, whose gzip takes several times as long on the same lines. Lines come as Arrow
keeps them, which no part of Python has to copy or to encode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
from isal import isal_zlib

# Four times as fast as zlib's fastest, and smaller. Its gzip header holds no time.
_LEVEL = 1
_GZIP = isal_zlib.MAX_WBITS | 16

# Lines that are taken from the database and compressed at a time: as many as it makes at a time.
_LINES_A_BLOCK = 2_048

Block = bytes | memoryview


@dataclass(frozen=True)
class LandingFile:
    """A file that a system of the company wrote, to be landed.

    Attributes:
        source: The system, as the platform names it.
        name: Key of the object below `landing/<source>/`.
        path: The file; whoever takes it deletes it.
        records: Lines that stand for a record, whatever they are worth; a header is none.
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

    Args:
        connection: A cursor that no other thread uses.
        lines: A query of `line_no` (from 0, without holes) and `line`.
        parameters: Values of the query's parameters.
        path: The file; compressed if its name ends in `.gz`.
        header: A first line.

    Returns:
        How many lines the query had.
    """
    count = 0

    def blocks() -> Iterator[Block]:
        nonlocal count
        if header is not None:
            yield f"{header}\n".encode()
        found = connection.execute(f"SELECT line_no, concat(line, E'\\n') AS line FROM ({lines})", parameters)
        for block in found.to_arrow_reader(_LINES_A_BLOCK):
            # One thread makes them, in the order of what they are made from.
            assert block.column(0)[-1].as_py() == count + block.num_rows - 1, "lines are out of order"
            count += block.num_rows
            # Where Arrow keeps texts, they stand one after the other, as UTF-8.
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
