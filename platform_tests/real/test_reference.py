"""Reference data as published: the ECB's rates and the merchant category codes, held against the files by plain Python."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from shop_lake import ShopLake

from assay.contracts import load_domain
from assay.pipeline.outcome import Report
from assay.pipeline.runs import fill_report
from assay.pipeline.state import State

SATURDAY = dt.date(2017, 7, 1)
FRIDAY = SATURDAY - dt.timedelta(days=1)
HOLDS_DAYS = 10
ARCHIVE = """\
TXN_REF,CUST_NO,MERCH_NO,TXN_DATE,AMT,CCY,TXN_STATUS,SALES_REGION,RECURRING
1,c1,m1,07/01/2017 10:00:00,100.00,EUR,CAPTURED,EU,N
2,c1,m1,07/01/2017 11:00:00,19.99,GBP,CAPTURED,EU,N
3,c1,m1,07/01/2017 12:00:00,12345,JPY,CAPTURED,APAC,N
4,c1,m1,07/01/2017 13:00:00,7.01,USD,CAPTURED,NA,N
"""
Rates = dict[tuple[dt.date, str], Decimal]


@dataclass
class Reference:
    """The published files, landed and run together with four payments of a Saturday.

    Attributes:
        lake: The lake.
        report: The books after the run.
        rates: Every rate of the ECB's file, by banking day and currency.
        categories: Every row of the list of category codes.
    """

    lake: ShopLake
    report: Report
    rates: Rates
    categories: list[dict[str, str]]


@pytest.fixture(scope="module")
def reference(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    rates, categories = real_data("fx/eurofxref-hist.csv"), real_data("ref/mcc_codes.csv")
    lake = ShopLake(tmp_path_factory.mktemp("reference"), load_domain("payments"))
    lake.land("fx_rates", rates.name, rates.read_bytes())
    lake.land("merchant_categories", categories.name, categories.read_bytes())
    lake.land("legacy_transactions", "transactions-2017-07.csv", ARCHIVE.encode())
    lake.run()
    report = Report()
    fill_report(State(lake.workspace), report)
    with categories.open(encoding="utf-8", newline="") as lines:
        yield Reference(lake, report, read_rates(rates), list(csv.DictReader(lines)))


def read_rates(file: Path) -> Rates:
    rates: Rates = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines):
            day = dt.date.fromisoformat(record.pop("Date"))
            for currency, value in record.items():
                # The header ends with a comma, which makes a column without a name.
                if currency and value and value != "N/A":
                    rates[day, currency] = Decimal(value)
    return rates


def filled_forward(rates: Rates) -> dict[tuple[dt.date, str], tuple[Decimal, dt.date]]:
    """Rate and its banking day by calendar day and currency."""
    filled = {}
    for (day, currency), rate in rates.items():
        for age in range(HOLDS_DAYS + 1):
            held = day + dt.timedelta(days=age)
            if age and (held, currency) in rates:
                break
            filled[held, currency] = (rate, day)
    return filled


def test_books_balance(reference: Reference) -> None:
    books = reference.report.books

    assert reference.report.failures == {}
    assert all(each.balanced for each in books.values())
    for name in ("raw.fx_rates", "enriched.fx_rates"):
        assert (books[name].rows.received, books[name].rows.published) == (len(reference.rates), len(reference.rates)), name
    for name in ("raw.merchant_categories", "enriched.merchant_categories"):
        assert books[name].rows.received == books[name].rows.published == len(reference.categories), name


def test_every_rate_is_the_last_one_published(reference: Reference) -> None:
    found = reference.lake.rows("SELECT rate_date, currency, rate, source_date FROM enriched.fx_rates WHERE currency <> 'EUR'")

    assert {(day, currency): (rate, source) for day, currency, rate, source in found} == filled_forward(reference.rates)
    assert len({currency for _, currency, _, _ in found}) == 41


def test_the_euro_has_a_rate_on_every_day_that_another_currency_has(reference: Reference) -> None:
    found = reference.lake.rows("SELECT rate_date, rate FROM enriched.fx_rates WHERE currency = 'EUR' ORDER BY rate_date")

    assert [day for day, _ in found] == sorted({day for day, _ in filled_forward(reference.rates)})
    assert {rate for _, rate in found} == {1}


def test_weekends_have_the_rates_of_friday(reference: Reference) -> None:
    weekend = rates_of(reference, SATURDAY) + rates_of(reference, SATURDAY + dt.timedelta(days=1))

    published = {currency: rate for (day, currency), rate in reference.rates.items() if day == FRIDAY}
    assert len(weekend) == 2 * len(published)
    for currency, rate, source, is_filled, _ in weekend:
        assert (rate, source, is_filled) == (published[currency], FRIDAY, True), currency
    assert {age for *_, age in weekend} == {1, 2}


def test_no_gap_of_an_ordinary_weekend_is_left(reference: Reference) -> None:
    days = {day for day, currency in reference.rates if currency == "USD"}

    found = reference.lake.rows("SELECT DISTINCT rate_date FROM enriched.fx_rates WHERE currency = 'USD'")

    span = (max(days) - min(days)).days + 1 + HOLDS_DAYS
    assert len(found) == span


def test_payments_of_a_saturday_are_converted_at_the_rates_of_friday(reference: Reference) -> None:
    found = reference.lake.rows(
        "SELECT amount, currency, amount_usd, fx_source_date FROM marts.transactions_enriched ORDER BY transaction_id"
    )

    dollar = reference.rates[FRIDAY, "USD"]
    expected: list[tuple[Any, ...]] = []
    for amount, currency in (("100.00", "EUR"), ("19.99", "GBP"), ("12345.00", "JPY")):
        rate = reference.rates.get((FRIDAY, currency), Decimal(1))
        usd = (Decimal(amount) * dollar / rate).quantize(Decimal("0.01"), ROUND_HALF_UP)
        # The euro needs no rate of its own, but the dollar's is Friday's.
        expected.append((Decimal(amount), currency, usd, FRIDAY))
    assert found == [*expected, (Decimal("7.01"), "USD", Decimal("7.01"), None)]


def test_every_category_is_that_of_the_list(reference: Reference) -> None:
    found = reference.lake.rows("SELECT mcc, description, is_irs_reportable FROM enriched.merchant_categories ORDER BY mcc")

    # The list says nothing of some; a `No` is followed by the section of the tax code.
    reportable = {"Yes": True, "No1.6041-3(c)": False, "": None}
    assert found == sorted(
        (row["mcc"], row["edited_description"].strip(), reportable.get(row["irs_reportable"], False))
        for row in reference.categories
    )


def rates_of(reference: Reference, day: dt.date) -> list[tuple[Any, ...]]:
    return reference.lake.rows(
        f"""
        SELECT currency, rate, source_date, is_filled, days_filled FROM enriched.fx_rates
        WHERE rate_date = DATE '{day}' AND currency <> 'EUR' ORDER BY currency
        """
    )
