"""The holidays of the sales regions, against the calendars that their sources publish."""

from __future__ import annotations

import datetime as dt

import pytest

from assay.contracts import Domain
from payments.contracts.vocabulary import REGIONS
from payments.holidays import HOLIDAYS


def test_every_region_has_some_and_says_who_says_so(domain: Domain) -> None:
    assert set(domain.holidays) == set(REGIONS)
    assert all(declared.source and declared.days for declared in domain.holidays.values())


@pytest.mark.parametrize(
    ("region", "days"),
    [
        (
            "NA",
            "01-01 01-20 02-17 05-26 06-19 07-04 09-01 10-13 11-11 11-27 11-28 12-01 12-25",
        ),
        ("EU", "01-01 04-18 04-21 05-01 12-25 12-26"),
        (
            "APAC",
            "01-01 01-02 01-03 01-13 01-29 02-11 02-23 03-20 04-29 05-03 05-04 05-05 "
            "07-21 08-11 09-15 09-23 10-13 11-03 11-23 12-31",
        ),
        ("LATAM", "01-01 03-03 03-04 04-18 04-21 05-01 06-19 09-07 10-12 11-02 11-15 11-20 12-25"),
    ],
)
def test_the_holidays_of_2025(region: str, days: str) -> None:
    found = HOLIDAYS[region].between(dt.date(2025, 1, 1), dt.date(2025, 12, 31))
    assert [f"{day:%m-%d}" for day in found] == days.split()
