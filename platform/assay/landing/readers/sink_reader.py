"""Reading what a Kafka Connect sink has written: values, keys that are stored apart from them, and other objects.

Belongs here: which records are given a key, and how objects without values are handled. Does not belong here: the names of
objects (`kafka.names`), where keys come from (`kafka.sink_files`), the values (the reader of their format).

A key is given only to a record that does not name its own.

Tombstones that Confluent's sink writes into a folder of their own are messages. Only the first offset of such an object is known:
between two tombstones there may be any number of values, so it is unknown which values are older. The delete itself is among the
values, if the producer sends one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import Rejected, lines_relation, salvage_lines, salvaged_relation
from assay.landing.formats import Debezium
from assay.landing.kafka.keys import key_names, written_keys
from assay.landing.kafka.names import Holds, sink_object
from assay.landing.readers.debezium.messages import exact_events
from assay.landing.readers.parsed_record import BLANK, Parsed, Reader, Wanted
from assay.landing.sql import text_list


class SinkReader:
    """Reads values with the reader of their format, and what a sink has written beside them.

    Args:
        values: The reader of the values, which reads one record per line.
    """

    def __init__(self, values: Reader) -> None:
        self._values = values
        self.first_row = values.first_row

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        values = [file for file in files if _holds(file) == "values"]
        plain = [file for file in values if not _needs_keys(file)]
        parsed = self._values.parse(plain, source) if plain else Parsed([])
        if apart := [file for file in values if _needs_keys(file)]:
            others = self._values.parse(apart, source)
            parsed.queries += _with_keys(others.queries, apart, source, "_n - min(_n) OVER (PARTITION BY _path) + 1")
            parsed.rejected |= _told_once(others, apart)
            parsed.unusual += others.unusual
        if tombstones := [file.path for file in files if _holds(file) == "tombstones"]:
            parsed.queries.append(_messages(lines_relation(tombstones), source))
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact records of a damaged file."""
        if _holds(file) == "values":
            parsed = self._values.salvage(file, source, scratch)
            if file.path != file.text:
                # The offsets are those of a file that was rewritten for reading.
                parsed.rejected = {path: [replace(each, offset=None) for each in told] for path, told in parsed.rejected.items()}
            if not _needs_keys(file):
                return parsed
            return Parsed(_with_keys(parsed.queries, [file], source, "_n"), _told_once(parsed, [file]))
        if _holds(file) != "tombstones":
            return Parsed([])
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([_messages(salvaged_relation(file.path, good), source)], {file.path: rejected})

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Read values again; tombstones are read exactly the first time."""
        values = {file: rows for file, rows in wanted.items() if _holds(file) == "values"}
        parsed = self._values.recheck(values, source, scratch) if values else None
        if parsed is None:
            return None
        apart = [file for file in values if _needs_keys(file)]
        queries = _with_keys(parsed.queries, apart, source, "_n") if apart else parsed.queries
        return Parsed(queries, parsed.rejected, starts=parsed.starts)


def _holds(file: LandedFile) -> Holds:
    found = sink_object(file.info.key)
    return found.holds if found and file.takes != "nameless" else "values"


def _needs_keys(file: LandedFile) -> bool:
    return file.keys is not None or file.takes != "all"


def _told_once(parsed: Parsed, files: Iterable[LandedFile]) -> dict[Path, list[Rejected]]:
    """What could not be read; if a keys object shares such records with the values' object, only the latter reports them."""
    shared = {file.path for file in files if file.takes == "nameless"}
    return {path: rejected for path, rejected in parsed.rejected.items() if path not in shared}


# --- Keys ---


def _with_keys(queries: Iterable[str], files: Collection[LandedFile], source: Source, line: str) -> list[str]:
    """Give records the keys that they do not name, and leave out those that count for another object.

    Args:
        queries: Queries of parsed records.
        files: Those of their files whose keys are stored apart.
        source: The source.
        line: Expression for a record's number in its file.
    """
    keys = _keys([file for file in files if file.keys is not None], source)
    objects = ", ".join(
        f"({literal(str(file.path))}, {literal(file.takes)}, {literal(file.mismatch) if file.mismatch else 'NULL'})"
        for file in files
    )
    nameless = " OR ".join(f"{quote(name)} IS NULL" for name in source.key)
    given = ", ".join(f"coalesce(record.{quote(name)}, known.{quote(name)}) AS {quote(name)}" for name in source.key)
    others = f"list_filter(_missing, lambda name: NOT list_contains({text_list(source.key)}, name))"
    return [
        f"""
WITH objects(_path, _takes, _mismatch) AS (VALUES {objects}),
numbered AS (SELECT *, {line} AS _line FROM ({query})),
record AS (
  SELECT *, _reason IS NULL AND _op NOT IN ('t', 'm') AND ({nameless}) AS _is_nameless
  FROM numbered LEFT JOIN objects USING (_path)
),
told AS (
  SELECT record.* REPLACE ({given}, CASE WHEN _is_nameless THEN nullif({others}, []) ELSE _missing END AS _missing),
    CASE
      WHEN _takes = 'named' AND _is_nameless THEN {literal(BLANK)}
      WHEN _takes = 'nameless' AND _is_nameless THEN _mismatch
      -- What is to be read again may turn out to be nameless.
      WHEN _takes = 'nameless' AND (_reason IS NULL OR _record IS NOT NULL) THEN {literal(BLANK)}
      ELSE _reason END AS _told
  FROM record LEFT JOIN ({keys}) AS known ON known._path = record._path AND known._n = _line
)
SELECT * EXCLUDE (_line, _is_nameless, _takes, _mismatch, _told) REPLACE (
  _told AS _reason,
  -- What has a reason and no text is read again.
  CASE WHEN _told = {literal(BLANK)} THEN coalesce(_record, '') ELSE _record END AS _record,
  CASE WHEN _told IS DISTINCT FROM {literal(BLANK)} THEN _rescued END AS _rescued
)
FROM told"""
        for query in queries
    ]


def _keys(files: Sequence[LandedFile], source: Source) -> str:
    """Write the query that yields `_path, _n` and the key's columns, as texts, of records whose keys are stored apart."""
    if not files:
        columns = ", ".join(f"NULL::VARCHAR AS {quote(name)}" for name in source.key)
        return f"SELECT NULL::VARCHAR AS _path, NULL::BIGINT AS _n, {columns} WHERE false"
    lines = f"SELECT _path, _n, line FROM ({written_keys(files)}) WHERE line IS NOT NULL"
    if isinstance(source.format, Debezium):
        columns = ", ".join(quote(name) for name in source.key)
        return f"SELECT _path, _n, {columns} FROM ({exact_events(lines, source)})"
    names = key_names(source)
    columns = ", ".join(
        f"json_extract_string(line, {literal(f'$.{json.dumps(names[name])}')}) AS {quote(name)}"
        if name in names
        else f"NULL::VARCHAR AS {quote(name)}"
        for name in source.key
    )
    return f"SELECT _path, _n, {columns} FROM ({lines})"


# --- Tombstones ---


def _messages(lines: str, source: Source) -> str:
    columns = ", ".join(f"NULL::VARCHAR AS {quote(spec.name)}" for spec in source.columns)
    return f"""
SELECT _path, _n, line AS _record, CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} END AS _reason, 'm' AS _op,
  NULL::BIGINT[] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp, NULL::VARCHAR[] AS _missing,
  NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued, {columns}
FROM ({lines})"""
