"""A workspace: one domain on one lake, opened from settings.

Belongs here: opening what the settings specify. Does not belong here: any work.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from assay.contracts import Domain, load_domain
from assay.engine.connection import Limits, connect, grant
from assay.engine.project import Project, load_project
from assay.engine.relations import create_layers
from assay.lake.store import ObjectStore, open_store
from assay.settings import Settings


@dataclass(frozen=True)
class Workspace:
    """One domain on one lake.

    Attributes:
        domain: The declarations.
        store: The lake.
        limits: What DuckDB may use.
    """

    domain: Domain
    store: ObjectStore
    limits: Limits

    @property
    def project(self) -> Project:
        """The domain's SQL, checked against its contracts."""
        return load_project(self.domain)

    @property
    def scratch(self) -> Path:
        """Folder for temporary files of this process."""
        return self.limits.scratch

    @contextmanager
    def connection(self, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open DuckDB with access to the lake; at the end it is closed and its memory freed.

        Args:
            threads: Worker threads; None for the settings' number.
        """
        limits = self.limits if threads is None else replace(self.limits, threads=threads)
        connection = connect(limits, self.store.s3_access())
        try:
            create_layers(connection)
            yield connection
        finally:
            connection.close()

    def renew(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Renew a connection's credentials if those it was opened with expire."""
        access = self.store.s3_access()
        if access is not None and access.session_token is not None:
            grant(connection, access)


def open_workspace(settings: Settings, *, create_bucket: bool = False) -> Workspace:
    """Open the workspace of the settings. An embedded S3 server must already be running.

    Args:
        settings: The settings, including credentials of an embedded server.
        create_bucket: Create the bucket if it is missing.

    Raises:
        SettingsError: The domain or the lake is wrong.
        StoreUnavailable: The lake cannot be reached.
    """
    access_key = settings.access_key.get_secret_value() if settings.access_key else None
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else None
    domain = load_domain(settings.domain)
    store = open_store(
        settings.lake_uri,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key=access_key,
        secret_key=secret_key,
        session_token=settings.session_token.get_secret_value() if settings.session_token else None,
        create_bucket=create_bucket,
    )
    # Each process has its own scratch folder, so that two can run in parallel.
    scratch = settings.scratch / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return Workspace(domain, store, Limits(settings.memory, settings.threads, scratch))
