"""Verifying: recompute published partitions from their inputs and compare content hashes.

Belongs here: comparing. Does not belong here: publishing; nothing here writes to the lake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from assay.engine.project import Node
from assay.pipeline.build import chunks, compute, raise_if_not_about_data
from assay.pipeline.plan import inputs_hash
from assay.pipeline.state import State


@dataclass(frozen=True)
class Compared:
    """A published partition, held against what its inputs give now.

    Attributes:
        partition: The partition.
        published: Content hash of what is published.
        computed: Content hash of what its inputs give.
        is_current: Whether its inputs and code are still those that it was made from.
    """

    partition: str
    published: str
    computed: str
    is_current: bool

    @property
    def is_same(self) -> bool:
        """Whether both are the same rows."""
        return self.published == self.computed

    @property
    def explanation(self) -> str:
        """Why they differ, and what to do, as far as it can be told."""
        if not self.is_current:
            return "inputs or code changed since it was published; `assay run` rebuilds it"
        return "its inputs give other rows; the object was changed by hand, or the SQL is not a pure function of its inputs"


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
        progress: Told how many partitions were compared, as it goes.

    Raises:
        StoreError: The lake cannot be read.
    """
    index = state.index(node.table.full_name)
    partitions = sorted(index)[-newest:] if newest else sorted(index)
    compared = []
    for chunk in chunks(state, node, partitions):
        try:
            verdicts = compute(connection, state, node, chunk)
        except duckdb.Error as error:
            raise_if_not_about_data(error)
            raise
        for partition, verdict in verdicts.items():
            entry = index[partition]
            current = entry.code == node.code and entry.inputs == inputs_hash(state, node, partition)
            compared.append(Compared(partition, entry.content, verdict.content, current))
        progress(len(chunk))
    return compared
