"""A raw source's declaration: what a producer lands, and which partition an event belongs to.

Belongs here: the frozen `Source`, the `@source` decorator and the interface that a format must have. Does not belong here:
the formats and their readers (`landing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

from assay.contracts.columns import ColumnSpec, column_specs
from assay.contracts.model import EVENT_COLUMNS, Contract
from assay.contracts.periods import Grain
from assay.contracts.table import DECLARATION, QUARANTINE_AGE, Daily, Drift, Whole
from assay.contracts.version import fingerprint, said
from assay.errors import ContractError


class Format(Protocol):
    """A landing format; each is a frozen dataclass in `assay.landing.formats`."""

    @property
    def name(self) -> str:
        """The format's name, as the catalog shows it."""
        ...


@runtime_checkable
class FormatOfElements(Format, Protocol):
    """A format that may yield several records from one document: the elements of one of its arrays."""

    @property
    def ordinal(self) -> str | None:
        """The column with an element's position in its document, 0 for the document itself; None if documents are not split."""
        ...


@runtime_checkable
class FormatOfSnapshots(Format, Protocol):
    """A format in which an object may hold all rows that exist, so that absent rows are deleted."""

    @property
    def snapshot(self) -> object | None:
        """How such objects are recognized; None if there are none."""
        ...


@dataclass(frozen=True)
class Elements:
    """How records that are elements of documents are identified.

    A deleted record with ordinal 0 stands for a version of the document: elements of an older version that the document no longer
    has are deleted as of it.

    Attributes:
        parent: The key columns that identify the document.
        ordinal: The column with the element's position.
    """

    parent: tuple[str, ...]
    ordinal: str


@dataclass(frozen=True)
class Source:
    """Everything Assay knows about a raw source.

    Attributes:
        name: The source's name: its landing folder and its raw table.
        model: The Pandera model of the producer's columns, typed as they are sent.
        format: How records are written.
        key: Columns that identify the entity an event is about; a record without them is quarantined.
        partition: The day an event is about, or whole.
        owner: Who answers for it.
        subject: The group it is shown under.
        money: DuckDB expression over the producer's columns: the event's amount, for the books.
        freshness: How long the source may be silent.
        drift: What happens when the producer's columns change.
        quarantine_age: How long a record may stay in quarantine before somebody is alerted.
        deletes_kept: How long a delete is kept after it has landed; None for ever. After that the row is forgotten, with all its
            events. An older event that lands later, of a key that nothing else is known about, goes to quarantine, because it
            is no longer known whether the row was deleted.
    """

    name: str
    model: type[Contract]
    format: Format
    key: tuple[str, ...]
    partition: Daily | Whole
    owner: str
    subject: str
    money: str | None = None
    freshness: timedelta | None = None
    drift: Drift = "evolve"
    quarantine_age: timedelta = QUARANTINE_AGE
    deletes_kept: timedelta | None = None

    @property
    def layer(self) -> str:
        """Always `raw`."""
        return "raw"

    @property
    def full_name(self) -> str:
        """`raw.<name>`."""
        return f"raw.{self.name}"

    @property
    def description(self) -> str:
        """The model's docstring."""
        return (self.model.__doc__ or "").strip()

    @property
    def partition_column(self) -> str | None:
        """The event-partition column, or None for an unpartitioned source."""
        return self.partition.column if isinstance(self.partition, Daily) else None

    @property
    def grain(self) -> Grain:
        """How the source is partitioned: by day, or not at all."""
        return self.partition.grain

    @cached_property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """The producer's columns, in the model's order."""
        return column_specs(self.model)

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB type by column of a raw change event: the producer's, the partition column, then Assay's own."""
        partition = {self.partition_column: "DATE"} if self.partition_column else {}
        return {spec.name: spec.sql_type for spec in self.columns} | partition | EVENT_COLUMNS

    @cached_property
    def day_columns(self) -> tuple[str, ...]:
        """The producer's columns that an event's day is computed from."""
        return self.columns_in(self.partition.of if isinstance(self.partition, Daily) else None)

    @cached_property
    def money_columns(self) -> tuple[str, ...]:
        """The producer's columns that an event's amount is computed from."""
        return self.columns_in(self.money)

    def columns_in(self, expression: str | None) -> tuple[str, ...]:
        """The producer's columns used in a DuckDB expression."""
        if expression is None:
            return ()
        # Loading contracts should not load a SQL parser.
        import sqlglot
        from sqlglot import exp

        named = {column.name for column in sqlglot.parse_one(expression, dialect="duckdb").find_all(exp.Column)}
        return tuple(spec.name for spec in self.columns if spec.name in named)

    @cached_property
    def elements(self) -> Elements | None:
        """How records that are elements of documents are identified, or None if they are not elements."""
        ordinal = self.format.ordinal if isinstance(self.format, FormatOfElements) else None
        return Elements(tuple(name for name in self.key if name != ordinal), ordinal) if ordinal else None

    @cached_property
    def version(self) -> str:
        """A hash of everything that determines how a landing object becomes raw events."""
        return fingerprint(
            {
                "columns": [(spec.name, spec.sql_type, spec.nullable) for spec in self.columns],
                "format": said(self.format),
                "key": self.key,
                "partition": said(self.partition),
                "money": self.money,
                "event": EVENT_COLUMNS,
                "drift": self.drift,
            }
        )


_Model = TypeVar("_Model", bound=type[Contract])


def source(
    name: str,
    *,
    format: Format,
    key: tuple[str, ...],
    owner: str,
    subject: str,
    partition: Daily | Whole | None = None,
    money: str | None = None,
    freshness: timedelta | None = None,
    drift: Drift = "evolve",
    quarantine_age: timedelta = QUARANTINE_AGE,
    deletes_kept: timedelta | None = None,
) -> Callable[[_Model], _Model]:
    """Declare that a Pandera model is the contract of a raw source.

    The arguments are those of `Source`.

    Raises:
        ContractError: The key names a column that the model does not have; a daily source does not say which day an event is
            about, or is partitioned by one of the producer's columns; the source is partitioned by anything but days; or
            `deletes_kept` is invalid.
    """

    def declare(model: _Model) -> _Model:
        declared = Source(
            name=name,
            model=model,
            format=format,
            key=key,
            partition=partition or Whole(),
            owner=owner,
            subject=subject,
            money=money,
            freshness=freshness,
            drift=drift,
            quarantine_age=quarantine_age,
            deletes_kept=deletes_kept,
        )
        names = {spec.name for spec in declared.columns}
        unknown = [column for column in key if column not in names]
        if unknown:
            raise ContractError(
                f"source {name}: its key names {', '.join(unknown)}, which {model.__name__} does not declare",
                hint=f"declare the column in {model.__module__} or correct the key",
            )
        reserved = sorted(column for column in names if column.startswith("_"))
        if reserved:
            raise ContractError(
                f"source {name}: {', '.join(reserved)} begins with an underscore, which is reserved for Assay's own columns",
                hint="declare it under another name and map it in the format",
            )
        if not isinstance(declared.partition, Daily | Whole):
            raise ContractError(
                f"source {name}: it is partitioned by {declared.partition.grain}, but a source must be daily or whole",
                hint="give partition=Daily(...), and partition the tables that read it as they need it",
            )
        own = declared.partition_column
        if own is not None and own.casefold() in {column.casefold() for column in names}:
            raise ContractError(
                f"source {name}: it is partitioned by {own}, which Assay adds, but the producer sends a column of that name",
                hint=f"partition it by another name, as in Daily('event_date', of={own!r})",
            )
        if isinstance(declared.partition, Daily) and declared.partition.of is None:
            raise ContractError(
                f"source {name}: Daily({declared.partition.column!r}) does not say which day an event is about",
                hint="give of=, a DuckDB expression over the producer's columns",
            )
        _require_forgettable(declared)
        setattr(model, DECLARATION, declared)
        return model

    return declare


def _require_forgettable(declared: Source) -> None:
    """Reject an invalid `deletes_kept`.

    Raises:
        ContractError: The time is not positive, or deletes are implied by absence, which every new document or snapshot repeats.
    """
    kept = declared.deletes_kept
    if kept is None:
        return
    if kept <= timedelta(0):
        raise ContractError(
            f"source {declared.name}: deletes_kept is {kept}, but must leave late events some time to land",
            hint="give a time, as in deletes_kept=timedelta(days=400), or leave it out to keep deletes for ever",
        )
    absence = declared.format.snapshot if isinstance(declared.format, FormatOfSnapshots) else None
    if absence or declared.elements:
        raise ContractError(
            f"source {declared.name}: deletes_kept applies to explicit deletes, but rows of {declared.format.name} are deleted "
            "by being absent from what lands",
            hint="leave deletes_kept out",
        )
