"""Expressions: metrics as DuckDB SQL over the stored columns of their row.

Belongs here: metrics computed from metrics of the same row and period. Does not belong here: aggregates (`parts`), exact division
(`exact`), other periods (`trends`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from assay.metrics.catalog import Catalog
from assay.metrics.exact import MONEY_PLACES, SHARE_PLACES, divide, scale_of, substitute
from assay.metrics.kinds import Average, Conversion, Derived, Rank, Ratio, Share
from assay.metrics.resolving import Resolved

Name = Callable[[str], str]
"""Returns the SQL of a stored column or another metric."""


@dataclass(frozen=True)
class Writer:
    """Writes the expressions of a catalog's metrics.

    Attributes:
        catalog: The declarations.
    """

    catalog: Catalog

    def row(self, metric: Resolved, name: Name, period: Iterable[str] = ()) -> str:
        """Write a metric that is computed from columns of its row, or from the rows of its period.

        Args:
            metric: The metric; not one over other periods.
            name: Returns the SQL of parts and of other metrics.
            period: The columns that identify a period, for shares and ranks.
        """
        match metric.metric:
            case Average():
                summed, rows = (self.catalog.parts[part] for part in metric.parts)
                return divide(
                    name(summed.name), summed.sql_type, name(rows.name), rows.sql_type, MONEY_PLACES, signed=metric.is_signed
                )
            case Conversion():
                reached, began = metric.parts
                return divide(name(reached), "BIGINT", name(began), "BIGINT", SHARE_PLACES)
            case Ratio():
                above, below = (self.catalog.metrics[each] for each in metric.refers)
                places = scale_of(metric.sql_type) or SHARE_PLACES
                return divide(name(above.name), above.sql_type, name(below.name), below.sql_type, places, signed=above.is_signed)
            case Derived(formula_of=formula):
                return substitute(formula, name)
            case Share(of=of, within=within):
                total = f"sum({name(of)}) OVER ({_partition((*period, within) if within else period)})"
                shared = self.catalog.metrics[of]
                if shared.sql_type == "BIGINT":
                    total = f"CAST({total} AS BIGINT)"
                if shared.is_signed:
                    total = f"(CASE WHEN {total} > 0 THEN {total} END)"
                return divide(name(of), shared.sql_type, total, shared.sql_type, SHARE_PLACES, signed=shared.is_signed)
            case Rank(of=of, within=within):
                window = f"{_partition((*period, within) if within else period)} ORDER BY {name(of)} DESC NULLS LAST"
                return f"CASE WHEN {name(of)} IS NOT NULL THEN rank() OVER ({window}) END"
        return name(metric.name)

    def over_parts(self, metric: Resolved, name: Name, period: Iterable[str] = ()) -> str:
        """Write a metric in terms of parts alone, for where the parts are added up first, as over a window."""
        columns = tuple(period)

        def inner(other: str) -> str:
            if other in self.catalog.parts:
                return name(other)
            return f"({self.over_parts(self.catalog.metrics[other], name, columns)})"

        return self.row(metric, inner, columns)


def _partition(columns: Iterable[str]) -> str:
    listed = ", ".join(columns)
    return f"PARTITION BY {listed}" if listed else ""
