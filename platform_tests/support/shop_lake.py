"""A lake in a folder, with a domain on it, as tests land files into it and run it. Real store, real engine."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import shop

from assay.contracts import Domain, Source
from assay.engine.connection import Limits, connect
from assay.engine.relations import create_layers
from assay.lake import ObjectStore, open_store
from assay.lake.layout import landing_prefix, partition_key
from assay.lake.ledger import Ledger, LedgerLog
from assay.landing.ingest import Ingested, ingest
from assay.landing.quarantine.replay import Replay
from assay.pipeline.outcome import Outcome
from assay.pipeline.plan import Plan
from assay.pipeline.query import query
from assay.pipeline.runs import ingest_sources, refresh_table
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace

LANDED_AT = dt.datetime(2025, 1, 10, tzinfo=dt.UTC)
"""When landing objects were written, if nothing else is said: long enough ago to be settled."""


@dataclass
class Ran:
    """What one run over everything did.

    Attributes:
        ingested: By source.
        plans: By table.
        outcomes: By table.
    """

    ingested: dict[str, Ingested] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    @property
    def computed(self) -> dict[str, dict[str, str]]:
        """What became of the computed partitions, by table, tables without any left out."""
        return {
            table: {outcome.partition: outcome.status.value for outcome in outcomes}
            for table, outcomes in self.outcomes.items()
            if outcomes
        }


class ShopLake:
    """A domain on an empty lake.

    Args:
        folder: Where the lake and its scratch folder are made.
        domain: The domain.
        store: The lake, if it is not to be in the folder.
    """

    def __init__(self, folder: Path, domain: Domain = shop.DOMAIN, store: ObjectStore | None = None) -> None:
        self.folder = folder / "lake"
        self.store = store or open_store(self.folder.as_uri())
        self.workspace = Workspace(domain, self.store, Limits("1GB", 2, folder / "scratch"))
        self._idle: list[duckdb.DuckDBPyConnection] = []

    def land(self, source: str, name: str, content: bytes, at: dt.datetime = LANDED_AT) -> str:
        """Write a landing object as another program would; returns its key."""
        key = f"{landing_prefix(source)}{name}"
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return key

    def source(self, name: str) -> Source:
        """A source of the domain."""
        return self.workspace.domain.sources[name]

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that sees the lake, kept for the next who asks: opening one takes as long as a small ingest."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = connect(self.workspace.limits)
            create_layers(connection)
        yield connection
        self._idle.append(connection)

    def ingest(self, source: str, replaying: Replay | None = None) -> Ingested:
        """Ingest what has landed for a source, and replay its quarantine if that is asked for."""
        with self.connection() as connection:
            return ingest(self.store, connection, self.source(source), self.workspace.scratch, replaying=replaying)

    def run(self, run_id: str = "run", leave_out: Collection[str] = ()) -> Ran:
        """Ingest every source and build every table but those that are left out."""
        ran = Ran()
        with self.connection() as connection:
            state = State(self.workspace)
            for done in ingest_sources(connection, state, self.workspace.domain.sources.values()):
                ran.ingested[done.source.name] = done
            for name, node in self.workspace.project.nodes.items():
                if name in leave_out:
                    continue
                ran.plans[name], ran.outcomes[name] = refresh_table(connection, state, node, run_id)
        return ran

    def ledger(self, source: str) -> Ledger:
        """What was ingested of a source."""
        return LedgerLog(self.store, source).read()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query over `changes.x`, `latest.x`, `history.x`, `enriched.x` and `marts.x`."""
        with self.connection() as connection:
            return query(connection, State(self.workspace), sql).fetchall()

    def refused(self, source: str) -> list[tuple[str, int, str]]:
        """Object, line and reason of every record in a source's quarantine."""
        keys = self.ledger(source).quarantines
        if not keys:
            return []
        paths = ", ".join(f"'{self.store.path(key)}'" for key in keys)
        with self.connection() as connection:
            return connection.execute(
                f"SELECT _landing_object, _landing_row, _reasons[1] FROM read_parquet([{paths}]) ORDER BY ALL"
            ).fetchall()

    def etags(self, prefix: str) -> dict[str, str]:
        """Version of every object below a prefix."""
        return {info.key: info.etag for info in self.store.list(prefix)}

    def metadata(self, table: str, partition: str) -> Mapping[bytes, bytes]:
        """The Parquet metadata of a published partition."""
        path = self.store.local(partition_key(self.workspace.domain.tables[table], partition))
        assert path is not None
        return pq.read_metadata(path).metadata or {}
