"""Partitions in Dagster's terms, and the dependencies between them.

Belongs here: partition definitions by grain, and mappings for tables that read other periods than their own. Does not belong
here: which partitions are dirty (`pipeline.plan`), calendar arithmetic (`contracts.periods`).

Only Dagster's own mappings are used, because its daemon and its UI see no others. What they cannot express exactly is rounded up,
never down: a table then depends on more of the earlier partitions than it reads, and automation computes a few that turn out
unchanged. The refresh job does not ask Dagster what is dirty.
"""

from __future__ import annotations

import datetime as dt
import math

import dagster as dg

from assay.contracts import Domain, Grain, Source, Table, Window
from assay.contracts.periods import LONGEST_DAYS, OWN, first_day

_FORMAT = "%Y-%m-%d"
_SHORTEST_DAYS = {Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 28, Grain.YEAR: 365}
_YEARS_SINCE_START = 30
"""How far back Dagster sees a window that begins with the first partition; Dagster counts the periods one by one."""


def partitions_of(domain: Domain, declared: Source | Table) -> dg.TimeWindowPartitionsDefinition | None:
    """The partitions of a source or table; None when it is unpartitioned. The current period counts as one while it lasts."""
    grain = declared.grain
    if grain is Grain.WHOLE:
        return None
    # In some time zones it is still the day before, and in some the next period has begun.
    is_local = isinstance(declared, Table) and declared.is_local
    ahead = 2 if is_local else 1
    # The period that contains the domain's first day begins before it.
    start = first_day(grain, domain.start - dt.timedelta(days=1) if is_local else domain.start).isoformat()
    match grain:
        case Grain.DAY:
            return dg.DailyPartitionsDefinition(start_date=start, timezone="UTC", end_offset=ahead)
        case Grain.WEEK:
            return dg.WeeklyPartitionsDefinition(start_date=start, day_offset=1, timezone="UTC", end_offset=ahead)
        case Grain.MONTH:
            return dg.MonthlyPartitionsDefinition(start_date=start, timezone="UTC", end_offset=ahead)
        case _:
            return dg.TimeWindowPartitionsDefinition(
                start=start, fmt=_FORMAT, cron_schedule="0 0 1 1 *", timezone="UTC", end_offset=ahead
            )


def mapping_of(table: Table, read: Source | Table, window: Window | None) -> dg.PartitionMapping | None:
    """How a table's partitions depend on those of an input; None where Dagster's default applies.

    Args:
        table: The table.
        read: The source or table that it reads.
        window: The window that the table declares for it, if any.
    """
    if Grain.WHOLE in (table.grain, read.grain) or (table.grain is read.grain and window is None):
        return None
    back = _periods_back(table.grain, read.grain, window or OWN)
    ahead = _periods_long(table.grain, read.grain, (window or OWN).after)
    # A period may begin before the domain's first day, and end after the input's current one.
    return dg.TimeWindowPartitionMapping(start_offset=-back, end_offset=ahead, allow_nonexistent_upstream_partitions=True)


def _periods_back(grain: Grain, of: Grain, window: Window) -> int:
    """How many of the table's periods cover the earlier ones that it reads; exact where both have the same grain."""
    days = [0]
    if window.since == "start":
        days.append(_YEARS_SINCE_START * LONGEST_DAYS[Grain.YEAR])
    elif window.since is not None:
        days.append(LONGEST_DAYS[Grain(window.since)])
    if window.year_before:
        days.append(LONGEST_DAYS[Grain.YEAR])
    return max(math.ceil(max(days) / _SHORTEST_DAYS[grain]), _periods_long(grain, of, window.before))


def _periods_long(grain: Grain, of: Grain, count: int) -> int:
    """How many of the table's periods cover some of what it reads; exact where both are cut alike."""
    return count if grain is of else math.ceil(count * LONGEST_DAYS[of] / _SHORTEST_DAYS[grain])
