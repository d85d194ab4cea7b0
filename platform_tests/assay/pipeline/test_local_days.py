"""Days by other clocks: each is made of the UTC days around it, restated by them alone, and whole when they are there."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import bazaar
import pytest
from change_lines import change, text
from declared import domain_of
from shop_lake import Ran, ShopLake

from assay.contracts import Balance, Count, Daily, Date, Event, Published, Window, column, source, table
from assay.engine.project import load_project
from assay.errors import ContractError, SettingsError
from assay.landing.formats import Debezium
from assay.metrics.grains import Grain
from assay.metrics.planning import Days, Question
from assay.pipeline.changes import changed_rows, history
from assay.pipeline.metrics import ask, plan_question, rows_read, statement_of
from assay.pipeline.runs import rebuild_partitions
from assay.pipeline.state import State
from assay.pipeline.totals import add_up
from assay.pipeline.verify import verify_table

LOCAL = sorted(name for name, each in bazaar.DOMAIN.generated.items() if each.table.is_local)
BY_DAY = "marts.stall_there_day"
FIRST = dt.date(2024, 1, 1)
BEHIND, HERE, AHEAD, NOWHERE = "s1", "s0", "s2", "s3"


def sale(key: int, day: dt.date | str, stall: str = HERE, op: str = "c", position: int = 0, **values: Any) -> str:
    given = {"customer": "ann", "amount": "2.50", "pieces": "7"} | values
    return change("sales", op, position or key, {"sale_id": f"k{key}", "stall": stall, "day": str(day)} | given)


def days_on(count: int) -> list[dt.date]:
    return [FIRST + dt.timedelta(days=number) for number in range(count)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """Ten days of a stall behind, one ahead and one of here; for looking only."""
    made = ShopLake(tmp_path_factory.mktemp("filled"), bazaar.DOMAIN)
    stalls = [(day, stall) for day in days_on(10) for stall in (BEHIND, HERE, AHEAD)]
    made.land("sales", "1.json", text(*(sale(key, day, stall) for key, (day, stall) in enumerate(stalls, start=1))))
    made.run("first")
    return made


@pytest.fixture
def lake(filled: ShopLake, tmp_path: Path) -> ShopLake:
    """The same, to be changed."""
    shutil.copytree(filled.folder, tmp_path / "lake")
    return ShopLake(tmp_path, bazaar.DOMAIN)


def published(ran: Ran, name: str) -> set[str]:
    return {key for key, status in ran.computed.get(name, {}).items() if status == "published"}


def contents(lake: ShopLake) -> dict[tuple[str, str], str]:
    state = State(lake.workspace)
    return {(name, key): entry.content for name in bazaar.DOMAIN.tables for key, entry in state.index(name).items()}


@pytest.mark.parametrize(
    ("stall", "restated"), [(BEHIND, {"2024-01-04"}), (HERE, {"2024-01-05"}), (AHEAD, {"2024-01-06"}), (NOWHERE, set())]
)
def test_a_late_sale_dirties_the_local_days_around_it_and_restates_its_own(
    lake: ShopLake, stall: str, restated: set[str]
) -> None:
    lake.land("sales", "2.json", text(sale(99, "2024-01-05", stall, amount="7.00", pieces="8")))
    ran = lake.run("late")

    for name in (BY_DAY, "marts.customer_there_day"):
        assert set(ran.plans[name].dirty) == {"2024-01-04", "2024-01-05", "2024-01-06"}
        assert published(ran, name) == restated
    assert published(ran, "marts.stall_there_month") == ({"2024-01-01"} if restated else set())
    assert published(ran, "marts.stall_day") == {"2024-01-05"}


def test_every_local_mart_balances_and_is_reproducible(filled: ShopLake) -> None:
    assert len(LOCAL) > 15
    with filled.connection() as connection:
        state = State(filled.workspace)
        for name in LOCAL:
            node = filled.workspace.project.nodes[name]
            compared = verify_table(connection, state, node)
            assert compared and all(each.is_same and each.is_current for each in compared), name
            assert all(each.is_equal for each in add_up(connection, state, node)), name


def test_a_local_day_by_hand_is_the_same(filled: ShopLake) -> None:
    with filled.connection() as connection:
        for day in ("2023-12-31", "2024-01-05", "2024-01-11"):
            node = filled.workspace.project.nodes[BY_DAY]
            (outcome,) = rebuild_partitions(connection, State(filled.workspace), node, [day], "by hand")
            assert (outcome.partition, outcome.status.value) == (day, "unchanged")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_whatever_comes_when_gives_the_marts_of_a_full_rebuild(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    days, stalls = [FIRST + dt.timedelta(days=rng.randrange(70)) for _ in range(20)], (BEHIND, HERE, AHEAD, NOWHERE)
    made = {key: (rng.choice(days), rng.choice(stalls)) for key in range(1, 31)}
    lines = [sale(key, day, stall) for key, (day, stall) in made.items()]
    # A sale that another stall made is about another local day.
    for position, key in enumerate(rng.sample(sorted(made), 10), start=100):
        lines.append(sale(key, made[key][0], rng.choice(stalls), "u", position))
    rng.shuffle(lines)
    bit_by_bit, at_once = ShopLake(tmp_path / "one", bazaar.DOMAIN), ShopLake(tmp_path / "other", bazaar.DOMAIN)
    for number in range(0, len(lines), 14):
        for lake in (bit_by_bit, at_once):
            lake.land("sales", f"{number}.json", text(*lines[number : number + 14]))
        bit_by_bit.run(f"run {number}")
    at_once.run("only")

    assert contents(bit_by_bit) == contents(at_once)
    for name in LOCAL:
        assert {entry.rows for entry in State(at_once.workspace).index(name).values()}, name


# --- What is there in part -------------------------------------------------------------------------------------------


def test_a_stored_period_is_partial_until_the_utc_day_after_it_is_there(filled: ShopLake) -> None:
    rows = filled.rows(f"SELECT day::VARCHAR, newest_day::VARCHAR, is_partial FROM {BY_DAY} GROUP BY ALL ORDER BY 1 DESC LIMIT 3")
    assert rows == [("2024-01-11", "2024-01-10", True), ("2024-01-10", "2024-01-10", True), ("2024-01-09", "2024-01-10", False)]
    weeks = filled.rows("SELECT week::VARCHAR, is_partial FROM marts.bazaar_there_week ORDER BY 1")
    assert weeks == [("2023-12-25", False), ("2024-01-01", False), ("2024-01-08", True)]


def test_the_utc_day_after_it_makes_a_local_day_whole_even_if_nothing_of_it_is_about_it(lake: ShopLake) -> None:
    lake.land("sales", "2.json", text(sale(99, "2024-01-11", AHEAD)))
    ran = lake.run("next")

    assert published(ran, BY_DAY) == {"2024-01-10", "2024-01-11", "2024-01-12"}
    assert lake.rows(f"SELECT DISTINCT is_partial FROM {BY_DAY} WHERE day = DATE '2024-01-10'") == [(False,)]
    # Nobody was told before that it was whole.
    assert lake.rows("SELECT * FROM quality.restatements WHERE table_name LIKE '%there%'") == []


def answer(lake: ShopLake, question: Question, *, scan: bool = False) -> list[dict[str, Any]]:
    with lake.connection() as connection:
        found = ask(connection, State(lake.workspace), question, scan=scan)
        return [dict(zip(found.result.columns, row, strict=True)) for row in found.result.fetchall()]


@pytest.mark.parametrize(
    ("grain", "whole"),
    [
        (Grain.DAY, {f"2024-01-0{day}" for day in range(2, 9)}),
        (Grain.WEEK, set()),
        (Grain.MONTH, set()),
    ],
)
@pytest.mark.parametrize("by", [("stall",), ("stall", "customer")])
def test_an_answer_is_partial_unless_there_are_data_of_days_before_and_after_any_of_it(
    filled: ShopLake, grain: Grain, whole: set[str], by: tuple[str, ...]
) -> None:
    rows = answer(filled, Question(("sold_there",), by, grain), scan=len(by) > 1)

    assert len(rows) > 2
    assert {str(row[grain.period_column]) for row in rows if not row["is_partial"]} == whole


@pytest.mark.parametrize(
    ("metric", "grain", "whole"),
    [
        # The windows of seven days that begin on the second of January or later, by a clock that may be ahead.
        ("sales_7d_there", Grain.DAY, {"2024-01-08"}),
        ("sale_growth_week_there", Grain.DAY, set()),
        ("sold_mtd_there", Grain.DAY, set()),
    ],
)
def test_a_local_window_is_partial_where_it_begins_before_the_first_day_of_data(
    filled: ShopLake, metric: str, grain: Grain, whole: set[str]
) -> None:
    rows = answer(filled, Question((metric,), ("stall",), grain))

    assert {str(row["day"]) for row in rows if not row["is_partial"]} == whole


def test_marts_that_are_behind_do_not_say_that_they_are_whole(lake: ShopLake) -> None:
    lake.land("sales", "2.json", text(*(sale(90 + number, f"2024-01-1{number}") for number in range(1, 5))))
    lake.run("at once", leave_out=bazaar.DOMAIN.generated)

    rows = answer(lake, Question(("sold_there",), ("stall",), Grain.DAY, Days(dt.date(2024, 1, 8))))
    assert {str(row["day"]): row["is_partial"] for row in rows} == {
        "2024-01-08": False,
        "2024-01-09": True,
        "2024-01-10": True,
        "2024-01-11": True,
    }


# --- Questions and changes -------------------------------------------------------------------------------------------


def test_the_days_asked_for_are_local_days_from_marts_and_by_a_scan(filled: ShopLake) -> None:
    some = Days(dt.date(2024, 1, 3), dt.date(2024, 1, 4))
    state = State(filled.workspace)
    question = Question(("sale_count_there",), ("stall",), Grain.DAY, some)
    scan = plan_question(state, question).scan
    assert scan is not None

    stored = answer(filled, question)
    scanned = answer(filled, Question(("sale_count_there",), ("stall", "customer"), Grain.DAY, some), scan=True)

    assert [(str(row["day"]), row["stall"], row["sale_count_there"]) for row in stored] == [
        (day, stall, 1) for day in ("2024-01-03", "2024-01-04") for stall in (HERE, BEHIND, AHEAD)
    ]
    assert [{name: row[name] for name in stored[0]} for row in scanned] == stored
    # The days asked for and the ones around them, of three sales each.
    assert rows_read(state, scan, some) == 12
    assert "day_there IS NOT NULL AND day_there >= DATE '2024-01-03'" in statement_of(state, scan)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(("sold_there", "sold")), "sold_there is by stall's days and sold by UTC days"),
        (Question(("sold_there",), ("stall",), Grain.HOUR), "sold_there is by stall's days, which have no hours"),
    ],
)
def test_what_cannot_be_answered_is_said(filled: ShopLake, question: Question, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        answer(filled, question, scan=True)


def test_a_local_day_that_was_whole_is_restated_with_the_rows_behind_it(lake: ShopLake) -> None:
    landed = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    late = [sale(98, "2024-01-05", BEHIND, amount="7.00"), sale(99, "2024-01-10", HERE, amount="1.00")]
    lake.land("sales", "2.json", text(*late), landed)
    lake.run("late")

    with lake.connection() as connection:
        state = State(lake.workspace)
        for mart, day in (("stall_there_day", "2024-01-04"), ("stall_there_week", "2024-01-01")):
            (found,) = history(connection, state, "sold_there", f"marts.{mart}")
            assert (str(found.partition), found.key, found.run_id) == (day, {"stall": BEHIND}, "late")
            assert [row["sale_id"] for row in changed_rows(connection, state, [found])[0]] == ["k98"]
        assert history(connection, state, "sold_there", "marts.stall_there_month") == []


def test_rows_that_are_gone_are_behind_the_local_days_that_they_were_on(lake: ShopLake) -> None:
    known = {(str(day), stall): key for key, day, stall in lake.rows("SELECT sale_id, day_sold, stall FROM enriched.sales")}
    deleted, moved, refused = known["2024-01-05", BEHIND], known["2024-01-05", AHEAD], known["2024-01-05", HERE]
    lines = [
        change("sales", "d", 98, {"sale_id": deleted}),
        sale(int(moved[1:]), "2024-01-03", AHEAD, "u", 99),
        sale(int(refused[1:]), "2024-01-05", NOWHERE, "u", 100),
    ]
    lake.land("sales", "2.json", text(*lines), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    lake.run("gone")

    def behind(metric: str, mart: str) -> dict[tuple[str, ...], list[tuple[str, str | None]]]:
        with lake.connection() as connection:
            state = State(lake.workspace)
            changes = history(connection, state, metric, f"marts.{mart}")
            rows = changed_rows(connection, state, changes)
        return {
            (str(each.partition), *each.key.values()): [(row["sale_id"], row.get("gone")) for row in found]
            for each, found in zip(changes, rows, strict=True)
        }

    assert behind("sale_count_there", "stall_there_day") == {
        ("2024-01-04", BEHIND): [(deleted, "deleted")],
        ("2024-01-04", AHEAD): [(moved, None)],
        ("2024-01-05", HERE): [(refused, "moved")],
        ("2024-01-06", AHEAD): [(moved, "moved or refused")],
    }
    assert behind("sold_there", "bazaar_there_week") == {("2024-01-01",): [(deleted, "deleted"), (refused, "moved")]}
    # The second of January to the eighth; the eighth itself has no sale that is gone.
    assert (deleted, "deleted") in behind("sales_7d_there", "bazaar_there_day_trend")["2024-01-08",]


# --- Tables written by hand ------------------------------------------------------------------------------------------


@source("tickets", format=Debezium("tickets"), key=("id",), partition=Daily("sold_on", of="day"), owner="team:x", subject="x")
class TicketEvents(Event):
    """Tickets as they are sold."""

    id: str = column("Key", nullable=True)
    day: str = column("Day", nullable=True)
    there: str = column("Day there", nullable=True)


@table("tickets", layer="enriched", key=("id",), partition=Daily("sold_on"), owner="team:x", subject="x")
class Tickets(Published):
    """One row a ticket."""

    id: str = column("Key")
    sold_on: Date = column("Day, UTC")
    there: Date = column("Day there", nullable=True)


@table(
    "by_local_day",
    layer="marts",
    key=("there",),
    partition=Daily("there"),
    owner="team:x",
    subject="x",
    windows={"enriched.tickets": Window(before=1, after=1, about="there")},
    balance=Balance(inputs=("enriched.tickets",), rows="ticket_count"),
    is_local=True,
)
class ByLocalDay(Published):
    """One row a day there."""

    there: Date = column("Day there")
    ticket_count: Count = column("Tickets")


OF_TICKETS = "SELECT id, sold_on, TRY_CAST(there AS DATE) AS there, _ingested_at AS ingestion_timestamp, _source AS data_source"
OF_DAYS = "SELECT there, count(*) AS ticket_count, max(ingestion_timestamp) AS ingestion_timestamp, '' AS data_source"
BY_DAY_THERE = f"{OF_DAYS} FROM enriched.tickets WHERE there IS NOT NULL GROUP BY ALL"


def sold(folder: Path, *tickets: tuple[str, str | None], sql: str = BY_DAY_THERE) -> tuple[ShopLake, Ran]:
    """A run over tickets, each with its day and its day there."""
    written = {"enriched.tickets": f"{OF_TICKETS} FROM latest.tickets", "marts.by_local_day": sql}
    lake = ShopLake(folder, domain_of(folder / "sql", [TicketEvents, Tickets, ByLocalDay], written))
    lines = [change("tickets", "c", n, {"id": f"t{n}", "day": day, "there": there}) for n, (day, there) in enumerate(tickets, 1)]
    lake.land("tickets", "1.json", text(*lines))
    return lake, lake.run()


def test_a_partition_is_each_day_that_a_row_may_be_about(tmp_path: Path) -> None:
    tickets = [("2025-01-05", "2025-01-04"), ("2025-01-05", "2025-01-05"), ("2025-01-05", None), ("2025-01-06", "2025-01-05")]
    lake, ran = sold(tmp_path, *tickets)

    found = {outcome.partition: outcome for outcome in ran.outcomes["marts.by_local_day"]}
    assert {key: outcome.status.value for key, outcome in found.items()} == dict.fromkeys(
        ["2025-01-04", "2025-01-05", "2025-01-06", "2025-01-07"], "published"
    )
    assert {key: int(outcome.books.rows.received) for key, outcome in found.items()} == {
        "2025-01-04": 1,
        "2025-01-05": 2,
        "2025-01-06": 0,
        "2025-01-07": 0,
    }
    assert Counter(dict(lake.rows("SELECT there::VARCHAR, ticket_count FROM marts.by_local_day"))) == {
        "2025-01-04": 1,
        "2025-01-05": 2,
    }


def test_a_row_about_a_day_that_does_not_read_it_is_missed_by_the_books_of_its_own(tmp_path: Path) -> None:
    _, ran = sold(tmp_path, ("2025-01-05", "2025-01-09"), ("2025-01-05", "2025-01-05"), ("2025-01-20", "2025-01-20"))

    computed = ran.computed["marts.by_local_day"]
    assert {key for key, status in computed.items() if status == "failed"} == {"2025-01-05"}
    (problem,) = next(each.problems for each in ran.outcomes["marts.by_local_day"] if each.partition == "2025-01-05")
    assert problem == "the books do not balance: 1 rows are unaccounted for"


def test_rows_that_the_sql_loses_are_missed_by_the_books_of_their_local_day(tmp_path: Path) -> None:
    sql = f"{OF_DAYS} FROM enriched.tickets WHERE there = sold_on GROUP BY ALL"
    _, ran = sold(tmp_path, ("2025-01-05", "2025-01-06"), ("2025-01-07", "2025-01-07"), sql=sql)

    assert {key for key, status in ran.computed["marts.by_local_day"].items() if status == "failed"} == {"2025-01-06"}


def by_local_day(
    name: str = "by_local_day", about: str = "there", reads: str = "enriched.tickets", **options: Any
) -> type[Published]:
    """A table by local day, which may be declared wrongly."""
    window = {reads: Window(before=1, after=1, about=about)} if about else {}
    given = {"windows": window, "balance": Balance(inputs=(reads,), rows="ticket_count"), "is_local": True} | options

    @table(name, layer="marts", key=("there",), partition=Daily("there"), owner="team:x", subject="x", **given)
    class Declared(Published):
        """One row a day there."""

        there: Date = column("Day there")
        ticket_count: Count = column("Tickets")

    Declared.__name__ = name
    return Declared


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (
            [by_local_day(about="their")],
            "marts.by_local_day: its window over enriched.tickets is by their, which it does not have",
        ),
        ([by_local_day(about="id")], "marts.by_local_day: its window over enriched.tickets is by id, which is VARCHAR"),
        (
            [by_local_day(), by_local_day("again", "", "marts.by_local_day", is_local=False)],
            "marts.again: it is made of periods of marts.by_local_day, which are by other clocks than UTC",
        ),
    ],
    ids=["no column", "no day", "not local"],
)
def test_a_local_table_that_is_declared_wrongly_is_named(tmp_path: Path, declared: list[type[Published]], said: str) -> None:
    sql = {"enriched.tickets": f"{OF_TICKETS} FROM latest.tickets", "marts.by_local_day": BY_DAY_THERE}
    if len(declared) > 1:
        sql["marts.again"] = "SELECT there, ticket_count, ingestion_timestamp, data_source FROM marts.by_local_day"

    with pytest.raises(ContractError) as raised:
        load_project(domain_of(tmp_path, [TicketEvents, Tickets, *declared], sql))
    assert raised.value.message == said and raised.value.hint
