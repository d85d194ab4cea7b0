"""Reading delimited text.

Belongs here: CSV archives, by the names in their headers. Does not belong here: typing of values (`typed`).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.formats import Csv
from assay.landing.lines import KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected, numbered_lines
from assay.landing.records import LandedFile, Parsed, text_list

# The process's limit of one field, 128 KiB at first; DuckDB reads as much as this.
csv.field_size_limit(MAX_LINE_BYTES)


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
                kind = (tuple(header), _version(file.info.key, _format(source)))
                alike.setdefault(kind, []).append(file.path)
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

    def recheck(self, file: LandedFile, wanted: str, source: Source) -> Parsed | None:
        """Nothing needs to be read again: a record's text is rebuilt from its fields."""
        return None


def _format(source: Source) -> Csv:
    assert isinstance(source.format, Csv)
    return source.format


def _scan(paths: list[Path], header: tuple[str, ...], delimiter: str) -> str:
    columns = _struct(dict.fromkeys(_unique(list(header)), "VARCHAR"))
    return (
        "SELECT filename AS _path, row_number() OVER () AS _n, * EXCLUDE (filename) FROM read_csv("
        f"{text_list([str(path) for path in paths])}, header=true, auto_detect=false, delim={literal(delimiter)}, "
        f"quote='\"', escape='\"', columns={columns}, filename=true, compression='none', allow_quoted_nulls=false, "
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
        f"{_value(by_column[name], form) if name not in absent else 'NULL::VARCHAR'} AS {quote(name)}" for name in names
    )
    others = [name for name in headers if name and name not in by_column.values()]
    rescued = f"to_json({_pack(others)})::VARCHAR" if others else "NULL::VARCHAR"
    return f"""
SELECT _path, _n, to_json({_pack(headers)})::VARCHAR AS _record, NULL::VARCHAR AS _reason, 'r' AS _op,
  [{version}::BIGINT] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp,
  {text_list(absent) if absent else "NULL"}::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, {rescued} AS _rescued,
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
  NULL::VARCHAR[] AS _missing, NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued,
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
    with to.open("w", encoding="utf-8", newline="") as good:
        writer = csv.writer(good)
        for record in _records(path, form.delimiter):
            if isinstance(record, Rejected):
                rejected.append(record)
                continue
            row, fields = record
            if not header:
                header = [name.strip() for name in fields]
            elif problem := _record_problem(fields, header):
                rejected.append(Rejected(row, json.dumps(fields, ensure_ascii=True)[:KEPT_OF_A_BAD_LINE], problem))
            else:
                writer.writerow([row, *fields])
    return header, rejected


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    """Yield each record with its first line, or what is wrong there. After a record that is none, the next line starts anew."""
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.start_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(lines.first_row, lines.back_to_second(), f"not a record of delimited text: {error}")
        except _UnreadableLineError as error:
            yield Rejected(lines.first_row, error.text, error.reason)
        else:
            if fields:
                yield lines.first_row, fields


class _UnreadableLineError(Exception):
    """A line that cannot be part of any record."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.reason = reason


class _Lines:
    """Hands a file's lines to `csv.reader`, and takes back those after the first of a record that turned out to be none.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._unread = numbered_lines(path)
        self._taken_back: list[tuple[int, str]] = []
        self._taken: list[tuple[int, str]] = []
        self._row = 0

    @property
    def first_row(self) -> int:
        """The line on which the present record starts."""
        return self._taken[0][0] if self._taken else self._row

    def start_record(self) -> None:
        """Say that the next line is the first of a record."""
        self._taken = []

    def back_to_second(self) -> str:
        """Take back all lines of the present record but the first, and return that."""
        self._taken_back += self._taken[:0:-1]
        return self._taken[0][1].rstrip("\r\n").encode("utf-8", "backslashreplace").decode()[:KEPT_OF_A_BAD_LINE]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._taken_back:
            self._taken.append(self._taken_back.pop())
            return self._taken[-1][1]
        self._row, raw, reason = next(self._unread)
        if reason is not None:
            raise _UnreadableLineError(raw.decode("utf-8", "backslashreplace"), reason)
        text = raw.decode("utf-8-sig" if self._row == 1 else "utf-8", errors="surrogateescape")
        self._taken.append((self._row, text))
        return text


def _record_problem(fields: list[str], header: list[str]) -> str | None:
    if len(fields) != len(header):
        return f"{len(fields)} fields where the header has {len(header)}"
    if any(not _encodable(value) for value in fields):
        return "not valid UTF-8"
    return None


def _encodable(value: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in value)
