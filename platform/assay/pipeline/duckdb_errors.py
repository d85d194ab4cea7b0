"""What DuckDB raises, told apart: what the data are to blame for, and what no other data would have avoided.

Belongs here: saying which it is, and in which words. Does not belong here: what follows from it.
"""

from __future__ import annotations

import re

import duckdb

from assay.errors import StoreError, StoreUnavailable

ON_THE_DATA = "failed on the data"
_TYPES = re.compile(
    r"\b(?:to|type|of) (BOOL|U?INT(?:8|16|32|64|128)|FLOAT|DOUBLE|DECIMAL|VARCHAR|DATE|TIME|TIMESTAMP|INTERVAL|UUID|BLOB)\b"
)
"""Types as DuckDB names them where it could not convert a value."""


def raise_if_not_about_data(error: duckdb.Error) -> None:
    """Raise what no other data would have avoided: a lake that is gone, a full disk, too little memory.

    Raises:
        StoreUnavailable: The lake cannot be reached.
        StoreError: It refuses, or there is no room to compute.
    """
    said = str(error)
    if _is_unreachable(error):
        raise StoreUnavailable(
            f"The lake cannot be read: {said.splitlines()[0]}", hint="Check that the S3 server runs, then run again."
        ) from error
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in said:
        raise StoreError(
            f"There is no room to compute: {said.splitlines()[0]}",
            hint="Free space below ASSAY_HOME or raise ASSAY_MEMORY, then run again.",
        ) from error
    if isinstance(error, duckdb.IOException):
        raise StoreError(f"The lake cannot be read: {said.splitlines()[0]}", hint="Run again.") from error


def raise_if_unavailable(error: Exception) -> None:
    """Raise that the lake cannot be reached, where this is what an error says.

    Raises:
        StoreUnavailable: It does.
    """
    if isinstance(error, StoreUnavailable):
        raise error
    if isinstance(error, duckdb.Error) and _is_unreachable(error):
        raise_if_not_about_data(error)


def _is_unreachable(error: duckdb.Error) -> bool:
    if isinstance(error, duckdb.HTTPException):
        # A server that answers so refuses, and is there.
        return not 400 <= getattr(error, "status_code", 0) < 500
    return "Connection error" in str(error) or "Could not connect" in str(error)


def sql_problem(file: str, error: duckdb.Error) -> str:
    """What is told of SQL that failed on the data, whatever DuckDB quotes of them: where, the kind of error, a type."""
    types = _TYPES.findall(str(error).partition("\n")[0])
    about = f", {types[-1]}" if types else ""
    return f"{file} {ON_THE_DATA} ({type(error).__name__}{about})"
