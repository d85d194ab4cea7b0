"""Reading Debezium change events, one a line.

Belongs here: which query reads which file, and the quick query for usual events. Does not belong here: messages of other forms
(`debezium_exact`), positions (`debezium_positions`), encodings of values (`debezium_values`), typing (`typed`).

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
from assay.landing.debezium_exact import accepted, by_column, exact_events, form_of, sent_names
from assay.landing.debezium_positions import POSITIONS
from assay.landing.debezium_values import Described, is_encoded, may_be_unchanged, placeholders, quickly
from assay.landing.lines import MAX_LINE_BYTES, lines_relation, numbered_lines, salvage_lines, salvaged_relation, wanted_lines
from assay.landing.records import LandedFile, Parsed, text_list

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
    if form_of(source).connector == "mongodb":
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
    form = form_of(source)
    positions = POSITIONS[form.connector]
    names = sent_names(source)
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
        elif may_be_unchanged(spec):
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
      AND coalesce(source.connector IN ({accepted(positions)}), true)
      AND (op = 'd' OR op IN ('c', 'u', 'r') AND len(keys) + coalesce(len(missing), 0) = {len(names)}
        AND NOT ({" OR ".join(doubts) or "false"})) THEN NULL
    ELSE {literal(_RECHECK)} END AS _reason,
  op AS _op,
  [{", ".join(numbers)}]::BIGINT[] AS _sequence,
  TRY(make_timestamptz(coalesce(source.ts_ms, ts_ms) * 1000)) AS _source_timestamp,
  {by_column("CASE WHEN len(missing) > 0 THEN missing END", source)} AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  NULL::VARCHAR AS _rescued,
  {", ".join(values)}
FROM events"""


def _unusual_files(paths: list[Path], source: Source) -> str:
    """Write the query that reads every line of some files exactly, blank lines not counted."""
    numbered = (
        f"SELECT _path, row_number() OVER () AS _n, line FROM ({lines_relation(paths)}) "
        "WHERE line <> '' AND NOT regexp_full_match(line, '[ \\t\\v\\f\\r]+')"
    )
    return exact_events(numbered, source)
