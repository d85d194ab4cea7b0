"""The command `compliance snapshot`.

Belongs here: its options and output. Does not belong here: the query (`pipeline.as_of`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import AsJson
from assay.cli.show import as_dicts, json_of, output, print_csv, print_rows, writing
from assay.errors import SettingsError
from assay.pipeline.as_of import find_history, instant
from assay.pipeline.as_of import snapshot as rows_as_of
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.settings import read_settings

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Add the command."""
    # The callback is needed because an app with one command would otherwise have no subcommand.
    commands.callback()(_only)
    commands.command()(snapshot)
    app.add_typer(commands, name="compliance", help="Show data as it was at a point in time.")


def snapshot(
    as_of: Annotated[
        str, typer.Option(help="2025-03-31 for the end of that day, or 2025-03-31T12:00:00; UTC, or with an offset.")
    ],
    about: Annotated[str | None, typer.Argument(help="As in customer, which is the default.")] = None,
    customer: Annotated[list[str] | None, typer.Option("--customer", "--key", help="Only this one; may be repeated.")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write a Parquet file.")] = None,
) -> None:
    """Show customers as they were at a time, as far as is known by now; customers deleted by then are left out.

    Columns with personal information are named in `--json` and in the Parquet file's metadata.

    Example: `assay compliance snapshot --as-of 2025-03-31 --customer cust_00000042`
    """
    if as_json + as_csv + (parquet is not None) > 1:
        raise SettingsError("--json, --csv and --parquet exclude each other.", hint="Give one of them.")
    at = instant(as_of)
    with session(read_settings()) as workspace, workspace.connection() as connection:
        found = rows_as_of(connection, State(workspace), find_history(workspace.domain, about), at, customer or ())
        if parquet is not None:
            with writing(parquet):
                found.write_parquet(connection, parquet)
            typer.echo(f"wrote {parquet}")
        elif as_csv:
            print_csv(found.rows)
        elif as_json:
            said = {"table": found.table.full_name, "as_of": at, "known_until": found.known_until, "pii": found.pii}
            typer.echo(json_of(said | {"rows": as_dicts(found.rows)}))
        else:
            known = f"data landed until {found.known_until}" if found.known_until else "no landed data"
            print_rows(output(), found.rows, f"{found.table.full_name} as of {at}, by {known}")


def _only() -> None:
    """Show data as it was at a point in time."""
