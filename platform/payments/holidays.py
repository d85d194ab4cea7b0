"""Holidays of the company's sales regions.

Belongs here: the days of each region on which people pay differently than on other days of that weekday, with the source of the
dates. Does not belong here: their effect on business, which is learnt (`assay.quality.baseline`).

A region has the holidays of its largest market; where a holiday is observed on another day because it falls on a weekend, the day
itself counts, because that is the day on which people pay differently.
"""

from __future__ import annotations

from assay.contracts.calendar import Fixed, FromEaster, Holidays, Nth, On

_MONDAY, _THURSDAY = 0, 3

HOLIDAYS = {
    "NA": Holidays(
        source=(
            "Federal holidays of the United States (5 U.S.C. 6103(a)); "
            "the Friday and the Monday after Thanksgiving by custom of trade"
        ),
        days={
            "New Year's Day": Fixed(1, 1),
            "Birthday of Martin Luther King, Jr.": Nth(1, _MONDAY, 3),
            "Washington's Birthday": Nth(2, _MONDAY, 3),
            "Memorial Day": Nth(5, _MONDAY, -1),
            "Juneteenth": Fixed(6, 19, since=2021),
            "Independence Day": Fixed(7, 4),
            "Labor Day": Nth(9, _MONDAY, 1),
            "Columbus Day": Nth(10, _MONDAY, 2),
            "Veterans Day": Fixed(11, 11),
            "Thanksgiving Day": Nth(11, _THURSDAY, 4),
            "Black Friday": Nth(11, _THURSDAY, 4, days_after=1),
            "Cyber Monday": Nth(11, _THURSDAY, 4, days_after=4),
            "Christmas Day": Fixed(12, 25),
        },
    ),
    "EU": Holidays(
        source="Closing days of TARGET (European Central Bank, long-term calendar of 14 December 2000)",
        days={
            "New Year's Day": Fixed(1, 1),
            "Good Friday": FromEaster(-2),
            "Easter Monday": FromEaster(1),
            "Labour Day": Fixed(5, 1),
            "Christmas Day": Fixed(12, 25),
            "26 December": Fixed(12, 26),
        },
    ),
    "APAC": Holidays(
        source=(
            "Japan: Act on National Holidays (Act No. 178 of 1948), equinoxes as announced by the National Astronomical "
            "Observatory, closing days of banks at the turn of the year; Singapore: Lunar New Year as gazetted by the Ministry "
            "of Manpower"
        ),
        days={
            "New Year's Day": Fixed(1, 1),
            "2 January": Fixed(1, 2),
            "3 January": Fixed(1, 3),
            "Coming of Age Day": Nth(1, _MONDAY, 2),
            "Lunar New Year": On(
                (
                    "2017-01-28",
                    "2018-02-16",
                    "2019-02-05",
                    "2020-01-25",
                    "2021-02-12",
                    "2022-02-01",
                    "2023-01-22",
                    "2024-02-10",
                    "2025-01-29",
                    "2026-02-17",
                    "2027-02-06",
                )
            ),
            "National Foundation Day": Fixed(2, 11),
            "Emperor's Birthday": Fixed(2, 23, since=2020),
            "Vernal Equinox Day": On(
                (
                    "2017-03-20",
                    "2018-03-21",
                    "2019-03-21",
                    "2020-03-20",
                    "2021-03-20",
                    "2022-03-21",
                    "2023-03-21",
                    "2024-03-20",
                    "2025-03-20",
                    "2026-03-20",
                    "2027-03-21",
                )
            ),
            "Showa Day": Fixed(4, 29),
            "Constitution Memorial Day": Fixed(5, 3),
            "Greenery Day": Fixed(5, 4),
            "Children's Day": Fixed(5, 5),
            "Marine Day": Nth(7, _MONDAY, 3),
            "Mountain Day": Fixed(8, 11),
            "Respect for the Aged Day": Nth(9, _MONDAY, 3),
            "Autumnal Equinox Day": On(
                (
                    "2017-09-23",
                    "2018-09-23",
                    "2019-09-23",
                    "2020-09-22",
                    "2021-09-23",
                    "2022-09-23",
                    "2023-09-23",
                    "2024-09-22",
                    "2025-09-23",
                    "2026-09-23",
                    "2027-09-23",
                )
            ),
            "Sports Day": Nth(10, _MONDAY, 2),
            "Culture Day": Fixed(11, 3),
            "Labour Thanksgiving Day": Fixed(11, 23),
            "31 December": Fixed(12, 31),
        },
    ),
    "LATAM": Holidays(
        source="Brazil: national bank holidays as listed by ANBIMA (Laws 662/1949, 6.802/1980, 10.607/2002 and 14.759/2023)",
        days={
            "New Year's Day": Fixed(1, 1),
            "Carnival Monday": FromEaster(-48),
            "Carnival Tuesday": FromEaster(-47),
            "Good Friday": FromEaster(-2),
            "Tiradentes": Fixed(4, 21),
            "Labour Day": Fixed(5, 1),
            "Corpus Christi": FromEaster(60),
            "Independence Day": Fixed(9, 7),
            "Our Lady of Aparecida": Fixed(10, 12),
            "All Souls' Day": Fixed(11, 2),
            "Republic Day": Fixed(11, 15),
            "Black Awareness Day": Fixed(11, 20, since=2024),
            "Christmas Day": Fixed(12, 25),
        },
    ),
}
"""By sales region (`vocabulary.REGIONS`)."""
