"""Alerts of the monitoring rules: a customer, a day, and the payments that caused the alert.

Belongs here: the marts `aml_<rule>` and `aml_alerts`. Does not belong here: the rules and their numbers (`payments.monitoring`).

An alert is a row of a day's partition, computed only from the days of its rule's window: payments that land late create,
change and withdraw alerts like any other row. What somebody did about an alert is not part of it, and must be stored elsewhere by
rule, customer and day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.dtypes import immutable
from pandera.engines import ibis_engine
from pandera.ibis import IbisData

from assay.contracts import Balance, Cadence, Count, Daily, Date, Decimal, MonitoringRule, Published, Window, table
from assay.contracts import column as col
from payments.monitoring import (
    DORMANT_AWAKENING,
    HIGH_RISK_CORRIDORS,
    OWNER,
    RAPID_IN_AND_OUT,
    ROUND_AMOUNTS,
    RULES,
    STRUCTURING,
    VELOCITY,
)

KEY = ("alert_date", "rule", "subject_id")


@ibis_engine.Engine.register_dtype
@immutable
class AlertedPayments(ibis_engine.DataType):
    """Payments with their days, so that they can be found in their partitions."""

    type = dt.Array(dt.Struct({"transaction_id": dt.string, "transaction_date": dt.date, "amount_usd": dt.Decimal(38, 2)}))


class Alert(Published):
    """Columns of every alert."""

    rule: str = col("The rule", isin=[rule.name for rule in RULES])
    severity: str = col("How soon somebody must look: high, medium or low", isin=("high", "low", "medium"))
    subject_id: str = col("The customer", pii="identifier")
    alert_date: Date = col("Day that ends the window, UTC")
    window_start: Date = col("First day of the window")
    measured: Decimal = col("What was measured, in the rule's unit")
    held_against: Decimal = col("The lowest value that causes an alert, in the same unit")
    transaction_count: Count = col("Payments that caused the alert", unit="payments", ge=1)
    amount_usd: Decimal = col("Their total value; for payments given back, the amount given back", unit="USD", ge=0)
    transactions: AlertedPayments = col("Those payments, with their days and dollars, oldest first")
    parameters: str = col("The rule's parameters; alerts with equal ones come from the same version of the rule")

    @pa.dataframe_check(description="what was measured is enough for an alert")
    def measured_enough(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """Otherwise the SQL compares something other than it shows."""
        return data.table.measured >= data.table.held_against

    @pa.dataframe_check(description="an alert carries the payments that made it")
    def carries_its_payments(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        """All of them, each once."""
        return data.table.transactions.length() == data.table.transaction_count


def _alerts_of(rule: MonitoringRule) -> Callable[[type[Alert]], type[Alert]]:
    """Declare the table of a rule's alerts."""
    return table(
        rule.table.removeprefix("marts."),
        layer="marts",
        key=KEY,
        partition=Daily("alert_date"),
        owner=OWNER,
        subject="compliance",
        freshness=timedelta(hours=50),
        windows={rule.reads: Window(before=rule.window_days - 1)},
        # Alerts select some payments: totals exist only between them and `aml_alerts`.
        balance=Balance(inputs=(rule.reads,), rows="0", input_rows="0"),
        watch=False,
        cadence=Cadence.HOURLY,
    )


@_alerts_of(STRUCTURING)
class Structuring(Alert):
    """One row per customer and day with payments just under the threshold that together, within the window, reach it."""


@_alerts_of(VELOCITY)
class Velocity(Alert):
    """One row per customer and day with a payment that is the last of too many within some hours."""


@_alerts_of(ROUND_AMOUNTS)
class RoundAmounts(Alert):
    """One row per customer and day with a large payment of a round amount, where most large payments in the window are round."""


@_alerts_of(RAPID_IN_AND_OUT)
class RapidInAndOut(Alert):
    """One row per customer and day with a refund of a recent payment, where a large total was refunded so in the window."""


@_alerts_of(HIGH_RISK_CORRIDORS)
class HighRiskCorridors(Alert):
    """One row per customer and day with a payment from or to a listed country, where such payments in the window total much."""


@_alerts_of(DORMANT_AWAKENING)
class DormantAwakening(Alert):
    """One row per customer and day whose payments total much, on an account registered more than a day before the window, with
    none in it before."""


@table(
    "aml_alerts",
    layer="marts",
    key=KEY,
    partition=Daily("alert_date"),
    owner=OWNER,
    subject="compliance",
    freshness=timedelta(hours=50),
    balance=Balance(inputs=tuple(rule.table for rule in RULES), money_in="amount_usd", money_out="amount_usd"),
    watch=False,
    cadence=Cadence.HOURLY,
)
class AnyAlert(Alert):
    """One row per alert: a rule, a customer and a day."""
