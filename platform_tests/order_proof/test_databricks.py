"""The worked example of Databricks' AUTO CDC (APPLY CHANGES INTO), whose results its documentation prints."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from court import HISTORY, LATEST, Court, open_court
from interpreter import Event
from streams import START, Field, Schema, Stream, Unit, make_delivery

SAMPLE = "cdc_samples/databricks_auto_cdc.json"
OPERATIONS = {"INSERT": "c", "UPDATE": "u", "DELETE": "d", "TRUNCATE": "t"}
DELIVERIES = 6


@pytest.fixture(scope="module")
def sample(real_data: Callable[[str], Path]) -> dict[str, Any]:
    """The example, as the documentation has it."""
    return json.loads(real_data(SAMPLE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Court]:
    with open_court(tmp_path_factory.mktemp("court")) as opened:
        yield opened


def stream_of(sample: dict[str, Any], *more: list[Any], tracked: tuple[str, ...] = ("name", "city")) -> Stream:
    """The example's rows as change events; a sequence number is both position and second."""
    fields = (Field("name", "text"), Field("city", "text"))
    schema = Schema((Field("userId", "integer"),), fields, is_daily=False, tracked=tracked)
    units = []
    for user, name, city, operation, number in (*sample["input_in_arrival_order"], *more):
        key = () if user is None else (user,)
        values = {"userId": user, "name": name, "city": city}
        units.append(Unit((Event(OPERATIONS[operation], key, (number, number), instant(number), values),)))
    return Stream(schema, tuple(units))


def instant(number: int | None) -> dt.datetime | None:
    return None if number is None else START + dt.timedelta(seconds=number)


def published(court: Court, stream: Stream, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """What is published, the same for every delivery."""
    result = court.try_case(stream.schema, [make_delivery(stream, seed) for seed in range(DELIVERIES)])
    rows = result.rows[table].to_pylist()
    found = [tuple(row[column] for column in columns) for row in rows]
    return sorted(found, key=lambda row: (row[0], row[-2]) if "valid_to" in columns else row)


def test_scd1(court: Court, sample: dict[str, Any]) -> None:
    found = published(court, stream_of(sample), LATEST, "userId", "name", "city")
    assert found == sorted(map(tuple, sample["expected_scd1"]))


def test_scd1_with_a_truncate(court: Court, sample: dict[str, Any]) -> None:
    found = published(court, stream_of(sample, sample["optional_truncate_row"]), LATEST, "userId", "name", "city")
    assert found == sorted(map(tuple, sample["expected_scd1_with_truncate_row"]))


def test_scd2(court: Court, sample: dict[str, Any]) -> None:
    found = published(court, stream_of(sample), HISTORY, "userId", "name", "city", "valid_from", "valid_to")
    expected = [(*row[:3], instant(row[3]), instant(row[4])) for row in sample["expected_scd2"]]
    assert found == sorted(expected, key=lambda row: (row[0], row[3]))


def test_scd2_without_a_column(court: Court, sample: dict[str, Any]) -> None:
    """The city does not start an interval where it is not asked for."""
    found = published(court, stream_of(sample, tracked=("name",)), HISTORY, "userId", "name", "valid_from", "valid_to")
    expected = [(*row[:2], instant(row[3]), instant(row[4])) for row in sample["expected_scd2_track_history_except_city"]]
    assert found == sorted(expected, key=lambda row: (row[0], row[2]))
