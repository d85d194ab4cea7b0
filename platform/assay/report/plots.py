"""Plots as inline SVG, computed from numbers alone.

Belongs here: sparklines, bars, lines and the scales they need. Does not belong here: what is plotted (`page`), colours (the style
sheet assigns light and dark ones to classes).

Every plot describes itself in words (`aria-label`), and no meaning depends on colour alone: a failure is a cross, not only red.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float | None]]
"""Places and values; None makes a gap in the line."""
_FLOORS = (99.9, 99.5, 99.0, 98.0, 95.0, 90.0, 80.0, 50.0, 0.0)
_SPARE = 0.02
"""Share of the values that may be below a scale's floor: one bad day must not flatten all others."""


@dataclass(frozen=True)
class Scale:
    """A linear mapping from values to pixel positions.

    Attributes:
        low: The value at the start.
        high: The value at the end.
        start: The position of `low`, in pixels.
        end: The position of `high`.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value, clamped to the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)


def score_floor(scores: Iterable[float]) -> float:
    """The round score at which score scales begin, so that nearly all scores are on the scale."""
    ordered = sorted(scores)
    if not ordered:
        return _FLOORS[0]
    worst = ordered[int(len(ordered) * _SPARE)]
    return next(floor for floor in _FLOORS if floor <= worst)


def sparkline(
    days: Sequence[tuple[dt.date, float | None]],
    span: tuple[dt.date, dt.date],
    low: float,
    label: str,
    failed: Iterable[dt.date] = (),
    width: int = 132,
    height: int = 26,
) -> Markup:
    """A score over time, as small as a word.

    Args:
        days: Score by day.
        span: First and last day of the axis.
        low: Score at the bottom; lower ones are marked there.
        label: What it shows, in words.
        failed: Days to mark with a cross.
        width: In pixels.
        height: The same.
    """
    x = Scale(0, max((span[1] - span[0]).days, 1), 4, width - 4)
    y = Scale(low, 100, height - 4, 4)
    shown = [(day, score) for day, score in days if span[0] <= day <= span[1]]
    line = _path([(x((day - span[0]).days), None if score is None else y(score)) for day, score in _turns(shown)])
    crosses = set(failed)
    marks = [
        _cross(x((day - span[0]).days), y(score or 0)) if day in crosses else _below(x((day - span[0]).days), height - 4)
        for day, score in shown
        if day in crosses or (score is not None and score < low)
    ]
    last = next(((day, score) for day, score in reversed(shown) if score is not None), None)
    dot = Markup() if last is None or last[0] in crosses else _dot(x((last[0] - span[0]).days), y(last[1]))
    return _svg(width, height, label, Markup().join([_line(4, y(100), width - 4, y(100), "rule"), line, *marks, dot]), "spark")


def score_plot(
    days: Sequence[tuple[dt.date, float | None]],
    label: str,
    threshold: float = 0.0,
    failed: Iterable[dt.date] = (),
    width: int = 720,
    height: int = 170,
) -> Markup:
    """A score over time, with axes, the threshold, and values that show under the pointer."""
    if not days:
        return Markup()
    lowest = min((score for _, score in days if score is not None), default=100.0)
    low = next(floor for floor in _FLOORS if floor <= lowest)
    ticks = [low, (low + 100) / 2, 100.0]
    x, y, frame = _frame(days[0][0], days[-1][0], low, 100, width, height, ticks, [f"{tick:g}" for tick in ticks])
    line = _path([(x((day - days[0][0]).days), None if score is None else y(score)) for day, score in _turns(days)])
    crosses = set(failed)
    marks = [_cross(x((day - days[0][0]).days), y(score or 0)) for day, score in days if day in crosses]
    limit = Markup()
    if low < threshold < 100:
        limit = _line(x.start, y(threshold), x.end, y(threshold), "limit") + _text(
            x.end, y(threshold) - 4, f"threshold {threshold:g}", "end"
        )
    return _svg(width, height, label, frame + limit + line + Markup().join(marks), "plot", _hover(days, x, 2))


def figure_plot(
    series: Sequence[tuple[dt.date, float | None]],
    unusual: Sequence[tuple[dt.date, float, float]],
    label: str,
    is_share: bool,
    shown: Sequence[str],
    width: int = 520,
    height: int = 150,
) -> Markup:
    """A watched figure over time: the measured values, and the expected value beside each unusual one.

    Args:
        series: Figure by day.
        unusual: Day, observed and expected figure.
        label: What it shows, in words.
        is_share: Whether figures are shares.
        shown: The labels at the bottom, the middle and the top of the scale; see `figure_ticks`.
        width: In pixels.
        height: The same.
    """
    if not series:
        return Markup()
    ticks = figure_ticks(series, unusual, is_share)
    first = series[0][0]
    x, y, frame = _frame(first, series[-1][0], 0, ticks[-1], width, height, ticks, shown)
    line = _path([(x((day - first).days), None if value is None else y(value)) for day, value in series])
    marks = []
    for day, observed, expected in unusual:
        at = x((day - first).days)
        marks += [_line(at, y(observed), at, y(expected), "gap"), _ring(at, y(expected)), _cross(at, y(observed))]
    scale = 100.0 if is_share else 1.0
    values = [(day, None if value is None else value * scale) for day, value in series]
    return _svg(width, height, label, frame + line + Markup().join(marks), "plot", _hover(values, x, 1, " %" if is_share else ""))


def figure_ticks(
    series: Sequence[tuple[dt.date, float | None]], unusual: Sequence[tuple[dt.date, float, float]], is_share: bool
) -> list[float]:
    """The bottom, the middle and the top of a scale for figures."""
    top = max([value for _, value in series if value is not None] + [max(seen, usual) for _, seen, usual in unusual], default=1.0)
    top = _round_up(top) if top > 0 else 1.0
    top = min(top, 1.0) if is_share else top
    return [0.0, top / 2, top]


def day_bars(counts: Sequence[int], label: str, width: int = 120, height: int = 26) -> Markup:
    """Counts by day as small bars."""
    top = max(counts, default=0) or 1
    step = (width - 2) / max(len(counts), 1)
    bars = [
        Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>').format(
            _n(1 + place * step), _n(height - 2 - tall), _n(max(step - 1, 0.8)), _n(tall)
        )
        for place, number in enumerate(counts)
        if number and (tall := max((height - 4) * number / top, 1.5))
    ]
    return _svg(width, height, label, _line(1, height - 1.5, width - 1, height - 1.5, "rule") + Markup().join(bars), "spark")


def stacked_bar(parts: Sequence[int], most: int, label: str, width: int = 220, height: int = 14) -> Markup:
    """One bar of several parts; the first is the palest."""
    drawn, at = [], 0.0
    for place, number in enumerate(parts):
        wide = (width - 2) * number / (most or 1)
        if number:
            wide = max(wide, 2.0)
            drawn.append(
                Markup('<rect class="part part{}" x="{}" y="1" width="{}" height="{}"/>').format(
                    place, _n(at), _n(wide - 1), height - 2
                )
            )
        at += wide
    return _svg(width, height, label, Markup().join(drawn), "spark")


def limit_bar(share: float, is_over: bool, label: str, width: int = 120, height: int = 14) -> Markup:
    """How much of a limit is used; the limit is the vertical line at two thirds."""
    limit = width * 2 / 3
    wide = max(min(share * limit, width - 2), 1.5)
    bar = Markup('<rect class="{}" x="0" y="4" width="{}" height="{}"/>').format(
        "over" if is_over else "bar", _n(wide), height - 8
    )
    more = _text(width - 1, height - 3, "›", "end") if share * limit > width - 2 else Markup()
    return _svg(width, height, label, bar + _line(limit, 0, limit, height, "limit solid") + more, "spark")


def _frame(
    first: dt.date, last: dt.date, low: float, high: float, width: int, height: int, ticks: Sequence[float], shown: Sequence[str]
) -> tuple[Scale, Scale, Markup]:
    x = Scale(0, max((last - first).days, 1), 44, width - 10)
    y = Scale(low, high, height - 22, 10)
    drawn = [
        _line(x.start, y(tick), x.end, y(tick), "rule") + _text(x.start - 6, y(tick) + 4, text, "end")
        for tick, text in zip(ticks, shown, strict=True)
    ]
    drawn.append(_text(x.start, height - 5, first.isoformat(), "start"))
    if last != first:
        drawn.append(_text(x.end, height - 5, last.isoformat(), "end"))
    return x, y, Markup().join(drawn)


def _hover(days: Sequence[tuple[dt.date, float | None]], x: Scale, digits: int, unit: str = "") -> Markup:
    """The data that the page's script needs to show the value under the pointer."""
    by_day = dict(days)
    first, length = days[0][0], (days[-1][0] - days[0][0]).days + 1
    values = (by_day.get(first + dt.timedelta(days=number)) for number in range(length))
    texts = ",".join("" if value is None else f"{value:.{digits}f}".rstrip("0").rstrip(".") for value in values)
    return Markup(' data-first="{}" data-values="{}" data-left="{}" data-right="{}" data-unit="{}"').format(
        first.isoformat(), texts, _n(x.start), _n(x.end), unit
    )


def _turns(days: Sequence[tuple[dt.date, float | None]]) -> list[tuple[dt.date, float | None]]:
    """The points that a line needs: of a level stretch, only its ends."""
    last = len(days) - 1
    return [
        each for place, each in enumerate(days) if place in (0, last) or not days[place - 1][1] == each[1] == days[place + 1][1]
    ]


def _path(points: Points) -> Markup:
    """A line through points, broken where there is no value."""
    parts: list[str] = []
    is_open = False
    for at, value in points:
        if value is None:
            is_open = False
        elif not is_open:
            # An isolated point is drawn as a very short line.
            parts.append(f"M{_n(at)} {_n(value)}h.1")
            is_open = True
        else:
            parts.append(f"L{_n(at)} {_n(value)}")
    return Markup('<path class="line" d="{}"/>').format("".join(parts)) if parts else Markup()


def _svg(width: int, height: int, label: str, inside: Markup, kind: str, more: Markup | str = "") -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"{}>{}</svg>').format(
        kind, width, height, width, height, label, Markup(more), inside
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<path class="{}" d="M{} {}L{} {}"/>').format(kind, _n(x1), _n(y1), _n(x2), _n(y2))


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(_n(x), _n(y), anchor, escape(text))


def _dot(x: float, y: float) -> Markup:
    return Markup('<circle class="dot" cx="{}" cy="{}" r="2.2"/>').format(_n(x), _n(y))


def _ring(x: float, y: float) -> Markup:
    return Markup('<circle class="ring" cx="{}" cy="{}" r="3"/>').format(_n(x), _n(y))


def _cross(x: float, y: float) -> Markup:
    x1, x2, y1, y2 = _n(x - 3), _n(x + 3), _n(y - 3), _n(y + 3)
    return Markup('<path class="cross" d="M{} {}L{} {}M{} {}L{} {}"/>').format(x1, y1, x2, y2, x1, y2, x2, y1)


def _below(x: float, y: float) -> Markup:
    return Markup('<path class="below" d="M{} {}h5l-2.5 4z"/>').format(_n(x - 2.5), _n(y - 1))


def _n(number: float) -> str:
    """A length in pixels, to a tenth."""
    return f"{number:.1f}".removesuffix(".0")


def _round_up(number: float) -> float:
    """Round up to 1, 2, 2.5, 5 or 10 times a power of ten."""
    power = 10.0 ** len(str(int(number))) / 10 if number >= 1 else 0.01 if number < 0.1 else 0.1
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= number * 0.999)
