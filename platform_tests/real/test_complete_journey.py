"""The main job on real data: a year of a grocer's baskets as the archive of the system before this one, run to the marts.

A basket is a payment, a household a customer, a store a merchant. Complete Journey (84.51°, as in the R package completejourney,
MIT) has 155,848 baskets. 478 of them are worth nothing: most have one line, a coupon's or of no quantity. No money moved, so they
are no payments: the contract (amount at least 0.01) refuses them, and they are in quarantine. On eight days they are over one
payment in a hundred, at most 1.3 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from shop_lake import Ran, ShopLake

from assay.contracts import load_domain
from assay.lake.layout import landing_prefix
from assay.pipeline.outcome import Report
from assay.pipeline.runs import fill_report
from assay.pipeline.state import State

SOURCE = "legacy_transactions"
BASKETS = 155_848
WORTHLESS = 478
PAYMENTS = BASKETS - WORTHLESS
CUSTOMERS = 2_469
MERCHANTS = 457
VALUE = Decimal("4596039.58")
DAYS = 365
MONTHS = 13
"""2017, and the small hours of 1 January 2018."""
FLOW = ("enriched.transactions", "marts.transactions_enriched", "marts.daily_revenue", "marts.merchant_daily")


@dataclass
class Journey:
    """The archive, landed in the payments domain and run.

    Attributes:
        lake: The lake.
        ran: What the run did.
        report: The books after it.
        original: The baskets of the original file, in DuckDB, as `baskets`.
    """

    lake: ShopLake
    ran: Ran
    report: Report
    original: duckdb.DuckDBPyConnection

    def direct(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query over `baskets`, which knows nothing of the platform."""
        return self.original.execute(sql).fetchall()


@pytest.fixture(scope="module")
def journey(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    original = real_data("complete_journey/transactions.parquet")
    folder = tmp_path_factory.mktemp("journey")
    lake = ShopLake(folder, load_domain("payments"))
    with duckdb.connect() as connection:
        read_baskets(connection, original)
        archive = write_archive(connection, folder / "archive")
        assert len(archive) == MONTHS
        for file in archive:
            lake.land(SOURCE, file.name, file.read_bytes())
        ran = lake.run()
        report = Report()
        fill_report(State(lake.workspace), report)
        yield Journey(lake, ran, report, connection)


def read_baskets(connection: duckdb.DuckDBPyConnection, original: Path) -> None:
    """Add up the lines of each basket; all lines of one have the same household, store and time."""
    connection.execute(
        f"""
        CREATE TABLE baskets AS
        SELECT
          basket_id, household_id, store_id, transaction_timestamp AS made_at, transaction_timestamp::DATE AS day,
          sum(sales_value::DECIMAL(18,2)) AS amount
        FROM read_parquet('{original}') GROUP BY ALL
        """
    )


def write_archive(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Write the baskets as the old system's archive: a file a month, American dates, its own column names."""
    folder.mkdir()
    months = connection.execute("SELECT DISTINCT strftime(day, '%Y-%m') AS month FROM baskets ORDER BY month").fetchall()
    files = []
    for (month,) in months:
        file = folder / f"transactions-{month}.csv"
        connection.execute(
            f"""
            COPY (
              SELECT
                basket_id AS TXN_REF, household_id AS CUST_NO, store_id AS MERCH_NO,
                strftime(made_at, '%m/%d/%Y %H:%M:%S') AS TXN_DATE, amount AS AMT, 'USD' AS CCY, 'CAPTURED' AS TXN_STATUS,
                'NA' AS SALES_REGION, 'N' AS RECURRING
              FROM baskets WHERE strftime(day, '%Y-%m') = '{month}' ORDER BY made_at, basket_id
            ) TO '{file}' (FORMAT csv, HEADER)
            """
        )
        files.append(file)
    return files


def test_every_partition_is_proven(journey: Journey) -> None:
    assert journey.report.failures == {}
    for name in FLOW:
        outcomes = journey.ran.computed[name]
        assert len(outcomes) == DAYS, name
        assert set(outcomes.values()) == {"published"}, name


def test_every_basket_is_accounted_for(journey: Journey) -> None:
    books = journey.report.books

    assert all(each.balanced for each in books.values())
    raw = books[f"raw.{SOURCE}"]
    assert (raw.rows.received, raw.rows.published, raw.money.published) == (BASKETS, BASKETS, VALUE)
    cleaned = books["enriched.transactions"]
    assert (cleaned.rows.received, cleaned.rows.published, cleaned.rows.quarantined) == (BASKETS, PAYMENTS, WORTHLESS)
    assert (cleaned.money.received, cleaned.money.published, cleaned.money.quarantined) == (VALUE, VALUE, 0)
    for name in ("marts.transactions_enriched", "marts.daily_revenue", "marts.merchant_daily", "marts.customer_lifetime"):
        assert (books[name].rows.received, books[name].rows.published) == (PAYMENTS, PAYMENTS), name
        assert (books[name].money.received, books[name].money.published) == (VALUE, VALUE), name


def test_the_worthless_baskets_are_in_quarantine_with_the_line_they_came_from(journey: Journey) -> None:
    store = journey.lake.store
    objects = [store.path(info.key) for info in store.list("quarantine/enriched/transactions/")]
    paths = ", ".join(f"'{path}'" for path in objects)
    with duckdb.connect() as connection:
        refused = connection.execute(
            f"""
            SELECT transaction_id, amount, _rules, _landing_object, _landing_row
            FROM read_parquet([{paths}], hive_partitioning=false) ORDER BY transaction_id
            """
        ).fetchall()

    assert [row[0] for row in refused] == [
        basket for (basket,) in journey.direct("SELECT basket_id::VARCHAR FROM baskets WHERE amount = 0 ORDER BY 1")
    ]
    assert {row[1] for row in refused} == {Decimal(0)}
    assert {tuple(row[2]) for row in refused} == {("amount_at_least",)}
    for basket, _, _, key, line in refused[::50]:
        landed = store.get(key).decode().splitlines()
        assert key.startswith(landing_prefix(SOURCE))
        assert landed[line - 1].startswith(f"{basket},")


def test_payments_are_the_baskets(journey: Journey) -> None:
    found = journey.lake.rows(
        """
        SELECT transaction_id::BIGINT, customer_id::BIGINT, merchant_id::BIGINT, transaction_timestamp::TIMESTAMP, amount_usd
        FROM marts.transactions_enriched ORDER BY transaction_id::BIGINT
        """
    )

    assert found == journey.direct(
        "SELECT basket_id, household_id, store_id, made_at, amount FROM baskets WHERE amount > 0 ORDER BY basket_id"
    )
    assert (len({row[1] for row in found}), len({row[2] for row in found})) == (CUSTOMERS, MERCHANTS)
    assert sum(row[4] for row in found) == VALUE


def test_unknown_customers_and_merchants_are_kept(journey: Journey) -> None:
    found = journey.lake.rows(
        """
        SELECT
          count(*), count(customer_status), count(merchant_name),
          min(currency), min(region), min(status), bool_or(is_recurring)
        FROM marts.transactions_enriched
        """
    )

    assert found == [(PAYMENTS, 0, 0, "USD", "NA", "captured", False)]


def test_revenue_of_every_day_is_that_of_the_original(journey: Journey) -> None:
    revenue = journey.lake.rows(
        """
        SELECT transaction_date, transaction_count, kept_count, gross_amount, revenue, gross_amount_usd, revenue_usd
        FROM marts.daily_revenue ORDER BY transaction_date
        """
    )

    assert len(revenue) == DAYS
    # Baskets of no value add nothing to a day's amount; they are left out of its count.
    assert revenue == journey.direct(
        """
        SELECT day, count(*) FILTER (amount > 0), count(*) FILTER (amount > 0), sum(amount), sum(amount), sum(amount), sum(amount)
        FROM baskets GROUP BY day ORDER BY day
        """
    )


def test_what_every_customer_is_worth_is_that_of_the_original(journey: Journey) -> None:
    found = journey.lake.rows(
        """
        SELECT
          customer_id::BIGINT, transaction_count, lifetime_value_usd,
          first_transaction_date, last_transaction_date, tenure_days
        FROM marts.customer_lifetime ORDER BY customer_id::BIGINT
        """
    )

    assert len(found) == CUSTOMERS
    assert found == journey.direct(
        """
        SELECT household_id, count(*), sum(amount), min(day), max(day), max(day) - min(day)
        FROM baskets WHERE amount > 0 GROUP BY household_id ORDER BY household_id
        """
    )


def test_every_day_of_every_merchant_is_that_of_the_original(journey: Journey) -> None:
    found = journey.lake.rows(
        """
        SELECT merchant_id::BIGINT, transaction_date, transaction_count, revenue_usd, unique_customers, returning_customers_90d
        FROM marts.merchant_daily ORDER BY merchant_id::BIGINT, transaction_date
        """
    )

    assert len({row[0] for row in found}) == MERCHANTS
    assert found == journey.direct(
        """
        WITH payments AS (FROM baskets WHERE amount > 0),
        visits AS (SELECT DISTINCT store_id, household_id, day FROM payments),
        known AS (
          SELECT store_id, day, count(*) AS customers FROM visits AS visit
          WHERE EXISTS (
            FROM visits AS earlier WHERE earlier.store_id = visit.store_id AND earlier.household_id = visit.household_id
              AND earlier.day BETWEEN visit.day - 90 AND visit.day - 1
          )
          GROUP BY ALL
        ),
        sums AS (
          SELECT store_id, day, count(*) AS payments, sum(amount) AS value, count(DISTINCT household_id) AS customers
          FROM payments GROUP BY ALL
        )
        SELECT sums.store_id, sums.day, sums.payments, sums.value, sums.customers, coalesce(known.customers, 0)
        FROM sums LEFT JOIN known ON known.store_id = sums.store_id AND known.day = sums.day
        ORDER BY ALL
        """
    )


def test_a_second_run_rebuilds_nothing(journey: Journey) -> None:
    again = journey.lake.run()

    assert again.computed == {}
    assert all(done.batches == [] for done in again.ingested.values())
