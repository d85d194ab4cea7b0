"""Parts: the columns that marts store, from which metrics are computed and coarser marts are rolled up.

Belongs here: what a metric stores of a fact. Does not belong here: metrics of metrics (`expressions`), where parts are read from
(`lattice`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from assay.metrics.additivity import Additivity, merge_function
from assay.metrics.kinds import Average, Conversion, Count, CountDistinct, Maximum, Metric, Minimum, Quantile, Sum

Function = Literal["count", "sum", "min", "max", "distinct", "quantile"]
PartKey = tuple[str, str, str, str, str]
"""The identity of a part: fact, function, expression, condition, share."""

_ADDITIVITY: dict[str, Additivity] = {
    "count": Additivity.ADDITIVE,
    "sum": Additivity.ADDITIVE,
    "min": Additivity.MERGEABLE,
    "max": Additivity.MERGEABLE,
    "distinct": Additivity.SETS,
    "quantile": Additivity.SETS,
}


@dataclass(frozen=True)
class Part:
    """One aggregate over the rows of one fact.

    Attributes:
        name: Its column.
        fact: The fact.
        function: The aggregate.
        of: The expression; empty for a count of rows.
        where: Condition on rows; all when empty.
        q: The share, for a quantile.
        metric: The metric that it is, or for which it is stored.
        sql_type: Its column's type, once determined.
    """

    name: str
    fact: str
    function: Function
    of: str
    where: str
    q: str
    metric: str
    sql_type: str = ""

    @property
    def key(self) -> PartKey:
        """Equal for parts that compute the same."""
        return self.fact, self.function, _plain(self.of), self.condition, self.q

    @property
    def condition(self) -> str:
        """The condition on rows, with white space made equal so that the same condition has the same text."""
        return _plain(self.where)

    @property
    def additivity(self) -> Additivity:
        """How it rolls up."""
        return _ADDITIVITY[self.function]

    @property
    def is_set(self) -> bool:
        """Whether it is a distinct count or a quantile, which requires rows."""
        return self.additivity is Additivity.SETS

    @property
    def merge(self) -> str:
        """The aggregate that rolls it up.

        Raises:
            AdditivityError: It cannot be.
        """
        return merge_function(self.additivity, self.function, self.name)

    def merged(self, column: str) -> str:
        """The aggregate that rolls up a column of its stored values; the sum or count of no rows is zero."""
        merged = f"{self.merge}({column})"
        if self.additivity is Additivity.MERGEABLE:
            return merged
        return f"CAST(coalesce({merged}, 0) AS BIGINT)" if self.sql_type == "BIGINT" else f"coalesce({merged}, 0)"

    def merged_over(self, column: str, window: str) -> str:
        """As `merged`, over the rows of a named window; null where there are none."""
        merged = f"{self.merge}({column}) OVER {window}"
        is_count = self.additivity is Additivity.ADDITIVE and self.sql_type == "BIGINT"
        return f"CAST({merged} AS BIGINT)" if is_count else merged

    def aggregate(self) -> str:
        """The aggregate over rows of the fact."""
        if self.function in ("count", "sum") and self.where:
            return self._total(_where(self.function, self.of or "1", self.where))
        of = {
            "count": f"count({self.of or '*'})",
            "sum": f"sum({self.of})",
            "min": f"min({self.of})",
            "max": f"max({self.of})",
            "distinct": f"count(DISTINCT {self.of})",
            "quantile": f"quantile_disc({self.of}, {self.q})",
        }[self.function]
        return self._total(f"{of} FILTER (WHERE {self.where})" if self.where else of)

    def _total(self, found: str) -> str:
        """Make a sum zero, and not null, where there are no rows."""
        if self.function != "sum":
            return found
        return f"CAST(coalesce({found}, 0) AS BIGINT)" if self.sql_type == "BIGINT" else f"coalesce({found}, 0)"


def count_where(condition: str) -> str:
    """The number of rows that meet a condition."""
    return _where("count", "1", condition)


def _where(function: str, of: str, condition: str) -> str:
    """An aggregate over the rows that meet a condition: by CASE, because DuckDB takes twice as long for a hundred FILTERs."""
    return f"{function}(CASE WHEN {condition} THEN {of} END)"


def parts_of(metric: Metric, fact: str) -> tuple[Part, ...]:
    """The parts that a metric computed from rows needs, with names of their own; none for metrics of metrics."""

    def part(suffix: str, function: Function, of: str = "", where: str = "", q: str = "") -> Part:
        return Part(f"{metric.name}{suffix}", fact, function, of, where, q, metric.name)

    match metric:
        case Count():
            return (part("", "count", where=metric.where),)
        case Sum():
            return (part("", "sum", metric.of, metric.where),)
        case Minimum():
            return (part("", "min", metric.of, metric.where),)
        case Maximum():
            return (part("", "max", metric.of, metric.where),)
        case CountDistinct():
            return (part("", "distinct", metric.of, metric.where),)
        case Quantile():
            return (part("", "quantile", metric.of, metric.where, metric.q),)
        case Average():
            return (part("_total", "sum", metric.of, metric.where), part("_rows", "count", metric.of, metric.where))
        case Conversion():
            both = f"({metric.where}) AND ({metric.reached})"
            return (part("_reached", "count", where=both), part("_began", "count", where=metric.where))
    return ()


def is_of_rows(metric: Metric) -> bool:
    """Whether a metric is computed from the rows of a fact, and not from other metrics."""
    return bool(parts_of(metric, ""))


def columns_in(expression: str, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns of a relation in an expression, in the order of the relation."""
    words = set(_words(expression))
    return tuple(name for name in columns if name.lower() in words)


def _words(expression: str) -> Iterator[str]:
    bare = re.sub(r"'(?:[^']|'')*'", "''", expression)
    yield from (word.lower() for word in re.findall(r"[A-Za-z_][A-Za-z_0-9]*", bare))


def _plain(expression: str) -> str:
    return " ".join(expression.split())
