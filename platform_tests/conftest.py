"""Fixtures of all tests: real stores, real data. What only one room needs belongs in that room's folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from assay.lake import ObjectStore, open_store
from assay.lake.server import Connection, EmbeddedS3, find_free_port

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("assay", deadline=None)
settings.load_profile("assay")

# One for all tests: each bucket costs the server a volume.
TEST_BUCKET = "assay-tests"

VARIABLE = "ASSAY_TEST_DATA"
BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


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


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Find a file or folder of the real data, which the repository does not hold, or skip the test."""
    root = Path(os.environ.get(VARIABLE) or BESIDE_THE_REPOSITORY)

    def find(name: str) -> Path:
        found = root / name
        if not found.exists():
            pytest.skip(f"the real data {name} are not in {root}; {VARIABLE} names the folder that has them")
        return found

    return find
