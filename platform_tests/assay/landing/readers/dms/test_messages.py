"""Messages of AWS DMS from Kafka and Kinesis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Event, Number, column, source
from assay.landing.formats import DmsJson


def product_lake(folder: Path, form: DmsJson | None = None) -> ShopLake:
    @source("product", format=form or DmsJson(table="test.product"), key=("id",), owner="team:x", subject="x")
    class Product(Event):
        """Products."""

        id: int = column("Key")
        name: str = column("Text", nullable=True)
        weight: Number = column("Weight", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Product], {}))


def message(operation: str, data: dict[str, Any], at: str = "2025-01-03T10:15:00.000001Z", **more: Any) -> bytes:
    metadata = {
        "timestamp": at,
        "record-type": "data",
        "operation": operation,
        "partition-key-type": "schema-table",
        "schema-name": "test",
        "table-name": "product",
    }
    return json.dumps({"data": data, "metadata": metadata | more.pop("metadata", {})} | more).encode() + b"\n"


def read(folder: Path, files: dict[str, bytes], form: DmsJson | None = None) -> ShopLake:
    lake = product_lake(folder, form)
    for name, content in files.items():
        lake.land("product", name, content)
    lake.ingest("product")
    return lake


def latest(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT id, name, weight FROM latest.product ORDER BY id")


class TestMessages:
    def test_every_operation(self, tmp_path: Path) -> None:
        lake = read(
            tmp_path,
            {
                "product+2+0000000012.json": message("load", {"id": 1, "name": "a", "weight": 0.5})
                + message("insert", {"id": 2, "name": "b", "weight": 1.5})
                + message("update", {"id": 1, "name": "c", "weight": 0.5})
                + message("delete", {"id": 2, "name": "b"})
            },
        )
        assert lake.rows(
            "SELECT id, _op, name, _sequence, _source_timestamp::VARCHAR FROM changes.product ORDER BY _landing_row"
        ) == [
            (1, "r", "a", [0, 1735899300000001, 2, 12, 1], None),
            (2, "c", "b", [1, 1735899300000001, 2, 12, 2], "2025-01-03 10:15:00.000001+00"),
            (1, "u", "c", [1, 1735899300000001, 2, 12, 3], "2025-01-03 10:15:00.000001+00"),
            (2, "d", None, [1, 1735899300000001, 2, 12, 4], "2025-01-03 10:15:00.000001+00"),
        ]
        assert latest(lake) == [(1, "c", 0.5)]

    def test_control_records_are_messages(self, tmp_path: Path) -> None:
        control = {"record-type": "control", "operation": "create-table"}
        lake = product_lake(tmp_path)
        lake.land("product", "a+0+0000000000.json", message("", {}, metadata=control) + message("insert", {"id": 1}))
        done = lake.ingest("product")
        assert (done.records, done.quarantined) == (2, 0)
        assert latest(lake) == [(1, None, None)]

    def test_other_tables_are_ignored(self, tmp_path: Path) -> None:
        content = message("insert", {"x": 1}, metadata={"table-name": "other"})
        content += message("insert", {"id": 7}, metadata={"schema-name": "other"}) + message("insert", {"id": 1})
        lake = read(tmp_path, {"a+0+0000000000.json": content})
        assert lake.rows("SELECT id, _landing_row FROM changes.product") == [(1, 3)]
        assert lake.refused("product") == []

    @pytest.mark.parametrize(("omits_nulls", "missing"), [(True, None), (False, ["name", "weight"])])
    def test_a_column_that_is_not_there(self, tmp_path: Path, omits_nulls: bool, missing: list[str] | None) -> None:
        form = DmsJson(table="product", omits_nulls=omits_nulls)
        lake = read(tmp_path, {"a+0+0000000000.json": message("update", {"id": 1, "colour": "red"})}, form)
        assert lake.rows("SELECT _missing, _rescued FROM changes.product") == [(missing, '{"colour":"red"}')]

    def test_a_changed_key_deletes_the_old_one(self, tmp_path: Path) -> None:
        content = message("insert", {"id": 1, "name": "a"}) + message(
            "update", {"id": 2, "name": "a"}, **{"before-image": {"id": 1}}
        )
        lake = read(
            tmp_path, {"a+0+0000000000.json": content + message("update", {"id": 2, "name": "b"}, **{"before-image": {"id": 2}})}
        )
        assert latest(lake) == [(2, "b", None)]
        assert lake.rows("SELECT id, _op FROM changes.product ORDER BY _sequence, _op DESC") == [
            (1, "c"),
            (2, "u"),
            (1, "d"),
            (2, "u"),
        ]

    def test_before_images_may_be_among_the_columns(self, tmp_path: Path) -> None:
        content = message("insert", {"id": 1}) + message("update", {"id": 2, "name": "a", "BI_id": 1, "BI_name": None})
        lake = read(tmp_path, {"a+0+0000000000.json": content})
        assert latest(lake) == [(2, "a", None)]
        assert lake.rows("SELECT DISTINCT _rescued FROM changes.product") == [(None,)]

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"{not JSON\n", "not a JSON document"),
            (b"[1]\n", "not a JSON document"),
            (b'{"id": 1}\n', "not a message of DMS: it has no metadata"),
            (b'{"data":{"id":1},"metadata":{"operation":"insert"}}\n', "not a message of DMS: it names no table"),
            (message("merge", {"id": 1}), "operation merge is no row change"),
            (message("insert", {"id": 1}, at="soon"), "no source position: the message has no timestamp"),
            (message("insert", {"name": "x"}), "the key column id is null"),
        ],
    )
    def test_what_is_no_change_is_refused(self, tmp_path: Path, bad: bytes, reason: str) -> None:
        lake = read(tmp_path, {"a+0+0000000000.json": message("insert", {"id": 1}) + bad})
        assert [(line, said) for _, line, said in lake.refused("product")] == [(2, reason)]


class TestOrder:
    @pytest.mark.parametrize(
        ("older", "newer"),
        [("a+0+9999999999.json", "a+0+10000000000.json"), ("x/day=4/a-0-9", "x/day=3/a-0-10")],
    )
    def test_of_one_time_the_offset_decides(self, tmp_path: Path, older: str, newer: str) -> None:
        lake = read(
            tmp_path, {newer: message("update", {"id": 1, "name": "newer"}), older: message("update", {"id": 1, "name": "older"})}
        )
        assert latest(lake) == [(1, "newer", None)]

    def test_a_load_is_older_than_every_change(self, tmp_path: Path) -> None:
        content = message("update", {"id": 1, "name": "changed"}) + message(
            "load", {"id": 1, "name": "loaded"}, at="2025-02-01T00:00:00Z"
        )
        assert latest(read(tmp_path, {"a+0+0000000000.json": content})) == [(1, "changed", None)]


class TestSamples:
    def test_a_schema_that_changes(self, tmp_path: Path, real_data: Callable[[str], Path]) -> None:
        samples = sorted(real_data("cdc_samples/paimon/aws-dms/table/schemaevolution").iterdir())
        # The samples begin with a licence, and all their messages are of one time.
        files = {f"product+0+{place:010}.json": path.read_bytes().split(b"*/", 1)[1] for place, path in enumerate(samples)}
        lake = read(tmp_path, files)
        assert lake.refused("product") == []
        assert latest(lake) == [
            (102, "car battery", 8.1),
            (103, "12-pack drill bits", None),
            (104, "hammer", 0.75),
            (105, "hammer", 0.875),
            (107, "rocks", 5.3),
        ]
        assert lake.rows("SELECT _rescued FROM changes.product WHERE id = 105 ORDER BY _sequence") == [
            ('{"description":"14oz carpenter\'s hammer","address":"Shanghai"}',),
            ('{"description":"14oz carpenter\'s hammer","address":"Beijing"}',),
        ]
