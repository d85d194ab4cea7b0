"""Dropping: marking records in quarantine as no longer needing attention.

Belongs here: writing and reading these decisions. Does not belong here: which records are in quarantine (`quarantined`).

A drop changes no data. The record stays in quarantine and in the books; lists and ages leave it out, and a replay does not read
it again. Only the contract keeps a refused row out: a later contract that accepts it publishes it, because a partition depends
on its inputs alone, and because without that row an older one of its key would return.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from assay.lake.layout import dropped_prefix
from assay.lake.store import ObjectStore


@dataclass(frozen=True)
class Dropped:
    """A record that was dropped.

    Attributes:
        id: The record's id in its table's quarantine.
        object: Its landing object, if known.
        line: Its line in the object.
    """

    id: str
    object: str | None
    line: int | None


@dataclass(frozen=True)
class Drop:
    """One decision to drop records.

    Attributes:
        table: Full name of their table or source.
        by: Who decided.
        why: Why.
        at: When, ISO 8601 UTC.
        records: The records.
    """

    table: str
    by: str
    why: str
    at: str
    records: tuple[Dropped, ...]


def write_drop(store: ObjectStore, table: str, records: Sequence[Dropped], by: str, why: str) -> Drop:
    """Record a decision."""
    now = dt.datetime.now(dt.UTC)
    drop = Drop(table, by, why, now.isoformat(), tuple(records))
    key = f"{dropped_prefix(table)}{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex}.json"
    store.put(key, json.dumps(asdict(drop), ensure_ascii=False).encode(), if_absent=True)
    return drop


def read_drops(store: ObjectStore, table: str) -> list[Drop]:
    """Read every decision about a table or source, oldest first."""
    keys = sorted(info.key for info in store.list(dropped_prefix(table)))
    return [_drop(json.loads(store.get(key))) for key in keys]


def _drop(written: dict[str, object]) -> Drop:
    records = written.pop("records")
    assert isinstance(records, list)
    return Drop(**{name: str(value) for name, value in written.items()}, records=tuple(Dropped(**each) for each in records))
