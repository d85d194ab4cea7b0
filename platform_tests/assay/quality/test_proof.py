"""The proof: what each severity leads to, what stops a partition, and a content hash that nothing but the rows decides."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.contracts import Dimension
from assay.quality.books import Books, Side
from assay.quality.held_back import HeldBack
from assay.quality.proof import Verdict, prove
from assay.quality.scores import scores_from_dict

DAY = "2025-01-03"
NEXT = "2025-01-04"


def received(rows: int, money: str = "0") -> Books:
    return Books(rows=Side(received=Decimal(rows)), money=Side(received=Decimal(money)))


def judge(proving: Any, rows: Sequence[Mapping[str, Any]], books: Books | None = None) -> Verdict:
    """The verdict on the first day, whose books are those of the rows unless they are given."""
    proving.stage(rows)
    of_day = [row for row in rows if row.get("day", DAY) == DAY]
    money = sum((Decimal(row.get("amount", "1.00") or 0) for row in of_day if row.get("amount") != "abc"), Decimal(0))
    verdicts = prove(proving.connection, proving.node, [DAY, NEXT], {DAY: books or received(len(of_day), str(money))})
    assert set(verdicts) == {DAY, NEXT}
    return verdicts[DAY]


def published(proving: Any) -> list[tuple[Any, ...]]:
    return proving.connection.execute(
        "SELECT id, amount::VARCHAR, note, kind FROM proven WHERE NOT _broken ORDER BY ALL"
    ).fetchall()


class TestSeverities:
    def test_flawless_rows_are_published(self, proving) -> None:
        verdict = judge(proving, [{}, {}])
        assert (verdict.rows, verdict.good, verdict.quarantined, verdict.score, verdict.broken, verdict.problems) == (
            2,
            2,
            0,
            100.0,
            {},
            (),
        )
        assert verdict.books.balanced

    def test_fix_makes_the_value_null_and_publishes_the_row(self, proving) -> None:
        verdict = judge(proving, [{"note": "long text"}, {}])
        assert published(proving) == [("o1", "1.00", None, "a"), ("o2", "1.00", "n", "a")]
        assert (verdict.broken, verdict.good, verdict.score, verdict.problems) == ({"note_length": 1}, 2, 50.0, ())

    def test_warn_counts_and_publishes_the_row_as_it_is(self, proving) -> None:
        verdict = judge(proving, [{"kind": "z"}, {}])
        assert published(proving)[0] == ("o1", "1.00", "n", "z")
        assert (verdict.broken, verdict.good, verdict.score) == ({"kind_known": 1}, 2, 100.0)

    def test_quarantine_takes_the_row_out_with_its_money(self, proving) -> None:
        verdict = judge(proving, [{"amount": "-5.00"}, {}])
        assert [row[0] for row in published(proving)] == ["o2"]
        assert (verdict.broken, verdict.quarantined, verdict.problems) == ({"amount_at_least": 1}, 1, ())
        assert verdict.books.rows == Side(Decimal(2), Decimal(1), Decimal(1))
        assert verdict.books.money == Side(Decimal(-4), Decimal(1), Decimal(-5))

    def test_a_value_that_does_not_fit_its_type_is_quarantined_not_null(self, proving) -> None:
        verdict = judge(proving, [{"amount": "abc"}, {}])
        assert (verdict.broken, [row[0] for row in published(proving)]) == ({"amount_type": 1}, ["o2"])

    def test_stop_keeps_the_partition_back(self, proving) -> None:
        verdict = judge(proving, [{"amount": "1001.00"}, {}])
        assert verdict.broken == {"amount_at_most": 1}
        (problem,) = verdict.problems
        assert problem.startswith("1 rows break amount_at_most (")
        assert problem.endswith("which stops a partition")

    def test_a_row_may_break_several_rules_and_counts_once_in_the_score(self, proving) -> None:
        verdict = judge(proving, [{"note": "long", "kind": "z", "amount": "-1.00"}, {}])
        assert verdict.broken == {"note_length": 1, "kind_known": 1, "amount_at_least": 1}
        assert (verdict.score, verdict.quarantined) == (50.0, 1)

    def test_a_missing_value_breaks_only_the_rule_that_it_be_there(self, proving) -> None:
        assert judge(proving, [{"kind": None, "note": None, "amount": None}]).broken == {}
        assert judge(proving, [{"id": None}, {}]).broken == {"id_required": 1}


class TestScores:
    ROWS = (
        {"amount": "-5.00"},
        {"note": "long text", "amount": "10.00"},
        {"kind": "z", "amount": "4.00"},
        {"amount": "1.00"},
        {"id": None, "amount": None},
    )

    def test_rows_count_alike_and_by_their_money(self, proving) -> None:
        scores = judge(proving, self.ROWS).scores
        assert (scores.score, scores.money, scores.money_at_risk) == (40.0, Decimal(20), Decimal(15))
        assert scores.money_score == 25.0

    def test_each_rule_has_the_money_of_the_rows_that_broke_it(self, proving) -> None:
        assert judge(proving, self.ROWS).at_risk == {
            "amount_at_least": Decimal(5),
            "note_length": Decimal(10),
            "kind_known": Decimal(4),
            "id_required": Decimal(0),
        }

    def test_each_dimension_has_a_score_of_its_own_rules(self, proving) -> None:
        dimensions = judge(proving, self.ROWS).scores.dimensions
        assert dimensions == {Dimension.COMPLETENESS: 80.0, Dimension.VALIDITY: 60.0, Dimension.UNIQUENESS: 100.0}

    def test_repeated_keys_count_in_uniqueness(self, proving) -> None:
        assert judge(proving, [{"id": "o1"}, {"id": "o1"}, {}, {}]).scores.dimensions[Dimension.UNIQUENESS] == 75.0

    def test_what_warns_counts_in_none(self, proving) -> None:
        scores = judge(proving, [{"kind": "z"}]).scores
        assert (scores.score, scores.money_score, set(scores.dimensions.values())) == (100.0, 100.0, {100.0})

    def test_what_warns_of_lateness_counts_in_timeliness_alone(self, proving) -> None:
        late = replace(proving.node.table, dimensions={"kind_known": Dimension.TIMELINESS})
        proving.node = replace(proving.node, table=late)
        scores = judge(proving, [{"kind": "z"}, {}, {}, {}]).scores
        assert (scores.score, scores.money_score) == (100.0, 100.0)
        assert scores.dimensions[Dimension.TIMELINESS] == 75.0
        assert scores.dimensions[Dimension.VALIDITY] == 100.0

    def test_they_are_read_back_as_they_were_written(self, proving) -> None:
        scores = judge(proving, self.ROWS).scores
        assert scores_from_dict(json.loads(json.dumps(scores.to_dict()))) == scores

    def test_every_rule_has_a_result_those_that_hold_too(self, proving) -> None:
        results = {each.rule.name: each for each in judge(proving, self.ROWS).results}
        assert results.keys() >= {"id_required", "amount_type", "key_unique", "healed"}
        assert (results["amount_at_least"].passed, results["amount_at_least"].money_at_risk) == (False, Decimal(5))
        assert (results["amount_at_most"].passed, results["amount_at_most"].broken) == (True, 0)
        assert results["amount_at_most"].rule.owner == "team:x"


class TestPartitions:
    def test_each_partition_has_its_own_verdict(self, proving) -> None:
        proving.stage([{}, {"day": NEXT, "amount": "1001.00"}, {"day": NEXT}])
        verdicts = prove(proving.connection, proving.node, [DAY, NEXT], {DAY: received(1, "1"), NEXT: received(2, "1002")})
        assert (verdicts[DAY].rows, verdicts[DAY].problems) == (1, ())
        assert (verdicts[NEXT].rows, len(verdicts[NEXT].problems)) == (2, 1)

    def test_an_empty_partition_is_proven_too(self, proving) -> None:
        verdict = judge(proving, [{"day": NEXT}], received(0))
        assert (verdict.rows, verdict.score, verdict.problems) == (0, 100.0, ())

    def test_an_empty_partition_that_had_input_does_not_balance(self, proving) -> None:
        verdict = judge(proving, [{"day": NEXT}], received(3))
        assert verdict.problems == ("the books do not balance: 3 rows are unaccounted for",)


class TestStops:
    def test_repeated_keys_stop_the_partition(self, proving) -> None:
        verdict = judge(proving, [{"id": "o1"}, {"id": "o1"}, {"id": "o1"}, {}])
        assert verdict.broken == {"key_unique": 2}
        assert verdict.problems == ("2 rows repeat a key (id)",)

    def test_a_key_repeated_by_a_quarantined_row_or_on_another_day_is_not_repeated(self, proving) -> None:
        verdict = judge(proving, [{"id": "o1"}, {"id": "o1", "amount": "-1.00"}, {"id": "o1", "day": NEXT}])
        assert verdict.problems == ()

    def test_a_score_below_the_threshold_stops_the_partition(self, proving) -> None:
        long = {"note": "long"}
        assert judge(proving, [long, long, long, {}, {}]).problems == ()
        assert judge(proving, [long, long, {}]).problems == ("the quality score is 33.33, below the threshold of 40",)

    def test_rows_that_are_held_back_count_as_bad_ones(self, proving) -> None:
        proving.stage([])
        verdict = prove(proving.connection, proving.node, [DAY], {}, {DAY: HeldBack(rows=3, hashed=1)})[DAY]
        assert (verdict.rows, verdict.good, verdict.score) == (3, 0, 0.0)
        assert verdict.problems == ("the quality score is 0.00, below the threshold of 40",)

    @pytest.mark.parametrize(
        ("rows", "money", "said"),
        [
            (3, "2.00", "the books do not balance: 1 rows are unaccounted for"),
            (1, "2.00", "the books do not balance: -1 rows are unaccounted for"),
            (2, "2.01", "the books do not balance: 0.0100 of money are unaccounted for"),
        ],
    )
    def test_rows_or_money_that_are_unaccounted_for_stop_the_partition(self, proving, rows: int, money: str, said: str) -> None:
        assert judge(proving, [{}, {}], received(rows, money)).problems == (said,)


class TestContent:
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.fixed_dictionaries({"id": st.sampled_from(["o", "oo", "oa"]), "note": st.sampled_from([None, "", "a"])}),
            min_size=1,
            max_size=6,
        ),
        st.integers(0, 99),
    )
    def test_the_order_of_rows_does_not_count(self, proving, rows, seed: int) -> None:
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert judge(proving, rows).content == judge(proving, shuffled).content

    def test_every_value_counts(self, proving) -> None:
        first = {"id": "oa", "amount": "1.00", "note": "ob", "kind": "b"}
        variants = [
            [first, {}],
            [first | {"amount": "1.01"}, {}],
            [first | {"note": None}, {}],
            [first | {"note": ""}, {}],
            [first | {"kind": None}, {}],
            [first | {"_source": "other"}, {}],
            [first | {"_ingested_at": "2025-01-10 00:00:00.000001+00"}, {}],
            # The same values in other columns, in other rows, more often or not at all.
            [first | {"id": "ob", "note": "oa"}, {}],
            [first | {"note": "n"}, {"note": "ob"}],
            [first, {}, {}],
            [first],
            [],
        ]
        assert len({judge(proving, rows).content for rows in variants}) == len(variants)

    def test_rows_in_quarantine_count_only_by_the_score_that_is_published(self, proving) -> None:
        refused = [{"amount": "-1.00"}, {"id": "o2"}]
        other = [{"amount": "-2.00"}, {"id": "o2"}]
        assert judge(proving, refused).content == judge(proving, other).content
        assert judge(proving, refused).content != judge(proving, [{"id": "o2"}]).content
