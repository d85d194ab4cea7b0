"""Fixtures of metrics: a small catalog, of which each test declares its own part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from market import BASE, ENTITIES, TABLES, a_fact

from assay.metrics import Calendar, Fact, Group, Metric
from assay.metrics.catalog import Catalog, make_catalog

Make = Callable[..., Catalog]


@pytest.fixture
def make() -> Make:
    """Make a catalog of the base metrics and some more."""

    def made(
        *metrics: Metric,
        fact: Fact | None = None,
        entities: Any = ENTITIES,
        group: dict[str, Any] | None = None,
        calendars: Sequence[Calendar] = (),
    ) -> Catalog:
        group = group or {}
        declared = Group("stall", "The stall", metrics=(*BASE, *metrics), **({"fact": "sales", "owner": "team:stall"} | group))
        return make_catalog([fact or a_fact()], entities, [declared], TABLES, calendars)

    return made
