"""The endpoint that Prometheus scrapes.

Belongs here: collecting figures on request, and serving them over HTTP. Does not belong here: the figures (`exposition`).
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from assay.alerts.exposition import JobRuns, lake_figures, run_figures
from assay.errors import ServerError
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace

KEPT_SECONDS = 15.0
"""How long figures stay valid, so that concurrent requests read the lake only once."""


class Figures(Collector):
    """Collects all figures on request, and caches them briefly.

    Args:
        open_lake: Opens the lake.
        runs: Reads the jobs' runs.
        kept_seconds: How long figures stay valid.
    """

    def __init__(
        self,
        open_lake: Callable[[], AbstractContextManager[Workspace]],
        runs: Callable[[], Sequence[JobRuns]],
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._open_lake = open_lake
        self._runs = runs
        self._kept_seconds = kept_seconds
        self._collected: list[Metric] = []
        self._collected_at = float("-inf")
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the lake is not read before a request."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All figures; those of the lake are left out while it is unreachable."""
        with self._lock:
            if time.monotonic() - self._collected_at > self._kept_seconds:
                self._collected = list(self._collect())
                self._collected_at = time.monotonic()
            return self._collected

    def _collect(self) -> Iterator[Metric]:
        began = time.perf_counter()
        try:
            yield from run_figures(self._runs())
        except Exception:  # Dagster's storage may raise anything; the lake's figures are useful without it
            yield GaugeMetricFamily("assay_dagster_up", "Whether Dagster's storage can be read", value=0.0)
        else:
            yield GaugeMetricFamily("assay_dagster_up", "Whether Dagster's storage can be read", value=1.0)
        try:
            with self._open_lake() as workspace, workspace.connection() as connection:
                found = list(lake_figures(connection, State(workspace), dt.datetime.now(dt.UTC)))
        except Exception:  # whatever opening it raises; who asks is to see that it is down, and the runs' figures
            found = []
        yield from found
        yield GaugeMetricFamily("assay_lake_up", "Whether the lake can be read", value=float(bool(found)))
        took = time.perf_counter() - began
        yield GaugeMetricFamily("assay_collection_seconds", "How long it took to collect these figures", value=took)


@contextmanager
def serving(figures: Figures, host: str, port: int) -> Iterator[int]:
    """Serve figures while the block runs.

    Args:
        figures: The figures.
        host: The address to listen at.
        port: The port; 0 for any that is free.

    Yields:
        The port.

    Raises:
        ServerError: The port is taken.
    """
    registry = CollectorRegistry()
    registry.register(figures)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ServerError(
            f"Port {port} of {host} cannot be used for metrics ({error.strerror}).",
            hint="Set ASSAY_METRICS_PORT to a free one, or to 0 for none; or give `assay metrics-endpoint --port`, "
            "`assay up --metrics-port`.",
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
