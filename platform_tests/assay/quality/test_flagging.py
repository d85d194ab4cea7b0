"""The filter that finds the rows that break any rule."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contracts.rules import Rule, literal
from assay.contracts.severity import Severity
from assay.quality.flagging import breaking_any

VALUES = ["", "a", "b", "it's", "AB"]


def rule(predicate: str, *columns: str, allowed: tuple[str, ...] = ()) -> Rule:
    return Rule(predicate, predicate, Severity.QUARANTINE, columns, "", of_value=len(columns) == 1, allowed=allowed)


def listing(column: str, values: list[str]) -> Rule:
    return rule(f"{column} IN ({', '.join(map(literal, values))})", column, allowed=tuple(values))


OTHERS = [
    rule("x IS NOT NULL", "x"),
    rule("length(x) = 1", "x"),
    rule("x <> 'b'", "x"),
    rule("regexp_matches(x, '^[a-z]')", "x"),
    rule("y NOT IN ('a')", "y"),
    rule("y <> 'AB' OR x = 'a'", "x", "y"),
]


@given(
    st.lists(st.sampled_from(VALUES), min_size=1, unique=True),
    st.lists(st.sampled_from(OTHERS), unique=True),
    st.lists(st.tuples(*[st.sampled_from([None, *VALUES])] * 2), min_size=1),
)
def test_it_finds_the_rows_that_the_rules_one_by_one_find(
    listed: list[str], others: list[Rule], rows: list[tuple[str | None, str | None]]
) -> None:
    rules = [listing("x", listed), *others]
    values = ", ".join(f"({number}, {literal(x)}, {literal(y)})" for number, (x, y) in enumerate(rows))
    relation = f"(VALUES {values}) AS staged(n, x, y)"
    one_by_one = " OR ".join(f"NOT ({each.predicate})" for each in rules)
    with duckdb.connect() as connection:
        found, wanted = (
            connection.execute(f"SELECT n FROM {relation} WHERE {tests} ORDER BY n").fetchall()
            for tests in (" OR ".join(breaking_any(rules)), one_by_one)
        )
    assert found == wanted


@pytest.mark.parametrize(
    ("others", "tests"),
    [
        (["x <> 'z'", "length(x) < 5"], []),
        (["x <> 'b'"], ["\"x\" = 'b'"]),
        (["x IS NOT NULL", "x <> 'z'"], ['"x" IS NULL']),
    ],
)
def test_what_lists_allow_is_judged_once_and_not_in_every_row(others: list[str], tests: list[str]) -> None:
    listed = listing("x", ["a", "b"])
    assert list(breaking_any([listed, *(rule(each, "x") for each in others)])) == [listed.broken, *tests]
