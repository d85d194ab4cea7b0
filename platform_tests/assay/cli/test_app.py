"""The command line before any command runs: fast, and true to what the commands say of themselves."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import typer
from command_line import PLATFORM
from typer.main import get_group

from assay.cli.app import ROOMS, app, load_command

HEAVY = ("boto3", "dagster", "duckdb", "ibis", "numpy", "pandas", "pandera", "pyarrow", "sqlglot")
COMMANDS = [name for commands in ROOMS.values() for name in commands]
TELL = f"""
import sys
from assay.cli import main
try:
    main()
finally:
    print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""


def imported_by(*arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `assay` with arguments; which of the heavy libraries that imported."""
    done = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        env=os.environ | {"PYTHONPATH": str(PLATFORM)},
        capture_output=True,
        text=True,
    )
    return done, done.stderr.splitlines()[-1].split()


def test_help_imports_no_heavy_library() -> None:
    done, heavy = imported_by("--help")
    assert done.returncode == 0
    assert "merge the many small raw objects" in " ".join(done.stdout.lower().split())
    assert heavy == []


def test_a_mistyped_command_is_refused_without_importing_any() -> None:
    done, heavy = imported_by("rnu")
    assert done.returncode == 2
    assert "No such command 'rnu'" in done.stderr
    assert "'run'" in done.stderr
    assert heavy == []


@pytest.mark.parametrize("command", ["run", "sql", "describe", "metrics", "quarantine", "alerts", "up"])
def test_no_command_imports_dagster_or_boto3_to_tell_of_itself(command: str) -> None:
    done, heavy = imported_by(command, "--help")
    assert done.returncode == 0
    assert not {"boto3", "dagster"} & set(heavy)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    listed = get_group(app).commands[name].help
    assert listed == " ".join(str(load_command(name).help).split("\n\n")[0].split())


@pytest.mark.parametrize("room", ROOMS)
def test_every_command_of_a_room_is_listed(room: str) -> None:
    own = typer.Typer()
    importlib.import_module(f"assay.cli.{room}").register(own)
    assert list(get_group(own).commands) == list(ROOMS[room])
