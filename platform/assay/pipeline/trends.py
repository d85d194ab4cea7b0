"""The quality of tables, day by day: from the stored history of proofs, and from the index where there is none.

Belongs here: reading `quality.partition_scores` and `quality.rule_results`. Does not belong here: writing them, judging them
(`quality.report`).

The last proof of a partition counts. For a partition published before histories were stored, or a table whose history is lost,
the index has the results at publication.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from assay.contracts import WHOLE, Table
from assay.contracts.dimension import Dimension
from assay.contracts.rules import Rule, literal
from assay.contracts.severity import Severity
from assay.engine.project import Node
from assay.lake.index import Entry
from assay.pipeline.query import query
from assay.pipeline.state import State
from assay.quality.own_tables import PARTITION_SCORES, RULE_RESULTS
from assay.quality.proof import every_rule
from assay.quality.report import DIMENSIONS, RULE_DAYS, BrokenRule, Day
from assay.quality.scores import scores_from_dict

HISTORY = 400
"""Newest days of a table that are considered."""
_FAILED = "failed"
_FORGOTTEN = Rule("", "", Severity.QUARANTINE, (), "a rule that the contract no longer has", Dimension.VALIDITY)


def table_days(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime) -> dict[str, tuple[Day, ...]]:
    """The results of every partition's last proof, by full table name, oldest first.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        as_of: The time, UTC; later proofs and later days are left out.

    Raises:
        StoreError: The lake cannot be read.
    """
    proven: dict[str, dict[dt.date, Day]] = {}
    for name, day in _proven(connection, state, as_of):
        proven.setdefault(name, {})[day.day] = day
    found = {}
    for name, node in state.workspace.project.nodes.items():
        days = proven.get(name, {})
        if not days or node.table.partition_column is not None:
            missing = {partition: entry for partition, entry in state.index(name).items() if _day(partition) not in days}
            days = _indexed(missing, as_of) | days
        found[name] = tuple(days[day] for day in sorted(days)[-HISTORY:])
    return found


def _day(partition: str) -> dt.date | None:
    return None if partition == WHOLE else dt.date.fromisoformat(partition)


def _indexed(index: Mapping[str, Entry], as_of: dt.datetime) -> dict[dt.date, Day]:
    found = {}
    until, today = as_of.isoformat(), as_of.date().isoformat()
    for partition, entry in index.items():
        if not entry.published_at or entry.published_at > until or (partition != WHOLE and partition > today):
            continue
        day = _day(partition) or dt.date.fromisoformat(entry.published_at[:10])
        scores = scores_from_dict(entry.scores)
        found[day] = Day(
            day=day,
            rows=entry.staged,
            score=entry.score,
            quarantined=entry.staged - entry.rows,
            money_score=scores.money_score,
            money_at_risk=None if scores.money_score is None else scores.money_at_risk,
            dimensions=tuple(scores.dimensions.get(each) for each in DIMENSIONS) if entry.scores else (),
        )
    return found


def _proven(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime) -> Iterator[tuple[str, Day]]:
    of_day = f"CASE WHEN partition = {literal(WHOLE)} THEN proven_at::DATE ELSE TRY_CAST(partition AS DATE) END"
    rows = query(
        connection,
        state,
        f"SELECT table_name, {of_day} AS day, row_count, score, quarantined, status = {literal(_FAILED)}, "
        f"money_score, money_at_risk, {', '.join(DIMENSIONS)} FROM {PARTITION_SCORES.full_name} "
        f"WHERE proven_at <= {literal(as_of)} AND day <= {literal(as_of.date())} "
        "QUALIFY row_number() OVER (PARTITION BY table_name, day ORDER BY proven_at DESC, run_id DESC) = 1",
    ).fetchall()
    for name, day, judged, score, quarantined, failed, money_score, money, *dimensions in rows:
        yield name, Day(day, judged, score, quarantined, failed, money_score, money, tuple(dimensions))


def broken_rules(
    connection: duckdb.DuckDBPyConnection, state: State, days: Mapping[str, Sequence[Day]], as_of: dt.datetime
) -> list[BrokenRule]:
    """The rules that rows broke on the newest days of their tables, worst first.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        days: The result of `table_days`.
        as_of: The time, UTC; later proofs are left out.

    Raises:
        StoreError: The lake cannot be read.
    """
    newest = {name: each[-RULE_DAYS:] for name, each in days.items() if each}
    kept = _results(connection, state, newest, as_of)
    found = []
    for name, judged in newest.items():
        node = state.workspace.project.nodes[name]
        results = kept.get(name) or _indexed_results(node.table, state.index(name), judged)
        declared = _Declared(node)
        axis = [day.day for day in judged]
        rows = sum(day.rows for day in judged)
        found += [declared.broken(rule, result, axis, rows) for rule, result in results.items() if result.is_broken]
    counts = {"stop": 0, "quarantine": 0, "fix": 1, "warn": 2}
    return sorted(found, key=lambda each: (counts.get(each.severity, 0), -each.total, each.table, each.rule))


@dataclass(frozen=True)
class _Result:
    """The results of one rule of a table.

    Attributes:
        broken: Number of rows that broke it, by day.
        is_broken: Whether there are any, or it did not hold on some day.
        money: Absolute money of those rows.
        dimension: As recorded; empty for the contract's current one.
        severity: The same.
        owner: The same.
        note: The last message of a rule about a whole partition that did not hold.
    """

    broken: Mapping[dt.date, int]
    is_broken: bool
    money: Decimal | None = None
    dimension: str = ""
    severity: str = ""
    owner: str = ""
    note: str = ""


class _Declared:
    """What a table's contract declares about its rules."""

    def __init__(self, node: Node) -> None:
        self._table = node.table
        self._rules = {rule.name: rule for rule in every_rule(node)}
        self._unit = unit_of(node.table)

    def broken(self, rule: str, result: _Result, axis: Sequence[dt.date], rows: int) -> BrokenRule:
        """Combine what was declared and what was found."""
        declared = self._rules.get(rule) or _FORGOTTEN
        return BrokenRule(
            table=self._table.full_name,
            rule=rule,
            reason=declared.reason,
            dimension=result.dimension or str(declared.dimension),
            severity=result.severity or str(declared.severity),
            owner=result.owner or declared.owner or self._table.owner,
            unit=self._unit,
            rows=rows,
            broken=tuple((day, result.broken.get(day, 0)) for day in axis),
            money=result.money,
            note=result.note,
        )


def unit_of(table: Table) -> str:
    """Unit of the money in a table's books; empty if there is none, or currencies are mixed."""
    return next((spec.unit or "" for spec in table.columns if spec.name == table.money), "")


def _results(
    connection: duckdb.DuckDBPyConnection, state: State, newest: Mapping[str, Sequence[Day]], as_of: dt.datetime
) -> dict[str, dict[str, _Result]]:
    """The last recorded result of every rule and day, by table and rule."""
    if not newest:
        return {}
    # Days are texts in proofs, and `all` sorts after them: so only little of a long history is read.
    earliest = min(days[0].day for days in newest.values()).isoformat()
    first = ", ".join(f"({literal(name)}, {literal(days[0].day)})" for name, days in newest.items())
    of_day = f"CASE WHEN partition = {literal(WHOLE)} THEN proven_at::DATE ELSE TRY_CAST(partition AS DATE) END"
    rows = query(
        connection,
        state,
        f"""
WITH since(table_name, first_day) AS (VALUES {first}),
results AS (
  SELECT results.*, {of_day} AS day FROM {RULE_RESULTS.full_name} AS results JOIN since USING (table_name)
  WHERE partition >= {literal(earliest)} AND proven_at <= {literal(as_of)} AND day BETWEEN first_day AND {literal(as_of.date())}
),
-- Of the last proof of a day only: a rule that it does not have is no longer in the contract.
last AS (SELECT * FROM results QUALIFY rank() OVER (PARTITION BY table_name, day ORDER BY proven_at DESC, run_id DESC) = 1)
SELECT table_name, rule, sum(money_at_risk) AS money, arg_max(dimension, day) AS dimension, arg_max(severity, day) AS severity,
  arg_max(owner, day) AS owner, coalesce(arg_max(expected, day) FILTER (NOT passed), '') AS note,
  sum(broken) > 0 OR NOT bool_and(passed) AS is_broken, list(day) AS days, list(broken) AS counts
FROM last GROUP BY ALL ORDER BY ALL""",
    ).fetchall()
    found: dict[str, dict[str, _Result]] = {}
    for name, rule, money, dimension, severity, owner, note, is_broken, days, counts in rows:
        result = _Result(dict(zip(days, counts, strict=True)), is_broken, money, dimension, severity, owner, note)
        found.setdefault(name, {})[rule] = result
    return found


def _indexed_results(table: Table, index: Mapping[str, Entry], judged: Sequence[Day]) -> dict[str, _Result]:
    """The same from the index, which has the rules that did not hold."""
    found: dict[str, _Result] = {}
    for day in judged:
        entry = index.get(WHOLE if table.partition_column is None else day.day.isoformat())
        for rule in sorted({*entry.rules, *entry.unmet}) if entry else ():
            assert entry is not None
            before = found.get(rule, _Result({}, True))
            at_risk = entry.at_risk.get(rule)
            money = before.money if at_risk is None else Decimal(at_risk) + (before.money or 0)
            broken = {**before.broken, day.day: entry.rules.get(rule, 0)}
            found[rule] = _Result(broken, True, money, note=entry.unmet.get(rule, before.note))
    return found
