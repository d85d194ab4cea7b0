"""Numbers and dates as people write them, read as a source declares.

Belongs here: the SQL that converts a written number or date to one that casts to its column's type, or explains why it cannot.
Does not belong here: casting (`batches.casts`).

Nothing is guessed: a text that two declared date formats read as different dates is quarantined, and so is a number whose digits
are not grouped as declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay.contracts.columns import ColumnSpec
from assay.contracts.rules import literal, quote
from assay.landing.formats import Csv, DateFormat

SERIAL = "serial"
_SERIAL_PATTERN = r"[0-9]{1,7}([.,][0-9]+)?"
_LAST_SERIAL = 2_958_465
"""The last day of the year 9999."""
_MICROSECONDS_A_DAY = 86_400_000_000
_GROUPING_BESIDE_A_COMMA = ".'’ \u00a0\u2009\u202f"
_NUMERIC = re.compile(r"(DECIMAL|NUMERIC|DOUBLE|FLOAT|REAL|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?)\b", re.IGNORECASE)
_TIME_OF_DAY = re.compile(r"%-?[HIMSfgnpXcs]")
_ISO = (DateFormat("%Y-%m-%d"), DateFormat("%Y-%m-%d %H:%M:%S"), DateFormat("%Y-%m-%d %H:%M:%S.%f"))
"""How a workbook's real dates are written."""


@dataclass(frozen=True)
class Reading:
    """How a column's text is read.

    Attributes:
        value: Expression that casts to the column's type; null if `problem` is not.
        problem: Expression for why the text cannot be read, or null; None if any text can.
        prepared: Columns, with their names, that both expressions use.
    """

    value: str
    problem: str | None = None
    prepared: tuple[str, ...] = ()


def read_as(text: str, spec: ColumnSpec, form: Csv, date: str | None, *, of_workbook: bool = False) -> Reading:
    """Write how a column is read.

    Args:
        text: Expression for the text in the file.
        spec: The column.
        form: The declared format of the files.
        date: Digits of the date in the file's name, if it has one.
        of_workbook: Whether the texts may include real dates, written in ISO 8601.
    """
    if spec.sql_type != "VARCHAR":
        text = f"nullif({text}, '')"
    if spec.name in form.dates:
        formats = [each if isinstance(each, DateFormat) else DateFormat(each) for each in form.dates[spec.name]]
        valid = [each for each in formats if _holds(each, date)] + [each for each in _ISO if of_workbook]
        return _date(text, spec, tuple(dict.fromkeys(valid)), date)
    if _NUMERIC.match(spec.sql_type):
        return _number(text, spec.name, form)
    return Reading(text)


def _holds(form: DateFormat, date: str | None) -> bool:
    """Whether a format applies to files of a date; a bounded one never applies without a date."""
    if form.first is None and form.last is None:
        return True
    if date is None:
        return False
    after = form.first is None or date[: len(form.first)] >= form.first
    return after and (form.last is None or date[: len(form.last)] <= form.last)


def _number(text: str, name: str, form: Csv) -> Reading:
    grouping = form.thousands
    if grouping is None:
        grouping = _GROUPING_BESIDE_A_COMMA if form.decimal == "," else ""
    if form.decimal == "." and not grouping:
        return Reading(text)
    mark = re.escape(form.decimal)
    # All groups use the same separator: 1.234 567 is not a number.
    grouped = "|".join(f"[0-9]{{1,3}}({re.escape(each)}[0-9]{{3}})+" for each in grouping)
    pattern = f"[+-]?({grouped}{'|' if grouped else ''}[0-9]*)({mark}[0-9]*)?([eE][+-]?[0-9]+)?"
    bare = f"trim({text})"
    value = f"translate({bare}, {literal(form.decimal + grouping)}, '.')"
    told = f"a decimal mark {form.decimal}" + (
        f" and groups of thousands by one of {' '.join(grouping.split())}" if grouping else ""
    )
    is_number = quote(f"{name} is a number")
    return Reading(
        f"CASE WHEN {is_number} THEN {value} END",
        f"CASE WHEN NOT {is_number} THEN {_told(name, text)} || {literal(f', which is no number with {told}')} END",
        (f"regexp_full_match({bare}, {literal(pattern)}) AND regexp_matches({bare}, '[0-9]') AS {is_number}",),
    )


def _told(name: str, text: str) -> str:
    """Expression for a column's name and value, with which messages begin."""
    return f"{literal(f'{name} is ')} || chr(39) || left({text}, 60) || chr(39)"


def _date(text: str, spec: ColumnSpec, formats: tuple[DateFormat, ...], date: str | None) -> Reading:
    of_files = f" for files of {date}" if date else ""
    texts = ", ".join(each.text for each in formats)
    none = f", which no format declared{of_files} reads" + (f" ({texts})" if texts else "")
    if not formats:
        return Reading("NULL::VARCHAR", f"CASE WHEN {text} IS NOT NULL THEN {_told(spec.name, text)} || {literal(none)} END")
    shown = _shown(spec, formats)
    # DuckDB's names are case-insensitive, but %Y is not %y.
    readings = {quote(f"{spec.name} by format {place}"): each.text for place, each in enumerate(formats)}
    first = f"coalesce({', '.join(readings)})"
    is_ambiguous = f"({' OR '.join(f'{each} <> {first}' for each in readings)})"
    each_read = ", ".join(f"{literal(f'{form} reads ')} || {shown(each)}" for each, form in readings.items())
    hint = "; declare which of them holds for which files (DateFormat first, last)"
    return Reading(
        f"CASE WHEN NOT coalesce({is_ambiguous}, false) THEN {shown(first)} END",
        f"CASE WHEN {first} IS NULL AND {text} IS NOT NULL THEN {_told(spec.name, text)} || {literal(none)} "
        f"WHEN {is_ambiguous} THEN {_told(spec.name, text)} || ', which is ambiguous: ' || concat_ws(', ', {each_read}) "
        f"|| {literal(hint)} END",
        tuple(f"{_parsed(text, form)} AS {each}" for each, form in readings.items()),
    )


class _Shown:
    """Writes an expression that formats a time as text."""

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, at: str) -> str:
        return f"strftime({at}, {literal(self._form)})"


def _shown(spec: ColumnSpec, formats: tuple[DateFormat, ...]) -> _Shown:
    """The output format: a date if neither the column nor any format has a time of day."""
    has_time = any(each.text == SERIAL or _TIME_OF_DAY.search(each.text) for each in formats)
    return _Shown("%Y-%m-%d" if spec.sql_type == "DATE" or not has_time else "%Y-%m-%d %H:%M:%S.%f")


def _parsed(text: str, form: str) -> str:
    """Expression for the time that a format reads; null if it does not match, or for years without their century."""
    if form == SERIAL:
        days = f"TRY_CAST(replace({text}, ',', '.') AS DECIMAL(38,12))"
        moved = f"TIMESTAMP '1899-12-30' + to_microseconds((round({days} * {_MICROSECONDS_A_DAY} / 1000) * 1000)::BIGINT)"
        is_serial = f"regexp_full_match(trim({text}), {literal(_SERIAL_PATTERN)}) AND {days} BETWEEN 1 AND {_LAST_SERIAL}"
        return f"CASE WHEN {is_serial} THEN {moved} END"
    at = f"try_strptime(trim({text}), {literal(form)})"
    return f"CASE WHEN {at} >= TIMESTAMP '1000-01-01' THEN {at} END"
