"""What of a staged batch becomes no event: refused records, and messages.

Belongs here: writing both beside the raw objects, with where they came from. Does not belong here: why a record is refused
(`typed`, the readers).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.lake.layout import messages_key, raw_quarantine_key
from assay.lake.store import ObjectStore
from assay.landing.records import BLANK
from assay.landing.typed import LINE

_ORIGIN = f"file.key AS _landing_object, {LINE} AS _landing_row, file.modified AS _ingested_at, record._record"


def write_refused(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, source: Source, batch: str, staged: str, folder: Path
) -> str | None:
    """Write the refused records of a batch to quarantine; returns the object's key, or None when there are none."""
    columns = f"{_ORIGIN}, ['readable'] AS _rules, [record._reason] AS _reasons, {literal(source.version)} AS _contract"
    condition = f"record._reason IS NOT NULL AND record._reason <> {literal(BLANK)}"
    return _write(
        store, cursor, staged, columns, condition, raw_quarantine_key(source.name, batch), folder / "quarantine.parquet"
    )


def write_messages(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, source: Source, batch: str, staged: str, folder: Path
) -> str | None:
    """Write the records of a batch that are no row changes; returns the object's key, or None when there are none."""
    condition = "record._reason IS NULL AND record._op = 'm'"
    return _write(store, cursor, staged, _ORIGIN, condition, messages_key(source.name, batch), folder / "messages.parquet")


def _write(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, staged: str, columns: str, condition: str, key: str, local: Path
) -> str | None:
    if not cursor.execute(f"SELECT 1 FROM {staged} AS record WHERE {condition} LIMIT 1").fetchone():
        return None
    cursor.execute(
        f"COPY (SELECT {columns} FROM {staged} AS record JOIN {staged}_files AS file ON file.path = record._path "
        f"WHERE {condition} ORDER BY _landing_object, _landing_row) TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)"
    )
    store.put(key, local)
    return key
