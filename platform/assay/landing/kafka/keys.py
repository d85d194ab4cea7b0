"""The keys of records that are stored apart from their values.

Belongs here: which objects of a listing hold the keys of which others, and converting keys to a readable form. Does not belong
here: names of objects (`names`), envelopes around values (`envelopes`), which records need a key (`readers.sink_reader`).

A key is written as the row of a delete in Debezium's flattened form, so that it is decoded just as the values are. It follows
the number of its record, from 1, and the record's offset if that is known.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.contracts import Source
from assay.lake.store import ObjectInfo
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import MAX_LINE_BYTES, located_lines
from assay.landing.formats import Debezium, DmsJson, JsonDocuments
from assay.landing.kafka.names import sink_object, stem
from assay.landing.sql import text_list

_SUFFIX = ".keys"
"""Suffix of a file of keys, after the name of its values' file."""


@dataclass(frozen=True)
class KeysBeside:
    """Which objects of a listing hold the keys of which others.

    Attributes:
        values: By key of the object that holds the records' keys: the object with their values.
        keyed: Keys of the objects with values whose records' keys are in another object.
        waiting: Keys of the objects with records' keys whose values have not landed.
    """

    values: Mapping[str, ObjectInfo] = field(default_factory=dict)
    keyed: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


def keys_beside(listing: Collection[ObjectInfo], source: Source) -> KeysBeside:
    """Find the objects in which Confluent's sink has written the keys of others; none if keys are in headers."""
    if key_header(source) is not None:
        return KeysBeside()
    keys = {info.key: stem(info.key) for info in listing if _SUFFIX in info.key and _holds(info.key) == "keys"}
    if not keys:
        return KeysBeside()
    stems = set(keys.values())
    values = {name: info for info in listing if _holds(info.key) == "values" and (name := stem(info.key)) in stems}
    found = {key: values[name] for key, name in keys.items() if name in values}
    return KeysBeside(found, frozenset(info.key for info in found.values()), frozenset(keys.keys() - found.keys()))


def _holds(key: str) -> str | None:
    found = sink_object(key)
    return found.holds if found else None


# --- Writing ---


def keys_path(values: Path) -> Path:
    """The file for the keys of the values in a file."""
    return values.with_name(f"{values.name}{_SUFFIX}")


def write_keys(keys: Iterable[tuple[int, int | None, str | None]], values: Path, source: Source) -> Path:
    """Write the keys of a file's records.

    Args:
        keys: Number, offset and key text of each record.
        values: The file.
        source: Its source.
    """
    to = keys_path(values)
    with to.open("w", encoding="utf-8", newline="\n") as lines:
        for row, offset, text in keys:
            key = None if text is None else key_row(text, source)
            lines.write(f"{row}\x01{'' if offset is None else offset}\x01{key or ''}\n")
    return to


def keys_in(path: Path) -> Iterable[tuple[int, None, str | None]]:
    """Read the lines of a file of keys; for an unreadable line, the key is None."""
    for line in located_lines(path):
        try:
            yield line.row, None, None if line.reason else line.raw.decode("utf-8-sig" if line.offset == 0 else "utf-8")
        except UnicodeDecodeError:
            yield line.row, None, None


def key_row(text: str, source: Source) -> str | None:
    """Convert a key to the row of a delete; None if it names no column.

    Args:
        text: An object, with or without its schema, or the only value of the key; as JSON, or as plain text.
        source: The source of the record.
    """
    names = list(key_names(source).values())
    key, schema = _opened(text), None
    if isinstance(key, dict) and set(key) == {"schema", "payload"}:
        schema, key = key["schema"], key["payload"]
    if isinstance(key, dict) and set(key) == {"key"} and "key" not in names:
        # A sink's Parquet can hold only structures.
        key = key["key"]
    if isinstance(key, dict) and _is_of_mongodb(source) and not set(names) & set(key):
        # MongoDB's key is a string of extended JSON.
        schema, key = None, {name: _opened(str(key.get("id"))) for name in names}
    if not isinstance(key, dict):
        if key is None or len(names) != 1:
            return None
        schema, key = None, {names[0]: key}
    row = {"__deleted": "true", **key}
    return _text({"schema": schema, "payload": row} if schema and isinstance(source.format, Debezium) else row)


def _opened(text: str) -> Any:
    """Parse a key's text: JSON, JSON in a JSON string, JSON in base64, or plain text."""
    try:
        found = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        found = text.strip()
    return (_object_in(found) or found) if isinstance(found, str) else found


def _object_in(text: str) -> dict[str, Any] | None:
    for written in (text, of_base64(text)):
        if written.lstrip().startswith("{"):
            try:
                found = json.loads(written, parse_float=str)
            except (ValueError, RecursionError):
                continue
            return found if isinstance(found, dict) else None
    return None


def of_base64(text: str) -> str:
    """Decode text that was sent as bytes; empty if it is not base64 of text."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def key_header(source: Source) -> str | None:
    """The header that holds the keys of a source; None if they are the records' own."""
    return source.format.key_header if isinstance(source.format, JsonDocuments) else None


def _is_of_mongodb(source: Source) -> bool:
    return isinstance(source.format, Debezium) and source.format.connector == "mongodb"


def key_names(source: Source) -> dict[str, str]:
    """The name of each key column within a key, by column; an element's ordinal is in no key."""
    form = source.format
    if isinstance(form, Debezium | DmsJson):
        return {name: form.columns.get(name, name) for name in source.key}
    if isinstance(form, JsonDocuments) and form.explode:
        return {name: form.explode.parent[name].rsplit(".", 1)[-1] for name in source.key if name in form.explode.parent}
    return {name: name for name in source.key}


# --- Reading ---


def offsets_relation(files: Sequence[LandedFile]) -> str:
    """Write the query that yields `_path, _n, _offset` of records whose offsets are known."""
    if not files:
        return "SELECT NULL::VARCHAR AS _path, NULL::BIGINT AS _n, NULL::BIGINT AS _offset WHERE false"
    return f"SELECT _path, _n, _offset FROM ({written_keys(files)})"


def written_keys(files: Sequence[LandedFile]) -> str:
    """Write the query that yields `_path, _n, _offset, line` of what `write_keys` wrote beside some files."""
    paths = text_list([str(file.keys) for file in files])
    return (
        f"SELECT left(filename, -{len(_SUFFIX)}) AS _path, _n, _offset, line FROM read_csv({paths}, columns={{'_n': 'BIGINT', "
        "'_offset': 'BIGINT', 'line': 'VARCHAR'}, delim=E'\\x01', quote='', escape='', header=false, auto_detect=false, "
        f"nullstr='', compression='none', filename=true, max_line_size={MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES})"
    )
