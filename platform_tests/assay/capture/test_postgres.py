"""The embedded PostgreSQL."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from assay.capture.postgres import EmbeddedPostgres
from assay.errors import ServerError


def test_it_keeps_what_is_stored_asks_for_the_password_and_replicates(postgres_home: Path, tmp_path: Path) -> None:
    import psycopg

    server = EmbeddedPostgres(tmp_path / "pg")
    try:
        with server as database:
            with psycopg.connect(database.dsn) as connection:
                connection.execute("CREATE TABLE kept (n int)")
                assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(replace(database, password="wrong").dsn)
            assert database.password not in repr(database)
            with pytest.raises(ServerError, match="already runs in"):
                EmbeddedPostgres(tmp_path / "pg").start()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(database.dsn)
        with server as again, psycopg.connect(again.dsn) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        shutil.rmtree(server.data, ignore_errors=True)


def test_of_two_that_start_at_once_in_a_new_home_one_starts(postgres_home: Path, tmp_path: Path) -> None:
    import psycopg

    servers = [EmbeddedPostgres(tmp_path / "pg") for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(server.start) for server in servers]
        (refused,) = [error for start in starts if (error := start.exception())]
        assert isinstance(refused, ServerError) and "already" in str(refused)
        (database,) = [start.result() for start in starts if start.exception() is None]
        psycopg.connect(database.dsn).close()
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(servers[0].data, ignore_errors=True)
