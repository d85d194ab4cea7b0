"""Reading delimited text.

Belongs here: CSV files, read by the names in their headers. Does not belong here: typing of values (`batches.typed`), number and
date formats (`locales`), files that DuckDB cannot read (`salvage`, `workbooks`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay.contracts import Source
from assay.contracts.columns import ColumnSpec
from assay.contracts.rules import literal, quote
from assay.landing.files.encodings import LOST, is_sound
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected, numbered_lines
from assay.landing.readers.delimited.layouts import Layout, Misfit, columns_in, csv_format, layout_of, layout_with, version_of
from assay.landing.readers.delimited.locales import Reading, read_as
from assay.landing.readers.delimited.salvage import COLUMN_OF_LINE, Salvaged, salvage_records, write_record
from assay.landing.readers.delimited.workbooks import UnreadableWorkbookError, is_workbook, workbook_rows
from assay.landing.readers.parsed_record import FILE, Parsed, Wanted
from assay.landing.readers.snapshot_dates import RECORD, boundaries, instant
from assay.landing.sql import column_types, text_list

_NO_TEXT = "\x01"
"""A text for null that never occurs, if none is declared: DuckDB requires one."""


class CsvReader:
    """Reads delimited files; each file by its own header."""

    first_row = 2

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files, all files with the same layout in one scan."""
        form = csv_format(source)
        alike: dict[Layout, list[Path]] = {}
        parsed = Parsed([])
        for file in files:
            line = None if form.trailer else _first_line(file.path)
            if line is None:
                parsed.unusual.append(file)
                continue
            layout = layout_of(line, file.info.key, source)
            if isinstance(layout, Misfit):
                parsed.rejected[file.path] = [Rejected(1, layout.header[:KEPT_OF_A_BAD_LINE], layout.reason)]
            else:
                alike.setdefault(layout, []).append(file.path)
        for layout, paths in alike.items():
            parsed.queries += _queries(_scan(paths, layout, source), paths, layout, source)
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read a file record by record: a damaged one, one with odd characters, or a workbook."""
        good = scratch / f"{file.path.name}.records"
        of_workbook = _is_workbook(file.path)
        salvaged = (
            _rewrite_workbook(file, good, source) if of_workbook else salvage_records(file.path, file.info.key, source, good)
        )
        layout = salvaged.layout
        if isinstance(layout, Misfit):
            whole = Rejected(1, layout.header[:KEPT_OF_A_BAD_LINE], layout.reason)
            return Parsed([], {file.path: [whole, *salvaged.rejected]})
        warnings = _warnings(file, salvaged)
        if reason := _incomplete(salvaged, source):
            return Parsed([], {file.path: [Rejected(1, "", reason), *salvaged.rejected]}, warnings=warnings)
        scan = _scan_of_salvaged(file.path, good, layout)
        # A key whose record cannot be read is not absent, so the file gets no bounds.
        bounded = [] if salvaged.rejected else [file.path]
        queries = _queries(scan, bounded, layout, source, of_workbook=of_workbook)
        return Parsed(queries, {file.path: salvaged.rejected}, warnings=warnings)

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: a record's text is rebuilt from its fields."""
        return None


def _first_line(path: Path) -> str | None:
    """A file's first line; None if DuckDB cannot read the file."""
    if _is_workbook(path) or not is_sound(path):
        return None
    for _, raw, reason in numbered_lines(path):
        return None if reason else raw.decode("utf-8-sig")
    return ""


def _is_workbook(path: Path) -> bool:
    with path.open("rb") as file:
        return is_workbook(file.read(8))


def _rewrite_workbook(file: LandedFile, to: Path, source: Source) -> Salvaged:
    """Write a workbook's rows as records."""
    form = csv_format(source)
    salvaged = Salvaged()
    with to.open("w", encoding="utf-8", newline="") as good:
        try:
            for row, cells in workbook_rows(file.path, form):
                if isinstance(salvaged.layout, Misfit):
                    header = [(cell or "").strip() for cell in cells]
                    salvaged.layout = layout_with(",", header, file.info.key, source)
                    if isinstance(salvaged.layout, Misfit):
                        return salvaged
                elif len(cells) != len(salvaged.layout.header):
                    told = f"{len(cells)} cells where the header has {len(salvaged.layout.header)}"
                    salvaged.rejected.append(Rejected(row, json.dumps(cells, ensure_ascii=False)[:KEPT_OF_A_BAD_LINE], told))
                else:
                    for name, cell in zip(salvaged.layout.header, cells, strict=True):
                        if LOST in (cell or ""):
                            salvaged.lost.add(row, name)
                    salvaged.records += 1
                    write_record(good, row, [None if cell in form.nulls else cell for cell in cells])
        except UnreadableWorkbookError as error:
            salvaged.layout = Misfit("", str(error))
    return salvaged


def _warnings(file: LandedFile, salvaged: Salvaged) -> list[str]:
    repaired, lost = salvaged.repaired, salvaged.lost
    told = []
    if repaired.count:
        fields = "1 field is" if repaired.count == 1 else f"{repaired.count:,} fields are"
        told.append(f"{file.info.key}: {fields} not UTF-8, the other bytes read as Windows-1252; {repaired.place}.")
    if lost.count:
        fields = "1 field has" if lost.count == 1 else f"{lost.count:,} fields have"
        told.append(
            f"{file.info.key}: {fields} a U+FFFD where a character was lost before it landed, kept as it is; {lost.place}."
        )
    return told


def _incomplete(salvaged: Salvaged, source: Source) -> str | None:
    """Why nothing of a file may be used although some records can be read; None if they may be used."""
    form = csv_format(source)
    hint = "nothing of it is used. Land the whole file under a new name."
    if form.snapshot and salvaged.is_cut:
        return f"the file breaks off, and a part of a snapshot tells nothing of what is gone: {hint}"
    if form.trailer is None:
        return None
    read = salvaged.records + len(salvaged.rejected)
    if salvaged.trailer is None:
        return f"the last line is no trailer ({form.trailer}), so that the file is not whole: {hint}"
    if salvaged.trailer != read:
        return f"the trailer tells {salvaged.trailer:,} records and the file has {read:,}: {hint}"
    return None


def _scan(paths: list[Path], layout: Layout, source: Source) -> str:
    form = csv_format(source)
    columns = column_types(dict.fromkeys(layout.header, "VARCHAR"))
    return (
        f"SELECT {quote(FILE)} AS _path, row_number() OVER () AS _n, * EXCLUDE ({quote(FILE)}) FROM read_csv("
        f"{text_list([str(path) for path in paths])}, header=true, auto_detect=false, delim={literal(layout.delimiter)}, "
        f"quote='\"', escape='\"', columns={columns}, filename={literal(FILE)}, compression='none', "
        f"nullstr={text_list(form.nulls or (_NO_TEXT,))}, allow_quoted_nulls={literal(form.quoted_nulls)}, "
        f"max_line_size={MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES})"
    )


def _scan_of_salvaged(path: Path, good: Path, layout: Layout) -> str:
    columns = {COLUMN_OF_LINE: "BIGINT"} | dict.fromkeys(layout.header, "VARCHAR")
    return (
        f"SELECT {literal(str(path))} AS _path, * FROM read_csv({literal(str(good))}, header=false, auto_detect=false, "
        f"delim=',', quote='\"', escape='\"', columns={column_types(columns)}, max_line_size={2 * MAX_LINE_BYTES}, "
        f"buffer_size={4 * MAX_LINE_BYTES}, allow_quoted_nulls=false, new_line='\\r\\n')"
    )


def _queries(scan: str, bounded: Sequence[Path], layout: Layout, source: Source, *, of_workbook: bool = False) -> list[str]:
    """Write the queries of a scan's records, and of their snapshots' bounds."""
    form = csv_format(source)
    read = _unpivoted if form.unpivot else _records
    queries = [read(scan, layout, source, of_workbook)]
    if form.snapshot and layout.date and bounded:
        queries.append(boundaries(bounded, layout.date, source))
    return queries


def _records(scan: str, layout: Layout, source: Source, of_workbook: bool) -> str:
    by_column = columns_in(layout.header, source)
    absent = [spec.name for spec in source.columns if spec.name not in by_column]
    readings = _readings(by_column, source.columns, layout, source, of_workbook)
    values = ",\n  ".join(f"{readings[spec.name].value} AS {quote(spec.name)}" for spec in source.columns)
    others = [name for name in layout.header if name not in by_column.values()]
    rescued = f"to_json({_pack(others)})::VARCHAR" if others else "NULL::VARCHAR"
    return f"""
SELECT _path, _n, to_json({_pack(layout.header)})::VARCHAR AS _record, {_problem(readings.values())} AS _reason,
  {_place(layout, source)},
  {text_list(absent) if absent else "NULL"}::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, {rescued} AS _rescued,
  {values}
FROM ({_prepared(scan, readings.values())})"""


def _unpivoted(scan: str, layout: Layout, source: Source, of_workbook: bool) -> str:
    form = csv_format(source)
    assert form.unpivot is not None
    by_column = columns_in(layout.header, source)
    specs = {spec.name: spec for spec in source.columns}
    kept = [spec for spec in source.columns if spec.name not in (form.unpivot.names, form.unpivot.values)]
    readings = _readings(by_column, kept, layout, source, of_workbook)
    kept_values = "".join(f"{readings[spec.name].value} AS {quote(spec.name)}, " for spec in kept)
    cells = [name for name in layout.header if name not in by_column.values()]
    cell_list = ", ".join(f"{{'name': {literal(name)}, 'value': {quote(name)}}}" for name in cells)
    cell = read_as("trim(cell.value)", specs[form.unpivot.values], form, layout.date, of_workbook=of_workbook)
    names = [spec.name for spec in kept]
    cells_of_records = (
        f"SELECT _path, _n, {kept_values}{_problem(readings.values())} AS _problem, unnest([{cell_list}]) AS cell "
        f"FROM ({_prepared(scan, readings.values())})"
    )
    return f"""
SELECT _path, _n, to_json({{'name': cell.name, 'value': cell.value, {_fields(names)}}})::VARCHAR AS _record,
  coalesce(_problem, {cell.problem or "NULL"}) AS _reason, {_place(layout, source)},
  NULL::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued,
  {"".join(f"{quote(name)}, " for name in names)}
  cell.name AS {quote(form.unpivot.names)}, {cell.value} AS {quote(form.unpivot.values)}
FROM ({_prepared(cells_of_records, [cell])})
WHERE coalesce(trim(cell.value), '') NOT IN (SELECT unnest({text_list(form.unpivot.missing)}))"""


def _readings(
    by_column: dict[str, str], specs: Iterable[ColumnSpec], layout: Layout, source: Source, of_workbook: bool
) -> dict[str, Reading]:
    form = csv_format(source)
    return {
        spec.name: read_as(quote(by_column[spec.name]), spec, form, layout.date, of_workbook=of_workbook)
        if spec.name in by_column
        else Reading("NULL::VARCHAR")
        for spec in specs
    }


def _prepared(records: str, readings: Iterable[Reading]) -> str:
    """Add the columns that readings need, so that each is computed once."""
    columns = [column for reading in readings for column in reading.prepared]
    return f"SELECT *, {', '.join(columns)} FROM ({records})" if columns else records


def _problem(readings: Iterable[Reading]) -> str:
    """Expression for the first problem of a record's texts."""
    problems = [reading.problem for reading in readings if reading.problem]
    return f"coalesce({', '.join(problems)})::VARCHAR" if problems else "NULL::VARCHAR"


def _place(layout: Layout, source: Source) -> str:
    """Expressions for what the object's name gives all its records: operation, position and time."""
    if csv_format(source).snapshot and layout.date:
        return f"'r' AS _op, [{layout.date}, {RECORD}]::BIGINT[] AS _sequence, {instant(layout.date)} AS _source_timestamp"
    return f"'r' AS _op, [{version_of(layout, source)}::BIGINT] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp"


def _pack(names: Iterable[str]) -> str:
    return "{" + _fields(names) + "}"


def _fields(names: Iterable[str]) -> str:
    return ", ".join(f"{literal(name)}: {quote(name)}" for name in names)
