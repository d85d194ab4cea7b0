"""How a file of AWS DMS is laid out: its kind, its header, and which field is which.

Belongs here: what follows from a file's name and first record, or from its Parquet schema. Does not belong here: reading records
(`cells`, `salvage`), what they mean (`changes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from assay.contracts import Source
from assay.landing.formats import Dms
from assay.landing.readers.dms.names import DmsObject

OPERATIONS = {"I": "c", "U": "u", "D": "d"}
OP, TABLE, SCHEMA = "Op", "(table)", "(schema)"
"""Names of the columns that tell the operation and, in a file of many tables, the table."""
_COLUMNS_OF_MANY_TABLES = 2000
"""Widest record read from a file of many tables; a file with a wider one is read record by record."""
APPENDED = 16
"""How many undeclared columns after the declared ones are kept from a file of many tables."""


@dataclass(frozen=True)
class Layout:
    """How a file is laid out; files with the same layout are read by one query.

    Attributes:
        names: The producer's name of each column, in the file's order.
        kind: The kind of file.
        has_header: Whether the first record holds the columns' names.
        line_end: The record separator, of CSV.
        types: Arrow types, of Parquet only: files are read together only if these agree.
    """

    names: tuple[str, ...]
    kind: Literal["csv", "parquet", "many tables"]
    has_header: bool = False
    line_end: str = "\n"
    types: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Fields to read per record; more than there are names only if records are of many tables."""
        return _COLUMNS_OF_MANY_TABLES if self.kind == "many tables" else len(self.names)


def dms_format(source: Source) -> Dms:
    """The format of a source of such files."""
    assert isinstance(source.format, Dms)
    return source.format


def producer_name(column: str, source: Source) -> str:
    """The producer's name of a column."""
    return dms_format(source).columns.get(column, column)


def csv_layout(first: list[str], about: DmsObject, source: Source) -> Layout:
    """Detect the layout of a CSV file from its first record."""
    declared = list(_declared_layout(source))
    if about.of_many_tables:
        appended = [f"column{place}" for place in range(len(declared) + 4, len(declared) + 4 + APPENDED)]
        return Layout((OP, TABLE, SCHEMA, *declared, *appended), "many tables")
    header = [name.strip() for name in first]
    if {producer_name(column, source) for column in source.key} <= set(header):
        return Layout(tuple(_named(header)), "csv", has_header=True)
    names = [OP, *declared] if _begins_with_operation(first, source) else declared
    is_short_delete = names[0] == OP and first[0] == "D" and len(first) < len(names)
    width = len(names) if is_short_delete else len(first)
    return Layout((*names, *(f"column{place}" for place in range(len(names) + 1, width + 1)))[:width], "csv")


def _declared_layout(source: Source) -> tuple[str, ...]:
    form = dms_format(source)
    stamp = (form.timestamp,) if form.timestamp else ()
    return form.layout or (*stamp, *(producer_name(spec.name, source) for spec in source.columns))


def _begins_with_operation(first: list[str], source: Source) -> bool:
    """Whether a file without header has a column `Op`; ambiguous if the first declared column may hold such texts, too."""
    if first[0] not in OPERATIONS:
        return False
    declared = _declared_layout(source)
    types = {producer_name(spec.name, source): spec.sql_type for spec in source.columns}
    return len(first) != len(declared) or types.get(declared[0], "TIMESTAMP") != "VARCHAR"


def _named(header: list[str]) -> Iterator[str]:
    for place, name in enumerate(header, start=1):
        yield OP if place == 1 and name.casefold() == OP.casefold() else name or f"column{place}"


def parquet_layout(path: Path) -> Layout:
    """The layout of a Parquet file."""
    schema = pq.read_schema(path)
    return Layout(tuple(_named(schema.names)), "parquet", types=tuple(str(field.type) for field in schema))


def layout_problem(layout: Layout, source: Source) -> str | None:
    """Why a file cannot be of its source; None if it can."""
    absent = [name for column in source.key if (name := producer_name(column, source)) not in layout.names]
    if absent:
        return f"the file lacks {', '.join(absent)}: it is of another table, or its layout changed"
    # DuckDB's names are case-insensitive.
    times = Counter(name.casefold() for name in layout.names)
    twice = sorted(name for name in set(layout.names) if times[name.casefold()] > 1)
    return f"the file names {', '.join(twice)} twice" if twice else None


def may_end_early(fields: list[str], layout: Layout) -> bool:
    """Whether a record is a delete, which may end after its key."""
    return layout.names[0] == OP and fields[0] == "D" and len(fields) <= layout.width
