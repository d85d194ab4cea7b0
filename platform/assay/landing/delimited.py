"""Reading delimited text.

Belongs here: CSV archives, by the names in their headers. Does not belong here: typing of values (`stage`).
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import TextIO

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.formats import Csv
from assay.landing.lines import KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected, numbered_lines
from assay.landing.records import LandedFile, Parsed, text_list


class CsvReader:
    """Reads delimited files; each file by its own header."""

    first_row = 2

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files, those with the same header and version in one scan."""
        alike: dict[tuple[tuple[str, ...], int], list[Path]] = {}
        rejected: dict[Path, list[Rejected]] = {}
        for file in files:
            header = _header(file.path, _format(source))
            problem = _header_problem(header, source)
            if problem:
                rejected[file.path] = [Rejected(1, _format(source).delimiter.join(header), problem)]
            else:
                alike.setdefault((tuple(header), _version(file.info.key, _format(source))), []).append(file.path)
        queries = [
            _query(_scan(paths, header, _format(source).delimiter), list(header), version, source)
            for (header, version), paths in alike.items()
        ]
        return Parsed(queries, rejected)

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the whole records of a damaged file, one by one."""
        form = _format(source)
        good = scratch / f"{file.path.name}.records"
        header, rejected = _salvage(file.path, good, form)
        problem = _header_problem(header, source)
        if problem:
            return Parsed([], {file.path: [Rejected(1, form.delimiter.join(header), problem), *rejected]})
        columns = {"_n": "BIGINT"} | dict.fromkeys(_unique(header), "VARCHAR")
        scan = (
            f"SELECT {literal(str(file.path))} AS _path, * FROM read_csv({literal(str(good))}, header=false, "
            f"auto_detect=false, delim=',', quote='\"', escape='\"', columns={_struct(columns)}, "
            f"max_line_size={2 * MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES}, allow_quoted_nulls=false)"
        )
        return Parsed([_query(scan, header, _version(file.info.key, form), source)], {file.path: rejected})


def _format(source: Source) -> Csv:
    assert isinstance(source.format, Csv)
    return source.format


def _scan(paths: list[Path], header: tuple[str, ...], delimiter: str) -> str:
    columns = _struct(dict.fromkeys(_unique(list(header)), "VARCHAR"))
    return (
        "SELECT filename AS _path, row_number() OVER () AS _n, * EXCLUDE (filename) FROM read_csv("
        f"{text_list([str(path) for path in paths])}, header=true, auto_detect=false, delim={literal(delimiter)}, "
        f"quote='\"', escape='\"', columns={columns}, filename=true, allow_quoted_nulls=false, "
        f"max_line_size={MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES})"
    )


def _query(scan: str, header: list[str], version: int, source: Source) -> str:
    form = _format(source)
    headers = _unique(header)
    names = [spec.name for spec in source.columns]
    if form.unpivot:
        return _unpivoted(scan, headers, version, source)
    by_column = {name: form.columns.get(name, name) for name in names}
    absent = [name for name in names if by_column[name] not in headers]
    values = ",\n  ".join(
        f"{_value(by_column[name], form) if name not in absent else 'NULL::VARCHAR'} AS {quote(name)}"
        for name in names
    )
    others = [name for name in headers if name and name not in by_column.values()]
    rescued = f"to_json({_pack(others)})::VARCHAR" if others else "NULL::VARCHAR"
    return f"""
SELECT _path, _n, to_json({_pack(headers)})::VARCHAR AS _record, NULL::VARCHAR AS _reason, 'r' AS _op,
  [{version}::BIGINT] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp,
  {text_list(absent) if absent else "NULL"}::VARCHAR[] AS _missing, {rescued} AS _rescued,
  {values}
FROM ({scan})"""


def _unpivoted(scan: str, headers: list[str], version: int, source: Source) -> str:
    form = _format(source)
    assert form.unpivot is not None
    kept = [spec.name for spec in source.columns if spec.name not in (form.unpivot.names, form.unpivot.values)]
    by_column = {name: form.columns.get(name, name) for name in kept}
    cells = [name for name in headers if name and name not in by_column.values()]
    kept_values = ", ".join(f"{_value(by_column[name], form)} AS {quote(name)}" for name in kept)
    cell_list = ", ".join(f"{{'name': {literal(name)}, 'value': {quote(name)}}}" for name in cells)
    missing = text_list(form.unpivot.missing)
    return f"""
SELECT _path, _n, to_json({{'name': cell.name, 'value': cell.value, {_fields(kept)}}})::VARCHAR AS _record,
  NULL::VARCHAR AS _reason, 'r' AS _op, [{version}::BIGINT] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp,
  NULL::VARCHAR[] AS _missing, NULL::VARCHAR AS _rescued,
  {", ".join(quote(name) for name in kept)},
  cell.name AS {quote(form.unpivot.names)}, trim(cell.value) AS {quote(form.unpivot.values)}
FROM (SELECT _path, _n, {kept_values}, unnest([{cell_list}]) AS cell FROM ({scan}))
WHERE coalesce(trim(cell.value), '') NOT IN (SELECT unnest({missing}))"""


def _value(header: str, form: Csv) -> str:
    nulls = ", ".join(literal(text) for text in form.nulls)
    return f"CASE WHEN {quote(header)} NOT IN ({nulls}) THEN {quote(header)} END" if nulls else quote(header)


def _pack(names: list[str]) -> str:
    return "{" + _fields(names) + "}"


def _fields(names: list[str]) -> str:
    return ", ".join(f"{literal(name)}: {quote(name)}" for name in names)


def _struct(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items()) + "}"


def _unique(header: list[str]) -> list[str]:
    """Name nameless columns (a trailing delimiter makes one) by their place."""
    return [name or f"column{place}" for place, name in enumerate(header, start=1)]


def _version(key: str, form: Csv) -> int:
    if form.version is None:
        return 0
    found = re.search(form.version, key.rsplit("/", 1)[-1])
    return int(re.sub(r"\D", "", found.group(1)) or 0) if found else 0


def _header(path: Path, form: Csv) -> list[str]:
    for _, raw, reason in numbered_lines(path):
        if reason:
            return []
        text = raw.decode("utf-8-sig", errors="backslashreplace")
        return [name.strip() for name in next(csv.reader([text], delimiter=form.delimiter), [])]
    return []


def _header_problem(header: list[str], source: Source) -> str | None:
    form = _format(source)
    if not header:
        return "the file has no header line"
    wanted = [name for name in source.key if not form.unpivot or name not in (form.unpivot.names, form.unpivot.values)]
    absent = [form.columns.get(name, name) for name in wanted if form.columns.get(name, name) not in header]
    if absent:
        return f"the header lacks {', '.join(absent)}: a file of another table, or its layout changed"
    twice = sorted({name for name in header if name and header.count(name) > 1})
    return f"the header names {', '.join(twice)} twice" if twice else None


def _salvage(path: Path, to: Path, form: Csv) -> tuple[list[str], list[Rejected]]:
    """Read records one by one; what is not UTF-8, or has too many or too few fields, is left out and told."""
    rejected: list[Rejected] = []
    header: list[str] = []
    with _open_text(path) as text, to.open("w", encoding="utf-8", newline="") as good:
        writer = csv.writer(good)
        reader = csv.reader(text, delimiter=form.delimiter)
        number = -1
        while True:
            number += 1
            try:
                fields = next(reader, None)
            except (csv.Error, EOFError, OSError) as error:
                rejected.append(Rejected(number + 1, "", f"the file is damaged from here on: {error}"))
                break
            if fields is None:
                break
            if number == 0:
                header = [name.strip() for name in fields]
            elif problem := _record_problem(fields, header):
                shown = json.dumps(fields, ensure_ascii=True)[:KEPT_OF_A_BAD_LINE]
                rejected.append(Rejected(number + 1, shown, problem))
            elif fields:
                writer.writerow([number + 1, *fields])
    return header, rejected


def _record_problem(fields: list[str], header: list[str]) -> str | None:
    if fields and len(fields) != len(header):
        return f"{len(fields)} fields where the header has {len(header)}"
    if any(not _encodable(value) for value in fields):
        return "not valid UTF-8"
    return None


def _encodable(value: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in value)


def _open_text(path: Path) -> TextIO:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="")
