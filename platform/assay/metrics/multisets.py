"""Multisets: the values that a fact has in each period and how often, from which distinct counts and quantiles are computed.

Belongs here: the SQL that counts values, and the SQL of distinct counts and quantiles over them. Does not belong here: when they
are used (`compiler`).

They are common tables of the mart that needs them, and stored nowhere: a month of a merchant or a category has about as many
different customers as payments, so that storing and reading values took several times as long as reading the payments.

All values are counted in one pass, by grouping sets: each row is one value of one expression (a customer, an amount) for one
member of the entity and period, with the number of rows that have it, in total and under each condition of a distinct count or
quantile. Other than DISTINCT and quantile_disc, that needs no more memory than there is: DuckDB writes what does not fit to disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from assay.metrics.declarations import Fact
from assay.metrics.parts import Part, count_where
from assay.metrics.text import Select, indented

if TYPE_CHECKING:
    from assay.metrics.lattice import Lattice, Mart

Tables = dict[str, tuple[list[str], str]]


def unfolded(
    lattice: Lattice, mart: Mart, fact: Fact, own: Mapping[str, str], where: str, name: str, parts: list[Part]
) -> Tables:
    """Common tables that compute distinct counts and quantiles from multisets.

    Args:
        lattice: The lattice.
        mart: Their mart.
        fact: The fact.
        own: SQL of the mart's key columns in the fact.
        where: Condition on the rows that are counted; empty for all.
        name: The name of the last of the tables, which has the results.
        parts: The distinct counts and quantiles.
    """
    values = values_of(parts)
    counted = f"counted_{fact.name}"
    tables = _counted(lattice, fact, own, where, counted, values, parts)
    keys = {key: key for key in own}
    distinct = [part for part in parts if part.function == "distinct"]
    branches = []
    if distinct:
        columns = keys | {part.name: count_where(_met(lattice, part, values)) for part in distinct}
        branches.append(Select(columns, counted, grouped=True))
    by = ", ".join(keys)
    quantiles: dict[str, list[Part]] = {}
    for part in parts:
        if part.function == "quantile":
            quantiles.setdefault(_met(lattice, part, values), []).append(part)
    for met, alike in quantiles.items():
        ordered = f"ordered_{alike[0].name}"
        value, tally = values[alike[0].of], lattice.tally(alike[0])
        columns = keys | {
            "value": value,
            "upto": f"sum({tally}) OVER (PARTITION BY {by} ORDER BY {value})",
            "total": f"sum({tally}) OVER (PARTITION BY {by})",
        }
        tables[ordered] = ([], indented(Select(columns, counted, where=met).text()))
        columns = keys | {part.name: f"min(value) FILTER (WHERE upto >= {part.q} * total)" for part in alike}
        branches.append(Select(columns, ordered, grouped=True))
    body = "\n  UNION ALL BY NAME\n".join(branch.text("  ") for branch in branches)
    if len(branches) > 1:
        columns = keys | {part.name: f"max({part.name})" for part in parts}
        body = indented(Select(columns, f"(\n{body}\n)", grouped=True).text())
    tables[name] = ([], body)
    return tables


def values_of(parts: Sequence[Part]) -> dict[str, str]:
    """The column with the values of each counted expression, named after the first part that counts them."""
    values: dict[str, str] = {}
    for part in parts:
        values.setdefault(part.of, f"value_of_{part.name}")
    return values


def _counted(
    lattice: Lattice,
    fact: Fact,
    own: Mapping[str, str],
    where: str,
    name: str,
    values: Mapping[str, str],
    parts: list[Part],
) -> Tables:
    """Common tables that count the rows with each value."""
    needed = [part for part in parts if part.where or part.function == "quantile"]
    conditions = {lattice.tally(part): part.where for part in needed}
    valued = f"valued_{fact.name}"
    columns = dict(own) | {column: of for of, column in values.items()}
    columns |= {f"in_{tally}": condition for tally, condition in conditions.items() if condition}
    rows = Select(columns, fact.table, where=where)
    keys = {key: key for key in own}
    columns = keys | {column: column for column in values.values()}
    columns |= {tally: count_where(f"in_{tally}") if condition else "count(*)" for tally, condition in conditions.items()}
    sets = [(*own, column) for column in values.values()]
    return {
        valued: ([f"{fact.table}: the rows themselves, once, for distinct counts and quantiles."], indented(rows.text())),
        name: (["How many rows have each value."], indented(Select(columns, valued, sets=sets).text())),
    }


def _met(lattice: Lattice, part: Part, values: Mapping[str, str]) -> str:
    """The condition for rows of multisets that hold a value which a distinct count or quantile counts."""
    tested = f" AND {lattice.tally(part)} > 0" if part.where else ""
    return f"{values[part.of]} IS NOT NULL{tested}"
