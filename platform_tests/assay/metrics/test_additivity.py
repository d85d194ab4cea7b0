"""What cannot be added up is refused, one by one, with the reason and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from assay.metrics import (
    Arrived,
    Average,
    Conversion,
    Count,
    CountDistinct,
    Cumulative,
    Derived,
    Growth,
    Maximum,
    Metric,
    Minimum,
    Moving,
    Quantile,
    Rank,
    Ratio,
    Share,
    Sum,
)
from assay.metrics.additivity import Additivity, AdditivityError, merge_function
from assay.metrics.grains import Grain
from assay.metrics.lattice import Lattice, Mart

TEXTS: dict[str, Any] = {"title": "T", "meaning": "M"}
BUYERS = CountDistinct("buyers", of="customer", unit="customers", **TEXTS)
MEDIAN = Quantile("median", of="dollars", q="0.5", **TEXTS)
MEAN = Average("mean", of="dollars", **TEXTS)
RATE = Ratio("rate", of="sold_usd", to="sale_count", **TEXTS)
GIFTS = Conversion("gifts", where="pieces > 0", reached="is_gift", **TEXTS)
LARGEST = Maximum("largest", of="dollars", **TEXTS)
SMALLEST = Minimum("smallest", of="dollars", **TEXTS)
SHARE = Share("share", of="sold_usd", **TEXTS)
RANK = Rank("place", of="sold_usd", **TEXTS)
WEEK = Moving("seven", of="sale_count", days=7, **TEXTS)
SO_FAR = Cumulative("so_far", of="sale_count", since="month", **TEXTS)
GROWN = Growth("grown", of="sale_count", over="month", **TEXTS)
NEW = Arrived("new", of="buyers", months=3, **TEXTS)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            BUYERS,
            "buyers, a CountDistinct, (exact sets) cannot be added up over days: who is in two parts would be counted twice",
        ),
        (MEDIAN, "median, a Quantile, (exact sets) cannot be added up over days"),
        (RANK, "place, a Rank, (windowed) cannot be computed with: it already covers other periods"),
        (WEEK, "seven, a Moving, (windowed) cannot be computed with"),
        (SO_FAR, "so_far, a Cumulative, (windowed) cannot be computed with"),
        (GROWN, "grown, a Growth, (windowed) cannot be computed with"),
        (NEW, "new, a Arrived, (windowed) cannot be computed with"),
        (SHARE, "share, a Share, (recomputed) cannot be added up over days: a ratio of sums is not a sum of ratios"),
    ],
    ids=lambda given: given.type if isinstance(given, Metric) else "",
)
@pytest.mark.parametrize("window", ["moving", "cumulative"])
def test_windows_over_what_cannot_be_added_up(make, of: Metric, said: str, window: str) -> None:
    over = {
        "moving": Moving("a", of=of.name, days=30, **TEXTS),
        "cumulative": Cumulative("a", of=of.name, since="year", **TEXTS),
    }[window]

    with pytest.raises(AdditivityError) as raised:
        make(BUYERS, of, over) if of is not BUYERS else make(of, over)

    assert f"test_additivity.py:{over.place.line}: a: of: {said}" in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize("of", [RATE, MEAN, GIFTS, LARGEST, SMALLEST], ids=lambda of: of.type)
def test_windows_over_what_is_divided_anew_or_merges(make, of: Metric) -> None:
    catalog = make(of, Moving("a", of=of.name, days=30, **TEXTS), Cumulative("b", of=of.name, since="year", **TEXTS))

    assert catalog.metrics["a"].sql_type == catalog.metrics[of.name].sql_type


@pytest.mark.parametrize("of", [RATE, MEAN, GIFTS, LARGEST], ids=lambda of: of.type)
def test_an_average_by_day_of_what_is_no_sum(make, of: Metric) -> None:
    with pytest.raises(AdditivityError, match="cannot be divided by days"):
        make(of, Moving("a", of=of.name, days=30, daily=True, **TEXTS))


@pytest.mark.parametrize("of", [BUYERS, MEDIAN, MEAN, RATE, GIFTS, LARGEST], ids=lambda of: of.type)
def test_a_share_of_what_is_no_part_of_a_total(make, of: Metric) -> None:
    with pytest.raises(AdditivityError, match="cannot be added up to a total"):
        make(of, Share("a", of=of.name, **TEXTS))


def test_a_share_of_sums_of_sums(make) -> None:
    catalog = make(
        Sum("tips", of="tip", **TEXTS),
        Derived("all_usd", formula_of="sold_usd + tips", **TEXTS),
        Share("a", of="all_usd", **TEXTS),
    )

    assert catalog.metrics["a"].parts == ("sold_usd", "tips")


@pytest.mark.parametrize("of", [WEEK, SO_FAR, GROWN, RANK], ids=lambda of: of.type)
@pytest.mark.parametrize("kind", ["ratio", "derived", "growth", "rank", "share"])
def test_nothing_is_computed_of_what_looks_at_other_periods(make, of: Metric, kind: str) -> None:
    metric = {
        "ratio": Ratio("a", of=of.name, to="sale_count", **TEXTS),
        "derived": Derived("a", formula_of=f"{of.name} + sale_count", **TEXTS),
        "growth": Growth("a", of=of.name, over="month", **TEXTS),
        "rank": Rank("a", of=of.name, **TEXTS),
        "share": Share("a", of=of.name, **TEXTS),
    }[kind]

    with pytest.raises(AdditivityError, match="cannot be computed with"):
        make(of, metric)


@pytest.mark.parametrize(
    ("additivity", "function", "merged"),
    [
        (Additivity.ADDITIVE, "count", "sum"),
        (Additivity.ADDITIVE, "sum", "sum"),
        (Additivity.MERGEABLE, "min", "min"),
        (Additivity.MERGEABLE, "max", "max"),
    ],
)
def test_what_rolls_up(additivity: Additivity, function: str, merged: str) -> None:
    assert merge_function(additivity, function, "x") == merged


@pytest.mark.parametrize("additivity", [Additivity.SETS, Additivity.RECOMPUTED, Additivity.WINDOWED])
def test_what_does_not_roll_up(additivity: Additivity) -> None:
    with pytest.raises(AdditivityError, match=f"x .{additivity}. cannot be rolled up from parts"):
        merge_function(additivity, "distinct", "x")


def test_rolling_up_sets_is_refused_and_the_rows_are_taken_instead(make) -> None:
    lattice = Lattice(make(BUYERS, MEDIAN))
    year, month = (mart_of(lattice, "stall", grain) for grain in (Grain.YEAR, Grain.MONTH))
    for name in ("buyers", "median"):
        part = lattice.catalog.parts[name]
        with pytest.raises(
            AdditivityError, match=f"{name} .exact sets. cannot be rolled up from marts.stall_month to marts.stall_year"
        ):
            lattice.require_exact(year, part, month)
        assert lattice.parent(year, part).origin is lattice.catalog.facts[part.fact]


def test_weeks_roll_up_to_nothing(make) -> None:
    lattice = Lattice(make(Count("gift_count", where="is_gift", **TEXTS)))
    part = lattice.catalog.parts["sale_count"]
    week = mart_of(lattice, "stall", Grain.WEEK)

    with pytest.raises(AdditivityError, match="from week to month, not a whole number of them: its parts do not fill the whole"):
        lattice.require_exact(mart_of(lattice, "stall", Grain.MONTH), part, week)


def mart_of(lattice: Lattice, entity: str, grain: Grain) -> Mart:
    return next(mart for mart in lattice.marts if mart.entity.name == entity and mart.grain is grain)
