"""The ledger of what was ingested: an append-only log of batches, one object per batch.

Belongs here: recording a batch exactly once, and reading the record back. Does not belong here: making batches
(`landing.ingest`).

Entry N is written with *put if absent*, so of two concurrent ingests one wins N, and the other reads what the winner took and
continues with N+1. A batch is ingested if and only if its entry exists: raw objects without one are left-overs of a killed run
and are never read. Every 64 entries are copied to one object, a segment, and every 64 segments to a larger one: a year with a
batch a minute is read in some two hundred requests, and each entry is written four times.

A part keeps its key for ever as its identity, but its rows may move: a compaction is also an entry, which records in which
object the rows of others are from then on. If it forgets deleted rows, it also records how many rows were left out.

A record that could not be read stays in the quarantine object of its batch until a later entry resolves it: a replay has
re-read the whole object, and has a quarantine object of its own for what it still could not read; an edit has replaced one
record. Both record by how much they change the counts of landing objects, so that each record is counted once.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from assay.errors import Conflict, ObjectMissing
from assay.lake.layout import raw_log_prefix
from assay.lake.store import ObjectStore

SEGMENTS = (64, 64**2, 64**3)
"""How many entries a segment of each size holds, the smallest first."""
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Layout:
    """How the columns of a landing object differ from those of the contract.

    Attributes:
        missing: Declared columns that none of its records has.
        added: Undeclared columns, with the JSON kinds of their values.
    """

    missing: tuple[str, ...] = ()
    added: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LandedObject:
    """A landing object that a batch has read.

    Attributes:
        key: Its key.
        etag: Its version at that time.
        records: How many records it held, good and bad.
        quarantined: How many of them went to quarantine.
        messages: How many of them were not row changes.
        layout: Id of its layout, among the batch's; empty if its columns are the contract's.
    """

    key: str
    etag: str
    records: int
    quarantined: int
    messages: int = 0
    layout: str = ""

    @property
    def events(self) -> int:
        """How many of its records became events."""
        return self.records - self.quarantined - self.messages


@dataclass(frozen=True)
class Part:
    """The events of one batch that are about one partition.

    Attributes:
        partition: The partition.
        key: The raw object.
        rows: Its events.
        money: Total of their amounts as the books count it, as a decimal string.
        version: The batch's version.
    """

    partition: str
    key: str
    rows: int
    money: str
    version: str


@dataclass(frozen=True)
class Recount:
    """By how much a new reading of a landing object differs from the one before.

    Attributes:
        key: The landing object.
        records: Change in the number of records.
        quarantined: Change in the number of quarantined records.
        messages: Change in the number of messages.
    """

    key: str
    records: int
    quarantined: int
    messages: int = 0


@dataclass(frozen=True)
class Edited:
    """A quarantined record that has been replaced by an edited one.

    Attributes:
        quarantine: The quarantine object that it is in.
        key: Its landing object.
        row: Its line in the landing object.
    """

    quarantine: str
    key: str
    row: int


@dataclass(frozen=True)
class Compaction:
    """Raw objects that hold the rows of others from now on, and raw objects that will never be referenced.

    Attributes:
        merged: By key of a new object: the objects whose rows it holds, of parts or of earlier compactions.
        discarded: Objects of compactions that were never recorded, and no longer can be.
        recorded_at: When, ISO 8601 UTC: readers of an earlier ledger may still read what was replaced.
        left_out: By key of a new object: how many rows of the others it leaves out because deleted rows were forgotten.
        forgotten: The newest position among the rows left out.
    """

    merged: Mapping[str, tuple[str, ...]]
    discarded: tuple[str, ...]
    recorded_at: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    forgotten: tuple[int, ...] = ()


@dataclass(frozen=True)
class Batch:
    """One ingested batch, or a step that reads no landing objects.

    A placement holds copies of events of the batches it covers. A compaction adds no events: it records where parts are.

    Attributes:
        id: Hash of what it was made from.
        version: The source's version that determined the schema of its raw objects.
        landed: The landing objects it read.
        parts: The raw objects it wrote.
        quarantine: The object with its unreadable records, if there are any.
        copies: How many of its events are copies of events of other partitions.
        messages: The object with its records that are not row changes, if there are any.
        covers: Ids of the batches that a placement has processed.
        layouts: The layouts of its landing objects, by id.
        compaction: What a compaction did; it has no parts of its own.
        replays: The quarantine objects that a replay has read again, which are thereby resolved.
        again: How many of its events had been ingested before, and now have another position.
        edited: The quarantined records that are replaced by edited ones among its landing objects.
        recounts: The resulting changes to the counts of other batches' landing objects.
        recorded_at: When it was recorded and so became visible, ISO 8601 UTC; empty if an older version of Assay recorded it.
    """

    id: str
    version: str
    landed: tuple[LandedObject, ...]
    parts: tuple[Part, ...]
    quarantine: str | None = None
    copies: int = 0
    messages: str | None = None
    covers: tuple[str, ...] = ()
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    compaction: Compaction | None = None
    replays: tuple[str, ...] = ()
    again: int = 0
    edited: tuple[Edited, ...] = ()
    recounts: tuple[Recount, ...] = ()
    recorded_at: str = field(default="", compare=False)


@dataclass(frozen=True)
class Ledger:
    """All ingested batches of a source, as of one reading.

    Attributes:
        source: The source's name.
        batches: The batches in the order they were recorded.
    """

    source: str
    batches: tuple[Batch, ...]

    @cached_property
    def landed(self) -> Mapping[str, str]:
        """ETag by key of every landing object that was ingested."""
        return {landed.key: landed.etag for batch in self.batches for landed in batch.landed}

    @cached_property
    def landed_objects(self) -> tuple[LandedObject, ...]:
        """Every landing object that was ingested, with its counts as last read."""
        recounts: dict[str, list[Recount]] = {}
        for batch in self.batches:
            for recount in batch.recounts:
                recounts.setdefault(recount.key, []).append(recount)
        landed = (landed for batch in self.batches for landed in batch.landed)
        return tuple(_recounted(each, recounts.get(each.key, ())) for each in landed)

    @cached_property
    def replayed(self) -> frozenset[str]:
        """The quarantine objects that were read again."""
        return frozenset(key for batch in self.batches for key in batch.replays)

    @cached_property
    def quarantines(self) -> tuple[str, ...]:
        """The quarantine objects that were not replayed; some of their records may have been edited."""
        written = (batch.quarantine for batch in self.batches)
        return tuple(key for key in written if key is not None and key not in self.replayed)

    @cached_property
    def edited(self) -> tuple[Edited, ...]:
        """Every quarantined record that was replaced by an edited one."""
        return tuple(edited for batch in self.batches for edited in batch.edited)

    def quarantine_of(self, landed: str) -> str | None:
        """The quarantine object that holds the unreadable records of a landing object, if it has any."""
        key = self._first_quarantine.get(landed)
        while key in self._read_again_into:
            key = self._read_again_into[key]
        return key

    @cached_property
    def _first_quarantine(self) -> Mapping[str, str]:
        batches = (batch for batch in self.batches if batch.quarantine is not None)
        return {landed.key: str(batch.quarantine) for batch in batches for landed in batch.landed}

    @cached_property
    def _read_again_into(self) -> Mapping[str | None, str | None]:
        return {key: batch.quarantine for batch in self.batches for key in batch.replays}

    @cached_property
    def parts(self) -> Mapping[str, tuple[Part, ...]]:
        """Parts by partition."""
        return _by_partition(self.batches)

    @cached_property
    def placements(self) -> tuple[Batch, ...]:
        """The placements."""
        return tuple(batch for batch in self.batches if batch.covers)

    @cached_property
    def unplaced(self) -> tuple[Batch, ...]:
        """The batches that no placement has covered yet."""
        covered = {covered for batch in self.placements for covered in batch.covers}
        ingested = (batch for batch in self.batches if not batch.covers and batch.compaction is None)
        return tuple(batch for batch in ingested if batch.id not in covered)

    @cached_property
    def placed_parts(self) -> Mapping[str, tuple[Part, ...]]:
        """Parts by partition, without those of batches whose events may still be missing from other partitions."""
        waiting = {batch.id for batch in self.unplaced}
        return _by_partition(batch for batch in self.batches if batch.id not in waiting)

    @cached_property
    def compactions(self) -> tuple[Compaction, ...]:
        """What compactions did."""
        return tuple(batch.compaction for batch in self.batches if batch.compaction is not None)

    @cached_property
    def replaced(self) -> Mapping[str, str]:
        """By key of every compacted object: the object that its rows were merged into."""
        merged = (pair for compaction in self.compactions for pair in compaction.merged.items())
        return {old: new for new, replaced in merged for old in replaced}

    def object_of(self, part: Part) -> str:
        """Key of the object that now holds a part's rows, possibly among those of other parts."""
        key = part.key
        while key in self.replaced:
            key = self.replaced[key]
        return key

    @cached_property
    def left_out(self) -> Mapping[str, int]:
        """By key of every object that a compaction wrote: how many rows of its parts it leaves out."""
        found: dict[str, int] = {}
        # In recorded order: an object is compacted after it was written.
        for compaction in self.compactions:
            for new, replaced in compaction.merged.items():
                found[new] = compaction.left_out.get(new, 0) + sum(found.get(key, 0) for key in replaced)
        return found

    @cached_property
    def forgettings(self) -> int:
        """How many times deleted rows were forgotten."""
        return sum(bool(compaction.forgotten) for compaction in self.compactions)

    def has_forgotten_less(self, newest: Ledger) -> bool:
        """Whether deleted rows were forgotten between this reading and a newer one."""
        return self.forgettings < newest.forgettings

    @cached_property
    def forgotten(self) -> tuple[int, ...]:
        """The newest position ever forgotten: an older event may be of a row that is no longer known to be deleted."""
        return max((compaction.forgotten for compaction in self.compactions), default=())

    def known_at(self, at: dt.datetime) -> Ledger:
        """The ledger as of an instant, but with current compactions, because compacted objects no longer exist."""
        return Ledger(self.source, tuple(each for each in self.batches if each.compaction or _recorded(each) <= at))

    def landed_since(self, at: dt.datetime) -> frozenset[str]:
        """The landing objects that were ingested after an instant."""
        return frozenset(landed.key for batch in self.batches if _recorded(batch) > at for landed in batch.landed)


@dataclass
class LedgerLog:
    """Reads and extends the ledger of one source.

    Entries are numbered from 1 without a gap. Nothing is listed: the next entry, or the segment that begins with it, either
    exists or does not, so that the cost of reading depends on what is new and not on the total.

    Attributes:
        store: The lake.
        source: The source's name.
    """

    store: ObjectStore
    source: str
    _batches: list[Batch] = field(default_factory=list)
    _known: Ledger | None = None

    def read(self) -> Ledger:
        """Read every batch that was recorded since the last reading."""
        while found := self._read_segment() or self._read_entry():
            self._batches += found
        return self.known

    @property
    def known(self) -> Ledger:
        """The ledger as of the last reading."""
        if self._known is None or len(self._known.batches) != len(self._batches):
            self._known = Ledger(self.source, tuple(self._batches))
        return self._known

    def append(self, batch: Batch) -> bool:
        """Record a batch, unless another ingest has recorded one since the last reading.

        Returns:
            Whether the batch was recorded. If not, read again: some of its landing objects may have been taken.
        """
        number = len(self._batches) + 1
        batch = replace(batch, recorded_at=dt.datetime.now(dt.UTC).isoformat())
        try:
            self.store.put(entry_key(self.source, number), json.dumps(asdict(batch)).encode(), if_absent=True)
        except Conflict:
            return False
        self._batches.append(batch)
        for size in SEGMENTS:
            if number % size == 0:
                self._write_segment(number, size)
        return True

    def _read_entry(self) -> list[Batch]:
        try:
            return [_batch(json.loads(self.store.get(entry_key(self.source, len(self._batches) + 1))))]
        except ObjectMissing:
            return []

    def _read_segment(self) -> list[Batch]:
        """Read the largest segment that follows; empty if there is none, because a killed writer may have left it out."""
        content = None
        for size in SEGMENTS:
            if len(self._batches) % size:
                break
            try:
                content = self.store.get(segment_key(self.source, len(self._batches) + size, size))
            except ObjectMissing:
                # Smaller segments are written before larger ones.
                break
        return [] if content is None else [_batch(json.loads(line)) for line in gzip.decompress(content).splitlines()]

    def _write_segment(self, number: int, size: int) -> None:
        lines = (json.dumps(asdict(batch)) for batch in self._batches[number - size : number])
        self.store.put(segment_key(self.source, number, size), gzip.compress("\n".join(lines).encode(), mtime=0))


def entry_key(source: str, number: int) -> str:
    """Key of the record of a batch, given its number, from 1."""
    return f"{raw_log_prefix(source)}{number:010d}.json"


def segment_key(source: str, last: int, size: int) -> str:
    """Key of a segment, given the number of its last entry and how many it holds."""
    return f"{raw_log_prefix(source)}{last:010d}.{size}.json.gz"


def _batch(entry: Mapping[str, object]) -> Batch:
    return Batch(
        id=str(entry["id"]),
        version=str(entry["version"]),
        landed=tuple(LandedObject(**landed) for landed in _objects(entry["landed"])),
        parts=tuple(Part(**part) for part in _objects(entry["parts"])),
        quarantine=None if entry.get("quarantine") is None else str(entry["quarantine"]),
        copies=int(str(entry.get("copies", 0))),
        messages=None if entry.get("messages") is None else str(entry["messages"]),
        covers=tuple(str(covered) for covered in _list(entry.get("covers"))),
        layouts=_layouts(entry.get("layouts")),
        compaction=_compaction(entry.get("compaction")),
        replays=tuple(str(replayed) for replayed in _list(entry.get("replays"))),
        again=int(str(entry.get("again", 0))),
        edited=tuple(Edited(**edited) for edited in _objects(entry.get("edited"))),
        recounts=tuple(Recount(**recount) for recount in _objects(entry.get("recounts"))),
        recorded_at=str(entry.get("recorded_at", "")),
    )


def _recorded(batch: Batch) -> dt.datetime:
    return dt.datetime.fromisoformat(batch.recorded_at) if batch.recorded_at else _LONG_AGO


def _recounted(landed: LandedObject, recounts: Iterable[Recount]) -> LandedObject:
    for recount in recounts:
        landed = replace(
            landed,
            records=landed.records + recount.records,
            quarantined=landed.quarantined + recount.quarantined,
            messages=landed.messages + recount.messages,
        )
    return landed


def _compaction(value: object) -> Compaction | None:
    if not isinstance(value, dict):
        return None
    merged = {str(new): tuple(replaced) for new, replaced in value["merged"].items()}
    left_out, forgotten = value.get("left_out", {}), value.get("forgotten", ())
    return Compaction(merged, tuple(value["discarded"]), str(value["recorded_at"]), left_out, tuple(forgotten))


def _layouts(value: object) -> dict[str, Layout]:
    if not isinstance(value, dict):
        return {}
    return {str(each): Layout(tuple(layout["missing"]), dict(layout["added"])) for each, layout in value.items()}


def _by_partition(batches: Iterable[Batch]) -> Mapping[str, tuple[Part, ...]]:
    by_partition: dict[str, list[Part]] = {}
    for batch in batches:
        for part in batch.parts:
            by_partition.setdefault(part.partition, []).append(part)
    return {partition: tuple(parts) for partition, parts in by_partition.items()}


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _objects(value: object) -> Iterator[dict]:  # type: ignore[type-arg]
    if isinstance(value, Iterable):
        yield from value
