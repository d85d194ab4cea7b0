"""The Dagster instance: where runs are recorded.

Belongs here: finding or creating the instance's folder. Does not belong here: definitions.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from assay.settings import Settings

_DAGSTER_YAML = """\
# Written by Assay when it first ran here; you may edit it. deploy/dagster.yaml is for production.
nux:
  enabled: false
telemetry:
  enabled: false
concurrency:
  pools:
    granularity: run
    default_limit: 1
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config:
    # Runs wait for each other, so this interval is the only delay between them; 5 s by default.
    dequeue_interval_seconds: 1
run_monitoring:
  enabled: true
"""


def prepare_instance(settings: Settings) -> Path:
    """Make sure that the instance's folder exists, and point Dagster to it.

    Returns:
        The folder.
    """
    folder = settings.instance_folder
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "dagster.yaml"
    if not written.exists():
        written.write_text(_DAGSTER_YAML, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance, creating it if necessary.

    Two processes that create its SQLite tables at the same time would make each other fail, so they take turns.
    """
    folder = prepare_instance(settings)
    with (folder / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
