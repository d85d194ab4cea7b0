"""Multisets: who and what was counted in a month, kept as rows, so that no year is read payment by payment.

Belongs here: the SQL that keeps them, and that which counts distinct values and finds quantiles in them. Does not belong here:
when they are used (`lattice`).

A row of them is one value of one counted expression (a customer, an amount) for one member of the entity and month, with how
often each distinct count or quantile met it. Multisets of parts add up to that of the whole, which neither a distinct count nor
a quantile does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assay.metrics.declarations import Fact
from assay.metrics.grains import Grain, first_day
from assay.metrics.parts import Part
from assay.metrics.text import Select, indented, statement

if TYPE_CHECKING:
    from assay.metrics.lattice import Mart, Members, Origin

Tables = dict[str, tuple[list[str], str]]


def by_expression(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """Parts by what they count."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.of, []).append(part)
    return found


def unfolded(mart: Mart, members: Members, name: str, parts: list[Part], why: str) -> Tables:
    """Common tables that compute distinct counts and quantiles from multisets.

    Args:
        mart: The mart they are for, of months or years.
        members: The multisets.
        name: The name of the last of the tables, which has them.
        parts: The distinct counts and quantiles.
        why: Why they are computed so.
    """
    tables: Tables = {}
    keys = {key: key for key in members.entity.keys}
    source = members.full_name
    comments = [f"{members.full_name}: {why}."]
    if mart.grain is not Grain.MONTH:
        source = f"counted_{members.fact.name}"
        columns = keys | {mart.grain.period_column: first_day(mart.grain, "month"), "counted": "counted", "member": "member"}
        columns |= {part.name: f"sum({part.name})" for part in parts}
        tables[source] = (comments, indented(Select(columns, members.full_name, grouped=True).text()))
        comments = []
    period = {mart.grain.period_column: mart.grain.period_column}
    distinct = [part for part in parts if part.function == "distinct"]
    branches = []
    if distinct:
        columns = keys | period
        columns |= {part.name: f"count(*) FILTER (WHERE counted = {_text(part.of)} AND {part.name} > 0)" for part in distinct}
        branches.append(Select(columns, source, grouped=True))
    for place, (of, own) in enumerate(by_expression(part for part in parts if part.function == "quantile").items()):
        ordered = f"ordered_{members.fact.name}_{place}"
        by = ", ".join([*keys, *period])
        columns = keys | period | {"value": f"TRY_CAST(member AS {own[0].sql_type})"}
        for part in own:
            columns[part.name] = part.name
            columns[f"{part.name}_upto"] = (
                f"sum({part.name}) OVER (PARTITION BY {by} ORDER BY TRY_CAST(member AS {part.sql_type}))"
            )
            columns[f"{part.name}_all"] = f"sum({part.name}) OVER (PARTITION BY {by})"
        tables[ordered] = (comments, indented(Select(columns, source, where=f"counted = {_text(of)}").text()))
        comments = []
        columns = keys | period
        columns |= {
            part.name: f"min(value) FILTER (WHERE {part.name} > 0 AND {part.name}_upto >= {part.q} * {part.name}_all)"
            for part in own
        }
        branches.append(Select(columns, ordered, grouped=True))
    body = "\n  UNION ALL BY NAME\n".join(branch.text("  ") for branch in branches)
    if len(branches) > 1:
        columns = keys | period | {part.name: f"max({part.name})" for part in parts}
        body = indented(Select(columns, f"(\n{body}\n)", grouped=True).text())
    tables[name] = (comments, body)
    return tables


def heading(members: Members) -> str:
    """What a row is."""
    of = "a" if members.entity.key is None else f"{members.entity.title},"
    return f"One row {of} month and value counted, UTC."


def kept(members: Members, parts: Sequence[Part], key: str | None, origin: Origin, why: str) -> str:
    """The SQL that keeps multisets.

    Args:
        members: Which.
        parts: The distinct counts and quantiles that are found in them.
        key: SQL of the entity's key in the fact; None for the whole company.
        origin: The fact, or the multisets of another entity, that they are made of.
        why: Why of that.
    """
    said = [heading(members), f"{_name(origin)}: {why}."]
    if not isinstance(origin, Fact):
        columns = {"month": "month", "counted": "counted", "member": "member", "row_count": _total("row_count")}
        columns |= {part.name: _total(part.name) for part in parts} | _origin_columns(members)
        return statement(said, {}, Select(columns, origin.full_name, grouped=True))
    own = {members.entity.key: key} if members.entity.key is not None and key is not None else {}
    branches = []
    for of, counting in by_expression(parts).items():
        columns = own | {"month": first_day(Grain.MONTH, origin.day), "counted": _text(of), "member": f"CAST({of} AS VARCHAR)"}
        columns["row_count"] = "count(*)"
        for part in parts:
            tested = f"count(*) FILTER (WHERE {part.where})" if part.where else "count(*)"
            columns[part.name] = tested if part in counting else "CAST(0 AS BIGINT)"
        columns |= _origin_columns(members)
        branches.append(Select(columns, origin.table, where=f"({of}) IS NOT NULL", grouped=True).text())
    return "\n".join(f"-- {line}" for line in said) + "\n" + "\nUNION ALL\n".join(branches) + "\n"


def _origin_columns(members: Members) -> dict[str, str]:
    return {"ingestion_timestamp": "max(ingestion_timestamp)", "data_source": f"'{members.fact.name}'"}


def _name(origin: Origin) -> str:
    return origin.table if isinstance(origin, Fact) else origin.full_name


def _total(column: str) -> str:
    return f"CAST(sum({column}) AS BIGINT)"


def _text(of: str) -> str:
    return "'" + of.replace("'", "''") + "'"
