"""Ad hoc metric queries: a question is planned, its mart bound, its answer computed.

Belongs here: reading exactly the partitions that a plan needs. Does not belong here: planning (`metrics.planning`),
showing results (`cli`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import duckdb

from assay.contracts import Grain
from assay.contracts.periods import following, holding, last_day
from assay.engine.relations import bind
from assay.errors import SettingsError, SqlError
from assay.metrics.declarations import NEAR
from assay.metrics.marts import lattice_of
from assay.metrics.planning import Candidate, Days, Plan, Question, plan
from assay.pipeline.duckdb_errors import raise_if_not_about_data
from assay.pipeline.packing import packed_files
from assay.pipeline.state import State


@dataclass(frozen=True)
class Answer:
    """An answer and how it was found.

    Attributes:
        plan: The alternatives considered.
        taken: The chosen one.
        result: The rows; nothing is computed until they are fetched.
    """

    plan: Plan
    taken: Candidate
    result: duckdb.DuckDBPyRelation


def plan_question(state: State, question: Question) -> Plan:
    """Find the cheapest exact way to answer a question."""
    return plan(lattice_of(state.workspace.domain), question)


def rows_read(state: State, candidate: Candidate, days: Days) -> int:
    """The number of published rows that a candidate reads."""
    there = [relation for relation in candidate.relations if relation in state.workspace.domain.tables]
    return sum(
        found.rows
        for relation in there
        for partition in _published(state, candidate, relation, days)
        for found in state.available(relation)[partition]
    )


def statement_of(state: State, candidate: Candidate) -> str:
    """The SQL of a candidate, which marks the periods that are partial as of now."""
    if not candidate.has_periods:
        return candidate.sql
    return candidate.statement(_newest(state, candidate), _first(state, candidate))


def _first(state: State, candidate: Candidate) -> dt.date | None:
    """The first day of data, if the answer depends on it; None where there are none."""
    first = min((partition for relation in candidate.begin for partition in state.with_rows(relation)), default=None)
    return dt.date.fromisoformat(first) if first else None


def _newest(state: State, candidate: Candidate) -> dt.date | None:
    """How far the data of a way to answer a question reach; None where there are none."""
    newest = max((partition for relation in candidate.relations for partition in state.with_rows(relation)), default=None)
    if newest is None or not candidate.facts:
        return dt.date.fromisoformat(newest) if newest else None
    utc = max((partition for fact in candidate.facts for partition in state.with_rows(fact)), default=newest)
    # Marts that are behind have not read all of it: their newest period begins on the day after the newest that they have.
    grain = state.declared(candidate.relations[0]).grain
    ends = last_day(grain, dt.date.fromisoformat(newest))
    return min(dt.date.fromisoformat(utc), ends if candidate.near else ends - dt.timedelta(days=NEAR))


def ask(connection: duckdb.DuckDBPyConnection, state: State, question: Question, *, scan: bool = False) -> Answer:
    """Answer a question.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state.
        question: The question.
        scan: Compute from the facts if no mart has the answer.

    Raises:
        SettingsError: No mart answers it exactly, or what it reads is not published, and a scan was not requested or does not
            answer it either.
        StoreError: The lake cannot be read.
    """
    found = plan_question(state, question)
    taken = found.chosen
    if taken is None and found.scan is None:
        raise SettingsError(
            f"This cannot be answered: {found.considered[-1].why}.",
            hint="; ".join(f"{each.name}: {each.why}" for each in found.considered[:-1]),
        )
    if taken is None and not scan and found.scan is not None:
        raise SettingsError(
            "No mart answers this exactly.",
            hint=f"--scan computes it from {rows_read(state, found.scan, question.days):,} rows of {found.scan.name}. "
            "--explain shows why no mart does.",
        )
    # A mart and that of its trends are built one after the other: without the second, its metrics would all be null.
    if taken is not None and (unpublished := [relation for relation in taken.relations if not state.available(relation)]):
        if not scan or found.scan is None:
            raise SettingsError(
                f"There are no published data in {', '.join(unpublished)}.",
                hint="`assay run --all` builds the marts of metrics too.",
            )
        taken = None
    taken = taken or found.scan
    assert taken is not None
    for relation in taken.relations:
        files = packed_files(state, relation, _published(state, taken, relation, question.days))
        bind(connection, relation, state.declared(relation), files, ())
    try:
        return Answer(found, taken, connection.sql(statement_of(state, taken)))
    except duckdb.Error as error:
        raise_if_not_about_data(error)
        raise SqlError(str(error)) from error


def _published(state: State, candidate: Candidate, relation: str, days: Days) -> list[str]:
    """The partitions of a relation that hold some days, for a way to answer a question."""
    grain, near = state.declared(relation).grain, candidate.near
    available = sorted(state.available(relation))
    if grain is Grain.WHOLE:
        return available
    first = holding(grain, following(Grain.DAY, days.first, -near).isoformat()) if days.first else ""
    last = following(Grain.DAY, days.last, near).isoformat() if days.last else dt.date.max.isoformat()
    return [key for key in available if first <= key <= last]
