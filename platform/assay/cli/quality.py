"""Commands about quality as a whole: `quality report`.

Belongs here: their options and output. Does not belong here: the report's content (`pipeline.reporting`), its layout
(`report`).
"""

from __future__ import annotations

import datetime as dt
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from assay.errors import SettingsError
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.settings import read_settings

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    # A group, although it has only one command so far.
    commands.callback()(_group)
    commands.command()(report)
    app.add_typer(commands, name="quality", help="Show how good the data are.")


def _group() -> None:
    """Show how good the data are."""


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_of: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Judge as of the end of that day, UTC; default: now.")
    ] = None,
    to: Annotated[Path | None, typer.Option(dir_okay=False, help="Write it to this file instead of the lake.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print its content as JSON, and write nothing.")] = False,
) -> None:
    """Write the quality report of a day: one self-contained HTML file.

    It shows scores and trends, worst rules, quarantine by age, drift, anomalies, books, freshness and failures. In the lake it is
    `quality/reports/<date>.html`, and the newest is `latest.html`; the schedule `daily_quality_report` writes it every morning.
    Data that the lake does not keep by time (books, failures, quarantined records) are shown as of now, regardless of `--as-of`.

    Example: `assay quality report --open`, `assay quality report --as-of 2025-03-01 --to report.html`
    """
    # Templates take a moment to import, which other commands should not pay for.
    from assay.pipeline.reporting import collect_report
    from assay.report import daily
    from assay.report.page import render

    if as_json and (open_it or to is not None):
        raise SettingsError("--json excludes --open and --to.", hint="Give one of them.")
    settings = read_settings()
    now = dt.datetime.now(dt.UTC)
    moment = now if as_of is None else min(as_of.replace(tzinfo=dt.UTC) + dt.timedelta(days=1, microseconds=-1), now)
    with session(settings) as workspace:
        with workspace.connection() as connection:
            collected = collect_report(connection, State(workspace), moment, now)
        if as_json:
            typer.echo(daily.as_json(collected))
            return
        if to is not None:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(render(collected), encoding="utf-8")
            local: Path | None = to.resolve()
            typer.echo(str(to))
        else:
            key = daily.write_report(workspace.store, collected)
            local = workspace.store.local(key)
            typer.echo(workspace.store.path(key))
        if open_it:
            if local is None:
                # A browser cannot open objects on S3.
                local = settings.home / "reports" / f"{moment.date()}.html"
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_text(render(collected), encoding="utf-8")
            webbrowser.open(local.as_uri())
