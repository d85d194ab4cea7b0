"""Numbers of JSON documents with all their digits.

Belongs here: the SQL that keeps DuckDB's JSON functions from rounding numbers. Does not belong here: extracting values
(`extraction`, `responses`), numbers of Debezium events (`readers.debezium.values`).

Numbers are replaced by marked strings, which the JSON functions leave unchanged, and become numbers again afterwards.
"""

from __future__ import annotations

from assay.contracts.rules import literal

_OPEN, _CLOSE = "\x01", "\x02"
_MARK = "\x01#"
"""Prefix of a text that stands for a number: it cannot occur in a document, and the JSON functions leave it unchanged."""
_MARK_IN_JSON = r'"\u0001#'
_LOSSY = r"[0-9.]{17,}|\.[0-9]*0([^0-9]|$)|\.0000|[0-9.][eE][+-]?[0-9]|(^|[\s:,\[])-0"
"""A number that DuckDB's JSON functions might not return as it was written (or what looks like one)."""
_STRING_OR_NUMBER = r'("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)'
_MARKED_NUMBER = r'"\\u0001#([^"]*)"'


def needs_marks(text: str) -> str:
    """Write the condition for a JSON text to have numbers that might not be returned as they were written."""
    return f"regexp_matches({text}, {literal(_LOSSY)})"


def marked(text: str) -> str:
    """Write the expression for a JSON text in which marked strings replace the numbers."""
    strings_or_marks = literal(rf"\1{_OPEN}\2{_CLOSE}")
    both = f"regexp_replace({text}, {literal(_STRING_OR_NUMBER)}, {strings_or_marks}, 'g')"
    numbers = f"replace({both}, {literal(_OPEN + _CLOSE)}, '')"
    return f"replace(replace({numbers}, {literal(_CLOSE)}, '\"'), {literal(_OPEN)}, {literal(_MARK_IN_JSON)})"


def unmarked_json(text: str) -> str:
    """Write the expression for a JSON text with marked strings replaced by numbers again."""
    return f"regexp_replace({text}, {literal(_MARKED_NUMBER)}, '\\1', 'g')"


def unmarked(text: str) -> str:
    """Write the expression for a value, or a JSON text, as it was before; the column `marked` tells whether it has marks."""
    scalar = f"CASE WHEN starts_with({text}, {literal(_MARK)}) THEN substr({text}, {len(_MARK) + 1})"
    return f"CASE WHEN marked THEN {scalar} ELSE {unmarked_json(text)} END ELSE {text} END"
