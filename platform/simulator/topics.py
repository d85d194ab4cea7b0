"""Changes in the company's databases, as written by Debezium and Kafka Connect's S3 sink.

Belongs here: the records of a topic on a day, their partitions and order, and their division into objects. Does not
belong here: the lines' text (SQL files), the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from simulator.company import Company
from simulator.connect_schema import wrapping
from simulator.files import LandingFile, write_query
from simulator.model import PAYMENTS_A_QUERY, query, set_company, set_wrapping

PARTITIONS = 3
RECORDS_A_FILE = 100_000

# A dispute is closed at most 20 hours + 20 days + 45 days after its payment landed; all other changes come earlier.
_DAYS_OF_CHANGES = 66

# Positions leave room for 2^28 changes of a topic and day, 256 bytes apart.
_LOG_OF_A_DAY = 1 << 36
_LOG_OF_A_CHANGE = 256


@dataclass(frozen=True)
class Topic:
    """A table whose changes are captured.

    Attributes:
        table: Name of the table, and of the source.
        columns: The table's columns that the lines' query reads besides `no`, `kind` and `commit_us`.
        code: Added to log positions, so that no two tables share one.
        payment: Expression over a record's `no` for the number of its payment, if it has one.
    """

    table: str
    columns: tuple[str, ...]
    code: int
    payment: str | None = None

    @property
    def name(self) -> str:
        """Name of the Kafka topic."""
        return f"payments.public.{self.table}"


CUSTOMERS = Topic("customers", (), 8)
MERCHANTS = Topic("merchants", (), 16)
TRANSACTIONS = Topic("transactions", ("created_us",), 24, "no")
_TIMES = ("created_us", "captured_us", "opened_us", "closed_us")
REFUNDS = Topic("refunds", _TIMES, 32, "no // 4")
CHARGEBACKS = Topic("chargebacks", _TIMES, 40, "no")
TOPICS = (CUSTOMERS, MERCHANTS, TRANSACTIONS, REFUNDS, CHARGEBACKS)


@dataclass(frozen=True)
class Slice:
    """Records of one object: neighbours in a day's records.

    Attributes:
        topic: The topic.
        day: The day.
        partition: The Kafka partition.
        offset: Offset of the first record.
        first: The first record's place in the day's records.
        records: How many there are.
    """

    topic: Topic
    day: int
    partition: int
    offset: int
    first: int
    records: int

    @property
    def name(self) -> str:
        """Key of the object, as named by the sink."""
        topic = self.topic.name
        return f"topics/{topic}/partition={self.partition}/{topic}+{self.partition}+{self.offset:010d}.json.gz"


def count_day(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic, day: int) -> dict[int, int]:
    """Count a day's records by Kafka partition."""
    _rank_changes(connection, company, topic, day)
    counted = connection.execute(f"SELECT part, count(*) FROM ({_deliveries(topic)}) GROUP BY part").fetchall()
    return dict(counted)


def prepare_day(
    connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic, day: int, offsets: dict[int, int]
) -> list[Slice]:
    """Generate a day's records, and divide them into objects.

    Args:
        connection: The model.
        company: The company.
        topic: The topic.
        day: The day.
        offsets: Next offset by Kafka partition; advanced.
    """
    _rank_changes(connection, company, topic, day)
    # Sorted by partition first: each object is then a range of row numbers.
    connection.execute(
        f"CREATE OR REPLACE TABLE {_table(topic, day)} AS FROM ({_deliveries(topic)}) ORDER BY part, delivered_us, rank"
    )
    connection.execute("DROP TABLE ranked")
    counts = dict(connection.execute(f"SELECT part, count(*) FROM {_table(topic, day)} GROUP BY part").fetchall())
    slices = []
    first = 0
    for partition in range(PARTITIONS):
        end = first + counts.get(partition, 0)
        while first < end:
            records = min(RECORDS_A_FILE, end - first)
            slices.append(Slice(topic, day, partition, offsets.get(partition, 0), first, records))
            offsets[partition] = offsets.get(partition, 0) + records
            first += records
    return slices


def drop_day(connection: duckdb.DuckDBPyConnection, topic: Topic, day: int) -> None:
    """Drop a day's records, once all its objects are written."""
    connection.execute(f"DROP TABLE {_table(topic, day)}")


def write_slice(connection: duckdb.DuckDBPyConnection, company: Company, part: Slice, folder: Path) -> LandingFile:
    """Write one object.

    Args:
        connection: The model; a cursor of it is used, so that objects may be written at the same time.
        company: The company.
        part: The object.
        folder: Folder for the file.
    """
    topic = part.topic
    path = folder / topic.table / part.name
    with connection.cursor() as cursor:
        set_company(cursor, company)
        if company.schemas:
            set_wrapping(cursor, *wrapping(topic.table))
        write_query(
            cursor,
            f"WITH {_records(topic, part.day)} FROM ({query(f'{topic.table}_lines')})",
            {
                "first": part.first,
                "last": part.first + part.records - 1,
                "log": (part.day + 1) * _LOG_OF_A_DAY + topic.code,
            },
            path,
        )
    return LandingFile(topic.table, part.name, path, part.records)


def values_of(topic: Topic, records: str) -> str:
    """Write the CTE `valued`: records of a topic with the values of their payments.

    Args:
        topic: A topic whose records are about payments.
        records: A relation of records with `no` and the payment's `created_us`; their `no` becomes `record_no`.
    """
    payment = f"SELECT * EXCLUDE (no), no AS record_no, {topic.payment} AS no FROM {records}"
    return f"payment AS ({payment}), valued AS ({query('payment_values')})"


def _rank_changes(connection: duckdb.DuckDBPyConnection, company: Company, topic: Topic, day: int) -> None:
    # A table's row numbers follow its order: the rank of a change within the day, which determines its log position.
    columns = "".join(f"{column} BIGINT, " for column in topic.columns)
    connection.execute(f"CREATE OR REPLACE TABLE changes (no BIGINT, {columns}kind TINYINT, commit_us BIGINT)")
    if topic.payment is not None:
        _remember_returned(connection, company, day)
    for text, parameters in _changes(company, topic, day):
        connection.execute(f"INSERT INTO changes {text}", parameters)
    connection.execute("CREATE OR REPLACE TABLE ranked AS FROM changes ORDER BY commit_us, no, kind")
    connection.execute("DROP TABLE changes")


def _remember_returned(connection: duckdb.DuckDBPyConnection, company: Company, day: int) -> None:
    """Keep the returns of the payments that landed on a day and on earlier days, as far back as they matter."""
    wanted = range(max(0, day - _DAYS_OF_CHANGES), day + 1)
    known = {found for (found,) in connection.execute("SELECT day FROM returned_days").fetchall()}
    missing = [number for number in wanted if number not in known]
    if not missing:
        return
    for group in company.groups(range(missing[0], missing[-1] + 1), PAYMENTS_A_QUERY):
        connection.execute(
            f"INSERT INTO returned WITH landed AS NOT MATERIALIZED ({query('landed_payments')}) {query('returned')}",
            {"from_day": group[0], "to_day": group[-1]},
        )
    connection.executemany("INSERT INTO returned_days VALUES (?)", [[number] for number in missing])
    for table in ("returned", "returned_days"):
        connection.execute(f"DELETE FROM {table} WHERE day < ?", [wanted.start])


def _changes(company: Company, topic: Topic, day: int) -> list[tuple[str, dict[str, int]]]:
    """Queries of the changes committed on a day, including malformed lines, each with its parameters."""
    on_day = {"day": day, "day_us": company.start_us(day)}
    if topic.payment is None:
        return [(query(f"{topic.table}_changes"), on_day)]
    if topic is TRANSACTIONS:
        text = f"WITH landed AS NOT MATERIALIZED ({query('landed_payments')}) {query('transactions_changes')}"
        # A capture follows within 20 hours.
        changes = (text, {"from_day": max(0, day - 1), "to_day": day, **on_day})
        malformed = query("transactions_malformed")
    else:
        text = f"WITH given_back AS NOT MATERIALIZED ({query(topic.table)}) {query('returns_changes')}"
        changes = (text, {"day_us": company.start_us(day)})
        malformed = query("returns_malformed")
    numbers = malformed_numbers(company, topic, day)
    return [changes, (malformed, {"first": numbers.start, "lines": len(numbers), "day_us": company.start_us(day)})]


def malformed_numbers(company: Company, topic: Topic, day: int) -> range:
    """Numbers of a topic's malformed lines on a day; no payment has these numbers."""
    if topic is CHARGEBACKS:
        return company.malformed_chargebacks(day)
    lines = {TRANSACTIONS: company.malformed_lines, REFUNDS: company.malformed_refunds}.get(topic, 0)
    return range(1 + day * lines, 1 + (day + 1) * lines)


def _deliveries(topic: Topic) -> str:
    if topic.payment is None:
        return query("plain_deliveries")
    return query("transactions_deliveries" if topic is TRANSACTIONS else "returns_deliveries")


def _table(topic: Topic, day: int) -> str:
    return f"records_{topic.table}_{day}"


def _records(topic: Topic, day: int) -> str:
    columns = "".join(f"{column}, " for column in topic.columns)
    record = (
        f"record AS (SELECT rowid - $first AS line_no, no, kind, {columns}commit_us, "
        f"$log + (rank + 1) * {_LOG_OF_A_CHANGE} AS lsn "
        f"FROM {_table(topic, day)} WHERE rowid BETWEEN $first AND $last)"
    )
    if topic.payment is None:
        return record
    return f"{record}, {values_of(topic, 'record')}"
