"""Publishing: one conditional write a partition.

Belongs here: writing a proven partition, its quarantine and what is said of it. Does not belong here: proving (`quality`).

The quarantine is written first, under a name that its inputs give, so that a run which loses the race leaves nothing behind that
anyone reads. The object that was there is replaced only if it is still the one that planning saw.
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
"""Partitions written at a time: one uploads while another is compressed."""
_ROW_GROUP = 122_880
"""Rows of which DuckDB gives a second thread nothing to do."""
_FEW_ROWS = 100
"""Rows that zstd, which is dear to begin for every column, does not make smaller than snappy does."""
# Higher levels take a third longer and save nothing; a dictionary of more values takes longer than it saves. Encodings of
# version 2, which raw objects have, would be smaller still, but not everybody who is given these objects reads them.
_ZSTD = "zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 10000"


@dataclass(frozen=True)
class Candidate:
    """A partition that passed its proof.

    Attributes:
        partition: The partition.
        verdict: What the proof said.
        inputs: Hash of what it was computed from.
        lookups: Hashes of what it looked up.
        published: What was published when it was planned.
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
        connection: Where `proven` and `refused` are.
        workspace: The lake.
        node: The table.
        candidates: Partitions that passed their proof.
        run_id: Names the run.

    Yields:
        What became of each: published, unchanged, or the conflict that says that somebody else was first.

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
        # The rows stand as they are; only the memory of what they were proven against moves on.
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
    # Named by all that decides it, so that it cannot replace the quarantine of what still stands.
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
