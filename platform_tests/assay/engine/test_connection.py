"""DuckDB connections: how many threads a statement has."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from assay.engine.connection import Limits, connect, one_thread_each


def threads(connection: duckdb.DuckDBPyConnection) -> int:
    found = connection.execute("SELECT current_setting('threads')").fetchone()
    assert found is not None
    return int(found[0])


def test_small_statements_have_one_thread_each_and_others_as_many_as_before(tmp_path: Path) -> None:
    with connect(Limits("200MB", 3, tmp_path)) as connection:
        with one_thread_each(connection):
            assert threads(connection.cursor()) == 1
        assert threads(connection) == 3


def test_a_failure_leaves_the_threads_as_they_were(tmp_path: Path) -> None:
    with connect(Limits("200MB", 3, tmp_path)) as connection:
        with pytest.raises(duckdb.CatalogException), one_thread_each(connection):
            connection.execute("FROM nowhere")
        assert threads(connection) == 3


@pytest.mark.parametrize("rows", [7, 5_000, 122_879])
def test_the_same_bytes_are_written_however_many_threads_there_are(tmp_path: Path, rows: int) -> None:
    with connect(Limits("500MB", 4, tmp_path)) as connection:
        connection.execute(
            "CREATE TABLE rows AS SELECT n % 3 AS part, n, (n * 7919 % 101)::VARCHAR AS word "
            f"FROM range({3 * rows}) AS t(n) ORDER BY part, n"
        )
        copy = "COPY (SELECT n, word FROM rows WHERE part = 1) TO '{}' (FORMAT parquet, COMPRESSION zstd)"
        connection.execute(copy.format(tmp_path / "shared"))
        with one_thread_each(connection):
            connection.execute(copy.format(tmp_path / "own"))
    assert (tmp_path / "shared").read_bytes() == (tmp_path / "own").read_bytes()
