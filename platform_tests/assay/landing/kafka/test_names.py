"""The names that sinks give to objects."""

from __future__ import annotations

import pytest

from assay.landing.kafka.names import Holds, SinkObject, position, sink_object


class TestNames:
    @pytest.mark.parametrize(
        ("key", "topic", "partition", "offset"),
        [
            ("landing/x/topics/shop.orders/partition=3/shop.orders+3+0000000012.json", "shop.orders", 3, 12),
            ("landing/x/shop.orders+3+0000000012.json.gz", "shop.orders", 3, 12),
            ("landing/x/shop.orders+0+0000000012.snappy.parquet", "shop.orders", 0, 12),
            ("landing/x/a+b+1+3+0000000012.avro", "a+b+1", 3, 12),
            ("landing/x/a+0+123456789012345.json", "a", 0, 123456789012345),
            ("landing/x/topics/a/year=2025/month=01/day=03/hour=10/a+0+0000000000.json", "a", 0, 0),
            ("landing/x/shop.orders-3-12.gz", "shop.orders", 3, 12),
            ("landing/x/shop-orders-v2-3-12", "shop-orders-v2", 3, 12),
            ("landing/x/shop.orders-3-12.jsonl.gz", "shop.orders", 3, 12),
        ],
    )
    def test_values(self, key: str, topic: str, partition: int, offset: int) -> None:
        assert sink_object(key) == SinkObject(topic, partition, offset, "values")
        assert position(key) == (partition, offset)

    @pytest.mark.parametrize(
        ("key", "holds"),
        [
            ("landing/x/a/partition=0/a+0+0000000012.keys.json", "keys"),
            ("landing/x/a/partition=0/a+0+0000000012.headers.json.gz", "headers"),
            ("landing/x/a/partition=0/a+0+0000000012.keys.avro", "keys"),
            ("landing/x/a/tombstone/a+0+0000000012.keys.json", "tombstones"),
            ("landing/x/a/tombstone/year=2025/a+0+0000000012.json", "tombstones"),
            ("landing/x/a/tombstone/a+0+0000000012.headers.json", "headers"),
            ("landing/x/a/tombstones/a+0+0000000012.json", "values"),
            ("landing/x/a/partition=0/keys+0+0000000012.json", "values"),
        ],
    )
    def test_what_is_beside_the_values(self, key: str, holds: Holds) -> None:
        found = sink_object(key)
        assert found is not None
        assert found.holds == holds

    @pytest.mark.parametrize(
        "key", ["landing/x/orders.json", "landing/x/a+0.json", "landing/tombstone/orders.keys.json", "landing/x/LOAD00000001.csv"]
    )
    def test_names_that_no_sink_gives(self, key: str) -> None:
        assert sink_object(key) is None
        assert position(key) is None

    def test_offsets_are_ordered_as_numbers(self) -> None:
        names = ["a+0+9999999999.json", "a+0+10000000000.json", "a+2+0000000001.json", "a+10+0000000001.json"]
        assert sorted(sorted(names), key=lambda name: position(name) or (0, 0)) == names
