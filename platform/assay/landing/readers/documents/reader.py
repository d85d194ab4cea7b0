"""Reading plain JSON documents: one per line, or the records within an API's responses.

Belongs here: finding the documents in a file, extracting their fields, and splitting their arrays. Does not belong here: change
events, files that are a single array (`files.containers`), typing of values (`batches.typed`).

Values are returned as their text in the document: a number with all its digits, nested values as JSON. An absent field is
missing, a null is null, `[]` and `{}` are texts. Nothing changes a column's type, because every value is text until it is cast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.encodings import has_foreign_bytes
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import (
    DAMAGE,
    DAMAGED,
    KEPT_OF_A_BAD_LINE,
    Rejected,
    lines_relation,
    open_unpacked,
    salvage_lines,
    salvaged_relation,
)
from assay.landing.formats import Explode, JsonDocuments
from assay.landing.kafka.keys import offsets_relation
from assay.landing.kafka.names import position, sink_object
from assay.landing.readers.parsed_record import BLANK, Parsed, Wanted
from assay.landing.readers.snapshot_dates import RECORD, boundaries, date_of, instant, no_date
from assay.landing.sql import text_list

_OPEN, _CLOSE = "\x01", "\x02"
_MARK = "\x01#"
"""Prefix of a text that stands for a number: it cannot occur in a document, and the JSON functions leave it unchanged."""
_MARK_IN_JSON = r'"\u0001#'
_LOSSY = r"[0-9.]{17,}|\.[0-9]*0([^0-9]|$)|\.0000|[0-9.][eE][+-]?[0-9]|(^|[\s:,\[])-0"
"""A number that DuckDB's JSON functions might not return as it was written (or what looks like one)."""
_STRING_OR_NUMBER = r'("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)'
_MARKED_NUMBER = r'"\\u0001#([^"]*)"'
_BLANKS = " \t\r\n"
_NOT_OF_SINK = (
    "no position: the object's name tells no Kafka partition and offset; land it under the name that the sink has given it"
)


class DocumentsReader:
    """Reads files of plain JSON documents."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        form = _format(source)
        parsed = Parsed([])
        for date, dated in _by_date(files, source, parsed).items():
            paths = [file.path for file in dated]
            relation = lines_relation(paths) if form.records is None else _responses(paths, form.records)
            relation = _with_places(relation, dated, source, "_n - min(_n) OVER (PARTITION BY _path) + 1")
            parsed.queries += _queries(relation, dated, date, source, bounded=paths)
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact documents of a damaged file."""
        form = _format(source)
        parsed = Parsed([])
        for date, dated in _by_date([file], source, parsed).items():
            good = scratch / f"{file.path.name}.lines"
            rejected = (
                salvage_lines(file.path, good) if form.records is None else _salvage_response(file.path, form.records, good)
            )
            if form.snapshot and any(each.reason.startswith(DAMAGED) for each in rejected):
                hint = "nothing of it is used. Land the whole file under a new name."
                told = f"the file breaks off, and a part of a snapshot tells nothing of what is gone: {hint}"
                parsed.rejected[file.path] = [Rejected(1, "", told), *rejected]
                continue
            parsed.rejected[file.path] = rejected
            # A key whose document cannot be read is not absent, so the file gets no bounds.
            bounded = [] if rejected else [file.path]
            relation = _with_places(salvaged_relation(file.path, good), dated, source, "_n")
            parsed.queries += _queries(relation, dated, date, source, bounded=bounded)
        return parsed

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: documents are read exactly the first time."""
        return None


def _format(source: Source) -> JsonDocuments:
    assert isinstance(source.format, JsonDocuments)
    return source.format


def _by_date(files: list[LandedFile], source: Source, parsed: Parsed) -> dict[str | None, list[LandedFile]]:
    """Group files by the date of their snapshot; None if the source has no snapshots."""
    rule = _format(source).snapshot
    found: dict[str | None, list[LandedFile]] = {}
    for file in files:
        date = date_of(file.info.key, source, rule) if rule else None
        if rule and date is None:
            parsed.rejected[file.path] = [Rejected(1, "", no_date(source, rule))]
        else:
            found.setdefault(date, []).append(file)
    return found


def _with_places(lines: str, files: Sequence[LandedFile], source: Source, line: str) -> str:
    """Add the columns that the source is ordered by: `_offset`, the record's offset, and `_place`, from the object's name."""
    if _format(source).by_name:
        lines = _with_places_by_name(lines, files, line)
    if not _is_by_offset(source):
        return lines
    known = offsets_relation([file for file in files if file.keys is not None])
    numbered = f"SELECT *, {line} AS _line FROM ({lines})"
    return (
        f"SELECT record.* EXCLUDE (_line), _offset FROM ({numbered}) AS record "
        f"LEFT JOIN ({known}) AS known ON known._path = record._path AND known._n = _line"
    )


def _with_places_by_name(lines: str, files: Sequence[LandedFile], line: str) -> str:
    """Add `_place` to lines: their Kafka partition, the first offset of their object and their number."""
    named = [(str(file.path), place) for file in files if (place := position(file.info.key))]
    objects = ", ".join(f"({literal(path)}, {partition}::BIGINT, {offset}::BIGINT)" for path, (partition, offset) in named)
    if not objects:
        return f"SELECT *, NULL::BIGINT[] AS _place FROM ({lines})"
    return (
        "SELECT line.* EXCLUDE (_line), CASE WHEN _first IS NOT NULL THEN [_partition_of, _first, _line] END AS _place "
        f"FROM (SELECT *, {line} AS _line FROM ({lines})) AS line "
        f"LEFT JOIN (VALUES {objects}) AS object(_path, _partition_of, _first) ON object._path = line._path"
    )


def _is_by_offset(source: Source) -> bool:
    return re.search(r"\b_offset\b", _format(source).version or "") is not None


def _queries(
    relation: str, files: Sequence[LandedFile], date: str | None, source: Source, *, bounded: Sequence[Path]
) -> list[str]:
    of_topic = [file.path for file in files if file.keys is not None or sink_object(file.info.key)]
    queries = [_documents(relation, source, date, of_topic)]
    if date and bounded:
        width = 2 if _format(source).version is None else 3
        queries.append(boundaries(bounded, date, source, width))
    return queries


def _documents(lines: str, source: Source, date: str | None, of_topic: Sequence[Path]) -> str:
    """Write the query that reads plain documents.

    Args:
        lines: A relation of `_path, _n, line`, each line a document; `_offset` and `_place` too if the source is ordered so.
        source: The source; its format is `JsonDocuments`.
        date: Digits of the date of their snapshot.
        of_topic: Files with records of a topic, in which a null document may be a tombstone.
    """
    form = _format(source)
    explode = form.explode
    inherited = {explode.ordinal, *explode.parent} if explode else set()
    names = [spec.name for spec in source.columns]
    own = [name for name in names if name not in inherited]
    values = ",\n    ".join(f"{_column(name, explode)} AS {quote(name)}" for name in names)
    shape = literal(json.dumps(dict.fromkeys(own, "VARCHAR")))
    at = instant(date) if date else "NULL::TIMESTAMPTZ"
    # A document whose version is not a number must not stop the others.
    version = f"TRY(({form.version})::BIGINT)" if form.version else None
    sequence = f"[{', '.join([*([date, str(RECORD)] if date else []), *([version] if version else [])])}]::BIGINT[]"
    of_place = (", _offset" if _is_by_offset(source) else "") + (", _place" if form.by_name else "")
    is_gone = f"trim(line) = 'null' AND _path IN ({text_list([str(path) for path in of_topic])[1:-1]})" if of_topic else "false"
    return f"""
WITH lines AS ({lines}),
checked AS (
  SELECT _path, _n, line{of_place}, coalesce({is_gone}, false) AS is_gone,
    CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)}
      WHEN NOT json_valid(line) THEN 'not a JSON document'
      WHEN json_type(line) <> 'OBJECT' AND NOT is_gone THEN 'not a JSON document' END AS problem,
    coalesce(regexp_matches(line, {literal(_LOSSY)}), false) AS marked
  FROM lines
),
documents AS (
  SELECT *, CASE WHEN problem IS NULL THEN CASE WHEN is_gone THEN '{{}}' WHEN marked THEN {_marked("line")} ELSE line END END
    AS document
  FROM checked
),
{_elements(explode, of_place, has_versions=form.snapshot is None)}
events AS (
  SELECT *,
    CASE WHEN problem IS NULL AND _op = 'r' THEN json_transform(document, {shape}) END AS e,
    CASE WHEN problem IS NULL AND _op = 'r' AND NOT is_gone THEN json_keys(document) END AS keys
  FROM elements
),
records AS (
  SELECT _path, _n, line AS _record, problem AS _reason, _op, {at} AS _source_timestamp, is_gone{of_place},
    {_missing_and_rescued(own)},
    {values}
  FROM events
)
SELECT * EXCLUDE (_reason, _op, is_gone{of_place}), {sequence}{" || _place" if form.by_name else ""} AS _sequence,
  CASE WHEN NOT is_gone THEN _op WHEN {_tells_gone(source)} THEN 'd' ELSE 'm' END AS _op,
  CASE WHEN _reason IS NULL AND NOT is_gone THEN {_unordered(version, form)} ELSE _reason END AS _reason
FROM records"""


def _tells_gone(source: Source) -> str:
    """Condition for a null document to have a position, and so to be a tombstone for its key."""
    if _is_by_offset(source):
        return "_offset IS NOT NULL"
    return "_place IS NOT NULL" if _format(source).version is None and _format(source).by_name else "false"


def _unordered(version: str | None, form: JsonDocuments) -> str:
    """Expression for why a document has no position; null if it has one."""
    tests = []
    if version:
        tests.append(f"WHEN {version} IS NULL THEN {literal(f'no version: {form.version} gives no number')}")
    if form.by_name:
        tests.append(f"WHEN _place IS NULL THEN {literal(_NOT_OF_SINK)}")
    return f"CASE {' '.join(tests)} END" if tests else "NULL::VARCHAR"


def _elements(explode: Explode | None, of_place: str, *, has_versions: bool) -> str:
    """Write the step from documents to the elements that become records.

    An exploded document yields one more, deleted and of ordinal 0 (`elements`), even if the array is empty.
    """
    if explode is None:
        return "elements AS (SELECT *, 'r' AS _op FROM documents),"
    path = _path(explode.items)
    first = 0 if has_versions else 1
    return f"""
arrays AS (
  SELECT * REPLACE (coalesce(problem, CASE WHEN json_type(document, {path}) NOT IN ('ARRAY', 'OBJECT', 'NULL')
      THEN {literal(f"{explode.items} is no array")} END) AS problem),
    CASE json_type(document, {path}) WHEN 'ARRAY' THEN json_extract(document, {_path(explode.items, "[*]")})
      WHEN 'OBJECT' THEN [json_extract(document, {path})] ELSE [] END AS items
  FROM documents
),
numbered AS (
  SELECT *, unnest(CASE WHEN problem IS NULL THEN range({first}, len(items) + 1) ELSE [1] END) AS ordinal FROM arrays
),
elements AS (
  SELECT _path, _n, line, marked, is_gone{of_place}, document AS parent, ordinal,
    CASE WHEN ordinal = 0 THEN 'd' ELSE 'r' END AS _op,
    items[ordinal] AS document,
    coalesce(problem, CASE WHEN ordinal > 0 AND json_type(items[ordinal]) <> 'OBJECT'
      THEN 'element ' || ordinal || {literal(f" of {explode.items} is no object")} END) AS problem
  FROM numbered
),"""


def _column(name: str, explode: Explode | None) -> str:
    if explode and name == explode.ordinal:
        return "CASE WHEN problem IS NULL THEN ordinal::VARCHAR END"
    if explode and name in explode.parent:
        return _unmarked(f"json_extract_string(parent, {_path(explode.parent[name])})")
    return _unmarked(f"e.{quote(name)}")


def _missing_and_rescued(names: list[str]) -> str:
    """Write the columns for how a document's own fields differ from the contract's."""
    declared = text_list(names)
    # Merging nulls into an object removes those names from it (RFC 7396), whatever else it contains.
    rest = f"json_merge_patch(document, {literal(json.dumps(dict.fromkeys(names)))})::VARCHAR"
    # Most documents have exactly the declared fields in order: comparing the lists avoids the searches.
    return f"""CASE WHEN keys <> {declared} AND NOT list_has_all(keys, {declared})
      THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END AS _missing,
    NULL::VARCHAR[] AS _unchanged,
    CASE WHEN keys <> {declared} AND NOT list_has_all({declared}, keys) THEN {_unmarked(rest)} END AS _rescued"""


def _path(dotted: str, rest: str = "") -> str:
    """A JSON path as a DuckDB literal."""
    return literal("$." + ".".join(f'"{name}"' for name in dotted.split(".")) + rest)


# --- Exact numbers ---


def _marked(text: str) -> str:
    """Expression for a JSON text in which marked strings replace the numbers."""
    strings_or_marks = literal(rf"\1{_OPEN}\2{_CLOSE}")
    both = f"regexp_replace({text}, {literal(_STRING_OR_NUMBER)}, {strings_or_marks}, 'g')"
    numbers = f"replace({both}, {literal(_OPEN + _CLOSE)}, '')"
    return f"replace(replace({numbers}, {literal(_CLOSE)}, '\"'), {literal(_OPEN)}, {literal(_MARK_IN_JSON)})"


def _unmarked(text: str) -> str:
    """Expression for a value, or a JSON text, with marked strings replaced by numbers again."""
    scalar = f"CASE WHEN starts_with({text}, {literal(_MARK)}) THEN substr({text}, {len(_MARK) + 1})"
    return (
        f"CASE WHEN marked THEN {scalar} ELSE regexp_replace({text}, {literal(_MARKED_NUMBER)}, '\\1', 'g') END ELSE {text} END"
    )


# --- Responses ---


def _responses(paths: list[Path], records: str) -> str:
    """Like `lines_relation`, for files of responses: each record becomes a line."""
    path = _path(records)
    array = f"json_extract(response, {_path(records, '[*]')})"
    return f"""
SELECT _path, row_number() OVER () AS _n,
  CASE WHEN marked THEN regexp_replace(item, {literal(_MARKED_NUMBER)}, '\\1', 'g') ELSE item END AS line
FROM (
  SELECT _path, marked, unnest(CASE json_type(response, {path}) WHEN 'ARRAY' THEN {array}
    WHEN 'OBJECT' THEN [json_extract(response, {path})] WHEN 'NULL' THEN [] ELSE error('no records') END)::VARCHAR AS item
  FROM (
    SELECT _path, marked, CASE WHEN NOT json_valid(response) THEN error('not JSON')
      WHEN marked THEN {_marked("response")} ELSE response END AS response
    FROM (
      SELECT _path, response, regexp_matches(response, {literal(_LOSSY)}) AS marked FROM (
        SELECT filename AS _path, unnest(CASE WHEN json_valid(content) THEN [content]
          ELSE list_filter(string_split(content, chr(10)), lambda each: trim(each, {literal(_BLANKS)}) <> '') END) AS response
        FROM (SELECT filename, ltrim(content, chr(65279)) AS content FROM read_text({text_list([str(path) for path in paths])}))
      )
    )
  )
)"""


def _salvage_response(path: Path, records: str, to: Path) -> list[Rejected]:
    """Write the intact records of one or more damaged responses, each on a line after its number."""
    raw, damage = _readable(path)
    text = raw.decode("utf-8", errors="surrogateescape")
    found: list[Rejected] = []
    row = size = counted = 0
    with to.open("w", encoding="utf-8", newline="\n") as good:
        try:
            for row, (start, end) in enumerate(_records_in(text, 1 if text.startswith("\ufeff") else 0, records.split(".")), 1):
                size += _bytes(text[counted:start])
                counted = start
                record = text[start:end].replace("\r", " ").replace("\n", " ")
                if has_foreign_bytes(record):
                    found.append(Rejected(row, _kept(record), "not valid UTF-8", size))
                else:
                    good.write(f"{row}\x01{record}\n")
        except _DamagedResponseError as error:
            said = f"{DAMAGED}: {damage or error}" if damage or row else f"not a response with records at {records}: {error}"
            found.append(Rejected(row + 1, _kept(text[error.place :]), said, size + _bytes(text[counted : error.place])))
        else:
            if damage:
                found.append(Rejected(row + 1, "", f"{DAMAGED}: {damage}", len(raw)))
    return found


def places(path: Path, records: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each record of the responses in a file, and of the damage if any, with the byte at which it begins."""
    text = _readable(path)[0].decode("utf-8", errors="surrogateescape")
    row = size = counted = 0
    try:
        for row, (start, _) in enumerate(_records_in(text, 1 if text.startswith("\ufeff") else 0, records.split(".")), 1):
            size += _bytes(text[counted:start])
            counted = start
            yield row, size
    except _DamagedResponseError as error:
        yield row + 1, size + _bytes(text[counted : error.place])


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


class _DamagedResponseError(Exception):
    def __init__(self, place: int, said: str) -> None:
        super().__init__(said)
        self.place = place


def _records_in(text: str, place: int, path: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each record of the responses in a text."""
    place = _after_blank(text, place)
    while True:
        place = yield from _records_of_value(text, place, path)
        place = _after_blank(text, place)
        if place == len(text):
            return


def _records_of_value(text: str, place: int, path: list[str]) -> Generator[tuple[int, int], None, int]:
    """Yield the records at a path within one value; returns where the value ends."""
    if not path:
        return (yield from _records_at(text, place))
    if text[place : place + 1] != "{":
        raise _DamagedResponseError(place, f"an object with {path[0]} should begin here")
    place = _after_blank(text, place + 1)
    has_records = False
    while text[place : place + 1] != "}":
        name, place = _value(text, place)
        place = _after_blank(text, _after(text, _after_blank(text, place), ":"))
        if name == path[0]:
            has_records = True
            place = yield from _records_of_value(text, place, path[1:])
        else:
            _, place = _value(text, place)
        place = _after_separator(text, place, "}")
    if not has_records:
        raise _DamagedResponseError(place, f"it has no {path[0]}")
    return place + 1


def _records_at(text: str, place: int) -> Generator[tuple[int, int], None, int]:
    if text.startswith("null", place):
        return place + len("null")
    if text[place : place + 1] == "{":
        _, end = _value(text, place)
        yield place, end
        return end
    place = _after_blank(text, _after(text, place, "["))
    while text[place : place + 1] != "]":
        _, end = _value(text, place)
        yield place, end
        place = _after_separator(text, end, "]")
    return place + 1


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


def _value(text: str, place: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        raise _DamagedResponseError(place, str(error)) from error


def _after(text: str, place: int, expected: str) -> int:
    if text[place : place + 1] != expected:
        raise _DamagedResponseError(place, f"{expected} should be here")
    return place + 1


def _after_separator(text: str, place: int, closing: str) -> int:
    place = _after_blank(text, place)
    return place if text[place : place + 1] == closing else _after_blank(text, _after(text, place, ","))


def _after_blank(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _kept(text: str) -> str:
    return text[:KEPT_OF_A_BAD_LINE].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
