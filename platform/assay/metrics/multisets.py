"""Multisets: the values that a fact has in each period and how often, from which distinct counts and quantiles are computed.

Belongs here: the SQL that counts values, and the SQL of distinct counts and quantiles over them. Does not belong here: when they
are used (`compiler`).

They are common tables of the mart that needs them, and stored nowhere: a month of a merchant or a category has about as many
different customers as payments, so that storing and reading values took several times as long as reading the payments.

All values are counted in one pass, by grouping sets: each row is one value of one expression (a customer, an amount) for one
member of the entity and period, with the number of rows that have it, in total and under each condition of a distinct count or
quantile. Unlike DISTINCT and quantile_disc, that needs no more memory than there is: DuckDB writes what does not fit to disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        tables = self._counted()
        branches = []
        if any(part.function == "distinct" for part in self.parts):
            branches.append(self._distinct())
        for met, alike in self._quantiles().items():
            ordered = f"ordered_{alike[0].name}"
            tables[ordered] = ([], indented(self._ordered(met, alike[0]).text()))
            columns = self._keys | {part.name: f"min(value) FILTER (WHERE upto >= {part.q} * total)" for part in alike}
            branches.append(Select(columns, ordered, grouped=True))
        tables[name] = ([], side_by_side(branches, self._keys, (part.name for part in self.parts)))
        return tables

    @property
    def _keys(self) -> dict[str, str]:
        return {key: key for key in self.own}

    @property
    def _values(self) -> dict[str, str]:
        return values_of(self.parts)

    @property
    def _conditions(self) -> dict[str, Part]:
        """The first part with each condition; the condition is named after it."""
        found: dict[str, Part] = {}
        for part in self.parts:
            if part.where:
                found.setdefault(part.condition, part)
        return found

    @property
    def _counted_name(self) -> str:
        return f"counted_{self.fact.name}"

    def _counted(self) -> Tables:
        """Common tables that count the rows with each value."""
        values, conditions = self._values, self._conditions.values()
        valued = f"valued_{self.fact.name}"
        columns = dict(self.own) | {column: of for of, column in values.items()}
        columns |= {f"is_{part.name}": part.where for part in conditions}
        rows = Select(columns, self.fact.table, where=self.where)
        columns = self._keys | {column: column for column in values.values()} | {"row_count": "count(*)"}
        columns |= {f"{part.name}_rows": count_where(f"is_{part.name}") for part in conditions}
        sets = [(*self.own, column) for column in values.values()]
        said = f"{self.fact.table}: the rows themselves, once, for distinct counts and quantiles."
        return {
            valued: ([said], indented(rows.text())),
            self._counted_name: (["How many rows have each value."], indented(Select(columns, valued, sets=sets).text())),
        }

    def _distinct(self) -> Select:
        distinct = [part for part in self.parts if part.function == "distinct"]
        columns = self._keys | {part.name: count_where(self._met(part)) for part in distinct}
        return Select(columns, self._counted_name, grouped=True)

    def _quantiles(self) -> dict[str, list[Part]]:
        """The quantiles of the same values, by the condition for these."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            if part.function == "quantile":
                found.setdefault(self._met(part), []).append(part)
        return found

    def _ordered(self, met: str, part: Part) -> Select:
        """Values in order, with the number of rows up to each."""
        value, rows, by = self._values[part.of], self._rows(part), ", ".join(self.own)
        columns = self._keys | {
            "value": value,
            "upto": f"sum({rows}) OVER (PARTITION BY {by} ORDER BY {value})",
            "total": f"sum({rows}) OVER (PARTITION BY {by})",
        }
        return Select(columns, self._counted_name, where=met)

    def _met(self, part: Part) -> str:
        """The condition for multisets' rows with a value that a part counts."""
        tested = f" AND {self._rows(part)} > 0" if part.where else ""
        return f"{self._values[part.of]} IS NOT NULL{tested}"

    def _rows(self, part: Part) -> str:
        """The column with the number of rows that have a value and meet the condition of a part."""
        return f"{self._conditions[part.condition].name}_rows" if part.where else "row_count"


def values_of(parts: Sequence[Part]) -> dict[str, str]:
    """The column with the values of each counted expression, named after the first part that counts them."""
    values: dict[str, str] = {}
    for part in parts:
        values.setdefault(part.of, f"value_of_{part.name}")
    return values


def side_by_side(branches: Sequence[Select], keys: Mapping[str, str], names: Iterable[str]) -> str:
    """SELECTs of different columns by the same key as one, indented as the body of a common table."""
    body = "\n  UNION ALL BY NAME\n".join(branch.text("  ") for branch in branches)
    if len(branches) == 1:
        return body
    columns = dict(keys) | {name: f"max({name})" for name in names}
    return indented(Select(columns, f"(\n{body}\n)", grouped=True).text())
