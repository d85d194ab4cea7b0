"""Rules: built-in checks refuse exactly the values that Pandera's own backend refuses; custom ones become one row's predicate."""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pandera.ibis as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Contract, Date, Dimension, Money, Severity, Timestamp, column
from assay.contracts.rules import literal, quote, rules_of
from assay.errors import ContractError

TEXTS = ["", "a", "abc", "ab", "xabc", "abc\n", "ABC", "a.c", "it's", "ünï", "a%b_c", "12", "-1", None]
NUMBERS = [-1.5, 0.0, 0.1, 1.0, 2.0, 5.0, math.inf, -math.inf, math.nan, None]
WHOLE = [-(2**63), -1, 0, 1, 2, 3, 5, 2**63 - 1, None]
MONEY = [Decimal("-0.01"), Decimal("0.00"), Decimal("0.01"), Decimal("1.00"), Decimal("1000000.00"), Decimal("1000000.01"), None]
DAYS = [dt.date(2024, 12, 31), dt.date(2025, 1, 1), dt.date(2025, 1, 2), None]
INSTANTS = [dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC), None]
MIDNIGHT = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)

CASES: list[tuple[Any, str, list[Any], dict[str, Any]]] = [
    (float, "DOUBLE", NUMBERS, {"eq": 1}),
    (float, "DOUBLE", NUMBERS, {"ne": 1.0}),
    (float, "DOUBLE", NUMBERS, {"gt": 0.1}),
    (float, "DOUBLE", NUMBERS, {"ge": 0.1}),
    (float, "DOUBLE", NUMBERS, {"lt": 1}),
    (float, "DOUBLE", NUMBERS, {"le": 1e0}),
    (float, "DOUBLE", NUMBERS, {"in_range": {"min_value": 0, "max_value": 2}}),
    (float, "DOUBLE", NUMBERS, {"in_range": {"min_value": 0, "max_value": 2, "include_min": False, "include_max": False}}),
    (float, "DOUBLE", NUMBERS, {"lt": math.inf}),
    (float, "DOUBLE", NUMBERS, {"gt": -math.inf}),
    (int, "BIGINT", WHOLE, {"isin": [1, 2, 3]}),
    (int, "BIGINT", WHOLE, {"notin": [1, 2]}),
    (int, "BIGINT", WHOLE, {"ge": -(2**63)}),
    (int, "BIGINT", WHOLE, {"in_range": {"min_value": 1, "max_value": 3}}),
    (Money, "DECIMAL(18,2)", MONEY, {"ge": 0.01, "le": 1_000_000}),
    (Money, "DECIMAL(18,2)", MONEY, {"gt": Decimal("0.00")}),
    (Money, "DECIMAL(18,2)", MONEY, {"isin": [Decimal("1.00")]}),
    (bool, "BOOLEAN", [True, False, None], {"eq": True}),
    (Date, "DATE", DAYS, {"ge": dt.date(2025, 1, 1)}),
    (Date, "DATE", DAYS, {"isin": [dt.date(2025, 1, 1)]}),
    (Timestamp, "TIMESTAMPTZ", INSTANTS, {"gt": MIDNIGHT}),
    (Timestamp, "TIMESTAMPTZ", INSTANTS, {"in_range": {"min_value": MIDNIGHT, "max_value": MIDNIGHT}}),
    (str, "VARCHAR", TEXTS, {"eq": "it's"}),
    (str, "VARCHAR", TEXTS, {"isin": ["abc", "it's"]}),
    (str, "VARCHAR", TEXTS, {"notin": ["abc", ""]}),
    (str, "VARCHAR", TEXTS, {"gt": "abc"}),
    (str, "VARCHAR", TEXTS, {"str_matches": "abc"}),
    (str, "VARCHAR", TEXTS, {"str_matches": "^abc$"}),
    (str, "VARCHAR", TEXTS, {"str_contains": "bc"}),
    (str, "VARCHAR", TEXTS, {"str_contains": "a.c"}),
    (str, "VARCHAR", TEXTS, {"str_contains": "'"}),
    (str, "VARCHAR", TEXTS, {"str_startswith": "a"}),
    (str, "VARCHAR", TEXTS, {"str_startswith": "a%"}),
    (str, "VARCHAR", TEXTS, {"str_endswith": "c"}),
    (str, "VARCHAR", TEXTS, {"str_length": {"min_value": 2, "max_value": 3}}),
    (str, "VARCHAR", TEXTS, {"str_length": {"min_value": 3}}),
    (str, "VARCHAR", TEXTS, {"str_length": {"max_value": 2}}),
    (str, "VARCHAR", TEXTS, {"str_length": {"exact_value": 3}}),
]


def model_of(kind: Any, checks: dict[str, Any]) -> type[Contract]:
    body = {
        "__annotations__": {"v": kind},
        "v": column("A value", nullable=True, **checks),
        "__module__": __name__,
        "__doc__": "One.",
    }
    return type("Made", (Contract,), body)


def refused_by_us(model: type[Contract], connection: duckdb.DuckDBPyConnection) -> list[str]:
    tests = " OR ".join(f"({rule.predicate}) IS FALSE" for rule in rules_of(model, {}))
    return sorted(row[0] for row in connection.execute(f"SELECT v::VARCHAR FROM staged WHERE {tests}").fetchall())


def broken_by_us(model: type[Contract], connection: duckdb.DuckDBPyConnection) -> list[str]:
    tests = " OR ".join(rule.broken for rule in rules_of(model, {}))
    return sorted(row[0] for row in connection.execute(f"SELECT v::VARCHAR FROM staged WHERE {tests}").fetchall())


def refused_by_pandera(model: type[Contract], staged: ir.Table) -> list[str]:
    found: set[str] = set()
    every: list[str] = []
    for check in model.to_schema().columns["v"].checks:
        failing = check(staged, "v").failure_cases
        every += [] if failing is None else list(failing.select(v=failing.v.cast("string")).execute()["v"])
        found |= set(every)
    return sorted(found)


@pytest.mark.parametrize(
    ("kind", "sql_type", "values", "checks"), CASES, ids=lambda value: str(value)[:60] if isinstance(value, dict) else ""
)
def test_a_built_in_check_refuses_the_rows_that_pandera_refuses(
    kind: Any, sql_type: str, values: list[Any], checks: dict[str, Any]
) -> None:
    backend = ibis.duckdb.connect()
    backend.raw_sql(f"SET TimeZone = 'UTC'; CREATE TABLE staged (v {sql_type})")
    backend.con.executemany("INSERT INTO staged VALUES (?)", [[value] for value in values])
    model = model_of(kind, checks)
    ours = refused_by_us(model, backend.con)
    assert ours == broken_by_us(model, backend.con) == refused_by_pandera(model, backend.table("staged"))
    assert len(ours) < len(values)


def test_a_pattern_of_alternatives_is_anchored_as_a_whole() -> None:
    """Python's `re.match`, which the check is defined by, anchors each of them; Pandera's Ibis backend only the first."""
    (rule,) = rules_of(model_of(str, {"str_matches": r"a|\d+$"}), {})
    pattern = re.compile(r"a|\d+$")
    for value in TEXTS[:-1]:
        ((passes,),) = duckdb.execute(f"SELECT {rule.predicate} FROM (SELECT {literal(value)} AS v)").fetchall()
        assert passes == bool(pattern.match(value))


@pytest.mark.parametrize("check", ["str_matches", "str_contains"])
@pytest.mark.parametrize(
    ("flags", "pattern"), [(re.IGNORECASE, "abc$"), (re.DOTALL, "a.*\n"), (re.MULTILINE | re.ASCII, "abc$|^x")]
)
def test_a_compiled_pattern_keeps_its_flags(check: str, flags: re.RegexFlag, pattern: str) -> None:
    compiled = re.compile(pattern, flags)
    (rule,) = rules_of(model_of(str, {check: compiled}), {})
    for value in ["abc", "ABC", "xABC", "abc\nx", "a\nb\n", "y\nx"]:
        ((passes,),) = duckdb.execute(f"SELECT {rule.predicate} FROM (SELECT {literal(value)} AS v)").fetchall()
        assert passes == bool((compiled.match if check == "str_matches" else compiled.search)(value)), value


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"isin": []}, "v: isin names no values"),
        ({"notin": []}, "v: notin names no values"),
        ({"str_matches": re.compile("a b", re.VERBOSE)}, "v: the pattern a b has flags that DuckDB does not know: re.VERBOSE"),
    ],
    ids=["isin", "notin", "flags"],
)
def test_what_no_value_can_be_compared_with_is_refused(check: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError) as raised:
        rules_of(model_of(str, check), {})
    assert raised.value.message.endswith(said)


class TestNames:
    def test_rules_are_named_by_column_and_kind_required_ones_first(self) -> None:
        class Named(Contract):
            """A table."""

            amount: Money = column("Amount", ge=0, le=9)
            kind: str = column("Kind", nullable=True, isin=["a"])

        rules = rules_of(Named, {"kind_known": Severity.STOP})
        assert [(rule.name, rule.columns, rule.severity) for rule in rules] == [
            ("amount_required", ("amount",), Severity.QUARANTINE),
            ("amount_at_least", ("amount",), Severity.QUARANTINE),
            ("amount_at_most", ("amount",), Severity.QUARANTINE),
            ("kind_known", ("kind",), Severity.STOP),
        ]
        assert rules[1].reason == "amount must be at least 0"
        assert rules[3].reason == "kind must be one of 'a'"
        assert rules[0].reason == "amount must be there"

    def test_each_rule_has_an_owner_and_a_dimension(self) -> None:
        class Owned(Contract):
            """A table."""

            amount: Money = column("Amount", ge=0)
            most: Money = column("Most", nullable=True, le=9)

            @pa.dataframe_check()
            def within(cls, data: pa.IbisData) -> ir.BooleanColumn:  # noqa: N805
                return data.table.amount <= data.table.most

        given = {"owners": {"within": "team:risk"}, "dimensions": {"most_at_most": Dimension.TIMELINESS}}
        assert [(rule.name, rule.owner, rule.dimension) for rule in rules_of(Owned, {}, "team:x", **given)] == [
            ("amount_required", "team:x", Dimension.COMPLETENESS),
            ("amount_at_least", "team:x", Dimension.VALIDITY),
            ("most_at_most", "team:x", Dimension.TIMELINESS),
            ("within", "team:risk", Dimension.CONSISTENCY),
        ]

    def test_two_rules_of_one_name_are_refused(self) -> None:
        class Twice(Contract):
            """A table."""

            amount: Money = column("Amount", nullable=True, ge=0)

            @pa.dataframe_check(name="amount_at_least")
            def again(cls, data: pa.IbisData) -> ir.BooleanColumn:  # noqa: N805
                return data.table.amount >= 1

        with pytest.raises(ContractError, match="more than one rule is called amount_at_least"):
            rules_of(Twice, {})


Condition = Callable[[ir.Table], ir.BooleanColumn]


def conditions() -> st.SearchStrategy[Condition]:
    """Conditions over two numbers: comparisons, lists, nulls, and what AND, OR and NOT make of them."""
    compare = st.sampled_from([operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
    simple = st.one_of(
        compare.map(lambda by: lambda row: by(row.a, row.b)),
        compare.map(lambda by: lambda row: by(row.a, 1)),
        st.just(lambda row: row.b.isin([0, 2])),
        st.just(lambda row: row.a.notnull()),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: lambda row: two[0](row) & two[1](row)),
            st.tuples(inner, inner).map(lambda two: lambda row: two[0](row) | two[1](row)),
            inner.map(lambda one: lambda row: ~one(row)),
        ),
        max_leaves=5,
    )


class TestCustom:
    def test_a_check_over_columns_is_a_predicate_over_one_row(self) -> None:
        class Span(Contract):
            """A table."""

            start: Date = column("Start")
            end: Date = column("End", nullable=True)

            @pa.dataframe_check(description="it ends after it starts", raise_warning=True)
            def ordered(cls, data: pa.IbisData) -> ir.BooleanColumn:  # noqa: N805
                return data.table.end >= data.table.start

        rule = rules_of(Span, {})[-1]
        assert (rule.name, rule.severity, set(rule.columns), rule.reason) == (
            "ordered",
            Severity.WARN,
            {"start", "end"},
            "it ends after it starts",
        )
        rows = "(VALUES (DATE '2025-01-02', DATE '2025-01-01'), (DATE '2025-01-02', NULL)) AS t(start, \"end\")"
        query = f"SELECT ({rule.predicate}) FROM {rows}"
        assert duckdb.execute(query).fetchall() == [(False,), (None,)]

    def test_a_check_of_one_column_is_a_rule_of_it(self) -> None:
        class Even(Contract):
            """A table."""

            number: int = column("Number", nullable=True)

            @pa.check("number", name="even")
            def is_even(cls, data: pa.IbisData) -> ir.BooleanColumn:  # noqa: N805
                return data.table[data.key] % 2 == 0

        (rule,) = rules_of(Even, {})
        assert (rule.name, rule.columns) == ("even", ("number",))
        assert duckdb.execute(f"SELECT ({rule.predicate}) FROM (VALUES (1), (2)) AS t(number)").fetchall() == [(False,), (True,)]

    @given(write=conditions(), rows=st.lists(st.tuples(*[st.sampled_from([None, 0, 1, 2])] * 2), min_size=1))
    def test_its_opposite_is_true_where_it_is_false(self, write: Condition, rows: list[tuple[int | None, int | None]]) -> None:
        body = {
            "__annotations__": {"a": int, "b": int},
            "a": column("A", nullable=True),
            "b": column("B", nullable=True),
            "judge": pa.dataframe_check(lambda cls, data: write(data.table)),
            "__module__": __name__,
        }
        (rule,) = rules_of(type("Made", (Contract,), body), {})
        values = ", ".join(f"({literal(a)}::INT, {literal(b)}::INT)" for a, b in rows)
        query = f"SELECT {rule.broken} IS TRUE, ({rule.predicate}) IS FALSE FROM (VALUES {values}) AS t(a, b)"
        assert all(broken == is_false for broken, is_false in duckdb.execute(query).fetchall())

    @pytest.mark.parametrize(
        ("write", "said"),
        [
            (lambda data: data.table.number > data.table.number.mean(), "needs more than one row to decide"),
            (lambda data: data.table.number.lag() < data.table.number, "needs more than one row to decide"),
            (lambda data: data.table.number.max() > 1, "does not return one boolean column"),
            (lambda data: data.table.number + 1, "does not return one boolean column"),
        ],
        ids=["aggregate", "window", "one value", "no boolean"],
    )
    def test_a_check_that_is_no_row_rule_is_refused(self, write: Any, said: str) -> None:
        def judge(cls: Any, data: pa.IbisData) -> Any:
            return write(data)

        body = {
            "__annotations__": {"number": int},
            "number": column("Number"),
            "judge": pa.dataframe_check(judge),
            "__module__": __name__,
        }
        with pytest.raises(ContractError, match=f"check judge {said}"):
            rules_of(type("Broken", (Contract,), body), {})


class TestLiterals:
    @settings(max_examples=60)
    @given(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9)
        | st.dates(dt.date(1000, 1, 1))
        | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
        | st.timedeltas(dt.timedelta(days=-999), dt.timedelta(days=999))
    )
    def test_a_value_is_read_back_as_it_was_written(self, value: Any) -> None:
        ((found,),) = duckdb.execute(f"SELECT {literal(value)}").fetchall()
        # A float is written as the decimal it shows, so that it compares with money exactly.
        assert (float(found) if isinstance(value, float) else found) == value

    def test_an_instant_keeps_its_zone(self) -> None:
        at = dt.datetime(2025, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=5)))
        assert duckdb.execute(f"SELECT epoch_us({literal(at)})").fetchall() == [(int(at.timestamp() * 1_000_000),)]

    def test_what_has_no_literal_is_refused(self) -> None:
        with pytest.raises(TypeError, match="Pattern cannot be written as a SQL literal"):
            literal(re.compile("x"))

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
    @settings(max_examples=30)
    def test_a_quoted_identifier_is_one_name(self, name: str) -> None:
        assert duckdb.sql(f"SELECT 1 AS {quote(name)}").columns == [name]
