"""What orders the documents of one key: their version, the offset of their record, or the name of their object.

Belongs here: adding offsets and places to lines, and what follows for a document that has none. Does not belong here: names of
objects, and where offsets come from (`kafka`), dates of snapshots (`readers.snapshot_dates`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.landing.files.landed_file import LandedFile
from assay.landing.formats import JsonDocuments
from assay.landing.kafka.keys import offsets_relation
from assay.landing.kafka.names import position

_NOT_OF_SINK = (
    "no position: the object's name tells no Kafka partition and offset; land it under the name that the sink has given it"
)


def documents_format(source: Source) -> JsonDocuments:
    """The format of a source of documents."""
    assert isinstance(source.format, JsonDocuments)
    return source.format


def with_places(lines: str, files: Sequence[LandedFile], source: Source, line: str) -> str:
    """Add the columns that the source is ordered by: `_offset`, the record's offset, and `_place`, from the object's name."""
    if documents_format(source).by_name:
        lines = _with_places_by_name(lines, files, line)
    if not is_by_offset(source):
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


def is_by_offset(source: Source) -> bool:
    """Whether the offset of a document's record is in its version."""
    return re.search(r"\b_offset\b", documents_format(source).version or "") is not None


def tells_gone(source: Source) -> str:
    """Write the condition for a null document to have a position, and so to be a tombstone for its key."""
    if is_by_offset(source):
        return "_offset IS NOT NULL"
    return "_place IS NOT NULL" if documents_format(source).version is None and documents_format(source).by_name else "false"


def unordered(version: str | None, form: JsonDocuments) -> str:
    """Write the expression for why a document has no position; null if it has one."""
    tests = []
    if version:
        tests.append(f"WHEN {version} IS NULL THEN {literal(f'no version: {form.version} gives no number')}")
    if form.by_name:
        tests.append(f"WHEN _place IS NULL THEN {literal(_NOT_OF_SINK)}")
    return f"CASE {' '.join(tests)} END" if tests else "NULL::VARCHAR"
