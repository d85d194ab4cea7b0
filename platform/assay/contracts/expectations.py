"""Expectations that look at other rows, other partitions and other relations.

Belongs here: uniqueness, references, control totals. Does not belong here: measures of a partition (`measured`).

Except for `Unique`, a null always passes: whether a value is present is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from assay.contracts.dimension import Dimension
from assay.contracts.expectation import OF_ROWS, SPAN, Expectation
from assay.contracts.severity import Severity


@dataclass(frozen=True)
class Unique(Expectation):
    """No two rows of a partition have the same values. If two do, both break it, so that row order does not matter.

    Declared as in Pandera, with `unique=True` on a column or `unique` in a model's `Config`, and with Pandera's meaning: null
    counts as a value.

    Attributes:
        columns: The columns whose combined values must occur once.
    """

    columns: tuple[str, ...]
    severity: Severity = field(default=Severity.QUARANTINE, kw_only=True)

    severities: ClassVar[tuple[Severity, ...]] = OF_ROWS
    of_dimension: ClassVar[Dimension] = Dimension.UNIQUENESS

    @property
    def own_columns(self) -> tuple[str, ...]:
        return self.columns

    @property
    def may_be_null(self) -> tuple[str, ...]:
        return ()

    @property
    def title(self) -> str:
        return f"{'_'.join(self.columns)}_unique"

    @property
    def expected(self) -> str:
        return f"no two rows of a partition have one {', '.join(self.columns)}"


@dataclass(frozen=True)
class Refers(Expectation):
    """Every row finds a row of another relation: referential integrity, at a point in time if `at` is given.

    Attributes:
        columns: The other relation's column by own column.
        to: The other relation: a table, or `latest.…` or `history.…` of a source.
        at: Own day or instant column: the row found must be valid then. The other relation has `valid_from` and `valid_to`
            (exclusive; null for ever). A day matches if the row is valid at any moment of it.
    """

    columns: Mapping[str, str]
    to: str
    at: str | None = None
    severity: Severity = field(default=Severity.QUARANTINE, kw_only=True)

    severities: ClassVar[tuple[Severity, ...]] = OF_ROWS

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
        columns: The columns whose combined values must occur in one partition only.
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
        return f"no other partition has the {', '.join(self.columns)} of a row of this one"

    @property
    def wrong(self) -> str | None:
        return None if self.columns else "it names no column"


@dataclass(frozen=True)
class ControlTotal(Expectation):
    """Rows and money match a control's totals, per partition. Every computed row counts, including quarantined ones.

    Attributes:
        to: The relation with the control: a table, or `latest.…` of a source.
        on: The control's column by own partition column; empty for an unpartitioned table.
        rows: The control's column with the number of rows, if it has one.
        money: The control's column by own column, for totals.
        tolerance: By how much each may be off.
    """

    to: str
    on: Mapping[str, str] = field(default_factory=dict)
    rows: str | None = None
    money: Mapping[str, str] = field(default_factory=dict)
    tolerance: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        # Not everybody who declares one has its types checked: 1 and "0.05" are amounts, too.
        object.__setattr__(self, "tolerance", Decimal(self.tolerance))

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
        within = f", give or take {self.tolerance}" if self.tolerance else ""
        return f"{' and '.join(said)} match {self.to}{within}"

    @property
    def relation(self) -> str | None:
        return self.to

    @property
    def their_columns(self) -> tuple[str, ...]:
        return (*self.on.values(), *([self.rows] if self.rows else []), *self.money.values())

    @property
    def wrong(self) -> str | None:
        return None if self.rows or self.money else "it controls nothing: give rows or money"
