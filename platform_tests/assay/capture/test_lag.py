"""When a change is in a table."""

from __future__ import annotations

from assay.capture.lag import Lag, LagMeter

TABLE = "enriched.orders"


def test_a_change_is_in_the_first_publication_after_its_ingestion() -> None:
    meter = LagMeter((TABLE,))
    meter.begin(0)
    meter.landed("a", (1_000, 2_000))
    meter.published(TABLE, 4)
    meter.landed("b", (5_000,))
    meter.ingested(["a", "b"], 6)
    meter.published(TABLE, 5.5)
    assert meter.lags() == {}
    meter.published(TABLE, 9)
    assert meter.lags() == {TABLE: Lag(changes=3, median=7, p95=8, longest=8)}
    assert meter.waiting(TABLE) == 0


def test_what_was_committed_before_the_measurement_is_not_measured() -> None:
    meter = LagMeter((TABLE,))
    meter.landed("a", (1_000, 3_000))
    meter.begin(2)
    meter.ingested(["a"], 4)
    meter.published(TABLE, 5)
    assert meter.lags()[TABLE] == Lag(changes=1, median=2, p95=2, longest=2)


def test_what_was_not_ingested_waits() -> None:
    meter = LagMeter((TABLE,))
    meter.begin(0)
    meter.landed("a", (1_000, 3_000))
    meter.published(TABLE, 5)
    assert meter.waiting(TABLE) == 2
    assert meter.lags() == {}
