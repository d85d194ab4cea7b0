"""A domain: one business's sources and tables, loaded from a package of declarations.

Belongs here: collecting what a domain declares and finding it by name. Does not belong here: any specific domain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol

from assay.contracts.calendar import Holidays
from assay.contracts.control import Control, check_control
from assay.contracts.generated import Generated, Metrics
from assay.contracts.model import Contract
from assay.contracts.modules import NoSuchModule, import_module, modules_of
from assay.contracts.monitoring import MonitoringRule
from assay.contracts.source import Source
from assay.contracts.table import DECLARATION, Table
from assay.errors import ContractError, SettingsError
from assay.nearest import suggestion


class DemoFile(Protocol):
    """One file that a domain's demo produced: a landing file, or one of a control."""

    @property
    def source(self) -> str | None:
        """The source it is for; None for a control file."""
        ...

    @property
    def name(self) -> str:
        """Its key below the source's landing prefix, or below `controls/`."""
        ...

    @property
    def path(self) -> Path:
        """Where it is now; the caller lands and deletes it."""
        ...

    @property
    def records(self) -> int:
        """How many records it holds."""
        ...


Demo = Callable[..., Generator[DemoFile, None, None]]
"""`demo(folder, days=…, transactions_per_day=…, seed=…)`: writes files below a folder, yields each when it is complete.

A caller that stops early closes the generator, and may then remove the folder.
"""


class LiveSystem(Protocol):
    """A database with a running business, whose changes are captured as they happen."""

    @property
    def prefix(self) -> str:
        """Topic prefix: the first part of its topic names."""
        ...

    @property
    def tables(self) -> Mapping[str, str]:
        """Source name by captured table, as in `{"public.orders": "orders"}`."""
        ...

    @property
    def watched(self) -> Sequence[str]:
        """Full names of the enriched tables and marts whose delay is measured."""
        ...

    @property
    def totals(self) -> Mapping[str, tuple[str, str]]:
        """By name of a table built from the changes: a query over the database and one over the lake with the same result."""
        ...

    def create(self, dsn: str) -> None:
        """Create the tables and their first rows in a PostgreSQL database; existing tables and rows are kept."""
        ...

    def files(self, folder: Path) -> Iterator[DemoFile]:
        """Write the landing files of its other systems below a folder, yielding each when it is complete."""
        ...

    def run(self, dsn: str, rate: float, stopping: threading.Event) -> int:
        """Do business until `stopping` is set, at `rate` row changes a second.

        Returns:
            How many row changes were committed.
        """
        ...

    def migrate(self, dsn: str) -> None:
        """Change the tables' columns while business goes on; doing it again changes nothing."""
        ...


@dataclass(frozen=True)
class Domain:
    """What one business declares.

    Attributes:
        name: The domain's name.
        contracts: The package or module that holds its contracts.
        sql: The folder with `enriched/` and `marts/`.
        start: First day that a daily table may have.
        demo: Produces landing files of a simulated business, if the domain has one.
        showcase: A query whose result shows the domain at a glance.
        live: Makes the system whose changes `assay demo --live` captures, if the domain has one.
        holidays: Holidays by region, under the region names found in tables that are watched `by` region.
        controls: Totals from other systems that tables are reconciled with.
        metrics: The package of its metrics, with a `METRICS` object, if it declares any.
        histories: By subject, as in `customer`: the SCD2 tables that hold its state over time.
        monitoring: The monitoring rules: what is looked for in the tables, and which tables hold the findings.
    """

    name: str
    contracts: str
    sql: Path
    start: date
    demo: Demo | None = None
    showcase: str | None = None
    live: Callable[[], LiveSystem] | None = None
    holidays: Mapping[str, Holidays] = field(default_factory=dict, hash=False)
    controls: tuple[Control, ...] = ()
    metrics: str | None = None
    histories: Mapping[str, str] = field(default_factory=dict, hash=False)
    monitoring: tuple[MonitoringRule, ...] = ()

    @property
    def sources(self) -> Mapping[str, Source]:
        """The raw sources by name."""
        return _declared(self.contracts)[0]

    @property
    def tables(self) -> Mapping[str, Table]:
        """The enriched tables and marts by full name, including the generated ones."""
        return _tables(self.contracts, self.metrics)

    @property
    def written_tables(self) -> Mapping[str, Table]:
        """The tables whose contract and SQL are written by hand, by full name."""
        return _declared(self.contracts)[1]

    def check_controls(self) -> None:
        """Check the controls against the tables.

        Raises:
            ContractError: A control is declared wrongly, or two have the same name.
        """
        names = [control.name for control in self.controls]
        for control in self.controls:
            if names.count(control.name) > 1:
                raise ContractError(f"two controls are called {control.name}", hint="rename one of them")
            check_control(control, self.tables)

    @property
    def generated(self) -> Mapping[str, Generated]:
        """The tables that are generated from declared metrics, by full name."""
        return _generated(self.contracts, self.metrics)

    def find(self, name: str) -> Source | Table:
        """Find a table or source by `layer.name`, or by its bare name where that is unambiguous.

        Raises:
            SettingsError: There is no such table, or several tables have that bare name.
        """
        every: dict[str, Source | Table] = {source.full_name: source for source in self.sources.values()}
        every |= self.tables
        if name in every:
            return every[name]
        matches = [full for full in every if full.split(".", 1)[1] == name and not full.startswith("raw.")]
        matches = matches or [full for full in every if full.split(".", 1)[1] == name]
        if len(matches) == 1:
            return every[matches[0]]
        if matches:
            raise SettingsError(f"{name} means {' and '.join(sorted(matches))}.", hint="Name the layer too.")
        raise SettingsError(
            f"The domain {self.name} has no table {name}.", hint=suggestion(name, every, "`assay tables` lists them.")
        )

    def find_source(self, name: str) -> Source:
        """Find a source by its name, with or without `raw.`.

        Raises:
            SettingsError: There is no such source.
        """
        bare = name.removeprefix("raw.")
        if bare not in self.sources:
            raise SettingsError(
                f"There is no source {bare}.", hint=suggestion(bare, self.sources, "`assay tables` lists them, as raw.….")
            )
        return self.sources[bare]


def load_domain(module: str) -> Domain:
    """Import a domain's package and return its `DOMAIN`.

    Args:
        module: Import name, as in `payments`.

    Raises:
        SettingsError: There is no such module, or it has no `DOMAIN`.
        ContractError: The module cannot be imported; the message names file and line.
    """
    try:
        loaded = import_module(module)
    except NoSuchModule as error:
        raise SettingsError(
            f"the domain {module} cannot be imported ({error})",
            hint="set ASSAY_DOMAIN to an importable module that has a DOMAIN, or leave it unset for payments",
        ) from error
    domain = getattr(loaded, "DOMAIN", None)
    if not isinstance(domain, Domain):
        raise SettingsError(
            f"{module} has no DOMAIN", hint="define DOMAIN = Domain(...) there, or set ASSAY_DOMAIN to one that has"
        )
    return domain


@cache
def _tables(contracts: str, metrics: str | None) -> Mapping[str, Table]:
    written = _declared(contracts)[1]
    generated = {name: each.table for name, each in _generated(contracts, metrics).items()}
    twice = sorted(written.keys() & generated.keys())
    if twice:
        raise ContractError(
            f"{twice[0]} is declared in {written[twice[0]].model.__module__} and generated from {metrics}",
            hint="rename the one that is written by hand",
        )
    return {**written, **generated}


@cache
def _generated(contracts: str, metrics: str | None) -> Mapping[str, Generated]:
    """The tables that a package of metrics generates, by name."""
    if metrics is None:
        return {}
    found: Metrics | None = getattr(import_module(metrics), "METRICS", None)
    if found is None:
        raise ContractError(f"{metrics} has no METRICS", hint="define METRICS = DeclaredMetrics(__name__) there")
    return found.marts(_declared(contracts)[1])


@cache
def _declared(contracts: str) -> tuple[Mapping[str, Source], Mapping[str, Table]]:
    """The sources and tables that a package of contracts declares, by name."""
    sources: dict[str, Source] = {}
    tables: dict[str, Table] = {}
    for module in modules_of(contracts):
        for declared in _declarations(module):
            before = sources.get(declared.name) if isinstance(declared, Source) else tables.get(declared.full_name)
            if before is not None:
                raise ContractError(
                    f"{declared.full_name} is declared twice: {before.model.__module__} and {module.__name__}",
                    hint="rename one of them",
                )
            if isinstance(declared, Source):
                sources[declared.name] = declared
            else:
                tables[declared.full_name] = declared
    return sources, tables


def _declarations(module: ModuleType) -> Iterator[Source | Table]:
    for value in vars(module).values():
        is_own = isinstance(value, type) and issubclass(value, Contract) and value.__module__ == module.__name__
        if is_own and DECLARATION in vars(value):
            yield vars(value)[DECLARATION]
