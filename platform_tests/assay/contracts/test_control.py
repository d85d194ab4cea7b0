"""Controls: what is wrong with one is said before anything runs."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import audited_shop
import pytest
import shop
from audited_shop import LEDGER, ROLLS

from assay.contracts import Control, ControlFile, PostgresQuery
from assay.contracts.control import check_control
from assay.engine.project import load_project
from assay.errors import ContractError

TABLES = shop.DOMAIN.tables


def test_a_control_says_what_is_compared() -> None:
    assert (LEDGER.day, LEDGER.keys) == ("order_day", ("customer_level",))
    assert LEDGER.measures == {"row_count": "order_count", "amount": "amount"}
    assert replace(LEDGER, rows=None).measures == {"amount": "amount"}
    assert LEDGER.tolerance == Decimal("0.05")
    assert [each.from_.kind for each in (ROLLS, LEDGER, audited_shop.OLD_LEDGER)] == ["file", "postgresql", "mysql"]
    assert hash(audited_shop.DOMAIN) != hash(shop.DOMAIN)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2025-01-10T06:00", "2025-01-09"),
        ("2025-01-10T05:59", "2025-01-08"),
        ("2025-01-10T23:59", "2025-01-09"),
        ("2025-01-01T00:00", "2024-12-30"),
    ],
)
def test_a_day_is_complete_some_hours_after_its_end(now: str, last: str) -> None:
    assert ROLLS.last_complete(dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)) == dt.date.fromisoformat(last)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "Till Rolls"}, "not a valid name"),
        ({"table": "enriched.nonsense"}, "which is not a table; the tables are: enriched.customers"),
        ({"by": ()}, "begin with a DATE column"),
        ({"by": ("customer_id",)}, "begin with a DATE column"),
        ({"by": ("order_day", "nonsense")}, "enriched.orders has no nonsense"),
        ({"sums": {"amount": "nonsense"}}, "amount: enriched.orders has no nonsense"),
        ({"sums": {"amount": "sum(amount)"}}, "needs more than one row"),
        ({"sums": {"amount": "(SELECT 1)"}}, "needs more than one row"),
        ({"sums": {"amount": "amount +"}}, "does not parse"),
        ({"where": "nonsense = 1"}, "where: enriched.orders has no nonsense"),
        ({"sums": {"row_count": "amount"}}, "named twice"),
        ({"sums": {"order_day": "amount"}}, "order_day is named twice"),
        ({"sums": {"Amount": "amount"}}, "is not a valid name"),
        ({"rows": None, "sums": {}}, "compares nothing"),
        ({"tolerance": -1}, "is invalid"),
        ({"tolerance": "NaN"}, "is invalid"),
        ({"days": 0}, "is invalid"),
        ({"from_": ControlFile("controls/rolls.xlsx")}, "not a CSV or Parquet file"),
        ({"from_": PostgresQuery("SELECT 1", dsn="postgresql://u:secret@h/d")}, "dsn is not a valid name"),
    ],
)
def test_what_is_declared_wrongly_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said) as error:
        check_control(replace(ROLLS, **wrong), TABLES)
    assert "secret" not in str(error.value)


def test_loading_a_domain_holds_its_controls_against_its_tables() -> None:
    assert load_project(audited_shop.DOMAIN).nodes.keys() == load_project(shop.DOMAIN).nodes.keys()
    wrong = Control("x", table="enriched.orders", by=("nonsense",), from_=ControlFile("x.csv"))
    with pytest.raises(ContractError, match="DATE column"):
        load_project(replace(shop.DOMAIN, controls=(wrong,)))
    with pytest.raises(ContractError, match="two controls are called till_rolls"):
        load_project(replace(shop.DOMAIN, controls=(ROLLS, ROLLS)))
