"""Forgetting deleted rows after a declared time: what goes, what stays, and what lands too late for anybody to tell."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from change_lines import change, deleted_order, order, text
from declared import domain_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import LANDED_AT, ShopLake
from tills import replayed

from assay.contracts import Daily, Date, Event, Money, Published, Whole, column, source, table
from assay.contracts.source import Format
from assay.contracts.table import Moves
from assay.engine.project import load_project
from assay.errors import ContractError, SqlError, StoreError
from assay.lake.layout import NOTED, UNPLACED
from assay.lake.ledger import Batch, LedgerLog
from assay.landing import ingest, placement
from assay.landing.formats import Csv, Debezium, Dms, Explode, JsonDocuments, Snapshot
from assay.landing.quarantine.replay import Replay
from assay.landing.quarantine.replay_batch import FORGOTTEN
from assay.landing.upkeep import compaction, removal
from assay.landing.upkeep.compaction import compact
from assay.pipeline.forgetting import Forgotten, forget
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table

KEPT = dt.timedelta(days=30)
LATER = LANDED_AT + KEPT + dt.timedelta(seconds=1)
NO_GRACE = dt.timedelta(0)
DAY, OTHER_DAY = "2025-01-03", "2025-01-04"
DEBEZIUM = Debezium(table="orders")
TOO_LATE = "it is older than deletes that are no longer kept"


class OrderEvents(Event):
    """Orders as a database changes them."""

    order_id: str = column("The order", nullable=True)
    amount: str = column("What it cost", nullable=True)
    ordered_at: str = column("The day", nullable=True)


class Orders(Published):
    """One row an order."""

    order_id: str = column("The order")
    amount: Money = column("What it cost")
    order_day: Date = column("The day")


SELECT = """
SELECT order_id, amount::DECIMAL(18, 2) AS amount, ordered_at::DATE AS order_day,
  TIMESTAMPTZ '2025-01-10 00:00:00+00' AS ingestion_timestamp, 'orders' AS data_source
FROM {relation}.orders"""


def orders_lake(
    folder: Path,
    moves: Moves | None = "any",
    kept: dt.timedelta | None = KEPT,
    relation: str = "latest",
    form: Format = DEBEZIUM,
) -> ShopLake:
    """A lake of orders, cut by day or, where nothing is said of their moving, not at all."""
    owner = {"owner": "team:orders", "subject": "orders"}
    events = type("OrderEvents", (OrderEvents,), {"__doc__": "Orders."})
    rows = type("Orders", (Orders,), {"__doc__": "Orders."})
    source(
        "orders",
        format=form,
        key=("order_id",),
        partition=Daily("order_day", of="TRY_CAST(ordered_at AS DATE)", moves=moves) if moves else Whole(),
        deletes_kept=kept,
        **owner,
    )(events)
    table("orders", layer="enriched", key=("order_id",), partition=Daily("order_day") if moves else Whole(), **owner)(rows)
    return ShopLake(folder, domain_of(folder / "sql", [events, rows], {"enriched.orders": SELECT.format(relation=relation)}))


@pytest.fixture
def orders(tmp_path: Path) -> ShopLake:
    """A lake of orders that may move to any day."""
    return orders_lake(tmp_path)


def ingested(lake: ShopLake, name: str, *lines: str, at: dt.datetime = LANDED_AT) -> None:
    lake.land("orders", name, text(*lines), at)
    lake.ingest("orders")


def forgotten(lake: ShopLake, now: dt.datetime = LATER) -> Forgotten:
    with lake.connection() as connection:
        return forget(lake.store, connection, lake.source("orders"), lake.workspace.scratch, now)


def compacted(lake: ShopLake) -> compaction.Compacted:
    with lake.connection() as connection:
        return compact(lake.store, connection, lake.source("orders"), lake.workspace.scratch, grace=NO_GRACE)


def raw(lake: ShopLake) -> dict[str, list[tuple[str, str]]]:
    """Key and operation of every raw event, by partition."""
    ledger = lake.ledger("orders")
    found: dict[str, list[tuple[str, str]]] = {}
    for partition, parts in ledger.parts.items():
        paths = {lake.store.path(ledger.object_of(part)) for part in parts}
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        found[partition] = sorted((row["order_id"], row["_op"]) for row in rows)
    return {partition: rows for partition, rows in found.items() if rows and partition != NOTED}


def published(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT order_id, amount::VARCHAR, order_day::VARCHAR FROM enriched.orders ORDER BY 1")


class TestWhatIsForgotten:
    def test_every_event_of_a_row_that_was_deleted_long_ago(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 1), order("gone", 2, op="u"), order("stays", 3))
        ingested(orders, "2.json", deleted_order("gone", 4))
        done = forgotten(orders)
        # Its delete names only its key, and was copied to its day.
        assert (done.rows, done.events, done.objects) == (1, 4, 3)
        assert raw(orders) == {DAY: [("stays", "c")]}

    @pytest.mark.parametrize("moves", ["any", "told", "never", None])
    def test_wherever_its_events_are(self, tmp_path: Path, moves: Moves | None) -> None:
        lake = orders_lake(tmp_path, moves)
        day = DAY if moves == "never" else OTHER_DAY
        ingested(lake, "1.json", order("gone", 1), order("gone", 2, day=day, op="u"), order("stays", 3))
        ingested(lake, "2.json", deleted_order("gone", 4))
        assert forgotten(lake).rows == 1
        assert [row for rows in raw(lake).values() for row in rows] == [("stays", "c")]

    def test_none_that_was_deleted_lately(self, orders: ShopLake) -> None:
        late = LANDED_AT + dt.timedelta(days=5)
        ingested(orders, "1.json", order("a", 1), order("b", 2), order("c", 3))
        ingested(orders, "2.json", deleted_order("a", 4))
        ingested(orders, "3.json", deleted_order("b", 5), at=late)
        happened = int((LANDED_AT + dt.timedelta(days=7)).timestamp() * 1000)
        ahead = change("orders", "d", 6, {"order_id": "c", "amount": "0", "ordered_at": None}, ts_ms=happened)
        ingested(orders, "4.json", ahead)
        assert forgotten(orders, LANDED_AT + KEPT).rows == 0
        assert forgotten(orders).rows == 1
        assert forgotten(orders, late + KEPT).rows == 0
        assert forgotten(orders, late + KEPT + dt.timedelta(seconds=1)).rows == 1
        assert forgotten(orders, LANDED_AT + dt.timedelta(days=100)).rows == 1

    def test_none_that_was_made_again(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("again", 1), deleted_order("again", 2), order("again", 3, day=OTHER_DAY))
        before = raw(orders)
        assert forgotten(orders).rows == 0
        assert raw(orders) == before

    def test_nothing_where_deletes_are_kept_for_ever(self, tmp_path: Path) -> None:
        lake = orders_lake(tmp_path, kept=None)
        ingested(lake, "1.json", order("gone", 1), deleted_order("gone", 2))
        assert forgotten(lake, LATER + dt.timedelta(days=36500)).rows == 0

    def test_nothing_before_everything_is_placed(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("o", 1))
        with monkeypatch.context() as killed:
            killed.setattr(ingest, "place", lambda *_: None)
            ingested(orders, "2.json", deleted_order("o", 2), order("o", 3, day=OTHER_DAY))
        assert forgotten(orders).rows == 0

    def test_nothing_is_left_for_a_second_time(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 1), deleted_order("gone", 2))
        forgotten(orders)
        entries = len(orders.ledger("orders").batches)
        assert forgotten(orders).rows == 0
        assert len(orders.ledger("orders").batches) == entries

    def test_no_table_is_dirty_and_all_are_what_their_inputs_give(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 1), order("stays", 2), order("moves", 3), order("alone", 4, day=OTHER_DAY))
        ingested(orders, "2.json", deleted_order("gone", 5), order("moves", 6, day=OTHER_DAY, op="u"), deleted_order("alone", 7))
        orders.run()
        books, rows, versions = source_books(orders.ledger("orders")), published(orders), orders.etags("enriched/")
        assert forgotten(orders).rows == 2
        assert orders.run("again").computed == {}
        assert (source_books(orders.ledger("orders")), published(orders)) == (books, rows)
        assert orders.etags("enriched/") == versions
        with orders.connection() as connection:
            state = State(orders.workspace)
            compared = [each for node in state.workspace.project.nodes.values() for each in verify_table(connection, state, node)]
        assert compared
        assert all(each.is_same and each.is_current for each in compared)

    def test_the_objects_go_with_those_of_compactions(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "AT_LEAST", 2)
        for number in range(4):
            ingested(orders, f"{number}.json", order(f"o{number}", 2 * number), order("gone", 2 * number + 1, op="u"))
        ingested(orders, "last.json", deleted_order("gone", 100))
        compacted(orders)
        assert forgotten(orders).events == 6
        for number in range(3):
            ingested(orders, f"more {number}.json", order(f"p{number}", 200 + number))
        assert compacted(orders).rows == 7
        ledger = orders.ledger("orders")
        in_use = {ledger.object_of(part) for parts in ledger.parts.values() for part in parts}
        assert {info.key for info in orders.store.list("raw/orders/")} == in_use
        assert raw(orders) == {DAY: [(key, "c") for key in ("o0", "o1", "o2", "o3", "p0", "p1", "p2")]}


class TestWhatLandsTooLate:
    def test_an_older_event_brings_no_row_back(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6))
        ingested(orders, "2.json", deleted_order("gone", 7))
        orders.run()
        forgotten(orders)
        orders.land("orders", "late.json", text(order("gone", 4, amount="4.00"), order("gone", 5), order("new", 8)))
        orders.run("late")
        assert [row[0] for row in published(orders)] == ["new", "stays"]
        (first, second) = orders.refused("orders")
        assert [first[:2], second[:2]] == [("landing/orders/late.json", 1), ("landing/orders/late.json", 2)]
        assert first[2].startswith(TOO_LATE)
        path = orders.store.path(orders.ledger("orders").quarantines[0])
        record = json.loads(pq.read_table(path).to_pylist()[0]["_record"])
        assert record == {"order_id": "gone", "amount": "4.00", "ordered_at": DAY}
        assert source_books(orders.ledger("orders")).balanced

    def test_nor_one_of_a_key_that_was_never_seen(self, orders: ShopLake) -> None:
        """For whoever has forgotten a row cannot know that it was not this one."""
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        forgotten(orders)
        ingested(orders, "late.json", order("unseen", 6))
        assert [reason[: len(TOO_LATE)] for _, _, reason in orders.refused("orders")] == [TOO_LATE]

    def test_an_older_event_of_a_row_that_is_there_is_superseded(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6, amount="6.00"), deleted_order("gone", 7))
        forgotten(orders)
        orders.land("orders", "late.json", text(order("stays", 4, amount="4.00"), order("stays", 7, amount="7.00", op="u")))
        orders.run()
        assert (orders.refused("orders"), published(orders)) == ([], [("stays", "7.00", DAY)])

    def test_a_newer_event_makes_the_row_anew_and_older_ones_are_superseded(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        forgotten(orders)
        ingested(orders, "anew.json", order("gone", 8, amount="8.00"))
        ingested(orders, "late.json", order("gone", 6, amount="6.00", op="u"), deleted_order("gone", 4))
        orders.run()
        assert (orders.refused("orders"), published(orders)) == ([], [("gone", "8.00", DAY)])

    def test_a_row_that_lives_on_one_day_says_nothing_of_another(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        forgotten(orders)
        ingested(orders, "anew.json", order("gone", 8, day=OTHER_DAY))
        ingested(orders, "late.json", order("gone", 5))
        orders.run()
        assert published(orders) == [("gone", "10.00", OTHER_DAY)]
        assert len(orders.refused("orders")) == 1

    def test_deletes_that_name_only_their_key_are_taken(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        forgotten(orders)
        ingested(orders, "late.json", deleted_order("gone", 3))
        ingested(orders, "later.json", order("gone", 4))
        orders.run()
        assert (raw(orders), published(orders)) == ({UNPLACED: [("gone", "d")]}, [])
        assert [key for key, _, _ in orders.refused("orders")] == ["landing/orders/later.json"]

    def test_replaying_it_changes_nothing(self, orders: ShopLake) -> None:
        ingested(orders, "1.json", order("gone", 5), order(None, 6), deleted_order("gone", 7))
        forgotten(orders)
        ingested(orders, "late.json", order("gone", 4))
        before = source_books(orders.ledger("orders")), orders.refused("orders")
        assert len(before[1]) == 2
        replayed(orders, "orders")
        assert (source_books(orders.ledger("orders")), orders.refused("orders")) == before
        assert raw(orders) == {}

    def test_a_replay_tells_what_was_forgotten_from_what_was_refused(self, tmp_path: Path) -> None:
        """A line says that a row has another key now: its delete was forgotten, and what it became refused."""
        orders = orders_lake(tmp_path, form=Dms(table="orders"))
        lines = (
            "Op,order_id,amount,ordered_at,AR_H_CHANGE_SEQ,BI_order_id",
            f"I,gone,1,{DAY},20250103000000000000000000000000001,",
            "U,other,1,never,20250103000000000000000000000000002,gone",
        )
        ingested(orders, "20250103-101500123.csv", *lines)
        assert forgotten(orders).rows == 1
        before = source_books(orders.ledger("orders")), orders.refused("orders")
        assert len(before[1]) == 1
        result = orders.ingest("orders", Replay()).replayed
        assert result is not None
        assert result.unreachable == {"landing/orders/20250103-101500123.csv": FORGOTTEN}
        assert (source_books(orders.ledger("orders")), orders.refused("orders")) == before


def meanwhile(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something, once, when a removal is about to be recorded."""
    append, done = LedgerLog.append, []

    def interrupted(log: LedgerLog, batch: Batch) -> bool:
        if batch.compaction is not None and batch.compaction.forgotten and not done:
            done.append(batch)
            action()
        return append(log, batch)

    monkeypatch.setattr(LedgerLog, "append", interrupted)


class TestAtOnce:
    def test_an_older_event_that_is_ingested_meanwhile_goes_too(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        meanwhile(monkeypatch, lambda: ingested(orders, "late.json", order("gone", 4), order("gone", 6, day=OTHER_DAY, op="u")))
        forgotten(orders)
        assert raw(orders) == {}
        orders.run()
        assert published(orders) == []

    def test_a_newer_event_that_is_ingested_meanwhile_stays(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        meanwhile(monkeypatch, lambda: ingested(orders, "anew.json", order("gone", 8, amount="8.00")))
        forgotten(orders)
        orders.run()
        assert published(orders) == [("gone", "8.00", DAY)]

    def test_an_ingest_that_began_before_looks_again(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its events were good as long as the delete was there."""
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        write, done = ingest._Work._write, []

        def interrupted(work: ingest._Work, *args: Any, **options: Any) -> Batch:
            batch = write(work, *args, **options)
            if not done:
                done.append(forgotten(orders))
            return batch

        monkeypatch.setattr(ingest._Work, "_write", interrupted)
        ingested(orders, "late.json", order("gone", 4), order("gone", 8, day=OTHER_DAY, amount="8.00"))
        assert done[0].rows == 1
        orders.run()
        assert published(orders) == [("gone", "8.00", OTHER_DAY)]
        assert [reason[: len(TOO_LATE)] for _, _, reason in orders.refused("orders")] == [TOO_LATE]

    def test_a_placement_that_began_before_looks_again(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or it would copy events that were forgotten since."""
        ingested(orders, "1.json", order("gone", 5), deleted_order("gone", 7))
        is_placing, search = threading.Event(), placement._placement
        with ThreadPoolExecutor(1) as pool:
            meanwhile(monkeypatch, lambda: is_placing.wait(30))
            forgetting = pool.submit(forgotten, orders)

            def slow(*args: Any) -> Batch:
                batch = search(*args)
                if not is_placing.is_set():
                    is_placing.set()
                    assert forgetting.result(30).rows == 1
                return batch

            monkeypatch.setattr(placement, "_placement", slow)
            ingested(orders, "late.json", order("gone", 4, day=OTHER_DAY))
        assert raw(orders) == {}

    def test_two_at_once(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6), deleted_order("gone", 7))
        other: list[Forgotten] = []
        meanwhile(monkeypatch, lambda: other.append(forgotten(orders)))
        assert (forgotten(orders).rows, other[0].rows) == (0, 1)
        assert raw(orders) == {DAY: [("stays", "c")]}
        ledger = orders.ledger("orders")
        in_use = {ledger.object_of(part) for parts in ledger.parts.values() for part in parts}
        written = {info.key for info in orders.store.list("raw/orders/") if "/compacted/" in info.key}
        assert written <= in_use, "the one that lost takes its objects away"

    def test_a_killed_one_changed_nothing(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6), deleted_order("gone", 7))
        before = raw(orders)

        def stop() -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as killed:
            meanwhile(killed, stop)
            with pytest.raises(KeyboardInterrupt):
                forgotten(orders)
        assert raw(orders) == before
        compacted(orders)
        assert forgotten(orders).rows == 1
        assert raw(orders) == {DAY: [("stays", "c")]}

    def test_a_write_whose_answer_was_lost_counts(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6), deleted_order("gone", 7))
        append = LedgerLog.append

        def lost(log: LedgerLog, batch: Batch) -> bool:
            other = LedgerLog(log.store, log.source)
            other.read()
            append(other, batch)
            return False

        with monkeypatch.context() as patched:
            patched.setattr(LedgerLog, "append", lost)
            assert forgotten(orders).rows == 1
        assert raw(orders) == {DAY: [("stays", "c")]}

    def test_other_rows_than_were_to_stay_are_not_recorded(self, orders: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        ingested(orders, "1.json", order("gone", 5), order("stays", 6), deleted_order("gone", 7))
        before, contents = raw(orders), iter([(2, 10), (1, 4), (1, 7)])
        monkeypatch.setattr(removal, "content_of", lambda *_: next(contents))
        with pytest.raises(StoreError, match="that were written differ from those that stay"):
            forgotten(orders)
        assert raw(orders) == before


KEYS = ("a", "b", "c")
EVENTS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from("cudd"), st.sampled_from((DAY, OTHER_DAY))), min_size=4, max_size=14
)


class TestAnyOrder:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(events=EVENTS, data=st.data(), moves=st.sampled_from(["any", None]))
    def test_tables_are_those_of_all_events_that_were_not_refused(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        events: list[tuple[str, str, str]],
        data: st.DataObject,
        moves: Moves | None,
    ) -> None:
        """A row is there if its newest event that was not refused says so; and what was deleted is not there again."""
        lake = orders_lake(tmp_path_factory.mktemp("any"), moves)
        numbers = data.draw(st.permutations(range(1, len(events) + 1)))
        cut = data.draw(st.integers(1, len(events) - 1))
        landed: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        guarded: dict[str, int] = {}
        for name, group in (("1", numbers[:cut]), ("2", numbers[cut:])):
            for number in group:
                key, op, day = events[number - 1]
                amount = f"{number}.00"
                line = deleted_order(key, number) if op == "d" else order(key, number, day=day, amount=amount, op=op)
                lake.land("orders", f"{name}-{number}.json", text(line))
            lake.run(name)
            refused = {int(each.rsplit("-", 1)[1].split(".")[0]) for each, _, _ in lake.refused("orders")}
            assert name == "2" or not refused
            for number in group:
                key, op, day = events[number - 1]
                if number in refused:
                    assert number < max(guarded.values()), "nothing newer than all that was forgotten is refused"
                else:
                    landed[key].append((number, op, day))
            if name == "1":
                newest = {key: max(own) for key, own in landed.items()}
                guarded = {key: number for key, (number, op, _) in newest.items() if op == "d"}
                assert forgotten(lake).rows == len(guarded)
        newest = {key: max(own) for key, own in landed.items()}
        expected = [(key, f"{number}.00", day) for key, (number, op, day) in sorted(newest.items()) if op != "d"]
        assert published(lake) == expected
        # No row came back by an event that is older than its delete.
        assert all(number > guarded.get(key, 0) for key, (number, op, _) in newest.items() if op != "d")


class TestDeclaring:
    @pytest.mark.parametrize("relation", ["history", "changes"])
    def test_a_table_that_would_lose_rows_is_an_error_of_its_file(self, tmp_path: Path, relation: str) -> None:
        lake = orders_lake(tmp_path, relation=relation)
        with pytest.raises(SqlError, match=rf"orders\.sql:4: enriched\.orders reads {relation}\.orders") as error:
            load_project(lake.workspace.domain)
        assert "read latest.orders" in str(error.value.hint)

    @pytest.mark.parametrize("kept", [dt.timedelta(0), dt.timedelta(days=-1)])
    def test_it_must_be_some_time(self, tmp_path: Path, kept: dt.timedelta) -> None:
        with pytest.raises(ContractError, match="source orders: deletes_kept is"):
            orders_lake(tmp_path, kept=kept)

    @pytest.mark.parametrize(
        "form",
        [
            Csv(snapshot=Snapshot()),
            JsonDocuments(version="amount", explode=Explode("items", "amount", {"order_id": "order_id", "ordered_at": "at"})),
        ],
    )
    def test_absences_are_told_anew_each_time(self, form: Any) -> None:
        with pytest.raises(ContractError, match="are deleted by being absent"):
            source("rows", format=form, key=("order_id", "amount"), owner="team:x", subject="x", deletes_kept=KEPT)(OrderEvents)
