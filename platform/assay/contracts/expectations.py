"""Expectations that look at other rows, other partitions and other relations.

Belongs here: uniqueness, references, control totals. Does not belong here: measures of a partition (`measured`).

But for `Unique`, null is never wrong: that a value is there is a rule by itself.
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
    """No two rows of a partition have the same values; where two have, both break it, so that no order of rows decides.

    Declared as Pandera has it, `unique=True` of a column or `unique` of a model's `Config`, and meant as Pandera means it: that a
    value is not there is a value, too.

    Attributes:
        columns: The columns whose values, taken together, are there once.
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
    tolerance: Decimal | int | str = 0

    def __post_init__(self) -> None:
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
