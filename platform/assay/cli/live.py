"""The live demo: a working database, captured changes, and tables that follow; `assay demo --live`.

Belongs here: starting and stopping the parts together, the live view, the reconciliation at the end. Does not belong here: the
parts (`capture`, `serve`, the domain).
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Grid

from assay.capture.debezium import Capture, LakeAccess, Landed
from assay.capture.lag import LagMeter
from assay.capture.postgres import Database, EmbeddedPostgres
from assay.capture.reconcile import Comparison, compare
from assay.cli.serve import Children
from assay.contracts.domain import LiveSystem
from assay.errors import AssayError, ServerError, StoreError
from assay.lake.index import read_index
from assay.lake.layout import demo_key
from assay.lake.ledger import LedgerLog
from assay.lake.server import EmbeddedS3
from assay.orchestration.in_process import run_refresh
from assay.orchestration.instance import prepare_instance
from assay.pipeline.outcome import Unobserved
from assay.pipeline.query import query
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.settings import Settings

_DAEMON = {
    # A user is watching: the landing sensor checks as often as Dagster's daemon allows.
    "ASSAY_SENSE_SECONDS": "5",
    # Write the events of one run to the instance in batches.
    "DAGSTER_EVENT_BATCH_SIZE": "100",
}
"""Environment of the daemon and its runs, on top of the usual one."""
_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 180.0
_LAST_SECONDS = 120.0


@dataclass
class Result:
    """The result of a live demo.

    Attributes:
        changes: Row changes committed during the demo.
        seconds: Its duration.
        landed: Records captured, including those of the snapshot.
        restarts: How often the capture process had to be restarted.
        lag: By table, how long changes took to reach it.
        tables: Each captured table compared with its copy in the lake.
        totals: By table derived from them, the database's result and the lake's.
    """

    changes: int
    seconds: float
    landed: int
    restarts: int
    lag: dict[str, dict[str, Any]]
    tables: list[Comparison] = field(default_factory=list)
    totals: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether source and lake agree in everything."""
        return all(each.is_same for each in self.tables) and all(here == there for here, there in self.totals.values())

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self) | {"tables": [each.to_dict() for each in self.tables], "is_same": self.is_same}


def run_live(settings: Settings, minutes: float, rate: float, as_json: bool) -> bool:
    """Run the live demo and print its result.

    Returns:
        Whether source and lake agree.
    """
    with session(settings) as workspace:
        if workspace.domain.live is None:
            raise AssayError(
                f"The domain {workspace.domain.name} has no live demo.", hint="Unset ASSAY_DOMAIN for the payments one."
            )
        result = _Demo(settings, workspace, workspace.domain.live(), rate).run(minutes, as_json)
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    else:
        _print(Console(), result)
    return result.is_same


class _Demo:
    """The parts of a live demo while it runs."""

    def __init__(self, settings: Settings, workspace: Workspace, live: LiveSystem, rate: float) -> None:
        self._settings = settings
        self._workspace = workspace
        self._live = live
        self._rate = rate
        self._meter = LagMeter(tuple(live.watched))
        self._ledgers = {source: LedgerLog(workspace.store, source) for source in live.tables.values()}
        self._ingested: dict[str, int] = dict.fromkeys(live.tables.values(), 0)
        self._published: dict[str, dict[str, str]] = {}
        self._keeper = EmbeddedS3(settings.home / "s3", settings.s3_port) if settings.is_embedded else None
        self._landed = 0
        self._changes = 0
        self._error: BaseException | None = None

    def run(self, minutes: float, as_json: bool) -> Result:
        """Start everything, let business go on for some minutes, stop everything, reconcile."""
        folder = self._settings.home / "live"
        with ExitStack() as stack:
            database = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
            self._live.create(database.dsn)
            self._land_files()
            capture = Capture(
                database,
                self._live.tables,
                _lake_access(self._workspace),
                folder,
                prefix=self._live.prefix,
                on_landed=self._take_landed,
            )
            stack.callback(capture.stop)
            capture.start()
            prepare_instance(self._settings)
            children = Children(self._settings, ("daemon",), _DAEMON)
            stack.callback(children.stop)
            children.start()
            if self._keeper is not None:
                stack.callback(self._keeper.stop)
            self._look()
            with self._view(as_json, capture) as view, self._business(database):
                self._until(self._is_followed, _FIRST_SECONDS, capture, children, view, self._no_first)
                began = time.time()
                self._meter.begin(began)
                self._until(lambda: time.time() > began + 30 * minutes, float("inf"), capture, children, view)
                self._live.migrate(database.dsn)
                self._until(lambda: time.time() > began + 60 * minutes, float("inf"), capture, children, view)
            seconds = time.time() - began
            if not capture.catch_up(_LAST_SECONDS):
                raise ServerError("Capture did not catch up.", hint=f"See {capture.log}.")
            with suppress(_TooLateError):
                self._until(self._is_quiet, _LAST_SECONDS, capture, children, None, _TooLateError)
            children.stop()
            # Finish the work in which the daemon may have been stopped.
            run_refresh(self._settings, self._workspace, Unobserved())
            self._look()
            lag = {table: asdict(found) for table, found in self._meter.lags().items()}
            result = Result(self._changes, seconds, self._landed, capture.restarts, lag)
            self._reconcile(database, result)
        return result

    def _land_files(self) -> None:
        store = self._workspace.store
        self._workspace.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._workspace.scratch) as folder:
            for file in self._live.files(Path(folder)):
                with suppress(StoreError):
                    store.put(demo_key(file), file.path, if_absent=True)

    @contextmanager
    def _business(self, database: Database) -> Iterator[None]:
        stopping = threading.Event()

        def work() -> None:
            try:
                self._changes = self._live.run(database.dsn, self._rate, stopping)
            except BaseException as error:  # passed on to the waiting thread
                self._error = error

        thread = threading.Thread(target=work, name="business", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _take_landed(self, landed: Landed) -> None:
        self._landed += landed.records
        self._meter.landed(landed.key, landed.commits)

    def _until(
        self, reached: Any, seconds: float, capture: Capture, children: Children, view: Live | None, late: Any = None
    ) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise late()
            time.sleep(_LOOK_SECONDS)
            if self._error is not None:
                raise self._error
            capture.check()
            children.check()
            self._look()
            if view is not None:
                view.update(self._picture(capture))

    def _look(self) -> None:
        """Record what was ingested and published since the last look; a stopped lake server is restarted."""
        try:
            for source, ledger in self._ledgers.items():
                batches = ledger.read().batches
                for batch in batches[self._ingested[source] :]:
                    self._meter.ingested([landed.key for landed in batch.landed], time.time())
                self._ingested[source] = len(batches)
            for name in self._live.watched:
                table = self._workspace.domain.tables[name]
                now = {partition: entry.published_at for partition, entry in read_index(self._workspace.store, table).items()}
                before = self._published.get(name)
                if before is not None:
                    for at in sorted({at for partition, at in now.items() if before.get(partition) != at}):
                        self._meter.published(name, dt.datetime.fromisoformat(at).timestamp())
                self._published[name] = now
        except StoreError:
            if self._keeper is not None:
                with suppress(ServerError):
                    self._keeper.attach_or_start()

    def _is_followed(self) -> bool:
        return any(self._meter.is_published(name) for name in self._live.watched)

    def _is_quiet(self) -> bool:
        return not any(self._meter.waiting(name) for name in self._live.watched)

    def _no_first(self) -> AssayError:
        return ServerError("Nothing was published for too long.", hint=f"See {self._settings.logs}.")

    @contextmanager
    def _view(self, as_json: bool, capture: Capture) -> Iterator[Live | None]:
        if as_json:
            yield None
            return
        with Live(self._picture(capture), console=Console(stderr=True), refresh_per_second=2, transient=True) as view:
            yield view

    def _picture(self, capture: Capture) -> Group:
        grid = Grid(title=f"{self._landed:,} changes captured; from commit to table, in seconds", title_justify="left")
        for name in ("table", "waiting", "measured", "median", "95 %", "longest"):
            grid.add_column(name, justify="left" if name == "table" else "right", no_wrap=True)
        lags = self._meter.lags()
        for name in self._live.watched:
            waiting = f"{self._meter.waiting(name):,}"
            found = lags.get(name)
            if found is None:
                grid.add_row(name, waiting, "", "", "", "")
            else:
                grid.add_row(name, waiting, f"{found.changes:,}", *(f"{s:.1f}" for s in (found.median, found.p95, found.longest)))
        notes = [f"capture was restarted {capture.restarts} times"] if capture.restarts else []
        notes += [f"capture waits: {capture.waiting}"] if capture.waiting else []
        return Group(grid, *notes)

    def _reconcile(self, database: Database, result: Result) -> None:
        import psycopg

        with self._workspace.connection() as connection, psycopg.connect(database.dsn, autocommit=True) as source:
            state = State(self._workspace)
            for table, name in self._live.tables.items():
                declared = self._workspace.domain.sources[name]
                relation = f"latest.{name}"
                query(connection, state, f"SELECT 1 FROM {relation}")
                columns = [spec.name for spec in declared.columns]
                result.tables.append(compare(connection, source, table, relation, declared.key, columns))
            for name, (in_source, in_lake) in self._live.totals.items():
                here = source.execute(in_source).fetchone()
                there = query(connection, state, in_lake).fetchone()
                result.totals[name] = ([str(value) for value in here or ()], [str(value) for value in there or ()])


class _TooLateError(Exception):
    """The wait was too long; the demo goes on without it."""


def _lake_access(workspace: Workspace) -> LakeAccess:
    s3 = workspace.store.s3_access()
    if s3 is None:
        return LakeAccess(workspace.store.uri)
    return LakeAccess(s3.scope, s3.endpoint, s3.region, s3.access_key, s3.secret_key, s3.session_token)


def _print(console: Console, result: Result) -> None:
    console.print(
        f"{result.changes:,} changes in {result.seconds:.0f} s ({result.changes / result.seconds:.0f} a second), "
        f"{result.landed:,} records captured, capture restarted {result.restarts} times",
        highlight=False,
    )
    grid = Grid(title="Seconds from commit to table", title_justify="left")
    for name in ("table", "changes", "median", "95 %", "longest"):
        grid.add_column(name, justify="left" if name == "table" else "right", no_wrap=True)
    for name, lag in result.lag.items():
        grid.add_row(name, f"{lag['changes']:,}", *(f"{lag[each]:.1f}" for each in ("median", "p95", "longest")))
    console.print(grid)
    grid = Grid(title="Source and lake", title_justify="left")
    for name in ("table", "compared with", "rows", "in the lake", "missing", "extra", "different", "sums", ""):
        grid.add_column(name, justify="left" if name in ("table", "compared with") else "right", overflow="fold")
    for each in result.tables:
        sums = "\n".join(
            f"{column} {here}" + (f" / {there}" if here != there else "") for column, (here, there) in each.sums.items()
        )
        counts = (f"{count:,}" for count in (each.source_rows, each.lake_rows, each.missing, each.extra, each.different))
        grid.add_row(each.table, each.relation, *counts, sums, _verdict(each.is_same))
    for name, (here, there) in result.totals.items():
        sums = ", ".join(here[1:]) + (f" / {', '.join(there[1:])}" if here[1:] != there[1:] else "")
        grid.add_row("", name, here[0], there[0], "", "", "", sums, _verdict(here == there))
    console.print(grid)
    for each in result.tables:
        if each.examples:
            console.print(f"{each.table}: differs in {', '.join(each.examples)}", highlight=False, markup=False)


def _verdict(is_same: bool) -> str:
    return "[green]same[/]" if is_same else "[bold red]DIFFERENT[/]"
