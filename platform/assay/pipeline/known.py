"""Earlier knowledge: the lake's state according to its ledgers at an instant, and what was ingested between two instants.

Belongs here: choosing the raw events that existed, and computing partitions from them, for some keys only. Does not belong
here: which rows differ (`behind`, `corrections`).

None of this is stored: a partition is a pure function of raw events, and the ledgers record when each batch of those was
ingested. Earlier results can be computed again, by today's SQL and contracts. Events recorded while a value was being computed
count as known to it.
"""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine.project import Node, source_of
from assay.engine.staging import drop_tables
from assay.lake.index import Entry
from assay.lake.ledger import Ledger
from assay.lake.rows import Files, typed_rows
from assay.pipeline.build import compute
from assay.pipeline.state import Input, State
from assay.quality.flagging import PROVEN

_MARGIN = dt.timedelta(days=1)
"""How long before a value's publication its inputs may have been read: costs some extra work, but never changes the result."""
_END_OF_TIME = dt.datetime.max.replace(tzinfo=dt.UTC)
_COMPUTED = "computed here"
"""The version of files with a table's rows but without the columns that a run adds."""


@dataclass
class KnownState(State):
    """The lake's state at an instant, or the part of it that concerns some keys.

    Published partitions are the current ones: earlier ones are gone, and are computed again where they may have differed.

    Attributes:
        now: The lake's state.
        at: The instant.
        keys: By source, the condition on events of the selected keys.
        computed: By table, the files that replace its published partitions.
    """

    now: State = field(kw_only=True)
    at: dt.datetime = field(kw_only=True)
    keys: Mapping[str, str] = field(default_factory=dict)
    computed: dict[str, list[Files]] = field(default_factory=dict)

    def ledger(self, source: str) -> Ledger:
        """The batches ingested by the instant."""
        if source not in self._ledgers:
            self._ledgers[source] = self.now.ledger(source).known_at(self.at)
        return self._ledgers[source]

    def index(self, table: str) -> dict[str, Entry]:
        """The partitions published now."""
        return self.now.index(table)

    def files_of(self, relation: str, inputs: Iterable[Input]) -> list[Files]:
        """The contents of some objects at the instant, or their replacements."""
        if relation in self.computed:
            return self.computed[relation]
        source = source_of(relation)
        if source is None:
            return super().files_of(relation, inputs)
        wanted = list(inputs)
        # Merged objects also contain batches that were ingested later.
        merged = [each for each in wanted if each.id != each.key]
        files = super().files_of(relation, (each for each in wanted if each.id == each.key))
        late = _among("_landing_object", self.now.ledger(source).landed_since(self.at), "NOT IN") if merged else None
        return files + also(super().files_of(relation, merged), late)

    def files(self, node: Node, relation: str, partitions: Collection[str]) -> list[Files]:
        """The files read from a relation, for the selected keys."""
        return also(super().files(node, relation, partitions), self.keys.get(source_of(relation) or ""))

    def all_files(self, relation: str) -> list[Files]:
        """All files of a relation, for the selected keys."""
        return also(super().all_files(relation), self.keys.get(source_of(relation) or ""))


@dataclass(frozen=True)
class Kept:
    """Rows computed while looking back.

    Attributes:
        folder: The folder of the rows.
        computed: The query of a table's rows and its files, by what they were computed from.
    """

    folder: Path
    computed: dict[tuple[str, ...], tuple[str, list[Files]]] = field(default_factory=dict)


@dataclass
class Between:
    """The period between two instants.

    Attributes:
        connection: DuckDB, with access to the lake.
        now: The lake's state.
        after: The first instant, exclusive.
        until: The second, inclusive.
        kept: Rows computed so far.
    """

    connection: duckdb.DuckDBPyConnection
    now: State
    after: dt.datetime
    until: dt.datetime
    kept: Kept
    _told: dict[str, frozenset[str]] = field(default_factory=dict)

    def states(self, keys: Mapping[str, str] | None = None) -> tuple[KnownState, KnownState]:
        """The lake's state at both instants, for some keys or all."""
        workspace = self.now.workspace
        first, second = (KnownState(workspace, now=self.now, at=at, keys=keys or {}) for at in (self.after, self.until))
        return first, second

    @cached_property
    def since(self) -> Between:
        """The period from the first instant until now: what was told in it may be published otherwise than at both instants."""
        return Between(self.connection, self.now, self.after, _END_OF_TIME, self.kept)

    @cached_property
    def _states(self) -> tuple[KnownState, KnownState]:
        return self.states()

    def told(self, relation: str) -> frozenset[str]:
        """The partitions of a relation for which something was ingested; for a table, those that were also published again."""
        if relation not in self._told:
            self._told[relation] = frozenset(self._find_told(relation))
        return self._told[relation]

    def _find_told(self, relation: str) -> Iterator[str]:
        if source_of(relation) is not None:
            before, after = (state.available(relation) for state in self._states)
            emptied = bool(self._new_truncates(relation))
            for partition, found in after.items():
                if emptied or {each.id for each in found} - {each.id for each in before.get(partition, ())}:
                    yield partition
            return
        node = self.now.workspace.project.nodes[relation]
        told = {read: self.told(read) for read in node.query.reads}
        for partition in self.republished(relation) if any(told.values()) else ():
            if any(self._reads_told(node, read, partition, told[read]) for read in told):
                yield partition

    def _reads_told(self, node: Node, read: str, partition: str, told: frozenset[str]) -> bool:
        return bool(told) and (read in node.table.lookups or not told.isdisjoint(self.now.wanted(node, read, [partition])))

    def _new_truncates(self, relation: str) -> set[str]:
        before, after = ({each.id for each in state.truncates(relation)} for state in self._states)
        return after - before

    def republished(self, table: str) -> list[str]:
        """The partitions of a table that were published again since: no others can be behind a difference."""
        read = self.after - _MARGIN
        index = self.now.index(table)
        return [
            key for key, entry in index.items() if entry.published_at and dt.datetime.fromisoformat(entry.published_at) > read
        ]

    def events(self, relation: str, partitions: Collection[str]) -> str:
        """Query of the newly ingested events of a relation's source, in some of its partitions.

        If the source was emptied, all earlier events are among them, because that affects all of them.
        """
        source = self.now.declared(relation)
        assert isinstance(source, Source)
        before, after = self._states
        known = {} if self._new_truncates(relation) else before.available(relation)
        found = [
            each
            for partition in partitions
            for each in after.available(relation).get(partition, ())
            if each.id not in {one.id for one in known.get(partition, ())}
        ]
        plain = after.files_of(relation, (each for each in found if each.id == each.key))
        merged = [each for each in found if each.id != each.key]
        landed = self.now.ledger(source.name).landed_since(self.after) if merged and known else ()
        only = _among("_landing_object", landed, "IN") if known else None
        return typed_rows(source, plain + also(after.files_of(relation, merged), only))

    def keep(self, rows: str) -> str:
        """Keep the rows of a query as they are now, whatever is bound later; returns the query of those."""
        return f"SELECT * FROM read_parquet({literal(self._write(rows))})"

    def _write(self, rows: str) -> str:
        path = self.kept.folder / f"{uuid.uuid4().hex}.parquet"
        self.connection.execute(f"COPY ({rows}) TO {literal(str(path))} (FORMAT parquet)")
        return str(path)

    def compute(self, state: KnownState, table: str, partitions: Sequence[str]) -> str:
        """Compute partitions of a table as known at an instant, to replace the table from then on.

        Args:
            state: The state at the instant.
            table: The table.
            partitions: The partitions.

        Returns:
            Query of the computed rows.
        """
        node = self.now.workspace.project.nodes[table]
        compute(self.connection, state, node, partitions)
        columns = ", ".join(quote(spec.name) for spec in node.table.columns)
        path = self._write(f"SELECT {columns} FROM {PROVEN} WHERE NOT _broken")
        state.computed[table] = [Files(_COMPUTED, (path,))]
        return f"SELECT {columns} FROM read_parquet({literal(path)})"


@contextmanager
def looking_back(connection: duckdb.DuckDBPyConnection, now: State) -> Iterator[Kept]:
    """Keep intermediate results during the block; all of them are removed at the end."""
    kept = Kept(now.workspace.scratch / f"looking-back-{uuid.uuid4().hex}")
    kept.folder.mkdir(parents=True)
    try:
        yield kept
    finally:
        drop_tables(connection)
        shutil.rmtree(kept.folder, ignore_errors=True)


def keys_in(columns: Sequence[str], rows: str) -> str:
    """Query of the keys of some rows."""
    named = ", ".join(map(quote, columns))
    return f"SELECT DISTINCT {named} FROM ({rows}) WHERE {' AND '.join(f'{quote(name)} IS NOT NULL' for name in columns)}"


def of_keys(columns: Sequence[str], rows: str, test: str = "IN") -> str:
    """Condition on rows that their key is, or with `NOT IN` is not, one of those of other rows."""
    named = ", ".join(map(quote, columns))
    return f"({named}) {test} (SELECT ({named}) FROM ({rows}))"


def _among(column: str, values: Iterable[str], test: str) -> str | None:
    listed = ", ".join(map(literal, sorted(values)))
    if not listed:
        return "false" if test == "IN" else None
    return f"{column} {test} ({listed})"


def also(files: Iterable[Files], only: str | None) -> list[Files]:
    """Files, restricted to rows that also meet a condition."""
    return [replace(each, only=" AND ".join(f"({test})" for test in (each.only, only) if test) or None) for each in files]
