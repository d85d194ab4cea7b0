"""What events mean, from landing objects to published tables: the same in any order, split and repetition."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
from declared import domain_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake
from told import Told, readable, tell

from assay.contracts import Daily, Date, Domain, Event, Money, Published, Timestamp, column, source, table
from assay.contracts.model import RUN_COLUMNS
from assay.lake.ledger import LedgerLog
from assay.landing.upkeep import compaction
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.quality.books import Books, from_dict, total

MONDAY, TUESDAY, FRIDAY = "2025-01-06", "2025-01-07", "2025-01-10"
ORIGIN = "_ingested_at AS ingestion_timestamp, _source AS data_source"


@pytest.fixture(autouse=True, scope="module")
def told() -> Iterator[None]:
    """The records of these tests can be read."""
    with readable():
        yield


@cache
def domain(folder: Path) -> Domain:
    """A source that is cut by day and one that is not, and the tables that are made of them."""
    own = {"owner": "team:x", "subject": "x"}

    @source("things", format=Told(), key=("id",), partition=Daily("folder", of="day"), money="amount", **own)
    class Things(Event):
        """Things."""

        id: str = column("Key")
        note: str = column("Text", nullable=True)
        amount: Money = column("Amount", nullable=True)
        day: Date = column("Day", nullable=True)

    @source("people", format=Told(), key=("id",), **own)
    class People(Event):
        """People."""

        id: str = column("Key")
        name: str = column("Text")
        city: str = column("Text", nullable=True)

    @table("things", layer="enriched", key=("id",), partition=Daily("day"), money="amount", **own)
    class LatestThings(Published):
        """Latest, by day."""

        id: str = column("Key")
        note: str = column("Text", nullable=True)
        amount: Money = column("Amount", nullable=True)
        day: Date = column("Day")

    @table("spans", layer="enriched", key=("id", "valid_from"), partition=Daily("day"), **own)
    class Spans(Published):
        """History, by day."""

        id: str = column("Key")
        note: str = column("Text", nullable=True)
        day: Date = column("Day")
        valid_from: Timestamp = column("Since")
        valid_to: Timestamp = column("Until", nullable=True)

    @table("all_things", layer="enriched", key=("id",), money="amount", **own)
    class AllThings(Published):
        """Latest, as a whole."""

        id: str = column("Key")
        amount: Money = column("Amount", nullable=True)

    @table("people", layer="enriched", key=("id",), **own)
    class LatestPeople(Published):
        """Latest of a source that is not cut."""

        id: str = column("Key")
        name: str = column("Text")
        city: str = column("Text", nullable=True)

    sql = {
        "enriched.things": f"SELECT id, note, amount, folder AS day, {ORIGIN} FROM latest.things",
        "enriched.spans": f"SELECT id, note, folder AS day, valid_from, valid_to, {ORIGIN} FROM history.things",
        "enriched.all_things": f"SELECT id, amount, {ORIGIN} FROM latest.things",
        "enriched.people": f"SELECT id, name, city, {ORIGIN} FROM latest.people",
    }
    return domain_of(folder, [Things, People, LatestThings, Spans, AllThings, LatestPeople], sql)


@pytest.fixture(scope="session")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """The domain, read once."""
    return domain(tmp_path_factory.mktemp("sql"))


@pytest.fixture
def lake(tmp_path: Path, declared: Domain) -> ShopLake:
    """An empty lake."""
    return ShopLake(tmp_path, declared)


def land(lake: ShopLake, name: str, *lines: str, of: str = "things") -> None:
    lake.land(of, name, "".join(f"{line}\n" for line in lines).encode())


def run(lake: ShopLake, *lines: str, of: str = "things", name: str | None = None) -> None:
    """Land lines in one object, and run."""
    land(lake, name or f"{len(lake.ledger(of).batches)}.json", *lines, of=of)
    lake.run()
    require_balance(lake)


def books(lake: ShopLake, name: str) -> Books:
    return total(from_dict(entry.books) for entry in State(lake.workspace).index(name).values())


def require_balance(lake: ShopLake) -> None:
    for name in lake.workspace.domain.sources:
        assert source_books(LedgerLog(lake.store, name).read()).balanced
    for name in lake.workspace.domain.tables:
        assert books(lake, name).balanced, name


def things(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, note, amount::VARCHAR, day::VARCHAR FROM enriched.things ORDER BY ALL")


def thing(op: str, position: Any, key: str = "a", day: str | None = MONDAY, amount: str | None = "1.00", **more: Any) -> str:
    return tell(op, position, id=key, **({"day": day} if day else {}), **({"amount": amount} if amount else {}), **more)


def tables(lake: ShopLake) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is published, without what names the landing."""
    return {
        name: lake.rows(f"SELECT * EXCLUDE ({', '.join(['ingestion_timestamp', *RUN_COLUMNS])}) FROM {name} ORDER BY ALL")
        for name in lake.workspace.domain.tables
    }


class TestNamedBugs:
    """Each is a bug that some consumer of change events had."""

    def test_bug_3_insert_and_delete_in_one_batch(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1), tell("d", 2, id="a"))
        assert things(lake) == []

    def test_bug_8_create_delete_create_in_one_transaction_keeps_the_last(self, lake: ShopLake) -> None:
        run(lake, thing("c", [7, 1], note="old"), tell("d", [7, 1], id="a"), thing("c", [7, 1], note="new"))
        assert things(lake) == [("a", "new", "1.00", MONDAY)]
        assert lake.rows("SELECT _op, _sequence FROM changes.things ORDER BY _sequence") == [
            ("c", [7, 1]),
            ("d", [7, 1, 1]),
            ("c", [7, 1, 2]),
        ]

    def test_bug_9_a_snapshot_read_does_not_beat_the_stream(self, lake: ShopLake) -> None:
        run(lake, thing("c", [5, 5], note="stream"))
        run(lake, thing("r", [4, 4], note="snapshot"), thing("r", [0, 9], note="incremental snapshot"))
        assert things(lake) == [("a", "stream", "1.00", MONDAY)]

    def test_bug_10_a_placeholder_is_neither_data_nor_null(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1, note="kept"))
        run(lake, thing("u", 2, amount="2.00", unchanged=["note"]))
        assert things(lake) == [("a", "kept", "2.00", MONDAY)]

    def test_bug_11_events_of_one_position_are_not_deduplicated_away(self, lake: ShopLake) -> None:
        run(lake, thing("c", [7, 7], "a"), thing("c", [7, 7], "b"))
        run(lake, thing("c", [7, 7], "c"))
        assert [row[0] for row in things(lake)] == ["a", "b", "c"]

    @pytest.mark.parametrize("one_object", [True, False])
    def test_bug_12_the_create_of_a_key_change_is_kept(self, lake: ShopLake, one_object: bool) -> None:
        lines = [thing("c", 1, "old"), tell("d", 2, id="old"), thing("c", 2, "new")]
        for group in [lines] if one_object else [[line] for line in reversed(lines)]:
            run(lake, *group)
        assert [row[0] for row in things(lake)] == ["new"]

    def test_bug_13_a_snapshot_in_mid_stream_repeats_nothing(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1, note="x"), thing("c", 2, "b"), tell("d", 3, id="b"))
        before = tables(lake)
        run(lake, thing("r", 4, note="x"))
        assert tables(lake) == before

    def test_bug_17_an_explicit_null_is_not_replaced(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1, note="was"), thing("u", 2, note=None), thing("u", 3, unchanged=["note"]))
        assert things(lake) == [("a", None, "1.00", MONDAY)]


class TestDays:
    def test_an_update_without_its_day_finds_it(self, lake: ShopLake) -> None:
        run(lake, tell("u", 2, missing=["day", "note"], id="a", amount="9.00"))
        assert things(lake) == []
        run(lake, thing("c", 1, note="n"))
        assert things(lake) == [("a", "n", "9.00", MONDAY)]

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_a_key_is_where_its_newest_event_says_and_nowhere_else(self, lake: ShopLake, order: Sequence[int]) -> None:
        lines = [thing("c", 1), thing("u", 2, day=TUESDAY), tell("u", 3, missing=["day"], id="a", amount="5.00")]
        for place in order:
            run(lake, lines[place])
        assert things(lake) == [("a", None, "5.00", TUESDAY)]
        assert lake.rows("SELECT id, amount::VARCHAR FROM enriched.all_things") == [("a", "5.00")]
        spans = lake.rows("SELECT day::VARCHAR, epoch(valid_to) - epoch(valid_from) FROM enriched.spans ORDER BY ALL")
        assert spans == [(MONDAY, 1.0), (TUESDAY, None)]

    def test_a_day_that_is_wrong_is_refused_and_one_that_is_left_out_is_not(self, lake: ShopLake) -> None:
        run(lake, thing("u", 1, day="never"), tell("u", 2, unchanged=["day"], id="a"))
        assert [reason for _, _, reason in lake.refused("things")] == ["day is 'never', which is no DATE"]

    def test_money_of_a_key_that_moved_is_published_once(self, lake: ShopLake) -> None:
        run(
            lake,
            thing("c", 1, amount="10.00"),
            thing("u", 2, day=TUESDAY, amount="12.00"),
            thing("u", 3, day=FRIDAY, amount="15.00"),
        )
        money = books(lake, "enriched.things").money
        assert (money.received, money.published, money.superseded) == (Decimal(37), Decimal(15), Decimal(22))
        assert source_books(lake.ledger("things")).money.received == Decimal(37)


class TestTruncates:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_what_came_before_is_gone_and_nothing_after(self, lake: ShopLake, order: Sequence[int]) -> None:
        lines = [thing("c", 1), thing("c", 2, "b", TUESDAY), tell("t", 5), thing("c", 6, "c")]
        for place in order:
            run(lake, lines[place])
        assert [row[0] for row in things(lake)] == ["c"]
        assert lake.rows("SELECT id, epoch(valid_to) - epoch(valid_from) FROM enriched.spans ORDER BY ALL") == [
            ("a", 4.0),
            ("b", 3.0),
            ("c", None),
        ]

    def test_all_days_are_dirty_and_those_that_got_nothing_are_reported(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1), thing("c", 2, "b", TUESDAY))
        land(lake, "t.json", tell("t", 5))
        assert lake.ingest("things").partitions == (MONDAY, TUESDAY)
        assert sorted(lake.run().plans["enriched.things"].dirty) == [MONDAY, TUESDAY]
        require_balance(lake)

    def test_a_source_that_is_not_cut(self, lake: ShopLake) -> None:
        run(lake, tell("c", 1, id="a", name="A"), tell("t", 2), tell("c", 3, id="b", name="B"), of="people")
        assert lake.rows("SELECT id FROM enriched.people") == [("b",)]
        assert books(lake, "enriched.people").rows.deleted == 1

    def test_an_update_after_it_heals_from_nothing_before_it(self, lake: ShopLake) -> None:
        lines = [tell("c", 1, id="a", name="A", city="x"), tell("t", 2), tell("u", 3, missing=["city"], id="a", name="B")]
        run(lake, *lines, of="people")
        assert lake.rows("SELECT name, city FROM enriched.people") == [("B", None)]


class TestHealing:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_a_value_comes_from_whatever_file_or_run(self, lake: ShopLake, order: Sequence[int]) -> None:
        lines = [
            tell("c", 1, id="a", name="A", city="x"),
            tell("u", 2, missing=["city"], id="a", name="B"),
            tell("u", 3, unchanged=["name"], missing=["city"], id="a"),
        ]
        for place in order:
            run(lake, lines[place], of="people")
        assert lake.rows("SELECT name, city FROM enriched.people") == [("B", "x")]
        healing = books(lake, "enriched.people").healing
        assert (healing.rows, healing.columns, healing.unhealed) == (1, 2, 0)

    def test_a_column_that_nobody_ever_sent_is_null(self, lake: ShopLake) -> None:
        run(lake, tell("c", 1, missing=["city"], id="a", name="A"), tell("u", 2, missing=["city"], id="a", name="B"), of="people")
        assert lake.rows("SELECT name, city FROM enriched.people") == [("B", None)]

    def test_a_row_whose_value_is_not_known_waits_in_quarantine_until_it_lands(self, lake: ShopLake) -> None:
        run(lake, tell("u", 2, unchanged=["city"], id="a", name="A"), tell("c", 1, id="b", name="B"), of="people")
        assert lake.rows("SELECT id FROM enriched.people") == [("b",)]
        entry = lake.run() and books(lake, "enriched.people")
        assert (entry.healing.unhealed, entry.rows.quarantined) == (1, 1)
        (key,) = [info.key for info in lake.store.list("quarantine/enriched/people/")]
        (row,) = pq.read_table(lake.store.path(key)).to_pylist()
        assert (row["id"], row["_rules"], row["_landing_row"], row["_sequence"]) == ("a", ["healed"], 1, [2])
        assert row["_reasons"] == [
            "city did not change according to the producer, and no event with its value has landed; it will heal when one lands"
        ]
        run(lake, tell("c", 1, id="a", name="Z", city="x"), of="people")
        assert lake.rows("SELECT id, name, city FROM enriched.people ORDER BY 1") == [("a", "A", "x"), ("b", "B", None)]
        assert list(lake.store.list("quarantine/enriched/people/")) == []

    def test_an_amount_that_is_healed_balances(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1, amount="10.00"), thing("u", 2, amount=None, missing=["amount"], note="n"))
        assert things(lake) == [("a", "n", "10.00", MONDAY)]
        assert books(lake, "enriched.things").money.published == Decimal(10)

    def test_a_delete_is_forgotten_by_nobody(self, lake: ShopLake) -> None:
        lines = [tell("c", 1, id="a", name="A", city="x"), tell("d", 2, id="a"), tell("u", 3, missing=["city"], id="a", name="B")]
        run(lake, *lines, of="people")
        assert lake.rows("SELECT name, city FROM enriched.people") == [("B", None)]


class TestMessages:
    def test_they_are_counted_and_kept_and_are_no_events(self, lake: ShopLake) -> None:
        run(lake, thing("c", 1), tell("m", 2), "\n".join([thing("c", 3, "b")]))
        batch = lake.ledger("things").batches[0]
        assert [(each.records, each.messages, each.events) for each in batch.landed] == [(3, 1, 2)]
        assert batch.messages is not None
        (kept,) = pq.read_table(lake.store.path(batch.messages)).to_pylist()
        assert (kept["_landing_object"], kept["_landing_row"], kept["_record"]) == ("landing/things/0.json", 2, tell("m", 2))
        assert source_books(lake.ledger("things")).rows.received == 2


LINES = [
    thing("c", [1, 1], "a", note="first"),
    thing("u", [2, 2], "a", amount="2.00", unchanged=["note"]),
    thing("u", [3, 3], "a", day=TUESDAY, amount="3.00", unchanged=["note"]),
    tell("u", [4, 4], missing=["day", "amount"], id="a", note="fourth"),
    thing("r", [1, 0], "b", day=TUESDAY, note="read"),
    tell("d", [5, 5], id="b"),
    thing("c", [6, 6], "b", day=FRIDAY, note=None),
    tell("u", [7, 7], missing=["day"], unchanged=["note"], id="b", amount="7.00"),
    thing("c", [1, 2], "c", day=FRIDAY),
    tell("t", [1, 3]),
    thing("u", [8, 8], "d", amount="8.00", unchanged=["note"]),
    thing("c", [9, 9], "e", day=MONDAY),
    thing("u", [10, 10], "e", day=TUESDAY),
    thing("u", [11, 11], "e", day=MONDAY),
    "\n".join([tell("d", [12, 12], id="e"), thing("c", [12, 12], "e", day=FRIDAY, note="again")]),
]


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_any_order_split_and_repetition_publishes_the_same_tables(tmp_path_factory, declared, everything_at_once, chance) -> None:
    lines = [*LINES, *chance.sample(LINES, 3)]
    chance.shuffle(lines)
    lake = ShopLake(tmp_path_factory.mktemp("lake"), declared)
    cuts = sorted(chance.sample(range(1, len(lines)), 4))
    for number, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(lines)])):
        land(lake, f"{chance.randrange(10)}/{number}.json", *lines[start:end])
        if chance.random() < 0.6:
            lake.run()
    lake.run()
    require_balance(lake)
    assert tables(lake) == everything_at_once


@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_compactions_at_any_time_change_nothing(tmp_path_factory, declared, everything_at_once, chance) -> None:
    lines = list(LINES)
    chance.shuffle(lines)
    midway = chance.randrange(len(lines))
    lake = ShopLake(tmp_path_factory.mktemp("lake"), declared)
    with mock.patch.object(compaction, "AT_LEAST", 2):
        for number, line in enumerate(lines):
            land(lake, f"{number}.json", line)
            lake.ingest("things")
            if chance.random() < 0.3:
                compact_things(lake)
            if number == midway:
                lake.run()
                compact_things(lake)
                assert lake.run().computed == {}
        compact_things(lake)
    assert lake.ledger("things").compactions
    lake.run()
    require_balance(lake)
    assert tables(lake) == everything_at_once


def compact_things(lake: ShopLake) -> None:
    with lake.connection() as connection:
        compaction.compact(lake.store, connection, lake.source("things"), lake.workspace.scratch, grace=dt.timedelta(0))
    ledger = lake.ledger("things")
    used = {ledger.object_of(part) for parts in ledger.parts.values() for part in parts}
    assert {info.key for info in lake.store.list("raw/things/")} == used


@pytest.fixture(scope="session")
def everything_at_once(tmp_path_factory: pytest.TempPathFactory, declared: Domain) -> dict[str, list[tuple[Any, ...]]]:
    """What the lines give when they land in one object, in their order."""
    with readable():
        lake = ShopLake(tmp_path_factory.mktemp("lake"), declared)
        run(lake, *LINES)
        assert things(lake) == [
            ("a", "fourth", "3.00", TUESDAY),
            ("b", None, "7.00", FRIDAY),
            ("e", "again", "1.00", FRIDAY),
        ]
        return tables(lake)
