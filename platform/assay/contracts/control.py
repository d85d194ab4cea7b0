"""Controls: totals for a table, day by day, from an independent system.

Belongs here: the declaration, and the checks of it that need no data. Does not belong here: fetching the totals
(`pipeline.controls`) and comparing them (`quality.reconciliation`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from assay.errors import ContractError

if TYPE_CHECKING:
    from assay.contracts.table import Table

ROWS = "row_count"
"""The measure that counts rows, and the name of a control's column for it."""
FIRST, LAST = "%(first)s", "%(last)s"
"""Placeholders in a query for the first and the last day requested."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FILES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class PostgresQuery:
    """A query over a PostgreSQL database.

    Attributes:
        sql: One SELECT of the control's days, further keys, `row_count` and sums, each under its name. It may use `%(first)s` and
            `%(last)s` for the first and last day requested; every other `%` must then be written `%%`. The session is in UTC,
            whatever the server's time zone.
        dsn: Name of the database; the setting `ASSAY_DSN__<NAME>` holds its connection string.
    """

    sql: str
    dsn: str

    @property
    def kind(self) -> str:
        """The kind of source, in one word."""
        return "postgresql"


@dataclass(frozen=True)
class MySqlQuery:
    """A query over a MySQL or MariaDB database; its connection string is `mysql://user:password@host:port/database`.

    Attributes:
        sql: See `PostgresQuery`.
        dsn: See `PostgresQuery`.
    """

    sql: str
    dsn: str

    @property
    def kind(self) -> str:
        """The kind of source, in one word."""
        return "mysql"


@dataclass(frozen=True)
class ControlFile:
    """Files with the columns that a query would return. They cover the days from their first to their last.

    Lines with the same day and key are added up: a system may write what it booked each day, for whatever days, and never
    correct a file. Until the first file lands there is nothing to compare with, which is not an error.

    Attributes:
        path: CSV with a header (gzipped or not) or Parquet: a key in the lake, as in `controls/ledger/*.csv`, or the absolute
            path of a local file. `*` matches any characters, `?` any one.
    """

    path: str

    @property
    def kind(self) -> str:
        """The kind of source, in one word."""
        return "file"


ControlSource = PostgresQuery | MySqlQuery | ControlFile


@dataclass(frozen=True)
class Control:
    """Totals for a table from an independent system.

    Attributes:
        name: The control's name, as in `ledger`.
        table: The table's full name.
        by: The table's day column, then any further columns that the control groups by, such as the currency.
        from_: Where the totals come from.
        rows: Expression over a row of the table: how many of the control's rows it stands for; None if rows are not counted.
        sums: By name of the control's sum: the expression over a row of the table that is summed to compare with it.
        where: Which rows of the table the control covers; None for all.
        tolerance: By how much each count and each sum may be off.
        days: How many days back are compared by default; None for all days that the control has.
        since: The first day that the control has.
        complete_after: How long after its end a day is complete on both sides; until then the two may differ.
    """

    name: str
    table: str
    by: tuple[str, ...]
    from_: ControlSource
    rows: str | None = "1"
    sums: Mapping[str, str] = field(default_factory=dict, hash=False)
    where: str | None = None
    tolerance: Decimal = Decimal(0)
    days: int | None = 35
    since: date | None = None
    complete_after: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        # Not everybody who declares one has its types checked: 1 and "0.05" are amounts, too.
        object.__setattr__(self, "tolerance", Decimal(self.tolerance))
        object.__setattr__(self, "sums", MappingProxyType(dict(self.sums)))

    @property
    def day(self) -> str:
        """The table's day column."""
        return self.by[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The further columns that the control groups by."""
        return self.by[1:]

    @property
    def measures(self) -> Mapping[str, str]:
        """By name: the expression over a row of the table that is summed and compared."""
        return ({ROWS: self.rows} if self.rows is not None else {}) | dict(self.sums)

    def last_complete(self, as_of: datetime) -> date:
        """The last day that is complete at a moment (UTC)."""
        return (as_of - self.complete_after).date() - timedelta(days=1)


def check_control(control: Control, tables: Mapping[str, Table]) -> None:
    """Check a control against the table it is about.

    Raises:
        ContractError: It names an unknown table or column, compares nothing, or has an expression that is not over one row.
    """
    said = f"the control {control.name}"
    if not _NAME.fullmatch(control.name):
        raise ContractError(f"{said}: {control.name!r} is not a valid name", hint="use small letters, digits and underscores")
    table = tables.get(control.table)
    if table is None:
        raise ContractError(
            f"{said} is about {control.table}, which is not a table", hint=f"the tables are: {', '.join(sorted(tables))}"
        )
    types = dict(table.types)
    if not control.by or types.get(control.day) != "DATE":
        raise ContractError(
            f"{said}: by must begin with a DATE column of {control.table}", hint="give by=(day,) or by=(day, further columns)"
        )
    unknown = [name for name in control.by if name not in types]
    if unknown:
        raise ContractError(f"{said}: {control.table} has no {', '.join(unknown)}", hint=f"it has {', '.join(types)}")
    _require_names(control, said)
    expressions = dict(control.measures) | ({"where": control.where} if control.where is not None else {})
    for name, text in expressions.items():
        _require_row_expression(f"{said}: {name}", text, types, control.table)
    _require_source(control, said)


def _require_names(control: Control, said: str) -> None:
    if not control.measures:
        raise ContractError(f"{said} compares nothing", hint="give rows, sums or both")
    names = (*control.by, *control.measures)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or ROWS in control.sums:
        raise ContractError(f"{said}: {', '.join(twice) or ROWS} is named twice", hint="give each sum a name of its own")
    wrong = [name for name in control.sums if not _NAME.fullmatch(name)]
    if wrong:
        raise ContractError(f"{said}: {wrong[0]!r} is not a valid name", hint="use small letters, digits and underscores")
    is_no_span = (control.days is not None and control.days < 1) or control.complete_after < timedelta(0)
    is_amount = isinstance(control.tolerance, Decimal) and control.tolerance.is_finite() and control.tolerance >= 0
    if not is_amount or is_no_span:
        raise ContractError(
            f"{said}: tolerance, days or complete_after is invalid", hint="tolerance is a Decimal >= 0, days >= 1"
        )


def _require_row_expression(said: str, text: str, types: Mapping[str, str], table: str) -> None:
    try:
        parsed = sqlglot.parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        raise ContractError(f"{said}: {text!r} does not parse", hint="write a DuckDB expression over one row") from error
    if parsed.find(exp.AggFunc, exp.Window, exp.Query):
        raise ContractError(f"{said}: {text!r} needs more than one row", hint="write what is summed for one row, as in amount")
    unknown = sorted({column.name for column in parsed.find_all(exp.Column) if column.name not in types})
    if unknown:
        raise ContractError(f"{said}: {table} has no {', '.join(unknown)}", hint=f"it has {', '.join(types)}")


def _require_source(control: Control, said: str) -> None:
    asked = control.from_
    if isinstance(asked, ControlFile):
        if not asked.path.lower().endswith(_FILES):
            raise ContractError(f"{said}: {asked.path} is not a CSV or Parquet file", hint=f"end it in {', '.join(_FILES)}")
    elif not _NAME.fullmatch(asked.dsn):
        # The value is not repeated: an author who gives the connection string instead of its name puts a password here.
        raise ContractError(
            f"{said}: its dsn is not a valid name", hint="give a name, as in ledger, and set ASSAY_DSN__LEDGER to the string"
        )
