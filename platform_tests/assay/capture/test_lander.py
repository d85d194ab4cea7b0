"""The lander against a real broker: every message exactly once, whatever is killed."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from broker import Broker
from command_line import DOMAINS, PLATFORM

from assay.capture.lander import Lander, Limits, Progress
from assay.capture.objects import Channel
from assay.errors import ServerError, SettingsError, StoreUnavailable
from assay.lake import ObjectStore, open_store

TOPIC = "shop.public.orders"
SOURCES = {TOPIC: "orders"}
BROKER_SECONDS = 2
WAIT_SECONDS = 20


def message(number: int) -> bytes:
    return json.dumps({"op": "c", "number": number}).encode()


def land(store: ObjectStore, broker: Broker, limits: Limits | None = None) -> list[Progress]:
    """Land everything that is in the topic."""
    seen: list[list[Progress]] = []
    Lander(store, SOURCES, broker.address, "tests", limits or Limits(0.3)).run(seen.append, until_caught_up=True)
    return seen[-1]


def landed(store: ObjectStore) -> dict[str, list[bytes]]:
    """Lines by key."""
    return {info.key: gzip.decompress(store.get(info.key)).splitlines() for info in store.list("landing/")}


def numbers(store: ObjectStore) -> Counter[int]:
    return Counter(json.loads(line)["number"] for lines in landed(store).values() for line in lines)


def test_objects_are_named_by_first_offset_and_nothing_is_landed_twice(broker: Broker, file_store: ObjectStore) -> None:
    broker.create(TOPIC, 2)
    broker.produce(TOPIC, {0: [message(n) for n in range(5)], 1: [message(n) for n in range(5, 8)]})
    progress = land(file_store, broker)
    assert [(each.partition, each.landed, each.lag, each.records) for each in progress] == [(0, 4, 0, 5), (1, 2, 0, 3)]
    assert set(landed(file_store)) == {Channel("orders", TOPIC, 0).key(0), Channel("orders", TOPIC, 1).key(0)}
    broker.produce(TOPIC, {0: [message(8)]})
    assert [each.records for each in land(file_store, broker)] == [1, 0]
    assert landed(file_store)[Channel("orders", TOPIC, 0).key(5)] == [message(8)]
    assert numbers(file_store) == Counter(range(9))


def test_committed_offsets_are_of_what_is_in_the_lake(broker: Broker, file_store: ObjectStore) -> None:
    from confluent_kafka import Consumer, TopicPartition

    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(5)]})
    land(file_store, broker)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "tests"})
    assert [each.offset for each in consumer.committed([TopicPartition(TOPIC, 0)], 10)] == [5]
    consumer.close()


def test_size_ends_a_batch(broker: Broker, file_store: ObjectStore) -> None:
    broker.create(TOPIC, 1)
    big = [json.dumps({"number": number, "text": "x" * 100_000}).encode() for number in range(40)]
    broker.produce(TOPIC, {0: big})
    (progress,) = land(file_store, broker, Limits(seconds=60, megabytes=1))
    assert progress.objects > 1
    assert numbers(file_store) == Counter(range(40))


def test_a_message_is_one_line_and_one_without_value_none(broker: Broker, file_store: ObjectStore) -> None:
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [None, b'{\r\n"number":\n1}', None, b'{"number":2}', None]})
    (progress,) = land(file_store, broker)
    assert (progress.landed, progress.lag, progress.skipped) == (4, 0, 3)
    assert landed(file_store) == {Channel("orders", TOPIC, 0).key(1): [b'{  "number": 1}', b'{"number":2}']}
    assert land(file_store, broker)[0].objects == 0


def test_one_that_comes_back_from_the_dead_goes_on_after_what_another_wrote(broker: Broker, file_store: ObjectStore) -> None:
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(10)]})
    slow = Lander(file_store, SOURCES, broker.address, "slow", Limits(2))
    seen: list[list[Progress]] = []
    thread = threading.Thread(target=slow.run, args=(seen.append,))
    thread.start()
    time.sleep(1)
    # Of another group, so that the first keeps the partition, as one does that the broker has given up but that lives on.
    land(file_store, broker)
    broker.produce(TOPIC, {0: [message(n) for n in range(10, 15)]})
    deadline = time.monotonic() + 20
    while sum(numbers(file_store).values()) < 15 and time.monotonic() < deadline:
        time.sleep(0.2)
    slow.stopping = True
    thread.join(20)
    assert numbers(file_store) == Counter(range(15))


def test_one_that_lost_its_partition_while_the_lake_was_away_leaves_it_to_the_other(
    broker: Broker, file_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(10)]})
    put, failed, back, tried = file_store.put, threading.Event(), threading.Event(), threading.Event()

    def failing(*args, **kwargs):
        if not back.is_set():
            failed.set()
            raise StoreUnavailable("gone")
        tried.set()
        return put(*args, **kwargs)

    monkeypatch.setattr(file_store, "put", failing)
    # The only partition goes to the member whose name is the first.
    one = Lander(file_store, SOURCES, broker.address, "tests", Limits(0.3), {"client.id": "b"})
    other = Lander(open_store(file_store.uri), SOURCES, broker.address, "tests", Limits(0.3), {"client.id": "a"})
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(one.run)]
        try:
            assert failed.wait(WAIT_SECONDS)
            runs.append(pool.submit(other.run))
            deadline = time.monotonic() + WAIT_SECONDS
            while sum(numbers(file_store).values()) < 10 and time.monotonic() < deadline:
                time.sleep(0.2)
            back.set()
            assert tried.wait(WAIT_SECONDS)
            broker.produce(TOPIC, {0: [message(n) for n in range(10, 15)]})
            while sum(numbers(file_store).values()) < 15 and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            back.set()
            one.stopping = other.stopping = True
        for run in runs:
            run.result(WAIT_SECONDS)
    assert numbers(file_store) == Counter(range(15))


def test_the_end_of_a_partition_that_was_taken_away_is_nothing(broker: Broker, file_store: ObjectStore) -> None:
    from confluent_kafka import Consumer, TopicPartition

    broker.create(TOPIC, 1)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "other", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    (end,) = consumer.consume(1, WAIT_SECONDS)
    consumer.close()
    assert end.error().name() == "_PARTITION_EOF"
    lander = Lander(file_store, SOURCES, broker.address, "tests")
    lander._take([end])
    lander._consumer.close()


def test_a_broker_that_does_not_answer_does_not_hold_up_the_lander(broker: Broker, file_store: ObjectStore) -> None:
    broker.create(TOPIC, 4)
    broker.produce(TOPIC, {place: [message(place)] for place in range(4)})
    lander = Lander(file_store, SOURCES, broker.address, "tests", Limits(0.3))
    seen: list[tuple[float, list[Progress]]] = []
    thread = threading.Thread(target=lander.run, args=(lambda progress: seen.append((time.monotonic(), progress)),))
    thread.start()
    deadline = time.monotonic() + WAIT_SECONDS
    while (not seen or [each.lag for each in seen[-1][1]] != [0] * 4) and time.monotonic() < deadline:
        time.sleep(0.1)
    broker.freeze()
    frozen = time.monotonic()
    time.sleep(5)
    told = [progress for at, progress in seen if at > frozen]
    lander.stopping = True
    thread.join(WAIT_SECONDS)
    assert len(told) >= 2
    assert [each.lag for each in told[-1]] == [0] * 4


def test_an_open_transaction_does_not_keep_one_that_is_to_catch_up(broker: Broker, file_store: ObjectStore) -> None:
    from confluent_kafka import Producer

    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(5)]})
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "payments"})
    producer.init_transactions(WAIT_SECONDS)
    producer.begin_transaction()
    producer.produce(TOPIC, message(5), partition=0)
    producer.flush(WAIT_SECONDS)
    assert [(each.landed, each.lag) for each in land(file_store, broker)] == [(4, 0)]
    producer.commit_transaction(WAIT_SECONDS)
    assert [(each.landed, each.lag) for each in land(file_store, broker)] == [(5, 0)]
    assert numbers(file_store) == Counter(range(6))


def test_a_topic_made_anew_is_refused(broker: Broker, file_store: ObjectStore, tmp_path: Path) -> None:
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(5)]})
    land(file_store, broker)
    other = Broker(tmp_path / "other")
    other.start()
    try:
        other.create(TOPIC, 1)
        other.produce(TOPIC, {0: [message(1)]})
        with pytest.raises(ServerError, match="the topic was recreated"):
            land(file_store, other)
    finally:
        other.kill()


def test_a_missing_topic_and_avro_are_refused(broker: Broker, file_store: ObjectStore) -> None:
    broker.create("another", 1)
    with pytest.raises(SettingsError, match=TOPIC):
        land(file_store, broker)
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [b"\x00\x00\x00\x00\x01binary"]})
    with pytest.raises(ServerError, match="schema registry"):
        land(file_store, broker)


def start(lake: Path, broker: Broker, *more: str) -> subprocess.Popen[str]:
    """Start `assay lander`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "AWS_", "DAGSTER_"))}
    environment = {
        "ASSAY_HOME": str(lake.with_name("home")),
        "ASSAY_LAKE": lake.as_uri(),
        "ASSAY_DOMAIN": "shop",
        "PYTHONPATH": f"{PLATFORM}{os.pathsep}{DOMAINS}",
    }
    command = [sys.executable, "-c", "from assay.cli import main; main()", "lander", TOPIC, "--brokers", broker.address, "--json"]
    return subprocess.Popen([*command, *more], env=kept | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_interrupting_the_command_lands_what_was_read(broker: Broker, tmp_path: Path) -> None:
    broker.create(TOPIC, 1)
    broker.produce(TOPIC, {0: [message(n) for n in range(50)]})
    process = start(tmp_path / "lake", broker, "--seconds", "600")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["lag"] == 50:
            break
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert json.loads(out.splitlines()[-1])["lag"] == 0
    assert numbers(open_store((tmp_path / "lake").as_uri())) == Counter(range(50))


@pytest.mark.slow
def test_lander_and_broker_killed_at_random_moments_land_every_message_once(broker: Broker, tmp_path: Path) -> None:
    rng = random.Random(5)
    lake = tmp_path / "lake"
    store = open_store(lake.as_uri())
    broker.create(TOPIC, 3)
    produced = 0
    stopping, acknowledging = threading.Event(), threading.Lock()

    def produce() -> None:
        nonlocal produced
        while not stopping.is_set():
            values = {place: [message(produced + place * 100 + n) for n in range(100)] for place in range(3)}
            with acknowledging:
                broker.produce(TOPIC, values)
            produced += 300
            time.sleep(0.2)

    thread = threading.Thread(target=produce)
    thread.start()
    before: dict[str, list[bytes]] = {}
    for turn in range(12):
        process = start(lake, broker, "--seconds", "0.3", "--instance", "one")
        assert process.stdout is not None
        while '"partition":' not in process.stdout.readline():
            assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(rng.uniform(0, 2.5))
        if turn % 3 == 1:
            # This broker writes to disk a moment after it acknowledges, and has no replicas.
            with acknowledging:
                time.sleep(BROKER_SECONDS)
                broker.kill()
                time.sleep(rng.uniform(0, 1))
                broker.start()
            time.sleep(rng.uniform(0, 1.5))
        process.kill()
        process.communicate()
        now = landed(store)
        assert before.items() <= now.items(), "an object was written again with other content"
        before = now
    stopping.set()
    thread.join()
    process = start(lake, broker, "--seconds", "0.3", "--instance", "one", "--until-caught-up")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert Counter(json.loads(value)["number"] for value in broker.read(TOPIC, 3)) == Counter(range(produced))
    assert numbers(store) == Counter(range(produced))
    assert before.items() <= landed(store).items()
    assert len(before) > 3, "the kills came too early to disturb anything"
    print(f"{produced} messages, {len(landed(store))} objects")  # noqa: T201
