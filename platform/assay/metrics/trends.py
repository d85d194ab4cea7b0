"""Trends: the SQL of marts over other periods of their own grain.

Belongs here: moving windows, running totals, growth, and members that returned, are new or left. Does not belong here: metrics
that follow from one period alone (`compiler`).

A trend mart has exactly the rows of the mart it reads: a member with nothing in a period has no row there in either.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.contracts import ColumnOrigin, Window, periods
from assay.contracts.periods import Span
from assay.metrics.compiler import Compiled, counted_rows, has_span, heading, key_columns, origin
from assay.metrics.declarations import NEAR, Fact, LocalFact
from assay.metrics.exact import MONEY_PLACES, SHARE_PLACES, divide
from assay.metrics.expressions import Writer
from assay.metrics.grains import SPAN_COLUMNS, Grain, first_day
from assay.metrics.kinds import Arrived, Cumulative, Followed, Growth, Lost, Moving, Retained, Retention
from assay.metrics.lattice import Lattice, Mart
from assay.metrics.multisets import Tables, side_by_side
from assay.metrics.parts import Part, columns_in
from assay.metrics.resolving import Resolved
from assay.metrics.text import Select, indented, statement

_STEP = {
    ("day", Grain.DAY): ("1 DAY", 1),
    ("week", Grain.DAY): ("7 DAY", 7),
    ("week", Grain.WEEK): ("7 DAY", 1),
    ("month", Grain.MONTH): ("1 MONTH", 1),
    ("year", Grain.WEEK): ("364 DAY", 52),
    ("year", Grain.MONTH): ("12 MONTH", 12),
    ("year", Grain.YEAR): ("12 MONTH", 1),
}
"""The distance between a period and the one it is compared with: as an interval, and in partitions."""


_LONGEST_MONTH = 31
_UNITS = {Grain.DAY: (1, "DAY"), Grain.WEEK: (7, "DAY"), Grain.MONTH: (1, "MONTH"), Grain.YEAR: (12, "MONTH")}
"""The length of a period as an interval."""


@dataclass
class _Trend:
    """A trend mart under construction.

    Attributes:
        mart: The mart that it reads.
        metrics: Its metrics.
        windows: The named windows that it needs.
        moved: The columns computed over them.
        read: The columns that it reads from the mart.
        before: How many partitions it looks back.
        year_before: Whether it also reads the period a year before.
        lineage: The mart's columns from which each metric is computed.
    """

    mart: Mart
    metrics: Sequence[Resolved]
    windows: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    read: dict[str, None] = field(default_factory=dict)
    before: int = 0
    year_before: bool = False
    lineage: dict[str, tuple[ColumnOrigin, ...]] = field(default_factory=dict)

    def window(self, name: str, frame: str, *also: str) -> str:
        """Name a window over the periods of each member of the entity."""
        members = (*self.mart.entity.keys, *also)
        by = f"PARTITION BY {', '.join(members)} " if members else ""
        self.windows[name] = f"{by}ORDER BY {self.mart.grain.period_column} {frame}"
        return name


@dataclass(frozen=True)
class CompiledTrend:
    """A trend mart and how far it looks back.

    Attributes:
        compiled: Its SQL.
        windows: The windows by relation.
    """

    compiled: Compiled
    windows: dict[str, Window]


def compile_trend(lattice: Lattice, mart: Mart) -> CompiledTrend:
    """Write the SQL of the trend mart beside a mart; it reads the mart, and each fact whose members are followed, once."""
    metrics = lattice.trends(mart)
    trend = _Trend(mart, metrics)
    writer = Writer(lattice.catalog)
    values: dict[str, str] = {}
    for metric in metrics:
        if not isinstance(metric.metric, Followed):
            values[metric.name] = _value(lattice, writer, trend, metric)
    tables: Tables = {}
    keys = {name: name for name in mart.key}
    own = keys | {name: name for name in (SPAN_COLUMNS if has_span(mart) else ())}
    columns = own | {name: name for name in trend.read} | trend.moved
    columns["ingestion_timestamp"] = _newest(trend)
    moved = Select(columns, mart.full_name, windows=trend.windows)
    tables["looked_back"] = (["Each period beside those that it is compared with or added to."], indented(moved.text()))
    source = "looked_back"
    back = Window(before=trend.before, year_before=trend.year_before)
    windows = {} if back == Window() else {mart.full_name: back}
    reads = {mart.full_name: tuple(sorted({*own, *trend.read, "ingestion_timestamp"}))}
    followed = [metric for metric in metrics if isinstance(metric.metric, Followed)]
    for fact in _facts_of(lattice, followed):
        those = [metric for metric in followed if metric.facts == (fact.name,)]
        name = f"followed_{fact.name}"
        _follow(lattice, mart, fact, those, name, tables)
        source += f"\nLEFT JOIN {name} USING ({', '.join(mart.key)})"
        windows[fact.table] = _window(fact, max(_months(metric) for metric in those))
        used = _used(lattice, fact, those)
        known = lattice.catalog.tables[fact.table].types
        keys_of = columns_in(" ".join(key_columns(mart, fact).values()), known)
        reads[fact.table] = tuple(sorted({*keys_of, *(column for columns in used.values() for column in columns)}))
        for metric in those:
            values[metric.name] = metric.name if isinstance(metric.metric, Retention) else f"coalesce({metric.name}, 0)"
            trend.lineage[metric.name] = tuple(origin(fact.table, column) for column in used[metric.name])
    # A joined key column belongs to both sides.
    selected = own | {metric.name: values[metric.name] for metric in metrics}
    selected |= {"ingestion_timestamp": "ingestion_timestamp", "data_source": f"'{mart.name}'"}
    lineage = {name: (origin(mart.full_name, name),) for name in (*own, "ingestion_timestamp")} | trend.lineage
    said = [heading(mart), "Metrics that depend on other periods; the others are in the mart without _trend."]
    return CompiledTrend(Compiled(statement(said, tables, Select(selected, source)), reads, lineage), windows)


def periods_seen(metric: Resolved, grain: Grain, first: dt.date) -> tuple[Span, ...]:
    """The periods that a metric of the period beginning on a day is computed from, that period included."""
    cut = periods.Grain.DAY if grain is Grain.HOUR else periods.Grain(grain)

    def back(count: int) -> dt.date:
        return periods.following(cut, first, -count)

    match metric.metric:
        case Moving(days=days):
            begins = back(days - 1)
        case Cumulative(since=since):
            begins = periods.first_day(periods.Grain(since), first)
        case Growth(over=over):
            return _span(back(_STEP[over, grain][1])), _span(first)
        case Retained(months=months) | Retention(months=months):
            return _span(back(months)), _span(first)
        case Followed(months=months):
            begins = back(months)
        case _:
            return (_span(first),)
    return (_span(begins, first),)


def first_day_seen(metric: Resolved, grain: Grain, first: str) -> str:
    """SQL for the first day of what a metric of the period beginning on a day is computed from; as in `periods_seen`."""
    match metric.metric:
        case Moving(days=days):
            return f"{first} - {days - 1}"
        case Cumulative(since=since):
            return first_day(Grain(since), first)
        case Growth(over=over):
            interval, _ = _STEP[over, grain]
            return f"CAST({first} - INTERVAL {interval} AS DATE)"
        case Followed(months=months):
            return f"CAST({first} - INTERVAL {months} MONTH AS DATE)"
    return first


def _span(first: dt.date, last: dt.date | None = None) -> Span:
    return Span(first.isoformat(), (last or first).isoformat())


def _newest(trend: _Trend) -> str:
    """When the newest data of a row landed, looking only as far back as the row's own partition reads.

    So it is the same whether a partition is computed alone or together with others.
    """
    found = ["ingestion_timestamp"]
    if trend.before:
        length, unit = _UNITS[trend.mart.grain]
        frame = f"RANGE BETWEEN INTERVAL {trend.before * length} {unit} PRECEDING AND CURRENT ROW"
        found = [f"max(ingestion_timestamp) OVER {trend.window('all_read', frame)}"]
    if trend.year_before:
        found.append("max(ingestion_timestamp) OVER a_year_before")
    return found[0] if len(found) == 1 else f"greatest({', '.join(found)})"


def _facts_of(lattice: Lattice, metrics: Sequence[Resolved]) -> list[Fact]:
    return [lattice.catalog.facts[name] for name in dict.fromkeys(fact for metric in metrics for fact in metric.facts)]


def _used(lattice: Lattice, fact: Fact, metrics: Sequence[Resolved]) -> dict[str, tuple[str, ...]]:
    """The columns of a fact that say whom each metric follows."""
    known = lattice.catalog.tables[fact.table].types
    followed = {metric.name: lattice.catalog.parts[metric.refers[0]] for metric in metrics}
    return {name: columns_in(f"{part.of} {part.where}", known) for name, part in followed.items()}


def _window(fact: Fact, months: int) -> Window:
    """The days of a fact in which members are looked for: those of the month, and of the months before it."""
    off = NEAR if isinstance(fact, LocalFact) else 0
    return Window(before=months * _LONGEST_MONTH + off, after=off)


def _value(lattice: Lattice, writer: Writer, trend: _Trend, metric: Resolved) -> str:
    match metric.metric:
        case Growth(of=of, over=over):
            return _growth(lattice, trend, metric, of, over)
        case Moving(of=of, days=days, daily=daily):
            window = trend.window(f"last_{days}_days", f"RANGE BETWEEN INTERVAL {days - 1} DAY PRECEDING AND CURRENT ROW")
            trend.before = max(trend.before, days - 1)
            total = _over(lattice, writer, trend, metric, of, window)
            if not daily:
                return total
            moved = lattice.catalog.metrics[of]
            return divide(f"({total})", moved.sql_type, str(days), "BIGINT", MONEY_PLACES, signed=moved.is_signed)
        case Cumulative(of=of, since=since):
            period = trend.mart.grain.period_column
            start = f"date_trunc('{since}', {period})"
            window = trend.window(f"since_{since}", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", start)
            trend.before = max(trend.before, 30 if since == "month" else 11)
            return _over(lattice, writer, trend, metric, of, window)
    raise AssertionError(f"{metric.metric.type} looks at no other period")


def _over(lattice: Lattice, writer: Writer, trend: _Trend, metric: Resolved, of: str, window: str) -> str:
    """Write a metric with its parts added up over a window."""
    resolved = lattice.catalog.metrics[of]
    for part in resolved.parts:
        trend.read[part] = None
        trend.moved[f"{part}_{window}"] = lattice.catalog.parts[part].merged_over(part, window)
    trend.lineage[metric.name] = tuple(origin(trend.mart.full_name, part) for part in resolved.parts)
    return writer.over_parts(resolved, lambda part: f"{part}_{window}")


def _growth(lattice: Lattice, trend: _Trend, metric: Resolved, of: str, over: str) -> str:
    interval, partitions = _STEP[over, trend.mart.grain]
    name = f"a_{over}_before"
    trend.window(name, f"RANGE BETWEEN INTERVAL {interval} PRECEDING AND INTERVAL {interval} PRECEDING")
    if partitions > 1 and over == "year":
        trend.year_before = True
    else:
        trend.before = max(trend.before, partitions)
    base = f"{of}_{name}"
    trend.read[of] = None
    trend.moved[base] = f"max({of}) OVER {name}"
    trend.lineage[metric.name] = (origin(trend.mart.full_name, of),)
    sql_type = lattice.catalog.metrics[of].sql_type
    # Without a base there is no growth, and certainly not an infinite one.
    return f"CASE WHEN {base} > 0 THEN {divide(f'({of} - {base})', sql_type, base, sql_type, SHARE_PLACES, signed=True)} END"


def _months(metric: Resolved) -> int:
    assert isinstance(metric.metric, Followed)
    return metric.metric.months


def _follow(lattice: Lattice, mart: Mart, fact: Fact, metrics: Sequence[Resolved], name: str, tables: Tables) -> None:
    """Add common tables that follow members from month to month."""
    counted = [lattice.catalog.parts[of] for of in dict.fromkeys(metric.refers[0] for metric in metrics)]
    bits = _add_months(fact, max(_months(metric) for metric in metrics), tables)
    keys = {key: key for key in mart.entity.keys}
    branches = []
    for part in counted:
        seen = _add_seen(mart, fact, part, bits, tables)
        own = {metric.name: _followed(metric) for metric in metrics if metric.refers[0] == part.name}
        branches.append(Select(keys | {"month": "month"} | own, seen, grouped=True))
    tables[name] = ([], side_by_side(branches, keys | {"month": "month"}, (metric.name for metric in metrics)))


def _add_months(fact: Fact, months: int, tables: Tables) -> str:
    """Add common tables with the months in which members are looked for, as bits of a number; return the name of the last.

    With months as bits, members are grouped once and many are alike. A number covers one requested year and the earlier years
    that it is compared with: however many years are read, it is never too long.
    """
    years, bits = f"years_{fact.name}", f"months_{fact.name}"
    tables[years] = (["The requested years."], "  SELECT DISTINCT year(month) AS year FROM looked_back")
    columns = {
        "year": "year",
        "month": "CAST(make_date(year, 12, 1) - to_months(CAST(back AS INTEGER)) AS DATE)",
        "bit": "CAST(1 AS BIGINT) << back",
    }
    years_before = -(-months // 12)
    said = "Their months and those before, as bits: bit 0 is December of the year, bit 1 the month before."
    compared = f"{years}\nCROSS JOIN range({12 * (years_before + 1)}) AS months_back(back)"
    tables[bits] = ([said], indented(Select(columns, compared).text()))
    return bits


def _add_seen(mart: Mart, fact: Fact, part: Part, bits: str, tables: Tables) -> str:
    """Add common tables with how many members were counted in the same months, as seen from each; return the name of the last."""
    rows, each, alike, seen = (f"{word}_{part.name}" for word in ("rows", "each", "alike", "seen"))
    keys = {key: key for key in mart.entity.keys}
    where = " AND ".join(filter(None, (counted_rows(fact), f"{part.of} IS NOT NULL", f"({part.where})" if part.where else "")))
    counted = Select(key_columns(mart, fact) | {"member": part.of}, fact.table, where=where)
    tables[rows] = ([f"{fact.table}: whom each row counts."], indented(counted.text()))
    columns = keys | {"year": "year", "member": "member", "months": "bit_or(bit)"}
    grouped = Select(columns, f"{rows}\nINNER JOIN {bits} USING (month)", grouped=True)
    tables[each] = (["The months in which each was counted."], indented(grouped.text()))
    columns = keys | {"year": "year", "months": "months", "members": "count(*)"}
    tables[alike] = ([], indented(Select(columns, each, grouped=True).text()))
    columns = keys | {"month": "make_date(year, number, 1)", "months": "months >> (12 - number)", "members": "members"}
    tables[seen] = (
        ["The same seen from each month of the year: bit 0 is that month, bit 1 the month before."],
        indented(Select(columns, f"{alike}\nCROSS JOIN range(1, 13) AS of_year(number)").text()),
    )
    return seen


def _followed(metric: Resolved) -> str:
    """Write a metric over months held as bits: bit 0 is the month itself, bit 1 the month before."""
    now, then = 1, 1 << _months(metric)
    since = 2 * then - 1
    match metric.metric:
        case Retained():
            return _members_whose(f"months & {then + now} = {then + now}")
        case Retention():
            again, cohort = _members_whose(f"months & {then + now} = {then + now}"), _members_whose(f"months & {then} = {then}")
            return divide(again, "BIGINT", cohort, "BIGINT", SHARE_PLACES)
        case Arrived():
            return _members_whose(f"months & {since} = {now}")
        case Lost():
            return _members_whose(f"months & {since} = {then}")
    raise AssertionError(f"{metric.metric.type} follows nobody")


def _members_whose(months: str) -> str:
    return f"CAST(coalesce(sum(members) FILTER (WHERE {months}), 0) AS BIGINT)"
