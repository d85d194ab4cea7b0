"""Plots: well-formed, in bounds, with words."""

from __future__ import annotations

import datetime as dt
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report import plots

FIRST = dt.date(2026, 1, 1)
SCORES = st.lists(st.none() | st.floats(0, 100), max_size=60)


def on_days(scores: list[float | None]) -> list[tuple[dt.date, float | None]]:
    return [(FIRST + dt.timedelta(days=place), score) for place, score in enumerate(scores)]


def checked(svg: str) -> ElementTree.Element:
    """Parse a plot, and hold every place against its size."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    for path in root.iter("path"):
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attrib["d"]):
            assert -1 <= float(x) <= width + 1 and -1 <= float(y) <= height + 3, path.attrib["d"]
    assert "nan" not in svg and "inf" not in svg
    return root


@given(SCORES)
def test_a_sparkline_stays_inside_whatever_the_scores(scores: list[float | None]) -> None:
    days = on_days(scores)
    span = (FIRST + dt.timedelta(days=5), FIRST + dt.timedelta(days=30))
    checked(plots.sparkline(days, span, 95.0, "scores", [FIRST + dt.timedelta(days=7)]))
    if days:
        root = checked(plots.score_plot(days, "scores", 95.0, [FIRST]))
        assert len(root.attrib["data-values"].split(",")) == len(days)


def test_level_stretches_are_two_points_and_gaps_are_gaps() -> None:
    level = plots.sparkline(on_days([100.0] * 60), (FIRST, FIRST + dt.timedelta(days=59)), 95.0, "level")
    assert re.search(r'class="line" d="M4 4h.1L128 4"', level)
    broken = plots.sparkline(on_days([99.0, 99.0, None, 99.0, 99.0]), (FIRST, FIRST + dt.timedelta(days=4)), 95.0, "broken")
    line = re.search(r'class="line" d="([^"]+)"', broken)
    assert line is not None and line[1].count("M") == 2


def test_what_failed_and_what_is_below_have_shapes_of_their_own() -> None:
    shown = plots.sparkline(on_days([99.0, 10.0, 99.0, 50.0]), (FIRST, FIRST + dt.timedelta(days=3)), 95.0, "x", [FIRST])
    assert shown.count('class="cross"') == 1
    assert shown.count('class="below"') == 2
    unjudged = plots.sparkline(
        on_days([99.0, None]), (FIRST, FIRST + dt.timedelta(days=1)), 95.0, "x", [FIRST + dt.timedelta(days=1)]
    )
    assert unjudged.count('class="cross"') == 1


@pytest.mark.parametrize(
    ("scores", "floor"), [([], 99.9), ([100.0] * 5, 99.9), ([99.7, 100.0], 99.5), ([*[99.0] * 99, 3.0], 99.0), ([40.0], 0.0)]
)
def test_one_bad_day_does_not_flatten_all_others(scores: list[float], floor: float) -> None:
    assert plots.score_floor(scores) == floor


def test_bars() -> None:
    assert len(list(checked(plots.day_bars([0, 1, 5], "bars")).iter("rect"))) == 2
    assert len(list(checked(plots.stacked_bar([1, 0, 3, 0], 4, "ages")).iter("rect"))) == 2
    checked(plots.stacked_bar([0, 0], 0, "none"))
    checked(plots.day_bars([], "none"))
    assert 'class="over"' in plots.limit_bar(9.0, True, "late")
    assert "›" in plots.limit_bar(9.0, True, "late")


@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=40), st.booleans())
def test_figures_have_a_round_scale_that_holds_them(figures: list[float | None], is_share: bool) -> None:
    series = on_days([None if figure is None else figure / 1e12 if is_share else figure for figure in figures])
    unusual = [(series[-1][0], series[-1][1] or 0.0, 0.5)]
    ticks = plots.figure_ticks(series, unusual, is_share)
    assert ticks[-1] >= max(value or 0 for _, value in series) * 0.998
    checked(plots.figure_plot(series, unusual, "figures", is_share, ["0", "half", "top"]))


def test_words_are_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    for plot in (
        plots.day_bars([1], evil),
        plots.figure_plot(on_days([1.0]), [], evil, False, [evil, evil, evil]),
        plots.sparkline(on_days([1.0]), (FIRST, FIRST), 95.0, evil),
    ):
        assert checked(plot).attrib["aria-label"] == evil
        assert "<script" not in plot
    assert plots.figure_plot([], [], "none", False, []) == ""
