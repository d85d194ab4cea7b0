"""Dagster's event log, kept open while a step records what it did.

Belongs here: what makes recording cheap. Does not belong here: what is recorded (`recording`).

Dagster opens its SQLite databases anew for every event, and again for what the event means to its asset or check. The last
connection to close makes SQLite write its log back into the database and remove it, with a wait for the disk each time: an event
costs twice as much as while another connection is there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg

_FOLDER = Path("history") / "runs"
_ALL_RUNS = "index"


@contextmanager
def kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep the databases open that events of a run are written to; an instance that has them elsewhere is left alone.

    Args:
        instance: Where the run is recorded.
        run_id: The run.
    """
    folder = Path(instance.root_directory) / _FOLDER
    with ExitStack() as stack:
        for name in (_ALL_RUNS, run_id):
            database = folder / f"{name}.db"
            if database.exists():
                connection = stack.enter_context(closing(sqlite3.connect(database)))
                # A connection does not count until it has read.
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
