"""Multisets: who and what was counted in a month, kept as rows, so that no year is read payment by payment.

Belongs here: the SQL that keeps them, and that which counts distinct values and finds quantiles in them. Does not belong here:
when they are used (`lattice`).

A row of them is one value of one counted expression (a customer, an amount) for one member of the entity and month, with how
often each distinct count or quantile met it. Multisets of parts add up to that of the whole, which neither a distinct count nor
a quantile does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from assay.metrics.grains import Grain, first_day
from assay.metrics.parts import Part
from assay.metrics.text import Select, indented

if TYPE_CHECKING:
    from assay.metrics.lattice import Mart, Members

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
        columns |= {
            part.name: f"count(*) FILTER (WHERE counted = {_text(part.of)} AND {part.name} > 0)" for part in distinct
        }
        branches.append(Select(columns, source, grouped=True))
    for place, (of, own) in enumerate(by_expression(part for part in parts if part.function == "quantile").items()):
        ordered = f"ordered_{members.fact.name}_{place}"
        by = ", ".join([*keys, *period])
        columns = keys | period | {"value": f"TRY_CAST(member AS {own[0].sql_type})"}
        for part in own:
            columns[part.name] = part.name
            columns[f"{part.name}_upto"] = f"sum({part.name}) OVER (PARTITION BY {by} ORDER BY TRY_CAST(member AS {part.sql_type}))"
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


def _text(of: str) -> str:
    return "'" + of.replace("'", "''") + "'"
