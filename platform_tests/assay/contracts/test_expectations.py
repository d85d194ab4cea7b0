"""Expectations: what they are called, say and count as, and what is wrong with them is said when they are declared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from assay.contracts import (
    ControlTotal,
    Daily,
    Date,
    Dimension,
    Drift,
    Mean,
    MeanShift,
    Money,
    NullShare,
    Published,
    Quantile,
    Refers,
    RowCount,
    Severity,
    Share,
    Table,
    UniqueAcross,
    Volume,
    column,
    table,
)
from assay.contracts.expectation import Expectation
from assay.contracts.table import DECLARATION
from assay.errors import ContractError


def declare(*expects: Expectation, unique: bool = False, together: Any = None, **options: Any) -> Table:
    class Made(Published):
        """A table."""

        class Config:
            unique = together

        id: str = column("Key", unique=unique)
        kind: str = column("Kind", nullable=True)
        day: Date = column("Day")
        amount: Money = column("Amount")

    settings = {"layer": "enriched", "owner": "team:x", "subject": "x", "key": ("id",), "partition": Daily("day")} | options
    return vars(table("made", expects=expects, **settings)(Made))[DECLARATION]


KINDS: list[tuple[Expectation, str, Dimension, str]] = [
    (
        Refers({"kind": "code"}, to="enriched.kinds"),
        "kind_in_kinds",
        Dimension.CONSISTENCY,
        "kind is in enriched.kinds (code)",
    ),
    (
        Refers({"kind": "code"}, to="history.kinds", at="day"),
        "kind_in_kinds",
        Dimension.CONSISTENCY,
        "kind is in history.kinds (code) at day",
    ),
    (UniqueAcross(("id",)), "id_unique_across", Dimension.UNIQUENESS, "no other partition has the id of a row of this one"),
    (
        NullShare("kind", at_most=0.05),
        "kind_null_share_within",
        Dimension.COMPLETENESS,
        "the share of rows without kind is at most 5.00%",
    ),
    (
        Share("kind", ("b", "a c"), at_least=0.1, at_most=0.2),
        "kind_a_c_or_b_share_within",
        Dimension.CONSISTENCY,
        "the share of rows whose kind is a c or b is at least 10.00% and at most 20.00%",
    ),
    (
        Quantile("amount", 0.95, at_most=1000),
        "amount_quantile_950_within",
        Dimension.CONSISTENCY,
        "the 0.95 quantile of amount is at most 1,000",
    ),
    (Mean("amount", at_least=0.5), "amount_mean_within", Dimension.CONSISTENCY, "the mean of amount is at least 0.5"),
    (RowCount(at_least=1), "row_count_within", Dimension.COMPLETENESS, "the number of rows is at least 1"),
    (
        MeanShift("amount"),
        "amount_mean_as_usual",
        Dimension.CONSISTENCY,
        "the mean of amount is within 3 deviations or 30% of comparable days",
    ),
    (
        Drift(NullShare("kind"), change=0.5),
        "kind_null_share_as_usual",
        Dimension.CONSISTENCY,
        "the share of rows without kind is within 3 deviations or 50% of comparable days",
    ),
    (
        Volume(deviations=4),
        "row_count_as_usual",
        Dimension.COMPLETENESS,
        "the number of rows is within 4 deviations or 30% of comparable days",
    ),
    (
        ControlTotal("latest.controls", on={"day": "of"}, rows="n", money={"amount": "total"}, tolerance=Decimal("0.01")),
        "total_as_in_controls",
        Dimension.CONSISTENCY,
        "rows and the total of amount match latest.controls, give or take 0.01",
    ),
]


class TestRules:
    @pytest.mark.parametrize(("expectation", "name", "dimension", "said"), KINDS, ids=[type(each[0]).__name__ for each in KINDS])
    def test_each_is_a_rule(self, expectation: Expectation, name: str, dimension: Dimension, said: str) -> None:
        made = declare(expectation)
        assert list(made.expectations) == [name]
        rule = made.expectations[name].rule(made.owner)
        assert (rule.name, rule.dimension, rule.expected, rule.reason, rule.owner) == (name, dimension, said, said, "team:x")
        assert rule.severity is (Severity.QUARANTINE if expectation.is_of_rows else Severity.WARN)

    def test_what_is_given_in_words_is_kept(self) -> None:
        given = {"name": "some", "reason": "so it is", "owner": "team:y", "dimension": Dimension.TIMELINESS}
        rule = RowCount(at_least=1, severity=Severity.STOP, **given).rule("team:x")
        assert (rule.name, rule.reason, rule.owner, rule.dimension) == ("some", "so it is", "team:y", Dimension.TIMELINESS)
        assert rule.severity is Severity.STOP

    def test_what_pandera_says_of_uniqueness_is_expected(self) -> None:
        made = declare(unique=True, together=["kind", "day"], severities={"kind_day_unique": Severity.WARN})
        rules = [each.rule("team:x") for each in made.expectations.values()]
        assert [(rule.name, rule.columns, rule.severity, rule.dimension) for rule in rules] == [
            ("id_unique", ("id",), Severity.QUARANTINE, Dimension.UNIQUENESS),
            ("kind_day_unique", ("kind", "day"), Severity.WARN, Dimension.UNIQUENESS),
        ]

    def test_several_sets_of_columns_may_be_unique(self) -> None:
        assert list(declare(together=[["id", "day"], ["kind"]]).expectations) == ["id_day_unique", "kind_unique"]


class TestVersion:
    def test_words_do_not_count(self) -> None:
        first = declare(RowCount(at_least=1))
        assert declare(RowCount(at_least=1, reason="so", owner="team:y")).version == first.version

    def test_what_is_expected_does(self) -> None:
        expected = [
            declare(),
            declare(RowCount(at_least=1)),
            declare(RowCount(at_least=2)),
            declare(RowCount(at_least=1, severity=Severity.STOP)),
            declare(Refers({"kind": "code"}, to="enriched.kinds")),
            declare(Refers({"kind": "name"}, to="enriched.kinds")),
            declare(unique=True),
        ]
        assert len({made.version for made in expected}) == len(expected)


class TestWrong:
    @pytest.mark.parametrize(
        ("expectation", "said"),
        [
            (
                NullShare("kin", at_most=0.1),
                "enriched.made: NullShare kin_null_share_within names kin, which Made does not declare",
            ),
            (NullShare("kind"), "enriched.made: NullShare kind_null_share_within: it has no bound"),
            (RowCount(at_least=2, at_most=1), "enriched.made: RowCount row_count_within: at_least 2 is above at_most 1"),
            (Quantile("amount", 5, at_most=1), "enriched.made: Quantile amount_quantile_5000_within: q is 5, but"),
            (Mean("kind", at_most=1), "enriched.made: Mean kind_mean_within needs a number, but kind is VARCHAR"),
            (Share("kind", (), at_most=1), "enriched.made: Share kind__share_within: it lists no value"),
            (
                RowCount(at_least=1, severity=Severity.QUARANTINE),
                "enriched.made: RowCount row_count_within cannot have the severity quarantine, because it is about a partition",
            ),
            (
                UniqueAcross(("id",), severity=Severity.QUARANTINE),
                "enriched.made: UniqueAcross id_unique_across cannot have the severity quarantine, because which of two",
            ),
            (Refers({}, to="enriched.x"), "enriched.made: Refers _in_x: it names no column"),
            (Refers({"id": "id"}, to="enriched.x", at="kind"), "enriched.made: Refers id_in_x looks at kind, which is VARCHAR"),
            (ControlTotal("latest.x", on={"day": "day"}), "enriched.made: ControlTotal total_as_in_x: it controls nothing"),
            (RowCount(at_least=1, name="amount_required"), "enriched.made: more than one rule is called amount_required"),
            (RowCount(at_least=1, name="key_unique"), "enriched.made: more than one rule is called key_unique"),
            (RowCount(at_least=1, name="how many"), "enriched.made: RowCount how many has a name that is not an identifier"),
        ],
    )
    def test_it_is_said_with_table_and_rule(self, expectation: Expectation, said: str) -> None:
        with pytest.raises(ContractError) as raised:
            declare(expectation)
        assert raised.value.message.startswith(said)
        assert raised.value.hint

    def test_days_cannot_be_compared_where_there_are_none(self) -> None:
        with pytest.raises(ContractError, match="row_count_as_usual compares days, but the table has no daily partitions"):
            declare(Volume(), partition=None)
