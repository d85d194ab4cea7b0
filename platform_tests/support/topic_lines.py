"""Lines of the simulated company's topics, without writing its files."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from simulator import Company
from simulator.topics import Topic, drop_day, prepare_day, write_slice


def lines_of(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic, day: int) -> Iterator[str]:
    """The lines of one day of a topic, by partition and offset."""
    with tempfile.TemporaryDirectory() as folder:
        for part in prepare_day(connection, company, topic, day, {}):
            yield from (
                gzip.decompress(write_slice(connection, company, part, Path(folder)).path.read_bytes()).decode().splitlines()
            )
    drop_day(connection, topic, day)
