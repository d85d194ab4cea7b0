"""Quality reports made by hand: one in which everything is wrong, with whatever texts are wanted."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from assay.quality.books import Side
from assay.quality.report import (
    Account,
    Anomaly,
    BrokenRule,
    Day,
    Drifted,
    FailedPartition,
    Fresh,
    Held,
    QualityReport,
    Quarantined,
    Reconciled,
    TableQuality,
    Unusual,
)

AS_OF = dt.datetime(2026, 3, 5, 6, tzinfo=dt.UTC)
TODAY = AS_OF.date()


def days(*scores: float, rows: int = 1000, end: dt.date = TODAY) -> tuple[Day, ...]:
    """Days up to one, with these scores."""
    first = end - dt.timedelta(days=len(scores) - 1)
    return tuple(
        Day(first + dt.timedelta(days=place), rows, score, round(rows * (100 - score) / 100))
        for place, score in enumerate(scores)
    )


def table(name: str = "enriched.orders", *scores: float, threshold: float = 95.0, tolerated: int = 0) -> TableQuality:
    """A daily table."""
    return TableQuality(
        name, "team:shop", "One row an order.", threshold, tolerated, True, "EUR", days(*(scores or (99.0, 98.0)))
    )


def broken_report(text: str = "text") -> QualityReport:
    """A report that has something to say in every section, with a text wherever it holds one."""
    name = f"enriched.{text}"
    judged = tuple(
        Day(
            TODAY - dt.timedelta(days=2 - place),
            1000,
            90.0 + place,
            100 - 10 * place,
            failed=place == 2,
            money_score=91.0,
            money_at_risk=Decimal("12.5"),
            dimensions=(99.0, 92.0, 100.0, 100.0, None),
        )
        for place in range(3)
    )
    unusual = Unusual(TODAY, 3.0, 40.0, -9.0, f"{text}: 3, expected 40 (-93%)")
    series = tuple((TODAY - dt.timedelta(days=30 - place), 40.0 if place < 30 else 3.0) for place in range(31))
    anomaly = Anomaly(name, text, text, False, (unusual,), series)
    wrong = Side(Decimal(10), Decimal(7), Decimal(1), Decimal(0), Decimal(0))
    return QualityReport(
        domain=text,
        as_of=AS_OF,
        is_past=True,
        tables=(TableQuality(name, text, text, 95.0, 0, True, text, judged),),
        rules=(
            BrokenRule(
                name,
                text,
                text,
                text,
                text,
                text,
                text,
                3000,
                tuple((day.day, 5) for day in judged),
                Decimal(70),
                f"{text} measured",
            ),
        ),
        quarantine=(
            Quarantined(
                name, text, dt.timedelta(days=7), (5, 4, 3, 2), 1, 5, AS_OF - dt.timedelta(days=40), ((text, 9), (f"{text}2", 5))
            ),
        ),
        drift=(Drifted(f"raw.{text}", text, text, text, 2, f"landing/{text}1", f"landing/{text}2", True),),
        held=(Held(f"raw.{text}", text, text, 3, f"landing/{text}"),),
        anomalies=(anomaly,) * 10,
        watched=1,
        books=(Account(name, text, wrong, wrong, 2, (text,)),),
        freshness=(
            Fresh(name, text, AS_OF - dt.timedelta(days=9), dt.timedelta(days=9), dt.timedelta(days=1), text),
            Fresh(f"marts.{text}", text, None, None, None, ""),
        ),
        failures=(FailedPartition(name, text, text, (text, f"{text}2"), text, None),),
        reconciled=(Reconciled(text, name, text, 4, TODAY, (TODAY,), text, AS_OF),),
    )
