"""The tables that the machinery itself fills: what it found out about the domain's tables, read as `quality.<name>`.

Belongs here: their contracts. Does not belong here: filling them (`pipeline.watching`, `pipeline.scoring`,
`pipeline.reconciling`, `pipeline.restating`), the domain's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from assay.contracts import Contract, Count, Date, Decimal, Number, Timestamp
from assay.contracts import column as col
from assay.contracts.columns import ColumnSpec, column_specs
from assay.contracts.version import fingerprint

_ARROW = {
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    "DECIMAL(38,4)": pa.decimal128(38, 4),
}


@dataclass(frozen=True)
class OwnTable:
    """A table that the machinery fills.

    Attributes:
        name: As in `quality.<name>`.
        model: Its columns.
        kept_as: The table whose objects it reads; its own when None.
        only: Condition on the rows that it has; None for all.
    """

    name: str
    model: type[Contract]
    kept_as: str | None = None
    only: str | None = field(default=None, kw_only=True)

    @property
    def stored(self) -> str:
        """The name under which its rows lie in the lake."""
        return self.kept_as or self.name

    @property
    def full_name(self) -> str:
        """As SQL names it."""
        return f"quality.{self.name}"

    @property
    def description(self) -> str:
        """What a row is."""
        return (self.model.__doc__ or "").strip()

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


class PartitionScore(Contract):
    """One row a proof of a partition: how good it was found to be."""

    table_name: str = col("The table, as SQL names it")
    partition: str = col("The partition; `all` of a table that is not cut")
    run_id: str = col("The run that proved it")
    proven_at: Timestamp = col("When")
    status: str = col("What became of it: published, unchanged or failed")
    row_count: Count = col("Rows that were judged")
    published: Count = col("Rows that may be published")
    quarantined: Count = col("Rows that went to quarantine")
    score: Number = col("Share of rows that broke no rule but such that only warn", unit="0 to 100", nullable=True)
    money_score: Number = col("The same weighted by money; null where the table has none", unit="0 to 100", nullable=True)
    completeness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    validity: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    uniqueness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    consistency: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    timeliness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    money: Decimal = col("Absolute money of the rows; null where the table has none", nullable=True)
    money_at_risk: Decimal = col("That of the rows that broke a rule", nullable=True)
    balanced: bool = col("Whether its books balance")
    contract: str = col("Version of the contract that it was judged by")


class RuleResult(Contract):
    """One row a rule and proof of a partition, whether or not any row broke it."""

    table_name: str = col("The table, as SQL names it")
    partition: str = col("The partition; `all` of a table that is not cut")
    run_id: str = col("The run that proved it")
    proven_at: Timestamp = col("When")
    rule: str = col("The rule")
    dimension: str = col("completeness, validity, uniqueness, consistency or timeliness")
    severity: str = col("fix, quarantine, stop or warn")
    owner: str = col("Who answers for it")
    row_count: Count = col("Rows that were judged")
    broken: Count = col("Rows that broke it")
    money_at_risk: Decimal = col("Their absolute money; null where the table has none", nullable=True)
    measured: Number = col("What a rule about all rows measured; null of a rule about single rows", nullable=True)
    expected: str = col("What it should have been", nullable=True)
    passed: bool = col("Whether the rule held")


class ReconciliationRow(Contract):
    """One row a control, day, key and measure: what the lake adds up to, and what the control says."""

    control: str = col("The control, as the domain calls it")
    table_name: str = col("The table that it is about, as SQL names it")
    day: Date = col("The day")
    key: str = col("What the control distinguishes beside the day, as a JSON object; null where it is nothing", nullable=True)
    measure: str = col("row_count, or the name of a sum")
    in_lake: Decimal = col("What is published adds up to; null where nothing is of the day and key", nullable=True)
    in_quarantine: Decimal = col("What rows of the table add up to that its contract refused")
    in_control: Decimal = col("What the control says; null where it says nothing of the day and key", nullable=True)
    difference: Decimal = col("How much more is published")
    tolerance: Decimal = col("By how much they may differ")
    status: str = col(
        "same, tolerated, quarantined: the difference is in quarantine, different, only_in_lake, only_in_control, or open: the "
        "day was not complete and may differ"
    )
    asked: str = col("Who said what the control says: postgresql, mysql or file")
    found_at: Timestamp = col("When the day was first found to be so")
    reconciled_at: Timestamp = col("When the day was last found to be so")
    run_id: str = col("The run that last found it to be so")
    is_latest: bool = col("Whether this is the newest result of the control and day, which is the one that counts")


class Restatement(Contract):
    """One row a cell of a generated mart that was reported as complete, and said something else afterwards."""

    table_name: str = col("The mart, as SQL names it")
    partition: Date = col("The period: its first day")
    key: str = col("Who it is about, as a JSON object of key columns; {} for the whole company")
    metric: str = col("The metric")
    before: str = col("What was reported, as text; null where nothing was", nullable=True)
    after: str = col("What is reported since, as text; null where nothing is", nullable=True)
    reported_at: Timestamp = col("When the first was published, UTC")
    restated_at: Timestamp = col("When the second was, UTC")
    seen_until: Timestamp = col("When the newest event behind what was reported had been landed, UTC", nullable=True)
    run_id: str = col("The run that restated it")


PROFILES = OwnTable("profiles", Profile)
ANOMALIES = OwnTable("anomalies", AnomalyRow)
PARTITION_SCORES = OwnTable("partition_scores", PartitionScore)
RULE_RESULTS = OwnTable("rule_results", RuleResult)
RECONCILIATION_HISTORY = OwnTable("reconciliation_history", ReconciliationRow)
RECONCILIATIONS = OwnTable("reconciliations", ReconciliationRow, RECONCILIATION_HISTORY.name, only="is_latest")
RESTATEMENTS = OwnTable("restatements", Restatement)
OWN_TABLES = {
    each.full_name: each
    for each in (PROFILES, ANOMALIES, PARTITION_SCORES, RULE_RESULTS, RECONCILIATIONS, RECONCILIATION_HISTORY, RESTATEMENTS)
}
"""Every one, as SQL names it."""
