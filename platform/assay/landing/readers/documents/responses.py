"""Responses of an API, each of which holds records at a declared path (`JsonDocuments.records`).

Belongs here: taking the records out of responses, and out of damaged ones. Does not belong here: the records' fields
(`extraction`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from assay.contracts.rules import literal
from assay.landing.files.encodings import has_foreign_bytes
from assay.landing.files.json_text import (
    BLANKS,
    ByteOffsets,
    DamagedJsonError,
    after,
    after_blank,
    after_member,
    elements_at,
    first_place,
    member_at,
    places,
    value_at,
)
from assay.landing.files.lines import DAMAGE, DAMAGED, KEPT_OF_A_BAD_LINE, Rejected, open_unpacked
from assay.landing.readers.documents.exact_numbers import marked, needs_marks, unmarked_json
from assay.landing.readers.documents.paths import json_path
from assay.landing.sql import text_list


def responses_relation(paths: list[Path], records: str) -> str:
    """Like `lines_relation`, for files of responses: each record becomes a line."""
    path = json_path(records)
    array = f"json_extract(response, {json_path(records, '[*]')})"
    return f"""
SELECT _path, row_number() OVER () AS _n,
  CASE WHEN marked THEN {unmarked_json("item")} ELSE item END AS line
FROM (
  SELECT _path, marked, unnest(CASE json_type(response, {path}) WHEN 'ARRAY' THEN {array}
    WHEN 'OBJECT' THEN [json_extract(response, {path})] WHEN 'NULL' THEN [] ELSE error('no records') END)::VARCHAR AS item
  FROM (
    SELECT _path, marked, CASE WHEN NOT json_valid(response) THEN error('not JSON')
      WHEN marked THEN {marked("response")} ELSE response END AS response
    FROM (
      SELECT _path, response, {needs_marks("response")} AS marked FROM (
        SELECT filename AS _path, unnest(CASE WHEN json_valid(content) THEN [content]
          ELSE list_filter(string_split(content, chr(10)), lambda each: trim(each, {literal(BLANKS)}) <> '') END) AS response
        FROM (SELECT filename, ltrim(content, chr(65279)) AS content FROM read_text({text_list([str(path) for path in paths])}))
      )
    )
  )
)"""


def salvage_response(path: Path, records: str, to: Path) -> list[Rejected]:
    """Write the intact records of one or more damaged responses, each on a line after its number.

    Args:
        path: The file, gzipped or not.
        records: The path of a response's records.
        to: Where the records go.

    Returns:
        What could not be read: records that are not UTF-8, and the place of the damage, after which nothing is read.
    """
    raw, damage = _readable(path)
    text = raw.decode("utf-8", errors="surrogateescape")
    found: list[Rejected] = []
    offsets, row = ByteOffsets(text), 0
    with to.open("w", encoding="utf-8", newline="\n") as good:
        try:
            for row, (start, end) in enumerate(_records_in(text, records), 1):
                record = text[start:end].replace("\r", " ").replace("\n", " ")
                if has_foreign_bytes(record):
                    found.append(Rejected(row, _kept(record), "not valid UTF-8", offsets.at(start)))
                else:
                    good.write(f"{row}\x01{record}\n")
        except DamagedJsonError as error:
            said = f"{DAMAGED}: {damage or error}" if damage or row else f"not a response with records at {records}: {error}"
            found.append(Rejected(row + 1, _kept(text[error.place :]), said, offsets.at(error.place)))
        else:
            if damage:
                found.append(Rejected(row + 1, "", f"{DAMAGED}: {damage}", len(raw)))
    return found


def response_places(path: Path, records: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each record of the responses in a file, and of the damage if any, with the byte at which it begins."""
    text = _readable(path)[0].decode("utf-8", errors="surrogateescape")
    return places(text, _records_in(text, records))


def _readable(path: Path) -> tuple[bytes, Exception | None]:
    """The bytes of a file up to where its compression is damaged, and the error if it is."""
    chunks: list[bytes] = []
    with open_unpacked(path) as stream:
        try:
            while chunk := stream.read1(1 << 20):  # type: ignore[attr-defined]
                chunks.append(chunk)
        except DAMAGE as error:
            return b"".join(chunks), error
    return b"".join(chunks), None


def _records_in(text: str, records: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each record of the responses in a text."""
    path = records.split(".")
    place = after_blank(text, first_place(text))
    while True:
        place = yield from _records_of_value(text, place, path)
        place = after_blank(text, place)
        if place == len(text):
            return


def _records_of_value(text: str, place: int, path: list[str]) -> Generator[tuple[int, int], None, int]:
    """Yield the records at a path within one value; returns where the value ends."""
    if not path:
        return (yield from _records_at(text, place))
    if text[place : place + 1] != "{":
        raise DamagedJsonError(place, f"an object with {path[0]} should begin here")
    place = after_blank(text, place + 1)
    has_records = False
    while text[place : place + 1] != "}":
        name, place = member_at(text, place)
        if name == path[0]:
            has_records = True
            place = yield from _records_of_value(text, place, path[1:])
        else:
            _, place = value_at(text, place)
        place = after_member(text, place)
    if not has_records:
        raise DamagedJsonError(place, f"it has no {path[0]}")
    return place + 1


def _records_at(text: str, place: int) -> Generator[tuple[int, int], None, int]:
    if text.startswith("null", place):
        return place + len("null")
    if text[place : place + 1] == "{":
        _, end = value_at(text, place)
        yield place, end
        return end
    after(text, place, "[")
    return (yield from elements_at(text, place))


def _kept(text: str) -> str:
    return text[:KEPT_OF_A_BAD_LINE].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
