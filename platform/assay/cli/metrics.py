"""The commands of `assay metrics`: `list`, `show`, `query`, `history`, `explain-change`, `sql`.

Belongs here: their options and output. Does not belong here: defining metrics (`assay.metrics`), answering queries
(`pipeline.metrics`, `pipeline.changes`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson, days_of
from assay.cli.show import as_dicts, json_of, output, print_rows
from assay.contracts import load_domain
from assay.errors import SettingsError
from assay.metrics.grains import Grain
from assay.metrics.kinds import Followed
from assay.metrics.lattice import Lattice, Mart
from assay.metrics.marts import lattice_of
from assay.metrics.planning import Days, Plan, Question
from assay.metrics.resolving import Resolved
from assay.nearest import suggestion
from assay.pipeline.changes import Change, changed_rows, history
from assay.pipeline.metrics import ask, plan_question, rows_read, statement_of
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.report.numbers import counted
from assay.settings import read_settings

_LANDED = ("ingestion_timestamp", "data_source", "landing_object", "landing_row")
_MARTS = "Marts are named by entity and grain, as in marts.merchant_day; `assay metrics show NAME` lists those of a metric."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    room = typer.Typer(no_args_is_help=True, help="List, explain and query metrics.")
    for name, command in (
        ("list", list_),
        ("show", show),
        ("query", query),
        ("history", history_),
        ("explain-change", explain_change),
        ("sql", sql),
    ):
        room.command(name)(command)
    app.add_typer(room, name="metrics")


def list_(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only metrics with all these words in their name, title, group or tags.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List metrics by group.

    Example: `assay metrics list refund rate`
    """
    lattice = _lattice()
    found = [metric for metric in lattice.catalog.metrics.values() if all(_has(metric, word) for word in words or ())]
    if as_json:
        typer.echo(json.dumps([_described(lattice, metric) for metric in found]))
        return
    console = output()
    for group in lattice.catalog.groups.values():
        own = [metric for metric in found if metric.group is group]
        if not own:
            continue
        grid = Grid("metric", "what it is", "unit", "type", "days", title=group.title, title_justify="left")
        for metric in own:
            grid.add_row(metric.name, escape(metric.metric.title), metric.unit, metric.metric.type, metric.days)
        console.print(grid)
    console.print(counted(len(found), "metric"))


def show(name: Annotated[str, typer.Argument(help="As in refund_rate.")], as_json: AsJson = False) -> None:
    """Describe a metric: meaning, formula, additivity, the marts that have it, where its numbers come from.

    Example: `assay metrics show refund_rate`
    """
    lattice = _lattice()
    described = _described(lattice, lattice.catalog.find(name))
    if as_json:
        typer.echo(json.dumps(described))
        return
    console = output()
    console.print(
        f"[bold]{described['name']}[/]  {escape(described['title'])}\n{escape(described['meaning'])}\n", highlight=False
    )
    for key in (
        "formula",
        "unit",
        "type",
        "additivity",
        "computed from",
        "facts",
        "by",
        "entities",
        "grains",
        "calendar",
        "partial",
        "owner",
        "tags",
        "declared",
    ):
        value = described[key]
        if value:
            console.print(f"{key}: {escape(', '.join(value) if isinstance(value, list) else str(value))}", highlight=False)
    grid = Grid("mart", "made from", "because")
    for mart, origins in described["marts"].items():
        for place, (origin, why) in enumerate(origins.items()):
            grid.add_row(mart if place == 0 else "", origin, why)
    console.print(grid)


def query(
    names: Annotated[str, typer.Argument(metavar="METRICS", help="One or more, separated by commas.")],
    by: Annotated[str | None, typer.Option(help="Entities, separated by commas; default: the metric's own.")] = None,
    grain: Annotated[Grain | None, typer.Option(help="One row per period; default: one row for all days.")] = None,
    first: Annotated[
        dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; UTC, or by the metric's calendar.")
    ] = None,
    last: Annotated[
        dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; UTC, or by the metric's calendar.")
    ] = None,
    explain: Annotated[bool, typer.Option(help="Explain what would be read and why, without reading.")] = False,
    scan: Annotated[bool, typer.Option(help="Compute from the facts if no mart has the answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
) -> None:
    """Query metrics: the coarsest mart that gives an exact answer is used.

    Example: `assay metrics query refund_rate,approval_rate --by merchant --grain month --from 2025-01-01 --to 2025-06-30`
    """
    days = Days(*days_of(first, last))
    with session(read_settings()) as workspace:
        state = State(workspace)
        asked = _named(names)
        lattice = lattice_of(workspace.domain)
        if not asked:
            raise SettingsError("No metric is named.", hint="`assay metrics list` shows all.")
        default = lattice.catalog.find(asked[0]).metric.by or ""
        question = Question(asked, _named(default if by is None else by), grain, days)
        if explain:
            _explain(output(), state, question, as_json)
            return
        with workspace.connection() as connection:
            answer = ask(connection, state, question, scan=scan)
            if as_json:
                typer.echo(json_of(as_dicts(answer.result)))
            else:
                print_rows(
                    output(),
                    answer.result,
                    title=f"{answer.taken.name}: {answer.taken.why}; {answer.plan.days} days",
                    everything="`--json`",
                )


def history_(
    name: Annotated[str, typer.Argument(help="As in refund_rate.")],
    mart: Annotated[str | None, typer.Option(help="As in marts.merchant_month; default: every mart.")] = None,
    key: Annotated[str | None, typer.Option(help="The entity's key in the mart, as in mer_00000001.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show restatements of a metric: reported values of complete periods that changed afterwards.

    Example: `assay metrics history refund_rate --mart merchant_month --key mer_00000001`
    """
    with session(read_settings()) as workspace, workspace.connection() as connection:
        changes = _changes(connection, State(workspace), name, mart, key)
    if as_json:
        typer.echo(json_of([asdict(change) for change in changes]))
        return
    grid = Grid("mart", "period", "key", "reported", "said", "restated", "says", "run")
    for each in changes:
        times = [f"{moment:%Y-%m-%d %H:%M}" for moment in (each.reported_at, each.restated_at)]
        cells = (
            each.table,
            str(each.partition),
            ", ".join(each.key.values()),
            times[0],
            str(each.before),
            times[1],
            str(each.after),
        )
        grid.add_row(*cells, each.run_id)
    output().print(grid if changes else "No reported value of a complete period has changed.")


def explain_change(
    name: Annotated[str, typer.Argument(help="As in refund_count.")],
    mart: Annotated[str, typer.Option(help="As in marts.merchant_month.")],
    key: Annotated[str | None, typer.Option(help="The entity's key in the mart, as in mer_00000001.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the rows behind each change of a metric: late, corrected or deleted rows of its facts and of joined tables.

    Example: `assay metrics explain-change refund_count --mart merchant_month --key mer_00000001`
    """
    with session(read_settings()) as workspace, workspace.connection() as connection:
        state = State(workspace)
        changes = _changes(connection, state, name, mart, key)
        rows = changed_rows(connection, state, changes)
    if as_json:
        found = [asdict(change) | {"rows": behind} for change, behind in zip(changes, rows, strict=True)]
        typer.echo(json_of(found))
        return
    console = output()
    for change, behind in zip(changes, rows, strict=True):
        whose = ", ".join(change.key.values()) or "the company"
        console.print(
            f"[bold]{change.partition}[/] {whose}: {change.before} → {change.after}, run {change.run_id}", highlight=False
        )
        for row in behind:
            console.print("  " + escape(_in_words(row)), highlight=False, soft_wrap=True)
        if not behind:
            console.print(
                "  nothing ingested in between changes what it counts itself: others changed, or it is computed otherwise since"
            )
    console.print(counted(len(changes), "change"))


def _in_words(row: Mapping[str, Any]) -> str:
    """A row in one line: its table, its values, and what changed in it."""
    changed = {column: f"{each['before']} → {each['after']}" for column, each in row.get("changed", {}).items()}
    values = {column: value for column, value in row.items() if column not in ("table", "changed")}
    # A change is shown at its column, or after the key where the row has no such column.
    landed = {column: values.pop(column) for column in _LANDED if column in values}
    said = (f"{column} {value}" for column, value in (values | changed | landed).items())
    return f"{row['table']}: {', '.join(said)}"


def _changes(connection: duckdb.DuckDBPyConnection, state: State, name: str, mart: str | None, key: str | None) -> list[Change]:
    lattice = lattice_of(state.workspace.domain)
    metric = lattice.catalog.find(name)
    if not metric.is_dated:
        raise SettingsError(
            f"{name} is over all days: no period of it is ever reported as complete.",
            hint="What changed is in the history of metrics of periods; `assay metrics list` shows which those are.",
        )
    if mart is None:
        if key is not None:
            raise SettingsError("--key requires --mart.", hint="Name the mart whose key it is.")
        return history(connection, state, name)
    of = _mart_of(lattice, metric, mart)
    if key is not None and not of.entity.keys:
        raise SettingsError(f"{of.full_name} has no key: its rows are of the whole company.", hint="Leave --key out.")
    whose = {} if key is None else dict.fromkeys(of.entity.keys, key)
    return history(connection, state, name, of.trend_name if metric.is_trend else of.full_name, whose)


def _mart_of(lattice: Lattice, metric: Resolved, named: str) -> Mart:
    """The mart of a name, with or without `marts.` and `_trend`, which has a metric.

    Raises:
        SettingsError: There is no such mart, or it does not have the metric.
    """
    table = named if "." in named else f"marts.{named}"
    known = {each.full_name: each for each in lattice.marts} | {each.trend_name: each for each in lattice.marts}
    if table not in known:
        raise SettingsError(f"{table} is not generated from metrics.", hint=suggestion(table, known, _MARTS))
    mart = known[table]
    if metric not in (*lattice.metrics(mart), *lattice.trends(mart)):
        raise SettingsError(
            f"{metric.name} is not in {table}.", hint=f"`assay metrics show {metric.name}` lists the marts that have it."
        )
    return mart


def sql(mart: Annotated[str, typer.Argument(help="As in marts.merchant_day, or just merchant_day.")]) -> None:
    """Print the generated SQL of a mart; it runs unchanged in `assay sql`.

    Example: `assay metrics sql merchant_day`
    """
    domain = load_domain(read_settings().domain)
    name = mart if "." in mart else f"marts.{mart}"
    if name not in domain.generated:
        raise SettingsError(f"{name} is not generated from metrics.", hint=suggestion(name, domain.generated, _MARTS))
    typer.echo(domain.generated[name].sql, nl=False)


def _named(listed: str) -> tuple[str, ...]:
    """The names in a list that is separated by commas."""
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _lattice() -> Lattice:
    return lattice_of(load_domain(read_settings().domain))


def _has(metric: Resolved, word: str) -> bool:
    texts = (metric.name, metric.metric.title, metric.group.name, metric.group.title, *metric.tags)
    return any(word.lower() in text.lower() for text in texts)


def _described(lattice: Lattice, metric: Resolved) -> dict[str, Any]:
    declared = metric.metric
    marts = [mart for mart in lattice.marts if metric in (*lattice.metrics(mart), *lattice.trends(mart))]
    return {
        "name": metric.name,
        "title": declared.title,
        "meaning": declared.meaning,
        "formula": declared.formula,
        "unit": metric.unit,
        "type": declared.type,
        "additivity": str(declared.additivity),
        "group": metric.group.name,
        "computed from": list(metric.refers) or list(metric.parts),
        "facts": [f"{name} ({lattice.catalog.facts[name].table})" for name in metric.facts],
        "by": declared.by or "",
        "entities": list(metric.entities),
        "grains": [str(grain) for grain in metric.grains],
        "calendar": _calendar(metric),
        "partial": _partial(metric),
        "owner": metric.owner,
        "tags": list(metric.tags),
        "declared": str(declared.place),
        "marts": {mart.trend_name if metric.is_trend else mart.full_name: _origins(lattice, mart, metric) for mart in marts}
        | _over_all_days(lattice, metric),
    }


def _calendar(asked: Resolved | Plan) -> str:
    """Which days there are, in a sentence."""
    if not asked.is_dated:
        return f"{asked.days} days together, no periods"
    said = f"{asked.days} days, ISO weeks"
    return said if asked.calendar is None else f"{said} ({asked.calendar.meaning})"


def _partial(metric: Resolved) -> str:
    """Which periods of a metric are marked as partial, in a sentence."""
    if not metric.is_dated:
        return ""
    begins = "what it looks back at begins" if metric.is_trend else "it begins"
    return f"a period after which there are no data yet, or where {begins} before the first day of data"


def _over_all_days(lattice: Lattice, metric: Resolved) -> dict[str, dict[str, str]]:
    """The tables that answer a metric over all days, each with what it is added up from."""
    facts = [] if metric.is_dated else [lattice.catalog.facts[name] for name in metric.facts]
    tables = [lattice.catalog.tables[fact.table] for fact in facts]
    return {
        table.full_name: dict.fromkeys(table.balance.inputs if table.balance else (table.full_name,), table.description)
        for table in tables
    }


def _origins(lattice: Lattice, mart: Mart, metric: Resolved) -> dict[str, str]:
    if isinstance(metric.metric, Followed):
        return {lattice.catalog.facts[name].table: "who was counted in each month" for name in metric.facts}
    if metric.is_trend:
        return {mart.full_name: "the same periods, and those before them"}
    found = {}
    for name in metric.parts:
        parent = lattice.parent(mart, lattice.catalog.parts[name])
        found[getattr(parent.origin, "table", None) or f"marts.{parent.origin.name}"] = parent.why
    return found


def _explain(console: Console, state: State, question: Question, as_json: bool) -> None:
    plan = plan_question(state, question)
    chosen = plan.chosen
    calendar = _calendar(plan)
    rows = {each.name: rows_read(state, each, question.days) for each in plan.considered}
    listed = [
        {"reads": each.name, "rows": rows[each.name], "exact": each.is_exact, "chosen": each is chosen, "why": each.why}
        for each in plan.considered
    ]
    if as_json:
        answered = {"calendar": calendar, "considered": listed, "sql": statement_of(state, chosen) if chosen else None}
        typer.echo(json.dumps(answered))
        return
    console.print(f"calendar: {escape(calendar)}", highlight=False)
    grid = Grid("", "reads", "rows", "why")
    for each in listed:
        mark = "[green]taken[/]" if each["chosen"] else "exact" if each["exact"] else "[dim]no[/]"
        grid.add_row(mark, str(each["reads"]), f"{each['rows']:,}", escape(str(each["why"])))
    console.print(grid)
    if chosen is not None:
        console.print(statement_of(state, chosen), highlight=False, markup=False)
    elif plan.scan is not None:
        console.print(f"No mart answers this exactly; --scan reads {rows[plan.scan.name]:,} rows of {plan.scan.name}.")
