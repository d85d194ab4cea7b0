"""Types: what a contract's annotations are in DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
import ibis.expr.datatypes as dt
import pytest

from assay.contracts import Contract, Count, Date, Decimal, Money, Number, Position, Rate, Timestamp, column
from assay.contracts.columns import column_specs
from assay.contracts.types import sql_type


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Money, "DECIMAL(18,2)"),
        (Rate, "DECIMAL(18,8)"),
        (Decimal, "DECIMAL(38,4)"),
        (Count, "BIGINT"),
        (Number, "DOUBLE"),
        (Date, "DATE"),
        (Timestamp, "TIMESTAMP WITH TIME ZONE"),
        (str, "VARCHAR"),
        (bool, "BOOLEAN"),
        (Position, "BIGINT[]"),
    ],
)
def test_an_annotation_is_a_duckdb_type(kind: Any, expected: str) -> None:
    model = type("Made", (Contract,), {"__annotations__": {"v": kind}, "v": column("A value"), "__module__": __name__})
    (spec,) = column_specs(model)
    assert spec.sql_type == expected
    assert duckdb.sql(f"SELECT NULL::{spec.sql_type} AS v").types == [duckdb.sqltype(expected)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (dt.Array(dt.int64), "BIGINT[]"),
        (dt.Struct({"a b": dt.string, "n": dt.Array(dt.date)}), 'STRUCT("a b" VARCHAR, "n" DATE[])'),
        (dt.Timestamp(), "TIMESTAMP"),
        (dt.JSON(), "JSON"),
        (dt.UUID(), "UUID"),
        (dt.Int32(nullable=False), "INTEGER"),
    ],
)
def test_nested_and_other_types(kind: dt.DataType, expected: str) -> None:
    assert sql_type(kind) == expected


def test_a_type_without_a_place_in_a_contract_is_refused() -> None:
    with pytest.raises(TypeError, match="is not a type that a contract can declare"):
        sql_type(dt.MACADDR())


def test_a_column_is_described_once_and_in_order() -> None:
    class Described(Contract):
        """A table."""

        email: str = column("Where to write", pii="email", nullable=True)
        amount: Money = column("What it cost", unit="EUR")

    email, amount = column_specs(Described)
    assert (email.name, email.description, email.pii, email.unit, email.nullable) == (
        "email",
        "Where to write",
        "email",
        None,
        True,
    )
    assert (amount.name, amount.unit, amount.pii, amount.nullable) == ("amount", "EUR", None, False)
