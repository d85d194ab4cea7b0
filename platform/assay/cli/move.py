"""Commands that move data: `demo`, `land`, `run`.

Belongs here: their options and output. Does not belong here: commands that look after what is there (`upkeep`) or only read it
(`look`).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from assay.cli.options import AsJson
from assay.cli.show import output, print_report, print_rows, watched
from assay.contracts import LATER
from assay.engine.project import load_project
from assay.errors import AssayError, Conflict, SettingsError, StoreError
from assay.lake.layout import CONTROLS, LANDING, demo_key, landing_prefix
from assay.loading import for_good
from assay.pipeline.outcome import Observer, Report
from assay.pipeline.query import query
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.settings import Settings, read_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (demo, land, run):
        app.command()(command)


def demo(
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days of business.")] = 7,
    transactions_per_day: Annotated[int, typer.Option(min=10, max=2_000_000, help="Payments a day.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed gives another company.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Capture changes of a working database instead (extra `live`).")] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="With --live: duration of the demo.")] = 3,
    rate: Annotated[float, typer.Option(min=1, max=5_000, help="With --live: row changes a second.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Let a simulated company land change files, and build all tables from them.

    A second run adds nothing and rebuilds nothing.

    With `--live`, a PostgreSQL database is at work instead: Debezium captures its changes, the landing sensor starts runs, and at
    the end database and lake are compared row by row. Exits with 1 when they differ.

    Example: `assay demo --days 3 --transactions-per-day 5000`, `assay demo --live --minutes 2`
    """
    settings = read_settings()
    if live:
        # Imported late: nothing else needs Dagster and the database at once.
        from assay.cli.live import run_live

        raise typer.Exit(0 if run_live(settings, minutes, rate, as_json) else 1)
    started = time.perf_counter()
    with session(settings) as workspace:
        with watched(as_json) as progress:
            landed, seconds = _land_demo(workspace, progress, days, transactions_per_day, seed)
            report = _refresh(settings, workspace, progress)
        report.seconds = {"simulate": seconds, **report.seconds, "total": time.perf_counter() - started}
        if as_json:
            typer.echo(json.dumps(report.to_dict()))
        else:
            _print_demo(output(), workspace, report, landed)
    raise typer.Exit(_exit_code(report))


def land(
    source: Annotated[str, typer.Argument(help="A source, with or without `raw.`; `assay tables` lists them.")],
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders whose files keep their relative names.")],
    as_json: AsJson = False,
) -> None:
    """Copy files into the landing zone as a producer would: each appears completely, or not at all.

    Example: `assay land fx_rates eurofxref-2025-01-03.csv`
    """
    settings = read_settings()
    with session(settings) as workspace:
        name = workspace.domain.find_source(source).name
        keys = [_land_file(workspace, name, file, path) for file, path in _files(paths)]
    if as_json:
        typer.echo(json.dumps({"landed": keys}))
    else:
        for key in keys:
            typer.echo(key)
        typer.echo(f"{len(keys)} landed. `assay run` ingests them.")


def run(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the tables of the hourly and daily jobs: the marts of metrics.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ingest landed data, and rebuild exactly the partitions that are dirty.

    Exits with 1 when a partition failed its proof, and reports which, why, and what to do.

    Example: `assay run --json`, `assay run --all`
    """
    settings = read_settings()
    started = time.perf_counter()
    with session(settings) as workspace, watched(as_json) as progress:
        report = _refresh(settings, workspace, progress)
        if everything:
            _refresh_later(settings, workspace, progress, report)
    report.seconds["total"] = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        console = output()
        console.print(f"{report.records:,} records ingested")
        print_report(console, report)
    raise typer.Exit(_exit_code(report))


def _refresh(settings: Settings, workspace: Workspace, observer: Observer) -> Report:
    with for_good():
        # Dagster takes most of a second to import; commands that run nothing should not pay for it.
        from assay.orchestration.in_process import run_refresh

        load_project(workspace.domain)
    return run_refresh(settings, workspace, observer)


def _refresh_later(settings: Settings, workspace: Workspace, observer: Observer, report: Report) -> None:
    from assay.orchestration.in_process import run_later
    from assay.orchestration.refresh import tables_of

    for cadence in LATER:
        if nodes := tables_of(workspace.project, cadence):
            run_later(settings, workspace, observer, report, cadence, nodes)


def _exit_code(report: Report) -> int:
    return 1 if report.partitions.failed else 0


def _land_demo(workspace: Workspace, observer: Observer, days: int, transactions_per_day: int, seed: int) -> tuple[int, float]:
    if workspace.domain.demo is None:
        raise AssayError(f"The domain {workspace.domain.name} has no demo.", hint="Unset ASSAY_DOMAIN for the payments one.")
    started = time.perf_counter()
    landed = 0
    workspace.scratch.mkdir(parents=True, exist_ok=True)
    present = {info.key: info.size for zone in (LANDING, CONTROLS) for info in workspace.store.list(f"{zone}/")}
    with (
        tempfile.TemporaryDirectory(dir=workspace.scratch) as folder,
        # Closed before the folder is removed: until then files that nobody waits for may still be written.
        closing(workspace.domain.demo(Path(folder), days=days, transactions_per_day=transactions_per_day, seed=seed)) as files,
    ):
        for file in files:
            key = demo_key(file)
            if key not in present:
                workspace.store.put(key, file.path, if_absent=True)
                landed += file.source is not None
            elif present[key] != file.path.stat().st_size:
                raise StoreError(
                    f"{key} exists already, from a demo with other options.",
                    hint="Use the same options, or another lake (ASSAY_HOME or ASSAY_LAKE).",
                )
            observer.landed(file.records if file.source is not None else 0)
            file.path.unlink()
    return landed, time.perf_counter() - started


def _land_file(workspace: Workspace, source: str, name: str, path: Path) -> str:
    key = landing_prefix(source) + name
    try:
        workspace.store.put(key, path, if_absent=True)
    except Conflict as error:
        raise StoreError(
            f"{path} was not landed: {error.message}", hint="A landed file is never replaced; give it another name."
        ) from error
    return key


def _files(paths: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            files = [found for found in sorted(path.rglob("*")) if found.is_file()]
            if not files:
                raise SettingsError(f"There is no file in {path}.", hint="Give files, or folders that contain some.")
            yield from ((found.relative_to(path).as_posix(), found) for found in files)
        elif path.is_file():
            yield path.name, path
        else:
            raise SettingsError(f"There is no file {path}.", hint="Give files or folders.")


def _print_demo(console: Console, workspace: Workspace, report: Report, landed: int) -> None:
    console.print(f"{landed:,} new landing objects, {report.records:,} records ingested")
    print_report(console, report)
    if workspace.domain.showcase:
        with workspace.connection() as connection:
            print_rows(console, query(connection, State(workspace), workspace.domain.showcase))
    console.print(
        "\nNext:\n"
        '  assay sql "select * from marts.daily_revenue order by transaction_date limit 10"\n'
        "  assay describe marts.merchant_daily\n"
        "  assay verify\n"
        "  assay reconcile   # day by day, with the counts of the company's own systems\n"
        "  assay up          # the Dagster UI",
        highlight=False,
        soft_wrap=True,
    )
