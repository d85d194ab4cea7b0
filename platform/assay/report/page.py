"""The page: the report as one HTML file without external references.

Belongs here: choosing and ordering what is shown, and filling the template. Does not belong here: sentences (`words`), plots
(`plots`), styles and markup (`template/`).

The template escapes all its input except plots, which escape theirs. If something got through all the same, the page's own
content security policy allows no script except the page's own.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from assay.quality.report import (
    BEFORE,
    DIMENSIONS,
    RECENT,
    RULE_DAYS,
    Anomaly,
    BrokenRule,
    Fresh,
    QualityReport,
    Quarantined,
    TableQuality,
)
from assay.report import numbers, plots
from assay.report.words import Verdict, concerns, sentence, verdict

TREND_DAYS = 90
"""Days that sparklines cover."""
CONCERNS, RULES, PLOTS, OTHERS, FAILURES, TEXTS = 12, 25, 8, 60, 100, 3
"""Limits on what is shown: concerns, rules, series with a plot, series without, failed partitions, days per series."""
_TEMPLATE = Path(__file__).parent / "template"
_MAY_BREAK = ".\u200b"
"""A dot after which a long name may break."""
_AGES = ("up to a day", "up to 7 days", "up to 30 days", "older")


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page.

    Attributes:
        label: Its meaning.
        value: The number.
        unit: Its unit, in smaller type.
        note: A remark about it.
        verdict: `act` or `look` if something is wrong.
    """

    label: str
    value: str
    unit: str
    note: str
    verdict: str = ""


def render(report: QualityReport) -> str:
    """Render the page. The same report always gives the same text."""
    style, script, template = _parts()
    found = concerns(report)
    floor = plots.score_floor(day.score for table in report.tables for day in table.days[-TREND_DAYS:] if day.score is not None)
    # Tables that are not partitioned by day may be proven long after the last day of the others.
    ends = [table.days[-1].day for table in report.tables if table.is_daily and table.days]
    newest = max(ends, default=report.as_of.date())
    shown = report.anomalies[:PLOTS]
    return template.render(
        r=report,
        style=Markup(style),
        script=Markup(script),
        script_hash=_hash(f"\n{script}"),
        verdict=str(verdict(report)),
        sentence=sentence(report),
        tiles=_tiles(report),
        sections=_sections(report),
        concerns=found[:CONCERNS],
        more_concerns=len(found) - CONCERNS if len(found) > CONCERNS else 0,
        tables=[_table(table, newest, floor) for table in sorted(report.tables, key=_worst_first)],
        rules=[_rule(rule) for rule in report.rules[:RULES]],
        more_rules=max(len(report.rules) - RULES, 0),
        quarantine=_quarantine(report.quarantine, report.as_of),
        age_labels=_AGES,
        anomalies=[_anomaly(each) for each in shown],
        other_anomalies=report.anomalies[PLOTS : PLOTS + OTHERS],
        failures=report.failures[:FAILURES],
        more_failures=max(len(report.failures) - FAILURES, 0),
        freshness=[_fresh(each) for each in sorted(report.freshness, key=lambda each: not each.is_late)],
        books=[_book(each) for each in sorted(report.books, key=lambda each: each.is_balanced)],
        watched=numbers.counted(report.watched, "table is watched", "tables are watched"),
        floor=floor,
        recent=RECENT,
        before=BEFORE,
        rule_days=RULE_DAYS,
        trend_days=TREND_DAYS,
    )


@cache
def _parts() -> tuple[str, str, Template]:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("score", "change", "count", "short", "money", "percent", "duration", "moment"):
        environment.globals[name] = getattr(numbers, name)
    environment.globals["file"] = lambda key: key.rsplit("/", 1)[-1]
    read = [(_TEMPLATE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")]
    return read[0], read[1], environment.get_template("page.html.j2")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _tiles(report: QualityReport) -> list[Tile]:
    def tile(label: str, value: str, unit: str, note: str, wrong: object = None, level: Verdict = Verdict.ACT) -> Tile:
        return Tile(label, value, unit, note, str(level) if wrong else "")

    tables, late, unbalanced = report.tables, len(report.late), len(report.unbalanced)
    limited = sum(each.limit is not None and each.updated is not None for each in report.freshness)
    behind = sum(each.is_late for each in report.freshness)
    below = numbers.counted(len(report.below), "table below its threshold", "tables below their thresholds")
    score_note = below if report.below else f"{numbers.change(report.change)} against the {BEFORE} days before"
    at_risk = max((table for table in tables if table.money_at_risk), key=lambda table: table.money_at_risk or 0, default=None)
    old = f"{numbers.count(report.too_old)} for too long" if report.too_old else "none for too long"
    unusual = len({each.table for each in report.anomalies})
    failed = len({each.table for each in report.failures})
    return [
        tile("Score", numbers.score(report.score), "%", score_note, report.below),
        tile(
            "Money at risk",
            numbers.short(at_risk.money_at_risk) if at_risk else "0",
            at_risk.unit if at_risk else "",
            f"most in {at_risk.name.replace('.', _MAY_BREAK)}" if at_risk else "on the newest days",
        ),
        tile(
            "Failed partitions",
            numbers.count(len(report.failures)),
            "",
            f"in {numbers.counted(failed, 'table')}" if failed else "every proof held",
            failed,
        ),
        tile(
            "Books balanced",
            f"{len(report.books) - unbalanced}",
            f"of {len(report.books)}",
            f"{unbalanced} not balanced" if unbalanced else "rows and money",
            unbalanced,
        ),
        tile(
            "On time",
            f"{limited - behind}",
            f"of {limited}",
            f"{late} not waiting for another" if late else "sources and tables",
            late,
        ),
        tile("In quarantine", numbers.short(report.standing), "", old, report.too_old, Verdict.LOOK),
        tile(
            "Anomalies",
            numbers.count(len(report.anomalies)),
            "",
            f"in {numbers.counted(unusual, 'table')}, newest {RECENT} days" if unusual else f"newest {RECENT} complete days",
            unusual,
            Verdict.LOOK,
        ),
    ]


def _sections(report: QualityReport) -> list[tuple[str, str]]:
    return [
        ("tables", f"Tables {len(report.tables)}"),
        ("rules", f"Worst rules {len(report.rules)}"),
        ("quarantine", f"Quarantine {numbers.short(report.standing)}"),
        ("anomalies", f"Anomalies {len(report.anomalies)}"),
        ("failures", f"Failed partitions {len(report.failures)}"),
        ("freshness", f"Freshness {len(report.freshness)}"),
        ("books", f"Books {len(report.books)}"),
        ("controls", f"Reconciliation {len(report.reconciled)}"),
        ("drift", f"Drift {len(report.drift) + len(report.held)}"),
    ]


def _worst_first(table: TableQuality) -> tuple[float, str]:
    return (101.0 if table.score is None else table.score, table.name)


def _table(table: TableQuality, newest: dt.date, floor: float) -> dict[str, Any]:
    days = [(day.day, day.score) for day in table.days]
    failed = [day.day for day in table.days if day.failed]
    end = newest if table.is_daily or not days else days[-1][0]
    scored = [(score, name) for name, score in zip(DIMENSIONS, table.dimensions, strict=False) if score is not None]
    weakest = min(scored, default=None)
    return {
        "name": table.name,
        "owner": table.owner,
        "about": table.about,
        "unit": table.unit,
        "score": table.score,
        "change": table.change,
        "is_below": table.is_below,
        "rows": table.rows,
        "quarantined": table.quarantined,
        "money_at_risk": table.money_at_risk,
        "weakest": weakest[1] if weakest and weakest[0] < 100 else "",
        "weakest_score": weakest[0] if weakest else None,
        "trend": plots.sparkline(days, (end - dt.timedelta(days=TREND_DAYS - 1), end), floor, _in_words(table), failed),
        "caption": _caption(table),
        "detail": plots.score_plot(days, _in_words(table), table.threshold, failed) if len(days) > 1 else "",
        "dimensions": _dimensions(table),
    }


def _in_words(table: TableQuality) -> str:
    if not table.days:
        return f"{table.name}: nothing has been proven"
    worst = min(table.days, key=lambda day: (101.0 if day.score is None else day.score, day.day))
    failed = sum(day.failed for day in table.days)
    text = f"Score of {table.name} from {table.days[0].day} to {table.days[-1].day}: last {numbers.score(table.days[-1].score)}"
    return f"{text}, lowest {numbers.score(worst.score)} on {worst.day}" + (f", {failed} failed" if failed else "")


def _caption(table: TableQuality) -> str:
    parts = [f"score by {'day' if table.is_daily else 'day of proof'}"]
    if table.money_score is not None:
        parts.append(f"weighted by money {numbers.score(table.money_score)}")
    return ", ".join(parts)


def _dimensions(table: TableQuality) -> list[dict[str, Any]]:
    kept = [day for day in table.days if day.dimensions]
    if len(kept) < 2:
        return []
    span = (kept[0].day, kept[-1].day)
    low = plots.score_floor(score for day in kept for score in day.dimensions if score is not None)
    found = []
    for place, score in enumerate(table.dimensions):
        name = DIMENSIONS[place]
        line = [(day.day, day.dimensions[place]) for day in kept]
        label = f"{name} of {table.name}, scale from {low:g} to 100: now {numbers.score(score)}"
        found.append({"name": name, "score": score, "plot": plots.sparkline(line, span, low, label, width=180, height=36)})
    return found


def _rule(rule: BrokenRule) -> dict[str, Any]:
    counts = [count for _, count in rule.broken]
    worst = max(rule.broken, key=lambda each: each[1])
    label = f"Rows that broke {rule.rule} by day: most {worst[1]:,} on {worst[0]}, last {counts[-1]:,}"
    change = rule.change
    trend = "new" if change is None and any(counts[-RECENT:]) else numbers.times(change)
    return {
        "rule": rule,
        "plot": plots.day_bars(counts, label),
        "trend": trend,
        "is_rising": rule.is_rising,
    }


def _quarantine(standing: Sequence[Quarantined], as_of: dt.datetime) -> list[dict[str, Any]]:
    ordered = sorted(standing, key=lambda each: (-each.too_old, -each.records, each.name))
    most = max((each.records for each in standing), default=0)
    found = []
    for each in ordered:
        parts = ", ".join(f"{count:,} {label}" for label, count in zip(_AGES, each.ages, strict=True) if count)
        age = None if each.oldest is None else max(as_of - each.oldest, dt.timedelta())
        plot = plots.stacked_bar(each.ages, most, f"{each.name}: {parts or 'none'}", width=160)
        found.append({"of": each, "age": age, "plot": plot})
    return found


def _anomaly(anomaly: Anomaly) -> dict[str, Any]:
    unusual = [(each.day, each.observed, each.expected) for each in anomaly.found]
    ticks = plots.figure_ticks(anomaly.series, unusual, anomaly.is_share)
    texts = [f"{each.day:%Y-%m-%d %a} {each.text.removeprefix(f'{anomaly.subject}: ')}" for each in reversed(anomaly.found)]
    more = len(texts) - TEXTS
    return {
        "of": anomaly,
        "plot": plots.figure_plot(
            anomaly.series,
            unusual,
            f"{anomaly.subject}, {anomaly.table}: {texts[0]}",
            anomaly.is_share,
            [numbers.figure(tick, anomaly.is_share) for tick in ticks],
        ),
        "texts": texts[:TEXTS] + ([f"and {numbers.counted(more, 'more day')}"] if more > 0 else []),
    }


def _fresh(fresh: Fresh) -> dict[str, Any]:
    if fresh.age is None:
        state, kind = "nothing yet", "soft"
    elif not fresh.is_late:
        state, kind = ("on time", "") if fresh.limit else ("no limit", "soft")
    elif fresh.waits_for:
        state, kind = f"waits for {', '.join(fresh.waits_for)}", "warn"
    else:
        state, kind = "late", "bad"
    plot: Markup | str = ""
    if fresh.age is not None and fresh.limit:
        share = fresh.age / fresh.limit
        plot = plots.limit_bar(share, fresh.is_late, f"{numbers.percent(share)} of the limit")
    return {"of": fresh, "state": state, "kind": kind, "plot": plot}


def _book(book: Any) -> dict[str, Any]:
    places = ("received", "published", "quarantined", "superseded", "deleted", "difference")
    return {
        "name": book.name,
        "unit": book.unit,
        "rows": {place: getattr(book.rows, place) for place in places},
        "money": {place: getattr(book.money, place) for place in places} if book.money else None,
        "is_balanced": book.is_balanced,
        "unbalanced": book.unbalanced,
    }
