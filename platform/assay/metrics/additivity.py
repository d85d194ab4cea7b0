"""Additivity: what of a metric may be added up over time or over entities, and the errors for what may not.

Belongs here: the five classes, and the one place that says no. Does not belong here: where exact numbers come from instead
(`lattice`).
"""

from __future__ import annotations

from enum import StrEnum

from assay.errors import AssayError


class Additivity(StrEnum):
    """How the value of a whole follows from the values of its parts."""

    ADDITIVE = "additive"
    """By adding them: counts and sums."""
    MERGEABLE = "mergeable"
    """By the least or greatest of them: minima and maxima."""
    SETS = "exact sets"
    """Only by what was counted: distinct counts and quantiles, from base rows or stored exact multisets."""
    RECOMPUTED = "recomputed"
    """By dividing again: ratios, averages, shares, whose sums and counts are added up."""
    WINDOWED = "windowed"
    """Not at all: it looks at other periods of its own grain (moving, cumulative, growth, retention) or at its rivals (rank)."""


class MetricError(AssayError):
    """A metric, fact, entity or group is declared wrongly; the message names file, line and field."""


class AdditivityError(MetricError):
    """Something was to be added up that cannot be added up."""


_WHY = {
    Additivity.ADDITIVE: "its parts do not fill the whole",
    Additivity.MERGEABLE: "the least or greatest of parts is no total",
    Additivity.SETS: "who is in two parts would be counted twice",
    Additivity.RECOMPUTED: "a ratio of sums is no sum of ratios",
    Additivity.WINDOWED: "it already looks at other periods",
}
_INSTEAD = {
    Additivity.ADDITIVE: "Take it from a grain that divides the one asked for.",
    Additivity.MERGEABLE: "Name a count or a sum.",
    Additivity.SETS: "It is computed from base rows or stored exact multisets at every grain; use it there as it is.",
    Additivity.RECOMPUTED: "Name the sums that it divides; the ratio is divided again from them at every grain.",
    Additivity.WINDOWED: "Name the metric that it looks at.",
}


def merge_function(additivity: Additivity, function: str, what: str) -> str:
    """The aggregate function that combines the values of parts into the value of the whole.

    Args:
        additivity: The class of what is rolled up.
        function: How it was computed: `count`, `sum`, `min` or `max`.
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
