"""How a delimited file is laid out: its delimiter, its header, and which column is which.

Belongs here: what follows from a file's header line and name. Does not belong here: records (`salvage`), the queries
(`reader`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.contracts import Source
from assay.landing.files.encodings import repaired
from assay.landing.formats import Csv
from assay.landing.readers.parsed_record import FILE
from assay.landing.readers.snapshot_dates import MOST_DIGITS, date_of, is_of_calendar, no_date

_DELIMITERS = (",", ";", "\t", "|")
_SPOKEN = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_TAKEN = frozenset(("_n", "_path", FILE))
"""Names of our own columns beside a file's while it is read."""
_SHOWN = 200
"""Characters kept of a line that is not a header."""
_DATE_DIGITS = (4, 6, 8)
"""Number of digits of a year, of a month and of a day."""
_DAY_DIGITS = _DATE_DIGITS[-1]


@dataclass(frozen=True)
class Layout:
    """The layout of a file's records; files with the same layout are read together.

    Attributes:
        delimiter: One character.
        header: The names in the header line; a nameless column is named by its position.
        date: Digits of the date or version in the object's name.
    """

    delimiter: str
    header: tuple[str, ...]
    date: str | None


@dataclass(frozen=True)
class Misfit:
    """Why a file does not belong to its source.

    Attributes:
        header: Its header line.
        reason: What is wrong with it.
    """

    header: str
    reason: str


def csv_format(source: Source) -> Csv:
    """The format of a source of delimited text."""
    assert isinstance(source.format, Csv)
    return source.format


def layout_of(line: str, key: str, source: Source) -> Layout | Misfit:
    """Detect a file's layout.

    Args:
        line: Its first line.
        key: The object's key.
        source: Its source.
    """
    try:
        return _layout(line, key, source)
    except csv.Error as error:
        if "\r" in line.rstrip("\r\n"):
            reason = "its lines end with a carriage return alone, as on old Macs: save it with line feeds"
        else:
            reason = f"the header line cannot be read ({error}): is it a CSV file?"
        return Misfit(repaired(line)[:_SHOWN], reason)


def _layout(line: str, key: str, source: Source) -> Layout | Misfit:
    form = csv_format(source)
    if form.delimiter is None:
        found = _found_delimiter(line, source)
        if isinstance(found, Misfit):
            return found
    delimiter = form.delimiter or str(found)
    return layout_with(delimiter, split_header(line, delimiter), key, source)


def layout_with(delimiter: str, header: Sequence[str], key: str, source: Source) -> Layout | Misfit:
    """Check a header and the object's name against the declaration."""
    form = csv_format(source)
    date = _date(key, source)
    problem = _header_problem(header, source)
    if problem is None and form.snapshot and date is None:
        problem = no_date(source, form.snapshot)
    if problem is None and form.version and not form.snapshot:
        problem = _version_problem(date, form)
    return Misfit(delimiter.join(header), problem) if problem else Layout(delimiter, _unique(header), date)


def version_of(layout: Layout, source: Source) -> int:
    """The number that orders a file among those of its source."""
    digits = layout.date or "0"
    return int(digits.ljust(_DAY_DIGITS, "0") if csv_format(source).versions == "dates" else digits)


def names_of(column: str, form: Csv) -> tuple[str, ...]:
    """The headers that a column of the contract may have."""
    names = form.columns.get(column, column)
    return (names,) if isinstance(names, str) else names


def columns_in(header: Sequence[str], source: Source) -> dict[str, str]:
    """The header of each column of the contract that a file has."""
    form = csv_format(source)
    return {
        spec.name: name
        for spec in source.columns
        for name in names_of(spec.name, form)
        if name in header and not _is_cell(spec.name, form)
    }


def split_header(line: str, delimiter: str) -> list[str]:
    """The names in a header line, trimmed; bytes that are not UTF-8 may be escaped as surrogates."""
    names = next(csv.reader([line], delimiter=delimiter), [])
    return [repaired(name).strip() for name in names]


def _is_cell(column: str, form: Csv) -> bool:
    return form.unpivot is not None and column in (form.unpivot.names, form.unpivot.values)


def _unique(header: Sequence[str]) -> tuple[str, ...]:
    """Name nameless columns (a trailing delimiter makes one) by their position."""
    return tuple(name or f"column{place}" for place, name in enumerate(header, start=1))


def _found_delimiter(line: str, source: Source) -> str | Misfit:
    """The delimiter found in a header line; among several, the one that yields the key's columns."""
    possible = [each for each in _DELIMITERS if len(split_header(line, each)) > 1]
    if len(possible) > 1:
        possible = [each for each in possible if _header_problem(split_header(line, each), source) is None] or possible
    if len(possible) > 1:
        spoken = " or ".join(_SPOKEN[each] for each in possible)
        return Misfit(repaired(line).rstrip("\r\n"), f"the delimiter may be {spoken}: declare it (Csv(delimiter=…))")
    return possible[0] if possible else _DELIMITERS[0]


def _header_problem(header: Sequence[str], source: Source) -> str | None:
    form = csv_format(source)
    if not any(header):
        return "the file has no header line"
    keys = [name for name in source.key if not _is_cell(name, form)]
    absent = [" or ".join(names_of(name, form)) for name in keys if not set(names_of(name, form)) & set(header)]
    if absent:
        return f"the header lacks {', '.join(absent)}: a file of another table, or its layout changed"
    # DuckDB's names are case-insensitive.
    folded = [name.casefold() for name in header]
    if taken := sorted(_TAKEN & set(folded)):
        return f"the header names {', '.join(taken)}, which Assay calls something of its own: rename it"
    twice = sorted({name for name in header if name and folded.count(name.casefold()) > 1})
    if twice:
        return f"the header names {', '.join(twice)} twice"
    for spec in source.columns:
        found = [name for name in names_of(spec.name, form) if name in header]
        if len(found) > 1:
            return f"the header names {spec.name} twice, as {' and as '.join(found)}"
    return None


def _version_problem(digits: str | None, form: Csv) -> str | None:
    if digits is None:
        is_oldest = form.unversioned == "oldest"
        return None if is_oldest else f"the name has no version as {form.version} finds one: land it under a name that has it"
    if form.versions == "dates" and not (len(digits) in _DATE_DIGITS and is_of_calendar(digits)):
        hint = 'land it under another name, or declare that versions are numbers (Csv(versions="numbers"))'
        return f"the version in its name, {digits}, is no year, month or day: {hint}"
    if len(digits) > MOST_DIGITS:
        return f"the version in its name has {len(digits)} digits, and {MOST_DIGITS} are the most: land it under another name"
    return None


def _date(key: str, source: Source) -> str | None:
    form = csv_format(source)
    if form.snapshot:
        return date_of(key, source, form.snapshot)
    found = re.search(form.version, key.rsplit("/", 1)[-1]) if form.version else None
    return (re.sub(r"\D", "", found.group(1) or "") or None) if found else None
