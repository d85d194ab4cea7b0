"""How a producer's columns differ from the contract, per landing object, and which objects are held back because of it.

Belongs here: finding the differences in a staged batch, and the schema versions that a ledger has seen. Does not belong here:
typing and rejecting single values (`batches.typed`), ingesting (`ingest`).

A new column is reported at once. The source's drift mode decides what happens to it: it is kept in `_rescued` (evolve), dropped
(discard), or a reason to hold the object (freeze). An occasional value that does not fit its column is an error and goes to
quarantine. If none of a column's values in an object fit, the column has changed its type, and the object is held whatever the
mode. Nothing of a *held* object is ingested and nothing is lost: it is ingested once the contract fits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.errors import ObjectMissing
from assay.lake.layout import held_key
from assay.lake.ledger import Batch, LandedObject, Layout, Ledger
from assay.lake.store import ObjectStore
from assay.landing.readers.parsed_record import BLANK

LEAST_MISFITS = 3
"""How many values, all misfits, a column must have before its type counts as changed."""
_ADDS = f"_rescued IS NOT NULL AND _reason IS DISTINCT FROM {literal(BLANK)}"
"""Condition for a record with undeclared columns; skipped records, such as those of other tables, have columns of their own."""


@dataclass(frozen=True)
class Differences:
    """How the objects of one staged batch differ from the contract.

    Attributes:
        layouts: By local path of an object: how its columns differ from the contract's.
        held: By local path of an object: why it must not be ingested.
    """

    layouts: Mapping[str, Layout] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SchemaVersion:
    """One layout that a source's objects have.

    Attributes:
        id: Hash of the layout.
        layout: How its columns differ from the contract's.
        first: The first object that has it, by key.
        last: The last object that has it, by key.
        objects: How many objects have it.
        records: How many records they hold.
    """

    id: str
    layout: Layout
    first: str
    last: str
    objects: int
    records: int


def find_drift(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str) -> Differences:
    """Compare the columns of a staged batch with the contract.

    Args:
        cursor: The cursor with the staged batch.
        source: The source.
        staged: The staged batch's table.
    """
    # Most batches have no drift: this one query detects that, and each of the others costs more to plan than to run.
    lacks, adds, misfits = cursor.execute(
        f"SELECT bool_or(_reason IS NULL AND _missing IS NOT NULL), bool_or({_ADDS}), bool_or(len(_misfits) > 0) FROM {staged}"
    ).fetchone() or (False, False, False)
    missing = _missing(cursor, staged) if lacks else {}
    added = _added(cursor, staged) if adds else {}
    layouts = {
        path: Layout(missing=tuple(sorted(missing.get(path, ()))), added=dict(sorted(added.get(path, {}).items())))
        for path in sorted({*missing, *added})
    }
    held = _changed_types(cursor, source, staged) if misfits else {}
    if source.drift == "freeze":
        held |= {path: _frozen(source, columns) for path, columns in added.items()}
    return Differences(layouts, held)


def new_columns(known: Ledger, batches: Iterable[Batch], source: Source) -> list[str]:
    """Describe the undeclared columns that batches bring, in layouts that no earlier object had.

    Args:
        known: The ledger before the batches.
        batches: The batches.
        source: The source.
    """
    seen = {each for batch in known.batches for each in batch.layouts}
    first: dict[str, tuple[str, Layout]] = {}
    for batch in batches:
        for landed in batch.landed:
            if landed.layout in seen or not (layout := batch.layouts.get(landed.layout, Layout())).added:
                continue
            if landed.layout not in first or landed.key < first[landed.layout][0]:
                first[landed.layout] = (landed.key, layout)
    return [_told(source, layout, key) for key, layout in sorted(first.values(), key=lambda each: each[0])]


def schema_versions(ledger: Ledger) -> list[SchemaVersion]:
    """List the layouts that a source's objects have had, ordered by their first object, including the contract's own."""
    layouts = {"": Layout()} | {each: layout for batch in ledger.batches for each, layout in batch.layouts.items()}
    objects: dict[str, list[LandedObject]] = {}
    for each in ledger.landed_objects:
        objects.setdefault(each.layout, []).append(each)
    found = [
        SchemaVersion(
            id=each,
            layout=layouts.get(each, Layout()),
            first=min(landed.key for landed in having),
            last=max(landed.key for landed in having),
            objects=len(having),
            records=sum(landed.records for landed in having),
        )
        for each, having in objects.items()
    ]
    return sorted(found, key=lambda version: version.first)


def read_held(store: ObjectStore, source: str) -> dict[str, str]:
    """Read why landing objects of a source are held, by key, as of the last ingest."""
    try:
        return {str(key): str(reason) for key, reason in json.loads(store.get(held_key(source))).items()}
    except ObjectMissing:
        return {}


def write_held(store: ObjectStore, source: str, held: Mapping[str, str]) -> None:
    """Record which landing objects of a source are held; an ingest that holds none clears the list."""
    if read_held(store, source) != held:
        store.put(held_key(source), json.dumps(held).encode())


def layout_id(layout: Layout) -> str:
    """A layout's id: a hash of it; empty for the contract's own."""
    return fingerprint([layout.missing, layout.added]) if layout.missing or layout.added else ""


def _missing(cursor: duckdb.DuckDBPyConnection, staged: str) -> dict[str, list[str]]:
    """Declared columns that no record of an object has, by path of the object."""
    found: dict[str, list[str]] = {}
    rows = cursor.execute(f"""
WITH lists AS (
  SELECT _path, _missing, count(*) AS records, count(*) FILTER (_op IN ('c', 'u', 'r')) AS changes
  FROM {staged} WHERE _reason IS NULL GROUP BY ALL
),
lacking AS (SELECT _path, unnest(_missing) AS name, records FROM lists),
counted AS (SELECT _path, sum(changes) AS records FROM lists GROUP BY 1)
SELECT _path, name FROM lacking JOIN counted USING (_path)
GROUP BY _path, name, counted.records HAVING counted.records > 0 AND sum(lacking.records) >= counted.records""").fetchall()
    for path, name in rows:
        found.setdefault(str(path), []).append(str(name))
    return found


def _added(cursor: duckdb.DuckDBPyConnection, staged: str) -> dict[str, dict[str, str]]:
    """Undeclared columns with the JSON kinds of their values, by path of the object."""
    found: dict[str, dict[str, str]] = {}
    rows = cursor.execute(f"""
WITH pairs AS (
  SELECT _path, unnest(map_entries(from_json(_rescued, '"MAP(VARCHAR, JSON)"'))) AS pair FROM {staged} WHERE {_ADDS}
)
SELECT _path, pair.key, string_agg(DISTINCT json_type(pair.value), ' or ' ORDER BY json_type(pair.value)) FROM pairs
GROUP BY 1, 2""").fetchall()
    for path, name, kinds in rows:
        found.setdefault(str(path), {})[str(name)] = str(kinds or "NULL")
    return found


def _changed_types(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str) -> dict[str, str]:
    """By path of an object to hold: why, because no value of a column fits its type."""
    typed = {spec.name: spec.sql_type for spec in source.columns}
    suspects = cursor.execute(f"""
SELECT _path, misfit.name, count(*), min(misfit.text) FROM (SELECT _path, unnest(_misfits) AS misfit FROM {staged})
GROUP BY 1, 2 HAVING count(*) >= {LEAST_MISFITS} ORDER BY 1, 2""").fetchall()
    held: dict[str, str] = {}
    for path, name, misfits, example in suspects:
        # A delete gives its key; its other columns may hold made-up values.
        counts = "true" if name in source.key else "_op IS DISTINCT FROM 'd'"
        fits = cursor.execute(
            f"SELECT 1 FROM {staged} WHERE _path = ? AND {quote(name)} IS NOT NULL AND {counts} LIMIT 1", [path]
        ).fetchone()
        if fits is None:
            held[str(path)] = (
                f"the type of {name} has changed: none of its {misfits:,} values is a {typed[name]} ({name} is '{example}'). "
                f"Declare the new type in {source.model.__module__}, or take the object out of the landing zone"
            )
    return held


def _frozen(source: Source, added: Mapping[str, str]) -> str:
    return (
        f"the contract is frozen, and there are new columns: {_columns(added)}. "
        f"Declare them in {source.model.__module__}, or let its drift be evolve or discard"
    )


def _told(source: Source, layout: Layout, key: str) -> str:
    kept = "dropped" if source.drift == "discard" else "kept in _rescued"
    return f"{source.full_name}: {key} has new columns, {kept}: {_columns(layout.added)}."


def _columns(added: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kinds.lower()})" for name, kinds in added.items())
