"""Tables that are generated from declarations instead of written: contract, SQL and lineage as plain values.

Belongs here: what `engine.project` needs of such a table, and a Pandera model built from values. Does not belong here:
generating them (`metrics`).

A domain may have very many of them. Nothing here is parsed or compiled when the domain is loaded; the Pandera schema is built on
demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandera.ibis as pa

from assay.contracts.columns import GIVEN_COLUMNS, ColumnSpec
from assay.contracts.model import Published
from assay.contracts.rules import GIVEN_RULES, Rule

if TYPE_CHECKING:
    from assay.contracts.table import Table


@dataclass(frozen=True)
class ColumnOrigin:
    """A column that another is computed from.

    Attributes:
        relation: The relation as the SQL names it, as in `latest.transactions`.
        column: The column of that relation.
    """

    relation: str
    column: str


@dataclass(frozen=True)
class Generated:
    """A table whose SQL is generated.

    Attributes:
        table: Its contract.
        sql: Its SELECT.
        path: Where it is declared.
        reads: The columns it uses, by relation.
        lineage: The upstream columns that each output column is computed from.
        canonical: Hash of the SQL without comments.
    """

    table: Table
    sql: str
    path: Path
    reads: Mapping[str, tuple[str, ...]]
    lineage: Mapping[str, tuple[ColumnOrigin, ...]]
    canonical: str


class Metrics(Protocol):
    """A domain's declared metrics."""

    def marts(self, tables: Mapping[str, Table]) -> Mapping[str, Generated]:
        """The marts that compute the metrics, by full name.

        Args:
            tables: The tables that the domain declares by hand.
        """
        ...


class GeneratedContract(Published):
    """Base of contracts that are built from values."""

    @classmethod
    def to_schema(cls) -> Any:
        """The Pandera schema of the columns: types, descriptions and nullability."""
        columns = {
            spec.name: pa.Column(
                _dtype(spec.sql_type),
                nullable=spec.nullable,
                description=spec.description,
                metadata={"unit": spec.unit, "pii": spec.pii},
            )
            for spec in vars(cls).get(GIVEN_COLUMNS, ())
        }
        return pa.DataFrameSchema(columns, name=cls.__name__, description=cls.__doc__)


def generated_contract(
    name: str, module: str, description: str, columns: tuple[ColumnSpec, ...], rules: tuple[Rule, ...]
) -> type[GeneratedContract]:
    """Make the contract of a generated table.

    Args:
        name: The class's name.
        module: The module that its declarations are in.
        description: What a row is.
        columns: Its columns, including those of `Published`.
        rules: Its rules.
    """
    given = {"__doc__": description, "__module__": module, GIVEN_COLUMNS: columns, GIVEN_RULES: rules}
    return type(name, (GeneratedContract,), given)


def _dtype(sql_type: str) -> Any:
    from ibis.backends.sql.datatypes import DuckDBType

    return DuckDBType.from_string(sql_type)
