"""How long a change takes from its commit to a published table.

Belongs here: combining when changes were committed, ingested and published. Does not belong here: finding out these times
(`cli.live`).
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NINETY_FIVE = 0.95


@dataclass(frozen=True)
class Lag:
    """The delay of changes until they are in one table, in seconds.

    Attributes:
        changes: How many changes were measured.
        median: Half of them took at most this long.
        p95: 95 % of them took at most this long.
        longest: All of them took at most this long.
    """

    changes: int
    median: float
    p95: float
    longest: float


@dataclass
class LagMeter:
    """Measures the delay of every single change.

    A change is in a table from the table's first publication after its landing object was ingested, provided that runs do not
    overlap. All times are seconds since 1970.

    Attributes:
        tables: The tables, by full name.
    """

    tables: tuple[str, ...]
    _since: float | None = None
    _landed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _ingested: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, at: float) -> None:
        """Measure only changes committed from now on; earlier ones had to wait for servers to start."""
        self._since = at

    def landed(self, key: str, commits: tuple[int, ...]) -> None:
        """Note that a landing object has been written.

        Args:
            key: The object.
            commits: When its changes were committed, in milliseconds since 1970.
        """
        with self._lock:
            self._landed[key] = commits
            for table in self.tables:
                self._waiting.setdefault(table, set()).add(key)

    def ingested(self, keys: Iterable[str], at: float) -> None:
        """Note that landing objects had been ingested by this time."""
        for key in keys:
            self._ingested.setdefault(key, at)

    def published(self, table: str, at: float) -> None:
        """Note that a partition of a table was published."""
        with self._lock:
            self._told.add(table)
            waiting = self._waiting.setdefault(table, set())
            visible = {key for key in waiting if self._ingested.get(key, at) < at}
            waiting -= visible
            if self._since is None:
                return
            for key in visible:
                commits = (commit / 1000 for commit in self._landed[key])
                self._seconds.setdefault(table, []).extend(at - commit for commit in commits if commit >= self._since)

    def is_published(self, table: str) -> bool:
        """Whether any publication of a table has been noted."""
        return table in self._told

    def waiting(self, table: str) -> int:
        """How many changes have landed but are not in a table."""
        with self._lock:
            return sum(len(self._landed[key]) for key in self._waiting.get(table, ()))

    def lags(self) -> Mapping[str, Lag]:
        """The delays so far, without tables for which nothing is known."""
        return {table: _lag(sorted(found)) for table in self.tables if (found := self._seconds.get(table))}


def _lag(seconds: list[float]) -> Lag:
    p95 = seconds[min(len(seconds) - 1, int(NINETY_FIVE * len(seconds)))]
    return Lag(len(seconds), statistics.median(seconds), p95, seconds[-1])
