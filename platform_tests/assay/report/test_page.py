"""The page: needs nothing but itself, says the same of the same report, and takes no text for markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reports import AS_OF, broken_report, table

from assay.quality.report import QualityReport
from assay.report.page import render

EVIL = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "'; alert(1); //",
    "</style></title></textarea><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & <!-- -->",
]
VOID = {"meta", "input", "br"}


class Seen(HTMLParser):
    """Collects tags with the names of their attributes, and the values of what could lead elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(page: str) -> Seen:
    parser = Seen()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page() -> str:
    """A page on which every section has something to say."""
    return render(broken_report())


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_becomes_markup(page: str, evil: str) -> None:
    shown = seen(render(broken_report(evil)))
    assert shown.tags == seen(page).tags
    assert evil in shown.text
    assert not any(name.startswith("on") for _, names in shown.tags for name in names)


def test_it_needs_nothing_but_itself(page: str) -> None:
    assert all(link.startswith("#") for link in seen(page).links)
    # Apart from links, style sheets and scripts could ask for something.
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_its_policy_lets_its_own_script_run_and_no_other(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    allowed = re.search(r"script-src '(sha256-[^']+)'", page)
    assert allowed is not None
    assert allowed[1] == f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def test_the_same_report_gives_the_same_page(page: str) -> None:
    assert render(broken_report()) == page


def test_every_link_has_its_section(page: str) -> None:
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert {link.removeprefix("#") for link in seen(page).links} <= ids
    assert set(re.findall(r'aria-controls="([^"]+)"', page)) <= ids


def test_it_can_be_read_without_seeing_it(page: str) -> None:
    assert page.count("<svg") == page.count('role="img" aria-label="')
    assert "<th>" not in page and '<html lang="en">' in page
    assert page.count("<table") == page.count("<thead>")


def test_an_empty_report_says_so() -> None:
    shown = seen(render(QualityReport("shop", AS_OF, False))).text
    assert "Nothing has been proven yet" in shown
    assert "Quarantine is empty" in shown and "No row broke any rule" in shown


def test_tables_stand_with_the_worst_first_and_their_history() -> None:
    tables = (table("marts.good", 100.0, 100.0), table("marts.bad", 99.0, 60.0))
    shown = render(QualityReport("shop", AS_OF, False, tables=tables))
    assert shown.index(">bad<") < shown.index(">good<")
    assert "Score of marts.bad from 2026-03-04 to 2026-03-05: last 60.00, lowest 60.00 on 2026-03-05" in shown
    assert 'class="bad">79.50' in shown


def test_long_lists_are_cut_and_say_so() -> None:
    report = broken_report()
    many = replace(report, rules=report.rules * 40, failures=report.failures * 130)
    shown = seen(render(many)).text
    assert "… and 15 more rules" in shown and "… and 30 more." in shown
    assert "2 more series" in shown
