"""Probing: the expressions of facts and metrics, bound by DuckDB against the fact's contract before anything runs.

Belongs here: finding the type of each part, and the field with invalid SQL. Does not belong here: parsing SQL by hand, data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import duckdb

from assay.contracts import Table
from assay.contracts.rules import quote
from assay.engine.purity import why_impure
from assay.metrics.declarations import Fact
from assay.metrics.exact import MONEY_PLACES, scale_of
from assay.metrics.kinds import Conversion, Metric
from assay.metrics.parts import Part, count_where

_WHOLE_NUMBERS = ("HUGEINT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT")


class Prober:
    """An empty copy of the facts, against which expressions are bound.

    Args:
        facts: The facts.
        tables: The contracts of their relations, by name.
    """

    def __init__(self, facts: Mapping[str, Fact], tables: Mapping[str, Table]) -> None:
        self._connection = duckdb.connect(config={"autoload_known_extensions": False, "autoinstall_known_extensions": False})
        self._connection.execute("SET TimeZone = 'UTC'")
        for fact in facts.values():
            columns = ", ".join(f"{quote(name)} {kind}" for name, kind in tables[fact.table].types.items())
            self._connection.execute(f"CREATE TABLE {quote(fact.name)} ({columns})")

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *raised: object) -> None:
        self._connection.close()

    def types(self, fact: Fact, expressions: Sequence[str]) -> list[str]:
        """The types of expressions over the rows of a fact, or over all of them.

        Raises:
            duckdb.Error: One does not bind.
        """
        if not expressions:
            return []
        listed = ", ".join(f"({expression}) AS c{place}" for place, expression in enumerate(expressions))
        return [str(row[1]) for row in self._connection.execute(f"DESCRIBE SELECT {listed} FROM {quote(fact.name)}").fetchall()]

    def type_parts(
        self, fact: Fact, parts: Sequence[tuple[Metric, Part]], conditions: Sequence[tuple[Metric, str, str]]
    ) -> list[Part]:
        """Determine the types of a fact's parts, all in one query.

        Args:
            fact: The fact.
            parts: The parts, each with the metric that declares it.
            conditions: The conditions on rows, each with its metric and field.

        Raises:
            MetricError: An expression does not bind, or has a type that its metric does not support.
        """
        for metric, attribute, test in conditions:
            _require_pure(metric, attribute, test)
        for metric, part in parts:
            _require_pure(metric, "of", part.of)
        try:
            kinds = self.types(fact, [part.aggregate() for _, part in parts])
            tests = self.types(fact, [test for _, _, test in conditions])
        except duckdb.Error:
            self._blame(fact, parts, conditions)
            raise
        for (metric, attribute, test), kind in zip(conditions, tests, strict=True):
            if kind != "BOOLEAN":
                raise metric.place.error(metric.name, attribute, f"{test} is {kind}, but must be true or false")
        return [self._typed(metric, part, kind) for (metric, part), kind in zip(parts, kinds, strict=True)]

    def require_names(self, metrics: Iterable[Metric]) -> None:
        """Require that the names of metrics can be names of columns in SQL.

        Raises:
            MetricError: A name is a reserved word.
        """
        kinds = "('reserved', 'type_function')"
        found = self._connection.execute(
            f"SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN {kinds}"
        ).fetchall()
        reserved = {str(name) for (name,) in found}
        for metric in metrics:
            if metric.name in reserved:
                raise metric.place.error(metric.name, "name", f"{metric.name} is a word of SQL", "Rename it.")

    def _blame(self, fact: Fact, parts: Sequence[tuple[Metric, Part]], conditions: Sequence[tuple[Metric, str, str]]) -> None:
        """Find the field whose expression does not bind."""
        for metric, attribute, test in conditions:
            self._try(fact, metric, attribute, test, test)
            self._try(fact, metric, attribute, test, count_where(test))
        for metric, part in parts:
            if part.of:
                self._try(fact, metric, "of", part.of, part.of)
                self._try(fact, metric, "of", part.of, replace(part, where="").aggregate())

    def _try(self, fact: Fact, metric: Metric, attribute: str, written: str, expression: str) -> None:
        try:
            self.types(fact, [expression])
        except duckdb.Error as error:
            said = re.sub(r"^\w+ Error: ", "", str(error).splitlines()[0]).rstrip()
            raise metric.place.error(metric.name, attribute, f"{written} cannot be computed from {fact.table}: {said}") from error

    def _typed(self, metric: Metric, part: Part, kind: str) -> Part:
        if part.function in ("count", "distinct"):
            return replace(part, sql_type="BIGINT")
        if part.function == "sum":
            if kind in _WHOLE_NUMBERS:
                return replace(part, sql_type="BIGINT")
            scale = scale_of(kind)
            if scale is None or scale > MONEY_PLACES:
                raise metric.place.error(
                    metric.name,
                    "of",
                    f"the sum of {part.of} is {kind}, which is not an exact number of at most {MONEY_PLACES} decimals",
                    "Cast it, as in CAST(score AS DECIMAL(9,4)).",
                )
            return replace(part, sql_type=f"DECIMAL(38,{scale})")
        return replace(part, sql_type=kind)


def _require_pure(declared: Metric | Fact, attribute: str, expression: str) -> None:
    """Require that an expression says the same of a row whenever it is computed.

    Raises:
        MetricError: It does not.
    """
    if why := _why_impure(expression):
        raise declared.place.error(declared.name, attribute, f"{expression}: {why}", "Use columns of the fact only.")


@cache
def _why_impure(expression: str) -> str:
    """As `why_impure`, once for each of the conditions that many metrics share."""
    return why_impure(expression)


def conditions_of(metric: Metric) -> list[tuple[str, str]]:
    """The conditions on rows that a metric declares, by field."""
    found = [("where", getattr(metric, "where", ""))]
    if isinstance(metric, Conversion):
        found.append(("reached", metric.reached))
    return [(attribute, test) for attribute, test in found if test]


def require_fact(prober: Prober, fact: Fact, columns: Mapping[str, str]) -> None:
    """Check a fact against the contract of its relation.

    Raises:
        MetricError: A column is missing, or an expression does not bind.
    """
    times = {"day": [fact.day], "at": [fact.at]} if fact.is_dated else {}
    for attribute, names in {**times, "money": list(fact.money)}.items():
        for name in names:
            if name not in columns:
                raise fact.place.error(fact.name, attribute, f"{fact.table} has no column {name}")
    if fact.is_dated and not columns[fact.at].startswith("TIMESTAMP"):
        raise fact.place.error(fact.name, "at", f"{fact.at} is {columns[fact.at]}, but must be a timestamp")
    for entity, key in fact.keys.items():
        _require_pure(fact, f"keys[{entity}]", key)
        try:
            (kind,) = prober.types(fact, [key])
        except duckdb.Error as error:
            raise fact.place.error(fact.name, f"keys[{entity}]", f"{key} does not bind: {str(error).splitlines()[0]}") from error
        if kind != "VARCHAR":
            raise fact.place.error(fact.name, f"keys[{entity}]", f"{key} is {kind}, but a key must be text")
