"""What of a table is watched for anomalies.

Belongs here: the declaration. Does not belong here: measuring (`quality.profile`) and judging (`quality.anomalies`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from assay.contracts.version import fingerprint


@dataclass(frozen=True)
class Watch:
    """What is watched of a daily table, and what counts as an anomaly. The number of rows always is watched.

    Columns whose values change as rows grow old, as the state of a payment does, are not to be watched: the newest day would be
    compared with days that had the time to change.

    Attributes:
        value: The column whose daily total is watched: an amount, best in one currency.
        nulls: Columns whose share of nulls is watched.
        shares: Columns of few values, of which each one's share is watched.
        by: The column of the region. Whatever is watched is then watched for each region too, against that region's own holidays.
        happened: The column that says when what the newest event behind a row tells of happened; from there to the row's
            `ingestion_timestamp` is its lag.
        score: Robust standard deviations from the expected figure, beyond which it is an anomaly...
        change: ...if it is also off by more than this share of what is expected.
        points: Shares of rows must also be off by this much of all rows: from one in a million to two is no news.
        complete_after: How long after its end a day has all its data, as a rule.
        accept_after: Days in a row after which what was an anomaly is the new normal. Absence never is.
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
        """The columns that it names, by what it wants of them."""
        single = {"value": self.value, "by": self.by, "happened": self.happened}
        named = {what: (column,) for what, column in single.items() if column is not None}
        return named | {"nulls": self.nulls, "shares": self.shares}

    @property
    def version(self) -> str:
        """A hash of what is measured; thresholds do not count, because figures stay what they are."""
        measured: dict[str, Any] = {what: columns for what, columns in self.columns.items() if columns}
        return fingerprint(measured)
