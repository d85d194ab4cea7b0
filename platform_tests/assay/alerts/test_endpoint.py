"""What Prometheus is told, asked over HTTP and read by its own parser."""

from __future__ import annotations

import datetime as dt
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import duckdb
import pytest
from change_lines import order, text
from prometheus_client.parser import text_string_to_metric_families
from shop_lake import ShopLake

from assay.alerts.endpoint import Figures, serving
from assay.alerts.exposition import JobRuns, lake_figures
from assay.errors import ServerError, StoreUnavailable
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace

RUNS = [JobRuns("refresh", {"success": 3, "failure": 1}, 1_700_000_000.0, 12.5), JobRuns("audit")]
Sample = tuple[str, tuple[tuple[str, str], ...]]


def sample(name: str, **labels: str) -> Sample:
    return f"assay_{name}", tuple(sorted(labels.items()))


def asked(port: int) -> dict[Sample, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        body = answer.read().decode()
    families = text_string_to_metric_families(body)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples}


@contextmanager
def served(lake: ShopLake, kept_seconds: float = 0) -> Iterator[int]:
    figures = Figures(lambda: nullcontext(lake.workspace), lambda: RUNS, kept_seconds)
    with serving(figures, "127.0.0.1", 0) as port:
        yield port


@pytest.fixture
def filled(lake: ShopLake) -> ShopLake:
    """Two days, of which one has failed and the other has a row in quarantine; and a file that was not ingested."""
    lines = [order("o1", 1, amount="-1"), *(order(f"o{n}", n, day="2025-01-04") for n in range(2, 5))]
    lake.land("orders", "1.json", text(*lines, order("bad", 9, day="2025-01-04", amount="-1")))
    lake.run()
    lake.land("orders", "2.json", text(order("late", 10)))
    return lake


def test_it_tells_of_runs_lag_scores_and_books(filled: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(filled.workspace.domain.tables["enriched.orders"]), "freshness", dt.timedelta(hours=26))
    with served(filled) as port:
        found = asked(port)
    assert found[sample("runs", job="refresh", status="success")] == 3
    assert found[sample("run_succeeded_timestamp_seconds", job="refresh")] == 1_700_000_000
    assert found[sample("run_duration_seconds", job="refresh")] == 12.5
    assert sample("run_duration_seconds", job="audit") not in found
    assert found[sample("lake_up")] == found[sample("dagster_up")] == 1
    orders: Mapping[str, str] = {"table": "enriched.orders"}
    assert found[sample("freshness_limit_seconds", **orders)] == 26 * 3600
    assert abs(found[sample("updated_timestamp_seconds", **orders)] - dt.datetime.now().timestamp()) < 60
    assert found[sample("landed_waiting_objects", table="raw.orders")] == 1
    assert (
        found[sample("landed_waiting_timestamp_seconds", table="raw.orders")]
        == dt.datetime(2025, 1, 10, tzinfo=dt.UTC).timestamp()
    )
    assert found[sample("landed_waiting_objects", table="raw.customers")] == 0
    assert found[sample("quality_score", **orders)] == found[sample("quality_score_newest", **orders)] == 75
    assert (found[sample("partitions", **orders)], found[sample("partitions_failed", **orders)]) == (1, 1)
    places = ("received", "published", "quarantined", "superseded", "deleted")
    assert [found[sample("books_rows", place=place, **orders)] for place in places] == [4, 3, 1, 0, 0]
    assert [found[sample("books_money", place=place, **orders)] for place in places] == [29, 30, -1, 0, 0]
    assert found[sample("books_balanced", **orders)] == 1
    assert found[sample("incidents", kind="threshold_crossed", **orders)] == 1


def test_what_cannot_be_read_leaves_the_other_figures(filled: ShopLake) -> None:
    for key in filled.etags("quarantine/enriched/orders/"):
        filled.store.put(key, b"no Parquet at all")
    with served(filled) as port:
        found = asked(port)
    assert found[sample("incidents", kind="unseen", table="lake")] == found[sample("part_up", part="quality")] == 1
    assert found[sample("incidents", kind="threshold_crossed", table="enriched.orders")] == 1
    filled.store.put("audit/failed/enriched/orders.json", b"no JSON at all")
    with served(filled) as port:
        found = asked(port)
    assert (found[sample("lake_up")], found[sample("part_up", part="quality")], found[sample("part_up", part="lag")]) == (1, 0, 1)


def test_a_lake_that_cannot_be_opened_for_whatever_reason_is_a_figure() -> None:
    @contextmanager
    def broken() -> Iterator[Workspace]:
        raise duckdb.InvalidInputException("broken")
        yield

    with serving(Figures(broken, list, 0), "127.0.0.1", 0) as port:
        assert asked(port)[sample("lake_up")] == 0


def test_the_number_of_series_does_not_grow_with_days(lake: ShopLake) -> None:
    def series() -> int:
        with lake.connection() as connection:
            figures = lake_figures(connection, State(lake.workspace), dt.datetime.now(dt.UTC))
            return sum(len(family.samples) for family in figures)

    lake.land("orders", "1.json", text(order("o1", 1)))
    lake.run()
    before = series()
    lake.land("orders", "2.json", text(*(order(f"p{day}", day, day=f"2025-02-{day:02}") for day in range(1, 6))))
    lake.run()
    assert series() == before


def test_a_lake_that_is_gone_is_a_figure_and_no_error() -> None:
    @contextmanager
    def gone() -> Iterator[Workspace]:
        raise StoreUnavailable("nobody answers")
        yield

    def no_runs() -> list[JobRuns]:
        raise OSError("the database is gone")

    with serving(Figures(gone, no_runs, 0), "127.0.0.1", 0) as port:
        found = asked(port)
    assert (found[sample("lake_up")], found[sample("dagster_up")]) == (0, 0)


def test_who_ask_at_once_cost_the_lake_one_reading(lake: ShopLake) -> None:
    opened = []

    def open_lake():  # type: ignore[no-untyped-def]
        opened.append(1)
        return nullcontext(lake.workspace)

    with serving(Figures(open_lake, list, 60), "127.0.0.1", 0) as port:
        assert asked(port) == asked(port)
    assert len(opened) == 1


def test_a_taken_port_is_named_with_what_to_set(lake: ShopLake) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        figures = Figures(lambda: nullcontext(lake.workspace), list)
        with pytest.raises(ServerError, match=f"{port}.*ASSAY_METRICS_PORT"), serving(figures, "127.0.0.1", port):
            pass


def test_nothing_listens_afterwards(lake: ShopLake) -> None:
    with served(lake) as port:
        asked(port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
