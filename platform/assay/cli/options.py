"""Options shared by several commands: `--json`, and the days of `--from` and `--to`.

Belongs here: declaring and reading them. Does not belong here: what commands do with them.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from assay.errors import SettingsError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def days_of(first: dt.datetime | None, last: dt.datetime | None) -> tuple[dt.date | None, dt.date | None]:
    """The days of `--from` and `--to`; None for one that was not given.

    Raises:
        SettingsError: The first day is after the last.
    """
    if first is not None and last is not None and first > last:
        raise SettingsError(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}.", hint="Give the earlier day as --from.")
    return first.date() if first else None, last.date() if last else None
