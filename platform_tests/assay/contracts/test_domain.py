"""A domain: everything it declares, found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import shop
from declared import domain_of

from assay.contracts import Event, Published, column, load_domain, source, table
from assay.errors import ContractError, SettingsError
from assay.landing.formats import Csv


def test_a_domain_holds_what_its_package_declares() -> None:
    assert set(shop.DOMAIN.sources) == {"orders", "customers"}
    assert set(shop.DOMAIN.tables) == {
        "enriched.customers",
        "enriched.levels",
        "enriched.orders",
        "marts.daily_totals",
        "marts.customer_weeks",
        "marts.shop_totals",
    }


@pytest.mark.parametrize(
    ("name", "full_name"),
    [
        ("orders", "enriched.orders"),
        ("raw.orders", "raw.orders"),
        ("enriched.orders", "enriched.orders"),
        ("daily_totals", "marts.daily_totals"),
    ],
)
def test_a_table_is_found_by_its_full_or_bare_name(name: str, full_name: str) -> None:
    assert shop.DOMAIN.find(name).full_name == full_name


def test_a_bare_name_of_a_source_alone_is_the_source(tmp_path: Path) -> None:
    @source("lonely", format=Csv(), key=("id",), owner="team:x", subject="x")
    class Lonely(Event):
        """Events."""

        id: str = column("Key")

    assert domain_of(tmp_path, [Lonely], {}).find("lonely").full_name == "raw.lonely"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("order", "The domain shop has no table order. Did you mean enriched.orders or raw.orders?"),
        ("marts.orders", "The domain shop has no table marts.orders. Did you mean enriched.orders or raw.orders?"),
        ("zzz", "The domain shop has no table zzz. There are enriched.customers, enriched.levels, "),
    ],
)
def test_a_name_that_is_not_there_is_said_with_what_was_meant(name: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        shop.DOMAIN.find(name)
    assert str(raised.value).startswith(said)


def test_a_source_is_found_with_or_without_its_layer() -> None:
    assert shop.DOMAIN.find_source("raw.orders") is shop.DOMAIN.find_source("orders")
    with pytest.raises(SettingsError, match=r"There is no source order\. Did you mean orders\?"):
        shop.DOMAIN.find_source("order")


def twice(layer: str, class_name: str) -> type[Published]:
    model = type(
        class_name,
        (Published,),
        {"__annotations__": {"id": str}, "id": column("Key"), "__module__": __name__, "__doc__": "A table."},
    )
    return table("totals", layer=layer, key=("id",), owner="team:x", subject="x")(model)  # type: ignore[arg-type]


def test_an_ambiguous_name_is_said(tmp_path: Path) -> None:
    domain = domain_of(tmp_path, [twice("enriched", "A"), twice("marts", "B")], {})
    with pytest.raises(SettingsError, match=r"totals means enriched.totals and marts.totals"):
        domain.find("totals")


def test_a_table_declared_twice_is_said(tmp_path: Path) -> None:
    domain = domain_of(tmp_path, [twice("marts", "A"), twice("marts", "B")], {})
    with pytest.raises(ContractError, match=r"marts.totals is declared twice"):
        _ = domain.tables


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("no_such_domain", "cannot be imported"),
        ("payments.no_such_part", "cannot be imported"),
        ("../payments", "cannot be imported"),
        (".payments", "cannot be imported"),
        ("json", "json has no DOMAIN"),
    ],
)
def test_a_module_that_is_no_domain_is_said(module: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_domain(module)
