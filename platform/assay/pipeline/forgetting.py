"""Forgetting deleted rows, where a source declares how long its deletes are kept (`Source.deletes_kept`).

Belongs here: which rows are forgotten. Does not belong here: removing their events from raw objects (`landing.upkeep.removal`),
the treatment of older events that land afterwards (`landing.batches.too_late`), the schedule (`orchestration`).

A row is forgotten when its newest event, over all partitions, is a delete that both landed and took effect longer ago than that.
Its events up to this one are removed; later ones, which create the row again, stay. `latest` is the same with and without the
removed events, and so no table becomes dirty. Only such folds may read the source: a history would lose the spans of the row.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine import fold
from assay.errors import StoreError
from assay.lake.layout import NOTED, TRUNCATES
from assay.lake.ledger import Ledger, LedgerLog
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.landing.upkeep.removal import Removal

_GONE = "forgotten_rows"
_KEPT_FROM = "greatest(_ingested_at, coalesce(_source_timestamp, _ingested_at))"
"""The start of a delete's retention, so that late events have all of it to land in, whatever the producer's clock says."""


@dataclass(frozen=True)
class Forgotten:
    """The result of forgetting rows of a source.

    Attributes:
        source: The source.
        rows: Number of deleted rows.
        events: Number of their events.
        objects: Number of raw objects rewritten without them.
    """

    source: Source
    rows: int = 0
    events: int = 0
    objects: int = 0

    @property
    def told(self) -> str:
        """The result in words."""
        return f"{self.rows:,} deleted rows were forgotten, with all of their {self.events:,} events"


def forget(
    store: ObjectStore, connection: duckdb.DuckDBPyConnection, source: Source, scratch: Path, now: dt.datetime
) -> Forgotten:
    """Forget the rows of a source whose deletes have been kept for long enough; none if they are kept for ever.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        now: The time, UTC.

    Raises:
        StoreError: The lake cannot be read or written, or there is too little space; nothing was changed.
    """
    if source.deletes_kept is None:
        return Forgotten(source)
    log = LedgerLog(store, source.name)
    ledger = log.read()
    if source.partition_column is not None and ledger.unplaced:
        # Their partitions do not contain the deciding events yet; they will the next time.
        return Forgotten(source)
    with connection.cursor() as cursor:
        try:
            rows = _find_gone(cursor, store, source, ledger, now - source.deletes_kept)
        except duckdb.Error as error:
            raise StoreError(
                f"{source.full_name}: its deleted rows cannot be found: {str(error).splitlines()[0]}",
                hint="Nothing was changed. Check the lake and the free space below ASSAY_HOME, then run `assay compact`.",
            ) from error
        if not rows:
            return Forgotten(source)
        removal = Removal(store, cursor, source, log, _GONE, scratch)
        if not removal.record():
            return Forgotten(source)
    return Forgotten(source, rows, sum(removal.left_out.values()), len(removal.written))


def _find_gone(cursor: duckdb.DuckDBPyConnection, store: ObjectStore, source: Source, ledger: Ledger, before: dt.datetime) -> int:
    """Create the table of the rows to forget, with the position of their delete; returns their number."""
    parts = [part for partition, own in ledger.parts.items() if partition not in (NOTED, TRUNCATES) for part in own]
    events = typed_rows(source, files_by_version((part.version, store.path(ledger.object_of(part))) for part in parts))
    keys = ", ".join(quote(name) for name in source.key)
    is_old = f"_op = 'd' AND {_KEPT_FROM} < {literal(before.isoformat())}::TIMESTAMPTZ"
    own = f"(SELECT * FROM ({events}) SEMI JOIN (SELECT {keys} FROM ({events}) WHERE {is_old}) USING ({keys}))"
    newest = fold.latest(own, source.key, (*source.key, "_op", "_sequence", "_ingested_at", "_source_timestamp"))
    counted = cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE {_GONE} AS SELECT {keys}, _sequence AS _gone FROM ({newest}) WHERE {is_old}"
    ).fetchone()
    return int(counted[0]) if counted else 0
