"""Upkeep of a lake: the one sequence of what keeps it fast to read, step by step, for whoever shows what was done.

Belongs here: the steps, their order and how they are put into words. Does not belong here: the steps themselves (`forgetting`,
`landing.upkeep.compaction`, `packing`, `score_compaction`, `restatement_objects`), when they are done (`orchestration`), showing
them (`cli`, `orchestration`).

Every step is safe beside anything else that runs, and a call that ends early leaves the rest to the next one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb

from assay.contracts import Source
from assay.landing.upkeep.compaction import GRACE, Compacted, compact
from assay.pipeline import restatement_objects, score_compaction
from assay.pipeline.forgetting import Forgotten, forget
from assay.pipeline.packing import Packed, pack
from assay.pipeline.restatement_objects import merge_restatements
from assay.pipeline.score_compaction import compact_proofs, restore_lost_proofs
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace

Result = Forgotten | Compacted | Packed | score_compaction.Merged | restatement_objects.Merged
"""What a step did."""


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        subject: What was looked after: a source or a table, by its full name, or a history.
        result: What was done.
        said: The same in words.
        is_idle: Whether there was nothing to do.
    """

    subject: str
    result: Result
    said: str
    is_idle: bool


def upkeep(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    sources: Collection[Source],
    *,
    sources_only: bool = False,
    grace: dt.timedelta = GRACE,
    most_rows: int | None = None,
) -> Iterator[Step]:
    """Forget what was deleted long enough ago, merge raw objects; then pack tables, and restore and merge the histories.

    Args:
        connection: DuckDB, with access to the lake.
        workspace: The domain on its lake.
        sources: The sources.
        sources_only: Leave out tables and histories.
        grace: How long replaced objects stay. Those of the history of proofs stay no longer than `score_compaction.GRACE`.
        most_rows: Rows of a source after which the rest is left to the next call; None for no limit.

    Yields:
        Every step as soon as it is done.

    Raises:
        StoreError: The lake cannot be read or written, or there is no room; what was done before stands.
    """
    for source in sources:
        yield from _keep_source(connection, workspace, source, grace, most_rows)
    if not sources_only:
        state = State(workspace)
        yield from _pack_tables(connection, state, grace)
        yield from _keep_histories(connection, state, grace)


def _keep_source(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, source: Source, grace: dt.timedelta, most_rows: int | None
) -> Iterator[Step]:
    store, scratch = workspace.store, workspace.scratch
    gone = forget(store, connection, source, scratch, dt.datetime.now(dt.UTC))
    yield Step(source.full_name, gone, gone.told, not gone.rows)
    merged = compact(store, connection, source, scratch, grace=grace, most_rows=most_rows)
    said = (
        f"{merged.objects:,} raw objects of {merged.rows:,} rows merged into {len(merged.merges):,}, {merged.removed:,} removed"
    )
    yield Step(source.full_name, merged, said, not (merged.merges or merged.removed))


def _pack_tables(connection: duckdb.DuckDBPyConnection, state: State, grace: dt.timedelta) -> Iterator[Step]:
    for name, node in state.workspace.project.nodes.items():
        packed = pack(connection, state, node, dt.datetime.now(dt.UTC), grace)
        said = f"{packed.months:,} months packed, {packed.removed:,} replaced packs removed"
        yield Step(name, packed, said, packed == Packed())


def _keep_histories(connection: duckdb.DuckDBPyConnection, state: State, grace: dt.timedelta) -> Iterator[Step]:
    restored = restore_lost_proofs(connection, state)
    proofs = compact_proofs(state.workspace.store, dt.datetime.now(dt.UTC), grace=min(grace, score_compaction.GRACE))
    said = f"{proofs.proofs:,} merged, {restored:,} of published partitions restored, {proofs.removed:,} objects removed"
    yield Step("history of proofs", proofs, said, not restored and proofs == score_compaction.Merged())
    merged = merge_restatements(connection, state, dt.datetime.now(dt.UTC), grace)
    said = f"{merged.objects:,} objects merged, {merged.removed:,} removed"
    yield Step("history of restatements", merged, said, merged == restatement_objects.Merged())
