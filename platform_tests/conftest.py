"""Fixtures of all tests: real stores. What only one room needs belongs in that room's folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.lake import ObjectStore, open_store
from assay.lake.server import Connection, EmbeddedS3, find_free_port

# One for all tests: each bucket costs the server a volume.
TEST_BUCKET = "assay-tests"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A real S3 server, one for all tests."""
    with EmbeddedS3(tmp_path_factory.mktemp("s3"), find_free_port()) as connection:
        yield connection


@pytest.fixture
def s3_store(s3: Connection) -> ObjectStore:
    """An empty store on the real S3 server."""
    return open_store(
        f"s3://{TEST_BUCKET}/{uuid.uuid4().hex}",
        endpoint=s3.endpoint,
        region=s3.region,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        create_bucket=True,
    )


@pytest.fixture
def file_store(tmp_path: Path) -> ObjectStore:
    """An empty store in a folder."""
    return open_store((tmp_path / "lake").as_uri())
