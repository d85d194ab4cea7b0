"""Names and chains of objects: the lake tells where to go on."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from assay.capture.objects import Channel, next_offset, pack, put_segment, span_end
from assay.errors import Conflict, StoreError
from assay.lake import ObjectStore
from assay.landing.files.fetch import fetch

CHANNEL = Channel("orders", "shop.public.orders", 2)


def test_objects_are_named_as_kafka_connect_names_them() -> None:
    folder = "landing/orders/topics/shop.public.orders/partition=2"
    assert CHANNEL.key(17) == f"{folder}/shop.public.orders+2+0000000017.json.gz"
    assert CHANNEL.offset_of(CHANNEL.key(17)) == 17
    assert CHANNEL.offset_of(CHANNEL.key(12_345_678_901)) == 12_345_678_901
    assert CHANNEL.offset_of(f"{folder}/shop.public.orders+2+0000000017.keys.json.gz") is None


def test_equal_lines_give_equal_bytes() -> None:
    assert pack([b"a", b"b"], 5, 9) == pack([b"a", b"b"], 5, 9)
    assert gzip.decompress(pack([b"a", b"b"], 5, 9)) == b"a\nb\n"


def test_an_object_says_where_it_ends_though_offsets_have_gaps() -> None:
    assert span_end(pack([b"a", b"b"], 5, 9), 5) == 9


def test_another_programs_object_ends_with_its_last_line() -> None:
    assert span_end(gzip.compress(b"a\nb\nc\n"), 10) == 12


def test_what_is_no_gzip_is_an_error() -> None:
    with pytest.raises(StoreError, match="not a complete gzip file"):
        span_end(b"{}" * 20, 10)


def test_the_next_object_begins_after_the_last(file_store: ObjectStore) -> None:
    assert next_offset(file_store, CHANNEL) == 0
    put_segment(file_store, CHANNEL, [b"a"], 3, 3)
    put_segment(file_store, CHANNEL, [b"b"], 9_999_999_999, 9_999_999_999)
    put_segment(file_store, CHANNEL, [b"c", b"d"], 10_000_000_000, 10_000_000_004)
    assert next_offset(file_store, CHANNEL) == 10_000_000_005


def test_other_partitions_and_topics_are_apart(file_store: ObjectStore) -> None:
    put_segment(file_store, Channel("orders", "shop.public.orders", 20), [b"a"], 7, 7)
    put_segment(file_store, Channel("orders", "shop.public.orders+2+1", 0), [b"a"], 7, 7)
    assert next_offset(file_store, CHANNEL) == 0


def test_a_name_is_never_written_twice(file_store: ObjectStore) -> None:
    put_segment(file_store, CHANNEL, [b"a"], 3, 3)
    with pytest.raises(Conflict):
        put_segment(file_store, CHANNEL, [b"b"], 3, 3)


def test_ingestion_reads_the_objects(file_store: ObjectStore, tmp_path: Path) -> None:
    put_segment(file_store, CHANNEL, [b'{"a":1}', b'{"a":2}'], 3, 4)
    (file,) = fetch(file_store, list(file_store.list("landing/")), tmp_path)
    assert file.path.read_bytes() == b'{"a":1}\n{"a":2}\n'
