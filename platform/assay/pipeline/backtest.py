"""Back-tests: what a monitoring rule would have found with other parameters.

Belongs here: computing a rule's alerts over history twice, with its own parameters and with others, and the difference. Does not
belong here: defining rules (`contracts.monitoring`), their SQL with other parameters (`engine.parameters`).

Nothing is published. Both sides are computed from the current rows in the lake, with the rules and checks of any table,
so that only the parameters can make a difference.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from assay.contracts import Domain, MonitoringRule
from assay.contracts.monitoring import MEASURED, WINDOW, Value
from assay.contracts.rules import quote
from assay.engine.parameters import window_of, with_values
from assay.engine.project import Node
from assay.errors import SettingsError, SqlError
from assay.nearest import suggestion
from assay.pipeline.build import chunks, compute
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.state import State
from assay.quality.flagging import PROVEN

_FOUND = "backtested"


@dataclass(frozen=True)
class Counts:
    """Numbers of alerts in some period.

    Attributes:
        now: With the rule's own parameters.
        then: With the other parameters.
        new: Only with the other parameters.
        gone: Only with the rule's own parameters.
        same: With both.
    """

    now: int = 0
    then: int = 0
    new: int = 0
    gone: int = 0
    same: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in ("now", "then", "new", "gone", "same")))


@dataclass(frozen=True)
class Difference:
    """An alert that only one side has.

    Attributes:
        alert: Its key, by column.
        measured: The measured value.
    """

    alert: Mapping[str, Any]
    measured: Any


@dataclass(frozen=True)
class Backtest:
    """The result of a back-test.

    Attributes:
        rule: The rule.
        values: The other parameters, complete.
        first: First computed day; None if there is none.
        last: Last day.
        days: Number of computed days.
        months: Numbers of alerts by the first day of the month; months without any are left out.
        new: Alerts that only the other parameters give.
        gone: Alerts that the other parameters no longer give.
    """

    rule: MonitoringRule
    values: Mapping[str, Value]
    first: str | None
    last: str | None
    days: int
    months: Mapping[str, Counts]
    new: tuple[Difference, ...]
    gone: tuple[Difference, ...]

    @property
    def total(self) -> Counts:
        """Numbers of alerts over all months."""
        return sum(self.months.values(), Counts())


def find_rule(domain: Domain, name: str) -> MonitoringRule:
    """Find a monitoring rule by name.

    Raises:
        SettingsError: There is no rule of that name.
    """
    for rule in domain.monitoring:
        if rule.name == name:
            return rule
    known = [rule.name for rule in domain.monitoring]
    raise SettingsError(
        f"There is no monitoring rule {name}.",
        hint=suggestion(name, known, "`assay monitoring list` shows all." if known else "The domain declares none."),
    )


def backtest(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    rule: MonitoringRule,
    values: Mapping[str, Value],
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Backtest:
    """Compute a rule's alerts with its own parameters and with others.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        rule: The rule.
        values: All parameters, as returned by `MonitoringRule.read`.
        since: First day of alerts; None for the first that exists.
        until: Last day of alerts; None for the last that exists.
        progress: Called with the number of finished days and of all days.

    Raises:
        SqlError: The SQL fails with these parameters.
        StoreError: The lake cannot be read.
    """
    own = state.workspace.project.nodes[rule.table]
    other = _with(own, rule, values)
    asked = [
        day
        for day in state.partitions(own)
        if (since is None or day >= since.isoformat()) and (until is None or day <= until.isoformat())
    ]
    key = ", ".join(quote(name) for name in own.table.key)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_FOUND} ({_columns(own)}, is_other BOOLEAN)")
    done = 0
    # The variant that reads more determines how much is read at once.
    for partitions in chunks(state, other, asked):
        for node in (own, other):
            try:
                compute(connection, state, node, partitions)
            except duckdb.Error as error:
                raise_if_not_about_data(error)
                raise SqlError(
                    f"{node.query.path}: it fails with these parameters: {str(error).splitlines()[0]}", hint="Give others."
                ) from error
            connection.execute(f"INSERT INTO {_FOUND} SELECT {key}, {MEASURED}, {node is other} FROM {PROVEN} WHERE NOT _broken")
        done += len(partitions)
        progress(done, len(asked))
    months = _months(connection, own)
    new, gone = (_only(connection, own, is_other) for is_other in (True, False))
    connection.execute(f"DROP TABLE {_FOUND}")
    return Backtest(rule, values, min(asked, default=None), max(asked, default=None), len(asked), months, new, gone)


def _with(node: Node, rule: MonitoringRule, values: Mapping[str, Value]) -> Node:
    """The rule's table with other parameters: its SQL, and how far it looks back."""
    days = values[WINDOW]
    assert isinstance(days, int)
    windows = {**node.table.windows, rule.reads: window_of(days)}
    return replace(node, query=with_values(node.query, values), table=replace(node.table, windows=windows))


def _columns(node: Node) -> str:
    return ", ".join(f"{quote(name)} {node.table.types[name]}" for name in (*node.table.key, MEASURED))


def _sides(node: Node) -> str:
    """The query of every alert, with whether each side has it."""
    key = ", ".join(quote(name) for name in node.table.key)
    return (
        f"SELECT {key}, bool_or(NOT is_other) AS is_now, bool_or(is_other) AS is_then, any_value({MEASURED}) AS {MEASURED} "
        f"FROM {_FOUND} GROUP BY ALL"
    )


def _months(connection: duckdb.DuckDBPyConnection, node: Node) -> dict[str, Counts]:
    found = connection.execute(
        f"SELECT date_trunc('month', {quote(str(node.table.partition_column))})::DATE::VARCHAR AS month, "
        "count(*) FILTER (is_now), count(*) FILTER (is_then), count(*) FILTER (NOT is_now), count(*) FILTER (NOT is_then), "
        f"count(*) FILTER (is_now AND is_then) FROM ({_sides(node)}) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {str(month): Counts(*counts) for month, *counts in found}


def _only(connection: duckdb.DuckDBPyConnection, node: Node, is_other: bool) -> tuple[Difference, ...]:
    key = node.table.key
    found = connection.execute(
        f"SELECT {', '.join(quote(name) for name in key)}, {MEASURED} FROM ({_sides(node)}) "
        f"WHERE NOT {'is_now' if is_other else 'is_then'} ORDER BY ALL"
    ).fetchall()
    return tuple(Difference(dict(zip(key, row, strict=False)), row[-1]) for row in found)
