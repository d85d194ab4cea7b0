"""The names that sinks of Kafka Connect give to objects.

Belongs here: what a name says about its object, and which objects hold no values. Does not belong here: what the records mean
(the readers).

A name contains the topic, the Kafka partition and the offset of the object's first record. It is parsed from the right, because
a topic may contain the separators; offsets are compared as numbers, because they may outgrow their padding of ten digits. The
folders that a partitioner makes say nothing about the order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_CONFLUENT = re.compile(r"(?P<topic>.+)\+(?P<partition>\d+)\+(?P<offset>\d{10,})(?:\.(?P<part>keys|headers))?(?:\.[A-Za-z]\w*)*")
_AIVEN = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<offset>\d+)(?:\.[A-Za-z]\w*)*")
_TOMBSTONES = "tombstone"

Holds = Literal["values", "keys", "headers", "tombstones"]


@dataclass(frozen=True)
class SinkObject:
    """The parts of the name of an object that a sink has written.

    Attributes:
        topic: The topic, including any prefix that the sink was configured with.
        partition: The Kafka partition.
        offset: Offset of the first record.
        holds: What the records are: the values; the keys or headers of the values in the object of the same name; or the keys of
            records without value (tombstones), which Confluent's sink puts into a folder of their own.
    """

    topic: str
    partition: int
    offset: int
    holds: Holds


def sink_object(key: str) -> SinkObject | None:
    """Parse an object's name as Confluent's sink writes it (`topic+0+0000000012.json`), or Aiven's (`topic-0-12.gz`).

    Returns:
        Its parts; None if no sink has written the object.
    """
    *folders, name = key.split("/")
    if found := _CONFLUENT.fullmatch(name):
        part: Holds = "keys" if found["part"] == "keys" else "headers" if found["part"] == "headers" else "values"
        if _TOMBSTONES in folders and part != "headers":
            part = "tombstones"
        return SinkObject(found["topic"], int(found["partition"]), int(found["offset"]), part)
    if found := _AIVEN.fullmatch(name):
        return SinkObject(found["topic"], int(found["partition"]), int(found["offset"]), "values")
    return None


def stem(key: str) -> str | None:
    """The common part of the names of the objects with the values, keys and headers of the same records.

    Returns:
        The key up to the offset; None if Confluent's sink has not written the object.
    """
    folder, slash, name = key.rpartition("/")
    found = _CONFLUENT.fullmatch(name)
    return f"{folder}{slash}{name[: found.end('offset')]}" if found else None


def position(key: str) -> tuple[int, int] | None:
    """Kafka partition and offset of an object's first record; None if its name does not contain them."""
    found = sink_object(key)
    return (found.partition, found.offset) if found else None
