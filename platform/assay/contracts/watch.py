"""Which figures of a table are watched for anomalies.

Belongs here: the declaration. Does not belong here: measuring (`quality.profile`) and judging (`quality.anomalies`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from assay.contracts.version import fingerprint


@dataclass(frozen=True)
class Watch:
    """What is watched in a daily table, and what counts as an anomaly. The number of rows is always watched.

    Do not watch columns whose values change as rows age, such as the state of a payment: the newest day would be compared with
    days that had time to change.

    Attributes:
        value: The column whose daily total is watched: an amount, best in one currency.
        nulls: Columns whose share of nulls is watched.
        shares: Columns with few distinct values; the share of each value is watched.
        by: The region column. Everything is then also watched for each region, taking that region's own holidays into account.
        happened: Column with the event time of the row's newest event; `ingestion_timestamp` minus it is the row's lag.
        score: Robust standard deviations from the expected figure, beyond which it is an anomaly...
        change: ...if it is also off by more than this share of the expected figure.
        points: Shares of rows must also be off by this much of all rows: a rise from one in a million to two is not news.
        complete_after: How long after its end a day usually has all its data.
        accept_after: Consecutive days after which an anomaly becomes the new normal. Absence never does.
    """

    value: str | None = None
    nulls: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    by: str | None = None
    happened: str | None = None
    score: float = 3.0
    change: float = 0.30
    points: float = 0.01
    complete_after: timedelta = timedelta(hours=6)
    accept_after: int = 14

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns that it names, by field."""
        single = {"value": self.value, "by": self.by, "happened": self.happened}
        named = {what: (column,) for what, column in single.items() if column is not None}
        return named | {"nulls": self.nulls, "shares": self.shares}

    @property
    def version(self) -> str:
        """A hash of what is measured; thresholds do not count, because they do not change the figures."""
        measured: dict[str, Any] = {what: columns for what, columns in self.columns.items() if columns}
        return fingerprint(measured)
