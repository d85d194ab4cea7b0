"""Verifying: recompute published partitions from their inputs and compare content hashes.

Belongs here: comparing. Does not belong here: publishing; nothing here writes to the lake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from assay.contracts import Cadence
from assay.contracts.rules import literal
from assay.engine.project import Node
from assay.lake.index import Entry, lost_partitions
from assay.lake.layout import partition_key
from assay.pipeline.build import chunks, compute
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.state import State
from assay.quality.proof import published_content


@dataclass(frozen=True)
class Compared:
    """A published partition, compared with the result of its current inputs.

    Attributes:
        partition: The partition.
        recorded: Content hash recorded at publication.
        published: Content hash of the rows in the lake.
        computed: Content hash of the rows computed from its inputs.
        is_current: Whether it was computed from its current inputs and code.
        remedy: The command that rebuilds it.
        is_gone: Whether its object is missing.
    """

    partition: str
    recorded: str
    published: str
    computed: str
    is_current: bool
    remedy: str
    is_gone: bool = False

    @property
    def is_same(self) -> bool:
        """Whether all hashes agree."""
        return not self.is_gone and self.recorded == self.published == self.computed

    @property
    def explanation(self) -> str:
        """Why they differ, and what to do, as far as known."""
        if self.is_gone:
            return f"its object is gone: somebody deleted it; `{self.remedy}` publishes it again"
        if self.recorded != self.published:
            return f"its rows differ from those published: the object was changed by hand; delete it and `{self.remedy}`"
        if not self.is_current:
            return f"inputs or code changed since it was published; `{self.remedy}` rebuilds it"
        return (
            "its inputs give other rows than before: the SQL is no pure function of its inputs, or reads more than semi_join says"
        )


def verify_table(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    *,
    newest: int | None = None,
    progress: Callable[[int], None] = lambda partitions: None,
) -> list[Compared]:
    """Recompute a table's published partitions.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        node: The table.
        newest: Only this many of the newest partitions; all when None.
        progress: Called with the number of partitions compared since the last call.

    Raises:
        StoreError: The lake cannot be read.
    """
    index = state.index(node.table.full_name)
    partitions = sorted(index)[-newest:] if newest else sorted(index)
    remedy = "assay run" if node.table.cadence is Cadence.AT_ONCE else "assay run --all"
    lost = lost_partitions(state.workspace.store, node.table)
    compared = [
        Compared(partition, entry.content, "", "", is_current=False, remedy=remedy, is_gone=True)
        for partition, entry in sorted(lost.items())
    ]
    for chunk in chunks(state, node, partitions):
        try:
            verdicts = compute(connection, state, node, chunk)
        except duckdb.Error as error:
            raise_if_not_about_data(error)
            raise
        for partition, verdict in verdicts.items():
            entry = index[partition]
            current = entry.code == node.code and entry.inputs == state.inputs_hash(node, partition)
            published = _published(connection, state, node, partition, entry)
            compared.append(Compared(partition, entry.content, published, verdict.content, current, remedy))
        progress(len(chunk))
    return compared


def _published(connection: duckdb.DuckDBPyConnection, state: State, node: Node, partition: str, entry: Entry) -> str:
    """Hash the rows in the lake; empty if they cannot be read as the table's."""
    path = state.workspace.store.path(partition_key(node.table, partition))
    try:
        rows = f"read_parquet({literal(path)}, hive_partitioning=false)"
        return published_content(connection, node.table, rows, entry.score)
    except duckdb.IOException as error:
        raise_if_not_about_data(error)
        return ""
    except duckdb.Error:
        return ""
