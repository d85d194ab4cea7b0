"""Building: compute partitions, prove them, publish those that pass.

Belongs here: one pass over the dirty partitions of one table. Does not belong here: finding them (`plan`), writing objects
(`publish`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import duckdb

from assay.contracts.periods import holding
from assay.engine.project import Node, source_of
from assay.engine.relations import bind
from assay.engine.staging import drop_tables, stage
from assay.errors import Conflict, StoreError
from assay.lake.index import Entry
from assay.lake.layout import TRUNCATES
from assay.pipeline.around import aside, surroundings
from assay.pipeline.duckdb_errors import raise_if_not_about_data, sql_problem
from assay.pipeline.failures import Failure, write_failures
from assay.pipeline.lookups import bind_lookup, contents, hashes, lookups_of
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.plan import decides_failures, made_from, plan
from assay.pipeline.publish import Candidate, publish
from assay.pipeline.restating import keep_restatements, settle_restatements
from assay.pipeline.scoring import keep_missing_proofs, keep_proofs
from assay.pipeline.semi_joins import replacements
from assay.pipeline.state import State
from assay.quality.accounting import received
from assay.quality.flagging import PROVEN
from assay.quality.held_back import HEALED_RULE, set_aside
from assay.quality.hits import main_of
from assay.quality.proof import Verdict, prove
from assay.quality.quarantine import Example, collect_refused, examples

ROWS_AT_ONCE = 3_000_000
"""Input rows computed at once, in whole partitions, so that settings rather than data bound memory."""
CELLS_AT_ONCE = 100_000_000
"""The same for a table of many columns: its rows, at most one per input row, would not fit and would be sorted on disk."""
FEW_ROWS = 1_000
"""Events that are copied out of their files before further processing."""
ATTEMPTS = 3
"""How often a partition is recomputed when others keep publishing it first."""

Progress = Callable[[Sequence[Outcome]], None]
Seen = dict[tuple[str, str], int]
"""Numbers of rows by relation and partition."""


def build(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    dirty: Mapping[str, str],
    run_id: str,
    progress: Progress = lambda outcomes: None,
) -> list[Outcome]:
    """Compute, prove and publish partitions of a table.

    Args:
        connection: DuckDB, with access to the lake.
        state: The lake's state; updated with published partitions.
        node: The table.
        dirty: Hash of the inputs, by partition to compute.
        run_id: Names the run in what it publishes.
        progress: Called with outcomes as they occur.

    Returns:
        One outcome per partition; none for one that another run published first, from the same inputs.

    Raises:
        StoreError: The lake cannot be read or written. Partitions already published stay; the others are unchanged.
    """
    state.workspace.renew(connection)
    keep_missing_proofs(state, node)
    try:
        return _build_all(connection, state, node, dirty, run_id, progress)
    finally:
        if dirty:
            drop_tables(connection)


def _build_all(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    dirty: Mapping[str, str],
    run_id: str,
    progress: Progress,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for partitions in chunks(state, node, sorted(dirty)):
        attempt = {partition: dirty[partition] for partition in partitions}
        for _ in range(ATTEMPTS):
            done, lost = _build_chunk(connection, state, node, attempt, run_id, dirty)
            outcomes.extend(done)
            progress(done)
            if not lost:
                break
            attempt = _look_again(connection, state, node, lost)
            if not attempt:
                break
        else:
            raise StoreError(f"{node.table.full_name}: other runs keep publishing {', '.join(attempt)} first.", hint="Run again.")
    return outcomes


def compute(connection: duckdb.DuckDBPyConnection, state: State, node: Node, partitions: Sequence[str]) -> dict[str, Verdict]:
    """Compute and prove partitions without publishing; `proven` holds their rows.

    Raises:
        duckdb.Error: The SQL failed on the data.
    """
    for relation, columns in node.query.reads.items():
        if relation in node.table.lookups:
            bind_lookup(connection, state, node, relation)
        else:
            bind(
                connection,
                relation,
                state.declared(relation),
                state.files(node, relation, partitions),
                columns,
                truncates=state.truncate_files(relation),
                by_day=node.table.partition_column is not None,
                materialize=relation in node.inputs,
                copy=sum(found.rows for _, found in state.inputs(node, relation, partitions)) <= FEW_ROWS,
            )
    stage(connection, node, partitions)
    counted = received(connection, state.workspace.project, node, partitions)
    is_held_back = any(books.healing.unhealed for books in counted.values())
    held_back = set_aside(connection, state.workspace.project, node) if is_held_back else {}
    with surroundings(connection, state, node, partitions) as around:
        return prove(connection, node, partitions, counted, held_back, around)


def _build_chunk(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    dirty: Mapping[str, str],
    run_id: str,
    all_dirty: Collection[str],
) -> tuple[list[Outcome], list[str]]:
    """Build some partitions; returns their outcomes, and the partitions that another run published first."""
    try:
        verdicts = compute(connection, state, node, list(dirty))
    except duckdb.Error as error:
        # Several partitions may need more memory than there is, even if each of them alone does not.
        if not (isinstance(error, duckdb.OutOfMemoryException) and len(dirty) > 1):
            raise_if_not_about_data(error)
        return _isolate(connection, state, node, dirty, run_id, all_dirty, error)
    found = _examples(connection, state, node, verdicts)
    lookups = _lookups(connection, state, node, list(dirty))
    candidates = [
        Candidate(partition, verdict, dirty[partition], lookups[partition], state.index(node.table.full_name).get(partition))
        for partition, verdict in verdicts.items()
    ]
    passed = [candidate for candidate in candidates if not candidate.verdict.problems]
    kept = keep_restatements(connection, state, node, passed, run_id)
    replaced = replacements(connection, state, node, passed, all_dirty)
    entries: dict[str, Entry] = {}
    outcomes: list[Outcome] = []
    lost: list[str] = []
    for candidate, result in publish(connection, state.workspace, node, passed, run_id):
        if isinstance(result, Conflict):
            lost.append(candidate.partition)
        else:
            status, entries[candidate.partition] = result
            outcomes.append(_outcome(node, candidate, status, entries[candidate.partition], found))
    published = {outcome.partition for outcome in outcomes if outcome.status is Status.PUBLISHED}
    settle_restatements(state, node, passed, kept, published)
    state.replaced |= {(node.table.full_name, each): found for each, found in replaced.items() if each in published}
    failures: dict[str, Failure] = {}
    for candidate in candidates:
        if candidate.verdict.problems:
            verdict = candidate.verdict
            below = not node.table.is_good_enough(verdict.rows, verdict.score)
            failures[candidate.partition] = _failure(state, node, candidate.partition, verdict.problems, run_id, below)
            outcomes.append(_outcome(node, candidate, Status.FAILED, candidate.published, found))
    keep_proofs(state.workspace.store, node, outcomes, run_id, dt.datetime.now(dt.UTC))
    state.remember(node.table, {partition: replace(entry, is_scored=True) for partition, entry in entries.items()})
    write_failures(state.workspace.store, node.table, failures, mended=entries)
    return outcomes, lost


def _isolate(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    dirty: Mapping[str, str],
    run_id: str,
    all_dirty: Collection[str],
    error: duckdb.Error,
) -> tuple[list[Outcome], list[str]]:
    """Build partitions one by one, so that one on which the SQL fails does not block the others."""
    drop_tables(connection)
    if len(dirty) > 1:
        outcomes: list[Outcome] = []
        lost: list[str] = []
        for partition, inputs in dirty.items():
            done, missed = _build_chunk(connection, state, node, {partition: inputs}, run_id, all_dirty)
            outcomes += done
            lost += missed
        return outcomes, lost
    (partition,) = dirty
    problem = sql_problem(node.query.path.name, error)
    failure = replace(_failure(state, node, partition, (problem,), run_id), sentence=str(error).splitlines()[0])
    write_failures(state.workspace.store, node.table, {partition: failure}, mended=())
    standing = state.index(node.table.full_name).get(partition)
    failed = Outcome(node.table.full_name, partition, Status.FAILED, standing, failure.reasons)
    keep_proofs(state.workspace.store, node, [failed], run_id, dt.datetime.now(dt.UTC))
    return [failed], []


def chunks(state: State, node: Node, partitions: Sequence[str]) -> Iterator[list[str]]:
    """Group partitions into chunks of bounded size.

    Two sizes are bounded: of the inputs, whose rows become rows of the table, and of what is only looked at, as payments are for
    the months in which customers paid. Partitions that look at the same rows are computed together, as far as a chunk looks at no
    more than twice what its first partition does.
    """
    most = min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(node.table.columns))
    chunk: list[str] = []
    rows, seen, most_seen = 0, Seen(), 0
    for partition in partitions:
        own = _rows(state, node, partition)
        looked_at = _looked_at(state, node, partition)
        if chunk and (rows + own > most or sum((seen | looked_at).values()) > most_seen):
            yield chunk
            chunk, rows, seen = [], 0, Seen()
        if not chunk:
            most_seen = max(ROWS_AT_ONCE, 2 * sum(looked_at.values()))
        chunk.append(partition)
        rows += own
        seen |= looked_at
    if chunk:
        yield chunk


def _rows(state: State, node: Node, partition: str) -> int:
    """How many input rows a partition has of its own."""
    return sum(
        found.rows
        for relation in node.inputs
        for of, found in state.inputs(node, relation, [partition])
        if of != TRUNCATES and holding(node.table.grain, of) == partition
    )


def _looked_at(state: State, node: Node, partition: str) -> Seen:
    """How many rows of other relations a partition is computed from."""
    return {
        (relation, of): found.rows
        for relation in node.query.reads
        if relation not in node.inputs and relation not in node.table.lookups
        for of, found in state.inputs(node, relation, [partition])
    }


def _look_again(connection: duckdb.DuckDBPyConnection, state: State, node: Node, lost: Sequence[str]) -> dict[str, str]:
    """Reread what others have published, and return what remains to be computed."""
    for relation in node.reads:
        state.forget(source_of(relation) or relation)
    state.forget(node.table.full_name)
    return plan(connection, state, node, lost).dirty


def _examples(connection: duckdb.DuckDBPyConnection, state: State, node: Node, verdicts: Mapping[str, Verdict]) -> list[Example]:
    if not any(verdict.broken for verdict in verdicts.values()):
        return []
    has_held_back = any(HEALED_RULE in verdict.broken for verdict in verdicts.values())
    collect_refused(connection, state.workspace.project, node, has_held_back)
    return examples(connection, node)


def _lookups(
    connection: duckdb.DuckDBPyConnection, state: State, node: Node, partitions: Sequence[str]
) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {partition: {} for partition in partitions}
    lookups = lookups_of(node)
    if not lookups:
        return found
    content = contents(state, node)
    with aside(connection) as others:
        for name, lookup in lookups.items():
            # Relations that the SQL looks up are already bound.
            where, rows = (connection, PROVEN) if name in node.table.lookups else (others, f"{main_of(connection)}.{PROVEN}")
            for partition, hashed in hashes(where, node, lookup, rows, partitions).items():
                found[partition][name] = {"content": content[name], "rows": hashed}
    return found


def _failure(
    state: State, node: Node, partition: str, problems: tuple[str, ...], run_id: str, below_threshold: bool = False
) -> Failure:
    same = made_from(node, state.inputs_hash(node, partition), decides_failures(state, node))
    return Failure(same, problems, run_id, below_threshold)


def _outcome(node: Node, candidate: Candidate, status: Status, entry: Entry | None, found: Sequence[Example]) -> Outcome:
    verdict = candidate.verdict
    return Outcome(
        table=node.table.full_name,
        partition=candidate.partition,
        status=status,
        entry=entry,
        problems=verdict.problems,
        books=verdict.books,
        score=verdict.score,
        broken=verdict.broken,
        rows=verdict.rows,
        scores=verdict.scores,
        results=verdict.results,
        quarantined=verdict.quarantined,
        examples=tuple(example for example in found if example.partition == candidate.partition),
    )
