"""Change streams made up from a seed, and the ways in which they may land.

Belongs here: random schemas, the events of random lives in them, written as Debezium lines, and their shuffles, splits and
repetitions over files and runs. Does not belong here: what the events mean (`interpreter`).
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Literal, get_args

from interpreter import Event

TABLE = "things"
PLACEHOLDER = "__debezium_unavailable_value"
EPOCH = dt.date(1970, 1, 1)
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
FIRST_DAY = dt.date(2025, 1, 1)
DAYS = 3
STREAMS_OF_A_SCHEMA = 5
"""Consecutive seeds with one schema: declaring a domain takes as long as running it."""
DELETES = 0.2
DUPLICATES = 0.15

Kind = Literal["text", "integer", "decimal", "boolean", "timestamp", "date"]
Lack = Literal["unchanged", "missing"]
Decimals = Literal["number", "text", "base64"]


@dataclass(frozen=True)
class Features:
    """What may occur in a stream, each for itself, so that a failure can be told apart.

    Attributes:
        unchanged: Updates with the placeholder of an unavailable value.
        missing: Updates, and rarely creates, without some columns.
        missing_day: The day is among them.
        moves: Keys change their day; without them, sources say that they do not.
        truncates: The table is emptied.
        ties: A delete and an upsert at one position, in different files.
        transactions: Several changes of one key at one position, in one file.
        unborn: Lives whose first event never lands.
        incremental: Reads of an incremental snapshot, which have no position.
        skewed: The source's clock goes back, and reads of an incremental snapshot are of later than the changes they precede.
        messages: Lines that change no row: tombstones and logical messages.
        steps: What is published is looked at after each run, and not only at the end.
    """

    unchanged: bool = True
    missing: bool = True
    missing_day: bool = True
    moves: bool = True
    truncates: bool = True
    ties: bool = True
    transactions: bool = True
    unborn: bool = True
    incremental: bool = True
    skewed: bool = True
    messages: bool = True
    steps: bool = True


ALL = Features()
PLAIN = Features(*(False,) * len(fields(Features)))


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes:
        name: Its name.
        kind: Its type.
        lacks: How updates leave it out, if they do.
    """

    name: str
    kind: Kind
    lacks: Lack | None = None


@dataclass(frozen=True)
class Schema:
    """A source and what its two tables take of it.

    Attributes:
        key: The key's columns.
        fields: The other columns; the day, if there is one, is the first.
        is_daily: Whether the source is cut by that day.
        is_fixed: Whether it says that the day of a key never changes.
        decimals: How decimals are written.
        tracked: The columns of the history table, beside the key.
        latest_is_daily: Whether its latest table is cut too.
        history_is_daily: Whether its history table is.
        day_from: The column that the latest table takes its day from: the event's own, or the one that Assay adds.
    """

    key: tuple[Field, ...]
    fields: tuple[Field, ...]
    is_daily: bool
    tracked: tuple[str, ...]
    latest_is_daily: bool = False
    history_is_daily: bool = False
    day_from: str | None = None
    is_fixed: bool = False
    decimals: Decimals = "number"

    @property
    def columns(self) -> tuple[Field, ...]:
        """All of them."""
        return self.key + self.fields

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    @property
    def day(self) -> str | None:
        """The column that says the day."""
        return self.fields[0].name if self.is_daily else None


@dataclass(frozen=True)
class Unit:
    """Events that land together, one after the other, as one transaction does.

    Attributes:
        events: The events.
        tie: Units of one tie tell different ends of one position, and so land in different files.
    """

    events: tuple[Event, ...]
    tie: int | None = None


@dataclass(frozen=True)
class Stream:
    """A source's schema and everything that is to land.

    Attributes:
        schema: The schema.
        units: Its events.
        has_messages: Whether lines that change no row land with them.
    """

    schema: Schema
    units: tuple[Unit, ...]
    has_messages: bool = False


@dataclass(frozen=True)
class File:
    """A landing object.

    Attributes:
        name: Its name below the source's folder.
        records: Its lines, each with the event that it tells, if it tells one.
        at: When it was written.
    """

    name: str
    records: tuple[tuple[str, Event | None], ...]
    at: dt.datetime

    @property
    def events(self) -> tuple[Event, ...]:
        """What it tells, each with its place."""
        return tuple(event for _, event in self.records if event is not None)

    @property
    def content(self) -> bytes:
        """Its bytes."""
        text = "".join(f"{line}\n" for line, _ in self.records).encode()
        return gzip.compress(text, mtime=0) if self.name.endswith(".gz") else text


Delivery = tuple[tuple[File, ...], ...]
"""The files of each run."""


def make_schema(rng: random.Random, features: Features) -> Schema:
    """Make up a source."""
    # Producers' names are not all in lower case.
    style = rng.choice(("{}_{}", "{}_{}", "{}No{}"))
    key = tuple(Field(style.format("key", place), rng.choice(("text", "integer"))) for place in range(rng.choice((1, 1, 2))))
    is_daily = rng.random() < 0.5
    kinds: tuple[Kind, ...] = ("text", "text", "text", "integer", "decimal", "boolean", "timestamp", "date")
    chosen = rng.choices(kinds, k=rng.randrange(1, 5))
    fields = [_field(rng, features, style.format(kind, place), kind) for place, kind in enumerate(chosen)]
    if is_daily:
        day: Kind = rng.choice(("text", "date"))
        lacks = features.missing_day and rng.random() < 0.5
        name = style.format("day", "")
        fields.insert(0, _field(rng, features, name, day) if lacks else Field(name, day))
    names = [column.name for column in fields]
    is_cut = rng.random() < 0.7
    tracked = [name for name in names if rng.random() < 0.6 or (is_daily and is_cut and name == names[0])] or names[:1]
    return Schema(
        key=key,
        fields=tuple(fields),
        is_daily=is_daily,
        tracked=tuple(tracked),
        latest_is_daily=is_daily and rng.random() < 0.8,
        history_is_daily=is_daily and is_cut,
        day_from=rng.choice((names[0], "folder")) if is_daily else None,
        is_fixed=is_daily and (rng.random() < 0.2 or not features.moves),
        decimals=rng.choice(get_args(Decimals)),
    )


def _field(rng: random.Random, features: Features, name: str, kind: Kind) -> Field:
    lacks: list[Lack | None] = [None]
    if features.unchanged and kind == "text":
        lacks.append("unchanged")
    if features.missing:
        lacks.append("missing")
    return Field(name, kind, rng.choice(lacks))


def make_stream(seed: int, features: Features = ALL) -> Stream:
    """Make up a stream.

    Args:
        seed: The same seed gives the same stream.
        features: What may occur.
    """
    schema = make_schema(random.Random(seed // STREAMS_OF_A_SCHEMA), features)
    rng = random.Random(seed)
    lives = _Lives(rng, schema, features, keys=rng.randrange(1, 6))
    return Stream(schema, tuple(lives.live(events=rng.randrange(4, 25))), features.messages and rng.random() < 0.2)


@dataclass
class _Lives:
    """The lives of some keys, one change after the other."""

    rng: random.Random
    schema: Schema
    features: Features
    keys: int
    commit: int = 0
    clock: dt.datetime = START
    now: dt.datetime = START
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)
    ties: int = 0

    def live(self, events: int) -> list[Unit]:
        self.commit = self.rng.choice((1, 90, 995, 99_999_990))
        names = self._key_names()
        self._snapshot(names)
        for _ in range(events):
            self._advance()
            chance = self.rng.random()
            if chance < 0.03:
                self._read_again()
            elif chance < 0.06 and self.features.truncates:
                self._truncate()
            else:
                self._change(self.rng.choice(names), names)
        return self.units

    def _key_names(self) -> list[tuple[Any, ...]]:
        # Numbers of different lengths, and texts that differ in what a careless comparison drops.
        values = {"integer": (9, 10, 100, -1, 0, 2), "text": ("a", "A", "a ", "9", "10", "é'\"")}
        return [tuple(values[part.kind][(place + n) % 6] for n, part in enumerate(self.schema.key)) for place in range(self.keys)]

    def _advance(self) -> None:
        self.commit += self.rng.choice((1, 1, 5, 20))
        # Two transactions may be of one instant.
        self.clock += dt.timedelta(seconds=self.rng.choice((0, 1, 1, 60, 4000)))
        slow = self.features.skewed and self.rng.random() < 0.1
        self.now = self.clock - dt.timedelta(seconds=self.rng.choice((1, 61, 9000))) if slow else self.clock

    def _snapshot(self, names: list[tuple[Any, ...]]) -> None:
        for key in names:
            chance = self.rng.random()
            if chance < 0.3:
                self.rows[key] = self._values(key)
                self._add(self._event("r", key, (self.commit, self.commit), self.rows[key]))
            elif chance < 0.4 and self.features.incremental:
                # It was read while the stream ran: what it says is older than anything the stream says.
                self.rows[key] = self._values(key)
                read = self._event("r", key, (0, 0), self.rows[key])
                late = dt.timedelta(seconds=self.rng.randrange(20_000) if self.features.skewed else 0)
                self._add(replace(read, at=read.at + late))

    def _read_again(self) -> None:
        """Take the initial snapshot once more, as a connector does that has lost its offsets: all rows have one position."""
        for key, values in self.rows.items():
            self._add(self._event("r", key, (self.commit, self.commit), values))

    def _truncate(self) -> None:
        self.rows.clear()
        self._add(Event("t", (), self._position(), self.now))

    def _change(self, key: tuple[Any, ...], names: list[tuple[Any, ...]]) -> None:
        chance = self.rng.random()
        if key not in self.rows:
            self._create(key)
        elif chance < DELETES:
            self._add(self._event("d", key, self._position(), self.rows.pop(key)))
        elif chance < DELETES + 0.08:
            self._rename(key, self.rng.choice(names))
        elif chance < DELETES + 0.12 and self.features.transactions:
            self._transaction(key)
        elif chance < DELETES + 0.16 and self.features.ties:
            self._tie(key)
        else:
            self._update(key)

    def _create(self, key: tuple[Any, ...]) -> None:
        values = self._values(key)
        lacking = [column.name for column in self.schema.fields if column.lacks == "missing" and column.name != self.schema.day]
        missing = frozenset(name for name in lacking if self.rng.random() < 0.2)
        self.rows[key] = values | dict.fromkeys(missing)
        event = self._event("c", key, self._position(), values)
        if not (self.features.unborn and self.rng.random() < 0.1):
            self._add(replace(event, missing=missing))

    def _update(self, key: tuple[Any, ...]) -> None:
        new = self._values(key)
        old = self.rows[key]
        left_out: dict[Lack, set[str]] = {"unchanged": set(), "missing": set()}
        for column in self.schema.fields:
            if column.lacks and self.rng.random() < 0.6:
                left_out[column.lacks].add(column.name)
                new[column.name] = old[column.name]
            elif self.rng.random() < 0.4:
                new[column.name] = old[column.name]
        self.rows[key] = new
        event = self._event("u", key, self._position(), new)
        self._add(replace(event, unchanged=frozenset(left_out["unchanged"]), missing=frozenset(left_out["missing"])))

    def _rename(self, key: tuple[Any, ...], to: tuple[Any, ...]) -> None:
        """Change a key: the old one is deleted and the new one created, at one position."""
        position, old = self._position(), self.rows.pop(key)
        self._add(self._event("d", key, position, old))
        if to != key:
            self.rows[to] = self._values(to, old)
            self._add(self._event("c", to, position, self.rows[to]))

    def _transaction(self, key: tuple[Any, ...]) -> None:
        """Several changes of one key whose position is one: only their lines tell them apart."""
        position = self._position()
        events = []
        for op in self.rng.choice(("dc", "cdc", "uu", "ud", "dcd")):
            self.rows[key] = self.rows[key] if op == "d" else self._values(key)
            events.append(self._event(op, key, position, self.rows[key]))
        if events[-1].op == "d":
            self.rows.pop(key)
        self._add(*events)

    def _tie(self, key: tuple[Any, ...]) -> None:
        """A delete and an update at one position, of which nothing says which came first."""
        position = self._position()
        self.ties += 1
        self._add(self._event("u", key, position, self._values(key)), tie=self.ties)
        self._add(self._event("d", key, position, self.rows.pop(key)), tie=self.ties)

    def _add(self, *events: Event, tie: int | None = None) -> None:
        self.units.append(Unit(events, tie))

    def _position(self) -> tuple[int, int]:
        # Transactions commit in another order than they begin.
        return self.commit, self.commit - self.rng.randrange(min(self.commit, 40))

    def _event(self, op: str, key: tuple[Any, ...], position: tuple[int, int], values: Mapping[str, Any]) -> Event:
        return Event(op, key, position, self.now, dict(values))

    def _values(self, key: tuple[Any, ...], like: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make up a row, or give a row another key."""
        values = dict(like) if like else {column.name: self._value(column) for column in self.schema.fields}
        values |= {column.name: value for column, value in zip(self.schema.key, key, strict=True)}
        if self.schema.day and self.schema.is_fixed:
            day = FIRST_DAY + dt.timedelta(days=zlib.crc32(repr(key).encode()) % DAYS)
            values[self.schema.day] = day.isoformat() if self.schema.fields[0].kind == "text" else day
        return values

    def _value(self, column: Field) -> Any:
        rng = self.rng
        day = FIRST_DAY + dt.timedelta(days=rng.randrange(DAYS))
        if column.name == self.schema.day:
            return day.isoformat() if column.kind == "text" else day
        if rng.random() < 0.15:
            return None
        match column.kind:
            case "text":
                return rng.choice(("", "x", "y", "null", "NULL", "é\n\"'", "\\", f"{PLACEHOLDER}.", "a" * 40))
            case "integer":
                return rng.choice((0, 1, -5, 2**53 + 1, -(2**62)))
            case "decimal":
                # As a JSON number it passes through a float here, which holds no more digits.
                large = 10**11 + 1 if self.schema.decimals == "number" else 10**17 + 1
                return Decimal(rng.choice((0, 1, -5, 1234567, large))).scaleb(-2)
            case "boolean":
                return rng.random() < 0.5
            case "timestamp":
                return rng.choice(
                    (START, START + dt.timedelta(microseconds=1), dt.datetime(1969, 12, 31, 23, 59, 59, 1000, dt.UTC))
                )
            case "date":
                return rng.choice((day, dt.date(1969, 12, 31), dt.date(2400, 2, 29)))


def make_delivery(stream: Stream, seed: int, most_runs: int = 3) -> Delivery:
    """Shuffle a stream, with repetitions, over files and runs.

    Args:
        stream: The stream.
        seed: The same seed gives the same delivery.
        most_runs: No more runs than this.
    """
    rng = random.Random(seed)
    units = [*stream.units, *(unit for unit in stream.units if rng.random() < DUPLICATES)]
    _mix(units, rng)
    files: list[list[Unit]] = [[] for _ in range(rng.randrange(1, 4))]
    for place, unit in enumerate(units):
        # Neighbours stay together for the most part, as they do where files are written in turn.
        wanted = place * len(files) // len(units) if rng.random() < 0.7 else rng.randrange(len(files))
        fitting = [file for file in (files[wanted], *files) if not _is_torn(file, unit)]
        if not fitting:
            fitting.append([])
            files.append(fitting[0])
        fitting[0].append(unit)
    contents = [file for file in files if file]
    contents += [file for file in contents if rng.random() < 0.2]
    rng.shuffle(contents)
    runs: list[list[File]] = [[] for _ in range(rng.randint(1, most_runs))]
    for number, content in enumerate(contents):
        name = f"{rng.randrange(100):02}/{number}.json{rng.choice(('', '.gz'))}"
        rng.choice(runs).append(_file(name, content, stream, rng))
    return tuple(tuple(run) for run in runs if run)


def _mix(units: list[Unit], rng: random.Random) -> None:
    """Put units in another order: any, or with some of them late."""
    if rng.random() < 0.5:
        rng.shuffle(units)
        return
    places = {id(unit): place for place, unit in enumerate(units)}
    late = {key: place + (rng.randrange(30) if rng.random() < 0.2 else 0) for key, place in places.items()}
    units.sort(key=lambda unit: late[id(unit)])


def _is_torn(file: Sequence[Unit], unit: Unit) -> bool:
    """Whether a file holds another end of a unit's tie."""
    return unit.tie is not None and any(other.tie == unit.tie and other != unit for other in file)


def _file(name: str, units: Sequence[Unit], stream: Stream, rng: random.Random) -> File:
    records: list[tuple[str, Event | None]] = []
    for event in (event for unit in units for event in unit.events):
        records.append((debezium_line(event, stream.schema, rng), replace(event, place=(name, len(records)))))
        if stream.has_messages and event.op == "d" and rng.random() < 0.5:
            records.append(("null", None))
        if stream.has_messages and rng.random() < 0.03:
            records.append((_message(event), None))
    return File(name, tuple(records), dt.datetime(2025, 1, 10, tzinfo=dt.UTC) + dt.timedelta(minutes=rng.randrange(10_000)))


def _message(event: Event) -> str:
    """A logical message, which is written into the log beside the changes of tables."""
    source = {"connector": "postgresql", "lsn": event.position[1], "sequence": json.dumps([None, str(event.position[1])])}
    return json.dumps({"op": "m", "ts_ms": 1735689600000, "source": source, "message": {"prefix": "note", "content": "eA=="}})


def debezium_line(event: Event, schema: Schema, rng: random.Random) -> str:
    """Write an event as Debezium's PostgreSQL connector does, schemas off; chance decides what is of no account."""
    at = int(event.at.timestamp() * 1000)
    commit, position = event.position
    source: dict[str, Any] = {
        "version": "3.6.0.Final",
        "connector": "postgresql",
        "ts_ms": at,
        "schema": "public",
        "table": TABLE,
    }
    if event.position == (0, 0):
        source |= {"snapshot": "incremental", "lsn": None, "sequence": None}
    elif event.op == "r":
        source |= {"snapshot": "true", "lsn": position, "sequence": json.dumps([None, str(position)])}
    else:
        source |= {"snapshot": "false", "lsn": position, "sequence": json.dumps([str(commit), str(position)])}
    told = [column for column in schema.columns if event.op != "t" and column.name not in event.missing]
    image = {
        column.name: PLACEHOLDER if column.name in event.unchanged else wire(event.values[column.name], column, schema)
        for column in told
    }
    key_only = {column.name: image[column.name] for column in schema.key} if image else None
    # What is before a change depends on the table's replica identity; of a delete, the key is always there.
    before = rng.choice((key_only, image)) if event.op == "d" else rng.choice((None, key_only))
    envelope = {
        "before": before if event.op in "ud" else None,
        "after": None if event.op in "dt" else image,
        "source": source,
        "op": event.op,
        "ts_ms": at + rng.randrange(5000),
        "transaction": None,
    }
    return json.dumps(envelope, ensure_ascii=rng.random() < 0.5)


def wire(value: Any, column: Field, schema: Schema) -> Any:
    """Write a value as the connector does."""
    if value is None:
        return None
    match column.kind:
        case "decimal" if schema.decimals == "base64":
            unscaled = int(value.scaleb(2))
            return base64.b64encode(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)).decode()
        case "decimal":
            return str(value) if schema.decimals == "text" else float(value)
        case "timestamp":
            return value.isoformat().replace("+00:00", "Z")
        case "date":
            return (value - EPOCH).days
    return value
