"""Measures: figures of a partition as a whole, as DuckDB aggregates.

Belongs here: their names, how they are computed and how they are shown. Does not belong here: expectations about them
(`measured`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from assay.contracts.rules import literal, quote


@dataclass(frozen=True)
class Measure:
    """One figure of a partition.

    Attributes:
        name: Its name, as in `mcc_null_share`.
        words: What it is, in words.
        sql: DuckDB aggregate over the partition's rows; null if there is nothing to measure.
        columns: The columns that it uses.
        is_share: Whether it is a share of rows.
        is_numeric: Whether the columns must be numeric.
        wrong: Why its arguments are invalid, or None.
    """

    name: str
    words: str
    sql: str
    columns: tuple[str, ...] = ()
    is_share: bool = False
    is_numeric: bool = False
    wrong: str | None = None

    def shown(self, figure: float) -> str:
        """Format a figure."""
        return f"{figure:.2%}" if self.is_share else f"{figure:,.10g}"


def null_share(column: str) -> Measure:
    """The share of rows whose value is null."""
    own = quote(column)
    words = f"the share of rows without {column}"
    return Measure(f"{column}_null_share", words, f"1 - count({own}) / nullif(count(*), 0)", (column,), is_share=True)


def share(column: str, values: Iterable[Any]) -> Measure:
    """The share of rows whose value is one of the given values."""
    wanted = sorted(values, key=str)
    listed = ", ".join(literal(value) for value in wanted) or "NULL"
    named = "_or_".join(re.sub(r"\W+", "_", str(value)).strip("_").lower() or "blank" for value in wanted)
    return Measure(
        name=f"{column}_{named}_share",
        words=f"the share of rows whose {column} is {' or '.join(map(str, wanted))}",
        sql=f"count(*) FILTER ({quote(column)} IN ({listed})) / nullif(count(*), 0)",
        columns=(column,),
        is_share=True,
        wrong=None if wanted else "it lists no value",
    )


def quantile(column: str, q: float) -> Measure:
    """A quantile, interpolated."""
    return Measure(
        name=f"{column}_quantile_{round(q * 1000):03d}",
        words=f"the {q:g} quantile of {column}",
        sql=f"quantile_cont({quote(column)}, {q!r})::DOUBLE",
        columns=(column,),
        is_numeric=True,
        wrong=None if 0 <= q <= 1 else f"q is {q:g}, but must be from 0 to 1",
    )


def mean(column: str) -> Measure:
    """The mean of the values that are not null."""
    return Measure(f"{column}_mean", f"the mean of {column}", f"avg({quote(column)})::DOUBLE", (column,), is_numeric=True)


def row_count() -> Measure:
    """The number of rows."""
    return Measure("row_count", "the number of rows", "count(*)::DOUBLE")
