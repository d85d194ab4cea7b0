"""Reading Debezium change events, one per line.

Belongs here: choosing the query for a file, and the fast query for usual events. Does not belong here: messages of other forms
(`messages`), positions (`positions`), encodings of values (`values`), typing (`batches.typed`).

A message is a change of a row, a truncate (`t`), or says nothing about a row and is recorded as `m`: a tombstone, a logical
message, a schema change, a transaction's begin or end, a heartbeat.

Numbers are read by DuckDB's JSON reader, which keeps 17 significant digits; in `DECIMAL` columns all digits are kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import (
    MAX_LINE_BYTES,
    last_line,
    lines_relation,
    numbered_lines,
    salvage_lines,
    salvaged_relation,
    wanted_lines,
)
from assay.landing.formats import Debezium
from assay.landing.readers.debezium.messages import accepted, exact_events, form_of, sent_names
from assay.landing.readers.debezium.positions import POSITIONS, after_offsets
from assay.landing.readers.debezium.values import Described, is_encoded, may_be_unchanged, placeholders, quickly
from assay.landing.readers.parsed_record import Parsed, Wanted
from assay.landing.sql import text_list

_RECHECK = "to be read again, exactly"
_LOOKED_AT = 3
"""How many lines of a file are inspected for its form; a producer writes them all in the same form."""


class DebeziumReader:
    """Reads files of one Debezium message per line.

    Usual events, which are bare envelopes, are read by DuckDB's JSON reader. It is twice as fast as parsing line by line, but
    keeps neither the text of rejected records nor columns that it was not told about. Unusual events are then read again from
    their lines. Files of another form are read line by line at once.
    """

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files; unusual events are marked for a second reading."""
        alike: dict[_Usual | None, list[Path]] = {}
        layouts: set[tuple[str, ...]] = set()
        for file in files:
            messages = _first_messages(file.path)
            alike.setdefault(_usual(messages, source), []).append(file.path)
            seen = [*messages, _object(last_line(file.path))]
            layouts |= {tuple(row) for message in seen if (row := _row(message)) is not None}
        return Parsed(
            [
                _usual_events(paths, source, usual, sorted(layouts)) if usual else _unusual_files(paths, files, source)
                for usual, paths in alike.items()
            ]
        )

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact lines of a damaged file."""
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([_exactly(salvaged_relation(file.path, good), [file], source)], {file.path: rejected})

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Read the lines of unusual events exactly, all in one query, because planning it takes longer than running it."""
        lines, starts = wanted_lines({file.path: rows for file, rows in wanted.items()}, scratch / "unusual.lines")
        return Parsed([_exactly(lines, wanted, source)], starts=starts)


# --- The fast path ---


@dataclass(frozen=True)
class _Usual:
    """What the messages of a file of envelopes have in common; files with the same form are read by one query.

    Attributes:
        schema: The schema around each message, as DuckDB's JSON reader returns it; empty if no declared column needs it, None
            for bare envelopes.
    """

    schema: str | None

    @cached_property
    def columns(self) -> dict[str, Described] | None:
        """The schema's description of each column, by the producer's name."""
        if not self.schema:
            return None
        images: list[dict[str, Any]] = json.loads(self.schema)["fields"]
        fields: list[dict[str, Any]] = next((each["fields"] for each in images if each["field"] == "after"), [])
        scales = {each["field"]: (each.get("parameters") or {}).get("scale") for each in fields}
        return {each["field"]: Described(each.get("name"), scales[each["field"]]) for each in fields}


def _first_messages(path: Path) -> list[dict[str, Any]]:
    return [found for _, raw, _ in islice(numbered_lines(path), _LOOKED_AT) if (found := _object(raw))]


def _usual(messages: list[dict[str, Any]], source: Source) -> _Usual | None:
    """Detect from a file's first messages whether it holds envelopes, and whether they have a schema."""
    if form_of(source).connector == "mongodb":
        return None
    if not messages or any(_is_envelope(each) for each in messages):
        return _Usual(None)
    for message in messages:
        if _is_envelope(message.get("payload")):
            if not any(is_encoded(spec) for spec in source.columns):
                return _Usual("")
            usual = _Usual(json.dumps(message.get("schema"), separators=(",", ":"), ensure_ascii=False))
            return usual if _is_understood(usual) else None
    return None


def _is_envelope(message: object) -> bool:
    return isinstance(message, dict) and {"op", "source"} <= set(message)


def _row(message: dict[str, Any]) -> dict[str, Any] | None:
    """The row after the change, of an envelope with or without a schema."""
    envelope = message if _is_envelope(message) else message.get("payload")
    row: Any = envelope.get("after") if isinstance(envelope, dict) else None
    return row if isinstance(row, dict) else None


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


def _usual_events(paths: list[Path], source: Source, usual: _Usual, layouts: list[tuple[str, ...]]) -> str:
    """Write the query that reads envelopes whose columns are all declared; all others are marked for a second reading.

    A row is read as the list of its columns and the list of its values. In a known layout the values are taken by position:
    looking up each by name takes twice as long.

    Args:
        paths: The files.
        source: Their source.
        usual: What they have in common.
        layouts: The lists of columns seen in rows; rows with others are marked.
    """
    form = form_of(source)
    positions = POSITIONS[form.connector]
    names = sent_names(source)
    image = "MAP(VARCHAR, VARCHAR)"
    fields = {positions.table: "VARCHAR", "connector": "VARCHAR", "ts_ms": "BIGINT", **positions.fields}
    origin = "STRUCT(" + ", ".join(f"{quote(name)} {kind}" for name, kind in fields.items()) + ")"
    envelope = {"op": "VARCHAR", "ts_ms": "BIGINT", "source": origin, "before": image, "after": image}
    read = "op, ts_ms, source, before, after"
    if usual.schema is not None:
        payload = "STRUCT(" + ", ".join(f"{quote(name)} {kind}" for name, kind in envelope.items()) + ")"
        envelope = {"payload": payload} | ({"schema": "VARCHAR"} if usual.schema else {})
        read = "unnest(payload)" + (", schema" if usual.schema else "")
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in envelope.items())
    numbers = positions.numbers(lambda name: f"source.{quote(name)}")
    values, doubts = [], [f"schema IS DISTINCT FROM {literal(usual.schema)}"] if usual.schema else []
    if long := [_sent(spec.name) for spec in source.columns if spec.name not in source.key and may_be_unchanged(spec)]:
        doubts.append(_has_placeholder(long, form))
    for spec in source.columns:
        described = usual.columns.get(names[spec.name], Described(None, None)) if usual.columns else None
        value, doubt = quickly(quote(_sent(spec.name)), spec, form, described)
        values.append(f"{value} AS {quote(spec.name)}")
        doubts += [doubt] if doubt else []
    known = _known_layouts(list(names.values()), layouts)
    table, connectors = f"source.{quote(positions.table)}", accepted(positions)
    return f"""
WITH messages AS (
  SELECT filename AS _path, row_number() OVER () AS _n, {read} FROM read_json(
    {text_list([str(path) for path in paths])}, format='newline_delimited', ignore_errors=true, filename=true,
    compression='uncompressed', maximum_object_size={MAX_LINE_BYTES}, columns={{{columns}}})
),
opened AS (
  SELECT *, [{", ".join(numbers)}]::BIGINT[] AS position, map_values(after) AS row,
    {_cases("map_keys(after)", {text_list(layout): str(number) for number, layout in enumerate(known)})} AS layout
  FROM messages
),
events AS (SELECT *, {", ".join(_sent_values(source, known))} FROM opened)
SELECT _path, _n, NULL::VARCHAR AS _record,
  CASE WHEN {table} = {literal(form.table)} AND coalesce(source.connector IN ({connectors}), true)
      AND {" AND ".join(f"position[{number}] IS NOT NULL" for number in range(1, len(numbers) + 1))}
      AND (op = 'd' AND after IS NULL OR op IN ('c', 'u', 'r') AND layout IS NOT NULL AND NOT ({" OR ".join(doubts) or "false"}))
    THEN NULL ELSE {literal(_RECHECK)} END AS _reason,
  op AS _op,
  position AS _sequence,
  TRY(make_timestamptz(coalesce(source.ts_ms, ts_ms) * 1000)) AS _source_timestamp,
  {_missing(source, known)} AS _missing,
  NULL::VARCHAR[] AS _unchanged,
  NULL::VARCHAR AS _rescued,
  {", ".join(values)}
FROM events"""


def _sent(column: str) -> str:
    return f"sent for {column}"


def _known_layouts(declared: list[str], layouts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Layouts without undeclared or duplicate columns, including the contract's own."""
    known = dict.fromkeys([*layouts, tuple(declared)])
    return [layout for layout in known if layout and set(layout) <= set(declared) and len(set(layout)) == len(layout)]


def _sent_values(source: Source, known: list[tuple[str, ...]]) -> Iterator[str]:
    for column, name in sent_names(source).items():
        places = {str(number): str(layout.index(name) + 1) for number, layout in enumerate(known) if name in layout}
        after = f"list_extract(row, {_cases('layout', places, len(known))})" if places else "NULL::VARCHAR"
        # A delete's before image has made-up values for everything but the key (default replica identity).
        sent = f"coalesce({after}, before[{literal(name)}])" if column in source.key else after
        yield f"{sent} AS {quote(_sent(column))}"


def _missing(source: Source, known: list[tuple[str, ...]]) -> str:
    """Expression for the declared columns missing from a row of a known layout; null if it has all."""
    names = sent_names(source)
    lacking = {number: [column for column, name in names.items() if name not in layout] for number, layout in enumerate(known)}
    lists = {str(number): text_list(columns) for number, columns in lacking.items() if columns}
    return _cases("layout", lists) if lists else "NULL::VARCHAR[]"


def _cases(of: str, values: Mapping[str, str], every: int | None = None) -> str:
    """Expression that maps values to results; just the result if all of `every` values have the same one."""
    if len(values) == every and len(set(values.values())) == 1:
        return next(iter(values.values()))
    return f"CASE {of} {' '.join(f'WHEN {each} THEN {value}' for each, value in values.items())} END"


def _has_placeholder(columns: list[str], form: Debezium) -> str:
    """Expression, never null, for whether one of a row's texts is a placeholder for "unchanged"; most are too short to be."""
    texts = placeholders(form)
    shortest = min(len(text.encode()) for text in texts)
    longest = f"greatest({', '.join(f'strlen({quote(name)})' for name in columns)}, 0)"
    return f"CASE WHEN {longest} >= {shortest} THEN coalesce(list_has_any(row, {text_list(texts)}), false) ELSE false END"


def _unusual_files(paths: list[Path], files: Collection[LandedFile], source: Source) -> str:
    """Write the query that reads every line of some files exactly, not counting blank lines."""
    numbered = (
        f"SELECT _path, row_number() OVER () AS _n, line FROM ({lines_relation(paths)}) "
        "WHERE line <> '' AND NOT regexp_full_match(line, '[ \\t\\v\\f\\r]+')"
    )
    return _exactly(numbered, files, source)


def _exactly(lines: str, files: Collection[LandedFile], source: Source) -> str:
    """Write the query that reads lines of some files exactly."""
    events = exact_events(lines, source)
    return after_offsets(events, files) if POSITIONS[form_of(source).connector].are_shared else events
