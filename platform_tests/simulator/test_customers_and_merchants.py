"""The topics of customers and merchants."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

import pytest
from topic_lines import lines_of

from simulator import Company
from simulator.model import open_model
from simulator.topics import MERCHANTS


@pytest.fixture(scope="module")
def customers(written) -> list[dict]:
    return sorted(written.events("customers"), key=lambda event: event["source"]["lsn"])


@pytest.fixture(scope="module")
def merchants(written) -> list[dict]:
    return sorted(written.events("merchants"), key=lambda event: event["source"]["lsn"])


def key(event, column: str) -> str:
    return (event["after"] or event["before"])[column]


def test_customers_operations(written, customers) -> None:
    company = written.company
    operations = Counter(event["op"] for event in customers)
    assert operations["r"] == company.first_customers
    assert operations["c"] == company.new_customers * company.days
    assert operations["u"] == pytest.approx(company.first_customers * 0.01 * (company.days - 1), rel=0.5)
    assert operations["d"] == company.deleted_customers * (company.days - 2)
    assert len({event["source"]["lsn"] for event in customers}) == len(customers)
    for event in customers:
        is_read = event["op"] == "r"
        assert event["source"]["snapshot"] == ("true" if is_read else "false")
        assert (json.loads(event["source"]["sequence"])[0] is None) == is_read


def test_a_delete_names_only_its_key(written, customers) -> None:
    deletes = [event for event in customers if event["op"] == "d"]
    assert min(event["source"]["ts_us"] for event in deletes) >= written.company.start_us(2)
    for event in deletes:
        assert event["after"] is None
        assert {name for name, value in event["before"].items() if value is not None} == {"customer_id"}
        assert set(event["before"]) == {
            "customer_id",
            "email",
            "profile",
            "status",
            "registered_at",
            "updated_at",
        }
        after = [other for other in customers if key(other, "customer_id") == key(event, "customer_id")]
        assert after[-1] is event


def test_profiles(customers) -> None:
    profiles = [json.loads(event["after"]["profile"]) for event in customers if event["after"]]
    types = Counter()
    for profile in profiles:
        assert list(profile) == ["personal_information", "addresses", "preferences"]
        assert list(profile["personal_information"]) == ["first_name", "last_name", "date_of_birth", "phone"]
        kinds = [address["type"] for address in profile["addresses"]]
        assert 1 <= len(kinds) == len(set(kinds)) <= 5 and "billing" in kinds
        types.update(kinds)
        for address in profile["addresses"]:
            assert list(address) == ["type", "line1", "city", "postal_code", "country", "region"]
            assert len(address["country"]) == 2
        preferences = profile["preferences"]
        assert list(preferences) == ["notifications", "language", "display"]
        assert list(preferences["notifications"]) == ["email", "sms", "push"]
        assert list(preferences["notifications"]["email"]) == ["enabled", "frequency"]
        assert list(preferences["display"]) == ["theme", "currency"]
    assert set(types) == {"billing", "shipping", "home", "work", "other"}
    assert types["shipping"] / len(profiles) == pytest.approx(0.8, abs=0.05)
    enabled = {json.dumps(profile["preferences"]["notifications"]["sms"]["enabled"]) for profile in profiles}
    assert {'"Y"', '"N"', "true", "1", "0"} <= enabled


def test_a_customer_stays_the_same_person(customers) -> None:
    people = defaultdict(set)
    for event in customers:
        if event["after"]:
            profile = json.loads(event["after"]["profile"])
            people[key(event, "customer_id")].add(json.dumps(profile["personal_information"]))
    assert all(len(found) == 1 for found in people.values())


def test_merchants_have_a_history(written, merchants) -> None:
    operations = Counter(event["op"] for event in merchants)
    assert operations["r"] == written.company.first_merchants
    assert operations["c"] == written.company.new_merchants * written.company.days
    assert operations["u"] >= written.company.days - 1
    states = defaultdict(list)
    for event in merchants:
        row = event["after"]
        assert list(row) == [
            "merchant_id",
            "name",
            "mcc",
            "country",
            "region",
            "city",
            "terms",
            "active",
            "time_zone",
            "created_at",
            "updated_at",
        ]
        terms = json.loads(row["terms"])
        assert list(terms) == ["settlement_days", "fee_percent", "fixed_fee_usd", "cost_percent", "partner"]
        assert 0 < terms["cost_percent"] < terms["fee_percent"] and terms["fixed_fee_usd"] >= 0
        ZoneInfo(row["time_zone"])
        states[row["merchant_id"]].append(row)
    changed = [rows for rows in states.values() if len(rows) > 1]
    assert changed
    for rows in changed:
        assert len({(row["name"], row["region"], row["time_zone"], row["created_at"]) for row in rows}) == 1
        assert len({(row["terms"], row["mcc"]) for row in rows}) > 1


def test_merchants_have_partners_and_change_them() -> None:
    company = Company(days=10, transactions_per_day=6_000, seed=2)
    with open_model(company) as connection:
        states = defaultdict(list)
        for day in range(company.days):
            for line in lines_of(connection, company, MERCHANTS, day):
                row = json.loads(line)["after"]
                states[row["merchant_id"]].append(json.loads(row["terms"])["partner"])
    first = Counter(partners[0] for partners in states.values())
    assert first[None] / first.total() == pytest.approx(0.25, abs=0.1)
    assert len(first) == 7
    assert any(len(set(partners)) > 1 for partners in states.values())


def test_every_key_of_a_payment_exists(written, customers, merchants) -> None:
    known = {key(event, "customer_id") for event in customers}
    shops = {key(event, "merchant_id") for event in merchants}
    for table in ("transactions", "refunds", "chargebacks"):
        for event in written.events(table):
            assert event["after"]["customer_id"] in known | {None}
            assert event["after"]["merchant_id"] in shops
