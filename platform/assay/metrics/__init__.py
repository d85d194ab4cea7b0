"""Metrics: declared once in words a merchant understands, compiled to marts at every grain, answered from the cheapest exact one.

Belongs here: what a metric is, what may be rolled up, the SQL of the marts, which mart answers a query. Does not
belong here: any domain's metrics, running SQL (`pipeline`).

The room, in reading order: `declarations` and `kinds` (what a domain writes), `additivity` (what may be rolled up), `catalog`
(the whole, resolved and validated), `parts` (what is stored), `lattice` (the parents of each mart), `compiler`, `multisets`
and `trends` (their SQL), `marts` (as ordinary tables), `planning` (queries).
"""

from assay.metrics.additivity import Additivity
from assay.metrics.catalog import Catalog
from assay.metrics.declarations import CHARGED, Attribute, Calendar, Entity, Fact, Group
from assay.metrics.grains import Grain
from assay.metrics.kinds import (
    Arrived,
    Average,
    Conversion,
    Count,
    CountDistinct,
    Cumulative,
    Derived,
    Growth,
    Lost,
    Maximum,
    Metric,
    Minimum,
    Moving,
    Quantile,
    Rank,
    Ratio,
    Retained,
    Retention,
    Share,
    Sum,
)
from assay.metrics.marts import DeclaredMetrics

__all__ = [
    "CHARGED",
    "Additivity",
    "Arrived",
    "Attribute",
    "Average",
    "Calendar",
    "Catalog",
    "Conversion",
    "Count",
    "CountDistinct",
    "Cumulative",
    "DeclaredMetrics",
    "Derived",
    "Entity",
    "Fact",
    "Grain",
    "Group",
    "Growth",
    "Lost",
    "Maximum",
    "Metric",
    "Minimum",
    "Moving",
    "Quantile",
    "Rank",
    "Ratio",
    "Retained",
    "Retention",
    "Share",
    "Sum",
]
