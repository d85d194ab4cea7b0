"""An expectation: what a contract says beyond one row, declared with `@table(..., expects=(…))`.

Belongs here: what all kinds have in common. Does not belong here: the kinds (`expectations`, `measured`), checking declarations
against a model (`soundness`) or other tables (`engine.references`), and evaluating data (`quality.hits`, `quality.expectations`).

An expectation that identifies offending rows may have any severity. One about a partition as a whole can only stop the partition
or warn, because no single row is to blame.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from assay.contracts.dimension import Dimension
from assay.contracts.rules import Rule, quote
from assay.contracts.severity import Severity

SPAN = ("valid_from", "valid_to")
"""The columns that bound when a row of another relation is valid; the end is exclusive, and null while the row is current."""
OF_ROWS = tuple(Severity)
"""The severities of expectations that identify offending rows."""
_OF_PARTITIONS = (Severity.STOP, Severity.WARN)
_WORDS = ("name", "severity", "reason", "owner", "dimension")


@dataclass(frozen=True, kw_only=True)
class Expectation(ABC):
    """What is expected of a table.

    Attributes:
        name: Unique among the table's rules; by default derived from the expectation.
        severity: What breaking it leads to.
        reason: Why it is expected, in words.
        owner: Who answers for it; by default the table's owner.
        dimension: The dimension of quality it belongs to, if not the default of its kind.
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
        """The columns of the table that it uses."""
        return ()

    @property
    @abstractmethod
    def title(self) -> str:
        """Its default name."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What is expected, in words."""

    @property
    def relation(self) -> str | None:
        """The other relation that it reads, if any."""
        return None

    @property
    def their_columns(self) -> tuple[str, ...]:
        """The columns that it reads from the other relation."""
        return ()

    @property
    def wrong(self) -> str | None:
        """Why it is invalid whatever the table, or None."""
        return None

    def rule(self, owner: str) -> Rule:
        """Return this expectation as a `Rule`; `owner` is the table's."""
        name = self.name or self.title
        predicate = f"{_passes(self.may_be_null)}NOT {hits_of(name)}" if self.is_of_rows else ""
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
    def may_be_null(self) -> tuple[str, ...]:
        """The columns in which a null lets a row pass."""
        return self.own_columns

    @property
    def is_of_rows(self) -> bool:
        """Whether it identifies offending rows."""
        return self.severities == OF_ROWS

    def version(self) -> dict[str, Any]:
        """The parts of it that affect what is published."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in _WORDS}
        plain = {name: dict(value) if isinstance(value, Mapping) else repr(value) for name, value in fields.items()}
        return {"kind": type(self).__name__, "severity": str(self.severity)} | plain


def hits_of(rule: str) -> str:
    """The column of staged rows that says whether they break a rule that looks beyond one row."""
    return quote(f"hits {rule}")


def _passes(columns: tuple[str, ...]) -> str:
    return "".join(f"{quote(column)} IS NULL OR " for column in columns)
