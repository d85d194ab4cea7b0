"""The columns of a Pandera model, as plain values.

Belongs here: reading a model's columns. Does not belong here: its rules (`rules`).
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.contracts.model import Contract
from assay.contracts.types import sql_type

GIVEN_COLUMNS = "_given_columns"
"""Attribute of a model that holds its columns as values, so that they need not be read from its schema."""


@dataclass(frozen=True)
class ColumnSpec:
    """One declared column.

    Attributes:
        name: The column's name.
        sql_type: Its DuckDB type.
        nullable: Whether it may be null.
        description: What it means.
        unit: Its unit, if it has one.
        pii: The kind of personal information it holds, if any.
    """

    name: str
    sql_type: str
    nullable: bool
    description: str
    unit: str | None
    pii: str | None


def column_specs(model: type[Contract]) -> tuple[ColumnSpec, ...]:
    """Read the declared columns of a model, in its order."""
    given: tuple[ColumnSpec, ...] | None = vars(model).get(GIVEN_COLUMNS)
    if given is not None:
        return given
    specs = []
    for name, declared in model.to_schema().columns.items():
        metadata = declared.metadata or {}
        specs.append(
            ColumnSpec(
                name=name,
                sql_type=sql_type(declared.dtype.type),
                nullable=declared.nullable,
                description=declared.description or "",
                unit=metadata.get("unit"),
                pii=metadata.get("pii"),
            )
        )
    return tuple(specs)
