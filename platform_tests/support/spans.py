"""Spans of partitions, written out.

Belongs here: every partition of a span. Does not belong here: which spans there are (`assay.contracts.periods`).
"""

from __future__ import annotations

import datetime as dt

from assay.contracts.periods import Grain, Span, following


def partitions_in(span: Span, of: Grain) -> list[str]:
    """Every partition of a grain, not the whole, in a span, whether or not there is data for it."""
    found = []
    day, last = dt.date.fromisoformat(span.first), dt.date.fromisoformat(span.last)
    while day <= last:
        found.append(day.isoformat())
        if (after := following(of, day)) <= day:
            break
        day = after
    return found
