"""The command that runs all servers: `up`.

Belongs here: starting, watching and stopping the servers. Does not belong here: what they serve.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.alerts import endpoint
from assay.contracts import load_domain
from assay.errors import ServerError
from assay.lake import server_guard
from assay.pipeline.session import session
from assay.settings import Settings, read_settings

START_SECONDS = 90
STOP_SECONDS = 15


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    ui_port: Annotated[int | None, typer.Option(help="Port of the Dagster UI [default: $ASSAY_UI_PORT or 3000].")] = None,
    s3_port: Annotated[int | None, typer.Option(help="Port of the embedded S3 server [default: $ASSAY_S3_PORT or 8333].")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the Prometheus endpoint, 0 for none [default: $ASSAY_METRICS_PORT or 9464].")
    ] = None,
) -> None:
    """Start S3, the Dagster webserver, its daemon and the Prometheus endpoint together; Ctrl-C stops them all.

    The data are kept for the next start.

    Example: `assay up --ui-port 3001`
    """
    from assay.orchestration.instance import prepare_instance

    changed = {"ui_port": ui_port, "s3_port": s3_port, "metrics_port": metrics_port}
    settings = read_settings().model_copy(update={name: value for name, value in changed.items() if value is not None})
    _require_free(settings.ui_port)
    load_domain(settings.domain)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with session(settings) as workspace, ExitStack() as stack:
        folder = prepare_instance(settings)
        # The actual port: a server that already runs in this home is used at whatever port it has.
        access = workspace.store.s3_access()
        served_at = f" at {access.endpoint}" if settings.is_embedded and access else ""
        typer.echo(f"lake        {workspace.store.uri}{served_at}")
        if settings.metrics_port:
            served = stack.enter_context(endpoint(settings, workspace, "127.0.0.1", settings.metrics_port))
            typer.echo(f"metrics     http://127.0.0.1:{served}/metrics")
        # S3 or the metrics endpoint may have been given the same port, and have taken it by now.
        _require_free(settings.ui_port)
        children = Children(settings)
        try:
            children.start()
            address = f"http://127.0.0.1:{settings.ui_port}"
            if children.wait_for(address, stopped):
                typer.echo(f"Dagster UI  {address}\ninstance    {folder}\nlogs        {children.logs}\nCtrl-C stops everything.")
                children.watch(stopped)
        finally:
            children.stop()
    typer.echo("stopped")


class Children:
    """The Dagster webserver and daemon, which end when this process does.

    Args:
        settings: The settings.
        names: Which of the two.
        environment: Their environment in addition to this process's.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str] = ("webserver", "daemon"), environment: Mapping[str, str] | None = None
    ) -> None:
        self.logs = settings.logs
        self._settings = settings
        self._names = names
        self._environment = environment or {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start them; the instance must be prepared."""
        self.logs.mkdir(parents=True, exist_ok=True)
        module = _location(self._settings.domain)
        port = str(self._settings.ui_port)
        arguments = {"webserver": ["-h", "127.0.0.1", "-p", port, "-m", module], "daemon": ["run", "-m", module]}
        for name in self._names:
            self._start(name, arguments[name])

    def wait_for(self, address: str, stopped: threading.Event) -> bool:
        """Wait until the UI answers; return false when asked to stop first."""
        deadline = time.monotonic() + START_SECONDS
        while not stopped.is_set():
            self.check()
            if time.monotonic() > deadline:
                raise ServerError(f"The Dagster UI did not start in {START_SECONDS} s.", hint=f"See {self.logs}.")
            try:
                with urllib.request.urlopen(f"{address}/server_info", timeout=2):
                    return True
            except (urllib.error.URLError, OSError):
                stopped.wait(0.3)
        return False

    def watch(self, stopped: threading.Event) -> None:
        """Return when asked to stop; raise when a server ends by itself."""
        while not stopped.wait(1):
            self.check()

    def stop(self) -> None:
        """Stop them, gently first."""
        for child in self._running.values():
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._running.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
        self._running.clear()

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        environment = os.environ | {"ASSAY_S3_PORT": str(self._settings.s3_port), **self._environment}
        with (self.logs / f"{name}.log").open("ab") as log:
            # The guard stops the server when this process is gone, for whatever reason.
            guard = [sys.executable, "-I", "-S", server_guard.__file__, str(log.fileno())]
            self._running[name] = subprocess.Popen(
                [*guard, str(_script(f"dagster-{name}")), *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(log.fileno(),),
                # A separate process group, so that Ctrl-C reaches only us and we stop them in order.
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise when one has ended by itself.

        Raises:
            ServerError: One has ended; the message contains the end of its log.
        """
        for name, child in self._running.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise ServerError(f"The Dagster {name} has ended.\n{tail}\n", hint=f"See {log}.")


def _location(domain: str) -> str:
    return f"{domain}.definitions" if find_spec(f"{domain}.definitions") else "assay.orchestration.location"


def _script(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if child.poll() is None:
        os.killpg(child.pid, number)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"Port {port} is taken, so the Dagster UI cannot use it.",
                hint="Give --ui-port or set ASSAY_UI_PORT to a free one.",
            ) from error
