"""MongoDB's updates that come without their document: which columns they change, and how.

Belongs here: which fields such an update sets, removes, or changes in part. Does not belong here: the forms of a message
(`messages`), the values (`values`).

A capture mode that does not look documents up, or finds the document gone, sends only `updateDescription`: `updatedFields` is
the text of a document, `removedFields` a list, `truncatedArrays` a list of arrays that were shortened. A removed field is null,
and a field not named did not change. A path (`address.city`, `tags.2`) or a shortened array changes part of a value whose rest is
not sent: the whole value is then unknown, and the record is quarantined.

Flattened, such an update is a row of the fields that it sets, and of nulls for those that it removes. Nothing in it shows that
it is not the whole document, so the source declares it (`Debezium(updates="changes")`).
"""

from __future__ import annotations

import json

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.landing.formats import Debezium
from assay.landing.sql import text_list

FIELD = "updateDescription"
"""The message's field with the description of an update."""
UPDATED = "updatedFields"
"""The description's field with the new values."""
HINT = "let capture.mode look documents up (change_streams_update_full)"

_SHAPE = {UPDATED: "JSON", "removedFields": ["VARCHAR"], "truncatedArrays": [{"field": "VARCHAR"}]}


def are_described(form: Debezium) -> bool:
    """Whether a source's updates may come as update descriptions."""
    return form.connector == "mongodb"


def document_of(text: str) -> str:
    """Write the expression for a document that is sent as a JSON string or as an object; null if it is neither.

    Args:
        text: Expression for the JSON of either.
    """
    found = f"CASE WHEN starts_with({text}, '\"') THEN json_extract_string({text}, '$') ELSE {text} END"
    return f"CASE WHEN json_valid({found}) THEN {found} END"


def with_updates(images: str) -> str:
    """Write the query in which an update without its document has the fields that it sets as its document.

    Args:
        images: A query with the columns `op`, `after` and `description`, the JSON of an update's description.

    Returns:
        The query, with the column `touched` instead of `description`: the paths of everything that such an update changes, those
        of shortened arrays with a trailing point; null for all other messages.
    """
    updated = document_of(f"said.{UPDATED}::VARCHAR")
    # Without this check, a value that is not a list would be read as an empty one.
    kinds = [f"json_type(description, {literal(f'/{name}')})" for name in ("removedFields", "truncatedArrays")]
    lists = " AND ".join(f"coalesce({kind}, 'NULL') IN ('NULL', 'ARRAY')" for kind in kinds)
    return f"""
  SELECT * EXCLUDE (description, said, fields, is_update) REPLACE (CASE WHEN is_update THEN fields ELSE after END AS after),
    CASE WHEN is_update THEN list_concat(json_keys(fields), said.removedFields,
      list_transform(said.truncatedArrays, lambda each: each.field || '.')) END AS touched
  FROM (
    SELECT *, coalesce(op = 'u' AND after IS NULL AND json_type(fields) = 'OBJECT' AND {lists}, false) AS is_update
    FROM (
      SELECT *, CASE WHEN said.{UPDATED} IS NOT NULL THEN {updated}
        WHEN len(said.removedFields) > 0 OR len(said.truncatedArrays) > 0 THEN '{{}}' END AS fields
      FROM (SELECT *, json_transform(description, {literal(json.dumps(_SHAPE))}) AS said FROM ({images}))
    )
  )"""


def with_flattened_updates(images: str, source: Source, names: dict[str, str]) -> str:
    """Write the query in which a flattened update changes only the fields that it has.

    Args:
        images: The query of `with_updates`, with the column `form`.
        source: The source.
        names: The producer's name by column.
    """
    own = text_list([names[column] for column in source.key])
    fields = f"list_filter(json_keys(after), lambda name: NOT starts_with(name, '__') AND NOT list_contains({own}, name))"
    touched = f"CASE WHEN form = 'flattened' AND op = 'u' THEN {fields} ELSE touched END"
    return f"SELECT * REPLACE ({touched} AS touched) FROM ({images})"


def untouched(names: list[str]) -> str:
    """Write the expression for those of some fields that an update does not change; null if there are none."""
    return f"nullif(list_filter({text_list(names)}, lambda name: NOT list_contains(touched, name)), [])"


def partly_touched(source: Source, names: dict[str, str]) -> str:
    """Write the expression for why an update cannot be applied; null if it can.

    Args:
        source: The source.
        names: The producer's name by column.
    """
    within = "contains(path, '.') AND (path = name OR starts_with(path, name || '.'))"
    parts = f"list_filter({text_list(list(names.values()))}, lambda name: len(list_filter(touched, lambda path: {within})) > 0)"
    keys = f"list_filter({text_list([names[column] for column in source.key])}, lambda name: list_contains(touched, name))"
    return (
        f"CASE WHEN touched IS NOT NULL THEN coalesce({keys}[1] || ' is the key, and is changed', "
        f"{parts}[1] || ' is changed in part: {HINT}') END"
    )
