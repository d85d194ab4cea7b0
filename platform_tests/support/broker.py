"""A real broker that speaks Kafka's protocol, to be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

START_SECONDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One broker; what it acknowledged survives being killed.

    Args:
        folder: Where its data is.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        places = find_spec("noida_db").submodule_search_locations
        program = Path(places[0]) / "noida-db"
        program.chmod(0o755)
        command = [str(program), "start", "--data-dir", str(self._folder), "--only", "kafka", "--kafka-port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            assert self._process.poll() is None and time.monotonic() < deadline, "the broker does not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing, until it is killed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic."""
        from confluent_kafka.admin import AdminClient, NewTopic

        client = AdminClient({"bootstrap.servers": self.address})
        for made in client.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result(20)

    def produce(self, topic: str, messages: dict[int, list[bytes | None]]) -> None:
        """Write messages by partition, and wait until they are acknowledged."""
        from confluent_kafka import Producer

        failed = []
        # Idempotent, so that an acknowledgement lost with the broker does not double a message.
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "message.timeout.ms": 60000})
        for partition, values in messages.items():
            for value in values:
                producer.produce(topic, value, b"key", partition, on_delivery=lambda error, _: error and failed.append(error))
                producer.poll(0)
        assert producer.flush(60) == 0 and not failed, failed

    def read(self, topic: str, partitions: int) -> list[bytes]:
        """Read all values of a topic."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "reader"})
        places = [TopicPartition(topic, place, 0) for place in range(partitions)]
        ends = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        consumer.assign(places)
        values: list[bytes] = []
        while len(values) < ends:
            found = consumer.consume(1000, 5)
            assert found, f"{len(values)} of {ends} messages could be read"
            values += [message.value() for message in found if message.error() is None]
        consumer.close()
        return values


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
