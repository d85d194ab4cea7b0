"""What proving a partition costs, beside writing it, and what quarantining costs, beside Pandera's own way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import ibis
import lakes
import measure
import pytest
from pandera.backends.ibis.register import register_ibis_backends
from sixty import BREAKING, table_of

import payments
import simulator
from assay.contracts.rules import quote
from assay.engine.connection import Limits
from assay.engine.project import Node
from assay.engine.relations import bind
from assay.engine.staging import REFUSED, STAGED, stage
from assay.lake import open_store
from assay.pipeline.lookups import bind_lookup
from assay.pipeline.runs import ingest_sources, refresh_table
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.quality.accounting import received
from assay.quality.proof import Verdict, prove
from assay.quality.quarantine import collect_refused, examples, write_quarantine

pytestmark = pytest.mark.bench

TABLE = "enriched.transactions"
# As many as leave two million rows in the day's partition, after weekday shape and late events.
COMPANY = simulator.Company(days=1, transactions_per_day=lakes.scaled(2_100_000, 10_000), seed=3)
BREAK_HALF = f"""
  UPDATE {STAGED} SET
    amount = CASE WHEN drawn % 5 = 0 THEN -1 ELSE amount END,
    currency = CASE WHEN drawn % 5 = 1 THEN 'XXX' ELSE currency END,
    status = CASE WHEN drawn % 5 = 2 THEN 'lost' ELSE status END,
    region = CASE WHEN drawn % 5 = 3 THEN 'MOON' ELSE region END,
    merchant_id = CASE WHEN drawn % 5 = 4 THEN NULL ELSE merchant_id END
  FROM (SELECT transaction_id AS drawn_id, hash(transaction_id) // 2 AS drawn FROM {STAGED} WHERE hash(transaction_id) % 2 = 0)
  WHERE drawn_id = transaction_id
"""
REPEAT = 3

MOST_OF_A_WRITE = 0.5
FEW_RULES, MANY_RULES = 10, 60
MOST_FOR_MANY = 1.2
LEAST_TIMES_FASTER = 50.0


@dataclass(frozen=True)
class Staged:
    """A partition that was computed and not yet judged."""

    connection: duckdb.DuckDBPyConnection
    workspace: Workspace
    node: Node
    day: str
    rows: int

    def prove(self) -> Verdict:
        """All that is done between computing and publishing."""
        counted = received(self.connection, self.workspace.project, self.node, [self.day])
        return prove(self.connection, self.node, [self.day], counted)[self.day]

    def write(self, to: Path, rows: str = f"FROM {STAGED}") -> None:
        """Write rows as they come, which is the least that publishing could do."""
        columns = ", ".join(quote(spec.name) for spec in self.node.table.columns)
        self.connection.execute(f"COPY (SELECT {columns} FROM ({rows})) TO '{to}' (FORMAT parquet, COMPRESSION zstd)")


def test_proof(board: measure.Board, folder: Path) -> None:
    """Rules, split, books and hash of one partition, beside writing it."""
    with _staged(folder) as staged:
        verdict = staged.prove()
        assert not verdict.problems and verdict.rows == staged.rows
        rules = len(staged.node.table.rules)
        proof = measure.timed(staged.prove, REPEAT)
        counting = measure.timed(lambda: received(staged.connection, staged.workspace.project, staged.node, [staged.day]), REPEAT)
        writing = measure.timed(lambda: staged.write(folder / "written.parquet"), REPEAT)
        refusing = measure.timed(lambda: _refuse(staged, folder), REPEAT)
    share = proof / writing
    board.note("proof", f"write {verdict.rows:,} rows of {TABLE}", measure.seconds(writing))
    board.note("proof", f"prove them: {rules} rules, split, books, hash", measure.seconds(proof))
    board.note("proof", "of this, counting what came in", measure.seconds(counting))
    board.bar("proof", "proof / write", measure.times(share), f"≤ {MOST_OF_A_WRITE}×", share <= MOST_OF_A_WRITE)
    board.note("proof", f"trace and write the {verdict.quarantined:,} refused", measure.seconds(refusing))


def test_rules(board: measure.Board, folder: Path) -> None:
    """The same proof with ten rules and with sixty, in turn."""
    seconds: dict[int, list[tuple[float, float]]] = {FEW_RULES: [], MANY_RULES: []}
    with _staged(folder) as staged:
        nodes = {count: replace(staged.node, table=table_of(staged.node.table, count)) for count in seconds}
        counted = received(staged.connection, staged.workspace.project, staged.node, [staged.day])
        for _ in range(REPEAT + 1):
            for count, node in nodes.items():
                used = time.process_time()
                took = measure.timed(lambda node=node: prove(staged.connection, node, [staged.day], counted))
                seconds[count].append((took, time.process_time() - used))
        counting = measure.timed(lambda: received(staged.connection, staged.workspace.project, staged.node, [staged.day]), REPEAT)
    # The first round reads what later ones find in memory.
    few, many = (min(took for took, _ in seconds[count][1:]) + counting for count in seconds)
    few_used, many_used = (min(used for _, used in seconds[count][1:]) for count in seconds)
    board.note("rules", f"prove {staged.rows:,} rows with {FEW_RULES} rules", measure.seconds(few))
    board.note("rules", f"prove them with {MANY_RULES}", measure.seconds(many))
    board.bar("rules", "many / few", measure.times(many / few), f"≤ {MOST_FOR_MANY}×", many / few <= MOST_FOR_MANY)
    board.note("rules", "the same in processor time, counting inputs left out", measure.times(many_used / few_used))


def test_quarantine_of_few_reasons(board: measure.Board, folder: Path) -> None:
    """Half of a partition refused for five reasons, beside Pandera dropping it."""
    with _staged(folder) as staged:
        staged.connection.execute(BREAK_HALF)
        _quarantine(board, staged, folder, "five rules broken")


def test_quarantine_of_many_reasons(board: measure.Board, folder: Path) -> None:
    """One row in a hundred refused by rules of single columns, nearly all of them broken, beside Pandera dropping it."""
    with _staged(folder) as staged:
        staged.connection.execute(_break_all())
        judged = _judged_by_many(staged)
        _quarantine(board, judged, folder, f"{len(judged.node.table.rules)} rules broken")


def test_quarantine_of_slipped_columns(board: measure.Board, folder: Path) -> None:
    """Half of a partition refused for values that are wrong in every column, beside Pandera dropping it."""
    with _staged(folder) as staged:
        staged.connection.execute(_slip())
        _quarantine(board, _judged_by_many(staged), folder, "every column wrong")


def _judged_by_many(staged: Staged) -> Staged:
    """The same rows, judged by many rules of single columns."""
    table = table_of(staged.node.table, MANY_RULES)
    vars(table)["rules"] = tuple(rule for rule in table.rules if rule.of_value)
    return replace(staged, node=replace(staged.node, table=table))


def _slip() -> str:
    """Give every second row a value in each column that breaks rules of it."""
    changed = ", ".join(
        f"{column} = CASE drawn % {len(values)} "
        + " ".join(f"WHEN {place} THEN {value}" for place, value in enumerate(values))
        + " END"
        for column, values in BREAKING.items()
    )
    return _update(changed, "hash(transaction_id, 'how') // 100", 2)


def _break_all() -> str:
    """Give every hundredth row one value that breaks rules of its column, each of these values as often as the others."""
    bad = [(column, value) for column, values in BREAKING.items() for value in values]
    changed = ", ".join(
        f"{column} = CASE "
        + " ".join(f"WHEN drawn = {place} THEN {value}" for place, (name, value) in enumerate(bad) if name == column)
        + f" ELSE {column} END"
        for column in BREAKING
    )
    return _update(changed, f"hash(transaction_id, 'bad') // 100 % {len(bad)}", 100)


def _update(changed: str, drawn: str, every: int) -> str:
    """Change one staged row in so many, each by a number that is drawn for it."""
    return (
        f"UPDATE {STAGED} SET {changed} FROM (SELECT rowid AS drawn_row, {drawn} AS drawn FROM {STAGED} "
        f"WHERE hash(transaction_id, 'bad') % {every} = 0) WHERE {STAGED}.rowid = drawn_row"
    )


def _quarantine(board: measure.Board, staged: Staged, folder: Path, how: str) -> None:
    """Split a partition, trace what is refused to its records and write both parts; Pandera drops, and writes the rest."""
    verdict = staged.prove()
    split = measure.timed(staged.prove, REPEAT)
    good = measure.timed(lambda: staged.write(folder / "written.parquet", f"SELECT * FROM {STAGED} WHERE NOT {REFUSED}"), REPEAT)
    refused = measure.timed(lambda: _refuse(staged, folder))
    theirs, kept = _pandera(staged, folder)
    assert kept == verdict.good, f"Pandera kept {kept:,} rows, {verdict.good:,} are good"
    # Ibis drops when it writes.
    faster = (theirs - good) / split
    what = f"{how}, {verdict.quarantined:,} of {verdict.rows:,} rows"
    board.note("quarantine", f"{what}: assay proves and splits", measure.seconds(split))
    board.note("quarantine", "traces the refused to their records, and writes them", measure.seconds(refused))
    board.note("quarantine", "writes the good ones", measure.seconds(good))
    board.note("quarantine", "Pandera drops the refused, and writes the good ones", measure.seconds(theirs))
    least = LEAST_TIMES_FASTER
    board.bar("quarantine", "splitting is faster than dropping by", measure.times(faster), f"≥ {least:g}×", faster >= least)
    board.note("quarantine", "all of it is faster by", measure.times(theirs / (split + good + refused)))


def _refuse(staged: Staged, folder: Path) -> None:
    collect_refused(staged.connection, staged.workspace.project, staged.node)
    examples(staged.connection, staged.node)
    write_quarantine(staged.connection, staged.day, staged.node.table.key, folder / "quarantine.parquet")


def _pandera(staged: Staged, folder: Path) -> tuple[float, int]:
    """Seconds that Pandera takes to drop what its own schema refuses and write the rest, and the rows that it keeps."""
    register_ibis_backends()
    # The model keeps its own.
    schema = deepcopy(staged.node.table.model.to_schema())
    schema.drop_invalid_rows = True
    # Ibis reports DuckDB's instants with six digits, which Pandera takes for another type and cannot drop rows by.
    for column in schema.columns.values():
        column.dtype = None
    # Of a check over several columns, its Ibis backend keeps just the rows that break it.
    schema.checks = []
    columns = ", ".join(quote(name) for name in schema.columns)
    staged.connection.execute(f"CREATE OR REPLACE TABLE sample AS SELECT {columns} FROM {STAGED}")
    table = ibis.duckdb.from_connection(staged.connection).table("sample")
    took = measure.timed(lambda: schema.validate(table, lazy=True).to_parquet(folder / "kept.parquet", compression="zstd"))
    kept = staged.connection.execute(f"SELECT count(*) FROM '{folder / 'kept.parquet'}'").fetchone()
    assert kept is not None
    return took, int(kept[0])


@contextmanager
def _staged(folder: Path) -> Iterator[Staged]:
    """Compute the one large partition of a day, with the platform's own steps."""
    files = lakes.landed(COMPANY, range(1))
    lakes.link(files.folder, folder / "lake" / "landing")
    store = open_store((folder / "lake").as_uri())
    workspace = Workspace(payments.DOMAIN, store, Limits(lakes.MEMORY, lakes.THREADS, folder / "scratch"))
    day = COMPANY.date(0).isoformat()
    with workspace.connection() as connection:
        state = State(workspace)
        for _ in ingest_sources(connection, state, workspace.domain.sources.values()):
            pass
        node = workspace.project.nodes[TABLE]
        for relation in node.table.lookups:
            refresh_table(connection, state, workspace.project.nodes[relation], "bench")
        for relation, columns in node.query.reads.items():
            if relation in node.table.lookups:
                bind_lookup(connection, state, node, relation)
            else:
                objects = state.files(node, relation, [day])
                bind(connection, relation, state.declared(relation), objects, columns, materialize=relation in node.inputs)
        stage(connection, node, [day])
        counted = connection.execute(f"SELECT count(*) FROM {STAGED}").fetchone()
        assert counted is not None
        yield Staged(connection, workspace, node, day, int(counted[0]))
