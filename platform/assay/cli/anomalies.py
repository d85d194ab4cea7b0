"""The command `anomalies`.

Belongs here: its options and output. Does not belong here: finding anomalies (`pipeline.watching`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson
from assay.cli.show import json_of, output
from assay.contracts import Source
from assay.engine.project import Node
from assay.errors import SettingsError
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.watching import Watched, watch_table
from assay.pipeline.workspace import Workspace
from assay.report.numbers import counted
from assay.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(anomalies)


def anomalies(
    table: Annotated[str | None, typer.Argument(help="As in marts.merchant_daily; default: every watched table.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Number of last complete days.")] = 30,
    as_of: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Judge as of that time, UTC; default: now."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show figures of complete days that are far from those of similar days.

    Every run judges all watched tables; `assay sql "select * from quality.anomalies"` reads the results.

    Example: `assay anomalies transactions --days 7`
    """
    moment = (as_of or dt.datetime.now(dt.UTC)).replace(tzinfo=dt.UTC)
    with session(read_settings()) as workspace, workspace.connection() as connection:
        state = State(workspace)
        nodes = _nodes(workspace, table)
        judged = [watch_table(connection, state, node, moment, keep=False) for node in nodes]
    found = [watched for watched in judged if watched is not None]
    if as_json:
        typer.echo(json_of({watched.table.full_name: _described(watched, days) for watched in found}))
    else:
        _print(output(), found, days)


def _nodes(workspace: Workspace, table: str | None) -> list[Node]:
    nodes = workspace.project.nodes
    if table is None:
        return [node for node in nodes.values() if node.table.watched is not None]
    asked = workspace.domain.find(table)
    if isinstance(asked, Source) or asked.watched is None:
        watched = ", ".join(name for name, node in nodes.items() if node.table.watched is not None)
        raise SettingsError(f"{asked.full_name} is not watched for anomalies.", hint=f"Watched are: {watched or 'none'}.")
    return [nodes[asked.full_name]]


def _described(watched: Watched, days: int) -> dict[str, object]:
    anomalies = [asdict(each) | {"text": each.text} for each in watched.recent(days)]
    return {"complete_until": watched.until, "anomalies": anomalies}


def _print(console: Console, found: Sequence[Watched], days: int) -> None:
    if not found:
        console.print("No watched table has published data.")
    for watched in found:
        recent = watched.recent(days)
        said = counted(len(recent), "anomaly", "anomalies")
        console.print(
            f"[bold]{watched.table.full_name}[/]: {said} on {len({each.day for each in recent})} of the "
            f"{counted(days, 'day')} up to {watched.until}, the last complete one",
            highlight=False,
        )
        if recent:
            grid = Grid("day", "what")
            for each in recent:
                grid.add_row(f"{each.day:%Y-%m-%d %a}", escape(each.text))
            console.print(grid)
