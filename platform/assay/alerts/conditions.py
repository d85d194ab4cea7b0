"""Current incidents, derived from the state of the lake.

Belongs here: one pure function per kind of incident, from state to incidents. Does not belong here: the history of an incident
(`incidents`), incidents that the lake does not show (`orchestration` adds failed runs).

No text contains values of rows: alerts leave the company.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import duckdb

from assay.alerts.incidents import Incident, Kind
from assay.contracts import Source, Table
from assay.errors import AssayError
from assay.landing.drift import read_held
from assay.pipeline.duckdb_errors import raise_if_unavailable
from assay.pipeline.freshness import late
from assay.pipeline.quarantined import standing
from assay.pipeline.reporting import reconciled
from assay.pipeline.runs import failed_partitions
from assay.pipeline.state import State
from assay.pipeline.watching import Watched, watch_tables
from assay.quality.ages import TooOld, too_old
from assay.quality.anomalies import Anomaly

ANOMALY_DAYS = 3
"""An anomaly is reported while it is on one of this many last complete days, so that an unattended weekend hides none."""
_FIGURES_SAID = 3


@dataclass(frozen=True)
class Looked:
    """What was found.

    Attributes:
        incidents: Everything that is wrong, as far as it can be seen.
        judged: The kinds whose every incident is in `incidents`.
    """

    incidents: tuple[Incident, ...]
    judged: frozenset[Kind]


def look_at_lake(connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime) -> Looked:
    """Find everything that is wrong with the lake.

    What cannot be looked at is an incident, and hides nothing else: one object that cannot be read stops one kind.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        now: The time, UTC.

    Raises:
        StoreUnavailable: The lake cannot be reached.
    """
    looks: dict[tuple[Kind, ...], Callable[[], Iterable[Incident]]] = {
        (Kind.PROOF_FAILED, Kind.THRESHOLD_CROSSED): lambda: failed_proofs(state),
        (Kind.LATE,): lambda: late_ones(state, now),
        (Kind.HELD,): lambda: held_back(state),
        (Kind.DRIFT,): lambda: drifted(state),
        (Kind.QUARANTINE_OLD,): lambda: old_quarantine(connection, state, now),
        (Kind.DIFFERS,): lambda: differing(connection, state),
        (Kind.ANOMALY,): lambda: anomalies(watch_tables(connection, state, now, keep=False)),
    }
    found: list[Incident] = []
    judged = {Kind.UNSEEN}
    for kinds, look in looks.items():
        try:
            found += list(look())
            judged.update(kinds)
        except Exception as error:  # whatever it is that an object which cannot be read raises
            raise_if_unavailable(error)
            found.append(unseen(error, kinds[0].value))
    return Looked(tuple(found), frozenset(judged))


def unseen(error: Exception, scope: str) -> Incident:
    """The incident that something cannot be looked at.

    Args:
        error: Why.
        scope: What: a kind of incidents, or nothing for the lake as a whole.
    """
    # Our own errors name an object before the colon; what follows, and what others say, may quote a row.
    said = error.message.partition(":")[0] if isinstance(error, AssayError) else type(error).__name__
    what = f"no incident of the kind {scope} can be found or be over" if scope else "nothing of it can be looked at"
    return Incident(Kind.UNSEEN, "lake", scope, f"{what}: {said}. `assay alerts` says more", detail=str(error))


def failed_proofs(state: State) -> Iterator[Incident]:
    """An incident for each partition that failed its proof; a score below the threshold is one of its own kind."""
    for name, failures in failed_partitions(state).items():
        table = state.workspace.project.nodes[name].table
        for partition, failure in failures.items():
            text = f"{'; '.join(failure.problems)} (found by run {failure.run_id}). The data published before stay in place"
            if failure.below_threshold:
                yield Incident(Kind.THRESHOLD_CROSSED, name, partition, text, table.owner)
            if len(failure.problems) > failure.below_threshold:
                yield Incident(Kind.PROOF_FAILED, name, partition, text, table.owner, failure.sentence)


def late_ones(state: State, now: dt.datetime) -> Iterator[Incident]:
    """An incident for each source and table that is late, unless it only waits for another late one."""
    for found in late(state, now):
        if found.updated is not None:
            since = found.updated.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")
            newest = f"; its newest partition is {found.newest}" if found.newest and found.declared.partition_column else ""
            text = f"nothing new since {since} UTC; the limit is {_long(found.declared.freshness)}{newest}"
            yield Incident(Kind.LATE, found.declared.full_name, "", text, found.declared.owner)


def held_back(state: State) -> Iterator[Incident]:
    """An incident per source and reason for which landing objects are not ingested."""
    for source in state.workspace.domain.sources.values():
        by_reason: dict[str, list[str]] = {}
        for key, reason in read_held(state.workspace.store, source.name).items():
            # Examples follow the colon.
            by_reason.setdefault(reason.partition(":")[0], []).append(key)
        for reason, keys in sorted(by_reason.items()):
            said = f"{len(keys):,} landing objects are not ingested, the first is {min(keys)}"
            text = f"{said}; their data are not lost. See `assay drift`"
            yield Incident(Kind.HELD, source.full_name, reason, text, source.owner)


def drifted(state: State) -> Iterator[Incident]:
    """An incident for each column that a producer sends but the contract does not declare, unless it is to be discarded."""
    for source in state.workspace.domain.sources.values():
        if source.drift == "discard":
            continue
        declared = {spec.name for spec in source.columns}
        layouts = (layout for batch in state.ledger(source.name).batches for layout in batch.layouts.values())
        for column in sorted({column for layout in layouts for column in layout.added} - declared):
            text = "the producer sends it, but the contract does not declare it; it is kept in _rescued. See `assay drift`"
            yield Incident(Kind.DRIFT, source.full_name, column, text, source.owner)


def old_quarantine(connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime) -> Iterator[Incident]:
    """An incident for each table or source with records that have been in quarantine for longer than allowed.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        now: The time, UTC.
    """
    domain = state.workspace.domain
    declared: list[Source | Table] = [*domain.sources.values(), *domain.tables.values()]
    limits = {each.full_name: each.quarantine_age for each in declared}
    old: dict[str, list[TooOld]] = {}
    for found in too_old(standing(connection, state, declared), limits, now):
        old.setdefault(found.table, []).append(found)
    for each in declared:
        if by_rule := old.get(each.full_name):
            counts = ", ".join(f"{found.rows:,} that broke {found.rule}" for found in by_rule)
            since = min(found.oldest for found in by_rule)
            text = (
                f"in quarantine for more than {_long(each.quarantine_age)}: {counts}; the first since {since:%Y-%m-%d}. "
                f"See `assay quarantine list {each.full_name}`"
            )
            yield Incident(Kind.QUARANTINE_OLD, each.full_name, "", text, each.owner)


def differing(connection: duckdb.DuckDBPyConnection, state: State) -> Iterator[Incident]:
    """An incident for each control that a table differed from when they were last compared."""
    if not state.workspace.domain.controls:
        return
    for found in reconciled(connection, state):
        if found.wrong:
            days = f"{len(found.wrong):,} days differ, the newest is {found.wrong[-1]}"
            text = f"{days}, as compared at {found.reconciled_at:%Y-%m-%d %H:%M} UTC. See `assay reconcile {found.control}`"
            yield Incident(Kind.DIFFERS, found.table, found.control, text, found.owner, found.text)


def anomalies(found: Iterable[Watched]) -> Iterator[Incident]:
    """An incident for each table and region with anomalous figures.

    An anomaly that goes on for days is one incident, and so are all figures of a region: missing data show in all of them.

    Args:
        found: The watched tables.
    """
    for watched in found:
        by_region: dict[str, list[Anomaly]] = {}
        for each in watched.recent(ANOMALY_DAYS):
            by_region.setdefault(each.region or "", []).append(each)
        for region, every in sorted(by_region.items()):
            day = max(each.day for each in every)
            newest = sorted((each for each in every if each.day == day), key=lambda each: abs(each.score), reverse=True)
            more = f"; and {len(newest) - _FIGURES_SAID} more figures" if len(newest) > _FIGURES_SAID else ""
            said = "; ".join(each.text for each in newest[:_FIGURES_SAID])
            text = f"{day}: {said}{more}. See `assay anomalies {watched.table.full_name}`"
            yield Incident(Kind.ANOMALY, watched.table.full_name, region, text, watched.table.owner)


def _long(duration: dt.timedelta | None) -> str:
    hours = (duration or dt.timedelta()).total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
