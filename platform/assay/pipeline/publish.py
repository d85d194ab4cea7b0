"""Publishing: one conditional write per partition.

Belongs here: writing a proven partition, its quarantine and its index entry. Does not belong here: proving (`quality`).

The quarantine is written first, under a name derived from its inputs, so that a run that loses the race leaves nothing behind
that anyone reads. The existing object is replaced only if it is still the one that planning saw.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from assay.contracts import Table
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.engine.connection import one_thread_each
from assay.engine.project import Node
from assay.engine.relations import PARTITION
from assay.errors import Conflict, StoreError
from assay.lake.index import METADATA_KEY, Entry
from assay.lake.layout import partition_key, quarantine_key
from assay.pipeline.outcome import Status
from assay.pipeline.workspace import Workspace
from assay.quality.flagging import PROVEN
from assay.quality.proof import Verdict
from assay.quality.quarantine import write_quarantine

WRITERS = 4
"""Partitions written in parallel: one uploads while another is compressed."""
_ROW_GROUP = 122_880
"""Number of rows below which DuckDB does not use a second thread."""
_FEW_ROWS = 100
"""Number of rows below which zstd, with its start-up cost per column, compresses no better than snappy."""
# Higher levels take a third longer and save nothing; a larger dictionary takes longer than it saves. Version 2 encodings, which
# raw objects use, would be smaller still, but not every consumer of these objects can read them.
_ZSTD = "zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 10000"


@dataclass(frozen=True)
class Candidate:
    """A partition that passed its proof.

    Attributes:
        partition: The partition.
        verdict: The verdict of the proof.
        inputs: Hash of its inputs.
        lookups: Hashes of its lookups.
        published: The published version at planning.
    """

    partition: str
    verdict: Verdict
    inputs: str
    lookups: Mapping[str, Mapping[str, str]]
    published: Entry | None


def publish(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    node: Node,
    candidates: Sequence[Candidate],
    run_id: str,
) -> Iterator[tuple[Candidate, tuple[Status, Entry] | Conflict]]:
    """Publish partitions whose content changed.

    Args:
        connection: A connection with `proven` and `refused`.
        workspace: The lake.
        node: The table.
        candidates: Partitions that passed their proof.
        run_id: Names the run.

    Yields:
        The result for each: published, unchanged, or a conflict because another run was first.

    Raises:
        StoreError: The lake cannot be written, or the local disk is full.
    """
    at = dt.datetime.now(dt.UTC)

    def publish_one(candidate: Candidate) -> tuple[Status, Entry] | Conflict:
        cursor = connection.cursor()
        try:
            return _publish(cursor, workspace, node, candidate, run_id, at)
        except Conflict as conflict:
            return conflict
        except duckdb.Error as error:
            raise StoreError(
                f"{node.table.full_name} {candidate.partition} cannot be written: {error}",
                hint="Free space below ASSAY_HOME, then run again.",
            ) from error
        finally:
            cursor.close()

    are_small = len(candidates) > 1 and all(candidate.verdict.rows < _ROW_GROUP for candidate in candidates)
    with (
        one_thread_each(connection) if are_small else nullcontext(),
        ThreadPoolExecutor(WRITERS, thread_name_prefix="publish") as pool,
    ):
        yield from zip(candidates, pool.map(publish_one, candidates), strict=True)


def _publish(
    cursor: duckdb.DuckDBPyConnection, workspace: Workspace, node: Node, candidate: Candidate, run_id: str, at: dt.datetime
) -> tuple[Status, Entry]:
    entry = _entry(node, candidate, run_id, at)
    before = candidate.published
    if before is not None and (before.content, before.refused) == (entry.content, entry.refused):
        # The rows stay as they are; only the record of the inputs they were proven with is updated.
        proven_at = before.proven_at if before.inputs == entry.inputs else entry.published_at
        kept = replace(before, code=entry.code, inputs=entry.inputs, lookups=entry.lookups, books=entry.books)
        judged = replace(kept, rules=entry.rules, at_risk=entry.at_risk, scores=entry.scores)
        return Status.UNCHANGED, replace(judged, measures=entry.measures, unmet=entry.unmet, proven_at=proven_at)
    local = workspace.scratch / f"{uuid.uuid4().hex}.parquet"
    try:
        if entry.quarantine is not None:
            write_quarantine(cursor, candidate.partition, node.table.key, local)
            workspace.store.put(entry.quarantine, local)
        _write(cursor, node.table, candidate, entry, local)
        info = workspace.store.put(
            partition_key(node.table, candidate.partition),
            local,
            if_match=before.etag if before else None,
            if_absent=before is None,
        )
    finally:
        local.unlink(missing_ok=True)
    if before is not None and before.quarantine not in (None, entry.quarantine):
        workspace.store.delete(str(before.quarantine))
    return Status.PUBLISHED, replace(entry, etag=info.etag)


def _entry(node: Node, candidate: Candidate, run_id: str, at: dt.datetime) -> Entry:
    verdict = candidate.verdict
    # The name includes everything that determines it, so that it cannot replace the quarantine of the published version.
    made_from = fingerprint([node.code, candidate.inputs, candidate.lookups])
    refused = quarantine_key(node.table, candidate.partition, made_from) if verdict.quarantined else None
    return Entry(
        contract=node.table.version,
        code=node.code,
        inputs=candidate.inputs,
        lookups=candidate.lookups,
        content=verdict.content,
        refused=verdict.refused,
        rows=verdict.good,
        staged=verdict.rows,
        books=verdict.books.to_dict(),
        score=verdict.score,
        rules=verdict.broken,
        run_id=run_id,
        published_at=at.isoformat(),
        quarantine=refused,
        scores=verdict.scores.to_dict(),
        at_risk={name: str(money) for name, money in verdict.at_risk.items()},
        measures={result.rule.name: result.measured for result in verdict.results if result.measured is not None},
        unmet={result.rule.name: result.said for result in verdict.results if result.said},
    )


def _write(cursor: duckdb.DuckDBPyConnection, table: Table, candidate: Candidate, entry: Entry, to: Path) -> None:
    columns = ", ".join(quote(spec.name) for spec in table.columns)
    run = (
        f"TIMESTAMPTZ {literal(entry.published_at)} AS processing_timestamp, {literal(entry.run_id)} AS job_run_id, "
        f"{entry.score}::DOUBLE AS data_quality_score"
    )
    compression = "snappy" if entry.rows < _FEW_ROWS else _ZSTD
    good = "" if candidate.verdict.quarantined == 0 else " AND NOT _broken"
    metadata = f"KV_METADATA {{{METADATA_KEY}: {literal(entry.to_json())}}}"
    cursor.execute(
        f"COPY (SELECT {columns}, {run} FROM {PROVEN} WHERE {PARTITION} = {literal(candidate.partition)}{good}) "
        f"TO {literal(str(to))} (FORMAT parquet, COMPRESSION {compression}, {metadata})"
    )
