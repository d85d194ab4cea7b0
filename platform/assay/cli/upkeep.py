"""Commands that look after what is in the lake: `compact`, `verify`.

Belongs here: their options and output. Does not belong here: commands that move data (`move`) or only read it (`look`).
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import duckdb
import typer

from assay.cli.options import AsJson
from assay.cli.show import watched
from assay.contracts import Source
from assay.engine.project import Node
from assay.errors import SettingsError
from assay.landing.upkeep import compaction
from assay.landing.upkeep.compaction import Compacted
from assay.pipeline.forgetting import Forgotten, forget
from assay.pipeline.outcome import Report
from assay.pipeline.packing import pack
from assay.pipeline.restatement_objects import merge_restatements
from assay.pipeline.runs import fill_report
from assay.pipeline.score_compaction import compact_proofs
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.totals import add_up, is_of_tables
from assay.pipeline.verify import verify_table
from assay.pipeline.workspace import Workspace
from assay.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (compact, verify):
        app.command()(command)


def compact(
    source: Annotated[str | None, typer.Argument(help="A source, with or without `raw.`; default: all.")] = None,
    grace_hours: Annotated[float, typer.Option(min=0, help="How long merged objects are kept for current readers.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Merge the many small raw objects that frequent batches leave. No table changes, and nothing is rebuilt.

    Without a source, the histories of proofs and restatements are merged, too, and small daily partitions of complete months are
    copied into one object per month, for questions about many days.

    Where a source declares how long its deletes are kept (`deletes_kept`), rows deleted before that are forgotten first.

    The schedule `hourly_compaction` does the same every hour. It is safe beside anything else that runs.

    Example: `assay compact transactions`
    """
    grace = dt.timedelta(hours=grace_hours)
    packed: dict[str, int] = {}
    with session(read_settings()) as workspace, workspace.connection() as connection:
        sources = [workspace.domain.find_source(source)] if source else list(workspace.domain.sources.values())
        done = []
        for each in sources:
            gone = forget(workspace.store, connection, each, workspace.scratch, dt.datetime.now(dt.UTC))
            merged = compaction.compact(workspace.store, connection, each, workspace.scratch, grace=grace)
            done.append((gone, merged))
            if not as_json:
                _print_merged(gone, merged)
        if source is None:
            compact_proofs(workspace.store, dt.datetime.now(dt.UTC), grace=grace)
            merge_restatements(connection, State(workspace), dt.datetime.now(dt.UTC), grace)
            packed = _pack_all(connection, workspace, grace)
    if as_json:
        counted = {merged.source.full_name: _counts(gone, merged) for gone, merged in done}
        typer.echo(json.dumps(counted | {"packed": packed}))
    elif packed:
        typer.echo(f"{sum(packed.values()):,} months of {len(packed):,} tables packed")


def _print_merged(gone: Forgotten, merged: Compacted) -> None:
    name = merged.source.full_name
    if gone.rows:
        typer.echo(f"{name}: {gone.told}")
    typer.echo(
        f"{name}: {merged.objects:,} raw objects of {merged.rows:,} rows merged into {len(merged.merges):,}, "
        f"{merged.removed:,} removed"
    )


def _counts(gone: Forgotten, merged: Compacted) -> dict[str, object]:
    return {
        "merged": merged.objects,
        "into": len(merged.merges),
        "rows": merged.rows,
        "partitions": sorted({merge.partition for merge in merged.merges}),
        "removed": merged.removed,
        "forgotten": {"rows": gone.rows, "events": gone.events},
    }


def _pack_all(connection: duckdb.DuckDBPyConnection, workspace: Workspace, grace: dt.timedelta) -> dict[str, int]:
    """Pack every table; returns how many months, by table, tables with none left out."""
    state, now = State(workspace), dt.datetime.now(dt.UTC)
    packed = {name: pack(connection, state, node, now, grace).months for name, node in workspace.project.nodes.items()}
    return {name: months for name, months in packed.items() if months}


@dataclass(frozen=True)
class _Compared:
    """What comparing a table's partitions gave.

    Attributes:
        same: How many agree.
        different: Why the others do not, by partition.
        left_out: How many could not be compared.
        seconds: How long it took.
    """

    same: int = 0
    different: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    seconds: float = 0.0


def verify(
    table: Annotated[str | None, typer.Argument(help="A table, as in marts.merchant_daily; default: all.")] = None,
    totals: Annotated[
        bool, typer.Option("--totals", help="Only compare totals of tables with those of their input tables: quick.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute published partitions from their inputs and compare content hashes, publishing nothing.

    Exits with 1 when any differs.

    Example: `assay verify enriched.transactions`, `assay verify --totals`
    """
    started = time.perf_counter()
    compare = _add_up if totals else _recompute
    with session(read_settings()) as workspace, workspace.connection() as connection, watched(as_json) as progress:
        state = State(workspace)
        compared = {}
        for node in _asked(workspace, table, totals):
            name = node.table.full_name
            progress.planned(name, len(state.index(name)))
            began = time.perf_counter()
            found = compare(connection, state, node, partial(progress.built, name))
            compared[name] = replace(found, seconds=time.perf_counter() - began)
        report = _report_of(state, compared)
    report.seconds["total"] = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _print_compared(compared, "match the totals of their inputs" if totals else "match their inputs")
    raise typer.Exit(1 if report.partitions.failed else 0)


def _asked(workspace: Workspace, table: str | None, totals: bool) -> list[Node]:
    """The tables to verify."""
    if table is None:
        return list(workspace.project.nodes.values())
    found = workspace.domain.find(table)
    if isinstance(found, Source):
        raise SettingsError(f"{table} is a raw source.", hint="Raw batches are immutable; verify a table.")
    node = workspace.project.nodes[found.full_name]
    if totals and not is_of_tables(node):
        raise SettingsError(
            f"{found.full_name} is computed from events, so there are no totals to compare.",
            hint="Leave out --totals to recompute it.",
        )
    return [node]


def _recompute(connection: duckdb.DuckDBPyConnection, state: State, node: Node, progress: Callable[[int], None]) -> _Compared:
    """Compare a table's partitions with what their inputs give."""
    compared = verify_table(connection, state, node, progress=progress)
    different = {each.partition: each.explanation for each in compared if not each.is_same}
    return _Compared(len(compared) - len(different), different)


def _add_up(connection: duckdb.DuckDBPyConnection, state: State, node: Node, progress: Callable[[int], None]) -> _Compared:
    """Compare the totals of a table's partitions with those of their inputs; a table of events has nothing to compare with."""
    if not is_of_tables(node):
        return _Compared()
    added = add_up(connection, state, node)
    progress(len(added))
    different = {each.partition: each.explanation for each in added if not each.is_equal}
    return _Compared(len(added) - len(different), different, left_out=len(state.index(node.table.full_name)) - len(added))


def _report_of(state: State, compared: Mapping[str, _Compared]) -> Report:
    report = Report()
    fill_report(state, report)
    report.books = {name: books for name, books in report.books.items() if name in compared}
    report.scores = {name: score for name, score in report.scores.items() if name in compared}
    report.seconds = {name: each.seconds for name, each in compared.items()}
    report.failures = {
        name: {partition: (why,) for partition, why in each.different.items()}
        for name, each in compared.items()
        if each.different
    }
    report.partitions.unchanged = sum(each.same for each in compared.values())
    report.partitions.failed = sum(len(each.different) for each in compared.values())
    return report


def _print_compared(compared: Mapping[str, _Compared], are: str) -> None:
    same, left_out = (sum(getattr(each, what) for each in compared.values()) for what in ("same", "left_out"))
    different = [(name, partition, why) for name, each in compared.items() for partition, why in each.different.items()]
    typer.echo(f"{same} partitions {are}, {len(different)} do not")
    for name, partition, why in different:
        typer.echo(f"  {name} {partition}: {why}")
    if left_out:
        typer.echo(f"{left_out} were left out: their inputs have changed since. `assay run --all` rebuilds them")
