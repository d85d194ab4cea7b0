"""The commands of those who watch, as they would run them."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from change_lines import order, text
from click.testing import Result
from command_line import Shop
from receivers import Answer, HttpReceiver, http_receiver
from shop_lake import ShopLake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import AssayError

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A shop of which a day has failed its proof."""
    lake = ShopLake(tmp_path_factory.mktemp("failing"))
    lake.land("orders", "1.json", text(order("o1", 1, amount="-1"), order("o2", 2, day="2025-01-04")))
    lake.run("first")
    return lake


@pytest.fixture
def command(lake: ShopLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on the lake, with a webhook if there is one."""

    def run(*arguments: str, hook: HttpReceiver | None = None) -> Result:
        shop = Shop(tmp_path / "home", lake.store.uri, {"ASSAY_ALERTS_WEBHOOK": hook.url} if hook else {})
        return CliRunner().invoke(app, list(arguments), env=shop.environment)

    return run


def test_it_shows_what_is_wrong_and_changes_nothing(lake: ShopLake, command: Command) -> None:
    shown = command("alerts")
    assert shown.exit_code == 0
    assert "critical enriched.orders 2025-01-03: below its quality threshold (first seen" in shown.stdout
    assert "found by run first" in " ".join(shown.stdout.split())
    (incident,) = json.loads(command("alerts", "--json").stdout)["incidents"]
    assert (incident["kind"], incident["table"], incident["scope"]) == ("threshold_crossed", "enriched.orders", "2025-01-03")
    assert incident["urgency"] == "critical"
    assert not (lake.folder / "audit/alerts").exists()


def test_send_tells_each_channel_once(command: Command) -> None:
    with http_receiver() as hook:
        hook.answers = [Answer(403)]
        refused = command("alerts", "--send", hook=hook)
        assert refused.exit_code == 1
        assert "not sent: webhook: 127.0.0.1 answered 403" in refused.stdout
        assert "SECRET" not in refused.output
        told = json.loads(command("alerts", "--send", "--json", hook=hook).stdout)
        assert told["delivered"] == {"webhook": 1}
        assert told["incidents"][0]["told"] == {"webhook": True}
        again = command("alerts", "--send", "--json", hook=hook)
        assert (again.exit_code, json.loads(again.stdout)["delivered"]) == (0, {})
        assert len(hook.requests) == 2


def test_test_sends_a_made_up_incident(command: Command) -> None:
    with http_receiver() as hook:
        assert "sent to webhook" in command("alerts", "--test", hook=hook).stdout
        assert [len(body["opened"]) for body in hook.bodies] == [1, 0]


def test_without_a_channel_it_says_what_to_set(command: Command) -> None:
    failed = command("alerts", "--send").exception
    assert isinstance(failed, AssayError)
    assert "ASSAY_ALERTS_SLACK" in failed.hint


@pytest.mark.parametrize("name", ["alerts", "metrics-endpoint"])
def test_help_has_an_example(command: Command, name: str) -> None:
    assert "Example" in command(name, "--help").stdout


def test_the_metrics_endpoint_answers_until_it_is_interrupted(lake: ShopLake, tmp_path: Path) -> None:
    process = Shop(tmp_path / "home", lake.store.uri).start("metrics-endpoint", "--port", "0")
    address = process.line().split()[1]
    with urllib.request.urlopen(address, timeout=30) as answer:
        body = answer.read().decode()
    assert 'assay_incidents{kind="threshold_crossed",table="enriched.orders"} 1.0' in body
    assert "assay_dagster_up 1.0" in body
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
