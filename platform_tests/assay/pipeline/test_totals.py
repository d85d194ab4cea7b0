"""Totals of what is published, held against what is published of its inputs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from change_lines import customer, order, text
from shop_lake import ShopLake

from assay.lake.layout import partition_key
from assay.pipeline.state import State
from assay.pipeline.totals import Totals, add_up, is_of_tables

D3, D4 = "2025-01-03", "2025-01-04"
TABLE = "marts.daily_totals"


def totals(lake: ShopLake, table: str = TABLE) -> dict[str, Totals]:
    with lake.connection() as connection:
        found = add_up(connection, State(lake.workspace), lake.workspace.project.nodes[table])
    return {each.partition: each for each in found}


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    lake = ShopLake(tmp_path)
    lake.land("customers", "1.json", text(customer("c1", 1, level="gold")))
    lake.land("orders", "1.json", text(order("o1", 1, day=D3), order("o2", 2, day=D4), order("o3", 3, day=D4, amount="7.00")))
    lake.run()
    return lake


def rewrite(lake: ShopLake, table: str, partition: str, rows: pa.Table) -> None:
    key = partition_key(lake.workspace.domain.tables[table], partition)
    pq.write_table(rows, lake.folder / key)


def published(lake: ShopLake, table: str, partition: str) -> pa.Table:
    key = partition_key(lake.workspace.domain.tables[table], partition)
    return pq.ParquetFile(lake.folder / key).read()


def test_every_partition_accounts_for_its_inputs(lake: ShopLake) -> None:
    nodes = lake.workspace.project.nodes
    of_tables = {name for name in nodes if is_of_tables(nodes[name])}
    assert {name for name in of_tables if name.startswith("marts.")} == {name for name in nodes if name.startswith("marts.")}
    for name in of_tables:
        found = totals(lake, name)
        assert found.keys() == State(lake.workspace).index(name).keys()
        assert all(each.is_equal for each in found.values()), name
    assert totals(lake)[D4].books.rows.received == 2


def test_rows_that_are_lost_from_a_mart_are_found(lake: ShopLake) -> None:
    rewrite(lake, TABLE, D4, published(lake, TABLE, D4).slice(0, 0))
    found = totals(lake)
    assert [partition for partition, each in found.items() if not each.is_equal] == [D4]
    assert found[D4].explanation.startswith("2 rows and")


def test_rows_that_come_twice_in_an_input_are_found(lake: ShopLake) -> None:
    once = published(lake, "enriched.orders", D3)
    rewrite(lake, "enriched.orders", D3, pa.concat_tables([once, once]))
    assert [partition for partition, each in totals(lake).items() if not each.is_equal] == [D3]


def test_what_waits_to_be_rebuilt_is_left_out(lake: ShopLake) -> None:
    lake.land("orders", "2.json", text(order("o4", 4, day=D3)))
    lake.run(leave_out={TABLE})
    assert totals(lake).keys() == {D4}
