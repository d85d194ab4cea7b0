"""Objects with restatements: however they are merged, and wherever a merge stops, each restatement is there once."""

from __future__ import annotations

import datetime as dt
import io
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import fair
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from change_lines import change, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.lake import ObjectStore
from assay.lake.layout import merged_restatements_prefix, quality_prefix, restatement_key
from assay.pipeline import restatement_objects
from assay.pipeline.changes import history
from assay.pipeline.query import query
from assay.pipeline.restatement_objects import AT_LEAST, GRACE, Merged, merge_restatements
from assay.pipeline.state import State
from assay.quality.own_tables import RESTATEMENTS

MART, OTHER = "marts.street_day", "marts.fair_day"
NOW = dt.datetime.now(dt.UTC)
SOON, LATER, MUCH_LATER = NOW + dt.timedelta(hours=1), NOW + 2 * GRACE, NOW + 4 * GRACE
PREFIX = quality_prefix("restatements")
_names = itertools.count()


class KilledError(BaseException):
    """A process ends."""


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A fair that nothing has landed of."""
    return ShopLake(tmp_path, fair.DOMAIN)


def restate(lake: ShopLake, mart: str = MART, count: int = 1) -> None:
    """Keep restatements as so many runs do, of versions that have been replaced since."""
    for _ in range(count):
        number = next(_names)
        row = {"table_name": mart, "partition": dt.date(2024, 1, 30), "key": f'{{"street":"{number}"}}', "metric": "sale_count"}
        row |= {"before": "1", "after": "2", "reported_at": NOW, "restated_at": NOW, "seen_until": NOW, "run_id": "late"}
        body = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([row], RESTATEMENTS.schema), body)
        lake.store.put(restatement_key(lake.workspace.domain.tables[mart], "2024-01-30", f"v{number}", "late"), body.getvalue())


def merged(lake: ShopLake, now: dt.datetime = LATER, **options: Any) -> Merged:
    with lake.connection() as connection:
        return merge_restatements(connection, State(lake.workspace), now, **options)


def told(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT table_name, key FROM quality.restatements ORDER BY ALL")


def objects(lake: ShopLake) -> tuple[int, int]:
    """How many objects there are of runs, and how many merged ones."""
    keys = [info.key for info in lake.store.list(PREFIX) if info.key.endswith(".parquet")]
    both = sum(key.startswith(merged_restatements_prefix()) for key in keys)
    return len(keys) - both, both


class TestMerging:
    def test_objects_of_a_table_become_one(self, lake: ShopLake) -> None:
        restate(lake, MART, AT_LEAST)
        restate(lake, OTHER, AT_LEAST - 1)
        before = told(lake)

        assert merged(lake) == Merged(objects=AT_LEAST)
        assert objects(lake) == (2 * AT_LEAST - 1, 1), "a query may have looked for them before"
        assert told(lake) == before

        assert merged(lake) == Merged(removed=AT_LEAST)
        assert objects(lake) == (AT_LEAST - 1, 1)
        assert told(lake) == before
        assert merged(lake) == Merged()

    def test_more_of_them_are_merged_with_what_is_merged_already(self, lake: ShopLake) -> None:
        restate(lake, count=AT_LEAST)
        merged(lake)
        restate(lake, count=AT_LEAST)
        before = told(lake)
        assert merged(lake, MUCH_LATER) == Merged(objects=AT_LEAST, removed=AT_LEAST)
        assert merged(lake, MUCH_LATER) == Merged(removed=AT_LEAST + 1)
        assert objects(lake) == (0, 1)
        assert told(lake) == before

    def test_large_ones_are_left_alone(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        restate(lake, count=AT_LEAST)
        merged(lake)
        monkeypatch.setattr(restatement_objects, "LARGEST_BYTES", 1)
        restate(lake, count=AT_LEAST)
        assert merged(lake, MUCH_LATER) == Merged(removed=AT_LEAST)
        assert objects(lake) == (AT_LEAST, 1)

    def test_young_ones_wait_because_their_run_may_remove_them(self, lake: ShopLake) -> None:
        restate(lake, count=AT_LEAST)
        assert merged(lake, SOON, grace=dt.timedelta(0)) == Merged()

    def test_of_two_at_once_one_counts(self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
        restate(lake, count=AT_LEAST)
        before, write, others = told(lake), restatement_objects._write, [lambda: merged(lake)]

        def write_after_another(*arguments: Any) -> str:
            for other in [others.pop()] if others else []:
                assert other() == Merged(objects=AT_LEAST)
            return write(*arguments)

        monkeypatch.setattr(restatement_objects, "_write", write_after_another)
        assert merged(lake) == Merged()
        assert told(lake) == before
        assert merged(lake) == Merged(removed=AT_LEAST + 1), "with the one that is not listed"
        assert (told(lake), objects(lake)) == (before, (0, 1))

    def test_on_s3(self, s3_store: ObjectStore, tmp_path: Path) -> None:
        lake = ShopLake(tmp_path, fair.DOMAIN, s3_store)
        restate(lake, count=AT_LEAST)
        with lake.workspace.connection() as connection:
            for expected in (Merged(objects=AT_LEAST), Merged(removed=AT_LEAST), Merged()):
                state = State(lake.workspace)
                assert merge_restatements(connection, state, LATER) == expected
                assert query(connection, state, "SELECT count(DISTINCT key), count(*) FROM quality.restatements").fetchall() == [
                    (AT_LEAST, AT_LEAST)
                ]


def test_restatements_of_real_runs(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was replaced since is merged; what a run has kept of a version that still stands is not, and does not count."""
    monkeypatch.setattr(restatement_objects, "AT_LEAST", 2)

    def landed(name: str, *lines: str) -> None:
        lake.land("sales", f"{name}.json", text(*lines))
        lake.run(name)

    def sale(key: str, position: int, day: str) -> str:
        given = {"sale_id": key, "stall": "s1", "coin": "crown", "pieces": "2", "hour": "9", "day": day}
        return change("sales", "c", position, given)

    lake.land("coins", "1.json", text(change("coins", "c", 1, {"coin": "crown", "worth": "5.00"})))
    lake.land("stalls", "1.json", text(change("stalls", "c", 1, {"stall": "s1", "street": "north", "keeper": "ida"})))
    landed("first", sale("a", 1, "2024-01-30"), sale("b", 2, "2024-01-31"), sale("c", 3, "2024-02-01"))
    landed("late", sale("d", 4, "2024-01-30"))
    landed("later", sale("e", 5, "2024-01-30"))

    def changes() -> list[tuple[str | None, str | None]]:
        with lake.connection() as connection:
            found = history(connection, State(lake.workspace), "sale_count", MART, {"street": "north"})
        return [(each.before, each.after) for each in found]

    assert changes() == [("1", "2"), ("2", "3")]
    before, (single, none) = lake.rows("SELECT * FROM quality.restatements ORDER BY ALL"), objects(lake)
    assert single > none == 0
    assert merged(lake).objects == single
    assert merged(lake).removed == single
    assert changes() == [("1", "2"), ("2", "3")]
    assert lake.rows("SELECT * FROM quality.restatements ORDER BY ALL") == before
    landed("last", sale("f", 6, "2024-01-30"))
    assert changes() == [("1", "2"), ("2", "3"), ("3", "4")]


@pytest.mark.parametrize("what", ["put", "delete"])
@pytest.mark.parametrize("at", range(12))
def test_a_merge_that_is_killed_loses_nothing(lake: ShopLake, monkeypatch: pytest.MonkeyPatch, what: str, at: int) -> None:
    """A kill before each write and each deletion of a merge, the first of new objects and the next of replaced ones."""
    restate(lake, count=AT_LEAST)
    merged(lake)
    restate(lake, count=AT_LEAST)
    restate(lake, OTHER, AT_LEAST)
    before = told(lake)
    with monkeypatch.context() as killed:
        done, left = getattr(type(lake.store), what), itertools.count()

        def count(store: ObjectStore, *arguments: Any, **options: Any) -> Any:
            if next(left) >= at:
                raise KilledError
            return done(store, *arguments, **options)

        killed.setattr(type(lake.store), what, count)
        with suppress(KilledError):
            merged(lake, MUCH_LATER)
        assert told(lake) == before
    for _ in range(3):
        merged(lake, MUCH_LATER)
        assert told(lake) == before
    assert objects(lake) == (0, 2)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([MART, OTHER]), st.integers(1, 5)),
        st.sampled_from(["merge", "merge without grace", "kill before list", "kill after list"]),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_any_order_each_restatement_is_there_once(steps: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = ShopLake(tmp_path_factory.mktemp("lake"), fair.DOMAIN)
    expected: list[tuple[Any, ...]] = []
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            restate(lake, *step)
            expected = told(lake)
            assert len(expected) == sum(each[1] for each in steps[: number + 1] if isinstance(each, tuple))
            continue
        with pytest.MonkeyPatch.context() as patched:
            if step == "kill before list":
                patched.setattr(restatement_objects, "_replace", _killed)
            if step == "kill after list":
                patched.setattr(type(lake.store), "delete", _killed)
            grace = dt.timedelta(0) if step == "merge without grace" else GRACE
            with suppress(KilledError):
                merged(lake, LATER + number * GRACE, grace=grace)
        assert told(lake) == expected


def _killed(*arguments: Any) -> None:
    raise KilledError
