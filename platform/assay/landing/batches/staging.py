"""Staging: the records of landing objects, read and typed, in one table.

Belongs here: reading files into a table of typed records, the damaged ones record by record, and the tables about those files.
Does not belong here: fetching files, and what happens to the records (`ingest`, `quarantine.replay`, `quarantine.editing`).

A staged batch is a table of records (`typed.typed_records`, with `_running` for whether a record's number runs over all files),
the table of its files, `<name>_files`, and the table of the bytes at which records begin, as far as reading has found them,
`<name>_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.lake.layout import UNPLACED
from assay.lake.ledger import Part
from assay.lake.store import ObjectStore
from assay.landing.batches.raw_objects import upload_parts, write_parts
from assay.landing.batches.typed import event_select, typed_columns, typed_records
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import Rejected
from assay.landing.readers.parsed_record import BLANK, Parsed, Reader, Wanted

_ABOUT_DATA = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.IOException,
)
"""DuckDB's errors for a file that it cannot read whole. Any other error is a bug of ours, which salvaging must not hide."""
_UNUSUAL = "_running AND _reason IS NOT NULL AND _record IS NULL"
"""Condition for a record that the fast path could not read."""


def stage(
    cursor: duckdb.DuckDBPyConnection, source: Source, reader: Reader, files: list[LandedFile], staged: str, folder: Path
) -> list[str]:
    """Read files into a staged table, the damaged ones record by record, and list them beside it.

    Args:
        cursor: The cursor to stage with.
        source: Their source.
        reader: The reader of their format.
        files: The files.
        staged: The table's name.
        folder: For temporary files.

    Returns:
        What an operator should know about how they were read.

    Raises:
        duckdb.Error: There is no room, or a file cannot be reached.
    """
    types = typed_columns(source) | {"_path": _paths_of(files)}
    columns = ", ".join(f"{quote(name)} {kind}" for name, kind in types.items())
    cursor.execute(f"CREATE OR REPLACE TABLE {staged} ({columns}, _running BOOLEAN)")
    readable = [file for file in files if not _is_empty(file)]
    for file in files:
        if _is_empty(file):
            _insert_rejected(cursor, staged, file.path, [Rejected(1, "", "the file is empty")])
        _insert_rejected(cursor, staged, file.path, list(file.rejected))
    cut = [file for file in readable if file.is_damaged]
    whole = [file for file in readable if not file.is_damaged]
    parsed = reader.parse(whole, source) if whole else Parsed([])
    usual = [file for file in whole if file not in parsed.unusual]
    if not _try_insert(cursor, source, staged, parsed):
        cut += [file for file in usual if not _try_insert(cursor, source, staged, reader.parse([file], source))]
    warnings = list(parsed.warnings)
    for file in cut + parsed.unusual:
        salvaged = reader.salvage(file, source, folder)
        _insert(cursor, source, staged, salvaged, running=False)
        warnings += salvaged.warnings
    unusual = _list_files(cursor, reader, files, staged)
    cursor.execute(f"CREATE OR REPLACE TABLE {staged}_bytes (path {_paths_of(files)}, row BIGINT, byte BIGINT)")
    _recheck(cursor, source, reader, {file: rows for file in usual if (rows := unusual.get(str(file.path)))}, staged, folder)
    return warnings


def _is_empty(file: LandedFile) -> bool:
    """Whether a file is empty when decompressed; a compressed empty file is itself some bytes long."""
    return file.info.size == 0 or (not file.is_damaged and file.text is not None and file.text.stat().st_size == 0)


def _paths_of(files: Iterable[LandedFile]) -> str:
    """The type of a file's path: an enum, so that each record stores a small number instead of the whole path."""
    paths = ", ".join(literal(str(file.path)) for file in files)
    return f"ENUM ({paths})" if paths else "VARCHAR"


def _recheck(
    cursor: duckdb.DuckDBPyConnection, source: Source, reader: Reader, wanted: Wanted, staged: str, folder: Path
) -> None:
    """Read again, exactly, the records that the fast path found unusual."""
    parsed = reader.recheck(wanted, source, folder) if wanted else None
    if parsed is None:
        return
    _insert_starts(cursor, staged, parsed, wanted)
    found: dict[str, int] = {}
    if _try_insert(cursor, source, staged, parsed, running=False):
        found = dict(cursor.execute(f"SELECT _path, count(*) FROM {staged} WHERE NOT _running GROUP BY 1").fetchall())
    exact = {str(file.path) for file, numbers in wanted.items() if found.get(str(file.path)) == len(numbers)}
    if exact:
        cursor.execute(f"DELETE FROM {staged} WHERE _path IN ({', '.join(map(literal, sorted(exact)))}) AND {_UNUSUAL}")
    for file in wanted:
        if str(file.path) not in exact:
            cursor.execute(f"DELETE FROM {staged} WHERE _path = {literal(str(file.path))}")
            _insert(cursor, source, staged, reader.salvage(file, source, folder), running=False)


def _insert_starts(cursor: duckdb.DuckDBPyConnection, staged: str, parsed: Parsed, files: Iterable[LandedFile]) -> None:
    """Store where records begin in the text of their objects."""
    # Lines that were converted from another form are at other places in the object.
    own = {str(file.path): parsed.starts.get(file.path, {}) for file in files if file.text == file.path}
    paths = [path for path, starts in own.items() for _ in starts]
    places = [place for starts in own.values() for place in starts.items()]
    cursor.execute(
        f"INSERT INTO {staged}_bytes SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[]), unnest(?::BIGINT[])",
        [paths, [row for row, _ in places], [byte for _, byte in places]],
    )


def _try_insert(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str, parsed: Parsed, *, running: bool = True) -> bool:
    """Insert parsed records; if DuckDB cannot read a file whole, insert nothing and return False."""
    cursor.execute("BEGIN")
    try:
        _insert(cursor, source, staged, parsed, running=running)
    except duckdb.Error as error:
        cursor.execute("ROLLBACK")
        if not _is_about_data(error):
            raise
        return False
    cursor.execute("COMMIT")
    return True


def _is_about_data(error: duckdb.Error) -> bool:
    # The CSV reader reports a line longer than its buffer as "not implemented", the Parquet reader a broken page as an error.
    is_about_data = isinstance(error, _ABOUT_DATA) or type(error) is duckdb.Error or "CSV Reader" in str(error)
    return is_about_data and "No space left" not in str(error)


def _insert(cursor: duckdb.DuckDBPyConnection, source: Source, staged: str, parsed: Parsed, *, running: bool) -> None:
    """Insert parsed records, whose number either runs over all files or is their line."""
    for query in parsed.queries:
        cursor.execute(f"INSERT INTO {staged} SELECT *, {literal(running)} FROM ({typed_records(query, source)})")
    for path, rejected in parsed.rejected.items():
        _insert_rejected(cursor, staged, path, rejected)


def _insert_rejected(cursor: duckdb.DuckDBPyConnection, staged: str, path: Path, rejected: list[Rejected]) -> None:
    if rejected:
        cursor.executemany(
            f"INSERT INTO {staged} BY NAME SELECT ? AS _path, ? AS _n, ? AS _record, ? AS _reason, false AS _running, "
            f"{literal(UNPLACED)} AS _partition",
            [(str(path), each.row, each.record, each.told) for each in rejected],
        )


def _list_files(
    cursor: duckdb.DuckDBPyConnection, reader: Reader, files: list[LandedFile], staged: str
) -> dict[str, frozenset[int]]:
    """Create the table of a batch's files; `base` converts a record's running number to its line.

    Returns:
        The lines of the records to read again, by path.
    """
    found = {
        # An empty snapshot has a record without a line.
        path: (None if first is None else first - reader.first_row, unusual or [])
        for path, first, unusual in cursor.execute(
            f"SELECT _path, min(_n), list(_n) FILTER ({_UNUSUAL}) FROM {staged} WHERE _running GROUP BY 1"
        ).fetchall()
    }
    paths = [str(file.path) for file in files]
    # One statement with lists, because there may be a thousand rows: `executemany` takes a millisecond for each.
    cursor.execute(
        f"CREATE OR REPLACE TABLE {staged}_files AS SELECT unnest(?::VARCHAR[])::{_paths_of(files)} AS path, "
        "unnest(?::VARCHAR[]) AS key, unnest(?::TIMESTAMPTZ[]) AS modified, unnest(?::BIGINT[]) AS base",
        [
            paths,
            [file.info.key for file in files],
            [file.info.modified for file in files],
            [found[path][0] if path in found else 0 for path in paths],
        ],
    )
    return {path: frozenset(number - (base or 0) for number in unusual) for path, (base, unusual) in found.items()}


def write_staged(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, source: Source, batch: str, staged: str, folder: Path
) -> tuple[Part, ...]:
    """Write the events of a staged batch to raw objects named by the batch's id, one per partition."""
    events = (
        f"SELECT {event_select(source)}, record._partition AS _p FROM {staged} AS record "
        f"JOIN {staged}_files AS file ON file.path = record._path WHERE record._reason IS NULL AND record._op <> 'm'"
    )
    day = cursor.execute(f"SELECT max(modified)::DATE::VARCHAR FROM {staged}_files").fetchone()
    return upload_parts(store, source, batch, str(day and day[0]), write_parts(cursor, events, folder))


def count_staged(cursor: duckdb.DuckDBPyConnection, staged: str) -> dict[str, tuple[int, int, int]]:
    """Count the records of a staged batch, the rejected ones, and the messages, by path."""
    return {
        path: (int(records), int(refused), int(messages))
        for path, records, refused, messages in cursor.execute(
            "SELECT _path, count(*), count(*) FILTER (_reason IS NOT NULL), "
            f"count(*) FILTER (_reason IS NULL AND _op = 'm') FROM {staged} "
            f"WHERE _reason IS DISTINCT FROM {literal(BLANK)} GROUP BY 1"
        ).fetchall()
    }


def drop_staged(cursor: duckdb.DuckDBPyConnection, staged: str) -> None:
    """Drop a staged batch with its tables of files and bytes."""
    for suffix in ("", "_files", "_bytes"):
        cursor.execute(f"DROP TABLE IF EXISTS {staged}{suffix}")
