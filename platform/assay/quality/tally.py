"""The tally: rows, hashes and money of staged partitions, by the rules that rows break.

Belongs here: counting `staged` and `flagged`, in one scan each. Does not belong here: the verdict (`proof`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb

from assay.contracts import Table
from assay.contracts.rules import Rule, literal, quote
from assay.contracts.severity import Severity
from assay.engine.relations import PARTITION
from assay.engine.staging import STAGED
from assay.quality.flagging import FLAGGED, RULES_A_MASK, flag, masks

_WAS = "_was_"
"""Prefix of columns with a row's values from before fixes."""


@dataclass(frozen=True)
class Sums:
    """Sums over some rows.

    Attributes:
        rows: Their number.
        hashed: Sum of their hashes.
        accounted: Input rows that they account for.
        money: Sum of their money.
        absolute: Sum of their absolute money.
    """

    rows: int = 0
    hashed: int = 0
    accounted: int = 0
    money: Decimal = Decimal(0)
    absolute: Decimal = Decimal(0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.rows + other.rows,
            self.hashed + other.hashed,
            self.accounted + other.accounted,
            self.money + other.money,
            self.absolute + other.absolute,
        )

    def __sub__(self, other: Sums) -> Sums:
        negative = Sums(-other.rows, -other.hashed, -other.accounted, -other.money, -other.absolute)
        return self + negative


@dataclass(frozen=True)
class Tally:
    """The rows of one partition.

    Attributes:
        flawless: Rows that break no rule.
        broken: The other rows, after fixes, by the bits of the rules that they break.
        figures: Further aggregates over all rows as staged, by name.
    """

    flawless: Sums = field(default_factory=Sums)
    broken: Mapping[int, Sums] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def every(self) -> Sums:
        """Totals over all rows."""
        return self.without(0)

    def without(self, bits: int) -> Sums:
        """Totals over the rows that break none of the given rules."""
        return total((sums for broken, sums in self.broken.items() if not broken & bits), self.flawless)

    def breaking(self, bits: int) -> Sums:
        """Totals over the rows that break any of the given rules."""
        return total(sums for broken, sums in self.broken.items() if broken & bits)


def total(sums: Iterable[Sums], start: Sums | None = None) -> Sums:
    """Add up totals."""
    return sum(sums, start or Sums())


def tally(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rules: Sequence[Rule],
    partitions: Collection[str],
    aggregates: Mapping[str, str] | None = None,
) -> dict[str, Tally]:
    """Count staged rows by partition; creates `flagged` and `proven`.

    Args:
        connection: A connection with `staged`.
        table: Its table.
        rules: Every row rule.
        partitions: The partitions that were staged.
        aggregates: Further aggregates to compute in the same scan, by name.
    """
    has_fixes = any(rule.severity is Severity.FIX for rule in rules)
    measures = measures_of(table)
    was = {measure: f"{_WAS}{measure}" for measure in measures}
    any_flagged = flag(connection, rules, [f"{measures[each]} AS {name}" for each, name in was.items()] if has_fixes else [])
    figures: dict[str, dict[str, Any]] = {}
    staged = _counted(connection, STAGED, measures, [], partitions, aggregates, figures)
    if not any_flagged:
        return {partition: Tally(sums[0], {}, figures[partition]) for partition, sums in staged.items()}
    after = _counted(connection, FLAGGED, measures, masks(rules), partitions)
    before = _counted(connection, FLAGGED, was, [], partitions) if has_fixes else after
    return {
        partition: Tally(sums[0] - total(before.get(partition, {}).values()), after.get(partition, {}), figures[partition])
        for partition, sums in staged.items()
    }


def hash_of(table: Table) -> str:
    """Expression for the hash of a row of a table."""
    return f"hash({', '.join(quote(spec.name) for spec in table.columns)})"


def counts_money(table: Table) -> bool:
    """Whether a table's books include money."""
    return table.money is not None or (table.balance is not None and table.balance.money_out is not None)


def measures_of(table: Table) -> dict[str, str]:
    """Expressions over a row, by measure: `hashed`, and `accounted` and `money` unless every row has the same value."""
    measures = {"hashed": hash_of(table)}
    if table.balance is not None:
        measures["accounted"] = f"({table.balance.rows})"
    if table.balance is not None and table.balance.money_out is not None:
        measures["money"] = f"({table.balance.money_out})::DECIMAL(38,4)"
    elif table.money is not None:
        # Sums of decimals are exact, and sums of narrow ones ten times faster.
        is_exact = table.types[table.money].startswith("DECIMAL")
        measures["money"] = quote(table.money) if is_exact else f"{quote(table.money)}::DECIMAL(38,4)"
    return measures


def _counted(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    measures: Mapping[str, str],
    by: Sequence[str],
    partitions: Collection[str],
    aggregates: Mapping[str, str] | None = None,
    figures: dict[str, dict[str, Any]] | None = None,
) -> dict[str, dict[int, Sums]]:
    """Sums by partition and by the bits in further columns; `figures` collects the further aggregates by partition."""
    named = aggregates or {}
    hashed, accounted, money = (measures.get(name) for name in ("hashed", "accounted", "money"))
    # Grouping by a text that all rows share would cost as much as summing them.
    is_one = len(partitions) == 1
    partition = literal(next(iter(partitions))) if is_one else PARTITION
    groups = [*by] if is_one else [PARTITION, *by]
    sums = [
        "count(*)",
        f"sum({hashed})::HUGEINT",
        f"sum({accounted})::HUGEINT" if accounted else "count(*)",
        f"sum({money})::DECIMAL(38,4)" if money else "0",
        f"sum(abs({money}))::DECIMAL(38,4)" if money else "0",
    ]
    grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
    found: dict[str, dict[int, Sums]] = {}
    for row in connection.execute(
        f"SELECT {', '.join([partition, *by, *sums, *named.values()])} FROM {rows}{grouped}"
    ).fetchall():
        broken = sum(mask << RULES_A_MASK * place for place, mask in enumerate(row[1 : 1 + len(by)]))
        count, hashes, inputs, amount, absolute = row[1 + len(by) : 6 + len(by)]
        sums_of = Sums(count, int(hashes or 0), int(inputs or 0), Decimal(amount or 0), Decimal(absolute or 0))
        found.setdefault(str(row[0]), {})[broken] = sums_of
        if figures is not None:
            figures[str(row[0])] = dict(zip(named, row[6 + len(by) :], strict=True))
    return found
