"""The `assay` command: its subcommands, and errors as one sentence.

Belongs here: putting commands together. Does not belong here: any one command.

A command's room is imported only when the command is run: contracts, DuckDB and Dagster take seconds to import, and
nobody who asks for help, or mistypes a name, should wait for them. So the summaries in `assay --help` are here, too; a
test compares them with the commands' own.
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
        "demo": "Let a simulated company land change files, and build all tables from them.",
        "land": "Copy files into the landing zone as a producer would: each appears completely, or not at all.",
        "run": "Ingest landed data, and rebuild exactly the partitions that are dirty.",
    },
    "upkeep": {
        "compact": "Merge the many small raw objects that frequent batches leave. No table changes, and nothing is rebuilt.",
        "verify": "Recompute published partitions from their inputs and compare content hashes, publishing nothing.",
    },
    "look": {
        "sql": "Query the lake.",
        "tables": "List sources, enriched tables and marts.",
        "describe": "Describe a table: columns, key, partitions, owner, upstream, lineage, books.",
        "drift": "Show how producers' columns differ from the contracts: every schema seen, with its first and last object.",
    },
    "anomalies": {"anomalies": "Show figures of complete days that are far from those of similar days."},
    "reconcile": {"reconcile": "Compare tables' daily totals with controls: databases or files with the expected totals."},
    "alerts": {
        "alerts": "Show open incidents: failed proofs, low scores, anomalies, late or held-back data, records too long in "
        "quarantine.",
        "metrics-endpoint": "Serve figures of runs, lag, scores and books for Prometheus, until Ctrl-C. `assay up` does so, too.",
    },
    "serve": {
        "up": "Start S3, the Dagster webserver, its daemon and the Prometheus endpoint together; Ctrl-C stops them all.",
    },
    "lander": {
        "lander": "Land Kafka topics (extra `kafka`): write their messages to the landing zone, each message exactly once.",
    },
    "metrics": {"metrics": "List, explain and query metrics."},
    "quality": {"quality": "Show how good the data are."},
    "quarantine": {"quarantine": "List, show, replay and drop refused records."},
    "compliance": {"compliance": "Show data as it was at a point in time."},
    "monitoring": {"monitoring": "List monitoring rules and back-test them with other thresholds."},
}
"""The commands of each module of this package, each with a one-sentence summary."""


class Commands(TyperGroup):
    """Commands that are listed from their summaries, and imported when they are run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the requested command, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest


@cache
def load_command(name: str) -> Any:
    """Import a command.

    Args:
        name: Its name in `ROOMS`.
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
    """A placeholder for a command until it is imported."""


app = _typer(name="assay", help="Payments analytics: change files in, proven tables out.", no_args_is_help=True, cls=Commands)
for commands in ROOMS.values():
    for name, sentence in commands.items():
        app.command(name, help=sentence)(_listed)


def main() -> None:
    """Run the command line; an expected error becomes one sentence on stderr and exit code 1."""
    try:
        app()
    except AssayError as error:
        _print_error(str(error))
        sys.exit(1)
    except OSError as error:
        # A full disk, a read-only or missing folder: a problem of the machine, not of the code.
        _print_error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _print_error(text: str) -> None:
    # Imported late: errors are rare.
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, emoji=False).print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)
