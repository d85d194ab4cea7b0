"""What is suggested for a name that is not there."""

from __future__ import annotations

import pytest

from assay.nearest import suggestion

TABLES = ("enriched.merchants", "raw.merchants", "marts.merchant_daily", "marts.merchant_day", "marts.platform_day")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("merchant_dayly", "Did you mean marts.merchant_daily or marts.merchant_day?"),
        ("marts.merchant_dayly", "Did you mean marts.merchant_daily or marts.merchant_day?"),
        ("marts.merchants", "Did you mean enriched.merchants or raw.merchants?"),
        ("Merchants", "Did you mean enriched.merchants or raw.merchants?"),
        (
            "zzz",
            "There are enriched.merchants, marts.merchant_daily, marts.merchant_day, marts.platform_day, raw.merchants.",
        ),
    ],
)
def test_what_is_near_or_right_but_for_its_layer_is_suggested(name: str, said: str) -> None:
    assert suggestion(name, TABLES, "look") == said


def test_many_names_are_not_listed_and_none_cannot_be() -> None:
    assert suggestion("zzz", [f"marts.{number}" for number in range(13)], "look") == "look"
    assert suggestion("zzz", [], "look") == "look"
