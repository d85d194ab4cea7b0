"""Storage of the incident book: one object, changed by compare-and-swap.

Belongs here: reading and changing it. Does not belong here: what the changes are (`incidents`).

A book that cannot be read counts as empty: open incidents are then sent once more, which is better than never.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from assay.alerts.incidents import Book, Claim, Incident, Kind, Record
from assay.errors import Conflict, ObjectMissing, StoreError
from assay.lake.layout import AUDIT
from assay.lake.store import ObjectStore

BOOK_KEY = f"{AUDIT}/alerts/incidents.json"
ATTEMPTS = 30
"""How often a change is retried when others keep changing the book first."""
_PAUSE_SECONDS = 0.05


def read_book(store: ObjectStore) -> Book:
    """Read the book; an empty one if there is none.

    Raises:
        StoreError: The store cannot be read.
    """
    try:
        return _book(store.get(BOOK_KEY))
    except ObjectMissing:
        return Book()


def change_book(store: ObjectStore, change: Callable[[Book], Book]) -> Book:
    """Change the book, despite concurrent changes; nothing is written if nothing changes.

    Args:
        store: Where the book is.
        change: Computes the next book; may be called several times.

    Returns:
        The book after the change.

    Raises:
        StoreError: The store cannot be read or written, or others keep changing the book first.
    """
    for attempt in range(ATTEMPTS):
        etag, before = _read_version(store)
        after = change(before)
        if after == before:
            return after
        try:
            store.put(BOOK_KEY, _written(after), if_match=etag, if_absent=etag is None)
        except Conflict:
            time.sleep(random.uniform(0, _PAUSE_SECONDS * (attempt + 1)))
            continue
        return after
    raise StoreError(f"{BOOK_KEY} cannot be changed: others keep changing it first.", hint="Run `assay alerts --send` again.")


def _read_version(store: ObjectStore) -> tuple[str | None, Book]:
    try:
        # The version first: if the content is newer, the write fails and is retried.
        etag = store.head(BOOK_KEY).etag
        return etag, _book(store.get(BOOK_KEY))
    except ObjectMissing:
        return None, Book()


def _written(book: Book) -> bytes:
    records = [
        {
            "kind": record.incident.kind,
            "table": record.incident.table,
            "scope": record.incident.scope,
            "text": record.incident.text,
            "owner": record.incident.owner,
            "opened_at": record.opened_at.isoformat(),
            "resolved_at": record.resolved_at.isoformat() if record.resolved_at else None,
            "told": dict(record.told),
        }
        for _, record in sorted(book.records.items())
    ]
    claims = {channel: {"by": claim.by, "until": claim.until.isoformat()} for channel, claim in book.claims.items()}
    return json.dumps({"incidents": records, "claims": claims}).encode()


def _book(body: bytes) -> Book:
    try:
        written = json.loads(body)
        records = [_record(each) for each in written["incidents"]]
        claims = {name: Claim(each["by"], dt.datetime.fromisoformat(each["until"])) for name, each in written["claims"].items()}
    except (ValueError, KeyError, TypeError):
        return Book()
    return Book({record.incident.key: record for record in records}, claims)


def _record(written: Mapping[str, Any]) -> Record:
    return Record(
        incident=Incident(Kind(written["kind"]), written["table"], written["scope"], written["text"], written["owner"]),
        opened_at=dt.datetime.fromisoformat(written["opened_at"]),
        resolved_at=dt.datetime.fromisoformat(written["resolved_at"]) if written["resolved_at"] else None,
        told=written["told"],
    )
