"""The marts of metrics by hand: one DuckDB process that runs the same SELECTs over the same Parquet files, each of them once.

Belongs here: what a careful author would write who has the SQL of every mart: a view over the facts and over each mart, and a
COPY a mart, cut by period. Does not belong here: making facts (`facts`), comparing (`test_metrics`).

The SQL is the platform's own, `assay metrics sql MART`; it is in a file of its own for each mart, beside a list that says their
order, partition columns and keys. A mart of a year is one statement, and one scan of what it reads. There is no contract, proof,
book, hash, index or recorded run, and no partition is published by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import duckdb


def main() -> None:
    """Make every mart."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("facts", type=Path, help="Folder of the facts' Parquet, as marts/<name>/<column>=<day>/data.parquet.")
    arguments.add_argument("sql", type=Path, help="Folder of the marts' SQL.")
    arguments.add_argument("out", type=Path, help="An empty folder.")
    arguments.add_argument("--memory", default="2GB")
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    spill = given.out / "spill"
    spill.mkdir(parents=True)
    config = {"memory_limit": given.memory, "threads": given.threads, "temp_directory": str(spill)}
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # A partition that is written in several turns would be several files.
        connection.execute("SET partitioned_write_max_open_files = 10000")
        connection.execute("CREATE SCHEMA marts")
        for fact in sorted((given.facts / "marts").iterdir()):
            _see(connection, fact.name, fact)
        for mart in json.loads((given.sql / "marts.json").read_text()):
            _make(connection, mart, given.sql, given.out)


def _make(connection: duckdb.DuckDBPyConnection, mart: dict[str, str], sql: Path, out: Path) -> None:
    name, partition, key = mart["name"], mart["partition"], mart["key"]
    body = (sql / f"{name}.sql").read_text().rstrip().rstrip(";")
    to = out / "marts" / name
    to.mkdir(parents=True)
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 10000"
    if partition:
        options += f", PARTITION_BY ({partition}), WRITE_PARTITION_COLUMNS true, FILENAME_PATTERN 'data'"
        connection.execute(f"COPY (FROM ({body}) ORDER BY {partition}, {key}) TO '{to}' ({options})")
    else:
        connection.execute(f"COPY (FROM ({body}) ORDER BY {key}) TO '{to}/data.parquet' ({options})")
    _see(connection, name, to)


def _see(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    connection.execute(f"CREATE VIEW marts.{name} AS FROM read_parquet('{folder}/**/*.parquet', hive_partitioning=false)")


if __name__ == "__main__":
    main()
