"""The report in the lake, and as JSON."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

from reports import broken_report

from assay.lake import ObjectStore
from assay.report.daily import as_json, write_report


def test_the_latest_report_is_that_of_the_newest_day(file_store: ObjectStore) -> None:
    report = broken_report("today")
    assert write_report(file_store, report) == "quality/reports/2026-03-05.html"
    assert b"today" in file_store.get("quality/reports/latest.html")
    older = replace(broken_report("yesterday"), as_of=report.as_of - dt.timedelta(days=1))
    assert write_report(file_store, older) == "quality/reports/2026-03-04.html"
    assert b"today" in file_store.get("quality/reports/latest.html")
    write_report(file_store, replace(report, domain="again"))
    assert b"again" in file_store.get("quality/reports/latest.html")
    assert len(list(file_store.list("quality/reports/"))) == 3


def test_json_says_what_the_page_shows() -> None:
    said = json.loads(as_json(broken_report("x")))
    assert (said["verdict"], said["score"]) == ("act", 91.0)
    assert said["tables"][0]["score"] == 91.0
    assert said["tables"][0]["money_at_risk"] == "37.5"
    assert said["quarantine"][0]["limit"] == 7 * 86400
    assert said["concerns"][0]["command"] == "assay run"
    assert set(said) >= {"rules", "drift", "held", "anomalies", "books", "freshness", "failures", "reconciled"}
