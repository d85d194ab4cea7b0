"""Packing: a question reads copies only of what is published, and a kill or a race at any point changes no answer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from change_lines import order, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.lake.layout import packs_index_key, packs_prefix
from assay.pipeline import packing
from assay.pipeline.packing import AT_LEAST, Packed, pack, packed_files, read_packs
from assay.pipeline.query import query
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table

TABLE = "enriched.orders"
FIRST = dt.date(2025, 1, 10)
DAYS = [FIRST + dt.timedelta(days=each) for each in range(30)]
"""The last days of January, and nine of February."""
NO_GRACE = dt.timedelta(0)


def later() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with an order a day."""
    found = ShopLake(tmp_path)
    land(found, "1", dict.fromkeys(range(len(DAYS)), 10))
    found.run("first")
    return found


def land(lake: ShopLake, name: str, amounts: dict[int, int], since: int = 0, op: str = "c") -> None:
    lines = (
        order(f"o{key}", since + place, day=DAYS[key].isoformat(), amount=f"{amount}.00", op=op)
        for place, (key, amount) in enumerate(amounts.items(), start=1)
    )
    lake.land("orders", f"{name}.json", text(*lines))


def packed(lake: ShopLake, grace: dt.timedelta = NO_GRACE) -> Packed:
    with lake.connection() as connection:
        return pack(connection, State(lake.workspace), lake.workspace.project.nodes[TABLE], later(), grace)


def objects(lake: ShopLake) -> list[str]:
    prefix = packs_prefix(lake.workspace.domain.tables[TABLE])
    return sorted(key for key in lake.etags(prefix) if key.endswith(".parquet"))


def opened(lake: ShopLake, first: int = 0, last: int = len(DAYS) - 1) -> tuple[int, int]:
    """How many packs and how many published objects the days are read from."""
    days = [day.isoformat() for day in DAYS[first : last + 1]]
    paths = [path for files in packed_files(State(lake.workspace), TABLE, days) for path in files.paths]
    packs = sum("/packed/" in path for path in paths)
    return packs, len(paths) - packs


def answers(lake: ShopLake) -> list[tuple[object, ...]]:
    return lake.rows(f"SELECT order_id, order_day, amount, processing_timestamp FROM {TABLE} ORDER BY 1")


def single(lake: ShopLake) -> list[tuple[object, ...]]:
    """The same from the published objects alone."""
    paths = [str(path) for path in sorted((lake.folder / "enriched/orders").rglob("data.parquet"))]
    with lake.connection() as connection:
        return connection.execute(
            "SELECT order_id, order_day, amount, processing_timestamp "
            f"FROM read_parquet({paths}, hive_partitioning=false) ORDER BY 1"
        ).fetchall()


def test_a_month_is_read_from_one_object_once_it_is_complete(lake: ShopLake) -> None:
    assert opened(lake) == (0, 30)
    before = answers(lake)
    assert packed(lake) == Packed(months=1)
    assert opened(lake) == (1, 8)
    assert answers(lake) == before == single(lake)
    assert packed(lake) == Packed()


def test_days_of_a_month_are_read_from_its_pack(lake: ShopLake) -> None:
    packed(lake)
    assert opened(lake, 2, 12) == (1, 0)
    with lake.connection() as connection:
        state = State(lake.workspace)
        files = packed_files(state, TABLE, [day.isoformat() for day in DAYS[2:13]])
        assert files[0].only is not None
        rows = query(connection, state, f"SELECT count(*) FROM {TABLE}").fetchall()
    assert rows == [(30,)]
    assert opened(lake, 0, AT_LEAST - 2) == (0, AT_LEAST - 1), "few days are not worth a look at the list"


def test_a_changed_day_is_read_from_its_own_object_until_it_is_packed_again(lake: ShopLake) -> None:
    packed(lake)
    (old,) = objects(lake)
    land(lake, "2", {3: 99}, since=100, op="u")
    lake.run("late")
    assert opened(lake) == (1, 9)
    assert answers(lake) == single(lake)
    assert packed(lake) == Packed(months=1)
    assert opened(lake) == (1, 8)
    assert answers(lake) == single(lake)
    assert old in objects(lake), "the list that names it may still be in use"
    assert packed(lake) == Packed(removed=1)
    assert old not in objects(lake)


def test_what_is_written_and_not_listed_goes_once_it_is_old(lake: ShopLake) -> None:
    packed(lake)
    lake.store.delete(packs_index_key(lake.workspace.domain.tables[TABLE]))
    assert packed(lake, grace=dt.timedelta(days=1)) == Packed(months=1)
    assert len(objects(lake)) == 2
    assert packed(lake) == Packed(removed=1)
    assert opened(lake) == (1, 8)


def test_a_day_that_is_replaced_while_it_is_copied_is_not_listed(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    written = packing._write

    def slow(*arguments: object) -> object:
        land(lake, "2", {3: 99}, since=100, op="u")
        lake.run("beside")
        monkeypatch.setattr(packing, "_write", written)
        return written(*arguments)

    monkeypatch.setattr(packing, "_write", slow)
    assert packed(lake, grace=dt.timedelta(days=1)) == Packed()
    assert read_packs(lake.store, lake.workspace.domain.tables[TABLE]) == {}
    assert packed(lake) == Packed(months=1, removed=1)
    assert answers(lake) == single(lake)


@pytest.mark.parametrize("what", ["packs", "list", "both"])
def test_packs_may_be_lost(lake: ShopLake, what: str) -> None:
    packed(lake)
    lost = [] if what == "list" else objects(lake)
    lost += [] if what == "packs" else [packs_index_key(lake.workspace.domain.tables[TABLE])]
    for key in lost:
        lake.store.delete(key)
    assert opened(lake) == (0, 30)
    assert answers(lake) == single(lake)
    assert packed(lake).months == 1
    assert opened(lake) == (1, 8)


def test_partitions_of_many_rows_stay_as_they_are(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_CELLS", 100)
    assert packed(lake) == Packed()
    assert objects(lake) == []


def test_packs_of_an_older_contract_are_replaced(lake: ShopLake) -> None:
    packed(lake)
    table = lake.workspace.domain.tables[TABLE]
    index = lake.store.get(packs_index_key(table)).replace(table.version.encode(), b"older")
    lake.store.put(packs_index_key(table), index)
    assert packed(lake) == Packed(months=1)


STEPS = st.lists(
    st.one_of(st.just(None), st.dictionaries(st.integers(0, len(DAYS) - 1), st.integers(1, 50), min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_lands_between_packings_answers_are_those_of_the_published_objects(
    steps: list[dict[int, int] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = ShopLake(tmp_path_factory.mktemp("lake"))
    land(lake, "first", dict.fromkeys(range(0, len(DAYS), 2), 10))
    lake.run("first")
    for number, step in enumerate(steps, start=1):
        if step is None:
            packed(lake)
        else:
            land(lake, f"{number}", step, since=100 * number, op="u")
            lake.run(f"run {number}")
        assert answers(lake) == single(lake)
    with lake.connection() as connection:
        found = verify_table(connection, State(lake.workspace), lake.workspace.project.nodes[TABLE])
    assert found and all(each.is_same for each in found)
