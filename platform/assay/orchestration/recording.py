"""What is recorded of a run: materializations and check results, derived from outcomes.

Belongs here: turning outcomes into Dagster events and their metadata. Does not belong here: metadata that does not change from
run to run (`metadata`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from assay.contracts import Table
from assay.contracts.rules import Rule
from assay.contracts.severity import Severity
from assay.engine.project import Node
from assay.lake.layout import partition_key, raw_prefix
from assay.lake.store import ObjectStore
from assay.landing.ingest import Ingested
from assay.orchestration.evidence import SHOWN, rule_evidence, score_evidence
from assay.orchestration.metadata import asset_key
from assay.pipeline.failures import read_failures
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.scoring import KEPT
from assay.pipeline.state import State
from assay.pipeline.watching import Watched
from assay.quality.books import Books
from assay.quality.keys import KEY_RULE
from assay.quality.proof import every_rule
from assay.quality.scores import RuleResult

DATA_VERSION_TAG = "dagster/data_version"
BOOKS_CHECK = "books_balanced"
SCORE_CHECK = "quality_threshold"
PROOF_CHECK = "every_partition_proven"
"""The check that shows at a glance whether a table is sound: it fails as long as any partition's last proof has failed, whichever
partitions a run computed. So it must not block: it would stop runs of other partitions."""
ANOMALY_CHECK = "no_anomalies"
ANOMALY_DAYS = 7
"""Complete days that the anomaly check covers: it passes again after a week without anomalies."""


def check_specs(node: Node) -> list[dg.AssetCheckSpec]:
    """The asset checks of a table: one per rule, and those that every table has."""
    key = asset_key(node.table.full_name)
    rules = [
        dg.AssetCheckSpec(
            rule.name,
            asset=key,
            description=f"{rule.reason} ({rule.severity})",
            blocking=rule.severity is Severity.STOP,
            metadata={
                "predicate": rule.expected or rule.predicate,
                "severity": str(rule.severity),
                "dimension": str(rule.dimension),
                "owner": rule.owner,
            },
        )
        for rule in _checked(node)
    ]
    return [
        *rules,
        dg.AssetCheckSpec(KEY_RULE, asset=key, description=f"No two rows share one {', '.join(node.table.key)}", blocking=True),
        dg.AssetCheckSpec(BOOKS_CHECK, asset=key, description="Every row and amount is accounted for", blocking=True),
        dg.AssetCheckSpec(
            SCORE_CHECK, asset=key, description=f"The quality score is at least {node.table.threshold:g}", blocking=True
        ),
        dg.AssetCheckSpec(PROOF_CHECK, asset=key, description="The last proof of every partition held, whichever run made it"),
        *_anomaly_specs(node),
    ]


def source_materializations(store: ObjectStore, done: Ingested) -> Iterator[dg.AssetMaterialization]:
    """One event for every raw partition that received new events."""
    rows: dict[str, int] = {}
    for batch in (*done.batches, *([done.placement] if done.placement else [])):
        for part in batch.parts:
            rows[part.partition] = rows.get(part.partition, 0) + part.rows
    is_daily = done.source.partition_column is not None
    for partition in done.partitions:
        yield dg.AssetMaterialization(
            asset_key(done.source.full_name),
            partition=partition if is_daily else None,
            metadata={
                "new events": rows.get(partition, 0),
                "batches": len(done.batches),
                "location": store.path(raw_prefix(done.source.name).rstrip("/")),
            },
        )


def source_metadata_of(done: Ingested) -> dict[str, Any]:
    """Metadata of one ingest as a whole."""
    return {
        "records": done.records,
        "quarantined records": done.quarantined,
        "landing objects": sum(len(batch.landed) for batch in done.batches),
        "warnings": dg.MetadataValue.md("\n".join(f"- {warning}" for warning in done.warnings) or "none"),
    }


def outcome_metadata(store: ObjectStore, node: Node, outcome: Outcome) -> dict[str, Any]:
    """Metadata of one published partition."""
    entry = outcome.entry
    found: dict[str, Any] = {
        "status": str(outcome.status),
        "quality score": outcome.score,
        "books": dg.MetadataValue.json(outcome.books.to_dict()),
    }
    if entry is not None:
        key = "dagster/row_count" if node.table.partition_column is None else "dagster/partition_row_count"
        found |= {
            key: entry.rows,
            "location": store.path(partition_key(node.table, outcome.partition)),
            "content hash": entry.content,
            "inputs hash": entry.inputs,
            "code version": entry.code,
        }
        if entry.quarantine:
            found["quarantine"] = store.path(entry.quarantine)
    return found


def materialization(store: ObjectStore, node: Node, outcome: Outcome) -> dg.AssetMaterialization:
    """The event of publishing a partition."""
    assert outcome.entry is not None
    return dg.AssetMaterialization(
        asset_key(outcome.table),
        partition=None if node.table.partition_column is None else outcome.partition,
        metadata=outcome_metadata(store, node, outcome),
        tags={DATA_VERSION_TAG: outcome.entry.content},
    )


def check_results(state: State, node: Node, outcomes: Sequence[Outcome]) -> Iterator[dg.AssetCheckResult]:
    """The result of every check of a table over the partitions that one run computed.

    A partition whose SQL failed has no rows to check, and only `PROOF_CHECK` fails for it: if there are no others, every other
    check keeps its earlier result, for to pass without having looked at a row would be wrong. Its step fails in any case, so that
    nothing downstream of it runs.
    """
    if not outcomes:
        return
    if judged := [outcome for outcome in outcomes if outcome.is_judged]:
        yield from _judged_results(state, node, judged)
    yield proof_result(state.workspace.store, node.table)


def _judged_results(state: State, node: Node, outcomes: Sequence[Outcome]) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of rows."""
    key = asset_key(node.table.full_name)
    store, index = state.workspace.store, state.index(node.table.full_name)
    for rule in _checked(node):
        stops = rule.severity is Severity.STOP
        results = [result for outcome in outcomes for result in outcome.results if result.rule.name == rule.name]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=rule.name,
            passed=all(result.passed for result in results),
            severity=dg.AssetCheckSeverity.ERROR if stops else dg.AssetCheckSeverity.WARN,
            description=_said(results, sum(outcome.rows for outcome in outcomes)),
            metadata=rule_evidence(store, node.table, rule, outcomes, index),
        )
    yield _verdict(key, KEY_RULE, {o.partition: str(o.broken[KEY_RULE]) for o in outcomes if KEY_RULE in o.broken})
    yield _verdict(key, BOOKS_CHECK, {o.partition: _missing(o.books) for o in outcomes if not o.books.balanced})
    too_low = {o.partition: f"{o.score:g}" for o in outcomes if not node.table.is_good_enough(o.rows, o.score)}
    yield _verdict(key, SCORE_CHECK, too_low, score_evidence(node.table, outcomes, index))


def proof_result(store: ObjectStore, table: Table) -> dg.AssetCheckResult:
    """The result of the check that no partition of a table failed its last proof, whichever run made it."""
    standing = sorted(read_failures(store, table).items())
    return _verdict(asset_key(table.full_name), PROOF_CHECK, {name: "; ".join(failure.reasons) for name, failure in standing})


def proof_materializations(outcomes: Sequence[Outcome]) -> Iterator[dg.AssetMaterialization]:
    """One event for each table of the history of proofs, when something was proven."""
    if outcomes:
        for own in KEPT:
            yield dg.AssetMaterialization(asset_key(own.full_name), metadata={"proofs": len(outcomes)})


def anomaly_result(watched: Watched) -> dg.AssetCheckResult:
    """The result of the check that the last complete days are free of anomalies."""
    recent = watched.recent(ANOMALY_DAYS)
    by_day: dict[str, list[str]] = {}
    for anomaly in recent:
        by_day.setdefault(anomaly.day.isoformat(), []).append(anomaly.text)
    return dg.AssetCheckResult(
        asset_key=asset_key(watched.table.full_name),
        check_name=ANOMALY_CHECK,
        passed=not recent,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(recent)} anomalies on {len(by_day)} of the {ANOMALY_DAYS} days up to {watched.until}",
        metadata={"anomalies": dg.MetadataValue.json(by_day), "complete until": watched.until.isoformat()},
    )


def evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """A check result as an event that an op may log."""
    assert result.asset_key is not None and result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def failure_text(outcomes: Sequence[Outcome]) -> str:
    """Which partitions failed and why, one per line; empty when none did."""
    return "\n".join(
        f"{outcome.table} {outcome.partition}: {'; '.join(outcome.problems)}"
        for outcome in outcomes
        if outcome.status is Status.FAILED
    )


def _anomaly_specs(node: Node) -> list[dg.AssetCheckSpec]:
    watch = node.table.watched
    if watch is None:
        return []
    said = (
        f"No figure of the last {ANOMALY_DAYS} complete days is {watch.score:g} robust standard deviations and "
        f"{watch.change:.0%} from those of similar days"
    )
    return [dg.AssetCheckSpec(ANOMALY_CHECK, asset=asset_key(node.table.full_name), description=said)]


def _checked(node: Node) -> tuple[Rule, ...]:
    """All rules of a table but the uniqueness of its key, whose check every table has in the same way."""
    return tuple(rule for rule in every_rule(node) if rule.name != KEY_RULE)


def _said(results: Sequence[RuleResult], rows: int) -> str:
    """The result of a rule, in words: about rows, or about partitions where no single row is to blame."""
    broken = sum(result.broken for result in results)
    unmet = [result.said for result in results if result.said]
    if not unmet:
        return f"{broken:,} of {rows:,} rows broke it"
    return unmet[0] + (f" (and {len(unmet) - 1} more partitions)" if len(unmet) > 1 else "")


def _missing(books: Books) -> str:
    return f"{int(books.rows.difference):,} rows and {books.money.difference} of money are unaccounted for"


def _verdict(
    key: dg.AssetKey, name: str, failing: dict[str, str], evidence: Mapping[str, Any] | None = None
) -> dg.AssetCheckResult:
    records = [dg.TableRecord({"partition": partition, "why": why}) for partition, why in list(failing.items())[:SHOWN]]
    shown = {"failing": dg.MetadataValue.table(records)} if records else {}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not failing,
        description=f"{len(failing)} partitions fail" if failing else "holds",
        metadata={"failing partitions": len(failing), **shown, **(evidence or {})},
    )
