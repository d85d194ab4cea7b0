"""The payments' topic: form, life cycle, order, and every mess at its rate."""

from __future__ import annotations

import datetime as dt
import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

EPOCH = dt.datetime(1970, 1, 1)
STATES = {"authorized": 0, "failed": 0, "captured": 1, "refunded": 2, "chargeback": 2}
COLUMNS = [
    "transaction_id",
    "customer_id",
    "merchant_id",
    "amount",
    "currency",
    "status",
    "failure_reason",
    "region",
    "payment_method",
    "is_recurring",
    "transaction_date",
    "created_at",
    "updated_at",
]


def amount_of(value) -> Decimal:
    return Decimal(str(value).replace("$", "").replace(",", ""))


def instant_of(value) -> dt.datetime:
    if isinstance(value, int):
        return EPOCH + dt.timedelta(seconds=value)
    if "/" in value:
        return dt.datetime.strptime(value, "%m/%d/%Y %H:%M:%S")
    return dt.datetime.fromisoformat(value.removesuffix("Z"))


def is_good(event) -> bool:
    return event["after"]["transaction_id"].startswith("pay_0")


@pytest.fixture(scope="module")
def good(written) -> list[dict]:
    return [event for event in written.events("transactions") if is_good(event)]


@pytest.fixture(scope="module")
def once(good) -> list[dict]:
    """Each good event once, in order of its log position."""
    return list({event["source"]["lsn"]: event for event in sorted(good, key=lambda e: e["source"]["lsn"])}.values())


def share(values, test) -> float:
    values = list(values)
    return sum(map(test, values)) / len(values)


def test_envelope(once) -> None:
    for event in once[:500]:
        assert list(event) == ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"]
        assert event["before"] is None and event["transaction"] is None
        source = event["source"]
        assert list(source) == [
            "version",
            "connector",
            "name",
            "ts_ms",
            "snapshot",
            "db",
            "sequence",
            "ts_us",
            "ts_ns",
            "schema",
            "table",
            "txId",
            "lsn",
            "xmin",
        ]
        assert (source["table"], source["schema"], source["snapshot"]) == ("transactions", "public", "false")
        last, lsn = json.loads(source["sequence"])
        assert int(last) < int(lsn) == source["lsn"]
        assert source["ts_ns"] == source["ts_us"] * 1000 and source["ts_ms"] == source["ts_us"] // 1000
        assert event["ts_us"] > source["ts_us"] == event["after"]["updated_at"]
        assert [name for name in event["after"] if name != "sca_method"] == COLUMNS
        assert event["op"] == ("c" if event["after"]["created_at"] == event["after"]["updated_at"] else "u")


def test_log_positions_are_unique_and_follow_commits(written, once) -> None:
    commits = [event["source"]["ts_us"] for event in once]
    assert commits == sorted(commits)
    valid = list(written.events("transactions"))
    texts = defaultdict(set)
    for event in valid:
        texts[event["source"]["lsn"]].add(json.dumps(event))
    assert all(len(same) == 1 for same in texts.values())


def test_log_positions_are_of_one_table(written) -> None:
    tables = defaultdict(set)
    for table in ("customers", "merchants", "transactions", "refunds", "chargebacks"):
        for event in written.events(table):
            tables[event["source"]["lsn"]].add(table)
    assert all(len(found) == 1 for found in tables.values())


def test_life_cycles(once) -> None:
    lives = defaultdict(list)
    for event in once:
        lives[event["after"]["transaction_id"]].append(event["after"])
    for life in lives.values():
        stages = [STATES[row["status"]] for row in life]
        assert stages == list(range(len(life)))
        assert len({(row["customer_id"], row["merchant_id"], amount_of(row["amount"])) for row in life}) == 1
        assert len({row["currency"].strip().upper() for row in life}) == 1
        assert len({instant_of(row["transaction_date"]) for row in life}) == 1
        assert len({row["created_at"] for row in life}) == 1
        assert all((row["failure_reason"] is not None) == (row["status"] == "failed") for row in life)
    first = [life[0]["status"] for life in lives.values()]
    assert share(first, lambda status: status == "failed") == pytest.approx(0.08, abs=0.01)


def test_a_payment_stays_in_one_partition(written) -> None:
    partitions = defaultdict(set)
    for record in written.records("transactions"):
        if record.event is not None:
            partitions[record.event["after"]["transaction_id"]].add(record.partition)
    assert all(len(found) == 1 for found in partitions.values())


def test_about_two_events_a_payment(once) -> None:
    payments = {event["after"]["transaction_id"] for event in once}
    # Captures after the last day are missing.
    assert 1.6 < len(once) / len(payments) < 2.0


def test_amount_forms(once) -> None:
    amounts = [event["after"]["amount"] for event in once]
    assert share(amounts, lambda a: isinstance(a, int)) == pytest.approx(0.15, abs=0.03)
    assert share(amounts, lambda a: str(a).startswith("$")) == pytest.approx(0.15, abs=0.02)
    assert any("," in str(amount) for amount in amounts)
    for amount in amounts:
        assert isinstance(amount, int) or re.fullmatch(r"\d+\.\d\d|\$\d{1,3}(,\d{3})*\.\d\d", amount), amount


def test_amounts_are_within_bounds(once) -> None:
    for event in once:
        row = event["after"]
        amount = amount_of(row["amount"])
        assert Decimal("0.01") <= amount <= 1_000_000
        assert row["currency"].strip().upper() != "JPY" or amount == int(amount)


def test_currency_forms(once) -> None:
    currencies = [event["after"]["currency"] for event in once]
    assert {currency.strip().upper() for currency in currencies} == {"USD", "EUR", "GBP", "JPY", "BRL"}
    assert share(currencies, str.islower) == pytest.approx(0.05, abs=0.01)
    assert share(currencies, lambda c: c != c.strip()) == pytest.approx(0.02, abs=0.006)


def test_date_forms(once) -> None:
    dates = [event["after"]["transaction_date"] for event in once]
    assert share(dates, lambda d: isinstance(d, str) and d.endswith("Z")) == pytest.approx(0.70, abs=0.02)
    assert share(dates, lambda d: isinstance(d, str) and "/" in d) == pytest.approx(0.10, abs=0.02)
    assert share(dates, lambda d: isinstance(d, int)) == pytest.approx(0.15, abs=0.02)
    assert share(dates, lambda d: isinstance(d, str) and d[10] == " " and "-" in d) == pytest.approx(0.05, abs=0.01)


def test_flag_forms(once) -> None:
    forms = Counter(json.dumps(event["after"]["is_recurring"]) for event in once)
    assert set(forms) == {'"Y"', '"N"', '"1"', '"0"', '"true"', '"false"', "true", "false", "1", "0"}


def test_vocabularies(once) -> None:
    for column, words in {
        "region": {"NA", "EU", "APAC", "LATAM"},
        "payment_method": {"card", "wallet", "bank_transfer"},
        "status": set(STATES),
    }.items():
        assert {event["after"][column] for event in once} == words


def test_column_added_midway(written, once) -> None:
    since = written.company.start_us(written.company.days // 2)
    for event in once:
        assert ("sca_method" in event["after"]) == (event["after"]["updated_at"] >= since)
    assert {event["after"].get("sca_method") for event in once} == {None, "3ds2", "exempt", "none"}


def test_late_payments(written, once) -> None:
    late = 0
    made = [event["after"] for event in once if event["op"] == "c"]
    for row in made:
        landed = (EPOCH + dt.timedelta(microseconds=row["created_at"])).date()
        days = (landed - instant_of(row["transaction_date"]).date()).days
        assert 0 <= days <= 30
        late += days > 0
    assert late / len(made) == pytest.approx(0.015, abs=0.004)


def test_events_land_on_the_day_of_their_commit(written) -> None:
    days_of_files = defaultdict(set)
    starts = {int(file.name.split("+")[1]): [] for file in written.of("transactions")}
    for file in written.of("transactions"):
        starts[int(file.name.split("+")[1])].append(int(file.name.split("+")[2].split(".")[0]))
    for record in written.records("transactions"):
        if record.event is not None:
            number = bisect_right(starts[record.partition], record.offset) - 1
            day = record.event["source"]["ts_us"] // 86_400_000_000 - written.company.start_day
            days_of_files[record.partition, number].add(day)
    # One file a partition and day.
    assert days_of_files == {(partition, day): {day} for partition in range(3) for day in range(written.company.days)}


def test_duplicated_deliveries(good, once) -> None:
    assert (len(good) - len(once)) / len(once) == pytest.approx(0.025, abs=0.005)


def test_records_out_of_order(written, once) -> None:
    overtaken = 0
    latest: dict[str, int] = {}
    seen: set[int] = set()
    for record in written.records("transactions"):
        if record.event is None or not is_good(record.event) or record.event["source"]["lsn"] in seen:
            continue
        key, lsn = record.event["after"]["transaction_id"], record.event["source"]["lsn"]
        seen.add(lsn)
        overtaken += lsn < latest.get(key, 0)
        latest[key] = max(lsn, latest.get(key, 0))
    assert overtaken / len(once) == pytest.approx(0.01, abs=0.004)


def test_malformed_lines(written) -> None:
    lines = [record for record in written.records("transactions") if record.event is None or not is_good(record.event)]
    everything = sum(file.records for file in written.of("transactions"))
    assert len(lines) / everything == pytest.approx(0.005, abs=0.001)
    broken = [record.line for record in lines if record.event is None]
    rows = [record.event["after"] for record in lines if record.event is not None]
    assert any(line == '{"after": {"transaction_id": null' for line in broken)
    assert any(line.startswith('{"before":null,"after":{"transaction_id":"pay_bad_') for line in broken)
    assert any(not line.startswith("{") for line in broken)
    assert all(row["transaction_id"].startswith("pay_bad_") for row in rows)
    for column, value in {
        "amount": "abc",
        "currency": "XXX",
        "transaction_date": "not-a-date",
        "customer_id": None,
    }.items():
        assert any(row[column] == value for row in rows)
    assert any(str(row["amount"]).startswith("-") for row in rows)
    faults = [
        row["amount"] == "abc"
        or str(row["amount"]).startswith("-")
        or row["currency"] == "XXX"
        or row["transaction_date"] == "not-a-date"
        or row["customer_id"] is None
        for row in rows
    ]
    assert all(faults)


def test_hours_have_a_shape(once) -> None:
    hours = Counter((event["after"]["created_at"] // 3_600_000_000) % 24 for event in once if event["op"] == "c")
    assert max(hours.values()) > 2.5 * min(hours.values())
    assert len(hours) == 24


def test_few_merchants_take_most(once) -> None:
    payments = Counter(event["after"]["merchant_id"] for event in once if event["op"] == "c")
    largest = [count for _, count in payments.most_common(len(payments) // 5)]
    assert sum(largest) / payments.total() > 0.35


def test_each_value_varies_on_its_own(once) -> None:
    """Draws for different purposes must not move together."""
    made = [event["after"] for event in once if event["op"] == "c"]
    failed = share(made, lambda row: row["status"] == "failed")
    for method in ("card", "wallet", "bank_transfer"):
        group = [row for row in made if row["payment_method"] == method]
        assert share(group, lambda row: row["status"] == "failed") == pytest.approx(failed, abs=0.02)
    for region in ("NA", "EU", "APAC", "LATAM"):
        group = [row for row in made if row["region"] == region]
        assert share(group, lambda row: row["status"] == "failed") == pytest.approx(failed, abs=0.03)
