"""Landing Kafka topics: a consumer that writes what it reads to the landing zone, each message exactly once.

Belongs here: reading topics, forming batches, writing them, acknowledging them. Does not belong here: the names and chains of
objects (`objects`), showing progress (`cli`).

A batch ends when it is old or large enough, and is named by its first offset. The lake determines where to continue, not the
group's committed offsets: those are committed after the object exists, for lag monitoring only. So a lander that is killed
between the two continues after what it has written, and one that resumes after a long pause finds its object's name taken.

Memory is bounded: buffered messages by `Limits.megabytes`, what the client library prefetches by a quarter of that. While the
lake cannot be reached, reading pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from assay.capture.objects import Channel, next_offset, put_segment
from assay.errors import Conflict, ServerError, SettingsError, StoreUnavailable
from assay.lake.store import ObjectStore

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

_POLL_SECONDS = 0.2
_MOST_A_POLL = 2_000
_LIKELY_BYTES = 10_000
_METADATA_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 10.0
_MEBIBYTE = 1 << 20
_AVRO_FRAME = b"\x00"


@dataclass(frozen=True)
class Limits:
    """When a batch ends.

    Attributes:
        seconds: Age of its oldest message.
        records: Number of its messages.
        megabytes: Size of all batches together, uncompressed.
    """

    seconds: float = 10.0
    records: int = 50_000
    megabytes: int = 64


@dataclass(frozen=True)
class Progress:
    """The progress of a topic's partition.

    Attributes:
        topic: The topic.
        partition: Number of the partition.
        landed: Offset up to which everything is in the lake; -1 if nothing is.
        lag: Messages in the topic that are not in the lake; None if the broker has not reported it yet.
        objects: Objects written since the start.
        records: Messages written since the start.
        skipped: Messages without a value (tombstones) since the start, which are not landed.
    """

    topic: str
    partition: int
    landed: int
    lag: int | None
    objects: int
    records: int
    skipped: int


@dataclass
class _Batch:
    """Messages of one partition that were read but are not in the lake yet.

    Attributes:
        channel: The partition.
        position: The next offset to land.
        lines: The messages.
        first: Offset of the first of them.
        last: Offset of the last message read, including tombstones; below `position` if none was read.
        end: The partition's end as the broker last reported it, or -1: transaction markers take offsets as well.
        size: Bytes of the messages.
        since: When the first was read, on the monotonic clock.
        objects: Objects written since the start.
        records: Messages written since the start.
        skipped: Messages without a value since the start.
    """

    channel: Channel
    position: int
    lines: list[bytes] = field(default_factory=list)
    first: int = 0
    last: int = -1
    end: int = -1
    size: int = 0
    since: float = 0.0
    objects: int = 0
    records: int = 0
    skipped: int = 0

    def add(self, offset: int, value: bytes | None) -> None:
        """Add a message, unless the lake has it."""
        if offset < self.position:
            return
        if self.is_empty:
            self.since = time.monotonic()
        self.last = offset
        if value is None:
            self.skipped += 1
            return
        if not self.lines:
            self.first = offset
        self.lines.append(value)
        self.size += len(value) + 1

    def take(self) -> tuple[list[bytes], int, int]:
        """Return the buffered messages, the offset of the first and that of the last, and begin a new batch."""
        taken = self.lines, self.first, self.last
        self.lines, self.size, self.position = [], 0, self.last + 1
        return taken

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to land or acknowledge."""
        return self.last < self.position

    @property
    def is_at_end(self) -> bool:
        """Whether the lake has everything up to where the partition ended when the broker last said so."""
        return self.is_empty and self.end >= self.position

    def go_on(self, position: int) -> None:
        """Forget the buffered messages, and continue at another offset."""
        self.lines, self.size, self.last, self.position = [], 0, -1, position


class Lander:
    """Reads topics and lands them until it is told to stop.

    Args:
        store: The lake.
        sources: Source by topic.
        brokers: Addresses of Kafka's brokers, as `host:port`, separated by commas.
        group: The consumer group.
        limits: When a batch ends.
        properties: Further settings of librdkafka, such as those of TLS and SASL.

    Raises:
        ServerError: The package of the extra is not installed, a topic does not exist, or the brokers do not answer.
    """

    def __init__(
        self,
        store: ObjectStore,
        sources: Mapping[str, str],
        brokers: str,
        group: str,
        limits: Limits | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        if find_spec("confluent_kafka") is None:
            raise ServerError("The lander needs confluent-kafka.", hint="Install assay-platform[kafka].")
        from confluent_kafka import Consumer

        self.stopping = False
        self._store = store
        self._sources = sources
        self._limits = limits or Limits()
        self._batches: dict[tuple[str, int], _Batch] = {}
        self._largest = _LIKELY_BYTES
        self._consumer: Consumer = Consumer(
            {
                # The partitions of a killed consumer stay assigned to it for this long.
                "session.timeout.ms": 10_000,
                "queued.max.messages.kbytes": max(1024, self._limits.megabytes * 1024 // 4),
                **(properties or {}),
                "bootstrap.servers": brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )

    def run(self, seen: Callable[[list[Progress]], None] = lambda progress: None, *, until_caught_up: bool = False) -> None:
        """Land until `stopping` is set; what was read by then is landed first.

        Args:
            seen: Called with the progress about once a second.
            until_caught_up: Stop once the lake has everything that is in the topics.

        Raises:
            StoreError: The lake refuses an object.
            ServerError: A topic does not exist, or its messages cannot be landed as JSON lines.
        """
        self._require_topics()
        self._consumer.subscribe(list(self._sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        told = 0.0
        try:
            while not self.stopping:
                self._take(self._consumer.consume(self._messages_a_poll(), _POLL_SECONDS))
                self._land_what_is_due(until_caught_up)
                if time.monotonic() - told >= 1:
                    told = time.monotonic()
                    progress = self.progress()
                    seen(progress)
                    if until_caught_up and self._is_caught_up(progress):
                        break
            for batch in list(self._batches.values()):
                self._land(batch, wait_for_commit=True)
            seen(self.progress())
        finally:
            # A rebalance during close must land nothing: after an error, nothing more may be written.
            self._batches.clear()
            self._consumer.close()

    def progress(self) -> list[Progress]:
        """The progress of each partition."""
        found = []
        for (topic, partition), batch in sorted(self._batches.items()):
            lag = self._lag(batch)
            found.append(Progress(topic, partition, batch.position - 1, lag, batch.objects, batch.records, batch.skipped))
        return found

    def _require_topics(self) -> None:
        from confluent_kafka import KafkaException

        try:
            known = self._consumer.list_topics(timeout=_METADATA_SECONDS).topics
        except KafkaException as error:
            raise ServerError(f"Kafka does not answer: {error}.", hint="Check --brokers.") from error
        missing = sorted(set(self._sources) - {name for name, topic in known.items() if topic.error is None})
        if missing:
            raise SettingsError(f"There is no topic {', '.join(missing)}.", hint=f"There are {', '.join(sorted(known))}.")

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        committed = {(each.topic, each.partition): each.offset for each in consumer.committed(partitions, _METADATA_SECONDS)}
        for each in partitions:
            place = (each.topic, each.partition)
            channel = Channel(self._sources[each.topic], each.topic, each.partition)
            position = max(self._next_offset(channel), committed.get(place, 0), 0)
            _, high = consumer.get_watermark_offsets(each, timeout=_METADATA_SECONDS)
            if 0 <= high < position:
                raise ServerError(
                    f"Partition {each.partition} of {each.topic} ends at offset {high}, but was landed up to {position - 1}: "
                    "the topic was recreated.",
                    hint=f"Give it another name, or move {channel.prefix}* out of the landing zone.",
                )
            self._batches[place] = _Batch(channel, position)
            each.offset = position
        consumer.assign(partitions)

    def _next_offset(self, channel: Channel) -> int:
        # During a rebalance the consumer must not be asked for messages, so this does not wait like `_patiently`.
        while True:
            try:
                return next_offset(self._store, channel)
            except StoreUnavailable:
                if self.stopping:
                    raise
                time.sleep(_POLL_SECONDS)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            batch = self._batches.pop((each.topic, each.partition), None)
            if batch is None or not batch.lines:
                continue
            # The partition's next owner reads again what could not be landed.
            with suppress(StoreUnavailable, Conflict):
                put_segment(self._store, batch.channel, *batch.take())

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Another consumer has them already.
        for each in partitions:
            self._batches.pop((each.topic, each.partition), None)

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.name() == "_PARTITION_EOF":
                batch = self._batches.get((message.topic() or "", message.partition() or 0))
                if batch is not None:
                    batch.end = message.offset() or 0
                continue
            if error is not None:
                # An unreachable broker comes back; the library recovers by itself.
                if error.fatal() or (not error.retriable() and error.name() not in _PASSING):
                    raise ServerError(f"Kafka says: {error}.", hint="Check the topics and the rights of the group.")
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None and partition is not None and offset is not None
            batch = self._batches.get((topic, partition))
            if batch is not None:
                line = _line(message)
                batch.add(offset, line)
                self._largest = max(self._largest, len(line or b""))

    def _messages_a_poll(self) -> int:
        """Few enough to take at most a quarter of the memory, if all are as large as the largest one so far."""
        return max(1, min(_MOST_A_POLL, self._limits.megabytes * _MEBIBYTE // 4 // self._largest))

    def _land_what_is_due(self, at_the_end_too: bool) -> None:
        now = time.monotonic()
        for batch in list(self._batches.values()):
            is_old = not batch.is_empty and now - batch.since >= self._limits.seconds
            is_at_end = at_the_end_too and batch.end > batch.last
            if is_old or is_at_end or len(batch.lines) >= self._limits.records:
                self._land(batch)
        # The largest first, to free memory with few objects.
        while sum(batch.size for batch in self._batches.values()) > self._limits.megabytes * _MEBIBYTE:
            self._land(max(self._batches.values(), key=lambda batch: batch.size))

    def _land(self, batch: _Batch, *, wait_for_commit: bool = False) -> None:
        if batch.is_empty:
            return
        lines, first, last = batch.take()
        if lines:
            try:
                self._patiently(lambda: put_segment(self._store, batch.channel, lines, first, last))
            except Conflict:
                # Another lander, or this one before it was killed, has written it, perhaps with another end.
                self._go_on_after_another(batch)
                return
            batch.objects += 1
            batch.records += len(lines)
        self._commit(batch.channel, last + 1, wait_for_commit)

    def _go_on_after_another(self, batch: _Batch) -> None:
        from confluent_kafka import TopicPartition

        channel = batch.channel
        batch.go_on(self._patiently(lambda: next_offset(self._store, channel)))
        # While this waited for the lake, the partition may have gone to another, and come back as a new batch.
        if self._batches.get((channel.topic, channel.partition)) is not batch:
            return
        self._consumer.seek(TopicPartition(channel.topic, channel.partition, batch.position))
        self._commit(channel, batch.position, False)

    def _commit(self, channel: Channel, offset: int, wait: bool) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        # If it fails, the lake still determines where to continue, and the next commit updates Kafka.
        offsets = [TopicPartition(channel.topic, channel.partition, offset)]
        with suppress(KafkaException):
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Do some work in the lake, waiting while it cannot be reached; polling meanwhile keeps us in the consumer group."""
        wait = 0.2
        paused: list[TopicPartition] = []
        try:
            while True:
                try:
                    return work()
                except StoreUnavailable:
                    if self.stopping:
                        raise
                if not paused:
                    paused = self._consumer.assignment()
                    self._consumer.pause(paused)
                self._take(self._consumer.consume(1, wait))
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        finally:
            if paused:
                self._consumer.resume(paused)

    def _lag(self, batch: _Batch) -> int | None:
        if batch.is_at_end:
            return 0
        # What the client library heard with the last messages: asking would hold up everything while a broker does not answer.
        high = self._end(batch.channel, cached=True)
        return None if high is None else max(0, high - batch.position)

    def _is_caught_up(self, progress: list[Progress]) -> bool:
        """Whether the lake has everything; the brokers are asked only when it seems so."""
        if not progress or any(each.lag != 0 for each in progress):
            return False
        ends = ((batch, self._end(batch.channel, cached=False)) for batch in self._batches.values())
        return all(end is not None and batch.is_empty and end <= max(batch.position, batch.end) for batch, end in ends)

    def _end(self, channel: Channel, *, cached: bool) -> int | None:
        from confluent_kafka import KafkaException, TopicPartition

        place = TopicPartition(channel.topic, channel.partition)
        try:
            _, high = self._consumer.get_watermark_offsets(place, timeout=_METADATA_SECONDS, cached=cached)
        except KafkaException:
            return None
        return None if high < 0 else high


_PASSING = ("_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT", "_RESOLVE", "_MAX_POLL_EXCEEDED")
"""Errors that the client library reports but recovers from by itself."""


def _line(message: Message) -> bytes | None:
    value = message.value()
    if value is None:
        return None
    if value[:1] == _AVRO_FRAME:
        raise ServerError(
            f"Message {message.offset()} of {message.topic()} is not JSON, but framed by a schema registry.",
            hint="Let the producer write JSON, or land the topic with Kafka Connect's S3 sink.",
        )
    # Line breaks in JSON occur only between its parts, where a blank means the same.
    return value.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in value or b"\r" in value else value
