"""A session: a workspace with a reachable lake, starting the embedded server if needed.

Belongs here: combining settings, the embedded server and the workspace. Does not belong here: work on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from assay.lake.server import Connection, EmbeddedS3
from assay.pipeline.workspace import Workspace, open_workspace
from assay.settings import Settings


@contextmanager
def session(settings: Settings) -> Iterator[Workspace]:
    """Open the workspace of the settings; scratch files, and a server started for it, are removed at the end.

    Raises:
        SettingsError: A setting is wrong.
        ServerError: The embedded server does not start.
        StoreUnavailable: The lake cannot be reached.
    """
    if not settings.is_embedded:
        yield from _opened(settings, create_bucket=False)
        return
    server = EmbeddedS3(settings.home / "s3", settings.s3_port)
    connection = server.attach_or_start()
    try:
        yield from _opened(with_connection(settings, connection), create_bucket=True)
    finally:
        server.stop()


def with_connection(settings: Settings, connection: Connection) -> Settings:
    """The settings, changed to use an embedded server."""
    return settings.model_copy(
        update={
            "endpoint": connection.endpoint,
            "region": connection.region,
            "access_key": SecretStr(connection.access_key),
            "secret_key": SecretStr(connection.secret_key),
            "session_token": None,
        }
    )


def _opened(settings: Settings, *, create_bucket: bool) -> Iterator[Workspace]:
    workspace = open_workspace(settings, create_bucket=create_bucket)
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace.scratch, ignore_errors=True)
