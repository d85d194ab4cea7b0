"""Commands about monitoring rules: `monitoring list`, `show`, `backtest`.

Belongs here: their options and output. Does not belong here: rules (`contracts.monitoring`), the work (`pipeline.backtest`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson, days_of
from assay.cli.show import json_of, output
from assay.contracts import MonitoringRule
from assay.contracts.monitoring import Value
from assay.errors import SettingsError
from assay.pipeline.backtest import Backtest, Counts, Difference, find_rule
from assay.pipeline.backtest import backtest as compare
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.settings import read_settings

OneRule = Annotated[str, typer.Argument(help="As in structuring.")]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("list", list_rules), ("show", show), ("backtest", backtest)):
        commands.command(name)(command)
    app.add_typer(commands, name="monitoring", help="List monitoring rules and back-test them with other thresholds.")


def list_rules(as_json: AsJson = False) -> None:
    """List the rules, with the number of alerts of each.

    Example: `assay monitoring list`
    """
    with session(read_settings()) as workspace:
        state = State(workspace)
        rules = workspace.domain.monitoring
        alerts = {rule.name: sum(entry.rows for entry in state.index(rule.table).values()) for rule in rules}
    if as_json:
        typer.echo(json.dumps([_described(rule) | {"alerts": alerts[rule.name]} for rule in rules]))
        return
    grid = Grid()
    for name in ("rule", "severity", "alerts", "window", "numbers", "what it finds"):
        grid.add_column(name, justify="right" if name == "alerts" else "left", no_wrap=name == "rule", overflow="fold")
    for rule in rules:
        numbers = "\n".join(f"{each.name}={_text(each.default)}" for each in rule.own_parameters)
        grid.add_row(rule.name, rule.severity, f"{alerts[rule.name]:,}", f"{rule.window_days} days", numbers, rule.finds)
    output().print(grid)


def show(rule: OneRule, as_json: AsJson = False) -> None:
    """Describe a rule: what it finds and why, its origin, its parameters.

    Example: `assay monitoring show structuring`
    """
    with session(read_settings()) as workspace:
        found = find_rule(workspace.domain, rule)
        sql = str(workspace.project.nodes[found.table].query.path)
    if as_json:
        typer.echo(json.dumps(_described(found) | {"sql": sql}))
        return
    console = output()
    console.print(f"[bold]{found.name}[/]  {found.title}\n", highlight=False)
    for name in ("finds", "why", "guidance", "severity", "owner", "measures", "table", "reads"):
        console.print(f"{name}: {escape(str(getattr(found, name)))}", highlight=False)
    console.print(f"sql: {sql}", highlight=False)
    grid = Grid("parameter", "default", "unit", "what it decides")
    for each in found.parameters:
        grid.add_row(each.name, _text(each.default), each.unit or "", each.meaning)
    console.print(grid)


def backtest(
    rule: OneRule,
    set_: Annotated[list[str], typer.Option("--set", help="A parameter, as in threshold=9000; may be repeated.")],
    from_: Annotated[dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day of alerts.")] = None,
    to: Annotated[dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day of alerts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute what a rule finds over history with other parameters, publishing nothing, and show the difference in alerts.

    Example: `assay monitoring backtest structuring --set threshold=9000 --from 2025-01-01 --to 2025-03-31`
    """
    since, until = days_of(from_, to)
    with session(read_settings()) as workspace, workspace.connection() as connection:
        found = find_rule(workspace.domain, rule)
        values = found.read(_given(set_))
        result = compare(connection, State(workspace), found, values, since=since, until=until)
    if as_json:
        typer.echo(json_of(_compared(result)))
    else:
        _print(output(), result)


def _given(texts: Sequence[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value.strip():
            raise SettingsError(f"--set {text} gives no value.", hint="Write --set threshold=9000.")
        given[name.strip()] = value.strip()
    return given


def _described(rule: MonitoringRule) -> dict[str, Any]:
    said = asdict(rule) | {"parameters": [asdict(each) | {"default": _plain(each.default)} for each in rule.parameters]}
    del said["own_parameters"]
    return said


def _plain(value: Value) -> Any:
    """A parameter as a JSON value; exact numbers as text."""
    return value if isinstance(value, int) else list(value) if isinstance(value, tuple) else str(value)


def _text(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _compared(result: Backtest) -> dict[str, Any]:
    return {
        "rule": result.rule.name,
        "from": result.first,
        "to": result.last,
        "days": result.days,
        "parameters": {
            "now": {name: _plain(value) for name, value in result.rule.defaults.items()},
            "then": {name: _plain(value) for name, value in result.values.items()},
        },
        "total": asdict(result.total),
        "months": {month[:7]: asdict(counts) for month, counts in result.months.items()},
        "new": [_flat(each) for each in result.new],
        "gone": [_flat(each) for each in result.gone],
    }


def _flat(difference: Difference) -> dict[str, Any]:
    return {**difference.alert, "measured": difference.measured}


def _print(console: Console, result: Backtest) -> None:
    defaults = result.rule.defaults
    changed = [
        f"{name} {_text(defaults[name])} → {_text(value)}" for name, value in result.values.items() if value != defaults[name]
    ]
    if result.first is None:
        console.print("There are no days to compute.")
        return
    console.print(f"[bold]{result.rule.name}[/]: {'; '.join(changed) or 'nothing changed'}", highlight=False)
    console.print(f"{result.days} days from {result.first} to {result.last}; nothing was published", highlight=False)
    grid = Grid()
    for name in ("month", "alerts now", "alerts then", "new", "gone", "same"):
        grid.add_column(name, justify="left" if name == "month" else "right")
    for month, counts in result.months.items():
        grid.add_row(month[:7], *_cells(counts))
    grid.add_section()
    grid.add_row("all", *_cells(result.total))
    console.print(grid)
    for what, differences in (("new", result.new), ("gone", result.gone)):
        for each in differences[:_SHOWN]:
            alert = ", ".join(str(value) for name, value in each.alert.items() if name != "rule")
            console.print(f"{what}: {alert}, measured {each.measured:,.2f} {result.rule.measures}", highlight=False)
        if len(differences) > _SHOWN:
            console.print(f"… {len(differences) - _SHOWN:,} more {what}; `--json` gives all", highlight=False)


def _cells(counts: Counts) -> list[str]:
    return [f"{value:,}" for value in (counts.now, counts.then, counts.new, counts.gone, counts.same)]
