"""What the report says in sentences."""

from __future__ import annotations

from dataclasses import replace

from reports import AS_OF, broken_report, table

from assay.quality.report import QualityReport
from assay.report.words import Verdict, concerns, sentence, verdict


def test_a_sound_report_says_so() -> None:
    sound = QualityReport("shop", AS_OF, False, tables=(table("marts.x", 100.0),))
    assert sentence(sound) == (
        "100.00 % of the newest rows broke no rule; all books balance, everything is on time and nothing failed its proof."
    )
    assert (verdict(sound), concerns(sound)) == (Verdict.SOUND, [])


def test_the_most_urgent_comes_first() -> None:
    found = concerns(broken_report("x"))
    assert [(each.verdict, each.kind) for each in found] == [
        ("act", "Proof failed"),
        ("act", "Books unbalanced"),
        ("act", "Differs from control"),
        ("act", "Late"),
        ("act", "Held back"),
        ("act", "Below threshold"),
        ("look", "Quarantine too old"),
        ("look", "Anomaly"),
        ("look", "New column"),
    ]
    assert [each.command for each in found][-3:] == [
        "assay quarantine list enriched.x --older-than 7",
        "assay anomalies enriched.x --days 7",
        "assay drift x",
    ]
    assert sentence(broken_report()) == (
        "91.00 % of the newest rows broke no rule; 1 partition failed its proof, 1 set of books does not balance "
        "and 1 table differs from its control."
    )
    assert verdict(broken_report()) is Verdict.ACT


def test_partitions_of_one_table_are_one_concern() -> None:
    report = broken_report("x")
    twice = (report.failures[0], replace(report.failures[0], partition="2026-03-05"))
    (first, *_) = concerns(replace(report, failures=twice))
    assert first.text == "2026-03-05 and 1 more: x"


def test_what_can_wait_does_not_alarm() -> None:
    report = broken_report()
    assert verdict(QualityReport("d", AS_OF, False, anomalies=report.anomalies)) is Verdict.LOOK
    quiet = replace(report.drift[0], matters=False)
    assert verdict(QualityReport("d", AS_OF, False, drift=(quiet,))) is Verdict.SOUND
