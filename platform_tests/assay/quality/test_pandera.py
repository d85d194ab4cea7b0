"""The differential test: what one fused scan says of every row is what Pandera says of it, for every kind of check.

Small tables are made at random and given to both: to the proof's own `flag` and `find_hits`, and to Pandera's
`schema.validate(lazy=True)`, whose failure cases name the number of the row. What only warns is asked for as if it did not.

The judge is Pandera's pandas backend, because its Ibis backend cannot be asked for rows: that one has no `unique` of one column,
keeps the rows that break a check over several columns instead of naming them, numbers no rows, and anchors only the first of
several alternatives of a pattern. Custom checks are written once for each backend. Every built-in check is held against the Ibis
backend, with types as wide as contracts have them, in `contracts/test_rules.py`.

Two things are done for it. Of repeated nulls Pandera says that they are repeated, but leaves them out of its failure cases; so
uniqueness is asked for with a value in their place. And pandas says of a comparison with nothing over several columns that it is
false, where SQL, and Ibis, do not know; so those checks say themselves that they pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import ibis.expr.types as ir
import pandas as pd
import pandera.ibis as pai
import pandera.pandas as pap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Contract, Count, Number, Severity, Table, Whole, column
from assay.contracts.rules import quote
from assay.quality.around import Around
from assay.quality.flagging import FLAGGED, breaks, flag
from assay.quality.hits import find_hits

Row = tuple[int | None, int | None, float | None, str | None]
COLUMNS = {"a": "BIGINT", "b": "BIGINT", "x": "DOUBLE", "t": "VARCHAR"}
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-2, 4),
        st.none() | st.integers(-2, 4),
        st.none() | st.sampled_from([-1.5, 0.0, 0.1, 1.0, 2.0]),
        st.none() | st.sampled_from(["", "a", "b", "ab", "abc", "ABC", "a.c", "it's", "ünï", "12", "a b"]),
    ),
    max_size=8,
)
NUMERIC: list[dict[str, Any]] = [
    {"eq": 1},
    {"ne": 1},
    {"gt": 0},
    {"ge": 0},
    {"lt": 2},
    {"le": 2},
    {"in_range": {"min_value": 0, "max_value": 2}},
    {"in_range": {"min_value": 0, "max_value": 2, "include_min": False, "include_max": False}},
    {"isin": [0, 1]},
    {"notin": [0, 1]},
]
TEXTUAL: list[dict[str, Any]] = [
    {"eq": "a"},
    {"ne": "it's"},
    {"isin": ["a", "it's"]},
    {"notin": ["", "ABC"]},
    {"str_matches": "a"},
    {"str_matches": "a$|b"},
    {"str_matches": r"\d+$"},
    {"str_contains": "b"},
    {"str_contains": "a.c"},
    {"str_startswith": "a"},
    {"str_endswith": "c"},
    {"str_length": {"min_value": 1, "max_value": 2}},
    {"str_length": {"min_value": 2}},
    {"str_length": {"max_value": 1}},
]


PANDAS = {"a": "Int64", "b": "Int64", "x": "Float64", "t": "string"}
IN_PLACE_OF_NULL = {"a": 99, "b": 99, "x": 99.0, "t": "null"}
NAMES = {
    "eq": "equal_to",
    "ne": "not_equal_to",
    "gt": "greater_than",
    "ge": "greater_than_or_equal_to",
    "lt": "less_than",
    "le": "less_than_or_equal_to",
}
"""What Pandera calls the checks that its fields have short names for."""


@dataclass(frozen=True)
class Shape:
    """What one made-up contract says.

    Attributes:
        checks: The built-in check of each column.
        nullable: The columns that may be null.
        unique: The columns that are unique by themselves.
        together: Columns that are unique together.
        warns: Whether custom checks only warn.
    """

    checks: dict[str, dict[str, Any]]
    nullable: frozenset[str]
    unique: frozenset[str]
    together: tuple[str, ...]
    warns: bool


SHAPES = st.builds(
    Shape,
    checks=st.fixed_dictionaries({name: st.sampled_from(TEXTUAL if name == "t" else NUMERIC) for name in COLUMNS}),
    nullable=st.frozensets(st.sampled_from(sorted(COLUMNS))),
    unique=st.frozensets(st.sampled_from(["b", "t"])),
    together=st.sampled_from([(), ("a", "b"), ("a", "x", "t")]),
    warns=st.booleans(),
)


def ours(shape: Shape) -> Table:
    """The contract."""

    def positive(cls: type, data: pai.IbisData) -> ir.BooleanColumn:
        return data.table[data.key] > 0

    def in_order(cls: type, data: pai.IbisData) -> ir.BooleanColumn:
        return data.table.a <= data.table.b

    body: dict[str, Any] = {
        "__annotations__": {"a": Count, "b": Count, "x": Number, "t": str},
        "__module__": __name__,
        "__doc__": "Made up.",
        "Config": type("Config", (), {"unique": list(shape.together) or None}),
        "positive": pai.check("a", name="positive", raise_warning=shape.warns)(positive),
        "in_order": pai.dataframe_check(name="in_order", raise_warning=shape.warns)(in_order),
    }
    for name, checks in shape.checks.items():
        body[name] = column("A value", nullable=name in shape.nullable, unique=name in shape.unique, **checks)
    return Table("enriched", "made", type("Made", (Contract,), body), ("a",), Whole(), "team:x", "x")


def theirs(shape: Shape) -> list[pap.DataFrameSchema]:
    """The same for Pandera, uniqueness by itself."""
    checks = {name: [built_in(*each) for each in checks.items()] for name, checks in shape.checks.items()}
    checks["a"].append(pap.Check(lambda values: values > 0, name="positive"))
    columns = {name: pap.Column(PANDAS[name], each, nullable=name in shape.nullable) for name, each in checks.items()}
    in_order = pap.Check(lambda rows: rows.a.isna() | rows.b.isna() | (rows.a <= rows.b), name="in_order")
    unique = {name: pap.Column(PANDAS[name], unique=name in shape.unique) for name in COLUMNS}
    return [
        pap.DataFrameSchema(columns, checks=[in_order]),
        pap.DataFrameSchema(unique, unique=list(shape.together) or None),
    ]


def built_in(name: str, value: Any) -> pap.Check:
    make = getattr(pap.Check, NAMES.get(name, name))
    return make(**value) if isinstance(value, dict) else make(value)


def broken_for_us(table: Table, rows: Sequence[Row]) -> set[tuple[int, str]]:
    """Number of the row and name of the rule, of all that one fused scan finds broken."""
    connection = duckdb.connect(config={"threads": 1})
    declared = ", ".join(f"{quote(name)} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE staged ({declared}, _partition VARCHAR, _refused BOOLEAN DEFAULT false)")
    for row in rows:
        connection.execute("INSERT INTO staged VALUES (?, ?, ?, ?, 'all', false)", row)
    rules = table.rules + tuple(each.rule("team:x") for each in table.expectations.values())
    flag(connection, find_hits(connection, table, rules, Around()))
    found = set()
    for name, breaking in breaks(rules).items():
        found |= {(number, name) for (number,) in connection.execute(f"SELECT _row FROM {FLAGGED} WHERE {breaking}").fetchall()}
    return found


def broken_for_pandera(shape: Shape, table: Table, rows: Sequence[Row]) -> set[tuple[int, str]]:
    """The same of Pandera, with the rules called as we call them."""
    frame = pd.DataFrame({name: pd.array([row[at] for row in rows], dtype=PANDAS[name]) for at, name in enumerate(COLUMNS)})
    found = set()
    for schema, asked in zip(theirs(shape), (frame, frame.fillna(IN_PLACE_OF_NULL)), strict=True):
        try:
            schema.validate(asked, lazy=True)
        except pap.errors.SchemaErrors as error:
            cases = error.failure_cases
            found |= {
                (int(number), called(table, shape, str(check), str(of)))
                for number, check, of in zip(cases["index"], cases["check"], cases["column"], strict=True)
            }
    return found


def called(table: Table, shape: Shape, check: str, of: str) -> str:
    """What we call a check."""
    if check == "multiple_fields_uniqueness":
        return f"{'_'.join(shape.together)}_unique"
    if check == "not_nullable":
        return f"{of}_required"
    if check == "field_uniqueness":
        return f"{of}_unique"
    if check in ("positive", "in_order"):
        return check
    (name,) = [
        rule.name
        for rule in table.rules
        if rule.columns == (of,) and rule.name != "positive" and not rule.name.endswith("_required")
    ]
    return name


def compare(shape: Shape, rows: Sequence[Row]) -> None:
    table = ours(shape)
    assert broken_for_us(table, rows) == broken_for_pandera(shape, table, rows)
    warning = {rule.name for rule in table.rules if rule.severity is Severity.WARN}
    assert warning == ({"positive", "in_order"} if shape.warns else set())


@settings(max_examples=10)
@given(SHAPES, ROWS)
def test_the_fused_scan_says_of_every_row_what_pandera_says(shape: Shape, rows: list[Row]) -> None:
    compare(shape, rows)


@pytest.mark.slow
@settings(max_examples=1500)
@given(SHAPES, ROWS)
def test_it_does_so_for_very_many(shape: Shape, rows: list[Row]) -> None:
    compare(shape, rows)


EVERY_ROW: list[Row] = [
    (a, b, x, t)
    for a, b, x, t in [
        (-2, -2, -1.5, ""),
        (0, 0, 0.0, "a"),
        (1, 0, 0.1, "b"),
        (1, 1, 1.0, "ab"),
        (2, 2, 2.0, "abc"),
        (4, 4, 2.0, "ABC"),
        (None, None, None, None),
        (None, 1, None, "it's"),
        (3, None, 1.0, "12"),
    ]
]


@pytest.mark.parametrize("textual", TEXTUAL, ids=str)
def test_every_check_of_texts(textual: dict[str, Any]) -> None:
    others: dict[str, dict[str, Any]] = {name: {"ge": 0} for name in "abx"}
    compare(Shape({**others, "t": textual}, frozenset("abxt"), frozenset(), (), False), EVERY_ROW)


@pytest.mark.parametrize("numeric", NUMERIC, ids=str)
def test_every_check_of_numbers(numeric: dict[str, Any]) -> None:
    checks: dict[str, dict[str, Any]] = {**dict.fromkeys("abx", numeric), "t": {"ne": "?"}}
    compare(Shape(checks, frozenset("xt"), frozenset("bt"), ("a", "b"), True), EVERY_ROW)
