"""Commands for dealing with quarantine: `quarantine list`, `show`, `replay`, `drop`, `trail`.

Belongs here: their options and output. Does not belong here: the work (`quarantined`, `replaying`, `editing`, `dropping` and
`trail` in `pipeline`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson
from assay.cli.show import output, print_report, watched
from assay.contracts import Source, Table
from assay.errors import EditError
from assay.landing.quarantine.replay import Replay
from assay.nearest import suggestion
from assay.pipeline.dropping import Dropped, write_drop
from assay.pipeline.editing import edit_records
from assay.pipeline.outcome import Observer, Report
from assay.pipeline.quarantined import Record, Selection, columns_of, records, standing
from assay.pipeline.replaying import Failing, Remembered, Result, replays_of
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.pipeline.trail import read_trail
from assay.pipeline.workspace import Workspace
from assay.quality.ages import Standing, too_old
from assay.report.numbers import counted
from assay.settings import Settings, read_settings

OneTable = Annotated[str, typer.Argument(help="As in enriched.transactions; raw.transactions for unreadable records.")]
AnyTable = Annotated[str | None, typer.Argument(help="As in enriched.transactions or raw.transactions; default: all.")]
Rule = Annotated[str | None, typer.Option(help="Only records that broke this rule.")]
Partition = Annotated[str | None, typer.Option(help="Only records of this partition.")]
By = Annotated[str | None, typer.Option(help="Who decides; it is recorded.")]
Why = Annotated[str | None, typer.Option(help="Why; it is recorded.")]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
_REASONS_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("list", list_standing), ("show", show), ("replay", replay), ("drop", drop), ("trail", trail)):
        commands.command(name)(command)
    app.add_typer(commands, name="quarantine", help="List, show, replay and drop refused records.")


def list_standing(
    table: AnyTable = None,
    rule: Rule = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Only records that landed over this many days ago.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the records in quarantine, by table and rule, with their age.

    Records older than their table allows are marked. Dropped records are counted separately.

    Example: `assay quarantine list --older-than 7`
    """
    now = dt.datetime.now(dt.UTC)
    with session(read_settings()) as workspace, workspace.connection() as connection:
        asked = _asked(workspace, table)
        found = standing(connection, State(workspace), asked)
    limits = {each.full_name: each.quarantine_age for each in asked}
    found = [each for each in found if rule in (None, each.rule)]
    if older_than is not None:
        found = [each for each in found if now - each.oldest > dt.timedelta(days=older_than)]
    late = {(each.table, each.rule): each.rows for each in too_old(found, limits, now)}
    listed = [_summed(place, group, late.get(place, 0)) for place, group in _by_rule(found).items()]
    if as_json:
        typer.echo(json.dumps(listed))
        return
    grid = Grid()
    for name in ("table", "rule", "partitions", "records", "dropped", "oldest", "newest", "too old"):
        right = name in ("partitions", "records", "dropped", "too old")
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=name == "table")
    for each in listed:
        ages = [_age(dt.datetime.fromisoformat(each[name]), now) for name in ("oldest", "newest")]
        too = f"[bold red]{each['too_old']:,}[/]" if each["too_old"] else ""
        counts = [f"{each[name]:,}" for name in ("partitions", "records", "dropped")]
        grid.add_row(each["table"], each["rule"], *counts, *ages, too)
    is_part = table is not None or rule is not None or older_than is not None
    output().print(grid if listed else "No such record is in quarantine." if is_part else "Quarantine is empty.")


def show(
    table: OneTable,
    rule: Rule = None,
    partition: Partition = None,
    id: Annotated[list[str] | None, typer.Option(help="Only the record with this id; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the oldest first.")] = 20,
    dropped: Annotated[bool, typer.Option("--dropped", help="Show dropped records, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show records in quarantine: the original record, every rule that it broke, and where it came from.

    The output of `--json` can be edited and given to `assay quarantine replay --edit`.

    Example: `assay quarantine show enriched.transactions --rule amount_at_least --limit 5`
    """
    with session(read_settings()) as workspace, workspace.connection() as connection:
        declared = workspace.domain.find(table)
        selection = Selection(rule, partition, tuple(id or ()), dropped)
        found = records(connection, State(workspace), declared, selection, limit)
        others = [] if found or as_json else standing(connection, State(workspace), [declared])
    if as_json:
        typer.echo(json.dumps([_shown(each) for each in found], ensure_ascii=False, indent=1))
        return
    console = output()
    for record in found:
        console.print(_heading(record), highlight=False, soft_wrap=True)
        for name, reason in zip(record.rules, record.reasons, strict=False):
            console.print(f"  [red]{name}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
        columns = columns_of(record)
        text = json.dumps(columns, ensure_ascii=False) if columns else record.record or ""
        console.print(f"  {escape(text)}\n", highlight=False, soft_wrap=True)
    if not found:
        rules = ", ".join(sorted({each.rule for each in others}))
        console.print("No such record is in quarantine." + (f" Records there broke {escape(rules)}." if rules else ""))
    elif len(found) == limit:
        console.print(f"… the first {limit:,}; `--limit` gives more")


def replay(
    table: AnyTable = None,
    edit: Annotated[
        Path | None, typer.Option(help="Edited records, as `show --json` prints them.", exists=True, dir_okay=False)
    ] = None,
    by: By = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Run quarantined records through the current contracts, and report which of them left.

    Unreadable records are read again; rows that a contract refused are rebuilt with their partitions. With
    `--edit FILE`, records are replaced by those in the file, and who did that and why is kept in the lake.
    Exits with 1 when a partition failed its proof.

    Example: `assay quarantine replay enriched.transactions`, or `assay quarantine replay --edit fixed.json --by ann --why "typo"`
    """
    settings = read_settings()
    if edit is not None and not (by and why):
        raise EditError("An edit needs --by and --why.", hint="They are kept with the edited records.")
    if edit is None and (by or why):
        raise EditError("--by and --why require --edit: a replay without it decides nothing.", hint="Leave them out.")
    if edit is not None and table is not None:
        raise EditError("The file determines the tables.", hint=f"Leave out {table}.")
    with session(settings) as workspace, workspace.connection() as connection:
        state = State(workspace)
        asked = _asked(workspace, table)
        remembered = Remembered(connection, state, asked)
        replaying: dict[str, Replay] = {}
        if edit is None:
            replaying = replays_of(state, asked)
        else:
            edits = edit_records(connection, state, _text_of(edit), str(by), str(why))
            if not edits:
                raise EditError(f"{edit} changes no record.", hint="Change a `record`, or add `set`: {column: value}.")
        with watched(as_json) as progress:
            report = _refresh(settings, workspace, progress, replaying)
        results = [each for each in remembered.results(State(workspace)) if each.added or (each.left if edit else each.before)]
    if as_json:
        typer.echo(json.dumps({"replayed": [result.to_dict() for result in results], "run": report.to_dict()}))
    else:
        _print_results(results, report, is_edit=edit is not None)
    raise typer.Exit(1 if report.partitions.failed else 0)


def drop(
    table: OneTable,
    by: By = None,
    why: Why = None,
    rule: Rule = None,
    partition: Partition = None,
    id: Annotated[list[str] | None, typer.Option(help="The record with this id; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every record in the table's quarantine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Mark records in quarantine as no longer needing attention; who did that and why is kept in the lake.

    They stay in quarantine and in the books. Lists and age limits leave them out, and a replay does not read them again. A row
    that a later contract accepts is published all the same.

    Example: `assay quarantine drop raw.transactions --rule readable --by ann --why "test records of the vendor"`
    """
    if not (by and why):
        raise EditError("A drop needs --by and --why.", hint="They are kept with the dropped records.")
    if not (rule or partition or id or everything):
        raise EditError("No records were selected.", hint="Give --rule, --partition, --id or --all.")
    with session(read_settings()) as workspace, workspace.connection() as connection:
        declared = workspace.domain.find(table)
        found = records(connection, State(workspace), declared, Selection(rule, partition, tuple(id or ())))
        if unknown := sorted(set(id or ()) - {each.id for each in found}):
            raise EditError(
                f"{declared.full_name}: there is no such record {unknown[0]} in quarantine, or it was already dropped.",
                hint=f"Nothing was dropped. `assay quarantine show {declared.full_name} --dropped` lists them all.",
            )
        if rule is not None and not found:
            _require_rule(connection, State(workspace), declared, rule)
        if found:
            chosen = [Dropped(each.id, each.object, each.line) for each in found]
            write_drop(workspace.store, declared.full_name, chosen, by, why)
    if as_json:
        typer.echo(json.dumps({"dropped": [each.id for each in found]}))
    else:
        typer.echo(f"{counted(len(found), 'record')} of {declared.full_name} dropped, but kept in quarantine and in the books")


def _require_rule(connection: duckdb.DuckDBPyConnection, state: State, declared: Source | Table, rule: str) -> None:
    known = {each.rule for each in standing(connection, state, [declared])}
    if known and rule not in known:
        raise EditError(
            f"{declared.full_name}: no record in quarantine broke a rule named {rule}.",
            hint=suggestion(rule, known, f"`assay quarantine list {declared.full_name}` lists them."),
        )


def trail(table: AnyTable = None, as_json: AsJson = False) -> None:
    """Show who edited and dropped which records, when and why.

    Example: `assay quarantine trail raw.transactions --json`
    """
    with session(read_settings()) as workspace:
        found = read_trail(workspace.store, _asked(workspace, table))
    if as_json:
        typer.echo(json.dumps([asdict(each) | {"at": each.at.isoformat()} for each in found], ensure_ascii=False))
        return
    grid = Grid()
    for name in ("when", "who", "what", "of", "records", "why"):
        grid.add_column(name, justify="right" if name == "records" else "left", overflow="fold")
    for each in found:
        told = (escape(each.by), each.what, escape(each.of), f"{each.records:,}", escape(each.why))
        grid.add_row(f"{each.at:%Y-%m-%d %H:%M:%S}", *told)
    output().print(grid if found else "Nobody has edited or dropped anything.")


def _refresh(settings: Settings, workspace: Workspace, observer: Observer, replaying: dict[str, Replay]) -> Report:
    # Dagster takes most of a second to import; commands that run nothing should not pay for it.
    from assay.orchestration.in_process import run_refresh

    return run_refresh(settings, workspace, observer, replaying)


def _text_of(edit: Path) -> str:
    try:
        return edit.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EditError(f"{edit} is not UTF-8 text.", hint="Give the edited output of `assay quarantine show --json`.") from error


def _asked(workspace: Workspace, table: str | None) -> list[Source | Table]:
    if table is not None:
        return [workspace.domain.find(table)]
    return [*workspace.domain.sources.values(), *(node.table for node in workspace.project.nodes.values())]


def _by_rule(found: Iterable[Standing]) -> dict[tuple[str, str], list[Standing]]:
    groups: dict[tuple[str, str], list[Standing]] = {}
    for each in found:
        groups.setdefault((each.table, each.rule), []).append(each)
    return groups


def _summed(place: tuple[str, str], group: Sequence[Standing], late: int) -> dict[str, Any]:
    return {
        "table": place[0],
        "rule": place[1],
        "partitions": len({each.partition for each in group} - {""}),
        "records": sum(each.rows for each in group),
        "dropped": sum(each.dropped for each in group),
        "oldest": min(each.oldest for each in group).isoformat(),
        "newest": max(each.newest for each in group).isoformat(),
        "too_old": late,
    }


def _age(since: dt.datetime, now: dt.datetime) -> str:
    minutes = round((now - since).total_seconds() / 60)
    if minutes < 120:
        return counted(minutes, "minute")
    hours = minutes / 60
    return f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:,.0f} hours"


def _shown(record: Record) -> dict[str, Any]:
    return asdict(record) | {
        "record": columns_of(record) or record.record,
        "since": record.since.isoformat() if record.since else None,
    }


def _heading(record: Record) -> str:
    place = "of several records" if record.object is None else f"{record.object}, line {record.line:,}"
    place += "" if record.byte is None else f", byte {record.byte:,}"
    place += "" if record.sequence is None else f", position {list(record.sequence)}"
    since = f"{record.since:%Y-%m-%d %H:%M}" if record.since else ""
    dropped = " [dim](dropped)[/]" if record.dropped else ""
    return f"[bold]{record.id}[/] {record.partition} {escape(place)}, landed {since}, contract {record.contract}{dropped}"


def _print_results(results: Sequence[Result], report: Report, *, is_edit: bool) -> None:
    console = output()
    grid = Grid()
    for name in ("table", "in quarantine", "left it", "published", "replaced or gone", "still fail", "new"):
        grid.add_column(name, justify="left" if name == "table" else "right", no_wrap=name == "table")
    for result in results:
        counts = (result.before, result.left, result.published, result.gone, result.stay, result.added)
        grid.add_row(result.table, *(f"{count:,}" for count in counts))
    console.print(grid if results else "Quarantine is empty.")
    for result in results:
        if not is_edit:
            # Replays were requested only for these.
            _print_failing(console, result.table, "still fail", result.still)
        _print_failing(console, result.table, "are new", result.new)
    print_report(console, report)


def _print_failing(console: Console, table: str, what: str, failing: Sequence[Failing]) -> None:
    for each in failing[:_REASONS_SHOWN]:
        ids = ", ".join(each.ids) + (", …" if each.records > len(each.ids) else "")
        console.print(f"{table}: {each.records:,} {what}: {escape(each.reason)} [dim]({ids})[/]", highlight=False, soft_wrap=True)
    if len(failing) > _REASONS_SHOWN:
        console.print(f"{table}: … for {len(failing) - _REASONS_SHOWN:,} other reasons; `assay quarantine show {table}` has them")
