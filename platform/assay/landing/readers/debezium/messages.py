"""Reading Debezium messages of every form.

Belongs here: the forms of a message, parsed line by line. Does not belong here: choosing the query for a file and the fast query
for usual events (`reader`), positions (`positions`), encodings of values (`values`).
"""

from __future__ import annotations

import json
from typing import Any

from assay.contracts import Source
from assay.contracts.columns import ColumnSpec
from assay.contracts.rules import literal, quote
from assay.landing.formats import Debezium
from assay.landing.readers.debezium.positions import POSITIONS, Positions
from assay.landing.readers.debezium.updates import (
    FIELD,
    HINT,
    UPDATED,
    are_described,
    document_of,
    partly_touched,
    untouched,
    with_flattened_updates,
    with_updates,
)
from assay.landing.readers.debezium.values import (
    LONG_NUMBER,
    NUMBER,
    Sent,
    base64_number,
    decoded,
    exact_numbers,
    family,
    is_encoded,
    is_number,
    placeholders,
)
from assay.landing.readers.parsed_record import BLANK
from assay.landing.sql import text_list

_WRAPPED = r'^\s*\{\s*"(schema|payload)"'
"""Start of a message that contains its schema."""
_TOMBSTONE = r'\s*(null|\{\s*("schema"\s*:\s*null\s*,\s*)?"payload"\s*:\s*null\s*(,\s*"schema"\s*:\s*null\s*)?\})\s*'
_FIELD = {"field": "VARCHAR", "name": "VARCHAR", "parameters": {"scale": "VARCHAR"}}
_SCHEMA = {"fields": [{**_FIELD, "fields": [_FIELD]}]}
_PREFIXES = ("__source_", "__")
"""Prefixes of the `source` fields in a flattened row."""


def exact_events(lines: str, source: Source) -> str:
    """Write the query that reads messages of every form.

    Args:
        lines: A relation of `_path, _n, line`.
        source: The source; its format is `Debezium`.
    """
    form = form_of(source)
    positions = POSITIONS[form.connector]
    fields = {positions.table: "VARCHAR", "connector": "VARCHAR", "ts_ms": "BIGINT", "snapshot": "VARCHAR", **positions.fields}
    images = {"before": "JSON", "after": "JSON"} | ({FIELD: "JSON"} if are_described(form) else {})
    envelope = {"op": "VARCHAR", "ts_ms": "BIGINT", "source": fields, **images}
    names = sent_names(source)
    declared = list(dict.fromkeys(names.values()))
    exact = "NULL::VARCHAR"
    if any(family(spec) == "decimal" for spec in source.columns):
        exact = f"CASE WHEN valid AND regexp_matches(line, {literal(LONG_NUMBER)}) THEN {exact_numbers('line')} END"
    values = ",\n  ".join(f"{_value(spec, source)} AS {quote(spec.name)}" for spec in source.columns)
    shape = _shape(dict.fromkeys(declared, "VARCHAR"))
    key = _shape({names[name]: "VARCHAR" for name in source.key})
    return f"""
WITH lines AS ({lines}),
checked AS (SELECT _path, _n, line, coalesce(json_valid(line), false) AS valid FROM lines),
wrapped AS (
  SELECT *, CASE WHEN valid AND regexp_matches(line, {literal(_WRAPPED)}) THEN json_transform(line, {_shape(_WRAPPER)}) END AS w
  FROM checked
),
documents AS (
  SELECT _path, _n, line, valid, CASE WHEN {_IS_WRAPPED} THEN w.payload::VARCHAR ELSE line END AS document,
    CASE WHEN {_IS_WRAPPED} THEN w.schema.fields END AS outer_fields,
    CASE WHEN {_IS_WRAPPED} THEN json_extract({exact}, '/payload')::VARCHAR ELSE {exact} END AS digits
  FROM wrapped
),
opened AS (SELECT *, CASE WHEN valid THEN json_transform(document, {_shape(envelope)}) END AS e FROM documents),
others AS (
  SELECT *,
    CASE WHEN valid AND (e.op IS NULL OR e.source.ts_ms IS NULL) THEN json_transform(document, {_shape(_others(fields))}) END AS o
  FROM opened
),
formed AS (
  SELECT *, CASE
      WHEN o.iodebeziumop IS NOT NULL THEN 'cloudevent'
      WHEN o.__op IS NOT NULL OR o.__deleted IS NOT NULL THEN 'flattened'
      WHEN e.op IS NOT NULL THEN 'envelope' END AS form,
    CASE WHEN o.iodebeziumop IS NOT NULL THEN json_transform(o.data, {_shape(_cloud_data(images))}) END AS d
  FROM others
),
images AS ({_images(source, fields)}),
events AS (
  SELECT _path, _n, line, valid, form, op, happened, origin, described, digits{", touched" if are_described(form) else ""},
    op IN ('c', 'u', 'r') AS is_row, after AS document,
    CASE WHEN form = 'flattened' THEN list_filter(json_keys(after), lambda name: NOT starts_with(name, '__'))
      ELSE json_keys(after) END AS keys,
    json_transform(after, {shape}) AS sent,
    json_transform(coalesce(CASE WHEN form = 'flattened' THEN after END, before), {key}) AS b
  FROM images
),
positioned AS (
  SELECT *, {positions.sequence(lambda name: f"origin.{quote(name)}")} AS position,
    {_unchanged(source)} AS unchanged,
    {_kinds(source)} AS k
  FROM events
),
told AS (
  SELECT *, CASE WHEN is_row THEN CASE WHEN unchanged IS NULL THEN sent
    ELSE json_transform(json_merge_patch(document, {_nulls("unchanged")}), {shape}) END END AS a
  FROM positioned
),
encoded AS (SELECT *, {_base64(source)} AS n FROM told)
SELECT _path, _n, line AS _record,
  {_reason(positions, source)} AS _reason,
  op AS _op,
  position AS _sequence,
  TRY(make_timestamptz(happened * 1000)) AS _source_timestamp,
  {_missing(source)} AS _missing,
  {by_column("unchanged", source)} AS _unchanged,
  {_rescued(declared)} AS _rescued,
  {values}
FROM encoded"""


_WRAPPER = {"schema": _SCHEMA, "payload": "JSON", "op": "VARCHAR", "__op": "VARCHAR", "__deleted": "VARCHAR"}
# A flattened row may itself have columns with these names.
_IS_WRAPPED = "starts_with(w.payload::VARCHAR, '{') AND coalesce(w.op, w.__op, w.__deleted) IS NULL"
_MARKS = {
    "__op": "VARCHAR",
    "__deleted": "VARCHAR",
    "__ts_ms": "BIGINT",
    "__source_ts_us": "BIGINT",
    "iodebeziumop": "VARCHAR",
    "data": "JSON",
    "databaseName": "VARCHAR",
    "tableChanges": "JSON",
    "ddl": "VARCHAR",
    "status": "VARCHAR",
    "id": "VARCHAR",
}
_IS_MESSAGE = (
    f"regexp_full_match(line, {literal(_TOMBSTONE)}) "
    "OR o.databaseName IS NOT NULL AND (o.tableChanges IS NOT NULL OR o.ddl IS NOT NULL) "
    "OR o.status IN ('BEGIN', 'END') AND o.id IS NOT NULL "
    "OR e.ts_ms IS NOT NULL AND list_has_all(['ts_ms', 'ts_us', 'ts_ns'], json_keys(document))"
)
"""Expression for whether a document without operation is a message: tombstone, schema change, transaction marker or heartbeat."""


def _shape(shape: Any) -> str:
    return literal(json.dumps(shape))


def _cloud_data(images: dict[str, str]) -> dict[str, Any]:
    return {"schema": _SCHEMA, "payload": images, **images}


def _others(fields: dict[str, str]) -> dict[str, str]:
    """Names of the fields that give the origin of a flattened row or a CloudEvent, with their types."""
    flattened = {f"{prefix}{name}": kind for name, kind in fields.items() for prefix in _PREFIXES}
    return flattened | {_cloud_name(name): kind for name, kind in fields.items()} | _MARKS


def _cloud_name(field: str) -> str:
    return "iodebezium" + field.replace("_", "").lower()


def _origin(field: str) -> str:
    """Expression for a field of `source`, wherever the message's form puts it."""
    other = [f"o.{quote(f'{prefix}{field}')}" for prefix in _PREFIXES]
    return f"CASE form WHEN 'envelope' THEN e.source.{quote(field)} ELSE coalesce({', '.join(other)}, o.{_cloud_name(field)}) END"


def _images(source: Source, fields: dict[str, str]) -> str:
    """The query for each message's operation, origin and row images."""
    form = form_of(source)
    description = f", {_image(FIELD, form)} AS description" if are_described(form) else ""
    # Whether a row is an update decides what its absent columns mean.
    flat_op = "o.__op" if form.updates == "changes" else "coalesce(o.__op, 'u')"
    images = f"""
  SELECT _path, _n, line, valid, form,
    CASE form WHEN 'envelope' THEN e.op WHEN 'cloudevent' THEN o.iodebeziumop
      WHEN 'flattened' THEN CASE WHEN o.__deleted = 'true' THEN 'd' ELSE {flat_op} END
      ELSE CASE WHEN {_IS_MESSAGE} THEN 'm' END END AS op,
    coalesce(CASE WHEN form = 'envelope' THEN e.source.ts_ms END, o.iodebeziumtsms, o.__source_ts_ms, o.__source_ts_us // 1000,
      CASE WHEN form = 'envelope' THEN e.ts_ms END, o.__ts_ms) AS happened,
    {{{", ".join(f"{literal(name)}: {_origin(name)}" for name in fields)}}} AS origin,
    {_image("after", form)} AS after,
    {_image("before", form)} AS before,
    {_digits(form)} AS digits{description},
    CASE WHEN form = 'flattened' THEN outer_fields
      ELSE list_filter(coalesce(d.schema.fields, outer_fields), lambda each: each.field = 'after')[1].fields END AS described
  FROM formed"""
    if not are_described(form):
        return images
    images = with_updates(images)
    return images if form.updates == "documents" else with_flattened_updates(images, source, sent_names(source))


def _image(which: str, form: Debezium) -> str:
    """Expression for the row before or after the change, or for the description of the change, as JSON."""
    own = "WHEN 'flattened' THEN document " if which == "after" else ""
    image = f"CASE form WHEN 'envelope' THEN e.{which}::VARCHAR {own}ELSE coalesce(d.payload.{which}, d.{which})::VARCHAR END"
    # MongoDB's documents are sent as strings.
    return document_of(image) if form.connector == "mongodb" else image


def _digits(form: Debezium) -> str:
    """Expression for the row after the change with all digits of its numbers; null unless some number has many."""
    images = ["after", f"{FIELD}/{UPDATED}"] if are_described(form) else ["after"]
    places = [f"{within}/{image}" for image in images for within in ("", "/data", "/data/payload")]
    found = [f"json_extract(digits, {literal(place)})" for place in places]
    after = f"coalesce({', '.join(found)})"
    if form.connector == "mongodb":
        # An update without its document has `"after": null`.
        sent = [f"nullif({each}, 'null')" for each in found]
        after = f"coalesce({', '.join(sent)})"
        text = f"json_extract_string({after}, '$')"
        after = f"CASE WHEN json_valid({text}) AND starts_with({text}, '{{') THEN {exact_numbers(text)} ELSE {after}::VARCHAR END"
    return f"CASE WHEN digits IS NULL THEN NULL WHEN form = 'flattened' THEN digits ELSE ({after})::VARCHAR END"


def _may_hold_placeholder(document: str, form: Debezium) -> str:
    """Expression for whether a document may contain a placeholder, so that comparing each value is worthwhile."""
    # All placeholders but the list of a text's bytes are searched for literally; that one is found by its first number.
    texts = [text for text in placeholders(form) if text[0] not in "[{"] + [str(form.placeholder.encode()[0])]
    uuids = [text.strip('["]') for text in placeholders(form) if len(text) == _UUID_IN_A_LIST]
    return "(" + " OR ".join(f"contains({document}, {literal(text)})" for text in [*texts, *uuids]) + ")"


_UUID_IN_A_LIST = 40


def _unchanged(source: Source) -> str:
    """Expression for the columns that did not change and were not sent, by the producer's names; null if there are none."""
    form = form_of(source)
    names = [name for column, name in sent_names(source).items() if column not in source.key]
    values = ", ".join(f"sent.{quote(name)}" for name in names)
    texts = text_list(placeholders(form))
    pairs = f"list_filter(list_zip({text_list(names)}, [{values}]::VARCHAR[]), lambda each: list_contains({texts}, each[2]))"
    found = f"nullif(list_transform({pairs}, lambda each: each[1]), [])"
    described = f"WHEN touched IS NOT NULL THEN {untouched(names)} " if are_described(form) else ""
    return f"CASE {described}WHEN is_row AND {_may_hold_placeholder('document', form)} THEN {found} END"


def _nulls(names: str) -> str:
    """Expression for a JSON object with the given field names, all null."""
    return f"('{{' || array_to_string(list_transform({names}, lambda name: to_json(name)::VARCHAR || ':null'), ',') || '}}')"


def _kinds(source: Source) -> str:
    """Expression for the message schema's description of columns that may be encoded; null without a schema."""
    names = sent_names(source)
    found = {
        names[spec.name]: f"list_filter(described, lambda each: each.field = {literal(names[spec.name])})[1]"
        for spec in source.columns
        if is_encoded(spec)
    }
    fields = ", ".join(f"{literal(name)}: {each}" for name, each in found.items())
    return f"CASE WHEN described IS NOT NULL THEN {{{fields}}} END" if fields else "NULL"


def _base64(source: Source) -> str:
    """Expression for the base64 text and the scale of numbers that are sent in base64."""
    form = form_of(source)
    found = {spec.name: base64_number(_sent(spec, source), spec, form) for spec in source.columns if is_number(spec)}
    fields = ", ".join(f"{literal(name)}: {{'digits': {digits}, 'scale': {scale}}}" for name, (digits, scale) in found.items())
    return f"{{{fields}}}" if fields else "NULL"


def _sent(spec: ColumnSpec, source: Source) -> Sent:
    """Expressions for a column's parts of a message."""
    name = sent_names(source)[spec.name]
    column, kind = quote(name), f"k.{quote(name)}"
    return Sent(
        # A delete's before image has made-up values for everything but the key (default replica identity).
        text=f"coalesce(a.{column}, b.{column})" if spec.name in source.key else f"a.{column}",
        is_text=f"json_type(document, {_pointer(name)}) = 'VARCHAR'",
        digits=f"json_extract_string(digits, {_pointer(name, NUMBER)})" if family(spec) == "decimal" else "NULL",
        kind=f"{kind}.name",
        scale=f"{kind}.parameters.scale",
        is_described=f"{kind} IS NOT NULL",
        base64=f"n.{quote(spec.name)}.digits",
        base64_scale=f"n.{quote(spec.name)}.scale",
    )


def _value(spec: ColumnSpec, source: Source) -> str:
    """Expression for a column's text."""
    sent = _sent(spec, source)
    return decoded(sent, spec, form_of(source)) if is_encoded(spec) or form_of(source).connector == "mongodb" else sent.text


def _pointer(*names: str) -> str:
    return literal("".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names))


def _missing(source: Source) -> str:
    """Expression for the columns that the record lacks; null if it lacks none.

    A MongoDB document lacks the fields that are not set: they are null, not unknown.
    """
    if form_of(source).connector == "mongodb":
        return "NULL::VARCHAR[]"
    declared = text_list(list(sent_names(source).values()))
    # Most records have exactly the declared columns in order: comparing the lists avoids the searches.
    return by_column(
        f"CASE WHEN is_row AND keys <> {declared} AND NOT list_has_all(keys, {declared}) "
        f"THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END",
        source,
    )


def _rescued(declared: list[str]) -> str:
    """Expression for the record's undeclared columns, as JSON; null if there are none."""
    # Merging nulls into an object removes those names from it (RFC 7396), whatever else it contains.
    without = literal(json.dumps(dict.fromkeys(declared)))
    marks = "list_filter(json_keys(document), lambda name: starts_with(name, '__'))"
    row = f"CASE WHEN form = 'flattened' THEN json_merge_patch(document, {_nulls(marks)})::VARCHAR ELSE document END"
    names = text_list(declared)
    return (
        f"CASE WHEN is_row AND keys <> {names} AND NOT list_has_all({names}, keys) "
        f"THEN json_merge_patch({row}, {without})::VARCHAR END"
    )


def _reason(positions: Positions, source: Source) -> str:
    form = form_of(source)
    table, connector = f"origin.{quote(positions.table)}", "origin.connector"
    # A flattened row contains its table's name only if the connector was configured so.
    other_table = f"{table} IS DISTINCT FROM {literal(form.table)} AND NOT (form = 'flattened' AND {table} IS NULL)"
    expected = f", expected {form.connector}"
    hint = f": {HINT}" if are_described(form) else ""
    misapplied = f"\n    ELSE {partly_touched(source, sent_names(source))}" if are_described(form) else ""
    return f"""CASE
    WHEN NOT valid THEN CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} ELSE 'not valid JSON' END
    WHEN op IS NULL THEN 'not a Debezium change event: it has no op'
    WHEN op = 'm' THEN NULL
    WHEN op NOT IN ('c', 'u', 'd', 'r', 't') THEN 'operation ' || op || ' is no row change'
    WHEN {connector} NOT IN ({accepted(positions)}) THEN 'an event of connector ' || {connector} || {literal(expected)}
    WHEN {other_table} THEN 'an event of table ' || coalesce({table}, '(none)') || {literal(f", expected {form.table}")}
    WHEN is_row AND document IS NULL THEN 'operation ' || op || {literal(f" without the row after it{hint}")}
    WHEN position IS NULL THEN 'no source position'{misapplied}
  END"""


# --- Column names ---


def form_of(source: Source) -> Debezium:
    """The source's format."""
    assert isinstance(source.format, Debezium)
    return source.format


def sent_names(source: Source) -> dict[str, str]:
    """The producer's name by column."""
    return {spec.name: form_of(source).columns.get(spec.name, spec.name) for spec in source.columns}


def accepted(positions: Positions) -> str:
    """The connectors whose positions have this form."""
    return text_list([name for name, each in POSITIONS.items() if each is positions])[1:-1]


def by_column(sent: str, source: Source) -> str:
    """Expression for the declared columns, given a list of producer's names."""
    renamed = {name: column for column, name in sent_names(source).items() if name != column}
    if not renamed:
        return sent
    columns = f"MAP {{{', '.join(f'{literal(name)}: {literal(column)}' for name, column in renamed.items())}}}"
    return f"list_transform({sent}, lambda name: coalesce({columns}[name], name))"
