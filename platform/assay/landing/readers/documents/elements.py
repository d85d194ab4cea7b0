"""Documents that are read as one record per element of one of their arrays.

Belongs here: what such a source must declare, the step from documents to elements, and which documents replace all elements of
older ones. Does not belong here: finding documents (`reader`), their fields (`extraction`), determining removed elements
(`engine.elements`).

Each version of a document yields, besides its elements, a delete of ordinal 0, which stands for the document itself
(`contracts.Elements`).
"""

from __future__ import annotations

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.errors import ContractError
from assay.landing.formats import Explode, JsonDocuments
from assay.landing.readers.documents.paths import json_path
from assay.landing.readers.parsed_record import BLANK


def check_exploded(source: Source) -> None:
    """Check that a document without elements still has a key, a version and a day.

    Raises:
        ContractError: One of them uses columns of the elements.
    """
    form, of = source.format, source.elements
    if of is None or not isinstance(form, JsonDocuments) or form.explode is None:
        return
    known = set(form.explode.parent)
    told = {"key": of.parent, "version": source.columns_in(form.version), "day": source.day_columns}
    wrong = [
        f"{what} ({', '.join(name for name in names if name not in known)})" for what, names in told.items() if set(names) - known
    ]
    if of.ordinal not in source.key:
        wrong.append(f"key, which lacks {of.ordinal}")
    if wrong:
        raise ContractError(
            f"source {source.name}: removed elements cannot be detected because of its {' and its '.join(wrong)}",
            hint="use only the document's own columns (Explode(parent=…)) in the version and the day, and these and the ordinal "
            "in the key",
        )


def element_steps(explode: Explode | None, of_place: str, *, has_versions: bool) -> str:
    """Write the step from documents to the elements that become records.

    An exploded document yields one more, deleted and of ordinal 0 (see above), even if the array is empty.
    """
    if explode is None:
        return "elements AS (SELECT *, 'r' AS _op FROM documents),"
    path = json_path(explode.items)
    first = 0 if has_versions else 1
    return f"""
arrays AS (
  SELECT * REPLACE (coalesce(problem, CASE WHEN json_type(document, {path}) NOT IN ('ARRAY', 'OBJECT', 'NULL')
      THEN {literal(f"{explode.items} is no array")} END) AS problem),
    CASE json_type(document, {path}) WHEN 'ARRAY' THEN json_extract(document, {json_path(explode.items, "[*]")})
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


def keep_elements(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str) -> None:
    """Take the delete out of each staged document with a rejected element: an element that cannot be read is not removed.

    Args:
        cursor: The cursor with the staged batch.
        source: The source.
        staged: The staged batch's table.
    """
    of = source.elements
    if of is None:
        return
    cursor.execute(
        f"UPDATE {staged} SET _reason = {literal(BLANK)} WHERE _reason IS NULL AND _op = 'd' AND {quote(of.ordinal)} = 0 "
        f"AND (_path, _n) IN (SELECT (_path, _n) FROM {staged} WHERE _reason IS NOT NULL AND _reason <> {literal(BLANK)})"
    )
