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
from assay.landing.upkeep.compaction import Compacted
from assay.pipeline.forgetting import Forgotten
from assay.pipeline.outcome import Report
from assay.pipeline.packing import Packed
from assay.pipeline.runs import fill_report
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.totals import add_up, is_of_tables
from assay.pipeline.upkeep import Step, upkeep
from assay.pipeline.verify import verify_table
from assay.pipeline.workspace import Workspace
from assay.report.numbers import counted
from assay.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (compact, verify):
        app.command()(command)


def compact(
    source: Annotated[str | None, typer.Argument(help="A source, with or without `raw.`; default: all.")] = None,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long merged objects are kept for current readers; those of proofs, minutes.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Merge the many small raw objects that frequent batches leave. No table changes, and nothing is rebuilt.

    Without a source, small daily partitions of complete months are copied, too, into one object per month, for questions about
    many days; proofs of published partitions that are missing from their history are restored; and this history and that of
    restatements are merged.

    Where a source declares how long its deletes are kept (`deletes_kept`), rows deleted before that are forgotten first.

    The schedule `hourly_compaction` does the same every hour. It is safe beside anything else that runs.

    Example: `assay compact transactions`
    """
    counts: dict[str, dict[str, object]] = {}
    packed: dict[str, int] = {}
    with session(read_settings()) as workspace, workspace.connection() as connection:
        sources = [workspace.domain.find_source(source)] if source else list(workspace.domain.sources.values())
        grace = dt.timedelta(hours=grace_hours)
        for step in upkeep(connection, workspace, sources, sources_only=source is not None, grace=grace):
            match step.result:
                case Forgotten() | Compacted():
                    counts.setdefault(step.subject, {}).update(_counts(step.result))
                case Packed() if step.result.months:
                    packed[step.subject] = step.result.months
            if not as_json and _is_shown(step):
                typer.echo(f"{step.subject}: {step.said}")
    if as_json:
        typer.echo(json.dumps(counts | {"packed": packed}))
    elif packed:
        typer.echo(f"{counted(sum(packed.values()), 'month')} of {counted(len(packed), 'table')} packed")


def _is_shown(step: Step) -> bool:
    """Whether a step has a line of its own: every source, to be seen to have been looked at; tables are only counted."""
    match step.result:
        case Compacted():
            return True
        case Packed():
            return False
    return not step.is_idle


def _counts(done: Forgotten | Compacted) -> dict[str, object]:
    if isinstance(done, Forgotten):
        return {"forgotten": {"rows": done.rows, "events": done.events}}
    return {
        "merged": done.objects,
        "into": len(done.merges),
        "rows": done.rows,
        "partitions": sorted({merge.partition for merge in done.merges}),
        "removed": done.removed,
    }


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
