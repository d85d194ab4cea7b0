"""Reading what AWS DMS writes to Kafka and Kinesis: a JSON message for each change.

Belongs here: reading these messages. Does not belong here: its files in S3 (`reader`), typing of values (`batches.typed`).

`_sequence` is `[0 for a full load or 1 for a change, microseconds of the time, Kafka partition, offset of the object's first
record, line]`.
"""

from __future__ import annotations

import json
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import lines_relation, salvage_lines, salvaged_relation
from assay.landing.formats import DmsJson
from assay.landing.kafka.names import position
from assay.landing.readers.parsed_record import BLANK, Parsed, Wanted
from assay.landing.sql import text_list

_OPERATIONS = {"load": "r", "insert": "c", "update": "u", "delete": "d"}
_METADATA = {
    "metadata": {
        "timestamp": "VARCHAR",
        "commit-timestamp": "VARCHAR",
        "record-type": "VARCHAR",
        "operation": "VARCHAR",
        "schema-name": "VARCHAR",
        "table-name": "VARCHAR",
    }
}


class DmsJsonReader:
    """Reads files of one AWS DMS message per line."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        relation = lines_relation([file.path for file in files])
        line = "_n" if len(files) == 1 else "_n - min(_n) OVER (PARTITION BY _path) + 1"
        numbered = f"SELECT _path, {line} AS _n, line FROM ({relation})"
        return Parsed([_messages(numbered, files, source)])

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact lines of a damaged file."""
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([_messages(salvaged_relation(file.path, good), [file], source)], {file.path: rejected})

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: messages are read exactly the first time."""
        return None


def _messages(lines: str, files: list[LandedFile], source: Source) -> str:
    """Write the query that reads messages, one per line."""
    form = source.format
    assert isinstance(form, DmsJson)
    names = {spec.name: form.columns.get(spec.name, spec.name) for spec in source.columns}
    shape = json.dumps(_METADATA | {"data": dict.fromkeys(names.values(), "VARCHAR")})
    # Before images are in an object of their own, or in prefixed columns of the row.
    former = {name: f"{form.before}{names[name]}" for name in source.key}
    before = json.dumps(
        {"before-image": {names[name]: "VARCHAR" for name in source.key}, "data": dict.fromkeys(former.values(), "VARCHAR")}
    )
    objects = ", ".join(
        f"({literal(str(file.path))}, {place[0]}::BIGINT, {place[1]}::BIGINT)"
        for file in files
        for place in (position(file.info.key) or (0, 0),)
    )
    operations = " ".join(f"WHEN {literal(text)} THEN {literal(op)}" for text, op in _OPERATIONS.items())
    schema, _, table = form.table.rpartition(".")
    others = f'_m.metadata."table-name" IS DISTINCT FROM {literal(table)}'
    if schema:
        others += f' OR _m.metadata."schema-name" IS DISTINCT FROM {literal(schema)}'
    old = {name: f'coalesce(_b."before-image".{quote(names[name])}, _b.data.{quote(former[name])})' for name in source.key}
    moved = " OR ".join(f"{old[name]} <> _m.data.{quote(names[name])}" for name in source.key)
    values = ",\n  ".join(
        f"{_value(f'_m.data.{quote(producer)}', old.get(name))} AS {quote(name)}" for name, producer in names.items()
    )
    declared = text_list(list(names.values()))
    missing = (
        f"list_filter({declared}, lambda name: NOT list_contains(_keys, name))" if not form.omits_nulls else "NULL::VARCHAR[]"
    )
    is_known = f"list_contains({declared}, name) OR starts_with(name, {literal(form.before)})"
    # Merging nulls into an object removes those names from it (RFC 7396).
    without = f"to_json(map_from_entries([(name, NULL::VARCHAR) FOR name IN list_filter(_keys, lambda name: {is_known})]))"
    return f"""
WITH objects(_path, _partition_of, _offset) AS (VALUES {objects}),
lines AS (
  SELECT _path, _n, line, CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT' THEN line END AS document
  FROM ({lines})
),
taken AS (
  SELECT *, json_transform(document, {literal(shape)}) AS _m,
    json_transform(document, {literal(before)}) AS _b,
    json_keys(document, '$.data') AS _keys
  FROM lines
),
messages AS (
  SELECT *, coalesce(_m.metadata."record-type", 'data') = 'control' AS _is_control,
    CASE _m.metadata.operation {operations} END AS _is,
    TRY_CAST(coalesce(_m.metadata."commit-timestamp", _m.metadata."timestamp") AS TIMESTAMPTZ) AS _at,
  FROM taken JOIN objects USING (_path)
),
changes AS (
  SELECT *, unnest(CASE WHEN _is = 'u' AND NOT _is_control AND ({moved}) THEN [false, true] ELSE [false] END) AS _is_former
  FROM messages
)
SELECT _path, _n, line AS _record,
  CASE
    WHEN document IS NULL THEN CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} ELSE 'not a JSON document' END
    WHEN _m.metadata IS NULL THEN 'not a message of DMS: it has no metadata'
    WHEN NOT _is_control AND _m.metadata."table-name" IS NULL THEN 'not a message of DMS: it names no table'
    WHEN NOT _is_control AND ({others}) THEN {literal(BLANK)}
    WHEN _is_control THEN NULL
    WHEN _is IS NULL THEN 'operation ' || coalesce(_m.metadata.operation, '(none)') || ' is no row change'
    WHEN _is <> 'r' AND _at IS NULL THEN 'no source position: the message has no timestamp'
  END AS _reason,
  CASE WHEN _is_control THEN 'm' WHEN _is_former THEN 'd' ELSE _is END AS _op,
  [(_is IS DISTINCT FROM 'r')::BIGINT, coalesce(epoch_us(_at), 0), _partition_of, _offset, _n] AS _sequence,
  CASE WHEN _is <> 'r' THEN _at END AS _source_timestamp,
  CASE WHEN _is <> 'd' AND NOT _is_former AND len({missing}) > 0 THEN {missing} END AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  CASE WHEN _is <> 'd' AND NOT _is_former AND len(list_filter(_keys, lambda name: NOT ({is_known}))) > 0
    THEN json_merge_patch(json_extract(document, '$.data'), {without})::VARCHAR END AS _rescued,
  {values}
FROM changes"""


def _value(value: str, old: str | None) -> str:
    if old:
        return f"CASE WHEN _is_former THEN coalesce({old}, {value}) ELSE {value} END"
    # A delete may have made-up values for everything but the key.
    return f"CASE WHEN _is <> 'd' AND NOT _is_former THEN {value} END"
