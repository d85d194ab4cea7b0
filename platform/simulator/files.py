"""Writing files of lines, the same bytes every time.

Belongs here: names of landed files, lines from a query to a file, compression. Does not belong here: what the lines say.

Files are compressed here and not by DuckDB's COPY, whose gzip takes several times as long on the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
from isal import isal_zlib

# Four times as fast as zlib's fastest, and smaller. Its gzip header holds no time.
_LEVEL = 1
_GZIP = isal_zlib.MAX_WBITS | 16

# Lines made one text at a time: enough that a text is worth a call, few enough to stay in the processor's cache.
_LINES_A_BLOCK = 2_048


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
    blocks = connection.execute(
        f"SELECT string_agg(line, E'\\n' ORDER BY line_no), count(*) FROM ({lines}) "
        f"GROUP BY line_no // {_LINES_A_BLOCK} ORDER BY line_no // {_LINES_A_BLOCK}",
        parameters,
    ).fetchall()
    head = [] if header is None else [header]
    write_text(path, (f"{block}\n" for block in (*head, *(text for text, _ in blocks))))
    return sum(count for _, count in blocks)


def write_text(path: Path, texts: Iterable[str]) -> None:
    """Write texts one after the other.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        texts: What to write, as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines(text.encode() for text in texts)
            return
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        for text in texts:
            file.write(packer.compress(text.encode()))
        file.write(packer.flush())
