"""Reconciling: which days are compared, what stands of them, and what is kept when others write at the same time."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import audited_shop
import pyarrow.parquet as pq
import pytest
from audited_shop import LEDGER, ROLLS
from change_lines import customer, deleted_order, order, text
from shop_lake import ShopLake

from assay.contracts import Control, ControlFile
from assay.errors import ControlError, SettingsError, StoreError
from assay.lake.layout import control_key
from assay.pipeline import reconciling
from assay.pipeline.reconciling import Reconciled, Reconciling, find_controls, read_results, reconcile
from assay.pipeline.state import State
from assay.quality.reconciliation import Match

NOW = dt.datetime(2025, 1, 6, 12, tzinfo=dt.UTC)
HISTORY = "SELECT day::VARCHAR, in_lake::INTEGER, in_control::INTEGER, status FROM quality.reconciliation_history"


def roll(lake: ShopLake, name: str = "1", **days: tuple[int, str]) -> None:
    """Deliver a till roll; days are named as in `d3`."""
    lines = [f"2025-01-0{day[1:]},{rows},{amount}" for day, (rows, amount) in days.items()]
    lake.store.put(f"controls/till_rolls-{name}.csv", "\n".join(["order_day,row_count,amount", *lines]).encode())


def done(lake: ShopLake, control: Control = ROLLS, now: dt.datetime = NOW, **more: Any) -> Reconciled:
    with lake.connection() as connection:
        return reconcile(connection, State(lake.workspace), control, {}, now, f"run {now}", **more)


def statuses(found: Reconciled) -> dict[str, str]:
    """By day: how its figures compare, the worst of them."""
    return {str(each.day)[8:]: str(max((figure.match for figure in each.figures), key=_badness)) for each in found.compared}


def _badness(match: Match) -> bool:
    return match.is_wrong


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A shop with orders of four days, the last of them not over."""
    lake = ShopLake(tmp_path, audited_shop.DOMAIN)
    lake.land("customers", "c.json", text(customer("c1", 1, level="gold"), customer("c2", 2)))
    days = {"a": 3, "b": 3, "c": 4, "d": 5, "e": 6}
    orders = [order(key, place, day=f"2025-01-0{day}", amount="10.10") for place, (key, day) in enumerate(days.items(), 1)]
    lake.land("orders", "o.json", text(*orders, order("f", 9, day="2025-01-03", customer="c2", amount="5.00")))
    lake.run()
    return lake


def test_days_are_compared_as_far_as_a_file_speaks_of_them(lake: ShopLake) -> None:
    roll(lake, d2=(0, "0"), d3=(3, "25.2"), d4=(2, "10.10"), d5=(1, "10.11"))
    found = done(lake)
    assert statuses(found) == {"02": "same", "03": "same", "04": "different", "05": "different"}
    assert (found.last_complete, [each.day.day for each in found.wrong]) == (dt.date(2025, 1, 5), [4, 5])
    assert found.counts == {"same": 6, "different": 2}


def test_days_that_are_in_only_one_of_the_two(lake: ShopLake) -> None:
    roll(lake, d2=(4, "4"), d3=(3, "25.2"), d6=(1, "10.10"))
    assert statuses(done(lake)) == {
        "02": "only_in_control",
        "03": "same",
        "04": "only_in_lake",
        "05": "only_in_lake",
        "06": "open",
    }


def test_a_day_that_is_not_over_is_looked_at_again_when_it_is(lake: ShopLake) -> None:
    roll(lake, d6=(3, "30"))
    assert statuses(done(lake)) == {"06": "open"}
    assert not done(lake).wrong
    assert statuses(done(lake, now=NOW + dt.timedelta(days=1), days=1)) == {"06": "different"}


def test_a_late_restatement_of_either_side_counts_and_history_is_kept(lake: ShopLake) -> None:
    roll(lake, d3=(2, "15.10"), d4=(1, "10.10"))
    assert statuses(done(lake)) == {"03": "different", "04": "same"}
    lake.land("orders", "late.json", text(deleted_order("f", 20)))
    lake.run("late")
    much_later = NOW + dt.timedelta(days=400)
    # However old: what differed is compared until it agrees. The other day is too old to be.
    found = done(lake, now=much_later)
    assert (statuses(found), found.wrong) == ({"03": "different"}, (found.compared[0],))
    roll(lake, "1", d3=(2, "20.20"), d4=(1, "10.10"))
    found = done(lake, now=much_later + dt.timedelta(days=1))
    assert (statuses(found), found.wrong) == ({"03": "same"}, ())
    rows = f"{HISTORY} WHERE measure = 'row_count' ORDER BY day, reconciled_at"
    assert lake.rows(rows) == [
        ("2025-01-03", 3, 2, "different"),
        ("2025-01-03", 2, 2, "same"),
        ("2025-01-03", 2, 2, "same"),
        ("2025-01-04", 1, 1, "same"),
    ]
    latest = "SELECT day::VARCHAR, measure, difference, status FROM quality.reconciliations ORDER BY ALL"
    assert lake.rows(latest) == [
        (day, measure, 0, "same") for day in ("2025-01-03", "2025-01-04") for measure in ("amount", "row_count")
    ]
    with pytest.raises(ControlError, match="has no day from"):
        done(lake, now=much_later + dt.timedelta(days=2))


def test_what_is_found_again_adds_no_rows(lake: ShopLake) -> None:
    roll(lake, d3=(2, "15.10"))
    first = done(lake)
    again = done(lake, now=NOW + dt.timedelta(hours=1))
    assert [each.found_at for each in again.standing] == [NOW]
    assert len(lake.rows(HISTORY)) == len(first.standing[0].figures)
    assert lake.rows("SELECT DISTINCT reconciled_at, run_id FROM quality.reconciliations") == [
        (NOW + dt.timedelta(hours=1), f"run {NOW + dt.timedelta(hours=1)}")
    ]


def test_a_file_of_a_mart_by_key_with_expressions(lake: ShopLake) -> None:
    lake.store.put(
        "controls/ledger.csv",
        b"order_day,customer_level,row_count,amount\n2025-01-03,gold,2,20.24\n2025-01-04,gold,1,10\n2025-01-04,basic,0,0\n",
    )
    by_file = replace(LEDGER, from_=ControlFile("controls/ledger.csv"), where="order_count > 0")
    found = done(lake, by_file)
    assert [(each.day.day, each.key, each.measure, str(each.match)) for result in found.compared for each in result.figures] == [
        (3, '{"customer_level": "basic"}', "row_count", "only_in_lake"),
        (3, '{"customer_level": "basic"}', "amount", "only_in_lake"),
        (3, '{"customer_level": "gold"}', "row_count", "same"),
        (3, '{"customer_level": "gold"}', "amount", "tolerated"),
        (4, '{"customer_level": "basic"}', "row_count", "same"),
        (4, '{"customer_level": "basic"}', "amount", "same"),
        (4, '{"customer_level": "gold"}', "row_count", "same"),
        (4, '{"customer_level": "gold"}', "amount", "different"),
    ]


def test_days_before_the_control_knew_any_are_left_out(lake: ShopLake) -> None:
    roll(lake, d3=(9, "9"), d4=(9, "9"))
    assert len(done(lake).wrong) == 2
    since = replace(ROLLS, since=dt.date(2025, 1, 4))
    found = done(lake, since)
    assert (list(statuses(found)), [each.day.day for each in found.wrong]) == (["04"], [4])
    with pytest.raises(ControlError, match=r"begins on 2026-01-01, which is in the future\. Wait, or correct its since"):
        done(lake, replace(ROLLS, since=dt.date(2026, 1, 1), table="enriched.customers"))


def test_one_that_cannot_be_asked_does_not_hold_up_the_others(lake: ShopLake) -> None:
    roll(lake, d3=(3, "25.2"))
    work = Reconciling([LEDGER, ROLLS], {})
    with lake.connection() as connection:
        work.run(connection, State(lake.workspace), NOW, "run")
    assert [each.control.name for each in work.done] == ["till_rolls"]
    assert "ASSAY_DSN__LEDGER" in str(work.failed["ledger"])
    assert list(lake.etags("quality/reconciliation_history/")) == [control_key("reconciliation_history", ROLLS)]


def test_what_was_refused_is_counted_beside_what_is_published(lake: ShopLake) -> None:
    lake.land("orders", "bad.json", text(order("g", 11, day="2025-01-03", customer="c2", amount="-3.00")))
    lake.run("bad")
    published = "SELECT count(*), sum(amount) FROM enriched.orders WHERE order_day = '2025-01-03'"
    assert lake.rows(published) == [(3, Decimal("25.20"))]
    roll(lake, d3=(4, "22.20"), d4=(1, "10.10"))
    found = done(lake)
    assert (statuses(found), found.wrong, found.quarantined) == ({"03": "quarantined", "04": "same"}, (), 1)
    figures = "SELECT measure, in_lake::DOUBLE, in_quarantine::DOUBLE, in_control::DOUBLE FROM quality.reconciliations"
    assert sorted(lake.rows(f"{figures} WHERE day = '2025-01-03'")) == [
        ("amount", 25.2, -3.0, 22.2),
        ("row_count", 3.0, 1.0, 4.0),
    ]
    # However old: what stands in quarantine is compared until it has left.
    lake.land("orders", "good.json", text(order("g", 12, day="2025-01-03", customer="c2", amount="3.00")))
    lake.run("good")
    roll(lake, d3=(4, "28.20"), d4=(1, "10.10"))
    assert statuses(done(lake, now=NOW + dt.timedelta(days=400))) == {"03": "same"}


def test_all_days_that_a_control_knows(lake: ShopLake) -> None:
    roll(lake, d3=(3, "25.2"), d4=(1, "10.10"))
    much_later = NOW + dt.timedelta(days=400)
    assert list(statuses(done(lake, replace(ROLLS, days=None), now=much_later))) == ["03", "04"]
    with pytest.raises(ControlError, match="has no day from"):
        done(lake, replace(ROLLS, days=None), now=much_later, days=10)


def test_nothing_that_has_landed_yet_is_waited_for_and_what_is_lost_is_not(lake: ShopLake) -> None:
    def ran() -> Reconciling:
        work = Reconciling([ROLLS], {})
        with lake.connection() as connection:
            work.run(connection, State(lake.workspace), NOW, "run")
        return work

    work = ran()
    assert (work.waiting, work.done, work.failed) == ([ROLLS], [], {})
    roll(lake, d3=(3, "25.2"))
    assert [each.control for each in ran().done] == [ROLLS]
    lake.store.delete("controls/till_rolls-1.csv")
    work = ran()
    assert (work.waiting, work.done) == ([], [])
    assert "there is no file controls/till_rolls" in str(work.failed["till_rolls"])


def test_results_from_before_quarantine_was_looked_at_are_read(lake: ShopLake) -> None:
    roll(lake, d3=(2, "15.10"))
    done(lake)
    path = lake.store.local(control_key("reconciliation_history", ROLLS))
    older = pq.read_table(path).drop_columns(["in_quarantine"])
    pq.write_table(older, path)
    [result] = read_results(lake.store, ROLLS)
    assert {each.in_quarantine for each in result.figures} == {Decimal(0)}
    done(lake, now=NOW + dt.timedelta(hours=1))
    assert len(lake.rows(HISTORY)) == 2


def test_an_expression_that_fails_on_the_data_is_said(lake: ShopLake) -> None:
    roll(lake, d3=(3, "25.2"))
    with pytest.raises(ControlError, match=r"enriched\.orders cannot be added up: Conversion Error"):
        done(lake, replace(ROLLS, sums={"amount": "order_id::INTEGER"}, rows=None, from_=ROLLS.from_))


def test_two_at_once_lose_nothing(lake: ShopLake) -> None:
    roll(lake, d3=(2, "15.10"), d4=(1, "10.10"))
    hours = range(6)
    threads = [threading.Thread(target=done, args=(lake, ROLLS, NOW + dt.timedelta(hours=hour))) for hour in hours]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    standing = {each.day.day: each for each in read_results(lake.store, ROLLS)}
    assert {day: (each.found_at, each.reconciled_at) for day, each in standing.items()} == {
        day: (NOW, NOW + dt.timedelta(hours=5)) for day in (3, 4)
    }


def test_one_who_always_comes_second_gives_up(lake: ShopLake, monkeypatch: pytest.MonkeyPatch) -> None:
    roll(lake, d3=(2, "15.10"))
    monkeypatch.setattr(reconciling, "ATTEMPTS", 0)
    with pytest.raises(StoreError, match="others keep writing it first"):
        done(lake)
    assert lake.rows(HISTORY) == []


def test_results_of_another_shape_are_not_overwritten(lake: ShopLake) -> None:
    roll(lake, d3=(2, "15.10"))
    done(lake)
    path = lake.store.local(control_key("reconciliation_history", ROLLS))
    with lake.connection() as connection:
        connection.execute(f"COPY (SELECT 1 AS x) TO '{path}' (FORMAT parquet)")
    with pytest.raises(StoreError, match="has other columns"):
        done(lake)


def test_controls_are_found_by_name() -> None:
    controls = audited_shop.DOMAIN.controls
    assert find_controls(controls, []) == list(controls)
    assert find_controls(controls, ["ledger"]) == [LEDGER]
    with pytest.raises(SettingsError, match=r"There is no control nonsense\. There are ledger, till_rolls"):
        find_controls(controls, ["nonsense"])
    with pytest.raises(SettingsError, match="declares no controls"):
        find_controls((), [])
