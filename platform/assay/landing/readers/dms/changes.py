"""From the cells of files of AWS DMS to parsed records.

Belongs here: the columns about a change, its operation and position, and values that are not provided. Does not belong here:
reading cells (`cells`), typing of values (`batches.typed`).

`_sequence` is `[0 for a full load or 1 for a change, the change sequence's first 17 digits, its last 18 digits, microseconds of
the timestamp, second in the file's name, fraction of it, line]`. Unknown numbers are 0, as are those after a change sequence,
because it identifies the change wherever it is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.formats import Dms
from assay.landing.readers.dms.layouts import APPENDED, OP, OPERATIONS, SCHEMA, TABLE, Layout, dms_format, producer_name
from assay.landing.readers.dms.names import DmsObject
from assay.landing.readers.parsed_record import BLANK
from assay.landing.sql import text_list

_NAMED_OPERATIONS = OPERATIONS | {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}
_SEQUENCE_DIGITS = 35
_LOW_DIGITS = 18


class _Cells:
    """Expressions for the cells of a layout, by the producer's names."""

    def __init__(self, layout: Layout, source: Source) -> None:
        self._cells = {name: f"_c{place}" for place, name in enumerate(layout.names, start=1)}
        form = dms_format(source)
        is_text = layout.kind != "parquet"
        self._nulls = list(form.nulls) if is_text else []
        self._marker = form.not_provided if is_text else None

    def __contains__(self, name: str) -> bool:
        return name in self._cells

    def raw(self, name: str) -> str:
        """The field as it is."""
        return self._cells[name]

    def value(self, name: str) -> str:
        """The value: null if the text means null or not provided."""
        cell = self._cells.get(name, "NULL::VARCHAR")
        none = self._nulls + ([self._marker] if self._marker is not None else [])
        return f"CASE WHEN {cell} NOT IN ({', '.join(map(literal, none))}) THEN {cell} END" if none else cell

    def filled(self, name: str) -> str:
        """The value of a column about the change; null also if it is blank."""
        return f"nullif(trim({self.value(name)}), '')"

    def unchanged(self, name: str) -> str | None:
        """Whether the producer marks the value as unchanged; None if no text means that."""
        return f"{self._cells[name]} = {literal(self._marker)}" if self._marker is not None and name in self._cells else None


def changes(scan: str, layout: Layout, files: Mapping[Path, DmsObject], source: Source) -> str:
    """Write the query that turns cells into parsed records.

    Args:
        scan: The query that yields `_path`, `_n` and the cells of files.
        layout: Their layout.
        files: What the names of their objects tell, by file.
        source: Their source.
    """
    form = dms_format(source)
    cells = _Cells(layout, source)
    names = [spec.name for spec in source.columns]
    objects = ", ".join(
        f"({literal(str(path))}, {about.is_load}, {about.second}::BIGINT, {about.fraction}::BIGINT)"
        for path, about in files.items()
    )
    former = {name: f"{form.before}{producer_name(name, source)}" for name in source.key}
    moves = [name for name in source.key if former[name] in cells]
    changed = " OR ".join(f"{cells.filled(former[name])} <> {cells.value(producer_name(name, source))}" for name in moves)
    is_former = f"unnest(CASE WHEN _is = 'u' AND ({changed}) THEN [false, true] ELSE [false] END)" if moves else "false"
    values = ",\n  ".join(f"{_value(name, cells, source, former if name in moves else {})} AS {quote(name)}" for name in names)
    absent = [name for name in names if producer_name(name, source) not in cells]
    return f"""
WITH objects(_path, _is_load, _second, _fraction) AS (VALUES {objects}),
changes AS (
  SELECT *, {_operation(cells, form)} AS _is, {cells.filled(form.change_sequence)} AS _change,
    {_timestamp(cells, form)} AS _at
  FROM ({scan}) JOIN objects USING (_path)
),
positions AS (
  SELECT *, CASE WHEN NOT _is_load AND regexp_full_match(_change, '[0-9]{{1,{_SEQUENCE_DIGITS}}}')
    THEN lpad(_change, {_SEQUENCE_DIGITS}, '0') END AS _digits, {is_former} AS _is_former
  FROM changes
)
SELECT _path, _n, {_text(layout)} AS _record,
  {_reason(layout, cells, source)} AS _reason,
  CASE WHEN _is_former THEN 'd' ELSE _is END AS _op,
  CASE WHEN _digits IS NOT NULL
    THEN [1, left(_digits, {_SEQUENCE_DIGITS - _LOW_DIGITS})::BIGINT, right(_digits, {_LOW_DIGITS})::BIGINT, 0, 0, 0, 0]
    ELSE [(NOT _is_load)::BIGINT, 0, 0, coalesce(epoch_us(_at), 0), _second, _fraction, _n] END AS _sequence,
  CASE WHEN NOT _is_load
    THEN coalesce(TRY_CAST({cells.filled(form.change_time)} AS TIMESTAMP), _at) AT TIME ZONE 'UTC' END AS _source_timestamp,
  {f"CASE WHEN _is <> 'd' THEN {text_list(absent)} END" if absent else "NULL"}::VARCHAR[] AS _missing,
  {_unchanged(names, cells, source)} AS _unchanged,
  {_rescued(layout, source)} AS _rescued,
  {values}
FROM positions"""


def _operation(cells: _Cells, form: Dms) -> str:
    if OP in cells:
        told = cells.raw(OP)
    elif form.change_operation in cells:
        told = f"upper({cells.filled(form.change_operation)})"
    else:
        return "CASE WHEN _is_load THEN 'r' ELSE 'c' END"
    known = " ".join(f"WHEN {literal(text)} THEN {literal(op)}" for text, op in _NAMED_OPERATIONS.items())
    return (
        f"CASE WHEN _is_load AND coalesce({told}, '') IN ('', 'I', 'INSERT') THEN 'r' "
        f"ELSE CASE {told} {known} ELSE coalesce({told}, '') END END"
    )


def _timestamp(cells: _Cells, form: Dms) -> str:
    return f"TRY_CAST({cells.filled(form.timestamp)} AS TIMESTAMP)" if form.timestamp else "NULL::TIMESTAMP"


def _value(name: str, cells: _Cells, source: Source, former: dict[str, str]) -> str:
    producer = producer_name(name, source)
    value = cells.value(producer)
    if name in former:
        return f"CASE WHEN _is_former THEN coalesce({cells.filled(former[name])}, {value}) ELSE {value} END"
    # A delete may have made-up values for everything but the key.
    return value if name in source.key else f"CASE WHEN _is <> 'd' AND NOT _is_former THEN {value} END"


def _text(layout: Layout) -> str:
    return f"to_json({{{', '.join(f'{literal(name)}: _c{place}' for place, name in enumerate(layout.names, start=1))}}})::VARCHAR"


def _reason(layout: Layout, cells: _Cells, source: Source) -> str:
    form = dms_format(source)
    tests = [f"WHEN _n = 1 THEN {literal(BLANK)}"] if layout.has_header else []
    if layout.kind == "many tables":
        schema, _, table = form.table.rpartition(".")
        others = f"{cells.raw(TABLE)} IS DISTINCT FROM {literal(table)}"
        if schema:
            others += f" OR {cells.raw(SCHEMA)} IS DISTINCT FROM {literal(schema)}"
        declared = len(layout.names) - APPENDED
        tests += [
            f"WHEN {cells.raw(SCHEMA)} IS NULL THEN 'no table: the record breaks off'",
            f"WHEN {others} THEN {literal(BLANK)}",
            f"WHEN _is <> 'd' AND _c{declared} IS NULL THEN 'less than {declared} fields'",
            f"WHEN _c{len(layout.names) + 1} IS NOT NULL THEN 'more than {len(layout.names)} fields'",
        ]
    tests += ["WHEN _is NOT IN ('c', 'u', 'd', 'r') THEN 'operation ''' || _is || ''' is no row change'"]
    if form.change_sequence in cells:
        tests.append(
            "WHEN NOT _is_load AND _change IS NOT NULL AND _digits IS NULL THEN "
            f"{literal(form.change_sequence)} || ' is ''' || left(_change, 60) || ''', which is no position'"
        )
    if form.timestamp:
        tests.append(
            f"WHEN NOT _is_load AND _digits IS NULL AND _at IS NULL THEN 'no source position: ' || {literal(form.timestamp)} || "
            f"' is ' || coalesce('''' || left({cells.value(form.timestamp)}, 60) || ''', which is no timestamp', 'null')"
        )
    return "CASE " + " ".join(tests) + " END"


def _unchanged(names: list[str], cells: _Cells, source: Source) -> str:
    told = [
        f"CASE WHEN {said} THEN {literal(name)} END"
        for name in names
        if name not in source.key and (said := cells.unchanged(producer_name(name, source)))
    ]
    if not told:
        return "NULL::VARCHAR[]"
    listed = f"list_filter([{', '.join(told)}], lambda name: name IS NOT NULL)"
    return f"CASE WHEN _is <> 'd' AND NOT _is_former AND len({listed}) > 0 THEN {listed} END"


def _rescued(layout: Layout, source: Source) -> str:
    form = dms_format(source)
    known = {producer_name(spec.name, source) for spec in source.columns}
    known |= {OP, TABLE, SCHEMA, form.change_sequence, form.change_time, form.change_operation, form.stream_position}
    known |= {form.timestamp} if form.timestamp else set()
    others = [
        (name, place)
        for place, name in enumerate(layout.names, start=1)
        if name not in known and not name.startswith(form.before)
    ]
    if not others:
        return "NULL::VARCHAR"
    packed = "{" + ", ".join(f"{literal(name)}: _c{place}" for name, place in others) + "}"
    if layout.kind == "many tables":
        # Most records have none of these columns.
        packed = f"CASE WHEN _c{others[0][1]} IS NOT NULL THEN json_merge_patch('{{}}', to_json({packed})) END"
    else:
        packed = f"to_json({packed})"
    return f"CASE WHEN _is <> 'd' AND NOT _is_former THEN {packed}::VARCHAR END"
