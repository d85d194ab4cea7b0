"""The sums of a report."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from reports import AS_OF, TODAY, broken_report, days, table

from assay.quality.books import Side
from assay.quality.report import Account, BrokenRule, Day, Fresh, QualityReport, TableQuality


def test_a_score_is_of_the_newest_days_weighted_by_rows() -> None:
    newest = table("enriched.orders", *[50.0] * 10, *[100.0] * 6, 90.0)
    assert newest.score == pytest.approx(690 / 7)
    assert newest.change == pytest.approx(690 / 7 - 50.0)
    heavy = replace(newest, days=(*newest.days[:-1], replace(newest.days[-1], rows=94_000)))
    assert heavy.score == pytest.approx((6000 * 100 + 94_000 * 90) / 100_000)


def test_of_a_table_that_is_not_cut_the_last_proof_counts() -> None:
    whole = replace(table("enriched.customers", 80.0, 99.0), is_daily=False)
    assert (whole.score, whole.change) == (99.0, 19.0)


def test_what_has_no_rows_has_no_score() -> None:
    assert table().change is None
    empty = TableQuality("marts.x", "o", "", 0, 0, True, "", ())
    assert (empty.score, empty.money_score, empty.money_at_risk, empty.dimensions) == (None, None, None, ())
    assert replace(empty, days=(Day(TODAY, 0, 100.0),)).score is None
    assert QualityReport("d", AS_OF, False, tables=(empty,)).score is None


def test_dimensions_and_money_are_of_the_days_that_have_them() -> None:
    old, new = days(90.0, 98.0)
    new = replace(new, money_score=80.0, money_at_risk=Decimal(7), dimensions=(99.0, None, 100.0, 100.0, 100.0))
    mixed = replace(table(), days=(old, new))
    assert mixed.dimensions == (99.0, None, 100.0, 100.0, 100.0)
    assert (mixed.money_score, mixed.money_at_risk) == (80.0, Decimal(7))


def test_a_rule_is_compared_with_the_days_before() -> None:
    def rule(*counts: int) -> BrokenRule:
        broken = tuple((TODAY - dt.timedelta(days=len(counts) - place), count) for place, count in enumerate(counts))
        return BrokenRule("t", "r", "", "", "quarantine", "o", "", 1000, broken)

    assert rule(*[2] * 14).change == 0
    assert rule(*[2] * 7, *[6] * 7).change == pytest.approx(2.0)
    assert rule(*[0] * 7, *[6] * 7).change is None
    assert rule(5, 5).change is None
    assert [
        each.is_rising for each in (rule(*[2] * 14), rule(*[2] * 7, *[6] * 7), rule(0, *[0] * 7, 3), rule(1, *[1] * 6, 4))
    ] == [
        False,
        True,
        False,
        False,
    ]
    assert (rule(5, 5).total, rule(5, 5).share) == (10, 0.01)


def test_books_balance_only_if_every_partition_does() -> None:
    even = Side(Decimal(3), Decimal(2), Decimal(1))
    assert Account("t", "", even, None, 1).is_balanced
    assert not Account("t", "", even, Side(Decimal(1)), 1).is_balanced
    assert not Account("t", "", even, None, 2, ("2025-01-01",)).is_balanced


def test_what_waits_for_something_late_is_not_late_by_itself() -> None:
    day = dt.timedelta(days=1)
    late = Fresh("raw.x", "o", AS_OF - 2 * day, 2 * day, day, "")
    waits = replace(late, name="marts.x", waits_for=("raw.x",))
    unlimited = replace(late, name="raw.y", limit=None)
    report = QualityReport("d", AS_OF, False, freshness=(late, waits, unlimited))
    assert report.late == (late,)
    assert waits.is_late and not unlimited.is_late


@pytest.mark.parametrize(
    ("scores", "tolerated", "is_below"),
    [((90.0, 91.0), 99, True), ((90.0, 91.0), 100, False), ((90.0, 100.0), 0, False), ((89.0, 96.0), 100, True)],
)
def test_a_table_is_below_its_threshold_as_its_partitions_would_be(
    scores: tuple[float, ...], tolerated: int, is_below: bool
) -> None:
    assert table("t", *scores, tolerated=tolerated).is_below is is_below


def test_a_report_adds_up_its_parts() -> None:
    report = broken_report()
    assert (report.standing, report.too_old) == (14, 5)
    assert len(report.unbalanced) == len(report.differing) == len(report.below) == 1
    assert report.score == pytest.approx(91.0)
