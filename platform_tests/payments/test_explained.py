"""What is behind a restated metric of payments: whatever payments are joined with, through the real SQL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from change_lines import change, text
from shop_lake import ShopLake

from assay.pipeline.changes import changed_rows, history
from assay.pipeline.state import State
from payments import DOMAIN

DAY, NEWEST = "2025-01-03", "2025-01-06"
LOCAL = "marts.merchant_local_day"
MARTS = ("marts.category_day", "marts.currency_day", "marts.partner_hour", "marts.platform_day", LOCAL)
OPENED_MS = 1_704_067_200_000
"""2024-01-01: when merchants and customers were first known."""


def payment(key: str, position: int, op: str = "c", **values: Any) -> str:
    row = {
        "transaction_id": key,
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "100.00",
        "currency": "EUR",
        "status": "captured",
        "region": "EU",
        "payment_method": "card",
        "is_recurring": "N",
        "transaction_date": f"{DAY}T10:30:00Z",
    }
    return change("transactions", op, position, row | values)


def merchant(position: int, op: str = "u", partner: str = "North", since_ms: int = OPENED_MS, **values: Any) -> str:
    terms = {"settlement_days": 2, "fee_percent": 2.5, "fixed_fee_usd": 0.30, "cost_percent": 1.0, "partner": partner}
    row = {"merchant_id": "m1", "name": "Corner Shop", "mcc": "5411", "country": "DE", "region": "EU", "city": "Bonn"}
    row |= {"terms": json.dumps(terms), "active": "Y", "time_zone": "Europe/Berlin"}
    return change("merchants", op, position, row | values, ts_ms=since_ms)


def customer(position: int, op: str = "u", country: str = "FR") -> str:
    profile = {"addresses": [{"type": "billing", "city": "Lyon", "country": country, "region": "EU"}]}
    row = {"customer_id": "c1", "email": "ann@example.com", "profile": json.dumps(profile), "status": "active"}
    row |= {"registered_at": "2024-01-01T00:00:00Z"}
    return change("customers", op, position, row, ts_ms=OPENED_MS + position)


def score(of: str, band: str, at: str) -> bytes:
    answer = {"customer_id": of, "scored_at": at, "model": "v3", "score": 20, "band": band, "factors": [], "history": []}
    return text(json.dumps(answer))


def rates(dollars: str) -> bytes:
    return text("Date,USD,GBP,", f"{DAY},{dollars},0.85,", "2025-01-02,1.0300,0.84,")


def categories(said: str) -> bytes:
    heading = "mcc,edited_description,combined_description,usda_description,irs_description,irs_reportable"
    return text(heading, f"5411,{said},{said},{said},{said},Yes", "742,Vets,Vets,Vets,Vets,Yes")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A company with one merchant, a customer and three payments; for looking only."""
    made = ShopLake(tmp_path_factory.mktemp("company"), DOMAIN)
    made.land("merchants", "1.json", text(merchant(1, "c")))
    made.land("customers", "1.json", text(customer(1, "c")))
    made.land("customer_risk", "1.json", score("c1", "low", f"{DAY}T03:00:00Z"))
    made.land("fx_rates", "eurofxref-2025-01-03.csv", rates("1.0500"))
    made.land("merchant_categories", "mcc-2025-01-01.csv", categories("Grocery Stores"))
    newest = payment("t9", 9, transaction_date=f"{NEWEST}T08:00:00Z")
    made.land("transactions", "1.json", text(payment("t1", 1), payment("t2", 2, currency="USD"), newest))
    run(made, "first")
    return made


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path) -> ShopLake:
    """The same, to be changed."""
    shutil.copytree(filled.folder, tmp_path / "lake")
    return ShopLake(tmp_path, DOMAIN)


def run(lake: ShopLake, run_id: str) -> None:
    nodes = lake.workspace.project.nodes
    wanted = set(MARTS)
    for name in reversed(nodes):
        wanted |= set(nodes[name].reads) if name in wanted else set()
    lake.run(run_id, leave_out=nodes.keys() - wanted)


def behind(lake: ShopLake, metric: str, mart: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """What is behind the changes of a day, by whose they are."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        changes = [each for each in history(connection, state, metric, mart) if str(each.partition) == DAY]
        rows = changed_rows(connection, state, changes)
    return {tuple(each.key.values()): found for each, found in zip(changes, rows, strict=True)}


def corrected(lake: ShopLake, source: str, name: str, content: bytes) -> None:
    lake.land(source, name, content)
    run(lake, "corrected")


def said(row: dict[str, Any]) -> tuple[str, dict[str, tuple[str | None, str | None]], str, int]:
    """Of which table a row is, what changed of it, and where that was landed."""
    changed = {column: (each["before"], each["after"]) for column, each in row["changed"].items()}
    return row["table"], changed, row["landing_object"].rpartition("/")[2], row["landing_row"]


def test_a_merchants_correction(lake: ShopLake) -> None:
    corrected(lake, "merchants", "2.json", text(merchant(2, partner="South", mcc="5812", since_ms=OPENED_MS + 1)))

    of_category = behind(lake, "payment_count", "marts.category_day")
    assert of_category.keys() == {("5411",), ("5812",)}
    for rows in of_category.values():
        assert [said(row) for row in rows] == [("enriched.merchants", {"mcc": ("5411", "5812")}, "2.json", 1)]
        assert rows[0]["merchant_id"] == "m1"
    of_partner = behind(lake, "payment_count", "marts.partner_hour")
    assert of_partner.keys() == {("North", "10"), ("South", "10")}
    for rows in of_partner.values():
        assert [said(row)[1] for row in rows] == [{"partner": ("North", "South")}]


def test_a_merchant_that_changes_later_is_behind_nothing(lake: ShopLake) -> None:
    lake.land("merchants", "2.json", text(merchant(2, partner="South", since_ms=OPENED_MS * 2)))
    corrected(lake, "transactions", "2.json", text(payment("t3", 3)))

    [row] = behind(lake, "payment_count", "marts.partner_hour")["North", "10"]
    assert row["transaction_id"] == "t3"


def test_a_customers_correction(lake: ShopLake) -> None:
    corrected(lake, "customers", "2.json", text(customer(2, country="DE")))

    [row] = behind(lake, "cross_border_count", "marts.platform_day")[()]
    assert said(row) == ("enriched.customers", {"billing_country": ("FR", "DE")}, "2.json", 1)
    assert row["customer_id"] == "c1"
    assert behind(lake, "payment_count", "marts.platform_day") == {}


def test_a_corrected_risk_score(lake: ShopLake) -> None:
    corrected(lake, "customer_risk", "2.json", score("c1", "high", "2025-01-05T03:00:00Z"))

    [row] = behind(lake, "high_risk_count", "marts.platform_day")[()]
    assert said(row) == ("enriched.customer_risk", {"band": ("low", "high")}, "2.json", 1)


def test_a_corrected_rate_of_the_dollar_is_behind_what_was_paid_in_euros(lake: ShopLake) -> None:
    corrected(lake, "fx_rates", "eurofxref-2025-01-07.csv", rates("1.0600"))

    found = behind(lake, "gross_value_usd", "marts.currency_day")
    assert found.keys() == {("EUR",)}
    [row] = found["EUR",]
    # It is the only of the rates in the file that is another one.
    assert said(row) == ("enriched.dollar_rates", {"dollars": ("105000000", "106000000")}, "eurofxref-2025-01-07.csv", 2)
    assert (str(row["date"]), row["currency"]) == (DAY, "USD")


def test_a_corrected_category(lake: ShopLake) -> None:
    lake.land("merchant_categories", "mcc-2025-02-01.csv", categories("Supermarkets"))
    corrected(lake, "transactions", "2.json", text(payment("t3", 3)))

    # What a category is called is no number.
    [row] = behind(lake, "payment_count", "marts.category_day")["5411",]
    assert row["transaction_id"] == "t3"


def test_payments_that_are_gone(lake: ShopLake) -> None:
    corrected(
        lake,
        "transactions",
        "2.json",
        text(change("transactions", "d", 3, {"transaction_id": "t1"}), payment("t2", 4, "u", merchant_id="m2", currency="USD")),
    )

    gone = [
        {
            "table": "marts.transactions_enriched",
            "transaction_id": key,
            "gone": became,
            "data_source": "transactions",
            "landing_object": "landing/transactions/2.json",
            "landing_row": line,
        }
        for line, (key, became) in enumerate((("t1", "deleted"), ("t2", "moved")), start=1)
    ]
    of_hour = behind(lake, "payment_count", "marts.partner_hour")
    of_category = behind(lake, "payment_count", "marts.category_day")
    for rows in (of_hour["North", "10"], of_category["5411",]):
        assert [{name: value for name, value in row.items() if name != "ingestion_timestamp"} for row in rows] == gone
    assert [row["transaction_id"] for row in of_category["unknown",]] == ["t2"]
    [of_local_day] = behind(lake, "local_payment_count", LOCAL).values()
    assert [(row["transaction_id"], row["gone"]) for row in of_local_day] == [("t1", "deleted"), ("t2", "moved")]


def test_a_clock_that_is_corrected_later_hides_no_payment_that_is_gone(lake: ShopLake) -> None:
    lake.land("transactions", "2.json", text(change("transactions", "d", 3, {"transaction_id": "t1"})))
    run(lake, "gone")
    # Midnight in Kiritimati is 10:00 UTC: the other payment is on another day since.
    corrected(lake, "merchants", "2.json", text(merchant(2, since_ms=OPENED_MS + 1, time_zone="Pacific/Kiritimati")))

    with lake.connection() as connection:
        state = State(lake.workspace)
        changes = [each for each in history(connection, state, "local_payment_count", LOCAL) if str(each.partition) == DAY]
        gone, moved = changed_rows(connection, state, changes)
    assert [(row["transaction_id"], row["gone"]) for row in gone] == [("t1", "deleted")]
    assert [said(row)[1] for row in moved] == [{"time_zone": ("Europe/Berlin", "Pacific/Kiritimati")}]
