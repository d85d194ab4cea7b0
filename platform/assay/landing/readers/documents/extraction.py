"""From documents to parsed records: their fields as texts, and what they lack or have besides.

Belongs here: the query over documents, one a line. Does not belong here: finding the documents in a file (`reader`, `responses`),
the steps of arrays (`elements`), what orders documents (`positions`).

Values are returned as their text in the document: a number with all its digits, nested values as JSON. An absent field is
missing, a null is null, `[]` and `{}` are texts. Nothing changes a column's type, because every value is text until it is cast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.formats import Explode
from assay.landing.readers.documents.elements import element_steps
from assay.landing.readers.documents.exact_numbers import marked, needs_marks, unmarked
from assay.landing.readers.documents.paths import json_path
from assay.landing.readers.documents.positions import documents_format, is_by_offset, tells_gone, unordered
from assay.landing.readers.parsed_record import BLANK
from assay.landing.readers.snapshot_dates import RECORD, instant
from assay.landing.sql import text_list


def extracted(lines: str, source: Source, date: str | None, of_topic: Sequence[Path]) -> str:
    """Write the query that reads plain documents.

    Args:
        lines: A relation of `_path, _n, line`, each line a document; `_offset` and `_place` too if the source is ordered so.
        source: The source; its format is `JsonDocuments`.
        date: Digits of the date of their snapshot.
        of_topic: Files with records of a topic, in which a null document may be a tombstone.
    """
    form = documents_format(source)
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
    of_place = (", _offset" if is_by_offset(source) else "") + (", _place" if form.by_name else "")
    is_gone = f"trim(line) = 'null' AND _path IN ({text_list([str(path) for path in of_topic])[1:-1]})" if of_topic else "false"
    return f"""
WITH lines AS ({lines}),
checked AS (
  SELECT _path, _n, line{of_place}, coalesce({is_gone}, false) AS is_gone,
    CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)}
      WHEN NOT json_valid(line) THEN 'not a JSON document'
      WHEN json_type(line) <> 'OBJECT' AND NOT is_gone THEN 'not a JSON document' END AS problem,
    coalesce({needs_marks("line")}, false) AS marked
  FROM lines
),
documents AS (
  SELECT *, CASE WHEN problem IS NULL THEN CASE WHEN is_gone THEN '{{}}' WHEN marked THEN {marked("line")} ELSE line END END
    AS document
  FROM checked
),
{element_steps(explode, of_place, has_versions=form.snapshot is None)}
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
  CASE WHEN NOT is_gone THEN _op WHEN {tells_gone(source)} THEN 'd' ELSE 'm' END AS _op,
  CASE WHEN _reason IS NULL AND NOT is_gone THEN {unordered(version, form)} ELSE _reason END AS _reason
FROM records"""


def _column(name: str, explode: Explode | None) -> str:
    if explode and name == explode.ordinal:
        return "CASE WHEN problem IS NULL THEN ordinal::VARCHAR END"
    if explode and name in explode.parent:
        return unmarked(f"json_extract_string(parent, {json_path(explode.parent[name])})")
    return unmarked(f"e.{quote(name)}")


def _missing_and_rescued(names: list[str]) -> str:
    """Write the columns for how a document's own fields differ from the contract's."""
    declared = text_list(names)
    # Merging nulls into an object removes those names from it (RFC 7396), whatever else it contains.
    rest = f"json_merge_patch(document, {literal(json.dumps(dict.fromkeys(names)))})::VARCHAR"
    # Most documents have exactly the declared fields in order: comparing the lists avoids the searches.
    return f"""CASE WHEN keys <> {declared} AND NOT list_has_all(keys, {declared})
      THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END AS _missing,
    NULL::VARCHAR[] AS _unchanged,
    CASE WHEN keys <> {declared} AND NOT list_has_all({declared}, keys) THEN {unmarked(rest)} END AS _rescued"""
