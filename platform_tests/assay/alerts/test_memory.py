"""The book in the lake: written whole, changed by one at a time, and no harm when it cannot be read."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from assay.alerts.incidents import Book, Claim, Incident, Kind, Record
from assay.alerts.memory import BOOK_KEY, change_book, read_book
from assay.lake import ObjectStore

NOON = dt.datetime(2025, 3, 4, 12, 30, 1, 5, tzinfo=dt.UTC)


def book(*scopes: str) -> Book:
    records = [
        Record(Incident(Kind.HELD, "raw.orders", scope, 'said "so"', "team:x"), NOON, told={"a": None}) for scope in scopes
    ]
    return Book({record.incident.key: record for record in records})


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each kind of store in turn."""
    found: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return found


def test_what_is_written_is_read(store: ObjectStore) -> None:
    assert read_book(store) == Book()
    whole = replace(book("é", ""), claims={"chat": Claim("me", NOON)})
    over = Record(Incident(Kind.LATE, "raw.x", "", "t"), NOON, NOON, {"chat": True, "mail": False, "pager": None})
    whole = replace(whole, records={**whole.records, over.incident.key: over})
    assert change_book(store, lambda _: whole) == whole
    assert read_book(store) == whole


def test_nothing_is_written_where_nothing_changes(store: ObjectStore) -> None:
    change_book(store, lambda before: before)
    assert not list(store.list(BOOK_KEY))
    change_book(store, lambda _: book("a"))
    etag = store.head(BOOK_KEY).etag
    change_book(store, lambda before: replace(before))
    assert store.head(BOOK_KEY).etag == etag


def test_changes_at_once_are_all_kept(store: ObjectStore) -> None:
    def add(scope: str) -> Book:
        return change_book(store, lambda before: Book({**before.records, **book(scope).records}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, map(str, range(8))))
    assert {scope for _, _, scope in read_book(store).records} == {str(number) for number in range(8)}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"incidents": [{}], "claims": {}}', b'{"incidents": 3}', b"\xff"])
def test_a_book_that_cannot_be_read_is_empty_and_can_be_written(file_store: ObjectStore, body: bytes) -> None:
    file_store.put(BOOK_KEY, body)
    assert read_book(file_store) == Book()
    change_book(file_store, lambda _: book("a"))
    assert read_book(file_store) == book("a")
