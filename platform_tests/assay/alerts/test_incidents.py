"""The book of incidents: what opens, what is over, who is owed what. Pure values, a clock made of hours."""

from __future__ import annotations

import datetime as dt

import pytest

from assay.alerts.incidents import KEPT, Book, Claim, Incident, Kind, Urgency, claim, judge, note_told, release

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
ALL = tuple(Urgency)
CHAT = {"chat": ALL}
A = Incident(Kind.PROOF_FAILED, "enriched.orders", "2025-01-01", "a")
B = Incident(Kind.PROOF_FAILED, "enriched.orders", "2025-01-02", "b")
OLD = Incident(Kind.QUARANTINE_OLD, "enriched.orders", "", "old")


def at(hours: float) -> dt.datetime:
    return START + dt.timedelta(hours=hours)


def judged(book: Book, hours: float, *current: Incident, channels: dict[str, tuple[Urgency, ...]] | None = None) -> Book:
    return judge(book, current, set(Kind), CHAT if channels is None else channels, at(hours))


def told(book: Book, channel: str = "chat") -> Book:
    return note_told(book, channel, book.owed(channel, ALL))


def owed(book: Book, channel: str = "chat") -> dict[str, bool]:
    """Scope of what a channel is owed: whether that it began, or that it is over."""
    return {record.incident.scope: record.is_open for record in book.owed(channel, ALL)}


def test_it_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    book = judged(Book(), 0, A)
    assert owed(book) == {A.scope: True}
    book = told(book)
    assert owed(judged(book, 1, A)) == {}
    book = judged(book, 2)
    assert owed(book) == {A.scope: False}
    assert owed(judged(told(book), 3)) == {}


def test_another_partition_of_the_same_table_is_another_incident() -> None:
    book = judged(told(judged(Book(), 0, A)), 1, A, B)
    assert owed(book) == {B.scope: True}
    assert [record.opened_at for record in book.open] == [at(0), at(1)]


def test_what_was_over_before_anybody_was_told_is_told_as_over() -> None:
    assert owed(judged(judged(Book(), 0, A), 1)) == {A.scope: False}


def test_what_comes_back_before_anybody_was_told_was_never_over() -> None:
    book = judged(judged(told(judged(Book(), 0, A)), 1), 2, A)
    assert owed(book) == {}
    assert book.open[0].opened_at == at(0)


def test_what_comes_back_after_it_was_told_as_over_is_told_anew() -> None:
    book = told(judged(told(judged(Book(), 0, A)), 1))
    book = judged(book, 2, A)
    assert owed(book) == {A.scope: True}
    assert book.open[0].opened_at == at(2)
    assert owed(judged(book, 3)) == {A.scope: False}, "so short that it was not told: it is told as over"


def test_what_changed_while_it_was_told_is_owed_again() -> None:
    book = judged(Book(), 0, A)
    sent = book.owed("chat", ALL)
    assert owed(note_told(judged(book, 1), "chat", sent)) == {A.scope: False}
    book = judged(told(book), 1)
    sent = book.owed("chat", ALL)
    assert owed(note_told(judged(book, 2, A), "chat", sent)) == {A.scope: True}


def test_each_channel_is_owed_for_itself() -> None:
    book = judged(Book(), 0, A, channels={"chat": ALL, "mail": ALL})
    book = told(book, "chat")
    assert (owed(book, "chat"), owed(book, "mail")) == ({}, {A.scope: True})
    book = judged(book, 1, channels={"chat": ALL, "mail": ALL})
    assert (owed(book, "chat"), owed(book, "mail")) == ({A.scope: False}, {A.scope: False})


def test_a_new_channel_is_told_of_what_goes_on_and_not_of_what_is_over() -> None:
    book = judged(judged(Book(), 0, A, B), 1, B)
    assert owed(book, "new") == {B.scope: True}


def test_a_channel_is_told_of_its_urgencies_only() -> None:
    book = judged(Book(), 0, A, OLD, channels={"pager": (Urgency.CRITICAL,)})
    assert [record.incident for record in book.owed("pager", (Urgency.CRITICAL,))] == [A]
    book = judged(book, 1, channels={"pager": (Urgency.CRITICAL,)})
    assert [record.incident for record in book.owed("pager", (Urgency.CRITICAL,))] == [A]


def test_nothing_is_over_of_a_kind_that_was_not_looked_at() -> None:
    book = judge(judged(Book(), 0, A, OLD), (), {Kind.QUARANTINE_OLD}, CHAT, at(1))
    assert [record.incident for record in book.open] == [A]


def test_new_words_are_no_new_incident() -> None:
    book = told(judged(Book(), 0, A))
    book = judged(book, 1, Incident(A.kind, A.table, A.scope, "another run found it", A.owner))
    assert owed(book) == {}
    assert book.open[0].incident.text == "another run found it"


def test_what_is_long_over_is_forgotten() -> None:
    book = judged(judged(Book(), 0, A), 1)
    assert book.records
    assert not judged(book, 1 + KEPT / dt.timedelta(hours=1)).records


def test_a_claim_is_one_runs_until_it_ends_or_is_given_back() -> None:
    book = claim(Book(), "chat", "first", at(1), at(0))
    assert claim(book, "chat", "second", at(2), at(0.5)) is book
    assert claim(book, "chat", "first", at(2), at(0.5)).claims["chat"] == Claim("first", at(2))
    assert claim(book, "chat", "second", at(2), at(1)).claims["chat"].by == "second"
    assert claim(book, "mail", "second", at(2), at(0)).claims["mail"].by == "second"
    assert release(book, "chat", "second") is book
    assert not release(book, "chat", "first").claims


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words_and_an_urgency(kind: Kind) -> None:
    assert kind.words
    assert kind.urgency in ALL
