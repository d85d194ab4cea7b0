"""The `assay` command: its subcommands, and errors as one sentence.

Belongs here: putting commands together. Does not belong here: any one command.

A command's room is imported when the command is run, and not before: contracts, DuckDB and Dagster take seconds to import, and
nobody who asks for help, or mistypes a name, should wait for them. So what `assay --help` says of a command stands here, too; a
test holds it against what the command says of itself.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from assay.errors import AssayError
from assay.loading import for_good

ROOMS: Mapping[str, Mapping[str, str]] = {
    "move": {
        "demo": "Let a simulated company land its change files, and make everything of them.",
        "land": "Copy files into the landing zone as a producer would: each is there completely, or not at all.",
        "run": "Ingest what has landed, and rebuild exactly the partitions that are dirty.",
        "compact": "Merge the many small raw objects that frequent batches leave. No table changes, and nothing is rebuilt.",
        "verify": "Recompute published partitions from their inputs, publish nothing, compare content hashes.",
    },
    "look": {
        "sql": "Query the lake.",
        "tables": "List sources, enriched tables and marts.",
        "describe": "Tell everything about a table: columns, key, partitions, owner, upstream, lineage, books.",
        "drift": "Show how producers' columns have differed from the contracts: every schema seen, with its first and last "
        "object.",
    },
    "anomalies": {"anomalies": "Show figures of complete days that are far from what days like them had."},
    "reconcile": {
        "reconcile": "Compare what tables add up to, day by day, with controls: a database or a file that says what it should be."
    },
    "alerts": {
        "alerts": "Show what is wrong now: proofs that failed, low scores, anomalies, what is late, held back, or too long in "
        "quarantine.",
        "metrics-endpoint": "Serve figures of runs, lag, scores and books for Prometheus, until Ctrl-C. `assay up` does so, too.",
    },
    "serve": {
        "up": "Start S3, the Dagster webserver, its daemon and the Prometheus endpoint together; Ctrl-C stops them all.",
    },
    "lander": {
        "lander": "Land Kafka topics (extra `kafka`): read them and write what they hold to the landing zone, each message "
        "exactly once.",
    },
    "metrics": {"metrics": "List, explain and query metrics."},
    "quality": {"quality": "Show how good the data are."},
    "quarantine": {"quarantine": "List, show, replay and drop what was refused."},
    "compliance": {"compliance": "Show data as it was at a point in time."},
    "monitoring": {"monitoring": "List monitoring rules and back-test them with other thresholds."},
}
"""What each module of this package adds to the command line, and what it says of that in one sentence."""


class Commands(TyperGroup):
    """Commands that are listed by their sentences and imported when they are run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is meant, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest


@cache
def load_command(name: str) -> Any:
    """Import a command.

    Args:
        name: As `ROOMS` names it.
    """
    room = next(room for room, commands in ROOMS.items() if name in commands)
    with for_good():
        module = importlib.import_module(f"assay.cli.{room}")
    loaded = _typer()
    module.register(loaded)
    return get_group(loaded).commands[name]


def _typer(**options: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False, **options)


def _listed() -> None:
    """Stands for a command until it is imported."""


app = _typer(name="assay", help="Payments analytics: change files in, proven tables out.", no_args_is_help=True, cls=Commands)
for commands in ROOMS.values():
    for name, sentence in commands.items():
        app.command(name, help=sentence)(_listed)


def main() -> None:
    """Run the command line; an expected error is one sentence on stderr and exit code 1."""
    try:
        app()
    except AssayError as error:
        _print_error(str(error))
        sys.exit(1)
    except OSError as error:
        # A disk that is full, a folder that is read-only or not there: the machine's, and no fault of the code.
        _print_error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _print_error(text: str) -> None:
    # Imported late: there is seldom an error.
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, emoji=False).print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)
