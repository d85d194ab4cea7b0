"""Wording: every built-in check that can be a rule says what it asks."""

from __future__ import annotations

from typing import Any

import pandera.ibis as pa
import pytest

from assay.contracts import Contract, column
from assay.contracts.rules import rules_of
from assay.contracts.wording import asked


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ({"eq": "a"}, "must be 'a'"),
        ({"ne": "a"}, "must not be 'a'"),
        ({"isin": ["b", "a"]}, "must be one of 'a', 'b'"),
        ({"notin": ["b", "a"]}, "must be none of 'a', 'b'"),
        ({"str_matches": "[a-z]+$"}, "must begin with a match of [a-z]+$"),
        ({"str_contains": "x"}, "must contain a match of x"),
        ({"str_startswith": "pay_"}, "must begin with 'pay_'"),
        ({"str_endswith": "_1"}, "must end with '_1'"),
        ({"str_length": {"max_value": 3}}, "must have at most 3 characters"),
        ({"str_length": {"min_value": 1, "max_value": 3}}, "must have at least 1 and at most 3 characters"),
        ({"str_length": {"exact_value": 3}}, "must have 3 characters"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_of_texts(check: dict[str, Any], expected: str) -> None:
    class Texts(Contract):
        """A table."""

        value: str = column("A text", nullable=True, **check)

    assert [rule.reason for rule in rules_of(Texts, {})] == [f"value {expected}"]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ({"gt": 1}, "must be above 1"),
        ({"ge": 1}, "must be at least 1"),
        ({"lt": 1}, "must be below 1"),
        ({"le": 1}, "must be at most 1"),
        ({"in_range": {"min_value": 0, "max_value": 9}}, "must be at least 0 and at most 9"),
        (
            {"in_range": {"min_value": 0, "max_value": 9, "include_min": False, "include_max": False}},
            "must be above 0 and below 9",
        ),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_of_numbers(check: dict[str, Any], expected: str) -> None:
    class Numbers(Contract):
        """A table."""

        value: int = column("A number", nullable=True, **check)

    assert [rule.reason for rule in rules_of(Numbers, {})] == [f"value {expected}"]


def test_an_author_s_own_words_stand() -> None:
    class Own(Contract):
        """A table."""

        value: int = column("A number", nullable=True)

        @pa.check("value", name="even", description="odd lots are not traded")
        def even(cls, data: pa.IbisData) -> Any:  # noqa: N805
            return data.table[data.key] % 2 == 0

    assert [rule.reason for rule in rules_of(Own, {})] == ["odd lots are not traded"]


def test_a_check_that_is_not_built_in_has_no_words() -> None:
    assert asked("even", {}) is None
