"""Reconciling: what tables add up to, compared with what controls say, and the results kept in the lake.

Belongs here: which days are compared, the lake's side of them, and where results lie. Does not belong here: asking the control
(`controls`), how the two are compared and which result counts (`quality.reconciliation`).

The lake's side is what is published, and beside it what the table's contract refused: a control knows nothing of quarantine, and
what stands there is not lost. A record that could not be read has no day and is on neither side.

A day that was found wrong, was open, or differs by what is in quarantine is compared again every time until it is right, however
old it is: a late restatement on either side is what mends it. Results of a control are one object, replaced by compare-and-swap,
so that two who reconcile at once lose nothing, and one who is killed leaves what was there.
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
"""How often results are written while others keep writing theirs first."""
_QUARANTINED = "in_quarantine"


@dataclass(frozen=True)
class Reconciled:
    """What reconciling a control gave.

    Attributes:
        control: The control.
        last_complete: The last day that was complete.
        compared: The days that were compared now.
        standing: The result that counts of every day that was ever compared.
    """

    control: Control
    last_complete: dt.date
    compared: tuple[DayResult, ...]
    standing: tuple[DayResult, ...]

    @property
    def wrong(self) -> tuple[DayResult, ...]:
        """The days that differ, as they stand."""
        return tuple(result for result in self.standing if result.is_wrong)

    @property
    def quarantined(self) -> int:
        """How many of the days compared now agree only when what is in quarantine is counted."""
        return sum(
            not result.is_wrong and any(figure.match is Match.QUARANTINED for figure in result.figures)
            for result in self.compared
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """Figures compared now, by status."""
        return Counter(str(figure.match) for result in self.compared for figure in result.figures)


@dataclass
class Reconciling:
    """Controls that are reconciled one after the other, and what became of them.

    Attributes:
        controls: The controls.
        dsns: Connection strings by the names of databases.
        days: How many days back are compared; as each control says when None.
        progress: Told of each control before it is asked.
        done: What was found.
        waiting: Controls that nothing has ever landed of.
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
        """Reconcile every control; one that cannot be asked does not hold up the others."""
        for control in self.controls:
            self.progress(control)
            try:
                self.done.append(reconcile(connection, state, control, self.dsns, now, run_id, days=self.days))
            except ControlMissing as error:
                # One that was there before is lost, which is no matter of waiting.
                if read_results(state.workspace.store, control):
                    self.failed[control.name] = error
                else:
                    self.waiting.append(control)
            except (ControlError, SettingsError) as error:
                self.failed[control.name] = error


def find_controls(controls: Sequence[Control], names: Collection[str]) -> list[Control]:
    """The controls of some names; all when there are none.

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
    keep: bool = True,
) -> Reconciled:
    """Compare a table with a control, and keep the result.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        control: The control.
        dsns: Connection strings by the names of databases.
        now: The time, UTC: it decides which days are complete, and which result is the newest.
        run_id: Names the run.
        days: How many days back are compared; as the control says when None.
        keep: Write the result to the lake.

    Raises:
        SettingsError: There is no connection string, or it is none.
        ControlMissing: No file of the control is there.
        ControlError: The control cannot be asked, or its answer is not to be understood.
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
    results = _keep(store, control, found) if keep else merge(before, found)
    standing = [result for result in latest(results) if control.since is None or result.day >= control.since]
    return Reconciled(control, last_complete, tuple(found), tuple(standing))


def _wanted(
    control: Control, state: State, now: dt.datetime, last_complete: dt.date, days: int | None, standing: Sequence[DayResult]
) -> list[dt.date]:
    """The days to compare: the last ones, and those that were not right before."""
    since = control.since or state.workspace.domain.start
    today = now.date()
    first = since if days is None else max(last_complete - dt.timedelta(days=days - 1), since)
    window = {first + dt.timedelta(days=number) for number in range((today - first).days + 1)}
    again = {result.day for result in standing if not result.is_settled and since <= result.day <= today}
    if not window | again:
        raise ControlError(f"The control {control.name} knows no day before {since}.", hint="Wait, or correct its since.")
    return sorted(window | again)


def _spoken_of(control: Control, file: ControlFile, wanted: Sequence[dt.date], said: Totals) -> list[dt.date]:
    """The days that a file speaks of: those from its first to its last."""
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
    """Add up a table as a control does.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        control: The control.
        days: The days.

    Returns:
        The totals of what is published, and of what is in quarantine.

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
    # Of no version: rows that were refused were not finished, and lack columns that published ones have.
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
    """Read everything that was ever found of a control, by day and time.

    Raises:
        StoreError: The lake cannot be read.
    """
    return _read(store, control)[0]


def _read(store: ObjectStore, control: Control) -> tuple[list[DayResult], str | None]:
    """The results of a control and the version of the object that holds them."""
    key = control_key(RECONCILIATION_HISTORY.name, control)
    try:
        # First the version: a write in between makes the next conditional one fail, and never one be forgotten.
        etag = store.head(key).etag
        rows = pq.read_table(pa.BufferReader(store.get(key)))
    except ObjectMissing:
        return [], None
    place = RECONCILIATION_HISTORY.schema.get_field_index(_QUARANTINED)
    if rows.schema.equals(RECONCILIATION_HISTORY.schema.remove(place)):
        # Written before quarantine was looked at.
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
    """Results from rows, which lie together as they were written."""
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
