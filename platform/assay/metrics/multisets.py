"""Multisets: the values counted in a month, stored as rows, so that no year is read payment by payment.

Belongs here: the SQL that stores them, and the SQL of distinct counts and quantiles over them. Does not belong here:
when they are used (`lattice`).

Each row is one value of one counted expression (a customer, an amount) for one member of the entity and month, with the number of
rows that have it, in total and under each condition of a distinct count or quantile. Multisets of parts add up to that of the
whole, unlike distinct counts and quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from assay.metrics.declarations import Fact, LocalFact, calendar_of
from assay.metrics.grains import Grain, first_day
from assay.metrics.parts import Part, count_where
from assay.metrics.text import Select, indented, statement

if TYPE_CHECKING:
    from assay.metrics.lattice import Lattice, Mart, Members, Origin

Tables = dict[str, tuple[list[str], str]]


def unfolded(lattice: Lattice, mart: Mart, members: Members, name: str, parts: list[Part], why: str) -> Tables:
    """Common tables that compute distinct counts and quantiles from multisets.

    Args:
        lattice: The lattice.
        mart: Their mart, of months or years.
        members: The multisets.
        name: The name of the last of the tables, which has the results.
        parts: The distinct counts and quantiles.
        why: The reason for computing them in this way.
    """
    tables: Tables = {}
    keys = {key: key for key in members.entity.keys}
    source = members.full_name
    comments = [f"{members.full_name}: {why}."]
    if mart.grain is not Grain.MONTH:
        source = f"counted_{members.fact.name}"
        columns = keys | {mart.grain.period_column: first_day(mart.grain, "month"), "counted": "counted", "member": "member"}
        columns |= {tally: _total(tally) for tally in dict.fromkeys(map(lattice.tally, parts))}
        tables[source] = (comments, indented(Select(columns, members.full_name, grouped=True).text()))
        comments = []
    period = {mart.grain.period_column: mart.grain.period_column}
    distinct = [part for part in parts if part.function == "distinct"]
    branches = []
    if distinct:
        columns = keys | period
        columns |= {part.name: count_where(met(lattice, part)) for part in distinct}
        branches.append(Select(columns, source, grouped=True))
    by = ", ".join([*keys, *period])
    quantiles: dict[str, list[Part]] = {}
    for part in parts:
        if part.function == "quantile":
            quantiles.setdefault(met(lattice, part), []).append(part)
    for place, (rows, own) in enumerate(quantiles.items()):
        ordered = f"ordered_{members.fact.name}_{place}"
        value, tally = f"TRY_CAST(member AS {own[0].sql_type})", lattice.tally(own[0])
        columns = (
            keys
            | period
            | {
                "value": value,
                "upto": f"sum({tally}) OVER (PARTITION BY {by} ORDER BY {value})",
                "total": f"sum({tally}) OVER (PARTITION BY {by})",
            }
        )
        tables[ordered] = (comments, indented(Select(columns, source, where=rows).text()))
        comments = []
        columns = keys | period | {part.name: f"min(value) FILTER (WHERE upto >= {part.q} * total)" for part in own}
        branches.append(Select(columns, ordered, grouped=True))
    body = "\n  UNION ALL BY NAME\n".join(branch.text("  ") for branch in branches)
    if len(branches) > 1:
        columns = keys | period | {part.name: f"max({part.name})" for part in parts}
        body = indented(Select(columns, f"(\n{body}\n)", grouped=True).text())
    tables[name] = (comments, body)
    return tables


def met(lattice: Lattice, part: Part) -> str:
    """The condition for rows of multisets that hold a value which a distinct count or quantile counts."""
    tested = f" AND {lattice.tally(part)} > 0" if part.where else ""
    return f"counted = {_text(part.of)}{tested}"


def heading(members: Members) -> str:
    """What one row of multisets stands for."""
    of = "" if members.entity.key is None else f"{members.entity.noun}, "
    calendar = calendar_of(members.fact)
    clock = "UTC" if calendar is None else f"by {calendar.title} days"
    return f"One row per {of}month and value counted, {clock}."


def kept(
    members: Members, expressions: Sequence[str], tallies: Mapping[str, str], key: str | None, origin: Origin, why: str
) -> str:
    """Write the SQL that stores multisets.

    Args:
        members: The multisets.
        expressions: The counted expressions.
        tallies: The conditions under which rows are counted, by column.
        key: SQL of the entity's key in the fact; None for the whole company.
        origin: The fact, or the multisets of another entity, from which they are computed.
        why: Why they are made of that, in words.
    """
    said = [heading(members), f"{_name(origin)}: {why}."]
    if not isinstance(origin, Fact):
        columns = {"month": "month", "counted": "counted", "member": "member", "row_count": _total("row_count")}
        columns |= {tally: _total(tally) for tally in tallies} | _origin_columns(members)
        return statement(said, {}, Select(columns, origin.full_name, grouped=True))
    known = f" AND {origin.day} IS NOT NULL" if isinstance(origin, LocalFact) else ""
    own = {members.entity.key: key} if members.entity.key is not None and key is not None else {}
    branches = []
    for of in expressions:
        columns = own | {"month": first_day(Grain.MONTH, origin.day), "counted": _text(of), "member": f"CAST({of} AS VARCHAR)"}
        columns["row_count"] = "count(*)"
        columns |= {tally: count_where(where) for tally, where in tallies.items()}
        columns |= _origin_columns(members)
        where = f"({of}) IS NOT NULL{known}"
        branches.append(Select(columns, origin.table, where=where, grouped=True).text())
    return "\n".join(f"-- {line}" for line in said) + "\n" + "\nUNION ALL\n".join(branches) + "\n"


def _origin_columns(members: Members) -> dict[str, str]:
    return {"ingestion_timestamp": "max(ingestion_timestamp)", "data_source": f"'{members.fact.unit}'"}


def _name(origin: Origin) -> str:
    return origin.table if isinstance(origin, Fact) else origin.full_name


def _total(column: str) -> str:
    return f"CAST(sum({column}) AS BIGINT)"


def _text(of: str) -> str:
    return "'" + of.replace("'", "''") + "'"
