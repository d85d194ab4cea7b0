"""Cadences: how soon a table follows what it reads.

Belongs here: the three of them and their order. Does not belong here: the jobs that keep them (`orchestration.refresh`).
"""

from __future__ import annotations

from enum import StrEnum


class Cadence(StrEnum):
    """How soon a table is brought up to date. What is dear to compute, and nobody waits for, can come later than the rest."""

    AT_ONCE = "at_once"
    """With what has landed, in the same run."""
    HOURLY = "hourly"
    DAILY = "daily"

    def is_before(self, other: Cadence) -> bool:
        """Whether a table of this cadence is up to date more often than one of the other."""
        order = tuple(Cadence)
        return order.index(self) < order.index(other)


LATER = (Cadence.HOURLY, Cadence.DAILY)
"""The cadences with a job of their own, the more frequent first."""
