"""The freshness of sources and tables, compared with what their contracts allow.

Belongs here: when each last received something new. Does not belong here: alerting (`alerts`).

A source is as fresh as its newest batch of landing objects. A table is as fresh as its newest partition (none of the future's),
which counts as new when it was published, or when newer inputs were proven to give the same rows. So an old day that is corrected
by a late file does not make a table look fresh.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from assay.contracts import Source, Table
from assay.errors import ObjectMissing
from assay.lake.index import Entry
from assay.lake.ledger import entry_key
from assay.pipeline.state import State


@dataclass(frozen=True)
class Freshness:
    """The freshness of a source or table.

    Attributes:
        declared: The source or table.
        updated: When it last received something new, UTC; None if it has nothing.
        newest: Its newest partition; empty for a source, and if there is none.
    """

    declared: Source | Table
    updated: dt.datetime | None
    newest: str = ""

    def is_late(self, now: dt.datetime) -> bool:
        """Whether it is older than allowed; one that never had anything is not."""
        limit = self.declared.freshness
        return limit is not None and self.updated is not None and now - self.updated > limit


def freshness(state: State, now: dt.datetime) -> dict[str, Freshness]:
    """The freshness of every source and table, by full name, each after its inputs.

    Raises:
        StoreError: The lake cannot be read.
    """
    project = state.workspace.project
    found: dict[str, Freshness] = {
        source.full_name: Freshness(source, _ingested(state, source)) for source in project.domain.sources.values()
    }
    for name, node in project.nodes.items():
        found[name] = _of_table(node.table, state.index(name), now)
    return found


def late(state: State, now: dt.datetime) -> list[Freshness]:
    """The late sources and tables, except those that only wait for another late one.

    Raises:
        StoreError: The lake cannot be read.
    """
    every = freshness(state, now)
    behind = {name for name, found in every.items() if found.is_late(now)}
    project = state.workspace.project
    waiting = {name for name in behind if name in project.nodes and behind.intersection(project.upstream(name))}
    return [found for name, found in every.items() if name in behind - waiting]


def _ingested(state: State, source: Source) -> dt.datetime | None:
    for number, batch in reversed(list(enumerate(state.ledger(source.name).batches, start=1))):
        if batch.landed:
            try:
                return state.workspace.store.head(entry_key(source.name, number)).modified
            except ObjectMissing:
                return None
    return None


def _of_table(table: Table, index: Mapping[str, Entry], now: dt.datetime) -> Freshness:
    today = now.date().isoformat()
    past = [partition for partition in index if table.partition_column is None or partition <= today]
    if not past or not (updated := index[max(past)].proven_at or index[max(past)].published_at):
        return Freshness(table, None)
    return Freshness(table, dt.datetime.fromisoformat(updated), max(past))
