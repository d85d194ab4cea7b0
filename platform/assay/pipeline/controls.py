"""Querying controls: the totals of a table according to a database or a file.

Belongs here: queries to PostgreSQL and MySQL, reading of control files, and their results as exact totals. Does not belong
here: the lake's totals (`reconciling`), comparing (`quality.reconciliation`).

Sessions are in UTC, like everything in the lake: what a control calls a day must not depend on the settings of its server. A
connection string that sets the time zone itself does not change this; a control of another clock's days says so in its SQL.

A connection string is a secret: no message contains it, and nothing here logs or stores it. A driver's message about a failed
connection may repeat parts of it, so only the kind of failure is reported.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import duckdb
from pydantic import SecretStr

from assay.contracts import Control, ControlFile, MySqlQuery, PostgresQuery
from assay.contracts.control import FIRST, LAST
from assay.contracts.rules import literal, quote
from assay.errors import ControlError, ControlMissing, SettingsError
from assay.lake.store import ObjectStore
from assay.quality.reconciliation import Keys, Totals

if TYPE_CHECKING:
    from psycopg import Error as PostgresError

CONNECT_SECONDS = 15
MYSQL_PORT = 3306
_GLOB = re.compile(r"[*?\[]")
_MYSQL_SCHEMES = ("mysql", "mariadb")
_MYSQL_REFUSALS = {
    1044: "the user may not read the database",
    1045: "user and password are refused",
    1049: "there is no such database",
    2003: "nobody answers there",
    2006: "the connection broke",
    2013: "the connection broke",
}


def ask(
    connection: duckdb.DuckDBPyConnection,
    store: ObjectStore,
    control: Control,
    dsns: Mapping[str, SecretStr],
    first: dt.date,
    last: dt.date,
) -> Totals:
    """Query a control.

    Args:
        connection: DuckDB, with access to the lake, for files.
        store: The lake, for files.
        control: The control.
        dsns: Connection strings by database name.
        first: The first requested day.
        last: The last day.

    Returns:
        The totals of those days. Rows of the same day and key are added up.

    Raises:
        SettingsError: The connection string is missing or invalid.
        ControlMissing: The control has no file.
        ControlError: The control cannot be queried, or its result is invalid.
    """
    asked = control.from_
    if isinstance(asked, ControlFile):
        columns, rows = _ask_files(connection, store, control, asked)
    elif isinstance(asked, PostgresQuery):
        columns, rows = _ask_postgres(control, asked, _dsn(control, asked.dsn, dsns), first, last)
    else:
        columns, rows = _ask_mysql(control, asked, _dsn(control, asked.dsn, dsns), first, last)
    totals = _totals(control, columns, rows)
    return {(day, keys): figures for (day, keys), figures in totals.items() if first <= day <= last}


def variable(dsn: str) -> str:
    """The environment variable with a database's connection string."""
    return f"ASSAY_DSN__{dsn.upper()}"


def _dsn(control: Control, name: str, dsns: Mapping[str, SecretStr]) -> str:
    found = dsns.get(name)
    if found is None or not found.get_secret_value():
        raise SettingsError(
            f"The control {control.name} needs the connection string of a database.", hint=f"Set {variable(name)}, or give --dsn."
        )
    return found.get_secret_value()


def _ask_postgres(
    control: Control, asked: PostgresQuery, dsn: str, first: dt.date, last: dt.date
) -> tuple[list[str], list[Sequence[Any]]]:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise _no_driver(control, "postgres") from error
    try:
        options = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise _no_dsn(asked.dsn, "postgresql://user:password@host:5432/database") from None
    try:
        database = psycopg.connect(make_conninfo("", **{"connect_timeout": CONNECT_SECONDS, **options}))
    except psycopg.Error as error:
        raise _unreachable(control, asked.dsn, _postgres_refusal(error)) from None
    try:
        with database:
            database.execute("SET TIME ZONE 'UTC'")
            database.commit()
            database.read_only = True
            cursor = database.execute(*_with_days(asked.sql, first, last))
            if cursor.description is None:
                raise _no_rows(control)
            return [column.name for column in cursor.description], list(cursor)
    except psycopg.Error as error:
        raise _refused_query(control, str(error)) from error


def _postgres_refusal(error: PostgresError) -> str:
    said = str(error)
    known = {
        "authentication failed": "user and password are refused",
        "does not exist": "there is no such database or user",
        "refused": "nobody answers there",
        "translate host name": "there is no such host",
        "resolve host": "there is no such host",
        "timeout": "nobody answers there",
    }
    return next((words for part, words in known.items() if part in said), "the connection failed")


def _ask_mysql(
    control: Control, asked: MySqlQuery, dsn: str, first: dt.date, last: dt.date
) -> tuple[list[str], list[Sequence[Any]]]:
    try:
        import pymysql
    except ImportError as error:
        raise _no_driver(control, "mysql") from error
    options = _mysql_options(asked.dsn, dsn)
    try:
        database = pymysql.connect(**options, connect_timeout=CONNECT_SECONDS, charset="utf8mb4")
    except pymysql.MySQLError as error:
        code = error.args[0] if error.args else 0
        raise _unreachable(control, asked.dsn, _MYSQL_REFUSALS.get(code, "the connection failed")) from None
    try:
        with database, database.cursor() as cursor:
            # As an offset: names of time zones are tables that a server need not have.
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            sql, parameters = _with_days(asked.sql, first, last)
            cursor.execute(sql, parameters)
            if cursor.description is None:
                raise _no_rows(control)
            return [column[0] for column in cursor.description], list(cursor.fetchall())
    except pymysql.MySQLError as error:
        raise _refused_query(control, str(error.args[-1]) if error.args else "") from error


def _mysql_options(name: str, dsn: str) -> dict[str, Any]:
    try:
        parts = urlsplit(dsn)
        port = parts.port or MYSQL_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme not in _MYSQL_SCHEMES or not parts.hostname or not database or parts.username is None:
        raise _no_dsn(name, "mysql://user:password@host:3306/database")
    return {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": database,
    }


def _with_days(sql: str, first: dt.date, last: dt.date) -> tuple[Any, dict[str, dt.date] | None]:
    """A query and its parameters. Drivers treat `%` as special only if there are parameters."""
    return sql, {"first": first, "last": last} if FIRST in sql or LAST in sql else None


def _ask_files(
    connection: duckdb.DuckDBPyConnection, store: ObjectStore, control: Control, asked: ControlFile
) -> tuple[list[str], list[Sequence[Any]]]:
    paths = _paths(store, asked.path)
    if not paths:
        raise ControlMissing(
            f"The control {control.name}: there is no file {asked.path}.", hint="Deliver it, or correct the path."
        )
    columns = [*control.by, *control.measures]
    listed = ", ".join(literal(path) for path in paths)
    is_parquet = asked.path.lower().endswith(".parquet")
    reader = f"read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
    if not is_parquet:
        # As text, because an amount read as a float would not be exact.
        reader = f"read_csv([{listed}], header=true, all_varchar=true, union_by_name=true, hive_partitioning=false)"
    wanted = ", ".join(f"{quote(name)}::VARCHAR" for name in columns)
    try:
        return columns, list(connection.execute(f"SELECT {wanted} FROM {reader}").fetchall())
    except duckdb.Error as error:
        raise ControlError(
            f"The control {control.name} cannot be read from {asked.path}: {str(error).splitlines()[0]}",
            hint=f"It needs the columns {', '.join(columns)}.",
        ) from error


def _paths(store: ObjectStore, pattern: str) -> list[str]:
    """The files that a pattern names, as DuckDB opens them; a file that has the pattern as its name is meant itself."""
    if (local := Path(pattern)).is_absolute():
        found = [local] if local.is_file() else Path(local.anchor).glob(str(local.relative_to(local.anchor)))
        return sorted(_as_it_is(str(path)) for path in found if path.is_file())
    fixed = _GLOB.split(pattern, maxsplit=1)[0]
    listed = [info.key for info in store.list(fixed)]
    keys = [pattern] if pattern in listed else [key for key in listed if fnmatchcase(key, pattern)]
    return sorted(_as_it_is(store.path(key)) for key in keys)


def _as_it_is(path: str) -> str:
    """A path in which DuckDB, too, takes no character for a pattern."""
    return _GLOB.sub(lambda found: f"[{found[0]}]", path)


def _totals(control: Control, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Totals:
    wanted = [*control.by, *control.measures]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ControlError(
            f"The control {control.name} lacks {', '.join(missing)}.",
            hint=f"Its columns must be {', '.join(wanted)}; they are {', '.join(columns)}.",
        )
    place = {name: columns.index(name) for name in wanted}
    totals: dict[tuple[dt.date, Keys], dict[str, Decimal]] = {}
    for number, row in enumerate(rows, start=1):
        day = _read(control, number, control.day, row[place[control.day]], _day)
        keys = tuple(_text(row[place[name]]) for name in control.keys)
        figures = totals.setdefault((day, keys), dict.fromkeys(control.measures, Decimal(0)))
        for measure in control.measures:
            figures[measure] += _read(control, number, measure, row[place[measure]], _figure)
    return totals


def _read(control: Control, number: int, column: str, value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except (ValueError, InvalidOperation) as error:
        raise ControlError(
            f"The control {control.name}: {value!r} in row {number} is not a valid {column}.",
            hint="Days are written as in 2025-01-31, amounts as in 1234.56.",
        ) from error


def _day(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        if value.time() != dt.time(0):
            raise ValueError("a time of day")
        return value.date()
    if isinstance(value, dt.date):
        return value
    text = str(value)
    # Columns with days as midnight timestamps are as common as date columns.
    return dt.date.fromisoformat(text[:10] if text[10:] in (" 00:00:00", "T00:00:00") else text)


def _figure(value: Any) -> Decimal:
    """A count or an amount. The sum of no rows is null in SQL."""
    if value is None or value == "":
        return Decimal(0)
    figure = value if isinstance(value, Decimal) else Decimal(str(value))
    if not figure.is_finite():
        raise ValueError("no amount")
    return figure


def _text(value: Any) -> str | None:
    """A key's value as text, formatted like DuckDB."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _no_driver(control: Control, extra: str) -> ControlError:
    return ControlError(
        f"The control {control.name} needs a driver that is not installed.", hint=f"pip install 'assay-platform[{extra}]'"
    )


def _no_dsn(name: str, form: str) -> SettingsError:
    return SettingsError(f"{variable(name)} is not a connection string.", hint=f"Write it as in {form}.")


def _unreachable(control: Control, name: str, why: str) -> ControlError:
    return ControlError(
        f"The control {control.name} cannot be queried: {why}.", hint=f"Check {variable(name)} and that the database runs."
    )


def _refused_query(control: Control, said: str) -> ControlError:
    first = said.strip().splitlines()[0] if said.strip() else "it failed"
    return ControlError(f"The control {control.name}: the database rejects its query: {first}", hint="Correct its sql.")


def _no_rows(control: Control) -> ControlError:
    return ControlError(f"The control {control.name}: its sql returns no result.", hint="Write one SELECT.")
