"""The tables that the machinery itself fills: what it found out about the domain's tables, read as `quality.<name>`.

Belongs here: their contracts. Does not belong here: filling them (`pipeline.watching`), the domain's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from assay.contracts import Contract, Count, Date, Number
from assay.contracts import column as col
from assay.contracts.columns import ColumnSpec, column_specs
from assay.contracts.version import fingerprint

_ARROW = {
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}


@dataclass(frozen=True)
class OwnTable:
    """A table that the machinery fills.

    Attributes:
        name: As in `quality.<name>`.
        model: Its columns.
    """

    name: str
    model: type[Contract]

    @property
    def full_name(self) -> str:
        """As SQL names it."""
        return f"quality.{self.name}"

    @cached_property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """Its columns."""
        return column_specs(self.model)

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB type by column."""
        return {spec.name: spec.sql_type for spec in self.columns}

    @cached_property
    def version(self) -> str:
        """A hash of its columns."""
        return fingerprint(list(self.types.items()))

    @cached_property
    def schema(self) -> pa.Schema:
        """The same as Arrow has it."""
        return pa.schema([pa.field(spec.name, _ARROW[spec.sql_type]) for spec in self.columns])


class Profile(Contract):
    """One row a published day and figure: what is watched of a table, as it was measured."""

    table_name: str = col("The table, as SQL names it")
    partition: Date = col("The day")
    metric: str = col(
        "What was measured: volume (rows), value (their total), null_share, category_share, lag (typical hours from what "
        "happened to its landing), first_landing (hours from the end of the day to its first landing; negative before the end)"
    )
    of_column: str = col("The column that it was measured of; null for the rows themselves", nullable=True)
    category: str = col("The value whose share it is", nullable=True)
    region: str = col("The region that it was measured for; null for all of them", nullable=True)
    figure: Number = col("What was measured; shares from 0 to 1", nullable=True)
    row_count: Count = col("The rows it was measured on")
    content: str = col("Content hash of the published day that was measured")
    watch: str = col("Version of the declaration that says what to measure")


class AnomalyRow(Contract):
    """One row a figure that is far from what days like it had."""

    table_name: str = col("The table, as SQL names it")
    partition: Date = col("The day")
    metric: str = col("volume, value, null_share, category_share or lag")
    of_column: str = col("The column that it is about; null for the rows themselves", nullable=True)
    category: str = col("The value whose share it is", nullable=True)
    region: str = col("The region that it is about; null for all of them", nullable=True)
    observed: Number = col("What was measured; shares from 0 to 1, lag in hours")
    expected: Number = col("What days like it had")
    change: Number = col("How much more or less that is, as a share of what was expected; null where nothing was", nullable=True)
    score: Number = col("The same in robust standard deviations")
    like_days: Count = col("Days of the same weekday that the expectation is from")
    holiday: str = col("The holiday that the day is in the region", nullable=True)
    content: str = col("Content hash of the published day that was judged; null where none is published", nullable=True)
    text: str = col("The anomaly in words")


PROFILES = OwnTable("profiles", Profile)
ANOMALIES = OwnTable("anomalies", AnomalyRow)
OWN_TABLES = {each.full_name: each for each in (PROFILES, ANOMALIES)}
"""Every one, as SQL names it."""
