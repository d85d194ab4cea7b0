"""Scores: the quality of a partition by rows, by money and by dimension; and the result of each of its rules.

Belongs here: the arithmetic and the values. Does not belong here: counting (`tally`), storing them (`lake.index`).

Rules that only warn count in no score except timeliness, which has hardly any other rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from assay.contracts.dimension import Dimension
from assay.contracts.rules import Rule
from assay.contracts.severity import Severity

_DIGITS = 4


@dataclass(frozen=True)
class Scores:
    """The scores of a partition, 0 to 100.

    Attributes:
        score: Share of rows that broke no rule.
        money_score: The same weighted by the absolute money of rows; None where the table has no money.
        dimensions: Share of rows that broke no rule of a dimension, for the dimensions in which the table has rules.
        money: Absolute money of all rows.
        money_at_risk: Absolute money of the rows that broke a rule.
    """

    score: float = 100.0
    money_score: float | None = None
    dimensions: Mapping[Dimension, float] = field(default_factory=dict)
    money: Decimal = Decimal(0)
    money_at_risk: Decimal = Decimal(0)

    def to_dict(self) -> dict[str, Any]:
        """The scores by name, dimensions alongside the others, money as decimal strings."""
        written: dict[str, Any] = {"score": self.score, "money_score": self.money_score}
        written |= {str(dimension): score for dimension, score in self.dimensions.items()}
        return written | {"money": str(self.money), "money_at_risk": str(self.money_at_risk)}


def scores_from_dict(written: Mapping[str, Any]) -> Scores:
    """Read what `Scores.to_dict` wrote."""
    return Scores(
        score=float(written.get("score", 100.0)),
        money_score=written.get("money_score"),
        dimensions={dimension: float(written[dimension]) for dimension in Dimension if dimension in written},
        money=Decimal(written.get("money", 0)),
        money_at_risk=Decimal(written.get("money_at_risk", 0)),
    )


def share(good: int | Decimal, of: int | Decimal) -> float:
    """A share as a percentage; of no rows, all are good."""
    return round(float(100 * good / of), _DIGITS) if of else 100.0


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule in one partition.

    Attributes:
        rule: The rule.
        broken: Number of rows that broke it; zero where no single row is to blame.
        money_at_risk: Their absolute money.
        measured: The measured value, if the rule is about a measure of the partition.
        passed: Whether it holds.
        said: The message about it: measured and expected values and what to do; empty where the rows say enough.
    """

    rule: Rule
    broken: int = 0
    money_at_risk: Decimal = Decimal(0)
    measured: float | None = None
    passed: bool = True
    said: str = ""


def results(
    rules: Sequence[Rule],
    broken: Mapping[str, int],
    at_risk: Mapping[str, Decimal],
    measured: Mapping[str, float],
    unmet: Mapping[str, str],
) -> tuple[RuleResult, ...]:
    """Make one result per rule, including those that passed.

    Args:
        rules: Every rule of the table.
        broken: Number of rows that broke a rule, by name; rules without any are left out.
        at_risk: Their absolute money.
        measured: Measured values, by rule.
        unmet: Messages about rules of whole partitions that do not hold, by rule.
    """
    return tuple(
        RuleResult(
            rule=rule,
            broken=broken.get(rule.name, 0),
            money_at_risk=at_risk.get(rule.name, Decimal(0)),
            measured=measured.get(rule.name),
            passed=not broken.get(rule.name) and rule.name not in unmet,
            said=unmet.get(rule.name, ""),
        )
        for rule in rules
    )


def counts_in_dimension(rule: Rule) -> bool:
    """Whether a rule counts in the score of its dimension."""
    return rule.severity is not Severity.WARN or rule.dimension is Dimension.TIMELINESS


def weighted_mean(figures: Iterable[tuple[float | None, int]]) -> float | None:
    """The mean of figures by their weights; of those that are None nothing counts, and without any it is None."""
    total, weight = 0.0, 0
    for figure, rows in figures:
        if figure is not None:
            total += figure * rows
            weight += rows
    return total / weight if weight else None
