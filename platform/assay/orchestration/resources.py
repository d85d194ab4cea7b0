"""The Dagster resource that gives a run access to the lake and the domain.

Belongs here: handing a workspace to assets and ops. Does not belong here: what they do with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb

from assay.errors import AssayError
from assay.landing.quarantine.replay import Replay
from assay.pipeline.outcome import Observer, Report, Unobserved
from assay.pipeline.reconciling import Reconciling
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.settings import read_settings


@dataclass
class Opened:
    """What the steps of a run work with.

    Attributes:
        workspace: The domain and the lake.
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        report: The run's report so far.
        observer: Observes the run's progress.
        error: The error that stopped it.
        replaying: By source, what a replay of its quarantine leaves alone; the quarantine of other sources is not read again.
        reconciling: The controls to reconcile, unless it is every control as declared.
    """

    workspace: Workspace
    connection: duckdb.DuckDBPyConnection
    state: State
    report: Report = field(default_factory=Report)
    observer: Observer = field(default_factory=Unobserved)
    error: AssayError | None = None
    replaying: Mapping[str, Replay] = field(default_factory=dict)
    reconciling: Reconciling | None = None


class Lake:
    """The lake in the environment's settings, or one that is already open. Nothing is opened before a step needs it.

    Args:
        opened: The opened lake to return; None to open it again for every step.
    """

    def __init__(self, opened: Opened | None = None) -> None:
        self._opened = opened

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Open the workspace for one step."""
        if self._opened is not None:
            yield self._opened
            return
        with session(read_settings()) as workspace, workspace.connection() as connection:
            yield Opened(workspace, connection, State(workspace))

    @contextmanager
    def open_workspace(self) -> Iterator[Workspace]:
        """Open the lake without a DuckDB connection: for metadata, or for a step that opens one of its own."""
        if self._opened is not None:
            yield self._opened.workspace
            return
        with session(read_settings()) as workspace:
            yield workspace
