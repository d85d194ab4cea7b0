"""`assay quality report`, as people run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from change_lines import order, text
from click.testing import Result
from command_line import Shop
from shop_lake import ShopLake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import SettingsError

Command = Callable[..., Result]


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with a day."""
    lake = ShopLake(tmp_path)
    lake.land("orders", "1.json", text(order("o1", 1), order("o2", 2, amount="-1"), order("o3", 3)))
    lake.run("first")
    return lake


@pytest.fixture
def command(lake: ShopLake, tmp_path: Path) -> Command:
    """Runs the command on the lake."""

    def run(*arguments: str) -> Result:
        environment = Shop(tmp_path / "home", lake.store.uri).environment
        return CliRunner().invoke(app, ["quality", "report", *arguments], env=environment)

    return run


def test_it_is_written_to_the_lake(lake: ShopLake, command: Command) -> None:
    done = command()
    assert done.exit_code == 0, done.output
    written = Path(done.stdout.strip())
    assert written.is_relative_to(lake.folder / "quality" / "reports")
    assert written.read_bytes() == (written.parent / "latest.html").read_bytes()
    assert "<!doctype html>" in written.read_text()


def test_a_past_day_has_its_own_file(lake: ShopLake, command: Command) -> None:
    assert command().exit_code == 0
    done = command("--as-of", "2025-03-01")
    written = lake.folder / "quality" / "reports" / "2025-03-01.html"
    assert done.stdout.strip() == str(written)
    assert "Saturday, 1 March 2025" in written.read_text()
    assert "2025-03-01 23:59 UTC" in written.read_text()
    assert "1 March 2025" not in (written.parent / "latest.html").read_text()


def test_to_a_file_it_leaves_the_lake_alone(lake: ShopLake, command: Command, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "report.html"
    assert command("--to", str(target)).stdout.strip() == str(target)
    assert "enriched." in target.read_text()
    assert lake.etags("quality/reports/") == {}


def test_open_shows_the_file(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    target = tmp_path / "report.html"
    assert command("--to", str(target), "--open").exit_code == 0
    assert command("--open").exit_code == 0
    assert opened[0] == target.as_uri()
    assert opened[1].startswith("file://") and "/quality/reports/" in opened[1]


def test_json_prints_and_writes_nothing(lake: ShopLake, command: Command) -> None:
    said = json.loads(command("--json").stdout)
    assert (said["domain"], said["verdict"]) == ("shop", "look")
    assert {rule["rule"] for rule in said["rules"]} >= {"amount_at_least"}
    assert lake.etags("quality/reports/") == {}


def test_json_and_a_file_exclude_each_other(command: Command, tmp_path: Path) -> None:
    assert isinstance(command("--json", "--to", str(tmp_path / "x.html")).exception, SettingsError)


def test_help_has_an_example(command: Command) -> None:
    assert "Example" in command("--help").stdout
