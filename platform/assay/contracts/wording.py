"""Wording: what Pandera's built-in checks require of a value, for readers of why a row was quarantined.

Belongs here: one phrase for each built-in check. Does not belong here: a check's SQL (`rules`), descriptions that an author
gave a check (those are kept).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

_Statistics = Mapping[str, Any]
_LETTERS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
"""How flags are written in a pattern, as far as DuckDB knows them."""
_KNOWN_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.UNICODE | re.ASCII


def asked(check: str, statistics: _Statistics) -> str | None:
    """Describe what a built-in check requires of a value, as in `must be at least 0`.

    Args:
        check: Pandera's name of the check.
        statistics: What it compares with, by Pandera's names.

    Returns:
        The end of a sentence that begins with the column; None for a check that is not built in.
    """
    words = _WORDS.get(check)
    return f"must {words(statistics)}" if words else None


def pattern_of(statistics: _Statistics) -> str:
    """The regular expression of a check, with its flags if it was given in compiled form.

    Raises:
        ValueError: DuckDB does not support a flag.
    """
    pattern = statistics["pattern"]
    if not isinstance(pattern, re.Pattern):
        return str(pattern)
    if unknown := re.RegexFlag(pattern.flags) & ~_KNOWN_FLAGS:
        raise ValueError(f"the pattern {pattern.pattern} has flags that DuckDB does not know: {unknown!r}")
    flags = "".join(letter for flag, letter in _LETTERS.items() if pattern.flags & flag)
    return f"(?{flags}:{pattern.pattern})" if flags else str(pattern.pattern)


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _listed(values: Collection[Any]) -> str:
    return ", ".join(sorted(map(_shown, values)))


def _in_range(s: _Statistics) -> str:
    low = "at least" if s.get("include_min", True) else "above"
    high = "at most" if s.get("include_max", True) else "below"
    return f"be {low} {_shown(s['min_value'])} and {high} {_shown(s['max_value'])}"


def _length(s: _Statistics) -> str:
    if s.get("exact_value") is not None:
        return f"have {s['exact_value']} characters"
    bounds = [f"at least {s['min_value']}"] if s.get("min_value") is not None else []
    bounds += [f"at most {s['max_value']}"] if s.get("max_value") is not None else []
    return f"have {' and '.join(bounds)} characters"


_WORDS: dict[str, Callable[[_Statistics], str]] = {
    "equal_to": lambda s: f"be {_shown(s['value'])}",
    "not_equal_to": lambda s: f"not be {_shown(s['value'])}",
    "greater_than": lambda s: f"be above {_shown(s['min_value'])}",
    "greater_than_or_equal_to": lambda s: f"be at least {_shown(s['min_value'])}",
    "less_than": lambda s: f"be below {_shown(s['max_value'])}",
    "less_than_or_equal_to": lambda s: f"be at most {_shown(s['max_value'])}",
    "in_range": _in_range,
    "isin": lambda s: f"be one of {_listed(s['allowed_values'])}",
    "notin": lambda s: f"be none of {_listed(s['forbidden_values'])}",
    "str_matches": lambda s: f"begin with a match of {pattern_of(s)}",
    "str_contains": lambda s: f"contain a match of {pattern_of(s)}",
    "str_startswith": lambda s: f"begin with {_shown(s['string'])}",
    "str_endswith": lambda s: f"end with {_shown(s['string'])}",
    "str_length": _length,
}
