"""Typing parsed records: from the texts a reader yields to the columns of a raw event.

Belongs here: the SQL that finds the partition, counts the money and explains why a record is rejected. Does not belong here:
casting (`casts`), formats (the readers), files (`ingest`).
"""

from __future__ import annotations

from collections.abc import Collection

from assay.contracts import WHOLE, Daily, Source
from assay.contracts.rules import literal, quote
from assay.lake.layout import TRUNCATES, UNPLACED
from assay.landing.batches.casts import cast

FIRST_DAY = "1000-01-01"
LAST_DAY = "9999-12-31"
"""The range of days that an event can be about."""
_MOST_DIGITS = 24
"""Most digits of an amount before its point: `DECIMAL(38,4)` holds the total of ten thousand million such amounts."""
_LETTERS_TOLD = 60
"""How many characters of a misfit a reason quotes at most."""


def typed_records(parsed: str, source: Source) -> str:
    """Write the query from parsed records (see `readers.parsed_record`) to typed ones.

    Args:
        parsed: A query that yields parsed records.
        source: Their source.

    Returns:
        A query of `_path, _n, _record` (kept for rejected records and messages), `_reason, _misfits` (the columns of a record
        rejected here whose texts do not fit their types, with the texts), `_partition`, the source's typed columns, its partition
        column and the event columns that do not depend on the landing object.
    """
    names = [spec.name for spec in source.columns]
    texts = ", ".join(f"{quote(name)} AS {quote(_text(name))}" for name in names)
    casts = ", ".join(f"{cast(quote(_text(spec.name)), spec.sql_type)} AS {quote(spec.name)}" for spec in source.columns)
    day = f", {_day(source)} AS {quote(source.partition_column)}" if source.partition_column else ""
    about = f"{quote(source.partition_column)} AS _about" if source.partition_column else "NULL::DATE AS _about"
    kept = ", ".join(quote(name) for name in typed_columns(source) if name not in _OF_RECORDS)
    return f"""
WITH parsed AS (SELECT * EXCLUDE ({", ".join(quote(name) for name in names)}), {texts} FROM ({parsed})),
casted AS (SELECT *, {casts} FROM parsed),
dated AS (SELECT *{day}, CASE WHEN _op IN ('d', 't', 'm') THEN 0 ELSE {_money(source)} END::DECIMAL(38,4) AS _money FROM casted)
SELECT _path, _n, CASE WHEN _refused IS NOT NULL OR _op = 'm' THEN _record END AS _record, _refused AS _reason,
  {_misfits(source)} AS _misfits, {_partition(source)} AS _partition, {kept}
FROM (SELECT *, {about}, {_reason(source)} AS _refused FROM (SELECT {_only_known_days(source)} FROM dated)) AS record"""


def typed_columns(source: Source) -> dict[str, str]:
    """DuckDB type by column of typed records."""
    return {**_OF_RECORDS, **{name: kind for name, kind in source.types.items() if name not in _LATER}}


_OF_RECORDS = {
    "_path": "VARCHAR",
    "_n": "BIGINT",
    "_record": "VARCHAR",
    "_reason": "VARCHAR",
    "_misfits": "STRUCT(name VARCHAR, text VARCHAR)[]",
    "_partition": "VARCHAR",
}
_LATER = ("_ingested_at", "_source", "_landing_object", "_landing_row")
"""Event columns that come from the landing object."""


LINE = "CASE WHEN record._running THEN record._n - file.base ELSE record._n END"
"""Expression for the line of a staged record."""


def event_select(source: Source) -> str:
    """Write the columns of a raw event, from staged records (`record`) joined with their files (`file.key`, `file.modified`)."""
    given = {
        "_ingested_at": "file.modified",
        "_source": literal(source.name),
        "_landing_object": "file.key",
        "_landing_row": LINE,
    } | ({"_rescued": "NULL"} if source.drift == "discard" else {})
    return ", ".join(
        f"{given.get(name, f'record.{quote(name)}')}::{kind} AS {quote(name)}" for name, kind in source.types.items()
    )


def _text(name: str) -> str:
    return f"text of {name}"


def _day(source: Source) -> str:
    assert isinstance(source.partition, Daily)
    # A record whose day cannot be computed must not stop the others.
    return f"TRY(({source.partition.of})::DATE)"


def _money(source: Source) -> str:
    """Expression for a record's amount; null if there is none that the books can count."""
    # A record whose amount is not a number must not stop the others, nor overflow a partition's total.
    return f"TRY(coalesce(({source.money})::DECIMAL({_MOST_DIGITS + 4},4), 0))" if source.money else "0"


def _only_known_days(source: Source) -> str:
    """Columns of `dated`, with days that no partition can have (`infinity`, year 20250) replaced by null."""
    if source.partition_column is None:
        return "*"
    day = quote(source.partition_column)
    return f"* REPLACE (CASE WHEN {day} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}' THEN {day} END AS {day})"


def _partition(source: Source) -> str:
    own = literal(WHOLE)
    if source.partition_column is not None:
        own = f"coalesce({quote(source.partition_column)}::VARCHAR, {literal(UNPLACED)})"
    return f"CASE WHEN _op = 't' THEN {literal(TRUNCATES)} ELSE {own} END"


def _reason(source: Source) -> str:
    """Expression for everything wrong with a record; null for a good one. If its key is missing, nothing else is checked."""
    no_key = {
        f"{quote(name)} IS NULL": f"CASE WHEN coalesce({quote(_text(name))}, '') = '' THEN 'the key column {name} is null' "
        f"ELSE 'the key column ' || {_told(name, source)} END"
        for name in source.key
    }
    if [spec.sql_type for spec in source.columns if spec.name in source.key] == ["VARCHAR"]:
        # All rows with an empty key would be one row. In a key of several columns, one may well be empty.
        no_key[f"trim({quote(source.key[0])}) = ''"] = f"'the key column {source.key[0]} is empty'"
    others = [spec for spec in source.columns if spec.name not in source.key]
    misfits = {name: test for name, test in _misfit_tests(source).items() if name not in source.key}
    wrong = {test: _told(name, source) for name, test in misfits.items()}
    wrong |= {
        f"_op <> 'd' AND {quote(_text(spec.name))} IS NULL AND NOT {_is_left_out([spec.name])}": f"'{spec.name} is null'"
        for spec in others
        if not spec.nullable
    }
    if source.partition_column:
        told = [f"_op <> 'd' AND {quote(source.partition_column)} IS NULL", f"NOT {_is_left_out(source.day_columns)}"]
        # A misfit in the columns of the day is already reported.
        told += [f"NOT ({misfits[name]})" for name in source.day_columns if name in misfits]
        words = f"'{source.partition_column} cannot be told: the date is missing or of no known form'"
        wrong[" AND ".join(told)] = words
    if source.money:
        words = f"no amount: {source.money} gives no number with at most {_MOST_DIGITS} digits before its point"
        wrong["_money IS NULL"] = literal(words)
    cases = " ".join(
        f"WHEN {' OR '.join(f'({test})' for test in tests)} "
        f"THEN concat_ws('; ', {', '.join(f'CASE WHEN {test} THEN {words} END' for test, words in tests.items())})"
        for tests in (no_key, wrong)
        if tests
    )
    return (
        "CASE WHEN _reason IS NOT NULL OR _op = 'm' THEN _reason "
        f"WHEN _op = 't' THEN CASE WHEN _sequence IS NULL THEN 'a truncate without position' END {cases} END"
    )


def _misfit_tests(source: Source) -> dict[str, str]:
    """By column: the condition that its text does not fit its type. An empty key counts as missing, not as a misfit."""
    tests: dict[str, str] = {}
    for spec in source.columns:
        if spec.sql_type != "VARCHAR":
            is_given = "<> ''" if spec.name in source.key else "IS NOT NULL"
            tests[spec.name] = f"{quote(_text(spec.name))} {is_given} AND {quote(spec.name)} IS NULL"
    return tests


def _misfits(source: Source) -> str:
    """Expression for the misfits of a rejected record, each with its text; null for a good record."""
    each = ", ".join(
        f"CASE WHEN {test} THEN {{name: {literal(name)}, text: left({quote(_text(name))}, {_LETTERS_TOLD})}} END"
        for name, test in _misfit_tests(source).items()
    )
    if not each:
        return "NULL"
    # Not computed for good records, which most are.
    is_refused = "_refused IS NOT NULL AND record._reason IS NULL AND _op <> 't'"
    return f"CASE WHEN {is_refused} THEN list_filter([{each}], lambda each: each IS NOT NULL) END"


def _told(column: str, source: Source) -> str:
    """Expression for the message that a column's text does not fit its type."""
    kind = next(spec.sql_type for spec in source.columns if spec.name == column)
    return f"'{column} is ''' || left({quote(_text(column))}, {_LETTERS_TOLD}) || ''', which is no {kind}'"


def _is_left_out(columns: Collection[str]) -> str:
    """Expression for whether an update omits one of some columns: the value stays what it was, which is not an error."""
    names = "[" + ", ".join(literal(name) for name in columns) + "]::VARCHAR[]"
    lists = [f"coalesce(list_has_any({given}, {names}), false)" for given in ("_missing", "_unchanged")]
    return f"(_op = 'u' AND ({' OR '.join(lists)}))"
