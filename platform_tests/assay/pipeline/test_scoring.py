"""The history of proofs: every proof of every run is there, once, and published partitions always are."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from change_lines import customer, order, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.errors import StoreError
from assay.lake import ObjectStore
from assay.lake.layout import index_key, proofs_months_prefix, proofs_prefix, proofs_runs_prefix
from assay.pipeline import score_compaction, scoring
from assay.pipeline.runs import rebuild_partitions
from assay.pipeline.score_compaction import GRACE, compact_proofs, restore_lost_proofs
from assay.pipeline.state import State
from assay.quality.own_tables import PARTITION_SCORES, RULE_RESULTS

DAY = "2025-01-03"
SCORES = "SELECT table_name, partition, run_id, status, row_count, published, quarantined, score FROM quality.partition_scores"
ORDERS = f"{SCORES} WHERE table_name = 'enriched.orders' ORDER BY partition, proven_at"
EVERY = "SELECT * EXCLUDE (proven_at) FROM quality.partition_scores ORDER BY table_name, partition, proven_at"


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with two days of orders, of which one row is refused, and one note is too long."""
    lake = ShopLake(tmp_path)
    lake.land("customers", "c.json", text(customer("c1", 1)))
    orders = [order("a", 2), order("b", 3, amount="-30.00"), order("c", 4, amount="20.00"), order("d", 5, day="2025-01-04")]
    lake.land("orders", "o.json", text(*orders))
    lake.run("first")
    return lake


def forget(lake: ShopLake, prefix: str) -> None:
    for info in list(lake.store.list(prefix)):
        lake.store.delete(info.key)


def test_every_proof_of_a_run_is_a_row(lake: ShopLake) -> None:
    assert lake.rows(ORDERS) == [
        ("enriched.orders", DAY, "first", "published", 3, 2, 1, 66.6667),
        ("enriched.orders", "2025-01-04", "first", "published", 1, 1, 0, 100.0),
    ]
    (row,) = lake.rows(
        "SELECT money, money_at_risk, money_score, validity, completeness, timeliness, balanced, contract, proven_at "
        f"FROM quality.partition_scores WHERE table_name = 'enriched.orders' AND partition = '{DAY}'"
    )
    table = lake.workspace.domain.tables["enriched.orders"]
    assert row[:6] == (Decimal(60), Decimal(30), 50.0, 66.6667, 100.0, None)
    assert row[6:8] == (True, table.version)
    assert row[8] == dt.datetime.fromisoformat(State(lake.workspace).index("enriched.orders")[DAY].published_at)
    tables = {name for (name,) in lake.rows("SELECT DISTINCT table_name FROM quality.partition_scores")}
    assert tables == set(lake.workspace.domain.tables)


def test_every_rule_has_a_result_whether_or_not_it_was_broken(lake: ShopLake) -> None:
    results = lake.rows(
        "SELECT rule, dimension, severity, owner, row_count, broken, money_at_risk, passed FROM quality.rule_results "
        f"WHERE table_name = 'enriched.orders' AND partition = '{DAY}' ORDER BY rule"
    )
    by_rule = {row[0]: row[1:] for row in results}
    assert by_rule["amount_at_least"] == ("validity", "quarantine", "team:shop", 3, 1, Decimal(30), False)
    assert by_rule["note_length"] == ("validity", "fix", "team:shop", 3, 0, Decimal(0), True)
    assert by_rule["key_unique"][:2] == ("uniqueness", "stop")
    declared = {rule.name for rule in lake.workspace.domain.tables["enriched.orders"].rules}
    assert declared <= by_rule.keys()
    assert lake.rows(
        "SELECT count(DISTINCT money_at_risk) FROM quality.rule_results WHERE table_name = 'enriched.customers'"
    ) == [(0,)]


def test_columns_are_as_they_are_declared(lake: ShopLake) -> None:
    for own in (PARTITION_SCORES, RULE_RESULTS):
        described = lake.rows(f"SELECT column_name, column_type FROM (DESCRIBE FROM {own.full_name})")
        assert dict(described) == dict(own.types)
        forgotten = lake.rows(f"SELECT count(*) FROM {own.full_name}")
        assert forgotten[0][0] > 0


def test_nothing_proven_is_no_rows(tmp_path: Path) -> None:
    empty = ShopLake(tmp_path)
    for own in (PARTITION_SCORES, RULE_RESULTS):
        assert empty.rows(f"SELECT * FROM {own.full_name}") == []


def test_it_is_read_from_s3_too(lake: ShopLake, s3_store: ObjectStore) -> None:
    for info in lake.store.list(proofs_prefix()):
        s3_store.put(info.key, lake.store.get(info.key))
    compact_proofs(s3_store, dt.datetime.now(dt.UTC))
    on_s3 = replace(lake.workspace, store=s3_store)
    with on_s3.connection() as connection:
        for own in (PARTITION_SCORES, RULE_RESULTS):
            query = scoring.proof_rows(s3_store, on_s3.domain.tables, own)
            assert sorted(map(repr, connection.execute(query).fetchall())) == sorted(
                map(repr, lake.rows(f"FROM {own.full_name}"))
            )


def test_unchanged_and_failed_partitions_are_proven_too(lake: ShopLake) -> None:
    with lake.connection() as connection:
        node = lake.workspace.project.nodes["enriched.orders"]
        rebuild_partitions(connection, State(lake.workspace), node, [DAY], "by hand")
    lake.land("orders", "bad.json", text(*(order(f"bad{n}", 10 + n, amount="-1") for n in range(5))))
    lake.run("bad")
    assert [row[2:] for row in lake.rows(ORDERS) if row[1] == DAY] == [
        ("first", "published", 3, 2, 1, 66.6667),
        ("by hand", "unchanged", 3, 2, 1, 66.6667),
        ("bad", "failed", 8, 2, 6, 25.0),
    ]


def test_a_partition_on_which_the_sql_fails_has_no_score(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise duckdb.ConversionException("no number")

    monkeypatch.setattr("assay.pipeline.build.compute", fail)
    with lake.connection() as connection:
        node = lake.workspace.project.nodes["enriched.orders"]
        rebuild_partitions(connection, State(lake.workspace), node, [DAY, "2025-01-04"], "bad")
    assert lake.rows(
        "SELECT partition, row_count, score, money, balanced FROM quality.partition_scores WHERE status = 'failed' ORDER BY 1"
    ) == [(DAY, 0, None, None, False), ("2025-01-04", 0, None, None, False)]
    assert lake.rows("SELECT * FROM quality.rule_results WHERE run_id = 'bad'") == []


def test_a_run_with_nothing_to_do_writes_nothing(lake: ShopLake) -> None:
    before = lake.etags(proofs_prefix())
    lake.run("again")
    assert lake.etags(proofs_prefix()) == before


class TestRestored:
    def test_a_run_killed_before_writing_leaves_what_the_next_one_writes(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = lake.rows(EVERY)
        lake.land("orders", "more.json", text(order("x", 30, day="2025-01-05")))
        with monkeypatch.context() as killed:
            killed.setattr(scoring, "_write", _killed)
            with pytest.raises(KeyboardInterrupt):
                lake.run("killed")
        assert lake.rows(EVERY) == whole
        lake.run("next")
        assert [row[1:5] for row in lake.rows(ORDERS)][-1] == ("2025-01-05", "killed", "published", 1)

    def test_what_it_writes_is_what_was_not_written(self, lake: ShopLake) -> None:
        scores = "SELECT * FROM quality.partition_scores ORDER BY ALL"
        results = "SELECT * FROM quality.rule_results ORDER BY ALL"
        before = lake.rows(scores), lake.rows(results)
        forget(lake, proofs_prefix())
        # As it is when a kill came between publishing and the index.
        forget(lake, "audit/published/")
        lake.run("next")
        assert (lake.rows(scores), lake.rows(results)) == before

    def test_a_lost_index_writes_no_row_a_second_time(self, lake: ShopLake) -> None:
        before = lake.rows(EVERY)
        forget(lake, "audit/published/")
        lake.run("next")
        assert lake.rows(EVERY) == before

    def test_a_partition_that_an_older_assay_published_has_its_score(self, lake: ShopLake) -> None:
        forget(lake, proofs_prefix())
        table = lake.workspace.domain.tables["enriched.orders"]
        state = State(lake.workspace)
        older = {
            partition: replace(entry, scores={}, at_risk={}, is_scored=False)
            for partition, entry in state.index("enriched.orders").items()
        }
        state.remember(table, older)
        lake.run("next")
        assert lake.rows(ORDERS)[0][1:] == (DAY, "first", "published", 3, 2, 1, 66.6667)
        assert lake.rows(
            "SELECT DISTINCT money, money_score, validity FROM quality.partition_scores WHERE table_name = 'enriched.orders'"
        ) == [(None, None, None)]

    def test_a_history_that_somebody_deleted_is_restored_by_the_hourly_job(self, lake: ShopLake) -> None:
        before = lake.rows(EVERY)
        forget(lake, proofs_prefix())
        for restored in (len(before), 0):
            with lake.connection() as connection:
                assert restore_lost_proofs(connection, State(lake.workspace)) == restored
        assert lake.rows(EVERY) == before

    def test_an_object_of_somebody_else_was_never_proven(self, lake: ShopLake) -> None:
        path = lake.folder / "marts/shop_totals/data.parquet"
        with lake.connection() as connection:
            connection.execute(f"COPY (SELECT 1 AS x) TO '{path}' (FORMAT parquet)")
            node = lake.workspace.project.nodes["marts.shop_totals"]
            before = lake.etags(proofs_prefix())
            scoring.keep_missing_proofs(State(lake.workspace), node)
        assert lake.etags(proofs_prefix()) == before


def _killed(*arguments: Any) -> None:
    raise KeyboardInterrupt


class TestCompaction:
    def test_rows_stay_the_same_and_objects_become_one_a_month(self, lake: ShopLake) -> None:
        for number in range(3):
            lake.land("orders", f"{number}.json", text(order(f"n{number}", 40 + number)))
            lake.run(f"run {number}")
        before = lake.rows("SELECT * FROM quality.rule_results ORDER BY ALL"), lake.rows(EVERY)
        now = dt.datetime.now(dt.UTC)
        merged = compact_proofs(lake.store, now)
        assert (merged.removed, merged.proofs) == (0, len(before[1]))
        assert (lake.rows("SELECT * FROM quality.rule_results ORDER BY ALL"), lake.rows(EVERY)) == before
        merged = compact_proofs(lake.store, now + dt.timedelta(minutes=6))
        assert (merged.proofs, merged.removed) == (0, merged.objects)
        months = {f"{month:%Y-%m}" for (month,) in lake.rows("SELECT DISTINCT proven_at FROM quality.partition_scores")}
        assert set(lake.etags(proofs_prefix())) == {f"quality/proofs/months/{month}-0000.parquet" for month in months}
        assert (lake.rows("SELECT * FROM quality.rule_results ORDER BY ALL"), lake.rows(EVERY)) == before
        assert compact_proofs(lake.store, now).objects == 0

    def test_what_was_merged_stays_for_a_while_however_old_it_was_when_it_was_merged(self, lake: ShopLake) -> None:
        """Who has just listed the objects of runs still finds them, after the first merge and after one right behind it."""
        later = dt.datetime.now(dt.UTC)
        hour_ago = (later - dt.timedelta(hours=1)).timestamp()
        listed = [lake.store.path(key) for key in lake.etags(proofs_runs_prefix())]
        for path in listed:
            os.utime(path, (hour_ago, hour_ago))
        for seconds in (0, 2):
            compact_proofs(lake.store, later + dt.timedelta(seconds=seconds))
            assert all(Path(path).exists() for path in listed)
        assert compact_proofs(lake.store, dt.datetime.now(dt.UTC) + GRACE).removed == len(listed) > 0

    def test_two_that_merge_at_once_remove_nothing_that_either_has_just_merged(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        soon = dt.datetime.now(dt.UTC) + GRACE
        add, others = score_compaction._add, [lambda: compact_proofs(lake.store, soon)]

        def add_after_another(*args: Any) -> Any:
            if others:
                others.pop()()
            return add(*args)

        monkeypatch.setattr(score_compaction, "_add", add_after_another)
        before = set(lake.etags(proofs_runs_prefix()))
        assert compact_proofs(lake.store, soon).removed == 0
        assert set(lake.etags(proofs_runs_prefix())) == before

    def test_it_waits_until_it_is_worth_it(self, lake: ShopLake) -> None:
        assert compact_proofs(lake.store, dt.datetime.now(dt.UTC), at_least=64).objects == 0

    def test_an_object_that_is_large_is_not_added_to(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("assay.pipeline.score_compaction.LARGEST_BYTES", 1)
        before = lake.rows(EVERY)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        compact_proofs(lake.store, soon)
        lake.land("orders", "more.json", text(order("x", 30)))
        lake.run("more")
        compact_proofs(lake.store, soon)
        assert len(lake.etags(proofs_months_prefix())) == 2
        assert len(lake.rows(EVERY)) > len(before)

    def test_whoever_always_comes_second_gives_up(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("assay.pipeline.score_compaction.ATTEMPTS", 0)
        with pytest.raises(StoreError, match="others keep merging them first"):
            compact_proofs(lake.store, dt.datetime.now(dt.UTC))


ACTIONS = st.lists(st.sampled_from(["run", "kill", "compact", "kill compaction", "lose index"]), max_size=7)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_whatever_happens_between_published_partitions_have_their_row_once(
    actions: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = ShopLake(tmp_path_factory.mktemp("fuzzed"))
    lake.land("customers", "c.json", text(customer("c1", 1)))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    for number, action in enumerate(actions):
        lake.land("orders", f"{number}.json", text(order(f"o{number}", 10 + number, day=f"2025-01-0{1 + number % 3}")))
        with pytest.MonkeyPatch.context() as patched:
            if action == "kill":
                patched.setattr(scoring, "_write", _killed)
                with pytest.raises(KeyboardInterrupt):
                    lake.run(f"run {number}")
            elif action == "run":
                lake.run(f"run {number}")
            elif action == "lose index":
                lake.store.delete(index_key(lake.workspace.domain.tables["enriched.orders"]))
            else:
                if action == "kill compaction":
                    patched.setattr(type(lake.store), "delete", _killed)
                try:
                    compact_proofs(lake.store, later)
                except KeyboardInterrupt:
                    assert action == "kill compaction"
    lake.run("last")
    rows = lake.rows("SELECT table_name, partition, run_id, proven_at FROM quality.partition_scores")
    assert len(rows) == len(set(rows))
    published = {
        (name, partition, entry.run_id, dt.datetime.fromisoformat(entry.published_at))
        for name in lake.workspace.domain.tables
        for partition, entry in State(lake.workspace).index(name).items()
    }
    assert published <= set(rows)
    assert published or not actions
