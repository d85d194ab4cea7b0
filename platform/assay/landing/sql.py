"""SQL that all of landing writes.

Belongs here: texts and columns as DuckDB writes them. Does not belong here: queries of one subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.contracts.rules import literal


def text_list(values: Iterable[str]) -> str:
    """Write texts as a DuckDB list."""
    return "[" + ", ".join(literal(value) for value in values) + "]"


def column_types(columns: Mapping[str, str]) -> str:
    """Write the types of a file's columns, by name, as the `columns` of DuckDB's `read_csv`."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items()) + "}"
