"""What the asset catalog shows about sources and tables.

Belongs here: Dagster metadata from contracts and parsed SQL. Does not belong here: metadata of one run (`recording`).
"""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg

from assay.contracts import ColumnOrigin, Domain, Source, Table
from assay.contracts.columns import ColumnSpec
from assay.contracts.model import (
    EVENT_COLUMN_DESCRIPTIONS,
    EVENT_COLUMNS,
    RUN_COLUMN_DESCRIPTIONS,
    RUN_COLUMNS,
)
from assay.engine.project import Node, source_of
from assay.quality.own_tables import OwnTable


def source_metadata(source: Source) -> dict[str, Any]:
    """Metadata of a raw source's asset."""
    own = [_column(spec) for spec in source.columns]
    added = [dg.TableColumn(name, kind, description=EVENT_COLUMN_DESCRIPTIONS[name]) for name, kind in EVENT_COLUMNS.items()]
    return {
        "dagster/column_schema": dg.TableSchema(columns=own + added),
        "dagster/table_name": source.full_name,
        "format": source.format.name,
        "key": ", ".join(source.key),
    }


def table_metadata(domain: Domain, node: Node) -> dict[str, Any]:
    """Metadata of an enriched table's or mart's asset."""
    table = node.table
    added = [dg.TableColumn(name, kind, description=RUN_COLUMN_DESCRIPTIONS[name]) for name, kind in RUN_COLUMNS.items()]
    return {
        "dagster/column_schema": dg.TableSchema(columns=[*(_column(spec) for spec in table.columns), *added]),
        "dagster/column_lineage": dg.TableColumnLineage(_lineage(node)),
        "dagster/table_name": table.full_name,
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=str(node.query.path), label="SQL"),
                *([] if table.full_name in domain.generated else _contract_reference(table)),
            ]
        ),
        "sql": dg.MetadataValue.md(f"```sql\n{node.query.sql.strip()}\n```"),
        "key": ", ".join(table.key),
        "quality threshold": table.threshold,
        "domain": domain.name,
    }


def own_table_metadata(own: OwnTable) -> dict[str, Any]:
    """Metadata of the asset of a table that the platform fills."""
    return {
        "dagster/column_schema": dg.TableSchema(columns=[_column(spec) for spec in own.columns]),
        "dagster/table_name": own.full_name,
    }


def asset_key(name: str) -> dg.AssetKey:
    """The asset key of `layer.name`; the folds of a source are its raw asset."""
    source = source_of(name)
    return dg.AssetKey(["raw", source] if source else name.split("."))


@cache
def _column(spec: ColumnSpec) -> dg.TableColumn:
    """A column as the catalog shows it; shared by the many generated marts that have it."""
    unit = f" ({spec.unit})" if spec.unit else ""
    tags: Mapping[str, str] = {"pii": spec.pii} if spec.pii else {}
    return dg.TableColumn(
        name=spec.name,
        type=spec.sql_type,
        description=spec.description + unit,
        constraints=dg.TableColumnConstraints(nullable=spec.nullable),
        tags=dict(tags),
    )


def _lineage(node: Node) -> dict[str, list[dg.TableColumnDep]]:
    return {column: [_column_dep(origin) for origin in origins] for column, origins in node.query.lineage.items() if origins}


@cache
def _column_dep(origin: ColumnOrigin) -> dg.TableColumnDep:
    return dg.TableColumnDep(asset_key(origin.relation), origin.column)


def _contract_reference(table: Table) -> list[dg.LocalFileCodeReference]:
    try:
        path = inspect.getfile(table.model)
    except (OSError, TypeError):
        return []
    # Asking `inspect` for the line would parse the whole module again for each contract in it.
    named = re.compile(rf"\s*class {table.model.__name__}\b")
    line = next((number for number, text in enumerate(linecache.getlines(path), start=1) if named.match(text)), None)
    return [dg.LocalFileCodeReference(file_path=path, line_number=line, label="contract")]
