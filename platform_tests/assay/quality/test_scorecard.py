"""The scorecard of the detector: two years of simulated business, faults of five kinds at random days, and what was found.

The whole way is taken: rows, the scan that measures them, the detector with its defaults. The rule that most people start with,
to alert on whatever differs by 30 % from an earlier day, is printed beside it (`pytest -s`).
"""

from __future__ import annotations

import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pytest

from assay.contracts import Daily, Date, Money, Published, Table, Timestamp, Watch, column, table
from assay.contracts.table import DECLARATION
from assay.quality.anomalies import Figure, find_anomalies
from assay.quality.profile import Metric, profile_query
from payments.holidays import HOLIDAYS
from simulator.business import Business, Fault, Injected, inject

LEAST_RECALL = 0.95
MOST_FALSE_ALERTS = 1.0
"""A table and month."""
WARM_UP_DAYS = 90
"""Nothing can be odd before there is anything to compare it with."""
DAYS = 730
DAYS_A_MONTH = 365 / 12
RIGHT = {
    Fault.REGION_MISSING: {Metric.VOLUME},
    Fault.DOUBLED_FILES: {Metric.VOLUME},
    Fault.CURRENCY_SWITCH: {Metric.CATEGORY_SHARE},
    Fault.STUCK_CONNECTOR: {Metric.VOLUME},
    Fault.DECIMAL_SHIFT: {Metric.VALUE},
}
"""What must be odd on the first day of a fault, so that it counts as found."""


@table(
    "payments",
    layer="enriched",
    key=("day",),
    partition=Daily("day"),
    owner="team:payments",
    subject="payments",
    watch=Watch(value="amount_usd", by="region", shares=("currency", "method"), nulls=("country",), happened="paid_at"),
)
class Payments(Published):
    """Payments as they are simulated."""

    day: Date = column("The day")
    region: str = column("Where")
    currency: str = column("In what")
    method: str = column("How")
    country: str = column("Whose", nullable=True)
    amount_usd: Money = column("How much")
    paid_at: Timestamp = column("When")


PAYMENTS: Table = getattr(Payments, DECLARATION)


@dataclass
class Score:
    """What one way of judging found.

    Attributes:
        found: Faults found, by kind.
        all: Faults, by kind.
        false_days: Days with an alert and without a fault.
        false_alerts: The alerts on them.
        months: Months judged.
    """

    found: dict[Fault, int] = field(default_factory=lambda: defaultdict(int))
    all: dict[Fault, int] = field(default_factory=lambda: defaultdict(int))
    false_days: int = 0
    false_alerts: int = 0
    months: float = 0.0

    @property
    def recall(self) -> float:
        """Share of the faults that were found on their first day."""
        return sum(self.found.values()) / sum(self.all.values())

    @property
    def false_a_month(self) -> float:
        """Days a table and month that people were called for nothing."""
        return self.false_days / self.months

    def add(self, faults: Sequence[Injected], alerts: Mapping[dt.date, Collection[Metric]]) -> None:
        """Count one table."""
        for fault in faults:
            right = {Metric.LAG} if fault.is_late else RIGHT[fault.fault]
            self.all[fault.fault] += 1
            self.found[fault.fault] += bool(right & set(alerts.get(fault.days[0], ())))
        faulty = {day for fault in faults for day in fault.days}
        false = {day: metrics for day, metrics in alerts.items() if day not in faulty}
        self.false_days += len(false)
        self.false_alerts += sum(len(metrics) for metrics in false.values())
        self.months += DAYS / DAYS_A_MONTH

    def __str__(self) -> str:
        kinds = ", ".join(f"{fault} {self.found[fault]}/{self.all[fault]}" for fault in Fault)
        return (
            f"recall {self.recall:.3f}; false alerts a table and month {self.false_a_month:.2f} "
            f"({self.false_alerts / self.months:.2f} figures); {kinds}"
        )


def measured(business: Business, seed: int) -> tuple[list[Figure], list[Injected]]:
    """The profiles of a table with faults."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    business.write(connection, "payments")
    faults = inject(connection, "payments", business, WARM_UP_DAYS, seed)
    rows = connection.execute(
        profile_query(PAYMENTS, "SELECT *, landed_at::TIMESTAMPTZ AS ingestion_timestamp FROM payments")
    ).fetchall()
    return [Figure(row[0], Metric(row[1]), *row[2:]) for row in rows], faults


def by_the_fixed_rule(figures: Sequence[Figure], days_before: int, *, totals: bool = False) -> dict[dt.date, list[Metric]]:
    """Alerts where a figure differs by 30 % from what it was some days before; shares by a point too, lags by an hour.

    Args:
        figures: The table's figures.
        days_before: 1 for the day before, 7 for the same weekday of the week before.
        totals: Look at the number and the value of all rows together, and at nothing else.
    """
    series: dict[tuple[object, ...], dict[dt.date, float]] = defaultdict(dict)
    for each in figures:
        is_total = each.metric in (Metric.VOLUME, Metric.VALUE) and each.region is None
        if each.metric is not Metric.FIRST_LANDING and (is_total or not totals):
            series[(each.metric, each.column, each.category, each.region)][each.day] = each.figure or 0.0
    days = sorted({each.day for each in figures})
    first, last = days[0] + dt.timedelta(days=WARM_UP_DAYS), days[-1]
    alerts: dict[dt.date, list[Metric]] = defaultdict(list)
    for key, values in series.items():
        metric = Metric(str(key[0]))
        least = {Metric.NULL_SHARE: 0.01, Metric.CATEGORY_SHARE: 0.01, Metric.LAG: 1.0}.get(metric, 0.0)
        for day in (first + dt.timedelta(days=number) for number in range((last - first).days + 1)):
            usual = values.get(day - dt.timedelta(days=days_before), 0.0)
            off = values.get(day, 0.0) - usual
            if abs(off) > 0.3 * usual and abs(off) >= least and (metric is not Metric.LAG or off > 0):
                alerts[day].append(metric)
    return alerts


def judged(seeds: Collection[int], payments_per_day: int) -> dict[str, Score]:
    """The scores of the detector and of the fixed rules."""
    scores: dict[str, Score] = defaultdict(Score)
    first = dt.date(2023, 1, 1)
    last = first + dt.timedelta(days=DAYS - 1)
    holidays = {region: declared.between(first, last) for region, declared in HOLIDAYS.items()}
    for seed in seeds:
        business = Business(seed, first, DAYS, payments_per_day, holidays)
        figures, faults = measured(business, seed)
        assert PAYMENTS.watched is not None
        found: dict[dt.date, list[Metric]] = defaultdict(list)
        as_of = dt.datetime.combine(last + dt.timedelta(days=2), dt.time(), dt.UTC)
        for anomaly in find_anomalies(figures, PAYMENTS.watched, HOLIDAYS, as_of):
            found[anomaly.day].append(anomaly.metric)
        scores["the detector"].add(faults, found)
        scores["30 % from the day before"].add(faults, by_the_fixed_rule(figures, 1))
        scores["30 % from the week before"].add(faults, by_the_fixed_rule(figures, 7))
        scores["the same of totals only"].add(faults, by_the_fixed_rule(figures, 7, totals=True))
    sys.stdout.writelines(f"{name}: {score}\n" for name, score in scores.items())
    return scores


def test_two_years_with_faults() -> None:
    scores = judged([1], 800)
    detector = scores.pop("the detector")
    assert sum(detector.all.values()) > 40
    assert detector.recall >= LEAST_RECALL
    assert detector.false_a_month <= MOST_FALSE_ALERTS
    assert detector.false_alerts <= MOST_FALSE_ALERTS * detector.months
    assert all(fixed.recall < LEAST_RECALL or fixed.false_a_month > MOST_FALSE_ALERTS for fixed in scores.values())


@pytest.mark.slow
@pytest.mark.parametrize("payments_per_day", [500, 1500])
def test_many_histories_with_faults(payments_per_day: int) -> None:
    scores = judged(range(2, 14), payments_per_day)
    detector = scores.pop("the detector")
    assert sum(detector.all.values()) > 500
    assert detector.recall >= LEAST_RECALL
    assert all(detector.found[fault] >= 0.9 * detector.all[fault] for fault in Fault)
    assert detector.false_a_month <= MOST_FALSE_ALERTS
    assert detector.false_alerts <= MOST_FALSE_ALERTS * detector.months
    assert all(fixed.recall < LEAST_RECALL or fixed.false_a_month > MOST_FALSE_ALERTS for fixed in scores.values())
