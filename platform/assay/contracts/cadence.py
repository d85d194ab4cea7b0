"""Cadences: how soon a table is refreshed after what it reads has changed.

Belongs here: the three cadences and their order. Does not belong here: the jobs that keep them (`orchestration.refresh`).
"""

from __future__ import annotations

from enum import StrEnum


class Cadence(StrEnum):
    """How soon a table is brought up to date. Tables that are costly to compute and not urgent can run later than the rest."""

    AT_ONCE = "at_once"
    """In the same run that ingests what has landed."""
    HOURLY = "hourly"
    DAILY = "daily"

    def is_before(self, other: Cadence) -> bool:
        """Whether a table of this cadence is refreshed more often than one of the other."""
        order = tuple(Cadence)
        return order.index(self) < order.index(other)


LATER = (Cadence.HOURLY, Cadence.DAILY)
"""The cadences with a job of their own, most frequent first."""
