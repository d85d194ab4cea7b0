"""What has landed and was not ingested: a pure function of a listing and the ledger.

Belongs here: deciding which landing objects to read, cutting them into batches, and where a listing may be cut. Does not belong
here: listing or reading.

There is no cursor and no watermark: an object is outstanding when the ledger does not have its key, whatever its time, so
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
from assay.landing.edits import is_edit
from assay.landing.kafka_keys import KeysBeside

BATCH_BYTES = 36 * 1024 * 1024
"""The most that is read as one batch: less makes more small objects of late events, more takes more memory."""
BATCH_OBJECTS = 1000
SHARED_BYTES = 4 * 1024 * 1024
"""What is as large as that is worth a batch of its own, if another thread can read it meanwhile."""
PART_OBJECTS = 5000
"""Where so many objects lie one after the other, they are listed apart from the rest: five pages of S3."""
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart", "_$folder$", "/")


@dataclass(frozen=True)
class Outstanding:
    """How a listing differs from the ledger.

    Attributes:
        new: Objects to ingest, by key.
        unsettled: Objects so young that they may still be being written.
        replaced: Objects whose content changed after they were ingested; the new content is not used.
        deleted: Keys of ingested objects that are gone; what was read of them stays.
        beside: Which objects hold the keys of which.
        edits: Edited records to ingest, apart from what producers wrote.
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
        settled_before: Objects modified later than this are left for next time; None where objects appear whole, as edits do.
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
    """Ingested keys at which a listing may be cut into parts of a few pages each.

    They say nothing of what has landed: the parts are listed from one such key to the next, whatever is there now.
    """
    return sorted(ledger.landed)[PART_OBJECTS - 1 :: PART_OBJECTS]


def batches(objects: Iterable[ObjectInfo], beside: KeysBeside | None = None) -> Iterator[tuple[ObjectInfo, ...]]:
    """Cut objects into batches of bounded size, in their order.

    There is an even number of batches where they are large, for they are read two or more at a time: of one size, or, where
    objects cannot be cut so, the last two of half of it.

    Args:
        objects: The objects.
        beside: Which of them hold the keys of which: they are read together with the values.
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
    """Cut a batch where the objects before and after differ least in size; one object cannot be cut."""
    ends = list(itertools.accumulate(read for _, read in batch))
    places = range(1, len(batch))
    place = min(places, key=lambda place: abs(2 * ends[place - 1] - ends[-1]), default=len(batch))
    return [half for half in (batch[:place], batch[place:]) if half]


def batch_id(objects: Iterable[ObjectInfo], source: Source) -> str:
    """Name a batch by what it is made from: the objects' keys and versions, and the source's version."""
    return fingerprint([source.version, sorted((info.key, info.etag) for info in objects)])


def _is_unfinished(key: str) -> bool:
    name = key.rsplit("/", 1)[-1]
    return name.startswith(".") or key.endswith(_UNFINISHED)
