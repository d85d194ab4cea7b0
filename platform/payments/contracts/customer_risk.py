"""Risk of customers, as reported by an external scoring service.

Belongs here: the source `customer_risk` and `enriched.customer_risk`. Does not belong here: risk of single payments.
"""

from __future__ import annotations

from datetime import timedelta

from assay.contracts import Count, Event, Number, Published, Timestamp, Whole, source, table
from assay.contracts import column as col
from assay.landing.formats import JsonDocuments
from payments.contracts.vocabulary import OWNER, instant


@source(
    "customer_risk",
    format=JsonDocuments(version=f"epoch_us({instant('scored_at')})"),
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(days=2),
)
class CustomerRiskDocument(Event):
    """A response of the scoring service about one customer."""

    customer_id: str = col("The customer", pii="identifier")
    scored_at: str = col("When the score was made, ISO 8601", nullable=True)
    model: str = col("Name and version of the scoring model", nullable=True)
    score: str = col("The score", nullable=True)
    band: str = col("The band the score falls in", nullable=True)
    factors: str = col("JSON array of {name, weight}: what the score rests on", nullable=True)
    history: str = col("JSON array of {date, score}: earlier scores", nullable=True)


@table(
    "customer_risk",
    layer="enriched",
    key=("customer_id",),
    partition=Whole(),
    owner=OWNER,
    subject="customers",
    freshness=timedelta(days=2),
    threshold=95.0,
)
class CustomerRisk(Published):
    """One row per scored customer: the latest score, what it rests on, and how it moved."""

    customer_id: str = col("The customer", pii="identifier")
    scored_at: Timestamp = col("When the score was made, UTC")
    model: str = col("Name and version of the scoring model", nullable=True)
    score: Number = col("The score; higher is riskier", ge=0)
    band: str = col("The band the score falls in, lower case", nullable=True)
    factor_count: Count = col("Factors the score rests on", unit="factors", ge=0)
    factors: str = col("The factors: JSON array of {name, weight}, as the service sent it", nullable=True)
    top_factor: str = col("The weightiest factor; null if none has a weight", nullable=True)
    top_factor_weight: Number = col("Its weight", nullable=True)
    previous_score: Number = col("The last score from a day before; null if there is none", nullable=True)
    score_change: Number = col("Score less previous score", nullable=True)
    history: str = col("Earlier scores: JSON array of {date, score}, as the service sent it", nullable=True)
