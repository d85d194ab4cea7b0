"""A raw source's declaration: what a producer lands, and where an event belongs.

Belongs here: the frozen `Source`, the `@source` decorator and what a format must say of itself. Does not belong here:
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
    """What a landing format says of itself; each is a frozen dataclass in `assay.landing.formats`."""

    @property
    def name(self) -> str:
        """The format's name, as the catalog shows it."""
        ...


@runtime_checkable
class FormatOfElements(Format, Protocol):
    """A format that may yield several records of one document: the elements of an array in it."""

    @property
    def ordinal(self) -> str | None:
        """The column that is an element's place in its document, 0 for the document itself; None where nothing is taken apart."""
        ...


@runtime_checkable
class FormatOfSnapshots(Format, Protocol):
    """A format of which an object may hold all rows there are, so that those it lacks are deleted."""

    @property
    def snapshot(self) -> object | None:
        """How such objects are told; None where they are not."""
        ...


@dataclass(frozen=True)
class Elements:
    """How records that are elements of documents are told.

    A record of ordinal 0 that says that it is deleted stands for a version of the document: whatever element of an older version
    the document does not have is gone as of it.

    Attributes:
        parent: The columns of the key that are the document's.
        ordinal: The column that is the element's place.
    """

    parent: tuple[str, ...]
    ordinal: str


@dataclass(frozen=True)
class Source:
    """Everything Assay knows of a raw source.

    Attributes:
        name: The source's name: its landing folder and its raw table.
        model: The Pandera model of the producer's columns, typed as they are sent.
        format: How records are written.
        key: Columns that identify what an event is about; a record without them is quarantined.
        partition: The day an event is about, or whole.
        owner: Who answers for it.
        subject: The group it is shown under.
        money: DuckDB expression over the producer's columns: the event's amount, for the books.
        freshness: How long the source may be silent.
        drift: What happens when the producer's columns change.
        quarantine_age: How long a record may stand in quarantine before somebody is told.
        deletes_kept: For how long after it has landed a delete is kept; for ever where None. Then the row is forgotten, with all
            of its events. What lands later, is older and is of a key that nothing else is known of goes to quarantine,
            because whether the row was deleted can no longer be told.
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
        """The event-partition column, or None for a source that is not cut."""
        return self.partition.column if isinstance(self.partition, Daily) else None

    @property
    def grain(self) -> Grain:
        """How the source is cut: by day, or not at all."""
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
        """The producer's columns that the day an event is about is computed from."""
        return self.columns_in(self.partition.of if isinstance(self.partition, Daily) else None)

    @cached_property
    def money_columns(self) -> tuple[str, ...]:
        """The producer's columns that an event's amount is computed from."""
        return self.columns_in(self.money)

    def columns_in(self, expression: str | None) -> tuple[str, ...]:
        """The producer's columns that a DuckDB expression names."""
        if expression is None:
            return ()
        # Loading contracts should not load a SQL parser.
        import sqlglot
        from sqlglot import exp

        named = {column.name for column in sqlglot.parse_one(expression, dialect="duckdb").find_all(exp.Column)}
        return tuple(spec.name for spec in self.columns if spec.name in named)

    @cached_property
    def elements(self) -> Elements | None:
        """How records are told that are elements of documents, if that is what they are."""
        ordinal = self.format.ordinal if isinstance(self.format, FormatOfElements) else None
        return Elements(tuple(name for name in self.key if name != ordinal), ordinal) if ordinal else None

    @cached_property
    def version(self) -> str:
        """A hash of what decides how a landing object becomes raw events."""
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
            about; the source is cut by something else than days; or its deletes cannot be forgotten.
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
                f"source {name}: {', '.join(reserved)} begins with an underscore, which is kept for Assay's own columns",
                hint="declare it under another name and map it in the format",
            )
        if not isinstance(declared.partition, Daily | Whole):
            raise ContractError(
                f"source {name}: it is cut by {declared.partition.grain}, but what lands is cut by day or not at all",
                hint="give partition=Daily(...), and cut the tables that read it as they need it",
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
    """Raise why the deletes of a source cannot be forgotten after the time that it says.

    Raises:
        ContractError: The time is not positive, or the source's rows are deleted by being absent, which is said anew each time.
    """
    kept = declared.deletes_kept
    if kept is None:
        return
    if kept <= timedelta(0):
        raise ContractError(
            f"source {declared.name}: deletes_kept is {kept}, but late events must have some time to land in",
            hint="give a time, as in deletes_kept=timedelta(days=400), or leave it out: then deletes are kept for ever",
        )
    absence = declared.format.snapshot if isinstance(declared.format, FormatOfSnapshots) else None
    if absence or declared.elements:
        raise ContractError(
            f"source {declared.name}: deletes_kept is of deletes that are told, but rows of {declared.format.name} are deleted "
            "by being absent from what lands",
            hint="leave deletes_kept out",
        )
