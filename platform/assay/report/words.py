"""The report's sentences: how good the data are, and what needs attention.

Belongs here: wording derived from the report's figures. Does not belong here: figures (`quality.report`), markup (`page`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from assay.quality.report import QualityReport
from assay.report import numbers


class Verdict(StrEnum):
    """The overall state."""

    SOUND = "sound"
    """Nothing needs to be done."""
    LOOK = "look"
    """Somebody should look at something."""
    ACT = "act"
    """Served data are missing, late or wrong."""


@dataclass(frozen=True)
class Concern:
    """Something that needs attention.

    Attributes:
        verdict: How urgent it is.
        kind: What it is, in two or three words.
        about: The table or source.
        owner: The team responsible for it.
        text: What is wrong.
        command: The command that shows or fixes it.
        section: The section of the report with the details.
    """

    verdict: Verdict
    kind: str
    about: str
    owner: str
    text: str
    command: str
    section: str


def verdict(report: QualityReport) -> Verdict:
    """The most urgent verdict among the concerns."""
    found = {concern.verdict for concern in concerns(report)}
    return Verdict.ACT if Verdict.ACT in found else Verdict.LOOK if found else Verdict.SOUND


def sentence(report: QualityReport) -> str:
    """How good the data are today, in one sentence."""
    if report.score is None:
        return "Nothing has been proven yet."
    sound = f"{numbers.score(report.score)} % of the newest rows broke no rule"
    worst = [
        _said(len(report.failures), "partition failed its proof", "partitions failed their proof"),
        _said(len(report.unbalanced), "set of books does not balance", "sets of books do not balance"),
        _said(len(report.differing), "table differs from its control", "tables differ from their controls"),
        _said(len(report.late), "table or source is late", "tables and sources are late"),
        _said(sum(each.objects for each in report.held), "landing object is held back", "landing objects are held back"),
        _said(len(report.below), "table is below its threshold", "tables are below their thresholds"),
        _said(report.too_old, "record has been in quarantine for too long", "records have been in quarantine for too long"),
        _said(len({each.table for each in report.anomalies}), "table has anomalies", "tables have anomalies"),
        _said(sum(each.matters for each in report.drift), "new column is undeclared", "new columns are undeclared"),
    ]
    wrong = [each for each in worst if each]
    if not wrong:
        return f"{sound}; all books balance, everything is on time and nothing failed its proof."
    return f"{sound}; {_joined(wrong[:3])}."


def concerns(report: QualityReport) -> list[Concern]:
    """Everything that needs attention, most urgent first."""
    return [
        *_failures(report),
        *_books(report),
        *_late(report),
        *_held(report),
        *_scores(report),
        *_quarantine(report),
        *_unusual(report),
    ]


def _failures(report: QualityReport) -> Iterator[Concern]:
    by_table: dict[str, list[str]] = {}
    for each in report.failures:
        by_table.setdefault(each.table, []).append(each.partition)
    owners = {each.table: each.owner for each in report.failures}
    first = {each.table: each.problems[0] for each in reversed(report.failures) if each.problems}
    for name, partitions in by_table.items():
        more = f" and {len(partitions) - 1:,} more" if len(partitions) > 1 else ""
        text = f"{partitions[-1]}{more}: {first.get(name, 'see below')}"
        yield Concern(Verdict.ACT, "Proof failed", name, owners[name], text, "assay run", "failures")


def _books(report: QualityReport) -> Iterator[Concern]:
    owners = {each.name: each.owner for each in report.freshness}
    for book in report.unbalanced:
        text = f"{numbers.count(book.rows.difference)} rows are unaccounted for"
        if book.unbalanced:
            text += f"; {numbers.counted(len(book.unbalanced), 'partition')}, the newest {book.unbalanced[-1]}"
        yield Concern(Verdict.ACT, "Books unbalanced", book.name, owners.get(book.name, ""), text, "assay verify", "books")
    for each in report.differing:
        text = f"{numbers.counted(len(each.wrong), 'day')}, the newest {each.wrong[-1]}: {each.text}"
        command = f"assay reconcile {each.control}"
        yield Concern(Verdict.ACT, "Differs from control", each.table, each.owner, text, command, "controls")


def _late(report: QualityReport) -> Iterator[Concern]:
    for each in report.late:
        text = f"nothing new for {numbers.duration(each.age)}; {numbers.duration(each.limit)} are allowed"
        yield Concern(Verdict.ACT, "Late", each.name, each.owner, text, "assay tables", "freshness")


def _held(report: QualityReport) -> Iterator[Concern]:
    for each in report.held:
        text = f"{numbers.counted(each.objects, 'landing object')}: {each.reason}"
        command = f"assay drift {each.source.removeprefix('raw.')}"
        yield Concern(Verdict.ACT, "Held back", each.source, each.owner, text, command, "drift")


def _scores(report: QualityReport) -> Iterator[Concern]:
    for table in report.below:
        text = f"score {numbers.score(table.score)}, its threshold is {table.threshold:g}"
        yield Concern(
            Verdict.ACT, "Below threshold", table.name, table.owner, text, f"assay quarantine list {table.name}", "tables"
        )


def _quarantine(report: QualityReport) -> Iterator[Concern]:
    for each in report.quarantine:
        if each.too_old:
            text = f"{numbers.counted(each.too_old, 'record')} for more than {numbers.duration(each.limit)}"
            command = f"assay quarantine list {each.name} --older-than {each.limit.total_seconds() / 86400:g}"
            yield Concern(Verdict.LOOK, "Quarantine too old", each.name, each.owner, text, command, "quarantine")


def _unusual(report: QualityReport) -> Iterator[Concern]:
    by_table: dict[str, list[str]] = {}
    owners = {each.table: each.owner for each in report.anomalies}
    for each in report.anomalies:
        by_table.setdefault(each.table, []).append(each.found[-1].text)
    for name, texts in by_table.items():
        more = f"; and {len(texts) - 1:,} more" if len(texts) > 1 else ""
        yield Concern(
            Verdict.LOOK, "Anomaly", name, owners[name], texts[0] + more, f"assay anomalies {name} --days 7", "anomalies"
        )
    for column in report.drift:
        if column.matters:
            command = f"assay drift {column.source.removeprefix('raw.')}"
            yield Concern(
                Verdict.LOOK, "New column", column.source, column.owner, f"{column.column}: {column.what}", command, "drift"
            )


def _said(number: int, one: str, many: str) -> str:
    return numbers.counted(number, one, many) if number else ""


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
