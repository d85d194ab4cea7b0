"""Ages of quarantined records, and which of them are too old.

Belongs here: pure functions over counts of quarantined records. Does not belong here: counting them (`pipeline.quarantined`),
alerting.

A record's age counts from when its landing object was written: neither rebuilding a partition nor a replay resets it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Quarantined records of one day that broke one rule.

    Attributes:
        table: Full name of the table or source.
        partition: The partition; empty for records that could not be read.
        rule: The rule; a record that broke several is counted under each.
        rows: How many records.
        dropped: How many of them have been dropped.
        oldest: When the first of them landed, UTC.
        newest: When the last of them landed, UTC.
    """

    table: str
    partition: str
    rule: str
    rows: int
    dropped: int
    oldest: dt.datetime
    newest: dt.datetime


@dataclass(frozen=True)
class TooOld:
    """Records of one table that have been in quarantine for too long.

    Attributes:
        table: Full name of the table or source.
        rule: The rule that they broke.
        rows: How many records.
        oldest: When the first of them landed, UTC.
        limit: How long they may stay there.
    """

    table: str
    rule: str
    rows: int
    oldest: dt.datetime
    limit: dt.timedelta


def too_old(standing: Iterable[Standing], limits: Mapping[str, dt.timedelta], now: dt.datetime) -> list[TooOld]:
    """Find records that have been in quarantine for longer than their table allows; dropped records do not count.

    Args:
        standing: The quarantined records, grouped by day: a day counts as old as its first record.
        limits: How long records may stay there, by table; a table without a limit is left out.
        now: The time, UTC.

    Returns:
        One entry per table and rule, ordered by them.
    """
    found: dict[tuple[str, str], TooOld] = {}
    for each in standing:
        limit = limits.get(each.table)
        rows = each.rows - each.dropped
        if limit is None or rows <= 0 or now - each.oldest <= limit:
            continue
        place = (each.table, each.rule)
        before = found.get(place, TooOld(each.table, each.rule, 0, each.oldest, limit))
        found[place] = TooOld(each.table, each.rule, before.rows + rows, min(before.oldest, each.oldest), limit)
    return [found[place] for place in sorted(found)]
