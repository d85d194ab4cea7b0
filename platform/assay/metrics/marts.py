"""Marts: generated tables with the contract, books and lineage of ordinary ones.

Belongs here: columns with descriptions and units, the few rules that generated numbers need, and the balance of their books. Does
not belong here: their SQL (`compiler`, `trends`).

There are few rules: the numbers follow from the declarations, and tests check them against an independent computation. Each
partition's proof covers what data can break: keys, negative counts, totals that do not add up, rows lost on the way.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

from assay.contracts import (
    Balance,
    Cadence,
    Daily,
    Domain,
    Generated,
    Monthly,
    Partitioning,
    Severity,
    Table,
    Weekly,
    Window,
    Yearly,
)
from assay.contracts.columns import ColumnSpec, column_specs
from assay.contracts.generated import generated_contract
from assay.contracts.model import Published
from assay.contracts.rules import Rule
from assay.contracts.version import fingerprint
from assay.errors import SettingsError
from assay.metrics.catalog import Catalog, read_catalog
from assay.metrics.compiler import Compiled, compile_mart, has_span, heading, ordered, starts_at_zero
from assay.metrics.declarations import Calendar, Fact, LocalFact
from assay.metrics.grains import Grain
from assay.metrics.kinds import Metric
from assay.metrics.lattice import Lattice, Mart
from assay.metrics.parts import Part
from assay.metrics.resolving import Resolved
from assay.metrics.text import without_comments
from assay.metrics.trends import compile_trend

_PARTITIONINGS: Mapping[Grain, Callable[[str], Partitioning]] = {
    Grain.HOUR: Daily,
    Grain.DAY: Daily,
    Grain.WEEK: Weekly,
    Grain.MONTH: Monthly,
    Grain.YEAR: Yearly,
}
_PERIODS = {
    Grain.HOUR: "The day",
    Grain.DAY: "The day",
    Grain.WEEK: "First day of the week, which begins on Monday (ISO 8601)",
    Grain.MONTH: "First day of the month",
    Grain.YEAR: "First day of the year",
}
# Distinct counts and quantiles are regrouped over their whole period whenever a day of it changes: for a day that is little
# work every hour, for a year it takes longer than an hour.
_CADENCES = {
    Grain.HOUR: Cadence.HOURLY,
    Grain.DAY: Cadence.HOURLY,
    Grain.WEEK: Cadence.DAILY,
    Grain.MONTH: Cadence.DAILY,
    Grain.YEAR: Cadence.DAILY,
}


class DeclaredMetrics:
    """The metrics that a package declares, and their marts.

    Args:
        package: Its import name.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._lattice: Lattice | None = None

    def lattice(self, tables: Mapping[str, Table]) -> Lattice:
        """The lattice of the package's metrics.

        Args:
            tables: The handwritten tables of the domain.

        Raises:
            MetricError: A declaration is wrong.
        """
        if self._lattice is None:
            self._lattice = Lattice(read_catalog(self._package, tables))
        return self._lattice

    def marts(self, tables: Mapping[str, Table]) -> dict[str, Generated]:
        """Every generated table by full name."""
        path = Path(str(importlib.import_module(self._package).__file__))
        return generate(self.lattice(tables), self._package, path)


def lattice_of(domain: Domain) -> Lattice:
    """The metrics of a domain and their marts.

    Raises:
        SettingsError: The domain declares no metrics.
    """
    if domain.metrics is None:
        raise SettingsError(
            f"The domain {domain.name} declares no metrics.", hint="Give its Domain metrics=…, a package of them."
        )
    declared: DeclaredMetrics = importlib.import_module(domain.metrics).METRICS
    return declared.lattice(domain.written_tables)


def generate(lattice: Lattice, module: str, path: Path) -> dict[str, Generated]:
    """Make every table needed for a catalog's metrics.

    Args:
        lattice: The lattice.
        module: Import name of the declarations.
        path: Their file.
    """
    factory = _Factory(lattice, module, path)
    made = [factory.mart(mart) for mart in lattice.marts]
    made += [factory.trend(mart) for mart in lattice.marts if lattice.trends(mart)]
    return {each.table.full_name: each for each in made}


class _Factory:
    def __init__(self, lattice: Lattice, module: str, path: Path) -> None:
        self._lattice = lattice
        self._catalog: Catalog = lattice.catalog
        self._module = module
        self._path = path
        self._specs: dict[tuple[str, bool], ColumnSpec] = {}

    @cached_property
    def _published(self) -> tuple[ColumnSpec, ...]:
        return column_specs(Published)

    def mart(self, mart: Mart) -> Generated:
        """The mart of one entity and grain."""
        metrics = ordered(self._lattice.metrics(mart))
        parts = self._lattice.stored(mart)
        columns = [*self._key_columns(mart), *self._span_columns(mart)]
        columns += [ColumnSpec(each.name, "VARCHAR", True, each.description, None, None) for each in mart.entity.attributes]
        columns += [self._metric_column(metric) for metric in metrics]
        names = {spec.name for spec in columns}
        columns += [self._part_column(part) for part in parts if part.name not in names]
        return self._table(
            mart,
            mart.name,
            f"{heading(mart)} Every metric that follows from the period alone.",
            columns,
            rules=self._rules(mart.key, [part.name for part in parts if _is_count(part)], names),
            balance=self._balance(mart),
            compiled=compile_mart(self._lattice, mart),
            windows=self._windows(mart),
        )

    def trend(self, mart: Mart) -> Generated:
        """The mart of metrics over other periods."""
        found = compile_trend(self._lattice, mart)
        columns = [*self._key_columns(mart), *self._span_columns(mart)]
        columns += [self._metric_column(metric) for metric in self._lattice.trends(mart)]
        return self._table(
            mart,
            f"{mart.name}_trend",
            f"{heading(mart)} Every metric that depends on other periods.",
            columns,
            rules=self._rules(mart.key, (), set()),
            balance=Balance(inputs=(mart.full_name,)),
            compiled=found.compiled,
            windows=found.windows,
        )

    def _windows(self, mart: Mart) -> dict[str, Window]:
        """What a mart reads of facts by a calendar, beside their days of its own name."""
        origins = (self._lattice.parent(mart, part).origin for part in self._lattice.stored(mart))
        return {origin.table: origin.window for origin in origins if isinstance(origin, LocalFact)}

    def _table(
        self,
        mart: Mart,
        name: str,
        description: str,
        columns: list[ColumnSpec],
        *,
        rules: tuple[Rule, ...],
        balance: Balance,
        compiled: Compiled,
        windows: Mapping[str, Window],
    ) -> Generated:
        class_name = "".join(word.capitalize() for word in name.split("_"))
        model = generated_contract(class_name, self._module, description, (*columns, *self._published), rules)
        owner = next(iter(self._lattice.of_entity[mart.entity.name])).owner
        table = Table(
            layer="marts",
            name=name,
            model=model,
            key=mart.key,
            partition=_partitioning(mart.grain),
            owner=owner,
            subject=f"metrics_{mart.entity.name}",
            windows=windows,
            balance=balance,
            watch=False,
            cadence=_CADENCES[mart.grain],
            is_local=mart.calendar is not None,
        )
        canonical = fingerprint(without_comments(compiled.sql))
        return Generated(table, compiled.sql, self._path, compiled.reads, compiled.lineage, canonical)

    # --- Columns -----------------------------------------------------------------------------------------------------

    def _key_columns(self, mart: Mart) -> list[ColumnSpec]:
        entity = mart.entity
        columns = [ColumnSpec(name, "VARCHAR", False, entity.description, None, entity.pii) for name in entity.keys]
        columns.append(ColumnSpec(mart.grain.period_column, "DATE", False, _period(mart.grain, mart.calendar), None, None))
        if mart.grain is Grain.HOUR:
            columns.append(ColumnSpec("hour", "INTEGER", False, "The hour, 0 to 23, UTC", None, None))
        return columns

    def _span_columns(self, mart: Mart) -> list[ColumnSpec]:
        if not has_span(mart):
            return []
        newest = f"Newest day of the {mart.grain} with any data, whatever the {mart.entity.name}"
        partial = f"Whether data of the last day of the {mart.grain} are still missing"
        if mart.calendar is not None:
            newest = f"Newest UTC day of which there are any data, up to the one after the {mart.grain}"
            partial = f"Whether there are no data yet of the UTC day after the {mart.grain}, on which it ends somewhere"
        return [
            ColumnSpec("newest_day", "DATE", False, newest, None, None),
            ColumnSpec("is_partial", "BOOLEAN", False, partial, None, None),
        ]

    def _metric_column(self, metric: Resolved) -> ColumnSpec:
        declared: Metric = metric.metric
        stored = self._catalog.parts.get(metric.name)
        nullable = not (stored is not None and starts_at_zero(stored))
        key = metric.name, nullable
        if key not in self._specs:
            text = f"{declared.title}: {declared.meaning} [{declared.formula}]"
            self._specs[key] = ColumnSpec(metric.name, metric.sql_type, nullable, text, metric.unit, None)
        return self._specs[key]

    def _part_column(self, part: Part) -> ColumnSpec:
        key = part.name, not starts_at_zero(part)
        if key not in self._specs:
            text = f"Stored for {part.metric}" if part.metric else f"Rows of {part.fact}: a control total"
            self._specs[key] = ColumnSpec(part.name, part.sql_type, key[1], f"{text} [{part.aggregate()}]", None, None)
        return self._specs[key]

    # --- Rules and books ---------------------------------------------------------------------------------------------

    def _rules(self, key: Iterable[str], counts: Iterable[str], metrics: set[str]) -> tuple[Rule, ...]:
        keys = tuple(key)
        present = " AND ".join(f'"{name}" IS NOT NULL' for name in keys)
        rules = [Rule("key_required", present, Severity.STOP, keys, f"{', '.join(keys)} must be there")]
        names = tuple(counts)
        if names:
            least = names[0] if len(names) == 1 else f"least({', '.join(names)})"
            rules.append(Rule("counts_not_negative", f"{least} >= 0", Severity.STOP, names[:1], "no count is below zero"))
        for group in self._catalog.groups.values():
            for total, addends in group.adds_up.items():
                if {total, *addends} <= metrics:
                    rules.append(
                        Rule(
                            f"{total}_adds_up",
                            f"{total} = {' + '.join(addends)}",
                            Severity.STOP,
                            (total, *addends),
                            f"{total} is all of {', '.join(addends)}",
                        )
                    )
        return tuple(rules)

    def _balance(self, mart: Mart) -> Balance:
        """How the books are closed: in rows and in the total of every fact, as whatever the mart is computed from has them."""
        rows, totals = self._catalog.rows_parts, self._catalog.total_parts
        counted, added = self._read_for(mart, rows), self._read_for(mart, totals)
        inputs = tuple(dict.fromkeys([*counted, *added]))
        money = [part.name for part in self._lattice.stored(mart) if part in totals.values()]
        return Balance(
            inputs=inputs,
            rows=" + ".join(part.name for part in self._lattice.stored(mart) if part in rows.values()),
            input_rows={relation: f"coalesce(sum({' + '.join(counted.get(relation, ['0']))}), 0)" for relation in inputs},
            money_in={relation: " + ".join(added.get(relation, ["0"])) for relation in inputs},
            money_out=" + ".join(money) or None,
        )

    def _read_for(self, mart: Mart, closing: Mapping[str, Part]) -> dict[str, list[str]]:
        """By relation that a mart reads, what one of its rows adds to the parts that close the mart's books."""
        found: dict[str, list[str]] = {}
        for part in self._lattice.stored(mart):
            if closing.get(part.fact) == part:
                parent = self._lattice.parent(mart, part).origin
                if isinstance(parent, Fact):
                    found.setdefault(parent.table, []).append(part.of or "1")
                else:
                    found.setdefault(parent.full_name, []).append(part.name)
        return found


def _period(grain: Grain, calendar: Calendar | None) -> str:
    return f"{_PERIODS[grain]}, UTC" if calendar is None else f"{_PERIODS[grain]}, by {calendar.title} days: {calendar.meaning}"


def _is_count(part: Part) -> bool:
    return part.sql_type == "BIGINT" and part.function in ("count", "distinct")


def _partitioning(grain: Grain) -> Partitioning:
    return _PARTITIONINGS[grain](grain.period_column)
