"""Declarations that are wrong: each error names the file, the line and the field, and says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from market import BASE, ENTITIES, TABLES, a_fact

from assay.errors import ContractError
from assay.metrics import (
    Arrived,
    Average,
    Calendar,
    Conversion,
    Count,
    CountDistinct,
    Cumulative,
    Derived,
    Entity,
    Fact,
    Grain,
    Group,
    Growth,
    Metric,
    Moving,
    Quantile,
    Rank,
    Ratio,
    Share,
    Sum,
)
from assay.metrics.additivity import MetricError
from assay.metrics.catalog import Catalog, make_catalog, read_catalog
from assay.metrics.lattice import Lattice

TEXTS: dict[str, Any] = {"title": "T", "meaning": "M"}
CUSTOMERS = CountDistinct("buyers", of="customer", unit="customers", **TEXTS)


def refusal(make, *metrics: Metric, **changed: Any) -> str:
    with pytest.raises(MetricError) as raised:
        make(*metrics, **changed)
    assert re.match(rf"{re.escape(__file__)}:\d+: \w+: ", str(raised.value)), raised.value
    return str(raised.value).split(": ", 1)[1]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Count("Sales", **TEXTS), "Sales: name: 'Sales' is not a valid name"),
        (Count("day", **TEXTS), "day: name: marts have a column day that is not a metric"),
        (Count("colour", **TEXTS), "colour: name: marts have a column colour"),
        (Count("a", title=" ", meaning="M"), "a: title: it is empty"),
        (Count("a", title="T", meaning=""), "a: meaning: it is empty"),
        (Count("a", fact="rents", **TEXTS), "a: fact: there is no fact rents. There are sales."),
        (Count("a", by="planet", **TEXTS), "a: by: there is no entity planet"),
        (Count("a", where="is_gift", entities=("planet",), **TEXTS), "a: entities: there is no entity planet"),
        (Count("a", where="pieces", **TEXTS), "a: where: pieces is BIGINT, but must be true or false"),
        (Count("a", where="colr = 'red'", **TEXTS), "a: where: colr = 'red' cannot be computed from marts.sales"),
        (Sum("a", of="dolars", **TEXTS), "a: of: dolars cannot be computed from marts.sales"),
        (Sum("a", of="colour", unit="paint", **TEXTS), "a: of: colour cannot be computed from marts.sales"),
        (Sum("a", of="weight", unit="kg", **TEXTS), "a: of: the sum of weight is DOUBLE, which is not an exact number"),
        (Sum("a", of="pieces", **TEXTS), "a: unit: pieces is not money, so it needs a unit"),
        (Sum("a", of="dollars", where="is_gift", unit="EUR", **TEXTS), "a: unit: dollars is money in USD, not EUR"),
        (Sum("a", of="dollars + euros", **TEXTS), "a: of: dollars + euros mixes money in EUR and USD"),
        (Sum("a", of="dollars", entities=("customer",), where="nowhere", **TEXTS), "a: where: nowhere cannot be computed"),
        (Count("a", **TEXTS), "a: of: it is the same as sale_count at"),
        (
            CountDistinct("a", of="stall", unit="stalls", entities=("customer",), **TEXTS),
            "a: entities: customer: it has so many members that storing these for each would save no reading of the facts",
        ),
        (Quantile("a", of="dollars", q="1.5", **TEXTS), "a: q: '1.5' is not a share between 0 and 1"),
        (Quantile("a", of="dollars", q=0.5, **TEXTS), "a: q: it must be text, not 0.5"),  # type: ignore[arg-type]
        (Moving("a", of="sale_count", days="7", **TEXTS), "a: days: it must be a whole number, not '7'"),  # type: ignore[arg-type]
        (
            Count("a", where="is_gift", entities="stall", **TEXTS),
            "a: entities: it must be a tuple of texts, as in ('region',), not 'stall'",
        ),  # type: ignore[arg-type]
        (Count("a", where="is_gift", tags=(1,), **TEXTS), "a: tags: it must be a tuple of texts, as in ('region',), not (1,)"),  # type: ignore[arg-type]
        (Count("a", where="count(*) > 1", **TEXTS), "a: where: count(*) > 1 cannot be computed from marts.sales: aggregate"),
        (
            Count("a", where="is_gift", entities=("stall",), by="currency", **TEXTS),
            "a: by: currency: the metric is not computed for it. It is computed for stall.",
        ),
        (Count("order", where="is_gift", **TEXTS), "order: name: order is a word of SQL"),
        (Count("left", where="is_gift", **TEXTS), "left: name: left is a word of SQL"),
        (Count("a", where="random() < 0.5", **TEXTS), "a: where: random() < 0.5: random gives another value each time"),
        (Count("a", where="sale_date < Current_Date", **TEXTS), "a: where: sale_date < Current_Date: current_date gives another"),
        (Sum("a", of="pieces * (SELECT 2)", unit="pieces", **TEXTS), "a: of: pieces * (SELECT 2): it reads other rows"),
        (Count("a", where="stall IN (FROM sales)", **TEXTS), "a: where: stall IN (FROM sales): it reads other rows"),
        (Conversion("a", where="is_gift", reached="now() > sold_at", **TEXTS), "a: reached: now() > sold_at: now gives another"),
        (Conversion("a", where="is_gift", reached="pieces", **TEXTS), "a: reached: pieces is BIGINT"),
        (Ratio("a", of="sale_cnt", to="sale_count", **TEXTS), "a: of: there is no metric sale_cnt. Did you mean sale_count?"),
        (Ratio("a", of="a", to="sale_count", **TEXTS), "a: of: it refers to itself: a refers to a"),
        (Derived("a", formula_of="sold_usd / 2", **TEXTS), "a: formula_of: sold_usd / 2 divides, which only a Ratio may"),
        (Derived("a", formula_of="sold_usd * sold_usd", **TEXTS), "a: formula_of: sold_usd * sold_usd multiplies two metrics"),
        (Derived("a", formula_of="sold_usd +", **TEXTS), "a: formula_of: 'sold_usd +' cannot be read"),
        (Derived("a", formula_of="max(sold_usd)", **TEXTS), "a: formula_of: max(sold_usd) is not allowed"),
        (Derived("a", formula_of="1 + 2", **TEXTS), "a: formula_of: it names no metric"),
        (Derived("a", formula_of="sold_usd + sale_count", **TEXTS), "a: formula_of: it adds different units: sold_usd is in USD"),
        (Moving("a", of="sale_count", days=1, **TEXTS), "a: days: 1 is not between 2 and 366"),
        (Growth("a", of="sale_count", over="decade", **TEXTS), "a: over: decade is not one of day, week, month, year"),  # type: ignore[arg-type]
        (Cumulative("a", of="sale_count", since="day", **TEXTS), "a: since: day is not one of month, year"),  # type: ignore[arg-type]
        (
            Rank("a", of="sale_count", within="size", **TEXTS),
            "a: within: none of stall, currency has an attribute size",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_wrong_field_is_named(make, metric: Metric, said: str) -> None:
    assert refusal(make, metric).startswith(said)


def test_an_expression_may_compare_and_extract_from_its_row(make) -> None:
    where = "colour IS DISTINCT FROM 'now(' AND extract(hour FROM sold_at) > 3 AND \"stall\" <> 'SELECT'"

    assert make(Count("a", where=where, **TEXTS)).metrics["a"].sql_type == "BIGINT"


def test_a_name_is_declared_once(make) -> None:
    assert "sale_count: name: it is already declared at" in refusal(make, Count("sale_count", where="is_gift", **TEXTS))


def test_a_stored_part_may_not_take_the_name_of_a_metric(make) -> None:
    metrics = (Average("piece", of="pieces", unit="pieces", **TEXTS), Count("piece_rows", where="is_gift", **TEXTS))

    assert refusal(make, *metrics).startswith("piece_rows: name: piece stores a part under this name")


def test_a_circle_is_told_as_a_whole(make) -> None:
    metrics = (Ratio("a", of="b", to="sale_count", **TEXTS), Ratio("b", of="a", to="sale_count", **TEXTS))

    assert "a: of: it refers to itself: a refers to b refers to a" in refusal(make, *metrics)


def test_a_ratio_to_what_may_be_negative_is_refused(make) -> None:
    signed = Sum("tips", of="tip", **TEXTS)

    assert refusal(make, signed, Ratio("a", of="sold_usd", to="tips", **TEXTS)).startswith("a: to: tips may be negative")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('Count("a", "T", "M", wher="true")', "Count: wher: Count has no such field. Did you mean where?"),
        ('Ratio("a", "T", "M", of="b")', "Ratio: to: it is missing"),
        ('Ratio("a", "T", "M")', "Ratio: of, to: it is missing"),
        ('Fact("a", table="marts.sales")', "Fact: keys: it is missing"),
    ],
)
def test_a_field_that_there_is_not_or_that_is_missing_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    name = f"stand_{abs(hash(written))}"
    (tmp_path / f"{name}.py").write_text(f"from assay.metrics import Count, Fact, Ratio\n\nWRONG = {written}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(MetricError) as raised:
        read_catalog(name, {})
    assert f"{raised.value}".startswith(f"{tmp_path / name}.py:3: {said}")


def test_other_errors_of_a_module_are_said_as_those_of_any_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stand_of_others.py").write_text("len(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ContractError, match=r"stand_of_others\.py:1: TypeError: .* has no len"):
        read_catalog("stand_of_others", {})


def test_a_ratio_of_currencies_is_refused(make) -> None:
    euros = Sum("sold_eur", of="euros", **TEXTS)

    assert "a: of: sold_usd is in USD and sold_eur in EUR" in refusal(
        make, euros, Ratio("a", of="sold_usd", to="sold_eur", **TEXTS)
    )


def test_money_as_charged_is_only_added_up_for_a_currency(make) -> None:
    charged = Sum("sold", of="amount", **TEXTS)

    assert make(charged).metrics["sold"].entities == ("currency",)
    told = refusal(make, Sum("sold", of="amount", entities=("stall",), **TEXTS))
    assert told == "sold: entities: stall: it would add up money of different currencies. It can have currency."


def test_metrics_of_money_as_charged_are_kept_to_the_currency(make) -> None:
    metrics = (Sum("sold", of="amount", **TEXTS), Ratio("each", of="sold", to="sale_count", **TEXTS))

    assert make(*metrics).metrics["each"].entities == ("currency",)
    assert make(*metrics).metrics["each"].unit == "charged currency per sales"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": "marts.rents"}, "sales: table: there is no marts.rents"),
        ({"day": "sold_at"}, "sales: day: sold_at is not the partition column of marts.sales. That is sale_date."),
        ({"day": ""}, "sales: day: it is missing. marts.sales is partitioned: give day='sale_date', and at."),
        ({"at": "noon"}, "sales: at: marts.sales has no column noon"),
        ({"at": "stall"}, "sales: at: stall is VARCHAR, but must be a timestamp"),
        ({"money": {"cents": "USD"}}, "sales: money: marts.sales has no column cents"),
        ({"keys": {"stall": "stall"}}, "sales: keys: currency is missing"),
        ({"keys": {"stall": "stal", "currency": "currency", "customer": "customer"}}, "sales: keys[stall]: stal does not bind"),
        ({"keys": {"stall": "pieces", "currency": "currency", "customer": "customer"}}, "sales: keys[stall]: pieces is BIGINT"),
        (
            {"keys": {"stall": "stall", "currency": "currency", "customer": "customer", "x": "stall"}},
            "sales: keys: there is no entity x",
        ),
        ({"total": "amount"}, "sales: total: amount is not money in one currency. There are dollars, tip, euros."),
        ({"total": "pieces"}, "sales: total: pieces is not money in one currency"),
        ({"total": "euros"}, "sales: total: no metric adds up euros over all sales. Declare a metric for it, as in Sum("),
    ],
    ids=str,
)
def test_a_fact_is_held_against_its_contract(make, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(MetricError, match=re.escape(said)):
        make(fact=a_fact(**changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fact": "rents"}, "stall: fact: there is no fact rents"),
        ({"entities": ("planet",)}, "stall: entities: there is no entity planet"),
    ],
)
def test_a_group_is_held_against_facts_and_entities(make, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(MetricError, match=re.escape(said)):
        make(group=changed)


def test_entities_have_names_of_their_own(make) -> None:
    twice = (
        Entity("stall", "a stall", "Where", key="stall", members=1),
        Entity("stall", "a stall", "Where", key="stall", members=1),
    )

    with pytest.raises(MetricError, match=r"test_validation.py:\d+: stall: name: entity stall is already declared at"):
        make(entities=twice)


def test_groups_have_names_of_their_own() -> None:
    with pytest.raises(MetricError, match="group a is already declared"):
        make_catalog([], [], [Group("a", "A", (), "f", "team:x"), Group("a", "A", (), "f", "team:x")], {})


def test_only_counted_members_can_be_followed(make) -> None:
    assert "not a distinct count, so nobody can be followed in it" in refusal(
        make, Arrived("a", of="sale_count", months=3, **TEXTS)
    )
    assert "months: 0 is not between 1 and 24" in refusal(make, CUSTOMERS, Arrived("a", of="buyers", months=0, **TEXTS))


def test_a_share_of_itself_is_not_computed(make) -> None:
    assert "market" not in make(Share("a", of="sold_usd", **TEXTS)).metrics["a"].entities


THERE = Calendar("there", "stall's", "by the clock of the stall")
BY_DAY_THERE = Count("count_there", calendar="there", **TEXTS)


def dated(**changed: Any) -> Fact:
    return a_fact(**({"calendars": {"there": "day_there"}} | changed))


def test_a_metric_asks_for_a_calendar_or_its_group_does(make) -> None:
    asked = make(BY_DAY_THERE, Ratio("a", of="count_there", to="count_there", **TEXTS), fact=dated(), calendars=[THERE])
    found = {name: asked.metrics[name].calendar for name in ("sale_count", "count_there", "a")}

    assert found == {"sale_count": None, "count_there": THERE, "a": THERE}
    assert (asked.metrics["count_there"].unit, asked.metrics["count_there"].facts) == ("sales", ("there_sales",))
    assert Grain.HOUR in asked.metrics["sale_count"].grains and Grain.HOUR not in asked.metrics["count_there"].grains
    grouped = make(fact=dated(), calendars=[THERE], group={"calendar": "there"})
    assert {metric.calendar for metric in grouped.metrics.values()} == {THERE}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (
            (Count("a", calendar="here", **TEXTS),),
            "a: calendar: there is no calendar here. There are there; without one, days are",
        ),
        ((Count("a", calendar=1, **TEXTS),), "a: calendar: it must be text, not 1"),  # type: ignore[arg-type]
        (
            (BY_DAY_THERE, Ratio("a", of="count_there", to="sale_count", **TEXTS)),
            "a: to: sale_count is by UTC days and count_there by stall's days. Name metrics of one calendar.",
        ),
        (
            (BY_DAY_THERE, Derived("a", formula_of="sale_count - count_there", **TEXTS)),
            "a: formula_of (count_there): count_there is by stall's days and sale_count by UTC days",
        ),
        (
            (Growth("a", of="sale_count", over="week", calendar="there", **TEXTS),),
            "a: calendar: sale_count, which it is computed from, is by UTC days. Name metrics by stall's days, or leave",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_wrong_calendar_is_named(make, metrics: tuple[Metric, ...], said: str) -> None:
    assert refusal(make, *metrics, fact=dated(), calendars=[THERE]).startswith(said)


def test_a_fact_without_the_calendar_is_named(make) -> None:
    told = refusal(make, BY_DAY_THERE, calendars=[THERE])

    assert told.startswith("count_there: calendar: sales has no days by there. Give the fact calendars={'there': …}, a column of")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"calendars": {"here": "day_there"}}, "sales: calendars: there is no calendar here. There are there; without one"),
        ({"calendars": {"there": "day_ther"}}, "sales: calendars[there]: marts.sales has no column day_ther"),
        ({"calendars": {"there": "sold_at"}}, "sales: calendars[there]: sold_at is TIMESTAMP WITH TIME ZONE, but must be a DATE"),
        ({"total": "dollars"}, "there_sales: total: no metric adds up dollars over all sales by stall's days"),
    ],
    ids=str,
)
def test_a_calendar_of_a_fact_is_held_against_its_contract(make, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(MetricError, match=re.escape(said)):
        make(BY_DAY_THERE, fact=dated(**changed), calendars=[THERE])


def test_a_group_names_a_calendar_that_there_is(make) -> None:
    with pytest.raises(MetricError, match=r"conftest\.py:\d+: stall: calendar: there is no calendar there"):
        make(group={"calendar": "there"})


def test_a_calendar_may_not_give_marts_the_names_of_others(make) -> None:
    other = Entity("stall_there", "a stall there", "Where", key="stall", members=1, opt_in=True)
    keys = {"stall": "stall", "stall_there": "stall", "customer": "customer", "currency": "currency"}

    with pytest.raises(MetricError, match="there: name: the marts of stall by it would have the names of those of stall_there"):
        make(fact=dated(keys=keys), entities=(*ENTITIES, other), calendars=[THERE])


# --- Over all days ---------------------------------------------------------------------------------------------------


def ever(*metrics: Metric, **changed: Any) -> Catalog:
    """A catalog with metrics of what customers bought in all."""
    given = {"name": "regulars", "table": "marts.regulars", "keys": {"customer": "customer"}, "money": {"spent": "USD"}}
    facts = [a_fact(), Fact(**(given | changed))]
    groups = [
        Group("stall", "The stall", BASE, fact="sales", owner="team:stall"),
        Group("ever", "Ever", metrics, fact="regulars", owner="team:stall", entities=("market", "stall", "customer")),
    ]
    return make_catalog(facts, ENTITIES, groups, TABLES)


WORTH = Average("worth", of="spent", **TEXTS)


def test_what_is_over_all_days_has_no_grains_and_the_entities_of_its_keys() -> None:
    catalog = ever(WORTH, Rank("place", of="worth", **TEXTS), Quantile("median", of="spent", q="0.5", **TEXTS))

    found = {name: (each.is_dated, each.grains, each.entities) for name, each in catalog.metrics.items()}
    assert found["worth"] == (False, (), ("market", "customer"))
    assert found["place"] == (False, (), ("customer",))
    assert found["median"] == (False, (), ("market",))
    assert found["sale_count"][0] and (catalog.metrics["worth"].days, catalog.metrics["sale_count"].days) == ("all", "UTC")
    # Nothing is stored for them: their fact is the mart.
    assert not any(part.fact == "regulars" for mart in Lattice(catalog).marts for part in Lattice(catalog).stored(mart))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"day": "first_visit"}, "regulars: day: first_visit is not the partition column of marts.regulars. It has none: leave"),
        ({"at": "first_visit"}, "regulars: at: it has no day. Leave at out, or give its day."),
        ({"calendars": {"there": "first_visit"}}, "regulars: calendars: it has no day"),
        ({"total": "spent"}, "regulars: total: it has no day"),
        ({"keys": {"planet": "customer"}}, "regulars: keys: there is no entity planet"),
        ({"keys": {"customer": "whose"}}, "regulars: keys[customer]: whose does not bind"),
    ],
    ids=str,
)
def test_a_fact_over_all_days_is_held_against_its_contract(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(MetricError, match=re.escape(said)):
        ever(WORTH, **changed)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Growth("a", of="worth", over="month", **TEXTS), "a: of: worth is over all days, so there are no periods to look at"),
        (Moving("a", of="spent_ever", days=7, **TEXTS), "a: of: spent_ever is over all days, so there are no periods to look"),
        (Ratio("a", of="spent_ever", to="sale_count", **TEXTS), "a: to: spent_ever is over all days and sale_count of periods."),
        (Ratio("a", of="sold_usd", to="customers_ever", **TEXTS), "a: to: customers_ever is over all days and sold_usd of"),
        (Count("a", where="spent > 0", calendar="there", **TEXTS), "a: calendar: there is no calendar there"),
        (Sum("a", of="spent", where="spent > 0", entities=("stall",), **TEXTS), "a: entities: stall: sum of spent"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_over_all_days_is_not_mixed_with_periods(metric: Metric, said: str) -> None:
    base = (WORTH, Sum("spent_ever", of="spent", **TEXTS), Count("customers_ever", **TEXTS))

    with pytest.raises(MetricError) as raised:
        ever(*base, metric)
    assert str(raised.value).split(": ", 1)[1].startswith(said)
