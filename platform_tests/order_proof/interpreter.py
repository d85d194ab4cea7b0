"""The judge: what a change stream means, in a few lines of plain Python.

Belongs here: the meaning of events of one source, told without SQL and without a line of the platform, so that the two can only
agree by both being right. Does not belong here: making streams (`streams`) or running the platform.

The rules: order is the position, compared number by number. At one position of one key, the last line of a landing object stands
for that object, and of different objects a delete wins. Deletes are for ever, so a late older change brings nothing back; a
truncate is a delete of every key at its position. An update that leaves columns out has their last known value since the last
create, read or delete. A row of which a value is not known is held back. A key is where its last known day is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Event:
    """One change, as a landing object tells it.

    Attributes:
        op: c create, u update, d delete, r read, t truncate.
        key: What it is about; of a truncate, nothing.
        position: Where it stands in the source's log.
        at: When the source says it happened.
        values: What it says, the key included; of a delete, the key alone counts.
        unchanged: Columns that it says did not change, without their values.
        missing: Columns that it does not speak of.
        place: Landing object and line.
    """

    op: str
    key: Key
    position: tuple[int, ...]
    at: dt.datetime
    values: Mapping[str, Any] = field(default_factory=dict)
    unchanged: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    place: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class State:
    """What a key was since an event.

    Attributes:
        at: Since when.
        values: Its values; None when it was not there, or not wholly known.
    """

    at: dt.datetime
    values: Mapping[str, Any] | None


@dataclass(frozen=True)
class Interpreter:
    """Reads the events of one source.

    Attributes:
        columns: The source's columns.
        day: The column that says which day a row is of, or None for a source that is not cut. A row whose day is not known
            is held back: it has no place.
    """

    columns: tuple[str, ...]
    day: str | None = None

    def latest(self, events: Collection[Event], columns: Sequence[str]) -> list[Row]:
        """The rows that there are after all events."""
        newest = [states[-1].values for states in self.states(events).values()]
        return sorted((_asked(values, columns) for values in newest if values is not None), key=repr)

    def history(self, events: Collection[Event], columns: Sequence[str]) -> list[Row]:
        """The intervals [start, end) in which the asked columns of each key did not change, with start and end."""
        found = []
        for states in self.states(events).values():
            runs = _coalesced(_lasting(states), columns)
            ends = [run.at for run in runs[1:]]
            for run, end in zip(runs, [*ends, None], strict=True):
                if run.values is not None:
                    found.append((*_asked(run.values, columns), run.at, end))
        return sorted(found, key=repr)

    def states(self, events: Collection[Event]) -> dict[Key, list[State]]:
        """Every state of every key, oldest first."""
        truncates = {event.position: event for event in events if event.op == "t"}
        by_key: dict[Key, list[Event]] = {}
        for event in events:
            if event.op != "t":
                by_key.setdefault(event.key, []).append(event)
        return {
            key: self._life(sorted([*_one_a_position(told), *truncates.values()], key=lambda event: event.position))
            for key, told in by_key.items()
        }

    def _life(self, events: Iterable[Event]) -> list[State]:
        states = []
        known: dict[str, Any] = {}
        for event in events:
            if event.op in "dt":
                known = {}
                states.append(State(event.at, None))
                continue
            if event.op in "cr":
                known = dict.fromkeys(event.missing)
            known |= {name: event.values[name] for name in self.columns if name not in event.missing | event.unchanged}
            is_whole = event.unchanged <= known.keys() and (self.day is None or known.get(self.day) is not None)
            states.append(State(event.at, {name: known.get(name) for name in self.columns} if is_whole else None))
        return states


def _one_a_position(events: Iterable[Event]) -> list[Event]:
    """The event that stands for each position of one key."""
    last: dict[tuple[tuple[int, ...], str], Event] = {}
    for event in sorted(events, key=lambda event: event.place):
        last[event.position, event.place[0]] = event
    chosen: dict[tuple[int, ...], Event] = {}
    for (position, _), event in last.items():
        if position not in chosen or event.op == "d":
            chosen[position] = event
    return list(chosen.values())


def _lasting(states: Sequence[State]) -> list[State]:
    """States that held for some time: one that was replaced at the instant it began, or by a slow clock before it, never held."""
    lasting: list[State] = []
    for state in reversed(states):
        if not lasting or state.at < lasting[-1].at:
            lasting.append(state)
    return lasting[::-1]


def _coalesced(states: Iterable[State], columns: Sequence[str]) -> list[State]:
    """States that differ from the one before in what is asked for."""
    runs: list[State] = []
    before: Row | None = None
    for state in states:
        row = None if state.values is None else _asked(state.values, columns)
        if not runs or row != before:
            runs.append(state)
        before = row
    return runs


def _asked(values: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return tuple(values[name] for name in columns)
