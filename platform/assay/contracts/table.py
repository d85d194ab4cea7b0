"""A table's declaration: layer, name, key, partition, owner, and what its partitions depend on.

Belongs here: the frozen `Table`, the `@table` decorator that attaches it to a Pandera model, and the partitionings. Does
not belong here: where partitions are in the lake (`lake.layout`) and how they are computed (`engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Literal, TypeVar

from assay.contracts.cadence import Cadence
from assay.contracts.columns import ColumnSpec, column_specs
from assay.contracts.dimension import Dimension
from assay.contracts.expectation import Expectation
from assay.contracts.model import RUN_COLUMNS, Contract, Published
from assay.contracts.periods import Grain, Window, first_day_sql
from assay.contracts.rules import Rule, quote, rules_of
from assay.contracts.severity import Severity
from assay.contracts.soundness import require_columns, require_rules, require_windows, uniques_of
from assay.contracts.version import fingerprint, said
from assay.contracts.watch import Watch

Layer = Literal["enriched", "marts"]
Drift = Literal["evolve", "freeze", "discard"]
Moves = Literal["any", "told", "never"]


@dataclass(frozen=True)
class Daily:
    """One partition a UTC day.

    Attributes:
        column: The partition column.
        of: For a source, the DuckDB expression over the producer's columns that gives the day an event is about.
        moves: For a source, how a key's day may change. `any`: in any way, even by a second row of the key without a delete of
            the first; all keys of the source are then checked after every ingestion. `told`: by an update, or after a delete, as
            databases report it; then only such keys are checked. `never`: not at all; if that is wrong, a key is in two
            partitions.
    """

    column: str
    of: str | None = None
    moves: Moves = "any"
    grain: Grain = field(default=Grain.DAY, init=False)


@dataclass(frozen=True)
class Whole:
    """One partition for the whole table, for tables that are small or must be computed at once."""

    grain: Grain = field(default=Grain.WHOLE, init=False)


@dataclass(frozen=True)
class Weekly:
    """One partition an ISO week, from Monday to Sunday.

    Attributes:
        column: The partition column, a DATE that holds the week's Monday.
    """

    column: str
    grain: Grain = field(default=Grain.WEEK, init=False)


@dataclass(frozen=True)
class Monthly:
    """One partition a month.

    Attributes:
        column: The partition column, a DATE that holds the month's first day.
    """

    column: str
    grain: Grain = field(default=Grain.MONTH, init=False)


@dataclass(frozen=True)
class Yearly:
    """One partition a year.

    Attributes:
        column: The partition column, a DATE that holds the year's first day.
    """

    column: str
    grain: Grain = field(default=Grain.YEAR, init=False)


Partitioning = Daily | Weekly | Monthly | Yearly | Whole
QUARANTINE_AGE = timedelta(days=7)
"""How long a record may stay in quarantine before somebody is alerted, unless the table or source declares it."""


@dataclass(frozen=True)
class Balance:
    """How the books of a table are balanced, if counting its rows is not enough.

    Attributes:
        inputs: The relations whose rows must all be accounted for, as the SQL names them.
        rows: Expression over a published row: how many input rows it accounts for.
        input_rows: Aggregate over the inputs: how many rows came in; a mapping by input if it differs between them.
        money_in: Expression over an input row: its money; a mapping by input if it differs between them.
        money_out: Expression over a published row: the money it accounts for.
    """

    inputs: tuple[str, ...]
    rows: str = "1"
    input_rows: str | Mapping[str, str] = "count(*)"
    money_in: str | Mapping[str, str] | None = None
    money_out: str | None = None

    def rows_in(self, relation: str) -> str:
        """Aggregate over one of the inputs: how many rows came in."""
        return self.input_rows if isinstance(self.input_rows, str) else self.input_rows[relation]

    def money_of(self, relation: str) -> str | None:
        """Expression over a row of one of the inputs: its money; None if that table's own books count it."""
        return self.money_in.get(relation) if isinstance(self.money_in, Mapping) else self.money_in


@dataclass(frozen=True)
class Table:
    """Everything Assay knows about an enriched table or a mart except its SQL.

    Attributes:
        layer: `enriched` or `marts`.
        name: The table's name; its SQL is `assets_sql/<layer>/<name>.sql`.
        model: The Pandera model.
        key: Columns that identify a row, within the whole table.
        partition: How the table is partitioned.
        owner: Who answers for it, as in `team:payments`.
        subject: The group it is shown under.
        freshness: How old its newest partition may be.
        drift: What happens when the source's columns change.
        windows: By relation: which partitions it reads besides those of its own period.
        lookups: Relations it reads only by key: `{relation: {own column: that relation's column}}`. A change there
            dirties only the partitions that hold a changed key.
        severities: Severity by rule name, where it is not `quarantine`.
        owners: Owner by rule name, where it is not the table's owner.
        dimensions: Dimension of quality by rule name, where it is not the default of `rules_of`.
        expects: What is expected of it beyond what its model says about one row.
        balance: How the books are balanced; by default every input event is one row.
        money: The published column whose total the books keep.
        threshold: Lowest quality score, 0 to 100, at which a partition is published.
        tolerated: Rows that may break rules whatever the score: among a handful of rows, one bad row says little about the rest.
        watch: What is watched for anomalies. By default, for a daily table with `money`, the number of rows and their money;
            False for nothing.
        quarantine_age: How long a row may stay in quarantine before somebody is alerted.
        cadence: How soon it is brought up to date: in the run that ingests what has landed, or later, for tables that are costly
            to compute and not urgent.
        is_local: Whether its periods are in local time, not UTC: then the first may begin a day before all UTC days, and the last
            end a day after them.
    """

    layer: Layer
    name: str
    model: type[Contract]
    key: tuple[str, ...]
    partition: Partitioning
    owner: str
    subject: str
    freshness: timedelta | None = None
    drift: Drift = "evolve"
    windows: Mapping[str, Window] = field(default_factory=dict)
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    expects: tuple[Expectation, ...] = ()
    balance: Balance | None = None
    money: str | None = None
    threshold: float = 0.0
    tolerated: int = 0
    watch: Watch | Literal[False] | None = None
    quarantine_age: timedelta = QUARANTINE_AGE
    cadence: Cadence = Cadence.AT_ONCE
    is_local: bool = False

    @property
    def full_name(self) -> str:
        """`layer.name`, as SQL names the table."""
        return f"{self.layer}.{self.name}"

    @property
    def description(self) -> str:
        """The model's docstring."""
        return (self.model.__doc__ or "").strip()

    @property
    def partition_column(self) -> str | None:
        """The partition column, or None for an unpartitioned table."""
        return None if isinstance(self.partition, Whole) else self.partition.column

    @property
    def grain(self) -> Grain:
        """How the table is partitioned."""
        return self.partition.grain

    @cached_property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """The declared columns without the engine's: the table's own first, then those that every table has."""
        inherited = Published.to_schema().columns
        return tuple(sorted(column_specs(self.model), key=lambda spec: spec.name in inherited))

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB type by column, including the engine's columns."""
        return {spec.name: spec.sql_type for spec in self.columns} | RUN_COLUMNS

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The contract's rules as DuckDB predicates over a staged row, except those that look beyond the row."""
        return rules_of(self.model, self.severities, self.owner, self.owners, self.dimensions) + self._partition_rules

    @cached_property
    def expectations(self) -> dict[str, Expectation]:
        """Expectations beyond one row, by rule name: the model's unique columns, then `expects`."""
        own = uniques_of(self.model, self.severities, self.owners, self.dimensions)
        return {each.name or each.title: each for each in (*own, *self.expects)}

    @property
    def _partition_rules(self) -> tuple[Rule, ...]:
        """The rule that the partition column holds a first day; a violation is an error of the SQL, not of a row."""
        column = self.partition_column
        if column is None or self.grain is Grain.DAY:
            return ()
        first = first_day_sql(self.grain, quote(column))
        reason = f"{column} must be the first day of a {self.grain}, as date_trunc('{self.grain}', …)::DATE gives it"
        name = f"{column}_first_day"
        return (Rule(name, f"{quote(column)} = {first}", Severity.STOP, (column,), reason, owner=self.owner),)

    @cached_property
    def version(self) -> str:
        """A hash of what the contract says about data; descriptions, owners and freshness do not count."""
        return fingerprint(
            {
                "columns": [(spec.name, spec.sql_type, spec.nullable) for spec in self.columns],
                "rules": [(rule.name, rule.predicate, rule.severity) for rule in self.rules],
                "key": self.key,
                "partition": said(self.partition),
                "windows": sorted((name, said(window)) for name, window in self.windows.items()),
                "balance": said(self.balance),
                "money": self.money,
                "threshold": (self.threshold, self.tolerated),
            }
            | ({"expects": expects} if (expects := [each.version() for each in self.expectations.values()]) else {})
        )

    def partition_in(self, relation: str) -> str | None:
        """The relation's column that a lookup joins to the table's partition column, if the lookup uses no other columns."""
        on = self.lookups.get(relation, {})
        return on[self.partition_column] if self.partition_column is not None and set(on) == {self.partition_column} else None

    @property
    def watched(self) -> Watch | None:
        """What is watched for anomalies, or None."""
        if self.watch is not None:
            return self.watch or None
        return Watch(value=self.money) if self.money is not None and self.grain is Grain.DAY else None

    def is_good_enough(self, rows: int, score: float) -> bool:
        """Whether a partition with this many rows and this score may be published."""
        return is_good_enough(rows, score, self.threshold, self.tolerated)


def is_good_enough(rows: int, score: float, threshold: float, tolerated: int) -> bool:
    """Whether this many rows with this score reach the threshold, or break rules in no more rows than tolerated."""
    return score >= threshold or round(rows * (100 - score) / 100) <= tolerated


_Model = TypeVar("_Model", bound=type[Contract])
DECLARATION = "__assay__"


def table(
    name: str,
    *,
    layer: Layer,
    key: tuple[str, ...],
    owner: str,
    subject: str,
    partition: Partitioning | None = None,
    freshness: timedelta | None = None,
    drift: Drift = "evolve",
    windows: Mapping[str, Window] | None = None,
    lookups: Mapping[str, Mapping[str, str]] | None = None,
    severities: Mapping[str, Severity] | None = None,
    owners: Mapping[str, str] | None = None,
    dimensions: Mapping[str, Dimension] | None = None,
    expects: tuple[Expectation, ...] = (),
    balance: Balance | None = None,
    money: str | None = None,
    threshold: float = 0.0,
    tolerated: int = 0,
    watch: Watch | Literal[False] | None = None,
    quarantine_age: timedelta = QUARANTINE_AGE,
    cadence: Cadence = Cadence.AT_ONCE,
    is_local: bool = False,
) -> Callable[[_Model], _Model]:
    """Declare that a Pandera model is the contract of an enriched table or a mart.

    The arguments are those of `Table`.

    Raises:
        ContractError: There is no such layer; the key, the partition column, a severity, an owner or dimension of a rule, a
            lookup or the watch names what the model does not have; the partition column is not a DATE; a table not partitioned by
            day is watched; a window is invalid; or a column has a name reserved for the engine.
    """

    def declare(model: _Model) -> _Model:
        declared = Table(
            layer=layer,
            name=name,
            model=model,
            key=key,
            partition=partition or Whole(),
            owner=owner,
            subject=subject,
            freshness=freshness,
            drift=drift,
            windows=windows or {},
            lookups=lookups or {},
            severities=severities or {},
            owners=owners or {},
            dimensions=dimensions or {},
            expects=tuple(expects),
            balance=balance,
            money=money,
            threshold=threshold,
            tolerated=tolerated,
            watch=watch,
            quarantine_age=quarantine_age,
            cadence=cadence,
            is_local=is_local,
        )
        require_columns(declared)
        require_rules(declared)
        require_windows(declared)
        setattr(model, DECLARATION, declared)
        return model

    return declare
