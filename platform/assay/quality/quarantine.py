"""Quarantine: the rows that a contract refused, with every rule they broke and where they came from.

Belongs here: finding refused rows, tracing them to their landing object, and writing them down; examples of broken rules for
people. Does not belong here: records that could not be read at all (`landing.ingest` writes those, in the same spirit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from assay.contracts import Source
from assay.contracts.rules import Rule, literal, quote
from assay.engine.fold import NEWEST_FIRST
from assay.engine.project import Node, Project, source_of
from assay.engine.relations import PARTITION
from assay.quality.held_back import HELD_BACK
from assay.quality.proof import PROVEN, all_rules, breaks

REFUSED = "refused"
"""The table of rows that broke any rule, of whatever severity."""
EXAMPLES = 3
"""Examples kept of each broken rule and partition."""


@dataclass(frozen=True)
class Example:
    """One row that broke a rule.

    Attributes:
        partition: The partition.
        rule: The rule's name.
        key: The row's key.
        values: What the rule looked at.
    """

    partition: str
    rule: str
    key: dict[str, Any]
    values: dict[str, Any]


def collect_refused(connection: duckdb.DuckDBPyConnection, project: Project, node: Node, has_held_back: bool = False) -> None:
    """Set aside every row that broke a rule, with the landing records behind it, as `refused`; those held back are added.

    Args:
        connection: Where `proven` is, with the table's inputs still bound.
        project: The domain's tables.
        node: The table.
        has_held_back: Whether there is a table `held_back`.
    """
    rules = all_rules(node)
    flags = breaks(rules)
    reasons = {rule.name: rule.reason for rule in rules}
    columns = ", ".join(f"p.{quote(spec.name)}" for spec in node.table.columns)
    origin, join = _origin(project, node)
    connection.execute(
        f"CREATE OR REPLACE TABLE {REFUSED} AS "
        f"WITH broken AS MATERIALIZED (SELECT *, {_said(flags, {name: name for name in flags})} AS _rules, "
        f"{_said(flags, reasons)} AS _reasons FROM {PROVEN} WHERE {' OR '.join(flags.values())}) "
        f"SELECT {columns}, {PARTITION}, _broken, _rules, _reasons, "
        f"{literal(node.table.version)} AS _contract, {origin} FROM broken AS p{join}"
    )
    if has_held_back:
        connection.execute(f"INSERT INTO {REFUSED} BY NAME SELECT * FROM {HELD_BACK}")


def _said(flags: Mapping[str, str], words: Mapping[str, str]) -> str:
    """Expression for the list of what is to be said of the rules that a row breaks."""
    cases = ", ".join(f"CASE WHEN {flag} THEN {literal(words[name])} END" for name, flag in flags.items())
    return f"list_filter([{cases}], lambda word: word IS NOT NULL)::VARCHAR[]"


def write_quarantine(connection: duckdb.DuckDBPyConnection, partition: str, key: tuple[str, ...], to: Path) -> None:
    """Write the refused rows of one partition as Parquet, ordered by key."""
    order = ", ".join(quote(name) for name in key)
    connection.execute(
        f"COPY (SELECT * EXCLUDE ({PARTITION}, _broken) FROM {REFUSED} WHERE _broken AND {PARTITION} = {literal(partition)} "
        f"ORDER BY {order}, _landing_object, _landing_row) TO {literal(str(to))} (FORMAT parquet, COMPRESSION zstd)"
    )


def examples(connection: duckdb.DuckDBPyConnection, node: Node) -> list[Example]:
    """A few rows for each rule that was broken in each partition, the same ones every time."""
    rules = {rule.name: rule for rule in all_rules(node)}
    key = _packed(node.table.key)
    row = _packed(tuple(spec.name for spec in node.table.columns))
    found = connection.execute(
        f"SELECT {PARTITION}, rule, unnest(min({{'key': {key}, 'row': {row}}}, {EXAMPLES})) AS example "
        f"FROM (SELECT *, unnest(_rules) AS rule FROM {REFUSED}) GROUP BY {PARTITION}, rule ORDER BY ALL"
    ).fetchall()
    return [
        Example(str(partition), rule, example["key"], _looked_at(rules.get(rule), example["row"]))
        for partition, rule, example in found
    ]


def _looked_at(rule: Rule | None, row: dict[str, Any]) -> dict[str, Any]:
    """What a rule looked at; nothing for rows that never were rows of the table."""
    return {column: row[column] for column in rule.columns if column in row} if rule else {}


def _packed(names: tuple[str, ...]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {quote(name)}" for name in names) + "}"


def _origin(project: Project, node: Node) -> tuple[str, str]:
    """Columns, and the join they need, that say which landing record a row came from, where keys lead there."""
    records = [
        _records(project.domain.sources[name], keys)
        for relation in node.inputs
        if (name := source_of(relation)) is not None
        and (keys := _key_in(node, relation, project.domain.sources[name])) is not None
    ]
    if not records:
        empty = (
            "NULL::VARCHAR AS _landing_object, NULL::BIGINT AS _landing_row, NULL::BIGINT[] AS _sequence, NULL::JSON AS _record"
        )
        return empty, ""
    places = range(len(node.table.key))
    own = ", ".join(f"k{place}" for place in places)
    same = " AND ".join(f"o.k{place} = p.{quote(name)}::VARCHAR" for place, name in enumerate(node.table.key))
    wanted = ", ".join(f"{quote(name)}::VARCHAR AS k{place}" for place, name in enumerate(node.table.key))
    newest = (
        f"SELECT {own}, first({{'o': _landing_object, 'n': _landing_row, 's': _sequence, 'r': _record}} "
        f"ORDER BY {NEWEST_FIRST}) AS at FROM ({' UNION ALL '.join(records)}) "
        f"SEMI JOIN (SELECT {wanted} FROM broken) USING ({own}) GROUP BY {own}"
    )
    columns = "o.at.o AS _landing_object, o.at.n AS _landing_row, o.at.s AS _sequence, o.at.r AS _record"
    return columns, f" LEFT JOIN ({newest}) AS o ON {same}"


def _key_in(node: Node, relation: str, source: Source) -> list[str] | None:
    """The source's columns that a table's key comes from, if they are just the source's key."""
    columns = []
    for name in node.table.key:
        origins = {origin.column for origin in node.query.lineage.get(name, ()) if origin.relation == relation}
        if len(origins) != 1:
            return None
        columns.append(origins.pop())
    return columns if set(columns) == set(source.key) else None


def _records(source: Source, keys: list[str]) -> str:
    packed = ", ".join(f"{literal(spec.name)}: {quote(spec.name)}" for spec in source.columns)
    key_list = ", ".join(f"{quote(name)}::VARCHAR AS k{place}" for place, name in enumerate(keys))
    return (
        f"SELECT {key_list}, _op, _ingested_at, _landing_object, _landing_row, _sequence, to_json({{{packed}}}) AS _record "
        f"FROM events.{quote(source.name)} WHERE _op <> 'd'"
    )
