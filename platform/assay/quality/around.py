"""What a proof sees beyond the rows that it judges.

Belongs here: the value that whoever knows the lake hands to the proof. Does not belong here: reading the lake
(`pipeline.around`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb


@dataclass(frozen=True)
class Around:
    """The surroundings of the partitions of a table that are proven.

    Attributes:
        others: Where the relations that expectations read are bound, the table's own other partitions under its own name; in a
            database of its own, because the SQL may read the same relations in part only. None where no expectation reads any.
        measured: What was measured of published partitions, by rule and partition.
        holidays: Holidays of all regions together.
    """

    others: duckdb.DuckDBPyConnection | None = None
    measured: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    holidays: Mapping[dt.date, str] = field(default_factory=dict)
