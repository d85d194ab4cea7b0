"""The envelope that Aiven's sink puts around a record: its key, value, offset, timestamp and headers.

Belongs here: recognizing envelopes, and extracting values and keys. Does not belong here: what keys and values mean
(`keys`, the readers), files that do not hold one record per line (`files.containers`).

The text of a value is kept as it was written. If a value was sent as text (`StringConverter`), or as bytes in base64
(`ByteArrayConverter`), the JSON within is used.

The sink's CSV, which is its default, has no header. If it holds values alone, each in base64, every line is a value. With several
fields nothing identifies them, and a key looks like a value, so such a file is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from assay.contracts import Source
from assay.landing.files.json_text import BLANKS, after, after_blank, after_member, member_at, value_at
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import DAMAGED, KEPT_OF_A_BAD_LINE, Line, Rejected, located_lines
from assay.landing.formats import JsonDocuments
from assay.landing.kafka.keys import key_header, of_base64, write_keys

_FIELDS = frozenset(("key", "value", "offset", "timestamp", "headers"))
_LOOKED_AT = 3
"""How many lines of a file are inspected for its form; a sink writes them all in the same form."""
_OBJECTS = (b"e", b"I", b"C", b"D")
"""First characters of the base64 of a brace, or of blanks before one."""
_SEVERAL_FIELDS = (
    "CSV of Aiven's sink with several fields, and nothing in it says which of them is the value: let the sink write JSON lines "
    "(format.output.type=jsonl), or the value alone (format.output.fields=value), and land its files under new names"
)


@dataclass(frozen=True)
class Envelope:
    """A record of a topic, as the texts that a sink has written.

    Attributes:
        value: The value, as JSON.
        key: The key, as JSON; None if the sink does not write it.
        headers: The headers, as JSON; None if the sink does not write them.
        offset: The offset; None if the sink does not write it.
    """

    value: str
    key: str | None
    headers: str | None
    offset: int | None

    def header(self, name: str) -> str | None:
        """The first header with a name, as JSON; None if there is none."""
        headers = json.loads(self.headers or "null")
        if isinstance(headers, dict):
            headers = [{"key": key, "value": value} for key, value in headers.items()]
        if not isinstance(headers, list):
            return None
        found = [each for each in headers if isinstance(each, dict) and each.get("key") == name]
        return json.dumps(found[0].get("value")) if found else None


def holds_envelopes(file: LandedFile, source: Source) -> bool:
    """Detect from its first lines whether a file holds envelopes; plain documents may have a column `value` themselves."""
    if _fields_of_csv(file):
        return True
    if isinstance(source.format, JsonDocuments) and any(spec.name == "value" for spec in source.columns):
        return False
    first = islice(located_lines(file.path), _LOOKED_AT)
    return any(b'"value"' in line.raw and _envelope(line) is not None for line in first)


def open_envelopes(file: LandedFile, to: Path, source: Source) -> LandedFile:
    """Write the values of a file one per line, and the keys beside them; lines that are not envelopes are kept as they are.

    Args:
        file: The file, of one record a line.
        to: Where the values go.
        source: Its source.
    """
    fields = _fields_of_csv(file)
    if len(fields) > 1:
        to.write_bytes(b"")
        return replace(
            file, path=to, is_damaged=False, rejected=(Rejected(1, ",".join(fields)[:KEPT_OF_A_BAD_LINE], _SEVERAL_FIELDS),)
        )
    rejected: list[Rejected] = []
    header = key_header(source)

    def keys() -> Iterator[tuple[int, int | None, str | None]]:
        with to.open("wb") as values:
            for line in located_lines(file.path):
                if line.reason is not None and line.reason.startswith(DAMAGED):
                    rejected.append(Rejected(line.row, "", line.reason, line.offset))
                    return
                found = _envelope(line)
                values.write((found.value.encode() if found else line.raw.rstrip(b"\r\n")) + b"\n")
                if found:
                    yield line.row, found.offset, found.key if header is None else found.header(header)

    return replace(file, path=to, is_damaged=False, keys=write_keys(keys(), to, source), rejected=(*file.rejected, *rejected))


def _envelope(line: Line) -> Envelope | None:
    """Parse a line as an envelope; None if it is not one."""
    if line.reason is None and (inner := _json_in_base64(line.raw.strip())):
        return Envelope(_on_one_line(inner), None, None, None)
    try:
        members = _members(line.raw.decode("utf-8-sig" if line.offset == 0 else "utf-8"))
    except ValueError:
        return None
    if line.reason is not None or "value" not in members or not _FIELDS.issuperset(members):
        return None
    offset = members.get("offset", "")
    place = int(offset) if offset.isdecimal() else None
    return Envelope(_value(members["value"]), members.get("key"), members.get("headers"), place)


def _fields_of_csv(file: LandedFile) -> list[str]:
    """The fields of the first CSV line with JSON in base64; empty if none of the first lines has any."""
    for line in islice(located_lines(file.path), _LOOKED_AT):
        fields = line.raw.strip().split(b",")
        # A string within JSON may contain anything.
        if line.reason is None and b'"' not in line.raw and any(map(_json_in_base64, fields)):
            return [field.decode("ascii", "backslashreplace") for field in fields]
    return []


def _json_in_base64(field: bytes) -> str:
    """The JSON object that a field holds in base64; empty if it holds none."""
    if not field.startswith(_OBJECTS):
        return ""
    return inner if (inner := of_base64(field.decode("ascii", "replace"))).lstrip(BLANKS).startswith("{") else ""


def _on_one_line(text: str) -> str:
    """Replace line breaks, which JSON has only between its parts."""
    return text.replace("\r", " ").replace("\n", " ")


def _members(text: str) -> dict[str, str]:
    """The text of each member of a JSON object.

    Raises:
        ValueError: The text is not a JSON object.
    """
    found: dict[str, str] = {}
    place = after_blank(text, after(text, after_blank(text, 0), "{"))
    while text[place : place + 1] != "}":
        name, start = member_at(text, place)
        if not isinstance(name, str):
            raise ValueError("a name is no string")
        _, place = value_at(text, start)
        found[name] = text[start:place]
        place = after_member(text, place)
    if text[place + 1 :].strip(BLANKS):
        raise ValueError("more than an object")
    return found


def _value(written: str) -> str:
    """The value itself; a string that contains no JSON stays a string."""
    if not written.startswith('"'):
        return written
    text = json.loads(written)
    for inner in (text, of_base64(text)):
        if inner.lstrip(BLANKS).startswith(("{", "null")):
            return _on_one_line(inner)
    return written
