"""Fixtures of the alerts' tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver
from shop_lake import ShopLake

from assay.alerts.delivery import Attempts
from assay.alerts.incidents import Incident, Kind, Record
from assay.alerts.notice import Notice

NOON = dt.datetime(2025, 3, 4, 12, tzinfo=dt.UTC)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """The shop on an empty lake."""
    return ShopLake(tmp_path)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    """An HTTP server."""
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[MailReceiver]:
    """An SMTP server."""
    with mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were made; none takes any time."""
    return []


@pytest.fixture
def attempts(pauses: list[float]) -> Attempts:
    """The attempts of one delivery."""
    return Attempts(sleep=pauses.append)


@pytest.fixture
def notice_of() -> Callable[..., Notice]:
    """Makes a notice of incidents that have begun and that are over, with what else goes on."""

    def make(
        opened: list[Incident] | None = None,
        over: list[Incident] | None = None,
        standing: list[Incident] | None = None,
        ui: str = "",
    ) -> Notice:
        begun = [Record(each, NOON) for each in opened or ()]
        ended = [Record(each, NOON, NOON + dt.timedelta(hours=2)) for each in over or ()]
        others = [Record(each, NOON) for each in standing or ()]
        return Notice("s3://lake", (*begun, *ended), (*begun, *others), ui)

    return make


@pytest.fixture
def failed() -> Incident:
    """A partition that failed its proof."""
    return Incident(Kind.PROOF_FAILED, "enriched.orders", "2025-03-01", "5 rows repeat a key", "team:shop")
