"""Landing objects of topics: their names, and which offsets they hold.

Belongs here: naming, packing and finding objects, for every way of capture. Does not belong here: where records come
from (`debezium`, `lander`), reading the objects' records (`landing`).

Names are those of Kafka Connect's S3 sink. The objects of a topic's partition form a chain: each begins where the previous one
ends, and records its own end in its gzip header (in the file name field). So the lake alone determines where to continue after a
crash, whatever had been acknowledged. A name is written only if it is absent: of two writers one wins, and the other continues
from what it finds.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from assay.errors import StoreError
from assay.lake.layout import landing_prefix
from assay.lake.store import ObjectStore

_LEVEL = 1
_GZIP_HEADER_BYTES = 10
_HAS_NAME = 8
_SPAN = re.compile(rb"(\d+)-(\d+)")


@dataclass(frozen=True)
class Channel:
    """One partition of a topic, and the source that it is landed for.

    Attributes:
        source: The source.
        topic: The topic.
        partition: Number of the partition.
    """

    source: str
    topic: str
    partition: int = 0

    @property
    def prefix(self) -> str:
        """The common prefix of its objects' keys."""
        return f"{landing_prefix(self.source)}topics/{self.topic}/partition={self.partition}/{self.topic}+{self.partition}+"

    def key(self, offset: int) -> str:
        """Key of the object whose first record has this offset."""
        return f"{self.prefix}{offset:010d}.json.gz"

    def offset_of(self, key: str) -> int | None:
        """Offset of an object's first record, or None for a key that is not of this channel."""
        digits = key.removeprefix(self.prefix).removesuffix(".json.gz")
        return int(digits) if digits.isdecimal() else None


def pack(lines: Sequence[bytes], first: int, last: int) -> bytes:
    """Pack lines into an object. Equal arguments give equal bytes.

    Args:
        lines: The records, one per line, without line ends.
        first: Offset of the first.
        last: Offset up to which every record is in the object.
    """
    packed = io.BytesIO()
    with gzip.GzipFile(f"{first}-{last}", "wb", _LEVEL, packed, mtime=0) as file:
        file.write(b"\n".join(lines))
        file.write(b"\n")
    return packed.getvalue()


def span_end(packed: bytes, first: int) -> int:
    """Offset up to which an object contains every record.

    Args:
        packed: The object.
        first: Offset of its first record.

    Raises:
        StoreError: It is not valid gzip.
    """
    if len(packed) > _GZIP_HEADER_BYTES and packed[3] == _HAS_NAME:
        name = packed[_GZIP_HEADER_BYTES : packed.index(b"\0", _GZIP_HEADER_BYTES)]
        if found := _SPAN.fullmatch(name):
            return int(found.group(2))
    # Another program's object, such as Kafka Connect's: it has a line for each offset.
    try:
        return first + gzip.decompress(packed).count(b"\n") - 1
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(
            f"The object at offset {first} is not a complete gzip file: {error}.", hint="Move it out of the landing zone."
        ) from error


def next_offset(store: ObjectStore, channel: Channel) -> int:
    """Find the offset at which the channel's next object begins: one past what is in the lake, 0 if nothing is.

    Raises:
        StoreError: The lake cannot be read.
    """
    offsets = (channel.offset_of(info.key) for info in store.list(channel.prefix))
    last = max((offset for offset in offsets if offset is not None), default=None)
    return 0 if last is None else span_end(store.get(channel.key(last)), last) + 1


def put_segment(store: ObjectStore, channel: Channel, lines: Sequence[bytes], first: int, last: int) -> None:
    """Write an object, unless one exists that begins at the same offset.

    Raises:
        Conflict: Another writer's object exists.
        StoreError: The lake cannot be written.
    """
    store.put(channel.key(first), pack(lines, first, last), if_absent=True)
