"""Collecting the content of the daily quality report.

Belongs here: one function per part of the report, from the lake's state to the values of `quality.report`. Does not belong here:
the history of scores and rules (`trends`), rendering and writing the report (`report`).

Nothing is measured or judged again: the report shows the findings of runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import duckdb

from assay.contracts import Source, Table
from assay.contracts.rules import literal
from assay.lake.index import Entry
from assay.landing.drift import read_held, schema_versions
from assay.pipeline.dropping import read_drops
from assay.pipeline.freshness import freshness
from assay.pipeline.quarantined import QUARANTINED, collect, rows_of
from assay.pipeline.query import query
from assay.pipeline.runs import failed_partitions, is_dormant, source_books
from assay.pipeline.state import State
from assay.pipeline.trends import broken_rules, table_days, unit_of
from assay.quality.books import PLACES, Side
from assay.quality.own_tables import ANOMALIES, PROFILES, RECONCILIATIONS
from assay.quality.profile import Metric
from assay.quality.reconciliation import Match
from assay.quality.report import (
    AGES,
    RECENT,
    Account,
    Anomaly,
    Day,
    Drifted,
    FailedPartition,
    Fresh,
    Held,
    QualityReport,
    Quarantined,
    Reconciled,
    TableQuality,
    Unusual,
)
from assay.quality.tally import counts_money

AROUND = 56
"""Days shown before an anomaly."""
SERIES = 200
"""Number of anomalous series considered, the most extreme first."""
RULES_NAMED = 3
"""Number of rules listed for a table's quarantine."""


def collect_report(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime, now: dt.datetime) -> QualityReport:
    """Collect the content of the report.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        as_of: The time, UTC, at which ages, trends and freshness are judged.
        now: The time, UTC.

    Raises:
        StoreError: The lake cannot be read.
    """
    days = table_days(connection, state, as_of)
    found = list(anomalies(connection, state, as_of))
    declared = [node.table for node in state.workspace.project.nodes.values()]
    built = [table for table in declared if not is_dormant(state, table)]
    return QualityReport(
        domain=state.workspace.domain.name,
        as_of=as_of,
        is_past=as_of < now,
        tables=tuple(_table(table, days) for table in built),
        dormant=len(declared) - len(built),
        rules=tuple(broken_rules(connection, state, days, as_of)),
        quarantine=tuple(quarantine(connection, state, as_of)),
        drift=tuple(drift(state)),
        held=tuple(held(state)),
        anomalies=tuple(found),
        watched=sum(table.watched is not None for table in built),
        books=tuple(books(state, built)),
        freshness=tuple(fresh(state, built, as_of)),
        failures=tuple(failures(state)),
        reconciled=tuple(reconciled(connection, state)),
    )


def _table(table: Table, days: Mapping[str, tuple[Day, ...]]) -> TableQuality:
    return TableQuality(
        name=table.full_name,
        owner=table.owner,
        about=table.description.split("\n", 1)[0],
        threshold=table.threshold,
        tolerated=table.tolerated,
        is_daily=table.partition_column is not None,
        unit=unit_of(table),
        days=days[table.full_name],
    )


def quarantine(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime) -> Iterator[Quarantined]:
    """The quarantine of sources and tables, except empty ones.

    Raises:
        StoreError: The lake cannot be read.
    """
    project = state.workspace.project
    for source in project.domain.sources.values():
        if state.ledger(source.name).quarantines:
            yield from _quarantined(connection, state, source, as_of)
    for name, node in project.nodes.items():
        if any(entry.quarantine for entry in state.index(name).values()):
            yield from _quarantined(connection, state, node.table, as_of)


def _quarantined(
    connection: duckdb.DuckDBPyConnection, state: State, declared: Source | Table, as_of: dt.datetime
) -> Iterator[Quarantined]:
    if read_drops(state.workspace.store, declared.full_name):
        collect(connection, state, declared)
        rows = f"SELECT _rules, _ingested_at, dropped FROM {QUARANTINED}"
    else:
        rows = f"SELECT _rules, _ingested_at, false AS dropped FROM ({rows_of(state, declared)})"
    limit = declared.quarantine_age
    # Instants are compared, not subtracted: for a difference, DuckDB consults the calendar for every row.
    bounds = [f"_ingested_at >= {literal(as_of - age)}" for age in AGES]
    groups = [
        f"NOT dropped AND {' AND '.join(filter(None, (later, bound)))}"
        for later, bound in zip(["", *(f"NOT {bound}" for bound in bounds)], [*bounds, ""], strict=True)
    ]
    counts = [*groups, f"NOT dropped AND _ingested_at < {literal(as_of - limit)}", "dropped"]
    found = connection.execute(
        f"SELECT _rules, min(_ingested_at) FILTER (NOT dropped), {', '.join(f'count(*) FILTER ({each})' for each in counts)} "
        f"FROM ({rows}) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    if not found:
        return
    broken: dict[str, int] = {}
    for rules, _, *numbers in found:
        for rule in rules:
            broken[rule] = broken.get(rule, 0) + sum(numbers[: len(groups)])
    *ages, too_old, dropped = (sum(numbers) for numbers in zip(*(each[2:] for each in found), strict=True))
    yield Quarantined(
        name=declared.full_name,
        owner=declared.owner,
        limit=limit,
        ages=tuple(ages),
        dropped=dropped,
        too_old=too_old,
        oldest=min((each[1] for each in found if each[1] is not None), default=None),
        rules=tuple(sorted(broken.items(), key=lambda each: (-each[1], each[0]))[:RULES_NAMED]),
    )


def drift(state: State) -> Iterator[Drifted]:
    """The columns in which landed objects differ from the current contract.

    Raises:
        StoreError: The lake cannot be read.
    """
    for source in state.workspace.domain.sources.values():
        declared = {spec.name for spec in source.columns}
        seen: dict[tuple[str, str], Drifted] = {}
        for version in schema_versions(state.ledger(source.name)):
            kept = "dropped, as declared in the contract" if source.drift == "discard" else "kept in _rescued"
            new = {name: f"new ({kind.lower()}), {kept}" for name, kind in version.layout.added.items() if name not in declared}
            missing = {name: "declared, but not sent" for name in version.layout.missing if name in declared}
            for column, what in (new | missing).items():
                matters = column in new and source.drift != "discard"
                before = seen.get((column, what))
                seen[(column, what)] = Drifted(
                    source=source.full_name,
                    owner=source.owner,
                    column=column,
                    what=what,
                    objects=version.objects + (before.objects if before else 0),
                    first=min(version.first, before.first) if before else version.first,
                    last=max(version.last, before.last) if before else version.last,
                    matters=matters,
                )
        yield from sorted(seen.values(), key=lambda each: (not each.matters, each.column))


def held(state: State) -> Iterator[Held]:
    """The landing objects that are held back, by source and reason.

    Raises:
        StoreError: The lake cannot be read.
    """
    for source in state.workspace.domain.sources.values():
        by_reason: dict[str, list[str]] = {}
        for key, reason in read_held(state.workspace.store, source.name).items():
            by_reason.setdefault(reason, []).append(key)
        for reason, keys in sorted(by_reason.items()):
            yield Held(source.full_name, source.owner, reason, len(keys), min(keys))


def anomalies(connection: duckdb.DuckDBPyConnection, state: State, as_of: dt.datetime) -> Iterator[Anomaly]:
    """The unusual figures of the newest complete days of watched tables, by series, the most extreme first.

    Raises:
        StoreError: The lake cannot be read.
    """
    tables = state.workspace.domain.tables
    names = ", ".join(literal(name) for name in tables)
    same = ("table_name", "metric", "of_column", "category", "region")
    unusual = ", ".join(f"unusual.{name}" for name in same)
    equal = " AND ".join(f"figures.{name} IS NOT DISTINCT FROM unusual.{name}" for name in same)
    until, around, recent = literal(as_of.date()), literal(dt.timedelta(days=AROUND)), literal(dt.timedelta(days=RECENT))
    rows = query(
        connection,
        state,
        f"""
WITH judged AS (
  SELECT table_name, max(partition) AS last_day FROM (
    SELECT table_name, partition FROM {PROFILES.full_name} UNION ALL SELECT table_name, partition FROM {ANOMALIES.full_name}
  ) WHERE partition <= {until} AND table_name IN ({names}) GROUP BY 1
),
recent AS (
  SELECT anomalies.*, last_day FROM {ANOMALIES.full_name} AS anomalies JOIN judged USING (table_name)
  WHERE partition BETWEEN (last_day - {recent})::DATE + 1 AND last_day
),
unusual AS (
  SELECT {", ".join(same)}, last_day, max(abs(score)) AS worst,
    list({{'day': partition, 'observed': observed, 'expected': expected, 'score': score, 'text': text}} ORDER BY partition)
      AS found
  FROM recent GROUP BY ALL ORDER BY worst DESC, {", ".join(same)} LIMIT {SERIES}
)
SELECT unusual.table_name, unusual.metric, unusual.last_day, any_value(found),
  list({{'day': figures.partition, 'figure': figures.figure}} ORDER BY figures.partition) FILTER (figures.partition IS NOT NULL)
FROM unusual LEFT JOIN {PROFILES.full_name} AS figures
  ON {equal} AND figures.partition BETWEEN (last_day - {around})::DATE AND last_day
GROUP BY {unusual}, unusual.last_day, worst ORDER BY worst DESC, {unusual}""",
    ).fetchall()
    for name, metric, last_day, found, series in rows:
        days = tuple(Unusual(**each) for each in found)
        # A day without rows is missing: for a count, that means zero.
        figures = {each["day"]: each["figure"] for each in series or ()}
        nothing = 0.0 if metric in (Metric.VOLUME, Metric.VALUE) else None
        first = min(figures, default=last_day)
        axis = [first + dt.timedelta(days=number) for number in range((last_day - first).days + 1)]
        yield Anomaly(
            table=name,
            owner=tables[name].owner,
            subject=_subject(days[-1].text),
            is_share=metric in (Metric.NULL_SHARE, Metric.CATEGORY_SHARE),
            found=days,
            series=tuple((day, figures.get(day, nothing)) for day in axis),
        )


def _subject(text: str) -> str:
    """The subject of an anomaly's text: the part before the figures."""
    return text.rpartition(", expected ")[0].rpartition(": ")[0] or text


def books(state: State, tables: Iterable[Table]) -> Iterator[Account]:
    """The current books of every source and of some tables.

    Raises:
        StoreError: The lake cannot be read.
    """
    for source in state.workspace.domain.sources.values():
        ledger = state.ledger(source.name)
        summed = source_books(ledger)
        money = summed.money if source.money is not None else None
        yield Account(
            source.full_name, "", summed.rows, money, len({part.partition for batch in ledger.batches for part in batch.parts})
        )
    for table in tables:
        index = state.index(table.full_name)
        written = [entry.books for entry in index.values() if entry.books]
        yield Account(
            name=table.full_name,
            unit=unit_of(table),
            rows=_sum(written),
            money=_sum(each.get("money", {}) for each in written) if counts_money(table) else None,
            partitions=len(index),
            unbalanced=tuple(sorted(partition for partition, entry in index.items() if not entry.books.get("balanced", False))),
        )


def _sum(written: Iterable[Mapping[str, object]]) -> Side:
    """Add up one side of books as stored, without creating an object for each of thousands."""
    listed = list(written)
    return Side(*(sum((Decimal(str(each.get(place, 0))) for each in listed), Decimal(0)) for place in PLACES))


def fresh(state: State, tables: Iterable[Table], as_of: dt.datetime) -> Iterator[Fresh]:
    """The freshness of every source and some tables.

    Raises:
        StoreError: The lake cannot be read.
    """
    every = freshness(state, as_of)
    late = {name for name, found in every.items() if found.is_late(as_of)}
    project = state.workspace.project
    told = {table.full_name for table in tables} | {source.full_name for source in project.domain.sources.values()}
    for name, found in every.items():
        if name not in told:
            continue
        reads = project.upstream(name) if name in project.nodes else ()
        yield Fresh(
            name=name,
            owner=found.declared.owner,
            updated=found.updated,
            age=None if found.updated is None else max(as_of - found.updated, dt.timedelta()),
            limit=found.declared.freshness,
            newest=found.newest if found.declared.partition_column else "",
            waits_for=tuple(sorted(late.intersection(reads))),
        )


def failures(state: State) -> Iterator[FailedPartition]:
    """The partitions that failed their last proof.

    Raises:
        StoreError: The lake cannot be read.
    """
    for name, failed in failed_partitions(state).items():
        table = state.workspace.project.nodes[name].table
        index: Mapping[str, Entry] = state.index(name)
        for partition, failure in failed.items():
            entry = index.get(partition)
            since = dt.datetime.fromisoformat(entry.published_at) if entry and entry.published_at else None
            yield FailedPartition(name, table.owner, partition, failure.problems, failure.run_id, since)


def reconciled(connection: duckdb.DuckDBPyConnection, state: State) -> Iterator[Reconciled]:
    """The latest results of controls for tables, those that differ first.

    Raises:
        StoreError: The lake cannot be read.
    """
    tables = state.workspace.domain.tables
    wrong = ", ".join(literal(str(match)) for match in Match if match.is_wrong)
    rows = query(
        connection,
        state,
        f"""
SELECT control, table_name, count(DISTINCT day), max(day),
  coalesce(list(DISTINCT day ORDER BY day) FILTER (is_wrong), []) AS wrong,
  first({{'key': key, 'measure': measure, 'in_lake': in_lake, 'in_control': in_control}}
    ORDER BY day DESC, key, measure DESC) FILTER (is_wrong),
  max(reconciled_at)
FROM (SELECT *, status IN ({wrong}) AS is_wrong FROM {RECONCILIATIONS.full_name})
GROUP BY ALL ORDER BY len(wrong) = 0, control""",
    ).fetchall()
    for control, name, days, newest, differing, example, at in rows:
        owner = tables[name].owner if name in tables else ""
        yield Reconciled(control, name, owner, days, newest, tuple(differing), _difference(example), at)


def _difference(example: Mapping[str, Decimal | str | None] | None) -> str:
    if example is None:
        return ""
    sides = (example["in_lake"], example["in_control"])
    lake, control = ("nothing" if figure is None else f"{Decimal(figure).normalize():,f}" for figure in sides)
    key = f" of {example['key']}" if example["key"] else ""
    return f"{example['measure']}{key} is {lake} in the lake, {control} in the control"
