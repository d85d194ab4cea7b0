"""Restatements: what generated marts reported for a period before late or corrected rows changed it.

Belongs here: comparing a partition with the one it replaces, cell by cell, and storing the differences. Does not belong here:
deciding what is computed (`plan`), reading restatements (`query`, as `quality.restatements`).

Only periods that had been reported as complete are restated: those with a later period of the same mart published already; of a
mart by local days, those with data of a UTC day after all the UTC days that the period touches.

The cells are written before the partition is replaced, by each run to an object of its own. Of all the runs that want to replace
one version of a partition, one does: it removes what the others have kept of that version, and a run that loses the race removes
only its own object. While the version is still published, nothing kept of it counts as history: its run is going on, or was
killed.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from assay.contracts import Table
from assay.contracts.periods import holding
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.engine.relations import PARTITION
from assay.lake.index import Entry
from assay.lake.layout import partition_key, restatement_key, restatement_prefix, restatements_prefix
from assay.metrics.declarations import NEAR
from assay.metrics.exact import scale_of
from assay.metrics.marts import lattice_of
from assay.pipeline.publish import Candidate
from assay.pipeline.state import State
from assay.quality.flagging import PROVEN

_CELLS = "restated_cells"
"""The table of a mart's changing cells."""
_HOLD_THE_NEWEST = 2 * NEAR + 1
"""Of a mart by another calendar, so many of the newest periods hold all rows of the newest UTC day."""


@dataclass(frozen=True)
class _Restated:
    """A partition whose content is about to change.

    Attributes:
        partition: The partition.
        before: What is published now.
    """

    partition: str
    before: Entry


def keep_restatements(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, candidates: Sequence[Candidate], run_id: str
) -> dict[str, str]:
    """Keep the cells of complete periods that are about to change.

    Args:
        connection: A connection with `proven`.
        state: The lake's state before any of this is published.
        node: The table.
        candidates: Partitions that are about to be published.
        run_id: Names the run.

    Returns:
        The objects that were written, by partition; a partition without a changed cell has none.
    """
    metrics = _metrics(state, node)
    until = _complete_until(connection, state, node) if metrics else ""
    by_contract: dict[str, list[_Restated]] = {}
    for candidate in candidates:
        before = candidate.published
        if not metrics or before is None or before.content == candidate.verdict.content or candidate.partition >= until:
            continue
        by_contract.setdefault(before.contract, []).append(_Restated(candidate.partition, before))
    kept: dict[str, str] = {}
    for restated in by_contract.values():
        kept |= _keep(connection, state, node, restated, metrics, run_id)
    return kept


def settle_restatements(
    state: State, node: Node, candidates: Sequence[Candidate], kept: Mapping[str, str], published: Collection[str]
) -> None:
    """Remove stored changes that were not published: by this run, and by others for versions that this run has replaced.

    Args:
        state: The lake's state.
        node: The table.
        candidates: Partitions that were about to be published.
        kept: The objects that this run has written, by partition.
        published: The partitions that it has published.

    Raises:
        StoreError: The lake cannot be read or written.
    """
    store = state.workspace.store
    for partition, key in kept.items():
        if partition not in published:
            store.delete(key)
    replaced = {each.partition: each.published for each in candidates if each.partition in published and each.published}
    if not replaced or not _metrics(state, node):
        return
    versions = {restatement_prefix(node.table, partition, _version(before)) for partition, before in replaced.items()}
    own = set(kept.values())
    others = [info.key for info in store.list(restatements_prefix(node.table)) if info.key not in own]
    for key in others:
        if _prefix(key) in versions:
            store.delete(key)


def history_in(state: State, table: Table, keys: Iterable[str]) -> list[str]:
    """Of the restatement objects of a table, those whose partition was replaced since.

    Raises:
        StoreError: The lake cannot be read.
    """
    index = state.index(table.full_name)
    standing = {restatement_prefix(table, partition, _version(entry)) for partition, entry in index.items()}
    return [key for key in keys if _prefix(key) not in standing]


def _version(entry: Entry) -> str:
    """Identifies one publication of a partition: the same content may be published again later."""
    return fingerprint([entry.content, entry.published_at])


def _prefix(key: str) -> str:
    return key[: key.rindex("-") + 1]


def _metrics(state: State, node: Node) -> list[str]:
    """The metrics of a generated mart; empty for any other table."""
    domain = state.workspace.domain
    if node.table.full_name not in domain.generated:
        return []
    known = lattice_of(domain).catalog.metrics
    return [spec.name for spec in node.table.columns if spec.name in known]


def _complete_until(connection: duckdb.DuckDBPyConnection, state: State, node: Node) -> str:
    """The first period that was not complete, by what was published before: the newest of all, or by a calendar several."""
    newest = state.with_rows(node.table.full_name)[-_HOLD_THE_NEWEST:]
    if not node.table.is_local or not newest:
        return max(newest, default="")
    store = state.workspace.store
    paths = ", ".join(literal(store.path(partition_key(node.table, each))) for each in newest)
    found = connection.execute(
        f"SELECT max(newest_day) - {NEAR} FROM read_parquet([{paths}], hive_partitioning=false)"
    ).fetchone()
    day = found[0] if found is not None else None
    return "" if day is None else holding(node.table.grain, day.isoformat())


def _keep(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    restated: Sequence[_Restated],
    metrics: Sequence[str],
    run_id: str,
) -> dict[str, str]:
    """Keep the changed cells of partitions that were published under one contract, and so have the same columns."""
    store = state.workspace.store
    paths = ", ".join(literal(store.path(partition_key(node.table, each.partition))) for each in restated)
    old = f"read_parquet([{paths}], hive_partitioning=false)"
    there = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE SELECT * FROM {old}").fetchall()}
    compared = {name: there[name] for name in metrics if name in there}
    if not compared or not there.keys() >= set(node.table.key):
        return {}
    _compare(connection, node, restated, old, compared, run_id)
    changed = {str(day) for (day,) in connection.execute(f'SELECT DISTINCT "partition" FROM {_CELLS}').fetchall()}
    kept = {}
    local = state.workspace.scratch / f"{uuid.uuid4().hex}.parquet"
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        for each in restated:
            if each.partition not in changed:
                continue
            connection.execute(
                f'COPY (FROM {_CELLS} WHERE "partition" = DATE {literal(each.partition)} ORDER BY ALL) '
                f"TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)"
            )
            key = restatement_key(node.table, each.partition, _version(each.before), fingerprint(run_id))
            store.put(key, local)
            kept[each.partition] = key
    finally:
        local.unlink(missing_ok=True)
        connection.execute(f"DROP TABLE IF EXISTS {_CELLS}")
    return kept


def _compare(
    connection: duckdb.DuckDBPyConnection,
    node: Node,
    restated: Sequence[_Restated],
    old: str,
    compared: Mapping[str, str],
    run_id: str,
) -> None:
    """Write the cells that differ to a table, in one statement: for hundreds of columns planning takes longer than running.

    Args:
        connection: A connection with `proven`.
        node: The table.
        restated: Partitions that were published under one contract.
        old: What is published of them, as SQL.
        compared: The metrics, each with the type in which it is published.
        run_id: Names the run.
    """
    day = node.table.partition_column
    assert day is not None, "an unpartitioned table is never older than its newest partition"
    keys = [name for name in node.table.key if name != day]
    said = ", ".join(f"{literal(name)}, coalesce(new.{quote(name)}, old.{quote(name)})::VARCHAR" for name in keys)
    same = " AND ".join(f"new.{quote(name)} = old.{quote(name)}" for name in node.table.key)
    cells = ", ".join(
        f"{{'metric': {literal(name)}, 'before': {_before(name, kind, node.table.types[name])}, "
        f"'after': new.{quote(name)}::VARCHAR}}"
        for name, kind in compared.items()
    )
    hashes = [f"hash({', '.join(f'{side}.{quote(name)}' for name in compared)})" for side in ("new", "old")]
    partitions = ", ".join(literal(each.partition) for each in restated)
    reported = ", ".join(
        f"(DATE {literal(each.partition)}, TIMESTAMPTZ {literal(each.before.published_at)})" for each in restated
    )
    at = dt.datetime.now(dt.UTC).isoformat()
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_CELLS} AS "
        f'SELECT {literal(node.table.full_name)} AS table_name, day AS "partition", key, '
        "cell.metric AS metric, cell.before AS before, cell.after AS after, reported_at, "
        f"TIMESTAMPTZ {literal(at)} AS restated_at, seen_until, {literal(run_id)} AS run_id FROM ("
        f"SELECT coalesce(new.{quote(day)}, old.{quote(day)}) AS day, "
        f"{f'json_object({said})::VARCHAR' if keys else literal('{}')} AS key, unnest([{cells}]) AS cell "
        f"FROM (FROM {PROVEN} WHERE {PARTITION} IN ({partitions})) AS new FULL JOIN {old} AS old ON {same} "
        f"WHERE {hashes[0]} <> {hashes[1]}) "
        f"INNER JOIN (VALUES {reported}) AS reported(day, reported_at) USING (day) "
        f"LEFT JOIN (SELECT {quote(day)} AS day, max(ingestion_timestamp) AS seen_until FROM {old} GROUP BY 1) USING (day) "
        "WHERE cell.before IS DISTINCT FROM cell.after"
    )


def _before(name: str, old_type: str, new_type: str) -> str:
    """What was reported, as text: a number that is only told with more or fewer decimals since reads as it is told now."""
    before, after = f"old.{quote(name)}", f"new.{quote(name)}"
    old_places, new_places = scale_of(old_type), scale_of(new_type)
    if old_places is None or new_places is None or old_places == new_places:
        return f"{before}::VARCHAR"
    exact = f"DECIMAL(38,{max(old_places, new_places)})"
    is_same = f"TRY_CAST({before} AS {exact}) = TRY_CAST({after} AS {exact})"
    return f"CASE WHEN {is_same} THEN {after}::VARCHAR ELSE {before}::VARCHAR END"
