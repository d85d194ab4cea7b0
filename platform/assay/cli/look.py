"""Read-only commands: `sql`, `tables`, `describe`, `drift`.

Belongs here: their options and output. Does not belong here: anything that changes the lake.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from assay.cli.options import AsJson
from assay.cli.show import as_dicts, json_of, output, print_csv, print_rows, writing
from assay.contracts import Source, Table
from assay.contracts.model import EVENT_COLUMN_DESCRIPTIONS, EVENT_COLUMNS, RUN_COLUMN_DESCRIPTIONS, RUN_COLUMNS
from assay.errors import SettingsError
from assay.lake.layout import landing_prefix
from assay.landing.drift import read_held, schema_versions
from assay.pipeline.query import query, sql_errors
from assay.pipeline.runs import source_books
from assay.pipeline.session import session
from assay.pipeline.state import State
from assay.quality.books import from_dict, total
from assay.quality.own_tables import OWN_TABLES, OwnTable
from assay.quality.proof import every_rule
from assay.report.numbers import duration
from assay.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (sql, tables, describe, drift):
        app.command()(command)


def sql(
    text: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="One SELECT over marts.x, enriched.x, latest.x, history.x, changes.x or quality.x."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write a Parquet file.")] = None,
) -> None:
    """Query the lake.

    Example: `assay sql "select * from marts.merchant_daily limit 5" --csv`
    """
    if as_json + as_csv + (parquet is not None) > 1:
        raise SettingsError("--json, --csv and --parquet exclude each other.", hint="Give one of them.")
    with session(read_settings()) as workspace, workspace.connection() as connection:
        result = query(connection, State(workspace), text)
        with sql_errors():
            if parquet is not None:
                with writing(parquet):
                    result.write_parquet(str(parquet), compression="zstd")
                typer.echo(f"wrote {parquet}")
            elif as_csv:
                print_csv(result)
            elif as_json:
                typer.echo(json_of(as_dicts(result)))
            else:
                print_rows(output(), result)


def tables(as_json: AsJson = False) -> None:
    """List sources, enriched tables and marts.

    Example: `assay tables`
    """
    with session(read_settings()) as workspace:
        state = State(workspace)
        listed = [_summary(state, source) for source in workspace.domain.sources.values()]
        listed += [_summary(state, node.table) for node in workspace.project.nodes.values()]
    if as_json:
        typer.echo(json.dumps(listed))
        return
    grid = Grid()
    for name in ("table", "partitions", "rows", "newest", "key", "owner", "what it is"):
        grid.add_column(name, justify="right" if name in ("partitions", "rows") else "left", no_wrap=name == "table")
    for each in listed:
        what = each["description"].split("\n", 1)[0]
        key = ", ".join(each["key"])
        counts = (f"{each['partitions']:,}", f"{each['rows']:,}")
        grid.add_row(each["table"], *counts, each["newest"] or "", key, escape(each["owner"]), escape(what))
    output().print(grid)


def drift(
    source: Annotated[str | None, typer.Argument(help="A source, with or without `raw.`; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how producers' columns differ from the contracts: every schema seen, with its first and last object.

    Example: `assay drift transactions`
    """
    with session(read_settings()) as workspace:
        sources = workspace.domain.sources
        state = State(workspace)
        asked = list(sources) if source is None else [workspace.domain.find_source(source).name]
        seen = {name: schema_versions(state.ledger(name)) for name in asked}
        held = {name: read_held(workspace.store, name) for name in asked}
    if as_json:
        versions = {name: [asdict(version) for version in found] for name, found in seen.items()}
        typer.echo(json.dumps({"schemas": versions, "held": held}))
        return
    grid = Grid()
    for name in ("source", "objects", "records", "first object", "last object", "missing", "added"):
        grid.add_column(name, justify="right" if name in ("objects", "records") else "left", overflow="fold")
    for name, found in seen.items():
        for version in found:
            added = ", ".join(f"{column} ({kind.lower()})" for column, kind in version.layout.added.items())
            first, last = (key.removeprefix(landing_prefix(name)) for key in (version.first, version.last))
            missing = ", ".join(version.layout.missing)
            counts = (f"{version.objects:,}", f"{version.records:,}")
            grid.add_row(name, *counts, *map(escape, (first, last, missing, added)))
    console = output()
    console.print(grid)
    for objects in held.values():
        for key, reason in objects.items():
            console.print(f"[bold red]held:[/] {escape(key)}: {escape(reason)}", highlight=False)


def describe(
    table: Annotated[
        str,
        typer.Argument(help="As in marts.merchant_daily, merchant_daily or quality.partition_scores."),
    ],
    as_json: AsJson = False,
) -> None:
    """Describe a table: columns, key, partitions, owner, upstream, lineage, books.

    Example: `assay describe merchant_daily`
    """
    if (own := OWN_TABLES.get(table)) is not None:
        described = _described_own(own)
    else:
        with session(read_settings()) as workspace:
            found = workspace.domain.find(table)
            described = _described(State(workspace), found)
    if as_json:
        typer.echo(json_of(described))
    else:
        _print_description(output(), described)


def _summary(state: State, declared: Source | Table) -> dict[str, Any]:
    if isinstance(declared, Source):
        parts = state.ledger(declared.name).parts
        sizes = {partition: sum(part.rows for part in found) for partition, found in parts.items()}
    else:
        sizes = {partition: entry.rows for partition, entry in state.index(declared.full_name).items()}
    return {
        "table": declared.full_name,
        "description": declared.description,
        "partitions": len(sizes),
        "rows": sum(sizes.values()),
        "newest": max(sizes) if sizes and declared.partition_column else None,
        "key": list(declared.key),
        "owner": declared.owner,
    }


def _described(state: State, declared: Source | Table) -> dict[str, Any]:
    found = _summary(state, declared) | {
        "partition column": declared.partition_column,
        "partitioned by": None if declared.partition_column is None else str(declared.grain),
        "subject": declared.subject,
        "freshness": duration(declared.freshness) if declared.freshness else None,
    }
    added = EVENT_COLUMNS if isinstance(declared, Source) else RUN_COLUMNS
    texts = EVENT_COLUMN_DESCRIPTIONS if isinstance(declared, Source) else RUN_COLUMN_DESCRIPTIONS
    lineage: dict[str, list[str]] = {}
    if isinstance(declared, Source):
        found |= {"format": declared.format.name, "upstream": [f"landing/{declared.name}/"]}
        found["deletes kept"] = "for ever" if declared.deletes_kept is None else duration(declared.deletes_kept)
        books = source_books(state.ledger(declared.name))
    else:
        project = state.workspace.project
        node = project.nodes[declared.full_name]
        lineage = {
            name: [f"{origin.relation}.{origin.column}" for origin in origins] for name, origins in node.query.lineage.items()
        }
        found |= {
            "upstream": list(project.upstream(declared.full_name)),
            "windows": {relation: window.text for relation, window in declared.windows.items()},
            "sql": str(node.query.path),
            "threshold": declared.threshold,
            "rules": [
                {
                    "name": rule.name,
                    "severity": str(rule.severity),
                    "dimension": str(rule.dimension),
                    "owner": rule.owner,
                    "reason": rule.reason,
                    "expected": rule.expected,
                }
                for rule in every_rule(node)
            ],
        }
        books = total(from_dict(entry.books) for entry in state.index(declared.full_name).values())
    found["columns"] = [
        {
            "name": spec.name,
            "type": spec.sql_type,
            "nullable": spec.nullable,
            "description": spec.description,
            "unit": spec.unit,
            "pii": spec.pii,
            "from": lineage.get(spec.name, []),
        }
        for spec in declared.columns
    ] + [
        {"name": name, "type": kind, "nullable": True, "description": texts[name], "unit": None, "pii": None, "from": []}
        for name, kind in added.items()
    ]
    return found | {"books": books.to_dict()}


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {said}" for name, said in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _described_own(own: OwnTable) -> dict[str, Any]:
    """The description of a table that the platform fills."""
    columns: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "type": spec.sql_type,
            "nullable": spec.nullable,
            "description": spec.description,
            "unit": spec.unit,
            "pii": None,
            "from": [],
        }
        for spec in own.columns
    ]
    return {"table": own.full_name, "description": own.description, "columns": columns}


def _print_description(console: Console, described: dict[str, Any]) -> None:
    console.print(f"[bold]{described['table']}[/]  {escape(described['description'])}\n", highlight=False)
    for name in (
        "key",
        "partition column",
        "partitioned by",
        "partitions",
        "rows",
        "newest",
        "owner",
        "subject",
        "freshness",
        "format",
        "deletes kept",
        "upstream",
        "windows",
        "sql",
        "threshold",
    ):
        value = described.get(name)
        if value not in (None, [], "", {}):
            console.print(f"{name}: {escape(_in_words(value))}", highlight=False)
    grid = Grid()
    for name in ("column", "type", "PII", "description", "from"):
        grid.add_column(name, overflow="fold")
    for column in described["columns"]:
        unit = f" ({column['unit']})" if column["unit"] else ""
        kind = column["type"] + ("" if column["nullable"] else " not null")
        shown = (column["name"], kind, column["pii"] or "", column["description"] + unit, "\n".join(column["from"]))
        grid.add_row(*map(escape, shown))
    console.print(grid)
    if described.get("rules"):
        rules = Grid("rule", "severity", "dimension", "owner", "reason")
        for rule in described["rules"]:
            said = f"{rule['reason']} ({rule['expected']})" if rule["expected"] not in ("", rule["reason"]) else rule["reason"]
            rules.add_row(rule["name"], rule["severity"], rule["dimension"], rule["owner"], escape(said))
        console.print(rules)
    books = described.get("books", {})
    if books:
        counts = [f"{name.replace('_', ' ')} {value:,}" for name, value in books.items() if name not in ("money", "balanced")]
        console.print(f"books: {'balanced' if books['balanced'] else 'not balanced'}; {', '.join(counts)}")
