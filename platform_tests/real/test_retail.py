"""A second domain on real data: the invoice lines of UCI Online Retail, landed through the sensor, run by the refresh job."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from shop_lake import ShopLake

from assay.contracts import Domain, load_domain
from assay.orchestration.definitions import build_definitions
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.outcome import Report
from assay.pipeline.runs import fill_report
from assay.pipeline.state import State

SOURCE = "invoice_lines"
TABLES = ("enriched.invoice_lines", "marts.customer_value", "marts.daily_sales")
DAYS = 305
LINES = 541_909
INVOICES = 25_900
REFUND_LINES = 9_288
REFUND_INVOICES = 3_836
LINES_WITHOUT_CUSTOMER = 135_080
CUSTOMERS = 4_372
DUPLICATE_GROUPS = 4_879
NET_VALUE = Decimal("9747747.934")
"""Exact: four lines have a unit price of 0.001."""
GROUPS = 10


class Company:
    """The retail domain on an empty lake, with its Dagster definitions, as a deployment has them.

    Args:
        lake: The lake.
        opened: The lake, open.
        instance: Where runs are recorded.
    """

    def __init__(self, lake: ShopLake, opened: Opened, instance: dg.DagsterInstance) -> None:
        definitions = build_definitions(lake.workspace.domain, lake=Lake(opened))
        self.lake = lake
        self._opened = opened
        self._instance = instance
        self._sensor = definitions.resolve_sensor_def("landing")
        self._job = definitions.resolve_job_def("refresh")

    def land(self, files: Sequence[Path]) -> None:
        """Land files as they are, written long enough ago to be whole."""
        for file in files:
            self.lake.land(SOURCE, file.name, file.read_bytes())

    def ask(self) -> dg.RunRequest | None:
        """Evaluate the landing sensor; None when it skips."""
        context = dg.build_sensor_context(instance=self._instance, resources={"lake": Lake(self._opened)})
        answer = self._sensor(context)
        if isinstance(answer, dg.SkipReason):
            return None
        assert isinstance(answer, dg.SensorResult)
        assert answer.run_requests is not None
        (request,) = answer.run_requests
        return request

    def refresh(self, request: dg.RunRequest) -> Report:
        """Run the job that a sensor asked for, in this process; what it did, with the books as they stand."""
        # Every run of a deployment sees the lake anew.
        self._opened.state = State(self.lake.workspace)
        self._opened.report = Report()
        result = self._job.execute_in_process(instance=self._instance, tags=dict(request.tags))
        assert result.success
        fill_report(self._opened.state, self._opened.report)
        return self._opened.report


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain("retail")


@pytest.fixture(scope="module")
def days(real_data: Callable[[str], Path]) -> list[Path]:
    """The daily files, in the order of their days."""
    return sorted(real_data("uci_online_retail/by-day").glob("*.csv.gz"))


@contextmanager
def opened_company(folder: Path, domain: Domain) -> Iterator[Company]:
    lake = ShopLake(folder, domain)
    with lake.connection() as connection, dg.DagsterInstance.ephemeral() as instance:
        yield Company(lake, Opened(lake.workspace, connection, State(lake.workspace)), instance)


@pytest.fixture
def company(tmp_path: Path, domain: Domain) -> Iterator[Company]:
    with opened_company(tmp_path, domain) as company:
        yield company


@pytest.fixture(scope="module")
def all_landed(tmp_path_factory: pytest.TempPathFactory, domain: Domain, days: list[Path]) -> Iterator[tuple[Company, Report]]:
    """All days, landed and run in a few groups, with the report of the last run."""
    with opened_company(tmp_path_factory.mktemp("retail"), domain) as company:
        size = -(-len(days) // GROUPS)
        groups = [days[first : first + size] for first in range(0, len(days), size)]
        yield company, land_through_the_sensor(company, groups)


def land_through_the_sensor(company: Company, groups: Sequence[Sequence[Path]]) -> Report:
    """Land groups of days one after the other; each must start one run, which builds these days and no others."""
    assert company.ask() is None
    report = Report()
    run_keys = set()
    for group in groups:
        company.land(group)
        request = company.ask()
        assert request is not None
        assert objects_asked_for(request) == len(group)
        run_keys.add(request.run_key)
        report = company.refresh(request)
        # A day of lines, a day of sales, and the one table that is not cut by day.
        assert report.partitions.rebuilt == 2 * len(group) + 1
        assert company.ask() is None
    assert len(run_keys) == len(groups)
    return report


def test_every_line_is_accounted_for(all_landed: tuple[Company, Report], days: list[Path]) -> None:
    company, report = all_landed

    assert len(days) == DAYS
    assert set(report.books) == {"raw.invoice_lines", *TABLES}
    for name, books in report.books.items():
        assert books.balanced, name
        assert (books.rows.received, books.rows.published) == (LINES, LINES), name
        assert (books.money.received, books.money.published) == (NET_VALUE, NET_VALUE), name
    assert report.failures == {}
    assert set(report.scores.values()) == {100.0}
    assert company.lake.ledger(SOURCE).landed.keys() == {f"landing/{SOURCE}/{day.name}" for day in days}


def test_lines_are_what_was_landed(all_landed: tuple[Company, Report]) -> None:
    company, _ = all_landed

    found = company.lake.rows(
        """
        SELECT
          count(*), sum(net_value), count(DISTINCT invoice_no), count(DISTINCT customer_id),
          count(*) FILTER (WHERE is_refund), count(DISTINCT invoice_no) FILTER (WHERE is_refund),
          count(*) FILTER (WHERE customer_id IS NULL), count(DISTINCT (landing_object, landing_row)),
          count(DISTINCT invoice_date)
        FROM enriched.invoice_lines
        """
    )

    assert found == [
        (
            LINES,
            NET_VALUE,
            INVOICES,
            CUSTOMERS,
            REFUND_LINES,
            REFUND_INVOICES,
            LINES_WITHOUT_CUSTOMER,
            LINES,
            DAYS,
        )
    ]


def test_equal_lines_are_all_kept(all_landed: tuple[Company, Report]) -> None:
    company, _ = all_landed

    found = company.lake.rows(
        """
        SELECT count(*) FROM (
          SELECT count(*) AS copies FROM changes.invoice_lines
          GROUP BY invoice_no, stock_code, description, quantity, invoiced_at, unit_price, customer_id, country
        ) WHERE copies > 1
        """
    )

    assert found == [(DUPLICATE_GROUPS,)]


def test_a_row_names_the_line_it_came_from(all_landed: tuple[Company, Report], days: list[Path]) -> None:
    company, _ = all_landed

    for day in (days[0], days[150], days[-1]):
        rows = company.lake.rows(
            f"""
            SELECT landing_row, invoice_no, upper(stock_code), quantity, unit_price FROM enriched.invoice_lines
            WHERE landing_object = 'landing/{SOURCE}/{day.name}' ORDER BY landing_row
            """
        )
        # Line 1 is the header.
        assert rows == direct(
            f"""
            SELECT row_number() OVER () + 1, InvoiceNo, upper(trim(StockCode)), Quantity::BIGINT, UnitPrice::DECIMAL(18,3)
            FROM read_csv('{day}', all_varchar=true)
            """
        )


def test_sales_of_every_day_are_those_of_the_files(all_landed: tuple[Company, Report], days: list[Path]) -> None:
    company, _ = all_landed

    sales = company.lake.rows(
        """
        SELECT invoice_date, country, line_count, refund_line_count, anonymous_line_count, invoice_count,
          gross_value, refund_value, net_value
        FROM marts.daily_sales ORDER BY ALL
        """
    )

    value = "(Quantity::BIGINT * UnitPrice::DECIMAL(18,3))"
    assert sales == direct(
        f"""
        SELECT
          left(parse_filename(filename), 10)::DATE, Country, count(*), count(*) FILTER (InvoiceNo LIKE 'C%'),
          count(*) FILTER (CustomerID IS NULL), count(DISTINCT InvoiceNo),
          coalesce(sum({value}) FILTER (InvoiceNo NOT LIKE 'C%'), 0),
          coalesce(-sum({value}) FILTER (InvoiceNo LIKE 'C%'), 0), sum({value})
        FROM {every_file(days)} GROUP BY ALL ORDER BY ALL
        """
    )
    assert len({row[0] for row in sales}) == DAYS


def test_value_of_every_customer_is_that_of_the_files(all_landed: tuple[Company, Report], days: list[Path]) -> None:
    company, _ = all_landed

    values = company.lake.rows(
        """
        SELECT customer_id, line_count, invoice_count, net_value, first_invoice_date, last_invoice_date
        FROM marts.customer_value ORDER BY ALL
        """
    )

    assert values == direct(
        f"""
        SELECT
          coalesce(split_part(CustomerID, '.', 1), 'unknown'), count(*), count(DISTINCT InvoiceNo),
          sum(Quantity::BIGINT * UnitPrice::DECIMAL(18,3)), min(InvoiceDate)::TIMESTAMP::DATE, max(InvoiceDate)::TIMESTAMP::DATE
        FROM {every_file(days)} GROUP BY 1 ORDER BY ALL
        """
    )
    assert len(values) == CUSTOMERS + 1


@pytest.mark.slow
def test_day_by_day(company: Company, days: list[Path]) -> None:
    report = land_through_the_sensor(company, [[day] for day in days])

    for name, books in report.books.items():
        assert books.balanced, name
        assert (books.rows.received, books.rows.published) == (LINES, LINES), name
        assert books.money.published == NET_VALUE, name


def test_a_file_being_written_is_left_alone(company: Company, days: list[Path]) -> None:
    content = days[0].read_bytes()
    now = dt.datetime.now(dt.UTC)
    company.lake.land(SOURCE, f"{days[0].name}.part", content)
    company.lake.land(SOURCE, days[0].name, content[:1000], at=now + dt.timedelta(seconds=60))
    assert company.ask() is None

    company.lake.land(SOURCE, days[0].name, content)
    request = company.ask()

    assert request is not None
    assert objects_asked_for(request) == 1


def test_one_set_of_files_is_asked_for_by_one_key(company: Company, days: list[Path]) -> None:
    company.land(days[:2])
    first, second = within_an_hour(company.ask, company.ask)
    company.land(days[2:3])
    third = company.ask()

    assert first is not None
    assert second is not None
    assert third is not None
    assert first.run_key == second.run_key
    assert third.run_key != first.run_key


def test_a_late_day_builds_itself_alone(company: Company, days: list[Path]) -> None:
    land_through_the_sensor(company, [days[:1] + days[2:4]])
    before = company.lake.etags("enriched/") | company.lake.etags("marts/daily_sales/")

    report = land_through_the_sensor(company, [days[1:2]])

    after = company.lake.etags("enriched/") | company.lake.etags("marts/daily_sales/")
    assert len(after) == len(before) + 2
    assert before.items() <= after.items()
    assert all(books.balanced for books in report.books.values())


def objects_asked_for(request: dg.RunRequest) -> int:
    """How many landing objects of the source a run is asked for, as its tags say."""
    (count,) = (value for key, value in request.tags.items() if key.endswith(SOURCE))
    return int(count)


def within_an_hour(*asked: Callable[[], Any]) -> list[Any]:
    """Call all in one hour of the clock, which is part of a run key."""
    seconds_left = 3600 - time.time() % 3600
    if seconds_left < 5:
        time.sleep(seconds_left)
    return [ask() for ask in asked]


def every_file(days: Sequence[Path]) -> str:
    paths = ", ".join(f"'{day}'" for day in days)
    return f"read_csv([{paths}], all_varchar=true, filename=true)"


def direct(sql: str) -> list[tuple[Any, ...]]:
    """The result of a query that knows nothing of the platform."""
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()
