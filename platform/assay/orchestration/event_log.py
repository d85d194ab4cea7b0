"""Dagster's event log, kept open while a run is recorded.

Belongs here: making recording cheap. Does not belong here: what is recorded (`recording`).

Dagster reopens its SQLite databases for every event, and twice more to update the event's asset or check: each time its
statements are compiled again, and it waits for the disk. With the databases kept open, an event costs a third, and a run of a
thousand small partitions half. A database that did not wait for the disk may lack the last events after a power cut, but is
intact; the truth about tables is in the lake.

Dagster has no setting for this, so three methods of its storage are replaced while a run is recorded, on that object alone. If
a storage has no such methods, as with PostgreSQL, nothing is replaced, and everything else is the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import dagster as dg

_ALL_RUNS = "index"
_BUSY_SECONDS = 60


@contextmanager
def kept_open(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keep the databases that events are written to open; an instance that stores events elsewhere is left alone.

    Args:
        instance: The instance in which runs are recorded.
    """
    storage: Any = instance.event_log_storage
    # Only a storage with one database per run, unless it is already kept open.
    if not hasattr(storage, "conn_string_for_shard") or "run_connection" in vars(storage):
        yield
        return
    with ExitStack() as stack:
        databases = _Databases(storage, stack)
        storage.run_connection = databases.connection
        storage.index_connection = lambda: databases.connection(_ALL_RUNS)
        # With every check result, Dagster asks whether the tables for them exist.
        storage.has_table = cache(storage.has_table)
        for name in ("run_connection", "index_connection", "has_table"):
            stack.callback(vars(storage).pop, name)
        yield


class _Databases:
    """Connections to the databases of an event storage, each opened on first use.

    Args:
        storage: Dagster's storage.
        stack: Closes them.
    """

    def __init__(self, storage: Any, stack: ExitStack) -> None:
        self._storage = storage
        self._stack = stack
        self._connections: dict[str, Any] = {}
        # One thread may have a transaction in both databases.
        self._one_at_a_time = threading.RLock()

    @contextmanager
    def connection(self, name: str) -> Iterator[Any]:
        """A transaction in a database, like those of the storage's own methods."""
        with self._one_at_a_time:
            if name not in self._connections:
                self._connections[name] = self._open(name)
            with self._connections[name].begin():
                yield self._connections[name]

    def _open(self, name: str) -> Any:
        # Imported late: by now Dagster has imported it; merely loading definitions does not need it.
        from sqlalchemy import create_engine

        # The storage's own method creates the database if it does not exist.
        with type(self._storage).run_connection(self._storage, name):
            pass
        arguments = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        engine = create_engine(self._storage.conn_string_for_shard(name), connect_args=arguments)
        self._stack.callback(engine.dispose)
        connection = self._stack.enter_context(engine.connect())
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        connection.rollback()
        return connection
