"""The judge is judged: each rule by a case small enough to see that it is right."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from interpreter import Event, Interpreter

JUDGE = Interpreter(("k", "a", "b"))
COLUMNS = ("k", "a", "b")


def instant(number: int) -> dt.datetime:
    return dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=number)


def event(
    op: str,
    number: int,
    a: Any = None,
    b: Any = None,
    *,
    key: str = "x",
    position: tuple[int, ...] | None = None,
    lacks: str = "",
    missing: str = "",
    place: tuple[str, int] = ("", 0),
) -> Event:
    """An event at an hour, which is its position too if nothing else is said."""
    values = {"k": key, "a": a, "b": b}
    about = () if op == "t" else (key,)
    return Event(op, about, position or (number,), instant(number), values, frozenset(lacks), frozenset(missing), place)


def latest(*events: Event, judge: Interpreter = JUDGE) -> list[tuple[Any, ...]]:
    """The latest rows, the same in any order."""
    (found,) = {tuple(judge.latest(order, COLUMNS)) for order in itertools.permutations(events)}
    return list(found)


def history(*events: Event, columns: tuple[str, ...] = COLUMNS) -> list[tuple[Any, ...]]:
    """The intervals, the same in any order, with hours for times."""
    (found,) = {tuple(JUDGE.history(order, columns)) for order in itertools.permutations(events)}
    hour = dt.timedelta(hours=1)
    return [(*row[:-2], *(None if at is None else (at - instant(0)) // hour for at in row[-2:])) for row in found]


def test_positions_are_numbers() -> None:
    assert latest(event("c", 1, 1, position=(9, 99)), event("u", 2, 2, position=(10, 1))) == [("x", 2, None)]


def test_deletes_are_for_ever() -> None:
    assert latest(event("c", 1), event("u", 2, 5), event("d", 3)) == []


def test_a_key_may_come_back() -> None:
    assert latest(event("c", 1, 1), event("d", 2), event("c", 3, 3)) == [("x", 3, None)]


def test_a_delete_wins_a_tie_of_two_objects() -> None:
    assert latest(event("u", 1, 1, place=("a", 9)), event("d", 1, place=("b", 1))) == []


def test_within_an_object_the_last_line_stands() -> None:
    lines = [event(op, 1, line, place=("a", line)) for line, op in enumerate("cdc")]
    assert latest(*lines) == [("x", 2, None)]


def test_what_is_left_out_has_its_last_known_value() -> None:
    assert latest(event("c", 1, 1, 2), event("u", 2, None, 3, lacks="a"), event("u", 3, 4, missing="b")) == [("x", 4, 3)]


def test_an_explicit_null_is_a_value() -> None:
    assert latest(event("c", 1, 1), event("u", 2, None), event("u", 3, lacks="a")) == [("x", None, None)]


def test_nothing_is_known_from_before_a_delete_create_read_or_truncate() -> None:
    for op in "dcrt":
        between = event(op, 2, missing="b") if op in "cr" else event(op, 2)
        assert latest(event("c", 1, 1, 2), between, event("u", 3, 3, missing="b")) == [("x", 3, None)]


def test_a_row_with_an_unknown_value_is_held_back_until_it_is_known() -> None:
    update = event("u", 2, 1, lacks="b")
    assert latest(update) == []
    assert latest(update, event("c", 1, 7, 8)) == [("x", 1, 8)]
    assert latest(update, event("c", 1, 7, 8), event("d", 1, position=(1, 5))) == []


def test_a_truncate_empties_what_is_before_it_and_nothing_after() -> None:
    events = [event("c", 1, 1), event("c", 1, 1, key="y"), event("t", 2), event("c", 3, 3, key="y")]
    assert latest(*events) == [("y", 3, None)]
    assert history(*events) == [("x", 1, None, 1, 2), ("y", 1, None, 1, 2), ("y", 3, None, 3, None)]


def test_a_row_without_a_day_has_no_place() -> None:
    judge = Interpreter(("k", "a", "b"), day="a")
    assert latest(event("u", 2, None, 1, missing="a"), judge=judge) == []
    assert latest(event("c", 1, 3), event("u", 2, None, 1, missing="a"), judge=judge) == [("x", 3, 1)]


def test_intervals_run_to_the_next_state_and_equal_neighbours_are_one() -> None:
    events = [event("c", 1, 1), event("u", 2, 1, 5), event("u", 3, 2), event("d", 4), event("c", 5, 2)]
    assert history(*events, columns=("k", "a")) == [("x", 1, 1, 3), ("x", 2, 3, 4), ("x", 2, 5, None)]


def test_a_state_that_is_replaced_at_its_instant_never_held() -> None:
    assert history(event("c", 1, 1), event("u", 1, 2, position=(1, 1)), event("u", 2, 1)) == [
        ("x", 1, None, 2, None),
        ("x", 2, None, 1, 2),
    ]


def test_a_clock_that_goes_back_makes_no_interval_that_ends_before_it_begins() -> None:
    events = [event("c", 3, 1, position=(1,)), event("u", 1, 2, position=(2,)), event("u", 2, 3, position=(3,))]
    assert history(*events) == [("x", 2, None, 1, 2), ("x", 3, None, 2, None)]


def test_a_row_that_is_held_back_is_no_interval() -> None:
    assert history(event("u", 1, 1, lacks="b"), event("u", 2, 1, 2)) == [("x", 1, 2, 2, None)]
