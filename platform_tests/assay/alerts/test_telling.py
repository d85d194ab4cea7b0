"""Telling: at least once, once as long as the note of it stands, and always that it is over; whatever is killed in between."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from change_lines import text
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from receivers import HttpReceiver
from shop_lake import ShopLake
from tills import SOURCE, TABLE, land_days, last_complete_day, run_all, sale, till_lake

from assay.alerts import telling
from assay.alerts.channels import channels_of
from assay.alerts.delivery import Attempts, NotNow, Undelivered
from assay.alerts.incidents import Book, Incident, Kind, Urgency
from assay.alerts.memory import read_book
from assay.alerts.notice import Notice
from assay.alerts.telling import CLAIM, Teller, tell_everything
from assay.errors import StoreError, StoreUnavailable
from assay.lake import ObjectStore, open_store
from assay.settings import Settings

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
KEYS = ("a", "b", "c")


def incident(scope: str) -> Incident:
    return Incident(Kind.PROOF_FAILED, "enriched.orders", scope, "broken")


class Killed(BaseException):
    """The process ended here."""


@dataclass
class Room:
    """A channel that remembers what it was told.

    Attributes:
        name: Its name.
        urgencies: What it takes.
        notices: What it was told.
        broken: Whether it takes nothing.
        killed: `before` or `after` sending, the process ends.
    """

    name: str = "room"
    urgencies: Collection[Urgency] = tuple(Urgency)
    notices: list[Notice] = field(default_factory=list)
    broken: bool = False
    killed: str = ""

    def send(self, notice: Notice, attempts: Attempts) -> None:
        if self.killed == "before":
            raise Killed
        if self.broken:
            raise NotNow("closed")
        self.notices.append(notice)
        if self.killed == "after":
            raise Killed

    @property
    def heard(self) -> list[tuple[str, bool]]:
        """Scope of everything that it was told: whether that it began, or that it is over."""
        return [(record.incident.scope, record.is_open) for notice in self.notices for record in notice.records]


@dataclass
class Clock:
    """A clock that somebody turns."""

    now: dt.datetime = START

    def __call__(self) -> dt.datetime:
        return self.now


def teller(*rooms: Room, clock: Clock | None = None) -> Teller:
    return Teller(rooms, "s3://lake", clock=clock or Clock())


def tell(by: Teller, store: ObjectStore, *scopes: str) -> telling.Told:
    return by.tell(store, [incident(scope) for scope in scopes], {Kind.PROOF_FAILED})


def test_everything_that_is_new_is_one_message_and_told_once(file_store: ObjectStore) -> None:
    room = Room()
    told = tell(teller(room), file_store, "a", "b")
    assert told.delivered == {"room": 2}
    assert tell(teller(room), file_store, "a", "b").delivered == {}
    assert tell(teller(room), file_store, "b").delivered == {"room": 1}
    assert [[(each.incident.scope, each.is_open) for each in notice.records] for notice in room.notices] == [
        [("a", True), ("b", True)],
        [("a", False)],
    ]
    assert [each.incident.scope for each in room.notices[1].standing] == ["b"]
    assert not read_book(file_store).claims


def test_a_channel_that_takes_nothing_stops_no_other_and_is_told_by_the_next_run(file_store: ObjectStore) -> None:
    room, shut = Room(), Room("shut", broken=True)
    told = tell(teller(room, shut), file_store, "a")
    assert (told.delivered, told.undelivered) == ({"room": 1}, {"shut": "closed"})
    shut.broken = False
    assert tell(teller(room, shut), file_store, "a").delivered == {"shut": 1}


def test_without_channels_the_book_is_kept(file_store: ObjectStore) -> None:
    told = tell(teller(), file_store, "a")
    assert [record.incident.scope for record in told.book.open] == ["a"]
    assert [record.incident.scope for record in read_book(file_store).open] == ["a"]


def test_two_runs_at_once_tell_once(file_store: ObjectStore) -> None:
    entered = threading.Event()

    class Slow(Room):
        def send(self, notice: Notice, attempts: Attempts) -> None:
            entered.set()
            assert other_is_done.wait(10)
            super().send(notice, attempts)

    other_is_done = threading.Event()
    slow, quick = Slow(), Room()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tell, teller(slow), file_store, "a")
        assert entered.wait(10)
        assert tell(teller(quick), file_store, "a", "b").delivered == {}
        other_is_done.set()
        assert first.result().delivered == {"room": 2}
    assert quick.notices == []
    assert slow.heard == [("a", True), ("b", True)], "what the other run found is told by the one that has the claim"


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_many_runs_at_once_tell_once(request: pytest.FixtureRequest, kind: str) -> None:
    store: ObjectStore = request.getfixturevalue(f"{kind}_store")
    room = Room()
    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(tell, teller(room), store, *KEYS) for _ in range(6)]:
            future.result()
    assert sorted(room.heard) == [(key, True) for key in KEYS]


def test_what_can_wait_wakes_nobody(file_store: ObjectStore) -> None:
    room, pager = Room(), Room("pager", urgencies=(Urgency.CRITICAL,))
    old = Incident(Kind.QUARANTINE_OLD, "enriched.orders", "", "old")
    for current in ([incident("a"), old], []):
        teller(room, pager).tell(file_store, current, set(Kind))
    assert [scope for scope, _ in room.heard] == ["a", "", "a", ""]
    assert [scope for scope, _ in pager.heard] == ["a", "a"]


@pytest.mark.parametrize("killed", ["before", "after"])
def test_a_killed_run_is_made_up_for_when_its_claim_ends(file_store: ObjectStore, killed: str) -> None:
    clock, room = Clock(), Room(killed=killed)
    with pytest.raises(Killed):
        tell(teller(room, clock=clock), file_store, "a")
    room.killed = ""
    tell(teller(room, clock=clock), file_store, "a")
    assert len(room.heard) == (killed == "after"), "the claim stands"
    clock.now += CLAIM
    tell(teller(room, clock=clock), file_store, "a")
    assert room.heard == [("a", True)] * (1 + (killed == "after"))
    assert len({notice.id for notice in room.notices}) == 1, "whoever takes it twice can see that it is the same"


@dataclass(frozen=True)
class Step:
    """One run: what is wrong when it looks, how much later it is, and what happens to it."""

    wrong: frozenset[str]
    minutes: int
    event: str


STEPS = st.lists(
    st.builds(
        Step,
        st.frozensets(st.sampled_from(KEYS)),
        st.sampled_from([1, 5, 10]),
        st.sampled_from(["", "", "before", "after", "broken", "store_gone"]),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=25)
def test_told_at_least_once_and_once_while_the_note_stands_and_always_when_over(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(Path(folder).as_uri())
        clock, room = Clock(), Room()
        begun: set[tuple[str, dt.datetime]] = set()
        unnoted = 0
        quiet = [Step(frozenset(steps[-1].wrong if steps else ()), 10, ""), Step(frozenset(), 10, ""), Step(frozenset(), 10, "")]
        for step in [*steps, *quiet]:
            clock.now += dt.timedelta(minutes=step.minutes)
            room.killed, room.broken = (step.event if step.event in ("before", "after") else ""), step.event == "broken"
            before = len(room.notices)
            with pytest.MonkeyPatch.context() as patch:
                if step.event == "store_gone":
                    patch.setattr(telling, "note_told", _gone)
                try:
                    tell(teller(room, clock=clock), store, *step.wrong)
                except (Killed, StoreUnavailable):
                    unnoted += sum(len(notice.records) for notice in room.notices[before:])
            book = read_book(store)
            begun |= {(record.incident.scope, record.opened_at) for record in book.records.values()}
        told_of = {(record.incident.scope, record.opened_at) for notice in room.notices for record in notice.records}
        assert begun == told_of, "at least once"
        assert not book.open
        assert not book.owed("room", room.urgencies)
        for key in KEYS:
            heard = [is_open for scope, is_open in room.heard if scope == key]
            assert not heard or heard[-1] is False, "always that it is over"
        said = [(record.incident.scope, record.opened_at, record.is_open) for notice in room.notices for record in notice.records]
        assert len(said) - len(set(said)) <= unnoted, "never twice while the note stands"


def _gone(*_: object, **__: object) -> Book:
    raise StoreUnavailable("gone")


class TestTheLakeIsGone:
    @contextmanager
    def open(self, lake: ShopLake, reason: str = "", kind: type[StoreError] = StoreUnavailable):  # type: ignore[no-untyped-def]
        if reason:
            raise kind(reason, hint="Start it.")
        yield lake.workspace

    def test_it_is_told_once_and_that_it_is_over(self, lake: ShopLake, tmp_path: Path) -> None:
        own, room = Settings(home=tmp_path / "home"), Room()
        for _ in range(2):
            told = tell_everything(own, [room], lambda: self.open(lake, "nobody answers"))
            assert [record.incident.text for record in told.book.open] == ["nobody answers"]
        assert [(each.incident.kind, each.is_open) for notice in room.notices for each in notice.records] == [
            (Kind.LAKE_GONE, True)
        ]
        for _ in range(2):
            tell_everything(own, [room], lambda: self.open(lake))
        assert [(each.incident.kind, each.is_open) for notice in room.notices[1:] for each in notice.records] == [
            (Kind.LAKE_GONE, False)
        ]

    def test_one_that_is_there_and_cannot_be_looked_at_is_not_gone(self, lake: ShopLake, tmp_path: Path) -> None:
        own, room = Settings(home=tmp_path / "home"), Room()
        full = "There is no room to compute: Out of Memory Error"
        tell_everything(own, [room], lambda: self.open(lake, full, StoreError))
        tell_everything(own, [room], lambda: self.open(lake))
        told = [record for notice in room.notices for record in notice.records]
        assert [(each.incident.kind, each.is_open) for each in told] == [(Kind.UNSEEN, True), (Kind.UNSEEN, False)]
        assert told[0].incident.text.startswith("nothing of it can be looked at: There is no room to compute.")

    def test_a_lake_that_was_never_gone_leaves_nothing_at_home(self, lake: ShopLake, tmp_path: Path) -> None:
        tell_everything(Settings(home=tmp_path / "home"), [Room()], lambda: self.open(lake))
        assert not (tmp_path / "home").exists()


class TestOverHttp:
    """What a real server is sent, from trouble in the lake to its end."""

    def told(self, lake: ShopLake, http: HttpReceiver, home: Path) -> list[tuple[str, str, str, bool]]:
        """Kind, table and scope of what the server was told: whether it began."""
        before = len(http.bodies)
        settings = Settings(home=home, alerts_webhook=SecretStr(http.url))
        told = tell_everything(settings, channels_of(settings), lambda: nullcontext(lake.workspace))
        assert not told.undelivered
        return [
            (each["kind"], each["table"], each["scope"], part == "opened")
            for body in http.bodies[before:]
            for part in ("opened", "over")
            for each in body[part]
        ]

    def test_quarantine_that_is_too_old_until_it_is_emptied(self, http: HttpReceiver, tmp_path: Path) -> None:
        lake = till_lake(tmp_path)
        lake.land(SOURCE, "a.json", text(sale(1), sale(2, amount="-5.00"), "{broken"))
        run_all(lake)
        begun = {("quarantine_old", TABLE, "", True), ("quarantine_old", f"raw.{SOURCE}", "", True)}
        assert set(self.told(lake, http, tmp_path)) == begun
        assert self.told(lake, http, tmp_path) == []
        lake = till_lake(tmp_path, takes_negative=True)
        run_all(lake)
        assert self.told(lake, http, tmp_path) == [("quarantine_old", TABLE, "", False)]

    def test_an_anomaly_until_what_was_missing_has_landed(self, http: HttpReceiver, tmp_path: Path) -> None:
        lake = till_lake(tmp_path)
        last = last_complete_day(dt.datetime.now(dt.UTC))
        land_days(lake, last)
        run_all(lake)
        assert self.told(lake, http, tmp_path) == [("anomaly", TABLE, "", True)]
        assert f"{last}: " in http.bodies[-1]["opened"][0]["text"]
        assert self.told(lake, http, tmp_path) == []
        lines = [sale(90_000 + n, day=last.isoformat()) for n in range(32)]
        lake.land(SOURCE, "late.json", text(*lines), dt.datetime.combine(last + dt.timedelta(days=1), dt.time(2), dt.UTC))
        run_all(lake)
        assert self.told(lake, http, tmp_path) == [("anomaly", TABLE, "", False)]


def test_a_test_message_begins_and_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    room, shut = Room(), Room("shut")
    monkeypatch.setattr(shut, "send", _refuse)
    told = telling.send_test(Settings(), [room, shut])
    assert room.heard == [("", True), ("", False)]
    assert (told.delivered, told.undelivered) == ({"room": 1}, {"shut": "no"})


def _refuse(notice: Notice, attempts: Attempts) -> None:
    raise Undelivered("no")
