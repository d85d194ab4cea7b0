"""One batch of a replay: the records in some quarantine objects, read again.

Belongs here: reading their landing objects again, determining which of the records found are new, and recording those. Does not
belong here: which quarantine objects go together, and what happens when others were first (`replay`).

An event is identified by its object, line, operation and key. If a rejected record lies between events of its key at one
position, it changes their positions (`batches.ties`): they are ingested again, and those at the old position are superseded.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.lake.ledger import Batch, Ledger, Recount
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.landing_objects import Objects, explained
from assay.landing.batches.recorder import Recorder
from assay.landing.batches.staging import count_staged, drop_staged, write_staged
from assay.landing.batches.too_late import refuse_too_late
from assay.landing.batches.typed import LINE
from assay.landing.files.landed_file import LandedFile
from assay.landing.kafka.keys import KeysBeside
from assay.landing.quarantine.refused import write_messages, write_refused
from assay.landing.quarantine.replaced import refuse_unrecorded
from assay.landing.readers.parsed_record import BLANK
from assay.landing.sql import text_list

GONE = "the landing object is gone, or has been replaced since it was ingested"
FORGOTTEN = "some records of one of its lines have been forgotten, so it is unknown which of them is in quarantine"
MOVED = "its records are now divided otherwise than when it was ingested, so it is unknown which of them is in quarantine"


@dataclass
class Replayed:
    """What a replay of a source did.

    Attributes:
        batches: The batches it recorded.
        read: How many quarantined records it has read again.
        left: How many of them left quarantine.
        unreachable: By key of a landing object that could not be read again: why; its records stay as they are.
    """

    batches: list[Batch] = field(default_factory=list)
    read: int = 0
    left: int = 0
    unreachable: dict[str, str] = field(default_factory=dict)

    def add(self, other: Replayed) -> None:
        """Add the result of another batch."""
        self.batches += other.batches
        self.read += other.read
        self.left += other.left
        self.unreachable |= other.unreachable


@dataclass(frozen=True)
class Work:
    """What the batches of one replay share.

    Attributes:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        recorder: Records the batches.
        dropped: Object and line of records that are left alone.
        listed: The objects in the landing zone, by key.
        beside: Which of these objects hold the keys of which others.
    """

    store: ObjectStore
    connection: duckdb.DuckDBPyConnection
    source: Source
    scratch: Path
    recorder: Recorder
    dropped: frozenset[tuple[str, int]]
    listed: Mapping[str, ObjectInfo]
    beside: KeysBeside


def reread(work: Work, known: Ledger, quarantines: tuple[str, ...]) -> Replayed | None:
    """Read the records in some quarantine objects again, and record the result.

    Args:
        work: What the batches share.
        known: The ledger, in which the quarantine objects are not yet replayed.
        quarantines: The quarantine objects.

    Returns:
        What was done; None if others have since recorded something about the same records.

    Raises:
        StoreError: The lake cannot be read or written.
        IngestError: There is no room for temporary files.
    """
    return _Group(work, known, quarantines).replayed()


class _Group:
    """One batch of a replay: some quarantine objects, as the ledger has them.

    Its cursor has temporary tables: `refused`, the records in quarantine, with `_kept` true for those that stay there unchanged;
    `found`, the records that the landing objects hold now; `told`, the events and messages that were read from them before; and
    `wanted`, which of the found records are new.
    """

    def __init__(self, work: Work, known: Ledger, quarantines: tuple[str, ...]) -> None:
        self.work = work
        self.source = work.source
        self.known = known
        self.quarantines = quarantines
        self.edited = {(each.key, each.row) for each in known.edited if each.quarantine in quarantines}
        self.cursor = work.connection.cursor()
        self.staged = f"replayed_{uuid.uuid4().hex}"
        self.late: str | None = None

    def replayed(self) -> Replayed | None:
        """Read and record the batch; None if others have recorded something about the same records."""
        folder = self.work.scratch / self.staged
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._load_refused()
            infos, unreachable = self._landing_objects()
            objects = Objects(self.work.store, self.source, infos, self.work.beside)
            lacking: dict[str, str] = {}
            files = objects.fetch(folder, lacking)
            objects.stage(self.cursor, files, self.staged, folder)
            self.late = refuse_too_late(self.work.store, self.cursor, self.source, self.known, self.staged)
            if objects.are_edits:
                refuse_unrecorded(self.cursor, self.known, files, self.staged)
            unreachable |= {info.key: GONE for info in infos if info.key not in {file.info.key for file in files}} | lacking
            unreachable |= self._find_wanted()
            self._keep(unreachable)
            return self._record(files, unreachable, folder)
        except (duckdb.Error, OSError) as error:
            raise explained(self.source, "landing objects with records in quarantine", error) from error
        finally:
            drop_staged(self.cursor, self.staged)
            # Closing the cursor drops its temporary tables.
            self.cursor.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _load_refused(self) -> None:
        paths = text_list([self.work.store.path(key) for key in self.quarantines])
        self.cursor.execute("CREATE TEMP TABLE places (_object VARCHAR, _row BIGINT, _is_dropped BOOLEAN)")
        places = [(*place, False) for place in sorted(self.edited)]
        places += [(*place, True) for place in sorted(self.work.dropped - self.edited)]
        if places:
            objects, rows, dropped = zip(*places, strict=True)
            self.cursor.execute(
                "INSERT INTO places SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[]), unnest(?::BOOLEAN[])",
                [list(objects), list(rows), list(dropped)],
            )
        self.cursor.execute(
            "CREATE TEMP TABLE refused AS SELECT refused.*, coalesce(_is_dropped, false) AS _kept "
            f"FROM read_parquet({paths}, union_by_name=true, hive_partitioning=false) AS refused "
            "LEFT JOIN places ON _object = _landing_object AND _row = _landing_row WHERE coalesce(_is_dropped, true)"
        )

    def _landing_objects(self) -> tuple[list[ObjectInfo], dict[str, str]]:
        """The landing objects to read again, and by key of the others: why they cannot be."""
        wanted = self.cursor.execute("SELECT DISTINCT _landing_object FROM refused WHERE NOT _kept ORDER BY 1").fetchall()
        found: list[ObjectInfo] = []
        unreachable: dict[str, str] = {}
        for (key,) in wanted:
            info = self.work.listed.get(key)
            if info is None or info.etag != self.known.landed.get(key):
                unreachable[key] = GONE
            else:
                found.append(info)
        return found, unreachable

    def _find_wanted(self) -> dict[str, str]:
        """Determine which of the staged records are new; returns by key of the objects for which it cannot: why."""
        keys = ", ".join(quote(name) for name in self.source.key)
        same_key = "".join(f" AND told.{quote(name)} IS NOT DISTINCT FROM found.{quote(name)}" for name in self.source.key)
        self.cursor.execute(f"CREATE TEMP TABLE told AS {self._told()}")
        self.cursor.execute(
            f"CREATE TEMP TABLE found AS SELECT record.rowid AS _id, file.key AS _object, {LINE} AS _line, _op, _reason, "
            f"_sequence, {keys} FROM {self.staged} AS record JOIN {self.staged}_files AS file ON file.path = record._path"
        )
        same_line = "told._object = found._object AND told._line IS NOT DISTINCT FROM found._line"
        # Each event read before must still be at its line, and each rejected line must hold something. A message has no key.
        moved = self.cursor.execute(
            f"SELECT DISTINCT _object FROM told WHERE _line IS NOT NULL AND NOT EXISTS (FROM found WHERE {same_line} "
            f"AND (told._op = 'm' OR (true{same_key}))) UNION "
            "SELECT _landing_object FROM refused WHERE NOT _kept "
            "AND _landing_object IN (SELECT _object FROM told WHERE _line IS NOT NULL) "
            "AND (_landing_object, _landing_row) NOT IN (SELECT (_object, _line) FROM found WHERE _line IS NOT NULL) "
            "AND _landing_object IN (SELECT _object FROM found)"
        ).fetchall()
        self.cursor.execute(f"""
CREATE TEMP TABLE wanted AS
WITH candidates AS (
  SELECT * FROM found
  WHERE _reason IS DISTINCT FROM {literal(BLANK)}
    AND NOT EXISTS (FROM places WHERE places._object = found._object AND places._row = found._line)
    -- An object that was rejected as a whole has no line among them.
    AND (_line IS NULL OR _object NOT IN (SELECT _object FROM told WHERE _line IS NOT NULL{self._told_and_forgotten()})
      OR (_object, _line) IN (SELECT (_landing_object, _landing_row) FROM refused))
),
fresh AS (
  SELECT * FROM candidates AS found
  WHERE _reason IS NOT NULL OR NOT EXISTS (FROM told WHERE {same_line} AND told._op = found._op{same_key})
),
again AS (
  SELECT found._id FROM found SEMI JOIN fresh ON fresh._object = found._object
    AND fresh._reason IS NULL{same_key.replace("told.", "fresh.")}
  WHERE found._reason IS NULL AND found._op NOT IN ('t', 'm')
    AND EXISTS (FROM told WHERE {same_line} AND told._op = found._op{same_key})
    AND NOT EXISTS (
      FROM told WHERE {same_line} AND told._op = found._op{same_key} AND told._sequence IS NOT DISTINCT FROM found._sequence
    )
)
SELECT _id, false AS _is_again FROM fresh UNION ALL SELECT _id, true FROM again""")
        return {str(key): MOVED for (key,) in moved} | self._partly_forgotten()

    def _told_and_forgotten(self) -> str:
        """Write an addition to the query of objects with events: those whose events may all have been forgotten."""
        if not self.known.forgettings:
            return ""
        told = [each.key for each in self.known.landed_objects if each.events]
        return f" UNION SELECT unnest({text_list(told)}::VARCHAR[])"

    def _partly_forgotten(self) -> dict[str, str]:
        """Objects with a line of several records, some of which are in quarantine while others were forgotten."""
        if not self.known.forgettings:
            return {}
        found = self.cursor.execute(
            "WITH refused_lines AS (SELECT _landing_object AS _object, _landing_row AS _line, count(*) AS _refused FROM refused "
            "WHERE NOT _kept GROUP BY ALL), "
            "told_lines AS (SELECT _object, _line, count(*) AS _told FROM told GROUP BY ALL) "
            "SELECT DISTINCT _object FROM (SELECT _object, _line, count(*) AS _found FROM found GROUP BY ALL) "
            "JOIN refused_lines USING (_object, _line) LEFT JOIN told_lines USING (_object, _line) "
            "WHERE _found > _refused + coalesce(_told, 0)"
        ).fetchall()
        return {str(key): FORGOTTEN for (key,) in found}

    def _told(self) -> str:
        """Write the query of the events and messages that were read from the landing objects before."""
        objects = self.cursor.execute(f"SELECT key FROM {self.staged}_files").fetchall()
        names = {str(key) for (key,) in objects}
        batches = [
            batch
            for batch in self.known.batches
            if any(each.key in names for each in batch.landed)
            or (batch.replays and any(each.key in names for each in batch.recounts))
        ]
        parts = [part for batch in batches for part in batch.parts]
        files = files_by_version((part.version, self.work.store.path(self.known.object_of(part))) for part in parts)
        keys = "".join(f", {quote(name)}" for name in self.source.key)
        place = "_landing_object AS _object, _landing_row AS _line"
        queries = [f"SELECT {place}, _op, _sequence{keys} FROM ({typed_rows(self.source, files)})"]
        if messages := [self.work.store.path(batch.messages) for batch in batches if batch.messages]:
            nulls = "".join(f", NULL AS {quote(name)}" for name in self.source.key)
            read = f"read_parquet({text_list(messages)}, hive_partitioning=false)"
            queries.append(f"SELECT {place}, 'm' AS _op, NULL::BIGINT[] AS _sequence{nulls} FROM {read}")
        return f"SELECT * FROM ({' UNION ALL '.join(queries)}) WHERE _object IN (SELECT key FROM {self.staged}_files)"

    def _keep(self, unreachable: Mapping[str, str]) -> None:
        """Reduce the staged batch to what is wanted, and keep in quarantine what cannot be read again."""
        names = text_list(tuple(unreachable))
        self.cursor.execute(f"UPDATE refused SET _kept = true WHERE _landing_object IN (SELECT unnest({names}::VARCHAR[]))")
        self.cursor.execute(
            f"DELETE FROM wanted WHERE _id IN (SELECT _id FROM found WHERE _object IN (SELECT unnest({names}::VARCHAR[])))"
        )
        self.cursor.execute(f"DELETE FROM {self.staged} WHERE rowid NOT IN (SELECT _id FROM wanted)")

    def _record(self, files: list[LandedFile], unreachable: dict[str, str], folder: Path) -> Replayed | None:
        read, old = self.cursor.execute(
            f"SELECT count(*), count(*) FILTER (_contract <> {literal(self.source.version)}) FROM refused WHERE NOT _kept"
        ).fetchone() or (0, 0)
        recounts = self._recounts(files)
        left = -sum(each.quarantined for each in recounts)
        done = Replayed(read=int(read), left=left, unreachable=unreachable)
        if not old and not any(each.records or each.quarantined or each.messages for each in recounts):
            return done
        again = self.cursor.execute("SELECT count(*) FROM wanted WHERE _is_again").fetchone()
        store, cursor, source, staged = self.work.store, self.cursor, self.source, self.staged
        name = self._id(files)
        batch = Batch(
            id=name,
            version=source.version,
            landed=(),
            parts=write_staged(store, cursor, source, name, staged, folder),
            quarantine=write_refused(
                store, cursor, source, name, files, staged, folder, "SELECT * EXCLUDE (_kept) FROM refused WHERE _kept"
            ),
            messages=write_messages(store, cursor, source, name, staged, folder),
            replays=self.quarantines,
            again=int(again[0]) if again else 0,
            recounts=tuple(recounts),
        )
        if self.work.recorder.record(batch, self._conflicts) is None:
            return None
        done.batches.append(batch)
        return done

    def _id(self, files: list[LandedFile]) -> str:
        """The batch's id, from all that determines its content: a batch that is too late must not write to another's objects."""
        beside = sorted((key, info.key) for key, info in self.work.beside.values.items())
        left_alone = sorted(self.edited), sorted(self.work.dropped)
        read = sorted((file.info.key, file.info.etag) for file in files)
        late = [self.late] if self.late else []
        return fingerprint(["replay", self.source.version, self.quarantines, left_alone, beside, read, *late])

    def _recounts(self, files: list[LandedFile]) -> list[Recount]:
        """The changes to the counts of the landing objects that were read again."""
        counts = count_staged(self.cursor, self.staged)
        now = {file.info.key: counts.get(str(file.path), (0, 0, 0)) for file in files}
        again: dict[str, int] = dict(
            self.cursor.execute(
                "SELECT _object, count(*) FROM wanted JOIN found USING (_id) WHERE _is_again GROUP BY 1"
            ).fetchall()
        )
        before = self.cursor.execute(
            "SELECT _landing_object, count(*) FROM refused WHERE NOT _kept GROUP BY 1 ORDER BY 1"
        ).fetchall()
        return [
            Recount(key, records - again.get(key, 0) - int(were), refused - int(were), messages)
            for key, were in before
            for records, refused, messages in [now[key]]
        ]

    def _conflicts(self, known: Ledger) -> bool:
        """Whether others have replayed one of the quarantine objects, edited a record in them, or forgotten rows."""
        edited = {(each.key, each.row) for each in known.edited if each.quarantine in self.quarantines}
        is_replayed = bool(known.replayed.intersection(self.quarantines))
        return is_replayed or edited != self.edited or self.known.has_forgotten_less(known)
