"""The records of a staged batch that do not become events: rejected records, and messages.

Belongs here: writing both beside the raw objects, with the object, the line, the byte and the position that they came from. Does
not belong here: why a record is rejected (`batches.typed`, the readers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.lake.layout import messages_key, raw_quarantine_key
from assay.lake.store import ObjectStore
from assay.landing.batches.typed import LINE
from assay.landing.files.landed_file import LandedFile
from assay.landing.readers.byte_offsets import offsets
from assay.landing.readers.parsed_record import BLANK

_REFUSED = f"record._reason IS NOT NULL AND record._reason <> {literal(BLANK)}"
_ORIGIN = f"file.key AS _landing_object, {LINE} AS _landing_row, file.modified AS _ingested_at, record._record"


def write_refused(
    store: ObjectStore,
    cursor: duckdb.DuckDBPyConnection,
    source: Source,
    batch: str,
    files: Iterable[LandedFile],
    staged: str,
    folder: Path,
    carried: str | None = None,
) -> str | None:
    """Write the rejected records of a batch to quarantine; returns the object's key, or None if there are none.

    Args:
        store: The lake.
        cursor: The cursor with the staged batch.
        source: The source.
        batch: The batch's id.
        files: The files it was read from.
        staged: The staged table.
        folder: For temporary files.
        carried: Query of records that stay in quarantine unchanged.
    """
    refused = _refused_lines(cursor, staged)
    if not refused and not (carried and cursor.execute(f"SELECT 1 FROM ({carried}) LIMIT 1").fetchone()):
        return None
    _find_bytes(cursor, source, files, staged, refused)
    columns = (
        f"{_ORIGIN}, place.byte AS _landing_byte, record._sequence AS _sequence, "
        f"['readable'] AS _rules, [record._reason] AS _reasons, {literal(source.version)} AS _contract"
    )
    key, local = raw_quarantine_key(source.name, batch), folder / "quarantine.parquet"
    return _write(store, cursor, staged, columns, _REFUSED, key, local, _placed(staged), carried)


def _placed(staged: str) -> str:
    """The join of staged records with the bytes at which they begin, if known."""
    return f"LEFT JOIN {staged}_bytes AS place ON place.path = record._path AND place.row = {LINE}"


def _refused_lines(cursor: duckdb.DuckDBPyConnection, staged: str) -> dict[str, tuple[set[int], bool]]:
    """By path: the lines of rejected records whose byte is unknown, and whether the file was read record by record."""
    return {
        path: (set(lines or ()), bool(one_by_one))
        for path, lines, one_by_one in cursor.execute(
            f"SELECT _path, list({LINE}) FILTER (place.byte IS NULL), bool_and(NOT record._running) FROM {staged} AS record "
            f"JOIN {staged}_files AS file ON file.path = record._path {_placed(staged)} WHERE {_REFUSED} GROUP BY 1"
        ).fetchall()
    }


def _find_bytes(
    cursor: duckdb.DuckDBPyConnection,
    source: Source,
    files: Iterable[LandedFile],
    staged: str,
    refused: Mapping[str, tuple[set[int], bool]],
) -> None:
    """Find where rejected records begin in the text of their objects, and add it to the staged table's `_bytes`."""
    for file in files:
        wanted, one_by_one = refused.get(str(file.path), (set(), False))
        if wanted:
            found = offsets(file, wanted, source, one_by_one=one_by_one)
            cursor.execute(
                f"INSERT INTO {staged}_bytes SELECT ?, unnest(?::BIGINT[]), unnest(?::BIGINT[])",
                [str(file.path), list(found), list(found.values())],
            )


def write_messages(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, source: Source, batch: str, staged: str, folder: Path
) -> str | None:
    """Write the records of a batch that are not row changes; returns the object's key, or None if there are none."""
    condition = "record._reason IS NULL AND record._op = 'm'"
    if not cursor.execute(f"SELECT 1 FROM {staged} AS record WHERE {condition} LIMIT 1").fetchone():
        return None
    return _write(store, cursor, staged, _ORIGIN, condition, messages_key(source.name, batch), folder / "messages.parquet")


def _write(
    store: ObjectStore,
    cursor: duckdb.DuckDBPyConnection,
    staged: str,
    columns: str,
    condition: str,
    key: str,
    local: Path,
    joined: str = "",
    carried: str | None = None,
) -> str:
    records = (
        f"SELECT {columns} FROM {staged} AS record JOIN {staged}_files AS file ON file.path = record._path {joined} "
        f"WHERE {condition}"
    )
    if carried:
        records = f"{records} UNION ALL BY NAME ({carried})"
    cursor.execute(
        f"COPY (FROM ({records}) ORDER BY _landing_object, _landing_row) TO {literal(str(local))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    store.put(key, local)
    return key
