"""Customers as they were, the audit trail and alerts through the real engine: late data, deletions, back-tests, commands."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from change_lines import change, text
from click.testing import Result
from command_line import Shop
from shop_lake import LANDED_AT, ShopLake
from typer.testing import CliRunner

from assay.cli.app import app
from assay.contracts.monitoring import WINDOW, MonitoringRule
from assay.errors import SettingsError
from assay.pipeline.as_of import find_history, instant, snapshot
from assay.pipeline.backtest import Backtest, Counts, backtest, find_rule
from assay.pipeline.state import State
from assay.pipeline.verify import verify_table
from payments import DOMAIN
from payments.monitoring import RULES, STRUCTURING, VELOCITY

TRAIL = "marts.transaction_audit_trail"
LATER = LANDED_AT + dt.timedelta(days=3)


def at(day: int, hour: int = 12) -> int:
    """An instant of January 2025, in milliseconds."""
    return round(dt.datetime(2025, 1, day, hour, tzinfo=dt.UTC).timestamp() * 1000)


def paid(
    key: str, position: int, day: int, amount: str = "9000.00", *, op: str = "c", told: int | None = None, **more: Any
) -> str:
    row = {
        "transaction_id": key,
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": amount,
        "currency": "USD",
        "status": "captured",
        "region": "NA",
        "payment_method": "card",
        "transaction_date": f"2025-01-{day:02}T10:00:00Z",
    }
    return change("transactions", op, position, row | more, ts_ms=at(told or day))


def given_back(position: int, state: str, day: int = 8, *, op: str = "u", **more: Any) -> str:
    row = {
        "refund_id": "r1",
        "transaction_id": "t1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": "9000.00",
        "payment_amount": "9000.00",
        "currency": "USD",
        "region": "NA",
        "payment_method": "card",
        "reason": "returned",
        "state": state,
        "paid_at": "2025-01-02T10:00:00Z",
        "requested_at": f"2025-01-{day:02}T09:00:00Z",
        "refunded_at": f"2025-01-{day:02}T11:00:00Z" if state == "succeeded" else None,
    }
    return change("refunds", op, position, row | more, ts_ms=at(day))


def person(position: int, day: int, status: str = "active", *, key: str = "c1", op: str = "u", city: str = "London") -> str:
    profile = {"personal_information": {"first_name": "Ann"}, "addresses": [{"type": "billing", "city": city, "country": "GB"}]}
    row = {
        "customer_id": key,
        "email": f"{key}@x.org",
        "status": status,
        "registered_at": "2024-01-01",
        "profile": json.dumps(profile),
    }
    return change("customers", op, position, row, ts_ms=at(day))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """Payments of three days just under the threshold, one of which is given back; two customers, one of them deleted."""
    lake = ShopLake(tmp_path_factory.mktemp("filled"), DOMAIN)
    first = paid("t1", 10, 2, status="authorized", op="c")
    lake.land("transactions", "a.json", text(first, paid("t1", 11, 2, told=3, op="u"), paid("t2", 12, 4), paid("t3", 13, 5)))
    # The same change once more.
    lake.land("transactions", "b.json", text(first), LATER)
    lake.land("refunds", "a.json", text(given_back(20, "pending", op="c"), given_back(21, "succeeded")))
    people = [person(1, 1, op="c"), person(2, 5, "closed"), person(3, 7, "closed", city="Leeds")]
    gone = [person(4, 2, key="c2", op="c"), person(5, 6, key="c2", op="d")]
    lake.land("customers", "a.json", text(*people, *gone))
    lake.run("first", leave_out=DOMAIN.generated)
    return lake


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path) -> ShopLake:
    """The same, to change."""
    shutil.copytree(filled.folder, tmp_path / "lake", copy_function=os.link)
    return ShopLake(tmp_path, DOMAIN)


def trail(lake: ShopLake, columns: str) -> list[tuple[Any, ...]]:
    return lake.rows(f"SELECT {columns} FROM {TRAIL} ORDER BY transaction_date, subject, subject_id, source_position")


# --- Audit trail -----------------------------------------------------------------------------------------------------


def test_every_change_of_a_payment_stands_on_the_payments_day_with_its_place(filled: ShopLake) -> None:
    what = "transaction_date::VARCHAR, subject, subject_id, changed, from_state, to_state"
    assert trail(filled, f"{what}, source_position, landing_row, delivery_count") == [
        ("2025-01-02", "payment", "t1", "state", None, "authorized", [10, 10], 1, 2),
        ("2025-01-02", "payment", "t1", "state", "authorized", "captured", [11, 11], 2, 1),
        ("2025-01-02", "refund", "r1", "state", None, "pending", [20, 20], 1, 1),
        ("2025-01-02", "refund", "r1", "state", "pending", "succeeded", [21, 21], 2, 1),
        ("2025-01-04", "payment", "t2", "state", None, "captured", [12, 12], 3, 1),
        ("2025-01-05", "payment", "t3", "state", None, "captured", [13, 13], 4, 1),
    ]
    [(told, landed, key)] = filled.rows(
        f"SELECT changed_at, ingestion_timestamp, landing_object FROM {TRAIL} WHERE to_state = 'authorized'"
    )
    # Of its two deliveries the first one stands for the change.
    assert (told, landed, key) == (dt.datetime(2025, 1, 2, 12, tzinfo=dt.UTC), LANDED_AT, "landing/transactions/a.json")


def test_the_books_of_the_trail_count_every_delivery_and_what_came_back(filled: ShopLake) -> None:
    books = State(filled.workspace).index(TRAIL)["2025-01-02"].books
    assert (books["received"], books["published"], books["balanced"]) == (5, 5, True)
    assert Decimal(books["money"]["received"]) == Decimal(books["money"]["published"]) == 45000


def test_a_later_change_of_what_came_back_restates_the_payments_day_alone(lake: ShopLake) -> None:
    lake.land("refunds", "late.json", text(given_back(22, "failed", day=9), given_back(23, "failed", day=9, op="d")), LATER)
    ran = lake.run("late", leave_out=DOMAIN.generated)

    assert ran.computed[TRAIL] == {"2025-01-02": "published"}
    assert trail(lake, "from_state, to_state, amount_after")[2:6] == [
        (None, "pending", Decimal(9000)),
        ("pending", "succeeded", Decimal(9000)),
        # It is asked for on another day now, which makes no difference here.
        ("succeeded", "failed", Decimal(9000)),
        ("failed", "deleted", Decimal(9000)),
    ]
    assert lake.run("again", leave_out=DOMAIN.generated).computed == {}


def test_amounts_that_change_and_changes_that_say_nothing_new(lake: ShopLake) -> None:
    more = [paid("t2", 14, 4, "9100.00", op="u"), paid("t2", 15, 4, "9100.00", op="u", region="EU"), paid("t2", 16, 4, op="d")]
    lake.land("transactions", "more.json", text(*more), LATER)
    lake.run("more", leave_out=DOMAIN.generated)

    columns = "changed, from_state, to_state, amount_before, amount_after, operation"
    assert trail(lake, columns)[4:8] == [
        ("state", None, "captured", None, Decimal(9000), "c"),
        ("amount", "captured", "captured", Decimal(9000), Decimal(9100), "u"),
        ("other", "captured", "captured", Decimal(9100), Decimal(9100), "u"),
        ("state", "captured", "deleted", Decimal(9100), Decimal(9100), "d"),
    ]


def test_what_is_published_is_what_its_inputs_give(filled: ShopLake) -> None:
    with filled.connection() as connection:
        state = State(filled.workspace)
        for name in (TRAIL, "enriched.return_changes", "enriched.customer_history", "marts.aml_structuring", "marts.aml_alerts"):
            compared = verify_table(connection, state, filled.workspace.project.nodes[name])
            assert compared and all(each.is_same and each.is_current for each in compared), name


# --- Alerts ----------------------------------------------------------------------------------------------------------


def alerts(lake: ShopLake) -> list[tuple[Any, ...]]:
    return lake.rows("SELECT rule, alert_date::VARCHAR, transaction_count FROM marts.aml_alerts ORDER BY ALL")


def test_late_payments_make_and_take_back_alerts(lake: ShopLake) -> None:
    assert alerts(lake) == [("structuring", "2025-01-05", 3)]
    lake.land("transactions", "late.json", text(paid("t4", 30, 3)), LATER)
    ran = lake.run("late", leave_out=DOMAIN.generated)
    assert alerts(lake) == [("structuring", "2025-01-04", 3), ("structuring", "2025-01-05", 4)]
    # Days whose window holds it are computed; that of the day before is not.
    assert set(ran.computed["marts.aml_structuring"]) == {"2025-01-03", "2025-01-04", "2025-01-05"}
    assert ran.computed["marts.aml_alerts"]["2025-01-04"] == "published"

    lake.land(
        "transactions", "failed.json", text(*(paid(f"t{n}", 40 + n, 1 + n, op="u", status="failed") for n in (1, 3))), LATER
    )
    lake.run("failed", leave_out=DOMAIN.generated)
    assert alerts(lake) == []


def with_numbers(lake: ShopLake, *, since: str | None = None, until: str | None = None, **values: str) -> Backtest:
    days = [None if day is None else dt.date.fromisoformat(day) for day in (since, until)]
    with lake.connection() as connection:
        state = State(lake.workspace)
        return backtest(connection, state, STRUCTURING, STRUCTURING.read(values), since=days[0], until=days[1])


def test_a_back_test_tells_what_other_numbers_would_find_and_publishes_nothing(filled: ShopLake) -> None:
    before = filled.etags("")
    found = with_numbers(filled, min_payments="2")
    assert found.months == {"2025-01-01": Counts(now=1, then=2, new=1, gone=0, same=1)}
    [new] = found.new
    assert (new.alert["subject_id"], new.alert["alert_date"], new.measured) == ("c1", dt.date(2025, 1, 4), 18000)

    found = with_numbers(filled, threshold="9000")
    assert (found.total, found.new, [each.alert["alert_date"].day for each in found.gone]) == (Counts(now=1, gone=1), (), [5])
    assert (found.first, found.last, found.days) == ("2025-01-02", "2025-01-05", 3)
    assert with_numbers(filled, min_payments="2", since="2025-01-05").total == Counts(now=1, then=1, same=1)
    assert with_numbers(filled, min_payments="2", until="2025-01-03").months == {}
    assert filled.etags("") == before


def test_a_back_test_with_a_longer_window_reads_more_days(lake: ShopLake) -> None:
    # No round amounts, which are another rule's business.
    lake.land("transactions", "far.json", text(paid("t5", 50, 20, "9000.01"), paid("t6", 51, 21, "9000.01")), LATER)
    lake.run("far", leave_out=DOMAIN.generated)
    assert alerts(lake) == [("structuring", "2025-01-05", 3)]
    assert with_numbers(lake, **{WINDOW: "16"}).new == ()
    assert [each.alert["alert_date"].day for each in with_numbers(lake, **{WINDOW: "17"}).new] == [20, 21]
    assert with_numbers(lake, **{WINDOW: "3"}).total == Counts(now=1, gone=1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limit": "1"}, "has no limit"),
        ({"min_payments": "2.5"}, "not a whole number"),
        ({"threshold": "-1"}, "threshold=-1 is out of range"),
        ({"threshold": "1E+999999"}, "may be from 0 to 1000000000000, with at most 6 decimals"),
        ({"threshold": "9000.0000001"}, "out of range"),
        ({"near_share": "1.1"}, "near_share=1.1 is out of range. It may be from 0 to 1, with"),
        ({"min_payments": "0"}, "may be from 1 to 2147483647; its default is 3"),
        ({"threshold": "NaN"}, "not a number"),
        ({WINDOW: "0"}, "window_days=0 is out of range"),
        ({WINDOW: "99999999999999999999"}, "is out of range. It may be from 1 to 36525; its default is 7"),
    ],
)
def test_numbers_that_cannot_be_are_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=f"(?i){said}"):
        STRUCTURING.read(values)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("bound", ["least", "highest"])
def test_the_sql_of_every_rule_takes_its_parameters_from_one_end_of_their_range_to_the_other(
    filled: ShopLake, rule: MonitoringRule, bound: str
) -> None:
    numbers = {each.name: str(getattr(each, bound)) for each in rule.parameters if not isinstance(each.default, tuple)}
    with filled.connection() as connection:
        assert backtest(connection, State(filled.workspace), rule, rule.read(numbers)).values.keys() == rule.defaults.keys()


@pytest.mark.parametrize("values", [{"hours": "96"}, {"hours": "25"}, {WINDOW: "1"}, {"hours": "96", WINDOW: "4"}])
def test_a_rule_that_looks_further_back_than_its_window_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"window_days is .* but hours=.* looks .* hours back") as refused:
        VELOCITY.read(values)

    [needed] = re.findall(r"window_days=(\d+)", str(refused.value.hint))
    assert VELOCITY.read(values | {WINDOW: needed})[WINDOW] == int(needed)


def test_a_back_test_finds_the_same_in_a_range_as_on_each_day_alone(lake: ShopLake) -> None:
    # One payment a day: with those of the four days before it, each makes an alert.
    lake.land("transactions", "steady.json", text(*(paid(f"s{n}", 60 + n, n, "20.01") for n in range(10, 20))), LATER)
    lake.run("steady", leave_out=DOMAIN.generated)
    values = VELOCITY.read({"hours": "96", "min_payments": "5", WINDOW: "5"})

    def found(first: int, last: int) -> list[tuple[int, int]]:
        with lake.connection() as connection:
            since, until = dt.date(2025, 1, first), dt.date(2025, 1, last)
            result = backtest(connection, State(lake.workspace), VELOCITY, values, since=since, until=until)
        return [(each.alert["alert_date"].day, each.measured) for each in result.new]

    alone = [each for day in range(10, 20) for each in found(day, day)]
    assert found(10, 19) == alone == [(day, 5) for day in range(14, 20)]


def test_a_rule_that_is_not_there_says_which_are() -> None:
    with pytest.raises(SettingsError, match="structuring, velocity"):
        find_rule(DOMAIN, "nonsense")


# --- Customers as they were ------------------------------------------------------------------------------------------


def as_of(lake: ShopLake, when: str, *keys: str) -> list[tuple[Any, ...]]:
    with lake.connection() as connection:
        found = snapshot(connection, State(lake.workspace), find_history(DOMAIN, None), instant(when), keys)
        assert found.pii["email"] == "email" and found.pii["customer_id"] == "identifier"
        return found.rows.project("customer_id, status, billing_city").fetchall()


@pytest.mark.parametrize(
    ("when", "rows"),
    [
        ("2024-12-31", []),
        ("2025-01-01T11:59:59", []),
        ("2025-01-01T12:00:00Z", [("c1", "active", "London")]),
        ("2025-01-02", [("c1", "active", "London"), ("c2", "active", "London")]),
        ("2025-01-05T13:00:00+02:00", [("c1", "active", "London"), ("c2", "active", "London")]),
        ("20250105", [("c1", "closed", "London"), ("c2", "active", "London")]),
        ("2025-W01-7", [("c1", "closed", "London"), ("c2", "active", "London")]),
        ("20250105T13", [("c1", "closed", "London"), ("c2", "active", "London")]),
        ("2025-01-05", [("c1", "closed", "London"), ("c2", "active", "London")]),
        ("2025-01-06T11:59:59.999999", [("c1", "closed", "London"), ("c2", "active", "London")]),
        ("2025-01-06T12:00:00", [("c1", "closed", "London")]),
        ("2030-01-01", [("c1", "closed", "Leeds")]),
        ("9999-12-31", [("c1", "closed", "Leeds")]),
    ],
)
def test_customers_as_of_any_instant(filled: ShopLake, when: str, rows: list[tuple[Any, ...]]) -> None:
    assert as_of(filled, when) == rows
    assert as_of(filled, when, "c2") == [row for row in rows if row[0] == "c2"]


@pytest.mark.parametrize("when", ["", "yesterday", "2025-02-29", "9999-12-31T23:59:59-12:00"])
def test_an_instant_that_cannot_be_is_refused(when: str) -> None:
    with pytest.raises(SettingsError, match="is neither a day nor a time"):
        instant(when)


def test_the_history_agrees_with_the_table_of_today(lake: ShopLake) -> None:
    lake.land("customers", "late.json", text(person(6, 8, "active", key="c3", op="c")), LATER)
    lake.run("late", leave_out=DOMAIN.generated)
    columns = ", ".join(each.name for each in DOMAIN.tables["enriched.customers"].columns if each.name not in ("updated_at",))
    today = lake.rows(f"SELECT {columns} FROM enriched.customers ORDER BY ALL")
    assert lake.rows(f"SELECT {columns} FROM enriched.customer_history WHERE is_current ORDER BY ALL") == today
    assert len(today) == 2


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(filled: ShopLake, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command on the lake."""
    shop = Shop(tmp_path / "home", filled.store.uri, {"ASSAY_DOMAIN": "payments", "COLUMNS": "200"})
    return lambda *arguments: CliRunner().invoke(app, list(arguments), env=shop.environment)


def test_commands(command: Callable[..., Result], tmp_path: Path) -> None:
    def printed(*arguments: str) -> Any:
        result = command(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    found = printed("compliance", "snapshot", "--as-of", "2025-01-05", "--customer", "c1")
    assert (found["as_of"], found["pii"]["phone"]) == ("2025-01-05 23:59:59.999999+00:00", "phone")
    assert [(row["customer_id"], row["status"]) for row in found["rows"]] == [("c1", "closed")]
    file = tmp_path / "snapshot.parquet"
    assert command("compliance", "snapshot", "--as-of", "2025-01-05", "--parquet", str(file)).exit_code == 0
    said = json.loads(pq.read_metadata(file).metadata[b"assay"])
    assert (said["as_of"], said["pii"]["email"], pq.read_metadata(file).num_rows) == (
        "2025-01-05T23:59:59.999999+00:00",
        "email",
        2,
    )
    assert command("compliance", "snapshot", "--as-of", "2025-01-05", "--csv").stdout.startswith("customer_id,email,")
    assert "enriched.customer_history as of 2025-01-05" in command("compliance", "snapshot", "--as-of", "2025-01-05").stdout
    for wrong in (("--as-of", "yesterday"), ("planet", "--as-of", "2025-01-05"), ("--as-of", "2025-01-05", "--csv", "--json")):
        assert isinstance(command("compliance", "snapshot", *wrong).exception, SettingsError)

    assert {rule["name"]: rule["alerts"] for rule in printed("monitoring", "list")}["structuring"] == 1
    shown = printed("monitoring", "show", "structuring")
    assert shown["parameters"][0] | {"default": "10000.00", "unit": "USD"} == shown["parameters"][0]
    assert "31 U.S.C. 5324" in command("monitoring", "show", "structuring").stdout
    assert "structuring" in command("monitoring", "list").stdout

    tested = ("monitoring", "backtest", "structuring", "--set", "min_payments=2", "--from", "2025-01-01", "--to", "2025-01-31")
    result = printed(*tested)
    assert result["total"] == {"now": 1, "then": 2, "new": 1, "gone": 0, "same": 1}
    assert result["months"] == {"2025-01": result["total"]}
    assert (result["parameters"]["now"]["min_payments"], result["parameters"]["then"]["min_payments"]) == (3, 2)
    assert [each["alert_date"] for each in result["new"]] == ["2025-01-04"]
    text = command(*tested).stdout
    assert "min_payments 3 → 2" in text and "new: 2025-01-04, c1, measured 18,000.00 USD" in text
    assert isinstance(command("monitoring", "backtest", "structuring", "--set", "min_payments").exception, SettingsError)
