"""The raw events behind differing rows of a joined relation.

Belongs here: identifying those rows by landed events. Does not belong here: finding them (`corrections`).

An event is matched by its key if the relation has it. A row computed from several events, as a dollar rate is from two rates,
may have only parts of the key: then, of the events that changed something, those that have most in common with the row are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.contracts import Source
from assay.contracts.rules import quote
from assay.pipeline.corrections import Correction, by_column, of_key_columns, raw_relations, source_by_key
from assay.pipeline.known import Between, keys_in, of_keys
from assay.pipeline.lookups import bind_whole

_WANTED = "wanted"
"""The table of the rows to identify."""


def name_by_events(between: Between, correction: Correction, rows: str) -> list[dict[str, Any]]:
    """Identify differing rows by the events behind them, each event once, with all differences it caused.

    A row of which no event is found is named by its own key, and by the landing object where only one landed at its time.

    Args:
        between: The period.
        correction: The joined relation.
        rows: Query that selects rows of `correction.rows`.
    """
    execute, key = between.connection.execute, correction.key
    execute(f"CREATE OR REPLACE TEMP TABLE {_WANTED} AS SELECT row_number() OVER () AS place, * FROM ({rows})")
    events: dict[int, list[dict[str, Any]]] = {}
    objects: dict[Any, dict[str, str]] = {}
    for relation in raw_relations(between.now.workspace.project, correction.relation):
        if between.told(relation):
            source = between.now.declared(relation)
            for place, *event in execute(_events_of_rows(between, correction, relation)).fetchall():
                events.setdefault(place, []).append(_told(source.name, source.key, event))
            objects |= {at: {"landing_object": name} for at, name in execute(_only_objects(between, relation)).fetchall()}
    found: dict[str, dict[str, Any]] = {}
    named = ", ".join(map(quote, key))
    for place, landed_at, changed, *own in execute(
        f"SELECT place, landed_at, changed, {named} FROM {_WANTED} ORDER BY 1"
    ).fetchall():
        unknown = (
            dict(zip(key, own, strict=True)) | {"changed": {}, "ingestion_timestamp": landed_at} | objects.get(landed_at, {})
        )
        for told in events.get(place, [unknown]):
            identity = str({name: value for name, value in told.items() if name != "changed"})
            row = found.setdefault(identity, {"table": correction.relation} | told)
            row["changed"] = by_column(changed) | row["changed"]
    execute(f"DROP TABLE {_WANTED}")
    return list(found.values())


def newest(key: Sequence[str], events: str) -> str:
    """Query of the newest event of each key: its operation, and when and where it landed."""
    named = ", ".join(map(quote, key))
    return (
        f"SELECT {named}, arg_max(_op, _sequence) AS op, arg_max(_ingested_at, _sequence) AS landed_at, "
        "arg_max(_landing_object, _sequence) AS landing_object, arg_max(_landing_row, _sequence) AS landing_row "
        f"FROM ({events}) GROUP BY {named}"
    )


def _told(source: str, key: Sequence[str], event: Sequence[Any]) -> dict[str, Any]:
    op, landed_at, landing_object, landing_row, *values = event
    gone = {"gone": "deleted"} if op == "d" else {}
    landed = {"ingestion_timestamp": landed_at, "data_source": source}
    place = {"landing_object": landing_object, "landing_row": landing_row}
    return dict(zip(key, values, strict=True)) | gone | {"changed": {}} | landed | place


def _events_of_rows(between: Between, correction: Correction, relation: str) -> str:
    """Query of the selected rows' places and the events behind them."""
    source, project = between.now.declared(relation), between.now.workspace.project
    assert isinstance(source, Source)
    events = newest(source.key, between.events(relation, between.told(relation)))
    named = ", ".join(f"event.{quote(name)}" for name in source.key)
    shown = f"place, event.op, event.landed_at, event.landing_object, event.landing_row, {named}"
    if correction.relation == relation or source_by_key(project, correction.relation) is not None:
        same = " AND ".join(f"event.{quote(name)} = row.{quote(name)}" for name in source.key)
        return f"SELECT {shown} FROM ({events}) AS event JOIN {_WANTED} AS row ON {same}"
    alike = " + ".join(
        f"list_contains([{', '.join(f'row.{quote(each)}::VARCHAR' for each in columns)}], event.{quote(name)}::VARCHAR)::INTEGER"
        for (of, name), columns in of_key_columns(project, correction.relation).items()
        if of == source.name
    )
    changed = of_keys(source.key, _changed_keys(between, source, events))
    return (
        f"SELECT {shown} FROM (SELECT * FROM ({events}) WHERE {changed}) AS event JOIN {_WANTED} AS row ON {alike or '0'} > 0 "
        f"QUALIFY {alike or '0'} = max({alike or '0'}) OVER (PARTITION BY place)"
    )


def _only_objects(between: Between, relation: str) -> str:
    """Query of the times at which a single object landed, with that."""
    return (
        f"SELECT _ingested_at, min(_landing_object) FROM ({between.events(relation, between.told(relation))}) "
        "GROUP BY 1 HAVING min(_landing_object) = max(_landing_object)"
    )


def _changed_keys(between: Between, source: Source, events: str) -> str:
    """Query of the keys that events are about of which the newest state is another one now."""
    keys = between.keep(keys_in(source.key, events))
    relation, columns = f"latest.{source.name}", [spec.name for spec in source.columns]
    shown = f"SELECT {', '.join(map(quote, columns))} FROM {relation}"
    sides = []
    for state in between.states({source.name: of_keys(source.key, keys)}):
        bind_whole(between.connection, state, relation, columns)
        sides.append(between.keep(shown))
    before, after = sides
    differing = f"({before} EXCEPT {after}) UNION ALL ({after} EXCEPT {before})"
    return between.keep(keys_in(source.key, differing))
