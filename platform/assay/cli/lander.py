"""The command that lands Kafka topics: `lander`.

Belongs here: its options and output. Does not belong here: consuming and landing (`capture.lander`).
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table as Grid

from assay.capture.lander import Lander, Limits, Progress
from assay.errors import SettingsError
from assay.pipeline.session import session
from assay.pipeline.workspace import Workspace
from assay.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lander)


def lander(
    topics: Annotated[list[str], typer.Argument(help="TOPIC, whose last part is its source's name, or SOURCE=TOPIC.")],
    brokers: Annotated[str, typer.Option(envvar="ASSAY_KAFKA", help="Kafka's brokers, host:port, separated by commas.")],
    group: Annotated[str, typer.Option(help="The consumer group.")] = "assay",
    instance: Annotated[
        str | None, typer.Option(help="This lander's name in the group: restarted under it, it resumes at once.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="A batch ends when its oldest message is this old …")] = 10,
    records: Annotated[int, typer.Option(min=1, help="… or it has this many messages …")] = 50_000,
    megabytes: Annotated[int, typer.Option(min=1, help="… or all batches together are this large.")] = 64,
    properties: Annotated[Path | None, typer.Option(help="File with further librdkafka settings: name=value.")] = None,
    until_caught_up: Annotated[bool, typer.Option("--until-caught-up", help="End when everything has landed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress as one JSON object per line.")] = False,
) -> None:
    """Land Kafka topics (extra `kafka`): write their messages to the landing zone, each message exactly once.

    Runs until Ctrl-C, and then lands what it has read before it ends.

    Example: `assay lander payments.public.transactions --brokers localhost:9092`
    """
    settings = read_settings()
    with session(settings) as workspace:
        limits = Limits(seconds, records, megabytes)
        more = _read_properties(properties) | ({"group.instance.id": instance} if instance else {})
        running = Lander(workspace.store, _sources(workspace, topics), brokers, group, limits, more)

        def stop(*_: object) -> None:
            running.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        if as_json:
            running.run(_print_json, until_caught_up=until_caught_up)
            return
        with Live(console=Console(stderr=True), auto_refresh=False) as view:
            running.run(lambda progress: view.update(_picture(progress), refresh=True), until_caught_up=until_caught_up)


def _sources(workspace: Workspace, topics: list[str]) -> dict[str, str]:
    sources = {}
    for text in topics:
        name, equals, topic = text.partition("=")
        topic, name = (topic, name) if equals else (text, text.rpartition(".")[2])
        if name not in workspace.domain.sources:
            known = ", ".join(sorted(workspace.domain.sources))
            raise SettingsError(f"There is no source {name} for topic {topic}.", hint=f"Give SOURCE=TOPIC; sources are {known}.")
        sources[topic] = name
    return sources


def _read_properties(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}.", hint="Check --properties.") from error
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _print_json(progress: list[Progress]) -> None:
    partitions = [vars(each) for each in progress]
    is_known = progress and all(each.lag is not None for each in progress)
    lag = sum(each.lag or 0 for each in progress) if is_known else None
    typer.echo(json.dumps({"lag": lag, "partitions": partitions}))


def _picture(progress: list[Progress]) -> Grid:
    grid = Grid()
    for name in ("topic", "partition", "landed up to", "lag", "objects", "messages", "without value"):
        grid.add_column(name, justify="left" if name == "topic" else "right", no_wrap=name == "topic")
    for each in progress:
        lag = "?" if each.lag is None else f"{each.lag:,}"
        counts = (f"{count:,}" for count in (each.objects, each.records, each.skipped))
        grid.add_row(each.topic, str(each.partition), str(each.landed), lag, *counts)
    return grid
