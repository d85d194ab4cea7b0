"""The parents of marts: the cheapest relation that is exact, by the rows that one partition reads."""

from __future__ import annotations

import pytest
from market import ENTITIES, TABLES, a_fact

from assay.metrics import Count, Group
from assay.metrics.catalog import make_catalog
from assay.metrics.grains import Grain
from assay.metrics.lattice import Lattice, Mart, Origin

WHOSE = ("market", "stall", "customer")


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    """Of a thousand sales and ten returns a day, by nine stalls and five hundred customers."""
    metrics = (
        Count("sold_count", "Sales", "All sales", entities=WHOSE),
        Count("return_count", "Returns", "All returns", fact="returns", entities=WHOSE),
    )
    facts = [a_fact(), a_fact(name="returns", rows_a_day=10)]
    group = Group("stall", "The stall", metrics=metrics, fact="sales", owner="team:stall")
    return Lattice(make_catalog(facts, ENTITIES, [group], TABLES, ()))


def parent(lattice: Lattice, entity: str, grain: Grain, part: str) -> tuple[str, int]:
    mart = next(each for each in lattice.marts if each.entity.name == entity and each.grain is grain)
    found = lattice.parent(mart, lattice.catalog.parts[part])
    return _name(found.origin), found.rows


def _name(origin: Origin) -> str:
    return origin.name if isinstance(origin, Mart) else f"fact {origin.name}"


@pytest.mark.parametrize(
    ("entity", "grain", "part", "expected"),
    [
        ("stall", Grain.DAY, "sold_count", ("stall_hour", 9 * 24)),
        ("stall", Grain.MONTH, "sold_count", ("stall_day", 9 * 31)),
        ("stall", Grain.YEAR, "sold_count", ("stall_month", 9 * 12)),
        ("market", Grain.MONTH, "sold_count", ("stall_month", 9)),
        ("customer", Grain.MONTH, "sold_count", ("customer_day", 500 * 31)),
        ("customer", Grain.YEAR, "sold_count", ("customer_month", 500 * 12)),
    ],
)
def test_the_fewest_rows_win(lattice: Lattice, entity: str, grain: Grain, part: str, expected: tuple[str, int]) -> None:
    assert parent(lattice, entity, grain, part) == expected


@pytest.mark.parametrize(("grain", "days"), [(Grain.WEEK, 7), (Grain.MONTH, 31), (Grain.YEAR, 366)])
def test_rows_of_a_mart_are_those_of_all_its_facts(lattice: Lattice, grain: Grain, days: int) -> None:
    """A customer's day has a row for its sales alone, too: the few returns are counted from themselves."""
    assert parent(lattice, "customer", grain, "return_count") == ("fact returns", 10 * days)
