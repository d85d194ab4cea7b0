"""DuckDB connections, all set up the same way.

Belongs here: memory, threads, scratch folder, time zone and access to the lake. Does not belong here: any query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.contracts.rules import literal
from assay.lake.store import S3Access


@dataclass(frozen=True)
class Limits:
    """What a connection may use.

    Attributes:
        memory: DuckDB's memory limit, as in `2GB`; data beyond it spills to `scratch`.
        threads: Worker threads.
        scratch: Folder for spilled data.
    """

    memory: str
    threads: int
    scratch: Path


def connect(limits: Limits, s3: S3Access | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with access to the lake; instants are UTC.

    Args:
        limits: What it may use.
        s3: Access to an S3 lake; None for a lake in a folder.
    """
    limits.scratch.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "memory_limit": limits.memory,
            "threads": limits.threads,
            "temp_directory": str(limits.scratch),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    if s3 is not None:
        _see_s3(connection, s3)
    return connection


@contextmanager
def one_thread_each(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run every statement in its caller's thread only: for many small statements, in parallel on cursors.

    A statement that several threads share costs each of them buffers for every column, more than the work on a few rows.

    Args:
        connection: A connection on which nothing else is running.
    """
    found = connection.execute("SELECT current_setting('threads')").fetchone()
    assert found is not None
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {found[0]}")


def _see_s3(connection: duckdb.DuckDBPyConnection, s3: S3Access) -> None:
    from duckdb_extensions import import_extension

    import_extension("httpfs", con=connection)
    connection.execute("LOAD httpfs")
    grant(connection, s3)
    # Published partitions are replaced under the same key, so cached metadata may be stale in the next statement.
    connection.execute("SET enable_http_metadata_cache = false")


def grant(connection: duckdb.DuckDBPyConnection, s3: S3Access) -> None:
    """Replace the credentials with which a connection, and its cursors, reach an S3 lake.

    Args:
        connection: A connection to an S3 lake.
        s3: The new access.
    """
    options = {"KEY_ID": s3.access_key, "SECRET": s3.secret_key, "SCOPE": s3.scope}
    if s3.region:
        options["REGION"] = s3.region
    if s3.session_token:
        options["SESSION_TOKEN"] = s3.session_token
    plain = ""
    if s3.endpoint:
        scheme, _, host = s3.endpoint.rpartition("://")
        options |= {"ENDPOINT": host.rstrip("/"), "URL_STYLE": "path"}
        plain = ", USE_SSL false" if scheme == "http" else ""
    written = ", ".join(f"{name} {literal(value)}" for name, value in options.items())
    connection.execute(f"CREATE OR REPLACE SECRET lake (TYPE s3, {written}{plain})")
