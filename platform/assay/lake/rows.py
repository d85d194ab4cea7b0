"""Reading the lake's Parquet objects as rows of declared types.

Belongs here: uniting files of current and older contracts in one relation. Does not belong here: which files (`pipeline.state`),
what their rows mean (`engine`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from assay.contracts import Source
from assay.contracts.rules import literal, quote


class Typed(Protocol):
    """Anything with declared columns."""

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB type by column."""
        ...

    @property
    def version(self) -> str:
        """The version that determines the columns of its files."""
        ...


@dataclass(frozen=True)
class Files:
    """The files of one relation that share a schema.

    Attributes:
        version: The version that determined the schema: equal versions have equal schemas.
        paths: Paths as DuckDB opens them.
        only: Condition on the rows that are wanted; None for all.
    """

    version: str
    paths: tuple[str, ...]
    only: str | None = None


def files_by_version(objects: Iterable[tuple[str, str]], only: str | None = None) -> list[Files]:
    """Group (version, path) pairs by version; a path given several times is read once."""
    by_version: dict[str, dict[str, None]] = {}
    for version, path in objects:
        by_version.setdefault(version, {})[path] = None
    return [Files(version, tuple(paths), only) for version, paths in sorted(by_version.items())]


def typed_rows(declared: Typed, files: Iterable[Files]) -> str:
    """Write the query of the files' rows, with each column cast to its declared type; no files give no rows."""
    types: Mapping[str, str] = declared.types
    parts = [group for group in files if group.paths]
    if {group.version for group in parts} == {declared.version}:
        names = ", ".join(quote(name) for name in types)
        return " UNION ALL ".join(f"SELECT {names} FROM {_read(group)}" for group in parts)
    nulls = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in types.items())
    empty = f"SELECT {nulls} WHERE false"
    if not parts:
        return empty
    # Files of an older contract may lack columns or hold them as another type.
    unions = " UNION ALL BY NAME ".join([empty, *(f"SELECT * FROM {_read(group)}" for group in parts)])
    casts = {name: f"CAST({quote(name)} AS {kind})" for name, kind in types.items()}
    if isinstance(declared, Source) and declared.partition_column is not None:
        # Events ingested before `_about` existed have their own day in the partition column.
        casts["_about"] = f"coalesce({casts['_about']}, CASE WHEN _op IN ('c', 'r') THEN {casts[declared.partition_column]} END)"
    return f"SELECT {', '.join(f'{cast} AS {quote(name)}' for name, cast in casts.items())} FROM ({unions})"


def _read(files: Files) -> str:
    paths = ", ".join(literal(path) for path in files.paths)
    wanted = f" WHERE {files.only}" if files.only else ""
    return f"read_parquet([{paths}], hive_partitioning=false){wanted}"
