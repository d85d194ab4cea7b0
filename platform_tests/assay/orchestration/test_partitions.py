"""Partitions of every grain as Dagster has them: their keys, what depends on what, by hand and by automation conditions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import kiosk
import pytest
from change_lines import change, text
from shop_lake import ShopLake
from spans import partitions_in
from stepping_lake import SteppingLake

from assay.contracts import Grain, Window
from assay.contracts.periods import OWN, first_day, reads
from assay.orchestration.definitions import build_definitions, quiet_beta
from assay.orchestration.partitions import mapping_of, partitions_of

NOW = dt.datetime(2025, 3, 13, 12, tzinfo=dt.UTC)
BY = {
    Grain.DAY: kiosk.DOMAIN.tables["marts.by_day"],
    Grain.WEEK: kiosk.DOMAIN.tables["marts.by_week"],
    Grain.MONTH: kiosk.DOMAIN.tables["marts.by_month"],
    Grain.YEAR: kiosk.DOMAIN.tables["marts.by_year"],
}
DAYS = ("2023-12-31", "2024-01-15", "2024-02-03", "2024-12-30", "2025-01-01")


def definition(grain: Grain) -> dg.TimeWindowPartitionsDefinition:
    found = partitions_of(kiosk.DOMAIN, BY[grain])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("grain", "first", "last"),
    [
        (Grain.DAY, "2023-01-01", "2025-03-13"),
        (Grain.WEEK, "2022-12-26", "2025-03-10"),
        (Grain.MONTH, "2023-01-01", "2025-03-01"),
        (Grain.YEAR, "2023-01-01", "2025-01-01"),
    ],
)
def test_keys_are_first_days_up_to_the_current_period(grain: Grain, first: str, last: str) -> None:
    keys = definition(grain).get_partition_keys(current_time=NOW)
    assert (keys[0], keys[-1]) == (first, last)
    assert list(keys) == partitions_in(next(iter(reads(Grain.DAY, last, grain, Window(before=len(keys) - 1)))), grain)


@pytest.mark.parametrize(
    ("grain", "first", "last"),
    [
        (Grain.DAY, "2022-12-31", "2025-03-14"),
        (Grain.WEEK, "2022-12-26", "2025-03-17"),
        (Grain.MONTH, "2022-12-01", "2025-04-01"),
        (Grain.YEAR, "2022-01-01", "2026-01-01"),
    ],
)
def test_days_by_other_clocks_begin_earlier_and_are_ahead(grain: Grain, first: str, last: str) -> None:
    found = partitions_of(kiosk.DOMAIN, replace(BY[grain], is_local=True))
    assert found is not None
    keys = found.get_partition_keys(current_time=NOW)
    assert (keys[0], keys[-1]) == (first, last)


def test_what_is_not_cut_has_no_partitions() -> None:
    assert partitions_of(kiosk.DOMAIN, kiosk.DOMAIN.tables["marts.products"]) is None


WINDOWS = [
    None,
    Window(before=1),
    Window(before=6),
    Window(since="month"),
    Window(since="year", own=False),
    Window(since="start", own=False),
    Window(before=1, year_before=True),
    Window(before=1, after=1),
]


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
@pytest.mark.parametrize("of", BY)
@pytest.mark.parametrize("grain", BY)
def test_dagster_knows_of_all_that_is_read(grain: Grain, of: Grain, window: Window | None) -> None:
    with quiet_beta():
        mapping = mapping_of(BY[grain], BY[of], window) or dg.TimeWindowPartitionMapping()
    down, up = definition(grain), definition(of)
    there = up.get_partition_keys(current_time=NOW)
    for day in ("2023-01-01", "2024-02-29", "2024-12-31", "2025-03-13"):
        key = first_day(grain, dt.date.fromisoformat(day)).isoformat()
        mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(
            down.subset_with_partition_keys([key]), down, up, current_time=NOW
        )
        told = set(mapped.partitions_subset.get_partition_keys())
        spans = reads(grain, key, of, window or OWN)
        read = {each for each in there for span in spans if span.first <= each <= span.last}
        assert read <= told
        assert not mapped.required_but_nonexistent_partition_keys
        if window is None or (grain is of and window == Window(before=window.before, after=window.after)):
            assert read == told
        if window is None or not window.after:
            assert max(told) <= max(reads(grain, key, of)[-1].last, min(there)), "later partitions are nobody's business"


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A kiosk that sold something on some days, which has landed."""
    made = ShopLake(tmp_path, kiosk.DOMAIN)
    made.land("sales", "1.json", sales(DAYS))
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of its own."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def sales(days: Sequence[str], position: int = 1) -> bytes:
    rows = [{"sale_id": f"s{n}", "product": "tea", "amount": "1.00", "day": day} for n, day in enumerate(days, start=position)]
    return text(*(change("sales", "c", n, row) for n, row in enumerate(rows, start=position)))


def materialize(
    defs: dg.Definitions, instance: dg.DagsterInstance, name: str, first: str | None = None, last: str | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize an asset by hand: one partition, a range, or all of what is not cut."""
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last} if first and last else {}
    result = dg.materialize(
        list(defs.assets or []),
        selection=[dg.AssetKey(name.split("."))],
        partition_key=first if last is None else None,
        resources=dict(defs.resources or {}),
        instance=instance,
        tags=tags,
    )
    assert result.success
    return result


def materialized(instance: dg.DagsterInstance, name: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(name.split("."))))


def test_the_refresh_job_records_periods_of_every_grain(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    defs = build_definitions(kiosk.DOMAIN, SteppingLake(lake))
    assert defs.get_job_def("refresh").execute_in_process(instance=instance).success
    assert materialized(instance, "marts.by_day") == materialized(instance, "marts.running") == set(DAYS)
    assert materialized(instance, "marts.by_week") == {"2023-12-25", "2024-01-15", "2024-01-29", "2024-12-30"}
    assert materialized(instance, "marts.by_month") == {"2023-12-01", "2024-01-01", "2024-02-01", "2024-12-01", "2025-01-01"}
    assert materialized(instance, "marts.by_year") == {"2023-01-01", "2024-01-01", "2025-01-01"}
    known = set(definition(Grain.WEEK).get_partition_keys()), set(definition(Grain.YEAR).get_partition_keys())
    assert materialized(instance, "marts.by_week") <= known[0]
    assert materialized(instance, "marts.by_year") <= known[1]


def test_a_period_by_hand_is_its_days(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    defs = build_definitions(kiosk.DOMAIN, SteppingLake(lake))
    lake.land("sales", "2.json", sales(["2024-12-31", "2025-01-01"], position=50))
    # All of what lands is ingested, whichever days are asked for; the tables have the asked ones alone.
    for name in ("raw.sales", "enriched.sales", "marts.by_day"):
        materialize(defs, instance, name, "2024-12-30", "2025-01-02")
    result = materialize(defs, instance, "marts.by_week", "2024-12-30")
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["week_first_day"] and checks["books_balanced"]
    assert lake.rows("SELECT week::VARCHAR, sale_count FROM marts.by_week") == [("2024-12-30", 4)]
    materialize(defs, instance, "marts.by_month", "2024-12-01", "2025-01-01")
    materialize(defs, instance, "marts.by_year", "2024-01-01", "2025-01-01")
    assert materialized(instance, "marts.by_month") == {"2024-12-01", "2025-01-01"}
    assert lake.rows("SELECT year::VARCHAR, sale_count FROM marts.by_year ORDER BY 1") == [("2024-01-01", 2), ("2025-01-01", 2)]
    materialize(defs, instance, "marts.running", "2025-01-01")
    assert lake.rows("SELECT day::VARCHAR, year_to_date, to_date FROM marts.running") == [("2025-01-01", 2, 4)]
    materialize(defs, instance, "marts.products")
    assert lake.rows("SELECT product, sale_count FROM marts.products") == [("tea", 4)]


def test_a_late_day_requests_the_periods_that_hold_it_and_what_looks_back(lake: ShopLake, instance: dg.DagsterInstance) -> None:
    defs = build_definitions(kiosk.DOMAIN, SteppingLake(lake))
    assert defs.get_job_def("refresh").execute_in_process(instance=instance).success
    result = dg.evaluate_automation_conditions(defs, instance)
    lake.land("sales", "late.json", sales(["2024-01-15"], position=50))
    requested: dict[str, set[str]] = {}
    built = {
        "raw.sales": "2024-01-15",
        "enriched.sales": "2024-01-15",
        "marts.by_day": "2024-01-15",
        "marts.by_month": "2024-01-01",
        "marts.by_year": "2024-01-01",
    }
    for name, partition in built.items():
        materialize(defs, instance, name, partition, partition)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=result.cursor)
        for asked in kiosk.DOMAIN.tables:
            keys = result.get_requested_partitions(dg.AssetKey(asked.split("."))) - {None}
            requested.setdefault(asked, set()).update(key for key in keys if key)
    assert result.get_num_requested(dg.AssetKey(["marts", "products"])) == 1
    exact = {"enriched.sales", "marts.by_day", "marts.by_week", "marts.by_month", "marts.by_year", "marts.weekly_range"}
    assert {name: requested[name] for name in exact} == {
        "enriched.sales": {"2024-01-15"},
        "marts.by_day": {"2024-01-15"},
        "marts.by_week": {"2024-01-15"},
        "marts.weekly_range": {"2024-01-15"},
        "marts.by_month": {"2024-01-01"},
        "marts.by_year": {"2024-01-01"},
    }
    # What Dagster cannot say exactly is more, but nothing before.
    assert {"2024-01-01", "2024-02-01", "2025-01-01"} <= requested["marts.growth"]
    assert set(DAYS[1:]) <= requested["marts.running"]
    assert min(requested["marts.growth"] | requested["marts.running"]) >= "2024-01-01"
