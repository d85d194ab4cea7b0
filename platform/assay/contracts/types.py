"""Column types that contracts are written in, and their DuckDB names.

Belongs here: the annotation aliases and the one mapping from a Pandera/Ibis type to DuckDB SQL. Does not belong here:
parsing values; the domain's SQL does that.
"""

from __future__ import annotations

from typing import Annotated

import ibis.expr.datatypes as dt
from pandera.dtypes import immutable
from pandera.engines import ibis_engine

Date = dt.Date
"""A calendar day, UTC."""
Timestamp = Annotated[dt.Timestamp, "UTC", None, True]
"""An instant, microseconds, UTC; `TIMESTAMPTZ` in DuckDB, adjusted-to-UTC in Parquet."""
Money = Annotated[dt.Decimal, 18, 2, True]
"""An amount in the currency that the column's description names; `DECIMAL(18,2)`, never float."""
Rate = Annotated[dt.Decimal, 18, 8, True]
"""An exchange or other exact rate; `DECIMAL(18,8)`."""
Decimal = Annotated[dt.Decimal, 38, 4, True]
"""A wide exact number, for sums and averages of money; `DECIMAL(38,4)`."""
Number = float
"""An inexact number (a share, a score): never money."""
Count = int
"""A 64-bit whole number."""


@ibis_engine.Engine.register_dtype
@immutable
class Position(ibis_engine.DataType):
    """An event's position at its source; later is larger; `BIGINT[]`."""

    type = dt.Array(dt.int64)


_SIMPLE = {
    "string": "VARCHAR",
    "json": "JSON",
    "boolean": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "binary": "BLOB",
    "uuid": "UUID",
}


def sql_type(dtype: dt.DataType) -> str:
    """Name an Ibis type in DuckDB SQL.

    Args:
        dtype: A column's type in the contract.

    Returns:
        The DuckDB type, as in `DECIMAL(18,2)` or `BIGINT[]`.

    Raises:
        TypeError: A contract cannot declare this type.
    """
    if isinstance(dtype, dt.Decimal):
        return f"DECIMAL({dtype.precision or 38},{dtype.scale or 0})"
    if isinstance(dtype, dt.Timestamp):
        return "TIMESTAMP WITH TIME ZONE" if dtype.timezone else "TIMESTAMP"
    if isinstance(dtype, dt.Array):
        return f"{sql_type(dtype.value_type)}[]"
    if isinstance(dtype, dt.Struct):
        fields = ", ".join(f'"{name}" {sql_type(field)}' for name, field in dtype.items())
        return f"STRUCT({fields})"
    name = str(dtype.copy(nullable=True))
    if name not in _SIMPLE:
        raise TypeError(f"{dtype} is not a type that a contract can declare")
    return _SIMPLE[name]
