"""The tables that the platform itself fills with its findings about the domain's tables, read as `quality.<name>`.

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
    """A table that the platform fills.

    Attributes:
        name: The name in `quality.<name>`.
        model: Its columns.
        kept_as: The table whose objects it reads; its own when None.
        only: Condition that selects its rows; None for all.
    """

    name: str
    model: type[Contract]
    kept_as: str | None = None
    only: str | None = field(default=None, kw_only=True)

    @property
    def stored(self) -> str:
        """The name under which its rows are stored in the lake."""
        return self.kept_as or self.name

    @property
    def full_name(self) -> str:
        """Its name in SQL."""
        return f"quality.{self.name}"

    @property
    def description(self) -> str:
        """What a row represents."""
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
        """Its Arrow schema."""
        return pa.schema([pa.field(spec.name, _ARROW[spec.sql_type]) for spec in self.columns])


class Profile(Contract):
    """One row per published day and figure: a measured figure of a watched table."""

    table_name: str = col("The table, as SQL names it")
    partition: Date = col("The day")
    metric: str = col(
        "What was measured: volume (rows), value (their total), null_share, category_share, lag (typical hours from what "
        "happened to its landing), first_landing (hours from the end of the day to its first landing; negative before the end)"
    )
    of_column: str = col("The column that was measured; null for the rows themselves", nullable=True)
    category: str = col("The value whose share it is", nullable=True)
    region: str = col("The region that it was measured for; null for all of them", nullable=True)
    figure: Number = col("What was measured; shares from 0 to 1", nullable=True)
    row_count: Count = col("The number of rows measured")
    content: str = col("Content hash of the published day that was measured")
    watch: str = col("Version of the declaration of what to measure")


class AnomalyRow(Contract):
    """One row per figure that is far from those of similar days."""

    table_name: str = col("The table, as SQL names it")
    partition: Date = col("The day")
    metric: str = col("volume, value, null_share, category_share or lag")
    of_column: str = col("The column that it is about; null for the rows themselves", nullable=True)
    category: str = col("The value whose share it is", nullable=True)
    region: str = col("The region that it is about; null for all of them", nullable=True)
    observed: Number = col("The measured value; shares from 0 to 1, lag in hours")
    expected: Number = col("The expected value")
    change: Number = col("The difference as a share of the expected value; null where nothing was expected", nullable=True)
    score: Number = col("The difference in robust standard deviations")
    like_days: Count = col("Number of days of the same weekday behind the expectation")
    holiday: str = col("The holiday on that day in the region", nullable=True)
    content: str = col("Content hash of the published day that was judged; null where none is published", nullable=True)
    text: str = col("The anomaly in words")


class PartitionScore(Contract):
    """One row per proof of a partition: how good it was found to be."""

    table_name: str = col("The table, as SQL names it")
    partition: str = col("The partition; `all` for an unpartitioned table")
    run_id: str = col("The run that proved it")
    proven_at: Timestamp = col("When")
    status: str = col("Its result: published, unchanged or failed")
    row_count: Count = col("Rows that were judged")
    published: Count = col("Rows that may be published")
    quarantined: Count = col("Rows that went to quarantine")
    score: Number = col("Share of rows that broke no rule other than warnings", unit="0 to 100", nullable=True)
    money_score: Number = col("The same weighted by money; null where the table has none", unit="0 to 100", nullable=True)
    completeness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    validity: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    uniqueness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    consistency: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    timeliness: Number = col("Share of rows that broke no rule of this dimension", unit="0 to 100", nullable=True)
    money: Decimal = col("Absolute money of the rows; null where the table has none", nullable=True)
    money_at_risk: Decimal = col("Absolute money of the rows that broke a rule", nullable=True)
    balanced: bool = col("Whether its books balance")
    contract: str = col("Version of the contract applied")


class RuleResult(Contract):
    """One row per rule and proof of a partition, whether or not any row broke it."""

    table_name: str = col("The table, as SQL names it")
    partition: str = col("The partition; `all` for an unpartitioned table")
    run_id: str = col("The run that proved it")
    proven_at: Timestamp = col("When")
    rule: str = col("The rule")
    dimension: str = col("completeness, validity, uniqueness, consistency or timeliness")
    severity: str = col("fix, quarantine, stop or warn")
    owner: str = col("The team responsible for it")
    row_count: Count = col("Rows that were judged")
    broken: Count = col("Number of rows that broke it")
    money_at_risk: Decimal = col("Their absolute money; null where the table has none", nullable=True)
    measured: Number = col("The value that a rule about all rows measured; null for rules about single rows", nullable=True)
    expected: str = col("The expectation", nullable=True)
    passed: bool = col("Whether the rule held")


class ReconciliationRow(Contract):
    """One row per control, day, key and measure: the lake's total, and the control's."""

    control: str = col("The control's name in the domain")
    table_name: str = col("The table that it checks, as SQL names it")
    day: Date = col("The day")
    key: str = col("Further keys of the control besides the day, as a JSON object; null where there are none", nullable=True)
    measure: str = col("row_count, or the name of a sum")
    in_lake: Decimal = col("The published total; null where there is none for the day and key", nullable=True)
    in_quarantine: Decimal = col("The total of the table's rows that its contract refused")
    in_control: Decimal = col("The control's total; null where there is none for the day and key", nullable=True)
    difference: Decimal = col("How much more is published")
    tolerance: Decimal = col("By how much they may differ")
    status: str = col(
        "same, tolerated, quarantined: the difference is in quarantine, different, only_in_lake, only_in_control, or open: the "
        "day was not complete and may differ"
    )
    asked: str = col("Where the control's figures come from: postgresql, mysql or file")
    found_at: Timestamp = col("When this result was first found")
    reconciled_at: Timestamp = col("When it was last confirmed")
    run_id: str = col("The run that last confirmed it")
    is_latest: bool = col("Whether this is the newest result of the control and day, which is the one that counts")


class Restatement(Contract):
    """One row per cell of a generated mart that was reported as complete and later changed."""

    table_name: str = col("The mart, as SQL names it")
    partition: Date = col("The period: its first day")
    key: str = col("The entity, as a JSON object of key columns; {} for the whole company")
    metric: str = col("The metric")
    before: str = col("The value first reported, as text; null where there was none", nullable=True)
    after: str = col("The value reported since, as text; null where there is none", nullable=True)
    reported_at: Timestamp = col("When the first value was published, UTC")
    restated_at: Timestamp = col("When the second value was published, UTC")
    seen_until: Timestamp = col("When the newest event behind the first value had landed, UTC", nullable=True)
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
"""All of them, by name in SQL."""
