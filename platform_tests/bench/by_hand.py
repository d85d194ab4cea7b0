"""The same tables in a bare DuckDB script: what the platform's cost is measured against.

It reads the same landing files, binds the same SQL files by hand, and writes the same partitions as zstd Parquet, each ordered
by its key. It has no contracts, proof, quarantine, ledger, books, retries or records of runs; rows that the contracts refuse are
left out by a WHERE that somebody has to keep in step. It needs nothing but DuckDB, so that it starts as fast as a script can.

Run it as `python by_hand.py LANDING LAKE --sql assets_sql`. With `--late FILE` it takes in one more landing file of
transactions and rebuilds the days which that file is about, and what reads them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

ROWS_AT_ONCE = 2_000_000
"""Rows of whole days computed in one go, so that memory does not grow with history."""
WINDOW_DAYS = 90
"""What a day of `merchant_daily` reads of the days before it."""
FILES_AT_ONCE = 20
"""Files of change events read in one go, each of at most 100,000."""
LARGE = 5_000
"""Rows from which a day is written by a query of its own."""

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 10000"

TRANSACTION = (
    "transaction_id", "customer_id", "merchant_id", "amount", "currency", "status", "failure_reason", "region", "payment_method",
    "is_recurring", "transaction_date", "sca_method", "created_at", "updated_at",
)  # fmt: skip
CUSTOMER = ("customer_id", "email", "profile", "status", "registered_at", "updated_at")
MERCHANT = (
    "merchant_id", "name", "mcc", "country", "region", "city", "terms", "active", "time_zone", "created_at", "updated_at",
)  # fmt: skip
RISK = ("customer_id", "scored_at", "model", "score", "band", "factors", "history")
NUMBERS = ("created_at", "updated_at")
LEGACY = {
    "transaction_id": "TXN_REF", "customer_id": "CUST_NO", "merchant_id": "MERCH_NO", "transaction_date": "TXN_DATE",
    "amount": "AMT", "currency": "CCY", "status": "TXN_STATUS", "region": "SALES_REGION", "is_recurring": "RECURRING",
}  # fmt: skip

INSTANT = r"""
CREATE MACRO instant(written) AS CASE
  WHEN contains(written, '-') THEN make_timestamp(epoch_us(TRY_CAST(written AS TIMESTAMPTZ)))
  WHEN contains(written, '/') THEN try_strptime(trim(written), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
  WHEN regexp_full_match(trim(written), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(written AS BIGINT))
END
"""

# The rows that the contract of enriched.transactions lets through.
GOOD_PAYMENT = """
  customer_id IS NOT NULL AND merchant_id IS NOT NULL AND transaction_timestamp IS NOT NULL
  AND amount BETWEEN 0.01 AND 1000000
  AND currency IN ('BRL', 'EUR', 'GBP', 'JPY', 'USD') AND region IN ('APAC', 'EU', 'LATAM', 'NA')
  AND status IN ('authorized', 'captured', 'chargeback', 'failed', 'refunded')
  AND (
    customer_registered_at IS NULL OR transaction_timestamp >= customer_registered_at
    OR (epoch_us(transaction_timestamp) % 86400000000 = 0
        AND epoch_us(transaction_timestamp) + 86400000000 > epoch_us(customer_registered_at))
  )
"""


@dataclass(frozen=True)
class Script:
    """What every step needs.

    Attributes:
        connection: DuckDB.
        landing: Folder of what has landed, `<source>/…`.
        lake: Folder that takes `raw/`, `enriched/` and `marts/`.
        sql: Folder of the tables' SQL.
    """

    connection: duckdb.DuckDBPyConnection
    landing: Path
    lake: Path
    sql: Path

    def run(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query; returns its rows."""
        return self.connection.execute(query).fetchall()

    def view(self, name: str, query: str) -> None:
        """Bind a name that the SQL reads."""
        self.run(f"CREATE OR REPLACE VIEW {name} AS {query}")

    def table(self, name: str) -> str:
        """The SQL of a table, given its name with its layer."""
        return (self.sql / f"{name.replace('.', '/')}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")


def main() -> None:
    """Parse the arguments and run the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("landing", type=Path)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--sql", type=Path, required=True)
    parser.add_argument("--late", type=Path)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    script = Script(_connect(asked.lake, asked.memory, asked.threads), asked.landing, asked.lake, asked.sql)
    if asked.late is None:
        everything(script)
    else:
        late_file(script, asked.late)


def everything(script: Script) -> None:
    """Landing files to marts."""
    for table, key, columns in (("customers", "customer_id", CUSTOMER), ("merchants", "merchant_id", MERCHANT)):
        script.run(f"CREATE TEMP TABLE events AS {debezium(files(script, table), table, key, columns)}")
        write(script, f"raw/{table}", "SELECT * EXCLUDE (is_event) FROM events WHERE is_event")
        script.run("DROP TABLE events")
    write(script, "raw/customer_risk", risk(files(script, "customer_risk")))
    write(script, "raw/fx_rates", rates(files(script, "fx_rates")))
    write(script, "raw/merchant_categories", categories(files(script, "merchant_categories")))
    landed = files(script, "transactions")
    for first in range(0, len(landed), FILES_AT_ONCE):
        write_raw_days(script, "transactions", payments(landed[first : first + FILES_AT_ONCE]))
    write_raw_days(script, "legacy_transactions", legacy(files(script, "legacy_transactions")))
    bind_whole(script)
    script.view("latest.fx_rates", newest("raw.fx_rates", "date, currency"))
    script.view("latest.merchant_categories", newest("raw.merchant_categories", "mcc"))
    script.view("latest.customer_risk", newest("raw.customer_risk", "customer_id"))
    script.view("history.customers", history("customers", CUSTOMER))
    script.view("history.merchants", history("merchants", MERCHANT))
    for name, key in (
        ("fx_rates", "rate_date, currency"),
        ("dollar_rates", "rate_date, currency"),
        ("merchant_categories", "mcc"),
        ("customer_history", "customer_id, valid_from"),
        ("customers", "customer_id"),
        ("customer_risk", "customer_id"),
        ("merchants", "merchant_id, valid_from"),
    ):
        write(script, f"enriched/{name}", f"{script.table(f'enriched.{name}')} ORDER BY {key}")
    rebuild(script, None)


def late_file(script: Script, late: Path) -> None:
    """Take in one more file of transactions, and rebuild the days that depend on it."""
    days = write_raw_days(script, "transactions", payments([late]))
    bind_whole(script)
    rebuild(script, {day.isoformat() for day in days})


def rebuild(script: Script, dirty: set[str] | None) -> None:
    """Compute days of the daily tables, all of them if none are named, and the marts that are added up from them."""
    for days in chunks(script, ("raw/transactions", "raw/legacy_transactions"), dirty):
        script.view("latest.transactions", newest(day_files(script, "raw/transactions", days), "transaction_id"))
        script.view("latest.legacy_transactions", newest(day_files(script, "raw/legacy_transactions", days), "transaction_id"))
        write_days(script, "enriched.transactions", days, "transaction_id", GOOD_PAYMENT)
    for days in chunks(script, ("enriched/transactions",), dirty):
        script.view("enriched.transactions", f"FROM {day_files(script, 'enriched/transactions', days)}")
        write_days(script, "marts.transactions_enriched", days, "transaction_id")
    for days in chunks(script, ("marts/transactions_enriched",), dirty):
        script.view("marts.transactions_enriched", f"FROM {day_files(script, 'marts/transactions_enriched', days)}")
        write_days(script, "marts.daily_revenue", days, "transaction_date, region, currency")
    for days in chunks(script, ("marts/transactions_enriched",), None if dirty is None else _with_following(dirty)):
        read = day_files(script, "marts/transactions_enriched", _with_preceding(days))
        script.view("marts.transactions_enriched", f"FROM {read}")
        write_days(script, "marts.merchant_daily", days, "merchant_id, transaction_date")
    for month in sorted({path.name.partition("=")[2][:7] for path in (script.lake / "marts/transactions_enriched").iterdir()}):
        if dirty is None or any(day.startswith(month) for day in dirty):
            read = f"{script.lake}/marts/transactions_enriched/transaction_date={month}-*/data.parquet"
            script.view("marts.transactions_enriched", f"FROM read_parquet('{read}')")
            spent = f"{script.table('marts.customer_spending')} ORDER BY customer_id"
            write(script, f"marts/customer_spending/month={month}-01", spent)
    script.view("marts.customer_spending", f"FROM read_parquet('{script.lake}/marts/customer_spending/*/data.parquet')")
    write(script, "marts/customer_lifetime", f"{script.table('marts.customer_lifetime')} ORDER BY customer_id")


# --- Landing files to raw events --------------------------------------------------------------------------------------


def files(script: Script, source: str) -> list[Path]:
    """What has landed for a source."""
    return sorted(path for path in (script.landing / source).rglob("*") if path.is_file())


def debezium(paths: Sequence[Path], table: str, key: str, columns: Sequence[str]) -> str:
    """Query of the records in files of Debezium envelopes, of which `is_event` are change events of a table.

    The records are not read straight into columns: with `ignore_errors`, `read_json` swallows the record after one that was cut
    off. And they are not filtered here: DuckDB would take each record apart once more for every column that the filter names.
    """
    row = ", ".join(f'"{name}": "VARCHAR"' for name in columns)
    shape = (
        '{"op": "VARCHAR", "source": {"table": "VARCHAR", "sequence": "VARCHAR", "lsn": "BIGINT", "ts_ms": "BIGINT"}, '
        f'"before": {{"{key}": "VARCHAR"}}, "after": {{{row}}}}}'
    )
    values = ", ".join(
        f"coalesce(e.after.{name}, e.before.{name}) AS {name}"
        if name == key
        else f"TRY_CAST(e.after.{name} AS BIGINT) AS {name}"
        if name in NUMBERS
        else f"e.after.{name} AS {name}"
        for name in columns
    )
    return f"""
      SELECT {values}, e.op AS _op,
        [coalesce(TRY_CAST(split_part(e.source.sequence, '"', 2) AS BIGINT), e.source.lsn), e.source.lsn] AS _sequence,
        make_timestamptz(e.source.ts_ms * 1000) AS _source_timestamp,
        {_now()} AS _ingested_at, '{table}' AS _source, filename AS _landing_object,
        e.op IN ('c', 'u', 'd', 'r') AND e.source."table" = '{table}' AND coalesce(e.after.{key}, e.before.{key}) IS NOT NULL
          AS is_event
      FROM (
        SELECT CASE WHEN json_valid(json) THEN json_transform(json, '{shape}') END AS e, filename
        FROM read_ndjson_objects({_list(paths)}, compression='gzip', ignore_errors=true, filename=true)
      )"""


def payments(paths: Sequence[Path]) -> str:
    """Query of the records of payments, with the day each is about."""
    events = debezium(paths, "transactions", "transaction_id", TRANSACTION)
    return f"SELECT *, instant(transaction_date)::DATE AS event_date FROM ({events})"


def legacy(paths: Sequence[Path]) -> str:
    """Query of the payments in the old archive."""
    values = ", ".join(f"{header} AS {name}" for name, header in LEGACY.items())
    return f"""
      SELECT {values}, instant(TXN_DATE)::DATE AS event_date, 'r' AS _op, [0::BIGINT] AS _sequence,
        {_now()} AS _ingested_at, 'legacy_transactions' AS _source, filename AS _landing_object, true AS is_event
      FROM read_csv({_list(paths)}, header=true, all_varchar=true, filename=true)"""


def risk(paths: Sequence[Path]) -> str:
    """Query of the scoring service's answers."""
    return f"""
      SELECT * EXCLUDE (filename), 'r' AS _op, [epoch_us(instant(scored_at))] AS _sequence,
        {_now()} AS _ingested_at, 'customer_risk' AS _source, filename AS _landing_object
      FROM read_json({_list(paths)}, format='newline_delimited', filename=true, columns={dict.fromkeys(RISK, "VARCHAR")})"""


def rates(paths: Sequence[Path]) -> str:
    """Query of the cells of the European Central Bank's files."""
    cells = f"""
      UNPIVOT (FROM read_csv({_list(paths)}, header=true, all_varchar=true, filename=true, null_padding=true))
      ON COLUMNS('^[A-Z]{{3}}$') INTO NAME currency VALUE rate"""
    return f"""
      SELECT Date::DATE AS date, currency, TRY_CAST(trim(rate) AS DECIMAL(18,8)) AS rate, 'r' AS _op,
        [regexp_replace(regexp_extract(filename, '\\d{{4}}-?\\d{{2}}-?\\d{{2}}'), '-', '', 'g')::BIGINT] AS _sequence,
        {_now()} AS _ingested_at, 'fx_rates' AS _source, filename AS _landing_object
      FROM ({cells}) WHERE trim(rate) NOT IN ('', 'N/A')"""


def categories(paths: Sequence[Path]) -> str:
    """Query of the merchant category codes."""
    return f"""
      SELECT * EXCLUDE (filename), 'r' AS _op, [0::BIGINT] AS _sequence,
        {_now()} AS _ingested_at, 'merchant_categories' AS _source, filename AS _landing_object
      FROM read_csv({_list(paths)}, header=true, all_varchar=true, filename=true)"""


# --- Names that the SQL reads -----------------------------------------------------------------------------------------


def bind_whole(script: Script) -> None:
    """Bind the tables that are not cut into days to their one file each."""
    for name in ("customers", "merchants", "customer_risk", "fx_rates", "merchant_categories"):
        script.view(f"raw.{name}", f"FROM read_parquet('{script.lake}/raw/{name}/data.parquet')")
    # Not there yet when everything is made anew; bound again once it is.
    for path in (script.lake / "enriched").glob("*/data.parquet"):
        bind_enriched(script, path.parent.name)


def bind_enriched(script: Script, name: str) -> None:
    """Bind an enriched table to its one file."""
    script.view(f"enriched.{name}", f"FROM read_parquet('{script.lake}/enriched/{name}/data.parquet')")


def newest(relation: str, key: str) -> str:
    """Query of the newest event of each key, deleted keys left out."""
    order = "_sequence DESC, _op = 'd' DESC, _landing_object"
    return f"""
      SELECT * FROM (
        FROM {relation} QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1
      ) WHERE _op <> 'd'"""


def history(source: str, columns: Sequence[str]) -> str:
    """Query of the spans in which nothing changed, of a source whose first column is its key."""
    key, *state = columns
    values = f"(_op = 'd', {', '.join(state)})"
    return f"""
      WITH positions AS (
        SELECT *, coalesce(_source_timestamp, _ingested_at) AS since FROM raw.{source}
        QUALIFY row_number() OVER (PARTITION BY {key}, _sequence ORDER BY _op = 'd' DESC, _landing_object) = 1
      ),
      lasting AS (
        SELECT * FROM positions
        QUALIFY row_number() OVER (PARTITION BY {key}, since ORDER BY _sequence DESC) = 1
      ),
      changed AS (
        SELECT * FROM lasting
        QUALIFY {values} IS DISTINCT FROM lag({values}) OVER (PARTITION BY {key} ORDER BY _sequence)
      ),
      spans AS (
        SELECT *, since AS valid_from, lead(since) OVER (PARTITION BY {key} ORDER BY _sequence) AS valid_to FROM changed
      )
      SELECT *, valid_to IS NULL AS is_current FROM spans WHERE _op <> 'd'"""


def day_files(script: Script, folder: str, days: Collection[str]) -> str:
    """Relation over the files of some days of a table; that of no file has the table's columns all the same."""
    column = "event_date" if folder.startswith("raw/") else "transaction_date"
    found = [path for day in sorted(days) for path in sorted((script.lake / folder / f"{column}={day}").glob("*.parquet"))]
    if found:
        return f"read_parquet({_list(found)}, hive_partitioning=false)"
    any_file = next((script.lake / folder).rglob("*.parquet"))
    return f"(SELECT * FROM read_parquet('{any_file}', hive_partitioning=false) WHERE false)"


def chunks(script: Script, folders: Sequence[str], only: Collection[str] | None) -> Iterator[list[str]]:
    """Days of tables, in groups of bounded size."""
    rows: dict[str, int] = {}
    for folder in folders:
        for path in (script.lake / folder).glob("*/*.parquet"):
            day = path.parent.name.partition("=")[2]
            if only is None or day in only:
                rows.setdefault(day, 0)
    counted = [
        f"SELECT filename, num_rows FROM parquet_file_metadata({_list(found)}) AS of(filename, a, num_rows)"
        for folder in folders
        if (found := [path for day in rows for path in (script.lake / folder).glob(f"*={day}/*.parquet")])
    ]
    for filename, count in script.run(" UNION ALL ".join(counted)) if counted else []:
        rows[Path(filename).parent.name.partition("=")[2]] += count
    chunk: list[str] = []
    for day in sorted(rows):
        if chunk and sum(rows[each] for each in chunk) + rows[day] > ROWS_AT_ONCE:
            yield chunk
            chunk = []
        chunk.append(day)
    if chunk:
        yield chunk


def _with_preceding(days: Collection[str]) -> set[str]:
    return {_shifted(day, -back) for day in days for back in range(WINDOW_DAYS + 1)}


def _with_following(days: Collection[str]) -> set[str]:
    return {_shifted(day, ahead) for day in days for ahead in range(WINDOW_DAYS + 1)}


def _shifted(day: str, days: int) -> str:
    return (dt.date.fromisoformat(day) + dt.timedelta(days)).isoformat()


# --- Writing ----------------------------------------------------------------------------------------------------------


def write(script: Script, folder: str, query: str) -> None:
    """Write a table that is not cut into days; an enriched one is bound to its file."""
    (script.lake / folder).mkdir(parents=True, exist_ok=True)
    script.run(f"COPY ({query}) TO '{script.lake}/{folder}/data.parquet' ({PARQUET})")
    layer, _, name = folder.partition("/")
    if layer == "enriched":
        bind_enriched(script, name)


def write_raw_days(script: Script, name: str, records: str) -> list[dt.date]:
    """Write the events among some records to the days that they are about, beside what is there; returns those days."""
    script.run(f"CREATE TEMP TABLE records AS {records}")
    script.run("CREATE TEMP VIEW events AS SELECT * EXCLUDE (is_event) FROM records WHERE is_event AND event_date IS NOT NULL")
    days = _write_days_of(script, "events", f"raw/{name}", "event_date", "", "landed-{uuid}")
    script.run("DROP VIEW events")
    script.run("DROP TABLE records")
    return days


def write_days(script: Script, name: str, days: Collection[str], key: str, good: str = "true") -> None:
    """Compute days of a table, and write each to its one file."""
    wanted = ", ".join(f"DATE '{day}'" for day in days)
    script.run(
        f"CREATE OR REPLACE TEMP TABLE staged AS FROM ({script.table(name)}) WHERE transaction_date IN ({wanted}) AND ({good})"
    )
    _write_days_of(script, "staged", name.replace(".", "/"), "transaction_date", f"ORDER BY {key}", "data")
    script.run("DROP TABLE staged")


def _write_days_of(script: Script, rows: str, folder: str, column: str, order: str, name: str) -> list[dt.date]:
    """Write a table's days, and return them: large ones one by one, small ones together, which is fastest."""
    target = script.lake / folder
    target.mkdir(parents=True, exist_ok=True)
    counted = script.run(f"SELECT {column}, count(*) FROM {rows} GROUP BY 1")
    small = [day for day, count in counted if count < LARGE]
    if small:
        wanted = ", ".join(f"DATE '{day}'" for day in small)
        script.run(
            f"COPY (FROM {rows} WHERE {column} IN ({wanted}) {order}) TO '{target}' ({PARQUET}, PARTITION_BY ({column}), "
            f"WRITE_PARTITION_COLUMNS true, OVERWRITE_OR_IGNORE true, FILENAME_PATTERN '{name}')"
        )
        if name == "data":
            _name_plainly(target)
    for day, count in counted:
        if count >= LARGE:
            place = target / f"{column}={day}"
            place.mkdir(exist_ok=True)
            file = "data" if name == "data" else f"landed-{uuid.uuid4()}"
            script.run(f"COPY (FROM {rows} WHERE {column} = DATE '{day}' {order}) TO '{place}/{file}.parquet' ({PARQUET})")
    return [day for day, _ in counted]


def _name_plainly(folder: Path) -> None:
    """Take the number out of the file names that a partitioned write gives."""
    for path in folder.glob("*/data?*.parquet"):
        path.replace(path.with_name("data.parquet"))


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(f"'{path}'" for path in paths) + "]"


def _now() -> str:
    return f"TIMESTAMPTZ '{dt.datetime.now(dt.UTC).isoformat(timespec='seconds')}'"


def _connect(lake: Path, memory: str, threads: int) -> duckdb.DuckDBPyConnection:
    scratch = lake / ".scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    connection = duckdb.connect(config={"memory_limit": memory, "threads": threads, "temp_directory": str(scratch)})
    connection.execute("SET TimeZone = 'UTC'")
    # With fewer, a partitioned write of many days closes files half-way, and a day gets several.
    connection.execute("SET partitioned_write_max_open_files = 10000")
    connection.execute(INSTANT)
    for schema in ("raw", "latest", "history", "enriched", "marts"):
        connection.execute(f"CREATE SCHEMA {schema}")
    return connection


if __name__ == "__main__":
    main()
