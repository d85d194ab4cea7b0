"""Verifying, and the promise behind it: however data came, the tables are those of a full rebuild."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from change_lines import customer, deleted_customer, deleted_order, order, text
from shop_lake import ShopLake

from assay.contracts import Cadence
from assay.lake.layout import partition_key
from assay.pipeline.state import State
from assay.pipeline.verify import Compared, verify_table

D3, D4 = "2025-01-03", "2025-01-04"
OF_THE_RUN = ("processing_timestamp", "job_run_id")


def verify(lake: ShopLake, table: str, newest: int | None = None) -> list[Compared]:
    with lake.connection() as connection:
        return verify_table(connection, State(lake.workspace), lake.workspace.project.nodes[table], newest=newest)


def tables(lake: ShopLake) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for name, table in lake.workspace.domain.tables.items():
        columns = ", ".join(column for column in table.types if column not in OF_THE_RUN)
        found[name] = lake.rows(f"SELECT {columns} FROM {name} ORDER BY ALL")
    return found


def random_files(seed: int) -> list[tuple[str, bytes]]:
    """Landing files of a small shop: updates out of order, copies, deletes before their creates, late days."""
    chance = random.Random(seed)
    days = {f"o{number}": f"2025-01-{chance.randint(1, 12):02}" for number in range(25)}
    lines = [
        order(key, position, day=day, amount=f"{chance.randint(-2, 60)}.00", customer=f"c{chance.randint(1, 5)}", op="u")
        for position, (key, day) in enumerate(list(days.items()) * 2, start=1)
    ]
    lines += [deleted_order(key, 100 + place) for place, key in enumerate(chance.sample(list(days), 4))]
    lines += [*chance.sample(lines, 10), "broken"]
    people = [customer(f"c{chance.randint(1, 4)}", n, level=chance.choice(["gold", "basic"]), op="u") for n in range(1, 15)]
    people.append(deleted_customer("c1", 99))
    chance.shuffle(lines)
    chance.shuffle(people)
    cut = [("orders", text(*lines[start : start + 16])) for start in range(0, len(lines), 16)]
    cut += [("customers", text(*people[start : start + 5])) for start in range(0, len(people), 5)]
    chance.shuffle(cut)
    return cut


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_when_gives_the_tables_of_a_full_rebuild(tmp_path: Path, seed: int) -> None:
    files = random_files(seed)
    bit_by_bit, at_once = ShopLake(tmp_path / "one"), ShopLake(tmp_path / "other")
    chance = random.Random(seed)
    for number, (source, content) in enumerate(files):
        bit_by_bit.land(source, f"{number}.json", content)
        if chance.random() < 0.4:
            bit_by_bit.run(f"run {number}")
    bit_by_bit.run("last")
    for number, (source, content) in enumerate(files):
        at_once.land(source, f"{number}.json", content)
    at_once.run("only")
    assert tables(bit_by_bit) == tables(at_once)
    assert all(tables(at_once).values())
    compared = [(name, found) for name in bit_by_bit.workspace.domain.tables for found in verify(bit_by_bit, name)]
    assert len(compared) > 20
    assert [(name, found) for name, found in compared if not (found.is_same and found.is_current)] == []


def fill(lake: ShopLake) -> None:
    lake.land("customers", "1.json", text(customer("c1", 1, level="gold")))
    lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4)))
    lake.run()


def test_what_was_published_is_what_its_inputs_give(lake: ShopLake) -> None:
    fill(lake)
    before = lake.etags("")
    assert [(found.partition, found.is_same, found.is_current) for found in verify(lake, "enriched.orders")] == [
        (D3, True, True),
        (D4, True, True),
    ]
    assert [found.partition for found in verify(lake, "enriched.orders", newest=1)] == [D4]
    assert lake.etags("") == before


def test_inputs_that_came_since_are_told_from_a_changed_object(lake: ShopLake) -> None:
    fill(lake)
    lake.land("orders", "2.json", text(order("o3", 3, day=D3)))
    lake.ingest("orders")
    (late, current) = verify(lake, "enriched.orders")
    assert (late.is_same, late.is_current) == (False, False)
    assert "`assay run` rebuilds it" in late.explanation
    assert (current.is_same, current.is_current) == (True, True)


def test_a_late_table_of_the_hour_names_the_command_that_rebuilds_it(lake: ShopLake) -> None:
    fill(lake)
    lake.land("orders", "2.json", text(order("o3", 3, day=D3)))
    lake.ingest("orders")
    node = lake.workspace.project.nodes["enriched.orders"]
    hourly = replace(node, table=replace(node.table, cadence=Cadence.HOURLY))
    with lake.connection() as connection:
        late, _ = verify_table(connection, State(lake.workspace), hourly)
    assert "`assay run --all` rebuilds it" in late.explanation


def test_an_object_whose_rows_were_changed_by_hand_is_found(lake: ShopLake) -> None:
    fill(lake)
    path = lake.store.local(partition_key(lake.workspace.domain.tables["enriched.orders"], D3))
    assert path is not None
    table = pq.read_table(path, partitioning=None)
    place = table.column_names.index("amount")
    changed = table.set_column(
        place, table.schema.field(place), pc.add(table["amount"], table["amount"]).cast(table.schema.field(place).type)
    )
    pq.write_table(changed, path)
    found = {each.partition: each for each in verify(lake, "enriched.orders")}
    assert not found[D3].is_same
    assert found[D4].is_same
    assert "the object was changed by hand" in found[D3].explanation


def test_an_object_that_was_deleted_is_missed_until_it_is_there_again(lake: ShopLake) -> None:
    fill(lake)
    lake.store.delete(partition_key(lake.workspace.domain.tables["enriched.orders"], D3))
    found = {each.partition: each for each in verify(lake, "enriched.orders")}
    assert (found[D3].is_same, found[D4].is_same) == (False, True)
    assert found[D3].explanation == "its object is gone: somebody deleted it; `assay run` publishes it again"
    assert lake.run().computed["enriched.orders"] == {D3: "published"}
    assert [each.is_same for each in verify(lake, "enriched.orders")] == [True, True]


def test_metadata_changed_by_hand_is_found(lake: ShopLake) -> None:
    fill(lake)
    path = lake.store.local(partition_key(lake.workspace.domain.tables["enriched.orders"], D3))
    assert path is not None
    table = pq.read_table(path, partitioning=None)
    written = dict(table.schema.metadata)
    content = State(lake.workspace).index("enriched.orders")[D3].content
    written[b"assay"] = written[b"assay"].replace(content.encode(), b"0" * 16)
    pq.write_table(table.replace_schema_metadata(written), path)
    assert [found.is_same for found in verify(lake, "enriched.orders")] == [False, True]


def test_an_object_that_somebody_else_put_there_is_replaced(lake: ShopLake) -> None:
    fill(lake)
    path = lake.store.local(partition_key(lake.workspace.domain.tables["enriched.orders"], D3))
    assert path is not None
    pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata({}), path)
    assert lake.run().computed["enriched.orders"] == {D3: "published"}
