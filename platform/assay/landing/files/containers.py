"""Files that do not hold one record per line: converted to newline-delimited JSON, which the readers read.

Belongs here: Avro object containers, Parquet files, JSON arrays and JSON over several lines, recognized by their first bytes
and not by their names. Does not belong here: what a record means (the readers), compression (`fetch`).

Values are exact, and text if JSON has no type for them: decimals and integers of more than 64 bits as strings, bytes in
base64, dates, times and timestamps in ISO 8601, timestamps with a known time zone in UTC with a `Z`.
"""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from uuid import UUID

import duckdb
from duckdb.sqltypes import DuckDBPyType

from assay.contracts.rules import literal, quote
from assay.errors import LibraryMissing
from assay.landing.files import json_text
from assay.landing.files.json_text import DamagedJsonError, after_blank, elements_at, first_place, value_at
from assay.landing.files.lines import DAMAGED, KEPT_OF_A_BAD_LINE, MAX_LINE_BYTES, Rejected

Container = Literal["avro", "parquet", "workbook", "array", "document", "framed"]
AVRO: Container = "avro"
PARQUET: Container = "parquet"
WORKBOOK: Container = "workbook"
"""Rows of a sheet, which only sources of delimited text may land (`readers.delimited.workbooks`)."""
ARRAY: Container = "array"
DOCUMENT: Container = "document"
"""JSON objects that span several lines, or follow each other."""
FRAMED: Container = "framed"
"""Messages as in the topic, each preceded by its schema id."""
BINARY = frozenset((AVRO, PARQUET, FRAMED))
"""Containers that are not text."""

_MAGIC: tuple[tuple[bytes, Container], ...] = ((b"Obj\x01", AVRO), (b"PAR1", PARQUET), (b"PK\x03\x04", WORKBOOK))
_FRAME = re.compile(rb"\x00\x00(?!\xfe\xff)...", re.DOTALL)
"""A zero byte and a schema id of four bytes; UTF-32 begins similarly."""
_SPREAD = re.compile(rb'\{[ \t\r]*\n[ \t\r\n]*"')
"""An object that continues on the next line, which newline-delimited JSON never has."""
_BLANK = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MEMORY = "512MB"
_DECODED_BYTES = 1024 * 1024
"""Up to which size objects over several lines are decoded in memory, if they are sound."""


def container_of(path: Path) -> Container | None:
    """Detect a file's container from its first bytes; None for any other text."""
    with path.open("rb") as file:
        start = file.read(64)
    for magic, container in _MAGIC:
        if start.startswith(magic):
            return container
    if _FRAME.match(start):
        return FRAMED
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANK)
    if _SPREAD.match(text):
        return DOCUMENT
    return ARRAY if text.startswith(b"[") else None


def unwrap(path: Path, container: Container, to: Path) -> list[Rejected] | None:
    """Write the records of a file as JSON, one per line.

    Args:
        path: The file, not compressed.
        container: Its container, other than a workbook.
        to: Where the lines go.

    Returns:
        What could not be read: empty for an intact file, else the place of the damage, after which nothing is read. None, with
        nothing written, if the file is text that only begins like a JSON array.

    Raises:
        LibraryMissing: A library that the file needs is not installed.
    """
    return _UNWRAP[container](path, to)


# --- Workbooks ---


def openpyxl_library() -> ModuleType:
    """The library that reads workbooks.

    Raises:
        LibraryMissing: It is not installed.
    """
    try:
        return importlib.import_module("openpyxl")
    except ImportError as error:
        raise LibraryMissing(
            "a workbook has landed, and openpyxl, which reads it, is not installed",
            hint="Install Assay with its extra for workbooks: pip install 'assay-platform[excel]'.",
        ) from error


# --- Avro ---


def _avro_lines(path: Path, to: Path) -> list[Rejected]:
    fastavro = _fastavro()
    row = 0
    with path.open("rb") as file, to.open("w", encoding="utf-8", newline="\n") as lines:
        try:
            for record in fastavro.reader(file):
                lines.write(json.dumps(_plain(record), ensure_ascii=False, allow_nan=False) + "\n")
                row += 1
        except Exception as error:  # On damaged bytes, a decoder may raise anything.
            if "need to install" in str(error):
                raise LibraryMissing(f"an Avro file has landed that cannot be unpacked: {error}", hint=_INSTALL) from error
            return [Rejected(row + 1, "", f"{DAMAGED}: {error or type(error).__name__}")]
    return []


_INSTALL = "Install Assay with its extra for Avro: pip install 'assay-platform[avro]'."


def _fastavro() -> ModuleType:
    try:
        return importlib.import_module("fastavro")
    except ImportError as error:
        raise LibraryMissing("an Avro file has landed, and fastavro, which reads it, is not installed", hint=_INSTALL) from error


def _plain(value: Any) -> Any:
    """Convert a decoded Avro value to one that JSON has, without losing a digit."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, UUID) else value


# --- Messages of a schema registry ---


def _framed(path: Path, to: Path) -> list[Rejected]:
    """Reject messages whose schema is not in the file."""
    with path.open("rb") as file:
        schema = int.from_bytes(file.read(5)[1:], "big")
    to.write_bytes(b"")
    told = (
        f"the messages are as the topic has them, framed by a schema registry (schema {schema}), and their schemas are not in "
        "the file: let the sink decode them (value.converter and key.converter of the registry, with its schema.registry.url) "
        "and write Avro files, Parquet or JSON, and land them under new names"
    )
    return [Rejected(1, "", told)]


# --- Parquet ---


def _parquet_lines(path: Path, to: Path) -> list[Rejected]:
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(to.parent)}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1; SET enable_progress_bar = false")
        try:
            relation = connection.sql(f"FROM read_parquet({literal(str(path))})")
            fields = ", ".join(
                f"{literal(name)}: {_json_of(quote(name), kind)}"
                for name, kind in zip(relation.columns, relation.types, strict=True)
            )
            _copy_lines(connection, f"SELECT to_json({{{fields}}})::VARCHAR FROM read_parquet({literal(str(path))})", to)
        except duckdb.Error as error:
            if _is_about_room(error):
                raise
            to.write_bytes(b"")
            said = str(error).split("\n", 1)[0].replace(str(path), "it")
            return [Rejected(1, "", f"the Parquet file is damaged, or was not written to its end: {said}")]
    return []


def _copy_lines(connection: duckdb.DuckDBPyConnection, query: str, to: Path) -> None:
    # Raw control characters cannot occur in JSON, so nothing needs quoting.
    connection.execute(
        f"COPY ({query}) TO {literal(str(to))} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01', "
        "COMPRESSION 'none')"
    )


def _is_about_room(error: duckdb.Error) -> bool:
    return isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error)


def _json_of(value: str, kind: DuckDBPyType, depth: int = 0) -> str:
    """Write the expression that converts a value so that `to_json` writes it exactly."""
    name = kind.id
    if name == "struct":
        fields = ", ".join(
            f"{literal(field)}: {_json_of(f'({value}).{quote(field)}', _child(kind, field), depth)}" for field, _ in kind.children
        )
        return f"CASE WHEN {value} IS NOT NULL THEN {{{fields}}} END"
    if name in ("list", "array"):
        each = f"each_{depth}"
        return f"list_transform({value}, lambda {each}: {_json_of(each, _child(kind, 'child'), depth + 1)})"
    if name == "map":
        each = f"each_{depth}"
        entry = f"{{'key': {each}.key::VARCHAR, 'value': {_json_of(f'{each}.value', _child(kind, 'value'), depth + 1)}}}"
        return f"map_from_entries(list_transform(map_entries({value}), lambda {each}: {entry}))"
    if name == "blob":
        return f"base64({value})"
    if name in ("float", "double"):
        return f"CASE WHEN isfinite({value}) THEN {value}::VARCHAR::JSON ELSE to_json({value}::VARCHAR) END"
    if name == "timestamp with time zone":
        return f"replace(({value} AT TIME ZONE 'UTC')::VARCHAR, ' ', 'T') || 'Z'"
    if name.startswith("timestamp"):
        return f"replace({value}::VARCHAR, ' ', 'T')"
    return value if name in _JSON_TYPES else f"{value}::VARCHAR"


_JSON_TYPES = frozenset(
    ("boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "varchar", "json")
)


def _child(kind: DuckDBPyType, which: str) -> DuckDBPyType:
    for name, child in kind.children:
        if name == which and isinstance(child, DuckDBPyType):
            return child
    raise AssertionError(f"{kind} has no {which}")


# --- JSON arrays, and objects over several lines ---


def _array_lines(path: Path, to: Path) -> list[Rejected] | None:
    # DuckDB accepts an array that breaks off after a comma as complete.
    is_read = _is_closed(path) and _copy_values(path, "array", to)
    return [] if is_read else _salvaged_array(path, to)


def _copy_values(path: Path, layout: Literal["array", "unstructured"], to: Path) -> bool:
    """Write the JSON values of a file one a line, in bounded memory; False where DuckDB cannot read all of them."""
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(to.parent)}) as connection:
        connection.execute("SET threads = 1; SET enable_progress_bar = false")
        values = (
            f"SELECT replace(replace(json, chr(13), ' '), chr(10), ' ') FROM read_json_objects({literal(str(path))}, "
            f"format='{layout}', compression='uncompressed', maximum_object_size={MAX_LINE_BYTES})"
        )
        try:
            _copy_lines(connection, values, to)
        except duckdb.Error as error:
            if _is_about_room(error):
                raise
            return False
    return True


def _is_closed(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return file.read().rstrip(_BLANK).endswith(b"]")


def _salvaged_array(path: Path, to: Path) -> list[Rejected] | None:
    """Keep the elements of one or more arrays, up to where the text is no longer JSON."""
    try:
        row, rejected = _salvaged(path, _elements, to)
    except _NoArrayError:
        to.unlink()
        return None
    if rejected and row == 0:
        to.unlink()
        return None
    return rejected


def _document_lines(path: Path, to: Path) -> list[Rejected]:
    # Opening DuckDB takes longer than decoding a small file.
    is_read = path.stat().st_size > _DECODED_BYTES and _copy_values(path, "unstructured", to)
    return [] if is_read else _salvaged(path, _objects, to)[1]


def _salvaged(path: Path, find: _Find, to: Path) -> tuple[int, list[Rejected]]:
    """Write a file's JSON values one per line, up to where the text is no longer JSON; returns how many."""
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    row = 0
    try:
        # Bytes that are not UTF-8 become escapes that are invalid in JSON, so that the reader rejects just that line.
        with to.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
            for start, end in find(text, 0):
                lines.write(text[start:end].replace("\r", " ").replace("\n", " ") + "\n")
                row += 1
    except DamagedJsonError as error:
        rest = text[error.place : error.place + KEPT_OF_A_BAD_LINE].encode("utf-8", "backslashreplace").decode()
        return row, [Rejected(row + 1, rest, f"{DAMAGED}: {error}")]
    return row, []


def places(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the number of each record of a JSON file, and of the damage if any, with the byte at which it begins."""
    find = _objects if container_of(path) == DOCUMENT else _elements
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    return json_text.places(text, find(text, first_place(text)))


class _NoArrayError(Exception):
    pass


_Find = Callable[[str, int], Iterator[tuple[int, int]]]
"""Yields the start and end of each JSON value in a text, from a position on."""


def _objects(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each object in a text of consecutive objects."""
    place = after_blank(text, place)
    while place < len(text):
        _, end = value_at(text, place)
        yield place, end
        place = after_blank(text, end)


def _elements(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each element in a text of consecutive arrays."""
    place = after_blank(text, place)
    while place < len(text):
        if text[place] != "[":
            raise _NoArrayError
        place = yield from elements_at(text, place, "the array is not closed")
        place = after_blank(text, place)


_UNWRAP: dict[Container, Callable[[Path, Path], list[Rejected] | None]] = {
    AVRO: _avro_lines,
    PARQUET: _parquet_lines,
    ARRAY: _array_lines,
    DOCUMENT: _document_lines,
    FRAMED: _framed,
}
