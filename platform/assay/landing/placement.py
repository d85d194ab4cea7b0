"""Placing events where other events of their key are.

Belongs here: copying events to the other days of their keys. Does not belong here: an event's own day (`batches.typed`), what a
copy means in the partition that it is copied to (`engine.fold`).

A batch puts an event into the partition of the day that it is about or, if it names only its key, among the unplaced. That is
all that a landing object determines, so a batch depends on nothing else. Placement is a separate step after batches were
recorded. It looks for keys with several days, or with events without a day, and copies to each day of such a key all of its
events that are about other days or none. Then each partition alone determines whether the key is in it, from the newest event
of the key, wherever that was first seen.

Checking every key of a source would mean reading all of its history. If the source's keys move only as its producer reports
(`Daily.moves`), a key whose row was created on a day has no other day, unless some event other than a create says so: an update
about another day, a snapshot read, a delete. Such an event is a *stray* if its day has no create of its key. Every key that ever
had a stray, or an event without a day, is noted, and checked whenever it occurs again. So nothing depends on the order of
arrival.

A placement is recorded as a batch of copies that lists the batches it covers. Until then nobody reads those, so that no partition
is ever computed from half of what is known about a key.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.contracts import Daily, Source
from assay.contracts.rules import literal, quote
from assay.contracts.table import Moves
from assay.contracts.version import fingerprint
from assay.lake.layout import NOTED, TRUNCATES, UNPLACED
from assay.lake.ledger import Batch, Ledger, LedgerLog, Part
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.landing.batches.raw_objects import upload_parts, write_parts


def place(
    store: ObjectStore, connection: duckdb.DuckDBPyConnection, source: Source, log: LedgerLog, scratch: Path
) -> Batch | None:
    """Place the events of every batch that no placement has covered, and record that.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        log: Its ledger, as of the last batch.
        scratch: Folder for temporary files.

    Returns:
        What was recorded; None if there was nothing to cover, or another ingest has covered it.

    Raises:
        duckdb.Error: The raw objects cannot be read.
        StoreError: The lake cannot be read or written.
    """
    if source.partition_column is None:
        return None
    ledger = log.known
    while ledger.unplaced:
        batch = _placement(store, connection, source, ledger, scratch)
        newest = ledger
        # Batches recorded meanwhile do not matter: they are not covered, and the next placement takes all that is there.
        while (len(newest.placements), newest.forgettings) == (len(ledger.placements), ledger.forgettings):
            if log.append(batch):
                return batch
            newest = log.read()
        ledger = newest
    return None


def _placement(store: ObjectStore, connection: duckdb.DuckDBPyConnection, source: Source, ledger: Ledger, scratch: Path) -> Batch:
    covers = tuple(batch.id for batch in ledger.unplaced)
    # Forgotten events are not copied, so a placement from before must not write to the same objects as one from after.
    forgotten = [ledger.forgettings] if ledger.forgettings else []
    name = fingerprint(["placement", source.version, sorted(covers), *forgotten])
    folder = scratch / f"place-{source.name}-{name}-{threading.get_ident()}"
    folder.mkdir(parents=True, exist_ok=True)
    cursor = connection.cursor()
    try:
        found = _Search(store, cursor, source, ledger).found()
        parts: tuple[Part, ...] = ()
        if found is not None:
            newest = cursor.execute(f"SELECT max(_ingested_at)::DATE::VARCHAR FROM ({found})").fetchone()
            parts = upload_parts(store, source, name, str(newest and newest[0]), write_parts(cursor, found, folder))
    finally:
        # Closing the cursor drops its temporary tables.
        cursor.close()
        shutil.rmtree(folder, ignore_errors=True)
    copies = sum(part.rows for part in parts if part.partition != NOTED)
    return Batch(id=name, version=source.version, landed=(), parts=parts, copies=copies, covers=covers)


@dataclass(frozen=True)
class _Search:
    """The search for the copies that a ledger's new batches require.

    Keys are compared by their hash until few are left: if two keys have the same hash, both are checked, at no other cost.
    """

    store: ObjectStore
    cursor: duckdb.DuckDBPyConnection
    source: Source
    ledger: Ledger

    def found(self) -> str | None:
        """Find the missing copies and the keys to note; returns a query of raw events with their partition as `_p`, or None."""
        new = self.ledger.unplaced
        news = {batch.id for batch in new}
        old = [batch for batch in self.ledger.batches if batch.id not in news]
        new_days, new_undated, _ = _split(new)
        old_days, old_undated, noted = _split(old)
        strays = self._find_strays(new_days, old_days) if self._moves == "told" else 0
        asking = [f"SELECT {self._hash} AS _h FROM ({self._rows(new_undated)})"] if new_undated else []
        if strays:
            asking.append("SELECT _h FROM strays")
        if self._moves == "any" and len({part.partition for part in (*new_days, *old_days)}) > 1:
            asking.append(f"SELECT {self._hash} AS _h FROM ({self._rows(new_days)})")
        if again := [*old_undated, *noted]:
            came = f"SELECT {self._hash} AS _came FROM ({self._rows(new_days)})"
            asking.append(
                f"SELECT {self._hash} AS _h FROM ({self._rows(again)}) SEMI JOIN ({came}) AS came ON _came = {self._hash}"
            )
        asked = self._table("asked", f"SELECT DISTINCT _h FROM ({' UNION ALL '.join(asking)})") if asking else 0
        found = [self._copies(new_days, new_undated, old_days, old_undated) if asked else None]
        found += [self._notes(new_days, noted) if strays else None]
        return " UNION ALL ".join(query for query in found if query) or None

    @property
    def _moves(self) -> Moves:
        assert isinstance(self.source.partition, Daily)
        return self.source.partition.moves

    def _find_strays(self, new: Collection[Part], old: Collection[Part]) -> int:
        """Find the keys of new events whose day has no create of the key, neither new nor old; returns how many."""
        self._table(
            "unmade",
            f"SELECT {self._hash} AS _h, {self._day} AS _home FROM ({self._rows(new)}) "
            "GROUP BY 1, 2 HAVING NOT bool_or(_op = 'c')",
        )
        unmade = self.cursor.execute("SELECT DISTINCT _home::VARCHAR FROM unmade").fetchall()
        if not unmade:
            return 0
        days = {str(day) for (day,) in unmade}
        before = self._rows(part for part in old if part.partition in days)
        return self._table(
            "strays",
            f"SELECT _h, _home FROM unmade ANTI JOIN (SELECT {self._hash} AS _made_h, {self._day} AS _made_home FROM ({before}) "
            "WHERE _op = 'c') AS made ON _h = _made_h AND _home = _made_home",
        )

    def _notes(self, new: Collection[Part], noted: Collection[Part]) -> str | None:
        """Write the query of strays' keys that are not noted yet."""
        keys = ", ".join(quote(name) for name in self.source.key)
        given = {name: quote(name) for name in (*self.source.key, "_ingested_at")} | {"_money": "0"}
        columns = ", ".join(f"{given.get(name, 'NULL')}::{kind} AS {quote(name)}" for name, kind in self.source.types.items())
        missing = self._table(
            "notes",
            f"SELECT {keys}, max(_ingested_at) AS _ingested_at FROM ({self._rows(new)}) SEMI JOIN strays ON _h = {self._hash} "
            f"ANTI JOIN (SELECT {keys} FROM ({self._rows(noted)})) AS noted USING ({keys}) GROUP BY {keys} ORDER BY {keys}",
        )
        return f"SELECT {columns}, {literal(NOTED)} AS _p FROM notes" if missing else None

    def _copies(self, new_days: list[Part], new_undated: list[Part], old_days: list[Part], old_undated: list[Part]) -> str | None:
        """Write the query of the copies that the keys in `asked` need."""
        self._table(
            "homes",
            f"SELECT DISTINCT {self._hash} AS _h, {self._day} AS _home FROM ({self._rows([*new_days, *old_days])}) "
            f"SEMI JOIN asked ON asked._h = {self._hash}",
        )
        undated = f"SELECT {self._hash} AS _undated FROM ({self._rows([*new_undated, *old_undated])})"
        several = "SELECT _h FROM homes GROUP BY _h HAVING count(*) > 1"
        if not self._table(
            "seekers",
            f"SELECT DISTINCT _h FROM homes SEMI JOIN ({undated}) AS undated ON _h = _undated UNION {several}",
        ):
            return None
        return self._missing_copies([*new_days, *old_days], [*new_undated, *old_undated])

    def _missing_copies(self, days: Collection[Part], undated: Collection[Part]) -> str | None:
        found = self.cursor.execute("SELECT DISTINCT _home::VARCHAR FROM homes SEMI JOIN seekers USING (_h)").fetchall()
        homes = {str(day) for (day,) in found}
        told = [*(part for part in days if part.partition in homes), *undated]
        self._table("told", f"SELECT * FROM ({self._rows(told)}) SEMI JOIN seekers ON _h = {self._hash}")
        before = [part for batch in self.ledger.placements for part in batch.parts if part.partition in homes]
        place = f"{self._day}, _landing_object, _landing_row"
        self._table(
            "present",
            f"SELECT {place} FROM ({self._rows(before)}) SEMI JOIN seekers ON _h = {self._hash} "
            f"UNION ALL SELECT {place} FROM told",
        )
        keys = ", ".join(quote(name) for name in self.source.key)
        columns = ", ".join(quote(name) for name in self.source.types)
        # The amount of an event with a day is counted on that day.
        money = "CASE WHEN event._about IS NULL THEN event._money ELSE 0 END::DECIMAL(38,4)"
        missing = self._table(
            "copies",
            f"SELECT {columns}, {self._day}::VARCHAR AS _p FROM ("
            f"SELECT event.* REPLACE (home._home AS {self._day}, {money} AS _money) FROM told AS event "
            f"JOIN (SELECT DISTINCT {keys}, _about AS _home FROM told WHERE _about IS NOT NULL) AS home USING ({keys}) "
            f"WHERE event._about IS DISTINCT FROM home._home) ANTI JOIN present USING ({place}) "
            # Ordered, so that the same batches give the same objects.
            f"ORDER BY ALL",
        )
        return f"SELECT {columns}, _p FROM copies" if missing else None

    @property
    def _hash(self) -> str:
        return f"hash({', '.join(quote(name) for name in self.source.key)})"

    @property
    def _day(self) -> str:
        return quote(str(self.source.partition_column))

    def _rows(self, parts: Iterable[Part]) -> str:
        return typed_rows(
            self.source, files_by_version((part.version, self.store.path(self.ledger.object_of(part))) for part in parts)
        )

    def _table(self, name: str, query: str) -> int:
        counted = self.cursor.execute(f"CREATE TEMP TABLE {name} AS {query}").fetchone()
        return int(counted[0]) if counted else 0


def _split(batches: Iterable[Batch]) -> tuple[list[Part], list[Part], list[Part]]:
    """The parts of days that batches wrote themselves, those of events without a day, and the noted keys."""
    days: list[Part] = []
    undated: list[Part] = []
    noted: list[Part] = []
    for batch in batches:
        for part in batch.parts:
            if part.partition == NOTED:
                noted.append(part)
            elif part.partition == UNPLACED:
                undated.append(part)
            elif part.partition != TRUNCATES and not batch.covers:
                days.append(part)
    return days, undated, noted
