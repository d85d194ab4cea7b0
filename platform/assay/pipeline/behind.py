"""The rows of a fact before and after a period: rows with new events, and rows whose joined rows differ.

Belongs here: finding the tables and sources behind a fact's rows, and computing those rows as known at both ends. Does not
belong here: the relations they are joined with (`corrections`), restatements (`changes`).

A fact's rows derive from tables and sources that share its key. So only keys with newly ingested events or with differing joined
rows are computed again, and of those only partitions that were published again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.contracts import Source, Table
from assay.contracts.rules import quote
from assay.engine.by_key import is_by_key
from assay.engine.project import Project, source_of
from assay.lake.rows import typed_rows
from assay.pipeline.as_of import FROM
from assay.pipeline.corrections import Correction, Joined, Sides
from assay.pipeline.known import Between, KnownState, keys_in, of_keys
from assay.pipeline.state import State


@dataclass(frozen=True)
class Chain:
    """The derivation of a fact's rows.

    Attributes:
        project: The domain's SQL.
        tables: The tables that have the fact's key, each after its inputs; the fact's own is the last.
        sources: The sources that have it, by the relation as which they are read.
    """

    project: Project
    tables: tuple[str, ...]
    sources: Mapping[str, Source]

    @property
    def table(self) -> Table:
        """The fact's own table."""
        return self.project.nodes[self.tables[-1]].table

    @cached_property
    def joined(self) -> list[Joined]:
        """The relations with which the rows are joined on the way."""
        return [
            Joined(name, relation, self._looked_up_by(name, relation))
            for name in self.tables
            for relation in self.project.nodes[name].query.reads
            if relation not in self.tables and relation not in self.sources
        ]

    def _looked_up_by(self, table: str, relation: str) -> Mapping[str, str]:
        """The contract's lookup columns, plus columns of the relation's key or day that the table has under the same name."""
        node, now = self.project.nodes[table], _declared(self.project, relation)
        on = node.table.lookups.get(relation, {})
        days = (now.partition_column,) if relation not in (*node.table.lookups, *node.table.windows) else ()
        others = [name for name in (*now.key, *days) if name is not None and name in node.table.types]
        return dict(on) | {name: name for name in others if name not in (*on, *on.values(), FROM)}

    def columns(self, used: Iterable[str]) -> dict[str, list[str]]:
        """The columns of joined relations that determine the given columns of the fact, by relation.

        These are the columns from which they are computed, the lookup columns, and columns that only decide which row is found.
        """
        wanted: dict[str, dict[str, None]] = {self.tables[-1]: dict.fromkeys(used)}
        for name in reversed(self.tables):
            node = self.project.nodes[name]
            origins = {(each.relation, each.column) for columns in node.query.lineage.values() for each in columns}
            asked = wanted.get(name, {})
            while True:
                found = {(each.relation, each.column) for column in asked for each in node.query.lineage.get(column, ())}
                found_by = {own for relation in {of for of, _ in found} for own in node.table.lookups.get(relation, {})}
                if found_by <= asked.keys():
                    break
                asked |= dict.fromkeys(found_by)
            for relation, columns in node.query.reads.items():
                is_found = any(of == relation for of, _ in found) or not any(of == relation for of, _ in origins)
                if relation not in self.tables and relation not in node.table.lookups:
                    counted = list(columns)
                elif is_found or relation in self.tables:
                    counted = [each for each in columns if (relation, each) in found or (relation, each) not in origins]
                else:
                    counted = []
                wanted.setdefault(relation, {}).update(dict.fromkeys(counted))
        return {relation: sorted(wanted.get(relation, {})) for relation in {each.relation for each in self.joined}}

    def joined_in(self, table: str, column: str, seen: frozenset[tuple[str, str]] = frozenset()) -> set[str]:
        """The joined relations that a column of a table on the way is computed from, or from what is found by them."""
        found: set[str] = set()
        for each in self.project.nodes[table].query.lineage.get(column, ()):
            if each.relation in self.tables:
                found |= self.joined_in(each.relation, each.column, seen)
            elif each.relation not in self.sources and (table, each.relation) not in seen:
                by = self.project.nodes[table].table.lookups.get(each.relation, {})
                known = seen | {(table, each.relation)}
                found |= {each.relation}.union(*(self.joined_in(table, own, known) for own in by))
        return found

    def reads(self, now: State, partition: str) -> dict[str, set[str]]:
        """The partitions from which a partition of the fact is computed, by table and source relation on the way."""
        found: dict[str, set[str]] = {self.tables[-1]: {partition}}
        for name in reversed(self.tables):
            node = self.project.nodes[name]
            for relation in node.query.reads:
                if relation in self.tables or relation in self.sources:
                    found.setdefault(relation, set()).update(now.wanted(node, relation, sorted(found.get(name, ()))))
        return found


def chain_of(project: Project, table: str) -> Chain:
    """Find the derivation of a table's rows: back along its key, as long as each key is computed separately."""
    key = project.nodes[table].table.key
    sources: dict[str, Source] = {}

    def along(name: str) -> Iterator[str]:
        query = project.nodes[name].query
        of_key = {relation: found for relation in query.reads if (found := _declared(project, relation)).key == key}
        for relation, found in of_key.items() if is_by_key(query.sql, key, tuple(of_key)) else ():
            if isinstance(found, Source):
                sources[relation] = found
            else:
                yield from along(relation)
        yield name

    return Chain(project, tuple(dict.fromkeys(along(table))), sources)


def _declared(project: Project, relation: str) -> Source | Table:
    source = source_of(relation)
    return project.nodes[relation].table if source is None else project.domain.sources[source]


@dataclass(frozen=True)
class Behind:
    """The causes of a difference in the rows of a fact.

    Attributes:
        rows: The rows that may differ, before and after.
        told: By source relation on the way, the query of the newly ingested events about them.
        links: By joined relation, the table of the fact's keys (`_of_<column>`) with the differing joined row.
    """

    rows: Sides
    told: Mapping[str, str]
    links: Sequence[tuple[Correction, str]]


def find_behind(
    between: Between,
    chain: Chain,
    partitions: Collection[str],
    columns: Sequence[str],
    corrections: Sequence[Correction],
) -> Behind | None:
    """Compute the rows of a fact that may differ, as known before and after.

    Args:
        between: The period.
        chain: The derivation of its rows.
        partitions: The requested partitions.
        columns: The columns of the fact that count.
        corrections: The differences in joined relations.

    Returns:
        The result; None if nothing was ingested that could make a difference.
    """
    again = set(partitions).intersection(between.republished(chain.tables[-1]))
    reads = {partition: chain.reads(between.now, partition) for partition in sorted(again)}
    told, touched = _told(between, chain, reads)
    keys = {relation: [keys_in(restricting(chain.sources[relation]), events)] for relation, events in told.items()}
    for correction in corrections:
        for joined in correction.joins:
            rows, found = _joined_rows(between, chain, correction, joined, reads)
            touched |= found
            for relation, source in chain.sources.items() if found else ():
                keys.setdefault(relation, []).append(keys_in(restricting(source), rows))
    dirty = [
        partition for partition, read in reads.items() if any((name, each) in touched for name in read for each in read[name])
    ]
    if not dirty:
        return None
    wanted = {
        source.name: of_keys(restricting(source), between.keep(" UNION ".join(keys[relation]))) if relation in keys else "false"
        for relation, source in chain.sources.items()
    }
    states = between.states(wanted)
    for place, state in enumerate(states):
        state.computed |= {each.relation: each.stands[place] for each in corrections if each.stands is not None}
        for table in chain.tables:
            between.compute(state, table, sorted(set().union(*(reads[partition][table] for partition in dirty))))
    before, after = (_rows(state, chain.tables[-1]) for state in states)
    own = _own_keys(chain, told)
    links = [
        (each, _keep_links(between, chain, each, states, _differing_by(chain, each, columns, (before, after), own)))
        for each in corrections
    ]
    return Behind((before, after), told, links)


def restricting(source: Source) -> tuple[str, ...]:
    """The columns of a source that group its events: its key, or the key of an element's document."""
    return source.elements.parent if source.elements else source.key


def _told(
    between: Between, chain: Chain, reads: Mapping[str, Mapping[str, set[str]]]
) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """The newly ingested events about a fact, by relation, and their partitions."""
    told = {}
    touched = {(name, partition) for partition in reads for name in chain.tables[-1:] if not chain.sources}
    touched &= {(name, partition) for name in chain.tables[-1:] for partition in between.told(name)}
    for relation in chain.sources:
        found = between.told(relation).intersection(*[set().union(*(read[relation] for read in reads.values()))])
        if found:
            told[relation] = between.events(relation, sorted(found))
        touched |= {(relation, partition) for partition in found}
    return told, touched


def _joined_rows(
    between: Between, chain: Chain, correction: Correction, joined: Joined, reads: Mapping[str, Mapping[str, set[str]]]
) -> tuple[str, set[tuple[str, str]]]:
    """The published rows on the way that are joined with differing rows, and their partitions."""
    table = chain.project.nodes[joined.reader].table
    there = between.now.available(joined.reader)
    partitions = sorted(set().union(*(read[joined.reader] for read in reads.values())))
    files = between.now.files_of(joined.reader, (found for each in partitions for found in there.get(each, ())))
    column = quote(table.partition_column) if table.partition_column else "NULL"
    names = ", ".join(map(quote, table.key))
    rows = between.keep(
        f"SELECT {names}, {column} AS _day FROM ({typed_rows(table, files)}) AS row "
        f"WHERE EXISTS (FROM {correction.rows} AS found WHERE {joined.same('row', 'found')})"
    )
    days = between.connection.execute(f"SELECT DISTINCT _day FROM ({rows})").fetchall()
    found = {partition for (day,) in days for partition in partitions if day is None or str(day) == partition}
    return rows, {(joined.reader, partition) for partition in found}


def _rows(state: KnownState, table: str) -> str:
    return typed_rows(state.workspace.project.nodes[table].table, state.computed[table])


def _own_keys(chain: Chain, told: Mapping[str, str]) -> str:
    """Condition on the keys of rows that something was ingested about themselves."""
    of_sources = ((restricting(chain.sources[relation]), events) for relation, events in told.items())
    tests = [of_keys(columns, keys_in(columns, events)) for columns, events in of_sources]
    return " OR ".join(tests) or "false"


def _differing_by(chain: Chain, correction: Correction, columns: Sequence[str], rows: Sides, own: str) -> str:
    """Query of the keys of rows that differ by what they are joined with.

    They are on both sides, and differ in a column that comes of it; or they are on one, and not for something of their own.
    """
    is_looked_up = all(correction.relation in chain.project.nodes[each.reader].table.lookups for each in correction.joins)
    by = [name for name in columns if correction.relation in chain.joined_in(chain.tables[-1], name)] if is_looked_up else []
    before, after = rows
    key = ", ".join(map(quote, chain.table.key))
    differs = " OR ".join(f"before.{quote(name)} IS DISTINCT FROM after.{quote(name)}" for name in by) or "true"
    return (
        f"SELECT {key} FROM (SELECT *, true AS _there FROM ({before})) AS before "
        f"FULL JOIN (SELECT *, true AS _there FROM ({after})) AS after USING ({key}) "
        f"WHERE CASE WHEN before._there AND after._there THEN {differs} ELSE NOT ({own}) END"
    )


def _keep_links(between: Between, chain: Chain, correction: Correction, states: Sequence[KnownState], differing: str) -> str:
    key = chain.table.key
    own = ", ".join(f"row.{quote(name)} AS {quote(f'_of_{name}')}" for name in key)
    links = " UNION ".join(
        f"SELECT {own}, found.* FROM (SELECT * FROM ({_rows(state, joined.reader)}) "
        f"SEMI JOIN ({differing}) USING ({', '.join(map(quote, key))})) AS row "
        f"JOIN {correction.rows} AS found ON {joined.same('row', 'found')}"
        for joined in correction.joins
        for state in states
    )
    name = f"links_{correction.rows}"
    between.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {links}")
    return name
