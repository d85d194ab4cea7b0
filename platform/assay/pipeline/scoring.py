"""The history of proofs: the results of every proof of a partition, stored in the lake.

Belongs here: writing and reading the rows of `quality.partition_scores` and `quality.rule_results`. Does not belong here: scoring
(`quality.scores`), merging the many small objects of frequent runs (`score_compaction`).

A proof is one row that includes the results of its rules, so that scores and results always match. The proofs of one run and
table are one object, written after the partitions are published and before the index is updated: a run that is killed in between
leaves published partitions that the index does not know, or marks as unscored, and the next run writes their rows from the
metadata of their objects. A row that is written twice has the same run and time, and is read once.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.contracts import Table
from assay.contracts.dimension import Dimension
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.lake.index import Entry
from assay.lake.layout import proofs_prefix, proofs_run_key
from assay.lake.store import ObjectStore
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.state import State
from assay.quality.books import Books, from_dict
from assay.quality.own_tables import PARTITION_SCORES, RULE_RESULTS, OwnTable
from assay.quality.proof import every_rule
from assay.quality.scores import RuleResult, Scores, results, scores_from_dict
from assay.quality.tally import counts_money

IDENTITY = ("table_name", "partition", "run_id", "proven_at")
"""The identity of a proof: rows that agree in these columns are one."""
_OF_PROOF = (*IDENTITY, "row_count")
_RESULT = pa.struct([field for field in RULE_RESULTS.schema if field.name not in _OF_PROOF])
PROOFS = PARTITION_SCORES.schema.append(pa.field("results", pa.list_(_RESULT)))
"""The stored columns of a proof."""
KEPT = (PARTITION_SCORES, RULE_RESULTS)
"""The tables that are read from proofs."""


def keep_proofs(store: ObjectStore, node: Node, outcomes: Sequence[Outcome], run_id: str, at: dt.datetime) -> None:
    """Store a run's proofs of a table's partitions.

    Args:
        store: The lake.
        node: The table.
        outcomes: The results for the partitions.
        run_id: The run.
        at: When they were proven, UTC; published ones have their own time.

    Raises:
        StoreError: The lake cannot be written.
    """
    if outcomes:
        _write(store, [_of_outcome(node.table, outcome, run_id, at) for outcome in outcomes])


def keep_missing_proofs(state: State, node: Node) -> None:
    """Store the missing proofs of published partitions, from the partitions' metadata.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    # An object put there by something other than Assay was never proven.
    missing = {
        partition: entry
        for partition, entry in state.index(node.table.full_name).items()
        if not entry.is_scored and entry.published_at
    }
    restore_proofs(state, node, missing)


def restore_proofs(state: State, node: Node, missing: Mapping[str, Entry]) -> None:
    """Store the proofs of some published partitions from their metadata, and record that they are stored."""
    if missing:
        _write(state.workspace.store, [_of_entry(node, partition, entry) for partition, entry in missing.items()])
        state.remember(node.table, {partition: replace(entry, is_scored=True) for partition, entry in missing.items()})


def keep_standing_proofs(state: State, node: Node, partitions: Collection[str], run_id: str, at: dt.datetime) -> None:
    """Keep that published partitions are what they were proven to be, whatever a later proof of other code or inputs has found.

    Args:
        state: The lake's state.
        node: The table.
        partitions: The partitions, which are made from the present code and inputs.
        run_id: The run that found it.
        at: When, UTC.

    Raises:
        StoreError: The lake cannot be written.
    """
    index = state.index(node.table.full_name)
    found = {"status": str(Status.UNCHANGED), "run_id": run_id, "proven_at": at}
    rows = [_of_entry(node, partition, index[partition]) | found for partition in sorted(partitions)]
    if rows:
        _write(state.workspace.store, rows)


def _of_outcome(table: Table, outcome: Outcome, run_id: str, at: dt.datetime) -> dict[str, Any]:
    entry = outcome.entry
    if outcome.status is Status.PUBLISHED and entry is not None:
        at = dt.datetime.fromisoformat(entry.published_at)
    # If the SQL failed on the data, nothing was judged.
    scores = outcome.scores if outcome.is_judged else None
    found = _row(table, outcome.partition, run_id, at, scores, outcome.books, outcome.results)
    is_balanced = scores is not None and outcome.books.balanced
    return found | {
        "status": str(outcome.status),
        "row_count": outcome.rows,
        "published": outcome.rows - outcome.quarantined,
        "quarantined": outcome.quarantined,
        "balanced": is_balanced,
        "contract": table.version,
    }


def _of_entry(node: Node, partition: str, entry: Entry) -> dict[str, Any]:
    # Older versions of Assay had only the score by rows.
    scores = scores_from_dict(entry.scores) if entry.scores else Scores(score=entry.score)
    at_risk = {rule: Decimal(money) for rule, money in entry.at_risk.items()}
    judged = results(every_rule(node), entry.rules, at_risk, entry.measures, entry.unmet)
    at, books = dt.datetime.fromisoformat(entry.published_at), from_dict(entry.books)
    found = _row(node.table, partition, entry.run_id, at, scores, books, judged)
    found |= {} if entry.scores else {"money": None, "money_at_risk": None}
    return found | {
        "status": str(Status.PUBLISHED),
        "row_count": entry.staged,
        "published": entry.rows,
        "quarantined": entry.staged - entry.rows,
        "contract": entry.contract,
    }


def _row(
    table: Table,
    partition: str,
    run_id: str,
    at: dt.datetime,
    scores: Scores | None,
    books: Books,
    judged: Iterable[RuleResult],
) -> dict[str, Any]:
    has_money = counts_money(table) and scores is not None
    found: dict[str, Any] = {
        "table_name": table.full_name,
        "partition": partition,
        "run_id": run_id,
        "proven_at": at,
        "score": scores.score if scores else None,
        "money_score": scores.money_score if scores else None,
        "money": scores.money if scores and has_money else None,
        "money_at_risk": scores.money_at_risk if scores and has_money else None,
        "balanced": books.balanced,
        "results": [_result(result, has_money) for result in judged],
    }
    return found | {str(dimension): scores.dimensions.get(dimension) if scores else None for dimension in Dimension}


def _result(result: RuleResult, has_money: bool) -> dict[str, Any]:
    return {
        "rule": result.rule.name,
        "dimension": str(result.rule.dimension),
        "severity": str(result.rule.severity),
        "owner": result.rule.owner,
        "broken": result.broken,
        "money_at_risk": result.money_at_risk if has_money else None,
        "measured": result.measured,
        "expected": result.rule.expected or None,
        "passed": result.passed,
    }


def _write(store: ObjectStore, rows: Sequence[Mapping[str, Any]]) -> None:
    proofs = pa.Table.from_pylist([dict(row) for row in rows], PROOFS)
    first = min(row["proven_at"] for row in rows)
    # The same proofs, written again, get the same object name.
    name = fingerprint([[str(row[column]) for column in IDENTITY] for row in rows])
    store.put(proofs_run_key(first, name), as_parquet(proofs))


def as_parquet(proofs: pa.Table) -> bytes:
    """Serialize proofs as an object of the lake."""
    written = io.BytesIO()
    pq.write_table(proofs, written, compression="zstd")
    return written.getvalue()


def proof_rows(store: ObjectStore, tables: Collection[str], own: OwnTable) -> str:
    """Write the query of `quality.partition_scores` or `quality.rule_results`.

    Args:
        store: The lake.
        tables: Full names of the requested tables.
        own: Which of the two.

    Raises:
        StoreError: The lake cannot be read.
    """
    paths = sorted(store.path(info.key) for info in store.list(proofs_prefix()))
    if not paths:
        nulls = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in own.types.items())
        return f"SELECT {nulls} WHERE false"
    listed = ", ".join(literal(path) for path in paths)
    wanted = ", ".join(literal(name) for name in tables)
    identity = ", ".join(IDENTITY)
    # Duplicate rows are found without reading the large columns.
    options = "union_by_name=true, hive_partitioning=false, filename=true, file_row_number=true"
    proofs = f"FROM read_parquet([{listed}], {options}) WHERE table_name IN ({wanted})"
    place = "{'filename': filename, 'number': file_row_number}"
    once = f"{proofs} AND {place} IN (SELECT min({place}) {proofs} GROUP BY {identity})"
    if own is PARTITION_SCORES:
        return f"SELECT {', '.join(quote(name) for name in own.types)} {once}"
    columns = ", ".join(quote(name) if name in _OF_PROOF else f"result.{quote(name)}" for name in own.types)
    return f"SELECT {columns} FROM (SELECT {', '.join(_OF_PROOF)}, unnest(results) AS result {once})"
