"""Sending alerts: update the book, then send every channel what it is owed.

Belongs here: the order of claiming, sending and recording, and the case of an unreachable lake. Does not belong here: the steps
themselves (`incidents`, `memory`, `delivery`).

A run claims a channel in the book before it sends: of two concurrent runs one gets the claim, and the other has nothing to do.
Messages are recorded after they are sent: a run that is killed in between leaves its claim behind, which expires, and the
message is sent again. So a message is sent at least once, and exactly once as long as its record survives.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

from assay.alerts.conditions import look_at_lake, unseen
from assay.alerts.delivery import Attempts, Channel, Undelivered
from assay.alerts.incidents import Book, Incident, Kind, Record, claim, judge, note_told, release
from assay.alerts.memory import change_book, read_book
from assay.alerts.notice import Notice
from assay.errors import ServerError, StoreError, StoreUnavailable
from assay.lake.store import ObjectStore, open_store
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.settings import Settings

CLAIM = dt.timedelta(minutes=6)
"""How long a run's claim on a channel lasts; longer than its attempts (`delivery.BUDGET_SECONDS` and one last timeout)."""
ROUNDS = 3
"""Messages to one channel in one run: incidents that change while the first is sent go into the second."""
_AT_HOME = frozenset({Kind.LAKE_GONE, Kind.UNSEEN})
"""The kinds that the book below `ASSAY_HOME` has incidents of."""

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The time."""
    return dt.datetime.now(dt.UTC)


@dataclass
class Told:
    """What a run sent.

    Attributes:
        book: The book afterwards.
        delivered: Number of incidents sent, begun or resolved, by channel.
        undelivered: Why channels could not be notified; the next run retries.
    """

    book: Book = field(default_factory=Book)
    delivered: dict[str, int] = field(default_factory=dict)
    undelivered: dict[str, str] = field(default_factory=dict)

    def add(self, other: Told) -> None:
        """Add what was sent from another book."""
        self.book = Book({**self.book.records, **other.book.records}, self.book.claims)
        for channel, count in other.delivered.items():
            self.delivered[channel] = self.delivered.get(channel, 0) + count
        self.undelivered |= other.undelivered


@dataclass(frozen=True)
class Teller:
    """The sender: the channels, and what all messages have in common.

    Attributes:
        channels: The channels.
        lake: The lake's address, as messages show it.
        ui: Address of the Dagster UI, if known.
        clock: The time; tests pass their own.
        attempts: Makes the attempts of a delivery; tests pass their own.
    """

    channels: Sequence[Channel]
    lake: str
    ui: str = ""
    clock: Clock = utc_now
    attempts: Callable[[], Attempts] = Attempts

    def tell(self, store: ObjectStore, current: Iterable[Incident], judged: Collection[Kind]) -> Told:
        """Update a book and send every channel what it is owed.

        Args:
            store: The store of the book.
            current: The current incidents.
            judged: The kinds of which `current` has every incident.

        Raises:
            StoreError: The book cannot be read or written; messages may have been sent, and will be sent again.
        """
        seen = tuple(current)
        told = Told(change_book(store, lambda book: self.judged(book, seen, judged)))
        if not self.channels:
            return told
        with ThreadPoolExecutor(len(self.channels), thread_name_prefix="alerts") as pool:
            counts = pool.map(partial(self._deliver, store), self.channels)
            for channel, count in zip(self.channels, counts, strict=True):
                if isinstance(count, Undelivered):
                    told.undelivered[channel.name] = str(count)
                elif count:
                    told.delivered[channel.name] = count
        told.book = read_book(store)
        return told

    def judged(self, book: Book, current: Iterable[Incident], judged: Collection[Kind]) -> Book:
        """The book as it would be after the update."""
        return judge(book, current, judged, {channel.name: channel.urgencies for channel in self.channels}, self.clock())

    def _deliver(self, store: ObjectStore, channel: Channel) -> int | Undelivered:
        """Notify one channel; returns the number of incidents sent."""
        by = uuid.uuid4().hex
        count = 0
        book = read_book(store)
        for _ in range(ROUNDS):
            if not book.owed(channel.name, channel.urgencies):
                break
            book = change_book(store, self._claimed(channel, by))
            owed = book.owed(channel.name, channel.urgencies)
            if not owed or book.claims[channel.name].by != by:
                break
            try:
                channel.send(Notice(self.lake, owed, book.open, self.ui), self.attempts())
            except Undelivered as error:
                change_book(store, partial(release, channel=channel.name, by=by))
                return error
            count += len(owed)
            book = change_book(store, partial(note_told, channel=channel.name, told=owed))
        change_book(store, partial(release, channel=channel.name, by=by))
        return count

    def _claimed(self, channel: Channel, by: str) -> Callable[[Book], Book]:
        def change(book: Book) -> Book:
            now = self.clock()
            return claim(book, channel.name, by, now + CLAIM, now)

        return change


def look(workspace: Workspace) -> Told:
    """Find what is wrong with the lake, without sending anything.

    Raises:
        StoreError: The lake cannot be read.
    """
    now = utc_now()
    with workspace.connection() as connection:
        looked = look_at_lake(connection, State(workspace), now)
    return Told(judge(read_book(workspace.store), looked.incidents, looked.judged, {}, now))


def send_test(settings: Settings, channels: Sequence[Channel]) -> Told:
    """Send every channel a made-up incident, and then its resolution."""
    incident = Incident(Kind.RUN_FAILED, "test", "", "this is a test of the channel, and nothing is wrong")
    opened = Record(incident, utc_now())
    over = replace(opened, resolved_at=opened.opened_at)
    told = Told()
    for channel in channels:
        try:
            channel.send(Notice(settings.lake_uri, (opened,), (opened,)), Attempts())
            channel.send(Notice(settings.lake_uri, (over,), ()), Attempts())
            told.delivered[channel.name] = 1
        except Undelivered as error:
            told.undelivered[channel.name] = str(error)
    return told


def tell_everything(
    settings: Settings,
    channels: Sequence[Channel],
    open_lake: Callable[[], AbstractContextManager[Workspace]],
    others: Iterable[Incident] = (),
    judged: Collection[Kind] = (),
) -> Told:
    """Find what is wrong with the lake, and send every channel what it is owed.

    When the lake is gone, or cannot be looked at at all, the channels are told that, from a book below `ASSAY_HOME`; when it is
    back, that it is over.

    Args:
        settings: The settings.
        channels: The channels.
        open_lake: Opens the lake.
        others: Further current incidents, of the kinds in `judged`.
        judged: The kinds of which `others` has every incident.
    """
    teller = Teller(channels, settings.lake_uri, settings.alerts_ui.rstrip("/"))
    here = open_store((settings.home / "alerts").as_uri())
    try:
        with open_lake() as workspace:
            with workspace.connection() as connection:
                looked = look_at_lake(connection, State(workspace), teller.clock())
            told = teller.tell(workspace.store, (*looked.incidents, *others), {*looked.judged, *judged})
    except (StoreUnavailable, ServerError) as error:
        return teller.tell(here, [Incident(Kind.LAKE_GONE, "lake", "", _first_sentence(error))], _AT_HOME)
    except StoreError as error:
        return teller.tell(here, [unseen(error, "")], _AT_HOME)
    if read_book(here).records:
        told.add(teller.tell(here, (), _AT_HOME))
    return told


def _first_sentence(error: StoreError | ServerError) -> str:
    return error.message.splitlines()[0]
