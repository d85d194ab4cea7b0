"""Flagging: which staged rows break which rules.

Belongs here: the relations `flagged` and `proven`. Does not belong here: counting (`tally`), judging (`proof`).

Few rows break a rule. DuckDB finds the rows that break any of many rules far faster than it counts the breaches of each rule: a
filter skips what column statistics rule out, and looks at each row once. So one scan finds the rows that break any rule, and only
these are tested rule by rule. The rules that a row breaks are kept as bits, `RULES_A_MASK` rules to a number.

Which rows are refused is also written into a column of `staged`. Joining `staged` with `flagged` instead would lose the order of
rows, and they are published in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import duckdb

from assay.contracts.rules import Rule, literal, quote
from assay.contracts.severity import Severity
from assay.engine.staging import REFUSED, STAGED

PROVEN = "proven"
"""The relation of staged rows after fixes, with `_broken` true for rows that go to quarantine."""
FLAGGED = "flagged"
"""The table of the rows that break any rule, after fixes, with the bits of the rules they break and `_broken`."""
ROW = "_row"
"""The column that numbers staged rows."""
RULES_A_MASK = 64

_NUMBERED = f"(SELECT rowid AS {ROW}, * EXCLUDE ({REFUSED}) FROM {STAGED})"


def flag(connection: duckdb.DuckDBPyConnection, rules: Sequence[Rule], before: Sequence[str] = ()) -> bool:
    """Create `flagged` and `proven`.

    Rules with severity `fix` are evaluated on a row as staged, the others on the row after fixes.

    Args:
        connection: A connection with `staged`.
        rules: Every row rule.
        before: Further values to keep from before the fixes: select expressions with names.

    Returns:
        Whether any row breaks a rule.
    """
    connection.execute(f"UPDATE {STAGED} SET {REFUSED} = false WHERE {REFUSED}")
    # A row that no fix touches is the same after fixes, and a row that one touches breaks a rule.
    breaking = " OR ".join(breaking_any(rules)) or "false"
    is_fix = [rule.severity is Severity.FIX for rule in rules]
    inner = ", ".join([f"*{_replaced(rules)}", *_masks(rules, is_fix, "_fixed"), *before])
    others = _masks(rules, [not fixes for fixes in is_fix], "_judged")
    masks = ", ".join(f"_fixed_{place} | _judged_{place} AS {_mask(place)}" for place in range(len(others)))
    refusing = _any_of(bits(rule.severity is Severity.QUARANTINE for rule in rules), len(others))
    dropped = ", ".join(f"_fixed_{place}, _judged_{place}" for place in range(len(others)))
    flagged = connection.execute(
        f"CREATE OR REPLACE TABLE {FLAGGED} AS SELECT *, {refusing} AS _broken FROM "
        f"(SELECT * EXCLUDE ({dropped}), {masks} FROM "
        f"(SELECT {', '.join(['*', *others])} FROM (SELECT {inner} FROM {_NUMBERED} WHERE {breaking})))"
    ).fetchone()
    if flagged is None or flagged[0] == 0:
        connection.execute(f"CREATE OR REPLACE VIEW {PROVEN} AS SELECT * EXCLUDE ({REFUSED}), false AS _broken FROM {STAGED}")
        return False
    _set(connection, REFUSED, f"SELECT {ROW} FROM {FLAGGED} WHERE _broken")
    connection.execute(
        f"CREATE OR REPLACE VIEW {PROVEN} AS SELECT * EXCLUDE ({REFUSED}){_replaced(rules)}, {REFUSED} AS _broken FROM {STAGED}"
    )
    return True


def breaking_any(rules: Sequence[Rule]) -> Iterator[str]:
    """Tests of a row; at least one of them is true when the row breaks any rule.

    Where a rule lists the values that a column may have, every other value breaks it already. So further rules of that column are
    tested once for each listed value, and not in every row.
    """
    lists = {rule.columns[0]: rule for rule in rules if rule.allowed}
    for rule in rules:
        listed = lists.get(rule.columns[0]) if rule.of_value else None
        if listed is None or listed is rule:
            yield rule.broken
    for column, listed in lists.items():
        others = tuple(rule.predicate for rule in rules if rule.of_value and rule.columns == (column,) and rule is not listed)
        for value in _breaking(column, listed.allowed, others) if others else ():
            yield f"{quote(column)} IS NULL" if value is None else f"{quote(column)} = {literal(value)}"


@lru_cache(maxsize=1024)
def _breaking(column: str, values: tuple[str, ...], predicates: tuple[str, ...]) -> tuple[str | None, ...]:
    """The values, null among them, that break any of some rules of their column."""
    rows = ", ".join(f"({literal(value)}::VARCHAR)" for value in (*values, None))
    tests = " OR ".join(f"NOT ({predicate})" for predicate in predicates)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM (VALUES {rows}) AS listed({quote(column)}) WHERE {tests}").fetchall()
    return tuple(value for (value,) in found)


def mark(connection: duckdb.DuckDBPyConnection, column: str, rows: str) -> bool:
    """Add a column to `staged` that is true for some rows.

    Args:
        connection: Its connection.
        column: The column, quoted if necessary; an existing one of that name is replaced.
        rows: A query of the numbers of those rows.

    Returns:
        Whether there are any.
    """
    connection.execute(f"ALTER TABLE {STAGED} DROP COLUMN IF EXISTS {column}")
    connection.execute(f"ALTER TABLE {STAGED} ADD COLUMN {column} BOOLEAN DEFAULT false")
    return _set(connection, column, rows) > 0


def _set(connection: duckdb.DuckDBPyConnection, column: str, rows: str) -> int:
    """Set a column of `staged` to true for some rows; returns their number."""
    marked = connection.execute(
        f"UPDATE {STAGED} SET {column} = true FROM ({rows}) AS marked({ROW}) WHERE rowid = {ROW}"
    ).fetchone()
    return 0 if marked is None else int(marked[0])


def bits(chosen: Iterable[bool]) -> int:
    """A number with one bit for each rule, in the order of the rules, set for those that are chosen."""
    return sum(1 << place for place, is_chosen in enumerate(chosen) if is_chosen)


def breaks(rules: Sequence[Rule]) -> dict[str, str]:
    """By rule, the expression over `flagged` that is true for rows which break it."""
    return {rule.name: _bit(place) for place, rule in enumerate(rules)}


def masks(rules: Sequence[Rule]) -> list[str]:
    """The columns of `flagged` that hold the rules' bits, in order."""
    return [_mask(place) for place in range(_mask_count(rules))]


def _mask_count(rules: Sequence[Rule]) -> int:
    return max(1, -(-len(rules) // RULES_A_MASK))


def _mask(place: int) -> str:
    return f"_breaks_{place}"


def _bit(place: int) -> str:
    return f"({_mask(place // RULES_A_MASK)} & {1 << place % RULES_A_MASK}::UBIGINT) <> 0"


def _any_of(rules: int, columns: int) -> str:
    """Expression for whether a row breaks any of the rules whose bits are given; `columns` is how many columns hold all bits."""
    of_masks = [rules >> RULES_A_MASK * place & (1 << RULES_A_MASK) - 1 for place in range(columns)]
    return " OR ".join(f"({_mask(place)} & {own}::UBIGINT) <> 0" for place, own in enumerate(of_masks) if own) or "false"


def _masks(rules: Sequence[Rule], included: Sequence[bool], name: str) -> list[str]:
    """Select expressions that compute the bits of some rules."""
    terms: list[list[str]] = [[] for _ in range(_mask_count(rules))]
    for place, rule in enumerate(rules):
        if included[place]:
            bit = 1 << place % RULES_A_MASK
            terms[place // RULES_A_MASK].append(f"CASE WHEN NOT ({rule.predicate}) THEN {bit} ELSE 0 END::UBIGINT")
    return [f"{' | '.join(each) or '0::UBIGINT'} AS {name}_{place}" for place, each in enumerate(terms)]


def _replaced(rules: Sequence[Rule]) -> str:
    fixes: dict[str, list[str]] = {}
    for rule in rules:
        if rule.severity is Severity.FIX:
            for column in rule.columns:
                fixes.setdefault(column, []).append(f"({rule.predicate}) IS FALSE")
    replaced = ", ".join(
        f"CASE WHEN NOT ({' OR '.join(tests)}) THEN {quote(column)} END AS {quote(column)}" for column, tests in fixes.items()
    )
    return f" REPLACE ({replaced})" if replaced else ""
