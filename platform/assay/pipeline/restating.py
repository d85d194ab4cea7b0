"""Restatements: what generated marts said of a period before late or corrected rows made them say something else.

Belongs here: comparing a partition with the one that it replaces, cell by cell, and keeping what differs. Does not belong here:
deciding what is computed (`plan`), reading it back (`query`, as `quality.restatements`).

A period is restated that had been reported as complete: a later one of the same mart had been published before. What is kept is
written before the partition is replaced, under a name that both contents give, so that a run which is killed in between writes
the same again; a run that loses the race takes it back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

import duckdb

from assay.contracts.rules import literal, quote
from assay.engine.project import Node
from assay.engine.relations import PARTITION
from assay.lake.layout import partition_key, restatement_key
from assay.metrics.marts import lattice_of
from assay.pipeline.publish import Candidate
from assay.pipeline.state import State
from assay.quality.flagging import PROVEN


def keep_restatements(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, candidates: Sequence[Candidate], run_id: str
) -> dict[str, str]:
    """Keep the cells of complete periods that are about to change.

    Args:
        connection: Where `proven` is.
        state: The lake's state before anything of this is published.
        node: The table.
        candidates: Partitions that are about to be published.
        run_id: Names the run.

    Returns:
        The objects that were written, by partition.
    """
    metrics = _metrics(state, node)
    newest = max(state.index(node.table.full_name), default="")
    kept = {}
    for candidate in candidates:
        before = candidate.published
        if not metrics or before is None or before.content == candidate.verdict.content or candidate.partition >= newest:
            continue
        if key := _keep(connection, state, node, candidate, metrics, run_id):
            kept[candidate.partition] = key
    return kept


def take_back(state: State, kept: Mapping[str, str], published: set[str]) -> None:
    """Remove what was kept of partitions that were not replaced after all."""
    for partition, key in kept.items():
        if partition not in published:
            state.workspace.store.delete(key)


def _metrics(state: State, node: Node) -> list[str]:
    """The metrics of a generated mart; none of any other table."""
    domain = state.workspace.domain
    if node.table.full_name not in domain.generated or "member" in node.table.key:
        return []
    known = lattice_of(domain).catalog.metrics
    return [spec.name for spec in node.table.columns if spec.name in known]


def _keep(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, candidate: Candidate, metrics: Sequence[str], run_id: str
) -> str | None:
    before = candidate.published
    assert before is not None
    store = state.workspace.store
    old = f"read_parquet({literal(store.path(partition_key(node.table, candidate.partition)))}, hive_partitioning=false)"
    there = {str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {old}").fetchall()}
    compared = [name for name in metrics if name in there]
    if not compared or not set(node.table.key) <= there:
        return None
    keys = [name for name in node.table.key if name != node.table.partition_column]
    said = ", ".join(f"{literal(name)}, coalesce(new.{quote(name)}, old.{quote(name)})::VARCHAR" for name in keys)
    same = " AND ".join(f"new.{quote(name)} = old.{quote(name)}" for name in node.table.key)
    cells = ", ".join(
        f"{{'metric': {literal(name)}, 'before': old.{quote(name)}::VARCHAR, 'after': new.{quote(name)}::VARCHAR}}"
        for name in compared
    )
    hashes = [f"hash({', '.join(f'{side}.{quote(name)}' for name in compared)})" for side in ("new", "old")]
    at = dt.datetime.now(dt.UTC).isoformat()
    columns = {
        "table_name": literal(node.table.full_name),
        "partition": f"DATE {literal(candidate.partition)}",
        "key": "key",
        "metric": "cell.metric",
        "before": "cell.before",
        "after": "cell.after",
        "reported_at": f"TIMESTAMPTZ {literal(before.published_at)}",
        "restated_at": f"TIMESTAMPTZ {literal(at)}",
        "seen_until": f"(SELECT max(ingestion_timestamp) FROM {old})",
        "run_id": literal(run_id),
    }
    local = state.workspace.scratch / f"{uuid.uuid4().hex}.parquet"
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection.execute(
            f"COPY (SELECT {', '.join(f'{value} AS {quote(name)}' for name, value in columns.items())} FROM ("
            f"SELECT {f'json_object({said})::VARCHAR' if keys else literal('{}')} AS key, unnest([{cells}]) AS cell "
            f"FROM (FROM {PROVEN} WHERE {PARTITION} = {literal(candidate.partition)}) AS new FULL JOIN {old} AS old ON {same} "
            f"WHERE {hashes[0]} <> {hashes[1]}) WHERE cell.before IS DISTINCT FROM cell.after ORDER BY ALL) "
            f"TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)"
        )
        key = restatement_key(node.table, candidate.partition, before.content, candidate.verdict.content)
        store.put(key, local)
    finally:
        local.unlink(missing_ok=True)
    return key
