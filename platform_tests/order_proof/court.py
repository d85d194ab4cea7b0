"""Made-up sources on real lakes, held against the interpreter.

Belongs here: declaring a stream's source and tables, landing its files, running the platform over them as plain Python, and
saying how what is published differs. Does not belong here: what may occur (`streams`) and what is right (`interpreter`).
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from declared import domain_of
from interpreter import Event, Interpreter, Row
from streams import ALL, TABLE, Delivery, Features, Field, File, Kind, Schema, make_delivery, make_stream

from assay.contracts import Contract, Count, Daily, Date, Domain, Money, Published, Timestamp, Whole, column, source, table
from assay.contracts import Event as Landed
from assay.contracts.table import Moves
from assay.engine.connection import Limits, connect
from assay.engine.project import load_project
from assay.engine.relations import create_layers
from assay.lake import open_store
from assay.lake.layout import landing_prefix, partition_key
from assay.landing.formats import Debezium
from assay.pipeline import build
from assay.pipeline.outcome import Status
from assay.pipeline.runs import ingest_sources, refresh_table
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace

SOURCE = "things"
LATEST, HISTORY = "enriched.now", "enriched.then"
SHRINK_SECONDS = 60
_RUN = ("ingestion_timestamp", "data_source", "processing_timestamp", "job_run_id", "data_quality_score")
_TYPES: Mapping[Kind, Any] = {
    "text": str,
    "integer": Count,
    "decimal": Money,
    "boolean": bool,
    "timestamp": Timestamp,
    "date": Date,
}
_ORIGIN = "TIMESTAMPTZ '2025-01-10 00:00:00+00' AS ingestion_timestamp, 'things' AS data_source"


class Wrong(AssertionError):
    """What is published is not what the events say."""


@dataclass(frozen=True)
class Result:
    """What was published after one delivery.

    Attributes:
        contents: Content hash by table and partition, partitions without rows left out.
        rows: By table, its data columns, sorted.
    """

    contents: Mapping[tuple[str, str], str]
    rows: Mapping[str, pa.Table]


@dataclass(frozen=True)
class Court:
    """Where cases are tried.

    Attributes:
        folder: Where lakes are made, one a delivery.
        connection: One engine for all.
        domains: The domain of the schema before.
    """

    folder: Path
    connection: duckdb.DuckDBPyConnection
    domains: dict[Schema, Domain] = field(default_factory=dict)

    def try_seed(
        self, seed: int, features: Features = ALL, *, most_runs: int = 3, shrinks: bool = True, alone: bool = True
    ) -> None:
        """Try what a seed makes up.

        Args:
            seed: The seed.
            features: What may occur.
            most_runs: Over how many runs it lands at most.
            shrinks: Look for the smallest case of what is wrong.
            alone: Compute each partition of the later deliveries by itself.

        Raises:
            Wrong: It is published wrongly; the message has the smallest case that was found of it.
        """
        stream = make_stream(seed, features)
        deliveries = [make_delivery(stream, seed * 2, most_runs), make_delivery(stream, seed * 2 + 1, most_runs - 1)]
        try:
            self.try_case(stream.schema, deliveries, features, alone=alone)
        except Exception as error:
            if shrinks:
                deliveries, error = self._shrunk(stream.schema, deliveries, features, error, alone)
            raise Wrong(f"seed {seed}: {error}\n{described(stream.schema, deliveries)}") from error

    def try_case(self, schema: Schema, deliveries: Sequence[Delivery], features: Features = ALL, *, alone: bool = True) -> Result:
        """Publish deliveries of the same events and compare them with what the interpreter says, and with each other.

        The first is looked at after each of its runs; the others at their end, with each partition computed by itself if that is
        asked for.

        Returns:
            What all of them came to.

        Raises:
            Wrong: They differ.
        """
        folder = self.folder / uuid.uuid4().hex
        domain = self._domain(schema)
        results = []
        try:
            for number, delivery in enumerate(deliveries):
                lake = _Lake(folder / str(number), schema, domain, self.connection)
                in_steps = number == 0 and features.steps
                results.append(_delivered(lake, delivery, f"delivery {number + 1}", in_steps, alone and not in_steps))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for number, result in enumerate(results[1:], start=2):
            _require_same(results[0], result, f"deliveries 1 and {number}")
        return results[0]

    def _domain(self, schema: Schema) -> Domain:
        """Declare a schema, if it is not the one before; what was loaded of that goes, for there may be thousands."""
        if schema not in self.domains:
            for domain in self.domains.values():
                sys.modules.pop(domain.contracts)
            self.domains.clear()
            load_project.cache_clear()
            self.domains[schema] = declared(schema, self.folder / "sql" / uuid.uuid4().hex)
        return self.domains[schema]

    def _shrunk(
        self, schema: Schema, deliveries: list[Delivery], features: Features, error: Exception, alone: bool
    ) -> tuple[list[Delivery], Exception]:
        """Leave out event after event, as long as something is wrong and there is time."""
        until = time.monotonic() + SHRINK_SECONDS
        for event in {_identity(event): event for event in _events(deliveries[0])}.values():
            if time.monotonic() > until:
                break
            fewer = [without(delivery, event) for delivery in deliveries]
            try:
                self.try_case(schema, fewer, features, alone=alone)
            except Exception as found:
                if type(found) is type(error):
                    deliveries, error = fewer, found
        return deliveries, error


def _delivered(lake: _Lake, delivery: Delivery, name: str, in_steps: bool, alone: bool) -> Result:
    landed: list[Event] = []
    for run, files in enumerate(delivery, start=1):
        for file in files:
            lake.land(file)
            landed += file.events
        lake.ingest()
        if in_steps and run < len(delivery):
            lake.build()
            lake.compare(landed, f"{name} after run {run} of {len(delivery)}")
    with pytest.MonkeyPatch.context() as patch:
        if alone:
            patch.setattr(build, "ROWS_AT_ONCE", 1)
        lake.build()
    return lake.compare(landed, name)


@contextmanager
def open_court(folder: Path) -> Iterator[Court]:
    """Open a court, with one engine."""
    connection = connect(Limits("1GB", 1, folder / "scratch"))
    try:
        create_layers(connection)
        yield Court(folder, connection)
    finally:
        connection.close()


@dataclass(frozen=True)
class _Lake:
    """A lake of one source."""

    folder: Path
    schema: Schema
    domain: Domain
    connection: duckdb.DuckDBPyConnection

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.domain, open_store((self.folder / "lake").as_uri()), Limits("1GB", 1, self.folder / "scratch"))

    def land(self, file: File) -> None:
        path = self.folder / "lake" / landing_prefix(SOURCE) / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        os.utime(path, (file.at.timestamp(), file.at.timestamp()))

    def ingest(self) -> None:
        workspace = self.workspace
        workspace.scratch.mkdir(parents=True, exist_ok=True)
        (ingested,) = ingest_sources(self.connection, State(workspace), [self.domain.sources[SOURCE]])
        if ingested.quarantined:
            raise Wrong(f"{ingested.quarantined} records were refused: {self._refused()}")

    def _refused(self) -> list[Any]:
        files = (self.folder / "lake").rglob("*.parquet")
        return [row for file in files if "quarantine" in str(file) for row in pq.read_table(file).to_pylist()]

    def build(self) -> None:
        state = State(self.workspace)
        for node in state.workspace.project.nodes.values():
            _, outcomes = refresh_table(self.connection, state, node, "run")
            failed = [f"{each.table} {each.partition}: {each.problems}" for each in outcomes if each.status is Status.FAILED]
            if failed:
                raise Wrong(f"partitions failed: {failed}")

    def compare(self, landed: Sequence[Event], when: str) -> Result:
        """Hold what is published against the interpreter; returns it."""
        judge = Interpreter(self.schema.names, self.schema.day)
        asked = [*(part.name for part in self.schema.key), *self.schema.tracked]
        result = self.result()
        found = result.rows
        _require_rows(found[LATEST], self.schema.names, judge.latest(landed, self.schema.names), f"{LATEST}, {when}")
        intervals = (*asked, "valid_from", "valid_to")
        _require_rows(found[HISTORY], intervals, judge.history(landed, asked), f"{HISTORY}, {when}")
        return result

    def result(self) -> Result:
        """Read what is published."""
        state = State(self.workspace)
        contents: dict[tuple[str, str], str] = {}
        rows = {}
        for name, node in state.workspace.project.nodes.items():
            parts = []
            for partition, entry in state.index(name).items():
                if not entry.rows:
                    continue
                contents[name, partition] = entry.content
                part = pq.ParquetFile(self.folder / "lake" / partition_key(node.table, partition)).read()
                days = pc.unique(part["day"]).to_pylist() if "day" in part.column_names else []
                if days not in ([], [dt.date.fromisoformat(partition)] if days else []):
                    raise Wrong(f"{name} {partition} has rows of {days}")
                parts.append(part.drop_columns(list(_RUN)))
            rows[name] = pa.concat_tables(parts) if parts else pa.table({column.name: [] for column in node.table.columns})
        return Result(contents, rows)


def declared(schema: Schema, folder: Path) -> Domain:
    """Declare a schema's source and its two tables."""
    key = tuple(part.name for part in schema.key)
    by_name = {each.name: each for each in schema.columns}
    events = _contract("Things", Landed, schema.columns, required=())
    moves: Moves = "never" if schema.is_fixed else "any"
    partition = Daily("folder", of=f"TRY_CAST({schema.day} AS DATE)", moves=moves) if schema.is_daily else Whole()
    owner = {"owner": "team:court", "subject": "things"}
    source(
        SOURCE,
        format=Debezium(TABLE, decimals="base64" if schema.decimals == "base64" else "text"),
        key=key,
        partition=partition,
        **owner,
    )(events)
    contracts: list[type[Contract]] = [events]
    sql = {}
    tracked = tuple(by_name[name] for name in (*key, *schema.tracked))
    times = {"valid_from": column("Since when"), "valid_to": column("Until when", nullable=True)}
    day = schema.day_from if schema.day else ""
    for full_name, relation, columns, is_daily, more, of_day in (
        (LATEST, "latest", schema.columns, schema.latest_is_daily, {}, day),
        (HISTORY, "history", tracked, schema.history_is_daily, times, schema.day),
    ):
        model = _contract(relation.title(), Published, columns, required=key, is_daily=is_daily, times=more)
        cut = Daily("day") if is_daily else Whole()
        table(full_name.split(".")[1], layer="enriched", key=(*key, *list(more)[:1]), partition=cut, **owner)(model)
        contracts.append(model)
        selected = [*(each.name for each in columns), *more, *([f"{of_day}::DATE AS day"] if is_daily else [])]
        sql[full_name] = f"SELECT {', '.join(selected)}, {_ORIGIN} FROM {relation}.{SOURCE}"
    return domain_of(folder, contracts, sql)


def _contract(
    name: str,
    base: type[Contract],
    fields: Iterable[Field],
    *,
    required: Sequence[str],
    is_daily: bool = False,
    times: Mapping[str, Any] | None = None,
) -> type[Contract]:
    annotations = {each.name: _TYPES[each.kind] for each in fields}
    columns = {name: column("Made up", nullable=name not in required) for name in annotations}
    if is_daily:
        annotations["day"], columns["day"] = Date, column("Its day")
    annotations |= dict.fromkeys(times or {}, Timestamp)
    return type(name, (base,), {"__annotations__": annotations, "__doc__": "Made up.", **columns, **(times or {})})


def _require_rows(found: pa.Table, columns: Sequence[str], expected: list[Row], what: str) -> None:
    rows = sorted((tuple(_plain(row[name]) for name in columns) for row in found.to_pylist()), key=repr)
    if repr(rows) != repr(expected):
        surplus = [row for row in rows if row not in expected]
        lacking = [row for row in expected if row not in rows]
        raise Wrong(f"{what}: published\n  {surplus or rows}\nand not\n  {lacking or expected}\nof {columns}")


def _plain(value: Any) -> Any:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value


def _require_same(one: Result, other: Result, what: str) -> None:
    if one.contents != other.contents:
        raise Wrong(f"{what} have partitions of other content:\n  {one.contents}\n  {other.contents}")
    for name, rows in one.rows.items():
        order = [(column, "ascending") for column in rows.column_names]
        if not rows.sort_by(order).equals(other.rows[name].sort_by(order)):
            raise Wrong(f"{what} differ in {name}")


def without(delivery: Delivery, event: Event) -> Delivery:
    """A delivery that lacks an event, wherever it is told."""
    runs = (tuple(fewer for file in run if (fewer := _file_without(file, event)).events) for run in delivery)
    return tuple(run for run in runs if run)


def _file_without(file: File, event: Event) -> File:
    kept = [(line, told) for line, told in file.records if told is None or _identity(told) != _identity(event)]
    return replace(file, records=tuple(kept))


def _events(delivery: Delivery) -> list[Event]:
    return [event for run in delivery for file in run for event in file.events]


def _identity(event: Event) -> str:
    return repr(replace(event, place=("", 0)))


def described(schema: Schema, deliveries: Sequence[Delivery]) -> str:
    """Say what landed, file by file."""
    lines = [str(schema)]
    for number, delivery in enumerate(deliveries, start=1):
        for run, files in enumerate(delivery, start=1):
            for file in files:
                lines.append(f"delivery {number}, run {run}, {file.name}, written at {file.at}:")
                lines += [f"  {line if event is None else _told(event)}" for line, event in file.records]
    return "\n".join(lines)


def _told(event: Event) -> str:
    said = [f"{event.op} {event.key} at {event.position}, {event.at:%d %H:%M:%S}"]
    if event.op not in "dt":
        names = event.values.keys() - event.unchanged - event.missing
        said.append(", ".join(f"{name}={event.values[name]!s}" for name in event.values if name in names))
        said += [f"{word}: {', '.join(sorted(lacks))}" for word, lacks in _lacks(event).items() if lacks]
    return "; ".join(said)


def _lacks(event: Event) -> dict[str, frozenset[str]]:
    return {"unchanged": event.unchanged, "missing": event.missing}
