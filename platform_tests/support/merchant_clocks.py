"""What merchants' clocks show, for the tables whose rows have the merchant's own day.

Belongs here: instants with the day that they are in a time zone. Does not belong here: how tables compute it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

MERCHANT_CLOCKS: list[tuple[str | None, datetime, date | None]] = [
    ("Asia/Tokyo", datetime(2025, 1, 9, 14, 59, tzinfo=UTC), date(2025, 1, 9)),
    ("Asia/Tokyo", datetime(2025, 1, 9, 15, tzinfo=UTC), date(2025, 1, 10)),
    ("America/New_York", datetime(2025, 1, 9, 4, 59, tzinfo=UTC), date(2025, 1, 8)),
    # Clocks go forward at 01:00 UTC: midnight is at 23:00 UTC the day before, and at 22:00 UTC that day.
    ("Europe/Berlin", datetime(2025, 3, 29, 22, 59, tzinfo=UTC), date(2025, 3, 29)),
    ("Europe/Berlin", datetime(2025, 3, 30, 22, tzinfo=UTC), date(2025, 3, 31)),
    # The producer gave a day and no time.
    ("America/New_York", datetime(2025, 1, 9, tzinfo=UTC), date(2025, 1, 9)),
    (None, datetime(2025, 1, 9, 12, tzinfo=UTC), None),
]
"""A merchant's time zone, an instant, and the merchant's day then."""
