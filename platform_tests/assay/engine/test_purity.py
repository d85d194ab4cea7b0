"""SQL that would give other rows each time it is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.engine.queries import read_query
from assay.errors import SqlError

SCHEMA = {"enriched": {"orders": {"order_id": "VARCHAR", "amount": "DECIMAL(18,2)", "today": "DATE", "now": "TIMESTAMP"}}}


def read(folder: Path, sql: str) -> None:
    path = folder / "orders.sql"
    path.write_text(sql)
    read_query(path, SCHEMA)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("now()", "now returns a different instant"),
        ("NOW()", "now returns a different instant"),
        ("current_date", "current_date returns a different instant"),
        ("CURRENT_TIMESTAMP", "current_timestamp returns a different instant"),
        ("today() - 1", "today returns a different instant"),
        ("get_current_timestamp()", "get_current_timestamp returns a different instant"),
        ("random()", "random returns a different value"),
        ("uuid()", "uuid returns a different value"),
        ("gen_random_uuid()", "gen_random_uuid returns a different value"),
    ],
)
def test_the_clock_and_chance_are_refused_with_their_line(tmp_path: Path, expression: str, said: str) -> None:
    with pytest.raises(SqlError, match=rf"orders\.sql:3: {said}"):
        read(tmp_path, f"SELECT\n  order_id,\n  {expression} AS x\nFROM enriched.orders")


@pytest.mark.parametrize(
    "function", ["read_csv('/etc/passwd')", "read_parquet('x')", "read_text('x')", "glob('*')", "query('x')"]
)
def test_files_that_are_no_partitions_are_refused(tmp_path: Path, function: str) -> None:
    name = function.partition("(")[0]
    with pytest.raises(SqlError, match=rf"orders\.sql:2: {name}\(\) reads something other than the lake's partitions"):
        read(tmp_path, f"SELECT order_id FROM enriched.orders\nWHERE amount IN (SELECT 1 FROM {function})")


@pytest.mark.parametrize(
    ("end", "word"), [("LIMIT 3", "LIMIT"), ("FETCH FIRST 3 ROWS ONLY", "FETCH"), ("USING SAMPLE 3", "SAMPLE")]
)
def test_an_arbitrary_part_of_rows_is_refused(tmp_path: Path, end: str, word: str) -> None:
    with pytest.raises(SqlError, match=rf"orders\.sql:2: {word} without an order"):
        read(tmp_path, f"SELECT order_id FROM enriched.orders\n{end}")
    with pytest.raises(SqlError, match=rf"orders\.sql:1: {word} without an order"):
        read(tmp_path, f"SELECT order_id FROM (SELECT order_id FROM enriched.orders {end})")


@pytest.mark.parametrize(
    "sql",
    [
        # Columns may be called so.
        'SELECT today, orders.now, "now" AS current FROM enriched.orders',
        "SELECT order_id FROM enriched.orders ORDER BY order_id LIMIT 3",
        "SELECT order_id, (SELECT max(b.amount) FROM enriched.orders AS b) AS most, i FROM enriched.orders, range(3) AS r(i)",
        "SELECT order_id, 'now()' AS text -- current_date\nFROM enriched.orders",
        "SELECT order_id, u FROM enriched.orders, unnest([1, 2]) AS t(u)",
    ],
)
def test_what_follows_from_the_rows_is_taken(tmp_path: Path, sql: str) -> None:
    read(tmp_path, sql)
