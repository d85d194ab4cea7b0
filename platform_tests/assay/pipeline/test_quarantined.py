"""Quarantine from end to end: what stands there, what a replay takes out of it, edits, drops, and books that always balance."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from change_lines import text
from shop_lake import LANDED_AT, ShopLake
from tills import SOURCE, TABLE, replayed, run_all, sale, till_lake

from assay.errors import EditError, SettingsError, StoreError
from assay.landing.readers.edits import Edit
from assay.pipeline.dropping import Dropped, read_drops, write_drop
from assay.pipeline.editing import edit_records, read_changes
from assay.pipeline.quarantined import Record, Selection, columns_of, records, standing
from assay.pipeline.replaying import Failing
from assay.pipeline.runs import source_books
from assay.pipeline.state import State
from assay.quality.books import from_dict

RAW = f"raw.{SOURCE}"
DAY, OTHER = "2025-01-03", "2025-01-04"


def stands(lake: ShopLake, name: str = TABLE, **which: Any) -> list[Record]:
    with lake.connection() as connection:
        return records(connection, State(lake.workspace), lake.workspace.domain.find(name), Selection(**which))


def edit(lake: ShopLake, *changes: dict[str, Any]) -> list[Edit]:
    with lake.connection() as connection:
        return edit_records(connection, State(lake.workspace), json.dumps(list(changes)), "ann", "a typing error")


def change_of(record: Record, **more: Any) -> dict[str, Any]:
    return {"table": record.table, "id": record.id, "record": columns_of(record) or record.record, **more}


def drop(lake: ShopLake, *found: Record) -> None:
    for each in found:
        write_drop(lake.store, each.table, [Dropped(each.id, each.object, each.line)], "ann", "a test record")


def sales(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows(f"SELECT id, amount::VARCHAR, day::VARCHAR FROM {TABLE} ORDER BY id")


def require_balance(lake: ShopLake) -> None:
    state = State(lake.workspace)
    assert source_books(state.ledger(SOURCE)).balanced
    for name in lake.workspace.project.nodes:
        assert all(from_dict(entry.books).balanced for entry in state.index(name).values())
    assert source_books(state.ledger(SOURCE)).rows.quarantined == len(stands(lake, RAW, dropped=True))


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a good sale, one below zero, one that cannot be read, and one that is no JSON."""
    folder = tmp_path_factory.mktemp("sold")
    lake = till_lake(folder)
    lines = [sale(1), sale(2, amount="-5.00", till="A1234"), sale(3, amount="7,50"), "{broken", sale(5, day=OTHER)]
    lake.land(SOURCE, "a.json", text(*lines))
    run_all(lake)
    return folder / "lake"


@pytest.fixture
def lake(sold: Path, tmp_path: Path) -> ShopLake:
    """The same, for one test. Linked objects keep their versions; they are replaced and never written to."""
    shutil.copytree(sold, tmp_path / "lake", copy_function=os.link)
    return till_lake(tmp_path)


class TestList:
    def test_both_kinds_are_counted_by_table_partition_rule_and_day(self, lake: ShopLake) -> None:
        with lake.connection() as connection:
            domain = lake.workspace.domain
            found = standing(connection, State(lake.workspace), [*domain.sources.values(), *domain.tables.values()])
        told = [(each.table, each.partition, each.rule, each.rows, each.dropped) for each in found]
        assert told == [
            (RAW, "", "readable", 2, 0),
            (TABLE, DAY, "amount_at_least", 1, 0),
            (TABLE, DAY, "till_length", 1, 0),
        ]
        assert {each.oldest for each in found} == {LANDED_AT}

    def test_a_row_says_all_that_is_wrong_with_it_and_where_it_came_from(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        assert (row.rules, row.partition, row.object, row.line) == (
            ("amount_at_least", "till_length"),
            DAY,
            f"landing/{SOURCE}/a.json",
            2,
        )
        assert (row.sequence, row.since, row.contract) == ((2, 2), LANDED_AT, lake.workspace.domain.tables[TABLE].version)
        assert columns_of(row) == {"id": "2", "day": DAY, "amount": "-5.00", "till": "A1234"}

    def test_a_record_says_its_text_line_and_byte(self, lake: ShopLake) -> None:
        comma, broken = stands(lake, RAW)
        assert (comma.line, comma.reasons, broken.line, broken.record) == (
            3,
            ("amount is '7,50', which is no DECIMAL(18,2)",),
            4,
            "{broken",
        )
        assert broken.byte == sum(
            len(line) + 1 for line in (sale(1), sale(2, amount="-5.00", till="A1234"), sale(3, amount="7,50"))
        )

    def test_a_record_says_everything_that_is_wrong_with_it(self, lake: ShopLake) -> None:
        lake.land(SOURCE, "b.json", text(sale(6), sale(7, amount="x", day="soon"), sale(8, day="infinity")))
        run_all(lake)
        both, never = stands(lake, RAW)[2:]
        assert both.reasons == ("day is 'soon', which is no DATE; amount is 'x', which is no DECIMAL(18,2)",)
        assert never.reasons == ("day_of cannot be told: the date is missing or of no known form",)
        assert (both.rules, both.sequence, both.line) == (("readable",), (7, 7), 2)

    def test_what_is_shown_can_be_chosen(self, lake: ShopLake) -> None:
        assert [each.line for each in stands(lake, rule="till_length", partition=DAY)] == [2]
        assert stands(lake, partition=OTHER) == stands(lake, rule="nonsense") == []
        (chosen,) = stands(lake, RAW, ids=(stands(lake, RAW)[1].id,))
        assert chosen.line == 4

    def test_a_run_that_replaces_what_is_read_does_not_disturb(self, lake: ShopLake) -> None:
        state = State(lake.workspace)
        assert state.index(TABLE)[DAY].quarantine
        lake.land(SOURCE, "b.json", text(sale(6, amount="-1.00")))
        run_all(lake)
        with lake.connection() as connection:
            found = records(connection, state, lake.workspace.domain.tables[TABLE], Selection())
        assert [each.line for each in found] == [2, 1]

    def test_what_is_gone_for_good_is_an_error_of_the_lake(self, lake: ShopLake) -> None:
        state = State(lake.workspace)
        lake.store.delete(str(state.index(TABLE)[DAY].quarantine))
        with pytest.raises(StoreError, match="cannot be read"):
            stands(lake)

    def test_an_empty_quarantine_is_empty(self, tmp_path: Path) -> None:
        empty = till_lake(tmp_path / "empty")
        assert stands(empty) == stands(empty, RAW) == []


class TestReplay:
    def test_without_a_fix_everything_stays_and_says_why(self, lake: ShopLake) -> None:
        before = lake.etags("")
        raw, table, _ = replayed(lake)
        comma, broken = stands(lake, RAW)
        assert (raw.before, raw.left) == (2, 0)
        assert raw.still == (
            Failing("amount is '7,50', which is no DECIMAL(18,2)", 1, (comma.id,)),
            Failing("not valid JSON", 1, (broken.id,)),
        )
        assert (table.before, table.left, table.stay) == (1, 0, 1)
        assert lake.etags("") == before

    def test_records_that_can_be_read_now_become_rows(self, lake: ShopLake, tmp_path: Path) -> None:
        lake = till_lake(tmp_path, reads_commas=True)
        raw, table, _ = replayed(lake)
        assert (raw.before, raw.left, raw.published, raw.gone) == (2, 1, 1, 0)
        assert [each.reason for each in raw.still] == ["not valid JSON"]
        assert table.left == 0
        assert sales(lake) == [(1, "1.00", DAY), (3, "7.50", DAY), (5, "1.00", OTHER)]
        require_balance(lake)

    def test_rows_that_a_contract_takes_now_are_published_and_the_others_say_what_they_still_break(
        self, lake: ShopLake, tmp_path: Path
    ) -> None:
        lake.land(SOURCE, "b.json", text(sale(6, amount="-1.00")))
        run_all(lake)
        lake = till_lake(tmp_path, takes_negative=True)
        (table,) = replayed(lake, TABLE)
        assert (table.before, table.left, table.published, table.gone, table.stay, table.added) == (2, 1, 1, 0, 1, 0)
        assert [each.reason for each in table.still] == ["till must have at most 4 characters"]
        assert (6, "-1.00", DAY) in sales(lake)
        require_balance(lake)

    def test_what_a_newer_event_replaced_is_gone_and_not_published(self, lake: ShopLake) -> None:
        lake.land(SOURCE, "b.json", text(sale(2, 9, op="d")))
        (table,) = replayed(lake, TABLE)
        assert (table.before, table.left, table.published, table.gone) == (1, 1, 0, 1)
        require_balance(lake)

    def test_an_object_that_is_gone_keeps_its_records_in_quarantine(self, lake: ShopLake, tmp_path: Path) -> None:
        lake.store.delete(f"landing/{SOURCE}/a.json")
        lake = till_lake(tmp_path, reads_commas=True)
        raw, *_ = replayed(lake)
        assert (raw.before, raw.left) == (2, 0)
        require_balance(lake)

    def test_an_object_that_was_replaced_is_not_read(self, lake: ShopLake, tmp_path: Path) -> None:
        lake.store.delete(f"landing/{SOURCE}/a.json")
        lake.land(SOURCE, "a.json", text(sale(3), sale(4)))
        lake = till_lake(tmp_path, reads_commas=True)
        raw, *_ = replayed(lake)
        assert raw.left == 0
        require_balance(lake)

    def test_a_table_alone_leaves_the_sources_quarantine_alone(self, lake: ShopLake, tmp_path: Path) -> None:
        lake = till_lake(tmp_path, reads_commas=True)
        replayed(lake, TABLE)
        assert len(stands(lake, RAW)) == 2


class TestEdit:
    def test_an_unreadable_record_is_read_as_if_it_stood_in_its_place(self, lake: ShopLake) -> None:
        comma, broken = stands(lake, RAW)
        edit(lake, change_of(comma) | {"record": sale(3, amount="7.50")}, change_of(broken) | {"record": sale(4, till="B2")})
        results = replayed(lake, replaying=False)
        assert (results[0].before, results[0].left, results[0].published) == (2, 2, 2)
        assert sales(lake) == [(1, "1.00", DAY), (3, "7.50", DAY), (4, "1.00", DAY), (5, "1.00", OTHER)]
        assert stands(lake, RAW) == []
        require_balance(lake)

    def test_values_of_columns_are_changed_without_touching_the_text(self, lake: ShopLake) -> None:
        comma, _ = stands(lake, RAW)
        edit(lake, {"table": RAW, "id": comma.id, "set": {"amount": 7.5}})
        run_all(lake)
        assert (3, "7.50", DAY) in sales(lake)
        require_balance(lake)

    def test_a_refused_row_is_corrected_right_after_its_event(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        changed = change_of(row)
        changed["record"] |= {"amount": "5.00", "till": "A1"}
        edit(lake, changed)
        _, table, _ = replayed(lake, replaying=False)
        assert (table.before, table.left, table.published) == (1, 1, 1)
        assert (2, "5.00", DAY) in sales(lake)
        assert lake.rows(f"SELECT _op, _sequence FROM changes.{SOURCE} WHERE id = 2 ORDER BY 2") == [
            ("c", [2, 2]),
            ("u", [2, 2, 0]),
        ]
        require_balance(lake)

    def test_a_newer_event_wins_over_an_edit(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        edit(lake, {"table": TABLE, "id": row.id, "set": {"amount": "5.00", "till": "A1"}})
        lake.land(SOURCE, "b.json", text(sale(2, 3, op="u", amount="6.00")))
        run_all(lake)
        assert (2, "6.00", DAY) in sales(lake)

    def test_an_edit_can_move_a_row_to_another_day_and_give_it_another_key(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        edit(lake, {"table": TABLE, "id": row.id, "set": {"id": 22, "day": OTHER, "amount": "5.00", "till": "A1"}})
        run_all(lake)
        assert sales(lake) == [(1, "1.00", DAY), (5, "1.00", OTHER), (22, "5.00", OTHER)]
        assert stands(lake) == []
        require_balance(lake)

    def test_an_edit_that_is_refused_again_can_be_edited(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        edit(lake, {"table": TABLE, "id": row.id, "set": {"amount": "5.00"}})
        _, table, _ = replayed(lake, replaying=False)
        assert (table.left, table.published, table.added) == (1, 0, 1)
        (again,) = stands(lake)
        assert [each.ids for each in table.new] == [(again.id,)]
        assert again.rules == ("till_length",)
        edit(lake, {"table": TABLE, "id": again.id, "set": {"till": "A1"}})
        run_all(lake)
        assert (2, "5.00", DAY) in sales(lake)
        assert stands(lake) == []
        require_balance(lake)

    def test_the_same_edit_twice_is_one_and_another_of_the_same_record_is_refused(self, lake: ShopLake) -> None:
        comma, _ = stands(lake, RAW)
        wish = {"table": RAW, "id": comma.id, "set": {"amount": "7.50"}}
        edit(lake, wish)
        edit(lake, wish)
        assert len(lake.etags(f"landing/{SOURCE}/_edits/")) == 1
        with pytest.raises(EditError, match="was edited by ann"):
            edit(lake, wish | {"set": {"amount": "8.00"}})
        run_all(lake)
        assert (3, "7.50", DAY) in sales(lake)

    def test_an_edit_that_a_replay_was_quicker_than_is_refused(self, lake: ShopLake, tmp_path: Path) -> None:
        comma, _ = stands(lake, RAW)
        edit(lake, {"table": RAW, "id": comma.id, "set": {"id": "33", "amount": "8.00"}})
        (key,) = lake.etags(f"landing/{SOURCE}/_edits/")
        content = lake.store.get(key)
        lake.store.delete(key)
        lake = till_lake(tmp_path, reads_commas=True)
        replayed(lake)
        lake.store.put(key, content)
        run_all(lake)
        assert [row[0] for row in sales(lake)] == [1, 3, 5]
        assert [each.object for each in stands(lake, RAW)] == [f"landing/{SOURCE}/a.json", key]
        replayed(lake)
        assert [row[0] for row in sales(lake)] == [1, 3, 5]
        require_balance(lake)

    def test_nothing_lands_unless_everything_can(self, lake: ShopLake) -> None:
        comma, broken = stands(lake, RAW)
        with pytest.raises(EditError, match=r"line 4: the edited record cannot be read: not valid JSON"):
            edit(lake, {"table": RAW, "id": comma.id, "set": {"amount": "7.50"}}, change_of(broken) | {"record": "{still broken"})
        assert lake.etags(f"landing/{SOURCE}/_edits/") == {}

    @pytest.mark.parametrize(
        ("wish", "said"),
        [
            ({"set": {"amount": "x"}}, "amount is 'x', which is no DECIMAL"),
            ({"set": {"nonsense": "1"}}, "has no column nonsense"),
            ({"set": {"till": "B"}}, "does not change the value that is wrong"),
            ({"record": "a\nb"}, "must be one line"),
            ({"record": "a", "set": {"amount": "1"}}, "either its `record`"),
            ({"id": "0"}, "no record 0 in quarantine"),
        ],
    )
    def test_a_wrong_edit_says_what_is_wrong(self, lake: ShopLake, wish: dict[str, Any], said: str) -> None:
        comma, _ = stands(lake, RAW)
        with pytest.raises(EditError, match=said):
            edit(lake, {"table": RAW, "id": comma.id, **wish})

    def test_what_is_not_changed_is_left_alone(self, lake: ShopLake) -> None:
        assert edit(lake, *(change_of(each) for each in (*stands(lake), *stands(lake, RAW)))) == []

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            ("nonsense", "not JSON"),
            ('{"id": "1"}', "does not identify a record"),
            ('[{"table": "x", "id": "1", "set": [1]}]', "must be an object"),
        ],
    )
    def test_a_file_that_is_none_says_so(self, file: str, said: str) -> None:
        with pytest.raises(EditError, match=said):
            read_changes(file)

    def test_a_column_that_the_record_does_not_have_says_so(self, lake: ShopLake) -> None:
        (row,) = stands(lake)
        with pytest.raises(EditError, match="has no column tills"):
            edit(lake, change_of(row) | {"record": {**(columns_of(row) or {}), "tills": ""}})

    def test_an_unknown_table_says_so(self, lake: ShopLake) -> None:
        with pytest.raises(SettingsError, match="has no table x"):
            edit(lake, {"table": "x", "id": "1"})

    def test_who_and_why_are_kept_when_the_landing_zone_is_cleared(self, lake: ShopLake) -> None:
        comma, _ = stands(lake, RAW)
        edit(lake, {"table": RAW, "id": comma.id, "set": {"amount": "7.50"}})
        run_all(lake)
        (copy,) = lake.etags(f"audit/edits/{SOURCE}/")
        told = json.loads(lake.store.get(copy))
        assert (told["by"], told["why"], told["object"], told["line"]) == ("ann", "a typing error", f"landing/{SOURCE}/a.json", 3)
        assert (told["before"], json.loads(told["after"])["amount"]) == (sale(3, amount="7,50"), "7.50")
        assert dt.datetime.fromisoformat(told["at"]) > LANDED_AT


class TestDrop:
    def test_a_dropped_record_stays_in_the_books_and_is_not_read_again(self, lake: ShopLake, tmp_path: Path) -> None:
        comma, _ = stands(lake, RAW)
        drop(lake, comma)
        lake = till_lake(tmp_path, reads_commas=True)
        raw, *_ = replayed(lake)
        assert (raw.before, raw.left) == (2, 0)
        assert [each.line for each in stands(lake, RAW)] == [4]
        assert [each.line for each in stands(lake, RAW, dropped=True)] == [3, 4]
        assert source_books(lake.ledger(SOURCE)).rows.quarantined == 2
        require_balance(lake)
        (kept,) = read_drops(lake.store, RAW)
        assert (kept.by, kept.why, [each.id for each in kept.records]) == ("ann", "a test record", [comma.id])

    def test_what_was_dropped_can_be_edited(self, lake: ShopLake) -> None:
        comma, _ = stands(lake, RAW)
        drop(lake, comma)
        edit(lake, {"table": RAW, "id": comma.id, "set": {"amount": "7.50"}})
        replayed(lake)
        assert (3, "7.50", DAY) in sales(lake)
        assert [each.line for each in stands(lake, RAW, dropped=True)] == [4]
        require_balance(lake)

    def test_a_dropped_row_stays_refused_by_its_contract_alone(self, lake: ShopLake) -> None:
        drop(lake, *stands(lake))
        assert stands(lake) == []
        run_all(lake)
        assert [row[0] for row in sales(lake)] == [1, 5]
        require_balance(lake)
