"""Quarantine: each refused row with every rule it broke and the landing record it came from."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from assay.quality import quarantine
from assay.quality.books import Books
from assay.quality.proof import prove
from assay.quality.quarantine import collect_refused, examples, write_quarantine

DAY = "2025-01-03"

EARLIER, LATER = "2025-01-01 00:00:00+00", "2025-01-02 00:00:00+00"


def refuse(proving, rows) -> None:
    proving.stage(rows)
    prove(proving.connection, proving.node, [DAY], {DAY: Books()})
    collect_refused(proving.connection, proving.project, proving.node)


def test_a_refused_row_says_why_and_where_it_came_from(proving, tmp_path: Path) -> None:
    refuse(proving, [{}, {"amount": "-5.00", "kind": "z", "_landing_object": "landing/orders/b.json", "_landing_row": 77}])
    write_quarantine(proving.connection, DAY, ("id",), tmp_path / "q.parquet")
    found = duckdb.sql(
        f"SELECT id, amount, _rules, _reasons, _landing_object, _landing_row, _sequence, _record, _contract "
        f"FROM '{tmp_path}/q.parquet'"
    )
    (row,) = found.fetchall()
    assert row[:3] == ("o2", Decimal("-5.00"), ["amount_at_least", "kind_known"])
    assert row[3] == ["amount must be at least 0", "kind must be one of 'a', 'b'"]
    assert row[4:7] == ("landing/orders/b.json", 77, [2])
    assert json.loads(row[7]) == {"id": "o2", "amount": "-5.00", "note": "n", "kind": "z", "on_day": None}
    assert row[8] == proving.node.table.version


def test_a_value_that_did_not_fit_its_type_is_in_the_record(proving, tmp_path: Path) -> None:
    refuse(proving, [{"amount": "abc"}])
    write_quarantine(proving.connection, DAY, ("id",), tmp_path / "q.parquet")
    ((rules, amount, record),) = duckdb.sql(f"SELECT _rules, amount, _record->>'amount' FROM '{tmp_path}/q.parquet'").fetchall()
    assert (rules, amount, record) == (["amount_type"], None, "abc")


def test_only_refused_rows_of_the_partition_are_written(proving, tmp_path: Path) -> None:
    refuse(proving, [{"note": "too long"}, {"kind": "z"}, {"amount": "-1.00"}, {"amount": "-1.00", "day": "2025-01-04"}])
    write_quarantine(proving.connection, DAY, ("id",), tmp_path / "q.parquet")
    assert duckdb.sql(f"SELECT id FROM '{tmp_path}/q.parquet'").fetchall() == [("o3",)]


def test_the_newest_event_of_the_key_is_the_origin_and_of_copies_the_first_landed(proving, tmp_path: Path) -> None:
    bad = {"id": "o1", "amount": "-1.00"}
    refuse(
        proving,
        [
            bad | {"_sequence": [9], "_landing_row": 1},
            bad | {"_sequence": [10], "_landing_row": 3, "_landing_object": "landing/orders/b.json", "_ingested_at": LATER},
            bad | {"_sequence": [10], "_landing_row": 2, "_landing_object": "landing/orders/a.json", "_ingested_at": EARLIER},
            {"id": "o1", "_sequence": [11], "_op": "d"},
        ],
    )
    write_quarantine(proving.connection, DAY, ("id",), tmp_path / "q.parquet")
    assert duckdb.sql(f"SELECT DISTINCT _landing_object, _landing_row FROM '{tmp_path}/q.parquet'").fetchall() == [
        ("landing/orders/a.json", 2)
    ]


def test_examples_are_few_say_what_the_rule_saw_and_are_the_same_every_time(proving) -> None:
    rows = [{"id": f"o{number}", "amount": f"-{number}.00", "kind": "z" if number == 4 else "a"} for number in range(1, 9)]
    found = []
    for seed in range(3):
        refuse(proving, random.Random(seed).sample(rows, len(rows)))
        found.append(examples(proving.connection, proving.node))
    assert found[0] == found[1] == found[2]
    assert [(example.rule, example.key, example.values) for example in found[0]] == [
        ("amount_at_least", {"id": "o1"}, {"amount": Decimal("-1.00")}),
        ("amount_at_least", {"id": "o2"}, {"amount": Decimal("-2.00")}),
        ("amount_at_least", {"id": "o3"}, {"amount": Decimal("-3.00")}),
        ("kind_known", {"id": "o4"}, {"kind": "z"}),
    ]


def test_examples_of_repeated_and_missing_keys_are_the_same_every_time(proving) -> None:
    rows = [{"id": None, "amount": f"-{number}.00"} for number in range(1, 9)]
    found = []
    for seed in range(3):
        refuse(proving, random.Random(seed).sample(rows, len(rows)))
        found.append(examples(proving.connection, proving.node))
    assert found[0] == found[1] == found[2]
    assert len([example for example in found[0] if example.rule == "amount_at_least"]) == 3


def test_rows_are_traced_in_pieces_when_they_are_many(proving, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": f"o{number}", "amount": "-1.00", "_landing_row": number} for number in range(1, 30)]
    found = []
    for traced_at_once in (quarantine.TRACED_AT_ONCE, 7, 1):
        monkeypatch.setattr(quarantine, "TRACED_AT_ONCE", traced_at_once)
        refuse(proving, rows)
        found.append(proving.connection.execute(f"FROM {quarantine.REFUSED} ORDER BY id").fetchall())
    assert len(found[0]) == len(rows)
    assert found[0] == found[1] == found[2]
