"""The closings are what the files say: rows folded in plain Python, counted on the day on which they were first told of."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from company_values import EPOCH, amount_of, instant_of

from simulator import Company, closings
from simulator.closing import DAY_COLUMNS

KEYS = {
    "transactions": ("transaction_id", "transaction_date"),
    "refunds": ("refund_id", "requested_at"),
    "chargebacks": ("dispute_id", "opened_at"),
}
"""By topic: what names a row, and which of its times says the day that it is of."""


def read(company: Company, folder: Path) -> dict[str, dict[tuple[str, str, str], tuple[int, Decimal]]]:
    """By topic: by closing, day and currency, what was booked."""
    found: dict[str, dict[tuple[str, str, str], tuple[int, Decimal]]] = defaultdict(dict)
    columns = {topic.table: column for topic, column in DAY_COLUMNS.items()}
    for file in closings(company, folder):
        table, closed = file.path.stem.split("-", 1)
        rows = list(csv.DictReader(file.path.read_text().splitlines()))
        assert (file.source, file.records, file.name) == (None, len(rows), f"closing/{table}-{closed}.csv")
        assert len(rows) > 0
        for row in rows:
            key = (closed, row[columns[table]], row["currency"])
            assert key not in found[table]
            found[table][key] = (int(row["row_count"]), Decimal(row["amount"]))
    return found


@pytest.mark.parametrize("table", KEYS)
def test_rows_of_every_day_are_counted_where_they_were_booked(written, tmp_path: Path, table: str) -> None:
    key, day = KEYS[table]
    rows: dict[str, tuple[str, str, str, Decimal]] = {}
    for event in sorted(written.events(table), key=lambda event: event["source"]["lsn"]):
        row = event["after"]
        try:
            of = instant_of(row[day]).date()
        except ValueError:
            continue
        try:
            amount = amount_of(row["amount"])
        except ArithmeticError:
            amount = Decimal(0)
        booked = (EPOCH + dt.timedelta(microseconds=event["source"]["ts_us"])).date()
        rows.setdefault(row[key], (str(booked), str(of), row["currency"].strip().upper(), amount))
    counts: Counter[tuple[str, str, str]] = Counter()
    amounts: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for booked, of, currency, amount in rows.values():
        counts[booked, of, currency] += 1
        amounts[booked, of, currency] += amount
    assert read(written.company, tmp_path)[table] == {place: (count, amounts[place]) for place, count in counts.items()}


def test_closings_of_more_days_change_none_before(tmp_path: Path) -> None:
    small, large = (Company(days=days, transactions_per_day=200, seed=3) for days in (3, 5))
    some, more = read(small, tmp_path / "some"), read(large, tmp_path / "more")
    for table in some:
        ends = {place for place in more[table] if dt.date.fromisoformat(place[0]) < small.date(small.days)}
        assert {place: more[table][place] for place in ends} == some[table]
        assert len(more[table]) > len(ends)


def test_closings_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    company = Company(days=2, transactions_per_day=200, seed=3)
    first, again = (
        [(file.name, hashlib.sha256(file.path.read_bytes()).hexdigest()) for file in closings(company, tmp_path / folder)]
        for folder in ("first", "again")
    )
    assert first == again


def test_the_smallest_company_closes_its_day(tmp_path: Path) -> None:
    first = next(closings(Company(days=1, transactions_per_day=1), tmp_path))
    assert first.name == "closing/transactions-2025-01-01.csv"


def test_days_that_are_worked_on_apart_are_closed_as_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    company = Company(days=5, transactions_per_day=200, seed=3)
    together = read(company, tmp_path / "together")
    monkeypatch.setattr("simulator.closing.PAYMENTS_A_QUERY", 1)
    assert read(company, tmp_path / "apart") == together
