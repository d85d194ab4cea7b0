"""Corrected rows of relations that facts are joined with: a customer, a merchant, a rate.

Belongs here: computing a joined relation as known at both ends of a period, and the difference. Does not belong here: the
events behind it (`events_behind`), the affected rows of a fact (`behind`).

Where a table is computed by the key of its only source, only keys with newly ingested events are computed. Other tables are
computed whole, or in those partitions for which something was ingested.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine.by_key import is_by_key
from assay.engine.project import Project, source_of
from assay.lake.rows import Files
from assay.pipeline.as_of import FROM
from assay.pipeline.known import Between, KnownState, also, keys_in, of_keys
from assay.pipeline.lookups import bind_whole

Sides = tuple[str, str]
"""Queries of the same rows as known before and after."""
Stands = tuple[list[Files], list[Files]]
"""The substitutes for a table before and after."""
_CHANGED = 'STRUCT("column" VARCHAR, "before" VARCHAR, "after" VARCHAR)[]'


@dataclass(frozen=True)
class Joined:
    """A relation with which rows are joined.

    Attributes:
        reader: The table whose SQL joins it.
        relation: The relation.
        on: The table's column by the relation's column it is looked up by; empty if none is declared.
    """

    reader: str
    relation: str
    on: Mapping[str, str]

    def same(self, row: str, found: str) -> str:
        """Condition for a row of the table to be joined with one of the relation."""
        return " AND ".join(f"{row}.{quote(own)} = {found}.{quote(their)}" for own, their in self.on.items()) or "true"


@dataclass(frozen=True)
class Correction:
    """A joined relation with differing rows.

    Attributes:
        relation: The relation.
        joins: The places where it is joined.
        key: The columns that identify its rows.
        rows: The table of the differing rows: their key, lookup columns, `landed_at` and `changed`.
        stands: Its substitutes before and after; None for a source, which is represented by its events.
    """

    relation: str
    joins: tuple[Joined, ...]
    key: tuple[str, ...]
    rows: str
    stands: Stands | None


def find_corrections(between: Between, joined: Sequence[Joined], columns: Mapping[str, Collection[str]]) -> Iterator[Correction]:
    """Compute joined relations before and after, and keep the differences.

    A table that was only told of something later has none, and is published otherwise than it was known at both ends.

    Args:
        between: The period.
        joined: The joined relations.
        columns: The columns that matter, by relation.
    """
    for place, relation in enumerate(dict.fromkeys(each.relation for each in joined)):
        declared = between.now.declared(relation)
        told = between.told(relation) if isinstance(declared, Source) else between.since.told(relation)
        if not columns.get(relation) or not told:
            continue
        joins = tuple(each for each in joined if each.relation == relation)
        project = between.now.workspace.project
        parts = (name for names in of_key_columns(project, relation).values() for name in names)
        looked_up = (name for each in joins for name in each.on.values())
        beside = {name: None for name in (*looked_up, *parts) if name not in declared.key}
        counted = [name for name in columns[relation] if name not in declared.key]
        stands: Stands | None = None
        if isinstance(declared, Source):
            sides = _folded(between, relation, (*declared.key, *beside, *counted))
        else:
            sides, stands = _computed(between, relation)
        rows = f"corrections_{place}"
        _keep_differing(between, rows, declared.key, list(beside), counted, sides)
        yield Correction(relation, joins, declared.key, rows, stands)


def source_by_key(project: Project, table: str) -> str | None:
    """The relation as which a table's only source is read, if it and all tables on the way are computed by its key."""
    tables, read = list(_tables(project, table)), raw_relations(project, table)
    if len(read) != 1:
        return None
    key, nodes = set(project.domain.sources[str(source_of(read[0]))].key), [project.nodes[name] for name in tables]
    by_key = (key <= set(node.table.key) and is_by_key(node.query.sql, key, tuple(node.query.reads)) for node in nodes)
    return read[0] if all(by_key) else None


def origins(project: Project, relation: str, column: str) -> frozenset[tuple[str, str]]:
    """The source columns from which a column is computed, each with its source."""
    source = source_of(relation)
    if source is not None:
        return frozenset({(source, column)})
    lineage = project.nodes[relation].query.lineage.get(column, ())
    return frozenset().union(*(origins(project, each.relation, each.column) for each in lineage))


def of_key_columns(project: Project, relation: str) -> dict[tuple[str, str], list[str]]:
    """By source and column of its key, the table's columns computed from it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in project.nodes[relation].query.lineage if relation in project.nodes else ():
        for source, column in sorted(origins(project, relation, name)):
            if column in project.domain.sources[source].key:
                found.setdefault((source, column), []).append(name)
    return found


def raw_relations(project: Project, relation: str) -> list[str]:
    """The relations as which the sources of a table are read, directly or indirectly."""
    if source_of(relation) is not None:
        return [relation]
    return list(dict.fromkeys(raw for read in project.nodes[relation].query.reads for raw in raw_relations(project, read)))


def _tables(project: Project, table: str) -> Iterator[str]:
    yield table
    for relation in project.nodes[table].query.reads:
        if source_of(relation) is None:
            yield from _tables(project, relation)


def _folded(between: Between, relation: str, columns: Sequence[str]) -> Sides:
    """A source's fold that is joined directly, as known before and after."""
    kept = []
    for state in between.states():
        bind_whole(between.connection, state, relation, (*columns, "_ingested_at"))
        kept.append(between.keep(f"SELECT {', '.join(map(quote, columns))}, _ingested_at AS ingestion_timestamp FROM {relation}"))
    before, after = kept
    return before, after


def _computed(between: Between, table: str) -> tuple[Sides, Stands]:
    project, now = between.now.workspace.project, between.now
    read = source_by_key(project, table)
    if read is None:
        before, after = between.states()
        sides = _compute(between, before, table), _compute(between, after, table)
        told = between.since.told(table)
        others = [found for partition, each in now.available(table).items() if partition not in told for found in each]
        beside = now.files_of(table, others)
    else:
        source = project.domain.sources[str(source_of(read))]
        keys = between.keep(keys_in(source.key, between.since.events(read, between.since.told(read))))
        before, after = between.states({source.name: of_keys(source.key, keys)})
        sides = _compute(between, before, table), _compute(between, after, table)
        computed = between.keep(" UNION ".join(keys_in(source.key, side) for side in sides))
        beside = also(now.all_files(table), of_keys(source.key, computed, "NOT IN"))
    return sides, (beside + before.computed[table], beside + after.computed[table])


def _compute(between: Between, state: KnownState, table: str) -> str:
    """Compute the partitions of a table for which something was ingested since, after its inputs."""
    project = between.now.workspace.project
    for relation in project.nodes[table].query.reads:
        if source_of(relation) is None and relation not in state.computed and between.since.told(relation):
            _compute(between, state, relation)
    told = sorted(between.since.told(table))
    if state.keys:
        return between.compute(state, table, told)
    # Computing without a restriction to keys is expensive, and its result is the same for all simultaneous restatements.
    sources = {str(source_of(each)): None for each in raw_relations(project, table)}
    known = (table, *told, *(batch.id for source in sources for batch in state.ledger(source).batches))
    if known not in between.kept.computed:
        between.kept.computed[known] = between.compute(state, table, told), state.computed[table]
    rows, state.computed[table] = between.kept.computed[known]
    return rows


def _keep_differing(
    between: Between, name: str, key: Sequence[str], beside: Sequence[str], counted: Collection[str], sides: Sides
) -> None:
    """Keep the rows that differ in columns that matter, with old and new values, in a table."""
    execute = between.connection.execute
    for side, rows in zip(("was", "now"), sides, strict=True):
        execute(f"CREATE OR REPLACE TEMP TABLE row_{side} AS SELECT *, true AS is_there FROM ({rows})")
    shown = ", ".join(f"coalesce(now.{quote(each)}, was.{quote(each)}) AS {quote(each)}" for each in (*key, *beside))
    execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {shown}, "
        "coalesce(now.ingestion_timestamp, was.ingestion_timestamp) AS landed_at, "
        f"{changed_list(counted, 'was', 'now')} AS changed "
        f"FROM ({_pairs_of_spans(key) if FROM in key else _pairs(key)}) "
        "WHERE len(changed) > 0 OR now.is_there IS DISTINCT FROM was.is_there"
    )
    execute("DROP TABLE row_was")
    execute("DROP TABLE row_now")


def changed_list(columns: Collection[str], before: str, after: str) -> str:
    """Expression over two rows for the list of differing columns, with old and new values as text."""
    listed = ", ".join(
        f"{{'column': {literal(each)}, 'before': {before}.{quote(each)}::VARCHAR, 'after': {after}.{quote(each)}::VARCHAR}}"
        for each in columns
    )
    return f"list_filter([{listed}]::{_CHANGED}, lambda each: each.before IS DISTINCT FROM each.after)"


def by_column(changed: Iterable[Mapping[str, str | None]]) -> dict[str, dict[str, str | None]]:
    """A list of changes as a mapping by column."""
    return {str(each["column"]): {"before": each["before"], "after": each["after"]} for each in changed}


def _pairs(key: Sequence[str]) -> str:
    same = " AND ".join(f"was.{quote(name)} IS NOT DISTINCT FROM now.{quote(name)}" for name in key)
    return f"SELECT was, now FROM row_was AS was FULL JOIN row_now AS now ON {same}"


def _pairs_of_spans(key: Sequence[str]) -> str:
    """Each span with the one that held when it began, or with the first span if that began later."""
    own = ", ".join(map(quote, key))
    whose = " AND ".join(f"now.{quote(name)} = was.{quote(name)}" for name in key if name != FROM)

    def beside(this: str, rows: str, other: str) -> str:
        by = ", ".join(f"{this}.{quote(name)}" for name in key)
        began = f"{other}.{FROM} <= {this}.{FROM}"
        return (
            f"SELECT was, now FROM {rows} AS {this} LEFT JOIN row_{other} AS {other} ON {whose} "
            f"QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY coalesce({began}, false) DESC, "
            f"CASE WHEN {began} THEN {other}.{FROM} END DESC NULLS LAST, {other}.{FROM}) = 1"
        )

    ended = f"(SELECT * FROM row_was ANTI JOIN row_now USING ({own}))"
    return f"SELECT * FROM ({beside('now', 'row_now', 'was')}) UNION ALL SELECT * FROM ({beside('was', ended, 'now')})"
