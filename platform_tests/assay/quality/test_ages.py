"""Ages: what stands in quarantine for too long, and what does not."""

from __future__ import annotations

import datetime as dt

from assay.quality.ages import Standing, TooOld, too_old

NOW = dt.datetime(2025, 2, 1, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)


def standing(days: float, rows: int = 1, dropped: int = 0, table: str = "enriched.a", rule: str = "r") -> Standing:
    at = NOW - dt.timedelta(days=days)
    return Standing(table, "2025-01-01", rule, rows, dropped, at, at)


def test_only_what_is_older_than_its_tables_limit_is_told_and_summed() -> None:
    found = too_old([standing(8, 2), standing(9, 3), standing(6, 50), standing(7, 60)], {"enriched.a": WEEK}, NOW)
    assert found == [TooOld("enriched.a", "r", 5, NOW - dt.timedelta(days=9), WEEK)]


def test_what_was_dropped_is_left_out() -> None:
    assert too_old([standing(30, 2, 2)], {"enriched.a": WEEK}, NOW) == []
    assert [each.rows for each in too_old([standing(30, 3, 2)], {"enriched.a": WEEK}, NOW)] == [1]


def test_each_table_has_its_own_limit_and_one_without_is_left_out() -> None:
    entries = [standing(3), standing(3, table="enriched.b"), standing(300, table="enriched.c")]
    limits = {"enriched.a": WEEK, "enriched.b": dt.timedelta(days=1)}
    assert [each.table for each in too_old(entries, limits, NOW)] == ["enriched.b"]


def test_rules_are_told_apart() -> None:
    found = too_old([standing(9, rule="b"), standing(8, rule="a")], {"enriched.a": WEEK}, NOW)
    assert [(each.rule, each.rows) for each in found] == [("a", 1), ("b", 1)]
