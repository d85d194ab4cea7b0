"""Replaying: reading quarantined records again, under the current declaration of their source.

Belongs here: which quarantine objects are read again together, and retrying when others were first. Does not belong here:
reading them (`replay_batch`), rows that contracts reject: those are rebuilt with their partitions (`pipeline`).

A replay is a batch like any other, made from landing objects that were ingested before. It reads them whole, because a record's
meaning may depend on its place, and keeps only the records that were in quarantine. It lists the quarantine objects that it has
read again; what it still cannot read goes to a new one, together with what was not to be read again. So a record is either in raw
events or in quarantine, exactly once: of two replays of one quarantine object only one can be recorded, and nothing of a killed
one is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.errors import StoreError
from assay.lake.layout import landing_prefix
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.batches.outstanding import BATCH_BYTES, BATCH_OBJECTS
from assay.landing.batches.recorder import Recorder
from assay.landing.kafka.keys import keys_beside
from assay.landing.quarantine.replay_batch import Replayed, Work, reread
from assay.landing.readers.edits import is_edit
from assay.landing.sql import text_list

ATTEMPTS = 5
"""How often records are read again if others keep replaying or editing them first."""


@dataclass(frozen=True)
class Replay:
    """What a replay must leave alone.

    Attributes:
        dropped: Object and line of records that somebody has dropped.
    """

    dropped: frozenset[tuple[str, int]] = frozenset()


def replay(
    store: ObjectStore,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    scratch: Path,
    recorder: Recorder,
    asked: Replay,
    pool: Executor,
    progress: Callable[[int], None] = lambda records: None,
) -> Replayed:
    """Read the records in a source's quarantine again.

    Args:
        store: The lake.
        connection: DuckDB, with access to the lake.
        source: The source.
        scratch: Folder for temporary files.
        recorder: Records the batches.
        asked: What to leave alone.
        pool: Where batches are read.
        progress: Called with the number of records as they are recorded.

    Raises:
        StoreError: The lake cannot be read or written; what was recorded before stands.
        IngestError: There is no room for temporary files.
    """
    done = Replayed()
    if not recorder.known().quarantines:
        return done
    listing = list(store.list(landing_prefix(source.name)))
    listed = {info.key: info for info in listing}
    work = Work(store, connection, source, scratch, recorder, asked.dropped, listed, keys_beside(listing, source))
    running = [pool.submit(_replay_group, work, quarantines) for quarantines in _groups(work)]
    try:
        for future in as_completed(running):
            done.add(future.result())
            progress(future.result().left)
    except BaseException:
        for future in running:
            future.cancel()
        wait(running)
        raise
    return done


def _replay_group(work: Work, quarantines: tuple[str, ...]) -> Replayed:
    for _ in range(ATTEMPTS):
        known = work.recorder.known()
        standing = tuple(key for key in quarantines if key not in known.replayed)
        if not standing:
            return Replayed()
        done = reread(work, known, standing)
        if done is not None:
            return done
    raise StoreError(f"{work.source.full_name}: others keep replaying or editing the same records first.", hint="Run again.")


def _groups(work: Work) -> Iterator[tuple[str, ...]]:
    """Split the unreplayed quarantine objects into groups whose landing objects are of bounded size; edits are separate."""
    quarantines = work.recorder.known().quarantines
    paths = {work.store.path(key): key for key in quarantines}
    with work.connection.cursor() as cursor:
        found = cursor.execute(
            f"SELECT DISTINCT filename, _landing_object FROM read_parquet({text_list(tuple(paths))}, filename=true, "
            "hive_partitioning=false)"
        ).fetchall()
    of: dict[str, set[str]] = {key: set() for key in quarantines}
    for path, landed in found:
        of[paths[str(path)]].add(str(landed))
    for edits in (False, True):
        alike = [key for key in quarantines if any(map(is_edit, of[key])) == edits]
        yield from _cut(alike, {key: [work.listed[each] for each in of[key] if each in work.listed] for key in alike})


def _cut(quarantines: Sequence[str], of: Mapping[str, Sequence[ObjectInfo]]) -> Iterator[tuple[str, ...]]:
    group: list[str] = []
    size = count = 0
    for key in quarantines:
        own = sum(info.size for info in of[key])
        if group and (size + own > BATCH_BYTES or count + len(of[key]) > BATCH_OBJECTS):
            yield tuple(group)
            group, size, count = [], 0, 0
        group.append(key)
        size += own
        count += len(of[key])
    if group:
        yield tuple(group)
