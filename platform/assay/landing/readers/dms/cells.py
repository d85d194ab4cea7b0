"""Reading the cells of files of AWS DMS, as texts.

Belongs here: the queries that scan files. Does not belong here: files that DuckDB cannot read as they are (`salvage`), what the
cells mean (`changes`).

Cells are named `_c1`, `_c2`, … by their position in the file; a cell is null if the record has no such field, whatever text
means null.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.lines import MAX_LINE_BYTES
from assay.landing.readers.dms.layouts import Layout, dms_format
from assay.landing.readers.parsed_record import FILE
from assay.landing.sql import column_types, text_list

ABSENT = "\x02"
"""Text of an absent field; by default, DuckDB would read an empty field as null."""
_NOT_PRESENT = "E'\\x02'"


def scan(layout: Layout, paths: list[Path], source: Source) -> str:
    """Write the query that yields `_path`, `_n` and the cells of files."""
    if layout.kind == "parquet":
        return _parquet_scan(layout, paths)
    ragged = ", null_padding=true, parallel=false" if layout.kind == "many tables" else ""
    columns = column_types({f"_c{place}": "VARCHAR" for place in range(1, layout.width + 1)})
    delimiter = literal(dms_format(source).delimiter)
    # Sorting a batch's records by file takes as long as all the rest, and big files come alone.
    line = "_running" if len(paths) == 1 else "_running - min(_running) OVER (PARTITION BY _path) + 1"
    return (
        f"SELECT _path, {line} AS _n, * EXCLUDE (_path, _running) FROM ("
        "SELECT filename AS _path, row_number() OVER () AS _running, * EXCLUDE (filename) FROM read_csv("
        f"{text_list([str(path) for path in paths])}, header=false, auto_detect=false, delim={delimiter}, "
        f"quote='\"', escape='\"', columns={columns}, filename=true, compression='none', nullstr={_NOT_PRESENT}, "
        f"allow_quoted_nulls=false, new_line={layout.line_end!r}, max_line_size={MAX_LINE_BYTES}, "
        f"buffer_size={4 * MAX_LINE_BYTES}{ragged}))"
    )


def _parquet_scan(layout: Layout, paths: list[Path]) -> str:
    names = pq.read_schema(paths[0]).names
    cells = ", ".join(
        f"{_as_text(quote(name), kind)} AS _c{place}"
        for place, (name, kind) in enumerate(zip(names, layout.types, strict=True), start=1)
    )
    return (
        f"SELECT {quote(FILE)} AS _path, file_row_number + 1 AS _n, {cells} FROM "
        f"read_parquet({text_list([str(path) for path in paths])}, filename={literal(FILE)}, file_row_number=true)"
    )


def _as_text(column: str, arrow_type: str) -> str:
    nested = arrow_type.startswith(("struct", "list", "map", "large_list"))
    return f"to_json({column})::VARCHAR" if nested else f"{column}::VARCHAR"


def salvaged_scan(layout: Layout, path: Path, good: Path) -> str:
    """Like `scan`, for one file that `salvage` has rewritten."""
    columns = column_types({"_n": "BIGINT"} | {f"_c{place}": "VARCHAR" for place in range(1, layout.width + 1)})
    return (
        f"SELECT {literal(str(path))} AS _path, * FROM read_csv({literal(str(good))}, header=false, auto_detect=false, "
        f"delim=',', quote='\"', escape='\"', columns={columns}, nullstr={_NOT_PRESENT}, allow_quoted_nulls=false, "
        f"new_line='\\r\\n', max_line_size={2 * MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES})"
    )
