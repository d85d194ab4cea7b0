"""Files that are no change events: rates, categories, risk, the archive."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re

import pytest

from simulator.rates import is_banking_day


def rows_of(file) -> list[dict[str, str]]:
    return list(csv.DictReader(file.path.read_text().splitlines()))


def test_rates(written) -> None:
    for file in written.of("fx_rates"):
        text = file.path.read_text()
        assert text.startswith("Date,USD,JPY,BGN,CYP,CZK,") and text.splitlines()[0].endswith(",THB,ZAR,")
        for row in rows_of(file):
            assert row["Date"] in file.name or "hist" in file.name
            assert 0.9 < float(row["USD"]) < 1.3 and 130 < float(row["JPY"]) < 200
            assert 0.7 < float(row["GBP"]) < 1 and 5 < float(row["BRL"]) < 7.5
            assert row["CYP"] == "N/A"


def test_history_of_rates(written) -> None:
    [history] = [file for file in written.of("fx_rates") if "hist" in file.name]
    days = [dt.date.fromisoformat(row["Date"]) for row in rows_of(history)]
    first = written.company.start - dt.timedelta(days=45)
    wanted = [first + dt.timedelta(days=n) for n in range(45)]
    assert days == [day for day in reversed(wanted) if is_banking_day(day)]
    assert dt.date(2024, 12, 25) not in days


@pytest.mark.parametrize("easter", [dt.date(2024, 3, 31), dt.date(2025, 4, 20), dt.date(2026, 4, 5)])
def test_easter_is_closed(easter: dt.date) -> None:
    assert not is_banking_day(easter - dt.timedelta(days=2))
    assert is_banking_day(easter - dt.timedelta(days=3))
    assert not is_banking_day(easter + dt.timedelta(days=1))
    assert is_banking_day(easter + dt.timedelta(days=2))


def test_categories_cover_the_merchants(written) -> None:
    [file] = written.of("merchant_categories")
    rows = rows_of(file)
    assert list(rows[0]) == [
        "mcc",
        "edited_description",
        "combined_description",
        "usda_description",
        "irs_description",
        "irs_reportable",
    ]
    codes = {row["mcc"] for row in rows}
    assert len(codes) == len(rows) >= 60
    assert {event["after"]["mcc"] for event in written.events("merchants")} <= codes


def test_risk(written) -> None:
    company = written.company
    files = written.of("customer_risk")
    assert files[0].records == company.first_customers + company.new_customers
    for file in files[1:]:
        assert file.records / files[0].records == pytest.approx(0.2, abs=0.05)
    scores: dict[tuple[str, str], int] = {}
    for file in files:
        for document in map(json.loads, file.path.read_text().splitlines()):
            assert list(document) == [
                "customer_id",
                "scored_at",
                "model",
                "score",
                "band",
                "factors",
                "history",
            ]
            assert document["scored_at"][:10] in file.name
            assert 0 <= document["score"] <= 100 and document["band"] in ("low", "medium", "high")
            assert document["factors"] and all(set(factor) == {"name", "weight"} for factor in document["factors"])
            dates = [(document["scored_at"][:10], document["score"])]
            dates += [(earlier["date"], earlier["score"]) for earlier in document["history"]]
            for date, score in dates:
                assert scores.setdefault((document["customer_id"], date), score) == score


def test_archive(written) -> None:
    [file] = written.of("legacy_transactions")
    rows = rows_of(file)
    assert list(rows[0]) == [
        "TXN_REF",
        "CUST_NO",
        "MERCH_NO",
        "TXN_DATE",
        "AMT",
        "CCY",
        "TXN_STATUS",
        "SALES_REGION",
        "RECURRING",
    ]
    assert len(rows) == written.company.legacy_payments
    assert [row["TXN_REF"] for row in rows] == [f"LEG-{number:07d}" for number in range(1, len(rows) + 1)]
    assert {row["TXN_STATUS"] for row in rows} <= {
        "CAPTURED",
        "AUTHORIZED",
        "FAILED",
        "REFUNDED",
        "CHARGEBACK",
    }
    for row in rows:
        assert re.fullmatch(r"\$\d{1,3}(,\d{3})*\.\d\d", row["AMT"])
        assert dt.datetime.strptime(row["TXN_DATE"], "%m/%d/%Y").strftime("%Y-%m") == "2024-12"
