"""The results of a run: outcomes by partition, and a report of them for people and scripts.

Belongs here: the values that a run returns to its caller. Does not belong here: the work (`build`), printing
(`cli`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from assay.lake.index import Entry
from assay.quality.books import Books
from assay.quality.quarantine import Example
from assay.quality.scores import RuleResult, Scores


class Status(StrEnum):
    """The result for a partition."""

    PUBLISHED = "published"
    """It was computed, proven and written."""
    UNCHANGED = "unchanged"
    """It was computed and proven, and its content has not changed."""
    FAILED = "failed"
    """It failed its proof; the earlier data stay in place."""


@dataclass(frozen=True)
class Outcome:
    """The result of computing one partition.

    Attributes:
        table: The table's full name.
        partition: The partition.
        status: The result.
        entry: Its published entry, if any.
        problems: Why it failed.
        books: Its books.
        score: Its quality score.
        broken: Number of rows that broke each rule.
        rows: Number of computed rows.
        examples: A few rows for each broken rule.
        scores: Its scores by rows, money and dimension.
        results: The result of every rule; empty if the SQL failed.
        quarantined: Number of rows that may not be published.
    """

    table: str
    partition: str
    status: Status
    entry: Entry | None
    problems: tuple[str, ...] = ()
    books: Books = field(default_factory=Books)
    score: float = 100.0
    broken: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0
    examples: tuple[Example, ...] = ()
    scores: Scores = field(default_factory=Scores)
    results: tuple[RuleResult, ...] = ()
    quarantined: int = 0

    @property
    def is_judged(self) -> bool:
        """Whether its rows were computed and checked: not if the SQL failed."""
        return bool(self.results)


class Observer(Protocol):
    """Receives the progress of a run."""

    def landed(self, records: int) -> None:
        """A landing object of this many records was written."""
        ...

    def ingested(self, source: str, records: int) -> None:
        """A batch of a source was recorded."""
        ...

    def planned(self, table: str, partitions: int) -> None:
        """A table has this many dirty partitions."""
        ...

    def built(self, table: str, partitions: int) -> None:
        """This many of a table's partitions are done."""
        ...


class Unobserved:
    """An observer that does nothing."""

    def landed(self, records: int) -> None:
        """Do nothing."""

    def ingested(self, source: str, records: int) -> None:
        """Do nothing."""

    def planned(self, table: str, partitions: int) -> None:
        """Do nothing."""

    def built(self, table: str, partitions: int) -> None:
        """Do nothing."""


@dataclass
class Counts:
    """Partitions by result.

    Attributes:
        rebuilt: Published again.
        unchanged: Left as they were, whether or not that required computing them.
        failed: Failed their proof, in this run or an earlier one with the same inputs.
    """

    rebuilt: int = 0
    unchanged: int = 0
    failed: int = 0

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes."""
        for outcome in outcomes:
            self.rebuilt += outcome.status is Status.PUBLISHED
            self.unchanged += outcome.status is Status.UNCHANGED
            self.failed += outcome.status is Status.FAILED

    def to_dict(self) -> dict[str, int]:
        """The three counts by name."""
        return {"rebuilt": self.rebuilt, "unchanged": self.unchanged, "failed": self.failed}


@dataclass
class Report:
    """The results of a run.

    Attributes:
        books: Books of every source and table after the run, by full name.
        scores: Quality score of every table, 0 to 100.
        partitions: Counts.
        failures: Why partitions failed, by table and partition; and why landing objects are held, by source and object.
        warnings: What an operator should know.
        seconds: Wall-clock seconds by stage.
        records: Records ingested.
        anomalies: Anomalies on the newest complete days, in words, by table and day.
    """

    books: dict[str, Books] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    partitions: Counts = field(default_factory=Counts)
    failures: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    records: int = 0
    anomalies: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as the command line's `--json` prints it."""
        return {
            "books": {name: books.to_dict() for name, books in self.books.items()},
            "scores": self.scores,
            "partitions": self.partitions.to_dict(),
            "failures": self.failures,
            "warnings": self.warnings,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "records": self.records,
            "anomalies": self.anomalies,
        }
