"""Writing the company's files, day by day.

Belongs here: which files a day has, and writing several at a time. Does not belong here: their content.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import duckdb

from simulator.company import Company
from simulator.files import LandingFile, write_query, write_text
from simulator.model import open_model, query, set_company
from simulator.rates import HEADER, history, is_banking_day, rates_line
from simulator.topics import TOPICS, Slice, Topic, count_day, drop_day, prepare_day, write_slice

Task = Callable[[], LandingFile]

_CATEGORIES = Path(__file__).parent / "data" / "merchant_categories.csv"

_LEGACY_HEADER = "TXN_REF,CUST_NO,MERCH_NO,TXN_DATE,AMT,CCY,TXN_STATUS,SALES_REGION,RECURRING"


def produce(company: Company, folder: Path, *, threads: int = 2, days: range | None = None) -> Iterator[LandingFile]:
    """Write the company's files.

    Files are yielded in order of days, and within a topic's partition in order of offsets. At most two files per thread are
    written ahead of the caller.

    Args:
        company: The company.
        folder: Folder for the files, as `<source>/<name>`.
        threads: Files written at the same time. This does not affect any byte.
        days: Indexes of consecutive days to write; all if not given. Offsets continue from earlier days.

    Yields:
        Each file once it is complete. The caller may delete it.

    Raises:
        ValueError: The days are not those of the company.
    """
    wanted = range(company.days) if days is None else days
    if wanted.step != 1 or wanted.start < 0 or wanted.stop > company.days:
        raise ValueError(f"days are {wanted}; they must follow one another within range(0, {company.days})")
    spill = folder / ".spill"
    offsets: dict[Topic, dict[int, int]] = {topic: {} for topic in TOPICS}
    try:
        with open_model(company, spill=spill) as connection, ThreadPoolExecutor(threads) as pool:
            for day in range(wanted.start):
                for topic in TOPICS:
                    for number, records in count_day(connection, company, topic, day).items():
                        offsets[topic][number] = offsets[topic].get(number, 0) + records
            # A day's records are generated while the files of the day before are written.
            coming = pool.submit(_prepare, connection, company, wanted[0], offsets) if wanted else None
            for day in wanted:
                assert coming is not None
                slices = coming.result()
                if day + 1 in wanted:
                    coming = pool.submit(_prepare, connection, company, day + 1, offsets)
                yield from _at_once(pool, threads, _tasks(connection, company, day, slices, folder))
                for topic in TOPICS:
                    drop_day(connection, topic, day)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def legacy_parameters(company: Company) -> dict[str, int]:
    """Parameters of the archive's query: its size, its month's first day since 1970, the days of the month."""
    first = company.legacy_month
    following = (first + dt.timedelta(days=31)).replace(day=1)
    return {
        "rows": company.legacy_payments,
        "month_day": company.start_day - (company.start - first).days,
        "month_days": (following - first).days,
    }


def _at_once(pool: ThreadPoolExecutor, threads: int, tasks: Iterable[Task]) -> Iterator[LandingFile]:
    # In order, with no more files waiting for the caller than keep the threads busy.
    running: deque[Future[LandingFile]] = deque()
    for task in tasks:
        running.append(pool.submit(task))
        if len(running) >= 2 * threads:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _prepare(
    connection: duckdb.DuckDBPyConnection, company: Company, day: int, offsets: dict[Topic, dict[int, int]]
) -> list[Slice]:
    with connection.cursor() as cursor:
        set_company(cursor, company)
        return [part for topic in TOPICS for part in prepare_day(cursor, company, topic, day, offsets[topic])]


def _tasks(
    connection: duckdb.DuckDBPyConnection, company: Company, day: int, slices: list[Slice], folder: Path
) -> Iterator[Task]:
    yield from _reference_tasks(connection, company, day, folder)
    for part in slices:
        yield partial(write_slice, connection, company, part, folder)


def _reference_tasks(connection: duckdb.DuckDBPyConnection, company: Company, day: int, folder: Path) -> Iterator[Task]:
    if day == 0:
        yield partial(write_categories, company, folder)
        yield partial(_write_legacy, connection, company, folder)
        past = history(company)
        yield partial(write_rates, company, past, f"eurofxref-hist-{past[0]}.csv", folder)
    date = company.date(day)
    if is_banking_day(date):
        yield partial(write_rates, company, [date], f"eurofxref-{date}.csv", folder)
    yield partial(_write_risk, connection, company, day, folder)


def write_categories(company: Company, folder: Path) -> LandingFile:
    """Write the list of merchant category codes."""
    name = f"mcc-{company.start}.csv"
    path = folder / "merchant_categories" / name
    text = _CATEGORIES.read_text(encoding="utf-8")
    write_text(path, [text])
    return LandingFile("merchant_categories", name, path, len(text.splitlines()) - 1)


def write_rates(company: Company, days: list[dt.date], name: str, folder: Path) -> LandingFile:
    """Write the euro's reference rates for some days."""
    path = folder / "fx_rates" / name
    write_text(path, [f"{HEADER}\n", *(f"{rates_line(company, day)}\n" for day in days)])
    return LandingFile("fx_rates", name, path, len(days))


def _write_legacy(connection: duckdb.DuckDBPyConnection, company: Company, folder: Path) -> LandingFile:
    name = f"legacy-{company.legacy_month:%Y-%m}.csv"
    path = folder / "legacy_transactions" / name
    lines = f"WITH valued AS ({query('legacy_values')}) FROM ({query('legacy_lines')})"
    with connection.cursor() as cursor:
        set_company(cursor, company)
        write_query(cursor, lines, legacy_parameters(company), path, header=_LEGACY_HEADER)
    return LandingFile("legacy_transactions", name, path, company.legacy_payments)


def _write_risk(connection: duckdb.DuckDBPyConnection, company: Company, day: int, folder: Path) -> LandingFile:
    name = f"risk-{company.date(day)}.json"
    path = folder / "customer_risk" / name
    with connection.cursor() as cursor:
        set_company(cursor, company)
        records = write_query(cursor, query("customer_risk_lines"), {"day": day}, path)
    return LandingFile("customer_risk", name, path, records)
