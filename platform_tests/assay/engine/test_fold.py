"""The folds, held against a few lines of plain Python over any order, repetition and tie."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import DOMAIN

from assay.contracts.rules import quote
from assay.engine import fold

CUSTOMERS = DOMAIN.sources["customers"]
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Change:
    """An event of the shop's customers; `copy` tells deliveries of it apart."""

    key: str
    position: tuple[int, ...]
    op: str = "u"
    level: str | None = "basic"
    name: str | None = "Ann"
    at: int = 0
    copy: int = 0

    @property
    def newest_last(self) -> tuple[Any, ...]:
        return self.position, self.op == "d", -self.copy

    def row(self) -> dict[str, Any]:
        deleted = self.op == "d"
        return {
            "customer_id": self.key,
            "name": None if deleted else self.name,
            "level": None if deleted else self.level,
            "_op": self.op,
            "_sequence": list(self.position),
            "_source_timestamp": START + dt.timedelta(hours=self.at),
            "_ingested_at": START + dt.timedelta(days=1, hours=self.copy),
            "_source": "customers",
            "_landing_object": f"landing/{self.copy}",
            "_landing_row": 1,
        }


def by_key(changes: Iterable[Change]) -> dict[str, list[Change]]:
    grouped: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda change: change.newest_last):
        grouped.setdefault(change.key, []).append(change)
    return grouped


def latest_in_python(changes: Iterable[Change]) -> list[tuple[Any, ...]]:
    rows = [events[-1].row() for events in by_key(changes).values()]
    return sorted(((row["customer_id"], row["_op"], row["level"], row["_landing_object"]) for row in rows), key=repr)


def history_in_python(changes: Iterable[Change]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for key, events in by_key(changes).items():
        states = [list(same)[-1] for _, same in itertools.groupby(events, key=lambda change: change.position)]
        lasting = [
            state for state in states if all(state.at < other.at for other in states if other.newest_last > state.newest_last)
        ]
        kept: list[Change] = []
        for state in lasting:
            now = (state.op == "d", state.row()["level"])
            if not kept or now != (kept[-1].op == "d", kept[-1].row()["level"]):
                kept.append(state)
        starts = [state.row()["_source_timestamp"] for state in kept]
        for state, start, end in zip(kept, starts, [*starts[1:], None], strict=True):
            rows.append((key, state.row()["level"], state.op == "d", start, end, end is None))
    return sorted(rows, key=repr)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    """One engine for all examples."""
    opened = duckdb.connect(config={"threads": 1})
    opened.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f"{quote(name)} {kind}" for name, kind in CUSTOMERS.types.items())
    opened.execute(f"CREATE TABLE events ({columns})")
    return opened


def folded(connection: duckdb.DuckDBPyConnection, changes: Iterable[Change], query: str) -> list[tuple[Any, ...]]:
    connection.execute("DELETE FROM events")
    for change in changes:
        row = change.row()
        names = ", ".join(quote(name) for name in row)
        connection.execute(f"INSERT INTO events ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return sorted(connection.execute(query).fetchall(), key=repr)


LATEST = fold.latest("events", CUSTOMERS.key, ["customer_id", "_op", "level", "_landing_object"])
HISTORY = (
    "SELECT customer_id, level, _op = 'd', valid_from, valid_to, is_current FROM "
    f"({fold.history('events', CUSTOMERS.key, ['customer_id', 'level', '_op', 'valid_from'], ['level'])})"
)

POSITIONS = st.sampled_from([(1, 9), (1, 10), (2, 1), (9,), (10, 0), (10,)])
CHANGES = st.lists(
    st.builds(
        Change,
        key=st.sampled_from("ab"),
        position=POSITIONS,
        op=st.sampled_from("cuudr"),
        level=st.sampled_from(["basic", "gold", None]),
        name=st.sampled_from(["Ann", "Bo"]),
        at=st.integers(0, 3),
    ),
    max_size=8,
).map(lambda changes: [replace(change, copy=place) for place, change in enumerate(changes)])


@settings(max_examples=80)
@given(CHANGES, st.randoms(use_true_random=False))
def test_latest_is_the_newest_of_each_key_in_whatever_order_events_come(connection, changes, chance) -> None:
    mixed = [*changes, *changes[:2]]
    chance.shuffle(mixed)
    assert folded(connection, mixed, LATEST) == latest_in_python(changes)


@settings(max_examples=80)
@given(CHANGES, st.randoms(use_true_random=False))
def test_history_is_the_intervals_of_each_key_in_whatever_order_events_come(connection, changes, chance) -> None:
    mixed = [*changes, *changes[:2]]
    chance.shuffle(mixed)
    assert folded(connection, mixed, HISTORY) == history_in_python(changes)


def test_positions_are_compared_number_by_number(connection) -> None:
    changes = [Change("a", (9, 99), level="old"), Change("a", (10, 1), level="new")]
    assert folded(connection, changes, LATEST)[0][2] == "new"


def test_a_delete_wins_a_tie(connection) -> None:
    for changes in itertools.permutations([Change("a", (1,)), Change("a", (1,), op="d", copy=1)]):
        assert folded(connection, changes, LATEST) == [("a", "d", None, "landing/1")]


def test_of_two_copies_the_one_landed_first_is_taken(connection) -> None:
    copies = [Change("a", (1,), level="late", copy=5), Change("a", (1,), level="first", copy=2)]
    assert folded(connection, copies, LATEST) == [("a", "u", "first", "landing/2")]


def test_equal_neighbours_are_one_interval_and_a_return_is_a_new_one(connection) -> None:
    levels = ["basic", "basic", "gold", "gold", "basic"]
    changes = [Change("a", (place,), level=level, at=place) for place, level in enumerate(levels)]
    hours = [(row[1], row[3].hour, row[4] and row[4].hour, row[5]) for row in folded(connection, changes, HISTORY)]
    assert sorted(hours, key=lambda row: row[1]) == [("basic", 0, 2, False), ("gold", 2, 4, False), ("basic", 4, None, True)]


def test_a_change_of_a_column_nobody_asked_for_starts_no_interval(connection) -> None:
    changes = [Change("a", (1,), name="Ann"), Change("a", (2,), name="Bo", at=1)]
    assert len(folded(connection, changes, HISTORY)) == 1


def test_a_delete_closes_the_interval_and_a_return_opens_another(connection) -> None:
    changes = [Change("a", (1,), at=1), Change("a", (2,), op="d", at=2), Change("a", (3,), at=3)]
    rows = folded(connection, changes, HISTORY)
    assert sorted((row[3].hour, row[4] and row[4].hour, row[2]) for row in rows) == [
        (1, 2, False),
        (2, 3, True),
        (3, None, False),
    ]


def test_a_state_that_was_replaced_at_the_instant_it_began_never_held(connection) -> None:
    changes = [
        Change("a", (1,), level="gold", at=1),
        Change("a", (2,), level="basic", at=1),
        Change("a", (3,), level="gold", at=2),
    ]
    assert sorted((row[1], row[3].hour) for row in folded(connection, changes, HISTORY)) == [("basic", 1), ("gold", 2)]


def test_a_state_that_began_after_it_ended_by_a_clock_set_back_never_held(connection) -> None:
    changes = [Change("a", (1,), level="gold", at=1), Change("a", (2,), level="basic", at=3), Change("a", (3,), level=None, at=2)]
    assert sorted((row[3].hour, row[4] and row[4].hour, row[1]) for row in folded(connection, changes, HISTORY)) == [
        (1, 2, "gold"),
        (2, None, None),
    ]


def test_of_the_lines_of_one_object_at_one_position_the_last_is_taken(connection) -> None:
    """Some other consumers keep the older row of two with one timestamp."""
    first = Change("a", (1,), level="old")
    folded(connection, [first, replace(first, level="new")], LATEST)
    connection.execute("UPDATE events SET _landing_row = 2 WHERE level = 'new'")
    assert [row[2] for row in connection.execute(LATEST).fetchall()] == ["new"]


def test_an_event_without_a_source_time_holds_since_it_landed(connection) -> None:
    connection.execute("DELETE FROM events")
    connection.execute(
        "INSERT INTO events (customer_id, _op, _sequence, _ingested_at) VALUES ('a', 'c', [1], '2025-02-02 00:00:00+00')"
    )
    assert connection.execute(HISTORY).fetchall()[0][3] == dt.datetime(2025, 2, 2, tzinfo=dt.UTC)
