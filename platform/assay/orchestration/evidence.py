"""What a check shows besides its verdict: counts, the trend, examples, and where the refused rows are.

Belongs here: metadata of check results. Does not belong here: the verdicts (`recording`).

Dagster's UI plots every number over the evaluations of a check, shows tables and texts as they are, and hides Markdown and JSON
behind a click (pictures in Markdown do not even then appear). So counts are numbers, and the trend over days is a line of text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

from assay.contracts import Table
from assay.contracts.rules import Rule
from assay.contracts.severity import Severity
from assay.lake.index import Entry
from assay.lake.store import ObjectStore
from assay.pipeline.outcome import Outcome, Status

TREND_DAYS = 30
"""Newest partitions that a trend covers."""
SHOWN = 10
"""Partitions and examples that a check shows."""
_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Draw values as a line of text.

    Args:
        values: The values.
        low: The value of the lowest bar.
        high: The value of the highest bar.
    """
    steps = len(_BARS) - 1
    # Any value above the lowest is visibly higher.
    return "".join(_BARS[0 if value <= low else max(1, round(steps * (value - low) / (high - low)))] for value in values)


def rule_evidence(
    store: ObjectStore, table: Table, rule: Rule, outcomes: Sequence[Outcome], index: Mapping[str, Entry]
) -> dict[str, Any]:
    """Metadata of a rule's check.

    Args:
        store: The lake.
        table: The table.
        rule: The rule.
        outcomes: The partitions that one run computed.
        index: The published partitions of the table.
    """
    computed = sum(outcome.rows for outcome in outcomes)
    broken = [(outcome, outcome.broken[rule.name]) for outcome in outcomes if outcome.broken.get(rule.name)]
    count = sum(rows for _, rows in broken)
    found: dict[str, Any] = {
        "rows": computed,
        "broken": count,
        "broken %": round(100 * count / computed, 4) if computed else 0.0,
        "broken in all partitions": sum(entry.rules.get(rule.name, 0) for entry in index.values()),
    }
    found |= {"expected": rule.expected} if rule.expected else {}
    found |= _unmet(rule.name, outcomes)
    measured = {
        outcome.partition: result.measured
        for outcome in outcomes
        for result in outcome.results
        if result.rule.name == rule.name and result.measured is not None
    }
    measures = {name: entry.measures[rule.name] for name, entry in index.items() if rule.name in entry.measures} | measured
    if measures:
        found |= {"measured": float(measured[max(measured)])} if measured else {}
        return found | _trend(table, measures, "measured", low=None)
    shares = {partition: _percent(entry.rules.get(rule.name, 0), entry.staged) for partition, entry in index.items()}
    shares |= {outcome.partition: _percent(outcome.broken.get(rule.name, 0), outcome.rows) for outcome in outcomes}
    found |= _trend(table, shares, "% broken")
    if broken:
        found["broken by partition"] = _by_partition(broken)
        found |= _examples(table, rule.name, outcomes)
        found |= _quarantine(store, table, rule, [outcome for outcome, _ in broken])
    return found


def score_evidence(table: Table, outcomes: Sequence[Outcome], index: Mapping[str, Entry]) -> dict[str, Any]:
    """Metadata of a table's quality score check: the lowest score among the partitions that one run computed, and the trend."""
    scores = {partition: entry.score for partition, entry in index.items() if entry.published_at}
    scores |= {outcome.partition: outcome.score for outcome in outcomes}
    found: dict[str, Any] = {"lowest score": float(min(outcome.score for outcome in outcomes)), "threshold": table.threshold}
    by_money = [outcome.scores.money_score for outcome in outcomes if outcome.scores.money_score is not None]
    if by_money:
        found["lowest score by money"] = float(min(by_money))
    return found | _trend(table, scores, "score", low=None, high=100.0)


def _percent(part: int, of: int) -> float:
    return 100 * part / of if of else 0.0


def _trend(
    table: Table, values: Mapping[str, float], what: str, low: float | None = 0.0, high: float | None = None
) -> dict[str, Any]:
    """The newest days as a line of text, with the lowest and highest in words."""
    days = sorted(values)[-TREND_DAYS:]
    if table.partition_column is None or not days:
        return {}
    shown = [values[day] for day in days]
    least, most = min(days, key=lambda day: values[day]), max(days, key=lambda day: values[day])
    line = sparkline(shown, min(shown) if low is None else low, max(shown) if high is None else high)
    said = f"{what} by day, {days[0]} to {days[-1]}; lowest {values[least]:.4g} on {least}, highest {values[most]:.4g} on {most}"
    return {f"trend of {len(days)} days": f"{line}  {said}"}


def _unmet(rule: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    records = [
        dg.TableRecord({"partition": outcome.partition, "why": result.said})
        for outcome in outcomes
        for result in outcome.results
        if result.rule.name == rule and result.said
    ]
    return {"unmet": dg.MetadataValue.table(records[:SHOWN])} if records else {}


def _by_partition(broken: Sequence[tuple[Outcome, int]]) -> dg.MetadataValue:
    worst = sorted(broken, key=lambda each: (-each[1], each[0].partition))[:SHOWN]
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "partition": outcome.partition,
                    "broken": rows,
                    "rows": outcome.rows,
                    "%": round(_percent(rows, outcome.rows), 4),
                    "status": str(outcome.status),
                }
            )
            for outcome, rows in worst
        ]
    )


def _examples(table: Table, rule: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    # Permission to look at a run is not permission to see personal data. Keys stay: without them no row could be found.
    hidden = {spec.name for spec in table.columns if spec.pii not in (None, "identifier")}
    examples = [example for outcome in outcomes for example in outcome.examples if example.rule == rule][:SHOWN]
    records = [
        dg.TableRecord({"partition": example.partition, "key": _said(example.key), "values": _said(example.values, hidden)})
        for example in examples
    ]
    return {"examples": dg.MetadataValue.table(records)} if records else {}


def _said(values: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    shown = {name: "null" if value is None else "•••" if name in hidden else value for name, value in values.items()}
    return ", ".join(f"{name} = {value}" for name, value in shown.items())


def _quarantine(store: ObjectStore, table: Table, rule: Rule, broken: Sequence[Outcome]) -> dict[str, Any]:
    """Where the refused rows are. Those of a failed partition are kept nowhere, because it will be computed again."""
    if rule.severity is not Severity.QUARANTINE:
        return {}
    kept = [outcome for outcome in broken if outcome.status is not Status.FAILED and outcome.entry and outcome.entry.quarantine]
    if not kept:
        return {}
    one = f" --partition {kept[0].partition}" if len(kept) == 1 and table.partition_column is not None else ""
    keys = [store.path(str(outcome.entry.quarantine)) for outcome in kept if outcome.entry]
    found: dict[str, Any] = {
        "quarantine": dg.MetadataValue.path(keys[0]),
        "show them": f"assay quarantine show {table.full_name} --rule {rule.name}{one}",
        "replay them": f"assay quarantine replay {table.full_name}",
    }
    return found | ({"all of quarantine": dg.MetadataValue.json(keys[:SHOWN])} if len(keys) > 1 else {})
