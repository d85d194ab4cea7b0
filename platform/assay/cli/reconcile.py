"""The command `reconcile`.

Belongs here: its options and output. Does not belong here: reconciling (`pipeline.reconciling`), or the row-by-row comparison
at the end of a live demo (`live`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson
from assay.cli.show import ROWS_SHOWN, json_of, output
from assay.contracts import Control, ControlFile
from assay.errors import SettingsError
from assay.pipeline.reconciling import Reconciled, Reconciling, find_controls
from assay.pipeline.session import session
from assay.quality.reconciliation import Compared
from assay.report.numbers import counted
from assay.settings import Settings, read_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    controls: Annotated[list[str] | None, typer.Argument(metavar="[CONTROL]...", help="Names; default: all.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Complete days to compare; default: as each control declares.")] = None,
    dsn: Annotated[
        str | None,
        typer.Option(help="Connection string. Others on the machine can read it, but not ASSAY_DSN__<NAME>."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="CSV or Parquet file with the control's figures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare tables' daily totals with controls: databases or files with the expected totals.

    Days that differed before are compared again until they agree. A difference of exactly the rows in quarantine is
    `quarantined`: nothing is lost. Every result is kept: `assay sql "select * from quality.reconciliations"` reads the newest of
    each day, `quality.reconciliation_history` all of them. Exits with 1 when a complete day differs, or a control cannot be
    queried; a control for which nothing has ever landed is listed, but is not an error.

    Example: `assay reconcile booked_refunds --days 60`, `assay reconcile booked_refunds --file refunds.csv`
    """
    settings = read_settings()
    with session(settings) as workspace:
        declared = find_controls(workspace.project.domain.controls, controls or [])
        asked, dsns = _overridden(declared, settings, dsn, file)
        console = Console(stderr=True)
        status = nullcontext() if as_json else console.status("reconciling")

        def progress(control: Control) -> None:
            if not as_json:
                console.print(f"{control.name}: querying {control.from_.kind}, adding up {control.table}", style="dim")

        work = Reconciling(asked, dsns, days, progress)
        with status:
            _run(settings, workspace, work)
    if as_json:
        typer.echo(json_of(_described(work)))
    else:
        _print(output(), work)
    raise typer.Exit(1 if work.failed or any(found.wrong for found in work.done) else 0)


def _run(settings: Settings, workspace: Any, work: Reconciling) -> None:
    # Dagster takes most of a second to import, which wrong options should not pay for.
    from assay.orchestration.in_process import run_reconcile

    run_reconcile(settings, workspace, work)


def _overridden(
    controls: Sequence[Control], settings: Settings, dsn: str | None, file: Path | None
) -> tuple[list[Control], dict[str, SecretStr]]:
    """The controls and connection strings, as overridden by the options."""
    dsns = dict(settings.dsn)
    if dsn is None and file is None:
        return list(controls), dsns
    if dsn is not None and file is not None:
        raise SettingsError("--dsn and --file exclude each other.", hint="Give one of them.")
    if len(controls) != 1:
        raise SettingsError("--dsn and --file apply to one control.", hint=f"Name one of {', '.join(c.name for c in controls)}.")
    (control,) = controls
    if file is not None:
        if not file.is_file():
            raise SettingsError(f"There is no file {file}.", hint="Give a CSV or Parquet file.")
        return [replace(control, from_=ControlFile(str(file.resolve())))], dsns
    if isinstance(control.from_, ControlFile):
        raise SettingsError(f"The control {control.name} is a file.", hint="Give --file, or no option.")
    return [control], dsns | {control.from_.dsn: SecretStr(str(dsn))}


def _described(work: Reconciling) -> dict[str, Any]:
    return {
        "controls": {
            found.control.name: {
                "table": found.control.table,
                "complete_until": found.last_complete,
                "compared": [result.day for result in found.compared],
                "figures": dict(found.counts),
                "wrong": [_figure(figure) for figure in _wrong(found)],
            }
            for found in work.done
        },
        "waiting": {control.name: control.table for control in work.waiting},
        "failed": {name: str(error) for name, error in work.failed.items()},
    }


def _wrong(found: Reconciled) -> list[Compared]:
    return [figure for result in found.wrong for figure in result.figures if figure.match.is_wrong]


def _figure(figure: Compared) -> dict[str, Any]:
    return {
        "day": figure.day,
        "key": json.loads(figure.key) if figure.key else None,
        "measure": figure.measure,
        "in_lake": figure.in_lake,
        "in_quarantine": figure.in_quarantine,
        "in_control": figure.in_control,
        "difference": figure.difference,
        "status": str(figure.match),
    }


def _print(console: Console, work: Reconciling) -> None:
    for found in work.done:
        wrong = _wrong(found)
        said = f"[bold red]{counted(len(found.wrong), 'day differs', 'days differ')}[/]" if wrong else "[green]agrees[/]"
        compared = counted(len(found.compared), "day was", "days were")
        aside = ", counting the rows in quarantine" if found.quarantined and not wrong else ""
        figures = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items()))
        console.print(
            f"[bold]{found.control.name}[/] ({found.control.table}): {said}{aside}; {compared} compared, "
            f"complete until {found.last_complete}; of their figures {figures}",
            highlight=False,
        )
        if wrong:
            console.print(_grid(wrong[-ROWS_SHOWN:]))
        if len(wrong) > ROWS_SHOWN:
            console.print(f"… the newest {ROWS_SHOWN} of {len(wrong)} figures; `--json` gives all")
    for control in work.waiting:
        console.print(
            f"[bold]{control.name}[/] ({control.table}): no control has landed, nothing was compared; it reads "
            f"{escape(_path(control))}",
            highlight=False,
        )
    for error in work.failed.values():
        console.print(f"[bold red]failed:[/] {escape(str(error))}", highlight=False)


def _path(control: Control) -> str:
    return control.from_.path if isinstance(control.from_, ControlFile) else ""


def _grid(figures: Sequence[Compared]) -> Grid:
    grid = Grid()
    for name in ("day", "key", "measure", "in the lake", "in quarantine", "in the control", "difference", "status"):
        grid.add_column(name, justify="right" if name.startswith(("in ", "diff")) else "left", overflow="fold")
    for each in figures:
        sides = ("" if side is None else _amount(side) for side in (each.in_lake, each.in_quarantine, each.in_control))
        grid.add_row(str(each.day), escape(each.key or ""), each.measure, *sides, _amount(each.difference, "+"), str(each.match))
    return grid


def _amount(figure: Any, sign: str = "") -> str:
    """A figure without trailing zeros."""
    text = f"{figure:{sign},.4f}"
    return text.rstrip("0").rstrip(".")
