"""The lake data that a table's expectations use while it is proven.

Belongs here: binding what expectations read, in a database separate from the SQL's, and reading earlier measures.
Does not belong here: judging (`quality.expectations`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import duckdb

from assay.contracts.calendar import merged
from assay.contracts.expectations import UniqueAcross
from assay.contracts.measured import Drifting
from assay.engine.project import Node
from assay.engine.references import references
from assay.engine.relations import bind, create_layers
from assay.lake.rows import files_by_version
from assay.pipeline.lookups import bind_whole
from assay.pipeline.state import State
from assay.quality.around import Around

_ASIDE = "aside"


@contextmanager
def surroundings(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, partitions: Collection[str]
) -> Iterator[Around]:
    """Bind what a table's expectations read.

    Args:
        connection: The connection on which the table's SQL runs.
        state: The lake's state.
        node: The table.
        partitions: The partitions being proven.
    """
    drifting = [name for name, each in node.table.expectations.items() if isinstance(each, Drifting)]
    index = state.index(node.table.full_name) if drifting else {}
    measured = {name: {day: entry.measures[name] for day, entry in index.items() if name in entry.measures} for name in drifting}
    days = [*index, *partitions]
    holidays = merged(_holidays(state, min(days), max(days))) if drifting and days else {}
    across = [each for each in node.table.expectations.values() if isinstance(each, UniqueAcross)]
    if not references(node.table) and not across:
        yield Around(None, measured, holidays)
        return
    with aside(connection) as others:
        for relation, columns in _columns(node).items():
            bind_whole(others, state, relation, columns)
        if across:
            _bind_others(others, state, node, partitions)
        yield Around(others, measured, holidays)


@contextmanager
def aside(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor on a second database of the connection; relations bound there earlier are still bound."""
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_ASIDE}")
        cursor.execute(f"USE {_ASIDE}")
        create_layers(cursor)
        yield cursor


def _columns(node: Node) -> dict[str, tuple[str, ...]]:
    """The columns that expectations read, by relation."""
    found: dict[str, tuple[str, ...]] = {}
    for each in references(node.table).values():
        relation = str(each.relation)
        found[relation] = tuple(dict.fromkeys((*found.get(relation, ()), *each.their_columns)))
    return found


def _bind_others(others: duckdb.DuckDBPyConnection, state: State, node: Node, partitions: Collection[str]) -> None:
    """Bind the table's published partitions, except those being proven, under the table's own name."""
    name, store = node.table.full_name, state.workspace.store
    objects = [
        (each.version, store.path(each.key))
        for partition, found in state.available(name).items()
        if partition not in partitions
        for each in found
    ]
    bind(others, name, node.table, files_by_version(objects), [])


def _holidays(state: State, first: str, last: str) -> list[dict[dt.date, str]]:
    between = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return [calendar.between(*between) for calendar in state.workspace.domain.holidays.values()]
