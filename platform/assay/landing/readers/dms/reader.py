"""Reading what AWS DMS writes to S3: full loads and changes of one table, as CSV or Parquet.

Belongs here: the layouts of its files, its columns about a change, and the order of changes. Does not belong here: the names of
its objects (`names`), its messages in Kafka and Kinesis (`messages`), typing of values (`batches.typed`).

Cells are named `_c1`, `_c2`, … by their position in the file; a cell is null if the record has no such field, whatever text
means null. `_sequence` is `[0 for a full load or 1 for a change, the change sequence's first 17 digits, its last 18 digits,
microseconds of the timestamp, second in the file's name, fraction of it, line]`. Unknown numbers are 0, as are those after a
change sequence, because it identifies the change wherever it is written again.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.containers import PARQUET, container_of
from assay.landing.files.delimited_text import first_record, split_records
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected
from assay.landing.formats import Dms
from assay.landing.readers.dms.names import DmsObject, dms_object
from assay.landing.readers.parsed_record import BLANK, FILE, Parsed, Wanted
from assay.landing.sql import column_types, text_list

OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_NAMED_OPERATIONS = OPERATIONS | {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}
_OP = "Op"
_SEQUENCE_DIGITS = 35
_LOW_DIGITS = 18
_NOT_PRESENT = "E'\\x02'"
"""Text of an absent field; by default, DuckDB would read an empty field as null."""
_BROKEN_PARQUET = "the Parquet file is damaged, or was not written to its end"
_COLUMNS_OF_MANY_TABLES = 2000
"""Widest record read from a file of many tables; a file with a wider one is read record by record."""
_APPENDED = 16
"""How many undeclared columns after the declared ones are kept from a file of many tables."""


@dataclass(frozen=True)
class _Layout:
    """How a file is laid out; files with the same layout are read by one query.

    Attributes:
        names: The producer's name of each column, in the file's order.
        kind: The kind of file.
        has_header: Whether the first record holds the columns' names.
        line_end: The record separator, of CSV.
        types: Arrow types, of Parquet only: files are read together only if these agree.
    """

    names: tuple[str, ...]
    kind: Literal["csv", "parquet", "many tables"]
    has_header: bool = False
    line_end: str = "\n"
    types: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Fields to read per record; more than there are names only if records are of many tables."""
        return _COLUMNS_OF_MANY_TABLES if self.kind == "many tables" else len(self.names)


_TABLE, _SCHEMA = "(table)", "(schema)"


class DmsReader:
    """Reads files of AWS DMS, each by its own layout."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files, all files with the same layout in one scan."""
        alike: dict[_Layout, dict[Path, DmsObject]] = {}
        parsed = Parsed([])
        for file in files:
            found = _look(file, source)
            if found is None:
                parsed.unusual.append(file)
            elif isinstance(found, Rejected):
                parsed.rejected[file.path] = [found]
            else:
                layout, about = found
                alike.setdefault(layout, {})[file.path] = about
        parsed.queries += [_records(_scan(layout, list(paths), source), layout, paths, source) for layout, paths in alike.items()]
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact records of a damaged CSV file; a damaged Parquet file is rejected as a whole."""
        about = dms_object(file.info.key)
        if about is None:
            return Parsed([], {file.path: [_nameless(file)]})
        if container_of(file.path) == PARQUET:
            return Parsed([], {file.path: [Rejected(1, "", _BROKEN_PARQUET)]})
        good = scratch / f"{file.path.name}.records"
        layout, rejected = _salvage(file.path, good, about, source)
        if layout is None:
            return Parsed([], {file.path: rejected})
        return Parsed(
            [_records(_salvaged_scan(layout, file.path, good), layout, {file.path: about}, source)], {file.path: rejected}
        )

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: a record's text is rebuilt from its fields."""
        return None


def _format(source: Source) -> Dms:
    assert isinstance(source.format, Dms)
    return source.format


def _producer_name(column: str, source: Source) -> str:
    return _format(source).columns.get(column, column)


# --- What a file is ---


def _look(file: LandedFile, source: Source) -> tuple[_Layout, DmsObject] | Rejected | None:
    """Detect a file's layout from its name and its first record.

    Returns:
        The layout; or why the file cannot be read at all; or None if it must be read record by record.
    """
    about = dms_object(file.info.key)
    if about is None:
        return _nameless(file)
    if container_of(file.path) == PARQUET:
        try:
            layout = _parquet_layout(file.path)
        except (pa.ArrowException, OSError) as error:
            return Rejected(1, "", f"{_BROKEN_PARQUET}: {error}")
    else:
        first = first_record(file.path, _format(source).delimiter)
        # Quotes come in pairs. With null_padding, DuckDB reads an unclosed quote as the end of the file.
        if first is None or (about.of_many_tables and _has_open_quote(file.path)):
            return None
        layout = replace(_csv_layout(first.fields, about, source), line_end=first.line_end)
    problem = _layout_problem(layout, source)
    return Rejected(1, ", ".join(layout.names)[:KEPT_OF_A_BAD_LINE], problem) if problem else (layout, about)


def _nameless(file: LandedFile) -> Rejected:
    name = file.info.key.rsplit("/", 1)[-1]
    return Rejected(
        1, "", f"{name} is neither LOAD and a counter nor the time of changes: its place in the order of changes cannot be told"
    )


def _csv_layout(first: list[str], about: DmsObject, source: Source) -> _Layout:
    declared = list(_declared_layout(source))
    if about.of_many_tables:
        appended = [f"column{place}" for place in range(len(declared) + 4, len(declared) + 4 + _APPENDED)]
        return _Layout((_OP, _TABLE, _SCHEMA, *declared, *appended), "many tables")
    header = [name.strip() for name in first]
    if {_producer_name(column, source) for column in source.key} <= set(header):
        return _Layout(tuple(_named(header)), "csv", has_header=True)
    names = [_OP, *declared] if _begins_with_operation(first, source) else declared
    is_short_delete = names[0] == _OP and first[0] == "D" and len(first) < len(names)
    width = len(names) if is_short_delete else len(first)
    return _Layout((*names, *(f"column{place}" for place in range(len(names) + 1, width + 1)))[:width], "csv")


def _declared_layout(source: Source) -> tuple[str, ...]:
    form = _format(source)
    stamp = (form.timestamp,) if form.timestamp else ()
    return form.layout or (*stamp, *(_producer_name(spec.name, source) for spec in source.columns))


def _begins_with_operation(first: list[str], source: Source) -> bool:
    """Whether a file without header has a column `Op`; ambiguous if the first declared column may hold such texts, too."""
    if first[0] not in OPERATIONS:
        return False
    declared = _declared_layout(source)
    types = {_producer_name(spec.name, source): spec.sql_type for spec in source.columns}
    return len(first) != len(declared) or types.get(declared[0], "TIMESTAMP") != "VARCHAR"


def _named(header: list[str]) -> Iterator[str]:
    for place, name in enumerate(header, start=1):
        yield _OP if place == 1 and name.casefold() == _OP.casefold() else name or f"column{place}"


def _parquet_layout(path: Path) -> _Layout:
    schema = pq.read_schema(path)
    return _Layout(tuple(_named(schema.names)), "parquet", types=tuple(str(field.type) for field in schema))


def _layout_problem(layout: _Layout, source: Source) -> str | None:
    absent = [name for column in source.key if (name := _producer_name(column, source)) not in layout.names]
    if absent:
        return f"the file lacks {', '.join(absent)}: it is of another table, or its layout changed"
    # DuckDB's names are case-insensitive.
    times = Counter(name.casefold() for name in layout.names)
    twice = sorted(name for name in set(layout.names) if times[name.casefold()] > 1)
    return f"the file names {', '.join(twice)} twice" if twice else None


# --- Cells ---


def _scan(layout: _Layout, paths: list[Path], source: Source) -> str:
    """Write the query that yields `_path`, `_n` and the cells of files."""
    if layout.kind == "parquet":
        return _parquet_scan(layout, paths)
    ragged = ", null_padding=true, parallel=false" if layout.kind == "many tables" else ""
    columns = column_types({f"_c{place}": "VARCHAR" for place in range(1, layout.width + 1)})
    delimiter = literal(_format(source).delimiter)
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


def _parquet_scan(layout: _Layout, paths: list[Path]) -> str:
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


def _has_open_quote(path: Path) -> bool:
    quotes = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            quotes += block.count(b'"')
    return quotes % 2 == 1


def _salvaged_scan(layout: _Layout, path: Path, good: Path) -> str:
    columns = column_types({"_n": "BIGINT"} | {f"_c{place}": "VARCHAR" for place in range(1, layout.width + 1)})
    return (
        f"SELECT {literal(str(path))} AS _path, * FROM read_csv({literal(str(good))}, header=false, auto_detect=false, "
        f"delim=',', quote='\"', escape='\"', columns={columns}, nullstr={_NOT_PRESENT}, allow_quoted_nulls=false, "
        f"new_line='\\r\\n', max_line_size={2 * MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES})"
    )


def _salvage(path: Path, to: Path, about: DmsObject, source: Source) -> tuple[_Layout | None, list[Rejected]]:
    """Write the intact records of a file, numbered and padded; returns their layout, and what was left out."""
    delimiter = _format(source).delimiter
    layout, widths = _salvaged_layout(path, about, source)
    problem = _layout_problem(layout, source) if layout else None
    if layout is None or problem:
        return None, [Rejected(1, "", problem or "the file holds no record")]
    rejected: list[Rejected] = []
    with to.open("w", encoding="utf-8", newline="") as good:
        writer = csv.writer(good)
        for record in split_records(path, delimiter):
            if isinstance(record, Rejected):
                rejected.append(record)
                continue
            row, fields = record
            if len(fields) in widths or _is_delete(fields, layout):
                writer.writerow([row, *fields, *["\x02"] * (layout.width - len(fields))])
            else:
                text = json.dumps(fields, ensure_ascii=True)[:KEPT_OF_A_BAD_LINE]
                rejected.append(Rejected(row, text, f"{len(fields)} fields where the file has {layout.width}"))
    return layout, rejected


def _salvaged_layout(path: Path, about: DmsObject, source: Source) -> tuple[_Layout | None, range]:
    """Detect a damaged file's layout from the majority of its records; returns it and the allowed numbers of fields."""
    first: _Layout | None = None
    widths: Counter[int] = Counter()
    of_width: dict[int, list[str]] = {}
    for record in split_records(path, _format(source).delimiter):
        if not isinstance(record, Rejected):
            _, fields = record
            first = first or _csv_layout(fields, about, source)
            widths[len(fields)] += not _is_delete(fields, first)
            of_width.setdefault(len(fields), fields)
    if first is None:
        return None, range(0)
    if first.kind == "many tables":
        return first, range(first.width + 1)
    usual = first if first.has_header else _csv_layout(of_width[widths.most_common(1)[0][0]], about, source)
    return usual, range(usual.width, usual.width + 1)


def _is_delete(fields: list[str], layout: _Layout) -> bool:
    """Whether a record is a delete, which may end after its key."""
    return layout.names[0] == _OP and fields[0] == "D" and len(fields) <= layout.width


# --- Records ---


class _Cells:
    """Expressions for the cells of a layout, by the producer's names."""

    def __init__(self, layout: _Layout, source: Source) -> None:
        self._cells = {name: f"_c{place}" for place, name in enumerate(layout.names, start=1)}
        form = _format(source)
        is_text = layout.kind != "parquet"
        self._nulls = list(form.nulls) if is_text else []
        self._marker = form.not_provided if is_text else None

    def __contains__(self, name: str) -> bool:
        return name in self._cells

    def raw(self, name: str) -> str:
        """The field as it is."""
        return self._cells[name]

    def value(self, name: str) -> str:
        """The value: null if the text means null or not provided."""
        cell = self._cells.get(name, "NULL::VARCHAR")
        none = self._nulls + ([self._marker] if self._marker is not None else [])
        return f"CASE WHEN {cell} NOT IN ({', '.join(map(literal, none))}) THEN {cell} END" if none else cell

    def filled(self, name: str) -> str:
        """The value of a column about the change; null also if it is blank."""
        return f"nullif(trim({self.value(name)}), '')"

    def unchanged(self, name: str) -> str | None:
        """Whether the producer marks the value as unchanged; None if no text means that."""
        return f"{self._cells[name]} = {literal(self._marker)}" if self._marker is not None and name in self._cells else None


def _records(scan: str, layout: _Layout, paths: dict[Path, DmsObject], source: Source) -> str:
    """Write the query that turns cells into records."""
    form = _format(source)
    cells = _Cells(layout, source)
    names = [spec.name for spec in source.columns]
    objects = ", ".join(
        f"({literal(str(path))}, {about.is_load}, {about.second}::BIGINT, {about.fraction}::BIGINT)"
        for path, about in paths.items()
    )
    former = {name: f"{form.before}{_producer_name(name, source)}" for name in source.key}
    moves = [name for name in source.key if former[name] in cells]
    changed = " OR ".join(f"{cells.filled(former[name])} <> {cells.value(_producer_name(name, source))}" for name in moves)
    is_former = f"unnest(CASE WHEN _is = 'u' AND ({changed}) THEN [false, true] ELSE [false] END)" if moves else "false"
    values = ",\n  ".join(f"{_value(name, cells, source, former if name in moves else {})} AS {quote(name)}" for name in names)
    absent = [name for name in names if _producer_name(name, source) not in cells]
    return f"""
WITH objects(_path, _is_load, _second, _fraction) AS (VALUES {objects}),
changes AS (
  SELECT *, {_operation(cells, form)} AS _is, {cells.filled(form.change_sequence)} AS _change,
    {_timestamp(cells, form)} AS _at
  FROM ({scan}) JOIN objects USING (_path)
),
positions AS (
  SELECT *, CASE WHEN NOT _is_load AND regexp_full_match(_change, '[0-9]{{1,{_SEQUENCE_DIGITS}}}')
    THEN lpad(_change, {_SEQUENCE_DIGITS}, '0') END AS _digits, {is_former} AS _is_former
  FROM changes
)
SELECT _path, _n, {_text(layout)} AS _record,
  {_reason(layout, cells, source)} AS _reason,
  CASE WHEN _is_former THEN 'd' ELSE _is END AS _op,
  CASE WHEN _digits IS NOT NULL
    THEN [1, left(_digits, {_SEQUENCE_DIGITS - _LOW_DIGITS})::BIGINT, right(_digits, {_LOW_DIGITS})::BIGINT, 0, 0, 0, 0]
    ELSE [(NOT _is_load)::BIGINT, 0, 0, coalesce(epoch_us(_at), 0), _second, _fraction, _n] END AS _sequence,
  CASE WHEN NOT _is_load
    THEN coalesce(TRY_CAST({cells.filled(form.change_time)} AS TIMESTAMP), _at) AT TIME ZONE 'UTC' END AS _source_timestamp,
  {f"CASE WHEN _is <> 'd' THEN {text_list(absent)} END" if absent else "NULL"}::VARCHAR[] AS _missing,
  {_unchanged(names, cells, source)} AS _unchanged,
  {_rescued(layout, source)} AS _rescued,
  {values}
FROM positions"""


def _operation(cells: _Cells, form: Dms) -> str:
    if _OP in cells:
        told = cells.raw(_OP)
    elif form.change_operation in cells:
        told = f"upper({cells.filled(form.change_operation)})"
    else:
        return "CASE WHEN _is_load THEN 'r' ELSE 'c' END"
    known = " ".join(f"WHEN {literal(text)} THEN {literal(op)}" for text, op in _NAMED_OPERATIONS.items())
    return (
        f"CASE WHEN _is_load AND coalesce({told}, '') IN ('', 'I', 'INSERT') THEN 'r' "
        f"ELSE CASE {told} {known} ELSE coalesce({told}, '') END END"
    )


def _timestamp(cells: _Cells, form: Dms) -> str:
    return f"TRY_CAST({cells.filled(form.timestamp)} AS TIMESTAMP)" if form.timestamp else "NULL::TIMESTAMP"


def _value(name: str, cells: _Cells, source: Source, former: dict[str, str]) -> str:
    producer = _producer_name(name, source)
    value = cells.value(producer)
    if name in former:
        return f"CASE WHEN _is_former THEN coalesce({cells.filled(former[name])}, {value}) ELSE {value} END"
    # A delete may have made-up values for everything but the key.
    return value if name in source.key else f"CASE WHEN _is <> 'd' AND NOT _is_former THEN {value} END"


def _text(layout: _Layout) -> str:
    return f"to_json({{{', '.join(f'{literal(name)}: _c{place}' for place, name in enumerate(layout.names, start=1))}}})::VARCHAR"


def _reason(layout: _Layout, cells: _Cells, source: Source) -> str:
    form = _format(source)
    tests = [f"WHEN _n = 1 THEN {literal(BLANK)}"] if layout.has_header else []
    if layout.kind == "many tables":
        schema, _, table = form.table.rpartition(".")
        others = f"{cells.raw(_TABLE)} IS DISTINCT FROM {literal(table)}"
        if schema:
            others += f" OR {cells.raw(_SCHEMA)} IS DISTINCT FROM {literal(schema)}"
        declared = len(layout.names) - _APPENDED
        tests += [
            f"WHEN {cells.raw(_SCHEMA)} IS NULL THEN 'no table: the record breaks off'",
            f"WHEN {others} THEN {literal(BLANK)}",
            f"WHEN _is <> 'd' AND _c{declared} IS NULL THEN 'less than {declared} fields'",
            f"WHEN _c{len(layout.names) + 1} IS NOT NULL THEN 'more than {len(layout.names)} fields'",
        ]
    tests += ["WHEN _is NOT IN ('c', 'u', 'd', 'r') THEN 'operation ''' || _is || ''' is no row change'"]
    if form.change_sequence in cells:
        tests.append(
            "WHEN NOT _is_load AND _change IS NOT NULL AND _digits IS NULL THEN "
            f"{literal(form.change_sequence)} || ' is ''' || left(_change, 60) || ''', which is no position'"
        )
    if form.timestamp:
        tests.append(
            f"WHEN NOT _is_load AND _digits IS NULL AND _at IS NULL THEN 'no source position: ' || {literal(form.timestamp)} || "
            f"' is ' || coalesce('''' || left({cells.value(form.timestamp)}, 60) || ''', which is no timestamp', 'null')"
        )
    return "CASE " + " ".join(tests) + " END"


def _unchanged(names: list[str], cells: _Cells, source: Source) -> str:
    told = [
        f"CASE WHEN {said} THEN {literal(name)} END"
        for name in names
        if name not in source.key and (said := cells.unchanged(_producer_name(name, source)))
    ]
    if not told:
        return "NULL::VARCHAR[]"
    listed = f"list_filter([{', '.join(told)}], lambda name: name IS NOT NULL)"
    return f"CASE WHEN _is <> 'd' AND NOT _is_former AND len({listed}) > 0 THEN {listed} END"


def _rescued(layout: _Layout, source: Source) -> str:
    form = _format(source)
    known = {_producer_name(spec.name, source) for spec in source.columns}
    known |= {_OP, _TABLE, _SCHEMA, form.change_sequence, form.change_time, form.change_operation, form.stream_position}
    known |= {form.timestamp} if form.timestamp else set()
    others = [
        (name, place)
        for place, name in enumerate(layout.names, start=1)
        if name not in known and not name.startswith(form.before)
    ]
    if not others:
        return "NULL::VARCHAR"
    packed = "{" + ", ".join(f"{literal(name)}: _c{place}" for name, place in others) + "}"
    if layout.kind == "many tables":
        # Most records have none of these columns.
        packed = f"CASE WHEN _c{others[0][1]} IS NOT NULL THEN json_merge_patch('{{}}', to_json({packed})) END"
    else:
        packed = f"to_json({packed})"
    return f"CASE WHEN _is <> 'd' AND NOT _is_former THEN {packed}::VARCHAR END"
