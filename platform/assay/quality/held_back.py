"""Rows held back: an event says that a value did not change, but no event with the value has landed.

Belongs here: finding them among the folded inputs of a table, and setting them aside for quarantine. Does not belong here:
deriving the known values (`engine.states`).

Such rows never reach the table's SQL, which could not tell an omitted value from null. They heal as soon as the value lands.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine.project import Node, Project, source_of
from assay.engine.relations import PARTITION, has_states, partition_of

HEALED_RULE = "healed"
"""The rule that every value of a row is known."""
HELD_BACK = "held_back"
"""The table of rows that break it."""


@dataclass(frozen=True)
class HeldBack:
    """The held-back rows of one partition.

    Attributes:
        rows: How many.
        hashed: Hash of their known values, independent of order.
    """

    rows: int = 0
    hashed: int = 0


def set_aside(connection: duckdb.DuckDBPyConnection, project: Project, node: Node) -> dict[str, HeldBack]:
    """Collect a table's held-back rows in `held_back`, and count them by the table's partition.

    Args:
        connection: A connection in which the table's inputs are bound.
        project: The domain's tables.
        node: The table.
    """
    queries = [
        _rows(relation, project.domain.sources[name], node)
        for relation in node.inputs
        if (name := source_of(relation)) is not None and has_states(connection, relation)
    ]
    connection.execute(f"DROP TABLE IF EXISTS {HELD_BACK}")
    if not queries:
        return {}
    connection.execute(f"CREATE TABLE {HELD_BACK} AS {' UNION ALL BY NAME '.join(queries)}")
    counted = connection.execute(
        f"SELECT {PARTITION}, count(*), sum(hash(_landing_object, _landing_row, _reasons)) FROM {HELD_BACK} GROUP BY 1"
    ).fetchall()
    return {str(partition): HeldBack(int(rows), int(hashed)) for partition, rows, hashed in counted}


def _rows(relation: str, source: Source, node: Node) -> str:
    columns = [spec.name for spec in source.columns]
    packed = ", ".join(f"{literal(name)}: event.{quote(name)}" for name in columns)
    own = {name: kind for name, kind in node.table.types.items() if name in source.key and name in node.table.key}
    keys = "".join(f", TRY_CAST(row.{quote(name)} AS {kind}) AS {quote(name)}" for name, kind in own.items())
    partition = partition_of("row." + quote(source.partition_column) if source.partition_column else None, node.table.grain)
    said = (
        "lambda name: name || ' did not change according to the producer, and no event with its value has landed; "
        "it will heal when one lands'"
    )
    same = " AND ".join(f"event.{quote(name)} = row.{quote(name)}" for name in source.key)
    return f"""
SELECT ({partition})::VARCHAR AS {PARTITION}, true AS _broken, [{literal(HEALED_RULE)}] AS _rules,
  list_transform(row._unhealed, {said}) AS _reasons, {literal(node.table.version)} AS _contract,
  row._origin._landing_object AS _landing_object, row._origin._landing_row AS _landing_row,
  row._origin._sequence AS _sequence, any_value(to_json({{{packed}}})) AS _record,
  any_value(event._ingested_at) AS _ingested_at{keys}
FROM folds.{quote(relation)} AS row
JOIN events.{quote(source.name)} AS event
  ON {same} AND event._landing_object = row._origin._landing_object AND event._landing_row = row._origin._landing_row
WHERE row._unhealed IS NOT NULL
GROUP BY ALL"""
