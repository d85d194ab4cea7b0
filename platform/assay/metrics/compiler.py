"""The compiler: the SQL of a mart of one entity and grain.

Belongs here: parts read from their parents, each parent once, and combined; the metrics over them. Does not belong here: the
choice of parents (`lattice`), multisets (`multisets`), metrics over other periods (`trends`).

Results of several parents are joined in full, so that a row that only one of them has is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from assay.contracts import ColumnOrigin
from assay.metrics.declarations import NEAR, UNKNOWN, Calendar, Entity, Fact, LocalFact
from assay.metrics.expressions import Writer
from assay.metrics.grains import Grain, first_day, last_day
from assay.metrics.kinds import Rank, Share
from assay.metrics.lattice import Lattice, Mart, Parent
from assay.metrics.multisets import Multisets
from assay.metrics.parts import Part, columns_in
from assay.metrics.resolving import Resolved
from assay.metrics.text import Select, indented, statement

MICROSECONDS_AN_HOUR = 3_600_000_000
_LONG = (Grain.MONTH, Grain.YEAR)
"""Grains whose values to count may be more than fit into memory."""
_OTHERS = "Columns from which others are computed"
_Add = Callable[..., None]


@dataclass
class Compiled:
    """A generated statement with facts about it that are known without parsing.

    Attributes:
        sql: The statement.
        reads: The columns it uses, by relation.
        lineage: The columns that each output column is computed from.
    """

    sql: str
    reads: Mapping[str, tuple[str, ...]]
    lineage: Mapping[str, tuple[ColumnOrigin, ...]]


@dataclass
class Branch:
    """The contribution of one parent.

    Attributes:
        name: The common table with its result.
        tables: Its common tables, with comments.
        columns: Its columns.
        relation: The parent's name in SQL.
        reads: The parent's columns that it uses.
        lineage: The parent's columns that each of its columns is computed from.
        reach: The common table that says how far its data reach, where that is another; empty where it does not say.
    """

    name: str
    relation: str
    tables: dict[str, tuple[list[str], str]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    lineage: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reach: str = ""


def compile_mart(lattice: Lattice, mart: Mart) -> Compiled:
    """Write the SQL of a mart."""
    branches = _branches(lattice, mart)
    tables = {name: table for branch in branches for name, table in branch.tables.items()}
    source = branches[0].name if len(branches) == 1 else _side_by_side(lattice, mart, branches, tables)
    metrics = ordered(lattice.metrics(mart))
    final = _final(lattice, mart, metrics, source, branches, tables)
    lineage = _lineage(lattice, mart, metrics, branches)
    sql = statement([heading(mart)], tables, final)
    return Compiled(sql, {branch.relation: tuple(sorted(branch.reads)) for branch in branches}, lineage)


def _branches(lattice: Lattice, mart: Mart) -> list[Branch]:
    """The contribution of each parent to a mart; each is read once."""
    by_parent: dict[str, tuple[Parent, list[Part]]] = {}
    for part in lattice.stored(mart):
        parent = lattice.parent(mart, part)
        by_parent.setdefault(parent.origin.name, (parent, []))[1].append(part)
    branches = []
    for parent, parts in by_parent.values():
        # A fact that gives sums, too, is small enough that no finer mart is cheaper: one scan gives both.
        if isinstance(parent.origin, Fact) and mart.grain in _LONG and all(part.is_set for part in parts):
            branches.append(_of_multisets(lattice, mart, parent.origin, parts))
        else:
            branches.append(branch_of(lattice, mart, parent, parts))
    return branches


def heading(mart: Mart) -> str:
    """What one row of a mart stands for."""
    clock = "UTC" if mart.calendar is None else f"by {mart.calendar.title} days"
    if mart.entity.key is None:
        return f"One row per {mart.grain}, {clock}."
    return f"One row per {mart.entity.noun} and {mart.grain}, {clock}."


def branch_of(lattice: Lattice, mart: Mart, parent: Parent, parts: list[Part]) -> Branch:
    """The contribution of one parent to a mart."""
    origin = parent.origin
    relation = origin.table if isinstance(origin, Fact) else origin.full_name
    branch = Branch(f"from_{origin.name}", relation)
    columns: dict[str, str] = {}

    def add(name: str, expression: str, *used: str) -> None:
        columns[name] = expression
        branch.reads.update(used)
        branch.lineage[name] = used

    if isinstance(origin, Fact):
        _add_fact(lattice, mart, origin, parts, add)
    else:
        for part in parts:
            lattice.require_exact(mart, part, origin)
        _add_mart(mart, origin, parts, add)
    add("ingestion_timestamp", "max(ingestion_timestamp)", "ingestion_timestamp")
    branch.columns = list(columns)
    selected = Select(columns, relation, where=counted_rows(origin), grouped=True)
    branch.tables[branch.name] = ([f"{relation}: {parent.why}."], indented(selected.text()))
    if isinstance(origin, LocalFact):
        _add_reach(mart, origin, branch)
    return branch


def counted_rows(origin: Fact | Mart) -> str:
    """Condition on the rows of a relation that are counted; empty for all."""
    return f"{origin.day} IS NOT NULL" if isinstance(origin, LocalFact) else ""


def _add_reach(mart: Mart, fact: LocalFact, branch: Branch) -> None:
    """Add common tables that say how far a fact by a calendar reaches in each period.

    A local day is all there when the UTC day after it is: no row of that day need be about it.
    """
    utc, period = fact.by_utc.day, mart.grain.period_column
    pairs, days = f"days_of_{fact.name}", f"local_days_of_{fact.name}"
    said = [f"The UTC days that {fact.unit} are on, and those by the other clock: how far the data of a period reach."]
    branch.tables[pairs] = (said, f"  SELECT DISTINCT {fact.day}, {utc} FROM {fact.table}")
    newest = Select(
        {period: first_day(mart.grain, fact.day), "local_day": f"max({fact.day})"},
        pairs,
        where=counted_rows(fact),
        grouped=True,
    )
    branch.tables[days] = ([], indented(newest.text()))
    reach = Select(
        {period: period, "newest_day": f"max({utc})"}, f"{days}\nINNER JOIN {pairs} ON {utc} <= local_day + {NEAR}", grouped=True
    )
    branch.reach = f"reach_of_{fact.name}"
    branch.tables[branch.reach] = ([], indented(reach.text()))
    branch.reads |= {utc}
    branch.lineage["newest_day"] = (utc,)


def key_columns(mart: Mart, fact: Fact) -> dict[str, str]:
    """SQL in a fact of the columns that identify a row of a mart of whole days."""
    entity = mart.entity
    own = {} if entity.key is None else {entity.key: key_of(entity, fact)}
    return own | {mart.grain.period_column: first_day(mart.grain, fact.day)}


def key_of(entity: Entity, fact: Fact) -> str:
    """SQL of an entity's key in a fact."""
    return f"coalesce({fact.keys[entity.name]}, '{UNKNOWN}')"


def hour_of(fact: Fact) -> str:
    """SQL of the hour of an event: arithmetic, because DuckDB calls the time-zone library for each row's hour."""
    return f"CAST(epoch_us({fact.at}) // {MICROSECONDS_AN_HOUR} % 24 AS INTEGER)"


def _add_fact(lattice: Lattice, mart: Mart, fact: Fact, parts: list[Part], add: _Add) -> None:
    known = lattice.catalog.tables[fact.table].types
    if mart.entity.key is not None:
        add(mart.entity.key, key_of(mart.entity, fact), *columns_in(fact.keys[mart.entity.name], known))
    add(mart.grain.period_column, first_day(mart.grain, fact.day), fact.day)
    if mart.grain is Grain.HOUR:
        add("hour", hour_of(fact), fact.at)
    if has_span(mart) and mart.calendar is None:
        add("newest_day", f"max({fact.day})", fact.day)
    for attribute in mart.entity.attributes:
        if attribute.name in known:
            add(attribute.name, f"max({attribute.name})", attribute.name)
    for part in parts:
        add(part.name, part.aggregate(), *(columns_in(f"{part.of} {part.where}", known) or (fact.day,)))


def _add_mart(mart: Mart, origin: Mart, parts: list[Part], add: _Add) -> None:
    if mart.entity.key is not None:
        add(mart.entity.key, mart.entity.key, mart.entity.key)
    column = origin.grain.period_column
    period = column if origin.grain is mart.grain else first_day(mart.grain, column)
    add(mart.grain.period_column, period, column)
    if mart.grain is Grain.HOUR:
        add("hour", "hour", "hour")
    if has_span(mart):
        newest = "newest_day" if has_span(origin) else "day"
        add("newest_day", f"max({newest})", newest)
    for attribute in mart.entity.attributes:
        add(attribute.name, f"max({attribute.name})", attribute.name)
    for part in parts:
        add(part.name, part.merged(part.name), part.name)


def _of_multisets(lattice: Lattice, mart: Mart, fact: Fact, parts: list[Part]) -> Branch:
    """The contribution of a fact's distinct counts and quantiles over a long period."""
    known = lattice.catalog.tables[fact.table].types
    own = key_columns(mart, fact)
    branch = Branch(f"sets_of_{fact.name}", fact.table)
    branch.tables = Multisets(fact, own, counted_rows(fact), parts).unfolded(branch.name)
    branch.columns = [*own, *(part.name for part in parts)]
    branch.lineage = {name: columns_in(of, known) for name, of in own.items()}
    branch.lineage |= {part.name: columns_in(f"{part.of} {part.where}", known) for part in parts}
    branch.reads = {fact.day, *(column for used in branch.lineage.values() for column in used)}
    return branch


def has_span(mart: Mart) -> bool:
    """Whether periods of a mart have several UTC days, so that one may be there in part."""
    return mart.calendar is not None or mart.grain not in (Grain.HOUR, Grain.DAY)


def _side_by_side(lattice: Lattice, mart: Mart, branches: list[Branch], tables: dict[str, tuple[list[str], str]]) -> str:
    keys = ", ".join(mart.key)
    joined = "".join(f"\nFULL JOIN {branch.name} USING ({keys})" for branch in branches[1:])

    def greatest(name: str) -> str:
        given = [f"{branch.name}.{name}" for branch in branches if name in branch.columns]
        return given[0] if len(given) == 1 else f"greatest({', '.join(given)})"

    columns = {name: name for name in mart.key}
    given = {name for branch in branches for name in branch.columns}
    merged = ["newest_day"] if has_span(mart) and mart.calendar is None else []
    merged += [attribute.name for attribute in mart.entity.attributes if attribute.name in given]
    columns |= {name: greatest(name) for name in merged}
    for part in lattice.stored(mart):
        columns[part.name] = f"coalesce({part.name}, 0)" if starts_at_zero(part) else part.name
    columns["ingestion_timestamp"] = greatest("ingestion_timestamp")
    said = ["The results of the parents, side by side: each has at most one row per key."]
    tables["together"] = (said, indented(Select(columns, branches[0].name + joined).text()))
    return "together"


def starts_at_zero(part: Part) -> bool:
    """Whether a part is zero, and not null, where there are no rows."""
    return part.function in ("count", "sum", "distinct")


def _final(
    lattice: Lattice,
    mart: Mart,
    metrics: list[Resolved],
    source: str,
    branches: list[Branch],
    tables: dict[str, tuple[list[str], str]],
) -> Select:
    columns = {name: name for name in mart.key}
    among = _among(lattice, mart, metrics, source, tables)
    joined = f"{source}\nINNER JOIN among USING ({', '.join(mart.key)})" if among else source
    if has_span(mart):
        period = mart.grain.period_column
        reach = Select({period: period, "newest_day": "max(newest_day)"}, _reaching(mart, source, branches), grouped=True)
        tables["reach"] = (["How far the data of a period reach, whatever the entity."], indented(reach.text()))
        joined += f"\nINNER JOIN reach USING ({period})"
        columns["newest_day"] = "reach.newest_day"
        columns["is_partial"] = f"reach.newest_day < {last_utc_day(mart.grain, mart.calendar, period)}"
    given = _given_attributes(lattice, mart)
    for attribute in mart.entity.attributes:
        columns[attribute.name] = attribute.name if attribute.name in given else "CAST(NULL AS VARCHAR)"
    writer = Writer(lattice.catalog)
    headings = {}
    group = ""
    for metric in metrics:
        if metric.group.name != group:
            group = metric.group.name
            headings[metric.name] = metric.group.title
        columns[metric.name] = metric.name if metric.name in among else writer.row(metric, lambda name: name, mart.period)
    for part in lattice.stored(mart):
        if part.name not in columns:
            if group != _OTHERS:
                group = headings[part.name] = _OTHERS
            columns[part.name] = part.name
    columns["ingestion_timestamp"] = "ingestion_timestamp"
    columns["data_source"] = f"'{sources_of(lattice, mart)}'"
    return Select(columns, joined, headings=headings)


def _reaching(mart: Mart, source: str, branches: list[Branch]) -> str:
    """What says how far the data of periods reach."""
    if mart.calendar is None:
        return source
    said = [branch.reach or branch.name for branch in branches if branch.reach or "newest_day" in branch.columns]
    if len(said) == 1:
        return said[0]
    period = mart.grain.period_column
    return "(" + " UNION ALL ".join(f"SELECT {period}, newest_day FROM {name}" for name in said) + ")"


def last_utc_day(grain: Grain, calendar: Calendar | None, period: str) -> str:
    """SQL for the last UTC day that data of a period may be of."""
    last = last_day(grain, period)
    return last if calendar is None else f"{last} + {NEAR}"


def _among(
    lattice: Lattice, mart: Mart, metrics: list[Resolved], source: str, tables: dict[str, tuple[list[str], str]]
) -> set[str]:
    """Add common tables that compute ranks and shares, where that is faster; returns the names of these metrics.

    A window sorts whole rows, with all columns that it does not need.
    """
    found = {metric.name: metric.metric for metric in metrics if isinstance(metric.metric, Rank | Share)}
    if not found or mart.entity.key is None:
        return set()
    parts = [part for metric in metrics if metric.name in found for part in metric.parts]
    within = [declared.within for declared in found.values() if isinstance(declared, Rank | Share) and declared.within]
    if not set(within) <= _given_attributes(lattice, mart):
        return set()
    writer = Writer(lattice.catalog)
    compared = {name: name for name in (*mart.key, *within, *parts)}
    tables["compared"] = (
        ["Only the columns that are compared: a window sorts whole rows."],
        indented(Select(compared, source).text()),
    )
    columns = {name: name for name in mart.key}
    for metric in metrics:
        if metric.name in found:
            columns[metric.name] = writer.over_parts(metric, lambda name: name, mart.period)
    tables["among"] = ([], indented(Select(columns, "compared").text()))
    return set(found)


def sources_of(lattice: Lattice, mart: Mart) -> str:
    """The facts whose rows a mart counts, as in its column `data_source`."""
    return ",".join(dict.fromkeys(lattice.catalog.facts[part.fact].unit for part in lattice.stored(mart)))


def _given_attributes(lattice: Lattice, mart: Mart) -> set[str]:
    facts = {part.fact for part in lattice.stored(mart)}
    known = {name for fact in facts for name in lattice.catalog.tables[lattice.catalog.facts[fact].table].types}
    return {attribute.name for attribute in mart.entity.attributes if attribute.name in known}


def ordered(metrics: Iterable[Resolved]) -> list[Resolved]:
    """Metrics in order of declaration, but each after those it is computed from."""
    by_name = {metric.name: metric for metric in metrics}
    done: dict[str, Resolved] = {}

    def add(metric: Resolved) -> None:
        for name in metric.refers:
            if name in by_name and name not in done:
                add(by_name[name])
        done.setdefault(metric.name, metric)

    for metric in by_name.values():
        add(metric)
    return list(done.values())


def _lineage(
    lattice: Lattice, mart: Mart, metrics: list[Resolved], branches: list[Branch]
) -> dict[str, tuple[ColumnOrigin, ...]]:
    own: dict[str, tuple[ColumnOrigin, ...]] = {}
    for branch in branches:
        for column, used in branch.lineage.items():
            own[column] = own.get(column, ()) + tuple(origin(branch.relation, name) for name in used)
    found = {name: own[name] for name in own if name in mart.key or name in ("newest_day", "ingestion_timestamp")}
    found |= {attribute.name: own.get(attribute.name, ()) for attribute in mart.entity.attributes}
    if has_span(mart):
        found["is_partial"] = own["newest_day"]
    for metric in metrics:
        found[metric.name] = tuple(dict.fromkeys(each for part in metric.parts for each in own[part]))
    for part in lattice.stored(mart):
        found.setdefault(part.name, own[part.name])
    return found


_ORIGINS: dict[tuple[str, str], ColumnOrigin] = {}


def origin(relation: str, column: str) -> ColumnOrigin:
    """A column of a relation. Equal columns share one object, because lineage names the same ones very often."""
    return _ORIGINS.setdefault((relation, column), ColumnOrigin(relation, column))
