"""What the report says of a real lake, made by the real engine."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import audited_shop
import bazaar
import pytest
import shop
from change_lines import customer, order, text
from shop_lake import LANDED_AT, ShopLake

from assay.landing.drift import write_held
from assay.pipeline.dropping import Dropped, write_drop
from assay.pipeline.quarantined import Selection, records
from assay.pipeline.reconciling import reconcile
from assay.pipeline.reporting import collect_report
from assay.pipeline.state import State
from assay.pipeline.watching import watch_tables
from assay.quality.report import QualityReport
from assay.report.page import render

START = dt.date(2025, 1, 1)
DAYS = 63
FAILED = 10
NOW = dt.datetime(2025, 3, 5, 12, tzinfo=dt.UTC)


def day(number: int) -> str:
    return (START + dt.timedelta(days=number)).isoformat()


def orders(number: int, count: int = 20) -> list[str]:
    return [order(f"{number}-{place}", 1000 * number + place + 1, day=day(number), amount="10.00") for place in range(count)]


def reported(lake: ShopLake, as_of: dt.datetime | None = None) -> QualityReport:
    """The report; everything that this test wrote was written today, so today it is judged."""
    now = dt.datetime.now(dt.UTC)
    with lake.connection() as connection:
        return collect_report(connection, State(lake.workspace), as_of or now, now)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """Nine weeks of orders: some refused, one day with a tenth of its rows, one that fails its proof, a line that is no JSON."""
    lake = ShopLake(tmp_path_factory.mktemp("reported"))
    lake.land("customers", "c.json", text(customer("c1", 1)))
    for number in range(DAYS):
        landed = dt.datetime.combine(START + dt.timedelta(days=number + 1), dt.time(2), dt.UTC)
        lines = orders(number, 2 if number == DAYS - 3 else 20)
        if number >= DAYS - 2:
            lines.append(order(f"bad{number}", 1000 * number + 999, day=day(number), amount="-7.00"))
        if number == FAILED:
            lines = [order(f"bad{place}", 1000 * FAILED + 500 + place, day=day(FAILED), amount="-1.00") for place in range(20)]
        lake.land("orders", f"{day(number)}.json", text(*lines), at=landed)
    lake.land("orders", "broken.json", text("{no json"), at=LANDED_AT)
    lake.run("first")
    with lake.connection() as connection:
        watch_tables(connection, State(lake.workspace), NOW)
    return lake


def test_scores_are_those_of_the_proofs(lake: ShopLake) -> None:
    tables = {table.name: table for table in reported(lake).tables}
    assert set(tables) == set(shop.DOMAIN.tables)
    orders = tables["enriched.orders"]
    assert orders.rows == 4 * 20 + 2 + 2 * 21
    assert orders.quarantined == 2
    assert orders.score == pytest.approx(100 * (1 - 2 / orders.rows))
    assert orders.days[-1].day.isoformat() == day(DAYS - 1)
    assert orders.money_at_risk == Decimal("14.0000")
    assert orders.unit == "EUR"
    assert orders.dimensions[0] == 100.0 and orders.dimensions[1] == pytest.approx(orders.score)
    assert not tables["enriched.customers"].is_daily and len(tables["enriched.customers"].days) == 1


def test_rules_are_told_with_their_reasons_rows_and_money(lake: ShopLake) -> None:
    rules = {rule.rule: rule for rule in reported(lake).rules if rule.table == "enriched.orders"}
    rule = rules["amount_at_least"]
    assert (rule.total, rule.severity, rule.dimension, rule.owner) == (2, "quarantine", "validity", "team:shop")
    assert (rule.money, rule.unit) == (Decimal(14), "EUR")
    assert [count for _, count in rule.broken][-3:] == [0, 1, 1]
    assert rule.reason == "amount must be at least 0"


def test_what_failed_is_told_and_what_stands(lake: ShopLake) -> None:
    (failed,) = [each for each in reported(lake).failures if each.table == "enriched.orders"]
    assert (failed.partition, failed.run_id, failed.published_at) == (day(FAILED), "first", None)
    assert "below the threshold of 50" in failed.problems[0]


def test_quarantine_is_counted_by_age(lake: ShopLake) -> None:
    standing = {each.name: each for each in reported(lake, NOW).quarantine}
    assert set(standing) == {"raw.orders", "enriched.orders"}
    refused = standing["enriched.orders"]
    assert (refused.records, refused.ages, refused.rules) == (2, (1, 1, 0, 0), (("amount_at_least", 2),))
    assert (refused.too_old, refused.dropped) == (0, 0)
    unreadable = standing["raw.orders"]
    assert (unreadable.ages, unreadable.too_old) == ((0, 0, 0, 1), 1)
    assert unreadable.oldest == LANDED_AT


def test_what_was_dropped_waits_for_nobody(lake: ShopLake) -> None:
    source = lake.source("orders")
    with lake.connection() as connection:
        (record,) = records(connection, State(lake.workspace), source, Selection())
    drop = write_drop(lake.store, "raw.orders", [Dropped(record.id, record.object, record.line)], "ann", "noise")
    try:
        standing = {each.name: each for each in reported(lake, NOW).quarantine}
        assert (standing["raw.orders"].records, standing["raw.orders"].dropped, standing["raw.orders"].oldest) == (0, 1, None)
    finally:
        for info in list(lake.store.list("audit/dropped/")):
            lake.store.delete(info.key)
    assert drop.by == "ann"


def test_anomalies_have_their_series_around_them(lake: ShopLake) -> None:
    report = reported(lake, NOW)
    assert report.watched == 1
    found = {each.subject: each for each in report.anomalies}
    assert set(found) == {"rows", "total of amount"}
    rows = found["rows"]
    assert [(each.day.isoformat(), each.observed) for each in rows.found] == [(day(DAYS - 3), 2.0)]
    series = dict(rows.series)
    assert (series[rows.found[0].day], series[START + dt.timedelta(days=20)], series[START + dt.timedelta(days=FAILED)]) == (
        2.0,
        20.0,
        0.0,
    )
    assert not rows.is_share and rows.owner == "team:shop"


def test_books_are_those_that_every_run_proves(lake: ShopLake) -> None:
    books = {book.name: book for book in reported(lake).books}
    assert set(books) == {"raw.orders", "raw.customers", *shop.DOMAIN.tables}
    assert all(book.is_balanced for book in books.values())
    orders = books["enriched.orders"]
    assert (orders.rows.quarantined, orders.partitions) == (2, DAYS - 1)
    assert orders.money is not None and orders.money.quarantined == Decimal("-14")
    assert books["enriched.customers"].money is None


def test_drift_and_held_objects(lake: ShopLake) -> None:
    write_held(lake.store, "orders", {"landing/orders/z.json": "its type", "landing/orders/a.json": "its type"})
    try:
        (held,) = reported(lake).held
        assert (held.source, held.objects, held.first, held.reason) == ("raw.orders", 2, "landing/orders/a.json", "its type")
    finally:
        write_held(lake.store, "orders", {})
    assert reported(lake).drift == ()


def test_a_new_column_is_told_with_its_objects(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lake = ShopLake(tmp_path)
    for number in (1, 2):
        event = json.loads(order(f"o{number}", number))
        event["after"]["device"] = "phone"
        lake.land("orders", f"{number}.json", text(json.dumps(event)))
    lake.run()
    (found,) = reported(lake).drift
    assert (found.source, found.column, found.objects, found.matters) == ("raw.orders", "device", 2, True)
    assert found.first.endswith("/1.json") and found.last.endswith("/2.json")


def test_controls_are_told_with_the_newest_difference(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lake = ShopLake(tmp_path, audited_shop.DOMAIN)
    lake.land("orders", "1.json", text(*(order(f"o{place}", place, day="2025-01-03", amount="10.10") for place in (1, 2))))
    lake.run()
    roll = "order_day,row_count,amount\n2025-01-02,0,0\n2025-01-03,3,30.30"
    lake.store.put("controls/till_rolls-1.csv", roll.encode())
    with lake.connection() as connection:
        reconcile(connection, State(lake.workspace), audited_shop.ROLLS, {}, dt.datetime(2025, 1, 6, tzinfo=dt.UTC), "run")
    (found,) = reported(lake).reconciled
    assert (found.control, found.table, found.owner, found.days) == ("till_rolls", "enriched.orders", "team:shop", 2)
    assert [each.isoformat() for each in found.wrong] == ["2025-01-03"]
    assert found.text == "row_count is 2 in the lake, 3 in the control"


def test_freshness_is_that_of_every_source_and_table(lake: ShopLake) -> None:
    fresh = {each.name: each for each in reported(lake).freshness}
    assert set(fresh) == {"raw.orders", "raw.customers", *shop.DOMAIN.tables}
    assert not any(each.is_late or each.waits_for for each in fresh.values())
    assert (fresh["enriched.orders"].newest, fresh["enriched.customers"].newest) == (day(DAYS - 1), "")


def test_a_past_day_is_judged_by_what_was_published_then(lake: ShopLake) -> None:
    before = reported(lake, dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    assert before.is_past
    assert all(table.days == () for table in before.tables)


def test_an_empty_lake_has_an_empty_report(tmp_path) -> None:  # type: ignore[no-untyped-def]
    report = reported(ShopLake(tmp_path))
    assert report.score is None
    assert (report.rules, report.quarantine, report.anomalies, report.failures) == ((), (), (), ())
    assert "Nothing has been proven yet" in render(report)


def test_tables_that_nobody_has_asked_for_yet_are_only_counted(tmp_path) -> None:  # type: ignore[no-untyped-def]
    report = reported(ShopLake(tmp_path, bazaar.DOMAIN))
    generated = bazaar.DOMAIN.generated.keys()
    assert report.dormant == len(generated)
    told = {table.name for table in report.tables} | {each.name for each in (*report.books, *report.freshness)}
    assert told == {*bazaar.DOMAIN.written_tables, *(source.full_name for source in bazaar.DOMAIN.sources.values())}
    assert f"{len(generated)} more tables are of the hourly or daily job" in render(report)


def test_collecting_changes_nothing_and_drawing_it_twice_gives_one_page(lake: ShopLake) -> None:
    before = lake.etags("")
    first, second = reported(lake, NOW), reported(lake, NOW)
    assert render(first) == render(second)
    assert lake.etags("") == before
