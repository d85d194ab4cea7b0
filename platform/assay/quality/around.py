"""Data that a proof needs beyond the rows that it judges.

Belongs here: the value that its callers, who know the lake, pass to the proof. Does not belong here: reading the lake
(`pipeline.around`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb


@dataclass(frozen=True)
class Around:
    """The surroundings of the partitions that are proven.

    Attributes:
        others: A connection in which the relations that expectations read are bound, with the table's own other partitions under
            its own name. It has a database of its own, because the SQL may read only part of these relations. None where no
            expectation reads any.
        measured: Measures of published partitions, by rule and partition.
        holidays: Holidays of all regions combined.
    """

    others: duckdb.DuckDBPyConnection | None = None
    measured: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    holidays: Mapping[dt.date, str] = field(default_factory=dict)
