"""Which quarantined records some edits replace, according to the ledger.

Belongs here: finding them, and rejecting edits that come too late. Does not belong here: reading edits (`readers.edits`),
recording (`ingest`).

An edit replaces a quarantined record, which thereby leaves quarantine. If a replay came first and the record has already left,
the edit would repeat its event: then the edit is rejected, and goes to quarantine itself with that reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.lake.layout import edits_audit_prefix
from assay.lake.ledger import Edited, Ledger, Recount
from assay.lake.store import ObjectStore
from assay.landing.files.landed_file import LandedFile
from assay.landing.readers.edits import edit_of
from assay.landing.sql import text_list

_LATE = "the record that it replaces has left quarantine before it"


@dataclass(frozen=True)
class Replaced:
    """The records that some edits replace.

    Attributes:
        edited: The records.
        recounts: The resulting changes to the counts of their landing objects.
        late: Keys of the edits that came too late.
    """

    edited: tuple[Edited, ...] = ()
    recounts: tuple[Recount, ...] = ()
    late: tuple[str, ...] = ()

    def conflicts(self, known: Ledger) -> bool:
        """Whether a replay has since read one of the records again."""
        return any(edited.quarantine in known.replayed for edited in self.edited)


def find_replaced(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, ledger: Ledger, files: Iterable[LandedFile], staged: str
) -> Replaced:
    """Find the unreadable records that staged edits replace; edits that come too late are rejected.

    Args:
        store: The lake.
        cursor: The cursor with the staged edits.
        ledger: Their source's ledger.
        files: The edits.
        staged: The staged table.
    """
    edits = {file: edit for file in files if (edit := edit_of(file.path.read_bytes())) is None or edit.kind == "record"}
    standing = {file: ledger.quarantine_of(edit.object) if edit else None for file, edit in edits.items()}
    counts = _refused_at(store, cursor, {key for key in standing.values() if key is not None})
    edited: list[Edited] = []
    recounts: list[Recount] = []
    late: list[LandedFile] = []
    for file, edit in edits.items():
        key = standing[file]
        refused = counts.get((edit.object, edit.line), 0) if edit else 0
        if edit is None or key is None or not refused:
            late.append(file)
        else:
            edited.append(Edited(key, edit.object, edit.line))
            recounts.append(Recount(edit.object, records=-refused, quarantined=-refused))
    _refuse(cursor, staged, late)
    return Replaced(tuple(edited), tuple(recounts), tuple(sorted(file.info.key for file in late)))


def refuse_unrecorded(cursor: duckdb.DuckDBPyConnection, ledger: Ledger, files: Iterable[LandedFile], staged: str) -> None:
    """Reject again the edits that came too late when they were first ingested."""
    replaced = {(edited.key, edited.row) for edited in ledger.edited}
    read = {file: edit_of(file.path.read_bytes()) for file in files}
    late = [
        file
        for file, edit in read.items()
        if edit is None or (edit.kind == "record" and (edit.object, edit.line) not in replaced)
    ]
    _refuse(cursor, staged, late)


def keep_copies(store: ObjectStore, source: Source, files: Iterable[LandedFile]) -> None:
    """Keep a copy of each edit where clearing the landing zone does not remove it."""
    for file in files:
        store.put(edits_audit_prefix(source.name) + file.info.key.rsplit("/", 1)[-1], file.path)


def _refused_at(store: ObjectStore, cursor: duckdb.DuckDBPyConnection, keys: Collection[str]) -> dict[tuple[str, int], int]:
    """How many records of some quarantine objects were rejected at each landing line."""
    if not keys:
        return {}
    paths = text_list([store.path(key) for key in sorted(keys)])
    found = cursor.execute(
        f"SELECT _landing_object, _landing_row, count(*) FROM read_parquet({paths}, hive_partitioning=false) GROUP BY ALL"
    ).fetchall()
    return {(str(key), int(row)): int(count) for key, row, count in found}


def _refuse(cursor: duckdb.DuckDBPyConnection, staged: str, files: Collection[LandedFile]) -> None:
    if files:
        paths = ", ".join(literal(str(file.path)) for file in files)
        cursor.execute(f"UPDATE {staged} SET _reason = coalesce(_reason, {literal(_LATE)}) WHERE _path IN ({paths})")
