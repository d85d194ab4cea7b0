"""The daily closings of the company's systems: totals of what each booked on a day.

Belongs here: the counts and sums, and their files. Does not belong here: the records themselves (`topics`), the truth once
everything is delivered (`truth`).

A closing contains, by value day and currency, how many rows the system's table received on one day and their amount. Rows that
come later are in a later day's closing, so that closings are never corrected and all of them together are right. They count the
table's rows including mistakes: a negative amount, a currency that does not exist. Lines broken in transit are not rows, and a
row without a day is in no report by day.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from simulator.company import Company
from simulator.model import PAYMENTS_A_QUERY, open_model, query
from simulator.topics import CHARGEBACKS, REFUNDS, TRANSACTIONS, Topic, malformed_numbers, values_of

DAY_COLUMNS = {TRANSACTIONS: "transaction_date", REFUNDS: "refund_date", CHARGEBACKS: "opened_date"}
"""The name of the day column in closings, by topic."""

Line = tuple[dt.date, str, int, Decimal]
"""A day, a currency, the number of rows, and their amount."""

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class ClosingFile:
    """A file in which a system of the company reports what it booked.

    Attributes:
        name: As in `closing/refunds-2025-01-03.csv`.
        path: The file; the consumer deletes it.
        records: Its lines, without the header.
        source: Empty, because it is not landed for a source.
    """

    name: str
    path: Path
    records: int
    source: None = None


def closings(company: Company, folder: Path) -> Iterator[ClosingFile]:
    """Write the company's closings, for each topic one per day on which it booked anything.

    Args:
        company: The company.
        folder: Folder for the files.

    Yields:
        Each file once it is complete. The caller may delete it.
    """
    with open_model(company) as connection:
        for topic, column in DAY_COLUMNS.items():
            for day, lines in _booked(connection, company, topic).items():
                name = f"closing/{topic.table}-{company.date(day)}.csv"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file, lineterminator="\n")
                    writer.writerow((column, "currency", "row_count", "amount"))
                    writer.writerows(lines)
                yield ClosingFile(name, path, len(lines))


def _booked(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic) -> dict[int, list[Line]]:
    """The rows that a topic's table received on each day, by the day's index."""
    _number_malformed(connection, company, topic)
    totals: dict[tuple[int, int, str], tuple[int, int]] = {}
    text = (
        f"WITH {_made(topic)}, {values_of(topic, 'made')} "
        "SELECT day, of_day, currency, count(*), coalesce(sum(cents), 0)::BIGINT "
        f"FROM ({query(f'{topic.table}_closing')}) WHERE day < getvariable('days') GROUP BY ALL"
    )
    for days in company.groups(range(company.days), PAYMENTS_A_QUERY):
        found = connection.execute(text, {"from_day": days[0], "to_day": days[-1]}).fetchall()
        for *key, rows, cents in found:
            place = (key[0], key[1], key[2])
            rows_before, cents_before = totals.get(place, (0, 0))
            totals[place] = (rows_before + rows, cents_before + cents)
    lines: dict[int, list[Line]] = {}
    for (day, of_day, currency), (rows, cents) in sorted(totals.items()):
        lines.setdefault(day, []).append((_EPOCH + dt.timedelta(days=of_day), currency, rows, Decimal(cents).scaleb(-2)))
    return lines


def _number_malformed(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic) -> None:
    numbered = ((day, malformed_numbers(company, topic, day)) for day in range(company.days))
    days = ", ".join(f"({day}, {numbers.start}, {len(numbers)}, {company.start_us(day)})" for day, numbers in numbered)
    connection.execute(f"CREATE OR REPLACE TABLE malformed_days AS FROM (VALUES {days}) AS days (day, first, lines, day_us)")


def _made(topic: Topic) -> str:
    """CTEs up to `made`: everything made of the payments that landed on some days, and those days' malformed lines."""
    ctes = [f"landed AS ({query('landed_payments')})", f"malformed AS ({query('closing_malformed')})"]
    if topic is TRANSACTIONS:
        made = "SELECT no, created_us, 0 AS kind, created_us AS commit_us FROM landed"
    else:
        ctes += [f"returned AS ({query('returned')})", f"given_back AS ({query(topic.table)})"]
        made = f"SELECT no, {', '.join(topic.columns)}, 0 AS kind, opened_us + late_us AS commit_us FROM given_back"
    times = ", ".join(f"at_us AS {column}" for column in topic.columns)
    ctes.append(f"made AS ({made} UNION ALL SELECT no, {times}, 3 AS kind, at_us AS commit_us FROM malformed)")
    return ", ".join(ctes)
