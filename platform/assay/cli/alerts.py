"""Commands for monitoring: `alerts`, `metrics-endpoint`.

Belongs here: their options and output. Does not belong here: finding incidents and sending alerts (`alerts`).
"""

from __future__ import annotations

import datetime as dt
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from assay.cli.options import AsJson
from assay.cli.show import output
from assay.errors import AssayError
from assay.pipeline.session import session
from assay.pipeline.workspace import Workspace
from assay.report.numbers import counted
from assay.settings import Settings, read_settings

if TYPE_CHECKING:
    from assay.alerts.telling import Told


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(alerts)
    app.command()(metrics_endpoint)


def alerts(
    send: Annotated[bool, typer.Option("--send", help="Send every channel what it has not received yet.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send each channel a made-up incident and its resolution.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show open incidents: failed proofs, low scores, anomalies, late or held-back data, records too long in quarantine.

    Channels are set by ASSAY_ALERTS_SLACK, ASSAY_ALERTS_PAGERDUTY_KEY, ASSAY_ALERTS_EMAIL and ASSAY_ALERTS_WEBHOOK. With
    `--send`, each receives new and resolved incidents once, as with the schedule every ten minutes. Exits with 1 when a
    channel could not be reached.

    Example: `assay alerts`, `assay alerts --send --json`
    """
    # Mail and HTTP take a moment to import, which other commands should not pay for.
    from assay.alerts.channels import channels_of
    from assay.alerts.telling import look, send_test, tell_everything

    settings = read_settings()
    channels = channels_of(settings)
    if (send or test) and not channels:
        raise AssayError("There is no channel to send to.", hint="Set ASSAY_ALERTS_SLACK, …_PAGERDUTY_KEY, …_EMAIL or …_WEBHOOK.")
    if test:
        told = send_test(settings, channels)
    elif send:
        told = tell_everything(settings, channels, partial(session, settings))
    else:
        with session(settings) as workspace:
            told = look(workspace)
    if as_json:
        typer.echo(json.dumps(_as_json(told)))
    else:
        _print(output(), told)
    raise typer.Exit(1 if told.undelivered else 0)


def metrics_endpoint(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port [default: $ASSAY_METRICS_PORT or 9464].")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Serve figures of runs, lag, scores and books for Prometheus, until Ctrl-C. `assay up` does so, too.

    Example: `assay metrics-endpoint --port 9464 --host 0.0.0.0`
    """
    settings = read_settings()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    own = settings.metrics_port if port is None else port
    with session(settings) as workspace, endpoint(settings, workspace, host, own) as served:
        typer.echo(f"metrics     http://{host}:{served}/metrics\nCtrl-C stops it.")
        stopped.wait()


@contextmanager
def endpoint(settings: Settings, workspace: Workspace, host: str, port: int) -> Iterator[int]:
    """Serve figures of a lake for Prometheus while the block runs.

    Yields:
        The port.

    Raises:
        ServerError: The port is taken.
    """
    # Dagster takes most of a second to import.
    from assay.alerts.endpoint import Figures, serving
    from assay.orchestration.instance import open_instance
    from assay.orchestration.run_status import job_runs

    with (
        open_instance(settings) as instance,
        serving(Figures(lambda: nullcontext(workspace), partial(job_runs, instance)), host, port) as served,
    ):
        yield served


def _as_json(told: Told) -> dict[str, Any]:
    from assay.alerts.webhook import described

    return {
        "incidents": [described(record) | {"told": dict(record.told)} for record in told.book.open],
        "delivered": told.delivered,
        "undelivered": told.undelivered,
    }


def _print(console: Console, told: Told) -> None:
    for record in told.book.open:
        incident = record.incident
        since = record.opened_at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
        colour = "bold red" if incident.urgency == "critical" else "yellow"
        about = " ".join(part for part in (incident.table, incident.scope) if part)
        owner = f", {incident.owner}" if incident.owner else ""
        console.print(
            f"[{colour}]{incident.urgency}[/] {escape(about)}: {incident.kind.words} (first seen {since} UTC{owner})\n"
            f"  {escape(incident.text)}" + (f"\n  {escape(incident.detail)}" if incident.detail else ""),
            highlight=False,
        )
    if not told.book.open:
        console.print("nothing is wrong")
    for channel, count in told.delivered.items():
        console.print(f"{counted(count, 'incident was', 'incidents were')} sent to {channel}")
    for channel, reason in told.undelivered.items():
        console.print(f"[bold red]not sent:[/] {channel}: {escape(reason)}", highlight=False)
