"""Reconciling: comparing the totals of tables with those of controls, and storing the results in the lake.

Belongs here: which days are compared, the lake's totals, and the storage of results. Does not belong here: querying the control
(`controls`), comparing the two and choosing the result that counts (`quality.reconciliation`).

The lake's totals are those of published rows and, separately, of rows that the table's contract refused: a control knows nothing
of quarantine, and quarantined rows are not lost. An unreadable record has no day and is on neither side.

A day that was wrong, open, or differs by quarantined rows is compared again every time until it agrees, however old it is: a
late correction on either side resolves it. The results of a control are one object, replaced by compare-and-swap, so that two
concurrent runs lose nothing, and a run that is killed leaves the object as it was.
"""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from assay.contracts import Control, ControlFile
from assay.contracts.rules import literal, quote
from assay.errors import AssayError, Conflict, ControlError, ControlMissing, ObjectMissing, SettingsError, StoreError
from assay.lake.layout import control_key, partition_key
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.nearest import suggestion
from assay.pipeline.controls import ask
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.state import State
from assay.quality.own_tables import RECONCILIATION_HISTORY
from assay.quality.reconciliation import Compared, DayResult, Keys, Match, Totals, compare, latest, merge

ATTEMPTS = 20
"""How often writing results is retried when others keep writing theirs first."""
_QUARANTINED = "in_quarantine"


@dataclass(frozen=True)
class Reconciled:
    """The result of reconciling a control.

    Attributes:
        control: The control.
        last_complete: The last day that was complete.
        compared: The days compared in this run.
        standing: The result that counts for every day ever compared.
    """

    control: Control
    last_complete: dt.date
    compared: tuple[DayResult, ...]
    standing: tuple[DayResult, ...]

    @property
    def wrong(self) -> tuple[DayResult, ...]:
        """The days that currently differ."""
        return tuple(result for result in self.standing if result.is_wrong)

    @property
    def quarantined(self) -> int:
        """Number of days compared in this run that agree only when quarantined rows are counted."""
        return sum(
            not result.is_wrong and any(figure.match is Match.QUARANTINED for figure in result.figures)
            for result in self.compared
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """Figures compared in this run, by status."""
        return Counter(str(figure.match) for result in self.compared for figure in result.figures)


@dataclass
class Reconciling:
    """Controls that are reconciled one after the other, and their results.

    Attributes:
        controls: The controls.
        dsns: Connection strings by database name.
        days: Number of days to compare; None for each control's own.
        progress: Called with each control before it is queried.
        done: The results.
        waiting: Controls for which nothing has ever landed.
        failed: Why controls could not be reconciled, by name.
    """

    controls: Sequence[Control]
    dsns: Mapping[str, SecretStr] = field(repr=False)
    days: int | None = None
    progress: Callable[[Control], None] = lambda control: None
    done: list[Reconciled] = field(default_factory=list)
    waiting: list[Control] = field(default_factory=list)
    failed: dict[str, AssayError] = field(default_factory=dict)

    def run(self, connection: duckdb.DuckDBPyConnection, state: State, now: dt.datetime, run_id: str) -> None:
        """Reconcile every control; one that cannot be queried does not block the others."""
        for control in self.controls:
            self.progress(control)
            try:
                self.done.append(reconcile(connection, state, control, self.dsns, now, run_id, days=self.days))
            except ControlMissing as error:
                # Data that existed before are lost, so this is not a matter of waiting.
                if read_results(state.workspace.store, control):
                    self.failed[control.name] = error
                else:
                    self.waiting.append(control)
            except (ControlError, SettingsError) as error:
                self.failed[control.name] = error


def find_controls(controls: Sequence[Control], names: Collection[str]) -> list[Control]:
    """Find controls by name; all if there are no names.

    Raises:
        SettingsError: There is no such control, or none at all.
    """
    if not controls:
        raise SettingsError("The domain declares no controls.", hint="Give Domain(controls=(Control(…), …)).")
    unknown = [name for name in names if name not in {control.name for control in controls}]
    if unknown:
        raise SettingsError(
            f"There is no control {unknown[0]}.",
            hint=suggestion(unknown[0], [control.name for control in controls], "`assay reconcile` without a name compares all."),
        )
    return [control for control in controls if not names or control.name in names]


def reconcile(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    control: Control,
    dsns: Mapping[str, SecretStr],
    now: dt.datetime,
    run_id: str,
    *,
    days: int | None = None,
) -> Reconciled:
    """Compare a table with a control, and store the result.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        control: The control.
        dsns: Connection strings by database name.
        now: The time, UTC: it determines which days are complete, and which result is the newest.
        run_id: Names the run.
        days: Number of days to compare; None for the control's own.

    Raises:
        SettingsError: The connection string is missing or invalid.
        ControlMissing: The control has no file.
        ControlError: The control cannot be queried, or its result is invalid.
        StoreError: The lake cannot be read or written.
    """
    store = state.workspace.store
    before = read_results(store, control)
    last_complete = control.last_complete(now)
    wanted = _wanted(control, state, now, last_complete, days or control.days, latest(before))
    said = ask(connection, store, control, dsns, wanted[0], wanted[-1])
    if isinstance(control.from_, ControlFile):
        wanted = _spoken_of(control, control.from_, wanted, said)
    lake, refused = lake_totals(connection, state, control, wanted)
    compared = compare(control, wanted, lake, refused, said, last_complete)
    found = [DayResult(day, tuple(figures), control.from_.kind, now, now, run_id) for day, figures in sorted(compared.items())]
    standing = [result for result in latest(_keep(store, control, found)) if control.since is None or result.day >= control.since]
    return Reconciled(control, last_complete, tuple(found), tuple(standing))


def _wanted(
    control: Control, state: State, now: dt.datetime, last_complete: dt.date, days: int | None, standing: Sequence[DayResult]
) -> list[dt.date]:
    """The days to compare: the last ones, and those that did not agree before."""
    since = control.since or state.workspace.domain.start
    today = now.date()
    first = since if days is None else max(last_complete - dt.timedelta(days=days - 1), since)
    window = {first + dt.timedelta(days=number) for number in range((today - first).days + 1)}
    again = {result.day for result in standing if not result.is_settled and since <= result.day <= today}
    if not window | again:
        asked = "its since" if control.since else "the domain's start"
        raise ControlError(
            f"The control {control.name} has no days to compare yet: it begins on {since}, which is in the future.",
            hint=f"Wait, or correct {asked}.",
        )
    return sorted(window | again)


def _spoken_of(control: Control, file: ControlFile, wanted: Sequence[dt.date], said: Totals) -> list[dt.date]:
    """The days that a file covers: from its first to its last."""
    if not said:
        raise ControlError(
            f"The control {control.name}: {file.path} has no day from {wanted[0]} to {wanted[-1]}.",
            hint="Deliver a newer file, or ask for more days (--days).",
        )
    spoken = {day for day, _ in said}
    return [day for day in wanted if min(spoken) <= day <= max(spoken)]


def lake_totals(
    connection: duckdb.DuckDBPyConnection, state: State, control: Control, days: Sequence[dt.date]
) -> tuple[Totals, Totals]:
    """Add up a table in the same way as a control.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        control: The control.
        days: The days.

    Returns:
        The totals of published rows, and of rows in quarantine.

    Raises:
        ControlError: An expression fails on the data.
        StoreError: The lake cannot be read.
    """
    try:
        try:
            return _lake_totals(connection, state, control, days)
        except duckdb.IOException:
            # A run may have replaced a partition's quarantine since the index was read.
            return _lake_totals(connection, State(state.workspace), control, days)
    except duckdb.Error as error:
        raise_if_not_about_data(error)
        raise ControlError(
            f"The control {control.name}: {control.table} cannot be added up: {str(error).splitlines()[0]}",
            hint="Correct its rows, sums or where.",
        ) from error


def _lake_totals(
    connection: duckdb.DuckDBPyConnection, state: State, control: Control, days: Sequence[dt.date]
) -> tuple[Totals, Totals]:
    table = state.workspace.domain.tables[control.table]
    store = state.workspace.store
    index = state.index(control.table)
    is_cut = control.day == table.partition_column
    partitions = [day.isoformat() for day in days if day.isoformat() in index] if is_cut else sorted(index)
    entries = [(name, index[name]) for name in partitions]
    published = [(entry.contract, store.path(partition_key(table, name))) for name, entry in entries]
    # Without a version: refused rows are incomplete, and lack columns of published ones.
    refused = [("", store.path(entry.quarantine)) for _, entry in entries if entry.quarantine]
    return (
        _add_up(connection, control, days, typed_rows(table, files_by_version(published))),
        _add_up(connection, control, days, typed_rows(table, files_by_version(refused))) if refused else {},
    )


def _add_up(connection: duckdb.DuckDBPyConnection, control: Control, days: Sequence[dt.date], rows: str) -> Totals:
    keys = "".join(f", {quote(name)}::VARCHAR AS k{place}" for place, name in enumerate(control.keys))
    sums = ", ".join(f"coalesce(sum({expression}), 0)::VARCHAR" for expression in control.measures.values())
    wanted = ", ".join(literal(day) for day in days)
    also = f" AND ({control.where})" if control.where is not None else ""
    day = quote(control.day)
    query = f"SELECT {day} AS day{keys}, {sums} FROM ({rows}) WHERE {day} IN ({wanted}){also} GROUP BY ALL"
    width = len(control.by)
    return {_place(row[:width]): _figures(control, row[width:]) for row in connection.execute(query).fetchall()}


def _place(values: Sequence[Any]) -> tuple[dt.date, Keys]:
    return values[0], tuple(values[1:])


def _figures(control: Control, values: Sequence[str]) -> dict[str, Decimal]:
    return {measure: Decimal(value) for measure, value in zip(control.measures, values, strict=True)}


def read_results(store: ObjectStore, control: Control) -> list[DayResult]:
    """Read all results ever found for a control, by day and time.

    Raises:
        StoreError: The lake cannot be read.
    """
    return _read(store, control)[0]


def _read(store: ObjectStore, control: Control) -> tuple[list[DayResult], str | None]:
    """The results of a control and the version of their object."""
    key = control_key(RECONCILIATION_HISTORY.name, control)
    try:
        # Read the version first: an intervening write then makes the next conditional write fail instead of being overwritten.
        etag = store.head(key).etag
        rows = pq.read_table(pa.BufferReader(store.get(key)))
    except ObjectMissing:
        return [], None
    place = RECONCILIATION_HISTORY.schema.get_field_index(_QUARANTINED)
    if rows.schema.equals(RECONCILIATION_HISTORY.schema.remove(place)):
        # Written by a version of Assay that did not consider quarantine.
        added = RECONCILIATION_HISTORY.schema.field(place)
        rows = rows.add_column(place, added, pa.nulls(rows.num_rows, added.type).fill_null(Decimal(0)))
    if not rows.schema.equals(RECONCILIATION_HISTORY.schema):
        raise StoreError(f"{key} has other columns than this version of Assay writes.", hint="Move it out of the lake.")
    return _results(rows), etag


def _keep(store: ObjectStore, control: Control, found: Sequence[DayResult]) -> list[DayResult]:
    key = control_key(RECONCILIATION_HISTORY.name, control)
    for _ in range(ATTEMPTS):
        before, etag = _read(store, control)
        results = merge(before, found)
        written = io.BytesIO()
        pq.write_table(_rows(control, results), written, compression="zstd")
        try:
            store.put(key, written.getvalue(), if_match=etag, if_absent=etag is None)
        except Conflict:
            continue
        return results
    raise StoreError(f"{key} cannot be written: others keep writing it first.", hint="Run again.")


def _rows(control: Control, results: Sequence[DayResult]) -> pa.Table:
    counting = {id(result) for result in latest(results)}
    rows = [
        {
            "control": control.name,
            "table_name": control.table,
            "day": result.day,
            "key": figure.key,
            "measure": figure.measure,
            "in_lake": figure.in_lake,
            _QUARANTINED: figure.in_quarantine,
            "in_control": figure.in_control,
            "difference": figure.difference,
            "tolerance": figure.tolerance,
            "status": str(figure.match),
            "asked": result.asked,
            "found_at": result.found_at,
            "reconciled_at": result.reconciled_at,
            "run_id": result.run_id,
            "is_latest": id(result) in counting,
        }
        for result in results
        for figure in result.figures
    ]
    return pa.Table.from_pylist(rows, RECONCILIATION_HISTORY.schema)


def _results(rows: pa.Table) -> list[DayResult]:
    """Results from rows, in the order in which they were written."""
    names = ("day", "asked", "found_at", "reconciled_at", "run_id")
    return [
        DayResult(day, tuple(_compared(row) for row in figures), asked, found_at, reconciled_at, run_id)
        for (day, asked, found_at, reconciled_at, run_id), figures in groupby(
            rows.to_pylist(), key=lambda row: tuple(row[name] for name in names)
        )
    ]


def _compared(row: Mapping[str, Any]) -> Compared:
    return Compared(
        day=row["day"],
        key=row["key"],
        measure=row["measure"],
        in_lake=row["in_lake"],
        in_quarantine=row[_QUARANTINED],
        in_control=row["in_control"],
        tolerance=row["tolerance"],
        match=Match(row["status"]),
    )
