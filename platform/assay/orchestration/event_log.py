"""Dagster's event log, kept open while a run is recorded.

Belongs here: what makes recording cheap. Does not belong here: what is recorded (`recording`).

Dagster opens its SQLite databases anew for every event, and twice more for what the event means to its asset or check: each time
its statements are compiled anew, and the disk is waited for. Kept open, an event costs a third, and a run of a thousand small
partitions half. A database that the disk was not waited for may lack the last events after a power cut, and is whole; what is
true of tables stands in the lake.

Dagster has no setting for this, so three methods of its storage are replaced while a run is recorded, on that object alone. Where
a storage has no such methods, as on PostgreSQL, nothing is replaced, and everything else is the same.
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
    """Keep the databases open that events are written to; an instance that has them elsewhere is left alone.

    Args:
        instance: Where runs are recorded.
    """
    storage: Any = instance.event_log_storage
    # What has one database for each run, and is not kept open already.
    if not hasattr(storage, "conn_string_for_shard") or "run_connection" in vars(storage):
        yield
        return
    with ExitStack() as stack:
        databases = _Databases(storage, stack)
        storage.run_connection = databases.connection
        storage.index_connection = lambda: databases.connection(_ALL_RUNS)
        # Dagster asks with every result of a check whether there are tables for those.
        storage.has_table = cache(storage.has_table)
        for name in ("run_connection", "index_connection", "has_table"):
            stack.callback(vars(storage).pop, name)
        yield


class _Databases:
    """Connections to the databases of a storage of events, each opened when it is first asked for.

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
        """A transaction in a database, as the storage's own methods give it."""
        with self._one_at_a_time:
            if name not in self._connections:
                self._connections[name] = self._open(name)
            with self._connections[name].begin():
                yield self._connections[name]

    def _open(self, name: str) -> Any:
        # Imported late: by now Dagster has done so, and what only loads definitions need not.
        from sqlalchemy import create_engine

        # The storage's own way, which creates the database if it is not there.
        with type(self._storage).run_connection(self._storage, name):
            pass
        arguments = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        engine = create_engine(self._storage.conn_string_for_shard(name), connect_args=arguments)
        self._stack.callback(engine.dispose)
        connection = self._stack.enter_context(engine.connect())
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        connection.rollback()
        return connection
