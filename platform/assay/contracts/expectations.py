"""Expectations: what a contract says beyond one row, declared with `@table(..., expects=(…))`.

Belongs here: the declarations, what they say in words, and what is wrong with them by themselves. Does not belong here: holding
them against other tables' declarations (`engine.references`) and against data (`quality.hits`, `quality.expectations`).

Whatever names rows that are to blame (`Unique`, `Refers`) may have any severity. Whatever is about a partition as a whole can
only stop it or warn: no single row is to blame. Null is never wrong; that a value is there is a rule by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from assay.contracts.dimension import Dimension
from assay.contracts.measures import Measure, mean, null_share, quantile, row_count, share
from assay.contracts.rules import Rule, quote
from assay.contracts.severity import Severity

ROW = "_row"
"""The column that numbers staged rows."""
SPAN = ("valid_from", "valid_to")
"""The columns that say when a row of another relation holds; the end is exclusive, and null while it lasts."""
_OF_ROWS = tuple(Severity)
_OF_PARTITIONS = (Severity.STOP, Severity.WARN)
_WORDS = ("name", "severity", "reason", "owner", "dimension")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of a table.

    Attributes:
        name: Unique among the table's rules; by default made from what it is about.
        severity: What breaking it leads to.
        reason: Why it is expected, in words.
        owner: Who answers for it; by default the table's owner.
        dimension: The dimension of quality it belongs to, where it is not that of its kind.
    """

    name: str = ""
    severity: Severity = Severity.WARN
    reason: str = ""
    owner: str = ""
    dimension: Dimension | None = None

    severities: ClassVar[tuple[Severity, ...]] = _OF_PARTITIONS
    of_dimension: ClassVar[Dimension] = Dimension.CONSISTENCY
    why_no_other: ClassVar[str] = "it is about a partition as a whole, and no single row is to blame"

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The table's columns that it names."""
        return ()

    @property
    def title(self) -> str:
        """Its name, if it is given none."""
        raise NotImplementedError

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        raise NotImplementedError

    @property
    def relation(self) -> str | None:
        """The other relation that it reads."""
        return None

    @property
    def their_columns(self) -> tuple[str, ...]:
        """The columns that it reads of that."""
        return ()

    @property
    def wrong(self) -> str | None:
        """What is wrong with it, whatever the table."""
        return None

    def rule(self, owner: str) -> Rule:
        """It as one of the table's rules, given the table's owner."""
        name = self.name or self.title
        predicate = f"{_passes(self.own_columns)} OR {ROW} NOT IN (SELECT {ROW} FROM {hits_of(name)})" if self.is_of_rows else ""
        return Rule(
            name=name,
            predicate=predicate,
            severity=self.severity,
            columns=self.own_columns,
            reason=self.reason or self.expected,
            dimension=self.dimension or self.of_dimension,
            owner=self.owner or owner,
            expected=self.expected,
        )

    @property
    def is_of_rows(self) -> bool:
        """Whether rows are to blame."""
        return self.severities == _OF_ROWS

    def version(self) -> dict[str, Any]:
        """What of it decides what is published."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in _WORDS}
        plain = {name: dict(value) if isinstance(value, Mapping) else repr(value) for name, value in fields.items()}
        return {"kind": type(self).__name__, "severity": str(self.severity)} | plain


def hits_of(rule: str) -> str:
    """The table of the staged rows that break a rule which one row cannot decide."""
    return quote(f"hits {rule}")


def _passes(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"{quote(column)} IS NULL" for column in columns)


@dataclass(frozen=True)
class Unique(Expectation):
    """No two rows of a partition have the same values; where two have, both break it, so that no order of rows decides.

    Declared as Pandera has it: `unique=True` of a column, `unique` of a model's `Config`.

    Attributes:
        columns: The columns whose values, taken together, are there once.
    """

    columns: tuple[str, ...]
    severity: Severity = field(default=Severity.QUARANTINE, kw_only=True)

    severities: ClassVar[tuple[Severity, ...]] = _OF_ROWS
    of_dimension: ClassVar[Dimension] = Dimension.UNIQUENESS

    @property
    def own_columns(self) -> tuple[str, ...]:
        return self.columns

    @property
    def title(self) -> str:
        return f"{'_'.join(self.columns)}_unique"

    @property
    def expected(self) -> str:
        return f"no two rows of a partition have one {', '.join(self.columns)}"


@dataclass(frozen=True)
class Refers(Expectation):
    """Every row finds a row of another relation: referential integrity, at the right date where `at` is given.

    Attributes:
        columns: The other relation's column by own column.
        to: The other relation: a table, or `latest.…` or `history.…` of a source.
        at: Own day or instant at which what is found must hold: the other relation has `valid_from` and `valid_to` (exclusive;
            null for ever). A day holds if any of its moments does.
    """

    columns: Mapping[str, str]
    to: str
    at: str | None = None
    severity: Severity = field(default=Severity.QUARANTINE, kw_only=True)

    severities: ClassVar[tuple[Severity, ...]] = _OF_ROWS

    @property
    def own_columns(self) -> tuple[str, ...]:
        return (*self.columns, *([self.at] if self.at is not None else []))

    @property
    def title(self) -> str:
        return f"{'_'.join(self.columns)}_in_{self.to.partition('.')[2]}"

    @property
    def expected(self) -> str:
        then = f" at {self.at}" if self.at is not None else ""
        return f"{', '.join(self.columns)} is in {self.to} ({', '.join(self.columns.values())}){then}"

    @property
    def relation(self) -> str | None:
        return self.to

    @property
    def their_columns(self) -> tuple[str, ...]:
        return (*self.columns.values(), *(SPAN if self.at is not None else ()))

    @property
    def wrong(self) -> str | None:
        return None if self.columns else "it names no column"


@dataclass(frozen=True)
class UniqueAcross(Expectation):
    """No two partitions have the same values.

    Attributes:
        columns: The columns whose values, taken together, are in one partition only.
    """

    columns: tuple[str, ...]

    of_dimension: ClassVar[Dimension] = Dimension.UNIQUENESS
    why_no_other: ClassVar[str] = "which of two partitions came first must not decide which rows are published"

    @property
    def own_columns(self) -> tuple[str, ...]:
        return self.columns

    @property
    def title(self) -> str:
        return f"{'_'.join(self.columns)}_unique_across"

    @property
    def expected(self) -> str:
        return f"no other partition has a {', '.join(self.columns)} of this one"

    @property
    def wrong(self) -> str | None:
        return None if self.columns else "it names no column"


@dataclass(frozen=True, kw_only=True)
class _Measured(Expectation):
    """One that a measure of the partition decides."""

    @property
    def measure(self) -> Measure:
        """What is measured."""
        raise NotImplementedError

    @property
    def own_columns(self) -> tuple[str, ...]:
        return self.measure.columns


@dataclass(frozen=True, kw_only=True)
class Bounded(_Measured):
    """A measure is within bounds, ends included.

    Attributes:
        at_least: The lowest it may be.
        at_most: The highest it may be.
    """

    at_least: float | None = None
    at_most: float | None = None

    @property
    def title(self) -> str:
        return f"{self.measure.name}_within"

    @property
    def expected(self) -> str:
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        said = [f"{word} {self.measure.shown(bound)}" for word, bound in bounds if bound is not None]
        return f"{self.measure.words} is {' and '.join(said)}"

    @property
    def wrong(self) -> str | None:
        if self.at_least is None and self.at_most is None:
            return "it has no bound: give at_least or at_most"
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            return f"at_least {self.at_least:g} is above at_most {self.at_most:g}"
        return self.measure.wrong

    def holds(self, measured: float) -> bool:
        """Whether what was measured is within the bounds."""
        return (self.at_least is None or measured >= self.at_least) and (self.at_most is None or measured <= self.at_most)


@dataclass(frozen=True)
class NullShare(Bounded):
    """The share of rows, 0 to 1, whose value of a column is null."""

    column: str

    of_dimension: ClassVar[Dimension] = Dimension.COMPLETENESS

    @property
    def measure(self) -> Measure:
        return null_share(self.column)


@dataclass(frozen=True)
class Share(Bounded):
    """The share of rows, 0 to 1, whose value of a column is one of some."""

    column: str
    values: Any

    @property
    def measure(self) -> Measure:
        return share(self.column, self.values if isinstance(self.values, tuple | list | set | frozenset) else (self.values,))


@dataclass(frozen=True)
class Quantile(Bounded):
    """A quantile of a column's values, `q` from 0 to 1."""

    column: str
    q: float

    @property
    def measure(self) -> Measure:
        return quantile(self.column, self.q)


@dataclass(frozen=True)
class Mean(Bounded):
    """The mean of a column's values."""

    column: str

    @property
    def measure(self) -> Measure:
        return mean(self.column)


@dataclass(frozen=True)
class RowCount(Bounded):
    """The number of rows."""

    of_dimension: ClassVar[Dimension] = Dimension.COMPLETENESS

    @property
    def measure(self) -> Measure:
        return row_count()


@dataclass(frozen=True, kw_only=True)
class Drifting(_Measured):
    """A measure is what days like this one had, of a daily table.

    It is broken if the measure is off by many robust standard deviations and by a large share of what was expected, both: see
    `quality.baseline`. A day with too little history behind it passes.

    Attributes:
        deviations: Robust standard deviations that it may be off.
        change: Share of what was expected that it may be off.
    """

    deviations: float = 3.0
    change: float = 0.30

    @property
    def title(self) -> str:
        return f"{self.measure.name}_as_usual"

    @property
    def expected(self) -> str:
        return f"{self.measure.words} is within {self.deviations:g} deviations or {self.change:.0%} of what days like it had"

    @property
    def wrong(self) -> str | None:
        return self.measure.wrong if self.deviations > 0 and self.change >= 0 else "deviations and change are above zero"


@dataclass(frozen=True)
class Drift(Drifting):
    """Any measure: `Drift(NullShare("mcc"))`.

    Attributes:
        of: Whose measure it is; its bounds do not count.
    """

    of: Bounded

    @property
    def measure(self) -> Measure:
        return self.of.measure


@dataclass(frozen=True)
class MeanShift(Drifting):
    """The mean of a column."""

    column: str

    @property
    def measure(self) -> Measure:
        return mean(self.column)


@dataclass(frozen=True)
class Volume(Drifting):
    """The number of rows."""

    of_dimension: ClassVar[Dimension] = Dimension.COMPLETENESS

    @property
    def measure(self) -> Measure:
        return row_count()


@dataclass(frozen=True)
class ControlTotal(Expectation):
    """Rows and money come to what a control says, per partition. Every computed row counts, refused ones too.

    Attributes:
        to: The relation with the control: a table, or `latest.…` of a source.
        on: Its column by own partition column; empty for a table that is not cut.
        rows: Its column with the number of rows, if it says that.
        money: Its column by own column, for totals.
        tolerance: By how much each may be off.
    """

    to: str
    on: Mapping[str, str] = field(default_factory=dict)
    rows: str | None = None
    money: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 0.0

    @property
    def own_columns(self) -> tuple[str, ...]:
        return (*self.on, *self.money)

    @property
    def title(self) -> str:
        return f"total_as_in_{self.to.partition('.')[2]}"

    @property
    def expected(self) -> str:
        said = ["rows"] if self.rows else []
        said += [f"the total of {column}" for column in self.money]
        within = f", give or take {self.tolerance:g}" if self.tolerance else ""
        return f"{' and '.join(said)} come to what {self.to} says{within}"

    @property
    def relation(self) -> str | None:
        return self.to

    @property
    def their_columns(self) -> tuple[str, ...]:
        return (*self.on.values(), *([self.rows] if self.rows else []), *self.money.values())

    @property
    def wrong(self) -> str | None:
        return None if self.rows or self.money else "it controls nothing: give rows or money"
