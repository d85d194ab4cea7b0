"""Controls: what somebody else says that a table adds up to, day by day.

Belongs here: the declaration, and what can be said against it without any data. Does not belong here: asking the one who says it
(`pipeline.controls`) and comparing (`quality.reconciliation`).
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
"""The measure that counts rows, and the column that a control gives it in."""
FIRST, LAST = "%(first)s", "%(last)s"
"""What a query may say for the first and the last day that are asked for."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FILES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class PostgresQuery:
    """A query over a PostgreSQL database.

    Attributes:
        sql: One SELECT with the control's days, further keys, `row_count` and sums, each under its name; it may say `%(first)s`
            and `%(last)s` for the days that are asked for (every other `%` is written `%%` then).
        dsn: Name of the database, whose connection string the setting `ASSAY_DSN__<NAME>` is.
    """

    sql: str
    dsn: str

    @property
    def kind(self) -> str:
        """What is asked, in one word."""
        return "postgresql"


@dataclass(frozen=True)
class MySqlQuery:
    """The same over a MySQL or MariaDB database; its connection string is `mysql://user:password@host:port/database`.

    Attributes:
        sql: As of `PostgresQuery`.
        dsn: As of `PostgresQuery`.
    """

    sql: str
    dsn: str

    @property
    def kind(self) -> str:
        """What is asked, in one word."""
        return "mysql"


@dataclass(frozen=True)
class ControlFile:
    """Files with the same columns as a query gives. They speak of the days from their first to their last.

    Lines of one day and key are added up: a system may write what it booked each day, whatever days that is about, and never
    correct a file. Until the first file has landed there is nothing to compare with, which is no error.

    Attributes:
        path: CSV with a header (gzipped or not) or Parquet: a key in the lake, as in `controls/ledger/*.csv`, or the absolute
            path of a local file. `*` and `?` stand for any characters.
    """

    path: str

    @property
    def kind(self) -> str:
        """What is asked, in one word."""
        return "file"


ControlSource = PostgresQuery | MySqlQuery | ControlFile


@dataclass(frozen=True)
class Control:
    """What somebody else says that a table adds up to.

    Attributes:
        name: As in `ledger`.
        table: The table, by its full name.
        by: The table's column of the day, and further columns that the control distinguishes, such as the currency.
        from_: Who says it.
        rows: Expression over a row of the table: how many rows of the control it stands for; None where rows are not counted.
        sums: By name: expression over a row of the table, whose sum the control gives under that name.
        where: Which rows of the table the control speaks of; all when None.
        tolerance: By how much each count and each sum may be off.
        days: How many days back are compared, if nobody asks for others; None for all that it knows.
        since: The first day that the control knows.
        complete_after: How long after its end a day is complete on both sides; until then it may differ.
    """

    name: str
    table: str
    by: tuple[str, ...]
    from_: ControlSource
    rows: str | None = "1"
    sums: Mapping[str, str] = field(default_factory=dict, hash=False)
    where: str | None = None
    tolerance: Decimal | int | str = 0
    days: int | None = 35
    since: date | None = None
    complete_after: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tolerance", Decimal(self.tolerance))
        object.__setattr__(self, "sums", MappingProxyType(dict(self.sums)))

    @property
    def day(self) -> str:
        """The table's column of the day."""
        return self.by[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The further columns."""
        return self.by[1:]

    @property
    def measures(self) -> Mapping[str, str]:
        """By name: expression over a row of the table, whose sum is compared."""
        return ({ROWS: self.rows} if self.rows is not None else {}) | dict(self.sums)

    def last_complete(self, as_of: datetime) -> date:
        """The last day that is complete at a moment (UTC)."""
        return (as_of - self.complete_after).date() - timedelta(days=1)


def check_control(control: Control, tables: Mapping[str, Table]) -> None:
    """Hold a control against the table that it is about.

    Raises:
        ContractError: It names what there is not, compares nothing, or an expression is none over one row.
    """
    said = f"the control {control.name}"
    if not _NAME.fullmatch(control.name):
        raise ContractError(f"{said}: {control.name!r} is no name", hint="use small letters, digits and underscores")
    table = tables.get(control.table)
    if table is None:
        raise ContractError(
            f"{said} is about {control.table}, which is no table", hint=f"the tables are: {', '.join(sorted(tables))}"
        )
    types = dict(table.types)
    if not control.by or types.get(control.day) != "DATE":
        raise ContractError(
            f"{said}: by must begin with a column of days of {control.table}", hint="give by=(day,) or by=(day, further columns)"
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
        raise ContractError(f"{said}: {', '.join(twice) or ROWS} is named twice", hint="a sum is named as nothing else is")
    wrong = [name for name in control.sums if not _NAME.fullmatch(name)]
    if wrong:
        raise ContractError(f"{said}: {wrong[0]!r} is no name of a sum", hint="use small letters, digits and underscores")
    tolerance = Decimal(control.tolerance)
    is_no_span = (control.days is not None and control.days < 1) or control.complete_after < timedelta(0)
    if not tolerance.is_finite() or tolerance < 0 or is_no_span:
        raise ContractError(f"{said}: tolerance, days and complete_after are no amounts", hint="tolerance >= 0, days >= 1")


def _require_row_expression(said: str, text: str, types: Mapping[str, str], table: str) -> None:
    try:
        parsed = sqlglot.parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        raise ContractError(f"{said}: {text!r} does not parse", hint="write a DuckDB expression over one row") from error
    if parsed.find(exp.AggFunc, exp.Window, exp.Query):
        raise ContractError(f"{said}: {text!r} needs more than one row", hint="it is summed; write what is summed, as in amount")
    unknown = sorted({column.name for column in parsed.find_all(exp.Column) if column.name not in types})
    if unknown:
        raise ContractError(f"{said}: {table} has no {', '.join(unknown)}", hint=f"it has {', '.join(types)}")


def _require_source(control: Control, said: str) -> None:
    asked = control.from_
    if isinstance(asked, ControlFile):
        if not asked.path.lower().endswith(_FILES):
            raise ContractError(f"{said}: {asked.path} is no CSV or Parquet file", hint=f"end it in {', '.join(_FILES)}")
    elif not _NAME.fullmatch(asked.dsn):
        # Not repeated: whoever mistakes the name of a connection string for the string writes a password here.
        raise ContractError(
            f"{said}: its dsn is no name of a database", hint="give a name, as in ledger, and set ASSAY_DSN__LEDGER to the string"
        )
