"""Removing events from raw objects, permanently.

Belongs here: rewriting the objects that hold such events without them, proving that nothing else is missing, and recording that.
Does not belong here: which events (`pipeline.forgetting`).

A removal is recorded like a compaction: new objects hold the rows of others from then on, except those that were left out. All
of its objects are recorded by one conditional write to the ledger, so that nobody sees only some of a key's events. If others
have recorded something meanwhile, that is processed, too, before the next attempt. Replaced objects, and left-overs of a killed
removal, are deleted together with those of compactions.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.errors import StoreError
from assay.lake.layout import raw_compacted_key
from assay.lake.ledger import Batch, Compaction, Ledger, LedgerLog, Part
from assay.lake.store import ObjectStore
from assay.landing.files.fetch import FETCHERS
from assay.landing.upkeep.compaction import content_of, rows_of


@dataclass
class Removal:
    """The removal of the events of some keys, of each up to a position.

    Attributes:
        store: The lake.
        cursor: DuckDB, with access to the lake.
        source: The source.
        log: Its ledger, as of the reading by which the keys were found.
        gone: Table of the keys' columns, and the position as `_gone`.
        scratch: Folder for temporary files.
        written: By key of each new object: the object that it replaces.
        left_out: By key of each new object: how many rows it lacks.
    """

    store: ObjectStore
    cursor: duckdb.DuckDBPyConnection
    source: Source
    log: LedgerLog
    gone: str
    scratch: Path
    written: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    _looked_at: set[str] = field(default_factory=set)

    def record(self) -> bool:
        """Write the new objects and record them; returns False, with nothing changed, if others have merged what they replace.

        Raises:
            StoreError: The lake cannot be read or written, or there is no room; nothing was changed.
        """
        recorded = self._try_to_record()
        if not recorded:
            self._discard()
        return recorded

    def _try_to_record(self) -> bool:
        newest = self._newest()
        while True:
            known = self.log.known
            if known.replaced.keys() & set(self.written.values()):
                # By this removal itself, if the answer to its write was lost.
                return any(self.written.keys() <= compaction.merged.keys() for compaction in known.compactions)
            if any(self.written.keys() & set(compaction.discarded) for compaction in known.compactions):
                return False
            self._write(known)
            if not self.written:
                return False
            merged = {new: (old,) for new, old in self.written.items()}
            recorded_at = dt.datetime.now(dt.UTC).isoformat()
            compaction = Compaction(merged, (), recorded_at, left_out=dict(self.left_out), forgotten=newest)
            batch = Batch(uuid.uuid4().hex, self.source.version, landed=(), parts=(), compaction=compaction)
            if self.log.append(batch):
                return True
            self.log.read()

    def _newest(self) -> tuple[int, ...]:
        found = self.cursor.execute(f"SELECT max(_gone) FROM {self.gone}").fetchone()
        return tuple(found[0]) if found and found[0] else ()

    def _write(self, known: Ledger) -> None:
        """Rewrite, without the events, the objects that were not processed before."""
        for part, key, rows in self._objects(known):
            name = raw_compacted_key(self.source, part.partition, uuid.uuid4().hex)
            local = self.scratch / f"remove-{self.source.name}-{uuid.uuid4().hex}.parquet"
            self.scratch.mkdir(parents=True, exist_ok=True)
            try:
                self._write_others(key, rows, local)
                self.store.put(name, local)
            except duckdb.Error as error:
                raise StoreError(
                    f"{self.source.full_name} {part.partition}: {key} cannot be rewritten without forgotten rows: "
                    f"{str(error).splitlines()[0]}",
                    hint="Nothing was changed. Check the lake and the free space below ASSAY_HOME, then run `assay compact`.",
                ) from error
            finally:
                local.unlink(missing_ok=True)
            self.written[name] = key
            self.left_out[name] = rows

    def _objects(self, known: Ledger) -> Iterator[tuple[Part, str, int]]:
        """Objects with events to remove, each with one of its parts and the number of those events."""
        parts = {known.object_of(part): part for own in known.parts.values() for part in own}
        new = {key: part for key, part in parts.items() if key not in self._looked_at}
        self._looked_at |= new.keys()
        versions: dict[str, dict[str, str]] = {}
        for key, part in new.items():
            versions.setdefault(part.version, {})[self.store.path(key)] = key
        for _, paths in sorted(versions.items()):
            found = self.cursor.execute(
                f"SELECT filename, count(*) FROM {rows_of(paths, named=True)} AS event "
                f"JOIN {self.gone} AS gone ON {self._is_gone} GROUP BY 1 ORDER BY 1"
            ).fetchall()
            for path, rows in found:
                yield new[paths[str(path)]], paths[str(path)], int(rows)

    @property
    def _is_gone(self) -> str:
        """Join condition of raw events with removed keys; objects of an older contract may hold a key as another type."""
        kinds = self.source.types
        same = " AND ".join(f"event.{quote(name)}::{kinds[name]} = gone.{quote(name)}" for name in self.source.key)
        return f"{same} AND event._sequence <= gone._gone"

    def _write_others(self, key: str, rows: int, local: Path) -> None:
        """Write the rows of an object except those to remove, and prove that no others are missing."""
        every = rows_of([self.store.path(key)])
        going = f"(SELECT event.* FROM {every} AS event SEMI JOIN {self.gone} AS gone ON {self._is_gone})"
        staying = f"SELECT event.* FROM {every} AS event ANTI JOIN {self.gone} AS gone ON {self._is_gone}"
        self.cursor.execute(f"COPY ({staying}) TO {literal(str(local))} (FORMAT parquet, COMPRESSION zstd)")
        all_rows, all_hashed = content_of(self.cursor, every)
        gone_rows, gone_hashed = content_of(self.cursor, going)
        if (gone_rows, (all_rows - gone_rows, all_hashed - gone_hashed)) != (
            rows,
            content_of(self.cursor, rows_of([str(local)])),
        ):
            raise StoreError(
                f"{self.source.full_name}: the rows of {key} that were written differ from those that stay.",
                hint="Nothing was changed. Run `assay compact` again.",
            )

    def _discard(self) -> None:
        with ThreadPoolExecutor(FETCHERS) as pool:
            list(pool.map(self.store.delete, self.written))
