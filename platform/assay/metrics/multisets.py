"""Multisets: the values that a fact has in each period and how often, from which distinct counts and quantiles are computed.

Belongs here: the SQL that counts values, and the SQL of distinct counts and quantiles over them. Does not belong here: when they
are used (`compiler`).

They are common tables of the mart that needs them, and stored nowhere: a month of a merchant or a category has about as many
different customers as payments, so that storing and reading values took several times as long as reading the payments.

Each row is one value of one expression (a customer, an amount) for one member of the entity and period, with the number of rows
that have it, in total or under the conditions of distinct counts and quantiles. Unlike DISTINCT and quantile_disc, that needs no
more memory than there is: DuckDB writes what does not fit to disk. Each expression is counted in a pass of its own: counting all
of them in one, by grouping sets, makes DuckDB keep the values of all until each has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.metrics.declarations import Fact
from assay.metrics.parts import Part, count_where
from assay.metrics.text import Select, indented

Tables = dict[str, tuple[list[str], str]]
"""Common tables by name: comments and SQL."""


@dataclass(frozen=True)
class Multisets:
    """The values of a fact that distinct counts and quantiles of one mart need.

    Attributes:
        fact: The fact.
        own: SQL of the mart's key columns in the fact.
        where: Condition on the rows that are counted; empty for all.
        parts: The distinct counts and quantiles.
    """

    fact: Fact
    own: Mapping[str, str]
    where: str
    parts: Sequence[Part]

    def unfolded(self, name: str) -> Tables:
        """Common tables that compute the parts, by the mart's key; the last of them has the given name."""
        tables: Tables = {}
        branches = []
        for of, alike in _by(self.parts, lambda part: part.of).items():
            counted = f"counted_{alike[0].name}"
            rows = {condition: f"{those[0].name}_rows" for condition, those in _by(alike, lambda part: part.condition).items()}
            tables[counted] = ([f"{self.fact.table}: how many rows have each value."], indented(self._counted(of, alike, rows)))
            distinct = [part for part in alike if part.function == "distinct"]
            if distinct:
                columns = {part.name: count_where(f"{rows[part.condition]} > 0") for part in distinct}
                branches.append(Select(self._keys | columns, counted, grouped=True))
            quantiles = [part for part in alike if part.function == "quantile"]
            for condition, those in _by(quantiles, lambda part: part.condition).items():
                ordered = f"ordered_{those[0].name}"
                tables[ordered] = ([], indented(self._ordered(counted, rows[condition])))
                columns = {part.name: f"min(value) FILTER (WHERE upto >= {part.q} * total)" for part in those}
                branches.append(Select(self._keys | columns, ordered, grouped=True))
        tables[name] = ([], side_by_side(branches, self._keys, (part.name for part in self.parts)))
        return tables

    @property
    def _keys(self) -> dict[str, str]:
        return {key: key for key in self.own}

    def _counted(self, of: str, parts: Iterable[Part], rows: Mapping[str, str]) -> str:
        """The values of an expression, with the number of rows under each condition."""
        counts = {rows[part.condition]: count_where(part.where) if part.where else "count(*)" for part in parts}
        where = " AND ".join(filter(None, (self.where, f"{of} IS NOT NULL")))
        return Select(dict(self.own) | {"value": of} | counts, self.fact.table, where=where, grouped=True).text()

    def _ordered(self, counted: str, rows: str) -> str:
        """Values in order, with the number of rows up to each."""
        by = ", ".join(self.own)
        columns = self._keys | {
            "value": "value",
            "upto": f"sum({rows}) OVER (PARTITION BY {by} ORDER BY value)",
            "total": f"sum({rows}) OVER (PARTITION BY {by})",
        }
        return Select(columns, counted, where=f"{rows} > 0").text()


def _by(parts: Iterable[Part], said: Callable[[Part], str]) -> dict[str, list[Part]]:
    """Parts by what is said of each."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(said(part), []).append(part)
    return found


def side_by_side(branches: Sequence[Select], keys: Mapping[str, str], names: Iterable[str]) -> str:
    """SELECTs of different columns by the same key as one, indented as the body of a common table."""
    body = "\n  UNION ALL BY NAME\n".join(branch.text("  ") for branch in branches)
    if len(branches) == 1:
        return body
    columns = dict(keys) | {name: f"max({name})" for name in names}
    return indented(Select(columns, f"(\n{body}\n)", grouped=True).text())
