"""Expectations about a measure of a partition: within fixed bounds, or close to comparable days.

Belongs here: the declarations. Does not belong here: computing measures (`measures`) and judging them (`quality.expectations`,
`quality.drift`).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from assay.contracts.dimension import Dimension
from assay.contracts.expectation import Expectation
from assay.contracts.measures import Measure, mean, null_share, quantile, row_count, share


@dataclass(frozen=True, kw_only=True)
class _Measured(Expectation):
    """An expectation about one measure of the partition."""

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """What is measured."""

    @property
    def own_columns(self) -> tuple[str, ...]:
        return self.measure.columns


@dataclass(frozen=True, kw_only=True)
class Bounded(_Measured):
    """A measure is within bounds, inclusive.

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
        """Whether a measured value is within the bounds."""
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
    """The share of rows, 0 to 1, whose value of a column is one of the given values."""

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
    """A measure of a daily table is close to what comparable days had.

    It is broken only if the measure is off by both more than `deviations` and more than `change`: see `quality.baseline`. A day
    with too little history passes.

    Attributes:
        deviations: Robust standard deviations by which it may be off.
        change: Share of the expected value by which it may be off.
    """

    deviations: float = 3.0
    change: float = 0.30

    @property
    def title(self) -> str:
        return f"{self.measure.name}_as_usual"

    @property
    def expected(self) -> str:
        return f"{self.measure.words} is within {self.deviations:g} deviations or {self.change:.0%} of comparable days"

    @property
    def wrong(self) -> str | None:
        return self.measure.wrong if self.deviations > 0 and self.change >= 0 else "deviations and change must be positive"


@dataclass(frozen=True)
class Drift(Drifting):
    """The drift of any measure, as in `Drift(NullShare("mcc"))`.

    Attributes:
        of: The expectation whose measure is used; its bounds are ignored.
    """

    of: Bounded

    @property
    def measure(self) -> Measure:
        return self.of.measure


@dataclass(frozen=True)
class MeanShift(Drifting):
    """The drift of a column's mean."""

    column: str

    @property
    def measure(self) -> Measure:
        return mean(self.column)


@dataclass(frozen=True)
class Volume(Drifting):
    """The drift of the number of rows."""

    of_dimension: ClassVar[Dimension] = Dimension.COMPLETENESS

    @property
    def measure(self) -> Measure:
        return row_count()
