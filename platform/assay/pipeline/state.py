"""The current content of the lake: ingested batches and published partitions, and the current inputs of each partition.

Belongs here: reading that state, and identifying the inputs of a partition. Does not belong here: comparing them with the inputs
that a partition was computed from (`plan`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.contracts import WHOLE, Grain, Source, Table
from assay.contracts.periods import OWN, Span, held_by, reads
from assay.contracts.version import fingerprint
from assay.engine.project import Node, source_of
from assay.lake.index import Entry, read_index, write_index
from assay.lake.layout import NOTED, TRUNCATES, UNPLACED, partition_key
from assay.lake.ledger import Ledger, LedgerLog
from assay.lake.rows import Files, files_by_version
from assay.landing.snapshots import believed, judged
from assay.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Input:
    """One part of a source, or one published partition, from which a partition is computed.

    Attributes:
        id: Identifies its content: equal ids mean equal rows.
        key: The object that holds its rows; for a source, it may also hold rows of other inputs of the same partition.
        version: The version that determined its schema.
        rows: Number of its rows.
    """

    id: str
    key: str
    version: str
    rows: int


Values = Collection[tuple[Any, ...]]
"""Distinct values of some columns."""


@dataclass(frozen=True)
class Replaced:
    """A partition that this run has replaced by another version.

    Attributes:
        before: Identifies the version that was there.
        after: Identifies the version that this run published.
        values: By columns that other tables semi-join on: the values that came or went.
    """

    before: str
    after: str
    values: Mapping[tuple[str, ...], Values]


@dataclass
class State:
    """The lake's state as seen by one run, read on first use.

    A table may be looked at in one thread while another refreshes the next: what one has read, the other may forget at any time.

    Attributes:
        workspace: The domain and the lake.
        replaced: What this run has replaced, by table and partition, as far as `semi_joins` uses it.
    """

    workspace: Workspace
    replaced: dict[tuple[str, str], Replaced] = field(default_factory=dict)
    _ledgers: dict[str, Ledger] = field(default_factory=dict)
    _indexes: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _available: dict[str, dict[str, tuple[Input, ...]]] = field(default_factory=dict)
    _in_order: dict[str, list[str]] = field(default_factory=dict)
    _raws: dict[str, dict[str, tuple[Input, ...]]] = field(default_factory=dict)
    _believed: dict[str, tuple[str | None]] = field(default_factory=dict)

    def ledger(self, source: str) -> Ledger:
        """The ingested batches of a source."""
        if (found := self._ledgers.get(source)) is None:
            found = self._ledgers[source] = LedgerLog(self.workspace.store, source).read()
        return found

    def index(self, table: str) -> dict[str, Entry]:
        """The published partitions of a table."""
        if (found := self._indexes.get(table)) is None:
            found = self._indexes[table] = read_index(self.workspace.store, self.workspace.project.nodes[table].table)
        return found

    def remember(self, table: Table, changed: Mapping[str, Entry]) -> None:
        """Record partitions that were published, or proven again with the same content."""
        if not changed:
            return
        self.index(table.full_name).update(changed)
        self._available.pop(table.full_name, None)
        self._in_order.pop(table.full_name, None)
        write_index(self.workspace.store, table, changed)

    def forget(self, name: str) -> None:
        """Read a source's or table's state again on next use."""
        self._ledgers.pop(name, None)
        self._indexes.pop(name, None)
        self._raws.pop(name, None)
        self._believed.pop(name, None)
        self._available.clear()
        self._in_order.clear()

    def declared(self, relation: str) -> Source | Table:
        """The source or table behind a relation's name."""
        source = source_of(relation)
        domain = self.workspace.domain
        return domain.tables[relation] if source is None else domain.sources[source]

    def available(self, relation: str) -> Mapping[str, tuple[Input, ...]]:
        """Every object of a relation, by partition."""
        if (found := self._available.get(relation)) is None:
            found = self._available[relation] = self._find_available(relation)
        return found

    def with_rows(self, relation: str) -> list[str]:
        """The partitions of a relation that have rows, in order; one that lost its last row stays published, and is empty."""
        available = self.available(relation)
        return [partition for partition in self._ordered(relation) if any(found.rows for found in available[partition])]

    def _find_available(self, relation: str) -> dict[str, tuple[Input, ...]]:
        declared = self.declared(relation)
        if isinstance(declared, Source):
            no_days = (UNPLACED, NOTED, TRUNCATES)
            return {partition: parts for partition, parts in self._raw(declared).items() if partition not in no_days}
        return {
            partition: (Input(entry.content, partition_key(declared, partition), entry.contract, entry.rows),)
            for partition, entry in self.index(relation).items()
        }

    def truncates(self, relation: str) -> tuple[Input, ...]:
        """The objects of the events that empty a relation's source; none for a table."""
        declared = self.declared(relation)
        found = self._raw(declared).get(TRUNCATES, ()) if isinstance(declared, Source) else ()
        # Whether a snapshot is trusted may change with any other snapshot, so this is part of every partition's inputs.
        only = self._only(relation)
        return found if only is None else tuple(replace(each, id=fingerprint([each.id, only])) for each in found)

    def _only(self, relation: str) -> str | None:
        """The condition on raw events that excludes untrusted snapshots."""
        declared = self.declared(relation)
        if not isinstance(declared, Source):
            return None
        # In a tuple, because None is a result as well: no condition.
        if (found := self._believed.get(declared.name)) is None:
            found = self._believed[declared.name] = (believed(judged(self.ledger(declared.name).landed_objects, declared)),)
        return found[0]

    def _raw(self, source: Source) -> Mapping[str, tuple[Input, ...]]:
        """The parts of a source, except those that wait for their placement."""
        if (found := self._raws.get(source.name)) is None:
            ledger = self.ledger(source.name)
            by_partition = ledger.parts if source.partition_column is None else ledger.placed_parts
            found = self._raws[source.name] = {
                partition: tuple(Input(part.key, ledger.object_of(part), part.version, part.rows) for part in parts)
                for partition, parts in by_partition.items()
            }
        return found

    def inputs(self, node: Node, relation: str, partitions: Collection[str]) -> list[tuple[str, Input]]:
        """The objects of a relation that partitions of a table read, each with its own partition."""
        available = self.available(relation)
        own = [(partition, found) for partition in self.wanted(node, relation, partitions) for found in available[partition]]
        return own + [(TRUNCATES, found) for found in self.truncates(relation)]

    def inputs_hash(self, node: Node, partition: str, instead: Mapping[tuple[str, str], str] | None = None) -> str:
        """Hash everything a partition is computed from, except lookups.

        Args:
            node: The table.
            partition: The partition.
            instead: Ids to use for some partitions of relations instead of their current ones.
        """
        other = instead or {}
        return fingerprint(
            {
                relation: [(of, other.get((relation, of), found.id)) for of, found in self.inputs(node, relation, [partition])]
                for relation in node.query.reads
                if relation not in node.table.lookups
            }
        )

    def wanted(self, node: Node, relation: str, partitions: Collection[str]) -> list[str]:
        """The existing partitions of a relation that partitions of a table read, in order."""
        of, grain = self.declared(relation).grain, node.table.grain
        if Grain.WHOLE in (grain, of):
            return self._ordered(relation)
        window = node.table.windows.get(relation, OWN)
        return sorted(self._within(relation, {span for each in partitions for span in reads(grain, each, of, window)}))

    def own(self, node: Node, relation: str, partition: str) -> frozenset[str]:
        """The existing partitions of a relation that overlap a partition of a table; both have periods."""
        return self._within(relation, reads(node.table.grain, partition, self.declared(relation).grain))

    def _within(self, relation: str, spans: Iterable[Span]) -> frozenset[str]:
        there = self._ordered(relation)
        return frozenset(key for span in spans for key in there[bisect_left(there, span.first) : bisect_right(there, span.last)])

    def _ordered(self, relation: str) -> list[str]:
        if (found := self._in_order.get(relation)) is None:
            found = self._in_order[relation] = sorted(self.available(relation))
        return found

    def files(self, node: Node, relation: str, partitions: Collection[str]) -> list[Files]:
        """The same as DuckDB files, by schema, without truncates."""
        return self.files_of(relation, (found for of, found in self.inputs(node, relation, partitions) if of != TRUNCATES))

    def truncate_files(self, relation: str) -> list[Files]:
        """The truncates of a relation's source as DuckDB files, by schema."""
        return self.files_of(relation, self.truncates(relation))

    def all_files(self, relation: str) -> list[Files]:
        """Every file of a relation except its truncates."""
        return self.files_of(relation, (found for objects in self.available(relation).values() for found in objects))

    def files_of(self, relation: str, inputs: Iterable[Input]) -> list[Files]:
        """Some objects of a relation as DuckDB files, by schema."""
        paths = ((found.version, self.workspace.store.path(found.key)) for found in inputs)
        return files_by_version(paths, self._only(relation))

    def content(self, relation: str) -> str:
        """Hash of the entire content of a relation."""
        available = self.available(relation)
        objects = [(partition, [found.id for found in available[partition]]) for partition in sorted(available)]
        emptied = [found.id for found in self.truncates(relation)]
        return fingerprint([objects, emptied] if emptied else objects)

    def partitions(self, node: Node) -> list[str]:
        """The partitions that a table should have: the periods for which there are inputs."""
        grain = node.table.grain
        if grain is Grain.WHOLE:
            asked = [relation for relation in node.query.reads if relation not in node.table.lookups]
            return [WHOLE] if any(self.available(relation) for relation in asked) else []
        windows = {relation: node.table.windows.get(relation, OWN) for relation in node.cut_by}
        held = (
            held_by(grain, partition, window) for relation, window in windows.items() for partition in self.available(relation)
        )
        return sorted(frozenset().union(*held))
