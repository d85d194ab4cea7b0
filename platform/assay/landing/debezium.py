"""Reading Debezium change events, one a line.

Belongs here: the forms of a message, which query reads which file, and the queries. Does not belong here: positions
(`debezium_positions`), encodings of values (`debezium_values`), typing (`typed`), deletes' partitions (`placement`).

A message is a change of a row, a truncate (`t`), or says nothing of a row and is recorded as `m`: a tombstone, a logical message,
a change of a table's columns, a transaction's begin or end, a heartbeat.

Numbers are read by DuckDB's JSON reader, which keeps 17 significant digits; in `DECIMAL` columns all digits are kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.debezium_positions import POSITIONS, Positions
from assay.landing.debezium_values import (
    LONG_NUMBER,
    NUMBER,
    Described,
    Sent,
    decoded,
    exact_numbers,
    family,
    is_encoded,
    placeholders,
    quickly,
)
from assay.landing.formats import Debezium
from assay.landing.lines import MAX_LINE_BYTES, lines_relation, numbered_lines, salvage_lines, salvaged_relation, wanted_lines
from assay.landing.records import BLANK, LandedFile, Parsed, text_list

_WRAPPED = r'^\s*\{\s*"(schema|payload)"'
"""How a message begins that has its schema around it."""
_TOMBSTONE = r'\s*(null|\{\s*("schema"\s*:\s*null\s*,\s*)?"payload"\s*:\s*null\s*(,\s*"schema"\s*:\s*null\s*)?\})\s*'
_RECHECK = "to be read again, exactly"
_LOOKED_AT = 3
"""Lines of a file that tell its form; one producer writes all alike."""


class DebeziumReader:
    """Reads files of one Debezium message a line.

    Usual events, which are bare envelopes, are read by DuckDB's JSON reader, which is twice as fast as taking lines apart but
    keeps neither the text of what it refuses nor columns that it was not told of. Unusual ones are read again from their lines.
    Files of another form are read from their lines at once.
    """

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files; what is unusual is marked to be read again."""
        alike: dict[_Usual | None, list[Path]] = {}
        for file in files:
            alike.setdefault(_usual(file.path, source), []).append(file.path)
        return Parsed(
            [_usual_events(paths, source, usual) if usual else _unusual_files(paths, source) for usual, paths in alike.items()]
        )

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the whole lines of a damaged file."""
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([exact_events(salvaged_relation(file.path, good), source)], {file.path: rejected})

    def recheck(self, files: list[LandedFile], wanted: str, source: Source) -> Parsed | None:
        """Read the lines of unusual events exactly, all in one query, for it takes longer to plan than to run."""
        lines = " UNION ALL ".join(wanted_lines(file.path, wanted) for file in files)
        return Parsed([exact_events(lines, source)])


def _form(source: Source) -> Debezium:
    assert isinstance(source.format, Debezium)
    return source.format


def _sent_names(source: Source) -> dict[str, str]:
    """The producer's name by column."""
    return {spec.name: _form(source).columns.get(spec.name, spec.name) for spec in source.columns}


# --- The quick way ---


@dataclass(frozen=True)
class _Usual:
    """What the messages of a file of envelopes have in common; files that are alike are read by one query.

    Attributes:
        schema: The schema around each, as DuckDB's JSON reader gives it; empty where it tells nothing of the declared columns,
            None for bare envelopes.
    """

    schema: str | None

    @cached_property
    def columns(self) -> dict[str, Described] | None:
        """What the schema says, by the producer's name of a column."""
        if not self.schema:
            return None
        images: list[dict[str, Any]] = json.loads(self.schema)["fields"]
        fields: list[dict[str, Any]] = next((each["fields"] for each in images if each["field"] == "after"), [])
        scales = {each["field"]: (each.get("parameters") or {}).get("scale") for each in fields}
        return {each["field"]: Described(each.get("name"), scales[each["field"]]) for each in fields}


def _usual(path: Path, source: Source) -> _Usual | None:
    """Tell from a file's first lines whether it holds envelopes, and whether with a schema."""
    if _form(source).connector == "mongodb":
        return None
    seen = [found for _, raw, _ in islice(numbered_lines(path), _LOOKED_AT) if (found := _object(raw))]
    if not seen or any({"op", "source"} <= set(each) for each in seen):
        return _Usual(None)
    for message in seen:
        payload = message.get("payload")
        if isinstance(payload, dict) and {"op", "source"} <= set(payload):
            if not any(is_encoded(spec) for spec in source.columns):
                return _Usual("")
            usual = _Usual(json.dumps(message.get("schema"), separators=(",", ":"), ensure_ascii=False))
            return usual if _is_understood(usual) else None
    return None


def _is_understood(usual: _Usual) -> bool:
    try:
        return bool(usual.columns)
    except (TypeError, KeyError, AttributeError):
        return False


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _usual_events(paths: list[Path], source: Source, usual: _Usual) -> str:
    """Write the query that reads envelopes whose columns are among the declared ones; all others are marked."""
    form = _form(source)
    positions = POSITIONS[form.connector]
    names = _sent_names(source)
    declared = text_list(list(names.values()))
    image = "MAP(VARCHAR, VARCHAR)"
    fields = {positions.table: "VARCHAR", "connector": "VARCHAR", "ts_ms": "BIGINT", **positions.fields}
    origin = "STRUCT(" + ", ".join(f"{quote(name)} {kind}" for name, kind in fields.items()) + ")"
    envelope = {"op": "VARCHAR", "ts_ms": "BIGINT", "source": origin, "before": image, "after": image}
    if usual.schema is not None:
        payload = "STRUCT(" + ", ".join(f"{quote(name)} {kind}" for name, kind in envelope.items()) + ")"
        envelope = {"payload": payload} | ({"schema": "VARCHAR"} if usual.schema else {})
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in envelope.items())
    unpacked = "*" if usual.schema is None else "unnest(payload)" + (", schema" if usual.schema else "")
    read = (
        f"SELECT filename AS _path, row_number() OVER () AS _n, {unpacked} FROM read_json("
        f"{text_list([str(path) for path in paths])}, format='newline_delimited', ignore_errors=true, filename=true, "
        f"compression='uncompressed', maximum_object_size={MAX_LINE_BYTES}, columns={{{columns}}})"
    )
    numbers = positions.numbers(lambda name: f"source.{quote(name)}")
    has_position = " AND ".join(f"{number} IS NOT NULL" for number in numbers)
    unchanged = ", ".join(literal(text) for text in placeholders(form))
    values, doubts = [], [f"schema IS DISTINCT FROM {literal(usual.schema)}"] if usual.schema else []
    for spec in source.columns:
        sent = f"after[{literal(names[spec.name])}]"
        if spec.name in source.key:
            sent = f"coalesce({sent}, before[{literal(names[spec.name])}])"
        else:
            doubts.append(f"coalesce({sent} IN ({unchanged}), false)")
        described = usual.columns.get(names[spec.name], Described(None, None)) if usual.columns else None
        value, doubt = quickly(sent, spec, form, described)
        values.append(f"{value} AS {quote(spec.name)}")
        doubts += [doubt] if doubt else []
    # Counting tells whether there are undeclared columns: it is cheaper than looking for them.
    return f"""
WITH images AS (SELECT *, map_keys(after) AS keys FROM ({read})),
events AS (
  SELECT *, CASE WHEN op <> 'd' AND keys <> {declared}
    THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END AS missing
  FROM images
)
SELECT _path, _n, NULL::VARCHAR AS _record,
  CASE WHEN source.{quote(positions.table)} = {literal(form.table)} AND {has_position}
      AND coalesce(source.connector IN ({_accepted(positions)}), true)
      AND (op = 'd' OR op IN ('c', 'u', 'r') AND len(keys) + coalesce(len(missing), 0) = {len(names)}
        AND NOT ({" OR ".join(doubts) or "false"})) THEN NULL
    ELSE {literal(_RECHECK)} END AS _reason,
  op AS _op,
  [{", ".join(numbers)}]::BIGINT[] AS _sequence,
  TRY(make_timestamptz(coalesce(source.ts_ms, ts_ms) * 1000)) AS _source_timestamp,
  {_by_column("CASE WHEN len(missing) > 0 THEN missing END", source)} AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  NULL::VARCHAR AS _rescued,
  {", ".join(values)}
FROM events"""


def _accepted(positions: Positions) -> str:
    """The connectors that tell positions alike."""
    return text_list([name for name, each in POSITIONS.items() if each is positions])[1:-1]


def _by_column(sent: str, source: Source) -> str:
    """Expression for the columns that are meant by a list of producer's names."""
    renamed = {name: column for column, name in _sent_names(source).items() if name != column}
    if not renamed:
        return sent
    columns = f"MAP {{{', '.join(f'{literal(name)}: {literal(column)}' for name, column in renamed.items())}}}"
    return f"list_transform({sent}, lambda name: coalesce({columns}[name], name))"


# --- The exact way ---


def _unusual_files(paths: list[Path], source: Source) -> str:
    """Write the query that reads every line of some files exactly, blank lines not counted."""
    numbered = (
        f"SELECT _path, row_number() OVER () AS _n, line FROM ({lines_relation(paths)}) "
        "WHERE line <> '' AND NOT regexp_full_match(line, '[ \\t\\v\\f\\r]+')"
    )
    return exact_events(numbered, source)


_FIELD = {"field": "VARCHAR", "name": "VARCHAR", "parameters": {"scale": "VARCHAR"}}
_SCHEMA = {"fields": [{**_FIELD, "fields": [_FIELD]}]}
_PREFIXES = ("__source_", "__")
"""What a flattened row has before the fields of `source`."""


def exact_events(lines: str, source: Source) -> str:
    """Write the query that reads messages of every form, each as what it is.

    Args:
        lines: A relation of `_path, _n, line`.
        source: The source; its format is `Debezium`.
    """
    form = _form(source)
    positions = POSITIONS[form.connector]
    fields = {positions.table: "VARCHAR", "connector": "VARCHAR", "ts_ms": "BIGINT", "snapshot": "VARCHAR", **positions.fields}
    envelope = {"op": "VARCHAR", "ts_ms": "BIGINT", "source": fields, "before": "JSON", "after": "JSON"}
    names = _sent_names(source)
    declared = list(dict.fromkeys(names.values()))
    exact = "NULL::VARCHAR"
    if any(family(spec) == "decimal" for spec in source.columns):
        exact = f"CASE WHEN valid AND regexp_matches(line, {literal(LONG_NUMBER)}) THEN {exact_numbers('line')} END"
    values = ",\n  ".join(f"{_value(spec.name, source)} AS {quote(spec.name)}" for spec in source.columns)
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
    CASE WHEN o.iodebeziumop IS NOT NULL THEN json_transform(o.data, {_shape(_CLOUD_DATA)}) END AS d
  FROM others
),
images AS (
  SELECT _path, _n, line, valid, form,
    CASE form WHEN 'envelope' THEN e.op WHEN 'cloudevent' THEN o.iodebeziumop
      WHEN 'flattened' THEN CASE WHEN o.__deleted = 'true' THEN 'd' ELSE coalesce(o.__op, 'u') END
      ELSE CASE WHEN {_IS_MESSAGE} THEN 'm' END END AS op,
    coalesce(CASE WHEN form = 'envelope' THEN e.source.ts_ms END, o.iodebeziumtsms, o.__source_ts_ms, o.__source_ts_us // 1000,
      CASE WHEN form = 'envelope' THEN e.ts_ms END, o.__ts_ms) AS happened,
    {{{", ".join(f"{literal(name)}: {_origin(name)}" for name in fields)}}} AS origin,
    {_image("after", form)} AS after,
    {_image("before", form)} AS before,
    {_digits(form)} AS digits,
    CASE WHEN form = 'flattened' THEN outer_fields
      ELSE list_filter(coalesce(d.schema.fields, outer_fields), lambda each: each.field = 'after')[1].fields END AS described
  FROM formed
),
events AS (
  SELECT _path, _n, line, valid, form, op, happened, origin, described, digits,
    CASE WHEN form = 'flattened' THEN list_filter(json_keys(after), lambda name: NOT starts_with(name, '__'))
      ELSE json_keys(after) END AS keys,
    after AS document,
    json_transform(after, {_shape(dict.fromkeys(declared, "VARCHAR"))}) AS a,
    {_may_hold_placeholder("after", form)} AS has_placeholder,
    json_transform(before, {_shape(dict.fromkeys([names[name] for name in source.key], "VARCHAR"))}) AS b
  FROM images
),
positioned AS (SELECT *, {positions.sequence(lambda name: f"origin.{quote(name)}")} AS position FROM events)
SELECT _path, _n, line AS _record,
  {_reason(positions, form)} AS _reason,
  op AS _op,
  position AS _sequence,
  TRY(make_timestamptz(happened * 1000)) AS _source_timestamp,
  {_missing(source)} AS _missing,
  {_unchanged(source)} AS _unchanged,
  {_rescued(declared)} AS _rescued,
  {values}
FROM positioned"""


_WRAPPER = {"schema": _SCHEMA, "payload": "JSON", "op": "VARCHAR", "__op": "VARCHAR", "__deleted": "VARCHAR"}
# A flattened row may have columns of these names.
_IS_WRAPPED = "starts_with(w.payload::VARCHAR, '{') AND coalesce(w.op, w.__op, w.__deleted) IS NULL"
_CLOUD_DATA = {
    "schema": _SCHEMA,
    "payload": {"before": "JSON", "after": "JSON"},
    "before": "JSON",
    "after": "JSON",
}
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
    return literal(json.dumps(shape or {"": "VARCHAR"}))


def _others(fields: dict[str, str]) -> dict[str, str]:
    """Names of what tells a flattened row's and a CloudEvent's origin, with their types."""
    flattened = {f"{prefix}{name}": kind for name, kind in fields.items() for prefix in _PREFIXES}
    return flattened | {_cloud_name(name): kind for name, kind in fields.items()} | _MARKS


def _cloud_name(field: str) -> str:
    return "iodebezium" + field.replace("_", "").lower()


def _origin(field: str) -> str:
    """Expression for a field of `source`, wherever the message's form has it."""
    other = [f"o.{quote(f'{prefix}{field}')}" for prefix in _PREFIXES]
    return f"CASE form WHEN 'envelope' THEN e.source.{quote(field)} ELSE coalesce({', '.join(other)}, o.{_cloud_name(field)}) END"


def _image(which: str, form: Debezium) -> str:
    """Expression for the row before or after the change, as JSON."""
    own = "WHEN 'flattened' THEN document " if which == "after" else ""
    image = f"CASE form WHEN 'envelope' THEN e.{which}::VARCHAR {own}ELSE coalesce(d.payload.{which}, d.{which})::VARCHAR END"
    if form.connector != "mongodb":
        return image
    # MongoDB's documents are sent as text.
    text = f"CASE WHEN starts_with({image}, '\"') THEN json_extract_string({image}, '$') ELSE {image} END"
    return f"CASE WHEN json_valid({text}) THEN {text} END"


def _digits(form: Debezium) -> str:
    """Expression for the row after the change with all digits of its numbers; null unless there are many."""
    places = ("/after", "/data/after", "/data/payload/after")
    after = f"coalesce({', '.join(f'json_extract(digits, {literal(place)})' for place in places)})"
    if form.connector == "mongodb":
        text = f"json_extract_string({after}, '$')"
        after = f"CASE WHEN json_valid({text}) AND starts_with({text}, '{{') THEN {exact_numbers(text)} ELSE {after}::VARCHAR END"
    return f"CASE WHEN digits IS NULL THEN NULL WHEN form = 'flattened' THEN digits ELSE ({after})::VARCHAR END"


def _may_hold_placeholder(document: str, form: Debezium) -> str:
    """Expression for whether it is worth comparing each value of a document with all placeholders."""
    # All but the list of a text's bytes are found as they are; that one is found by its first number.
    texts = [text for text in placeholders(form) if text[0] not in "[{"] + [str(form.placeholder.encode()[0])]
    uuids = [text.strip('["]') for text in placeholders(form) if len(text) == _UUID_IN_A_LIST]
    return "(" + " OR ".join(f"contains({document}, {literal(text)})" for text in [*texts, *uuids]) + ")"


_UUID_IN_A_LIST = 40


def _value(column: str, source: Source) -> str:
    """Expression for a column's text."""
    form, name = _form(source), _sent_names(source)[column]
    spec = next(spec for spec in source.columns if spec.name == column)
    described = f"list_filter(described, lambda each: each.field = {literal(name)})[1]"
    # A delete's before image holds made-up values for everything but the key (default replica identity).
    text = f"coalesce(a.{quote(name)}, b.{quote(name)})" if column in source.key else f"a.{quote(name)}"
    sent = Sent(
        text=text,
        is_text=f"json_type(document, {_pointer(name)}) = 'VARCHAR'",
        digits=f"json_extract_string(digits, {_pointer(name, NUMBER)})" if family(spec) == "decimal" else "NULL",
        kind=f"{described}.name",
        scale=f"{described}.parameters.scale",
        is_described=f"{described} IS NOT NULL",
    )
    value = decoded(sent, spec, form)
    if column in source.key:
        return value
    return f"CASE WHEN op IN ('c', 'u', 'r') AND NOT (has_placeholder AND {_is_unchanged(text, form)}) THEN {value} END"


def _pointer(*names: str) -> str:
    return literal("".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names))


def _is_unchanged(text: str, form: Debezium) -> str:
    return f"coalesce({text} IN ({', '.join(literal(each) for each in placeholders(form))}), false)"


def _unchanged(source: Source) -> str:
    """Expression for the columns that did not change and were not sent; null when there are none."""
    names = _sent_names(source)
    each = [
        f"CASE WHEN {_is_unchanged(f'a.{quote(names[spec.name])}', _form(source))} THEN {literal(spec.name)} END"
        for spec in source.columns
        if spec.name not in source.key
    ]
    if not each:
        return "NULL::VARCHAR[]"
    columns = f"nullif(list_filter([{', '.join(each)}], lambda name: name IS NOT NULL), [])"
    return f"CASE WHEN has_placeholder AND op IN ('c', 'u', 'r') THEN {columns} END"


def _missing(source: Source) -> str:
    """Expression for the columns that the record does not have; null when there are none.

    A document of MongoDB does not have the fields that are not set: they are null, not unknown.
    """
    if _form(source).connector == "mongodb":
        return "NULL::VARCHAR[]"
    declared = text_list(list(_sent_names(source).values()))
    # Most records have just the declared columns in their order: comparing the lists spares the searches.
    return _by_column(
        f"CASE WHEN op IN ('c', 'u', 'r') AND keys <> {declared} AND NOT list_has_all(keys, {declared}) "
        f"THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END",
        source,
    )


def _rescued(declared: list[str]) -> str:
    """Expression for the record's columns that the contract does not have, as JSON; null when there are none."""
    # Merging nulls into an object removes those names from it (RFC 7396), whatever the others are called.
    without = literal(json.dumps(dict.fromkeys(declared)))
    marks = "list_filter(json_keys(document), lambda name: starts_with(name, '__'))"
    nulls = f"'{{' || array_to_string(list_transform({marks}, lambda name: to_json(name)::VARCHAR || ':null'), ',') || '}}'"
    row = f"CASE WHEN form = 'flattened' THEN json_merge_patch(document, {nulls})::VARCHAR ELSE document END"
    names = text_list(declared)
    return (
        f"CASE WHEN op IN ('c', 'u', 'r') AND keys <> {names} AND NOT list_has_all({names}, keys) "
        f"THEN json_merge_patch({row}, {without})::VARCHAR END"
    )


def _reason(positions: Positions, form: Debezium) -> str:
    table, connector = f"origin.{quote(positions.table)}", "origin.connector"
    # A flattened row names its table only if it was told to.
    other_table = f"{table} IS DISTINCT FROM {literal(form.table)} AND NOT (form = 'flattened' AND {table} IS NULL)"
    expected = f", expected {form.connector}"
    return f"""CASE
    WHEN NOT valid THEN CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} ELSE 'not valid JSON' END
    WHEN op IS NULL THEN 'not a Debezium change event: it has no op'
    WHEN op = 'm' THEN NULL
    WHEN op NOT IN ('c', 'u', 'd', 'r', 't') THEN 'operation ' || op || ' is no row change'
    WHEN {connector} NOT IN ({_accepted(positions)}) THEN 'an event of connector ' || {connector} || {literal(expected)}
    WHEN {other_table} THEN 'an event of table ' || coalesce({table}, '(none)') || {literal(f", expected {form.table}")}
    WHEN position IS NULL THEN 'no source position'
  END"""
