"""References: the other relations that a table's expectations read, checked against their declarations.

Belongs here: which they are, and which columns they must have. Does not belong here: what the SQL reads (`queries`), which
changes of a reference make partitions dirty (`pipeline.lookups`).
"""

from __future__ import annotations

from collections.abc import Mapping

from assay.contracts import Table
from assay.contracts.expectation import Expectation
from assay.contracts.expectations import ControlTotal, Refers
from assay.engine.queries import Schema
from assay.errors import ContractError


def references(table: Table) -> dict[str, Expectation]:
    """The expectations of a table that read another relation, by rule."""
    return {name: each for name, each in table.expectations.items() if each.relation is not None}


def relations_of(table: Table) -> tuple[str, ...]:
    """The relations that a table's expectations read."""
    return tuple(dict.fromkeys(str(each.relation) for each in references(table).values()))


def require_references(table: Table, schema: Schema) -> None:
    """Reject invalid references in a table's expectations.

    Raises:
        ContractError: There is no such relation or column, or the relation is built later.
    """
    for name, each in references(table).items():
        relation = str(each.relation)
        where = f"{table.full_name}: {type(each).__name__} {name}"
        layer, _, bare = relation.partition(".")
        columns = schema.get(layer, {}).get(bare)
        if columns is None:
            known = sorted(f"{one}.{other}" for one, of_layer in schema.items() for other in of_layer)
            raise ContractError(f"{where} reads {relation}, which does not exist", hint=f"there are: {', '.join(known)}")
        if relation == table.full_name:
            raise ContractError(f"{where} reads the table itself", hint="use UniqueAcross for uniqueness across partitions")
        if table.layer == "enriched" and layer == "marts":
            raise ContractError(
                f"{where} reads {relation}, but enriched tables are built before marts", hint="declare it for a mart"
            )
        unknown = [column for column in each.their_columns if column not in columns]
        if unknown:
            raise ContractError(
                f"{where} reads {', '.join(unknown)} of {relation}, which it does not have",
                hint=f"its columns are: {', '.join(columns)}",
            )
        _require_same_kinds(where, each, table.types, columns)
        if isinstance(each, ControlTotal) and tuple(each.on) != ((table.partition_column,) if table.partition_column else ()):
            raise ContractError(
                f"{where} is on {', '.join(each.on) or 'nothing'}, "
                f"but the table is partitioned by {table.partition_column or 'nothing'}",
                hint="give on={own partition column: the control's column}, or nothing for an unpartitioned table",
            )


def _require_same_kinds(where: str, each: Expectation, own: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """Require equal types: DuckDB would compare a text with a number by a cast that fails on the first odd value."""
    for mine, other in each.columns.items() if isinstance(each, Refers) else ():
        if own[mine] != theirs[other]:
            raise ContractError(
                f"{where} compares {mine}, which is {own[mine]}, with {other} of {each.relation}, which is {theirs[other]}",
                hint="refer to a column of the same type",
            )
