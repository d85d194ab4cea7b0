"""Quarantine under whatever comes: no record is lost or told twice, however landings, fixes, replays, edits and drops interleave.

The lake is held against a model that knows of each line only whether it was told, stands in quarantine or was edited.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from change_lines import text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake
from tills import SOURCE, TABLE, replayed, run_all, sale, till_lake

from assay.errors import EditError
from assay.landing.upkeep.compaction import compact
from assay.pipeline.dropping import Dropped, write_drop
from assay.pipeline.editing import edit_records
from assay.pipeline.quarantined import Record, Selection, records
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.quality.books import from_dict

RAW = f"raw.{SOURCE}"
DAYS = ("2025-01-03", "2025-01-04")
Place = tuple[str, int]


@dataclass(frozen=True)
class Line:
    """What a till sent, or what somebody made of it."""

    id: int
    position: tuple[int, ...]
    op: str
    amount: str
    day: str
    is_broken: bool = False

    def is_read(self, reads_commas: bool) -> bool:
        return not self.is_broken and (reads_commas or self.op == "d" or "," not in self.amount)

    @property
    def written(self) -> str:
        return "{broken" if self.is_broken else sale(self.id, self.position[0], op=self.op, amount=self.amount, day=self.day)

    @property
    def paid(self) -> Decimal:
        return Decimal(self.amount.replace(",", "."))


@dataclass
class Model:
    """What the lake should hold."""

    reads_commas: bool = False
    takes_negative: bool = False
    landed: dict[Place, Line] = field(default_factory=dict)
    waiting: dict[Place, Line] = field(default_factory=dict)
    edits: dict[Place, tuple[Line, Place | None]] = field(default_factory=dict)
    told: dict[Place, Line] = field(default_factory=dict)
    standing: dict[Place, Line] = field(default_factory=dict)
    dropped: set[Place] = field(default_factory=set)

    def run(self, replaying: bool) -> None:
        for place, line in self.waiting.items():
            (self.told if line.is_read(self.reads_commas) else self.standing)[place] = line
        self.waiting.clear()
        for place, (line, replaced) in self.edits.items():
            if replaced is not None and self.standing.pop(replaced, None) is None:
                self.standing[place] = replace(line, is_broken=True)
            else:
                self.told[place] = line
        self.edits.clear()
        if replaying:
            for place, line in list(self.standing.items()):
                if place not in self.dropped and line.is_read(self.reads_commas):
                    self.told[place] = self.standing.pop(place)

    def rows(self) -> tuple[set[tuple[int, Decimal, str]], set[int]]:
        """The rows that are published, and the ids of those that are refused."""
        newest: dict[int, Line] = {}
        for line in self.told.values():
            if line.id not in newest or newest[line.id].position < line.position:
                newest[line.id] = line
        alive = [line for line in newest.values() if line.op != "d"]
        good = [line for line in alive if self.takes_negative or line.paid >= 0]
        return {(each.id, each.paid, each.day) for each in good}, {each.id for each in alive} - {each.id for each in good}


class Played:
    """A lake and its model, to which the same is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = Model()
        self.lake = till_lake(folder)
        self.positions: Iterator[int] = iter(range(1, 10_000))
        self.files = 0
        self.created: set[int] = set()

    def land(self, lines: list[tuple[int, str, str, int, bool]]) -> None:
        self.files += 1
        # With one that fits, the others are mistakes and no change of the column's type, which would hold the object back.
        fits = (100 + self.files, "c", "1.00", 0, False)
        sent = [
            Line(id, (position, position), self.reported(id, op), amount, DAYS[day], broken)
            for (id, op, amount, day, broken), position in zip([fits, *lines], self.positions, strict=False)
        ]
        key = self.lake.land(SOURCE, f"{self.files}.json", text(*(line.written for line in sent)))
        self.model.waiting |= {(key, number): line for number, line in enumerate(sent, 1)}
        self.model.landed |= {(key, number): line for number, line in enumerate(sent, 1)}

    def reported(self, id: int, op: str) -> str:
        """An operation as a database reports it: a row that is there is not created again, perhaps on another day."""
        if op != "c":
            return op
        is_there = id in self.created
        self.created.add(id)
        return "u" if is_there else "c"

    def run(self, replaying: bool) -> None:
        before = {name: len(self.stands(name)) for name in (RAW, TABLE)}
        self.model.run(replaying)
        if replaying:
            told = {result.table: result for result in replayed(self.lake)}
            assert {name: told[name].before for name in before} == before
            after = {name: told[name].stay + told[name].added for name in before}
            assert after == {name: len(self.stands(name)) for name in before}
        else:
            run_all(self.lake)
        self.require_same()

    def contract(self, reads_commas: bool, takes_negative: bool) -> None:
        # A source that no longer reads commas would still have events with them.
        self.model.reads_commas |= reads_commas
        self.model.takes_negative = takes_negative
        self.lake = till_lake(self.folder, reads_commas=self.model.reads_commas, takes_negative=takes_negative)

    def stands(self, name: str) -> list[Record]:
        with self.lake.connection() as connection:
            return records(connection, State(self.lake.workspace), self.lake.workspace.domain.find(name), Selection(dropped=True))

    def edit(self, name: str, number: int, values: dict[str, str]) -> None:
        found = self.stands(name)
        if not found:
            return
        record = found[number % len(found)]
        assert record.object is not None and record.line is not None
        before = {**self.model.told, **self.model.standing}[record.object, record.line]
        after = replace(before, position=(*before.position, 0), is_broken=False, **values)
        change: dict[str, Any] = {"table": name, "id": record.id}
        if name == RAW and before.is_broken:
            change["record"] = replace(after, position=before.position).written
        else:
            change["set"] = values
        known = self.lake.etags(f"landing/{SOURCE}/_edits/").keys()
        with self.lake.connection() as connection:
            try:
                edit_records(connection, State(self.lake.workspace), json.dumps([change]), "ann", "fuzz")
            except EditError as error:
                # It was edited before, in another way, and that has not been ingested; or it is an edit that came too late.
                assert (
                    "was edited by ann" in str(error) or "_edits/" in record.object or not after.is_read(self.model.reads_commas)
                )
                return
        for key in self.lake.etags(f"landing/{SOURCE}/_edits/").keys() - known:
            replaced = (record.object, record.line) if name == RAW else None
            self.model.edits[key, 1] = (replace(after, op="u") if name == TABLE else after, replaced)

    def drop(self, name: str, number: int) -> None:
        if found := self.stands(name):
            record = found[number % len(found)]
            write_drop(self.lake.store, name, [Dropped(record.id, record.object, record.line)], "ann", "fuzz")
            if name == RAW:
                assert record.object is not None and record.line is not None
                self.model.dropped.add((record.object, record.line))

    def compact(self) -> None:
        with self.lake.connection() as connection, mock.patch("assay.landing.upkeep.compaction.AT_LEAST", 1):
            compact(self.lake.store, connection, self.lake.source(SOURCE), self.lake.workspace.scratch)

    def require_same(self) -> None:
        assert told_places(self.lake) == sorted(self.model.told)
        assert sorted((str(each.object), int(each.line or 0)) for each in self.stands(RAW)) == sorted(self.model.standing)
        published, refused = self.model.rows()
        found = self.lake.rows(f"SELECT id, amount, day::VARCHAR FROM {TABLE}")
        assert (set(found), len(found)) == (published, len(published))
        assert sorted(int(json.loads(each.record or "")["id"]) for each in self.stands(TABLE)) == sorted(refused)
        state = State(self.lake.workspace)
        books = source_books(state.ledger(SOURCE))
        assert books.balanced
        assert (books.rows.quarantined, books.rows.received) == (
            len(self.model.standing),
            len(self.model.standing) + len(self.model.told) + sum(batch.copies for batch in state.ledger(SOURCE).batches),
        )
        for name in self.lake.workspace.project.nodes:
            assert all(from_dict(entry.books).balanced for entry in state.index(name).values())


LINES = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from(["c", "u", "u", "d"]),
        st.sampled_from(["1.00", "2,50", "-3.00", "-4,00"]),
        st.integers(0, 1),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=5,
)
VALUES = st.sampled_from([{"amount": "9.00"}, {"amount": "-9.00"}, {"amount": "8.00", "day": DAYS[1]}])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("land"), LINES),
        st.tuples(st.just("run"), st.booleans()),
        st.tuples(st.just("contract"), st.booleans(), st.booleans()),
        st.tuples(st.just("edit"), st.sampled_from([RAW, TABLE]), st.integers(0, 9), VALUES),
        st.tuples(st.just("drop"), st.sampled_from([RAW, TABLE]), st.integers(0, 9)),
        st.tuples(st.just("compact")),
    ),
    min_size=4,
    max_size=12,
)


def play(first: list[Any], steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        played = Played(Path(folder))
        played.land(first)
        played.run(False)
        for name, *arguments in steps:
            getattr(played, name)(*arguments)
        played.run(True)
        played.contract(True, True)
        played.run(True)
        assert played.model.landed.keys() <= played.model.told.keys() | played.model.standing.keys() | edited(played.lake)


def told_places(lake: ShopLake) -> list[Place]:
    """Object and line of every event that was read, as often as it was; copies are left out."""
    ledger = lake.ledger(SOURCE)
    parts = [part for batch in ledger.batches if not batch.covers for part in batch.parts]
    if not parts:
        return []
    paths = sorted({lake.store.path(ledger.object_of(part)) for part in parts})
    with lake.connection() as connection:
        return connection.execute(f"SELECT _landing_object, _landing_row FROM read_parquet({paths}) ORDER BY ALL").fetchall()


def edited(lake: ShopLake) -> set[Place]:
    return {(each.key, each.row) for each in lake.ledger(SOURCE).edited}


@settings(
    max_examples=3,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(LINES, STEPS)
def test_no_record_is_lost_or_told_twice(first: list[Any], steps: list[tuple[Any, ...]]) -> None:
    play(first, steps)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(LINES, STEPS)
def test_no_record_is_lost_or_told_twice_in_many_ways(first: list[Any], steps: list[tuple[Any, ...]]) -> None:
    play(first, steps)
