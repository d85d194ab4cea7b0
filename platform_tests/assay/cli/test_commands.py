"""The commands as a user runs them: output, JSON, exit codes, help."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Shop, change, new_shop, write_landing

from assay.lake.layout import proofs_prefix


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop after `assay run`."""
    folder = tmp_path_factory.mktemp("ran")
    write_landing(folder / "files")
    shop = new_shop(folder / "shop", folder / "files")
    done = shop.run("run")
    assert done.returncode == 0, done.stderr
    assert "Books" in done.stdout
    return shop


def test_run_again_rebuilds_nothing(ran: Shop) -> None:
    report = ran.report()
    assert report["partitions"]["rebuilt"] == 0
    assert report["partitions"]["failed"] == 0
    assert report["partitions"]["unchanged"] == 39
    assert set(report["books"]["enriched.orders"]) >= {
        "received",
        "published",
        "quarantined",
        "superseded",
        "deleted",
        "balanced",
    }
    assert {"ingest", "enriched", "marts", "total"} <= report["seconds"].keys()


def test_verify_finds_everything_as_it_should_be_and_a_change_by_hand(ran: Shop, tmp_path: Path) -> None:
    assert ran.report("verify")["partitions"] == {"rebuilt": 0, "unchanged": 39, "failed": 0}
    one = json.loads(ran.run("verify", "daily_totals", "--json").stdout)
    assert list(one["books"]) == ["marts.daily_totals"]
    assert one["partitions"]["unchanged"] == 12
    added_up = ran.report("verify", "--totals")
    assert added_up["partitions"]["failed"] == 0
    assert 12 <= added_up["partitions"]["unchanged"] < 39


def test_sql_prints_a_table_json_csv_and_parquet(ran: Shop, tmp_path: Path) -> None:
    query = "select order_day, sum(order_count) as orders from marts.daily_totals group by 1 order by 1"
    assert "2025-01-01" in ran.run("sql", query).stdout
    rows = json.loads(ran.run("sql", query, "--json").stdout)
    assert len(rows) == 12
    first = next(csv.DictReader(io.StringIO(ran.run("sql", query, "--csv").stdout)))
    assert first["order_day"] == "2025-01-01"
    written = tmp_path / "out.parquet"
    assert ran.run("sql", query, "--parquet", str(written)).returncode == 0
    import pyarrow.parquet as pq

    assert pq.read_table(written).num_rows == 12


@pytest.mark.parametrize(
    "relation", ["latest.orders", "changes.orders", "history.customers", "enriched.levels", "marts.shop_totals"]
)
def test_sql_reads_every_layer(ran: Shop, relation: str) -> None:
    rows = json.loads(ran.run("sql", f"select count(*) as n from {relation}", "--json").stdout)
    assert rows[0]["n"] > 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from marts.daily_total", "Did you mean marts.daily_totals"),
        ("select * from daily_totals", "Did you mean marts.daily_totals?"),
        ("select try_cast(customer_id as int), cast(customer_id as int) from marts.shop_totals", "Conversion Error"),
        ("select nonsense from marts.daily_totals", "nonsense"),
        ("drop table marts.daily_totals", "one SELECT"),
        ("select from where", "The query does not parse: "),
        ("select\n 'text", "The query does not parse: at line 2, a text, a name or a comment is never closed"),
    ],
)
def test_a_wrong_query_is_one_clear_error(ran: Shop, query: str, said: str) -> None:
    done = ran.run("sql", query)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_columns_of_one_name_have_no_place_in_json(ran: Shop) -> None:
    done = ran.run("sql", "select 1 as one, 2 as one", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "two columns named one" in done.stderr
    assert ran.run("sql", "select 1 as one, 2 as one", "--csv").stdout == "one,one\n1,2\n"


def test_a_query_may_name_its_own_parts_as_tables_are_named(ran: Shop) -> None:
    done = ran.run("sql", "with daily_totals as (select 1 as one) select * from daily_totals", "--csv")
    assert done.stdout == "one\n1\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sql", "select 1", "--parquet", "/nowhere/x.parquet"), "/nowhere/x.parquet cannot be written: No such file"),
        (("quality", "report", "--to", "/dev/null/x.html"), "/dev/null"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_clear_error(ran: Shop, arguments: tuple[str, ...], said: str) -> None:
    done = ran.run(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_of_totals_refuses_what_has_none(ran: Shop) -> None:
    done = ran.run("verify", "--totals", "enriched.orders")
    assert done.returncode == 1
    assert "no totals to compare" in done.stderr
    assert "12 partitions match the totals of their inputs, 0 do not" in ran.run("verify", "--totals", "daily_totals").stdout


def test_tables_and_describe(ran: Shop) -> None:
    listed = {each["table"]: each for each in json.loads(ran.run("tables", "--json").stdout)}
    assert listed["enriched.orders"]["partitions"] == 12
    assert "marts.shop_totals" in ran.run("tables").stdout
    described = json.loads(ran.run("describe", "daily_totals", "--json").stdout)
    assert described["upstream"] == ["enriched.orders"]
    assert described["partitioned by"] == "day"
    amount = next(column for column in described["columns"] if column["name"] == "amount")
    assert amount == {
        "name": "amount",
        "type": "DECIMAL(18,2)",
        "nullable": False,
        "description": "What they cost",
        "unit": "EUR",
        "pii": None,
        "from": ["enriched.orders.amount"],
    }
    assert described["books"]["balanced"]
    shown = ran.run("describe", "customer_weeks").stdout
    assert "windows: enriched.orders: its own period, the 6 before it" in shown
    assert re.search(r"^books: balanced; received [\d,]+, published", shown, re.MULTILINE)
    shown = ran.run("describe", "enriched.customers").stdout
    assert "name" in shown
    own = json.loads(ran.run("describe", "quality.rule_results", "--json").stdout)
    assert [column["name"] for column in own["columns"]][:2] == ["table_name", "partition"]
    assert all(column["description"] for column in own["columns"])
    source = json.loads(ran.run("describe", "raw.orders", "--json").stdout)
    assert source["format"] == "debezium-json"


def test_land_then_run_rebuilds_only_what_the_file_is_about(ran: Shop, tmp_path: Path) -> None:
    late = tmp_path / "late.json"
    late.write_text(change("orders", 5_000_000, order_id="late", customer_id="c1", amount="5.00", ordered_at="2025-01-03"))
    landed = ran.run("land", "orders", str(late))
    assert landed.returncode == 0
    assert "landing/orders/late.json" in landed.stdout
    again = ran.run("land", "orders", str(late))
    assert again.returncode == 1
    assert "another name" in again.stderr
    import time

    time.sleep(2.2)
    report = ran.report()
    # Its day in three daily tables, the days whose week has it and where the customer ordered, and the whole-table mart.
    assert 4 <= report["partitions"]["rebuilt"] <= 10
    assert report["books"]["raw.orders"]["received"] == 9001


def test_compact_says_what_it_merged(ran: Shop) -> None:
    nothing = {"merged": 0, "into": 0, "rows": 0, "partitions": [], "removed": 0, "forgotten": {"rows": 0, "events": 0}}
    assert ran.report("compact")["raw.customers"] == nothing
    done = ran.run("compact", "raw.orders", "--grace-hours", "0")
    assert done.stdout == "raw.orders: 0 raw objects of 0 rows merged into 0, 0 removed\n"
    assert "There are customers, orders." in ran.run("compact", "nonsense").stderr


def test_compact_says_what_was_forgotten(tmp_path: Path) -> None:
    parcels = Shop(tmp_path / "home", (tmp_path / "lake").as_uri(), {"ASSAY_DOMAIN": "parcels"})
    landed = tmp_path / "lake/landing/parcels/1.json"
    landed.parent.mkdir(parents=True)
    made = change("parcels", 1, parcel_id="p1", grams="5", day="2025-01-02")
    landed.write_text(f"{made}\n{change('parcels', 2, 'd', {'parcel_id': 'p1'})}")
    os.utime(landed, (1735700000, 1735700000))
    parcels.report()
    assert "deletes kept: 365 days" in parcels.run("describe", "raw.parcels").stdout
    said = parcels.run("compact").stdout.splitlines()
    assert said[0] == "raw.parcels: 1 deleted rows were forgotten, with all of their 3 events"
    assert parcels.report("compact")["raw.parcels"]["forgotten"] == {"rows": 0, "events": 0}


def test_compact_restores_proofs_that_were_lost(tmp_path: Path) -> None:
    parcels = Shop(tmp_path / "home", (tmp_path / "lake").as_uri(), {"ASSAY_DOMAIN": "parcels"})
    landed = tmp_path / "lake/landing/parcels/1.json"
    landed.parent.mkdir(parents=True)
    landed.write_text(change("parcels", 1, parcel_id="p1", grams="5", day="2025-01-02"))
    os.utime(landed, (1735700000, 1735700000))
    parcels.report()
    shutil.rmtree(tmp_path / "lake" / proofs_prefix())
    assert " of published partitions restored" not in parcels.run("compact", "parcels").stdout
    assert " of published partitions restored" in parcels.run("compact").stdout


def test_land_says_why_a_file_was_not_landed(ran: Shop, tmp_path: Path) -> None:
    file = tmp_path / "once.json"
    file.write_text("")
    own = replace(ran, lake=f"file://{tmp_path}/lake")
    assert own.run("land", "orders", str(file)).returncode == 0
    again = own.run("land", "orders", str(file)).stderr
    assert "landing/orders/once.json is there already. A landed file is never replaced; give it another name." in again
    nowhere = replace(ran, lake="file:///proc/lake").run("land", "orders", str(file)).stderr
    assert "Check the folder that ASSAY_LAKE names" in nowhere
    assert "never replaced" not in nowhere


def test_land_refuses_what_is_not_there(ran: Shop, tmp_path: Path) -> None:
    assert "Did you mean orders?" in ran.run("land", "order", str(tmp_path)).stderr
    assert f"There is no file in {tmp_path}" in ran.run("land", "orders", str(tmp_path)).stderr
    assert "There is no file" in ran.run("land", "orders", str(tmp_path / "none.json")).stderr


def test_a_failed_proof_exits_with_one_and_says_which_and_why(tmp_path: Path) -> None:
    files = tmp_path / "files" / "orders"
    files.mkdir(parents=True)
    bad = [change("orders", n, order_id=f"o{n}", customer_id="c1", amount="-1", ordered_at="2025-01-01") for n in range(5)]
    (files / "o.json").write_text("\n".join(bad))
    import os

    os.utime(files / "o.json", (1735700000, 1735700000))
    shop = new_shop(tmp_path / "shop", tmp_path / "files")
    done = shop.run("run")
    assert done.returncode == 1
    assert "enriched.orders 2025-01-01" in " ".join(done.stdout.split())
    assert "threshold" in done.stdout
    (rules,) = (line for line in done.stdout.splitlines() if line.startswith("  assay sql"))
    broken = json.loads(shop.run(*shlex.split(rules)[1:], "--json").stdout)
    assert {(each["table_name"], each["rule"], each["broken"]) for each in broken} == {
        ("enriched.orders", "amount_at_least", 5),
        ("enriched.orders", "customer_known", 5),
    }
    report = shop.report()
    assert report["partitions"]["failed"] == 1
    assert "2025-01-01" in report["failures"]["enriched.orders"]


@pytest.mark.parametrize("command", ["demo", "up", "land", "run", "compact", "verify", "sql", "tables", "describe"])
def test_every_command_has_help_with_an_example(ran: Shop, command: str) -> None:
    done = ran.run(command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_demo_of_a_domain_without_one_says_so(ran: Shop) -> None:
    done = ran.run("demo")
    assert done.returncode == 1
    assert "no demo" in done.stderr
