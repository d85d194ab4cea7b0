"""Printing results for people: progress, books, tables.

Belongs here: all rendering. Does not belong here: commands.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from assay.errors import SettingsError, SqlError
from assay.pipeline.outcome import Observer, Report, Unobserved
from assay.quality.books import PLACES, Side

ROWS_SHOWN = 50
_RECORDS_SHOWN = 10
"""Rows shown of a result that is too wide for a grid."""
_READABLE = 16
"""Width, in characters, at which a longer value may wrap."""
_BROKEN_RULES = (
    'assay sql "select table_name, partition, rule, broken, row_count from quality.rule_results where broken > 0 '
    'order by proven_at desc limit 20"'
)
_PIPED_WIDTH = 120
"""Width of output that goes to no terminal: logs are wider than the default of 80."""


def output() -> Console:
    """The console on which results are printed."""
    # Text between two colons is data, as in `a:x:b`, not the name of an emoji.
    console = Console(emoji=False)
    if console.is_terminal:
        return console
    return Console(emoji=False, width=shutil.get_terminal_size((_PIPED_WIDTH, 25)).columns)


class Progress:
    """Shows the progress of a run on stderr."""

    def __init__(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def landed(self, records: int) -> None:
        """A file of this many records has landed."""
        self._bars.advance(self._task("landing records", None), records)

    def ingested(self, source: str, records: int) -> None:
        """A batch of a source was recorded."""
        self._bars.advance(self._task(f"raw.{source} records", None), records)

    def planned(self, table: str, partitions: int) -> None:
        """A table has this many dirty partitions."""
        if partitions:
            self._task(f"{table} partitions", partitions)

    def built(self, table: str, partitions: int) -> None:
        """This many of a table's partitions are done."""
        self._bars.advance(self._task(f"{table} partitions", None), partitions)

    def _task(self, name: str, total: int | None) -> TaskID:
        # Sources are ingested in parallel.
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total)
            return self._tasks[name]


@contextmanager
def silent() -> Iterator[Unobserved]:
    """Show nothing."""
    yield Unobserved()


def watched(as_json: bool) -> AbstractContextManager[Observer]:
    """The observer of a run: none where JSON is printed."""
    return silent() if as_json else Progress()


def print_report(console: Console, report: Report) -> None:
    """Print the books, scores, counts, failures and seconds of a run."""
    console.print(_rows_grid(report))
    if money := _money_grid(report):
        console.print(money)
    counts = report.partitions
    console.print(f"partitions: {counts.rebuilt} rebuilt, {counts.unchanged} unchanged, {counts.failed} failed")
    console.print("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items()))
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
    for table, days in report.anomalies.items():
        for day, texts in days.items():
            console.print(f"[yellow]anomaly:[/] {table} {day}: {escape('; '.join(texts))}", highlight=False)
    for table, failures in report.failures.items():
        for partition, problems in failures.items():
            console.print(f"[bold red]failed:[/] {table} {partition}: {escape('; '.join(problems))}", highlight=False)
    if report.failures:
        console.print(
            "The data published before stay in place, and no landed data are lost. Correct the data, the SQL or the contract, "
            "and `assay run` again. Examples of refused rows are in the Dagster UI (`assay up`); the rules that were broken:"
        )
        console.print(f"  {_BROKEN_RULES}", highlight=False, soft_wrap=True)


def print_rows(
    console: Console,
    relation: duckdb.DuckDBPyRelation,
    title: str | None = None,
    everything: str = "`--csv` or `--parquet FILE`",
) -> None:
    """Print the first rows of a result: as a grid where its columns fit side by side, otherwise row by row.

    Args:
        console: Where to.
        relation: The result.
        title: What is printed above it.
        everything: The options that give all rows.
    """
    rows = relation.fetchmany(ROWS_SHOWN + 1)
    cells = [[_cell(value) for value in row] for row in rows[:ROWS_SHOWN]]
    widths = [max(len(name), *(len(row[place]) for row in cells), 0) for place, name in enumerate(relation.columns)]
    shown = len(cells)
    if sum(min(width, _READABLE) + 3 for width in widths) + 1 <= console.width:
        console.print(_side_by_side(relation, cells, title))
    else:
        shown = min(shown, _RECORDS_SHOWN)
        _print_records(console, relation.columns, cells[:shown], title)
    if not rows:
        console.print("no rows")
    if len(rows) > shown:
        console.print(f"… the first {shown} rows; {everything} gives all")


def _side_by_side(relation: duckdb.DuckDBPyRelation, cells: Sequence[Sequence[str]], title: str | None) -> Group:
    grid = Table()
    for name, kind in zip(relation.columns, relation.types, strict=True):
        numeric = any(str(kind).startswith(number) for number in ("DECIMAL", "BIGINT", "HUGEINT", "INTEGER", "DOUBLE"))
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*row)
    # Above the grid rather than as its title, which would wrap at its width.
    return Group(*([title] if title else []), grid)


def _print_records(console: Console, names: Sequence[str], cells: Sequence[Sequence[str]], title: str | None) -> None:
    if title:
        console.print(title)
    if not cells:
        console.print(f"columns: {', '.join(names)}", highlight=False)
    for number, row in enumerate(cells, start=1):
        record = Table(title=f"row {number}", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            record.add_row(name, cell)
        console.print(record)


def print_csv(result: duckdb.DuckDBPyRelation) -> None:
    """Print all rows of a result as CSV with a header."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(result.columns)
    while rows := result.fetchmany(10_000):
        writer.writerows([_decimal(value) if isinstance(value, Decimal) else value for value in row] for row in rows)


def json_of(value: Any) -> str:
    """JSON of a value; exact numbers, days and times are texts, as in tables."""
    return json.dumps(value, default=lambda other: _decimal(other) if isinstance(other, Decimal) else str(other))


def _decimal(value: Decimal) -> str:
    """An exact number with all its decimals: Python writes a zero with eight of them as `0E-8`."""
    return f"{value:f}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report that a file cannot be written; DuckDB's message is like that for a lake that cannot be read.

    Raises:
        SettingsError: The file cannot be written.
    """
    try:
        yield
    except duckdb.IOException as error:
        if f'"{path}"' not in str(error):
            raise
        raise SettingsError(
            f"{path} cannot be written: {str(error).splitlines()[0].rpartition(': ')[2]}.",
            hint="Name a file in an existing folder that you may write to.",
        ) from error


def as_dicts(result: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    """All rows of a result, each by column.

    Raises:
        SqlError: Two columns have one name.
    """
    columns = result.columns
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise SqlError(f"The result has two columns named {twice[0]}.", hint="Rename one of them with AS.")
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _rows_grid(report: Report) -> Table:
    grid = _grid("Books, in rows", ("table", *PLACES, "balanced", "score"))
    for name, books in report.books.items():
        balanced = "[green]yes[/]" if books.balanced else "[bold red]NO[/]"
        grid.add_row(name, *_amounts(books.rows, PLACES, 0), balanced, f"{report.scores.get(name, 100.0):.4g}")
    return grid


def _money_grid(report: Report) -> Table | None:
    """The books in money, of the tables that count it; empty columns are left out."""
    counted = {name: books.money for name, books in report.books.items() if any(getattr(books.money, place) for place in PLACES)}
    places = [place for place in PLACES if any(getattr(money, place) for money in counted.values())]
    grid = _grid("Books, in money", ("table", *places))
    for name, money in counted.items():
        grid.add_row(name, *_amounts(money, places, 2))
    return grid if counted else None


def _grid(title: str, columns: Sequence[str]) -> Table:
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        # Names and amounts are never truncated: a narrow terminal wraps them instead.
        grid.add_column(name, justify="left" if name == "table" else "right", overflow="fold", no_wrap=name == "table")
    return grid


def _amounts(side: Side, places: Sequence[str], decimals: int) -> list[str]:
    return [f"{getattr(side, place):,.{decimals}f}" for place in places]


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]null[/]"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Decimal):
        return _decimal(value)
    return escape(str(value))
