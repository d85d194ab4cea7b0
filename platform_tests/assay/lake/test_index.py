"""The index: a memory of the published objects that may be lost, stale or ahead, and never makes a wrong statement."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shop

from assay.lake import ObjectStore
from assay.lake.index import FOREIGN, METADATA_KEY, Entry, read_index, write_index
from assay.lake.layout import index_key, partition_key

ORDERS = shop.DOMAIN.tables["enriched.orders"]
D3, D4 = "2025-01-03", "2025-01-04"


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each kind of store in turn."""
    found: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return found


def entry(content: str) -> Entry:
    return Entry(
        contract="v",
        code="c",
        inputs="i",
        lookups={"enriched.customers": {"content": "x", "rows": "y"}},
        content=content,
        refused="none",
        rows=1,
        staged=2,
        books={"received": 2},
        score=50.0,
        rules={"amount_at_least": 1},
        run_id="run",
        published_at="2025-01-10T00:00:00+00:00",
        quarantine="q",
    )


def publish(store: ObjectStore, partition: str, content: str, folder: Path) -> Entry:
    path = folder / "local.parquet"
    pq.write_table(pa.table({"order_id": ["o1"]}).replace_schema_metadata({METADATA_KEY: entry(content).to_json()}), path)
    return replace(entry(content), etag=store.put(partition_key(ORDERS, partition), path).etag)


def test_nothing_published_is_an_empty_index(store: ObjectStore) -> None:
    write_index(store, ORDERS, {D3: entry("gone")})
    assert read_index(store, ORDERS) == {}


def test_without_a_memory_the_objects_say_what_they_are(store: ObjectStore, tmp_path: Path) -> None:
    published = {day: publish(store, day, day, tmp_path) for day in (D3, D4)}
    assert read_index(store, ORDERS) == published


def test_what_is_remembered_of_the_very_object_is_believed(store: ObjectStore, tmp_path: Path) -> None:
    published = publish(store, D3, "a", tmp_path)
    proven_anew = replace(published, inputs="newer inputs, same content")
    write_index(store, ORDERS, {D3: proven_anew})
    assert read_index(store, ORDERS) == {D3: proven_anew}


def test_an_entry_of_before_there_were_scores_by_dimension_is_one_of_ours(store: ObjectStore, tmp_path: Path) -> None:
    written = json.loads(entry("old").to_json())
    older = {name: value for name, value in written.items() if name not in ("scores", "at_risk", "measures", "unmet")}
    path = tmp_path / "old.parquet"
    pq.write_table(pa.table({"order_id": ["o1"]}).replace_schema_metadata({METADATA_KEY: json.dumps(older)}), path)
    etag = store.put(partition_key(ORDERS, D3), path).etag
    assert read_index(store, ORDERS) == {D3: replace(entry("old"), etag=etag)}


def test_what_is_remembered_of_an_older_object_is_not(store: ObjectStore, tmp_path: Path) -> None:
    write_index(store, ORDERS, {D3: publish(store, D3, "old", tmp_path)})
    newer = publish(store, D3, "new", tmp_path)
    assert read_index(store, ORDERS) == {D3: newer}


def test_a_partition_whose_object_is_gone_is_not_published(store: ObjectStore, tmp_path: Path) -> None:
    write_index(store, ORDERS, {day: publish(store, day, day, tmp_path) for day in (D3, D4)})
    store.delete(partition_key(ORDERS, D3))
    assert list(read_index(store, ORDERS)) == [D4]


def test_writing_some_entries_keeps_the_others(store: ObjectStore, tmp_path: Path) -> None:
    published = {day: publish(store, day, day, tmp_path) for day in (D3, D4)}
    for day in (D3, D4):
        write_index(store, ORDERS, {day: replace(published[day], inputs="remembered")})
    assert {found.inputs for found in read_index(store, ORDERS).values()} == {"remembered"}


def test_writing_nothing_writes_nothing(store: ObjectStore) -> None:
    write_index(store, ORDERS, {})
    assert [info.key for info in store.list(index_key(ORDERS))] == []


def test_an_object_without_metadata_is_none_of_ours(store: ObjectStore, tmp_path: Path) -> None:
    pq.write_table(pa.table({"order_id": ["o1"]}), tmp_path / "foreign.parquet")
    store.put(partition_key(ORDERS, D3), tmp_path / "foreign.parquet")
    (found,) = read_index(store, ORDERS).values()
    assert found == replace(FOREIGN, etag=store.head(partition_key(ORDERS, D3)).etag)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all", b"\xff" * 200_000])
def test_what_is_no_parquet_file_is_none_of_ours(store: ObjectStore, content: bytes) -> None:
    store.put(partition_key(ORDERS, D3), content)
    (found,) = read_index(store, ORDERS).values()
    assert replace(found, etag="") == FOREIGN


def test_metadata_of_any_size_are_read(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    wide = pa.table({f"a column with a rather long name {place}": [place] for place in range(1_000)})
    pq.write_table(wide.replace_schema_metadata({METADATA_KEY: entry("wide").to_json()}), path)
    assert pq.read_metadata(path).serialized_size > 1 << 16
    store.put(partition_key(ORDERS, D3), path)
    (found,) = read_index(store, ORDERS).values()
    assert found.content == "wide"
