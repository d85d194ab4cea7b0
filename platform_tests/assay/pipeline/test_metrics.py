"""Metrics through the real engine: every mart after any corrections says what the rows say, and only what changed is restated."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Callable, Collection
from decimal import Decimal
from pathlib import Path
from typing import Any

import bazaar
import pytest
from change_lines import change, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metrics_judge import Judge
from shop_lake import Ran, ShopLake

from assay.contracts.periods import Grain as Cut
from assay.contracts.periods import first_day
from assay.errors import SettingsError
from assay.metrics.grains import Grain
from assay.metrics.lattice import Mart
from assay.metrics.marts import lattice_of
from assay.metrics.planning import Days, Question
from assay.pipeline import build
from assay.pipeline.changes import changed_rows, history
from assay.pipeline.metrics import ask, plan_question, rows_read, statement_of
from assay.pipeline.outcome import Outcome
from assay.pipeline.query import query
from assay.pipeline.runs import rebuild_partitions, refresh_table
from assay.pipeline.state import State
from assay.pipeline.totals import add_up, is_of_tables
from assay.pipeline.verify import verify_table
from assay.quality.books import from_dict

LATTICE = lattice_of(bazaar.DOMAIN)
DAYS = (
    "2023-12-30",
    "2023-12-31",
    "2024-01-01",
    "2024-01-05",
    "2024-02-28",
    "2024-02-29",
    "2024-03-01",
    "2025-01-01",
    "2025-01-02",
)


def sale(key: int, position: int, op: str = "c", **values: Any) -> str:
    given = {"sale_id": f"k{key}", "stall": "s1", "customer": "ann", "amount": "2.50", "pieces": "3", "day": DAYS[0]}
    return change("sales", op, position, given | values)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """A bazaar that sold something on some days; for looking only."""
    return fill(tmp_path_factory.mktemp("filled"))


def fill(folder: Path, leave_out: Collection[str] = ()) -> ShopLake:
    made = ShopLake(folder, bazaar.DOMAIN)
    sales = [
        sale(
            n,
            n,
            day=day,
            stall=f"s{n % 3}",
            customer=("ann", "bob", "cid")[n % 2 + n % 5 // 4],
            amount=f"{n}.25",
            pieces=str(n % 9),
        )
        for n, day in enumerate(DAYS * 3, start=1)
    ]
    made.land("sales", "1.json", text(*sales))
    made.run("first", leave_out)
    return made


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path) -> ShopLake:
    """The same, to be changed."""
    shutil.copytree(filled.folder, tmp_path / "lake")
    return ShopLake(tmp_path, bazaar.DOMAIN)


def require_right(lake: ShopLake) -> None:
    """Hold every published mart against the judge."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        for relation in ("enriched.sales", "marts.patrons"):
            query(connection, state, f"SELECT * FROM {relation}").fetchall()
        judges = {
            calendar: Judge(LATTICE.catalog, connection, calendar) for calendar in (None, *LATTICE.catalog.calendars.values())
        }
        assert all(judge.rows for judge in judges.values())
    for mart in LATTICE.marts:
        judge = judges[mart.calendar]
        expected = judge.mart(mart.entity, mart.grain, LATTICE.metrics(mart))
        assert published(lake, mart.full_name, mart, expected) == expected
        if trends := LATTICE.trends(mart):
            expected = judge.mart(mart.entity, mart.grain, trends)
            assert published(lake, mart.trend_name, mart, expected) == expected
    require_right_over_all_days(lake, judges[None])


EVER = tuple(metric for metric in LATTICE.catalog.metrics.values() if not metric.is_dated)


def require_right_over_all_days(lake: ShopLake, judge: Judge) -> None:
    """Hold what customers are worth against their sales, and every metric of it against the judge."""
    sales: dict[str, list[Any]] = {}
    for customer, amount, day in lake.rows("SELECT coalesce(customer, 'unknown'), amount, day_sold FROM enriched.sales"):
        sales.setdefault(customer, []).append((amount, day))
    worth = {}
    for customer, bought in sales.items():
        spent = [amount for amount, _ in bought if amount is not None]
        worth[customer] = (len(bought), sum(spent) if spent else None, min(day for _, day in bought))
    assert {key: rest for key, *rest in lake.rows("SELECT customer, visit_count, spent, first_visit FROM marts.patrons")} == {
        key: list(each) for key, each in worth.items()
    }
    for name in ("bazaar", "customer"):
        entity = LATTICE.catalog.entities[name]
        metrics = [metric for metric in EVER if name in metric.entities]
        question = Question(tuple(metric.name for metric in metrics), (name,))
        with lake.connection() as connection:
            found = ask(connection, State(lake.workspace), question)
            rows = found.result.fetchall()
        assert found.taken.name == "marts.patrons" and not found.result.columns[0].startswith("_")
        keys = len(entity.keys)
        answered = {(row[0] if keys else "", ()): dict(zip(question.metrics, row[keys:], strict=True)) for row in rows}
        assert answered == judge.mart(entity, None, metrics)


def published(lake: ShopLake, relation: str, mart: Mart, like: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    names = list(next(iter(like.values()), {}))
    rows = lake.rows(f"SELECT {', '.join([*mart.entity.keys, *mart.period, *names])} FROM {relation}")
    key = len(mart.entity.keys)
    width = key + len(mart.period)
    return {(row[0] if key else "", row[key:width]): dict(zip(names, row[width:], strict=True)) for row in rows}


def restated(ran: Ran) -> dict[str, set[str]]:
    """The partitions of generated marts that were published anew."""
    return {
        name: {key for key, status in partitions.items() if status == "published"}
        for name, partitions in ran.computed.items()
        if name.startswith("marts.") and "published" in partitions.values()
    }


def test_every_mart_is_right_balanced_and_reproducible(filled: ShopLake) -> None:
    require_right(filled)
    with filled.connection() as connection:
        state = State(filled.workspace)
        for node in filled.workspace.project.nodes.values():
            compared = verify_table(connection, state, node)
            assert compared and all(each.is_same for each in compared), node.table.full_name
            if is_of_tables(node):
                added = add_up(connection, state, node)
                assert len(added) == len(compared) and all(each.is_equal for each in added), node.table.full_name


@pytest.mark.parametrize("rows", [1, 10])
def test_how_much_is_computed_at_once_changes_no_mart(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROWS_AT_ONCE", rows)
    require_right(fill(tmp_path))


def test_the_books_of_every_mart_hold_all_the_money(filled: ShopLake) -> None:
    state = State(filled.workspace)
    ((sold,),) = filled.rows("SELECT sum(amount) FROM enriched.sales")
    for mart in LATTICE.marts:
        books = [from_dict(entry.books) for entry in state.index(mart.full_name).values()]
        assert sum(each.money.published for each in books) == sum(each.money.received for each in books) == sold != 0, mart.name


def test_one_late_sale_restates_what_holds_its_day_and_what_looks_back_on_it(lake: ShopLake) -> None:
    lake.land("sales", "2.json", text(sale(99, 99, day="2024-01-05", stall="s2", customer="ann", amount="7.00", pieces="8")))
    done = restated(lake.run("late"))
    day = dt.date(2024, 1, 5)

    for name in ("bazaar", "stall"):
        assert done[f"marts.{name}_hour"] == done[f"marts.{name}_day"] == {"2024-01-05"}
        assert done[f"marts.{name}_week"] == {first_day(Cut.WEEK, day).isoformat()}
        assert done[f"marts.{name}_month"] == {"2024-01-01"}
        assert done[f"marts.{name}_year"] == {"2024-01-01"}
        # The seven days after it, of which none had sales, and the rest of its month.
        assert done[f"marts.{name}_day_trend"] == {"2024-01-05"}
    assert done["marts.customer_day"] == {"2024-01-05"}
    require_right(lake)


def test_what_was_reported_and_is_not_any_more_is_kept(lake: ShopLake) -> None:
    before = dict(lake.rows("SELECT stall, sold FROM marts.stall_month WHERE month = DATE '2024-01-01'"))
    lake.land("sales", "2.json", text(sale(99, 99, day="2024-01-05", stall="s0", customer="ann", amount="7.00", pieces="8")))
    lake.run("late")
    after = dict(lake.rows("SELECT stall, sold FROM marts.stall_month WHERE month = DATE '2024-01-01'"))

    told = lake.rows(
        "SELECT key, before, after, run_id, reported_at < restated_at FROM quality.restatements "
        "WHERE table_name = 'marts.stall_month' AND metric = 'sold'"
    )
    assert told == [('{"stall":"s0"}', str(before["s0"]), str(after["s0"]), "late", True)]
    assert after["s0"] - before["s0"] == 7
    # The whole company's cells have no key, and a count of what did not change is not there.
    assert lake.rows(
        "SELECT key, before::INT + 1 = after::INT FROM quality.restatements "
        "WHERE table_name = 'marts.bazaar_day' AND metric IN ('sale_count', 'other_count')"
    ) == [("{}", True)]
    assert lake.rows("SELECT count(*) > 0 FROM quality.restatements WHERE table_name = 'marts.stall_hour'") == [(True,)]


def test_each_restated_period_is_kept_with_what_was_reported_of_it(lake: ShopLake) -> None:
    first, second = DAYS[0], "2024-01-05"
    earlier = sale(97, 97, day=second, stall="s0", customer="ann", amount="1.00", pieces="1")
    lake.land("sales", "2.json", text(earlier), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("first")
    both = [
        sale(number, number, day=day, stall="s0", customer="ann", amount="2.00", pieces="1")
        for number, day in ((98, first), (99, second))
    ]
    lake.land("sales", "3.json", text(*both), dt.datetime(2025, 3, 2, tzinfo=dt.UTC))
    lake.run("second")

    assert lake.rows(
        "SELECT \"partition\"::VARCHAR, run_id, after::DECIMAL(18,2) - coalesce(before, '0')::DECIMAL(18,2), "
        "seen_until = TIMESTAMPTZ '2025-03-01 00:00:00+00' FROM quality.restatements "
        "WHERE table_name = 'marts.bazaar_day' AND metric = 'sold' ORDER BY ALL"
    ) == [(first, "second", 2, False), (second, "first", 1, False), (second, "second", 2, True)]
    objects = lake.workspace.store.list("quality/restatements/marts/bazaar_day/")
    assert len(list(objects)) == 3


class TestRestatingRaces:
    TABLE = "marts.bazaar_month"

    def restating(self, lake: ShopLake) -> list[tuple[Any, ...]]:
        """Which runs have restated the first month, and from what to what."""
        return lake.rows(
            f"SELECT run_id, before, after FROM quality.restatements WHERE table_name = '{self.TABLE}' AND metric = 'sold' "
            "AND \"partition\" = DATE '2023-12-01' ORDER BY restated_at"
        )

    def late_sale(self, lake: ShopLake, number: int) -> None:
        late = sale(number, number, stall="s0", customer="ann", amount="1.00", pieces="1")
        lake.land("sales", f"{number}.json", text(late))
        lake.run("others", leave_out=[self.TABLE])

    def refresh(self, lake: ShopLake, run_id: str) -> list[Outcome]:
        with lake.connection() as connection:
            return refresh_table(connection, State(lake.workspace), lake.workspace.project.nodes[self.TABLE], run_id)[1]

    def meanwhile(self, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
        """Let something happen between what a run keeps and what it publishes."""
        publish, left = build.publish, [happens]

        def after_others(*args: Any) -> Any:
            if left:
                left.pop()()
            return publish(*args)

        monkeypatch.setattr(build, "publish", after_others)

    @pytest.mark.parametrize("is_replaced_again", [False, True])
    def test_a_run_that_loses_leaves_what_the_winner_has_kept(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch, is_replaced_again: bool
    ) -> None:
        def win() -> None:
            self.refresh(lake, "winner")
            if is_replaced_again:
                self.late_sale(lake, 98)
                self.refresh(lake, "second")

        self.late_sale(lake, 97)
        self.meanwhile(monkeypatch, win)
        self.refresh(lake, "loser")
        told = self.restating(lake)
        assert [run for run, *_ in told] == (["winner", "second"] if is_replaced_again else ["winner"])
        assert all(Decimal(after) - Decimal(before) == 1 for _, before, after in told)

    def test_what_a_killed_run_kept_of_what_it_did_not_publish_is_no_history(
        self, lake: ShopLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def kill() -> None:
            raise KeyboardInterrupt

        self.late_sale(lake, 97)
        self.meanwhile(monkeypatch, kill)
        with pytest.raises(KeyboardInterrupt):
            self.refresh(lake, "killed")
        assert self.restating(lake) == []
        self.late_sale(lake, 98)
        self.refresh(lake, "next")
        ((run, before, after),) = self.restating(lake)
        assert (run, Decimal(after) - Decimal(before)) == ("next", 2)


def test_a_change_names_the_rows_behind_it(lake: ShopLake) -> None:
    late = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    corrected = [
        sale(99, 99, day="2024-01-05", stall="s0", customer="ann", amount="7.00", pieces="8"),
        sale(98, 98, day="2024-01-05", stall="s1", customer="ann", amount="1.00", pieces="8"),
    ]
    lake.land("sales", "2.json", text(*corrected), late)
    lake.run("late")

    with lake.connection() as connection:
        state = State(lake.workspace)
        [change] = history(connection, state, "sold", "marts.stall_month", {"stall": "s0"})
        assert (change.partition, change.key, change.run_id) == (dt.date(2024, 1, 1), {"stall": "s0"}, "late")
        rows = changed_rows(connection, state, [change])[0]
        assert [(row["sale_id"], row["amount"], row["ingestion_timestamp"]) for row in rows] == [("k99", Decimal("7.00"), late)]
        assert history(connection, state, "sold", "marts.stall_month", {"stall": "s2"}) == []


def explained(lake: ShopLake, metric: str, table: str, key: dict[str, str] | None = None) -> list[list[tuple[Any, Any]]]:
    """Of each change of a metric, the sales behind it, and what became of those that are gone."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        return [
            [(row["sale_id"], row.get("gone")) for row in changed_rows(connection, state, [change])[0]]
            for change in history(connection, state, metric, table, key)
        ]


def test_each_change_names_its_own_rows(lake: ShopLake) -> None:
    first = sale(98, 98, day="2024-01-05", stall="s0", customer="ann", amount="1.00", pieces="1")
    lake.land("sales", "2.json", text(first), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("first")
    again = sale(98, 100, "u", day="2024-01-05", stall="s0", customer="ann", amount="4.00", pieces="1")
    second = sale(99, 99, day="2024-01-05", stall="s0", customer="bob", amount="2.00", pieces="1")
    lake.land("sales", "3.json", text(again, second), dt.datetime(2025, 3, 2, tzinfo=dt.UTC))
    lake.run("second")

    # What came later is not behind the first change, and what was corrected later still is.
    assert explained(lake, "sold", "marts.stall_month", {"stall": "s0"}) == [[("k98", None)], [("k98", None), ("k99", None)]]


def test_a_change_names_the_rows_that_are_gone(lake: ShopLake) -> None:
    known = {(str(day), stall): key for key, day, stall in lake.rows("SELECT sale_id, day_sold, stall FROM enriched.sales")}
    deleted, moved = known["2024-01-05", "s1"], known["2024-01-01", "s0"]
    both = [
        change("sales", "d", 98, {"sale_id": deleted}),
        sale(int(moved[1:]), 99, "u", day="2024-03-01", stall="s0", customer="ann", amount="1.00", pieces="1"),
    ]
    lake.land("sales", "2.json", text(*both), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("late")
    left, came = [(moved, "moved or refused")], [(moved, None)]

    assert explained(lake, "sold", "marts.stall_day", {"stall": "s1"}) == [[(deleted, "deleted")]]
    assert explained(lake, "sold", "marts.stall_month", {"stall": "s0"}) == [left, came]
    assert explained(lake, "sale_count", "marts.bazaar_month") == [[*left, (deleted, "deleted")], came]


def test_a_row_that_is_gone_is_behind_one_change_only(lake: ShopLake) -> None:
    ((deleted,),) = lake.rows("SELECT min(sale_id) FROM enriched.sales WHERE day_sold = DATE '2024-01-05'")
    lake.land("sales", "2.json", text(change("sales", "d", 98, {"sale_id": deleted})), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("first")
    late = sale(99, 99, day="2024-01-05", stall="s0", customer="bob", amount="2.00", pieces="1")
    lake.land("sales", "3.json", text(late), dt.datetime(2025, 3, 2, tzinfo=dt.UTC))
    lake.run("second")

    assert explained(lake, "sale_count", "marts.bazaar_day") == [[(deleted, "deleted")], [("k99", None)]]


@pytest.mark.parametrize(
    ("metric", "table", "restated"),
    [
        ("sold_7d_daily", "bazaar_day_trend", {"2024-01-01": ["k98"], "2024-01-05": ["k98", "k99"]}),
        ("sold_mtd", "bazaar_day_trend", {"2024-01-01": ["k98"], "2024-01-05": ["k98", "k99"]}),
        (
            "sold_ytd",
            "bazaar_month_trend",
            {"2024-01-01": ["k98", "k99"], "2024-02-01": ["k98", "k99"], "2024-03-01": ["k98", "k99"]},
        ),
        ("sale_growth_day", "bazaar_day_trend", {"2024-01-01": ["k98"]}),
        ("sale_growth_week", "bazaar_week_trend", {"2024-01-01": ["k98", "k99"]}),
        ("new_buyers", "bazaar_month_trend", {"2024-01-01": ["k98", "k99"]}),
        ("retention_2m", "bazaar_month_trend", {"2024-03-01": ["k98", "k99"]}),
    ],
)
def test_a_change_of_a_trend_names_the_rows_of_all_the_periods_it_looks_at(
    lake: ShopLake, metric: str, table: str, restated: dict[str, list[str]]
) -> None:
    both = [
        sale(number, number, day=day, stall="s0", customer="new", amount="2.00", pieces="9")
        for number, day in ((98, "2024-01-01"), (99, "2024-01-05"))
    ]
    lake.land("sales", "2.json", text(*both), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("late")

    with lake.connection() as connection:
        state = State(lake.workspace)
        changes = history(connection, state, metric, f"marts.{table}")
        found = {str(each.partition): [row["sale_id"] for row in changed_rows(connection, state, [each])[0]] for each in changes}
    assert found == restated


def test_what_was_never_complete_is_not_restated(lake: ShopLake) -> None:
    lake.land("sales", "2.json", text(sale(99, 99, day=DAYS[-1], stall="s2", customer="ann", amount="7.00", pieces="8")))
    lake.run("today")

    assert lake.rows("SELECT DISTINCT table_name FROM quality.restatements WHERE partition = DATE '2025-01-02'") == []
    assert lake.rows("SELECT DISTINCT table_name FROM quality.restatements WHERE table_name LIKE '%year%'") == []


def test_a_day_that_lost_all_its_sales_does_not_make_others_complete(lake: ShopLake) -> None:
    newest, typo = DAYS[-1], "2099-01-01"
    values = {"stall": "s2", "customer": "ann", "amount": "7.00", "pieces": "8"}
    lake.land("sales", "2.json", text(sale(98, 98, day=typo, **values), sale(97, 97, day="2020-01-01", **values)))
    lake.run("wrong")
    lake.land(
        "sales", "3.json", text(*(sale(key, 90 + place, "u", day=newest, **values) for place, key in enumerate((98, 97), 9)))
    )
    lake.run("right")
    lake.land("sales", "4.json", text(sale(99, 101, day=newest, **values), sale(96, 102, day=DAYS[0], **values)))
    lake.run("today")

    # The earlier sale makes a difference to 2024 as well; those of the newest day, week, month and year are not complete.
    newest_restated = "SELECT max(partition)::VARCHAR FROM quality.restatements WHERE run_id = 'today' AND table_name LIKE "
    assert lake.rows(newest_restated + "'%_there_%'") == [("2024-01-04",)]
    assert lake.rows(newest_restated + "'%'") == [("2024-02-01",)]
    with lake.connection() as connection:
        answers = {
            (name, grain): dict(
                ask(connection, State(lake.workspace), Question((name,), (), grain))
                .result.project(f"{grain}::VARCHAR, is_partial")
                .fetchall()
            )
            for name, grain in (("sold", Grain.DAY), ("sold", Grain.YEAR), ("sales_7d", Grain.DAY), ("sold_there", Grain.DAY))
        }
    assert answers["sold", Grain.DAY][newest] and answers["sold", Grain.YEAR]["2025-01-01"]
    # Data begin where they began before.
    assert answers["sales_7d", Grain.DAY][DAYS[0]] and not answers["sales_7d", Grain.DAY]["2024-02-28"]
    assert answers["sold_there", Grain.DAY]["2025-01-03"]


def test_the_same_sales_again_restate_nothing(lake: ShopLake) -> None:
    lake.land("sales", "2.json", text(sale(1, 1, day=DAYS[0], stall="s1", customer="bob", amount="1.25", pieces="1")))

    assert restated(lake.run("again")) == {}


CHANGES = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.sampled_from("ccud"),
        st.sampled_from(DAYS),
        st.sampled_from((None, "s1", "s2", "s3")),
        st.sampled_from((None, "ann", "bob", "cid")),
        st.sampled_from((None, "-1.50", "0.00", "3.33", "10.00")),
        st.sampled_from((None, "2", "7", "30")),
    ),
    min_size=1,
    max_size=15,
)


def corrected(folder: Path, batches: list[list[Any]]) -> None:
    lake = ShopLake(folder, bazaar.DOMAIN)
    position = 0
    alive: dict[int, str] = {}
    for number, batch in enumerate(batches):
        lines = []
        for key, op, day, stall, customer, amount, pieces in batch:
            position += 1
            values = {"stall": stall, "customer": customer, "amount": amount, "pieces": pieces}
            known = alive.get(key)
            if op == "d" and known is not None:
                lines.append(sale(key, position, "d", day=alive.pop(key), **values))
            elif known is not None:
                # A sale keeps its day: that keys move is tested where keys are placed.
                lines.append(sale(key, position, "u", day=known, **values))
            else:
                alive[key] = day
                lines.append(sale(key, position, "c", day=day, **values))
        lake.land("sales", f"{number}.json", text(*lines))
        lake.run(f"run {number}")
    require_right(lake)


def test_after_corrections_every_mart_says_what_the_rows_say(tmp_path: Path) -> None:
    rng = random.Random(5)
    choices = (
        "ccud",
        DAYS,
        (None, "s1", "s2", "s3"),
        (None, "ann", "bob", "cid"),
        (None, "-1.50", "3.33", "10.00"),
        (None, "2", "7"),
    )
    batches = [[(rng.randint(1, 12), *(rng.choice(each) for each in choices)) for _ in range(15)] for _ in range(2)]

    corrected(tmp_path, batches)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(CHANGES, min_size=1, max_size=5))
def test_after_any_corrections_every_mart_says_what_the_rows_say(tmp_path_factory, batches: list[list[Any]]) -> None:
    corrected(tmp_path_factory.mktemp("corrected"), batches)


# --- Questions -------------------------------------------------------------------------------------------------------


def days(first: str | None = None, last: str | None = None) -> Days:
    return Days(dt.date.fromisoformat(first) if first else None, dt.date.fromisoformat(last) if last else None)


@pytest.mark.parametrize(
    ("question", "taken"),
    [
        (Question(("sold", "each"), ("stall",), Grain.MONTH), "marts.stall_month"),
        (Question(("buyers", "median"), ("stall",), Grain.YEAR), "marts.stall_year"),
        (Question(("sold", "sales_7d"), ("stall",), Grain.DAY), "marts.stall_day"),
        (Question(("sold",), (), Grain.YEAR, days("2024-01-01", "2024-12-31")), "marts.bazaar_year"),
        (Question(("sold",), (), Grain.YEAR, days("2024-02-01", "2024-12-31")), "marts.bazaar_month"),
        (Question(("sold", "mean"), (), Grain.MONTH, days("2024-01-02", "2024-02-28")), "marts.bazaar_day"),
        (Question(("sold", "largest"), ("stall",), None, days("2024-01-01", "2024-12-31")), "marts.stall_year"),
        (Question(("sold", "place"), ("stall",), None, days("2024-01-05")), "marts.stall_day"),
        (Question(("buyers",), (), Grain.MONTH, days("2024-01-02", "2024-02-28")), None),
        (Question(("buyers", "each"), ("stall",), None), None),
        (Question(("sold",), ("stall", "customer"), Grain.MONTH), None),
        (Question(("median",), ("customer",), Grain.DAY), None),
    ],
    ids=str,
)
def test_the_coarsest_exact_mart_answers(filled: ShopLake, question: Question, taken: str | None) -> None:
    state = State(filled.workspace)
    found = plan_question(state, question)
    with filled.connection() as connection:
        answer = ask(connection, state, question, scan=taken is None)
        columns = answer.result.columns
        rows = [dict(zip(columns, row, strict=True)) for row in answer.result.fetchall()]

    assert (found.chosen.name if found.chosen else None) == taken
    assert rows == recomputed(filled, question, columns)


def recomputed(filled: ShopLake, question: Question, columns: list[str]) -> list[dict[str, Any]]:
    """The answer from the facts, by the planner's own scan: of what no trend is, it is another way to the same numbers."""
    state = State(filled.workspace)
    scan = plan_question(state, question).scan
    if scan is None:
        period = str(question.grain)
        names = ", ".join(name for name in columns if name != "is_partial")
        relation = f"marts.{question.by[0]}_{question.grain}"
        return [
            dict(zip(columns, row, strict=True))
            for row in filled.rows(
                f"SELECT {names}, {period} = max({period}) OVER () OR {period} - 6 < DATE '{DAYS[0]}' AS is_partial "
                f"FROM {relation} JOIN {relation}_trend USING ({question.by[0]}, {period}) ORDER BY 1, 2"
            )
        ]
    with filled.connection() as connection:
        query(connection, state, "SELECT * FROM enriched.sales")
        result = connection.sql(statement_of(state, scan))
        return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]


@pytest.mark.parametrize("grain", Grain)
@pytest.mark.parametrize("scan", [False, True])
def test_a_period_is_partial_until_there_are_data_of_a_later_one(filled: ShopLake, grain: Grain, scan: bool) -> None:
    by = ("stall", "customer") if scan else ("stall",)
    with filled.connection() as connection:
        answer = ask(connection, State(filled.workspace), Question(("sold",), by, grain), scan=scan)
        rows = [dict(zip(answer.result.columns, row, strict=True)) for row in answer.result.fetchall()]
    newest = max(row[grain.period_column] for row in rows)
    # The first day of data is within a week, a month and a year.
    cut = {newest} if grain in (Grain.HOUR, Grain.DAY) else {newest, min(row[grain.period_column] for row in rows)}

    assert len({row[grain.period_column] for row in rows}) > 2
    assert {row[grain.period_column] for row in rows if row["is_partial"]} == cut


@pytest.mark.parametrize(
    ("metrics", "grain", "partial"),
    [
        (("sold",), Grain.DAY, set()),
        # Seven days before the first of January are not there, nor is all of December.
        (("sales_7d",), Grain.DAY, {"2023-12-30", "2023-12-31", "2024-01-01"}),
        (("sold", "sold_mtd"), Grain.DAY, {"2023-12-30", "2023-12-31"}),
        (("sale_growth_week",), Grain.DAY, {"2023-12-30", "2023-12-31", "2024-01-01", "2024-01-05"}),
        (("sold_mtd", "sale_growth_day"), Grain.DAY, {"2023-12-30", "2023-12-31"}),
        (("sale_growth_week",), Grain.WEEK, {"2023-12-25", "2024-01-01"}),
        (("retention_2m",), Grain.MONTH, {"2023-12-01", "2024-01-01", "2024-02-01"}),
        (("new_buyers", "sold"), Grain.MONTH, {"2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01"}),
        (("sold_ytd",), Grain.MONTH, {"2023-12-01"}),
        (("sale_growth_year",), Grain.YEAR, {"2023-01-01", "2024-01-01"}),
    ],
)
def test_what_looks_at_days_before_the_first_is_partial(
    filled: ShopLake, metrics: tuple[str, ...], grain: Grain, partial: set[str]
) -> None:
    with filled.connection() as connection:
        answer = ask(connection, State(filled.workspace), Question(metrics, (), grain))
        rows = [dict(zip(answer.result.columns, row, strict=True)) for row in answer.result.fetchall()]
    newest = max(str(row[grain.period_column]) for row in rows)

    assert {str(row[grain.period_column]) for row in rows if row["is_partial"]} == partial | {newest}


def test_data_of_an_earlier_day_make_a_window_whole(lake: ShopLake) -> None:
    question = Question(("sales_7d",), (), Grain.DAY, days("2024-01-01", "2024-01-01"))

    def is_partial() -> bool:
        with lake.connection() as connection:
            (row,) = ask(connection, State(lake.workspace), question).result.fetchall()
            return bool(row[-1])

    assert is_partial()
    lake.land("sales", "2.json", text(sale(99, 99, day="2023-12-20")))
    ran = lake.run("earlier")
    # It is said when asked: nothing that is stored changes for it.
    assert not is_partial() and ran.computed["marts.bazaar_day_trend"]["2024-01-01"] == "unchanged"


@pytest.mark.parametrize(
    ("grain", "asked", "partial"),
    [
        (Grain.MONTH, days("2024-01-02", "2024-02-28"), {"2024-01-01": True, "2024-02-01": True}),
        (Grain.MONTH, days("2024-01-01", "2024-02-29"), {"2024-01-01": False, "2024-02-01": False}),
        (Grain.WEEK, days("2024-01-02", "2024-02-29"), {"2024-01-01": True, "2024-02-26": True}),
        (Grain.WEEK, days("2024-01-01", "2024-03-03"), {"2024-01-01": False, "2024-02-26": False}),
        (Grain.YEAR, days(None, "2024-12-30"), {"2023-01-01": True, "2024-01-01": True}),
        (Grain.YEAR, days("2024-01-01", "2024-12-31"), {"2024-01-01": False}),
        (Grain.HOUR, days("2024-01-05", "2024-01-05"), {"2024-01-05": False}),
    ],
)
def test_a_period_is_partial_where_not_all_of_its_days_are_asked_for(
    filled: ShopLake, grain: Grain, asked: Days, partial: dict[str, bool]
) -> None:
    for question, scan in (
        (Question(("sold",), (), grain, asked), False),
        (Question(("sold", "buyers"), (), grain, asked), True),
    ):
        with filled.connection() as connection:
            answer = ask(connection, State(filled.workspace), question, scan=scan)
            found = answer.result.project(f"{grain.period_column}::VARCHAR, is_partial").fetchall()
        assert dict(found) == partial


def test_what_is_asked_of_a_while_ago_is_not_partial(filled: ShopLake) -> None:
    question = Question(("sold",), ("stall",), Grain.DAY, days("2024-01-01", "2024-01-31"))
    with filled.connection() as connection:
        answer = ask(connection, State(filled.workspace), question)
        place = answer.result.columns.index("is_partial")
        assert {row[place] for row in answer.result.fetchall()} == {False}


def test_what_no_mart_has_is_only_scanned_when_asked(filled: ShopLake) -> None:
    question = Question(("sold",), ("stall", "customer"), Grain.MONTH)
    state = State(filled.workspace)
    scan = plan_question(state, question).scan
    assert scan is not None

    with filled.connection() as connection, pytest.raises(SettingsError, match="--scan computes it from 27 rows of sales"):
        ask(connection, state, question)
    assert rows_read(state, scan, question.days) == 27


def test_what_is_only_stored_is_not_scanned(filled: ShopLake) -> None:
    question = Question(("sales_7d",), ("stall",), Grain.MONTH)

    with (
        filled.connection() as connection,
        pytest.raises(SettingsError, match="depends on other periods, and is only known where"),
    ):
        ask(connection, State(filled.workspace), question, scan=True)


@pytest.mark.parametrize(
    ("question", "said"),
    [(Question(("solt",)), "There is no metric solt. Did you mean sold"), (Question(("sold",), ("planet",)), "no entity planet")],
)
def test_questions_about_nothing(filled: ShopLake, question: Question, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plan_question(State(filled.workspace), question)


def test_what_is_over_all_days_is_answered_without_a_scan(filled: ShopLake) -> None:
    state = State(filled.workspace)
    question = Question(("worth", "place_of_patron", "patron_since"), ("customer",))
    found = plan_question(state, question)

    assert found.chosen is not None and found.scan is None and found.days == "all"
    assert [each.name for each in found.considered] == ["marts.patrons"]
    assert rows_read(state, found.chosen, question.days) == 3
    with filled.connection() as connection:
        rows = ask(connection, state, question).result.fetchall()
    ((highest,),) = filled.rows("SELECT max_by(customer, spent) FROM marts.patrons")
    assert [customer for customer, _, place, _ in rows if place == 1] == [highest]


def test_what_is_over_all_days_is_scanned_beside_what_is_of_events(filled: ShopLake) -> None:
    question = Question(("worth", "sold"), ("customer",))
    with filled.connection() as connection:
        rows = ask(connection, State(filled.workspace), question, scan=True).result.fetchall()

    assert len(rows) == 3 and all(worth == sold for _, worth, sold in rows)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(("worth",), (), Grain.MONTH), "worth is over all days, and not of periods"),
        (Question(("worth",), (), None, days("2024-01-01")), "worth is over all days, and not of periods"),
        (Question(("worth", "sold"), (), Grain.MONTH), "worth is over all days, and not of periods"),
        (Question(("worth",), ("stall",)), "worth is kept by customer, not by stall"),
        (Question(("worth", "sold_there")), "worth is by all days and sold_there by stall's days"),
    ],
    ids=str,
)
def test_what_is_over_all_days_has_no_periods(filled: ShopLake, question: Question, said: str) -> None:
    with filled.connection() as connection, pytest.raises(SettingsError, match=said):
        ask(connection, State(filled.workspace), question, scan=True)


def test_a_trend_that_is_not_built_is_no_null(tmp_path: Path) -> None:
    lake = fill(tmp_path, {"marts.bazaar_day_trend"})
    with lake.connection() as connection:
        state = State(lake.workspace)
        assert ask(connection, state, Question(("sold",), (), Grain.DAY)).result.fetchall()
        for scan in (False, True):
            with pytest.raises(SettingsError, match=r"no published data in marts\.bazaar_day_trend\..*`assay run --all`"):
                ask(connection, state, Question(("sold", "sold_mtd"), (), Grain.DAY), scan=scan)


def test_a_period_whose_trends_are_not_built_yet_is_partial(tmp_path: Path) -> None:
    lake = fill(tmp_path, {"marts.bazaar_day_trend"})
    node = lake.workspace.project.nodes["marts.bazaar_day_trend"]
    with lake.connection() as connection:
        rebuild_partitions(connection, State(lake.workspace), node, {"2024-02-28", "2025-01-01"}, "some")
        question = Question(("sold", "sold_mtd"), (), Grain.DAY, days("2024-02-28", "2025-01-01"))
        found = ask(connection, State(lake.workspace), question).result.fetchall()

    sold_mtd = {str(day): (so_far is not None, is_partial) for day, _, so_far, is_partial in found}
    assert sold_mtd == {
        "2024-02-28": (True, False),
        "2024-02-29": (False, True),
        "2024-03-01": (False, True),
        "2025-01-01": (True, False),
    }
