"""`assay` in processes of its own, forked from one that has imported everything.

Importing takes seconds of processor time, and tests start hundreds of commands. What a command does is what a newly started
one does; `cli.test_up` and `cli.test_app` start it anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PLATFORM = Path(__file__).resolve().parents[2] / "platform"
DOMAINS = Path(__file__).resolve().parents[1] / "domains"
# What most of a start is spent on. The domain is not among it: each command has its own.
IMPORTED = ["assay.cli.app", "assay.orchestration.definitions", "assay.orchestration.in_process", "pandera.ibis", "boto3"]

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(IMPORTED)


class AssayProcess:
    """A running command, as `subprocess.Popen` of one would be.

    Attributes:
        args: The command with its arguments.
        pid: Its process.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            arguments: What comes after `assay`.
            environment: All of its environment.
        """
        self.args = ["assay", *arguments]
        self._printed = tempfile.TemporaryDirectory(prefix="assay-process-")
        self._out, self._error = Path(self._printed.name, "out"), Path(self._printed.name, "error")
        # The server of forks finds the modules that it imports where this process does.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(PLATFORM), str(Path(__file__).parent)])
        call = (self.args, dict(environment), str(self._out), str(self._error))
        self._process = _FORKING.Process(target=_run, args=call, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal that killed it, nothing while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: It has not ended by then.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end.

        Returns:
            What it printed to standard output and standard error.

        Raises:
            TimeoutExpired: It has not ended by then.
        """
        self.wait(timeout)
        return self.printed, self._error.read_text() if self._error.exists() else ""

    @property
    def printed(self) -> str:
        """What it has printed to standard output until now."""
        return self._out.read_text() if self._out.exists() else ""

    def line(self) -> str:
        """Wait for the first line that it prints, or its end."""
        while "\n" not in self.printed and self.poll() is None:
            time.sleep(0.05)
        return self.printed.partition("\n")[0]


def _run(command: list[str], environment: dict[str, str], out: str, error: str) -> None:
    """Be the command, in a fork."""
    for path, descriptor in ((out, 1), (error, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = command
    from assay.cli import main

    main()
