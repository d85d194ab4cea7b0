"""The history that is kept of proofs, read back as trends; many tables at once."""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wide_lake
from wide_lake import LAST, WideLake

from assay.engine.connection import Limits
from assay.lake.layout import proofs_prefix, proofs_run_key
from assay.pipeline.reporting import collect_report
from assay.pipeline.scoring import PROOFS, as_parquet
from assay.pipeline.state import State
from assay.pipeline.trends import broken_rules, table_days
from assay.pipeline.workspace import Workspace
from assay.quality.report import BrokenRule, Day, QualityReport

AS_OF = dt.datetime.combine(LAST + dt.timedelta(days=1), dt.time(6), dt.UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WideLake]:
    """Seven tables with seventy days."""
    folder = tmp_path_factory.mktemp("wide")
    wide_lake.write_domain(folder, 7)
    sys.path.insert(0, str(folder))
    try:
        yield wide_lake.write_lake(folder, 70, 2)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == wide_lake.MODULE]:
            del sys.modules[name]


def workspace(lake: WideLake, tmp_path: Path) -> Workspace:
    return Workspace(lake.domain, lake.store, Limits("1GB", 2, tmp_path / "scratch"))


def trends(lake: WideLake, tmp_path: Path, as_of: dt.datetime = AS_OF) -> tuple[dict[str, tuple[Day, ...]], list[BrokenRule]]:
    opened = workspace(lake, tmp_path)
    with opened.connection() as connection:
        state = State(opened)
        days = table_days(connection, state, as_of)
        return days, broken_rules(connection, state, days, as_of)


def test_history_gives_scores_dimensions_money_and_failures(lake: WideLake, tmp_path: Path) -> None:
    days, _ = trends(lake, tmp_path)
    names = list(lake.domain.tables)
    assert {len(each) for each in days.values()} <= {70, 67}
    assert [day.failed for day in days[names[1]]][-3:] == [False, True, True]
    newest = days[names[1]][-1]
    assert newest.day == LAST
    assert newest.dimensions[0] is not None and newest.dimensions[0] > newest.score
    assert newest.money_at_risk == newest.quarantined * 57


def test_later_proofs_and_days_are_left_out(lake: WideLake, tmp_path: Path) -> None:
    days, rules = trends(lake, tmp_path, AS_OF - dt.timedelta(days=10))
    assert max(day.day for each in days.values() for day in each) == LAST - dt.timedelta(days=10)
    assert max(day for rule in rules for day, _ in rule.broken) == LAST - dt.timedelta(days=10)


def test_rules_are_ordered_by_what_counts_and_summed_over_days(lake: WideLake, tmp_path: Path) -> None:
    _, rules = trends(lake, tmp_path)
    weights = [rule.severity == "warn" for rule in rules]
    assert weights == sorted(weights)
    worst = rules[0]
    assert len(worst.broken) == 30
    assert worst.money == worst.total * 57
    assert worst.reason == "currency must be one of 'EUR', 'GBP', 'USD'" and worst.dimension == "validity"


def test_the_last_proof_of_a_partition_counts(lake: WideLake, tmp_path: Path) -> None:
    table = next(iter(lake.domain.tables.values()))
    (row,) = [row for row in kept_proofs(lake) if (row["table_name"], row["partition"]) == (table.full_name, LAST.isoformat())]
    again = row | {"proven_at": row["proven_at"] + dt.timedelta(minutes=5), "score": 12.5, "status": "failed"}
    again["results"] = [result | {"broken": 0, "passed": True} for result in row["results"]]
    key = proofs_run_key(again["proven_at"], "again")
    lake.store.put(key, as_parquet(pa.Table.from_pylist([again], PROOFS)))
    try:
        days, rules = trends(lake, tmp_path)
        assert (days[table.full_name][-1].score, days[table.full_name][-1].failed) == (12.5, True)
        assert len(days[table.full_name]) == 70
        # What the proof before it found counts no longer.
        assert {rule.broken[-1] for rule in rules if rule.table == table.full_name} == {(LAST, 0)}
    finally:
        lake.store.delete(key)


def test_where_nothing_could_be_judged_there_is_no_score(lake: WideLake, tmp_path: Path) -> None:
    name = list(lake.domain.tables)[2]
    (row,) = [row for row in kept_proofs(lake) if (row["table_name"], row["partition"]) == (name, LAST.isoformat())]
    nothing = {"score": None, "money_score": None, "row_count": 0, "status": "failed", "results": []}
    again = row | nothing | {"proven_at": row["proven_at"] + dt.timedelta(minutes=5)}
    key = proofs_run_key(again["proven_at"], "again")
    lake.store.put(key, as_parquet(pa.Table.from_pylist([again], PROOFS)))
    try:
        days, _ = trends(lake, tmp_path)
        assert (days[name][-1].score, days[name][-1].failed) == (None, True)
    finally:
        lake.store.delete(key)


def kept_proofs(lake: WideLake) -> list[dict[str, Any]]:
    objects = [lake.store.get(info.key) for info in lake.store.list(proofs_prefix())]
    return [row for body in objects for row in pq.read_table(io.BytesIO(body)).to_pylist()]


def test_without_histories_the_index_is_shown(lake: WideLake, tmp_path: Path) -> None:
    kept = {info.key: lake.store.get(info.key) for info in lake.store.list("quality/")}
    for key in kept:
        lake.store.delete(key)
    try:
        days, rules = trends(lake, tmp_path)
        assert {len(each) for each in days.values()} <= {70, 67}
        assert {rule.rule for rule in rules} == {"currency_known"}
        assert not any(day.failed or day.dimensions for each in days.values() for day in each)
    finally:
        for key, body in kept.items():
            lake.store.put(key, body)


def test_everything_that_is_wrong_is_in_the_report(lake: WideLake, tmp_path: Path) -> None:
    opened = workspace(lake, tmp_path)
    with opened.connection() as connection:
        report: QualityReport = collect_report(connection, State(opened), AS_OF, AS_OF)
    names = list(lake.domain.tables)
    assert {each.table for each in report.failures} == {names[1], names[3]}
    assert {each.name for each in report.unbalanced} == {names[6]}
    assert {each.name for each in report.below} == {names[1]}
    assert {each.name for each in report.late} == {names[5]}
    assert [each.column for each in report.drift] == ["device_id"]
    assert [each.table for each in report.anomalies] == [names[2]]
    assert len(report.anomalies[0].series) == 57
    assert report.too_old > 0 and len(report.held) == 1
