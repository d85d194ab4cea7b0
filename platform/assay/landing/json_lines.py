"""Reading JSON lines: Debezium envelopes and plain documents.

Belongs here: the queries that take JSON apart. Does not belong here: typing of values (`typed`), deletes' partitions
(`placement`).

Numbers are read by DuckDB's JSON reader, which keeps 17 significant digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.formats import Debezium, JsonDocuments
from assay.landing.lines import (
    MAX_LINE_BYTES,
    lines_relation,
    numbered_lines,
    salvage_lines,
    salvaged_relation,
    wanted_lines,
)
from assay.landing.records import BLANK, LandedFile, Parsed, text_list

_ENVELOPE = {
    "op": "VARCHAR",
    "ts_ms": "BIGINT",
    "source": {"table": "VARCHAR", "sequence": "VARCHAR", "lsn": "BIGINT", "ts_ms": "BIGINT"},
}
_WRAPPED = re.compile(rb'^\s*\{\s*"(schema|payload)"')
"""How a message begins that has its schema around it."""
_RECHECK = "to be read again, exactly"


class DocumentsReader:
    """Reads files of one plain JSON document a line."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        return Parsed([documents_query(lines_relation([file.path for file in files]), source)])

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the whole lines of a damaged file."""
        return _salvaged(documents_query, file, source, scratch)

    def recheck(self, file: LandedFile, wanted: str, source: Source) -> Parsed | None:
        """Nothing needs to be read again: documents are read exactly the first time."""
        return None


class DebeziumReader:
    """Reads files of one Debezium change event a line.

    Usual events are read by DuckDB's JSON reader, which is twice as fast as taking lines apart but keeps neither the
    text of what it refuses nor columns that it was not told of. Unusual ones are read again from their lines.
    """

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files; what is unusual is marked to be read again."""
        alike: dict[bool, list[Path]] = {}
        for file in files:
            alike.setdefault(_is_wrapped(file.path), []).append(file.path)
        return Parsed([_usual_events(paths, source, wrapped) for wrapped, paths in alike.items()])

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the whole lines of a damaged file."""
        return _salvaged(debezium_query, file, source, scratch)

    def recheck(self, file: LandedFile, wanted: str, source: Source) -> Parsed | None:
        """Read the lines of unusual events exactly."""
        return Parsed([debezium_query(wanted_lines(file.path, wanted), source)])


def _salvaged(query: Callable[[str, Source], str], file: LandedFile, source: Source, scratch: Path) -> Parsed:
    good = scratch / f"{file.path.name}.lines"
    rejected = salvage_lines(file.path, good)
    return Parsed([query(salvaged_relation(file.path, good), source)], {file.path: rejected})


def _is_wrapped(path: Path) -> bool:
    """Whether a file's first message has its schema around it; one producer writes all alike."""
    return any(_WRAPPED.match(raw) is not None for _, raw, _ in islice(numbered_lines(path), 1))


def _usual_events(paths: list[Path], source: Source, wrapped: bool) -> str:
    """Write the query that reads events whose columns are among the declared ones; all others are marked."""
    assert isinstance(source.format, Debezium)
    names = [spec.name for spec in source.columns]
    declared = text_list(names)
    image = "MAP(VARCHAR, VARCHAR)"
    origin = 'STRUCT("table" VARCHAR, "sequence" VARCHAR, lsn BIGINT, ts_ms BIGINT)'
    envelope = {"op": "VARCHAR", "ts_ms": "BIGINT", "source": origin, "before": image, "after": image}
    if wrapped:
        envelope = {"payload": "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in envelope.items()) + ")"}
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in envelope.items())
    read = (
        f"SELECT filename AS _path, row_number() OVER () AS _n, {'unnest(payload)' if wrapped else '*'} FROM read_json("
        f"{text_list([str(path) for path in paths])}, format='newline_delimited', ignore_errors=true, filename=true, "
        f"compression='uncompressed', maximum_object_size={MAX_LINE_BYTES}, columns={{{columns}}})"
    )
    commit, position = _positions("source")
    values = ",\n  ".join(
        (f"coalesce(after[{literal(name)}], before[{literal(name)}])" if name in source.key else f"after[{literal(name)}]")
        + f" AS {quote(name)}"
        for name in names
    )
    # Counting tells whether there are undeclared columns: it is cheaper than looking for them.
    return f"""
WITH images AS (SELECT *, map_keys(after) AS keys FROM ({read})),
events AS (
  SELECT *, CASE WHEN op <> 'd' AND keys <> {declared}
    THEN list_filter({declared}, lambda name: NOT list_contains(keys, name)) END AS missing
  FROM images
)
SELECT _path, _n, NULL::VARCHAR AS _record,
  CASE WHEN source."table" = {literal(source.format.table)} AND {commit} IS NOT NULL AND {position} IS NOT NULL
      AND (op = 'd' OR op IN ('c', 'u', 'r') AND len(keys) + coalesce(len(missing), 0) = {len(names)}) THEN NULL
    ELSE {literal(_RECHECK)} END AS _reason,
  op AS _op,
  [{commit}, {position}] AS _sequence,
  TRY(make_timestamptz(coalesce(source.ts_ms, ts_ms) * 1000)) AS _source_timestamp,
  CASE WHEN len(missing) > 0 THEN missing END AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  NULL::VARCHAR AS _rescued,
  {values}
FROM events"""


def _positions(origin: str) -> tuple[str, str]:
    """Expressions for PostgreSQL's commit position and position: the first falls back to the second for snapshot reads."""
    commit = f"""coalesce(try_cast(split_part({origin}.sequence, '"', 2) AS BIGINT), {origin}.lsn)"""
    position = f"""coalesce({origin}.lsn, try_cast(split_part({origin}.sequence, '"', 4) AS BIGINT))"""
    return commit, position


def debezium_query(lines: str, source: Source) -> str:
    """Write the query that reads Debezium envelopes exactly, with their schema around them or bare.

    Order at the source follows PostgreSQL: the pair (commit position, position), the first falling back to the second
    for snapshot reads, which have no commit.

    Args:
        lines: A relation of `_path, _n, line`.
        source: The source; its format is `Debezium`.
    """
    assert isinstance(source.format, Debezium)
    names = [spec.name for spec in source.columns]
    row = dict.fromkeys(names, "VARCHAR")
    shape = json.dumps({**_ENVELOPE, "after": row, "before": dict.fromkeys(source.key, "VARCHAR")})
    values = ",\n  ".join(f"{_deleted_or(name, source)} AS {quote(name)}" for name in names)
    commit, position = _positions("e.source")
    return f"""
WITH lines AS ({lines}),
documents AS (
  SELECT _path, _n, line, coalesce(json_valid(line), false) AS valid,
    CASE WHEN regexp_matches(line, {literal(_WRAPPED.pattern.decode())}) AND json_valid(line)
      THEN coalesce(json_extract(line, '$.payload')::VARCHAR, line) ELSE line END AS document
  FROM lines
),
events AS (
  SELECT _path, _n, line, valid,
    CASE WHEN valid THEN json_transform(document, {literal(shape)}) END AS e,
    CASE WHEN valid THEN json_keys(document, '$.after') END AS keys,
    document
  FROM documents
)
SELECT _path, _n, line AS _record,
  CASE
    WHEN NOT valid THEN CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} ELSE 'not valid JSON' END
    WHEN e.op IS NULL THEN 'not a Debezium change event: it has no op'
    WHEN e.op NOT IN ('c', 'u', 'd', 'r') THEN 'operation ' || e.op || ' is no row change'
    WHEN e.source."table" IS DISTINCT FROM {literal(source.format.table)}
      THEN 'an event of table ' || coalesce(e.source."table", '(none)') || ', expected {source.format.table}'
    WHEN {commit} IS NULL OR {position} IS NULL THEN 'no source position'
  END AS _reason,
  e.op AS _op,
  [{commit}, {position}] AS _sequence,
  TRY(make_timestamptz(coalesce(e.source.ts_ms, e.ts_ms) * 1000)) AS _source_timestamp,
  {missing_and_rescued("keys", "json_extract(document, '$.after')", names, "e.op <> 'd'")},
  {values}
FROM events"""


def documents_query(lines: str, source: Source) -> str:
    """Write the query that reads plain documents, one a line.

    Args:
        lines: A relation of `_path, _n, line`.
        source: The source; its format is `JsonDocuments`.
    """
    assert isinstance(source.format, JsonDocuments)
    names = [spec.name for spec in source.columns]
    shape = json.dumps(dict.fromkeys(names, "VARCHAR"))
    values = ",\n  ".join(f"e.{quote(name)} AS {quote(name)}" for name in names)
    return f"""
WITH lines AS ({lines}),
documents AS (
  SELECT _path, _n, line, json_valid(line) AND json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT' AS valid
  FROM lines
),
events AS (
  SELECT _path, _n, line, valid,
    CASE WHEN valid THEN json_transform(line, {literal(shape)}) END AS e,
    CASE WHEN valid THEN json_keys(line) END AS keys
  FROM documents
),
records AS (
  SELECT _path, _n, line AS _record,
    CASE WHEN NOT coalesce(valid, false)
      THEN CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} ELSE 'not a JSON document' END END AS _reason,
    'r' AS _op,
    NULL::TIMESTAMPTZ AS _source_timestamp,
    {missing_and_rescued("keys", "line", names, "valid")},
    {values}
  FROM events
)
SELECT * EXCLUDE (_reason),
  [{source.format.version}] AS _sequence,
  coalesce(_reason, CASE WHEN ({source.format.version}) IS NULL
    THEN {literal(f"no version: {source.format.version} is null")} END) AS _reason
FROM records"""


def missing_and_rescued(keys: str, document: str, names: list[str], applies: str) -> str:
    """Write the two columns that say how a record's own columns differ from the contract's."""
    declared = text_list(names)
    # Merging nulls into an object removes those names from it (RFC 7396), whatever the others are called.
    without = literal(json.dumps(dict.fromkeys(names)))
    # Most records have just the declared columns in their order: comparing the lists spares the searches.
    return f"""CASE WHEN {applies} AND {keys} <> {declared} AND NOT list_has_all({keys}, {declared})
    THEN list_filter({declared}, lambda name: NOT list_contains({keys}, name)) END AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  CASE WHEN {applies} AND {keys} <> {declared} AND NOT list_has_all({declared}, {keys})
    THEN json_merge_patch({document}, {without})::VARCHAR END AS _rescued"""


def _deleted_or(name: str, source: Source) -> str:
    # A delete's before image holds made-up values for everything but the key (default replica identity).
    if name in source.key:
        return f"coalesce(e.after.{quote(name)}, e.before.{quote(name)})"
    return f"e.after.{quote(name)}"
