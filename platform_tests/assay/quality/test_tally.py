"""The tally: what the fast way counts is what looking at every row by itself counts, whatever rules there are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Contract, Count, Money, Severity, Table, Whole, column
from assay.contracts.rules import Rule
from assay.quality.flagging import FLAGGED, bits, breaks
from assay.quality.tally import Tally, tally


class Amounts(Contract):
    """A table."""

    number: Count = column("A number", nullable=True)
    amount: Money = column("Money", nullable=True)


TABLE = Table("enriched", "amounts", Amounts, ("number",), Whole(), "team:x", "x", money="amount")
Row = tuple[str, int | None, Decimal | None]
SEVERITIES = st.sampled_from([Severity.WARN, Severity.QUARANTINE, Severity.STOP])


def staged(rows: Sequence[Row]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE staged (_partition VARCHAR, number BIGINT, amount DECIMAL(18,2), _refused BOOLEAN DEFAULT false)"
    )
    for row in rows:
        connection.execute("INSERT INTO staged VALUES (?, ?, ?, false)", row)
    return connection


def rule(name: str, predicate: str, severity: Severity, *columns: str) -> Rule:
    return Rule(name, predicate, severity, columns, name)


def plain(found: Tally) -> tuple[int, Decimal, Decimal]:
    every = found.every
    return every.rows, every.money, every.absolute


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.none() | st.integers(-3, 3),
            st.none() | st.integers(-300, 300).map(lambda cents: Decimal(cents) / 100),
        ),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(-3, 3), SEVERITIES), max_size=5),
    st.booleans(),
)
def test_every_rule_counts_what_it_would_by_itself(rows, bounds: list[tuple[int, Severity]], has_fix: bool) -> None:
    rules = [rule(f"above_{place}", f"number > {bound}", severity, "number") for place, (bound, severity) in enumerate(bounds)]
    if has_fix:
        # What is fixed is null for the others, and its money is gone.
        rules += [rule("small", "number < 2", Severity.FIX, "number"), rule("cheap", "amount < 2", Severity.FIX, "amount")]
    connection = staged(rows)
    found = tally(connection, TABLE, rules, ["a", "b"])
    for partition in ("a", "b"):
        own = [row for row in rows if row[0] == partition]
        fixed = [
            (
                None if has_fix and number is not None and number >= 2 else number,
                None if has_fix and amount is not None and amount >= 2 else amount,
                has_fix and number is not None and number >= 2,
                has_fix and amount is not None and amount >= 2,
            )
            for _, number, amount in own
        ]
        counted = found.get(partition, Tally())
        money = [amount or Decimal(0) for _, amount, _, _ in fixed]
        assert plain(counted) == (len(own), sum(money, Decimal(0)), sum(map(abs, money), Decimal(0)))
        broken = [[number is not None and number <= bound for number, _, _, _ in fixed] for bound, _ in bounds]
        broken += [[row[2] for row in fixed], [row[3] for row in fixed]] if has_fix else []
        for place in range(len(rules)):
            rows_of = counted.breaking(1 << place)
            assert rows_of.rows == sum(broken[place])
            assert rows_of.absolute == sum((abs(m) for m, b in zip(money, broken[place], strict=True) if b), Decimal(0))
        flawless = sum(not any(of_row) for of_row in zip(*broken, strict=True)) if rules else len(own)
        assert counted.flawless.rows == flawless


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_there_may_be_any_number_of_rules(count: int) -> None:
    connection = staged([("a", place, Decimal(1)) for place in range(count)])
    rules = [rule(f"not_{place}", f"number <> {place}", Severity.QUARANTINE, "number") for place in range(count)]
    found = tally(connection, TABLE, rules, ["a"])["a"]
    assert [found.breaking(1 << place).rows for place in range(count)] == [1] * count
    assert found.flawless.rows == 0
    last = breaks(rules)[f"not_{count - 1}"]
    assert connection.execute(f"SELECT number FROM {FLAGGED} WHERE {last}").fetchall() == [(count - 1,)]


def test_what_is_published_stays_in_the_order_in_which_it_was_staged(tmp_path: Path) -> None:
    """A join with the broken rows would lose it, once there are enough rows for several threads."""
    connection = duckdb.connect(config={"threads": 4})
    connection.execute(
        "CREATE TABLE staged AS SELECT 'a' AS _partition, range AS number, false AS _refused FROM range(1_500_000)"
    )
    connection.execute("ALTER TABLE staged ADD COLUMN amount DECIMAL(18,2)")
    found = tally(connection, TABLE, [rule("odd", "number % 97 <> 0", Severity.QUARANTINE, "number")], ["a"])["a"]
    assert found.breaking(1).rows == 15_464
    written = tmp_path / "written.parquet"
    connection.execute(f"COPY (SELECT number FROM proven WHERE NOT _broken) TO '{written}' (FORMAT parquet)")
    numbers = pq.read_table(written)["number"].to_numpy()
    assert (numbers[1:] > numbers[:-1]).all()


def test_bits_are_in_the_order_of_rules() -> None:
    assert bits([True, False, True]) == 0b101
