"""Casting texts to the types that contracts declare, without losing anything.

Belongs here: the SQL of a cast that is null wherever DuckDB's own would give a different value than was written. Does not belong
here: undoing encodings (the readers), the reasons for rejecting a record (`typed`).

DuckDB rounds `1.7` to the whole number 2 and `12.345` to the amount 12.35, reads `01-02-03` as a day of the year 1 and
`2025-01-03x` as a day, `1_000` as 1000 and `1e400` as infinity, and drops the offset of an instant cast to a wall-clock time, and
the `PM` of a time. None of these is what the producer wrote.

Instants and times have microseconds. Finer ones, such as SQL Server's `datetime2` with seven digits, are truncated, whether they
come as text or as Debezium's nanoseconds: rejecting them would reject nearly all rows of such a column.
"""

from __future__ import annotations

_WHOLE = frozenset(("SMALLINT", "INTEGER", "BIGINT"))
_INEXACT = frozenset(("FLOAT", "DOUBLE"))
_FIRST_YEAR_OF_FOUR_DIGITS = "1000-01-01"
_HAS_WHOLE_YEAR = r"^\s*[-+]?([0-9]{4}|inf)"
_HAS_OFFSET = "[+-][0-9]{2}(:?[0-9]{2})?$"
_LONGEST_WITHOUT_OFFSET = 19
_TIME = r"^\s*[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?\s*([zZ]|[-+]00(:?00)?)?\s*$"
"""A time of day in UTC or without an offset: with another offset, it could not be converted without its day."""
_ULPS = "1e-15"
"""Largest relative difference between the double that was written and the double of the cast value."""
_NOISE = "1e-13"
"""The same for a double that is the result of a computation, relative to the intended decimal."""
_DIGITS = 12
"""Digits, including those after the point, up to which floating-point noise is far less than one unit of the last digit."""
_SHORTEST_NOISE, _LONGEST_NOISE = 17, 20
"""Length of a text with such noise, from `8.399999999999999` to `-0.30000000000000004`."""


def cast(text: str, kind: str) -> str:
    """Write the expression that casts a text; null if the text is not of the type, or does not fit it exactly.

    Args:
        text: Expression for the text.
        kind: DuckDB type.
    """
    if kind == "VARCHAR":
        return text
    value = f"TRY_CAST({text} AS {kind})"
    if kind in _WHOLE:
        return _exact(text, value, scale=0)
    if kind.startswith("DECIMAL"):
        return _exact(text, value, scale=int(kind.rstrip(")").split(",")[1]))
    if kind in _INEXACT:
        return _finite(text, value)
    if kind == "TIME":
        return f"CASE WHEN regexp_matches({text}, '{_TIME}') THEN {value} END"
    if kind == "DATE":
        return _date(text, value)
    if kind == "TIMESTAMP":
        return _of_whole_year(text, f"CASE WHEN {_has_offset(text)} THEN {_utc(text)} ELSE {value} END", "TIMESTAMP")
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _of_whole_year(text, value, "TIMESTAMPTZ")
    return value


def _exact(text: str, value: str, scale: int) -> str:
    number = f"TRY_CAST({text} AS DOUBLE)"
    difference = f"abs({value}::DOUBLE - {number})"
    has_places = f"regexp_matches({text}, '^\\s*[-+]?[0-9]*[.]?[0-9]{{0,{scale}}}0*\\s*$')"
    has_noise = (
        f"strlen({text}) <= {_LONGEST_NOISE} AND abs({number}) < 1e{_DIGITS - scale} "
        f"AND {difference} <= {_NOISE} * greatest(abs({number}), 1)"
    )
    # A double distinguishes numbers of up to 15 digits; for longer ones, the digits themselves are compared.
    return (
        f"CASE WHEN NOT contains({text}, '_') AND CASE WHEN strlen({text}) < {_SHORTEST_NOISE} OR contains(lower({text}), 'e') "
        f"THEN {difference} <= {_ULPS} * abs({number}) ELSE {has_places} OR ({has_noise}) END THEN {value} END"
    )


def _finite(text: str, value: str) -> str:
    # A text that means infinity or NaN itself has no digits.
    is_whole = f"NOT contains({text}, '_') AND (isfinite({value}) OR NOT regexp_matches({text}, '[0-9]'))"
    return f"CASE WHEN {is_whole} THEN {value} END"


def _date(text: str, value: str) -> str:
    # If a text continues after its day, the rest must be a time.
    is_longer = f"regexp_matches({text}, '{_HAS_WHOLE_YEAR}') AND TRY_CAST({text} AS TIMESTAMP) IS NOT NULL"
    return f"CASE WHEN {value}::VARCHAR = {text} OR {is_longer} THEN {value} END"


def _of_whole_year(text: str, value: str, kind: str) -> str:
    has_whole_year = f"{value} >= {kind} '{_FIRST_YEAR_OF_FOUR_DIGITS}' OR regexp_matches({text}, '{_HAS_WHOLE_YEAR}')"
    return f"CASE WHEN {has_whole_year} THEN {value} END"


def _has_offset(text: str) -> str:
    return f"strlen({text}) > {_LONGEST_WITHOUT_OFFSET} AND regexp_matches({text}, '{_HAS_OFFSET}')"


def _utc(text: str) -> str:
    return f"TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
