"""What the fair counts, where one count has become a number with decimals.

Belongs here: that metric. Does not belong here: the others (`fair.metrics`).
"""

from dataclasses import replace

from assay.metrics import DeclaredMetrics, Sum
from fair import metrics
from fair.metrics import ENTITIES, SALES, TAKINGS

__all__ = ["ENTITIES", "IN_CENTS", "METRICS", "SALES", "TAKINGS"]

LONELY = Sum(
    "lonely_count",
    "Sales of lonely stalls",
    "Sales at stalls alone in their street",
    of="CAST(1 AS DECIMAL(9,2))",
    where="in_street = 1",
    unit="sales",
)
IN_CENTS = replace(metrics.SOLD, metrics=tuple(LONELY if each.name == LONELY.name else each for each in metrics.SOLD.metrics))

METRICS = DeclaredMetrics(__name__)
