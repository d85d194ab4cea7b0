"""What is wrong now, from the state of the lake.

Belongs here: one pure function a kind of trouble, from state to incidents. Does not belong here: what has become of an incident
(`incidents`), troubles that the lake knows nothing of (`orchestration` adds failed runs).

No text holds a value of a row: alerts leave the house.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from assay.alerts.incidents import Incident, Kind
from assay.contracts import Table
from assay.landing.drift import read_held
from assay.pipeline.freshness import late
from assay.pipeline.runs import failed_partitions
from assay.pipeline.state import State

OF_THE_LAKE = frozenset({Kind.PROOF_FAILED, Kind.THRESHOLD_CROSSED, Kind.LATE, Kind.HELD, Kind.DRIFT, Kind.QUARANTINE_OLD})
"""The kinds that `lake_incidents` finds all incidents of."""
QUARANTINE_LIMIT = dt.timedelta(days=7)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Anomaly(Protocol):
    """A figure of the newest complete period that is unlike what it should be."""

    @property
    def table(self) -> str:
        """The table's full name."""
        ...

    @property
    def subject(self) -> str:
        """Which figure, without its day, as in `volume of EMEA`."""
        ...

    @property
    def text(self) -> str:
        """What it is, and what it should be."""
        ...


def lake_incidents(state: State, now: dt.datetime) -> list[Incident]:
    """Everything that is wrong with the lake.

    Args:
        state: The lake's state.
        now: The time, UTC.

    Raises:
        StoreError: The lake cannot be read.
    """
    return [*failed_proofs(state), *late_ones(state, now), *held_back(state), *drifted(state), *old_quarantine(state, now)]


def failed_proofs(state: State) -> Iterator[Incident]:
    """An incident for each partition that failed its proof, and one for each whose score is below the threshold."""
    for name, failures in failed_partitions(state).items():
        table = state.workspace.project.nodes[name].table
        for partition, failure in failures.items():
            problems = "; ".join(_masked(problem) for problem in failure.problems)
            text = f"{problems} (found by run {failure.run_id}). What was published before stands"
            if failure.below_threshold:
                yield Incident(Kind.THRESHOLD_CROSSED, name, partition, text, table.owner)
            if len(failure.problems) > failure.below_threshold:
                yield Incident(Kind.PROOF_FAILED, name, partition, text, table.owner)


def late_ones(state: State, now: dt.datetime) -> Iterator[Incident]:
    """An incident for each source and table that is late by itself."""
    for found in late(state, now):
        if found.updated is not None:
            since = found.updated.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
            newest = f"; its newest partition is {found.newest}" if found.newest and found.declared.partition_column else ""
            text = f"nothing new since {since} UTC, and it may be {_long(found.declared.freshness)} old at most{newest}"
            yield Incident(Kind.LATE, found.declared.full_name, "", text, found.declared.owner)


def held_back(state: State) -> Iterator[Incident]:
    """An incident for each reason for which landing objects of a source are not ingested."""
    for source in state.workspace.domain.sources.values():
        by_reason: dict[str, list[str]] = {}
        for key, reason in read_held(state.workspace.store, source.name).items():
            # What follows the colon has examples.
            by_reason.setdefault(reason.partition(":")[0], []).append(key)
        for reason, keys in sorted(by_reason.items()):
            said = f"{len(keys):,} landing objects are not ingested, the first is {min(keys)}"
            text = f"{said}; nothing of them is lost. See `assay drift`"
            yield Incident(Kind.HELD, source.full_name, reason, text, source.owner)


def drifted(state: State) -> Iterator[Incident]:
    """An incident for each column that a producer has sent and the contract does not know; none where it is to be discarded."""
    for source in state.workspace.domain.sources.values():
        if source.drift == "discard":
            continue
        declared = {spec.name for spec in source.columns}
        layouts = (layout for batch in state.ledger(source.name).batches for layout in batch.layouts.values())
        for column in sorted({column for layout in layouts for column in layout.added} - declared):
            text = "the producer sends it and the contract does not declare it; it is kept in _rescued. See `assay drift`"
            yield Incident(Kind.DRIFT, source.full_name, column, text, source.owner)


def old_quarantine(
    state: State, now: dt.datetime, limit: Callable[[Table], dt.timedelta] = lambda table: QUARANTINE_LIMIT
) -> Iterator[Incident]:
    """An incident for each table with rows in quarantine that have been there for too long.

    Args:
        state: The lake's state.
        now: The time, UTC.
        limit: How long rows of a table may be in quarantine.
    """
    for name, node in state.workspace.project.nodes.items():
        longest = limit(node.table)
        since = {
            partition: dt.datetime.fromisoformat(entry.published_at)
            for partition, entry in state.index(name).items()
            if entry.quarantine is not None
        }
        old = {partition: at for partition, at in since.items() if now - at > longest}
        if old:
            oldest = min(old, key=lambda partition: old[partition])
            text = (
                f"{len(old):,} partitions have had rows in quarantine for more than {_long(longest)}, "
                f"{oldest} since {old[oldest]:%Y-%m-%d}"
            )
            yield Incident(Kind.QUARANTINE_OLD, name, "", text, node.table.owner)


def anomalies(state: State, found: Iterable[Anomaly]) -> Iterator[Incident]:
    """An incident for each anomaly. One that goes on for days is one incident: its scope names no day.

    Args:
        state: The lake's state.
        found: The anomalies of the newest complete period of each table.
    """
    for each in found:
        yield Incident(Kind.ANOMALY, each.table, each.subject, each.text, state.declared(each.table).owner)


def _masked(text: str) -> str:
    """A text without what stands in quotation marks: DuckDB quotes the value that it could not take."""
    return _QUOTED.sub("'…'", text)


def _long(duration: dt.timedelta | None) -> str:
    hours = (duration or dt.timedelta()).total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
