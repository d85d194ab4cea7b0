"""Quarantine: the rows that a contract refused, with every rule they broke and where they came from.

Belongs here: finding refused rows, tracing them to their landing object, and writing them to quarantine; examples of broken rules
for people. Does not belong here: records that could not be read at all (`landing.quarantine.refused` writes those in a similar
way).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from assay.contracts import Source
from assay.contracts.rules import Rule, literal, quote
from assay.engine.fold import NEWEST_FIRST, SINCE
from assay.engine.project import Node, Project, source_of
from assay.engine.relations import PARTITION
from assay.quality.flagging import FLAGGED, breaks, masks
from assay.quality.held_back import HELD_BACK
from assay.quality.proof import all_rules

REFUSED = "refused"
"""The table of rows that broke any rule, of any severity."""
EXAMPLES = 3
"""Examples kept per broken rule and partition."""
TRACED_AT_ONCE = 250_000
"""Rows whose landing records are looked up together; they are held in memory."""
_WORDS = "broken_words"
_ORIGIN = "_landing_object, _landing_row, _sequence, _record, _ingested_at"


@dataclass(frozen=True)
class Example:
    """One row that broke a rule.

    Attributes:
        partition: The partition.
        rule: The rule's name.
        key: The row's key.
        values: The columns that the rule checks.
    """

    partition: str
    rule: str
    key: dict[str, Any]
    values: dict[str, Any]


def collect_refused(connection: duckdb.DuckDBPyConnection, project: Project, node: Node, has_held_back: bool = False) -> None:
    """Collect every row that broke a rule, with the landing records behind it, and the rows held back, in `refused`.

    Args:
        connection: A connection with `flagged`, in which the table's inputs are still bound.
        project: The domain's tables.
        node: The table.
        has_held_back: Whether the table `held_back` exists.
    """
    rules = all_rules(node)
    bits = ", ".join(masks(rules))
    broken = f"SELECT *, {_texts(map(quote, node.table.key))} FROM {FLAGGED}"
    _write_words(connection, rules)
    columns = ", ".join(quote(spec.name) for spec in node.table.columns)
    for number, rows in enumerate(_slices(connection, node.table.key)):
        begin = f"INSERT INTO {REFUSED}" if number else f"CREATE OR REPLACE TABLE {REFUSED} AS"
        connection.execute(
            f"{begin} WITH broken AS (FROM ({broken}) WHERE {rows}) "
            f"SELECT {columns}, {PARTITION}, _broken, _rules, _reasons, {literal(node.table.version)} AS _contract, {_ORIGIN} "
            f"FROM broken JOIN {_WORDS} USING ({bits}) {_with_origin(project, node, rows)}"
        )
    connection.execute(f"DROP TABLE {_WORDS}")
    if has_held_back:
        connection.execute(f"INSERT INTO {REFUSED} BY NAME SELECT * FROM {HELD_BACK}")


def _write_words(connection: duckdb.DuckDBPyConnection, rules: Sequence[Rule]) -> None:
    """Store the texts for each combination of broken rules: there are far fewer combinations than rows."""
    flags, bits = breaks(rules), ", ".join(masks(rules))
    names = _said(flags, {rule.name: rule.name for rule in rules})
    reasons = _said(flags, {rule.name: rule.reason for rule in rules})
    connection.execute(
        f"CREATE OR REPLACE TABLE {_WORDS} AS SELECT {bits}, {names} AS _rules, {reasons} AS _reasons "
        f"FROM (SELECT DISTINCT {bits} FROM {FLAGGED})"
    )


def _said(flags: Mapping[str, str], words: Mapping[str, str]) -> str:
    """Expression for the list of texts about the rules that a row breaks."""
    cases = ", ".join(f"CASE WHEN {flag} THEN {literal(words[name])} END" for name, flag in flags.items())
    return f"list_filter([{cases}], lambda word: word IS NOT NULL)::VARCHAR[]"


def write_quarantine(connection: duckdb.DuckDBPyConnection, partition: str, key: tuple[str, ...], to: Path) -> None:
    """Write the refused rows of one partition as Parquet, ordered by key."""
    order = ", ".join(quote(name) for name in key)
    connection.execute(
        f"COPY (SELECT * EXCLUDE ({PARTITION}, _broken) FROM {REFUSED} WHERE _broken AND {PARTITION} = {literal(partition)} "
        f"ORDER BY {order}, _landing_object, _landing_row) "
        f"TO {literal(str(to))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def examples(connection: duckdb.DuckDBPyConnection, node: Node) -> list[Example]:
    """Pick a few rows for each rule that was broken in each partition, always the same ones."""
    rules = {rule.name: rule for rule in all_rules(node)}
    key = _packed(node.table.key)
    row = _packed(tuple(spec.name for spec in node.table.columns))
    example = f"{{'key': {key}, 'row': {row}}}"
    # The least rows of each combination of broken rules: they include the least rows of each rule.
    alike = (
        f"SELECT {PARTITION}, _rules, unnest(min({example}, {EXAMPLES})) AS example FROM {REFUSED} GROUP BY {PARTITION}, _rules"
    )
    found = connection.execute(
        f"SELECT {PARTITION}, rule, unnest(min(example, {EXAMPLES})) AS example "
        f"FROM (SELECT {PARTITION}, unnest(_rules) AS rule, example FROM ({alike})) GROUP BY {PARTITION}, rule ORDER BY ALL"
    ).fetchall()
    return [
        Example(str(partition), rule, example["key"], _looked_at(rules.get(rule), example["row"]))
        for partition, rule, example in found
    ]


def _looked_at(rule: Rule | None, row: dict[str, Any]) -> dict[str, Any]:
    """The values that a rule looked at; none for records that never became rows of the table."""
    return {column: row[column] for column in rule.columns if column in row} if rule else {}


def _packed(names: tuple[str, ...]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {quote(name)}" for name in names) + "}"


def _slices(connection: duckdb.DuckDBPyConnection, key: Sequence[str]) -> list[str]:
    """Conditions that split the broken rows into slices whose records fit into memory."""
    counted = connection.execute(f"SELECT count(*) FROM {FLAGGED}").fetchone()
    slices = max(1, math.ceil((counted[0] if counted else 0) / TRACED_AT_ONCE))
    if slices == 1:
        return ["true"]
    return [f"hash({_own(key)}) % {slices} = {number}" for number in range(slices)]


def _with_origin(project: Project, node: Node, rows: str) -> str:
    """Write the join that finds the landing record of a broken row, where keys lead there.

    Args:
        project: The domain's tables.
        node: The table.
        rows: Condition on the text values of the keys.
    """
    records = [
        _records(project.domain.sources[name], keys, rows)
        for relation in node.inputs
        if (name := source_of(relation)) is not None
        and (keys := _key_in(node, relation, project.domain.sources[name])) is not None
    ]
    own = _own(node.table.key)
    if not records:
        return (
            "CROSS JOIN (SELECT NULL::VARCHAR AS _landing_object, NULL::BIGINT AS _landing_row, "
            "NULL::BIGINT[] AS _sequence, NULL::JSON AS _record, NULL::TIMESTAMPTZ AS _ingested_at)"
        )
    return f"LEFT JOIN (SELECT * FROM ({' UNION ALL '.join(records)}) {_newest(own)}) USING ({own})"


def _own(key: Sequence[str]) -> str:
    return ", ".join(f"k{place}" for place in range(len(key)))


def _texts(key: Iterable[str]) -> str:
    """A key's values as text, because their type at the source may differ."""
    return ", ".join(f"({value})::VARCHAR AS k{place}" for place, value in enumerate(key))


def _newest(key: str) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {NEWEST_FIRST}) = 1"


def _key_in(node: Node, relation: str, source: Source) -> list[str] | None:
    """Columns of a source's events that make up a table's key: its key, and the start of a span's state; None for other keys."""
    columns = []
    for name in node.table.key:
        origins = {origin.column for origin in node.query.lineage.get(name, ()) if origin.relation == relation}
        if len(origins) != 1:
            return None
        columns.append(origins.pop())
    known = {name: quote(name) for name in source.key} | ({"valid_from": SINCE} if relation.startswith("history.") else {})
    return [known[name] for name in columns] if set(source.key) <= set(columns) <= known.keys() else None


def _records(source: Source, keys: list[str], rows: str) -> str:
    """The query of the events behind each broken row."""
    packed = ", ".join(f"{literal(spec.name)}: {quote(spec.name)}" for spec in source.columns)
    own = _own(keys)
    return (
        f"SELECT {own}, _op, _ingested_at, _landing_object, _landing_row, _sequence, to_json({{{packed}}}) AS _record "
        f"FROM (SELECT *, {_texts(keys)} FROM events.{quote(source.name)} WHERE _op <> 'd') "
        f"SEMI JOIN broken USING ({own}) WHERE {rows}"
    )
