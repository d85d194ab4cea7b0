"""What has landed and was not ingested: a pure function of a listing and the ledger.

Belongs here: deciding which landing objects to read, splitting them into batches, and where a listing may be split. Does not
belong here: listing or reading.

There is no cursor and no watermark: an object is outstanding if the ledger does not have its key, whatever its time, so
that equal timestamps, late listings and clocks that go backwards lose nothing.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from assay.contracts import Source
from assay.contracts.version import fingerprint
from assay.lake.ledger import Ledger
from assay.lake.store import ObjectInfo
from assay.landing.kafka.keys import KeysBeside
from assay.landing.readers.edits import is_edit

BATCH_BYTES = 36 * 1024 * 1024
"""Most bytes read as one batch: fewer give more small objects of late events, more take more memory."""
BATCH_OBJECTS = 1000
SHARED_BYTES = 4 * 1024 * 1024
"""Bytes from which a batch of its own is worthwhile, if another thread can read it at the same time."""
PART_OBJECTS = 5000
"""How many consecutive objects make one part of a split listing: five pages of S3."""
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart", "_$folder$", "/")


@dataclass(frozen=True)
class Outstanding:
    """How a listing differs from the ledger.

    Attributes:
        new: Objects to ingest, by key.
        unsettled: Objects so recent that they may still be being written.
        replaced: Objects whose content changed after they were ingested; the new content is not used.
        deleted: Keys of ingested objects that no longer exist; their events stay.
        beside: Which objects hold the keys of which others.
        edits: Edited records to ingest, separate from what producers wrote.
    """

    new: tuple[ObjectInfo, ...]
    unsettled: tuple[ObjectInfo, ...]
    replaced: tuple[ObjectInfo, ...]
    deleted: tuple[str, ...]
    beside: KeysBeside = field(default_factory=KeysBeside)
    edits: tuple[ObjectInfo, ...] = ()


def outstanding(listing: Iterable[ObjectInfo], ledger: Ledger, settled_before: dt.datetime | None = None) -> Outstanding:
    """Compare what is listed with what was ingested.

    Args:
        listing: The objects under a source's landing prefix.
        ledger: The batches of that source.
        settled_before: Objects modified later than this are left for next time; None if objects appear whole, as edits always do.
    """
    ingested = ledger.landed
    new: list[ObjectInfo] = []
    edits: list[ObjectInfo] = []
    unsettled: list[ObjectInfo] = []
    replaced: list[ObjectInfo] = []
    seen = set()
    for info in listing:
        seen.add(info.key)
        known = ingested.get(info.key)
        if known == info.etag or _is_unfinished(info.key):
            continue
        if known is not None:
            replaced.append(info)
        elif is_edit(info.key):
            edits.append(info)
        elif settled_before is not None and info.modified > settled_before:
            unsettled.append(info)
        else:
            new.append(info)
    deleted = sorted(ingested.keys() - seen)
    by_key = sorted(new, key=lambda info: info.key)
    return Outstanding(tuple(by_key), tuple(unsettled), tuple(replaced), tuple(deleted), edits=tuple(edits))


def cuts(ledger: Ledger) -> list[str]:
    """Ingested keys at which a listing may be split into parts of a few pages each.

    They say nothing about what has landed: a part lists everything between two such keys, whatever is there now.
    """
    return sorted(ledger.landed)[PART_OBJECTS - 1 :: PART_OBJECTS]


def batches(objects: Iterable[ObjectInfo], beside: KeysBeside | None = None) -> Iterator[tuple[ObjectInfo, ...]]:
    """Split objects into batches of bounded size, in their order.

    Large batches are even in number, because they are read two or more at a time: all of the same size or, if the objects do not
    allow that, with the last one halved.

    Args:
        objects: The objects.
        beside: Which of them hold the keys of which others: keys are read together with their values.
    """
    values = beside.values if beside else {}
    sizes = [(info, info.size + (values[info.key].size if info.key in values else 0)) for info in objects]
    total = sum(read for _, read in sizes)
    enough = max(SHARED_BYTES, total / (2 * math.ceil(total / (2 * BATCH_BYTES)) or 1))
    cut: list[list[tuple[ObjectInfo, int]]] = []
    size = 0
    for info, read in sizes:
        if not cut or size >= enough or size + read > BATCH_BYTES or len(cut[-1]) == BATCH_OBJECTS:
            cut.append([])
            size = 0
        cut[-1].append((info, read))
        size += read
    if len(cut) % 2 and size >= 2 * SHARED_BYTES:
        cut[-1:] = _halves(cut[-1])
    return (tuple(info for info, _ in batch) for batch in cut)


def _halves(batch: list[tuple[ObjectInfo, int]]) -> list[list[tuple[ObjectInfo, int]]]:
    """Split a batch where the two halves differ least in size; a single object cannot be split."""
    ends = list(itertools.accumulate(read for _, read in batch))
    places = range(1, len(batch))
    place = min(places, key=lambda place: abs(2 * ends[place - 1] - ends[-1]), default=len(batch))
    return [half for half in (batch[:place], batch[place:]) if half]


def batch_id(objects: Iterable[ObjectInfo], source: Source) -> str:
    """A batch's id, derived from what it is made of: the objects' keys and versions, and the source's version."""
    return fingerprint([source.version, sorted((info.key, info.etag) for info in objects)])


def _is_unfinished(key: str) -> bool:
    name = key.rsplit("/", 1)[-1]
    return name.startswith(".") or key.endswith(_UNFINISHED)
