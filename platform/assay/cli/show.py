"""Showing results to people: progress, books, tables.

Belongs here: everything that draws. Does not belong here: commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import duckdb
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from assay.pipeline.outcome import Report, Unobserved
from assay.quality.books import PLACES, Side

ROWS_SHOWN = 50


class Progress:
    """Shows a run as it goes, on stderr."""

    def __init__(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}

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
        """This many of them are done."""
        self._bars.advance(self._task(f"{table} partitions", None), partitions)

    def _task(self, name: str, total: int | None) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        return self._tasks[name]


@contextmanager
def silent() -> Iterator[Unobserved]:
    """Show nothing."""
    yield Unobserved()


def print_report(console: Console, report: Report) -> None:
    """Print the books, scores, counts, failures and seconds of a run."""
    console.print(_books(report))
    counts = report.partitions
    console.print(f"partitions: {counts.rebuilt} rebuilt, {counts.unchanged} unchanged, {counts.failed} failed")
    console.print("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items()))
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)
    for table, failures in report.failures.items():
        for partition, problems in failures.items():
            console.print(f"[bold red]failed:[/] {table} {partition}: {'; '.join(problems)}", highlight=False)
    if report.failures:
        console.print(
            "What was published before stands. See the refused rows' reasons in the Dagster UI (`assay up`), correct the data, "
            "the SQL or the contract, and `assay run` again."
        )


def print_rows(console: Console, relation: duckdb.DuckDBPyRelation, title: str | None = None) -> None:
    """Print the first rows of a result."""
    grid = Table(title=title, title_justify="left")
    for name, kind in zip(relation.columns, relation.types, strict=True):
        numeric = any(str(kind).startswith(number) for number in ("DECIMAL", "BIGINT", "HUGEINT", "INTEGER", "DOUBLE"))
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    rows = relation.fetchmany(ROWS_SHOWN + 1)
    for row in rows[:ROWS_SHOWN]:
        grid.add_row(*(_cell(value) for value in row))
    console.print(grid)
    if len(rows) > ROWS_SHOWN:
        console.print(f"… the first {ROWS_SHOWN} rows; `--csv` or `--parquet FILE` gives all")


def _books(report: Report) -> Table:
    grid = Table(title="Books: rows, and money below them where a table counts it", title_justify="left")
    for name in ("table", *PLACES, "balanced", "score"):
        # Names and amounts are never cut: a narrow terminal breaks them over lines instead.
        grid.add_column(name, justify="left" if name == "table" else "right", overflow="fold", no_wrap=name == "table")
    for name, books in report.books.items():
        balanced = "[green]yes[/]" if books.balanced else "[bold red]NO[/]"
        grid.add_row(name, *_amounts(books.rows, 0), balanced, f"{report.scores.get(name, 100.0):.2f}")
        if any(getattr(books.money, place) for place in PLACES):
            grid.add_row("", *(f"[dim]{amount}[/]" for amount in _amounts(books.money, 2)), "", "")
    return grid


def _amounts(side: Side, decimals: int) -> list[str]:
    return [f"{getattr(side, place):,.{decimals}f}" for place in PLACES]


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]null[/]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).replace("[", r"\[")
