"""Exchange rates: the euro reference rates of the European Central Bank.

Belongs here: the source `fx_rates`, `enriched.fx_rates`, and `enriched.dollar_rates`, which is derived from it. Does not belong
here: conversion of payments (`transactions`).
"""

from __future__ import annotations

from datetime import timedelta

from assay.contracts import Balance, Count, Date, Event, Published, Rate, Whole, source, table
from assay.contracts import column as col
from assay.landing.formats import Csv, Unpivot
from payments.contracts.vocabulary import OWNER


@source(
    "fx_rates",
    format=Csv(
        columns={"date": "Date"},
        version=r"(\d{4}-?\d{2}-?\d{2})",
        unversioned="oldest",
        unpivot=Unpivot(names="currency", values="rate"),
    ),
    key=("date", "currency"),
    partition=Whole(),
    owner=OWNER,
    subject="reference",
    freshness=timedelta(days=5),
)
class FxRateRecord(Event):
    """The euro's reference rate in one currency on one banking day: a cell of the ECB's file."""

    date: Date = col("The banking day")
    currency: str = col("ISO 4217 code")
    rate: Rate = col("Units of the currency for one euro")


@table(
    "fx_rates",
    layer="enriched",
    key=("rate_date", "currency"),
    partition=Whole(),
    owner=OWNER,
    subject="reference",
    freshness=timedelta(days=5),
    balance=Balance(
        inputs=("latest.fx_rates",),
        rows="CASE WHEN source_date = rate_date AND currency <> 'EUR' THEN 1 ELSE 0 END",
    ),
    threshold=95.0,
)
class FxRate(Published):
    """One row per calendar day and currency. A published rate holds until the next one, for at most 10 more days."""

    rate_date: Date = col("The day, UTC")
    currency: str = col("ISO 4217 code", str_matches="[A-Z]{3}$")
    rate: Rate = col("Units of the currency for one euro; 1 for the euro itself", gt=0)
    source_date: Date = col("The banking day on which the rate was published")
    is_filled: bool = col("Whether no rate was published for the day, so that an earlier one is used")
    days_filled: Count = col("Age of the rate", unit="days", ge=0, le=10)


@table(
    "dollar_rates",
    layer="enriched",
    key=("rate_date", "currency"),
    partition=Whole(),
    owner=OWNER,
    subject="reference",
    freshness=timedelta(days=5),
    balance=Balance(inputs=("enriched.fx_rates",), input_rows="count(*) FILTER (WHERE currency <> 'USD')"),
    threshold=95.0,
)
class DollarRate(Published):
    """One row per calendar day and currency except the dollar: the factors that convert an amount to dollars, rounded once.

    Both rates are whole numbers, so that cents * dollars / units can be rounded exactly: half the divisor is added before the
    division. A dollar is worth a dollar on every day, even on days without a known rate, and has no row.
    """

    rate_date: Date = col("The day, UTC")
    currency: str = col("ISO 4217 code", str_matches="[A-Z]{3}$", ne="USD")
    source_date: Date = col(
        "The banking day of the rates, the earlier one of two; null where the dollar's is not known", nullable=True
    )
    dollars: Count = col("US dollars for one euro, times 10^8; null where that is not known", nullable=True, gt=0)
    units: Count = col("Units of the currency for one euro, times 10^8", gt=0)
    rate_to_usd: Rate = col(
        "US dollars for one unit of the currency, rounded half away from zero; null where that is not known",
        unit="USD",
        nullable=True,
        ge=0,
    )
