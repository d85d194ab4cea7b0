"""Expectations of whole partitions: measuring them and judging the measures.

Belongs here: aggregates computed in the scan of staged rows, and the verdict. Does not belong here: expectations of single rows
(`hits`), comparison with similar days (`drift`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from assay.contracts import Table
from assay.contracts.expectation import Expectation
from assay.contracts.expectations import ControlTotal, UniqueAcross
from assay.contracts.measured import Bounded, Drifting
from assay.contracts.rules import Rule, literal, quote
from assay.quality.around import Around
from assay.quality.drift import judge_drift
from assay.quality.hits import repeated_across

Figures = Mapping[str, Any]
"""Aggregates of one partition, by the names in `aggregates`."""


@dataclass(frozen=True)
class Judged:
    """The result of one expectation in one partition.

    Attributes:
        measured: The measured value, if there was anything to measure.
        unmet: Why it does not hold; empty where it holds.
    """

    measured: float | None = None
    unmet: str = ""


def partition_rules(table: Table) -> tuple[Rule, ...]:
    """The rules about whole partitions that a contract declares."""
    return tuple(each.rule(table.owner) for each in table.expectations.values() if not each.is_of_rows)


def aggregates(table: Table) -> dict[str, str]:
    """The aggregates over staged rows that a table's expectations need, by name."""
    wanted: dict[str, str] = {}
    for name, each in table.expectations.items():
        if isinstance(each, Bounded | Drifting):
            wanted[name] = each.measure.sql
        elif isinstance(each, ControlTotal):
            wanted |= {f"{name} {column}": f"sum({quote(column)})::DECIMAL(38,4)" for column in each.money}
    return wanted


def judge(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    partitions: Collection[str],
    rows: Mapping[str, int],
    figures: Mapping[str, Figures],
    around: Around,
) -> dict[str, dict[str, Judged]]:
    """Judge every expectation about partitions as a whole.

    Args:
        connection: A connection with `proven`.
        table: The table.
        partitions: The partitions being proven.
        rows: The number of their computed rows.
        figures: The values of `aggregates`; none for a partition without rows.
        around: The surroundings.

    Returns:
        The result of each rule, by partition.
    """
    judged: dict[str, dict[str, Judged]] = {partition: {} for partition in partitions}
    for name, each in table.expectations.items():
        if each.is_of_rows:
            continue
        for partition, found in _judge_one(connection, table, name, each, partitions, rows, figures, around).items():
            judged[partition][name] = found
    return judged


def _judge_one(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    name: str,
    each: Expectation,
    partitions: Collection[str],
    rows: Mapping[str, int],
    figures: Mapping[str, Figures],
    around: Around,
) -> dict[str, Judged]:
    if isinstance(each, UniqueAcross):
        repeated = repeated_across(connection, table, each, around)
        return {partition: _across(each, repeated.get(partition, 0)) for partition in partitions}
    if isinstance(each, ControlTotal):
        return {partition: _control(name, each, partition, rows, figures, table, around) for partition in partitions}
    empty = 0.0 if isinstance(each, Bounded | Drifting) and not each.own_columns else None
    measured = {partition: _number(figures.get(partition, {}).get(name, empty)) for partition in partitions}
    if isinstance(each, Drifting):
        said = judge_drift(each, measured, around.measured.get(name, {}), around.holidays)
        return {partition: Judged(measured[partition], said[partition]) for partition in partitions}
    assert isinstance(each, Bounded)
    return {partition: _bounded(each, figure) for partition, figure in measured.items()}


def _number(figure: Any) -> float | None:
    return None if figure is None else float(figure)


def _bounded(each: Bounded, figure: float | None) -> Judged:
    if figure is None or each.holds(figure):
        return Judged(figure)
    said = f"measured {each.measure.shown(figure)}, expected: {each.expected}"
    return Judged(figure, f"{said}; check the input, or correct the bound in the contract")


def _across(each: UniqueAcross, repeated: int) -> Judged:
    if not repeated:
        return Judged(0.0)
    said = f"measured {repeated:,} values that another partition has too, expected: {each.expected}"
    return Judged(float(repeated), f"{said}; find out which partition they belong to, and remove them from the other")


def _control(
    name: str,
    each: ControlTotal,
    partition: str,
    rows: Mapping[str, int],
    figures: Mapping[str, Figures],
    table: Table,
    around: Around,
) -> Judged:
    """The measure is the largest difference."""
    control = _totals(each, partition, table, around)
    if control is None:
        return Judged(None, f"{each.to} has nothing for {partition}; land its control, or remove the expectation")
    own = {"rows": Decimal(rows.get(partition, 0))} if each.rows else {}
    own |= {column: Decimal(figures.get(partition, {}).get(f"{name} {column}") or 0) for column in each.money}
    off = {what: own[what] - control[what] for what in own}
    wrong = {what: difference for what, difference in off.items() if abs(difference) > each.tolerance}
    said = "; ".join(f"{what}: {own[what]:,}, {each.to} has {control[what]:,} ({wrong[what]:+,})" for what in wrong)
    todo = "; find out which of the two is incomplete, and land the missing data"
    return Judged(float(max(off.values(), key=abs)), f"{said}{todo}" if wrong else "")


def _totals(each: ControlTotal, partition: str, table: Table, around: Around) -> dict[str, Decimal] | None:
    """The control's totals for a partition; None if it has none."""
    assert around.others is not None
    wanted = {"rows": each.rows, **each.money} if each.rows else dict(each.money)
    sums = ", ".join(f"sum(TRY_CAST({quote(str(theirs))} AS DECIMAL(38,4)))" for theirs in wanted.values())
    days = [(quote(theirs), table.types[mine]) for mine, theirs in each.on.items()]
    where = " AND ".join(f"TRY_CAST({theirs} AS {kind}) = {literal(partition)}::{kind}" for theirs, kind in days)
    found = around.others.execute(f"SELECT count(*), {sums} FROM {each.to} WHERE {where or 'true'}").fetchone()
    if found is None or not found[0]:
        return None
    return {what: Decimal(total or 0) for what, total in zip(wanted, found[1:], strict=True)}
