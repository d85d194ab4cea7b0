"""What metrics of payments count, where a payment is not of the usual kind."""

from __future__ import annotations

import duckdb
import pytest

from payments.contracts.vocabulary import DECLINE_REASONS
from payments.metrics.authorization import DECLINES
from payments.metrics.risk import RISK


@pytest.mark.parametrize("reason", DECLINE_REASONS)
def test_a_reason_to_fail_counts_only_where_a_payment_failed(reason: str) -> None:
    metrics = [metric for group in (DECLINES, RISK) for metric in group.metrics]
    conditions = {metric.name: where for metric in metrics if "failure_reason" in (where := getattr(metric, "where", ""))}
    captured = f"(SELECT 'captured' AS status, '{reason}' AS failure_reason)"

    met = [name for name, where in conditions.items() if duckdb.sql(f"FROM {captured} WHERE {where}").fetchall()]

    assert "suspected_fraud_count" in conditions
    assert met == []
