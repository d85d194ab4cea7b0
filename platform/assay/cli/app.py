"""The `assay` command: its subcommands, and errors as one sentence.

Belongs here: putting commands together. Does not belong here: any one command.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from assay.cli import (
    alerts,
    anomalies,
    compliance,
    lander,
    look,
    metrics,
    monitoring,
    move,
    quality,
    quarantine,
    reconcile,
    serve,
)
from assay.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Payments analytics: change files in, proven tables out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for room in (move, look, metrics, quality, quarantine, anomalies, reconcile, compliance, monitoring, alerts, serve, lander):
    room.register(app)


def main() -> None:
    """Run the command line; an expected error is one sentence on stderr and exit code 1."""
    try:
        app()
    except AssayError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
