"""Additivity: which metrics may be added up over time or entities, and the errors for those that may not.

Belongs here: the five classes, and the one place that rejects. Does not belong here: where exact numbers come from instead
(`lattice`).
"""

from __future__ import annotations

from enum import StrEnum

from assay.errors import AssayError


class Additivity(StrEnum):
    """How the value of a whole follows from the values of its parts."""

    ADDITIVE = "additive"
    """By addition: counts and sums."""
    MERGEABLE = "mergeable"
    """By minimum or maximum: minima and maxima."""
    SETS = "exact sets"
    """Only from what was counted: distinct counts and quantiles, from base rows."""
    RECOMPUTED = "recomputed"
    """By computing again from parts that are added up: ratios, averages, shares."""
    WINDOWED = "windowed"
    """Not at all: it depends on other periods of its own grain (moving, cumulative, growth, retention) or on rivals (rank)."""


class MetricError(AssayError):
    """A metric, fact, entity or group is declared wrongly; the message names file, line and field."""


class AdditivityError(MetricError):
    """Something was to be added up that cannot be added up."""


_WHY = {
    Additivity.ADDITIVE: "its parts do not fill the whole",
    Additivity.MERGEABLE: "the least or greatest of parts is not a total",
    Additivity.SETS: "who is in two parts would be counted twice",
    Additivity.RECOMPUTED: "a ratio of sums is not a sum of ratios",
    Additivity.WINDOWED: "it already covers other periods",
}
_INSTEAD = {
    Additivity.ADDITIVE: "Take it from a grain that divides the requested one.",
    Additivity.MERGEABLE: "Name a count or a sum.",
    Additivity.SETS: "It is computed from base rows at every grain; use it there directly.",
    Additivity.RECOMPUTED: "Name the sums that it divides; the ratio is divided again from them at every grain.",
    Additivity.WINDOWED: "Name the metric it is computed from.",
}


def merge_function(additivity: Additivity, function: str, what: str) -> str:
    """The aggregate function that combines the values of parts into the value of the whole.

    Args:
        additivity: The class of the part.
        function: The function that computed it: `count`, `sum`, `min` or `max`.
        what: Its name and type, for the message.

    Raises:
        AdditivityError: There is none.
    """
    if additivity is Additivity.ADDITIVE:
        return "sum"
    if additivity is Additivity.MERGEABLE:
        return function
    raise cannot(additivity, what, "be rolled up from parts")


def cannot(additivity: Additivity, what: str, act: str) -> AdditivityError:
    """Make the error for something that cannot be added up: it says why, and what to do instead."""
    return AdditivityError(f"{what} ({additivity}) cannot {act}: {_WHY[additivity]}.", hint=_INSTEAD[additivity])
