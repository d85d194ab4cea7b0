"""`enriched.customers` and `enriched.customer_history`: profiles flattened, whatever they lack, now and at any time."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

TABLE = "enriched.customers"
HISTORY = "enriched.customer_history"


def profile(**parts: Any) -> dict[str, Any]:
    """A whole profile, with the given parts replaced."""
    return {
        "personal_information": {
            "first_name": "Ada",
            "last_name": "Lovelace",
            "date_of_birth": "1815-12-10",
            "phone": "+44 20 7946 0000",
        },
        "addresses": [address("home", "1 Home"), address("billing", "2 Bill"), address("shipping", "3 Ship")],
        "preferences": {
            "notifications": {
                "email": {"enabled": "Y", "frequency": "daily"},
                "sms": {"enabled": 0},
                "push": {"enabled": True},
            },
            "language": "en",
            "display": {"theme": "dark", "currency": "gbp"},
        },
    } | parts


def address(kind: str, line1: str) -> dict[str, str]:
    """An address of a kind."""
    return {
        "type": kind,
        "line1": line1,
        "city": "London",
        "postal_code": "W1",
        "country": "GB",
        "region": "EU",
    }


def event(document: Any = None, **values: Any) -> dict[str, Any]:
    """An event of a customer."""
    return {
        "customer_id": "c1",
        "email": " Ada@Example.ORG ",
        "profile": document if isinstance(document, str) else json.dumps(document or profile()),
        "status": "ACTIVE",
        "registered_at": "2024-01-02T03:04:05Z",
        "updated_at": 1_735_913_109_000_000,
        "_ingested_at": "2025-01-04 00:00:00+00",
        "_source": "customers",
    } | values


def today(compute, state: dict[str, Any]) -> list[dict[str, Any]]:
    """`enriched.customers`, of customers whose state has not changed since the start of 2025."""
    lasting = state | {"valid_from": datetime(2025, 1, 1, tzinfo=UTC), "valid_to": None, "is_current": True}
    return compute(TABLE, {HISTORY: compute(HISTORY, {"history.customers": [lasting]})})


def test_a_whole_profile(compute) -> None:
    [row] = today(compute, event())

    assert row == {
        "customer_id": "c1",
        "email": "ada@example.org",
        "status": "active",
        "registered_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "first_name": "Ada",
        "last_name": "Lovelace",
        "full_name": "Ada Lovelace",
        "date_of_birth": date(1815, 12, 10),
        "phone": "+44 20 7946 0000",
        "billing_line1": "2 Bill",
        "billing_city": "London",
        "billing_postal_code": "W1",
        "billing_country": "GB",
        "billing_region": "EU",
        "shipping_line1": "3 Ship",
        "shipping_city": "London",
        "shipping_postal_code": "W1",
        "shipping_country": "GB",
        "shipping_region": "EU",
        "address_count": 3,
        "email_notifications": True,
        "sms_notifications": False,
        "push_notifications": True,
        "notification_frequency": "daily",
        "language": "en",
        "theme": "dark",
        "preferred_currency": "GBP",
        "updated_at": datetime(2025, 1, 3, 14, 5, 9, tzinfo=UTC),
        "ingestion_timestamp": datetime(2025, 1, 4, tzinfo=UTC),
        "data_source": "customers",
    }


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("01/02/2024", datetime(2024, 1, 2, tzinfo=UTC)),
        ("1704164645", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("never", None),
    ],
)
def test_registration(compute, text: str, instant: datetime | None) -> None:
    [row] = today(compute, event(registered_at=text))

    assert row["registered_at"] == instant


@pytest.mark.parametrize(
    ("written", "truth"),
    [("Y", True), (1, True), ("TRUE", True), (True, True), ("N", False), ("0", False), (False, False), ("?", None)],
)
def test_notification_flags(compute, written: Any, truth: bool | None) -> None:
    channels = {channel: {"enabled": written} for channel in ("email", "sms", "push")}
    document = profile(preferences={"notifications": channels})

    [row] = today(compute, event(document))

    assert [row[f"{channel}_notifications"] for channel in channels] == [truth] * 3
    assert row["notification_frequency"] is None


def test_the_first_billing_address_counts_and_none_is_made_up(compute) -> None:
    document = profile(addresses=[address("billing", "first"), address("billing", "second")])

    [row] = today(compute, event(document))

    assert (row["billing_line1"], row["shipping_line1"], row["address_count"]) == ("first", None, 2)


@pytest.mark.parametrize("document", ["{}", "null", "[]", "not json", '{"addresses": {"type": "billing"}}', '"text"'])
def test_a_profile_of_another_shape_costs_only_the_details(compute, document: str) -> None:
    [row] = today(compute, event(document))

    assert (row["customer_id"], row["full_name"], row["billing_line1"]) == ("c1", None, None)
    assert (row["address_count"], row["email_notifications"]) == (0, None)


def test_one_name_is_a_full_name(compute) -> None:
    document = profile(personal_information={"first_name": "Plato", "last_name": " "})

    [row] = today(compute, event(document))

    assert (row["last_name"], row["full_name"], row["date_of_birth"]) == (None, "Plato", None)


def test_rules(compute, broken) -> None:
    [row] = today(compute, event())

    assert broken(TABLE, row) == set()
    assert broken(TABLE, row | {"customer_id": None}) == {"customer_id_required"}
    assert broken(TABLE, row | {"address_count": -1}) == {"address_count_at_least"}


# --- Through time ----------------------------------------------------------------------------------------------------


def held(first: int, last: int | None, document: Any = None, **values: Any) -> dict[str, Any]:
    """A state of `history.customers` that held for some days of January 2025."""
    begins, ends = (None if day is None else datetime(2025, 1, day, tzinfo=UTC) for day in (first, last))
    state = event(document, valid_from=begins, valid_to=ends, is_current=last is None, **values)
    return state | {"updated_at": None}


def spans(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (row["valid_from"].day, row["valid_to"] and row["valid_to"].day, row["status"], row["is_current"], row["state_count"])
        for row in rows
    ]


def test_only_the_state_that_lasts_is_one_of_today(compute, accounted) -> None:
    states = [held(1, 3), held(3, None, status="closed"), held(1, 4, customer_id="gone")]
    history = compute(HISTORY, {"history.customers": states})
    rows = compute(TABLE, {HISTORY: history})

    assert [(row["customer_id"], row["status"]) for row in rows] == [("c1", "closed")]
    assert accounted(TABLE, rows) == (1, 0)


def test_a_span_was_changed_when_its_last_state_was(compute) -> None:
    changed = [datetime(2025, 1, day, tzinfo=UTC) for day in (1, 3)]
    states = [
        held(1, 3) | {"updated_at": changed[0].timestamp() * 1_000_000},
        held(3, None) | {"updated_at": changed[1].timestamp() * 1_000_000},
    ]

    assert [row["updated_at"] for row in compute(HISTORY, {"history.customers": states})] == changed[1:]


def test_every_change_begins_a_span_and_what_differs_only_in_writing_does_not(compute, accounted) -> None:
    another_order = json.dumps(dict(reversed(profile().items())))
    states = [
        held(1, 3),
        held(3, 5, another_order, status=" active "),
        held(5, 6, status="closed"),
        held(6, 9, profile(addresses=[]), status="closed"),
        # Gone for a day.
        held(10, None, profile(addresses=[]), status="closed"),
    ]
    rows = compute(HISTORY, {"history.customers": states})

    assert spans(rows) == [
        (1, 5, "active", False, 2),
        (5, 6, "closed", False, 1),
        (6, 9, "closed", False, 1),
        (10, None, "closed", True, 1),
    ]
    assert [row["billing_city"] for row in rows] == ["London", "London", None, None]
    assert accounted(HISTORY, rows) == (5, 0)


def test_states_that_never_held_are_refused_and_split_no_span(compute, broken, accounted) -> None:
    rows = compute(HISTORY, {"history.customers": [held(1, 5), held(5, 5, status="typo"), held(5, None)]})

    assert spans([row for row in rows if not broken(HISTORY, row)]) == [(1, None, "active", True, 2)]
    assert accounted(HISTORY, rows) == (3, 0)
