"""Writing the report of a day to the lake.

Belongs here: the keys of its objects, and its JSON form. Does not belong here: when it is made
(`orchestration`, `cli`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from typing import Any

from assay.lake.layout import latest_report_key, report_key, reports_prefix
from assay.lake.store import ObjectStore
from assay.quality.report import QualityReport, TableQuality
from assay.report.page import render
from assay.report.words import concerns, sentence, verdict


def write_report(store: ObjectStore, report: QualityReport) -> str:
    """Write the report of a day, and also as the latest unless a later day has one.

    Returns:
        Its key.

    Raises:
        StoreError: The lake cannot be written.
    """
    body = render(report).encode()
    key = report_key(report.as_of.date().isoformat())
    store.put(key, body)
    later = [info.key for info in store.list(reports_prefix()) if key < info.key < latest_report_key()]
    if not later:
        store.put(latest_report_key(), body)
    return key


def as_json(report: QualityReport) -> str:
    """Everything that the page shows, and the figures derived from it, as one JSON object."""
    found: dict[str, Any] = {
        "verdict": verdict(report),
        "sentence": sentence(report),
        "score": report.score,
        "change": report.change,
    }
    found |= {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    found["tables"] = [_summed(table) for table in report.tables]
    found["concerns"] = concerns(report)
    return json.dumps(found, default=_plain, ensure_ascii=False)


def _summed(table: TableQuality) -> dict[str, Any]:
    sums = ("score", "change", "money_score", "money_at_risk", "rows", "quarantined", "dimensions")
    return dataclasses.asdict(table) | {name: getattr(table, name) for name in sums}


def _plain(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
