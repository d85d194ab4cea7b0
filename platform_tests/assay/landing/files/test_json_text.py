"""JSON values in a text: found where they are, however the text is laid out, and up to its damage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.landing.files.json_text import DamagedJsonError, elements_at, first_place, member_at, places, value_at

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 0, 2]), is_ascii=st.booleans(), mark=st.booleans())
def test_elements_are_where_they_are(values: list[Any], indent: int | None, is_ascii: bool, mark: bool) -> None:
    text = "\ufeff" * mark + json.dumps(values, indent=indent, ensure_ascii=is_ascii)
    found = list(elements_at(text, first_place(text)))
    assert [json.loads(text[start:end]) for start, end in found] == values
    raw = text.encode()
    assert [raw[byte : byte + 1].decode() for _, byte in places(text, found)] == [text[start] for start, _ in found]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2 3]", [(1, 1), (2, 4), (3, 6)]),
        ('["ä", "ö', [(1, 1), (2, 7)]),
        ("[1, 2", [(1, 1), (2, 4), (3, 5)]),
    ],
)
def test_a_damage_counts_as_the_next_value(text: str, told: list[tuple[int, int]]) -> None:
    assert list(places(text, elements_at(text, 0))) == told


def test_a_member_needs_a_colon() -> None:
    assert member_at('"a" : 1', 0) == ("a", 6)
    with pytest.raises(DamagedJsonError, match=": should be here") as damage:
        member_at('"a" 1', 0)
    assert damage.value.place == 4


def test_text_nested_too_deeply_is_damaged() -> None:
    with pytest.raises(DamagedJsonError):
        value_at("[" * 1_000_000, 0)
