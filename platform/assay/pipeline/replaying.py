"""The result of a replay: which records left quarantine and where they are now, and which still fail and why.

Belongs here: comparing quarantine before and after a run. Does not belong here: the run, which is an ordinary one: unreadable
records are read again as a batch (`landing.quarantine.replay`), and rows that contracts refused are rebuilt with their
partitions, which are dirty because contract, SQL or inputs have changed (`plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from assay.contracts import WHOLE, Source, Table
from assay.contracts.rules import literal, quote
from assay.lake.ledger import Batch, Ledger
from assay.lake.rows import files_by_version, typed_rows
from assay.landing.quarantine.replay import Replay
from assay.pipeline.dropping import read_drops
from assay.pipeline.quarantined import collect
from assay.pipeline.state import State

EXAMPLES = 3
"""Ids listed of the records that fail for one reason."""
_REMEMBERED = ("partition", "_landing_object", "_landing_row")


@dataclass(frozen=True)
class Failing:
    """Quarantined records with the same reason.

    Attributes:
        reason: What is wrong with them.
        records: Their number; a record with several reasons counts under each.
        ids: Ids of the first of them.
    """

    reason: str
    records: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """The result for a table's or source's quarantine.

    Attributes:
        table: Full name of the table or source.
        before: Number of records before.
        left: Number of those no longer there.
        published: Of those, rows that are published now; for a source, records that are events now, or were edited.
        added: Number of records that are new.
        still: Records that are still there, by reason, most frequent first.
        new: New records, in the same way.
    """

    table: str
    before: int
    left: int
    published: int
    added: int = 0
    still: tuple[Failing, ...] = ()
    new: tuple[Failing, ...] = ()

    @property
    def gone(self) -> int:
        """The others that left: rows that newer events replaced or deleted; for a source, lines that are no records after all."""
        return self.left - self.published

    @property
    def stay(self) -> int:
        """Number of records that are still there."""
        return self.before - self.left

    def to_dict(self) -> dict[str, Any]:
        """The result as the command line's `--json` prints it."""
        return {
            "table": self.table,
            "before": self.before,
            "left": self.left,
            "published": self.published,
            "gone": self.gone,
            "still": self.stay,
            "added": self.added,
            "reasons": [asdict(each) for each in self.still],
            "new_reasons": [asdict(each) for each in self.new],
        }


class Remembered:
    """A snapshot of the quarantine of some tables and sources, for a later comparison.

    Args:
        connection: DuckDB, with access to the lake; it holds the snapshot.
        state: The lake's state.
        declared: The tables and sources.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, state: State, declared: Sequence[Source | Table]) -> None:
        self._connection = connection
        self._before: list[tuple[Source | Table, str, int]] = []
        self._known: dict[str, set[str]] = {}
        for place, each in enumerate(declared):
            name = f"before_{place}"
            self._before.append((each, name, collect(connection, state, each, name, _REMEMBERED)))
            if isinstance(each, Source):
                self._known[each.name] = {batch.id for batch in state.ledger(each.name).batches}

    def results(self, state: State) -> list[Result]:
        """Compare with the current quarantine.

        Args:
            state: The lake's state after the run.
        """
        return [self._result(state, declared, name, before) for declared, name, before in self._before]

    def _result(self, state: State, declared: Source | Table, name: str, before: int) -> Result:
        collect(self._connection, state, declared, "after", (*_REMEMBERED, "_reasons"))
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE left_it AS FROM {name} WHERE id NOT IN (SELECT id FROM after)")
        left = self._count("FROM left_it")
        published = 0
        if left:
            published = (
                self._events(state.ledger(declared.name), declared, state)
                if isinstance(declared, Source)
                else self._published(state, declared)
            )
        added = self._count(f"FROM after WHERE id NOT IN (SELECT id FROM {name})")
        still, new = (self._failing(f"id {test} (SELECT id FROM {name})") for test in ("IN", "NOT IN"))
        return Result(declared.full_name, before, left, published, added, still, new)

    def _failing(self, which: str) -> tuple[Failing, ...]:
        """The reasons of some of the current records, most frequent first."""
        found = self._connection.execute(
            f"SELECT reason, count(*), list(id ORDER BY _landing_object, _landing_row, id)[:{EXAMPLES}] "
            f"FROM (SELECT * EXCLUDE (_reasons), unnest(_reasons) AS reason FROM after WHERE {which}) "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        return tuple(Failing(reason, rows, tuple(ids)) for reason, rows, ids in found)

    def _published(self, state: State, table: Table) -> int:
        """Count the rows that left and whose keys are published now, in the partitions that refused them."""
        found = self._connection.execute("SELECT DISTINCT partition FROM left_it").fetchall()
        partitions = {str(partition) for (partition,) in found} if table.partition_column else {WHOLE}
        available = state.available(table.full_name)
        objects = [entry for partition in partitions for entry in available.get(partition, ())]
        rows = typed_rows(table, files_by_version((entry.version, state.workspace.store.path(entry.key)) for entry in objects))
        same = " AND ".join(f"published.{quote(name)}::VARCHAR = left_it.k{place}" for place, name in enumerate(table.key))
        return self._count(f"FROM left_it SEMI JOIN ({rows}) AS published ON {same}")

    def _events(self, ledger: Ledger, source: Source, state: State) -> int:
        """Count the records that left and are events of batches recorded since, or were replaced by an edit."""
        since: list[Batch] = [batch for batch in ledger.batches if batch.id not in self._known[source.name] and not batch.covers]
        parts = [part for batch in since for part in batch.parts]
        store = state.workspace.store
        rows = typed_rows(source, files_by_version((part.version, store.path(ledger.object_of(part))) for part in parts))
        edited = ", ".join(f"({literal(each.key)}, {each.row})" for batch in since for each in batch.edited)
        places = f"SELECT _landing_object, _landing_row FROM ({rows})"
        places += f" UNION ALL SELECT * FROM (VALUES {edited})" if edited else ""
        return self._count(f"FROM left_it SEMI JOIN ({places}) AS told USING (_landing_object, _landing_row)")

    def _count(self, rows: str) -> int:
        counted = self._connection.execute(f"SELECT count(*) {rows}").fetchone()
        return int(counted[0]) if counted else 0


def replays_of(state: State, declared: Sequence[Source | Table]) -> dict[str, Replay]:
    """For each source among some tables and sources, what a replay leaves alone: its dropped records."""
    found: dict[str, Replay] = {}
    for each in declared:
        if isinstance(each, Source):
            drops = read_drops(state.workspace.store, each.full_name)
            records = (record for drop in drops for record in drop.records)
            found[each.name] = Replay(frozenset((str(one.object), one.line) for one in records if one.line is not None))
    return found
