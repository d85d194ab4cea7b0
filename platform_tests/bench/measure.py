"""Measuring: wall time, processor time and memory of processes, and the board that the numbers are printed on.

Belongs here: clocks and printing. Does not belong here: what is measured (the tests), the lakes it is measured on (`lakes`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

_SAMPLE_SECONDS = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")
GIB = 1024**3


@dataclass(frozen=True)
class Cost:
    """What a process cost.

    Attributes:
        wall: Seconds from before its start to after its end.
        cpu: Seconds of processor time, its children's too.
        peak: Highest resident memory of the process and its children together, in bytes, as sampled; shared pages count
            once for each process.
        out: What it printed.
    """

    wall: float
    cpu: float
    peak: int
    out: str = ""


def run_process(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a process to its end and measure it.

    Args:
        command: Program and arguments.
        environment: All of its environment.

    Raises:
        RuntimeError: It did not end with 0; the message holds the end of what it said.
    """
    os.sync()  # What an earlier run has written must not be flushed at this one's expense.
    started = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sampler = _Sampler(process.pid)
    sampler.start()
    read: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    stream = process.stderr
    errors = threading.Thread(target=lambda: read.append(stream.read()))
    errors.start()
    out = process.stdout.read()
    errors.join()
    # `wait4` alone tells the processor time of exactly this process and the children it has waited for.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.stop()
    if process.returncode != 0:
        said = "".join(read) or out
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said[-3000:]}")
    # Not `ru_maxrss`: a process begins with that of the one which started it.
    return Cost(wall, usage.ru_utime + usage.ru_stime, sampler.peak, out)


def best_of(times: int, measure: Callable[[], Cost]) -> Cost:
    """Measure several times and take the fastest: what disturbs a run only ever slows it."""
    return min((measure() for _ in range(times)), key=lambda cost: cost.wall)


def timed(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that a call takes, the fastest of several."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class _Sampler(threading.Thread):
    """Watches the memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(map(_resident, _tree(self._pid))))

    def stop(self) -> None:
        """End watching."""
        self._ended.set()
        self.join()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            threads = list(Path(f"/proc/{each}/task").iterdir())
            found += [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            # It has ended, or this system has no /proc: then the highest of `wait4` stands alone.
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


@dataclass
class Board:
    """The rows that one run of the benchmark prints.

    Attributes:
        rows: Benchmark, what was measured, its value, its bar, and whether the bar was met; None where there is no bar.
    """

    rows: list[tuple[str, str, str, str, bool | None]] = field(default_factory=list)

    def note(self, bench: str, what: str, value: str) -> None:
        """Add a number that has no bar."""
        self.rows.append((bench, what, value, "", None))

    def bar(self, bench: str, what: str, value: str, bar: str, met: bool) -> None:
        """Add a number that has one."""
        self.rows.append((bench, what, value, bar, met))

    def show(self, title: str) -> None:
        """Print the rows."""
        table = Table(title=title, title_justify="left")
        for name in ("bench", "what", "measured", "bar", ""):
            table.add_column(name, justify="right" if name == "measured" else "left")
        verdicts = {True: "[green]PASS[/]", False: "[red]FAIL[/]", None: ""}
        for row in self.rows:
            table.add_row(*row[:4], verdicts[row[4]])
        # Wide enough for the widest row where the output is no terminal.
        Console(file=sys.__stdout__, width=None if sys.stdout.isatty() else 150).print(table)


def seconds(value: float) -> str:
    """Write seconds."""
    return f"{value:,.2f} s"


def times(value: float) -> str:
    """Write a ratio."""
    return f"{value:,.2f}×"


def rate(count: int, value: float) -> str:
    """Write how many a second."""
    return f"{count / value:,.0f} a second"


def size(value: int) -> str:
    """Write bytes."""
    return f"{value / GIB:,.2f} GiB"
